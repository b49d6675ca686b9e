/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_members.c - bundles that are packed as they should be, of members that should not be. */
#include <stdio.h>
#include <string.h>

#include "audit/tar.h"
#include "bundle_world.h"

enum {
	MAX_MEMBERS = 64,
};

/* ---- members of one's own ---------------------------------------------------------------------
 */

typedef struct piece {
	char name[CAIRN_TAR_MAX_NAME + 1];
	uint8_t *bytes;
	size_t len;
	uint64_t claimed; /* the size in the header, where it is not len */
	bool is_left_out; /* of SHA256SUMS */
} piece;

typedef struct archive {
	piece pieces[MAX_MEMBERS];
	size_t n;
} archive;

/* All members but SHA256SUMS. */
static void unpack(archive *a, const world *w)
{
	size_t at = 0;
	uint64_t size;

	a->n = 0;
	for (;;) {
		piece *p = &a->pieces[a->n];

		memset(p, 0, sizeof(*p));
		if (cairn_tar_parse(w->tar + at, p->name, &size, NULL) != 0)
			return;
		at += 512;
		if (strcmp(p->name, "SHA256SUMS") != 0) {
			p->bytes = malloc(size + 1);
			assert_non_null(p->bytes);
			memcpy(p->bytes, w->tar + at, size);
			p->len = size;
			a->n++;
			assert_true(a->n < MAX_MEMBERS);
		}
		at += size + cairn_tar_padding(size);
	}
}

static void add(
	uint8_t **to, size_t *len, const char *name, const void *bytes, size_t n, uint64_t claimed)
{
	size_t padded = n + cairn_tar_padding(n);

	*to = realloc(*to, *len + 512 + padded + 1024);
	assert_non_null(*to);
	cairn_tar_header(*to + *len, name, claimed ? claimed : n);
	memset(*to + *len + 512, 0, padded);
	if (n)
		memcpy(*to + *len + 512, bytes, n);
	*len += 512 + padded;
}

/* Packed again with right sums, as somebody who knows the form would; frees the archive. */
static void refused_archive(world *w, archive *a, const char *message)
{
	uint8_t *tar = NULL, digest[32];
	char *sums = malloc(a->n * 200 + 1), hex[65];
	size_t len = 0, at = 0;

	assert_non_null(sums);
	sums[0] = 0;
	for (size_t i = 0; i < a->n; i++) {
		if (a->pieces[i].is_left_out)
			continue;
		cairn_sha256(a->pieces[i].bytes, a->pieces[i].len, digest);
		cairn_hex_encode(digest, 32, hex);
		at += (size_t)sprintf(sums + at, "%s  %s\n", hex, a->pieces[i].name);
	}
	add(&tar, &len, "SHA256SUMS", sums, at, 0);
	for (size_t i = 0; i < a->n; i++)
		add(&tar, &len, a->pieces[i].name, a->pieces[i].bytes, a->pieces[i].len,
			a->pieces[i].claimed);
	memset(tar + len, 0, 1024);
	if (message) {
		world_refused(w, tar, len + 1024, message);
	} else {
		cairn_error err = {0};
		json_t *report;

		if (world_import(w->other, tar, len + 1024, NULL, &report, &err) < 0)
			fail_msg("%s", err.message);
		json_decref(report);
	}
	for (size_t i = 0; i < a->n; i++)
		free(a->pieces[i].bytes);
	free(tar);
	free(sums);
}

static size_t find(const archive *a, const char *prefix)
{
	for (size_t i = 0; i < a->n; i++) {
		if (!strncmp(a->pieces[i].name, prefix, strlen(prefix)))
			return i;
	}
	fail_msg("no member '%s'", prefix);
	return 0;
}

static void set_text(piece *p, const char *text)
{
	free(p->bytes);
	p->bytes = malloc(strlen(text) + 1);
	assert_non_null(p->bytes);
	p->len = strlen(text);
	memcpy(p->bytes, text, p->len);
}

static void rename_to(archive *a, size_t i, const char *name)
{
	snprintf(a->pieces[i].name, sizeof(a->pieces[i].name), "%s", name);
}

static void drop(archive *a, size_t i)
{
	free(a->pieces[i].bytes);
	memmove(&a->pieces[i], &a->pieces[i + 1], (a->n - i - 1) * sizeof(a->pieces[0]));
	a->n--;
}

