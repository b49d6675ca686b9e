/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key.h - the named components that decide a stage's result, and the key over them.
 *
 * Components, in this order: plugin, version, numerics (only for plugins that use kernels),
 * seed, param.NAME in table order (neutral ones left out), input.PORT.INDEX = artifact id.
 * A neutral parameter that says how work is cut (CAIRN_PARAM_CUTS) is in it where a plugin's
 * kernels give other bits for another cut.
 * Never: run id, stage name, paths, attempt, threads, intervals, host.
 *
 * Encoding (version 1): SHA-256 over "cairn.key/1\0", then for each component u32 LE length
 * of the name, the name, u32 LE length of the value, the value. Golden vectors in the tests.
 */
#ifndef CAIRN_WORKFLOW_KEY_H
#define CAIRN_WORKFLOW_KEY_H

#include "base/digest.h"
#include "base/text.h"
#include "workflow/workflow.h"

typedef struct cairn_component {
	const char *name, *value;
} cairn_component;

/* The arithmetic that results come from, for plugins that use kernels. */
typedef struct cairn_arithmetic {
	const char *numerics;    /* name of its class */
	bool is_batch_invariant; /* cairn/kernels.h */
} cairn_arithmetic;

/* The components of an instance whose inputs are known. input_ids has one id text per
 * binding, in the order of instance->bindings. The list lives in the arena. */
size_t cairn_key_components(const cairn_component **out, const cairn_instance *instance,
	const char *const *input_ids, const cairn_arithmetic *arithmetic, cairn_arena *arena);
void cairn_key_of(cairn_key *out, const cairn_component *components, size_t n);
/* The key of an instance without the list, for plans of many stages. `scratch` keeps its memory
 * from call to call; its owner frees it. */
void cairn_key_make(cairn_key *out, const cairn_instance *instance, const char *const *input_ids,
	const cairn_arithmetic *arithmetic, cairn_text *scratch);

#endif
