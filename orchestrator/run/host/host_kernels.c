/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_kernels.c - the compute backend, opened when the plugin first asks for it.
 *
 * A stage opens the one that was planned with (compute/probe.h) and no other: its key says in what
 * numbers it computes. A tool takes the best there is. The plugin gets the table wrapped by the
 * meter.
 *
 * Calls of the table cannot fail, but a device can. So it is asked whether all went well before
 * anything that was computed is believed: a checkpoint, the outputs.
 */
#include <string.h>

#include "run/compute/backends.h"
#include "run/compute/probe.h"
#include "run/host/host.h"

/* ---- opening ------------------------------------------------------------------------------- */

static int open_planned(cairn_run *run, cairn_kernels_backend *backend, cairn_error *err)
{
	int rc = cairn_backend_load(backend, run->job.backend, err);

	if (rc == 0)
		rc = cairn_backend_open(
			&run->inner, backend, (int)run->job.threads, run->job.backend, err);
	run->is_planned_wrong = rc < 0;
	if (rc < 0)
		cairn_error_hint(err, "Run again: the plan is then made anew for what there is.");
	return rc;
}

static int open_best(cairn_run *run, cairn_kernels_backend *backend, cairn_error *err)
{
	cairn_candidates *candidates = cairn_arena_alloc(run->arena, 1, sizeof(*candidates));
	cairn_text others = {0};
	int rc;

	cairn_candidates_find(candidates, run->job.device, run->arena);
	rc = cairn_backend_open_best(
		&run->inner, backend, candidates, run->job.device, (int)run->job.threads, err);
	if (rc == 0) {
		cairn_candidates_say(&others, candidates);
		run->job.passed_over = cairn_arena_strdup(run->arena, cairn_text_get(&others));
	}
	cairn_text_free(&others);
	return rc;
}

/* The key was computed for one numeric class: another would be another result. A tool has no
 * key. */
static int check_numerics(cairn_run *run, cairn_error *err)
{
	const cairn_job *job = &run->job;
	bool is_same = strcmp(run->inner.numerics, job->numerics) == 0;

	if (!job->numerics[0] ||
		(is_same && job->is_batch_invariant == (run->inner.batch_invariant != 0)))
		return 0;
	run->is_planned_wrong = true;
	if (is_same)
		cairn_error_set(err, CAIRN_EABI,
			"'%s' was planned for results that %s on how work is cut, and those of "
			"%s do%s",
			job->instance, job->is_batch_invariant ? "do not depend" : "depend",
			run->backend, job->is_batch_invariant ? "" : " not");
	else
		cairn_error_set(err, CAIRN_EABI,
			"'%s' was planned for '%s', and %s computes in '%s'", job->instance,
			job->numerics, run->backend, run->inner.numerics);
	cairn_error_detail(err, "what computes here changed after it was looked at");
	cairn_error_hint(err, "Run again: the plan is then made anew for what there is.");
	return CAIRN_EABI;
}

static int open_backend(cairn_run *run, cairn_error *err)
{
	cairn_kernels_backend backend;
	int rc =
		run->job.backend ? open_planned(run, &backend, err) : open_best(run, &backend, err);

	if (rc < 0)
		return rc;
	run->kernels_close = backend.close;
	run->backend = cairn_arena_strdup(run->arena, run->inner.name);
	return check_numerics(run, err);
}

int cairn_host_kernels(cairn_run *run, const cairn_kernels **out)
{
	cairn_error *err = cairn_host_err(run);
	int rc;

	if (!(run->plugin.capabilities & CAIRN_NEEDS_KERNELS))
		return cairn_error_set(err, CAIRN_EBUG,
			"plugin '%s' uses kernels but does not say that it needs them",
			run->plugin.name);
	if (!run->has_kernels) {
		rc = open_backend(run, err);
		if (rc < 0)
			return rc;
		cairn_meter_wrap(&run->kernels, &run->inner, &run->meter);
		run->has_kernels = true;
		cairn_host_log(run, CAIRN_LOG_DEBUG, "computing with %s, %d threads%s%s",
			run->backend, run->inner.threads,
			run->job.passed_over[0] ? "; not with " : "", run->job.passed_over);
	}
	*out = &run->kernels;
	return 0;
}

/* ---- believing ----------------------------------------------------------------------------- */

void cairn_host_kernels_add_estimate(const cairn_run *run, cairn_error *err)
{
	static const char told[] = "the plan expected";
	size_t len = strlen(err->detail);
	char bytes[32];

	if (run->job.device_bytes && !strstr(err->detail, told))
		snprintf(err->detail + len, sizeof(err->detail) - len,
			"%s%s it to need %s of the device's memory", len ? "; " : "", told,
			cairn_format_bytes(bytes, (double)run->job.device_bytes, 99.95));
}

int cairn_host_kernels_status(cairn_run *run, cairn_error *err)
{
	int rc = run->has_kernels && run->inner.status ? run->inner.status(&run->inner, err) : 0;

	if (rc < 0)
		cairn_error_set(
			err, CAIRN_EDEVICE, "%s failed, and does not say why", run->backend);
	if (rc < 0 && err)
		cairn_host_kernels_add_estimate(run, err);
	return rc;
}

json_t *cairn_host_kernels_record(cairn_run *run)
{
	char *text;
	json_t *json;

	if (!run->has_kernels)
		return NULL;
	json = json_pack(
		"{s:s, s:f}", "numerics", run->inner.numerics, "peak_flops", run->inner.peak_flops);
	text = run->inner.describe ? run->inner.describe(&run->inner) : NULL;
	if (text && text[0])
		json_object_set_new(json, "chosen", cairn_record_text(text));
	free(text);
	return json;
}

void cairn_host_kernels_forget(cairn_run *run)
{
	if (run->is_planned_wrong)
		cairn_compute_forget(run->store, run->job.device);
}

void cairn_host_kernels_close(cairn_run *run)
{
	if (run->kernels_close)
		run->kernels_close(&run->inner);
	run->kernels_close = NULL;
}
