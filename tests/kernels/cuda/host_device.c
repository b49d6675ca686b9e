/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_device.c - device.c and blas.c for tests without a GPU: memory is the host's, the stream is
 * the order of the calls, products are plain loops in double, rounded once.
 *
 * It is as strict as the real pair where the table's code could go wrong: memory it gave is aligned
 * and counted, what is not zeroed by contract is poisoned, and products whose strides or addresses
 * cuBLASLt has nothing fast for are refused, so that the other path is taken.
 *
 * What is fetched is copied as late as a device may do it: out of the device at the fence (or when
 * the host waits without one), to where it was wanted only when the host waits. So who forgets the
 * fence sees what came after, and who forgets to wait sees poison; the former is an error, too.
 */
#include "host_device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/blas.h"

enum {
	FETCHES = 64, /* under way at once, at most */
	POISON = 0xa5,
};

typedef struct fetching {
	void *pinned;
	const void *dev;
	size_t bytes;
	char *before; /* what dev held when it was asked for */
	bool is_copied;
} fetching;

/* Stands before what was given. */
typedef struct header {
	struct header *before, *after;
	char *block;
	size_t bytes;
} header;

struct cuda_device {
	size_t now, peak;
	header all; /* of a ring */
	const char *operation, *what;
	size_t lacked;
	fetching fetches[FETCHES];
	int n_fetches;
};

static host_device_limits limits = {
	.device_bytes = (size_t)1 << 30, .refused = -1, .pinned_left = -1, .dies_after = -1};

host_device_limits *host_device_limited(void)
{
	return &limits;
}

/* For other processes: CAIRN_TEST_CUDA_BYTES in the environment is what can be had of all that the
 * device says it has. */
static size_t most_bytes(void)
{
	const char *wanted = getenv("CAIRN_TEST_CUDA_BYTES");

	return wanted ? (size_t)strtoull(wanted, NULL, 10) : limits.device_bytes;
}

static bool is_refused(cuda_device *d, size_t bytes)
{
	if (limits.refused >= 0 && limits.refused-- == 0)
		return true;
	return bytes > most_bytes() || d->now > most_bytes() - bytes;
}

struct cuda_blas {
	int64_t n;
};

/* ---- the device --------------------------------------------------------------------------------
 */

void cuda_device_find(cuda_found *out, int which)
{
	(void)which;
	*out = (cuda_found){.usable = true,
		.devices = 1,
		.capability = 90,
		.multiprocessors = 132,
		.memory = limits.device_bytes,
		.name = "emulated"};
}

int cuda_device_open(cuda_device **out, const cuda_found *found, cairn_error *err)
{
	(void)found;
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory");
	(*out)->all.before = (*out)->all.after = &(*out)->all;
	return CAIRN_OK;
}

/* And all memory with it, as the real one. */
void cuda_device_close(cuda_device *d)
{
	if (!d)
		return;
	while (d->all.after != &d->all)
		cuda_device_free(d, d->all.after + 1);
	free(d);
}

cuda_stream cuda_device_stream(const cuda_device *d)
{
	(void)d;
	return NULL;
}

void *cuda_device_alloc(cuda_device *d, size_t bytes)
{
	char *block = is_refused(d, bytes) ? NULL : malloc(bytes + 64 + 255);
	header *h;

	if (!block)
		return NULL;
	h = (header *)(((uintptr_t)block + 64 + 255) / 256 * 256) - 1;
	*h = (header){&d->all, d->all.after, block, bytes};
	h->after->before = h;
	d->all.after = h;
	memset(h + 1, 0, bytes);
	d->now += bytes;
	d->peak = d->now > d->peak ? d->now : d->peak;
	return h + 1;
}

void cuda_device_free(cuda_device *d, void *dev)
{
	header *h = dev;

	if (!dev)
		return;
	cuda_device_fetch_wait(d);
	h--;
	h->before->after = h->after;
	h->after->before = h->before;
	d->now -= h->bytes;
	free(h->block);
}

size_t cuda_device_peak(const cuda_device *d)
{
	return d->peak;
}

void cuda_device_write(cuda_device *d, void *dev, const void *host, size_t bytes)
{
	(void)d;
	if (bytes)
		memmove(dev, host, bytes);
}

void cuda_device_read(cuda_device *d, void *host, const void *dev, size_t bytes)
{
	cuda_device_write(d, host, dev, bytes);
}

void cuda_device_copy(cuda_device *d, void *to, const void *from, size_t bytes)
{
	cuda_device_write(d, to, from, bytes);
}

void cuda_device_zero(cuda_device *d, void *dev, size_t bytes)
{
	(void)d;
	memset(dev, 0, bytes);
}

void *cuda_device_pinned_alloc(cuda_device *d, size_t bytes)
{
	(void)d;
	if (limits.no_pinned || limits.pinned_left == 0)
		return NULL;
	limits.pinned_left -= limits.pinned_left > 0 ? 1 : 0;
	limits.n_pinned++;
	return malloc(bytes ? bytes : 1);
}

void cuda_device_pinned_free(cuda_device *d, void *pinned)
{
	if (!pinned)
		return;
	cuda_device_fetch_wait(d);
	limits.n_pinned--;
	free(pinned);
}

void cuda_device_fetch(cuda_device *d, void *pinned, const void *dev, size_t bytes)
{
	fetching *f = &d->fetches[d->n_fetches];

	CAIRN_ASSERT(d->n_fetches < FETCHES);
	*f = (fetching){.pinned = pinned, .dev = dev, .bytes = bytes, .before = malloc(bytes + 1)};
	CAIRN_ASSERT(f->before);
	memcpy(f->before, dev, bytes);
	memset(pinned, POISON, bytes);
	d->n_fetches++;
	limits.fetched += bytes;
}

