/* SPDX-License-Identifier: Apache-2.0 */
/* updates.c - whole vectors and the optimizer, in tasks of ELEMENTS. */
#include "kernels/cpu/compute.h"
#include "kernels/power.h"

enum {
	ELEMENTS = 32768,
};

typedef struct vector_job {
	float *y;
	const float *x;
	float a, b;
	int64_t n;
	double *partial;
} vector_job;

static int64_t end_of(int64_t task, int64_t n)
{
	return at_most(n, (task + 1) * ELEMENTS);
}

static void run(const cairn_kernels *k, pool_task *task, int64_t n, void *job)
{
	cpu *c = k->self;

	pool_for(c->pool, pieces(n, ELEMENTS), task, job);
}

/* ---- bytes: small ones at once, large ones by all threads --------------------------------------
 */

enum {
	BYTES = 1 << 20, /* of one task */
};

typedef struct bytes_job {
	char *to;
	const char *from; /* NULL: zeros */
	size_t n;
} bytes_job;

static void bytes_task(void *context, int64_t task, int thread)
{
	const bytes_job *job = context;
	size_t at = (size_t)task * BYTES, left = job->n - at, n = left < BYTES ? left : BYTES;

	(void)thread;
	if (job->from)
		memcpy(job->to + at, job->from + at, n);
	else
		memset(job->to + at, 0, n);
}

static void move_bytes(const cairn_kernels *k, bytes_job *job)
{
	cpu *c = k->self;

	pool_for(c->pool, pieces((int64_t)job->n, BYTES), bytes_task, job);
}

static void zero(const cairn_kernels *k, void *dev, size_t bytes)
{
	bytes_job job = {dev, NULL, bytes};

	move_bytes(k, &job);
}

/* They may overlap. */
static void copy(const cairn_kernels *k, void *to, const void *from, size_t bytes)
{
	bytes_job job = {to, from, bytes};
	uintptr_t a = (uintptr_t)to, b = (uintptr_t)from;

	if (bytes && (a < b ? b - a : a - b) < bytes)
		memmove(to, from, bytes);
	else
		move_bytes(k, &job);
}

/* ---- vectors ----------------------------------------------------------------------------------
 */

static void axpy_task(void *context, int64_t task, int thread)
{
	const vector_job *job = context;
	int64_t end = end_of(task, job->n);

	(void)thread;
	for (int64_t i = task * ELEMENTS; i < end; i += 16)
		v_put(job->y + i,
			v_fma(v_all(job->a), v_get(job->x + i, end - i),
				v_get(job->y + i, end - i)),
			end - i);
}

static void axpy(const cairn_kernels *k, float *y, const float *x, double a, int64_t n)
{
	vector_job job = {.y = y, .x = x, .a = (float)a, .n = n};

	run(k, axpy_task, n, &job);
}

static void scale_task(void *context, int64_t task, int thread)
{
	const vector_job *job = context;
	int64_t end = end_of(task, job->n);

	(void)thread;
	for (int64_t i = task * ELEMENTS; i < end; i++)
		job->y[i] *= job->a;
}

static void scale(const cairn_kernels *k, float *x, double a, int64_t n)
{
	vector_job job = {.y = x, .a = (float)a, .n = n};

	run(k, scale_task, n, &job);
}

static void ema_task(void *context, int64_t task, int thread)
{
	const vector_job *job = context;
	int64_t end = end_of(task, job->n);

	(void)thread;
	for (int64_t i = task * ELEMENTS; i < end; i += 16) {
		v16 average = v_all(job->a) * v_get(job->y + i, end - i);

		v_put(job->y + i, v_fma(v_all(job->b), v_get(job->x + i, end - i), average),
			end - i);
	}
}

static void ema(const cairn_kernels *k, float *average, const float *w, double decay, int64_t n)
{
	vector_job job = {.y = average, .x = w, .a = (float)decay, .b = (float)(1 - decay), .n = n};

	run(k, ema_task, n, &job);
}

static void squares_task(void *context, int64_t task, int thread)
{
	const vector_job *job = context;
	int64_t i = task * ELEMENTS, end = end_of(task, job->n);
	double lane[16] = {0};

	(void)thread;
	for (; i + 16 <= end; i += 16)
		for (int l = 0; l < 16; l++)
			lane[l] += (double)job->x[i + l] * (double)job->x[i + l];
	for (int l = 0; i < end; i++, l++)
		lane[l] += (double)job->x[i] * (double)job->x[i];
	for (int half = 8; half > 0; half /= 2)
		for (int l = 0; l < half; l++)
			lane[l] += lane[l + half];
	job->partial[task] = lane[0];
}

static double sum_squares(const cairn_kernels *k, const float *x, int64_t n)
{
	cpu *c = k->self;
	vector_job job = {.x = x, .n = n};
	double sum = 0;

	job.partial = cpu_shared(c, CPU_PARTIALS, sizeof(double) * (size_t)pieces(n, ELEMENTS));
	run(k, squares_task, n, &job);
	for (int64_t i = 0; i < pieces(n, ELEMENTS); i++)
		sum += job.partial[i];
	return sum;
}

/* ---- Adam: the scalars are made in double, once ------------------------------------------------
 */

typedef struct adam_job {
	const cairn_adam *a;
	/* w -= decay w + step m / (root sqrt(v) + eps) */
	float grad_scale, beta1, rest1, beta2, rest2, step, root, eps, decay;
} adam_job;

static void adam_task(void *context, int64_t task, int thread)
{
	const adam_job *job = context;
	const cairn_adam *a = job->a;
	int64_t end = end_of(task, a->n);

	(void)thread;
	for (int64_t i = task * ELEMENTS; i < end; i += 16) {
		int64_t left = end - i;
		v16 w = v_get(a->w + i, left), g = v_get(a->g + i, left) * v_all(job->grad_scale);
		v16 m = v_fma(v_all(job->beta1), v_get(a->m + i, left), v_all(job->rest1) * g);
		v16 v = v_fma(v_all(job->beta2), v_get(a->v + i, left), v_all(job->rest2) * g * g);
		v16 step = m / v_fma(v_sqrt(v), v_all(job->root), v_all(job->eps));

		w = v_fma(v_all(-job->decay), w, w);
		v_put(a->m + i, m, left);
		v_put(a->v + i, v, left);
		v_put(a->w + i, v_fma(v_all(-job->step), step, w), left);
	}
}

static void adam(const cairn_kernels *k, const cairn_adam *a)
{
	double c1 = 1 - cairn_power(a->beta1, a->t), c2 = 1 - cairn_power(a->beta2, a->t);
	adam_job job = {
		.a = a,
		.grad_scale = (float)a->grad_scale,
		.beta1 = (float)a->beta1,
		.rest1 = (float)(1 - a->beta1),
		.beta2 = (float)a->beta2,
		.rest2 = (float)(1 - a->beta2),
		.step = (float)(a->tf_form ? a->lr * sqrt(c2) / c1 : a->lr / c1),
		.root = (float)(a->tf_form ? 1 : 1 / sqrt(c2)),
		.eps = (float)a->eps,
		.decay = (float)(a->lr * a->weight_decay),
	};

	run(k, adam_task, a->n, &job);
}

void ISA(fill_updates)(cairn_kernels *k)
{
	k->zero = zero;
	k->copy = copy;
	k->axpy = axpy;
	k->scale = scale;
	k->ema = ema;
	k->sum_squares = sum_squares;
	k->adam = adam;
}
