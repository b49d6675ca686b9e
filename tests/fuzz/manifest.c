/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a manifest, an entry's node and a list: refused, or one that says nothing
 * impossible.
 *
 * The first byte picks the form. Nodes below a list are cut from the input itself, so that deep
 * lists are met, too.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "store/internal.h"

struct input {
	const uint8_t *data;
	size_t size;
	unsigned n_nodes;
};

/* A node of a list: the id's first bytes say where in the input it begins. */
static int get_node(
	void *arg, const cairn_id *id, const void **bytes, size_t *len, cairn_error *err)
{
	struct input *in = arg;
	size_t at = (size_t)(id->bytes[0] | id->bytes[1] << 8);

	if (at >= in->size || in->n_nodes++ > 64)
		return cairn_error_set(err, CAIRN_EINTEGRITY, "no such node");
	*bytes = in->data + at;
	*len = in->size - at;
	return 0;
}

static void read_list(struct input *in, const void *list, size_t len, uint64_t n)
{
	cairn_error err = {0};
	cairn_id *ids = NULL;
	volatile unsigned sum = 0;

	if (cairn_manifest__read_list(&ids, list, len, n, get_node, in, &err) != 0) {
		MUST(!ids && err.message[0]);
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		sum = sum + ids[i].bytes[31];
	free(ids);
}

static void use_entry(struct input *in)
{
	cairn_entry_node entry;
	cairn_error err = {0};
	uint64_t bytes = 0;

	if (cairn_manifest__read_entry(&entry, in->data, in->size, &err) != 0) {
		MUST(err.code == CAIRN_EINTEGRITY && err.message[0]);
		return;
	}
	MUST(entry.name_len >= 1 && entry.name_len <= CAIRN_MAX_NAME);
	MUST(entry.n_dims <= CAIRN_MAX_DIMS && entry.bytes <= CAIRN_MAX_ENTRY_BYTES);
	MUST((entry.bytes == 0) == (entry.n_chunks == 0));
	bytes = entry.n_chunks * (uint64_t)CAIRN_CHUNK_BYTES;
	MUST(bytes >= entry.bytes);
	MUST((const uint8_t *)entry.list + entry.list_len <= in->data + in->size);
	if (entry.n_chunks <= (uint64_t)1 << 21)
		read_list(in, entry.list, entry.list_len, entry.n_chunks);
}

static void use_manifest(struct input *in)
{
	cairn_manifest manifest;
	cairn_error err = {0};

	if (cairn_manifest__read(&manifest, in->data, in->size, &err) != 0) {
		MUST(err.code == CAIRN_EINTEGRITY && err.message[0]);
		return;
	}
	MUST(manifest.n_entries <= CAIRN_MAX_ENTRIES && manifest.meta_len <= CAIRN_MAX_META);
	MUST(!manifest.meta == !!manifest.meta_list);
	read_list(in, manifest.list, manifest.list_len, manifest.n_entries);
	if (manifest.meta_list)
		read_list(in, manifest.meta_list, manifest.meta_list_len,
			cairn_manifest__chunks(manifest.meta_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data + 1, size ? size - 1 : 0, 0};

	if (size < 2)
		return 0;
	if (data[0] % 3 == 0)
		use_manifest(&in);
	else if (data[0] % 3 == 1)
		use_entry(&in);
	else
		read_list(&in, in.data, in.size, data[1] | (uint64_t)data[size - 1] << 8);
	return 0;
}
