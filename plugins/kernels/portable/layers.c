/* SPDX-License-Identifier: Apache-2.0 */
/* layers.c - embedding, layer norm, gelu, bias, dropout and rows: plain loops. */
#include <math.h>
#include <string.h>

#include "gpt/rng.h"
#include "kernels/portable/ops.h"

static void embed(const cairn_kernels *k, cairn_real *out, const int32_t *token,
	const int32_t *position, const cairn_real *wte, const cairn_real *wpe, int64_t R, int64_t C)
{
	(void)k;
	for (int64_t r = 0; r < R; r++)
		for (int64_t c = 0; c < C; c++)
			out[r * C + c] =
				token[r] < 0 ? 0 : wte[token[r] * C + c] + wpe[position[r] * C + c];
}

static void embed_backward(const cairn_kernels *k, cairn_real *dwte, cairn_real *dwpe,
	const cairn_real *dout, const int32_t *token, const int32_t *position, int64_t R, int64_t C)
{
	(void)k;
	for (int64_t r = 0; r < R; r++) {
		for (int64_t c = 0; token[r] >= 0 && c < C; c++) {
			dwte[token[r] * C + c] += dout[r * C + c];
			dwpe[position[r] * C + c] += dout[r * C + c];
		}
	}
}

static void layernorm(const cairn_kernels *k, cairn_real *out, cairn_real *mean, cairn_real *rstd,
	cairn_real *sum, const cairn_real *a, const cairn_real *b, const cairn_real *gain,
	const cairn_real *bias, int64_t R, int64_t C)
{
	double *x = portable_scratch(C, sizeof(*x));

	(void)k;
	for (int64_t r = 0; r < R; r++) {
		double m = 0, v = 0, s;

		for (int64_t c = 0; c < C; c++) {
			x[c] = (double)a[r * C + c] + (b ? (double)b[r * C + c] : 0);
			if (sum)
				sum[r * C + c] = (cairn_real)x[c];
			x[c] = (double)(cairn_real)x[c];
			m += x[c];
		}
		m /= (double)C;
		for (int64_t c = 0; c < C; c++)
			v += (x[c] - m) * (x[c] - m);
		s = 1 / sqrt(v / (double)C + 1e-5);
		for (int64_t c = 0; c < C; c++)
			out[r * C + c] =
				(cairn_real)((x[c] - m) * s * (double)gain[c] + (double)bias[c]);
		if (mean)
			mean[r] = (cairn_real)m;
		if (rstd)
			rstd[r] = (cairn_real)s;
	}
	free(x);
}

static void layernorm_backward(const cairn_kernels *k, cairn_real *dx, cairn_real *dgain,
	cairn_real *dbias, const cairn_real *dout, const cairn_real *x, const cairn_real *gain,
	const cairn_real *mean, const cairn_real *rstd, int64_t R, int64_t C, int64_t cut)
{
	(void)k;
	(void)cut; /* rows are added one by one: no split of them is another sum */
	for (int64_t r = 0; r < R; r++) {
		const cairn_real *d = dout + r * C, *row = x + r * C;
		double m = (double)mean[r], s = (double)rstd[r], sum = 0, dot = 0;

		for (int64_t c = 0; c < C; c++) {
			double dn = (double)d[c] * (double)gain[c];

			sum += dn;
			dot += dn * ((double)row[c] - m) * s;
		}
		for (int64_t c = 0; c < C; c++) {
			double n = ((double)row[c] - m) * s;
			double dn = (double)d[c] * (double)gain[c];

			dx[r * C + c] += (cairn_real)(s * (dn - (sum + n * dot) / (double)C));
			dgain[c] += (cairn_real)((double)d[c] * n);
			dbias[c] += d[c];
		}
	}
}

static void gelu_backward(const cairn_kernels *k, cairn_real *d, const cairn_real *z, int64_t n)
{
	const double a = 0.7978845608028654, b = 0.044715;

	(void)k;
	for (int64_t i = 0; i < n; i++) {
		double x = (double)z[i], t = tanh(a * (x + b * x * x * x));
		double slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * a * (1 + 3 * b * x * x);

		d[i] = (cairn_real)((double)d[i] * slope);
	}
}

static void bias_backward(const cairn_kernels *k, cairn_real *dbias, const void *of, bool act,
	int64_t R, int64_t N, int64_t cut)
{
	const cairn_real *dout = of;
	int64_t rows = cut > 0 ? cut : R;

	(void)k, (void)act;
	for (int64_t j = 0; j < N; j++) {
		for (int64_t first = 0; first < R; first += rows) {
			double sum = 0;

			for (int64_t r = first; r < R && r < first + rows; r++)
				sum += (double)dout[r * N + j];
			dbias[j] += (cairn_real)sum;
		}
	}
}

static void dropout(const cairn_kernels *k, cairn_real *x, const uint64_t *row_id, int64_t R,
	int64_t C, double p, uint64_t key, uint32_t site)
{
	uint32_t threshold = (uint32_t)(p * 0x1p32);
	cairn_real scale = (cairn_real)(1 / (1 - p));

	(void)k;
	CAIRN_ASSERT(p >= 0 && p < 1);
	for (int64_t r = 0; r < R; r++) {
		for (int64_t c = 0; c < C; c++) {
			uint32_t counter[4] = {(uint32_t)row_id[r], (uint32_t)(row_id[r] >> 32),
				site, (uint32_t)(c / 4)};
			uint32_t coin[4];

			gpt_philox(key, counter, coin);
			x[r * C + c] = coin[c % 4] < threshold ? 0 : x[r * C + c] * scale;
		}
	}
}

static void gather_rows(const cairn_kernels *k, cairn_real *out, const cairn_real *x,
	const int32_t *index, int64_t n, int64_t C)
{
	(void)k;
	for (int64_t i = 0; i < n; i++)
		memcpy(out + i * C, x + index[i] * C, sizeof(*x) * (size_t)C);
}

static void scatter_rows(const cairn_kernels *k, cairn_real *x, const cairn_real *rows,
	const int32_t *index, int64_t n, int64_t C)
{
	(void)k;
	for (int64_t i = 0; i < n; i++)
		for (int64_t c = 0; c < C; c++)
			x[index[i] * C + c] += rows[i * C + c];
}

void portable_fill_layers(cairn_kernels *k)
{
	k->embed = embed;
	k->embed_backward = embed_backward;
	k->layernorm = layernorm;
	k->layernorm_backward = layernorm_backward;
	k->gelu_backward = gelu_backward;
	k->bias_backward = bias_backward;
	k->dropout = dropout;
	k->gather_rows = gather_rows;
	k->scatter_rows = scatter_rows;
}
