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

#include "audit/bundle.h"
#include "audit/tar.h"
#include "base/alloc.h"
#include "base/text.h"
#include "cairn/transfer.h"

#define MAX_SUMS    ((uint64_t)512 << 20)
#define MAX_JSON    ((uint64_t)1 << 20) /* a record, a line */
#define MAX_LINES   ((uint64_t)256 << 20)
#define MAX_HEAD    ((uint64_t)64 << 20)
#define MAX_RECORDS 8000000

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

static int refuse(const reader *r, const char *why, cairn_error *err)
{
	cairn_error_set(err, CAIRN_EINPUT, "the bundle's member '%.110s' %s", r->name, why);
	cairn_error_hint(err, "Nothing of it was taken in.");
	return CAIRN_EINPUT;
}

/* In pieces, so that a size which is not true takes no memory. */
static int read_text(reader *r, char **out, uint64_t size, uint64_t limit, cairn_error *err)
{
	uint64_t have = 0, cap = 0;
	char *text = NULL;
	int rc = 0;

	if (size > limit)
		return refuse(r, "is larger than any can be", err);
	do {
		uint64_t n = size - have < MAX_JSON ? size - have : MAX_JSON;
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

/* ---- names ------------------------------------------------------------------------------------
 */

enum member_kind {
	MEMBER_PIECE,
	MEMBER_HEAD,
	MEMBER_RECORD,
	MEMBER_LINES,
};

typedef struct member {
	enum member_kind kind;
	cairn_piece piece;
	json_t *into;     /* of records: the object */
	const char *what; /* the member of a line that numbers it */
	char key[65];
} member;

/* "chunks/ab/abcd...": the digest. */
static bool parse_digest(const char *text, bool has_folder, cairn_id *out)
{
	if (has_folder) {
		if (strlen(text) != 67 || text[2] != '/' || memcmp(text, text + 3, 2) != 0)
			return false;
		text += 3;
	}
	/* One way to write it: two names of one piece would be two members. */
	return strspn(text, "0123456789abcdef") == 64 &&
	       cairn_hex_decode(text, out->bytes, sizeof(out->bytes)) == 0;
}

static bool parse_piece(const char *name, member *out)
{
	static const struct {
		const char *folder;
		cairn_piece_kind kind;
	} folders[] = {{"artifacts/", CAIRN_PIECE_MANIFEST}, {"chunks/", CAIRN_PIECE_CHUNK},
		{"nodes/", CAIRN_PIECE_NODE}};

	for (size_t i = 0; i < CAIRN_COUNT(folders); i++) {
		size_t len = strlen(folders[i].folder);

		if (strncmp(name, folders[i].folder, len) != 0)
			continue;
		out->kind = MEMBER_PIECE;
		out->piece.kind = folders[i].kind;
		return parse_digest(
			name + len, folders[i].kind != CAIRN_PIECE_MANIFEST, &out->piece.id);
	}
	return false;
}

/* "records/runs/01K....json" */
static bool parse_record(reader *r, const char *name, member *out)
{
	const struct {
		const char *folder, *ending, *what;
		json_t *into;
	} folders[] = {{"records/attempts/", ".jsonl", "n", r->content.attempts},
		{"records/events/", ".jsonl", "seq", r->content.events},
		{"records/results/", ".json", NULL, r->content.results},
		{"records/runs/", ".json", NULL, r->content.runs},
		{"records/stages/", ".jsonl", "index", r->content.stages}};
	char again[CAIRN_RUN_TEXT];
	cairn_run_id run;
	cairn_id key;

	for (size_t i = 0; i < CAIRN_COUNT(folders); i++) {
		size_t len = strlen(folders[i].folder), ending = strlen(folders[i].ending), n;
		bool has_key = strstr(folders[i].folder, "attempts") ||
			       strstr(folders[i].folder, "results");

		if (strncmp(name, folders[i].folder, len) != 0)
			continue;
		n = strlen(name) - len;
		if (n <= ending || n - ending >= sizeof(out->key) ||
			strcmp(name + len + n - ending, folders[i].ending) != 0)
			return false;
		memcpy(out->key, name + len, n - ending);
		out->key[n - ending] = 0;
		out->kind = folders[i].what ? MEMBER_LINES : MEMBER_RECORD;
		out->what = folders[i].what;
		out->into = folders[i].into;
		if (has_key)
			return parse_digest(out->key, false, &key);
		if (cairn_run_id_parse(&run, out->key, NULL) < 0)
			return false;
		cairn_run_id_format(&run, again);
		return strcmp(again, out->key) == 0;
	}
	return false;
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
		return refuse(r, "is larger than any can be", err);
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

/* ---- records ----------------------------------------------------------------------------------
 */

/* One canonical line; what a process was doing when it was written would be taken for one here. */
static int take_line(reader *r, json_t **out, const char *line, size_t len, cairn_error *err)
{
	cairn_error why = {0};
	json_t *json = NULL;
	char *canonical;
	bool is_same;

	if (++r->n_records > MAX_RECORDS)
		return refuse(r, "has more records than any can have", err);
	if (len > MAX_JSON || cairn_json_parse(&json, line, len, "record", &why) < 0 ||
		!json_is_object(json)) {
		json_decref(json);
		return refuse(r, "is no JSON object", err);
	}
	canonical = cairn_json_canonical(json);
	is_same = canonical && strlen(canonical) == len && memcmp(canonical, line, len) == 0;
	free(canonical);
	if (!is_same) {
		json_decref(json);
		return refuse(r, "is not in canonical form", err);
	}
	*out = json;
	return 0;
}

static bool is_over(const json_t *record)
{
	return json_is_object(record) &&
	       strcmp(cairn_json_string(record, "state", ""), "running") != 0;
}

/* Every port of a result names an artifact. */
static bool is_result(const json_t *record)
{
	json_t *output, *inputs, *one;
	const char *port;
	cairn_id id;
	size_t i;

	json_object_foreach(json_object_get(record, "outputs"), port, output)
	{
		if (cairn_id_parse(&id, cairn_json_string(output, "id", ""), NULL) < 0)
			return false;
	}
	json_object_foreach(json_object_get(record, "inputs"), port, inputs)
	{
		json_array_foreach(inputs, i, one)
		{
			if (cairn_id_parse(&id, cairn_json_string(one, "id", ""), NULL) < 0)
				return false;
		}
	}
	return json_is_object(json_object_get(record, "outputs"));
}

static int take_record(reader *r, const member *m, const char *text, size_t len, cairn_error *err)
{
	json_t *record;
	int rc;

	if (len == 0 || text[len - 1] != '\n')
		return refuse(r, "does not end with its line", err);
	rc = take_line(r, &record, text, len - 1, err);
	if (rc < 0)
		return rc;
	if (!is_over(record) || (m->into == r->content.results && !is_result(record))) {
		json_decref(record);
		return refuse(r, "is no record that can be taken in", err);
	}
	json_object_set_new(m->into, m->key, record);
	return 0;
}

/* Numbers ascend. */
static int take_lines(reader *r, const member *m, const char *text, size_t len, cairn_error *err)
{
	const char *end = text + len;
	json_t *lines = json_array();
	int64_t last = -1;
	int rc = 0;

	while (rc == 0 && text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		json_t *line;
		int64_t number;

		if (!stop) {
			rc = refuse(r, "does not end with its line", err);
			break;
		}
		rc = take_line(r, &line, text, (size_t)(stop - text), err);
		if (rc < 0)
			break;
		number = cairn_json_integer(line, m->what, -1);
		if (number <= last || (number > UINT32_MAX && strcmp(m->what, "seq") != 0) ||
			!is_over(json_object_get(line, "record")))
			rc = refuse(r, "has a line that cannot be taken in", err);
		last = number;
		json_array_append_new(lines, line);
		text = stop + 1;
	}
	json_object_set_new(m->into, m->key, lines);
	return rc;
}

static int take_head(reader *r, const char *text, size_t len, cairn_error *err)
{
	json_t *head, *id, *value;
	cairn_id parsed;
	const char *name;
	size_t i;
	bool is_right;

	if (len == 0 || cairn_json_parse(&head, text, len, "bundle.json", NULL) < 0)
		return refuse(r, "is no JSON object", err);
	is_right = strcmp(cairn_json_string(head, "schema", ""), "cairn.bundle/1") == 0 &&
		   json_is_object(json_object_get(head, "root")) &&
		   json_is_array(json_object_get(head, "artifacts")) &&
		   json_is_object(json_object_get(head, "refs"));
	json_array_foreach(json_object_get(head, "artifacts"), i, id)
	{
		const char *id_text = json_string_value(id);

		is_right &= id_text && cairn_id_parse(&parsed, id_text, NULL) == 0;
		if (is_right)
			json_object_set_new(r->content.artifacts, id_text, json_true());
	}
	json_object_foreach(json_object_get(head, "refs"), name, value) is_right &=
		name[0] && json_is_string(value) &&
		json_object_get(r->content.artifacts, json_string_value(value)) != NULL;
	if (is_right) {
		json_object_update(r->content.refs, json_object_get(head, "refs"));
		r->root = json_incref(json_object_get(head, "root"));
	}
	json_decref(head);
	return is_right ? 0 : refuse(r, "is not that of a bundle this cairn knows", err);
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

static int take_text(reader *r, const member *m, uint64_t size,
	const uint8_t digest[CAIRN_DIGEST_BYTES], cairn_error *err)
{
	uint64_t limit = m->kind == MEMBER_HEAD    ? MAX_HEAD
			 : m->kind == MEMBER_LINES ? MAX_LINES
						   : MAX_JSON;
	uint8_t found[CAIRN_DIGEST_BYTES];
	char *text;
	int rc = read_text(r, &text, size, limit, err);

	if (rc < 0)
		return rc;
	cairn_sha256(text, size, found);
	if (memcmp(found, digest, sizeof(found)) != 0) {
		rc = cairn_error_set(err, CAIRN_EINTEGRITY,
			"the bundle's member '%.110s' does not match its digest", r->name);
		cairn_error_hint(err, "Nothing of it was taken in; fetch it again.");
	} else if (m->kind == MEMBER_HEAD) {
		rc = take_head(r, text, size, err);
	} else {
		rc = m->kind == MEMBER_LINES ? take_lines(r, m, text, size, err)
					     : take_record(r, m, text, size, err);
	}
	free(text);
	return rc;
}

static int take_member(reader *r, uint64_t size, cairn_error *err)
{
	uint8_t digest[CAIRN_DIGEST_BYTES];
	member m = {0};

	if (strcmp(r->name, "bundle.json") == 0)
		m.kind = MEMBER_HEAD;
	else if (!parse_piece(r->name, &m) && !parse_record(r, r->name, &m))
		return refuse(r, "has no business there", err);
	if (!take_sum(r, digest))
		return refuse(r, "is not the next one of its SHA256SUMS", err);
	if (m.kind != MEMBER_PIECE)
		return take_text(r, &m, size, digest, err);
	if (memcmp(digest, m.piece.id.bytes, sizeof(digest)) != 0)
		return refuse(r, "has another digest than its name", err);
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
			return refuse(r, "has a line that is none", err);
		line += len + 1;
	}
	return strlen(r->sums) == size ? 0 : refuse(r, "has a line that is none", err);
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
	int rc = cairn_batch_begin(&r.batch, store, &why);

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
