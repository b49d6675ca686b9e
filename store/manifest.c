/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.c - nodes of the Merkle tree: manifests, entries, lists. FORMAT.md has the bytes.
 *
 * An artifact's id is the SHA-256 of its manifest, so there must be exactly one encoding of an
 * artifact. Writers make it; readers refuse anything else (a longer list than needed, bytes
 * left over, reserved bytes that are not zero), though the digest matched.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "store/bytes.h"
#include "store/internal.h"

enum {
	NODE_VERSION = 1,
	CUT_VERSION = 2, /* of entries that are cut by content */
	HASH_SHA256 = 1,
	ID_BYTES = sizeof(cairn_id),
	LIST_HEAD = 8,
};

static const char MANIFEST_MAGIC[] = "CAIRNART";
static const char ENTRY_MAGIC[] = "CAIRNENT";
static const char LIST_MAGIC[] = "CAIRNLST";

static int malformed(const char *what, cairn_error *err)
{
	cairn_error_set(err, CAIRN_EINTEGRITY, "%s in the store is malformed", what);
	cairn_error_hint(err,
		"Its digest is right, so it was written so: by another program, or by "
		"a newer cairn.");
	return CAIRN_EINTEGRITY;
}

uint64_t cairn_manifest__chunks(uint64_t bytes)
{
	return bytes / CAIRN_CHUNK_BYTES + (bytes % CAIRN_CHUNK_BYTES != 0);
}

/* ---- checks ----------------------------------------------------------------------- */

static uint64_t dtype_bytes(uint32_t dtype)
{
	switch (dtype) {
	case CAIRN_U8:
		return 1;
	case CAIRN_U16:
	case CAIRN_BF16:
		return 2;
	case CAIRN_I32:
	case CAIRN_F32:
		return 4;
	case CAIRN_I64:
	case CAIRN_F64:
		return 8;
	default:
		return 0;
	}
}

/* The bytes of a shape; false where it is none, or over the limit. */
static bool shape_bytes(uint32_t dtype, uint32_t n_dims, const uint64_t *dims, uint64_t *out)
{
	uint64_t bytes = dtype_bytes(dtype);

	if (bytes == 0 || n_dims > CAIRN_MAX_DIMS)
		return false;
	for (uint32_t i = 0; i < n_dims; i++) {
		if (__builtin_mul_overflow(bytes, dims[i], &bytes))
			return false;
	}
	*out = bytes;
	return true;
}

static bool is_name(const char *name, size_t len)
{
	if (len == 0 || len > CAIRN_MAX_NAME)
		return false;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	}
	return true;
}

int cairn_manifest__check_name(const char *what, const char *name, size_t len, cairn_error *err)
{
	if (is_name(name, len))
		return 0;
	cairn_error_set(err, CAIRN_EINPUT, "%s cannot have this name", what);
	cairn_error_detail(err,
		"it has %zu bytes; 1 to %d are allowed, none of them a control "
		"character",
		len, CAIRN_MAX_NAME);
	return CAIRN_EINPUT;
}

int cairn_manifest__check_tensor(const cairn_tensor *tensor, cairn_error *err)
{
	const char *name = tensor->name ? tensor->name : "";
	uint64_t bytes;
	int rc = cairn_manifest__check_name("an entry", name, strlen(name), err);

	if (rc)
		return rc;
	if (!shape_bytes(tensor->dtype, tensor->n_dims, tensor->dims, &bytes))
		return cairn_error_set(
			err, CAIRN_EINPUT, "entry '%s' has an impossible type or shape", name);
	if (bytes != tensor->bytes) {
		cairn_error_set(err, CAIRN_EINPUT, "entry '%s' has the wrong size", name);
		cairn_error_detail(err, "it has %llu bytes where its shape needs %llu",
			(unsigned long long)tensor->bytes, (unsigned long long)bytes);
		return CAIRN_EINPUT;
	}
	if (bytes > CAIRN_MAX_ENTRY_BYTES)
		return cairn_error_set(err, CAIRN_ELIMIT, "entry '%s' is over 1 TiB", name);
	if (bytes > 0 && !tensor->data)
		return cairn_error_set(err, CAIRN_EBUG, "entry '%s' has no data", name);
	return 0;
}

