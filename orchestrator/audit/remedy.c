/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remedy.c - what a damaged artifact means: who calls it what, what was made from it, and what
 * would make it again. In that order of trust: the stage that made it runs again; the files that it
 * was imported or read from; an earlier checkpoint; else only a copy of it elsewhere.
 */
#include <string.h>

#include "audit/fsck.h"
#include "audit/lineage.h"
#include "audit/record.h"
#include "base/text.h"

#define MAX_LISTED 64 /* stages and names of one artifact */

struct search {
	cairn_snapshot *snapshot;
	json_t *hurt; /* {id text: line} */
};

static json_t *line_of(const struct search *s, const char *id)
{
	return json_object_get(s->hurt, id);
}

static void add_to(json_t *line, const char *member, json_t *value)
{
	json_t *list = json_object_get(line, member), *other;
	bool is_there = false;
	size_t i;

	json_array_foreach(list, i, other)
	{
		is_there |= json_equal(other, value);
	}
	if (!is_there && json_array_size(list) < MAX_LISTED)
		json_array_append_new(list, value);
	else
		json_decref(value);
}

/* ---- who names it -----------------------------------------------------------------------------
 */

static int take_ref(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	char id_text[CAIRN_ID_TEXT], name[CAIRN_REF_MAX + 1];
	json_t *line;
	cairn_id id;

	(void)err;
	if (value_len != sizeof(id.bytes) || key_len > CAIRN_REF_MAX)
		return 0;
	memcpy(id.bytes, value, value_len);
	cairn_id_format(&id, id_text);
	line = line_of(arg, id_text);
	memcpy(name, key, key_len);
	name[key_len] = 0;
	if (line)
		add_to(line, "names", cairn_record_text(name));
	return 0;
}

/* Whose checkpoint it is: the last attempt of that key knows the instance. */
static int take_checkpoint(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct search *s = arg;
	json_t *record, *attempt = NULL, *line;
	cairn_key stage;
	uint32_t n = 0;

	if (key_len < sizeof(stage.bytes) ||
		cairn_record_parse(&record, "checkpoint", value, value_len, NULL) < 0)
		return 0;
	line = line_of(s, cairn_json_string(record, "id", ""));
	if (line) {
		memcpy(stage.bytes, key, sizeof(stage.bytes));
		if (cairn_record_last_attempt(&n, s->snapshot, &stage, err) == 0 && n > 0 &&
			cairn_record_attempt(&attempt, s->snapshot, &stage, n, err) < 0)
			attempt = NULL;
		add_to(line, "checkpoints",
			json_pack("{s:o, s:I}", "instance",
				cairn_record_text(cairn_json_string(attempt, "instance", "?")),
				"step", (json_int_t)cairn_json_integer(record, "step", 0)));
		json_decref(attempt);
	}
	json_decref(record);
	return 0;
}

static int take_run(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	json_t *record, *line;

	(void)key, (void)key_len, (void)err;
	if (cairn_record_parse(&record, "run", value, value_len, NULL) < 0)
		return 0;
	line = line_of(arg, cairn_json_string(record, "file_id", ""));
	if (line)
		json_object_set(line, "workflow_of", json_object_get(record, "run"));
	json_decref(record);
	return 0;
}

/* ---- what would make it again -----------------------------------------------------------------
 */

static void set_remedy(
	json_t *line, const char *kind, const char *format, const char *a, const char *b)
{
	cairn_text how = {0};

	if (json_object_get(line, "remedy"))
		return;
	cairn_text_printf(&how, format, a, b);
	json_object_set_new(line, "remedy", json_string(kind));
	json_object_set_new(line, "how", cairn_record_text(cairn_text_get(&how)));
	cairn_text_free(&how);
}

static void remedy_by_result(
	struct search *s, json_t *line, const cairn_lineage_node *stage, cairn_error *err)
{
	json_t *result = NULL, *run = NULL, *origin;
	cairn_run_id run_id;
	cairn_key key;

	memcpy(key.bytes, stage->bytes, sizeof(key.bytes));
	if (cairn_record_result(&result, s->snapshot, &key, err) < 0)
		return;
	origin = json_array_get(json_object_get(result, "origins"), 0);
	if (origin) {
		set_remedy(line, "import", "`cairn import %s` takes it in again%s",
			cairn_json_string(origin, "path", "?"), "");
	} else if (cairn_run_id_parse(&run_id, cairn_json_string(result, "run", ""), NULL) == 0 &&
		   cairn_record_run(&run, s->snapshot, &run_id, NULL) == 0) {
		set_remedy(line, "stage", "`cairn run %s`: '%s' will run again",
			cairn_json_string(run, "file", "?"),
			cairn_json_string(result, "instance", "?"));
	} else {
		set_remedy(line, "stage", "a run of its workflow: '%s' (%s) will run again",
			cairn_json_string(result, "instance", "?"),
			cairn_json_string(result, "plugin", "?"));
	}
	add_to(line, "producers",
		json_pack("{s:s, s:s, s:s}", "instance", cairn_json_string(result, "instance", "?"),
			"plugin", cairn_json_string(result, "plugin", "?"), "run",
			cairn_json_string(result, "run", "")));
	json_decref(result);
	json_decref(run);
}

