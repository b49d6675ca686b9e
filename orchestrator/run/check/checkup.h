/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkup.h - inside run/: one plugin under the checks of conformance.h.
 *
 *   conformance.c         the order of the checks; what can be seen without running anything
 *   conformance_params.c  the plugin's own check() at the limits of its parameters
 *   conformance_stage.c   a stage to run: its workflow, its store, one run of it
 *   conformance_trials.c  the runs, and what must be true of each
 */
#ifndef CAIRN_RUN_CHECKUP_H
#define CAIRN_RUN_CHECKUP_H

#include "run/check/conformance.h"

typedef struct cairn_checkup {
	const cairn_conformance *ask;
	const char *path, *home; /* absolute: of the file; of the caller's working directory */
	cairn_arena *arena;
	cairn_plugin_info info;
	size_t n_failed;
	bool is_stopped; /* somebody pressed Ctrl-C */

	/* The stage, once there is one. */
	cairn_store *store;
	cairn_registry *registry;
	cairn_workflow *workflow; /* the stage with all it needs, itself the last */
	cairn_settings *settings; /* of the stage: the trials change them */
} cairn_checkup;

/* Tells a finding. */
void cairn_checkup_say(cairn_checkup *c, const char *check, enum cairn_verdict verdict,
	const char *hint, const char *format, ...) CAIRN_PRINTF(5, 6);

/* conformance_params.c; `values` may be NULL: what has no default is invented. */
void cairn_checkup_params(cairn_checkup *c, const cairn_value *values);

/* conformance_stage.c: 1 there is a stage to run, 0 there is none, as was told. */
CAIRN_MUST int cairn_checkup_stage(cairn_checkup *c, cairn_error *err);
void cairn_checkup_stage_close(cairn_checkup *c);

/* One run of the stage, in whatever state the store is. */
typedef struct cairn_trial {
	cairn_observer observer; /* first */
	cairn_checkup *of;
	/* What is wanted. */
	int threads;
	const char *kill_at; /* "step:3", or NULL */
	bool stop;           /* SIGTERM once it has begun; after a while a second one */
	/* What came. */
	double asked_at; /* to stop; 0: not yet */
	bool is_killed;  /* it did not listen */
	char left[128];  /* what the host says that run() left in its process; "" */
	cairn_plan *plan;
	cairn_run_summary summary;
	cairn_error error;      /* of the stage, where it failed */
	enum cairn_state state; /* of the stage */
	uint64_t n_steps, resumed_step;
	json_t *attempt; /* its record, or NULL */
	double seconds;
} cairn_trial;

/* Fills the trial; < 0 where the run itself could not go on. */
CAIRN_MUST int cairn_trial_run(cairn_trial *trial, cairn_error *err);
/* The stage's result, or NULL. */
const json_t *cairn_trial_result(const cairn_trial *trial);
void cairn_trial_close(cairn_trial *trial);
/* The store forgets the stage's result and checkpoints. */
CAIRN_MUST int cairn_trial_forget(const cairn_trial *trial, cairn_error *err);

/* conformance_trials.c */
CAIRN_MUST int cairn_checkup_trials(cairn_checkup *c, cairn_error *err);

#endif
