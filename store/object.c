/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object.c - an artifact on its way out. Manifest and entry nodes are read and checked at open;
 * the bytes of an entry when somebody asks for them (content.c).
 */
#include <string.h>

#include "base/alloc.h"
#include "store/internal.h"

typedef struct object_entry {
	cairn_tensor tensor; /* data: once it was read */
	char *name;
	uint8_t *list; /* of its chunks, encoded */
	cairn_content content;
	cairn_held held;
} object_entry;

struct cairn_object {
	cairn_store *store;
	cairn_id id;
	char *kind, *meta;
	cairn_held held_meta; /* where it is long */
	object_entry *entries;
	uint64_t n_entries, bytes;
};

static int out_of_memory(cairn_error *err)
{
	return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
}

/* ---- open and close ---------------------------------------------------------------- */

static int malformed(const cairn_object *object, const char *how, cairn_error *err)
{
	char id[CAIRN_ID_TEXT];

	cairn_id_format(&object->id, id);
	cairn_error_set(err, CAIRN_EINTEGRITY, "artifact %s is malformed", id);
	cairn_error_detail(err, "%s", how);
	return CAIRN_EINTEGRITY;
}

static int load_entry(object_entry *entry, cairn_txn *txn, const cairn_id *id, cairn_error *err)
{
	cairn_entry_node node;
	const void *bytes;
	size_t len;
	int rc = cairn_content__node(txn, id, &bytes, &len, err);

	if (rc || (rc = cairn_manifest__read_entry(&node, bytes, len, err)))
		return rc;
	entry->name = cairn_strndup(node.name, node.name_len);
	entry->list = cairn_alloc(node.list_len ? node.list_len : 1, 1);
	if (!entry->name || !entry->list)
		return out_of_memory(err);
	memcpy(entry->list, node.list, node.list_len);
	entry->content = (cairn_content){.name = entry->name,
		.needs_nul = node.dtype == CAIRN_U8 && node.n_dims == 1,
		.is_cut_by_content = node.is_cut_by_content,
		.last_len = node.last_len,
		.len = node.bytes,
		.n_chunks = node.n_chunks,
		.list = entry->list,
		.list_len = node.list_len};
	entry->tensor = (cairn_tensor){.name = entry->name,
		.dtype = node.dtype,
		.n_dims = node.n_dims,
		.bytes = node.bytes};
	memcpy(entry->tensor.dims, node.dims, sizeof(node.dims));
	return 0;
}

static int load_entries(
	cairn_object *object, cairn_txn *txn, const cairn_manifest *manifest, cairn_error *err)
{
	uint64_t bytes = 0;
	cairn_id *ids = NULL;
	int rc = cairn_manifest__read_list(&ids, manifest->list, manifest->list_len,
		manifest->n_entries, cairn_content__node, txn, err);

	if (rc)
		return rc;
	object->entries = cairn_alloc(
		manifest->n_entries ? manifest->n_entries : 1, sizeof(*object->entries));
	if (!object->entries)
		rc = out_of_memory(err);
	else
		object->n_entries = manifest->n_entries;
	for (uint64_t i = 0; i < manifest->n_entries && !rc; i++) {
		rc = load_entry(&object->entries[i], txn, &ids[i], err);
		if (rc)
			break;
		bytes += object->entries[i].tensor.bytes;
		if (i && strcmp(object->entries[i - 1].name, object->entries[i].name) >= 0)
			rc = malformed(object, "its entries are not in order", err);
	}
	free(ids);
	if (!rc && bytes != manifest->bytes)
		rc = malformed(object, "its size is not the sum of its entries", err);
	return rc;
}

