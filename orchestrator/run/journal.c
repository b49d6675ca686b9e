/* SPDX-License-Identifier: Apache-2.0 */
#include "run/journal.h"

#include <string.h>
#include <unistd.h>

#include "audit/provenance.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "run/plan/memo.h"
#include "run/plan/plan.h"
#include "run/process.h"

#define KEY_BYTES (sizeof(CAIRN_LIVE_PREFIX) - 1 + CAIRN_DIGEST_BYTES + 4)

/* ---- the run's record -------------------------------------------------------------------- */

static json_t *args_of(const cairn_run_options *options)
{
	json_t *list = json_array();

	for (int i = 0; i < options->argc; i++)
		json_array_append_new(list, cairn_record_text(options->argv[i]));
	return list;
}

static json_t *params_of(const cairn_workflow *workflow)
{
	json_t *params = json_object();

	for (size_t i = 0; i < workflow->n_params; i++)
		json_object_set_new(params, workflow->params[i].axis,
			cairn_record_text(workflow->params[i].value));
	return params;
}

/* Every shared object that the plan uses, once. */
static json_t *plugins_of(const cairn_plan *plan)
{
	json_t *list = json_object();

	for (size_t i = 0; i < plan->n_stages; i++) {
		const cairn_plugin_info *plugin = plan->stages[i].instance->plugin;
		if (json_object_get(list, plugin->name))
			continue;
		json_object_set_new(list, plugin->name,
			json_pack("{s:o, s:s, s:s, s:o}", "path", cairn_record_text(plugin->path),
				"sha256", plugin->digest, "version", plugin->version, "build",
				cairn_record_text(plugin->build ? plugin->build : "")));
	}
	return list;
}

static json_t *provenance_of(const cairn_plan *plan)
{
	const char *directory = plan->workflow->directory;
	json_t *json =
		cairn_provenance_take(plan->store, directory && directory[0] ? directory : ".");

	if (!json)
		json = json_object();
	json_object_set_new(json, "binary", cairn_provenance_binary("/proc/self/exe"));
	json_object_set_new(json, "plugins", plugins_of(plan));
	return json;
}

static int take_id(cairn_run_id *out, cairn_store *store, cairn_error *err)
{
	cairn_snapshot *snapshot;
	cairn_run_id newest;
	int rc = cairn_snapshot_begin(&snapshot, store, err);

	if (rc < 0)
		return rc;
	rc = cairn_record_newest_run(&newest, snapshot, NULL, err);
	cairn_snapshot_end(snapshot);
	if (rc == CAIRN_ENOTFOUND)
		return cairn_run_id_new(out, err);
	return rc < 0 ? rc : cairn_run_id_after(out, &newest, err);
}

int cairn_journal_open(cairn_journal *out, const cairn_plan *plan, const cairn_run_options *options,
	cairn_error *err)
{
	const cairn_workflow *workflow = plan->workflow;
	char host[256] = "";
	int rc;

	*out = (cairn_journal){.plan = plan};
	out->dirty = cairn_alloc(plan->n_stages + 1, sizeof(*out->dirty));
	out->is_dirty = cairn_alloc(plan->n_stages + 1, sizeof(*out->is_dirty));
	if (!out->dirty || !out->is_dirty)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a run");
	rc = take_id(&out->run, plan->store, err);
	if (rc < 0)
		return rc;
	cairn_run_id_format(&out->run, out->run_text);
	gethostname(host, sizeof(host) - 1);
	out->record = json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:s, s:s, s:i, s:I, s:o}",
		"run", out->run_text, "workflow", workflow->name, "file",
		cairn_record_text(workflow->file ? workflow->file : ""), "args", args_of(options),
		"params", params_of(workflow), "start_ms", (json_int_t)cairn_now_ms(), "host",
		cairn_record_text(host), "user", cairn_record_user(), "version", CAIRN_VERSION,
		"device", workflow->device ? workflow->device : "auto", "threads", options->threads,
		"n_stages", (json_int_t)plan->n_stages, "provenance", provenance_of(plan));
	if (!out->record)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for the run's record");
	cairn_process_describe(out->record, getpid());
	return 0;
}

