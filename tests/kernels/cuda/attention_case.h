/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention_case.h - inputs of attention and bounds of its errors, for the tests of the CUDA
 * kernels. Rows behind a sequence are NaN in all inputs: nothing may read them.
 */
#ifndef CAIRN_TESTS_ATTENTION_CASE_H
#define CAIRN_TESTS_ATTENTION_CASE_H

#include "compare.h"
#include "kernels/cuda/attention.h"

struct attention_case {
	enum cuda_type type;
	int64_t B, T, NH, D;
	bool padded;
	double spread; /* of scores */

	int64_t C() const
	{
		return NH * D;
	}
	int32_t length(int64_t b) const
	{
		return padded ? (int32_t)(b % 4 == 3 ? 0 : T - (b * 71 + 1) % T) : (int32_t)T;
	}
	device_vector<int32_t> lengths() const
	{
		device_vector<int32_t> x;

		for (int64_t b = 0; b < B; b++)
			x.push_back(length(b));
		return x;
	}
	/* [B,T,width], NaN behind each sequence. */
	acts rows(int64_t width, uint64_t seed, double scale) const
	{
		floats x = normal(B * T * width, seed, scale);

		for (int64_t b = 0; b < B; b++)
			for (int64_t i = length(b) * width; i < T * width; i++)
				x[(size_t)(b * T * width + i)] = NAN;
		return acts(type, x);
	}
	acts qkv() const
	{
		return rows(3 * C(), 1, spread);
	}
};

/* Sums of absolute terms: what errors of a known relative size add up to at most. */
struct attention_bounds {
	floats out, dqkv;  /* every P, dS off by its own size */
	floats exact_dqkv; /* every term of the sums off by its own size, times `1` */
};

/* As the reference computes it, in double. out and dout may be empty: forward only. */
static inline attention_bounds attention_bounds_of(
	const attention_case &c, const floats &qkv, const floats &out, const floats &dout)
{
	int64_t C = c.C(), D = c.D, T = c.T;
	double scale = 1 / sqrt((double)D);
	attention_bounds x;

	x.out.assign((size_t)(c.B * T * C), 0);
	x.dqkv.assign((size_t)(c.B * T * 3 * C), 0);
	x.exact_dqkv = x.dqkv;
	for (int64_t b = 0; b < c.B; b++)
		for (int64_t h = 0; h < c.NH; h++)
			for (int64_t t = 0; t < c.length(b); t++) {
				const float *q = &qkv[(size_t)((b * T + t) * 3 * C + h * D)];
				size_t o = (size_t)((b * T + t) * C + h * D);
				std::vector<double> p((size_t)t + 1);
				double best = -INFINITY, sum = 0, delta = 0, delta_size = 0;

				for (int64_t s = 0; s <= t; s++) {
					const float *k = q + (s - t) * 3 * C + C;
					double dot = 0;

					for (int64_t d = 0; d < D; d++)
						dot += (double)q[d] * (double)k[d];
					p[(size_t)s] = dot * scale;
					best = fmax(best, dot * scale);
				}
				for (double &y : p)
					sum += y = exp(y - best);
				for (int64_t d = 0; d < D && !dout.empty(); d++) {
					double y = (double)out[o + (size_t)d] *
						   (double)dout[o + (size_t)d];

					delta += y;
					delta_size += fabs(y);
				}
				for (int64_t s = 0; s <= t; s++) {
					int64_t to_s = (s - t) * 3 * C;
					const float *k = q + to_s + C, *v = k + C;
					size_t to = (size_t)(q - qkv.data());
					double P = p[(size_t)s] / sum, dp = 0, dp_size = delta_size,
					       ds;

					for (int64_t d = 0; d < D; d++)
						x.out[o + (size_t)d] +=
							(float)(P * fabs((double)v[d]));
					if (dout.empty())
						continue;
					for (int64_t d = 0; d < D; d++) {
						double y =
							(double)dout[o + (size_t)d] * (double)v[d];

						dp += y;
						dp_size += fabs(y);
					}
					ds = P * fabs(dp - delta) * scale;
					dp_size *= P * scale;
					for (int64_t d = 0; d < D; d++) {
						size_t at = to + (size_t)d;
						size_t dk = (size_t)((int64_t)at + to_s + C);
						size_t dv = dk + (size_t)C;
						double y = fabs((double)dout[o + (size_t)d]);

						x.dqkv[at] += (float)(ds * fabs((double)k[d]));
						x.dqkv[dk] += (float)(ds * fabs((double)q[d]));
						x.dqkv[dv] += (float)(P * y);
						x.exact_dqkv[at] +=
							(float)(dp_size * fabs((double)k[d]));
						x.exact_dqkv[dk] +=
							(float)(dp_size * fabs((double)q[d]));
						x.exact_dqkv[dv] += (float)(P * y);
					}
				}
			}
	return x;
}

/* |got - want| <= rounding |want| + a size[i] + b exact[i]; zeros stay zeros. */
static inline void check_bounded(const char *what, const attention_case &c, const floats &got,
	const floats &want, double a, const floats &size, double b, const floats &exact)
{
	assert_int_equal(got.size(), want.size());
	for (size_t i = 0; i < got.size(); i++) {
		double allowed = rounding(c.type) * fabs((double)want[i]) + a * (double)size[i] +
				 b * (double)exact[i] + (size[i] > 0 ? 1e-30 : 0);

		if (!(fabs((double)got[i] - (double)want[i]) <= allowed))
			fail_msg("%s[%zu] is %.9g, not %.9g within %.3g (B %d, T %d, NH %d, D %d)",
				what, i, (double)got[i], (double)want[i], allowed, (int)c.B,
				(int)c.T, (int)c.NH, (int)c.D);
	}
}

#endif
