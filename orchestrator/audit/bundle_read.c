/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle_read.c - a bundle, taken apart with suspicion.
 *
 * SHA256SUMS comes first and names every other member in order, so that each is known before it
 * comes, none can come twice, and the end is known. Nothing is ever written under a name of the
 * bundle: pieces go to the store under their digest, records are parsed. Pieces that have come when
 * a later member is refused are bytes that nothing names; a collection takes them.
 *
 * Inside the commit every artifact is walked (all there, right form, adding up) and every piece
 * must have been met in one; only then are manifests, records and names visible, at once.
 */
#include <string.h>

#include "audit/bundle_member.h"
#include "base/alloc.h"
#include "base/text.h"

#define MAX_SUMS  ((uint64_t)512 << 20)
#define TEXT_STEP ((uint64_t)1 << 20) /* a text is read in such pieces */

typedef struct met {
	cairn_piece_kind kind;
	cairn_id id;
	bool is_used;
} met;

typedef struct reader {
	cairn_bundle_read_fn read;
	void *arg;
	cairn_batch *batch;
	cairn_bundle_content content;
	json_t *root;
	uint8_t *buffer; /* a piece */
	char *sums, *at; /* the next line that is due */
	met *pieces;     /* in the order of (kind, id) */
	size_t n_pieces, cap_pieces;
	size_t n_records;
	const char *prefix;
	json_t *report;
	char name[CAIRN_TAR_MAX_NAME + 1]; /* of the member at hand */
} reader;

/* ---- bytes ------------------------------------------------------------------------------------
 */

static int ended(const reader *r, cairn_error *err)
{
	cairn_error_set(
		err, CAIRN_EINPUT, "the bundle is cut off%s%s", r->name[0] ? " in " : "", r->name);
	cairn_error_hint(err, "Nothing of it was taken in; fetch it again.");
	return CAIRN_EINPUT;
}

