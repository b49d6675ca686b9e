/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interpolate.c - ${...}: axes of the instance, parameters, labelers, the environment.
 *
 *   ${group}                       an axis of the stage's `foreach`, else a parameter
 *   ${labelers.${group}.utility}   innermost first
 *   ${env.HOME}                    only where [workflow] declares `env = HOME`
 *   $${                            a literal "${"
 *
 * Parameters and labelers are constants: they may name each other and the environment, not
 * an axis, and are worked out once. What they stand for is not scanned again, so a value
 * can never turn into a reference. Depth, length and circles are bounded (draft.h).
 */
#include <stdlib.h>
#include <string.h>

#include "workflow/draft.h"

struct expansion {
	cairn_draft *draft;
	const cairn_scope *scope;
	cairn_place place;
	const char *title;
	const char *whole; /* for messages */
	unsigned depth;
};

/* Constants call text(), which calls constants: bounded by CAIRN_MAX_DEPTH. */
static const char *constant_value(struct expansion *x, cairn_constant *constant);

/* format has one %s, for the name. */
#define MISTAKE(x, format, name) \
	cairn_draft__mistake(    \
		(x)->draft, (x)->place, (x)->title, format, cairn_draft__clip((x)->draft, (name)))

static const char *env_value(struct expansion *x, const char *name)
{
	cairn_draft *draft = x->draft;
	const char *value;

	for (size_t i = 0; i < draft->n_env; i++) {
		if (strcmp(draft->env[i], name) != 0)
			continue;
		value = getenv(name);
		if (value)
			return cairn_arena_strdup(draft->arena, value);
		cairn_error_hint(MISTAKE(x, "environment variable '%s' is not set", name),
			"Set %s before calling cairn, or use a parameter in [params].", name);
		return NULL;
	}
	cairn_error_hint(MISTAKE(x, "environment variable '%s' is not declared", name),
		"Add `env = %s` to [workflow]: only declared variables are read.",
		cairn_draft__clip(draft, name));
	return NULL;
}

/* "labelers.NAME.KEY" that is no constant. */
static void unknown_labelers(struct expansion *x, const char *name)
{
	cairn_draft *draft = x->draft;
	const char *group = name + strlen("labelers."), *dot = strrchr(group, '.'), *near;
	size_t len = dot ? (size_t)(dot - group) : strlen(group);
	cairn_error *err;

	group = cairn_arena_strndup(draft->scratch, group, len);
	if (cairn_map_get(&draft->labelers_by_name, group) == CAIRN_MAP_NONE) {
		err = MISTAKE(x, "no labelers are named '%s'", group);
		near = cairn_draft__nearest(
			group, draft->labelers, draft->n_labelers, sizeof(*draft->labelers));
		if (near)
			cairn_error_hint(err, "Did you mean '%s'?", near);
		cairn_error_hint(err, "Describe them in a section [labelers %s].",
			cairn_draft__clip(draft, group));
		return;
	}
	err = MISTAKE(x, "'%s' is not given", name);
	cairn_error_detail(err, "section [labelers %s] has no '%s'", group, dot ? dot + 1 : "");
	cairn_error_hint(err,
		"Add it to that section; the keys are members, utility, noise, from and note.");
}

static void unknown_name(struct expansion *x, const char *name)
{
	cairn_draft *draft = x->draft;
	const char *near;
	cairn_error *err;

	if (strncmp(name, "labelers.", strlen("labelers.")) == 0) {
		unknown_labelers(x, name);
		return;
	}
	if (cairn_map_get(&draft->axis_by_name, name) != CAIRN_MAP_NONE) {
		err = MISTAKE(x, "axis '%s' has no value here", name);
		cairn_error_hint(err,
			"Add `foreach = %s` to the stage: only its own axes have values.", name);
		return;
	}
	err = MISTAKE(x, "unknown name '%s'", name);
	near = cairn_draft__nearest(
		name, draft->constants, draft->n_constants, sizeof(*draft->constants));
	if (!near)
		near = cairn_draft__nearest(name, draft->axes, draft->n_axes, sizeof(*draft->axes));
	if (near)
		cairn_error_hint(err, "Did you mean '${%s}'?", near);
	cairn_error_hint(err, "Define it in [params]; write $${ for a literal ${.");
}

/* The value of a name; NULL after reporting. */
static const char *look_up(struct expansion *x, const char *name)
{
	cairn_draft *draft = x->draft;
	size_t found;

	for (size_t i = 0; x->scope && i < x->scope->n; i++) {
		if (strcmp(x->scope->axes[i].axis, name) == 0)
			return x->scope->axes[i].value;
	}
	if (strncmp(name, "env.", 4) == 0)
		return env_value(x, name + 4);
	found = cairn_map_get(&draft->constant_by_name, name);
	if (found != CAIRN_MAP_NONE)
		return constant_value(x, &draft->constants[found]);
	unknown_name(x, name);
	return NULL;
}

static bool check_limits(struct expansion *x, const cairn_text *out)
{
	cairn_error *err;

	if (x->depth > CAIRN_MAX_DEPTH) {
		err = MISTAKE(x, "${...} is nested too deeply in '%s'", x->whole);
		cairn_error_detail(err, "at most %u levels", CAIRN_MAX_DEPTH);
		return false;
	}
	if (out->failed || out->len > CAIRN_MAX_VALUE) {
		err = MISTAKE(x, "'%s' is too long once ${...} is replaced", x->whole);
		cairn_error_detail(err, "at most %u bytes", CAIRN_MAX_VALUE);
		return false;
	}
	return true;
}

/* Appends *text up to its end, or up to the '}' that ends a name. Bounded recursion. */
static bool append(struct expansion *x, cairn_text *out, const char **text, bool is_name)
{
	const char *s = *text, *value;
	cairn_text name;
	bool ok = true;

	while (ok && *s && !(is_name && *s == '}')) {
		size_t plain = strcspn(s, is_name ? "$}" : "$");

		cairn_text_add_bytes(out, s, plain);
		s += plain;
		if (strncmp(s, "$${", 3) == 0) {
			cairn_text_add(out, "${");
			s += 3;
		} else if (strncmp(s, "${", 2) == 0) {
			s += 2;
			name = (cairn_text){0};
			x->depth++;
			ok = check_limits(x, out) && append(x, &name, &s, true);
			x->depth--;
			value = ok ? look_up(x, cairn_text_get(&name)) : NULL;
			cairn_text_free(&name);
			if (value)
				cairn_text_add(out, value);
			ok = value && check_limits(x, out);
		} else if (*s == '$') {
			cairn_text_add_char(out, *s++);
		}
	}
	if (ok && is_name && *s++ != '}') {
		cairn_error_hint(MISTAKE(x, "'${' without '}' in '%s'", x->whole),
			"Close it, or write $${ for a literal ${.");
		ok = false;
	}
	*text = s;
	return ok;
}

static const char *expand(struct expansion *x, const char *text)
{
	cairn_text out = {0};
	const char *result = NULL, *s = text;

	if (!strstr(text, "${"))
		return text;
	x->whole = text;
	if (append(x, &out, &s, false))
		result = cairn_arena_strndup(x->draft->arena, cairn_text_get(&out), out.len);
	cairn_text_free(&out);
	return result;
}

static const char *constant_value(struct expansion *x, cairn_constant *constant)
{
	struct expansion inner = {.draft = x->draft,
		.place = constant->place,
		.title = constant->title,
		.depth = x->depth + 1};

	switch (constant->state) {
	case CAIRN_CONSTANT_KNOWN:
		return constant->value;
	case CAIRN_CONSTANT_BROKEN:
		return NULL;
	case CAIRN_CONSTANT_OPEN:
		cairn_error_hint(MISTAKE(x, "value of '%s' depends on itself", constant->name),
			"Follow the names from here: they lead back.");
		return NULL;
	case CAIRN_CONSTANT_FRESH:
		break;
	}
	if (x->depth > CAIRN_MAX_DEPTH) {
		(void)check_limits(x, &(cairn_text){0});
		return NULL;
	}
	constant->state = CAIRN_CONSTANT_OPEN;
	constant->value = expand(&inner, constant->raw);
	constant->state = constant->value ? CAIRN_CONSTANT_KNOWN : CAIRN_CONSTANT_BROKEN;
	return constant->value;
}

void cairn_interpolate__constants(cairn_draft *draft)
{
	for (size_t i = 0; i < draft->n_constants; i++) {
		struct expansion x = {.draft = draft, .whole = draft->constants[i].raw};

		(void)constant_value(&x, &draft->constants[i]);
	}
}

const char *cairn_interpolate__text(cairn_draft *draft, const char *text, const cairn_scope *scope,
	cairn_place place, const char *title)
{
	struct expansion x = {.draft = draft, .scope = scope, .place = place, .title = title};

	return expand(&x, text);
}

const char *cairn_interpolate__entry(
	cairn_draft *draft, cairn_entry *entry, const cairn_scope *scope, const char *title)
{
	const char *text;

	if (entry->is_broken)
		return NULL;
	text = cairn_interpolate__text(draft, entry->value, scope, entry->place, title);
	entry->is_broken = !text;
	return text;
}