/* ---- lists ------------------------------------------------------------------------ */

/* How deep a list of n ids is, and how many ids its top has. */
static uint32_t list_depth(uint64_t n, uint64_t *top)
{
	uint32_t depth = 0;

	for (; n > CAIRN_LIST_FANOUT; depth++)
		n = (n + CAIRN_LIST_FANOUT - 1) / CAIRN_LIST_FANOUT;
	*top = n;
	return depth;
}

/* Cuts a level into nodes; *out is the level above. */
static int put_level(cairn_id **out, const cairn_id *ids, uint64_t n, uint32_t depth,
	cairn_node_put_fn put, void *arg, cairn_error *err)
{
	uint64_t n_above = (n + CAIRN_LIST_FANOUT - 1) / CAIRN_LIST_FANOUT;
	cairn_id *above = cairn_alloc(n_above, sizeof(*above));
	cairn_text node = {0};
	int rc = above ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "out of memory");

	for (uint64_t i = 0; i < n_above && !rc; i++) {
		uint64_t first = i * CAIRN_LIST_FANOUT;
		uint64_t count = n - first < CAIRN_LIST_FANOUT ? n - first : CAIRN_LIST_FANOUT;

		cairn_text_clear(&node);
		cairn_text_add_bytes(&node, LIST_MAGIC, 8);
		cairn_add_le(&node, NODE_VERSION, 2);
		cairn_add_le(&node, depth, 1);
		cairn_add_le(&node, 0, 1);
		cairn_add_le(&node, count, 4);
		cairn_text_add_bytes(&node, ids + first, count * ID_BYTES);
		rc = node.failed ? cairn_error_set(err, CAIRN_ENOMEM, "out of memory")
				 : put(arg, node.data, node.len, &above[i], err);
	}
	cairn_text_free(&node);
	if (rc) {
		free(above);
		return rc;
	}
	*out = above;
	return 0;
}

int cairn_manifest__add_list(cairn_text *node, const cairn_id *ids, uint64_t n,
	cairn_node_put_fn put, void *arg, cairn_error *err)
{
	cairn_id *level = NULL; /* NULL: `ids` themselves */
	uint32_t depth = 0;
	int rc;

	while (n > CAIRN_LIST_FANOUT) {
		cairn_id *above;

		rc = put_level(&above, level ? level : ids, n, depth, put, arg, err);
		free(level);
		if (rc)
			return rc;
		level = above;
		n = (n + CAIRN_LIST_FANOUT - 1) / CAIRN_LIST_FANOUT;
		depth++;
	}
	cairn_add_le(node, depth, 1);
	cairn_add_le(node, 0, 3);
	cairn_add_le(node, n, 4);
	if (n)
		cairn_text_add_bytes(node, level ? level : ids, n * ID_BYTES);
	free(level);
	return 0;
}

/* Replaces a level of n_above node ids by the n_below ids that those nodes hold. */
static int get_level(cairn_id **level, uint64_t n_above, uint64_t n_below, uint32_t depth,
	cairn_node_get_fn get, void *arg, cairn_error *err)
{
	cairn_id *below = cairn_alloc(n_below, sizeof(*below));

	if (!below)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	for (uint64_t i = 0; i < n_above; i++) {
		uint64_t first = i * CAIRN_LIST_FANOUT;
		uint64_t want =
			n_below - first < CAIRN_LIST_FANOUT ? n_below - first : CAIRN_LIST_FANOUT;
		const void *bytes;
		cairn_bytes node = {0};
		int rc = get(arg, &(*level)[i], &bytes, &node.left, err);

		if (rc) {
			free(below);
			return rc;
		}
		node.at = bytes;
		cairn_bytes_expect(&node, LIST_MAGIC, 8);
		node.is_bad |= cairn_bytes_le(&node, 2) != NODE_VERSION;
		node.is_bad |= cairn_bytes_le(&node, 1) != depth;
		node.is_bad |= cairn_bytes_le(&node, 1) != 0;
		node.is_bad |= cairn_bytes_le(&node, 4) != want;
		if (node.is_bad || node.left != want * ID_BYTES) {
			free(below);
			return malformed("a list", err);
		}
		memcpy(below + first, node.at, node.left);
	}
	free(*level);
	*level = below;
	return 0;
}

