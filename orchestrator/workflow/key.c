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

/* Whoever takes the components of an instance, one by one. */
struct taker {
	void (*take)(struct taker *self, const char *prefix, const char *name, const char *index,
		const char *value);
};

/* Can its value be seen in the result? */
static bool matters(const cairn_param *param, const cairn_plugin_info *plugin,
	const cairn_arithmetic *arithmetic)
{
	return !(param->flags & CAIRN_PARAM_NEUTRAL) ||
	       ((param->flags & CAIRN_PARAM_CUTS) && !arithmetic->is_batch_invariant &&
		       (plugin->capabilities & CAIRN_NEEDS_KERNELS));
}

/* The only place that knows what a key is made of, and in what order. */
static void each_component(struct taker *taker, const cairn_instance *instance,
	const char *const *input_ids, const cairn_arithmetic *arithmetic)
{
	const cairn_plugin_info *plugin = instance->plugin;
	const cairn_port *port = NULL;
	size_t index = 0;
	char number[32];

	taker->take(taker, "", "plugin", "", plugin->name);
	taker->take(taker, "", "version", "", plugin->version);
	if (plugin->capabilities & CAIRN_NEEDS_KERNELS)
		taker->take(taker, "", "numerics", "", arithmetic->numerics);
	/* Most seeds and indices have one digit, and a plan writes many. */
	if (instance->seed >= 0 && instance->seed < 10)
		memcpy(number, (char[]){(char)('0' + instance->seed), 0}, 2);
	else
		snprintf(number, sizeof(number), "%lld", (long long)instance->seed);
	taker->take(taker, "", "seed", "", number);
	for (uint64_t i = 0; i < plugin->n_params; i++) {
		const cairn_value *value = &instance->values[i];

		if (matters(value->param, plugin, arithmetic))
			taker->take(taker, "param.", value->param->name, "", value->text);
	}
	for (size_t i = 0; i < instance->n_bindings; i++) {
		index = instance->bindings[i].port == port ? index + 1 : 0;
		port = instance->bindings[i].port;
		if (index < 10)
			memcpy(number, (char[]){'.', (char)('0' + index), 0}, 3);
		else
			snprintf(number, sizeof(number), ".%zu", index);
		taker->take(taker, "input.", port->name, number, input_ids[i]);
	}
}

/* ---- as a list -------------------------------------------------------------------------- */

struct lister {
	struct taker taker;
	cairn_arena *arena;
	cairn_component *list;
	size_t n;
};

static void add_to_list(struct taker *self, const char *prefix, const char *name, const char *index,
	const char *value)
{
	struct lister *lister = (struct lister *)self;

	lister->list[lister->n++] =
		(cairn_component){cairn_arena_printf(lister->arena, "%s%s%s", prefix, name, index),
			cairn_arena_strdup(lister->arena, value)};
}

size_t cairn_key_components(const cairn_component **out, const cairn_instance *instance,
	const char *const *input_ids, const cairn_arithmetic *arithmetic, cairn_arena *arena)
{
	size_t most = 4 + instance->plugin->n_params + instance->n_bindings;
	struct lister lister = {.taker = {add_to_list},
		.arena = arena,
		.list = cairn_arena_alloc(arena, most, sizeof(cairn_component))};

	each_component(&lister.taker, instance, input_ids, arithmetic);
	*out = lister.list;
	return lister.n;
}

/* ---- as a key --------------------------------------------------------------------------- */

struct encoder {
	struct taker taker;
	cairn_text *bytes;
};

static char *put_length(char *to, size_t len)
{
	CAIRN_ASSERT(len <= UINT32_MAX);
	for (int i = 0; i < 4; i++)
		*to++ = (char)(len >> (8 * i));
	return to;
}

static char *put_text(char *to, const char *text, size_t len)
{
	memcpy(to, text, len);
	return to + len;
}

static void encode(struct taker *self, const char *prefix, const char *name, const char *index,
	const char *value)
{
	cairn_text *bytes = ((struct encoder *)self)->bytes;
	size_t prefix_len = strlen(prefix), name_len = strlen(name), index_len = strlen(index);
	size_t value_len = strlen(value), all = prefix_len + name_len + index_len;
	char *to = cairn_text_room(bytes, 4 + all + 4 + value_len);

	if (!to)
		return;
	to = put_length(to, all);
	to = put_text(to, prefix, prefix_len);
	to = put_text(to, name, name_len);
	to = put_text(to, index, index_len);
	to = put_length(to, value_len);
	(void)put_text(to, value, value_len);
}

static void end_key(cairn_key *out, const cairn_text *bytes)
{
	CAIRN_ASSERT(!bytes->failed); /* a few hundred bytes: without them no plan can go on */
	cairn_sha256(bytes->data, bytes->len, out->bytes);
}

void cairn_key_make(cairn_key *out, const cairn_instance *instance, const char *const *input_ids,
	const cairn_arithmetic *arithmetic, cairn_text *scratch)
{
	struct encoder encoder = {{encode}, scratch};

	cairn_text_clear(scratch);
	cairn_text_add_bytes(scratch, domain, sizeof(domain));
	each_component(&encoder.taker, instance, input_ids, arithmetic);
	end_key(out, scratch);
}

void cairn_key_of(cairn_key *out, const cairn_component *components, size_t n)
{
	cairn_text bytes = {0};
	struct encoder encoder = {{encode}, &bytes};

	cairn_text_add_bytes(&bytes, domain, sizeof(domain));
	for (size_t i = 0; i < n; i++)
		encode(&encoder.taker, "", components[i].name, "", components[i].value);
	end_key(out, &bytes);
	cairn_text_free(&bytes);
}
