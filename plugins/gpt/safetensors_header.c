/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors_header.c - the header's grammar: strings, numbers, and what it says of each tensor.
 *
 * Reads like: safetensors_internal.h first.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/safetensors_internal.h"

int gpt__st_bad(gpt__st_header *h, size_t at, const char *format, ...)
{
	char message[300];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	cairn_error_set(h->err, CAIRN_EINPUT, "%s", message);
	cairn_error_at(h->err, "%s, byte %zu", h->source, GPT_ST_LENGTH_BYTES + at);
	cairn_error_hint(
		h->err, "The file is damaged or no safetensors file: fetch or write it again.");
	return CAIRN_EINPUT;
}

/* ---- words of the grammar ------------------------------------------------------------------- */

/* The next byte that is no white space; -1 at the end of the header. */
static int peek(gpt__st_header *h)
{
	while (h->at < h->len && strchr(" \t\n\r", h->text[h->at]) && h->text[h->at])
		h->at++;
	return h->at < h->len ? (unsigned char)h->text[h->at] : -1;
}

static int expect(gpt__st_header *h, char wanted)
{
	int next = peek(h);

	if (next == wanted) {
		h->at++;
		return 0;
	}
	if (next < 0)
		return gpt__st_bad(h, h->at, "the header ends where '%c' should be", wanted);
	return gpt__st_bad(h, h->at, "the header has byte 0x%02x where '%c' should be",
		(unsigned)next, wanted);
}

/* After an item of a list: 1 where another follows, 0 where the list ends. */
static int another(gpt__st_header *h, char close)
{
	if (peek(h) == ',') {
		h->at++;
		return 1;
	}
	return expect(h, close);
}

static int hex4(gpt__st_header *h, unsigned *out)
{
	*out = 0;
	for (int i = 0; i < 4; i++, h->at++) {
		int c = h->at < h->len ? (unsigned char)h->text[h->at] : 0;

		if (c >= '0' && c <= '9')
			*out = *out << 4 | (unsigned)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*out = *out << 4 | (unsigned)((c | 0x20) - 'a' + 10);
		else
			return gpt__st_bad(h, h->at, "'\\u' without four hexadecimal digits");
	}
	return 0;
}

static void put_code_point(gpt__st_header *h, unsigned code)
{
	char *to = h->out->strings + h->n_strings;
	size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = n - 1; i > 0; i--, code >>= 6)
		to[i] = (char)(0x80 | (code & 0x3f));
	to[0] = (char)(lead[n] | code);
	h->n_strings += n;
}

/* \uXXXX, after the 'u'. */
static int unicode_escape(gpt__st_header *h, size_t start)
{
	unsigned code, low;
	int rc = hex4(h, &code);

	if (rc)
		return rc;
	if (code >= 0xd800 && code < 0xdc00 && h->len - h->at >= 2 && h->text[h->at] == '\\' &&
		h->text[h->at + 1] == 'u') {
		h->at += 2;
		rc = hex4(h, &low);
		if (rc)
			return rc;
		if (low < 0xdc00 || low >= 0xe000)
			return gpt__st_bad(h, start, "half of a surrogate pair");
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	} else if (code >= 0xd800 && code < 0xe000) {
		return gpt__st_bad(h, start, "half of a surrogate pair");
	}
	if (code == 0)
		return gpt__st_bad(h, start, "NUL in a string");
	put_code_point(h, code);
	return 0;
}

static int escape(gpt__st_header *h)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	size_t start = h->at++; /* the backslash */
	int c = h->at < h->len ? (unsigned char)h->text[h->at++] : 0;
	const char *found = c ? strchr(from, c) : NULL;

	if (c == 'u')
		return unicode_escape(h, start);
	if (!found)
		return gpt__st_bad(h, start, "an escape that JSON does not have");
	h->out->strings[h->n_strings++] = to[found - from];
	return 0;
}

/* A string, unescaped and NUL-terminated among out->strings. What it takes there is never more than
 * it has in the header, because the two quotes pay for the NUL. */
static int string(gpt__st_header *h, const char **out)
{
	size_t open;
	int rc = expect(h, '"');

	if (rc)
		return rc;
	open = h->at - 1;
	*out = h->out->strings + h->n_strings;
	while (!rc) {
		unsigned char c = h->at < h->len ? (unsigned char)h->text[h->at] : '\0';

		if (h->at == h->len)
			return gpt__st_bad(h, open, "a string without end");
		if (c < 0x20)
			return gpt__st_bad(h, h->at, "control character 0x%02x in a string", c);
		if (c == '"')
			break;
		if (c == '\\') {
			rc = escape(h);
		} else {
			h->out->strings[h->n_strings++] = (char)c;
			h->at++;
		}
	}
	h->at++;
	h->out->strings[h->n_strings++] = '\0';
	return rc;
}