int cairn_manifest__read_list(cairn_id **out, const void *list, size_t list_len, uint64_t n,
	cairn_node_get_fn get, void *arg, cairn_error *err)
{
	cairn_bytes bytes = {.at = list, .left = list_len};
	uint64_t top;
	uint32_t depth = list_depth(n, &top);
	cairn_id *level;

	bytes.is_bad |= cairn_bytes_le(&bytes, 1) != depth;
	bytes.is_bad |= cairn_bytes_le(&bytes, 3) != 0;
	bytes.is_bad |= cairn_bytes_le(&bytes, 4) != top;
	if (bytes.is_bad || bytes.left != top * ID_BYTES)
		return malformed("a list", err);
	level = cairn_alloc(top ? top : 1, sizeof(*level));
	if (!level)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	if (top)
		memcpy(level, bytes.at, bytes.left);
	while (depth-- > 0) {
		uint64_t below = n;
		int rc;

		for (uint32_t i = 0; i < depth; i++)
			below = (below + CAIRN_LIST_FANOUT - 1) / CAIRN_LIST_FANOUT;
		rc = get_level(&level, top, below, depth, get, arg, err);
		if (rc) {
			free(level);
			return rc;
		}
		top = below;
	}
	*out = level;
	return 0;
}

/* ---- entries and manifests -------------------------------------------------------- */

static void add_head(cairn_text *node, const char *magic, uint64_t version)
{
	cairn_text_add_bytes(node, magic, 8);
	cairn_add_le(node, version, 2);
	cairn_add_le(node, HASH_SHA256, 1);
	cairn_add_le(node, 0, 1);
}

/* Answers the node's version. */
static uint64_t expect_head(cairn_bytes *bytes, const char *magic)
{
	uint64_t version;

	cairn_bytes_expect(bytes, magic, 8);
	version = cairn_bytes_le(bytes, 2);
	bytes->is_bad |= cairn_bytes_le(bytes, 1) != HASH_SHA256;
	bytes->is_bad |= cairn_bytes_le(bytes, 1) != 0;
	return version;
}

void cairn_manifest__add_entry_head(cairn_text *node, const cairn_entry_node *entry)
{
	add_head(node, ENTRY_MAGIC, entry->is_cut_by_content ? CUT_VERSION : NODE_VERSION);
	cairn_add_le(node, entry->dtype, 4);
	cairn_add_le(node, entry->n_dims, 4);
	for (uint32_t i = 0; i < entry->n_dims; i++)
		cairn_add_le(node, entry->dims[i], 8);
	cairn_add_le(node, entry->bytes, 8);
	cairn_add_le(node, entry->is_cut_by_content ? 0 : CAIRN_CHUNK_BYTES, 4);
	cairn_add_le(node, entry->name_len, 4);
	cairn_text_add_bytes(node, entry->name, entry->name_len);
	if (entry->is_cut_by_content) {
		cairn_add_le(node, entry->n_chunks, 8);
		cairn_add_le(node, entry->last_len, 4);
	}
}

/* Chunks of so many bytes can have been cut by the rule: whether they were, only the bytes tell. */
static bool could_be_cut(const cairn_entry_node *entry)
{
	uint64_t before = entry->bytes - entry->last_len, n = entry->n_chunks - 1;

	return cairn_cuts__by_content(entry->dtype, entry->n_dims, entry->bytes) &&
	       entry->n_chunks > 0 && n <= entry->bytes / CAIRN_CUT_MIN && entry->last_len > 0 &&
	       entry->last_len <= CAIRN_CUT_MAX && entry->last_len <= entry->bytes &&
	       before >= n * CAIRN_CUT_MIN && before <= n * CAIRN_CUT_MAX;
}

