/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recorder.h - graphs for any backend: calls are kept as they are and done again at a replay.
 *
 * What it lends to its table is what a GPU's graphs promise and demand: between the two calls
 * nothing is read, written or got, and a replay uses the addresses and numbers of the capture.
 */
#ifndef CAIRN_TESTS_GPT_RECORDER_H
#define CAIRN_TESTS_GPT_RECORDER_H

#include "cairn/kernels.h"

typedef struct recorder {
	cairn_kernels k; /* the table to be used */
	const cairn_kernels *inner;
	cairn_graph *capturing;
	int n_captured, n_replayed, n_freed;
	bool refuses; /* to capture: capture_end gives NULL */
} recorder;

void recorder_wrap(recorder *r, const cairn_kernels *inner);

#endif
