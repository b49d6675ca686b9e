/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpu.c - a device of the tests: memory of its own, other numbers, results that follow from the
 * shape of a call. What becomes of it is in the environment:
 *
 *   FAKE_GPU=absent   there is none, and open() says so, with a hint
 *            busy     there is one, and it cannot be opened
 *            other    a library was updated: its numbers are others
 *            even     ... or its results do not depend on shapes any more
 *            ill:N    it fails after N products; what it computes from then on is nothing
 *            odd      it was asked for what it does not know
 *   FAKE_GPU_LOG=F    appends a line to the file F whenever it is opened
 */
#include <stdio.h>

#include "tiny.h"

static int n_left = -1; /* products until it fails; < 0: it does not */

static bool is(const char *what)
{
	const char *state = getenv("FAKE_GPU");

	return state && strncmp(state, what, strlen(what)) == 0;
}

static int gpu_score(void)
{
	return is("absent") ? 0 : 1000;
}

static void gpu_gemm(const cairn_kernels *k, const cairn_gemm *g)
{
	if (n_left == 0)
		return;
	n_left -= n_left > 0;
	tiny_gemm(k, g);
}

static int refuse(int code, cairn_error *err, const char *message, const char *hint)
{
	*err = (cairn_error){.code = code};
	snprintf(err->message, sizeof(err->message), "%s", message);
	snprintf(err->hint, sizeof(err->hint), "%s", hint);
	return code;
}

static int gpu_status(const cairn_kernels *k, cairn_error *err)
{
	(void)k;
	if (n_left != 0)
		return 0;
	return refuse(CAIRN_EDEVICE, err, "a product failed: unspecified launch failure",
		"Look at the device's own log.");
}

static char *gpu_describe(const cairn_kernels *k)
{
	(void)k;
	return strdup("product 4x2x3: algorithm 17\nproduct 8x2x3: algorithm 4\n");
}

static char *gpu_look(void)
{
	return strdup(
		is("absent") ? "driver: none\n" : "driver: 1.2.3\ndevice 0: Fake One, 1 GiB\n");
}

static void log_opening(void)
{
	const char *path = getenv("FAKE_GPU_LOG");
	FILE *file = path ? fopen(path, "a") : NULL;

	if (!file)
		return;
	fputs("opened\n", file);
	fclose(file);
}

static int gpu_open(cairn_kernels *out, int threads, cairn_error *err)
{
	log_opening();
	if (is("absent"))
		return refuse(CAIRN_EDEVICE, err, "no fake device was found",
			"Put one into the machine.");
	if (is("busy"))
		return refuse(
			CAIRN_EDEVICE, err, "the fake device is in use", "Wait until it is free.");
	if (is("odd"))
		return refuse(
			CAIRN_EPARAM, err, "unknown type 'odd' in FAKE_GPU", "Unset FAKE_GPU.");
	if (is("ill:"))
		n_left = atoi(getenv("FAKE_GPU") + 4);
	tiny_fill(out, threads);
	out->name = "cuda/test (Fake One)";
	out->numerics = is("other") ? "cuda-test-v2" : "cuda-test-v1";
	out->batch_invariant = is("even");
	out->wants_packed = 0;
	out->enough_rows = 777;
	out->device_bytes = 1u << 30;
	out->peak_flops = 1e12;
	out->gemm = gpu_gemm;
	out->status = gpu_status;
	out->describe = gpu_describe;
	return 0;
}

TINY_EXPORT(.name = "cuda", .score = gpu_score, .open = gpu_open, .look = gpu_look);