static int look_up(struct search *s, const cairn_id *id, json_t *line, cairn_error *err)
{
	cairn_lineage up = {0};
	int rc = cairn_lineage_walk(&up, s->snapshot, id, CAIRN_LINEAGE_UP, 1, err);

	for (size_t i = 1; rc == 0 && i < up.n_nodes; i++) {
		if (up.nodes[i].is_stage)
			remedy_by_result(s, line, &up.nodes[i], NULL);
	}
	cairn_lineage_free(&up);
	return rc;
}

/* What was made from it: each such stage read it, or what came of it. */
static int look_down(struct search *s, const cairn_id *id, json_t *line, cairn_error *err)
{
	cairn_lineage down = {0};
	json_int_t n_artifacts = 0;
	int rc = cairn_lineage_walk(&down, s->snapshot, id, CAIRN_LINEAGE_DOWN, 0, err);

	for (size_t i = 1; rc == 0 && i < down.n_nodes; i++) {
		const cairn_lineage_node *node = &down.nodes[i];

		if (node->is_stage)
			add_to(line, "stages",
				json_pack("{s:s, s:s}", "instance",
					node->instance ? node->instance : "?", "run",
					node->run ? node->run : ""));
		else
			n_artifacts++;
	}
	if (rc == 0) {
		const char *source = down.nodes[0].source;

		if (source && strncmp(source, "file:", 5) == 0)
			set_remedy(
				line, "file", "the next `cairn run` reads %s again%s", source, "");
		if (down.nodes[0].kind)
			json_object_set_new(line, "kind", cairn_record_text(down.nodes[0].kind));
		json_object_set_new(line, "artifacts", json_integer(n_artifacts));
	}
	cairn_lineage_free(&down);
	return rc;
}

static void last_remedy(json_t *line)
{
	const json_t *checkpoint = json_array_get(json_object_get(line, "checkpoints"), 0);

	if (checkpoint)
		set_remedy(line, "checkpoint",
			"'%s' goes on from an earlier checkpoint, or from its start%s",
			cairn_json_string(checkpoint, "instance", "?"), "");
	if (json_object_get(line, "workflow_of"))
		set_remedy(line, "workflow",
			"the next run of the same file puts it again; it is the workflow of run %s%s",
			cairn_json_string(line, "workflow_of", "?"), "");
	set_remedy(line, "none",
		"nothing in this store can make it again: restore it from %s, or from a backup%s",
		"a bundle (`cairn import FILE.tar`)", "");
}

static int explain(struct search *s, const char *id_text, json_t *line, cairn_error *err)
{
	cairn_id id;
	int rc = cairn_id_parse(&id, id_text, err);

	if (rc == 0)
		rc = look_up(s, &id, line, err);
	if (rc == 0)
		rc = look_down(s, &id, line, err);
	last_remedy(line);
	return rc;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static json_t *hurt_by(const json_t *damages)
{
	json_t *hurt = json_object(), *damage;
	size_t i;

	json_array_foreach(damages, i, damage)
	{
		const char *id = cairn_json_string(damage, "artifact", NULL);

		if (id && !json_object_get(hurt, id))
			json_object_set_new(hurt, id,
				json_pack("{s:s, s:[], s:[], s:[], s:[]}", "artifact", id, "names",
					"producers", "stages", "checkpoints"));
	}
	return hurt;
}

int cairn_audit_meaning(const cairn_audit_fsck *fsck, cairn_error *err)
{
	static const struct {
		const char *table;
		cairn_scan_fn take;
	} tables[] = {{"ref", take_ref}, {"checkpoint", take_checkpoint}, {"run", take_run}};
	struct search s = {.hurt = hurt_by(fsck->damages)};
	const char *id;
	json_t *line;
	int rc = cairn_snapshot_begin(&s.snapshot, fsck->store, err);

	if (rc < 0) {
		json_decref(s.hurt);
		return rc;
	}
	/* What one damaged record hides is told of; the others go on. */
	for (size_t i = 0; i < CAIRN_COUNT(tables) && json_object_size(s.hurt); i++) {
		rc = cairn_snapshot_scan(
			s.snapshot, tables[i].table, NULL, 0, false, tables[i].take, &s, NULL);
		if (rc < 0 && rc != CAIRN_EINTEGRITY)
			break;
	}
	rc = 0;
	json_object_foreach(s.hurt, id, line)
	{
		cairn_error why = {0};

		if (rc == 0)
			rc = explain(&s, id, line, &why);
		if (rc == CAIRN_EINTEGRITY)
			rc = 0; /* its lineage is damaged itself */
		if (rc < 0 && err)
			*err = why;
		if (rc == 0)
			fsck->tell(fsck->arg, json_pack("{s:O}", "hurt", line));
	}
	cairn_snapshot_end(s.snapshot);
	json_decref(s.hurt);
	return rc;
}
