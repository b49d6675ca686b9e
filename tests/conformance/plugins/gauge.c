/* SPDX-License-Identifier: Apache-2.0 */
/* gauge.c - says in its estimate what it was told of what will compute, and needs what it is told
 * to. Two of them that wait for each other end only where they run beside each other.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cairn/kernels.h"

struct params {
	int64_t micro;
	uint64_t device;
	int32_t recompute;
	const char *mine, *theirs;
};

static const cairn_param params[] = {
	{"micro_tokens", "how work is cut", CAIRN_PARAM_INT, CAIRN_PARAM_NEUTRAL | CAIRN_PARAM_CUTS,
		offsetof(struct params, micro), "64", 1, 1000, "tokens", NULL},
	{"device", "memory of the device that it needs", CAIRN_PARAM_SIZE, 0,
		offsetof(struct params, device), "1M", 0, 0, NULL, NULL},
	{"recompute", "less of it", CAIRN_PARAM_BOOL, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, recompute), "no", 0, 0, NULL, NULL},
	{"mine", "a file to make when it has begun", CAIRN_PARAM_STRING, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, mine), "", 0, 0, NULL, NULL},
	{"theirs", "a file to wait for", CAIRN_PARAM_STRING, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, theirs), "", 0, 0, NULL, NULL},
};

static const cairn_port outputs[] = {{"out", "report", 0, 0, "nothing much"}};

/* Half a minute at most, so that a test which is wrong ends. */
static int meet(const struct params *p)
{
	const struct timespec nap = {.tv_nsec = 5000000};
	FILE *file = *p->mine ? fopen(p->mine, "we") : NULL;

	if (*p->mine && (!file || fclose(file)))
		return CAIRN_EIO;
	for (int i = 0; *p->theirs && access(p->theirs, F_OK); i++) {
		if (i == 6000)
			return CAIRN_EBUSY;
		nanosleep(&nap, NULL);
	}
	return 0;
}

static int run_gauge(const cairn_host *host, cairn_run *run, const void *params_)
{
	const struct params *p = params_;
	const cairn_kernels *kernels;
	cairn_writer *writer;
	int32_t value = (int32_t)(p->device >> 20);
	cairn_tensor tensor = {"value", CAIRN_I32, 1, {1}, &value, sizeof(value)};
	int rc = host->kernels(run, &kernels);

	if (rc == 0)
		rc = meet(p);
	if (rc == 0)
		rc = host->output_begin(run, "out", &writer);
	if (rc == 0)
		rc = host->put(writer, &tensor);
	return rc < 0 ? rc : host->commit(writer);
}

static int estimate(const void *params_, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const struct params *p = params_;

	(void)inputs, (void)n_inputs;
	out->flop = 100;
	out->device_bytes = p->device;
	snprintf(out->outputs, sizeof(out->outputs),
		"{\"out\":{\"in_host_memory\":%d,\"act_bytes\":%d,\"batch_invariant\":%d,"
		"\"wants_packed\":%d,\"enough_rows\":%lld}}",
		out->compute.in_host_memory, out->compute.act_bytes, out->compute.batch_invariant,
		out->compute.wants_packed, (long long)out->compute.enough_rows);
	return 0;
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "gauge",
	.summary = "what the planner knows of what computes",
	.version = "1",
	.license = "Apache-2.0",
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = sizeof(struct params),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.capabilities = CAIRN_NEEDS_KERNELS,
	.run = run_gauge,
	.estimate = estimate,
};
