/* SPDX-License-Identifier: Apache-2.0 */
/* rows.h - rows that are chosen by an index, and dropout, on the GPU. */
#ifndef CAIRN_KERNELS_CUDA_ROWS_H
#define CAIRN_KERNELS_CUDA_ROWS_H

#include "kernels/cuda/types.h"

CAIRN_BEGIN_DECLS

/* out (activations [R,C]) = wte[token] + wpe[position]; a token of -1 gives a row of zeros. */
void cuda_embed(cuda_stream stream, enum cuda_type type, void *out, const int32_t *token,
	const int32_t *position, const float *wte, const float *wpe, int64_t R, int64_t C);

/*
 * dwte[token[r]] += dout[r], dwpe[position[r]] += dout[r]; dout: activations [R,C], R < 2^31; rows
 * whose token is -1 give nothing. A row of dwte or dwpe is added to once, with the sum of the rows
 * of dout that belong to it, whose order depends on the tokens alone.
 */
void cuda_embed_backward(cuda_stream stream, enum cuda_type type, float *dwte, float *dwpe,
	const void *dout, const int32_t *token, const int32_t *position, int64_t R, int64_t C,
	void *workspace);
/* Asks the device that is current. The workspace is aligned to 16 bytes. */
size_t cuda_embed_backward_workspace(int64_t R, int64_t C);

/* out[n,C] = x[index], activations. */
void cuda_gather_rows(cuda_stream stream, enum cuda_type type, void *out, const void *x,
	const int32_t *index, int64_t n, int64_t C);
/* x[index[i]] += rows[i], floats; indices are distinct. */
void cuda_scatter_rows(cuda_stream stream, float *x, const float *rows, const int32_t *index,
	int64_t n, int64_t C);

/* As cairn_kernels.dropout, in place, with the same coins; activations [R,C]. */
void cuda_dropout(cuda_stream stream, enum cuda_type type, void *x, const uint64_t *row_id,
	int64_t R, int64_t C, double p, uint64_t key, uint32_t site);

CAIRN_END_DECLS

#endif
