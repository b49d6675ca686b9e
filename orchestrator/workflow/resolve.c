/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.c - references -> bindings, in the order of the plugin's port table.
 *
 *   stage:port           on the axes that both stages have, the same value; a stage without
 *                        axes is shared
 *   stage@value:port     this one; stage@v1,v2 for several axes
 *   stage@*:port         all of them, in the order of the axis; stage@v1,* for one axis only
 *   file:PATH            relative to the file that says so
 *   sha256:HEX           an artifact of the store
 *   ref:NAME             the artifact that has this name in the store when the plan is made
 *   planned:KEY=VALUE,.. data that do not exist yet; see planned.c
 *
 * Every stage has, beside the outputs of its plugin, its metric log: stage:metrics.
 *
 * Several references, separated by blanks, for a port that takes many. The order of the
 * table rather than of the lines keeps keys the same when lines are moved.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "workflow/draft.h"
#include "workflow/path.h"
#include "workflow/when.h"

#define ALL SIZE_MAX /* on an axis */

struct cairn_resolver {
	cairn_draft *draft;
	const cairn_draft_stage *stage;
	const cairn_instance *instance;
	const cairn_port *port;
	cairn_entry *entry;
	size_t position[CAIRN_MAX_AXES]; /* of the instance */
	cairn_binding *found;            /* of this instance; used again for the next one */
	size_t n, cap;
};

static cairn_error *mistake(struct cairn_resolver *r, const char *what, const char *text)
{
	r->entry->is_broken = true;
	return cairn_draft__mistake(r->draft, r->entry->place, r->stage->section->title, "%s '%s'",
		what, cairn_draft__clip(r->draft, text));
}

static cairn_binding *add(struct cairn_resolver *r, enum cairn_source_type type, const char *text)
{
	cairn_binding *binding;

	if (++r->draft->n_bindings > CAIRN_MAX_BINDINGS) {
		cairn_error_detail(mistake(r, "too many inputs in all, at", text), "at most %u",
			CAIRN_MAX_BINDINGS);
		return NULL;
	}
	r->found = cairn_draft__grow(r->draft->scratch, r->found, r->n, &r->cap, sizeof(*r->found));
	binding = &r->found[r->n++];
	*binding = (cairn_binding){
		.port = r->port, .type = type, .text = text, .place = r->entry->place};
	return binding;
}

static cairn_error *wrong_kind(struct cairn_resolver *r, const char *text, const char *kind)
{
	cairn_error *err = mistake(r, "wrong kind of input:", text);

	cairn_error_detail(err, "it is '%s'; input '%s' of plugin '%s' takes '%s'", kind,
		r->port->name, r->stage->plugin->name, r->port->kind);
	return err;
}

static void add_file(struct cairn_resolver *r, const char *text)
{
	cairn_draft *draft = r->draft;
	const char *path = text + strlen("file:");
	cairn_binding *binding;
	struct stat st;
	cairn_error *err;

	path = cairn_path__join(draft->arena,
		cairn_path__directory(draft->scratch, r->entry->place.file), path, strlen(path));
	if (!cairn_kind_accepts(r->port->kind, "file")) {
		cairn_error_hint(wrong_kind(r, text, "file"),
			"Let a stage read the file first, and take that stage's output.");
		return;
	}
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
		int reason = errno;

		err = mistake(r, "cannot read", text);
		if (stat(path, &st) == 0)
			cairn_error_detail(err, "'%s' is no regular file", path);
		else
			cairn_error_detail(err, "'%s': %s", path, strerror(reason));
		cairn_error_hint(err, "Paths are relative to the workflow file.");
		return;
	}
	binding = add(r, CAIRN_FROM_FILE, text);
	if (binding)
		binding->path = path;
}

