/* SPDX-License-Identifier: Apache-2.0 */
/*
 * draft.h - a workflow while it is being read: what the files of this folder share.
 *
 * load() passes one draft through these steps, each in its file:
 *
 *   source.c       bytes of the file and of what it includes; text only, within limits
 *   ini.c          lines -> sections and entries, each with its place
 *   sections.c     sections -> constants, axes, stages
 *   interpolate.c  ${...}
 *   stage.c        a stage's plugin and foreach
 *   expand.c       foreach -> instances
 *   then for one stage after the other
 *     stage.c        its keys: settings, inputs, parameters
 *     expand.c       its instances' parameters and settings
 *     resolve.c      its references -> bindings
 *   sort.c         instances -> topological order
 *
 * No step stops at a mistake: it reports the mistake, marks the entry or stage as broken
 * and goes on, and later steps pass over what is broken, so that one slip is told once.
 * Structs that people refer to by name have the name as their first member (nearest()).
 */
#ifndef CAIRN_WORKFLOW_DRAFT_H
#define CAIRN_WORKFLOW_DRAFT_H

#include "base/text.h"
#include "workflow/map.h"
#include "workflow/workflow.h"

/* Stated limits. The first two bound everything else. */
#define CAIRN_MAX_SOURCE    (16u << 20) /* bytes of the file and its includes together */
#define CAIRN_MAX_INSTANCES 1000000u
#define CAIRN_MAX_BINDINGS  8000000u
#define CAIRN_MAX_INCLUDES  8u         /* one in another */
#define CAIRN_MAX_FILES     256u       /* in all */
#define CAIRN_MAX_NAME      64u        /* bytes of a name of a stage, axis, value, parameter */
#define CAIRN_MAX_VALUE     (1u << 20) /* bytes of a value, before and after ${...} */
#define CAIRN_MAX_DEPTH     32u        /* of ${...} in ${...}, and of constants in constants */
#define CAIRN_MAX_AXES      8u         /* of a stage */
#define CAIRN_MAX_MISTAKES  100u       /* that are told */

/* ---- what was read ------------------------------------------------------------------- */

typedef struct cairn_entry {
	const char *key, *value;
	cairn_place place;
	bool is_broken; /* reported already */
} cairn_entry;

typedef struct cairn_section {
	const char *name;  /* "ppo"; "" where there is none */
	const char *kind;  /* "stage"; "" for keys before the first section */
	const char *title; /* "stage ppo" */
	cairn_place place;
	size_t first, n; /* its entries */
	unsigned depth;  /* 0: of the file itself, 1: of one it includes ... */
} cairn_section;

/* ---- what it means ------------------------------------------------------------------- */

/* Anything that ${NAME} finds without knowing the stage: a parameter ("size"), or a key of
 * a labeler group ("labelers.concise.utility"). */
typedef struct cairn_constant {
	const char *name;
	const char *title; /* of its section */
	const char *raw;
	const char *value; /* once it is known */
	cairn_place place;
	unsigned depth;
	bool is_param;
	enum {
		CAIRN_CONSTANT_FRESH,
		CAIRN_CONSTANT_OPEN, /* being worked out: meeting it again is a circle */
		CAIRN_CONSTANT_KNOWN,
		CAIRN_CONSTANT_BROKEN
	} state;
} cairn_constant;

typedef struct cairn_axis {
	const char *name;
	const char *title;
	cairn_entry *entry; /* `values` */
	const char *const *values;
	size_t n;
	cairn_map by_value;
	cairn_place place;
} cairn_axis;

typedef struct cairn_labelers {
	const char *name;
	cairn_place place;
} cairn_labelers;

