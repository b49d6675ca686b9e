/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors.c - the reader: length, header (safetensors_header.c), and what must hold between the
 * tensors that it names.
 */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/safetensors_internal.h"
#include "gpt/utf8.h"

/* ---- what must hold between tensors ------------------------------------------------------------
 */

static int by_place(const void *left, const void *right)
{
	const gpt_st_tensor *a = left, *b = right;

	if (a->begin != b->begin)
		return a->begin < b->begin ? -1 : 1;
	/* Empty ones stand before the one that begins at the same byte. */
	if (a->bytes != b->bytes)
		return a->bytes < b->bytes ? -1 : 1;
	return a->at < b->at ? -1 : a->at > b->at;
}

static int by_name(const void *left, const void *right)
{
	const gpt_st_tensor *a = *(gpt_st_tensor *const *)left;
	const gpt_st_tensor *b = *(gpt_st_tensor *const *)right;
	int order = strcmp(a->name, b->name);

	return order ? order : a->at < b->at ? -1 : a->at > b->at;
}

static int check_names(gpt__st_header *h)
{
	gpt_safetensors *out = h->out;

	out->by_name = cairn_alloc(out->n, sizeof(gpt_st_tensor *));
	if (!out->by_name)
		return gpt__st_no_memory(h);
	for (size_t i = 0; i < out->n; i++)
		out->by_name[i] = &out->tensors[i];
	qsort(out->by_name, out->n, sizeof(gpt_st_tensor *), by_name);
	for (size_t i = 0; i + 1 < out->n; i++)
		if (!strcmp(out->by_name[i]->name, out->by_name[i + 1]->name))
			return gpt__st_bad(h, out->by_name[i + 1]->at - GPT_ST_LENGTH_BYTES,
				"tensor '%.100s' stands twice in the header",
				out->by_name[i]->name);
	return 0;
}

/* Every byte of the data belongs to exactly one tensor. */
static int check_places(gpt__st_header *h)
{
	const gpt_safetensors *out = h->out;
	uint64_t end = GPT_ST_LENGTH_BYTES + h->len;

	for (size_t i = 0; i < out->n; i++) {
		const gpt_st_tensor *tensor = &out->tensors[i];
		size_t at = tensor->begin - GPT_ST_LENGTH_BYTES;

		if (tensor->begin < end)
			return gpt__st_bad(h, at, "tensors '%.100s' and '%.100s' overlap",
				out->tensors[i - 1].name, tensor->name);
		if (tensor->begin > end)
			return gpt__st_bad(h, end - GPT_ST_LENGTH_BYTES,
				"%" PRIu64 " byte(s) before tensor '%.100s' belong to none",
				tensor->begin - end, tensor->name);
		end = tensor->begin + tensor->bytes;
	}
	if (end < out->len)
		return gpt__st_bad(h, end - GPT_ST_LENGTH_BYTES,
			"%" PRIu64 " byte(s) at the end belong to no tensor", out->len - end);
	return 0;
}

static int check_utf8(gpt__st_header *h)
{
	for (size_t at = 0, n; at < h->len; at += n) {
		n = gpt_utf8_character(h->text + at, h->len - at);
		if (!n)
			return gpt__st_bad(h, at, "the header is not UTF-8");
	}
	return 0;
}

/* ---- the door
 * ------------------------------------------------------------------------------------ */

static int read_length(gpt__st_header *h, const unsigned char *bytes, size_t len)
{
	uint64_t n = 0;

	if (len < GPT_ST_LENGTH_BYTES) {
		cairn_error_set(h->err, CAIRN_EINPUT,
			"a file of %zu bytes has no room for the length of its header", len);
		cairn_error_at(h->err, "%s, byte 0", h->source);
		return CAIRN_EINPUT;
	}
	for (int i = GPT_ST_LENGTH_BYTES - 1; i >= 0; i--)
		n = n << 8 | bytes[i];
	if (n <= len - GPT_ST_LENGTH_BYTES && n <= GPT_ST_MAX_HEADER) {
		h->len = (size_t)n;
		return 0;
	}
	if (n > GPT_ST_MAX_HEADER)
		cairn_error_set(h->err, CAIRN_ELIMIT,
			"a header of %" PRIu64 " bytes is longer than %u", n, GPT_ST_MAX_HEADER);
	else
		cairn_error_set(h->err, CAIRN_EINPUT,
			"a header of %" PRIu64 " bytes goes beyond the end of the file", n);
	cairn_error_at(h->err, "%s, byte 0", h->source);
	cairn_error_hint(
		h->err, "The file is damaged or no safetensors file: fetch or write it again.");
	return n > GPT_ST_MAX_HEADER ? CAIRN_ELIMIT : CAIRN_EINPUT;
}

int gpt_safetensors_open(
	gpt_safetensors *out, const char *source, const void *bytes, size_t len, cairn_error *err)
{
	gpt_safetensors file = {.file = bytes, .len = len};
	gpt__st_header h = {.source = source, .out = &file, .err = err};
	int rc = read_length(&h, bytes, len);

	if (rc)
		return rc;
	h.text = file.file + GPT_ST_LENGTH_BYTES;
	rc = check_utf8(&h);
	if (!rc) {
		file.strings = cairn_alloc(h.len + 1, 1);
		rc = file.strings ? gpt__st_read_header(&h) : gpt__st_no_memory(&h);
	}
	if (!rc && file.n)
		qsort(file.tensors, file.n, sizeof(*file.tensors), by_place);
	if (!rc)
		rc = check_names(&h);
	if (!rc)
		rc = check_places(&h);
	if (rc)
		gpt_safetensors_close(&file);
	else
		*out = file;
	return rc;
}

void gpt_safetensors_close(gpt_safetensors *file)
{
	free(file->tensors);
	free(file->metadata);
	free(file->by_name);
	free(file->strings);
	*file = (gpt_safetensors){0};
}

static int name_against(const void *name, const void *tensor)
{
	return strcmp(name, (*(gpt_st_tensor *const *)tensor)->name);
}

const gpt_st_tensor *gpt_safetensors_find(const gpt_safetensors *file, const char *name)
{
	gpt_st_tensor **found = file->n ? bsearch(name, file->by_name, file->n,
						  sizeof(gpt_st_tensor *), name_against)
					: NULL;

	return found ? *found : NULL;
}

const char *gpt_safetensors_metadata(const gpt_safetensors *file, const char *key)
{
	for (size_t i = 0; i < file->n_metadata; i++)
		if (!strcmp(file->metadata[i].key, key))
			return file->metadata[i].value;
	return NULL;
}
