/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adam.cu - AdamW. 28 bytes of memory an element and hardly any arithmetic, so it runs at the speed
 * of memory: four elements a thread in accesses of 16 bytes.
 *
 * In floats, with every factor that a step has once computed in double on the host. The moments are
 * moved towards the new value, m + (1 - beta1)(g - m), and w is changed by one difference: written
 * as beta1 m + (1 - beta1) g and (1 - lr decay) w, the rounding of the factors themselves would act
 * like another decay, the same way in every step.
 */
#include <math.h>

#include "kernels/cuda/adam.h"
#include "kernels/cuda/device.cuh"
#include "kernels/power.h"

enum {
	ADAM_THREADS = 256,
	ADAM_WIDE = 4, /* elements of a thread */
};

namespace
{

struct adam_factors {
	float grad_scale, to_m, to_v; /* 1 - beta1, 1 - beta2 */
	float m_scale, v_scale;       /* what makes the moments unbiased */
	float lr, decay, eps;         /* decay: lr * weight_decay */
};

} // namespace

static __device__ __forceinline__ void adam_element(
	float &w, float g, float &m, float &v, const adam_factors &f)
{
	g *= f.grad_scale;
	m = fmaf(f.to_m, g - m, m);
	v = fmaf(f.to_v, g * g - v, v);
	float step = f.m_scale * m / (sqrtf(v * f.v_scale) + f.eps);
	w -= fmaf(f.lr, step, f.decay * w);
}

__global__ void __launch_bounds__(ADAM_THREADS)
	adam_update(float *__restrict__ w, const float *__restrict__ g, float *__restrict__ m,
		float *__restrict__ v, int64_t n, bool wide, adam_factors f)
{
	int64_t first = flat_index() * ADAM_WIDE;

	if (wide && first + ADAM_WIDE <= n) {
		float W[ADAM_WIDE], G[ADAM_WIDE], M[ADAM_WIDE], V[ADAM_WIDE];

		load_n<ADAM_WIDE>(G, g + first);
		load_n<ADAM_WIDE>(M, m + first);
		load_n<ADAM_WIDE>(V, v + first);
		load_n<ADAM_WIDE>(W, w + first);
#pragma unroll
		for (int i = 0; i < ADAM_WIDE; i++)
			adam_element(W[i], G[i], M[i], V[i], f);
		store_n<ADAM_WIDE>(m + first, M);
		store_n<ADAM_WIDE>(v + first, V);
		store_n<ADAM_WIDE>(w + first, W);
		return;
	}
	for (int64_t i = first; i < n && i < first + ADAM_WIDE; i++)
		adam_element(w[i], g[i], m[i], v[i], f);
}

void cuda_adam(cuda_stream stream, const cairn_adam *a)
{
	double c1 = 1 - cairn_power(a->beta1, a->t), c2 = 1 - cairn_power(a->beta2, a->t);
	adam_factors f = {};
	bool wide = aligned16(a->w) && aligned16(a->g) && aligned16(a->m) && aligned16(a->v);

	if (a->n <= 0)
		return;
	f.grad_scale = (float)a->grad_scale;
	f.to_m = (float)(1 - a->beta1);
	f.to_v = (float)(1 - a->beta2);
	/* TensorFlow's form leaves the root of v as it is, and so eps is outside of the correction.
	 */
	f.m_scale = (float)(a->tf_form ? sqrt(c2) / c1 : 1 / c1);
	f.v_scale = (float)(a->tf_form ? 1 : 1 / c2);
	f.lr = (float)a->lr;
	f.decay = (float)(a->lr * a->weight_decay);
	f.eps = (float)a->eps;
	LAUNCH(adam_update, dim3((unsigned)pieces(a->n, ADAM_WIDE * ADAM_THREADS)),
		dim3(ADAM_THREADS), 0, stream, a->w, a->g, a->m, a->v, a->n, wide, f);
}
