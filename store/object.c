/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object.c - an artifact on its way out. Manifest and entry nodes are read and checked at open;
 * the bytes of an entry when somebody asks for them, each chunk against its SHA-256.
 *
 * Transactions are short: places are looked up in one, files are read after it.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "store/internal.h"

enum {
	HASH_BEHIND = 8,
	ALIGNMENT = 64
};

typedef struct object_entry {
	cairn_tensor tensor; /* data: once it was read */
	char *name;
	uint8_t *list; /* of its chunks, encoded */
	size_t list_len;
	void *data;
} object_entry;

struct cairn_object {
	cairn_store *store;
	cairn_id id;
	char *kind, *meta;
	object_entry *entries;
	uint64_t n_entries, bytes;
};

static int out_of_memory(cairn_error *err)
{
	return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
}

/* ---- content: a list of chunks ----------------------------------------------------- */

static int get_node(
	void *arg, const cairn_id *id, const void **bytes, size_t *len, cairn_error *err)
{
	int rc = cairn_catalog__get_blob(arg, CAIRN_TABLE_BLOB, id, bytes, len, err);
	char text[CAIRN_ID_TEXT];

	if (rc != CAIRN_ENOTFOUND)
		return rc;
	cairn_id_format(id, text);
	cairn_error_set(err, CAIRN_EINTEGRITY, "the store has lost a part of an artifact");
	cairn_error_detail(err, "no node %s in its index", text);
	return CAIRN_EINTEGRITY;
}

struct content {
	const cairn_object *object;
	const char *name; /* of the entry; NULL: the metadata */
	uint8_t *out;
	uint64_t len, n;
	cairn_id *ids;
	cairn_place *places; /* raw_len 0: was inline, and is in `out` already */
};

/* Says which chunk an integrity error is about. */
static int name_chunk(const struct content *content, uint64_t i, int rc, cairn_error *err)
{
	char object[CAIRN_ID_TEXT], chunk[CAIRN_ID_TEXT], where[64] = "the index";
	const cairn_place *place = &content->places[i];

	if (rc != CAIRN_EINTEGRITY)
		return rc;
	cairn_id_format(&content->object->id, object);
	cairn_id_format(&content->ids[i], chunk);
	if (place->raw_len)
		snprintf(where, sizeof(where), "segment %08x.seg at byte %llu", place->segment,
			(unsigned long long)place->offset);
	cairn_error_detail(err, "%s '%s' of %s: chunk %llu of %llu, %s, in %s",
		content->name ? "entry" : "part", content->name ? content->name : "metadata",
		object, (unsigned long long)i + 1, (unsigned long long)content->n, chunk, where);
	cairn_error_hint(err, "These bytes changed after they were written: restore them from a "
			      "backup of the store, and check the disk.");
	return rc;
}

static size_t chunk_len(const struct content *content, uint64_t i)
{
	uint64_t left = content->len - i * CAIRN_CHUNK_BYTES;

	return left < CAIRN_CHUNK_BYTES ? (size_t)left : CAIRN_CHUNK_BYTES;
}

/* Finds one chunk; an inline one is copied to its place at once. */
static int locate(struct content *content, uint64_t i, cairn_txn *txn, cairn_error *err)
{
	size_t want = chunk_len(content, i), len;
	const void *bytes;
	int rc;

	if (want > CAIRN_INLINE_BYTES) {
		rc = cairn_catalog__get_chunk(txn, &content->ids[i], &content->places[i], err);
		len = content->places[i].raw_len;
	} else {
		rc = cairn_catalog__get_blob(
			txn, CAIRN_TABLE_BLOB, &content->ids[i], &bytes, &len, err);
	}
	if (rc == CAIRN_ENOTFOUND)
		rc = cairn_error_set(
			err, CAIRN_EINTEGRITY, "the store has lost a part of an artifact");
	else if (!rc && len != want)
		rc = cairn_error_set(
			err, CAIRN_EINTEGRITY, "a part of an artifact has the wrong size");
	else if (!rc && want <= CAIRN_INLINE_BYTES)
		memcpy(content->out + i * CAIRN_CHUNK_BYTES, bytes, len);
	return name_chunk(content, i, rc, err);
}

static int locate_all(struct content *content, const void *list, size_t list_len, cairn_error *err)
{
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, content->object->store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_manifest__read_list(
		&content->ids, list, list_len, content->n, get_node, txn, err);
	for (uint64_t i = 0; i < content->n && !rc; i++)
		rc = locate(content, i, txn, err);
	cairn_index__abort(txn);
	return rc;
}

