/* SPDX-License-Identifier: Apache-2.0 */
/* harness.c - see harness.h. */
#include "harness.h"

#include <dlfcn.h>
#include <math.h>
#include <string.h>

#include "gpt/rng.h"
#include "kernels/portable/portable.h"

static const char *const units[] = {"portable", "avx2", "avx512"};

enum {
	UNITS = 3,
	MAX_THREADS = 4,
	MAX_TENSORS = 256,
};

/* ---- backends ------------------------------------------------------------------------------ */

static const cairn_kernels_backend *backend(void)
{
	static const cairn_kernels_backend *found;

	if (!found) {
		void *library = dlopen(CAIRN_PLUGIN_DIR "/kernels/cpu.so", RTLD_NOW | RTLD_LOCAL);

		if (!library)
			fail_msg("%s", dlerror());
		found = dlsym(library, CAIRN_KERNELS_SYMBOL);
		assert_non_null(found);
		assert_int_equal(found->abi.magic, CAIRN_KERNELS_MAGIC);
	}
	return found;
}

static int unit_index(const char *unit)
{
	for (int i = 0; unit && i < UNITS; i++)
		if (strcmp(unit, units[i]) == 0)
			return i;
	return UNITS;
}

const cairn_kernels *cpu_table(const char *unit, int threads)
{
	static cairn_kernels tables[UNITS + 1][MAX_THREADS + 1];
	cairn_kernels *table = &tables[unit_index(unit)][threads];
	cairn_error err = {0};
	int rc;

	if (table->abi.magic)
		return table;
	if (unit)
		setenv("CAIRN_CPU", unit, 1);
	rc = backend()->open(table, threads, &err);
	unsetenv("CAIRN_CPU");
	if (rc == CAIRN_EDEVICE)
		return NULL;
	if (rc)
		fail_msg("%s", err.message);
	return table;
}