/* A whole number below 2^64, as JSON writes it. */
static int number(gpt__st_header *h, uint64_t *out)
{
	size_t start;
	int c = peek(h);

	start = h->at;
	*out = 0;
	if (c < '0' || c > '9')
		return gpt__st_bad(h, start, "no whole number where one should be");
	for (; h->at < h->len && h->text[h->at] >= '0' && h->text[h->at] <= '9'; h->at++) {
		uint64_t digit = (uint64_t)(h->text[h->at] - '0');

		if (*out > (UINT64_MAX - digit) / 10)
			return gpt__st_bad(h, start, "a number beyond 2^64");
		*out = *out * 10 + digit;
	}
	if (c == '0' && h->at > start + 1)
		return gpt__st_bad(h, start, "a number with a leading zero");
	if (h->at < h->len && strchr(".eE", h->text[h->at]) && h->text[h->at])
		return gpt__st_bad(h, start, "a number that is not whole");
	return 0;
}

/* [n, ...] of at most `max` numbers. */
static int numbers(gpt__st_header *h, uint64_t *out, uint32_t max, uint32_t *n, const char *what)
{
	int rc = expect(h, '[');

	*n = 0;
	if (rc)
		return rc;
	if (peek(h) == ']') {
		h->at++;
		return 0;
	}
	do {
		if (*n == max)
			return gpt__st_bad(h, h->at, "'%s' has more than %u numbers", what, max);
		rc = number(h, &out[*n]);
		if (rc)
			return rc;
		++*n;
	} while ((rc = another(h, ']')) > 0);
	return rc;
}

/* ---- what the header says ---------------------------------------------------------------------
 */

int gpt__st_no_memory(gpt__st_header *h)
{
	return cairn_error_set(h->err, CAIRN_ENOMEM, "no memory for the header of '%s'", h->source);
}

/* Room for one more item. */
static bool grow(void **list, size_t n, size_t *cap, size_t size)
{
	size_t wider = *cap ? *cap * 2 : 64;
	void *block;

	if (n < *cap)
		return true;
	block = cairn_realloc(*list, wider, size);
	if (!block)
		return false;
	*list = block;
	*cap = wider;
	return true;
}

static int metadata(gpt__st_header *h, size_t at)
{
	gpt_safetensors *out = h->out;
	void *list;
	int rc;

	if (h->has_metadata)
		return gpt__st_bad(h, at, "'__metadata__' stands twice in the header");
	h->has_metadata = true;
	rc = expect(h, '{');
	if (rc)
		return rc;
	if (peek(h) == '}') {
		h->at++;
		return 0;
	}
	do {
		gpt_st_pair *pair;

		if (out->n_metadata == GPT_ST_MAX_PAIRS)
			return cairn_error_set(h->err, CAIRN_ELIMIT,
				"'%s' has more than %u pairs of metadata", h->source,
				GPT_ST_MAX_PAIRS);
		list = out->metadata;
		if (!grow(&list, out->n_metadata, &h->cap_metadata, sizeof(*out->metadata)))
			return gpt__st_no_memory(h);
		out->metadata = list;
		pair = &out->metadata[out->n_metadata];
		(void)peek(h);
		at = h->at;
		rc = string(h, &pair->key);
		if (!rc && gpt_safetensors_metadata(out, pair->key))
			rc = gpt__st_bad(h, at, "'%.100s' stands twice in the metadata", pair->key);
		if (!rc)
			rc = expect(h, ':');
		if (!rc)
			rc = string(h, &pair->value);
		if (rc)
			return rc;
		out->n_metadata++;
	} while ((rc = another(h, '}')) > 0);
	return rc;
}

static int dtype(gpt__st_header *h, gpt_st_tensor *tensor)
{
	const char *name;
	size_t at;
	int rc;

	(void)peek(h);
	at = h->at;
	rc = string(h, &name);
	for (int i = 0; !rc && i < GPT_ST_DTYPES; i++)
		if (!strcmp(name, gpt_st_dtype_name((enum gpt_st_dtype)i))) {
			tensor->dtype = (enum gpt_st_dtype)i;
			return 0;
		}
	return rc ? rc
		  : gpt__st_bad(h, at, "tensor '%.100s' has the unknown dtype '%.40s'",
			    tensor->name, name);
}

enum {
	HAS_DTYPE = 1,
	HAS_SHAPE = 2,
	HAS_OFFSETS = 4,
	HAS_ALL = 7
};