void cuda_device_fetch_fence(cuda_device *d)
{
	for (int i = 0; i < d->n_fetches; i++) {
		fetching *f = &d->fetches[i];

		if (f->is_copied)
			continue;
		if (memcmp(f->before, f->dev, f->bytes) != 0)
			cuda_device_fail(d, "fetching", "what was fetched changed before a fence");
		memcpy(f->before, f->dev, f->bytes);
		f->is_copied = true;
	}
}

void cuda_device_fetch_wait(cuda_device *d)
{
	cuda_device_fetch_fence(d);
	if (d->n_fetches > 0 && limits.dies_after >= 0 && limits.dies_after-- == 0)
		cuda_device_fail(d, "fetching", "the device is gone");
	for (int i = 0; i < d->n_fetches; i++) {
		memcpy(d->fetches[i].pinned, d->fetches[i].before, d->fetches[i].bytes);
		free(d->fetches[i].before);
	}
	d->n_fetches = 0;
}

void cuda_device_check(cuda_device *d, const char *operation)
{
	(void)d, (void)operation;
}

void cuda_device_fail(cuda_device *d, const char *operation, const char *what)
{
	if (!d->operation) {
		d->operation = operation;
		d->what = what;
	}
}

void cuda_device_lacks(cuda_device *d, const char *operation, size_t bytes)
{
	if (!d->operation)
		d->lacked = bytes;
	cuda_device_fail(d, operation, "out of memory");
}

int cuda_device_status(cuda_device *d, cairn_error *err)
{
	if (!d->operation)
		return CAIRN_OK;
	cairn_error_set(err, CAIRN_EDEVICE, "%s failed on the GPU: %s", d->operation, d->what);
	if (d->lacked > 0)
		cairn_error_detail(err, "%zu bytes wanted", d->lacked);
	return CAIRN_EDEVICE;
}

bool cuda_device_can_record(void)
{
	return false;
}

bool cuda_device_is_recording(const cuda_device *d)
{
	(void)d;
	return false;
}

void cuda_device_record(cuda_device *d)
{
	(void)d;
}

cuda_recording *cuda_device_recorded(cuda_device *d)
{
	(void)d;
	return NULL;
}

void cuda_device_replay(cuda_device *d, cuda_recording *recording)
{
	(void)d, (void)recording;
}

void cuda_recording_free(cuda_device *d, cuda_recording *recording)
{
	(void)d, (void)recording;
}

/* ---- products ----------------------------------------------------------------------------------
 */

int cuda_blas_open(cuda_blas **out, cuda_device *d, cairn_error *err)
{
	(void)d;
	*out = calloc(1, sizeof(**out));
	return *out ? CAIRN_OK : cairn_error_set(err, CAIRN_ENOMEM, "no memory");
}

void cuda_blas_close(cuda_blas *b)
{
	free(b);
}

size_t cuda_blas_version(const cuda_blas *b)
{
	(void)b;
	return 1;
}

void cuda_blas_look(char *out, size_t size)
{
	(void)snprintf(out, size, "plain loops");
}

const char *cuda_blas_plans(cuda_blas *b)
{
	return b->n > 0 ? "plain loops\n" : "";
}

static double get(enum cuda_type type, const void *x, int64_t i)
{
	uint32_t bits;
	float value;

	if (type == CUDA_FLOAT)
		return (double)((const float *)x)[i];
	bits = (uint32_t)((const uint16_t *)x)[i] << 16;
	memcpy(&value, &bits, sizeof(value));
	return (double)value;
}

static void put(enum cuda_type type, void *x, int64_t i, double value)
{
	float rounded = (float)value;
	uint32_t bits;

	if (type == CUDA_FLOAT) {
		((float *)x)[i] = rounded;
		return;
	}
	memcpy(&bits, &rounded, sizeof(bits));
	bits = isnan(rounded) ? 0x7fff0000 : bits + 0x7fff + (bits >> 16 & 1);
	((uint16_t *)x)[i] = (uint16_t)(bits >> 16);
}

static bool is_aligned(enum cuda_type type, const void *x, int64_t ld)
{
	return (uintptr_t)x % 16 == 0 && ld * (int64_t)cuda_type_bytes(type) % 16 == 0;
}

static double element(const cuda_product *p, const void *bias, int64_t i, int64_t j)
{
	double sum = 0;

	for (int64_t k = 0; k < p->K; k++)
		sum += get(p->type_a, p->A, p->transpose_a ? k * p->lda + i : i * p->lda + k) *
		       get(p->type_b, p->B, p->transpose_b ? j * p->ldb + k : k * p->ldb + j);
	if (p->accumulate)
		sum += get(p->type_c, p->C, i * p->ldc + j);
	return bias ? sum + get(p->type_c, bias, j) : sum;
}

bool cuda_blas_product(cuda_blas *b, const cuda_product *p, const void *bias)
{
	if (p->type_a != p->type_b || !is_aligned(p->type_a, p->A, p->lda) ||
		!is_aligned(p->type_b, p->B, p->ldb) || !is_aligned(p->type_c, p->C, p->ldc))
		return false;
	b->n++;
	for (int64_t i = 0; i < p->M; i++) {
		for (int64_t j = 0; j < p->N; j++) {
			double sum = element(p, bias, i, j), u;

			if (p->gelu && p->pre)
				put(p->type_c, p->pre, i * p->ldc + j, sum);
			u = 0.7978845608028654 * (sum + 0.044715 * sum * sum * sum);
			put(p->type_c, p->C, i * p->ldc + j,
				p->gelu ? sum / (1 + exp(-2 * u)) : sum);
		}
	}
	return true;
}