static const cairn_kernels *reference(void)
{
	static cairn_kernels table;

	if (!table.abi.magic)
		assert_int_equal(cairn_kernels_portable_open(&table, 1, NULL), 0);
	return &table;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static struct {
	const cairn_kernels *k; /* NULL: memory of the host */
	void *dev;
} live[MAX_TENSORS];
static size_t n_live;
/* Of the backend that a case is run on next to the reference. */
static int32_t tested_act_bytes = sizeof(float);

static void keep_until_dropped(const cairn_kernels *k, void *dev)
{
	assert_non_null(dev);
	assert_true(n_live < MAX_TENSORS);
	live[n_live].k = k;
	live[n_live++].dev = dev;
}

static void *tensor(const cairn_kernels *k, size_t bytes)
{
	void *dev = k->alloc(k, bytes);

	keep_until_dropped(k, dev);
	return dev;
}

void drop_tensors(void)
{
	while (n_live > 0) {
		n_live--;
		if (live[n_live].k)
			live[n_live].k->free(live[n_live].k, live[n_live].dev);
		else
			free(live[n_live].dev);
	}
}

static void *uploaded(const cairn_kernels *k, void *host, size_t bytes)
{
	void *dev = tensor(k, bytes);

	k->write(k, dev, host, bytes);
	free(host);
	return dev;
}

static float *normal_host(int64_t n, uint64_t seed, double scale)
{
	float *host = calloc((size_t)n + 1, sizeof(*host));

	assert_non_null(host);
	for (int64_t i = 0; i < n; i++) {
		double sum = 0; /* of 12 uniforms: variance 1 */

		for (uint64_t j = 0; j < 12; j++)
			sum += gpt_random_uniform(seed, (uint64_t)i, j);
		host[i] = (float)(scale * (sum - 6));
	}
	return host;
}

static float *poisoned_host(int64_t n)
{
	float *host = calloc((size_t)n + 1, sizeof(*host));

	assert_non_null(host);
	for (int64_t i = 0; i < n; i++)
		host[i] = NAN;
	return host;
}

float *normal(const cairn_kernels *k, int64_t n, uint64_t seed, double scale)
{
	return uploaded(k, normal_host(n, seed, scale), sizeof(float) * (size_t)n);
}

float *poisoned(const cairn_kernels *k, int64_t n)
{
	return uploaded(k, poisoned_host(n), sizeof(float) * (size_t)n);
}

/* The upper half of a float, rounded to nearest even. */
static uint16_t narrow(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return isnan(x) ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float widen(uint16_t half)
{
	uint32_t bits = (uint32_t)half << 16;
	float x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

void write_acts(const cairn_kernels *k, cairn_act *dev, const float *host, int64_t n)
{
	uint16_t *halves = calloc((size_t)n + 1, sizeof(*halves));

	assert_non_null(halves);
	for (int64_t i = 0; i < n; i++)
		halves[i] = narrow(host[i]);
	k->write(k, dev, k->act_bytes == 2 ? (const void *)halves : (const void *)host,
		(size_t)(k->act_bytes * n));
	free(halves);
}

static cairn_act *uploaded_acts(const cairn_kernels *k, float *host, int64_t n)
{
	cairn_act *dev = tensor(k, (size_t)(k->act_bytes * n));

	for (int64_t i = 0; tested_act_bytes == 2 && i < n; i++)
		host[i] = widen(narrow(host[i]));
	write_acts(k, dev, host, n);
	free(host);
	return dev;
}

float *normal_narrow(const cairn_kernels *k, int64_t n, uint64_t seed, double scale)
{
	float *host = normal_host(n, seed, scale);

	for (int64_t i = 0; i < n; i++)
		host[i] = widen(narrow(host[i]));
	return uploaded(k, host, sizeof(*host) * (size_t)n);
}

cairn_act *normal_acts(const cairn_kernels *k, int64_t n, uint64_t seed, double scale)
{
	return uploaded_acts(k, normal_host(n, seed, scale), n);
}

cairn_act *poisoned_acts(const cairn_kernels *k, int64_t n)
{
	return uploaded_acts(k, poisoned_host(n), n);
}

const void *seen(const cairn_kernels *k, const void *dev, size_t bytes)
{
	void *host = malloc(bytes + 1);

	keep_until_dropped(NULL, host);
	k->read(k, host, dev, bytes);
	return host;
}

int32_t *ints(const cairn_kernels *k, const int32_t *host, int64_t n)
{
	int32_t *dev = tensor(k, sizeof(*dev) * (size_t)n);

	k->write(k, dev, host, sizeof(*dev) * (size_t)n);
	return dev;
}

int32_t *random_ints(const cairn_kernels *k, int64_t n, uint64_t seed, int32_t limit)
{
	int32_t *host = calloc((size_t)n + 1, sizeof(*host));

	assert_non_null(host);
	for (int64_t i = 0; i < n; i++)
		host[i] = (int32_t)gpt_random_below(seed, (uint64_t)i, 0, (uint64_t)limit);
	return uploaded(k, host, sizeof(*host) * (size_t)n);
}

uint64_t *row_ids(const cairn_kernels *k, int64_t n, uint64_t first)
{
	uint64_t *host = calloc((size_t)n + 1, sizeof(*host));

	assert_non_null(host);
	for (int64_t i = 0; i < n; i++)
		host[i] = first + (uint64_t)i;
	return uploaded(k, host, sizeof(*host) * (size_t)n);
}

/* ---- outcomes ----------------------------------------------------------------------------------
 */

void outcome_free(outcome *o)
{
	free(o->data);
	*o = (outcome){0};
}

/* Room for n floats, as a new tensor. */
static float *grow(outcome *o, int64_t n, double tolerance)
{
	assert_true(o->n_tensors < CAIRN_COUNT(o->tensor));
	if (o->n + (size_t)n > o->cap) {
		o->cap = 2 * (o->n + (size_t)n);
		o->data = realloc(o->data, o->cap * sizeof(*o->data));
		assert_non_null(o->data);
	}
	o->tensor[o->n_tensors] = o->n;
	o->tolerance[o->n_tensors++] = tolerance;
	o->n += (size_t)n;
	return o->data + o->n - n;
}

void emit(outcome *o, const cairn_kernels *k, const float *dev, int64_t n, double tolerance)
{
	k->read(k, grow(o, n, tolerance), dev, sizeof(*dev) * (size_t)n);
}

void emit_acts(
	outcome *o, const cairn_kernels *k, const cairn_act *dev, int64_t n, double tolerance)
{
	float *to = grow(o, n, tolerance);
	const void *from = seen(k, dev, (size_t)(k->act_bytes * n));

	for (int64_t i = 0; i < n; i++)
		to[i] = k->act_bytes == 2 ? widen(((const uint16_t *)from)[i])
					  : ((const float *)from)[i];
}

void emit_ints(outcome *o, const cairn_kernels *k, const int32_t *dev, int64_t n)
{
	float *to = grow(o, n, 0);
	const int32_t *from = seen(k, dev, sizeof(*from) * (size_t)n);

	for (int64_t i = 0; i < n; i++)
		to[i] = (float)from[i];
}

double loosened(const cairn_kernels *k, double tolerance, double roundings)
{
	return k->act_bytes == 2 ? tolerance + roundings * k->rounding : tolerance;
}

void emit_value(outcome *o, double value, double tolerance)
{
	*grow(o, 1, tolerance) = (float)value;
}

static void compare_near(const outcome *want, const outcome *got, const char *name)
{
	assert_int_equal(want->n, got->n);
	for (size_t t = 0; t < want->n_tensors; t++) {
		size_t end = t + 1 < want->n_tensors ? want->tensor[t + 1] : want->n;
		double largest = 0;

		for (size_t i = want->tensor[t]; i < end; i++)
			largest = fmax(largest, fabs((double)want->data[i]));
		for (size_t i = want->tensor[t]; i < end; i++) {
			double error = fabs((double)want->data[i] - (double)got->data[i]);

			if (!(error <= got->tolerance[t] * largest + 1e-30))
				fail_msg("%s: tensor %zu, element %zu: %.9g, reference %.9g", name,
					t, i - want->tensor[t], (double)got->data[i],
					(double)want->data[i]);
		}
	}
}

static void compare_bits(const outcome *want, const outcome *got, const char *name, int threads)
{
	assert_int_equal(want->n, got->n);
	for (size_t i = 0; i < want->n; i++)
		if (memcmp(&want->data[i], &got->data[i], sizeof(float)) != 0)
			fail_msg("%s, %d threads: element %zu is %.9g, elsewhere %.9g", name,
				threads, i, (double)got->data[i], (double)want->data[i]);
}

void check_case(op_case *run, const void *shape)
{
	outcome want = {0}, first = {0};

	run(reference(), shape, &want);
	drop_tensors();
	for (int u = 0; u < UNITS; u++) {
		for (int threads = 1; threads <= MAX_THREADS; threads++) {
			const cairn_kernels *k = cpu_table(units[u], threads);
			outcome got = {0};

			/* The portable unit is slow, and its tasks are those of the others. */
			if (!k || (u == 0 && threads % 2 == 0))
				continue;
			run(k, shape, &got);
			drop_tensors();
			if (!first.data) {
				compare_near(&want, &got, k->name);
				first = got;
				continue;
			}
			compare_bits(&first, &got, k->name, threads);
			outcome_free(&got);
		}
	}
	outcome_free(&want);
	outcome_free(&first);
}