void cairn_journal_close(cairn_journal *journal)
{
	cairn_batch_abort(journal->batch);
	cairn_amends_clear(&journal->amends);
	json_decref(journal->record);
	free(journal->dirty);
	free(journal->is_dirty);
	*journal = (cairn_journal){0};
}

/* ---- the batch ------------------------------------------------------------------------------- */

static cairn_batch *batch_of(cairn_journal *journal)
{
	if (!journal->batch && !journal->error.code &&
		cairn_batch_begin(&journal->batch, journal->plan->store, &journal->error) < 0)
		journal->batch = NULL;
	return journal->error.code ? NULL : journal->batch;
}

/* The first failure stays: the helpers below add nothing after one. */
static void note_failure(cairn_journal *journal, int rc)
{
	if (rc < 0)
		cairn_error_set(&journal->error, rc, "cannot write the run's records");
}

void cairn_journal_run(cairn_journal *journal, const char *state, bool is_final)
{
	cairn_batch *batch = batch_of(journal);

	json_object_set_new(journal->record, "state", json_string(state));
	if (is_final)
		json_object_set_new(journal->record, "end_ms", json_integer(cairn_now_ms()));
	if (batch)
		note_failure(journal, cairn_record_put_run(batch, &journal->run, journal->record,
					      &journal->error));
}

void cairn_journal_workflow(cairn_journal *journal)
{
	const char *text = journal->plan->workflow->text ? journal->plan->workflow->text : "";
	cairn_batch *batch = batch_of(journal);
	cairn_error *err = &journal->error;
	char id_text[CAIRN_ID_TEXT];
	cairn_id id;
	cairn_tensor tensor = {
		.name = "data",
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {strlen(text)},
		.data = text,
		.bytes = strlen(text),
	};
	int rc;

	if (!batch)
		return;
	rc = cairn_batch_artifact_begin(batch, "file", err);
	if (rc == 0)
		rc = cairn_batch_artifact_put(batch, &tensor, err);
	if (rc == 0)
		rc = cairn_batch_artifact_end(batch, "{\"name\":\"workflow.ini\"}", &id, err);
	note_failure(journal, rc);
	if (rc < 0)
		return;
	cairn_id_format(&id, id_text);
	json_object_set_new(journal->record, "file_id", json_string(id_text));
}

/* ---- stages ------------------------------------------------------------------------------------
 */

static json_t *sources_of(const cairn_instance *instance)
{
	json_t *ports = json_object();

	for (size_t b = 0; b < instance->n_bindings; b++) {
		const char *port = instance->bindings[b].port->name;
		json_t *list = json_object_get(ports, port);
		if (!list) {
			list = json_array();
			json_object_set_new(ports, port, list);
		}
		json_array_append_new(list, cairn_record_text(instance->bindings[b].text));
	}
	return ports;
}

static json_t *axes_of(const cairn_instance *instance)
{
	json_t *axes = json_object();

	for (size_t a = 0; a < instance->n_axes; a++)
		json_object_set_new(
			axes, instance->axes[a].axis, cairn_record_text(instance->axes[a].value));
	return axes;
}

/* The records name what the stage reads and has made: a collection that runs beside us is told, and
 * what one took since the plan was made is an error (cairn_batch_use). */
static void use_artifacts(cairn_journal *journal, const cairn_planned *planned)
{
	static const cairn_id none;
	const cairn_instance *instance = planned->instance;
	cairn_batch *batch = batch_of(journal);

	for (size_t b = 0; batch && planned->outside && b < instance->n_bindings; b++) {
		if (planned->outside[b])
			note_failure(journal,
				cairn_batch_use(batch, planned->outside[b], true, &journal->error));
	}
	for (size_t o = 0; batch && planned->outputs && o < instance->plugin->n_outputs; o++) {
		if (cairn_id_compare(&planned->outputs[o], &none) != 0)
			note_failure(journal, cairn_batch_use(batch, &planned->outputs[o], true,
						      &journal->error));
	}
}

