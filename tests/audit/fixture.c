/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st, (void)type, (void)walk;
	return remove(path);
}

int fixture_setup(void **state)
{
	fixture *f = calloc(1, sizeof(*f));
	char path[96];
	cairn_error err = {0};

	snprintf(f->dir, sizeof(f->dir), "/tmp/cairn-audit-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(path, sizeof(path), "%s/store", f->dir);
	if (cairn_store_open(&f->store, path, CAIRN_STORE_CREATE, &err) < 0) {
		fprintf(stderr, "%s: %s\n", err.message, err.detail);
		return -1;
	}
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	fixture *f = *state;

	cairn_store_close(f->store);
	nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

cairn_id fixture_id(uint8_t byte)
{
	cairn_id id;

	memset(id.bytes, byte, sizeof(id.bytes));
	return id;
}

cairn_key fixture_key(uint8_t byte)
{
	cairn_key key;

	memset(key.bytes, byte, sizeof(key.bytes));
	return key;
}

static json_t *bound(uint8_t byte, const char *kind)
{
	char text[CAIRN_ID_TEXT];
	cairn_id id = fixture_id(byte);

	cairn_id_format(&id, text);
	return json_pack("{s:s, s:s, s:i}", "id", text, "kind", kind, "bytes", 100 * byte);
}

void fixture_result(fixture *f, const char *instance, const char *plugin, uint8_t key_byte,
	const char *inputs, const char *outputs)
{
	json_t *in = json_object(), *out = json_object(), *result;
	cairn_key key = fixture_key(key_byte);
	cairn_batch *batch;
	char port[24]; /* "out" and any size_t */

	for (size_t i = 0; inputs[i]; i++) {
		json_t *list = json_array();
		snprintf(port, sizeof(port), "in%zu", i % 100);
		json_array_append_new(list, bound((uint8_t)inputs[i], "dataset/demo"));
		json_object_set_new(in, port, list);
	}
	for (size_t i = 0; outputs[i]; i++) {
		snprintf(port, sizeof(port), "out%zu", i % 100);
		json_object_set_new(out, port, bound((uint8_t)outputs[i], "model/lm"));
	}
	result = json_pack("{s:s, s:s, s:s, s:o, s:o, s:{s:s}, s:{s:f}}", "instance", instance,
		"plugin", plugin, "version", "1", "inputs", in, "outputs", out, "components",
		"param.lr", "1e-5", "summary", "loss", 0.5);
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_result(batch, &key, result, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	json_decref(result);
}

void fixture_attempt(fixture *f, uint8_t key_byte, uint32_t n, const char *run, double forward,
	double backward, double kept)
{
	json_t *attempt = json_pack("{s:s, s:[f,f,f], s:[f,f,f], s:f, s:f}", "run", run, "flop",
		0.0, forward, backward, "flop_real", 0.0, forward / 2, backward / 2, "kept_flop",
		kept, "seconds", 1.5);
	cairn_key key = fixture_key(key_byte);
	cairn_batch *batch;

	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_attempt(batch, &key, n, attempt, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	json_decref(attempt);
}

cairn_run_id fixture_run(fixture *f, uint64_t ms, const char *workflow)
{
	cairn_run_id run = {{0}};
	char text[CAIRN_RUN_TEXT];
	cairn_batch *batch;
	json_t *record;

	for (int i = 0; i < 6; i++)
		run.bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
	run.bytes[15] = 7;
	cairn_run_id_format(&run, text);
	record = json_pack("{s:s, s:s, s:s, s:I}", "run", text, "workflow", workflow, "state",
		"done", "start_ms", (json_int_t)ms);
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_run(batch, &run, record, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	json_decref(record);
	return run;
}

void fixture_stage(fixture *f, const cairn_run_id *run, uint32_t index, const char *instance,
	const char *plugin, uint8_t key_byte, const char *axis, const char *value)
{
	char key_text[CAIRN_KEY_TEXT];
	cairn_key key = fixture_key(key_byte);
	json_t *axes = json_object(), *stage;
	cairn_batch *batch;

	if (axis)
		json_object_set_new(axes, axis, json_string(value));
	cairn_key_format(&key, key_text);
	stage = json_pack("{s:s, s:s, s:o, s:s, s:s}", "instance", instance, "plugin", plugin,
		"axes", axes, "key", key_text, "state", "done");
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_stage(batch, run, index, stage, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	json_decref(stage);
}
