/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle_write.c - a bundle's members, sorted, one after the other.
 *
 * Names and sizes are gathered first: SHA256SUMS stands in front, and the digest of a piece is its
 * name. Then the pieces are read from the store one by one, each verified, and written.
 */
#include <string.h>

#include "audit/bundle.h"
#include "audit/tar.h"
#include "base/alloc.h"
#include "base/text.h"
#include "cairn/transfer.h"

#define MAX_MEMBERS 4000000

typedef struct member {
	char name[CAIRN_TAR_MAX_NAME + 1];
	uint8_t sha256[CAIRN_DIGEST_BYTES];
	cairn_piece piece; /* where text is NULL */
	char *text;
	uint64_t bytes;
} member;

typedef struct writer {
	cairn_store *store;
	member *members;
	size_t n, cap;
	cairn_bundle_write_fn write;
	void *arg;
	uint64_t bytes;
} writer;

static member *add_member(writer *w, cairn_error *err)
{
	if (w->n >= MAX_MEMBERS) {
		cairn_error_set(
			err, CAIRN_ELIMIT, "a bundle can have %d members at most", MAX_MEMBERS);
		return NULL;
	}
	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 256;
		member *grown = cairn_realloc(w->members, cap, sizeof(*grown));

		if (!grown) {
			cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a bundle");
			return NULL;
		}
		w->members = grown;
		w->cap = cap;
	}
	memset(&w->members[w->n], 0, sizeof(*w->members));
	return &w->members[w->n++];
}

/* Takes over the text. */
static int add_text(writer *w, char *text, size_t len, cairn_error *err, const char *format, ...)
	CAIRN_PRINTF(5, 6);
static int add_text(writer *w, char *text, size_t len, cairn_error *err, const char *format, ...)
{
	member *m = text ? add_member(w, err) : NULL;
	va_list args;

	if (!m) {
		free(text);
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a bundle");
	}
	va_start(args, format);
	vsnprintf(m->name, sizeof(m->name), format, args);
	va_end(args);
	m->text = text;
	m->bytes = len;
	cairn_sha256(text, len, m->sha256);
	return 0;
}

/* ---- records ----------------------------------------------------------------------------------
 */

/* Canonical, with a newline. */
static void add_line(cairn_text *to, const json_t *json)
{
	char *text = cairn_json_canonical(json);

	if (text)
		cairn_text_add(to, text);
	else
		to->failed = true;
	cairn_text_add_char(to, '\n');
	free(text);
}

static int add_records(
	writer *w, const char *folder, const char *ending, const json_t *records, cairn_error *err)
{
	const char *key;
	json_t *value, *line;
	size_t i;
	int rc = 0;

	json_object_foreach((json_t *)records, key, value)
	{
		cairn_text text = {0};

		if (rc < 0)
			break;
		if (json_is_array(value)) {
			json_array_foreach(value, i, line) add_line(&text, line);
		} else {
			add_line(&text, value);
		}
		if (text.failed)
			cairn_text_free(&text);
		rc = add_text(w, text.data, text.len, err, "records/%s/%s.%s", folder, key, ending);
	}
	return rc;
}

static json_t *sorted_keys(const json_t *object)
{
	json_t *copy = json_object(), *list = json_array(), *sorted, *value;
	char *text;
	const char *key;

	/* The canonical form sorts; read back, so that an array can have that order. */
	json_object_update(copy, (json_t *)object);
	text = cairn_json_canonical(copy);
	json_decref(copy);
	sorted = text ? json_loads(text, 0, NULL) : NULL;
	free(text);
	json_object_foreach(sorted, key, value) json_array_append_new(list, json_string(key));
	json_decref(sorted);
	return list;
}

static int add_head(writer *w, const cairn_bundle_root *root, const cairn_bundle_content *content,
	cairn_error *err)
{
	char name[CAIRN_ID_TEXT];
	cairn_text text = {0};
	json_t *head;

	if (root->run)
		cairn_run_id_format(root->run, name);
	else
		cairn_id_format(root->artifact, name);
	head = json_pack("{s:s, s:s, s:{s:s}, s:o, s:O}", "schema", "cairn.bundle/1", "cairn",
		CAIRN_VERSION, "root", root->run ? "run" : "artifact", name, "artifacts",
		sorted_keys(content->artifacts), "refs", content->refs);
	if (!head)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a bundle");
	add_line(&text, head);
	json_decref(head);
	if (text.failed)
		cairn_text_free(&text);
	return add_text(w, text.data, text.len, err, "bundle.json");
}

static int add_all_records(writer *w, const cairn_bundle_content *content, cairn_error *err)
{
	const struct {
		const char *folder, *ending;
		const json_t *records;
	} kinds[] = {{"attempts", "jsonl", content->attempts}, {"events", "jsonl", content->events},
		{"results", "json", content->results}, {"runs", "json", content->runs},
		{"stages", "jsonl", content->stages}};
	int rc = 0;

	for (size_t i = 0; i < CAIRN_COUNT(kinds) && rc == 0; i++)
		rc = add_records(w, kinds[i].folder, kinds[i].ending, kinds[i].records, err);
	return rc;
}

/* ---- pieces -----------------------------------------------------------------------------------
 */

