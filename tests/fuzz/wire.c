/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes from a stage process: the first says in what pieces they come. Records, or EBUG; the
 * same records in whatever pieces. The bytes are also taken for a job, and for one record.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "run/host/job.h"
#include "run/wire.h"

static void require(bool is_true)
{
	if (!is_true)
		abort();
}

static volatile size_t n_zeros;

static void check_record(const cairn_wire_record *record)
{
	if (record->type == CAIRN_WIRE_PACKET) {
		require(record->packet != NULL && record->packet_len < CAIRN_WIRE_MAX);
		for (size_t i = 0; i < record->packet_len; i++)
			n_zeros += !((const char *)record->packet)[i]; /* all of it is there */
		return;
	}
	require(json_is_object(record->json));
	require(record->n_metrics <= CAIRN_WIRE_MAX_METRICS && record->text);
	for (size_t i = 0; i < record->n_metrics; i++)
		require(record->metrics[i].name != NULL);
	if (record->type == CAIRN_WIRE_ERROR)
		require(record->error.code < 0 && record->error.message[0]);
}

/* A number that says what was read, and how it ended. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t piece)
{
	cairn_wire_reader reader = {0};
	cairn_wire_record record;
	cairn_error err = {0};
	uint64_t sum = 0;
	int rc = 0;

	for (size_t at = 0; at < size && rc >= 0; at += piece) {
		size_t len = size - at < piece ? size - at : piece;
		require(cairn_wire_feed(&reader, data + at, len, &err) == 0);
		while ((rc = cairn_wire_next(&reader, &record, &err)) == 1) {
			check_record(&record);
			sum = sum * 31 + (uint64_t)record.type + record.step + record.n_metrics + 1;
			cairn_wire_record_clear(&record);
		}
	}
	require(rc <= 0 && (rc == 0 || (rc == CAIRN_EBUG && err.message[0])));
	cairn_wire_reader_clear(&reader);
	return sum * 2 + (rc < 0);
}

static void read_job(const uint8_t *data, size_t size)
{
	cairn_arena *arena = cairn_arena_new();
	cairn_job job;
	json_t *json = NULL;

	if (cairn_json_parse(&json, (const char *)data, size, "fuzz", NULL) == 0 &&
		cairn_job_read(&job, json, arena, NULL) == 0) {
		require(job.store && job.run && job.instance && job.plugin_path && job.scratch);
		for (size_t i = 0; i < job.n_values; i++)
			require(job.values[i] != NULL);
		for (size_t i = 0; i < job.n_inputs; i++)
			require(job.inputs[i].port && job.inputs[i].id && job.inputs[i].source);
		json_decref(job.json);
	}
	cairn_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cairn_wire_record record;

	if (size == 0)
		return 0;
	require(read_all(data + 1, size - 1, 1u + data[0]) == read_all(data + 1, size - 1, size));
	read_job(data + 1, size - 1);
	if (cairn_wire_decode(&record, (const char *)data + 1, size - 1, NULL) == 0) {
		check_record(&record);
		cairn_wire_record_clear(&record);
	}
	return 0;
}
