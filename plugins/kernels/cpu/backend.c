/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend.c - what cpu.so exports: finds the vector unit, starts the threads.
 *
 * CAIRN_CPU=avx512|avx2|portable in the environment takes another unit than the best one.
 * It is for tests and for comparing speeds: the results are the same bits.
 */
#include <string.h>
#include <sys/mman.h>

#include "kernels/cpu/cpu.h"

typedef struct unit {
	const char *name;
	int score;
	bool (*is_here)(void);
	void (*fill)(cairn_kernels *k);
} unit;

#if defined(CPU_HAS_X86)
static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("fma");
}

static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

static bool has_anything(void)
{
	return true;
}

/* Best first. */
static const unit units[] = {
#if defined(CPU_HAS_X86)
	{"avx512", 100, has_avx512, cpu_avx512_fill},
	{"avx2", 60, has_avx2, cpu_avx2_fill},
#endif
	{"portable", 10, has_anything, cpu_portable_fill},
};

static const unit *best_unit(void)
{
	size_t i = 0;

	while (!units[i].is_here())
		i++;
	return &units[i];
}

static int choose_unit(const unit **out, cairn_error *err)
{
	const char *wanted = getenv("CAIRN_CPU");

	*out = best_unit();
	if (!wanted || !*wanted)
		return CAIRN_OK;
	for (size_t i = 0; i < CAIRN_COUNT(units); i++) {
		if (strcmp(units[i].name, wanted) != 0)
			continue;
		if (!units[i].is_here())
			return cairn_error_set(err, CAIRN_EDEVICE,
				"this processor has no '%s', which CAIRN_CPU asks for", wanted);
		*out = &units[i];
		return CAIRN_OK;
	}
	cairn_error_set(err, CAIRN_EPARAM, "unknown vector unit '%s' in CAIRN_CPU", wanted);
	cairn_error_hint(err, "Unset CAIRN_CPU, or set it to avx512, avx2 or portable.");
	return CAIRN_EPARAM;
}

/* ---- buffers ------------------------------------------------------------------------------- */

enum {
	PAGE = 4096,
	HUGE_PAGE = 2 << 20,
};

/* Large buffers on huge pages: panels are walked in an order that small ones would make pay. */
static void *grow(cpu_block *block, size_t bytes)
{
	if (bytes > block->bytes || !block->data) {
		size_t page = bytes >= HUGE_PAGE / 2 ? (size_t)HUGE_PAGE : (size_t)PAGE;

		free(block->data);
		block->bytes = (bytes + page) / page * page;
		block->data = aligned_alloc(page, block->bytes);
		CAIRN_ASSERT(block->data);
		if (page == HUGE_PAGE)
			(void)madvise(block->data, block->bytes, MADV_HUGEPAGE);
	}
	return block->data;
}

void *cpu_shared(cpu *c, enum cpu_buffer which, size_t bytes)
{
	return grow(&c->shared[which], bytes);
}

void *cpu_own(cpu *c, int thread, enum cpu_own which, size_t bytes)
{
	return grow(&c->own[thread][which], bytes);
}

static void cpu_free(cpu *c)
{
	if (!c)
		return;
	pool_free(c->pool);
	for (int i = 0; i < CPU_BUFFERS; i++)
		free(c->shared[i].data);
	for (int t = 0; c->own && t < c->threads; t++)
		for (int i = 0; i < CPU_OWNS; i++)
			free(c->own[t][i].data);
	free(c->own);
	free(c);
}

/* ---- the backend ----------------------------------------------------------------------------- */

static int backend_score(void)
{
	return best_unit()->score;
}

static int backend_open(cairn_kernels *out, int threads, cairn_error *err)
{
	static const cairn_abi_head head = {CAIRN_KERNELS_MAGIC, CAIRN_KERNELS_MAJOR,
		CAIRN_KERNELS_MINOR, sizeof(cairn_kernels), 0, CAIRN_BUILD};
	const unit *chosen;
	cpu *c;
	int rc = choose_unit(&chosen, err);

	if (rc)
		return rc;
	c = calloc(1, sizeof(*c));
	if (!c)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for the CPU backend");
	c->threads = threads > 0 ? threads : pool_cpus();
	c->own = calloc((size_t)c->threads, sizeof(*c->own));
	c->pool = c->own ? pool_new(c->threads) : NULL;
	if (!c->pool) {
		rc = cairn_error_set(err, CAIRN_ENOMEM, "starting %d threads failed", c->threads);
		cpu_free(c);
		return rc;
	}
	memset(out, 0, sizeof(*out));
	out->abi = head;
	out->numerics = CAIRN_NUMERICS;
	out->self = c;
	out->threads = c->threads;
	host_memory_fill(out);
	chosen->fill(out);
	return CAIRN_OK;
}

static void backend_close(cairn_kernels *k)
{
	cpu_free(k->self);
	k->self = NULL;
}

CAIRN_EXPORT extern const cairn_kernels_backend cairn_kernels_backend_cpu __asm__(
	CAIRN_KERNELS_SYMBOL);

const cairn_kernels_backend cairn_kernels_backend_cpu = {
	.abi = {CAIRN_KERNELS_MAGIC, CAIRN_KERNELS_MAJOR, CAIRN_KERNELS_MINOR,
		sizeof(cairn_kernels_backend), 0, CAIRN_BUILD},
	.name = "cpu",
	.score = backend_score,
	.open = backend_open,
	.close = backend_close,
};
