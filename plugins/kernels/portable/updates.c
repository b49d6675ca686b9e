/* SPDX-License-Identifier: Apache-2.0 */
/* updates.c - vectors and the optimizer: plain loops, in double. */
#include <math.h>

#include "kernels/portable/ops.h"
#include "kernels/power.h"

static void axpy(const cairn_kernels *k, cairn_real *y, const cairn_real *x, double a, int64_t n)
{
	(void)k;
	for (int64_t i = 0; i < n; i++)
		y[i] = (cairn_real)((double)y[i] + a * (double)x[i]);
}

static void scale(const cairn_kernels *k, cairn_real *x, double a, int64_t n)
{
	(void)k;
	for (int64_t i = 0; i < n; i++)
		x[i] = (cairn_real)((double)x[i] * a);
}

static void ema(
	const cairn_kernels *k, cairn_real *average, const cairn_real *w, double decay, int64_t n)
{
	(void)k;
	for (int64_t i = 0; i < n; i++)
		average[i] = (cairn_real)(decay * (double)average[i] + (1 - decay) * (double)w[i]);
}

static double sum_squares(const cairn_kernels *k, const cairn_real *x, int64_t n)
{
	double sum = 0;

	(void)k;
	for (int64_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)x[i];
	return sum;
}

static void adam(const cairn_kernels *k, const cairn_adam *a)
{
	double c1 = 1 - cairn_power(a->beta1, a->t), c2 = 1 - cairn_power(a->beta2, a->t);

	(void)k;
	for (int64_t i = 0; i < a->n; i++) {
		double g = (double)a->g[i] * a->grad_scale, w = (double)a->w[i];
		double m = a->beta1 * (double)a->m[i] + (1 - a->beta1) * g;
		double v = a->beta2 * (double)a->v[i] + (1 - a->beta2) * g * g;
		double step = a->tf_form ? sqrt(c2) / c1 * m / (sqrt(v) + a->eps)
					 : m / c1 / (sqrt(v / c2) + a->eps);

		a->m[i] = (cairn_real)m;
		a->v[i] = (cairn_real)v;
		a->w[i] = (cairn_real)(w - a->lr * a->weight_decay * w - a->lr * step);
	}
}

void portable_fill_updates(cairn_kernels *k)
{
	k->axpy = axpy;
	k->scale = scale;
	k->ema = ema;
	k->sum_squares = sum_squares;
	k->adam = adam;
}
