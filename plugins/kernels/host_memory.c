/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_memory.c - see host_memory.h. A block is preceded by 64 bytes that hold its size,
 * so that the peak can be told. Large blocks ask for huge pages: tensors are walked by rows
 * and by columns, and with small pages the columns would pay for an address each.
 */
#include "kernels/host_memory.h"

#include <string.h>
#include <sys/mman.h>

enum {
	ALIGN = 64,
	PAGE = 4096,
	LARGE = 4 << 20,
	ENOUGH_ROWS = 1024, /* then weights are read for many rows, and rows still lie in a cache */
};

static void *block_alloc(const cairn_kernels *k, size_t bytes)
{
	host_memory *memory = k->self;
	size_t align, whole, now, peak;
	char *block;

	if (bytes > SIZE_MAX - 2 * (size_t)PAGE)
		return NULL;
	align = bytes >= LARGE ? PAGE : ALIGN;
	whole = (bytes + ALIGN + align - 1) / align * align;
	block = aligned_alloc(align, whole);
	if (!block)
		return NULL;
	if (align == PAGE)
		(void)madvise(block, whole, MADV_HUGEPAGE);
	memset(block, 0, whole);
	memcpy(block, &whole, sizeof(whole));
	now = atomic_fetch_add(&memory->now, whole) + whole;
	peak = atomic_load(&memory->peak);
	while (now > peak && !atomic_compare_exchange_weak(&memory->peak, &peak, now))
		;
	return block + ALIGN;
}

static void block_free(const cairn_kernels *k, void *dev)
{
	host_memory *memory = k->self;
	size_t whole;
	char *block;

	if (!dev)
		return;
	block = (char *)dev - ALIGN;
	memcpy(&whole, block, sizeof(whole));
	atomic_fetch_sub(&memory->now, whole);
	free(block);
}

static void block_copy(const cairn_kernels *k, void *to, const void *from, size_t bytes)
{
	(void)k;
	if (bytes)
		memmove(to, from, bytes);
}

static void block_zero(const cairn_kernels *k, void *dev, size_t bytes)
{
	(void)k;
	if (bytes)
		memset(dev, 0, bytes);
}

static size_t peak_bytes(const cairn_kernels *k)
{
	host_memory *memory = k->self;

	return atomic_load(&memory->peak);
}

/* What computes here cannot break without ending the process. */
static int status(const cairn_kernels *k, cairn_error *err)
{
	(void)k, (void)err;
	return CAIRN_OK;
}

void host_memory_fill(cairn_kernels *k)
{
	k->in_host_memory = 1;
	k->act_bytes = (int32_t)sizeof(cairn_real);
	k->batch_invariant = 1;
	k->enough_rows = ENOUGH_ROWS;
	k->rounding = sizeof(cairn_real) == sizeof(float) ? 0x1p-24 : 0x1p-53;
	k->status = status;
	k->alloc = block_alloc;
	k->free = block_free;
	k->write = block_copy;
	k->read = block_copy;
	k->copy = block_copy;
	k->zero = block_zero;
	k->peak_bytes = peak_bytes;
}
