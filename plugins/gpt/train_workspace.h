/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_workspace.h - what the backend for GPUs takes of the device beside what is asked for.
 *
 * A stage is estimated where there may be no GPU, so what the functions of plugins/kernels/cuda
 * come to is said here once more, each with where it is from. test-cuda-memory holds the sum to
 * what the backend takes.
 */
#ifndef CAIRN_GPT_TRAIN_WORKSPACE_H
#define CAIRN_GPT_TRAIN_WORKSPACE_H

#include "gpt/train_estimate.h"

/* B sequences of T tokens that go through a network at once. */
typedef struct gpt_pass_shape {
	int64_t B, T;
	bool keeps;      /* what backward needs ... */
	bool recomputes; /* ... of which only inputs of layers, then */
	bool is_prefill; /* only its last rows meet the head */
} gpt_pass_shape;

/* Buffers that grow to the largest call and stay; {0} is empty. Bytes. */
typedef struct gpt_workspace {
	double bias;    /* rounded */
	double logits;  /* of a chunk of rows */
	double rows;    /* hidden states of a chunk that have a target */
	double scratch; /* partial sums */
} gpt_workspace;

/* Of what there is from the first call on: products' workspace, the context of CUDA and its
 * modules. The backend's own account (peak_bytes) has only the former. */
#define GPT_DEVICE_PRODUCTS ((double)(32 << 20))
#define GPT_DEVICE_CONTEXT  ((double)(500 << 20))

void gpt_workspace_pass(gpt_workspace *work, const cairn_estimate_compute *compute,
	const gpt_network *network, const gpt_pass_shape *pass);
/* A step of decoding, up to `longest` positions. */
void gpt_workspace_decode(gpt_workspace *work, const cairn_estimate_compute *compute,
	const gpt_network *network, int64_t slots, double longest);
/* An optimizer step. */
void gpt_workspace_update(gpt_workspace *work, const gpt_network *network);
double gpt_workspace_bytes(const gpt_workspace *work);

/* Copies of the matrices of a network as products read them. */
double gpt_workspace_packed(const cairn_estimate_compute *compute, const gpt_network *network);

#endif
