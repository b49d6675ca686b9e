/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alignment.c - what making a model follow wishes costs beside its pretraining.
 *
 * The paper's comparison (arXiv:2203.02155 section 5.1: 4.9 and 60 against 3,640
 * petaflop/s-days), for the dearest model of a plan and all that it is made from: a stage
 * that makes a model from none is pretraining, everything else is not. What is in the store
 * counts as it was metered, the rest as it is estimated.
 */
#include <string.h>

#include "base/alloc.h"
#include "run/run.h"

/* A walk back from every model costs the square of the stages; beyond this nobody reads it. */
#define MAX_STAGES 4096

static bool makes_model(const cairn_plugin_info *plugin)
{
	for (uint64_t i = 0; i < plugin->n_outputs; i++) {
		if (strncmp(plugin->outputs[i].kind, "model/", 6) == 0)
			return true;
	}
	return false;
}

static bool takes_model(const cairn_plugin_info *plugin)
{
	for (uint64_t i = 0; i < plugin->n_inputs; i++) {
		if (strstr(plugin->inputs[i].kind, "model/"))
			return true;
	}
	return false;
}

static double flop_of(const cairn_planned *planned)
{
	if (planned->outputs)
		return planned->flop;
	return planned->cost ? planned->cost->flop : 0;
}

/* Adds up stage `of` and its ancestors; `is_in` has room for every stage. Inputs come from stages
 * of smaller numbers, so one pass downwards finds them all. */
static void add_up(const cairn_plan *plan, size_t of, bool *is_in, cairn_alignment *out)
{
	*out = (cairn_alignment){.stage = of};
	memset(is_in, 0, plan->n_stages * sizeof(*is_in));
	is_in[of] = true;
	for (size_t i = of + 1; i-- > 0;) {
		const cairn_planned *planned = &plan->stages[i];
		const cairn_instance *instance = planned->instance;
		double *sum = makes_model(instance->plugin) && !takes_model(instance->plugin)
				      ? &out->pretraining
				      : &out->alignment;

		if (!is_in[i])
			continue;
		*sum += flop_of(planned);
		for (size_t b = 0; b < instance->n_bindings; b++) {
			if (instance->bindings[b].type == CAIRN_FROM_INSTANCE)
				is_in[instance->bindings[b].instance] = true;
		}
	}
}

bool cairn_plan_alignment(const cairn_plan *plan, cairn_alignment *out)
{
	bool *is_in = plan->n_stages <= MAX_STAGES ? cairn_alloc(plan->n_stages + 1, sizeof(*is_in))
						   : NULL;
	bool is_found = false;

	for (size_t i = 0; is_in && i < plan->n_stages; i++) {
		cairn_alignment one;

		if (!makes_model(plan->stages[i].instance->plugin))
			continue;
		add_up(plan, i, is_in, &one);
		if (one.pretraining > 0 && one.alignment > 0 &&
			(!is_found || one.alignment > out->alignment)) {
			*out = one;
			is_found = true;
		}
	}
	free(is_in);
	return is_found;
}