/* Reads all chunks that lie in segments; hashing runs behind. */
static int read_chunks(struct content *content, cairn_error *err)
{
	cairn_store *store = content->object->store;
	cairn_segment_reader reader = {.fd = -1};
	cairn_hash_job jobs[HASH_BEHIND];
	uint64_t n_read = 0, n_checked = 0;
	int rc = 0;

	while (n_checked < content->n) {
		/* Read on until the ring is full or all is read (or something failed). */
		while (!rc && n_read < content->n && n_read < n_checked + HASH_BEHIND) {
			uint64_t i = n_read;
			cairn_hash_job *job = &jobs[i % HASH_BEHIND];

			job->bytes = content->out + i * CAIRN_CHUNK_BYTES;
			job->len = chunk_len(content, i);
			job->is_done = true; /* inline: catalog.c has checked it */
			if (content->places[i].raw_len) {
				rc = name_chunk(content, i,
					cairn_segments__read(store->segments, &reader,
						&content->places[i], (void *)job->bytes, err),
					err);
				if (rc)
					break;
				cairn_pool__submit(store->pool, job);
			} else {
				job->id = content->ids[i];
			}
			n_read++;
		}
		if (n_checked == n_read)
			break;
		cairn_pool__wait(store->pool, &jobs[n_checked % HASH_BEHIND]);
		if (!rc && cairn_id_compare(&jobs[n_checked % HASH_BEHIND].id,
				   &content->ids[n_checked]) != 0) {
			rc = cairn_error_set(
				err, CAIRN_EINTEGRITY, "stored bytes do not match their digest");
			rc = name_chunk(content, n_checked, rc, err);
		}
		n_checked++;
	}
	cairn_segments__read_end(&reader);
	return rc;
}

/* Reads and verifies len bytes; *out is a new block, aligned. */
static int read_content(void **out, const cairn_object *object, const char *name, const void *list,
	size_t list_len, uint64_t len, cairn_error *err)
{
	struct content content = {.object = object, .name = name, .len = len};
	uint64_t room = (len / ALIGNMENT + 1) * ALIGNMENT; /* at least one byte more: a NUL */
	int rc;

	content.n = cairn_manifest__chunks(len);
	content.out = aligned_alloc(ALIGNMENT, room);
	content.places = cairn_alloc(content.n ? content.n : 1, sizeof(*content.places));
	if (!content.out || !content.places) {
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		cairn_error_detail(err, "'%s' has %llu bytes", name ? name : "metadata",
			(unsigned long long)len);
		goto out;
	}
	memset(content.out + len, 0, room - len);
	if ((rc = locate_all(&content, list, list_len, err)) || (rc = read_chunks(&content, err)))
		goto out;
	*out = content.out;
	content.out = NULL;
out:
	free(content.out);
	free(content.places);
	free(content.ids);
	return rc;
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
	int rc = get_node(txn, id, &bytes, &len, err);

	if (rc || (rc = cairn_manifest__read_entry(&node, bytes, len, err)))
		return rc;
	entry->name = cairn_strndup(node.name, node.name_len);
	entry->list = cairn_alloc(node.list_len ? node.list_len : 1, 1);
	if (!entry->name || !entry->list)
		return out_of_memory(err);
	memcpy(entry->list, node.list, node.list_len);
	entry->list_len = node.list_len;
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
	int rc = cairn_manifest__read_list(
		&ids, manifest->list, manifest->list_len, manifest->n_entries, get_node, txn, err);

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

/* Everything that the transaction is needed for. *meta_list: a copy, where the metadata is long. */
static int load(cairn_object *object, cairn_txn *txn, uint8_t **meta_list, size_t *meta_list_len,
	uint64_t *meta_len, cairn_error *err)
{
	cairn_manifest manifest;
	const void *bytes;
	char id[CAIRN_ID_TEXT];
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
	*meta_len = manifest.meta_len;
	if (manifest.meta) {
		object->meta = cairn_strndup(manifest.meta, manifest.meta_len);
		if (!object->meta)
			return out_of_memory(err);
	} else {
		*meta_list = cairn_alloc(manifest.meta_list_len, 1);
		if (!*meta_list)
			return out_of_memory(err);
		memcpy(*meta_list, manifest.meta_list, manifest.meta_list_len);
		*meta_list_len = manifest.meta_list_len;
	}
	return load_entries(object, txn, &manifest, err);
}

int cairn_object_open(cairn_object **out, cairn_store *store, const cairn_id *id, cairn_error *err)
{
	cairn_object *object = cairn_alloc(1, sizeof(*object));
	uint8_t *meta_list = NULL;
	size_t meta_list_len = 0;
	uint64_t meta_len = 0;
	cairn_txn *txn;
	void *meta;
	int rc;

	if (!object)
		return out_of_memory(err);
	object->store = store;
	object->id = *id;
	rc = cairn_index__begin(&txn, store->index, false, err);
	if (rc)
		goto out;
	rc = load(object, txn, &meta_list, &meta_list_len, &meta_len, err);
	cairn_index__abort(txn);
	if (!rc && meta_list) {
		rc = read_content(&meta, object, NULL, meta_list, meta_list_len, meta_len, err);
		if (!rc)
			object->meta = meta;
	}
	if (rc)
		goto out;
	*out = object;
	object = NULL;
out:
	free(meta_list);
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
		free(object->entries[i].data);
	}
	free(object->entries);
	free(object->kind);
	free(object->meta);
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
	return object->meta;
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
	if (!entry->data) {
		rc = read_content(&entry->data, object, entry->name, entry->list, entry->list_len,
			entry->tensor.bytes, err);
		if (rc)
			return rc;
		entry->tensor.data = entry->data;
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
		free(entry->data);
		entry->data = NULL;
		entry->tensor.data = NULL;
	}
}
