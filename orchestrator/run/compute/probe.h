/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h - which backend the stages of a plan will compute with, before any of them begins.
 *
 * Keys hold the numeric class of what computes and estimates follow from its memory, so the
 * planner has to know both. It cannot open a backend itself: a driver that crashes or hangs would
 * take the planner with it, and a process that has initialised CUDA cannot start others that use
 * it. So each candidate (backends.h) is asked in a process of its own, with a time limit, through
 * `cairn --describe FILE backend`.
 *
 * That takes tens of milliseconds, or seconds where a driver wakes up, and a run of which
 * everything is cached takes twenty. So the answer is kept in the store, in `note` under
 * "compute:" DEVICE, with a digest of what it depends on: path, size, times and inode of each
 * candidate, the environment that backends read, the machine, the driver's version and the device
 * files. It is not kept where the reason against a candidate may be gone the next time: a crash, a
 * GPU that is there and was refused.
 *
 * A memory that is wrong all the same cannot make a wrong result: the stage's process opens the
 * backend that was planned with and compares its numbers with the key; where they differ, the stage
 * fails, the memory is forgotten, and the next plan asks anew.
 */
#ifndef CAIRN_RUN_PROBE_H
#define CAIRN_RUN_PROBE_H

#include "base/arena.h"
#include "base/json.h"
#include "cairn/stage.h"
#include "cairn/store.h"

/* What computes; the members of cairn/kernels.h. */
typedef struct cairn_compute {
	const char *name, *path; /* of the shared object: "cuda" */
	const char *backend;     /* with the device: "cuda/bf16 (NVIDIA H100 80GB HBM3)" */
	const char *numerics;
	cairn_estimate_compute of;
	uint64_t device_bytes;
	double peak_flops;
	const char *passed_over; /* the others, and why not; "" */
} cairn_compute;

/* For the device of a workflow. The store may be NULL: then nothing is remembered. Texts live in
 * the arena. EDEVICE in the words of what refused, EPARAM where one was asked for what it has not.
 */
CAIRN_MUST int cairn_compute_find(cairn_compute *out, const char *device, cairn_store *store,
	cairn_arena *arena, cairn_error *err);
/* The memory was wrong. */
void cairn_compute_forget(cairn_store *store, const char *device);
/*
 * All candidates, asked anew: [{"name", "path", "score", "state": "chosen", "usable" or "refused",
 * "why": error or null, "look": text or null, and of those that opened "backend", "numerics",
 * "in_host_memory", "batch_invariant", "wants_packed", "act_bytes", "enough_rows", "device_bytes",
 * "peak_flops"}]. New reference.
 */
json_t *cairn_compute_survey(const char *device);

#endif
