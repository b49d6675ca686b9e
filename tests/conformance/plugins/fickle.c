/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fickle.c - a plugin that may repeat, well-behaved or not as a parameter says: what one stage
 * does to the process must not meet the next one.
 *
 * The number of its process is in the summary, so that a test sees who shared one.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "faulty.h"

struct params {
	const char *text;
	int32_t does;
};

enum {
	NOTHING,
	FAIL,
	FAIL_ONCE,
	CRASH,
	HANG,
	WAIT,
	LIE,
	HALF,
	HOG,
	CHAT,
	LARGE,
	STEPS,
	GPU,
};

static const cairn_param table[] = {
	{"text", "goes into the output", CAIRN_PARAM_STRING, 0, offsetof(struct params, text), "",
		0, 0, NULL, NULL},
	{"does", "what else it does", CAIRN_PARAM_ENUM, 0, offsetof(struct params, does), "nothing",
		0, 0, NULL,
		"nothing|fail|fail_once|crash|hang|wait|lie|half|hog|chat|large|steps|gpu"},
};

static const cairn_port inputs[] = {
	{"in", "report", CAIRN_PORT_OPTIONAL | CAIRN_PORT_MANY, 0, "what it waits for"},
};

static int take_steps(const cairn_host *host, cairn_run *run)
{
	struct timespec nap = {.tv_nsec = 20000000};

	for (uint64_t step = 1; step <= 100; step++) {
		cairn_metric metric = {"step", (double)step};
		cairn_progress progress = {step, 100, 0, NULL, &metric, 1};

		nanosleep(&nap, NULL);
		if (host->step(run, &progress) == CAIRN_STOP)
			return CAIRN_STOPPED;
	}
	return CAIRN_DONE;
}

/* The output, without its end. */
static int write_half(const cairn_host *host, cairn_run *run)
{
	cairn_tensor tensor = {"text", CAIRN_U8, 1, {4}, "half", 4};
	cairn_writer *writer;
	int rc = host->output_begin(run, "out", &writer);

	if (rc == 0)
		rc = host->put(writer, &tensor);
	return rc < 0 ? rc : host->fail(run, CAIRN_EINPUT, "in the middle of its output");
}

static int write_large(const cairn_host *host, cairn_run *run, const char *text)
{
	size_t n = (size_t)1 << 20, len = strlen(text);
	char *block = malloc(n + 1);
	int rc;

	if (!block)
		return CAIRN_ENOMEM;
	for (size_t i = 0; i < n; i++)
		block[i] = i < len ? text[i] : (char)('a' + i % 26);
	block[n] = '\0';
	rc = write_out(host, run, block);
	free(block);
	return rc;
}

/* Long enough for another one to begin; the first of its devices is in the summary. */
static void show_gpu(const cairn_host *host, cairn_run *run)
{
	struct timespec nap = {.tv_nsec = 60000000};
	const char *gpus = getenv("CUDA_VISIBLE_DEVICES");

	nanosleep(&nap, NULL);
	host->summary(run, "gpu", gpus && *gpus ? strtod(gpus, NULL) : -1);
}

static int run_fickle(const cairn_host *host, cairn_run *run, const void *params_)
{
	const struct params *params = params_;
	volatile int *volatile nowhere = (volatile int *)64;
	const char *scratch;
	void *volatile block;
	int rc;

	host->summary(run, "pid", (double)getpid());
	switch (params->does) {
	case FAIL:
		return host->fail(run, CAIRN_EINPUT, "as it was told to");
	case FAIL_ONCE:
		scratch = host->scratch(run);
		if (strcmp(scratch + strlen(scratch) - 2, "-1") == 0)
			return host->fail(run, CAIRN_EIO, "the first attempt fails");
		break;
	case CRASH:
		rc = write_out(host, run, params->text);
		*nowhere = 1;
		return rc;
	case HANG:
		while (pause() < 0)
			; /* a signal: wait on */
		break;
	case WAIT:
		return CAIRN_WAITING;
	case LIE:
		return CAIRN_DONE;
	case HALF:
		return write_half(host, run);
	case HOG:
		block = malloc((size_t)256 << 20);
		if (!block)
			return host->fail(run, CAIRN_ENOMEM, "no bytes for the hog");
		free(block);
		break;
	case CHAT:
		puts("to stdout");
		host->log(run, CAIRN_LOG_INFO, "says %s", params->text);
		break;
	case LARGE:
		return write_large(host, run, params->text);
	case STEPS:
		rc = take_steps(host, run);
		if (rc != CAIRN_DONE)
			return rc;
		break;
	case GPU:
		show_gpu(host, run);
		break;
	default:
		break;
	}
	return write_out(host, run, params->text);
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "fickle",
	.summary = "does as it likes, and may be asked again",
	.version = "1",
	.license = "Apache-2.0",
	.params = table,
	.n_params = CAIRN_COUNT(table),
	.params_size = sizeof(struct params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.capabilities = CAIRN_CAN_REPEAT,
	.run = run_fickle,
};
