/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - from a checked workflow to finished artifacts.
 *
 * Reads like: orchestrator/README.md (life of a run). The pieces: plugins.c (find and
 * describe shared objects), plan.c (keys, what is cached, why the rest runs), scheduler.c
 * (what is ready, within cpus and -j), executor.c (posix_spawn of ourselves as a stage
 * host; signals, timeouts), host*.c (the other side: dlopen, the host table), wire.c (records
 * child -> parent). Nothing here prints: an observer is told.
 */
#ifndef CAIRN_RUN_RUN_H
#define CAIRN_RUN_RUN_H

#include "audit/record.h"
#include "workflow/key.h"
#include "workflow/workflow.h"

/* ---- plugins.c ------------------------------------------------------------------------ */

/* Directories searched in order: each of CAIRN_PLUGIN_PATH (colon separated), "plugins" beside
 * the executable, the installed plugin directory. Descriptions are taken in a child process and
 * kept in the store's `plugin` table by file digest (store may be NULL: not kept). */
CAIRN_MUST int cairn_plugins_open(cairn_registry **out, cairn_store *store, cairn_error *err);
void cairn_plugins_close(cairn_registry *registry);
/* Describes one file, wherever it lies. The info lives in the arena. */
CAIRN_MUST int cairn_plugin_describe(
	cairn_plugin_info *out, const char *path, cairn_arena *arena, cairn_error *err);

/* ---- plan.c --------------------------------------------------------------------------- */

enum cairn_state {
	CAIRN_STATE_PENDING, /* its inputs are not all known yet */
	CAIRN_STATE_READY,
	CAIRN_STATE_RUNNING,
	CAIRN_STATE_CACHED, /* the result was in the store */
	CAIRN_STATE_DONE,
	CAIRN_STATE_FAILED,
	CAIRN_STATE_STOPPED, /* after a checkpoint, as asked */
	CAIRN_STATE_WAITING, /* for people */
	CAIRN_STATE_BLOCKED, /* something it needs failed, stopped or waits */
	CAIRN_STATE_SKIPPED, /* its condition does not hold */
};
const char *cairn_state_name(enum cairn_state state); /* "pending", ... */

/* What a plugin expects of one stage. */
typedef struct cairn_planned_cost {
	double flop;
	double flop_of[CAIRN_ACCOUNTS];      /* all 0: not split */
	uint64_t memory_bytes, output_bytes; /* memory: with a copy of a checkpoint */
	uint64_t checkpoint_bytes;           /* of the entries of one */
	uint64_t device_bytes;               /* of the device's memory; 0: none, or not known */
	uint64_t least_bytes;                /* memory without that copy, and */
	bool lacks_copy;                     /* that is all there is room for */
	bool is_partial;                     /* something is not known yet: too low */
	json_t *outputs; /* output port -> metadata, as far as known; may be NULL */
} cairn_planned_cost;

/* Small, for there may be a million. What else is to be known of a stage is asked for below. */
typedef struct cairn_planned {
	const cairn_instance *instance;
	const char *reason; /* why it runs: "no result yet", "waits for 'sft'", "param.lr 1e-5 ->
			       2e-5"; never NULL */
	/* Of a stage that is cached or done, one per output of the plugin's table, and the metric
	 * log's; all zeros where it wrote none. NULL of any other. */
	const cairn_id *outputs;
	/* Per binding what comes from elsewhere than a stage; NULL where nothing does. */
	const cairn_id **outside;
	json_t *result;           /* the result record, once somebody wanted it */
	cairn_planned_cost *cost; /* after cairn_plan_estimate(); NULL where nothing is said */
	double flop, seconds;     /* that its result took; 0 without one */
	cairn_key key;
	enum cairn_state state;
	uint32_t attempt;
	bool has_key;     /* all inputs are known */
	bool has_more;    /* its result has outputs beside these: checkpoints that are kept */
	bool is_blessed;  /* its result was made by another key, and accepted for this one */
	bool was_damaged; /* it runs because an output of its result was */
} cairn_planned;

typedef struct cairn_plan {
	const cairn_workflow *workflow;
	cairn_store *store;
	cairn_arena *arena;
	cairn_arithmetic arithmetic;         /* of `compute`; what keys need of it */
	const struct cairn_compute *compute; /* compute/probe.h; NULL: no stage needs kernels */
	cairn_planned *stages;               /* one per instance, same order */
	size_t n_stages;
	/* Ascending: the stages whose state the last call to make, refresh or update changed. */
	uint32_t *changed;
	size_t n_changed;
	uint64_t losses; /* of the store, when the first stage was looked up */
	bool is_looked_up;
	bool is_as_remembered; /* the memo (memo.h) has every stage, and in this order */
	struct cairn_relations *relations; /* relations.c; NULL until they are needed */
	struct cairn_plan_work *work;      /* plan.c */
} cairn_plan;

/* Finds what will compute, takes files into the store, computes the keys that can be, looks up
 * results. EDEVICE where there is a stage that needs kernels, and nothing to compute with. */
CAIRN_MUST int cairn_plan_make(
	cairn_plan **out, const cairn_workflow *workflow, cairn_store *store, cairn_error *err);