static void add_artifact(struct cairn_resolver *r, const char *text)
{
	uint8_t digest[CAIRN_DIGEST_BYTES];
	char hex[2 * CAIRN_DIGEST_BYTES + 1];

	if (cairn_hex_decode(text + strlen("sha256:"), digest, sizeof(digest)) != 0) {
		cairn_error_hint(mistake(r, "not an artifact's id:", text),
			"Write all 64 hexadecimal digits; `cairn ls` shows them.");
		return;
	}
	cairn_hex_encode(digest, sizeof(digest), hex);
	(void)add(r, CAIRN_FROM_ARTIFACT, cairn_arena_printf(r->draft->arena, "sha256:%s", hex));
}

/* Whether there is such a name is the plan's business: this floor has no store. */
static void add_ref(struct cairn_resolver *r, const char *text)
{
	const char *name = text + strlen("ref:");
	cairn_binding *binding;

	if (!*name) {
		cairn_error_hint(mistake(r, "no name after", text),
			"Write ref:NAME with a name that `cairn ls` shows.");
		return;
	}
	binding = add(r, CAIRN_FROM_REF, text);
	if (binding)
		binding->path = name;
}

static void add_planned(struct cairn_resolver *r, const char *text)
{
	const char *meta = cairn_planned__meta(r->draft, text + strlen("planned:"));
	cairn_binding *binding;

	if (!meta) {
		cairn_error_hint(mistake(r, "not a list of sizes:", text),
			"Write planned:KEY=VALUE,KEY=VALUE without blanks, each key once, such as "
			"planned:rows=1000.");
		return;
	}
	binding = add(r, CAIRN_FROM_PLANNED, text);
	if (binding)
		binding->meta = meta;
}

/* "stage:port" for one value of each axis that `from` has. */
static bool match_axes(
	struct cairn_resolver *r, const cairn_draft_stage *from, const char *port, size_t *selected)
{
	cairn_error *err;

	for (size_t i = 0; i < from->n_axes; i++) {
		size_t j = 0;

		while (j < r->stage->n_axes && r->stage->axes[j] != from->axes[i])
			j++;
		if (j < r->stage->n_axes) {
			selected[i] = r->position[j];
			continue;
		}
		err = mistake(r, "there is more than one", from->name);
		cairn_error_detail(err, "'%s' exists once for each '%s', which '%s' does not have",
			from->name, from->axes[i]->name, r->stage->name);
		if (from->n_axes == 1)
			cairn_error_hint(err,
				"Say which: `%s@%s:%s`, or `%s@*:%s` for all of them.", from->name,
				from->axes[i]->values[0], port, from->name, port);
		cairn_error_hint(err,
			"Say which: `%s@VALUE,VALUE:%s` with a value, or *, for each axis.",
			from->name, port);
		return false;
	}
	return true;
}

/* "v1,v2", where each may be "*"; a single "*" stands for all. */
static bool pick_values(struct cairn_resolver *r, const cairn_draft_stage *from, const char *values,
	size_t *selected)
{
	const char *word, *near;
	size_t len, n = 0;
	cairn_error *err;

	if (strcmp(values, "*") == 0 && from->n_axes) {
		for (size_t i = 0; i < from->n_axes; i++)
			selected[i] = ALL;
		return true;
	}
	for (; (len = cairn_draft__word(&values, true, &word)); n++) {
		const cairn_axis *axis = n < from->n_axes ? from->axes[n] : NULL;
		const char *value = cairn_arena_strndup(r->draft->scratch, word, len);

		if (!axis)
			continue;
		selected[n] = ALL;
		if (strcmp(value, "*") == 0)
			continue;
		selected[n] = cairn_map_get(&axis->by_value, value);
		if (selected[n] != CAIRN_MAP_NONE)
			continue;
		err = mistake(r, "unknown value of an axis:", value);
		cairn_error_detail(err, "axis '%s' has %zu value%s", axis->name, axis->n,
			axis->n == 1 ? "" : "s");
		near = cairn_draft__nearest(value, axis->values, axis->n, sizeof(*axis->values));
		if (near)
			cairn_error_hint(err, "Did you mean '%s@%s'?", from->name, near);
		cairn_error_hint(err, "Take one of those in %s.",
			cairn_draft__place(r->draft, axis->entry->place));
		return false;
	}
	if (n == from->n_axes && n > 0)
		return true;
	err = mistake(r, "wrong number of values after '@' for", from->name);
	cairn_error_detail(err, "'%s' has %zu ax%s, %zu value%s given", from->name, from->n_axes,
		from->n_axes == 1 ? "is" : "es", n, n == 1 ? "" : "s");
	cairn_error_hint(
		err, from->n_axes ? "Give one value for each axis of its `foreach`, in that order."
				  : "Leave the '@' out: the stage has no `foreach`.");
	return false;
}

