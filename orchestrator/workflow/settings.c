/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.c - the keys of a [stage] that are the runner's: retries, timeout, cpus ...
 *
 * They say how a stage is run, never what comes out of it, and so never enter a key.
 */
#include <string.h>

#include "workflow/draft.h"

const char *const cairn_settings__names[CAIRN_SETTINGS] = {
	[CAIRN_SETTING_RETRIES] = "retries",
	[CAIRN_SETTING_TIMEOUT] = "timeout",
	[CAIRN_SETTING_CPUS] = "cpus",
	[CAIRN_SETTING_GPUS] = "gpus",
	[CAIRN_SETTING_MEMORY] = "memory",
	[CAIRN_SETTING_EXECUTOR] = "executor",
	[CAIRN_SETTING_CHECKPOINT_EVERY] = "checkpoint_every",
	[CAIRN_SETTING_KEEP_CHECKPOINTS] = "keep_checkpoints",
	[CAIRN_SETTING_KEEP_BEST] = "keep_best",
	[CAIRN_SETTING_KEEP_EVERY] = "keep_every",
	[CAIRN_SETTING_SHOW] = "show",
};

const cairn_settings cairn_settings__fallback = {
	.checkpoint_every_s = 10, .keep_checkpoints = 1, .executor = "local"};

static int refuse(
	cairn_error *err, enum cairn_setting setting, const char *text, const char *wanted)
{
	return cairn_error_set(err, CAIRN_EWORKFLOW, "%s must be %s, not '%.60s'",
		cairn_settings__names[setting], wanted, text);
}

static int set_count(int64_t *out, enum cairn_setting setting, int64_t min, int64_t max,
	const char *text, cairn_error *err)
{
	int64_t value;

	if (!cairn_parse_i64(text, &value) || value < min || value > max) {
		refuse(err, setting, text, "a whole number");
		cairn_error_hint(
			err, "Give a number from %lld to %lld.", (long long)min, (long long)max);
		return CAIRN_EWORKFLOW;
	}
	*out = value;
	return 0;
}

/* "50": every 50 steps; "30s": every 30 seconds. */
static int set_checkpoint_every(cairn_settings *out, const char *text, cairn_error *err)
{
	int64_t steps = 0;
	double seconds = 0;

	if (!cairn_parse_i64(text, &steps) && !cairn_parse_duration(text, &seconds))
		steps = 0;
	if (steps <= 0 && !(seconds > 0)) {
		refuse(err, CAIRN_SETTING_CHECKPOINT_EVERY, text, "a time or a number of steps");
		cairn_error_hint(err,
			"Write `30s` or `5m` for a time, or a plain number of steps, e.g. `50`.");
		return CAIRN_EWORKFLOW;
	}
	out->checkpoint_every_steps = steps;
	out->checkpoint_every_s = seconds;
	return 0;
}

/* "valid/loss": the smallest; "accuracy max": the largest. */
static int set_keep_best(
	cairn_settings *out, const char *text, cairn_arena *arena, cairn_error *err)
{
	size_t len = strcspn(text, " \t");
	const char *which = text + len + strspn(text + len, " \t");
	bool is_max = strcmp(which, "max") == 0;

	if (len == 0 || (which[0] && !is_max && strcmp(which, "min") != 0)) {
		refuse(err, CAIRN_SETTING_KEEP_BEST, text, "a metric");
		cairn_error_hint(err, "Write `keep_best = loss` for the smallest, or "
				      "`keep_best = accuracy max` for the largest.");
		return CAIRN_EWORKFLOW;
	}
	out->keep_best = cairn_arena_strndup(arena, text, len);
	out->best_is_largest = is_max;
	return 0;
}

int cairn_settings__set(cairn_settings *out, enum cairn_setting setting, const char *text,
	cairn_arena *arena, cairn_error *err)
{
	int rc = CAIRN_EWORKFLOW;

	switch (setting) {
	case CAIRN_SETTING_RETRIES:
		return set_count(&out->retries, setting, 0, 1000, text, err);
	case CAIRN_SETTING_CPUS:
		return set_count(&out->cpus, setting, 0, 65536, text, err);
	case CAIRN_SETTING_GPUS:
		return set_count(&out->gpus, setting, 0, 65536, text, err);
	case CAIRN_SETTING_KEEP_CHECKPOINTS:
		return set_count(&out->keep_checkpoints, setting, 1, 1000000, text, err);
	case CAIRN_SETTING_KEEP_BEST:
		return set_keep_best(out, text, arena, err);
	case CAIRN_SETTING_KEEP_EVERY:
		return set_count(&out->keep_every, setting, 0, INT64_MAX, text, err);
	case CAIRN_SETTING_CHECKPOINT_EVERY:
		return set_checkpoint_every(out, text, err);
	case CAIRN_SETTING_TIMEOUT:
		if (cairn_parse_duration(text, &out->timeout_s))
			return 0;
		refuse(err, setting, text, "a time");
		cairn_error_hint(err, "Write `90s`, `5m`, `2h` or `1d`; `0` means no limit.");
		return rc;
	case CAIRN_SETTING_MEMORY:
		if (cairn_parse_size(text, &out->memory_bytes))
			return 0;
		refuse(err, setting, text, "a size");
		cairn_error_hint(err, "Write `512M` or `8G`; `0` means no limit.");
		return rc;
	case CAIRN_SETTING_EXECUTOR:
		if (strcmp(text, "local") == 0)
			return 0;
		refuse(err, setting, text, "'local'");
		cairn_error_hint(err, "This version runs stages on this machine only.");
		return rc;
	case CAIRN_SETTING_SHOW:
		if (cairn_parse_bool(text, &out->show))
			return 0;
		refuse(err, setting, text, "yes or no");
		cairn_error_hint(err, "Write `show = yes`, or leave it out.");
		return rc;
	case CAIRN_SETTINGS:
		break;
	}
	CAIRN_UNREACHABLE();
}