enum cairn_setting {
	CAIRN_SETTING_RETRIES,
	CAIRN_SETTING_TIMEOUT,
	CAIRN_SETTING_CPUS,
	CAIRN_SETTING_GPUS,
	CAIRN_SETTING_MEMORY,
	CAIRN_SETTING_EXECUTOR,
	CAIRN_SETTING_CHECKPOINT_EVERY,
	CAIRN_SETTING_KEEP_CHECKPOINTS,
	CAIRN_SETTING_KEEP_BEST,
	CAIRN_SETTING_KEEP_EVERY,
	CAIRN_SETTING_SHOW,
	CAIRN_SETTINGS
};

/* What is known of a plugin that some stage names. */
typedef struct cairn_draft_plugin {
	const char *name;
	const cairn_plugin_info *info; /* NULL: see error */
	cairn_error *error;
	const cairn_value *fallbacks; /* one per parameter; text NULL where it is required */
	const cairn_value *checked;   /* values that passed its own check last */
} cairn_draft_plugin;

typedef struct cairn_draft_stage {
	const char *name;
	const cairn_section *section;
	cairn_draft_plugin *plugin; /* NULL: reported already, the stage is broken */
	const cairn_axis **axes;    /* n_axes of them */
	size_t n_axes;
	size_t first, n;   /* its instances, the last axis running fastest */
	bool is_broken;    /* its keys are read, that is all; reported already */
	bool is_in_circle; /* reported already */
} cairn_draft_stage;

/* The entries of the stage that is being worked on, each where it belongs. One such table serves
 * all stages, one after the other. */
typedef struct cairn_stage_keys {
	cairn_entry **inputs; /* by the plugin's port table; NULL: not given */
	cairn_entry **params; /* by its parameter table */
	size_t cap_inputs, cap_params;
	cairn_entry *settings[CAIRN_SETTINGS];
	cairn_entry *seed, *when;
	bool varies; /* parameters or settings differ among its instances */
} cairn_stage_keys;

struct cairn_mistake;

typedef struct cairn_draft {
	cairn_workflow *workflow;
	cairn_arena *arena;   /* the workflow's */
	cairn_arena *scratch; /* ends with load() */
	cairn_registry *registry;

	struct cairn_mistake **mistakes;
	size_t n_mistakes, cap_mistakes, n_hidden;

	const char *files[CAIRN_MAX_FILES];
	size_t n_files, n_bytes;
	cairn_text text;
	cairn_section *sections;
	size_t n_sections, cap_sections;
	cairn_entry *entries;
	size_t n_entries, cap_entries;

	cairn_constant *constants;
	size_t n_constants, cap_constants;
	cairn_map constant_by_name;
	cairn_labelers *labelers;
	size_t n_labelers, cap_labelers;
	cairn_map labelers_by_name;
	const char **env;
	size_t n_env;
	cairn_axis *axes;
	size_t n_axes, cap_axes;
	cairn_map axis_by_name;
	cairn_draft_plugin **plugins;
	size_t n_plugins, cap_plugins;
	cairn_map plugin_by_name;
	cairn_draft_stage *stages;
	size_t n_stages, cap_stages;
	cairn_map stage_by_name;
	cairn_stage_keys keys;

	cairn_instance *instances;
	size_t n_instances, n_bindings;
} cairn_draft;

/* ---- draft.c: mistakes and small tools ------------------------------------------------ */

/* Reports a mistake; the answer is for cairn_error_detail and _hint, is valid until the next
 * one, and is NULL where there were too many. title: of the section, may be NULL. */
cairn_error *cairn_draft__mistake(cairn_draft *draft, cairn_place place, const char *title,
	const char *format, ...) CAIRN_PRINTF(4, 5);
/* Reports an error that somebody else filled. */
cairn_error *cairn_draft__adopt(
	cairn_draft *draft, cairn_place place, const char *title, const cairn_error *error);
/* Moves the mistakes to *errors in the order of the file. */
void cairn_draft__tell(cairn_draft *draft, cairn_errors *errors);
/* Makes room for one more element; answers the array, perhaps a new one. */
void *cairn_draft__grow(cairn_arena *arena, void *array, size_t n, size_t *cap, size_t size);
/* The same for the few arrays that get as long as the file: they are moved, not copied, and end
 * with cairn_draft__end(). */