static int read_exactly(reader *r, void *out, size_t len, cairn_error *err)
{
	uint8_t *to = out;

	while (len > 0) {
		int64_t n = r->read(r->arg, to, len, err);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return ended(r, err);
		to += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The zeros behind a member. */
static int read_padding(reader *r, uint64_t size, cairn_error *err)
{
	uint8_t padding[CAIRN_TAR_BLOCK];
	size_t n = cairn_tar_padding(size);
	int rc = read_exactly(r, padding, n, err);

	for (size_t i = 0; i < n && rc == 0; i++) {
		if (padding[i] != 0)
			rc = cairn_error_set(err, CAIRN_EINPUT,
				"the bundle is damaged behind its member '%.110s'", r->name);
	}
	return rc;
}

/* In pieces, so that a size which is not true takes no memory. */
static int read_text(reader *r, char **out, uint64_t size, uint64_t limit, cairn_error *err)
{
	uint64_t have = 0, cap = 0;
	char *text = NULL;
	int rc = 0;

	if (size > limit)
		return cairn_member_refuse(r->name, "is larger than any can be", err);
	do {
		uint64_t n = size - have < TEXT_STEP ? size - have : TEXT_STEP;
		char *grown;

		cap = have + n > cap ? (have + n) + have / 2 : cap;
		grown = cairn_realloc(text, cap + 1, 1);
		if (!grown) {
			rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a bundle");
			break;
		}
		text = grown;
		rc = read_exactly(r, text + have, n, err);
		have += n;
	} while (rc == 0 && have < size);
	if (rc == 0)
		rc = read_padding(r, size, err);
	if (rc < 0) {
		free(text);
		return rc;
	}
	text[size] = 0;
	*out = text;
	return 0;
}

/* ---- pieces -----------------------------------------------------------------------------------
 */

static int by_piece(const void *a, const void *b)
{
	const met *x = a, *y = b;

	return x->kind != y->kind ? (x->kind > y->kind) - (x->kind < y->kind)
				  : cairn_id_compare(&x->id, &y->id);
}

static int remember(reader *r, const cairn_piece *piece, cairn_error *err)
{
	if (r->n_pieces == r->cap_pieces) {
		size_t cap = r->cap_pieces ? 2 * r->cap_pieces : 256;
		met *grown = cairn_realloc(r->pieces, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a bundle");
		r->pieces = grown;
		r->cap_pieces = cap;
	}
	r->pieces[r->n_pieces++] = (met){.kind = piece->kind, .id = piece->id};
	return 0;
}

static int take_piece(reader *r, cairn_piece *piece, uint64_t size, cairn_error *err)
{
	int rc;

	if (size > CAIRN_MAX_CHUNK)
		return cairn_member_refuse(r->name, "is larger than any can be", err);
	piece->bytes = size;
	rc = read_exactly(r, r->buffer, size, err);
	if (rc == 0)
		rc = read_padding(r, size, err);
	if (rc == 0)
		rc = remember(r, piece, err);
	if (rc == 0)
		rc = cairn_batch_put_piece(r->batch, piece, r->buffer, err);
	if (rc == CAIRN_EINTEGRITY || rc == CAIRN_ELIMIT)
		cairn_error_at(err, "member %s of the bundle", r->name);
	return rc;
}

/* ---- members ----------------------------------------------------------------------------------
 */

/* The line of SHA256SUMS that is due: its digest, and whether it names this member. */
static bool take_sum(reader *r, uint8_t digest[CAIRN_DIGEST_BYTES])
{
	char hex[65];
	size_t len = strlen(r->name);

	if (strlen(r->at) < 64 + 2 + len + 1 || r->at[64] != ' ' || r->at[65] != ' ' ||
		strncmp(r->at + 66, r->name, len) != 0 || r->at[66 + len] != '\n')
		return false;
	memcpy(hex, r->at, 64);
	hex[64] = 0;
	r->at += 66 + len + 1;
	return cairn_hex_decode(hex, digest, CAIRN_DIGEST_BYTES) == 0;
}

static int take_text(reader *r, const cairn_member *m, uint64_t size,
	const uint8_t digest[CAIRN_DIGEST_BYTES], cairn_error *err)
{
	uint8_t found[CAIRN_DIGEST_BYTES];
	char *text;
	int rc = read_text(r, &text, size, cairn_member_limit(m), err);

	if (rc < 0)
		return rc;
	cairn_sha256(text, size, found);
	if (memcmp(found, digest, sizeof(found)) != 0) {
		rc = cairn_error_set(err, CAIRN_EINTEGRITY,
			"the bundle's member '%.110s' does not match its digest", r->name);
		cairn_error_hint(err, "Nothing of it was taken in; fetch it again.");
	} else {
		rc = cairn_member_take(
			m, r->name, &r->content, &r->root, &r->n_records, text, size, err);
	}
	free(text);
	return rc;
}

static int take_member(reader *r, uint64_t size, cairn_error *err)
{
	uint8_t digest[CAIRN_DIGEST_BYTES];
	cairn_member m;

	if (!cairn_member_parse(&m, r->name, &r->content))
		return cairn_member_refuse(r->name, "has no business there", err);
	if (!take_sum(r, digest))
		return cairn_member_refuse(r->name, "is not the next one of its SHA256SUMS", err);
	if (m.kind != CAIRN_MEMBER_PIECE)
		return take_text(r, &m, size, digest, err);
	if (memcmp(digest, m.piece.id.bytes, sizeof(digest)) != 0)
		return cairn_member_refuse(r->name, "has another digest than its name", err);
	return take_piece(r, &m.piece, size, err);
}

/* 1: the end. */
static int next_header(reader *r, uint64_t *size, cairn_error *err)
{
	uint8_t block[CAIRN_TAR_BLOCK];
	char name[CAIRN_TAR_MAX_NAME + 1];
	int rc = read_exactly(r, block, sizeof(block), err);

	if (rc < 0)
		return rc;
	rc = cairn_tar_parse(block, name, size, err);
	if (rc < 0 && r->name[0])
		cairn_error_at(err, "behind member %s of the bundle", r->name);
	if (rc == 0)
		memcpy(r->name, name, sizeof(name));
	return rc;
}

/* A second block of zeros, then nothing but zeros. */
static int read_end(reader *r, cairn_error *err)
{
	uint8_t block[CAIRN_TAR_BLOCK];
	uint64_t n_bytes = 0;
	int64_t n;

	if (r->at[0])
		return cairn_error_set(err, CAIRN_EINPUT, "the bundle lacks '%.*s'",
			(int)strcspn(r->at + 66, "\n"), r->at + 66);
	while ((n = r->read(r->arg, block, sizeof(block), err)) > 0) {
		n_bytes += (uint64_t)n;
		for (int64_t i = 0; i < n; i++) {
			if (block[i] != 0)
				return cairn_error_set(err, CAIRN_EINPUT,
					"something follows the end of the bundle");
		}
	}
	if (n < 0)
		return (int)n;
	return n_bytes < CAIRN_TAR_BLOCK ? ended(r, err) : 0;
}

static int read_sums(reader *r, cairn_error *err)
{
	uint64_t size;
	int rc = next_header(r, &size, err);

	if (rc == 1 || (rc == 0 && strcmp(r->name, "SHA256SUMS") != 0)) {
		cairn_error_set(err, CAIRN_EINPUT, "this is no bundle: SHA256SUMS must come first");
		cairn_error_hint(err, "`cairn export --format=bundle` writes one.");
		return CAIRN_EINPUT;
	}
	if (rc == 0)
		rc = read_text(r, &r->sums, size, MAX_SUMS, err);
	if (rc < 0)
		return rc;
	r->at = r->sums;
	/* Lines that cannot be one would be read past: each has 66 bytes before its name. */
	for (const char *line = r->sums; *line;) {
		size_t len = strcspn(line, "\n");

		if (len <= 66 || line[len] != '\n')
			return cairn_member_refuse(r->name, "has a line that is none", err);
		line += len + 1;
	}
	return strlen(r->sums) == size
		       ? 0
		       : cairn_member_refuse(r->name, "has a line that is none", err);
}

static int read_members(reader *r, cairn_error *err)
{
	uint64_t size;
	int rc = read_sums(r, err);

	while (rc == 0) {
		rc = next_header(r, &size, err);
		if (rc == 0)
			rc = take_member(r, size, err);
	}
	if (rc < 0)
		return rc;
	rc = read_end(r, err);
	if (rc == 0 && !r->root)
		rc = cairn_error_set(err, CAIRN_EINPUT, "the bundle lacks 'bundle.json'");
	return rc;
}

/* ---- the commit -------------------------------------------------------------------------------
 */

static int use_piece(void *arg, const cairn_piece *piece, cairn_error *err)
{
	reader *r = arg;
	met key = {.kind = piece->kind, .id = piece->id}, *found;

	(void)err;
	found = r->n_pieces ? bsearch(&key, r->pieces, r->n_pieces, sizeof(key), by_piece) : NULL;
	if (found)
		found->is_used = true;
	return 0;
}

static int check_artifacts(reader *r, cairn_snapshot *now, cairn_error *err)
{
	const char *id_text;
	char hex[65];
	json_t *value;
	cairn_id id;
	int rc = 0;

	if (r->n_pieces)
		qsort(r->pieces, r->n_pieces, sizeof(*r->pieces), by_piece);
	json_object_foreach(r->content.artifacts, id_text, value)
	{
		if (rc == 0)
			rc = cairn_id_parse(&id, id_text, err);
		if (rc == 0)
			rc = cairn_snapshot_pieces(now, &id, use_piece, r, err);
	}
	if (rc == CAIRN_ENOTFOUND) {
		cairn_error_clear(err);
		rc = cairn_error_set(
			err, CAIRN_EINTEGRITY, "the bundle lacks an artifact of its own");
	}
	if (rc == CAIRN_EINTEGRITY)
		cairn_error_hint(err, "The bundle lacks a part of it. Nothing was taken in.");
	for (size_t i = 0; i < r->n_pieces && rc == 0; i++) {
		if (r->pieces[i].is_used)
			continue;
		cairn_hex_encode(r->pieces[i].id.bytes, 32, hex);
		rc = cairn_error_set(err, CAIRN_EINPUT,
			"the bundle's part %s belongs to no artifact of it", hex);
	}
	return rc;
}

/* Whatever is taken in is used by its records from now on. */
static int merge(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err)
{
	reader *r = arg;
	int rc = check_artifacts(r, now, err);

	return rc < 0 ? rc : cairn_bundle_merge(&r->content, r->prefix, now, batch, r->report, err);
}

static json_t *names_of(const json_t *object)
{
	json_t *list = json_array(), *value;
	const char *name;

	json_object_foreach((json_t *)object, name, value)
		json_array_append_new(list, json_string(name));
	return list;
}

static int commit(reader *r, cairn_error *err)
{
	cairn_batch *batch = r->batch;

	r->report = json_pack(
		"{s:O, s:o}", "root", r->root, "artifacts", names_of(r->content.artifacts));
	if (!r->report)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a bundle");
	r->batch = NULL; /* the commit frees it, whatever it returns */
	cairn_batch_on_commit(batch, merge, r);
	return cairn_batch_commit(batch, err);
}

int cairn_bundle_import(json_t **out, cairn_store *store, cairn_bundle_read_fn read, void *arg,
	const char *prefix, cairn_error *err)
{
	reader r = {.read = read,
		.arg = arg,
		.prefix = prefix,
		.content = {.results = json_object(),
			.attempts = json_object(),
			.runs = json_object(),
			.stages = json_object(),
			.events = json_object(),
			.artifacts = json_object(),
			.refs = json_object()}};
	cairn_error why = {0};
	int rc = cairn_record_list_runs(store, &why); /* so that theirs are found by workflow */

	if (rc == 0)
		rc = cairn_batch_begin(&r.batch, store, &why);
	r.buffer = cairn_alloc(1, CAIRN_MAX_CHUNK);
	if (rc == 0 && !r.buffer)
		rc = cairn_error_set(&why, CAIRN_ENOMEM, "out of memory for a bundle");
	if (rc == 0)
		rc = read_members(&r, &why);
	if (rc == 0)
		rc = commit(&r, &why);
	if (rc == 0)
		*out = json_incref(r.report);
	else if (err && !err->code)
		*err = why;
	cairn_batch_abort(r.batch);
	cairn_bundle_content_free(&r.content);
	json_decref(r.root);
	json_decref(r.report);
	free(r.pieces);
	free(r.buffer);
	free(r.sums);
	return rc < 0 ? rc : 0;
}