/* Binds every selected instance of `from`, the last axis running fastest. */
static void add_instances(struct cairn_resolver *r, const cairn_draft_stage *from,
	const cairn_port *output, const size_t *selected, const char *text)
{
	size_t counter[CAIRN_MAX_AXES] = {0};

	for (;;) {
		size_t index = 0, axis = from->n_axes;
		cairn_binding *binding;

		for (size_t i = 0; i < from->n_axes; i++)
			index = index * from->axes[i]->n +
				(selected[i] == ALL ? counter[i] : selected[i]);
		index += from->first;
		if (from->n_axes) /* otherwise it was written as it is named */
			text = cairn_arena_printf(r->draft->arena, "%s:%s",
				r->draft->instances[index].name, output->name);
		binding = add(r, CAIRN_FROM_INSTANCE, text);
		if (!binding)
			return;
		binding->instance = (uint32_t)index;
		binding->output = output->name;
		while (axis-- > 0) {
			if (selected[axis] != ALL)
				continue;
			if (++counter[axis] < from->axes[axis]->n)
				break;
			counter[axis] = 0;
		}
		if (axis == SIZE_MAX)
			return;
	}
}

static const cairn_port *find_output(
	struct cairn_resolver *r, const cairn_draft_stage *from, const char *name)
{
	const cairn_plugin_info *info = from->plugin->info;
	static const cairn_port metrics = {
		.name = "metrics", .kind = "metrics", .flags = CAIRN_PORT_OPTIONAL};
	const cairn_port *output = cairn_plugin_output(info, name);
	cairn_text all = {0};
	cairn_error *err;
	const char *near;

	if (output)
		return output;
	if (strcmp(name, metrics.name) == 0)
		return &metrics;
	near = cairn_draft__nearest(name, info->outputs, info->n_outputs, sizeof(*info->outputs));
	err = mistake(r, "unknown output", name);
	cairn_error_detail(err, "stage '%s' runs plugin '%s'", from->name, info->name);
	if (near)
		cairn_error_hint(err, "Did you mean '%s:%s'?", from->name, near);
	for (uint64_t i = 0; i < info->n_outputs; i++)
		cairn_text_printf(&all, "%s%s", i ? ", " : "", info->outputs[i].name);
	cairn_error_hint(err, "Its outputs are: %s; and metrics, its log.", cairn_text_get(&all));
	cairn_text_free(&all);
	return NULL;
}

static void unknown_stage(struct cairn_resolver *r, const char *name)
{
	const cairn_draft *draft = r->draft;
	const char *near =
		cairn_draft__nearest(name, draft->stages, draft->n_stages, sizeof(*draft->stages));
	cairn_error *err = mistake(r, "unknown stage", name);

	if (near)
		cairn_error_hint(err, "Did you mean '%s'?", near);
	cairn_error_hint(err, "Define a section [stage %s], or write file:PATH for a file.",
		cairn_draft__clip(r->draft, name));
}

/* The stage that "stage" or "stage@values" names, of so many bytes; *at is its '@', or NULL. NULL
 * after reporting, here or where that stage is. */
static const cairn_draft_stage *find_stage(
	struct cairn_resolver *r, const char *text, size_t len, const char **at)
{
	const cairn_draft *draft = r->draft;
	const cairn_draft_stage *from;
	size_t found;