/* Ids of what no stage of the run makes; NULL where there are none. */
static json_t *outside_of(const cairn_planned *planned)
{
	json_t *list = NULL;
	char text[CAIRN_ID_TEXT];

	for (size_t b = 0; planned->outside && b < planned->instance->n_bindings; b++) {
		if (!planned->outside[b])
			continue;
		if (!list)
			list = json_array();
		cairn_id_format(planned->outside[b], text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static void put_stage(cairn_journal *journal, size_t i)
{
	const cairn_planned *planned = &journal->plan->stages[i];
	const cairn_instance *instance = planned->instance;
	bool is_ready =
		planned->state == CAIRN_STATE_READY; /* a state of the plan, not of the record */
	cairn_batch *batch = batch_of(journal);
	char key[CAIRN_KEY_TEXT];
	json_t *record;

	if (!batch)
		return;
	cairn_key_format(&planned->key, key);
	record = json_pack("{s:s, s:s, s:s, s:o, s:s?, s:s, s:o, s:i, s:o, s:b, s:o*}", "instance",
		instance->name, "stage", instance->stage, "plugin", instance->plugin->name, "axes",
		axes_of(instance), "key", planned->has_key ? key : NULL, "state",
		is_ready ? "pending" : cairn_state_name(planned->state), "reason",
		cairn_record_text(planned->reason), "attempt", (int)planned->attempt, "inputs",
		sources_of(instance), "show", (int)instance->settings.show, "outside",
		outside_of(planned));
	use_artifacts(journal, planned);
	note_failure(journal, record ? cairn_record_put_stage(batch, &journal->run, (uint32_t)i,
					       record, &journal->error)
				     : CAIRN_ENOMEM);
	json_decref(record);
}

void cairn_journal_stage(cairn_journal *journal, size_t i)
{
	if (journal->is_dirty[i])
		return;
	journal->is_dirty[i] = true;
	journal->dirty[journal->n_dirty++] = (uint32_t)i;
}

static void put_stages(cairn_journal *journal)
{
	for (size_t k = 0; k < journal->n_dirty; k++) {
		put_stage(journal, journal->dirty[k]);
		journal->is_dirty[journal->dirty[k]] = false;
	}
	journal->n_dirty = 0;
}

int cairn_journal_result(cairn_journal *journal, size_t i, const void *packet, size_t len,
	const json_t *result, cairn_error *err)
{
	cairn_batch *batch = batch_of(journal);
	int rc;

	if (!batch)
		return journal->error.code;
	rc = cairn_batch_unpack(batch, packet, len, err);
	if (rc == 0)
		rc = cairn_record_put_result(batch, &journal->plan->stages[i].key, result, err);
	return rc;
}

int cairn_journal_flush(cairn_journal *journal, cairn_error *err)
{
	cairn_batch *batch;

	put_stages(journal);
	batch = journal->batch;
	if (!journal->error.code && journal->amends.n)
		batch = batch_of(journal);
	journal->batch = NULL;
	if (journal->error.code) {
		cairn_batch_abort(batch);
	} else if (batch) {
		cairn_amends_attach(&journal->amends, batch);
		note_failure(journal, cairn_batch_commit(batch, &journal->error));
	}
	cairn_amends_clear(&journal->amends);
	if (!journal->error.code)
		return 0;
	if (err && !err->code)
		*err = journal->error;
	return journal->error.code;
}

void cairn_journal_event(
	cairn_journal *journal, const char *type, size_t i, const char *text, json_t *take_more)
{
	cairn_batch *batch = batch_of(journal);
	const cairn_plan *plan = journal->plan;
	uint8_t key[24];
	json_t *event;
	char *value;

	event = json_pack("{s:I, s:s, s:s?, s:o}", "ms", (json_int_t)cairn_now_ms(), "type", type,
		"instance", i < plan->n_stages ? plan->stages[i].instance->name : NULL, "text",
		text ? cairn_record_text(text) : json_null());
	if (take_more)
		json_object_update(event, take_more);
	json_decref(take_more);
	memcpy(key, journal->run.bytes, 16);
	cairn_put_be(key + 16, journal->n_events++, 8);
	value = cairn_json_canonical(event);
	if (batch)
		note_failure(journal, value ? cairn_batch_put(batch, "event", key, sizeof(key),
						      value, strlen(value), &journal->error)
					    : CAIRN_ENOMEM);
	free(value);
	json_decref(event);
}

void cairn_journal_attempt(cairn_journal *journal, size_t i, json_t *take_fields)
{
	const cairn_planned *planned = &journal->plan->stages[i];

	note_failure(journal, cairn_amends_add(&journal->amends, &planned->key, planned->attempt,
				      take_fields, &journal->error));
}

/* ---- refs and notes
 * ------------------------------------------------------------------------------- */

/* Is this value there already? */
static bool is_so(cairn_snapshot *snapshot, const char *table, const char *name, const void *value,
	size_t len)
{
	const void *now;
	size_t now_len;

	return cairn_snapshot_get(snapshot, table, name, strlen(name), &now, &now_len, NULL) == 0 &&
	       now_len == len && memcmp(now, value, len) == 0;
}

static void put_ref(cairn_journal *journal, cairn_snapshot *snapshot, size_t i, const char *port,
	const cairn_id *id)
{
	const cairn_planned *planned = &journal->plan->stages[i];
	char name[CAIRN_REF_MAX + 1];
	int len = snprintf(name, sizeof(name), "%s/%s:%s", journal->plan->workflow->name,
		planned->instance->name, port);

	if (len < 0 || len > CAIRN_REF_MAX ||
		is_so(snapshot, "ref", name, id->bytes, sizeof(id->bytes)) || !batch_of(journal))
		return;
	journal->has_moved_names = true;
	note_failure(journal, cairn_record_put_ref(journal->batch, name, id, "run",
				      journal->run_text, &journal->error));
}

static void put_refs(
	cairn_journal *journal, cairn_snapshot *snapshot, size_t i, const json_t *result)
{
	static const cairn_id none;
	const cairn_planned *planned = &journal->plan->stages[i];
	const cairn_plugin_info *plugin = planned->instance->plugin;
	const json_t *output;
	const char *port;
	cairn_id id;

	if (!result && planned->has_more)
		result = cairn_plan_result(journal->plan, i);
	json_object_foreach(json_object_get(result, "outputs"), port, output)
	{
		if (cairn_id_parse(&id, cairn_json_string(output, "id", ""), NULL) == 0)
			put_ref(journal, snapshot, i, port, &id);
	}
	for (uint64_t o = 0; !result && planned->outputs && o <= plugin->n_outputs; o++) {
		if (cairn_id_compare(&planned->outputs[o], &none) != 0)
			put_ref(journal, snapshot, i, cairn_plan_port(plugin, o),
				&planned->outputs[o]);
	}
}

void cairn_journal_refs(cairn_journal *journal, size_t i, const json_t *result)
{
	const cairn_planned *planned = &journal->plan->stages[i];
	cairn_snapshot *snapshot;
	char name[512];
	int rc = cairn_snapshot_begin(&snapshot, journal->plan->store, &journal->error);

	note_failure(journal, rc);
	if (rc < 0)
		return;
	put_refs(journal, snapshot, i, result);
	if (cairn_plan_note_name(name, sizeof(name), journal->plan, planned->instance) &&
		!is_so(snapshot, "note", name, planned->key.bytes, sizeof(planned->key.bytes)) &&
		batch_of(journal))
		note_failure(journal,
			cairn_batch_put(journal->batch, "note", name, strlen(name),
				planned->key.bytes, sizeof(planned->key.bytes), &journal->error));
	cairn_snapshot_end(snapshot);
}

static void put_or_delete(cairn_journal *journal, const void *key, size_t len, bool is_live)
{
	cairn_batch *batch = batch_of(journal);

	if (!batch)
		return;
	note_failure(
		journal, is_live ? cairn_batch_put(batch, "note", key, len, journal->run.bytes,
					   sizeof(journal->run.bytes), &journal->error)
				 : cairn_batch_delete(batch, "note", key, len, &journal->error));
}

void cairn_journal_live(cairn_journal *journal, size_t i, bool is_live)
{
	const cairn_planned *planned = &journal->plan->stages[i];
	const size_t prefix = sizeof(CAIRN_LIVE_PREFIX) - 1;
	uint8_t key[KEY_BYTES];

	memcpy(key, CAIRN_LIVE_PREFIX, prefix);
	memcpy(key + prefix, planned->key.bytes, CAIRN_DIGEST_BYTES);
	cairn_put_be(key + prefix + CAIRN_DIGEST_BYTES, planned->attempt, 4);
	put_or_delete(journal, key, sizeof(key), is_live);
}

void cairn_journal_live_run(cairn_journal *journal, bool is_live)
{
	put_or_delete(journal, CAIRN_LIVE_RUN, strlen(CAIRN_LIVE_RUN), is_live);
}

void cairn_journal_child(cairn_journal *journal, pid_t pid, bool is_live)
{
	const size_t prefix = sizeof(CAIRN_LIVE_CHILD) - 1;
	uint8_t key[sizeof(CAIRN_LIVE_CHILD) - 1 + sizeof(journal->run.bytes) + 4];
	cairn_batch *batch = batch_of(journal);
	json_t *record;
	char *value;

	if (!batch)
		return;
	memcpy(key, CAIRN_LIVE_CHILD, prefix);
	memcpy(key + prefix, journal->run.bytes, sizeof(journal->run.bytes));
	cairn_put_be(key + prefix + sizeof(journal->run.bytes), (uint64_t)pid, 4);
	if (!is_live) {
		note_failure(journal,
			cairn_batch_delete(batch, "note", key, sizeof(key), &journal->error));
		return;
	}
	record = json_object();
	cairn_process_describe(record, pid);
	value = cairn_json_canonical(record);
	note_failure(journal, value ? cairn_batch_put(batch, "note", key, sizeof(key), value,
					      strlen(value), &journal->error)
				    : CAIRN_ENOMEM);
	free(value);
	json_decref(record);
}

/* ---- the memo ---------------------------------------------------------------------------------
 */

bool cairn_journal_refers(cairn_journal *journal)
{
	cairn_snapshot *snapshot;
	char text[CAIRN_RUN_TEXT];
	cairn_run_id run;
	int rc = cairn_snapshot_begin(&snapshot, journal->plan->store, NULL);

	if (rc < 0)
		return false;
	rc = cairn_memo_run(&run, journal->plan, snapshot, NULL);
	cairn_snapshot_end(snapshot);
	if (rc < 0)
		return false;
	cairn_run_id_format(&run, text);
	json_object_set_new(journal->record, "stages_of", json_string(text));
	for (size_t i = 0; i < journal->plan->n_stages; i++)
		use_artifacts(journal, &journal->plan->stages[i]);
	return true;
}

void cairn_journal_memo(cairn_journal *journal)
{
	cairn_batch *batch = batch_of(journal);
	char mark[CAIRN_NAMES_MARK];
	cairn_snapshot *snapshot;

	if (!batch)
		return;
	note_failure(
		journal, cairn_snapshot_begin(&snapshot, journal->plan->store, &journal->error));
	if (journal->error.code)
		return;
	cairn_record_names_mark(mark, snapshot);
	if (journal->has_moved_names)
		snprintf(mark, sizeof(mark), "run:%s", journal->run_text);
	note_failure(journal, cairn_memo_put(batch, journal->plan, snapshot, &journal->run, mark,
				      &journal->error));
	cairn_snapshot_end(snapshot);
}
