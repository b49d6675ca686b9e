/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workflow.h - an INI file as a typed, expanded, checked DAG.
 *
 * load() does everything that needs no compute and no store: read (ini.c), substitute
 * ${...}, expand axes into instances, resolve references, check ports, kinds and
 * parameters against the plugins' descriptions, sort topologically. It reports all
 * mistakes of the file at once, each with its place and a hint.
 * Everything lives in the workflow's arena until cairn_workflow_free().
 */
#ifndef CAIRN_WORKFLOW_WORKFLOW_H
#define CAIRN_WORKFLOW_WORKFLOW_H

#include <stdbool.h>

#include "workflow/plugin_info.h"

typedef struct cairn_place {
	const char *file;
	int line;
} cairn_place;

/* One parameter of an instance. */
typedef struct cairn_value {
	const cairn_param *param;
	const char *text; /* canonical */
	int line;         /* in the file of the instance's section */
	bool is_given;    /* by the file or -p; else the default */
} cairn_value;

enum cairn_source_type {
	CAIRN_FROM_INSTANCE, /* stage:port */
	CAIRN_FROM_FILE,     /* file:PATH, relative to the INI file */
	CAIRN_FROM_ARTIFACT, /* sha256:... */
	CAIRN_FROM_REF,      /* ref:NAME, a name in the store: its artifact when the plan is made */
	CAIRN_FROM_PLANNED, /* planned:KEY=VALUE,...: does not exist; for `check` and `plan` only */
};

/* One artifact bound to an input port; MANY ports have several, in the order written
 * (fan-in @*: in the order of the axis values). */
typedef struct cairn_binding {
	const cairn_port *port;
	enum cairn_source_type type;
	uint32_t instance; /* index, for CAIRN_FROM_INSTANCE: always smaller than one's own */
	union {
		const char *output; /* its port */
		/* CAIRN_FROM_FILE: absolute or relative to the current directory;
		 * CAIRN_FROM_REF: the name */
		const char *path;
		const char *meta; /* JSON of the pairs, for CAIRN_FROM_PLANNED */
	};
	const char *text; /* as a person would name it: "rm@brief:model", "file:data/a.txt" */
	cairn_place place;
} cairn_binding;

typedef struct cairn_axis_value {
	const char *axis, *value;
} cairn_axis_value;

/* Keys of a [stage] section that are the runner's, not the plugin's. Never in a stage key. */
typedef struct cairn_settings {
	int64_t retries;  /* 0 */
	double timeout_s; /* 0: none */
	int64_t cpus;     /* 0: all */
	int64_t gpus;
	uint64_t memory_bytes;          /* 0: no limit */
	double checkpoint_every_s;      /* 10; `checkpoint_every = 30s` */
	int64_t checkpoint_every_steps; /* 0: by time; `checkpoint_every = 50` */
	int64_t keep_checkpoints;       /* 1 */
	int64_t keep_every;             /* steps; 0: none */
	const char *keep_best;          /* a metric; NULL: none */
	bool best_is_largest;
	const char *executor; /* "local" */
	bool show;            /* print the report's highlight at the end of a run */
} cairn_settings;

struct cairn_when;

typedef struct cairn_instance {
	const char *name;  /* "rm@brief"; several axes: "eval@brief,courteous" */
	const char *stage; /* "rm" */
	const cairn_plugin_info *plugin;
	const cairn_axis_value *axes;
	size_t n_axes;
	const cairn_value *values; /* plugin->n_params of them, in the table's order */
	const cairn_binding *bindings;
	size_t n_bindings;
	int64_t seed; /* of the workflow, unless the stage has its own */
	cairn_settings settings;
	const struct cairn_when *when; /* when.h; NULL: it runs whatever others find out */
	cairn_place place;             /* of the section */
} cairn_instance;

typedef struct cairn_workflow {
	cairn_arena *arena;
	const char *name;
	const char *file;      /* as given */
	const char *directory; /* of the file */
	const char *text; /* the INI as read, with includes appended: kept as an artifact; malloc */
	const char *device; /* "auto", "cpu" */
	int64_t seed;
	const cairn_instance *instances; /* topological order; ties in file order */
	size_t n_instances;
	const cairn_axis_value *params; /* effective [params]: name, value */
	size_t n_params;
} cairn_workflow;

typedef struct cairn_errors {
	cairn_error *items;
	size_t n, cap;
} cairn_errors;

void cairn_errors_add(cairn_errors *errors, const cairn_error *err);
void cairn_errors_free(cairn_errors *errors);

typedef struct cairn_override {
	const char *name, *value; /* -p name=value */
} cairn_override;

/* 0, or EWORKFLOW with every mistake in *errors (EIO where the file cannot be read). */
CAIRN_MUST int cairn_workflow_load(cairn_workflow **out, const char *file,
	const cairn_override *overrides, size_t n_overrides, cairn_registry *registry,
	cairn_errors *errors);
void cairn_workflow_free(cairn_workflow *workflow);
/* By exact name ("rm@brief"); NULL with a filled error and "did you mean". A stage's
 * name that has one instance only is accepted. */
const cairn_instance *cairn_workflow_find(
	const cairn_workflow *workflow, const char *name, cairn_error *err);

#endif
