/* SPDX-License-Identifier: Apache-2.0 */
/* fakehost_store.c - artifacts in memory: what the fake host hands to plugins and takes back. */
#include "fakehost_private.h"

#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/json.h"

/* Tensors are aligned as the real host's mappings are at least. */
#define ALIGNMENT 64

void *fake_alloc(size_t n, size_t size)
{
	void *block = cairn_alloc(n, size);

	if (!block)
		fail_msg("no memory for %zu x %zu bytes", n, size);
	return block;
}

char *fake_strdup(const char *text)
{
	char *copy = cairn_strdup(text);

	if (!copy)
		fail_msg("no memory");
	return copy;
}

struct fake_artifact *fake_artifact_new(const char *kind, const char *source)
{
	struct fake_artifact *artifact = fake_alloc(1, sizeof(*artifact));

	artifact->kind = fake_strdup(kind);
	artifact->source = fake_strdup(source);
	artifact->meta = fake_strdup("{}");
	return artifact;
}

void fake_artifact_free(struct fake_artifact *artifact)
{
	if (!artifact)
		return;
	for (size_t i = 0; i < artifact->n_entries; i++) {
		free((void *)(uintptr_t)artifact->entries[i].name);
		free((void *)(uintptr_t)artifact->entries[i].data);
	}
	free(artifact->entries);
	free(artifact->kind);
	free(artifact->source);
	free(artifact->meta);
	free(artifact);
}

void fake_artifact_free_list(struct fake_artifact *artifact)
{
	while (artifact) {
		struct fake_artifact *next = artifact->next;

		fake_artifact_free(artifact);
		artifact = next;
	}
}

static uint64_t element_bytes(uint32_t dtype)
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
	}
	fail_msg("unknown dtype %u", dtype);
	return 1;
}

static void check_name(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > 200)
		fail_msg("entry name of %zu bytes", len);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] < 0x20)
			fail_msg("control character in entry name '%s'", name);
}

void fake_add(struct fake_artifact *artifact, const char *name, uint32_t dtype, uint32_t n_dims,
	const uint64_t *dims, const void *data, uint64_t bytes)
{
	uint64_t size = element_bytes(dtype), whole = dims ? size : bytes;
	cairn_tensor entry = {.name = name, .dtype = dtype, .n_dims = dims ? n_dims : 1};
	size_t at = 0;
	char *copy;

	check_name(name);
	if (entry.n_dims > CAIRN_MAX_DIMS || bytes % size)
		fail_msg("entry '%s': %u dimensions, %llu bytes", name, n_dims,
			(unsigned long long)bytes);
	if (!dims)
		entry.dims[0] = bytes / size;
	for (uint32_t i = 0; dims && i < n_dims; i++) {
		entry.dims[i] = dims[i];
		whole *= dims[i];
	}
	if (whole != bytes)
		fail_msg("entry '%s': dimensions say %llu bytes, there are %llu", name,
			(unsigned long long)whole, (unsigned long long)bytes);
	copy = aligned_alloc(ALIGNMENT, (bytes / ALIGNMENT + 1) * ALIGNMENT);
	if (!copy)
		fail_msg("no memory for entry '%s'", name);
	if (bytes)
		memcpy(copy, data, bytes);
	copy[bytes] = '\0'; /* so that entries read as texts */
	entry.name = fake_strdup(name);
	entry.data = copy;
	entry.bytes = bytes;
	while (at < artifact->n_entries && strcmp(artifact->entries[at].name, name) < 0)
		at++;
	if (at < artifact->n_entries && !strcmp(artifact->entries[at].name, name))
		fail_msg("entry '%s' was put twice", name);
	artifact->entries = cairn_realloc(
		artifact->entries, artifact->n_entries + 1, sizeof(*artifact->entries));
	if (!artifact->entries)
		fail_msg("no memory");
	memmove(&artifact->entries[at + 1], &artifact->entries[at],
		(artifact->n_entries - at) * sizeof(*artifact->entries));
	artifact->entries[at] = entry;
	artifact->n_entries++;
	artifact->bytes += bytes;
}

void fake_replace(struct fake_artifact *artifact, const char *name, const char *text)
{
	for (size_t i = 0; i < artifact->n_entries; i++) {
		cairn_tensor *entry = &artifact->entries[i];

		if (strcmp(entry->name, name) != 0)
			continue;
		free((void *)(uintptr_t)entry->data);
		entry->data = fake_strdup(text);
		artifact->bytes += strlen(text) - entry->bytes;
		entry->bytes = entry->dims[0] = strlen(text);
		return;
	}
	fail_msg("no entry '%s'", name);
}

