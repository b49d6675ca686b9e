/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backends.h - inside run/: which shared objects may compute, and which of them does.
 *
 * Candidates are the shared objects in "kernels" below the plugin directories, in the order of
 * these and within one by name; a name that was seen shadows later ones. The device of a workflow
 * restricts them to those of that name ("cpu" takes cpu.so), "auto" takes all. The one with the
 * highest score of those that can be opened computes; of equal ones the first.
 *
 * The planner asks each in a process of its own (probe.h), a tool, which has no plan, in its own:
 * both look and choose here.
 */
#ifndef CAIRN_RUN_BACKENDS_H
#define CAIRN_RUN_BACKENDS_H

#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "cairn/kernels.h"

#define CAIRN_MAX_BACKENDS 32

typedef struct cairn_candidate {
	const char *name, *path; /* "cpu", "/usr/lib/.../kernels/cpu.so" */
	int score;               /* 0: it cannot compute here, or nobody asked it yet */
	cairn_error why;         /* why not, in its own words; code 0: it was not refused */
} cairn_candidate;

typedef struct cairn_candidates {
	cairn_candidate of[CAIRN_MAX_BACKENDS];
	size_t n;
} cairn_candidates;

/* What may compute for a device, of which nothing is known yet. Names live in the arena. */
void cairn_candidates_find(cairn_candidates *out, const char *device, cairn_arena *arena);
/* The best of those that have a score and were not refused; SIZE_MAX where there is none. */
size_t cairn_candidates_best(const cairn_candidates *candidates);
/* EDEVICE: there is none. In the words of the only one that there is, else in those of all. */
int cairn_candidates_refuse(
	const cairn_candidates *candidates, const char *device, cairn_error *err);
/* EPARAM where one was asked for what it does not know: nobody falls back on another for that. */
int cairn_candidates_mistake(const cairn_candidates *candidates, cairn_error *err);
/* "cuda: no device was found" of those that were refused, "; " between them; for a log. */
void cairn_candidates_say(cairn_text *out, const cairn_candidates *candidates);

/* dlopen, and the check of its contract. */
CAIRN_MUST int cairn_backend_load(cairn_kernels_backend *out, const char *path, cairn_error *err);
/* open(), with an error whatever it said. */
CAIRN_MUST int cairn_backend_open(cairn_kernels *out, const cairn_kernels_backend *backend,
	int threads, const char *path, cairn_error *err);
/* The best there is, in this process. *chosen is an index; why the others are not is in them. */
CAIRN_MUST int cairn_backend_open_best(cairn_kernels *out, cairn_kernels_backend *backend,
	cairn_candidates *candidates, const char *device, int threads, cairn_error *err);

/* What a backend says of itself, for describe_main.c: probe.h. New reference. */
CAIRN_MUST int cairn_backend_describe(
	json_t **out, const char *path, const json_t *request, cairn_error *err);

#endif