/* After the result of stage i became known: keys of those that wait for it. Takes time for what
 * follows from i, not for the whole plan. */
CAIRN_MUST int cairn_plan_update(cairn_plan *plan, size_t i, cairn_error *err);
/* Those that take an output of stage i, ascending. */
size_t cairn_plan_users(cairn_plan *plan, size_t i, const uint32_t **out);
/* The result record of a stage that is cached or done, read from the store at the first call;
 * NULL of any other. Borrowed. */
json_t *cairn_plan_result(const cairn_plan *plan, size_t i);
/* What is bound to input b of stage i, in the order of instance->bindings; NULL while unknown. */
const cairn_id *cairn_plan_input(const cairn_plan *plan, size_t i, size_t b);
/* The components of a stage that has a key; the list and its texts live in the arena. */
size_t cairn_plan_components(
	const cairn_plan *plan, size_t i, const cairn_component **out, cairn_arena *arena);
/* What each stage that is not cached would cost, from its parameters and what is known of its
 * inputs: of what exists the metadata, otherwise what the estimates of the stages before it, or
 * `planned:` sources, say. One child process per plugin. A stage whose plugin says nothing, or
 * fails, has no cost. */
CAIRN_MUST int cairn_plan_estimate(cairn_plan *plan, cairn_error *err);
/* Of one stage, again: its inputs may be known by now. */
CAIRN_MUST int cairn_plan_estimate_stage(cairn_plan *plan, size_t i, cairn_error *err);
/* alignment.c: the model of the plan that takes most compute after pretraining, with all that it is
 * made from. False where there is none, or no pretraining in it. */
typedef struct cairn_alignment {
	size_t stage;
	double pretraining, alignment; /* FLOP */
} cairn_alignment;
bool cairn_plan_alignment(const cairn_plan *plan, cairn_alignment *out);
void cairn_plan_free(cairn_plan *plan);

/* ---- run ------------------------------------------------------------------------------- */

typedef struct cairn_run_options {
	int jobs;          /* stages at once; 0: 1 */
	int threads;       /* for a stage; 0: all cpus */
	bool keep_going;   /* -k */
	bool overcommit;   /* start stages that do not fit in memory, too */
	bool no_wait;      /* EBUSY rather than wait for another run of this store */
	bool has_max_flop; /* budget.h */
	double max_flop;
	const char *const *argv; /* for the record */
	int argc;
} cairn_run_options;

enum cairn_event_type {
	CAIRN_EVENT_WAITING_FOR_LOCK, /* text: who holds it */
	CAIRN_EVENT_PLANNED,          /* plan is complete: states are CACHED, READY, PENDING */
	CAIRN_EVENT_STARTED,          /* stage: text = reason; resumed_step */
	CAIRN_EVENT_PROGRESS,   /* stage: step, total, tokens, metrics, flop, seconds, phase */
	CAIRN_EVENT_LOG,        /* stage: text, level */
	CAIRN_EVENT_CHECKPOINT, /* stage: step */
	CAIRN_EVENT_ENDED,      /* stage: state; error when failed; cairn_plan_result() when done */
	CAIRN_EVENT_STOPPING,   /* a signal: asked the stages for a checkpoint */
	CAIRN_EVENT_WARNING,    /* text */
	/* As PLANNED, and what was planned before does not count any more; text: why. */
	CAIRN_EVENT_PLANNED_ANEW,
};

typedef struct cairn_event {
	enum cairn_event_type type;
	size_t stage;
	const char *text;
	int level;
	uint64_t step, total, tokens, resumed_step;
	const char *phase;
	const cairn_metric *metrics;
	size_t n_metrics;
	double flop;            /* spent in this attempt */
	double seconds;         /* of this attempt */
	uint64_t max_rss_bytes; /* so far; 0: not known */
	const cairn_error *error;
	const char *log_path;
} cairn_event;

typedef struct cairn_observer {
	void (*event)(
		struct cairn_observer *self, const cairn_plan *plan, const cairn_event *event);
	/* Called at least 5 times a second while stages run: a chance to redraw. */
	void (*tick)(struct cairn_observer *self, const cairn_plan *plan);
} cairn_observer;

typedef struct cairn_run_summary {
	cairn_run_id run;
	size_t done, cached, skipped, failed, waiting, stopped, blocked;
	double seconds, flop, kept_flop;
	int signal; /* that ended the run, to be re-raised; 0: none */
} cairn_run_summary;

/* Runs what the plan says is not cached. Where a stage meets a damaged input that can be made
 * again, that is another run right after this one (run.c); *out is of the last. 0 all done; 1 some
 * stage failed, stopped or waits (summary tells); < 0 the run itself could not go on. Records run,
 * stages, attempts, events, provenance. */
CAIRN_MUST int cairn_run_workflow(cairn_plan *plan, const cairn_run_options *options,
	cairn_observer *observer, cairn_run_summary *out, cairn_error *err);

/* ---- the stage host: what `cairn --stage-host` and `cairn --describe` do --------------- */

/* Both are called from main() before anything else and return an exit status. */
int cairn_stage_host_main(int argc, char **argv);
int cairn_describe_main(int argc, char **argv);

#endif
