/* SPDX-License-Identifier: Apache-2.0 */
/* estimate.c - what a stage would cost: its plugin's own estimate(), asked in a child. */
#include "run/describe.h"
#include "run/run.h"

/* {"port", "meta" (absent while the artifact does not exist), "bytes"} */
static json_t *input_of(const cairn_plan *plan, const cairn_planned *planned, size_t b)
{
	json_t *input = json_pack("{s:s}", "port", planned->instance->bindings[b].port->name);
	cairn_object *object = NULL;
	cairn_id id;

	if (!planned->input_ids[b] || cairn_id_parse(&id, planned->input_ids[b], NULL) < 0 ||
		cairn_object_open(&object, plan->store, &id, NULL) < 0)
		return input;
	json_object_set_new(input, "meta", json_string(cairn_object_meta(object)));
	json_object_set_new(input, "bytes", json_integer((json_int_t)cairn_object_bytes(object)));
	cairn_object_close(object);
	return input;
}

int cairn_plan_estimate(cairn_plan *plan, size_t i, cairn_estimate *out, cairn_error *err)
{
	const cairn_planned *planned = &plan->stages[i];
	const cairn_instance *instance = planned->instance;
	json_t *values, *inputs, *request, *answer = NULL;
	int rc;

	if (!instance->plugin->has_estimate)
		return 1;
	values = json_array();
	inputs = json_array();
	for (uint64_t v = 0; v < instance->plugin->n_params; v++)
		json_array_append_new(values, json_string(instance->values[v].text));
	for (size_t b = 0; b < instance->n_bindings; b++)
		json_array_append_new(inputs, input_of(plan, planned, b));
	request = json_pack("{s:o, s:o}", "values", values, "inputs", inputs);
	rc = cairn_describe_ask(&answer, instance->plugin->path, "estimate", request, err);
	if (rc == 0)
		*out = (cairn_estimate){
			.flop = cairn_json_number(answer, "flop", 0),
			.memory_bytes = (uint64_t)cairn_json_integer(answer, "memory_bytes", 0),
			.output_bytes = (uint64_t)cairn_json_integer(answer, "output_bytes", 0),
		};
	json_decref(answer);
	json_decref(request);
	return rc;
}