void *cairn_draft__extend(void *array, size_t n, size_t *cap, size_t size);
void cairn_draft__end(cairn_draft *draft);
/* A text for a message: cut after 60 bytes, between characters. */
const char *cairn_draft__clip(cairn_draft *draft, const char *text);
/* The name nearest to `word` in an array of structs that begin with their name; or NULL. */
const char *cairn_draft__nearest(const char *word, const void *array, size_t n, size_t size);
/* The next word of a list separated by blanks (and commas): its length, 0 at the end. */
size_t cairn_draft__word(const char **list, bool by_commas, const char **word);
/* Is text a name: letters, digits, '_', '-' (and '.'), at most CAIRN_MAX_NAME bytes? */
bool cairn_draft__is_name(const char *text, size_t len, bool with_dots);
/* "a.ini:12" */
const char *cairn_draft__place(cairn_draft *draft, cairn_place place);

/* ---- the steps ------------------------------------------------------------------------ */

/* Reads the file and its includes. EIO where it cannot be read, EWORKFLOW (reported) where
 * it is no text. */
CAIRN_MUST int cairn_source__read(cairn_draft *draft, const char *file, cairn_error *err);
/* Appends the sections and entries of one file's text, which it cuts into their strings: it must
 * last as long as they. A NUL follows it. */
void cairn_ini__read(cairn_draft *draft, const char *file, char *bytes, size_t len, unsigned depth);
/* Constants, axes and stages by name; the [workflow] section. */
void cairn_sections__read(cairn_draft *draft, const cairn_override *overrides, size_t n_overrides);

/* The axes that ${...} may name; NULL where there are none. */
typedef struct cairn_scope {
	const cairn_axis_value *axes;
	size_t n;
} cairn_scope;
/* The text with every ${...} replaced, or NULL after reporting. */
const char *cairn_interpolate__text(cairn_draft *draft, const char *text, const cairn_scope *scope,
	cairn_place place, const char *title);
/* The same for an entry, which is then broken: later calls answer NULL silently. */
const char *cairn_interpolate__entry(
	cairn_draft *draft, cairn_entry *entry, const cairn_scope *scope, const char *title);
/* Works out all constants. */
void cairn_interpolate__constants(cairn_draft *draft);

/* Plugin and axes of every stage. */
void cairn_stage__read_all(cairn_draft *draft);
/* Its other keys, into draft->keys. */
void cairn_stage__read_keys(cairn_draft *draft, const cairn_draft_stage *stage);
/* One of the runner's keys. */
CAIRN_MUST int cairn_settings__set(cairn_settings *out, enum cairn_setting setting,
	const char *text, cairn_arena *arena, cairn_error *err);
extern const cairn_settings cairn_settings__fallback;
extern const char *const cairn_settings__names[CAIRN_SETTINGS];

/* Instances of all stages, by name. */
void cairn_expand__all(cairn_draft *draft);
/* Parameters and settings of a stage's instances, from draft->keys. */
void cairn_expand__fill(cairn_draft *draft, const cairn_draft_stage *stage);
/* The instance's number of each axis of its stage. */
void cairn_expand__position(const cairn_draft_stage *stage, size_t instance, size_t *position);
/* "rows=12725,n_ctx=2048" as a JSON object in the workflow's arena; NULL where it is no such list.
 */
const char *cairn_planned__meta(cairn_draft *draft, const char *pairs);
/* Bindings of a stage's instances, from draft->keys. */
typedef struct cairn_resolver cairn_resolver;
cairn_resolver *cairn_resolve__new(cairn_draft *draft);
void cairn_resolve__stage(cairn_resolver *resolver, const cairn_draft_stage *stage);
/* Topological order, into the workflow. */
void cairn_sort__all(cairn_draft *draft);

#endif
