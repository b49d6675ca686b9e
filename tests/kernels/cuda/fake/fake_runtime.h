/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_runtime.h - CUDA's runtime as device.c and find.c call it, played in the host's memory.
 *
 * It is as late as a GPU may be: what is put into a stream happens only when somebody waits for it,
 * and a stream runs without the others but for the events it was told to wait for. So bytes that
 * are changed before they were copied, and a fence that is missing, show. It ends the program for
 * what CUDA leaves undefined: copies beyond an allocation, memory freed twice, unknown handles.
 */
#ifndef CAIRN_TESTS_FAKE_RUNTIME_H
#define CAIRN_TESTS_FAKE_RUNTIME_H

#include <cuda_runtime.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct fake_runtime {
	/* What the machine has; to be written. */
	int driver, runtime;
	int devices;
	cudaError_t count_error; /* of cudaGetDeviceCount, whatever it has */
	const char *name;
	size_t memory; /* of the device: it says so, and no more can be had */
	int major, minor, multiprocessors, khz;

	/* The call of this name fails so, after `fails_after` that do not; then it is forgotten. */
	const char *fails;
	int fails_after;
	cudaError_t fails_with;
	/* So many operations of streams are done before one dies with this, and with it the device.
	 */
	int dies_after; /* < 0: none */
	cudaError_t dies_with;

	/* What is in use. */
	int streams, events, graphs, allocations, pinned;
	size_t bytes;
	/* What was called so far. */
	int copies, waits;
} fake_runtime;

extern fake_runtime fake;

/* An H100 with 1 GiB, and nothing in use. */
void fake_runtime_reset(void);
/* As a kernel: `function` is called with `argument` when the stream comes to it. */
void fake_launch(void *stream, void (*function)(void *), void *argument);

#endif
