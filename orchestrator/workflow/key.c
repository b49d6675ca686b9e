/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key.c - the components of a key, and the key (encoding version 1, see key.h).
 *
 * Inputs enter by the id of what they are, not by the key of what made them: a stage whose
 * result comes out the same as before does not make its users run again.
 */
#include "workflow/key.h"

#include <string.h>

static const char domain[] = "cairn.key/1"; /* its NUL is part of the encoding */

size_t cairn_key_components(const cairn_component **out, const cairn_instance *instance,
	const char *const *input_ids, const char *numerics, cairn_arena *arena)
{
	const cairn_plugin_info *plugin = instance->plugin;
	cairn_component *c =
		cairn_arena_alloc(arena, 4 + plugin->n_params + instance->n_bindings, sizeof(*c));
	const cairn_port *port = NULL;
	size_t n = 0, index = 0;

	c[n++] = (cairn_component){"plugin", plugin->name};
	c[n++] = (cairn_component){"version", plugin->version};
	if (plugin->capabilities & CAIRN_NEEDS_KERNELS)
		c[n++] = (cairn_component){"numerics", numerics};
	c[n++] = (cairn_component){
		"seed", cairn_arena_printf(arena, "%lld", (long long)instance->seed)};
	for (uint64_t i = 0; i < plugin->n_params; i++) {
		const cairn_value *value = &instance->values[i];

		if (value->param->flags & CAIRN_PARAM_NEUTRAL)
			continue;
		c[n++] = (cairn_component){
			cairn_arena_printf(arena, "param.%s", value->param->name), value->text};
	}
	for (size_t i = 0; i < instance->n_bindings; i++) {
		index = instance->bindings[i].port == port ? index + 1 : 0;
		port = instance->bindings[i].port;
		c[n++] = (cairn_component){
			cairn_arena_printf(arena, "input.%s.%zu", port->name, index), input_ids[i]};
	}
	*out = c;
	return n;
}

static void add_counted(cairn_digest *digest, const char *text)
{
	size_t len = strlen(text);
	uint8_t prefix[4];

	CAIRN_ASSERT(len <= UINT32_MAX);
	for (int i = 0; i < 4; i++)
		prefix[i] = (uint8_t)(len >> (8 * i));
	cairn_digest_add(digest, prefix, sizeof(prefix));
	cairn_digest_add(digest, text, len);
}

void cairn_key_of(cairn_key *out, const cairn_component *components, size_t n)
{
	cairn_digest *digest = cairn_digest_new();

	CAIRN_ASSERT(digest); /* a few hundred bytes: without them no plan can go on */
	cairn_digest_add(digest, domain, sizeof(domain));
	for (size_t i = 0; i < n; i++) {
		add_counted(digest, components[i].name);
		add_counted(digest, components[i].value);
	}
	cairn_digest_end(digest, out->bytes);
}
