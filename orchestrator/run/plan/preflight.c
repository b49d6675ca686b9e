/* SPDX-License-Identifier: Apache-2.0 */
/*
 * preflight.c - a run that cannot end well is not begun.
 *
 * A stage that outgrows the memory is killed hours into a run, by the kernel, without a word;
 * its estimate (estimate.c) says so before. Of a control group every level up to the root
 * may hold the limit; the smallest counts.
 */
#include "run/plan/preflight.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "run/compute/probe.h"

/* ---- what there is -------------------------------------------------------------------------- */

/* The number in a file; UINT64_MAX where there is none ("max"). */
static uint64_t read_limit(const char *path)
{
	char text[64] = "";
	uint64_t limit;
	FILE *file = fopen(path, "re");

	if (!file)
		return UINT64_MAX;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	return cairn_parse_u64(text, &limit) ? limit : UINT64_MAX;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* `group` and all groups above it, below `root`; `group` is cut on the way. */
static uint64_t group_limit(const char *root, char *group, const char *file)
{
	uint64_t limit = UINT64_MAX;
	char path[PATH_MAX];

	for (;;) {
		char *slash = strrchr(group, '/');

		if (snprintf(path, sizeof(path), "%s%s/%s", root, group, file) < (int)sizeof(path))
			limit = smaller(limit, read_limit(path));
		if (!slash)
			return limit;
		*slash = '\0';
	}
}

/* Lines of /proc/self/cgroup: "0::/path" (version 2), "N:memory:/path" (version 1). */
static uint64_t cgroup_limit(void)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	uint64_t limit = UINT64_MAX;
	char line[PATH_MAX];

	if (!file)
		return limit;
	while (fgets(line, sizeof(line), file)) {
		char *kind = strchr(line, ':'), *path = kind ? strchr(kind + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		if (!kind[1])
			limit = smaller(limit, group_limit("/sys/fs/cgroup", path, "memory.max"));
		else if (strstr(kind, "memory"))
			limit = smaller(limit, group_limit("/sys/fs/cgroup/memory", path,
						       "memory.limit_in_bytes"));
	}
	fclose(file);
	return limit;
}

uint64_t cairn_memory_limit(void)
{
	const char *told = getenv("CAIRN_MEMORY");
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t limit;

	if (told && cairn_parse_size(told, &limit) && limit)
		return limit;
	if (pages <= 0 || page <= 0)
		return 0;
	return smaller((uint64_t)pages * (uint64_t)page, cgroup_limit());
}

uint64_t cairn_memory_claim(const cairn_planned *planned)
{
	if (planned->instance->settings.memory_bytes)
		return planned->instance->settings.memory_bytes;
	if (!planned->cost)
		return 0;
	return planned->cost->lacks_copy ? planned->cost->least_bytes : planned->cost->memory_bytes;
}

/* ---- what is asked for --------------------------------------------------------------------------
 */

static int refuse_planned(const cairn_plan *plan, cairn_error *err)
{
	for (size_t i = 0; i < plan->n_stages; i++) {
		const cairn_instance *instance = plan->stages[i].instance;

		for (size_t b = 0; b < instance->n_bindings; b++) {
			const cairn_binding *binding = &instance->bindings[b];

			if (binding->type != CAIRN_FROM_PLANNED)
				continue;
			cairn_error_set(err, CAIRN_EWORKFLOW,
				"input '%s' of stage '%s' is only planned", binding->port->name,
				instance->name);
			cairn_error_at(err, "%s:%d", binding->place.file, binding->place.line);
			cairn_error_hint(err,
				"Name data that exist in the place of '%.100s'; "
				"`cairn plan` says what the run would cost.",
				binding->text);
			return CAIRN_EWORKFLOW;
		}
	}
	return 0;
}

/* Finer than elsewhere: the two numbers of the message may be close. */
static const char *in_words(char out[32], uint64_t bytes)
{
	return cairn_format_bytes(out, (double)bytes, 99.95);
}

/* What a person can make smaller, of the parameters that the plugin has. */
static const char *what_to_change(const cairn_plugin_info *plugin)
{
	if (!cairn_plugin_param(plugin, "micro_tokens"))
		return "Make its batch or the model smaller";
	return cairn_plugin_param(plugin, "recompute")
		       ? "Make its `micro_tokens` smaller, set `recompute`, or take a smaller model"
		       : "Make its `micro_tokens` or the model smaller";
}

static int too_large(const cairn_planned *planned, uint64_t limit, cairn_error *err)
{
	const cairn_instance *instance = planned->instance;
	char needed[32], there[32];

	cairn_error_set(err, CAIRN_ELIMIT, "stage '%s' needs about %s of memory, there are %s",
		instance->name, in_words(needed, planned->cost->least_bytes),
		in_words(there, limit));
	cairn_error_at(err, "%s:%d", instance->place.file, instance->place.line);
	cairn_error_detail(err, "nothing was run");
	cairn_error_hint(
		err, "%s, or go on anyway with `--overcommit`.", what_to_change(instance->plugin));
	return CAIRN_ELIMIT;
}

/* An estimate that knows too little is too low: what it says is needed at least. */
static int device_too_small(
	const cairn_planned *planned, const cairn_compute *compute, cairn_error *err)
{
	const cairn_instance *instance = planned->instance;
	char needed[32], there[32];

	cairn_error_set(err, CAIRN_ELIMIT,
		"stage '%s' needs about %s of the device's memory, %s has %s", instance->name,
		in_words(needed, planned->cost->device_bytes), compute->backend,
		in_words(there, compute->device_bytes));
	cairn_error_at(err, "%s:%d", instance->place.file, instance->place.line);
	cairn_error_detail(err, "nothing was run");
	cairn_error_hint(
		err, "%s, or go on anyway with `--overcommit`.", what_to_change(instance->plugin));
	return CAIRN_ELIMIT;
}

static bool is_to_run(const cairn_planned *planned)
{
	return planned->state == CAIRN_STATE_READY || planned->state == CAIRN_STATE_PENDING;
}

static int check_stage(const cairn_planned *planned, const cairn_compute *compute, uint64_t limit,
	cairn_error *err)
{
	if (limit && planned->cost->least_bytes > limit)
		return too_large(planned, limit, err);
	if (compute && compute->device_bytes && planned->cost->device_bytes > compute->device_bytes)
		return device_too_small(planned, compute, err);
	return 0;
}

int cairn_preflight(cairn_plan *plan, bool overcommit, cairn_error *err)
{
	uint64_t limit = cairn_memory_limit();
	size_t n = 0;
	int rc = refuse_planned(plan, err);

	for (size_t i = 0; i < plan->n_stages; i++)
		n += is_to_run(&plan->stages[i]);
	if (rc < 0 || n == 0)
		return rc;
	rc = cairn_plan_estimate(plan, err);
	for (size_t i = 0; i < plan->n_stages && rc == 0 && !overcommit; i++) {
		const cairn_planned *planned = &plan->stages[i];

		if (is_to_run(planned) && planned->cost)
			rc = check_stage(planned, plan->compute, limit, err);
	}
	return rc;
}
