/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matmul.c - computes with the kernels: one product of 4x3 by 3x2 a step, 48 FLOPs, half of
 * it on padding. For the tests of the meter and of kept and wasted work.
 */
#include <string.h>
#include <time.h>

#include "cairn/kernels.h"

struct params {
	int64_t steps;
	double pause; /* seconds a step */
};

static const cairn_param params[] = {
	{"steps", "how many products", CAIRN_PARAM_INT, 0, offsetof(struct params, steps), "10", 1,
		1000, "steps", NULL},
	{"pause", "how long a step takes", CAIRN_PARAM_DURATION, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, pause), "0", 0, 60, NULL, NULL},
};

static const cairn_port outputs[] = {{"out", "report", 0, 0, "the last product"}};

struct state {
	float c[8];
};

static int put_state(const cairn_host *host, cairn_writer *writer, const struct state *state)
{
	cairn_tensor tensor = {"c", CAIRN_F32, 2, {4, 2}, state->c, sizeof(state->c)};
	int rc = host->put(writer, &tensor);

	return rc < 0 ? rc : host->commit(writer);
}

static void multiply(const cairn_kernels *k, struct state *state)
{
	float a[12], b[6];
	cairn_gemm gemm = {.M = 4, .N = 2, .K = 3, .lda = 3, .ldb = 2, .ldc = 2};
	float *A = k->alloc(k, sizeof(a)), *B = k->alloc(k, sizeof(b));
	float *C = k->alloc(k, sizeof(state->c));

	for (int i = 0; i < 12; i++)
		a[i] = (float)i * 0.25f;
	for (int i = 0; i < 6; i++)
		b[i] = state->c[i] * 0.125f + 1;
	k->write(k, A, a, sizeof(a));
	k->write(k, B, b, sizeof(b));
	gemm.A = A, gemm.B = B, gemm.C = C;
	k->gemm(k, &gemm);
	k->read(k, state->c, C, sizeof(state->c));
	k->free(k, A), k->free(k, B), k->free(k, C);
}

static void take_time(double seconds)
{
	const struct timespec pause = {
		.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (time_t)seconds) * 1e9)};

	if (seconds > 0)
		nanosleep(&pause, NULL);
}

static int run_matmul(const cairn_host *host, cairn_run *run, const void *params_)
{
	const struct params *p = params_;
	const cairn_kernels *kernels;
	cairn_artifact checkpoint;
	struct state state = {{0}};
	cairn_writer *writer;
	cairn_tensor tensor;
	bool stops = false;
	uint64_t step = 0;
	int rc = host->kernels(run, &kernels);

	if (rc == 0)
		rc = host->resume(run, &checkpoint, &step);
	if (rc == 1) {
		rc = host->entry_get(run, &checkpoint, "c", &tensor);
		if (rc == 0)
			memcpy(state.c, tensor.data, sizeof(state.c));
	}
	host->account(run, CAIRN_ACCOUNT_FORWARD, 1, 2);
	while (rc >= 0 && !stops && step < (uint64_t)p->steps) {
		cairn_progress progress = {++step, (uint64_t)p->steps, 0, NULL, NULL, 0};
		multiply(kernels, &state);
		take_time(p->pause);
		rc = host->step(run, &progress);
		stops = rc == CAIRN_STOP;
		if (rc != CAIRN_CHECKPOINT && !stops)
			continue;
		rc = host->checkpoint_begin(run, step, &writer);
		if (rc == 0)
			rc = put_state(host, writer, &state);
	}
	if (stops)
		return rc < 0 ? rc : CAIRN_STOPPED;
	if (rc >= 0)
		rc = host->output_begin(run, "out", &writer);
	return rc < 0 ? rc : put_state(host, writer, &state);
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "matmul",
	.summary = "one small product a step",
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
	.run = run_matmul,
};
