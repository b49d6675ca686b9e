/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlap.c - writes "+NAME" and, a while later, "-NAME" into a file that all stages share: a test
 * sees which ran at the same time, and with `shows_gpus = yes` on which devices ("+NAME 0,1"). Its
 * estimate claims the memory that it is told to.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "faulty.h"

struct params {
	const char *text, *note;
	uint64_t claim;
	double pause;
	int32_t gpus;
};

static const cairn_param table[] = {
	{"text", "goes into the output, and into the file", CAIRN_PARAM_STRING, 0,
		offsetof(struct params, text), NULL, 0, 0, NULL, NULL},
	{"note", "the file", CAIRN_PARAM_STRING, CAIRN_PARAM_NEUTRAL, offsetof(struct params, note),
		"overlap", 0, 0, NULL, NULL},
	{"claim", "memory of the estimate", CAIRN_PARAM_SIZE, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, claim), "0", 0, 0, NULL, NULL},
	{"pause", "how long it takes", CAIRN_PARAM_DURATION, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, pause), "50ms", 0, 0, NULL, NULL},
	{"shows_gpus", "write down its devices, too", CAIRN_PARAM_BOOL, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, gpus), "no", 0, 0, NULL, NULL},
};

static const cairn_port inputs[] = {
	{"in", "report", CAIRN_PORT_OPTIONAL | CAIRN_PORT_MANY, 0, "what it waits for"},
};

static int note(const struct params *params, char sign)
{
	char line[128];
	const char *gpus = params->gpus ? getenv("CUDA_VISIBLE_DEVICES") : NULL;
	int len = snprintf(line, sizeof(line), "%c%s%s%s\n", sign, params->text, gpus ? " " : "",
		gpus ? gpus : "");
	int fd = open(params->note, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	bool is_written = fd >= 0 && write(fd, line, (size_t)len) == len;

	if (fd >= 0)
		close(fd);
	return is_written ? 0 : CAIRN_EIO;
}

static int run_overlap(const cairn_host *host, cairn_run *run, const void *params_)
{
	const struct params *params = params_;
	struct timespec pause = {(time_t)params->pause,
		(long)((params->pause - (double)(time_t)params->pause) * 1e9)};
	int rc = note(params, '+');

	nanosleep(&pause, NULL);
	if (rc == 0)
		rc = note(params, '-');
	return rc < 0 ? rc : write_out(host, run, params->text);
}

static int estimate(const void *params_, const cairn_estimate_input *bound, uint64_t n_bound,
	cairn_estimate *out)
{
	const struct params *params = params_;

	(void)bound, (void)n_bound;
	out->memory_bytes = params->claim;
	return 0;
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "overlap",
	.summary = "says when it runs",
	.version = "1",
	.license = "Apache-2.0",
	.params = table,
	.n_params = CAIRN_COUNT(table),
	.params_size = sizeof(struct params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run_overlap,
	.estimate = estimate,
};