static int add_piece(void *arg, const cairn_piece *piece, cairn_error *err)
{
	member *m = add_member(arg, err);
	char hex[65];

	if (!m)
		return err && err->code ? err->code : CAIRN_ENOMEM;
	cairn_hex_encode(piece->id.bytes, sizeof(piece->id.bytes), hex);
	if (piece->kind == CAIRN_PIECE_MANIFEST)
		snprintf(m->name, sizeof(m->name), "artifacts/%s", hex);
	else
		snprintf(m->name, sizeof(m->name), "%s/%.2s/%s",
			piece->kind == CAIRN_PIECE_NODE ? "nodes" : "chunks", hex, hex);
	m->piece = *piece;
	m->bytes = piece->bytes;
	memcpy(m->sha256, piece->id.bytes, sizeof(m->sha256));
	return 0;
}

static int add_artifacts(
	writer *w, cairn_snapshot *snapshot, const json_t *artifacts, cairn_error *err)
{
	const char *id_text;
	json_t *value;
	cairn_id id;
	int rc = 0;

	json_object_foreach((json_t *)artifacts, id_text, value)
	{
		if (rc == 0)
			rc = cairn_id_parse(&id, id_text, err);
		if (rc == 0)
			rc = cairn_snapshot_pieces(snapshot, &id, add_piece, w, err);
	}
	return rc;
}

/* ---- the file ---------------------------------------------------------------------------------
 */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const member *)a)->name, ((const member *)b)->name);
}

/* Sorts; equal pieces of several artifacts become one. */
static void settle(writer *w)
{
	size_t n = 0;

	if (w->n)
		qsort(w->members, w->n, sizeof(*w->members), by_name);
	for (size_t i = 0; i < w->n; i++) {
		if (n && !strcmp(w->members[n - 1].name, w->members[i].name))
			continue;
		w->members[n++] = w->members[i];
	}
	w->n = n;
}

static int put(writer *w, const void *bytes, size_t len, cairn_error *err)
{
	w->bytes += len;
	return len ? w->write(w->arg, bytes, len, err) : 0;
}

static int put_member(writer *w, const char *name, const void *bytes, size_t len, cairn_error *err)
{
	static const uint8_t zeros[CAIRN_TAR_BLOCK];
	uint8_t header[CAIRN_TAR_BLOCK];
	int rc;

	cairn_tar_header(header, name, len);
	rc = put(w, header, sizeof(header), err);
	if (rc == 0)
		rc = put(w, bytes, len, err);
	return rc < 0 ? rc : put(w, zeros, cairn_tar_padding(len), err);
}

static int put_sums(writer *w, cairn_error *err)
{
	cairn_text sums = {0};
	char hex[65];
	int rc;

	for (size_t i = 0; i < w->n; i++) {
		cairn_hex_encode(w->members[i].sha256, sizeof(w->members[i].sha256), hex);
		cairn_text_printf(&sums, "%s  %s\n", hex, w->members[i].name);
	}
	rc = sums.failed ? cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a bundle")
			 : put_member(w, "SHA256SUMS", sums.data, sums.len, err);
	cairn_text_free(&sums);
	return rc;
}

static int put_all(writer *w, cairn_error *err)
{
	static const uint8_t end[2 * CAIRN_TAR_BLOCK];
	uint8_t *buffer = aligned_alloc(4096, CAIRN_MAX_CHUNK);
	int rc = buffer ? put_sums(w, err)
			: cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a bundle");

	for (size_t i = 0; i < w->n && rc == 0; i++) {
		const member *m = &w->members[i];

		if (!m->text)
			rc = cairn_store_read_piece(w->store, &m->piece, buffer, err);
		if (rc == 0)
			rc = put_member(
				w, m->name, m->text ? m->text : (char *)buffer, m->bytes, err);
	}
	if (rc == 0)
		rc = put(w, end, sizeof(end), err);
	free(buffer);
	return rc;
}

static size_t count_lines(const cairn_bundle_content *content)
{
	return json_object_size(content->results) + json_object_size(content->attempts) +
	       json_object_size(content->runs) + json_object_size(content->stages) +
	       json_object_size(content->events);
}

int cairn_bundle_export(json_t **out, cairn_store *store, const cairn_bundle_root *root,
	cairn_bundle_write_fn write, void *arg, cairn_error *err)
{
	writer w = {.store = store, .write = write, .arg = arg};
	cairn_bundle_content content = {0};
	cairn_snapshot *snapshot;
	int rc = cairn_snapshot_begin(&snapshot, store, err);

	if (rc < 0)
		return rc;
	rc = cairn_bundle_collect(&content, snapshot, root, err);
	if (rc == 0)
		rc = add_artifacts(&w, snapshot, content.artifacts, err);
	cairn_snapshot_end(snapshot); /* bytes are read without it: they never change */
	if (rc == 0)
		rc = add_head(&w, root, &content, err);
	if (rc == 0)
		rc = add_all_records(&w, &content, err);
	if (rc == 0) {
		settle(&w);
		rc = put_all(&w, err);
	}
	if (rc == 0)
		*out = json_pack("{s:I, s:I, s:I, s:I}", "bytes", (json_int_t)w.bytes, "members",
			(json_int_t)w.n + 1, "artifacts",
			(json_int_t)json_object_size(content.artifacts), "records",
			(json_int_t)count_lines(&content));
	for (size_t i = 0; i < w.n; i++)
		free(w.members[i].text);
	free(w.members);
	cairn_bundle_content_free(&content);
	return rc;
}