	*at = memchr(text, '@', len);
	if (*at)
		len = (size_t)(*at - text);
	found = cairn_map_get_n(&draft->stage_by_name, text, len);
	if (found == CAIRN_MAP_NONE) {
		unknown_stage(r, cairn_arena_strndup(draft->scratch, text, len));
		return NULL;
	}
	from = &draft->stages[found];
	if (!from->is_broken)
		return from;
	r->entry->is_broken = true; /* what it makes is not known */
	return NULL;
}

static void add_stage(struct cairn_resolver *r, const char *text)
{
	cairn_draft *draft = r->draft;
	const char *colon = strchr(text, ':'), *at, *port, *values;
	const cairn_draft_stage *from;
	const cairn_port *output;
	size_t selected[CAIRN_MAX_AXES];
	cairn_error *err;

	if (!colon || !colon[1]) {
		cairn_error_hint(mistake(r, "not a reference:", text),
			"Write STAGE:PORT, STAGE@VALUE:PORT, file:PATH, ref:NAME or sha256:ID.");
		return;
	}
	port = colon + 1;
	from = find_stage(r, text, (size_t)(colon - text), &at);
	if (!from)
		return;
	output = find_output(r, from, port);
	if (!output)
		return;
	if (!cairn_kind_accepts(r->port->kind, output->kind)) {
		err = wrong_kind(r, text, output->kind);
		for (uint64_t i = 0; i < from->plugin->info->n_outputs; i++) {
			output = &from->plugin->info->outputs[i];
			if (cairn_kind_accepts(r->port->kind, output->kind))
				cairn_error_hint(
					err, "Did you mean '%s:%s'?", from->name, output->name);
		}
		cairn_error_hint(err, "Take an output of that kind from another stage.");
		return;
	}
	if (!at) {
		if (match_axes(r, from, port, selected))
			add_instances(r, from, output, selected, text);
		return;
	}
	values = cairn_arena_strndup(draft->scratch, at + 1, (size_t)(colon - at) - 1);
	if (pick_values(r, from, values, selected))
		add_instances(r, from, output, selected, text);
}

static void add_reference(struct cairn_resolver *r, const char *text)
{
	static const struct {
		const char *prefix;
		void (*add)(struct cairn_resolver *r, const char *text);
	} forms[] = {{"file:", add_file}, {"sha256:", add_artifact}, {"ref:", add_ref},
		{"planned:", add_planned}};

	for (size_t i = 0; i < CAIRN_COUNT(forms); i++) {
		if (strncmp(text, forms[i].prefix, strlen(forms[i].prefix)) == 0) {
			forms[i].add(r, text);
			return;
		}
	}
	add_stage(r, text);
}

/* All references of one port. */
static void resolve_port(struct cairn_resolver *r)
{
	const cairn_scope scope = {r->instance->axes, r->instance->n_axes};
	size_t before = r->n, len;
	const char *list, *word;
	cairn_error *err;

	list = cairn_interpolate__entry(r->draft, r->entry, &scope, r->stage->section->title);
	while (list && !r->entry->is_broken && (len = cairn_draft__word(&list, false, &word))) {
		/* The last word is a string as it stands. */
		add_reference(
			r, word[len] ? cairn_arena_strndup(r->draft->arena, word, len) : word);
	}
	if (r->entry->is_broken)
		return;
	if (r->n == before && !(r->port->flags & CAIRN_PORT_OPTIONAL)) {
		cairn_error_hint(mistake(r, "nothing is given for input", r->port->name),
			"Write STAGE:PORT, STAGE@VALUE:PORT, file:PATH, ref:NAME or sha256:ID.");
	} else if (r->n > before + 1 && !(r->port->flags & CAIRN_PORT_MANY)) {
		err = mistake(r, "more than one artifact for input", r->port->name);
		cairn_error_detail(err, "%zu are given; plugin '%s' takes one", r->n - before,
			r->stage->plugin->name);
		cairn_error_hint(err, "Keep one of them.");
	}
}

