/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/bundle_member.h"

#include <string.h>

#define MAX_JSON    ((uint64_t)1 << 20) /* a record, a line */
#define MAX_LINES   ((uint64_t)256 << 20)
#define MAX_HEAD    ((uint64_t)64 << 20)
#define MAX_RECORDS 8000000

int cairn_member_refuse(const char *name, const char *why, cairn_error *err)
{
	cairn_error_set(err, CAIRN_EINPUT, "the bundle's member '%.110s' %s", name, why);
	cairn_error_hint(err, "Nothing of it was taken in.");
	return CAIRN_EINPUT;
}

/* ---- names ------------------------------------------------------------------------------------
 */

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

static bool parse_piece(const char *name, cairn_member *out)
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
		out->kind = CAIRN_MEMBER_PIECE;
		out->piece.kind = folders[i].kind;
		return parse_digest(
			name + len, folders[i].kind != CAIRN_PIECE_MANIFEST, &out->piece.id);
	}
	return false;
}

/* "records/runs/01K....json" */
static bool parse_record(const cairn_bundle_content *content, const char *name, cairn_member *out)
{
	const struct {
		const char *folder, *ending, *what;
		json_t *into;
	} folders[] = {{"records/attempts/", ".jsonl", "n", content->attempts},
		{"records/events/", ".jsonl", "seq", content->events},
		{"records/results/", ".json", NULL, content->results},
		{"records/runs/", ".json", NULL, content->runs},
		{"records/stages/", ".jsonl", "index", content->stages}};
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
		out->kind = folders[i].what ? CAIRN_MEMBER_LINES : CAIRN_MEMBER_RECORD;
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

bool cairn_member_parse(cairn_member *out, const char *name, const cairn_bundle_content *content)
{
	*out = (cairn_member){.kind = CAIRN_MEMBER_HEAD};
	return strcmp(name, "bundle.json") == 0 || parse_piece(name, out) ||
	       parse_record(content, name, out);
}

uint64_t cairn_member_limit(const cairn_member *member)
{
	return member->kind == CAIRN_MEMBER_HEAD    ? MAX_HEAD
	       : member->kind == CAIRN_MEMBER_LINES ? MAX_LINES
						    : MAX_JSON;
}

/* ---- records ----------------------------------------------------------------------------------
 */

/* What a text is taken into. */
typedef struct taking {
	const char *name;
	cairn_bundle_content *content;
	json_t **root;
	size_t *n_records;
} taking;

static int refuse(const taking *t, const char *why, cairn_error *err)
{
	return cairn_member_refuse(t->name, why, err);
}

/* One canonical line; what a process was doing when it was written would be taken for one here. */
static int take_line(taking *t, json_t **out, const char *line, size_t len, cairn_error *err)
{
	cairn_error why = {0};
	json_t *json = NULL;
	char *canonical;
	bool is_same;

	if (++*t->n_records > MAX_RECORDS)
		return refuse(t, "has more records than any can have", err);
	if (len > MAX_JSON || cairn_json_parse(&json, line, len, "record", &why) < 0 ||
		!json_is_object(json)) {
		json_decref(json);
		return refuse(t, "is no JSON object", err);
	}
	canonical = cairn_json_canonical(json);
	is_same = canonical && strlen(canonical) == len && memcmp(canonical, line, len) == 0;
	free(canonical);
	if (!is_same) {
		json_decref(json);
		return refuse(t, "is not in canonical form", err);
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

static int take_record(
	taking *t, const cairn_member *m, const char *text, size_t len, cairn_error *err)
{
	json_t *record;
	int rc;

	if (len == 0 || text[len - 1] != '\n')
		return refuse(t, "does not end with its line", err);
	rc = take_line(t, &record, text, len - 1, err);
	if (rc < 0)
		return rc;
	if (!is_over(record) || (m->into == t->content->results && !is_result(record))) {
		json_decref(record);
		return refuse(t, "is no record that can be taken in", err);
	}
	json_object_set_new(m->into, m->key, record);
	return 0;
}

/* Numbers ascend. */
static int take_lines(
	taking *t, const cairn_member *m, const char *text, size_t len, cairn_error *err)
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
			rc = refuse(t, "does not end with its line", err);
			break;
		}
		rc = take_line(t, &line, text, (size_t)(stop - text), err);
		if (rc < 0)
			break;
		number = cairn_json_integer(line, m->what, -1);
		if (number <= last || (number > UINT32_MAX && strcmp(m->what, "seq") != 0) ||
			!is_over(json_object_get(line, "record")))
			rc = refuse(t, "has a line that cannot be taken in", err);
		last = number;
		json_array_append_new(lines, line);
		text = stop + 1;
	}
	json_object_set_new(m->into, m->key, lines);
	return rc;
}

static int take_head(taking *t, const char *text, size_t len, cairn_error *err)
{
	json_t *head, *id, *value;
	cairn_id parsed;
	const char *name;
	size_t i;
	bool is_right;

	if (len == 0 || cairn_json_parse(&head, text, len, "bundle.json", NULL) < 0)
		return refuse(t, "is no JSON object", err);
	is_right = strcmp(cairn_json_string(head, "schema", ""), "cairn.bundle/1") == 0 &&
		   json_is_object(json_object_get(head, "root")) &&
		   json_is_array(json_object_get(head, "artifacts")) &&
		   json_is_object(json_object_get(head, "refs"));
	json_array_foreach(json_object_get(head, "artifacts"), i, id)
	{
		const char *id_text = json_string_value(id);

		is_right &= id_text && cairn_id_parse(&parsed, id_text, NULL) == 0;
		if (is_right)
			json_object_set_new(t->content->artifacts, id_text, json_true());
	}
	json_object_foreach(json_object_get(head, "refs"), name, value) is_right &=
		name[0] && json_is_string(value) &&
		json_object_get(t->content->artifacts, json_string_value(value)) != NULL;
	if (is_right) {
		json_object_update(t->content->refs, json_object_get(head, "refs"));
		*t->root = json_incref(json_object_get(head, "root"));
	}
	json_decref(head);
	return is_right ? 0 : refuse(t, "is not that of a bundle this cairn knows", err);
}

int cairn_member_take(const cairn_member *member, const char *name, cairn_bundle_content *content,
	json_t **root, size_t *n_records, const char *text, size_t len, cairn_error *err)
{
	taking t = {name, content, root, n_records};

	switch (member->kind) {
	case CAIRN_MEMBER_HEAD:
		return take_head(&t, text, len, err);
	case CAIRN_MEMBER_RECORD:
		return take_record(&t, member, text, len, err);
	case CAIRN_MEMBER_LINES:
		return take_lines(&t, member, text, len, err);
	case CAIRN_MEMBER_PIECE:
		break;
	}
	return cairn_error_set(err, CAIRN_EBUG, "a piece is no text");
}
