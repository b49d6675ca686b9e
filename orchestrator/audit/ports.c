/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports.c - an output is an object with an "id", an input a list of them. Reads like: ports.h.
 *
 * Told for each stage of each run, so the record is skimmed where that will do.
 */
#include "audit/ports.h"

#include "audit/record.h"
#include "audit/skim.h"

/* ---- of a tree ---------------------------------------------------------------------------- */

static int tell_json(const json_t *bound, cairn_root_fn tell, void *arg, cairn_error *err)
{
	cairn_id id;

	if (cairn_id_parse(&id, cairn_json_string(bound, "id", ""), NULL) < 0)
		return 0;
	return tell(arg, &id, err);
}

int cairn_ports_tell_json(
	const json_t *result, bool also_inputs, cairn_root_fn tell, void *arg, cairn_error *err)
{
	const char *port;
	json_t *bound, *one;
	size_t i;
	int rc = 0;

	json_object_foreach(json_object_get(result, "outputs"), port, bound)
	{
		if (rc == 0)
			rc = tell_json(bound, tell, arg, err);
	}
	json_object_foreach(also_inputs ? json_object_get(result, "inputs") : NULL, port, bound)
	{
		json_array_foreach(bound, i, one)
		{
			if (rc == 0)
				rc = tell_json(one, tell, arg, err);
		}
	}
	return rc;
}

/* ---- of the text -------------------------------------------------------------------------- */

static bool is_list(cairn_span value, char open)
{
	return value.len > 0 && value.at[0] == open;
}

static int tell_bound(cairn_span bound, cairn_root_fn tell, void *arg, cairn_error *err)
{
	cairn_id id;

	if (!is_list(bound, '{') || !cairn_skim_id(cairn_skim_get(bound, "id"), &id))
		return 0;
	return tell(arg, &id, err);
}

static int tell_outputs(cairn_span outputs, cairn_root_fn tell, void *arg, cairn_error *err)
{
	cairn_skim ports = cairn_skim_begin(outputs.at, outputs.len);
	int rc = 0;

	while (rc == 0 && is_list(outputs, '{') && cairn_skim_next(&ports))
		rc = tell_bound(ports.value, tell, arg, err);
	return rc;
}

static int tell_inputs(cairn_span inputs, cairn_root_fn tell, void *arg, cairn_error *err)
{
	cairn_skim ports = cairn_skim_begin(inputs.at, inputs.len);
	int rc = 0;

	while (rc == 0 && is_list(inputs, '{') && cairn_skim_next(&ports)) {
		cairn_skim list = cairn_skim_begin(ports.value.at, ports.value.len);

		while (rc == 0 && is_list(ports.value, '[') && cairn_skim_next(&list))
			rc = tell_bound(list.value, tell, arg, err);
	}
	return rc;
}

int cairn_ports_tell(const void *text, size_t len, bool also_inputs, cairn_root_fn tell, void *arg,
	cairn_error *err)
{
	cairn_skim skim = cairn_skim_begin(text, len);
	cairn_span outputs = {0}, inputs = {0};
	json_t *result;
	int rc;

	while (cairn_skim_next(&skim)) {
		if (skim.close == '}' && cairn_skim_is_named(&skim, "outputs"))
			outputs = skim.value;
		else if (skim.close == '}' && cairn_skim_is_named(&skim, "inputs"))
			inputs = skim.value;
	}
	if (!skim.is_odd) {
		rc = tell_outputs(outputs, tell, arg, err);
		return rc == 0 && also_inputs ? tell_inputs(inputs, tell, arg, err) : rc;
	}
	rc = cairn_json_parse(&result, text, len, "result", err);
	if (rc < 0)
		return rc;
	rc = cairn_ports_tell_json(result, also_inputs, tell, arg, err);
	json_decref(result);
	return rc;
}
