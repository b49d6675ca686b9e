/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job.h - all that a stage host needs to know of one attempt.
 *
 * The runner makes it from the plan, adds "gpus" and sends it as JSON; the stage host reads
 * nothing else of the workflow: no INI, no environment.
 */
#ifndef CAIRN_RUN_JOB_H
#define CAIRN_RUN_JOB_H

#include "run/run.h"

typedef struct cairn_job_input {
	const char *port, *id, *source;
} cairn_job_input;

typedef struct cairn_job {
	json_t *json; /* what the texts below are borrowed from */
	const char *store, *run, *workflow, *instance;
	const char *plugin_path, *plugin_digest, *device, *scratch, *log;
	const char *numerics;    /* that the key was made for; "": any */
	bool is_batch_invariant; /* as the key says */
	const char *backend;     /* path of what was planned with; NULL: the best there is */
	const char *passed_over; /* what else there was, and why not; "" */
	cairn_key key;
	uint32_t attempt;
	const char **values; /* canonical texts, in the order of the plugin's table */
	size_t n_values;
	cairn_job_input *inputs;
	size_t n_inputs;
	const json_t *components; /* {name: text} */
	double checkpoint_every_s;
	int64_t checkpoint_every_steps, keep_checkpoints, keep_every, threads;
	const char *gpus;      /* its CUDA_VISIBLE_DEVICES; NULL: as the runner's */
	const char *keep_best; /* a metric; NULL: none */
	bool best_is_largest;
	bool writes_at_once;                     /* checkpoints: there is no memory for a copy */
	uint64_t memory_bytes, checkpoint_bytes; /* of a checkpoint: an estimate, 0: none */
	uint64_t device_bytes;                   /* that it was planned with; 0: none */
} cairn_job;

/* The plan's stage i, whose attempt number is set. New reference, NULL where there is no memory. */
json_t *cairn_job_make(const cairn_plan *plan, size_t i, const char *run, int threads);
/* Reads it; takes over `take_json`, also on failure. Arrays live in the arena. */
CAIRN_MUST int cairn_job_read(
	cairn_job *out, json_t *take_json, cairn_arena *arena, cairn_error *err);
/* STORE/tmp/RUN-INSTANCE-ATTEMPT and STORE/logs/RUN/INSTANCE.ATTEMPT.log */
char *cairn_job_scratch_path(const cairn_plan *plan, size_t i, const char *run, cairn_arena *arena);
char *cairn_job_log_path(const cairn_plan *plan, size_t i, const char *run, cairn_arena *arena);

#endif
