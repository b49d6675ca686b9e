/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sloppy.c - a plugin with every bad habit that only a run shows, one at a time; `habit = none` is
 * a good one. For the tests of `cairn plugins check`.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "cairn/kernels.h"

#define STEPS 8

enum habit {
	NONE,
	DICE,
	ZONE,
	LITTER,
	CHILD,
	DEAF,
	AGAIN,
	IDLE,
	BOAST,
	FAT,
	RUSH
};

struct params {
	int32_t habit;
};

static const cairn_param params[] = {
	{"habit", "what it does wrong", CAIRN_PARAM_ENUM, 0, offsetof(struct params, habit), "none",
		0, 0, NULL, "none|dice|zone|litter|child|deaf|again|idle|boast|fat|rush"},
};

static const cairn_port outputs[] = {{"out", "report", 0, 0, "the sum"}};

struct state {
	uint64_t step, sum;
};

static void nap(double seconds)
{
	struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

	nanosleep(&time, NULL);
}

/* 48 FLOP. */
static void compute(const cairn_kernels *k)
{
	cairn_gemm gemm = {.M = 4, .N = 2, .K = 3, .lda = 3, .ldb = 2, .ldc = 2};
	float *A = k->alloc(k, 12 * sizeof(float)), *B = k->alloc(k, 6 * sizeof(float));
	float *C = k->alloc(k, 8 * sizeof(float));

	gemm.A = A, gemm.B = B, gemm.C = C;
	k->gemm(k, &gemm);
	k->free(k, A), k->free(k, B), k->free(k, C);
}

/* What the habit puts into the sum, or leaves behind. */
static uint64_t sin_of(enum habit habit)
{
	uint64_t value = 1;
	volatile char *block;
	int fd;

	switch (habit) {
	case DICE:
		if (getrandom(&value, sizeof(value), 0) < 0)
			return 2;
		break;
	case ZONE:
		tzset();
		value = (uint64_t)timezone;
		break;
	case LITTER:
		fd = open("left-behind", O_WRONLY | O_CREAT, 0600);
		if (fd >= 0)
			close(fd);
		break;
	case CHILD:
		if (fork() == 0) {
			setsid();
			for (fd = 0; fd < 64; fd++)
				close(fd);
			nap(30);
			_exit(0);
		}
		break;
	case FAT:
		block = malloc((size_t)200 << 20);
		for (size_t i = 0; block && i < (size_t)200 << 20; i += 4096)
			block[i] = 1;
		break;
	default:
		break;
	}
	return value;
}

static int put(const cairn_host *host, cairn_writer *writer, const struct state *state)
{
	cairn_tensor tensor = {"state", CAIRN_U8, 1, {sizeof(*state)}, state, sizeof(*state)};
	int rc = host->put(writer, &tensor);

	return rc < 0 ? rc : host->commit(writer);
}

static int resume(const cairn_host *host, cairn_run *run, enum habit habit, struct state *state)
{
	cairn_artifact checkpoint;
	cairn_tensor tensor;
	uint64_t step;
	int rc = habit == AGAIN ? 0 : host->resume(run, &checkpoint, &step);

	if (rc == 1)
		rc = host->entry_get(run, &checkpoint, "state", &tensor);
	else
		return rc;
	if (rc == 0)
		memcpy(state, tensor.data, sizeof(*state));
	return rc;
}

static int run_sloppy(const cairn_host *host, cairn_run *run, const void *params_)
{
	enum habit habit = (enum habit)((const struct params *)params_)->habit;
	const cairn_kernels *kernels;
	struct state state = {0};
	cairn_writer *writer;
	int rc = host->kernels(run, &kernels);

	if (rc == 0)
		rc = resume(host, run, habit, &state);
	while (rc >= 0 && state.step < STEPS) {
		cairn_progress progress = {++state.step, STEPS, 0, NULL, NULL, 0};
		int answer;
		if (habit != IDLE)
			compute(kernels);
		if (state.step == 2)
			state.sum += sin_of(habit);
		state.sum = state.sum * 31 + state.step;
		/* A step takes a while, so that it can be asked to stop; a deaf one hears nothing.
		 */
		for (int i = 0; habit == DEAF && state.step == 1 && i < 50; i++)
			nap(0.01);
		nap(0.01);
		answer = rc = host->step(run, &progress);
		if (habit == RUSH && answer == CAIRN_STOP)
			return CAIRN_STOPPED;
		if (rc > 0)
			rc = host->checkpoint_begin(run, state.step, &writer);
		if (rc == 0 && answer > 0)
			rc = put(host, writer, &state);
		if (rc == 0 && answer == CAIRN_STOP)
			return CAIRN_STOPPED;
	}
	if (rc >= 0)
		rc = host->output_begin(run, "out", &writer);
	return rc < 0 ? rc : put(host, writer, &state);
}

static int estimate(const void *params_, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	enum habit habit = (enum habit)((const struct params *)params_)->habit;

	(void)inputs, (void)n_inputs;
	out->flop = 48.0 * STEPS * (habit == BOAST ? 0.01 : 1);
	out->memory_bytes = 10u << 20;
	return 0;
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "sloppy",
	.summary = "good, or with one bad habit",
	.version = "1",
	.license = "Apache-2.0",
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = sizeof(struct params),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.capabilities = CAIRN_CAN_CHECKPOINT | CAIRN_NEEDS_KERNELS,
	.state_version = 1,
	.state_version_oldest = 1,
	.run = run_sloppy,
	.estimate = estimate,
};