void fake_meta(struct fake_artifact *artifact, const char *json)
{
	cairn_error err = {0};
	json_t *parsed = NULL;

	if (cairn_json_parse(&parsed, json, strlen(json), "meta", &err))
		fail_msg("meta is no JSON: %s (%s)", err.message, json);
	if (!json_is_object(parsed))
		fail_msg("meta is no JSON object: %s", json);
	free(artifact->meta);
	artifact->meta = cairn_json_canonical(parsed);
	json_decref(parsed);
	if (!artifact->meta)
		fail_msg("no memory");
}

struct fake_artifact *fake_artifact_copy(const struct fake_artifact *artifact)
{
	struct fake_artifact *copy = fake_artifact_new(artifact->kind, artifact->source);

	for (size_t i = 0; i < artifact->n_entries; i++) {
		const cairn_tensor *e = &artifact->entries[i];

		fake_add(copy, e->name, e->dtype, e->n_dims, e->dims, e->data, e->bytes);
	}
	fake_meta(copy, artifact->meta);
	fake_artifact_seal(copy);
	return copy;
}

void fake_artifact_seal(struct fake_artifact *artifact)
{
	cairn_digest *digest = cairn_digest_new();
	uint8_t hash[CAIRN_DIGEST_BYTES];

	if (!digest)
		fail_msg("no memory");
	for (size_t i = 0; i < artifact->n_entries; i++) {
		const cairn_tensor *e = &artifact->entries[i];

		cairn_digest_add(digest, e->name, strlen(e->name) + 1);
		cairn_digest_add(digest, &e->dtype, sizeof(e->dtype));
		cairn_digest_add(digest, e->dims, sizeof(e->dims[0]) * e->n_dims);
		cairn_digest_add(digest, e->data, e->bytes);
	}
	cairn_digest_add(digest, artifact->meta, strlen(artifact->meta));
	cairn_digest_end(digest, hash);
	memcpy(artifact->id, "sha256:", 7);
	cairn_hex_encode(hash, sizeof(hash), artifact->id + 7);
}

void fake_artifact_describe(const struct fake_artifact *artifact, cairn_artifact *out)
{
	*out = (cairn_artifact){.id = artifact->id,
		.kind = artifact->kind,
		.meta = artifact->meta,
		.source = artifact->source,
		.n_entries = artifact->n_entries,
		.bytes = artifact->bytes,
		.handle = artifact};
}

const char *fake_artifact_meta(const struct fake_artifact *artifact)
{
	return artifact->meta;
}

const char *fake_artifact_kind(const struct fake_artifact *artifact)
{
	return artifact->kind;
}

uint64_t fake_artifact_entries(const struct fake_artifact *artifact)
{
	return artifact->n_entries;
}

const cairn_tensor *fake_entry(const struct fake_artifact *artifact, const char *name)
{
	for (size_t i = 0; i < artifact->n_entries; i++)
		if (!strcmp(artifact->entries[i].name, name))
			return &artifact->entries[i];
	return NULL;
}

const cairn_tensor *fake_entry_at(const struct fake_artifact *artifact, uint64_t index)
{
	return index < artifact->n_entries ? &artifact->entries[index] : NULL;
}

const char *fake_text(const struct fake_artifact *artifact, const char *name)
{
	const cairn_tensor *entry = artifact ? fake_entry(artifact, name) : NULL;

	if (!entry)
		fail_msg("no entry '%s'%s", name, artifact ? "" : ": no artifact");
	return entry->data;
}

void fake_assert_equal(const struct fake_artifact *a, const struct fake_artifact *b)
{
	if (!a || !b)
		fail_msg("an artifact is missing");
	for (size_t i = 0; i < a->n_entries && i < b->n_entries; i++) {
		const cairn_tensor *x = &a->entries[i], *y = &b->entries[i];

		if (strcmp(x->name, y->name))
			fail_msg("entry '%s' against '%s'", x->name, y->name);
		if (x->dtype != y->dtype || x->n_dims != y->n_dims || x->bytes != y->bytes ||
			memcmp(x->dims, y->dims, sizeof(x->dims)))
			fail_msg("entry '%s' has another shape", x->name);
		for (uint64_t at = 0; at < x->bytes; at++)
			if (((const char *)x->data)[at] != ((const char *)y->data)[at])
				fail_msg("entry '%s' differs from byte %llu of %llu on", x->name,
					(unsigned long long)at, (unsigned long long)x->bytes);
	}
	if (a->n_entries != b->n_entries)
		fail_msg("%zu entries against %zu", a->n_entries, b->n_entries);
	assert_string_equal(a->meta, b->meta);
}