static void test_audit_bundle_members__hostile_members(void **state)
{
	static const char *const names[] = {"../x", "/etc/passwd", "chunks/../../x",
		"records/x.json", "artifacts/zz", "chunks/aa/AA", "records/runs/../../x.json",
		"records/results/.json", "nodes/00/11"};
	world *w = *state;
	archive a;
	char name[CAIRN_TAR_MAX_NAME + 1];
	size_t i;

	for (i = 0; i < CAIRN_COUNT(names); i++) {
		unpack(&a, w);
		rename_to(&a, 0, names[i]);
		refused_archive(w, &a, "has no business there");
	}
	/* A digest in capitals would be a second name of one piece. */
	unpack(&a, w);
	for (char *c = strcpy(name, a.pieces[0].name) + 10; *c; c++)
		*c = *c >= 'a' ? (char)(*c - 'a' + 'A') : *c;
	rename_to(&a, 0, name);
	refused_archive(w, &a, "has no business there");
	/* A name that is not its digest. */
	unpack(&a, w);
	i = find(&a, "chunks/");
	a.pieces[i].bytes[0] ^= 1;
	refused_archive(w, &a, "has another digest than its name");
	/* Twice the same. */
	unpack(&a, w);
	free(a.pieces[1].bytes);
	a.pieces[1] = a.pieces[0];
	a.pieces[1].bytes = malloc(a.pieces[0].len);
	memcpy(a.pieces[1].bytes, a.pieces[0].bytes, a.pieces[0].len);
	a.pieces[1].is_left_out = true;
	refused_archive(w, &a, "is not the next one");
	/* One that nobody announced. */
	unpack(&a, w);
	a.pieces[2].is_left_out = true;
	refused_archive(w, &a, "is not the next one");
}

static void test_audit_bundle_members__absurd_sizes(void **state)
{
	world *w = *state;
	archive a;

	unpack(&a, w);
	a.pieces[0].claimed = CAIRN_TAR_MAX_SIZE - 1;
	refused_archive(w, &a, "larger than any can be");
	unpack(&a, w);
	a.pieces[find(&a, "bundle.json")].claimed = CAIRN_TAR_MAX_SIZE - 1;
	refused_archive(w, &a, "larger than any can be");
	unpack(&a, w);
	a.pieces[find(&a, "records/stages")].claimed = 200 << 20; /* allowed, and not true */
	refused_archive(w, &a, "cut off");
}

static void test_audit_bundle_members__artifacts_must_be_whole(void **state)
{
	static const char *const kinds[] = {"chunks/", "nodes/", "artifacts/"};
	world *w = *state;
	archive a;

	for (size_t i = 0; i < CAIRN_COUNT(kinds); i++) {
		unpack(&a, w);
		drop(&a, find(&a, kinds[i]));
		refused_archive(w, &a, "");
	}
	unpack(&a, w);
	drop(&a, find(&a, "bundle.json"));
	refused_archive(w, &a, "lacks 'bundle.json'");
	/* Pieces of an artifact that it does not have. */
	unpack(&a, w);
	set_text(&a.pieces[find(&a, "bundle.json")],
		"{\"artifacts\":[],\"refs\":{},\"root\":{},\"schema\":\"cairn.bundle/1\"}\n");
	refused_archive(w, &a, "belongs to no artifact");
	unpack(&a, w);
	refused_archive(w, &a, NULL); /* the packing itself is right */
}

static void test_audit_bundle_members__records_that_cannot_be(void **state)
{
	static const struct {
		const char *member, *text, *message;
	} cases[] = {
		{"records/runs", "{\"state\":\"running\"}\n", "no record"},
		{"records/runs", "{\"b\":1,\"a\":2}\n", "canonical"},
		{"records/runs", "[]\n", "no JSON object"},
		{"records/runs", "{}", "its line"},
		{"records/runs", "{}\n{}\n", "no JSON object"},
		{"records/results", "{}\n", "no record"},
		{"records/results", "{\"outputs\":{\"x\":{\"id\":\"../x\"}}}\n", "no record"},
		{"records/attempts", "{\"n\":1,\"record\":{\"state\":\"running\"}}\n", "a line"},
		{"records/attempts", "{\"n\":1,\"record\":{}}\n{\"n\":1,\"record\":{}}\n",
			"a line"},
		{"records/attempts", "{\"n\":99999999999,\"record\":{}}\n", "a line"},
		{"records/stages", "{\"index\":-1,\"record\":{}}\n", "a line"},
		{"records/events", "{\"record\":{}}\n", "a line"},
		{"bundle.json", "{}\n", "not that of a bundle"},
		{"bundle.json", "nonsense", "no JSON object"},
		{"bundle.json",
			"{\"artifacts\":[],\"refs\":{\"a\":\"sha256:00\"},\"root\":{},"
			"\"schema\":\"cairn.bundle/1\"}\n",
			"not that of a bundle"},
	};
	world *w = *state;
	archive a;

	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		unpack(&a, w);
		set_text(&a.pieces[find(&a, cases[i].member)], cases[i].text);
		refused_archive(w, &a, cases[i].message);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_audit_bundle_members__hostile_members),
		TEST(test_audit_bundle_members__absurd_sizes),
		TEST(test_audit_bundle_members__artifacts_must_be_whole),
		TEST(test_audit_bundle_members__records_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