static int member(gpt__st_header *h, gpt_st_tensor *tensor, uint64_t offsets[2], unsigned *seen)
{
	static const char *const names[] = {"dtype", "shape", "data_offsets"};
	const char *key;
	unsigned which = 0;
	uint32_t n;
	size_t at;
	int rc;

	(void)peek(h);
	at = h->at;
	rc = string(h, &key);
	if (rc)
		return rc;
	while (which < CAIRN_COUNT(names) && strcmp(key, names[which]) != 0)
		which++;
	if (which == CAIRN_COUNT(names))
		return gpt__st_bad(h, at,
			"tensor '%.100s' has a member '%.40s' that it should not have",
			tensor->name, key);
	if (*seen & 1u << which)
		return gpt__st_bad(h, at, "tensor '%.100s' has '%s' twice", tensor->name, key);
	*seen |= 1u << which;
	rc = expect(h, ':');
	if (rc)
		return rc;
	if (which == 0)
		return dtype(h, tensor);
	if (which == 1)
		return numbers(h, tensor->dims, GPT_ST_MAX_DIMS, &tensor->n_dims, key);
	rc = numbers(h, offsets, 2, &n, key);
	return rc || n == 2 ? rc
			    : gpt__st_bad(h, at, "'data_offsets' of '%.100s' are not two numbers",
				      tensor->name);
}

static int check_tensor(gpt__st_header *h, gpt_st_tensor *tensor, const uint64_t offsets[2])
{
	size_t at = tensor->at - GPT_ST_LENGTH_BYTES;
	uint64_t data = h->out->len - GPT_ST_LENGTH_BYTES - h->len;

	if (!gpt_st_measure(tensor))
		return gpt__st_bad(h, at, "the shape of tensor '%.100s' overflows", tensor->name);
	if (offsets[0] > offsets[1])
		return gpt__st_bad(h, at, "tensor '%.100s' ends before it begins", tensor->name);
	if (offsets[1] > data)
		return gpt__st_bad(h, at,
			"tensor '%.100s' ends at byte %" PRIu64 " of the data, which has %" PRIu64,
			tensor->name, offsets[1], data);
	if (offsets[1] - offsets[0] != tensor->bytes)
		return gpt__st_bad(h, at,
			"tensor '%.100s' has %" PRIu64 " bytes, its dtype and shape need %" PRIu64,
			tensor->name, offsets[1] - offsets[0], tensor->bytes);
	tensor->begin = GPT_ST_LENGTH_BYTES + h->len + offsets[0];
	return 0;
}

static int tensor_info(gpt__st_header *h, const char *name, size_t at)
{
	gpt_safetensors *out = h->out;
	gpt_st_tensor tensor = {.name = name, .at = GPT_ST_LENGTH_BYTES + at};
	uint64_t offsets[2] = {0, 0};
	void *list = out->tensors;
	unsigned seen = 0;
	int rc;

	if (out->n == GPT_ST_MAX_TENSORS)
		return cairn_error_set(h->err, CAIRN_ELIMIT, "'%s' has more than %u tensors",
			h->source, GPT_ST_MAX_TENSORS);
	rc = expect(h, '{');
	if (rc)
		return rc;
	do {
		rc = member(h, &tensor, offsets, &seen);
		if (rc)
			return rc;
	} while ((rc = another(h, '}')) > 0);
	if (rc)
		return rc;
	if (seen != HAS_ALL)
		return gpt__st_bad(h, at, "tensor '%.100s' has no '%s'", name,
			!(seen & HAS_DTYPE)   ? "dtype"
			: !(seen & HAS_SHAPE) ? "shape"
					      : "data_offsets");
	rc = check_tensor(h, &tensor, offsets);
	if (rc)
		return rc;
	if (!grow(&list, out->n, &h->cap, sizeof(*out->tensors)))
		return gpt__st_no_memory(h);
	out->tensors = list;
	out->tensors[out->n++] = tensor;
	return 0;
}

int gpt__st_read_header(gpt__st_header *h)
{
	int rc;

	if (h->len == 0 || h->text[0] != '{')
		return gpt__st_bad(h, 0, "the header does not begin with '{'");
	h->at = 1;
	rc = peek(h) == '}' ? expect(h, '}') : 1;
	while (rc > 0) {
		const char *name;
		size_t at;

		(void)peek(h);
		at = h->at;
		rc = string(h, &name);
		if (!rc)
			rc = expect(h, ':');
		if (!rc)
			rc = strcmp(name, "__metadata__") ? tensor_info(h, name, at)
							  : metadata(h, at);
		if (!rc)
			rc = another(h, '}');
	}
	if (!rc && peek(h) >= 0)
		rc = gpt__st_bad(h, h->at, "something stands behind the header's end");
	return rc;
}