int cairn_manifest__read_entry(
	cairn_entry_node *out, const void *bytes, size_t len, cairn_error *err)
{
	cairn_bytes node = {.at = bytes, .left = len};
	cairn_entry_node entry = {0};
	uint64_t shaped, chunk, version = expect_head(&node, ENTRY_MAGIC);

	entry.is_cut_by_content = version == CUT_VERSION;
	node.is_bad |= version != NODE_VERSION && version != CUT_VERSION;
	entry.dtype = (uint32_t)cairn_bytes_le(&node, 4);
	entry.n_dims = (uint32_t)cairn_bytes_le(&node, 4);
	if (entry.n_dims > CAIRN_MAX_DIMS)
		return malformed("an entry", err);
	for (uint32_t i = 0; i < entry.n_dims; i++)
		entry.dims[i] = cairn_bytes_le(&node, 8);
	entry.bytes = cairn_bytes_le(&node, 8);
	chunk = cairn_bytes_le(&node, 4);
	node.is_bad |= chunk != (entry.is_cut_by_content ? 0 : CAIRN_CHUNK_BYTES);
	entry.name_len = (uint32_t)cairn_bytes_le(&node, 4);
	entry.name = (const char *)cairn_bytes_take(&node, entry.name_len);
	entry.n_chunks = cairn_manifest__chunks(entry.bytes);
	if (entry.is_cut_by_content) {
		entry.n_chunks = cairn_bytes_le(&node, 8);
		entry.last_len = (uint32_t)cairn_bytes_le(&node, 4);
		node.is_bad |= !could_be_cut(&entry);
	}
	if (node.is_bad || !is_name(entry.name, entry.name_len) ||
		!shape_bytes(entry.dtype, entry.n_dims, entry.dims, &shaped) ||
		shaped != entry.bytes || shaped > CAIRN_MAX_ENTRY_BYTES)
		return malformed("an entry", err);
	entry.list = node.at;
	entry.list_len = node.left;
	*out = entry;
	return 0;
}

void cairn_manifest__add_head(cairn_text *node, const cairn_manifest *manifest)
{
	add_head(node, MANIFEST_MAGIC, NODE_VERSION);
	cairn_add_le(node, manifest->kind_len, 4);
	cairn_text_add_bytes(node, manifest->kind, manifest->kind_len);
	cairn_add_le(node, manifest->n_entries, 8);
	cairn_add_le(node, manifest->bytes, 8);
	cairn_add_le(node, manifest->meta_len, 8);
}

/* The encoded list that begins here; the reader goes on behind it. */
static const void *take_list(cairn_bytes *bytes, size_t *len)
{
	cairn_bytes ahead = *bytes;
	uint64_t count;

	(void)cairn_bytes_le(&ahead, 4);
	count = cairn_bytes_le(&ahead, 4);
	if (count > CAIRN_LIST_FANOUT)
		ahead.is_bad = true;
	bytes->is_bad |= ahead.is_bad;
	*len = LIST_HEAD + (size_t)count * ID_BYTES;
	return cairn_bytes_take(bytes, *len);
}

int cairn_manifest__read(cairn_manifest *out, const void *bytes, size_t len, cairn_error *err)
{
	cairn_bytes node = {.at = bytes, .left = len};
	cairn_manifest manifest = {0};

	node.is_bad |= expect_head(&node, MANIFEST_MAGIC) != NODE_VERSION;
	manifest.kind_len = (uint32_t)cairn_bytes_le(&node, 4);
	manifest.kind = (const char *)cairn_bytes_take(&node, manifest.kind_len);
	manifest.n_entries = cairn_bytes_le(&node, 8);
	manifest.bytes = cairn_bytes_le(&node, 8);
	manifest.meta_len = cairn_bytes_le(&node, 8);
	if (manifest.meta_len <= CAIRN_META_INLINE_BYTES)
		manifest.meta = (const char *)cairn_bytes_take(&node, manifest.meta_len);
	else
		manifest.meta_list = take_list(&node, &manifest.meta_list_len);
	manifest.list = take_list(&node, &manifest.list_len);
	if (node.is_bad || node.left != 0 || !is_name(manifest.kind, manifest.kind_len) ||
		manifest.n_entries > CAIRN_MAX_ENTRIES || manifest.meta_len > CAIRN_MAX_META)
		return malformed("a manifest", err);
	*out = manifest;
	return 0;
}
