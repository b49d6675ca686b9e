/* SPDX-License-Identifier: Apache-2.0 */
/* staging.c - see staging.h. */
#include "run/host/staging.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"

enum {
	ALIGN = 64,
	GROW_BYTES = 16 << 20,
	/* Of the limit, left to others: what the store takes to write (two buffers, the stacks of
	 * its threads), and a part for whoever grows later. */
	KEPT_BYTES = 48 << 20,
	KEPT_PART = 16,
};

/* ---- memory -------------------------------------------------------------------------------- */

/* What RLIMIT_DATA counts of this process, in bytes; 0: not known. */
static uint64_t data_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;
	long page = sysconf(_SC_PAGESIZE);

	if (!file)
		return 0;
	if (fscanf(file, "%*s %*s %*s %*s %*s %llu", &pages) != 1)
		pages = 0;
	fclose(file);
	return page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}

static bool is_within_limit(const cairn_staging *staging, size_t more)
{
	uint64_t kept = KEPT_BYTES + staging->limit / KEPT_PART;

	return !staging->limit || data_bytes() + more + kept <= staging->limit;
}

static bool make_room(cairn_staging *staging, size_t bytes)
{
	size_t wanted, more;
	void *grown;

	if (bytes <= staging->cap - staging->used)
		return true;
	if (bytes > SIZE_MAX / 2 - staging->used)
		return false;
	wanted = (staging->used + bytes + GROW_BYTES - 1) / GROW_BYTES * GROW_BYTES;
	more = wanted - staging->cap;
	if (!is_within_limit(staging, more))
		return false;
	if (staging->bytes)
		grown = mremap(staging->bytes, staging->cap, wanted, MREMAP_MAYMOVE);
	else
		grown = mmap(
			NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (grown == MAP_FAILED)
		return false;
	(void)madvise(grown, wanted, MADV_HUGEPAGE);
	staging->bytes = grown;
	staging->cap = wanted;
	return true;
}

void cairn_staging_prepare(cairn_staging *staging, size_t bytes)
{
	long page = sysconf(_SC_PAGESIZE);

	if (page <= 0 || !make_room(staging, bytes))
		return;
	for (size_t at = 0; at < bytes; at += (size_t)page)
		*(volatile uint8_t *)(staging->bytes + at) = 0;
}

static bool make_entry(cairn_staging *staging)
{
	size_t cap = staging->cap_entries ? staging->cap_entries * 2 : 64;
	cairn_staged_entry *grown;

	if (staging->n_entries < staging->cap_entries)
		return true;
	grown = cairn_realloc(staging->entries, cap, sizeof(*grown));
	if (!grown)
		return false;
	staging->entries = grown;
	staging->cap_entries = cap;
	return true;
}

static size_t aligned(size_t n)
{
	return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* ---- entries --------------------------------------------------------------------------------- */

bool cairn_staging_add(cairn_staging *staging, const cairn_tensor *tensor)
{
	size_t name_bytes = aligned(strlen(tensor->name) + 1);
	cairn_staged_entry *entry;

	if (tensor->bytes > SIZE_MAX / 4 || !make_entry(staging) ||
		!make_room(staging, name_bytes + aligned(tensor->bytes)))
		return false;
	entry = &staging->entries[staging->n_entries++];
	*entry = (cairn_staged_entry){
		.tensor = *tensor,
		.name_at = staging->used,
		.data_at = staging->used + name_bytes,
	};
	memcpy(staging->bytes + entry->name_at, tensor->name, strlen(tensor->name) + 1);
	if (tensor->bytes)
		memcpy(staging->bytes + entry->data_at, tensor->data, tensor->bytes);
	staging->used = entry->data_at + aligned(tensor->bytes);
	return true;
}

int cairn_staging_write(const cairn_staging *staging, cairn_batch *batch, cairn_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < staging->n_entries && rc == 0; i++) {
		const cairn_staged_entry *entry = &staging->entries[i];
		cairn_tensor tensor = entry->tensor;

		tensor.name = (const char *)staging->bytes + entry->name_at;
		tensor.data = staging->bytes + entry->data_at;
		rc = cairn_batch_artifact_put(batch, &tensor, err);
	}
	return rc;
}

void cairn_staging_clear(cairn_staging *staging)
{
	staging->n_entries = 0;
	staging->used = 0;
}

void cairn_staging_free(cairn_staging *staging)
{
	if (staging->bytes)
		munmap(staging->bytes, staging->cap);
	free(staging->entries);
	*staging = (cairn_staging){.limit = staging->limit};
}
