/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_mend.c - an input that turned out damaged: the next plan must not call it cached.
 *
 * Whoever makes the artifact would find its key in the store and be cached, and would it run, what
 * it puts would be there already, damaged. So what is damaged goes out of the index, and a note at
 * each stage that makes it says why. That is done here, in the process that met the damage: reading
 * all of the artifact again takes time, and a damaged index may kill who reads it.
 *
 * What nobody can make again stays as it is: what is right of it may be all that is left.
 */
#include <string.h>

#include "cairn/fsck.h"
#include "run/host/host.h"

#define MAX_MAKERS 64 /* of one artifact: stages with another key that gave the same bytes */

struct makers {
	cairn_snapshot *snapshot;
	cairn_key keys[MAX_MAKERS];
	size_t n;
};

struct telling {
	const struct makers *makers;
	const cairn_id *id;
	const cairn_error *why;
};

void cairn_host_note_damage(cairn_run *run, const cairn_object *object, const char *id, int rc)
{
	if (rc != CAIRN_EINTEGRITY && rc != CAIRN_EIO)
		return;
	for (size_t i = 0; i < run->job.n_inputs && !run->damaged; i++) {
		if (object ? run->inputs[i].object == object : run->job.inputs[i].id == id)
			run->damaged = &run->job.inputs[i];
	}
}

/* A stage of a run; a tool cannot be asked again. */
static int take_maker(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct makers *makers = arg;
	json_t *result = NULL;
	cairn_key maker;

	(void)value, (void)value_len, (void)err;
	if (key_len != sizeof(cairn_id) + sizeof(maker.bytes) || makers->n == MAX_MAKERS)
		return 0;
	memcpy(maker.bytes, (const uint8_t *)key + sizeof(cairn_id), sizeof(maker.bytes));
	if (cairn_record_result(&result, makers->snapshot, &maker, NULL) == 0 &&
		cairn_json_string(result, "run", "")[0])
		makers->keys[makers->n++] = maker;
	json_decref(result);
	return 0;
}

static int find_makers(
	struct makers *makers, cairn_store *store, const cairn_id *id, cairn_error *err)
{
	int rc = cairn_snapshot_begin(&makers->snapshot, store, err);

	if (rc < 0)
		return rc;
	rc = cairn_snapshot_scan(makers->snapshot, "producer", id->bytes, sizeof(id->bytes), false,
		take_maker, makers, err);
	cairn_snapshot_end(makers->snapshot);
	return rc;
}

static int tell_makers(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err)
{
	const struct telling *telling = arg;
	int rc = 0;

	(void)now;
	for (size_t i = 0; i < telling->makers->n && rc == 0; i++)
		rc = cairn_record_put_damage(
			batch, &telling->makers->keys[i], telling->id, telling->why, err);
	return rc;
}

bool cairn_host_mend(cairn_run *run)
{
	const cairn_job_input *input = run->damaged;
	struct makers makers = {0};
	cairn_error why = {0}, err = {0};
	bool is_gone = false;
	cairn_id id;
	struct telling telling = {&makers, &id, &why};
	int rc = input ? cairn_id_parse(&id, input->id, &err) : CAIRN_ENOTFOUND;

	if (rc == 0)
		rc = find_makers(&makers, run->store, &id, &err);
	if (rc < 0 || (!makers.n && strncmp(input->source, "file:", 5) != 0))
		return false;
	rc = cairn_store_mend(run->store, &id, &is_gone, &why, tell_makers, &telling, &err);
	if (rc < 0)
		cairn_host_log(run, CAIRN_LOG_WARNING, "damaged input '%s' stays as it is: %s",
			input->port, err.message);
	else if (is_gone)
		cairn_host_log(run, CAIRN_LOG_WARNING,
			"input '%s', %s, is damaged (%s) and was taken out of the store: it is made again",
			input->port, input->source, why.message);
	return is_gone;
}
