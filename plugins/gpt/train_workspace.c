/* SPDX-License-Identifier: Apache-2.0 */
/* train_workspace.c - see train_workspace.h. Names in comments are of plugins/kernels/cuda. */
#include "gpt/train_workspace.h"

/* products.c: PAD_ROWS, PAD_COLUMNS, LOGITS_BYTES */
#define PAD_ROWS     128
#define PAD_COLUMNS  8
#define LOGITS_BYTES ((int64_t)512 << 20)

static int64_t pieces(int64_t n, int64_t of)
{
	return (n + of - 1) / of;
}

static int64_t round_up(int64_t n, int64_t to)
{
	return pieces(n, to) * to;
}

static int64_t bounded(int64_t n, int64_t least, int64_t most)
{
	return n < least ? least : n > most ? most : n;
}

static void grow(double *buffer, int64_t bytes)
{
	*buffer = (double)bytes > *buffer ? (double)bytes : *buffer;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* ---- buffers of products.c ------------------------------------------------------------------- */

/* make_logits(): rows of a chunk as chunk_rows() has it, of all logits. Returns the rows. */
static int64_t logits_of(gpt_workspace *work, const gpt_config *config, int64_t R)
{
	int64_t padded = round_up(config->n_vocab, PAD_ROWS);
	int64_t row = padded * (int64_t)sizeof(float);
	int64_t rows = larger(LOGITS_BYTES / row / 128 * 128, 128);

	rows = rows < R ? rows : R;
	grow(&work->logits, rows * row);
	return rows;
}

/* narrowed(): biases of products in bf16 are rounded; no buffer is below 256 bytes. */
static void bias_of(
	gpt_workspace *work, const cairn_estimate_compute *compute, const gpt_config *config)
{
	int64_t columns = larger(3 * (int64_t)config->n_embd, config->n_inner);

	if (compute->act_bytes == 2)
		grow(&work->bias, larger(round_up(columns, PAD_COLUMNS) * 2, 256));
}

/* packed_bytes(): stored [K,N] or [N,K], whichever is larger. */
static double packed_matrix(const cairn_estimate_compute *compute, int64_t K, int64_t N)
{
	int64_t plain = K * round_up(N, PAD_COLUMNS);
	int64_t transposed = round_up(N, PAD_ROWS) * round_up(K, PAD_COLUMNS);

	return (double)larger(plain, transposed) * compute->act_bytes;
}

/* The matrices that model_packed.c packs. */
double gpt_workspace_packed(const cairn_estimate_compute *compute, const gpt_network *network)
{
	const gpt_config *config = &network->config;
	int64_t C = config->n_embd, inner = config->n_inner;
	double layer = packed_matrix(compute, C, 3 * C) + packed_matrix(compute, C, C) +
		       packed_matrix(compute, C, inner) + packed_matrix(compute, inner, C);

	if (!network->has_shape)
		return network->n_params * compute->act_bytes;
	return config->n_layer * layer +
	       (network->head == GPT_HEAD_LM ? packed_matrix(compute, C, config->n_vocab) : 0);
}

/* ---- scratch: one buffer, as large as the largest of these -------------------------------------
 */

/* attention_backward.cu, cuda_attention_workspace(): two numbers a row of whole tiles of 128; the
 * forward pass asks for as much. */
static int64_t attention(const gpt_config *config, const gpt_pass_shape *pass)
{
	return pass->B * config->n_head * 2 * round_up(pass->T, 128) * (int64_t)sizeof(float);
}

/* norm.cu, cuda_layernorm_backward_workspace(): two sums a channel of each chunk of rows; about a
 * thousand chunks, of 8 (NORM_WARPS) to 64 rows. */
static int64_t norm_backward(const gpt_config *config, int64_t R)
{
	int64_t rows = bounded(round_up(pieces(R, 1024), 8), 8, 64);

	return pieces(R, rows) * 2 * config->n_embd * (int64_t)sizeof(float);
}

/* reduce.cu, cuda_bias_backward_workspace(): a sum a column of each block of 16 to 256 rows. */
static int64_t bias_backward(const gpt_config *config, int64_t R)
{
	int64_t rows = bounded(round_up(pieces(R, 512), 8), 16, 256);
	int64_t columns = larger(3 * (int64_t)config->n_embd, config->n_inner);

	return pieces(R, rows) * columns * (int64_t)sizeof(float);
}

/* rows.cu, embed_places: four lists of R numbers, two sums a channel of each 32 rows; and what
 * sorting by radix takes: a second list of keys and one of values, and counts. */
static int64_t embed_backward(const gpt_config *config, int64_t R)
{
	int64_t list = round_up(R, 64) * (int64_t)sizeof(uint32_t);

	return 4 * list +
	       round_up(pieces(R, 32) * 2 * config->n_embd, 64) * (int64_t)sizeof(float) + 2 * list;
}

/* product.cu, cuda_product_workspace(): a sum of K terms is cut into up to 64 parts of 512 where M
 * rows are less than 256 tiles of 32. The head of a reward model has C terms for each row, its
 * gradient R terms for each channel. */
static int64_t parts_of(int64_t M, int64_t K)
{
	int64_t parts = bounded(pieces(K, 512), 1, 64);

	return parts > 1 && pieces(M, 32) < 256 ? parts * M * (int64_t)sizeof(float) : 0;
}

static int64_t scalar_head(const gpt_config *config, int64_t R)
{
	return larger(parts_of(R, config->n_embd), parts_of(config->n_embd, R));
}

/* reduce.cu, cuda_sum_squares_workspace(), behind the 64 bytes of layers.c. */
void gpt_workspace_update(gpt_workspace *work, const gpt_network *network)
{
	grow(&work->scratch, 64 + pieces((int64_t)network->n_params, 256 * 64) * 8);
}

void gpt_workspace_pass(gpt_workspace *work, const cairn_estimate_compute *compute,
	const gpt_network *network, const gpt_pass_shape *pass)
{
	const gpt_config *config = &network->config;
	int64_t R = pass->B * pass->T, rows;

	if (!network->has_shape)
		return;
	bias_of(work, compute, config);
	grow(&work->scratch, attention(config, pass));
	if (network->head == GPT_HEAD_LM && !pass->is_prefill) {
		rows = logits_of(work, config, R);
		if (pass->keeps) /* head_backward(): CUDA_BUFFER_H */
			grow(&work->rows, rows * config->n_embd * compute->act_bytes);
	}
	if (network->head == GPT_HEAD_SCALAR)
		grow(&work->scratch, scalar_head(config, R));
	if (!pass->keeps)
		return;
	grow(&work->scratch, norm_backward(config, R));
	grow(&work->scratch, bias_backward(config, R));
	grow(&work->scratch, embed_backward(config, R));
}

/* cache.cu, cuda_decode_workspace(): where positions are shared out among blocks of 128. */
void gpt_workspace_decode(gpt_workspace *work, const cairn_estimate_compute *compute,
	const gpt_network *network, int64_t slots, double longest)
{
	const gpt_config *config = &network->config;
	int64_t splits = pieces((int64_t)longest, 128);

	if (!network->has_shape)
		return;
	bias_of(work, compute, config);
	(void)logits_of(work, config, slots);
	if (splits > 1)
		grow(&work->scratch, slots * splits *
					     (config->n_embd + 2 * (int64_t)config->n_head) *
					     (int64_t)sizeof(float));
}

double gpt_workspace_bytes(const gpt_workspace *work)
{
	return work->bias + work->logits + work->rows + work->scratch;
}