/* ---- conditions --------------------------------------------------------------------------- */

/* Which instance a metric is of; false after reporting. */
static bool find_metric(struct cairn_resolver *r, cairn_when_ref *ref)
{
	size_t selected[CAIRN_MAX_AXES], index = 0;
	const char *at;
	const cairn_draft_stage *from = find_stage(r, ref->stage, strlen(ref->stage), &at);

	if (!from || !(at ? pick_values(r, from, at + 1, selected)
			  : match_axes(r, from, ref->metric, selected)))
		return false;
	for (size_t i = 0; i < from->n_axes; i++) {
		if (selected[i] == ALL) {
			cairn_error_hint(
				mistake(r, "`when` compares one number, not those of", ref->stage),
				"Name one: `%s@VALUE:%s`, and join comparisons with `and`, `or`.",
				from->name, ref->metric);
			return false;
		}
		index = index * from->axes[i]->n + selected[i];
	}
	ref->instance = from->first + index;
	return true;
}

static void resolve_when(struct cairn_resolver *r, cairn_instance *instance)
{
	const cairn_scope scope = {instance->axes, instance->n_axes};
	const char *title = r->stage->section->title, *text;
	cairn_error err = {0};
	cairn_when *when;

	r->entry = r->draft->keys.when;
	text = cairn_interpolate__entry(r->draft, r->entry, &scope, title);
	if (!text)
		return;
	if (cairn_when_parse(&when, text, r->draft->arena, &err) < 0) {
		cairn_draft__adopt(r->draft, r->entry->place, title, &err);
		r->entry->is_broken = true;
		return;
	}
	for (size_t i = 0; i < when->n_refs; i++) {
		if (!find_metric(r, &when->refs[i]))
			return;
	}
	instance->when = when;
}

/* ---- instances ---------------------------------------------------------------------------- */

static void missing_input(struct cairn_resolver *r)
{
	const char *title = r->stage->section->title;
	cairn_error *err = cairn_draft__mistake(r->draft, r->stage->section->place, title,
		"stage '%s' has no input '%s'", r->stage->name, r->port->name);

	cairn_error_detail(
		err, "plugin '%s' needs it, of kind '%s'", r->stage->plugin->name, r->port->kind);
	cairn_error_hint(err, "Add `input.%s = STAGE:PORT`.", r->port->name);
}

static void resolve_instance(struct cairn_resolver *r, size_t index, bool is_first)
{
	const cairn_plugin_info *info = r->stage->plugin->info;
	cairn_instance *instance = &r->draft->instances[index];
	cairn_binding *bindings;

	r->instance = instance;
	r->n = 0;
	cairn_expand__position(r->stage, index, r->position);
	for (uint64_t i = 0; i < info->n_inputs; i++) {
		r->port = &info->inputs[i];
		r->entry = r->draft->keys.inputs[i];
		if (r->entry)
			resolve_port(r);
		else if (is_first && !(r->port->flags & CAIRN_PORT_OPTIONAL))
			missing_input(r);
	}
	if (r->draft->keys.when)
		resolve_when(r, instance);
	if (!r->n)
		return;
	bindings = cairn_arena_alloc(r->draft->arena, r->n, sizeof(*bindings));
	memcpy(bindings, r->found, r->n * sizeof(*bindings));
	instance->bindings = bindings;
	instance->n_bindings = r->n;
}

cairn_resolver *cairn_resolve__new(cairn_draft *draft)
{
	cairn_resolver *resolver = cairn_arena_alloc(draft->scratch, 1, sizeof(*resolver));

	resolver->draft = draft;
	return resolver;
}

void cairn_resolve__stage(cairn_resolver *resolver, const cairn_draft_stage *stage)
{
	resolver->stage = stage;
	for (size_t i = 0; i < stage->n; i++)
		resolve_instance(resolver, stage->first + i, i == 0);
}