/* Everything that the transaction is needed for. Long metadata is left to be read after it. */
static int load(cairn_object *object, cairn_txn *txn, cairn_content *meta, cairn_error *err)
{
	cairn_manifest manifest;
	const void *bytes;
	char id[CAIRN_ID_TEXT];
	uint8_t *list;
	size_t len;
	int rc = cairn_catalog__get_blob(txn, CAIRN_TABLE_ARTIFACT, &object->id, &bytes, &len, err);

	if (rc == CAIRN_ENOTFOUND) {
		cairn_id_format(&object->id, id);
		return cairn_error_set(
			err, CAIRN_ENOTFOUND, "there is no artifact %s in the store", id);
	}
	if (rc || (rc = cairn_manifest__read(&manifest, bytes, len, err)))
		return rc;
	object->bytes = manifest.bytes;
	object->kind = cairn_strndup(manifest.kind, manifest.kind_len);
	if (!object->kind)
		return out_of_memory(err);
	if (manifest.meta) {
		object->meta = cairn_strndup(manifest.meta, manifest.meta_len);
		if (!object->meta)
			return out_of_memory(err);
	} else {
		list = cairn_alloc(manifest.meta_list_len, 1);
		if (!list)
			return out_of_memory(err);
		memcpy(list, manifest.meta_list, manifest.meta_list_len);
		*meta = (cairn_content){.needs_nul = true,
			.len = manifest.meta_len,
			.n_chunks = cairn_manifest__chunks(manifest.meta_len),
			.list = list,
			.list_len = manifest.meta_list_len};
	}
	return load_entries(object, txn, &manifest, err);
}

int cairn_object_open(cairn_object **out, cairn_store *store, const cairn_id *id, cairn_error *err)
{
	cairn_object *object = cairn_alloc(1, sizeof(*object));
	cairn_content meta = {0};
	cairn_txn *txn;
	int rc;

	if (!object)
		return out_of_memory(err);
	object->store = store;
	object->id = *id;
	rc = cairn_index__begin(&txn, store->index, false, err);
	if (rc)
		goto out;
	rc = load(object, txn, &meta, err);
	cairn_index__abort(txn);
	if (!rc && meta.list) {
		meta.artifact = &object->id;
		rc = cairn_content__read(&object->held_meta, store, &meta, err);
	}
	if (rc)
		goto out;
	*out = object;
	object = NULL;
out:
	free((void *)meta.list);
	cairn_object_close(object);
	return rc;
}

void cairn_object_close(cairn_object *object)
{
	if (!object)
		return;
	for (uint64_t i = 0; i < object->n_entries; i++) {
		free(object->entries[i].name);
		free(object->entries[i].list);
		cairn_content__free(&object->entries[i].held);
	}
	free(object->entries);
	free(object->kind);
	free(object->meta);
	cairn_content__free(&object->held_meta);
	free(object);
}

/* ---- what is in it ------------------------------------------------------------------ */

const cairn_id *cairn_object_id(const cairn_object *object)
{
	return &object->id;
}

const char *cairn_object_kind(const cairn_object *object)
{
	return object->kind;
}

const char *cairn_object_meta(const cairn_object *object)
{
	return object->meta ? object->meta : object->held_meta.bytes;
}

uint64_t cairn_object_bytes(const cairn_object *object)
{
	return object->bytes;
}

uint64_t cairn_object_count(const cairn_object *object)
{
	return object->n_entries;
}

int cairn_object_entry(
	const cairn_object *object, uint64_t index, cairn_tensor *out, cairn_error *err)
{
	if (index >= object->n_entries)
		return cairn_error_set(err, CAIRN_ENOTFOUND,
			"the artifact has %llu entries, and no number %llu",
			(unsigned long long)object->n_entries, (unsigned long long)index);
	*out = object->entries[index].tensor;
	out->data = NULL;
	return 0;
}

static object_entry *find(const cairn_object *object, const char *name)
{
	uint64_t low = 0, high = object->n_entries;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		int order = strcmp(name, object->entries[middle].name);

		if (order == 0)
			return &object->entries[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

bool cairn_object_has(const cairn_object *object, const char *name)
{
	return find(object, name) != NULL;
}

int cairn_object_read(cairn_object *object, const char *name, cairn_tensor *out, cairn_error *err)
{
	object_entry *entry = find(object, name);
	char id[CAIRN_ID_TEXT];
	int rc;

	if (!entry) {
		cairn_id_format(&object->id, id);
		return cairn_error_set(
			err, CAIRN_ENOTFOUND, "artifact %s has no entry '%s'", id, name);
	}
	if (!entry->held.bytes) {
		entry->content.artifact = &object->id;
		rc = cairn_content__read(&entry->held, object->store, &entry->content, err);
		if (rc)
			return rc;
		entry->tensor.data = entry->held.bytes;
	}
	*out = entry->tensor;
	return 0;
}

void cairn_object_release(cairn_object *object, const char *name)
{
	for (uint64_t i = 0; i < object->n_entries; i++) {
		object_entry *entry = &object->entries[i];

		if (name && strcmp(entry->name, name) != 0)
			continue;
		cairn_content__free(&entry->held);
		entry->tensor.data = NULL;
	}
}
