/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skim.c - one pass over the text, nothing allocated. Reads like: skim.h.
 *
 * Names must ascend because then none comes twice, which the parser refuses.
 */
#include "audit/skim.h"

#include <string.h>

#define MAX_DEPTH  16
#define MAX_DIGITS 18 /* of an integer, which surely fits; of an exponent: 2 */

struct reader {
	const char *at, *end;
	cairn_skim_fn fn;
	void *arg;
	cairn_error *err;
	int rc; /* what fn answered */
};

static bool take(struct reader *r, char c)
{
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

/* ---- scalars ------------------------------------------------------------------------------ */

#define EACH(byte) (0x0101010101010101u * (uint64_t)(byte))

/* Is one of eight bytes below the first printable one, above ASCII, a quote or a backslash? */
static bool has_special(uint64_t word)
{
	uint64_t quote = word ^ EACH('"'), backslash = word ^ EACH('\\');
	uint64_t hits = ((word - EACH(0x20)) & ~word) | word | ((quote - EACH(1)) & ~quote) |
			((backslash - EACH(1)) & ~backslash);

	return hits & EACH(0x80);
}

static bool is_plain(char c)
{
	return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

static bool read_string(struct reader *r, cairn_span *out)
{
	uint64_t word;

	if (!take(r, '"'))
		return false;
	out->at = r->at;
	while (r->end - r->at >= 8) {
		memcpy(&word, r->at, sizeof(word));
		if (has_special(word))
			break;
		r->at += 8;
	}
	while (r->at < r->end && is_plain(*r->at))
		r->at++;
	out->len = (size_t)(r->at - out->at);
	return take(r, '"');
}

static size_t read_digits(struct reader *r)
{
	const char *start = r->at;

	while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
		r->at++;
	return (size_t)(r->at - start);
}

static bool read_number(struct reader *r)
{
	const char *start;
	size_t n;

	(void)take(r, '-');
	start = r->at;
	n = read_digits(r);
	if (n == 0 || n > MAX_DIGITS || (n > 1 && *start == '0'))
		return false;
	if (take(r, '.') && read_digits(r) == 0)
		return false;
	if (!take(r, 'e') && !take(r, 'E'))
		return true;
	if (!take(r, '-'))
		(void)take(r, '+');
	n = read_digits(r);
	return n == 1 || n == 2;
}

static bool read_word(struct reader *r, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
		return false;
	r->at += len;
	return true;
}

/* ---- values ------------------------------------------------------------------------------- */

static bool read_value(struct reader *r, int depth);

static bool is_before(cairn_span a, cairn_span b)
{
	int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);

	return order ? order < 0 : a.len < b.len;
}

/* A member's name, which comes after the last one's. */
static bool read_name(struct reader *r, cairn_span *last)
{
	cairn_span name;

	if (!read_string(r, &name) || !take(r, ':') || (last->at && !is_before(*last, name)))
		return false;
	*last = name;
	return true;
}

/* Members or elements, from behind the opening bracket. */
static bool read_list(struct reader *r, char close, int depth)
{
	cairn_span name = {0};

	if (depth > MAX_DEPTH)
		return false;
	if (take(r, close))
		return true;
	do {
		if (close == '}' && !read_name(r, &name))
			return false;
		if (!read_value(r, depth))
			return false;
	} while (take(r, ','));
	return take(r, close);
}

static bool read_value(struct reader *r, int depth)
{
	cairn_span string;

	if (r->at == r->end)
		return false;
	switch (*r->at) {
	case '{':
		r->at++;
		return read_list(r, '}', depth + 1);
	case '[':
		r->at++;
		return read_list(r, ']', depth + 1);
	case '"':
		if (!read_string(r, &string))
			return false;
		if (r->fn && r->rc >= 0)
			r->rc = r->fn(r->arg, string, r->err);
		return true;
	case 't':
		return read_word(r, "true");
	case 'f':
		return read_word(r, "false");
	case 'n':
		return read_word(r, "null");
	default:
		return read_number(r);
	}
}

int cairn_skim_strings(const void *text, size_t len, cairn_skim_fn fn, void *arg, cairn_error *err)
{
	struct reader r = {
		.at = text, .end = (const char *)text + len, .fn = fn, .arg = arg, .err = err};
	bool is_read = read_value(&r, 0) && r.at == r.end;

	if (r.rc < 0)
		return r.rc;
	return is_read ? 0 : 1;
}

/* ---- one level ---------------------------------------------------------------------------- */

cairn_skim cairn_skim_begin(const void *text, size_t len)
{
	return (cairn_skim){.at = text, .end = (const char *)text + len};
}

/* Is there one more? At the end nothing may follow. */
static bool goes_on(cairn_skim *skim, struct reader *r)
{
	bool is_first = !skim->close;

	if (is_first)
		skim->close = take(r, '{') ? '}' : take(r, '[') ? ']' : 0;
	if (skim->close && take(r, skim->close)) {
		skim->is_odd = r->at != r->end;
		return false;
	}
	skim->is_odd = !skim->close || (!is_first && !take(r, ','));
	return !skim->is_odd;
}

bool cairn_skim_next(cairn_skim *skim)
{
	struct reader r = {.at = skim->at, .end = skim->end};

	if (skim->is_odd || !goes_on(skim, &r))
		return false;
	if (skim->close == '}' && !read_name(&r, &skim->name)) {
		skim->is_odd = true;
		return false;
	}
	skim->value.at = r.at;
	skim->is_odd = !read_value(&r, 1);
	skim->value.len = (size_t)(r.at - skim->value.at);
	skim->at = r.at;
	return !skim->is_odd;
}

bool cairn_skim_is_named(const cairn_skim *skim, const char *name)
{
	return strlen(name) == skim->name.len && memcmp(name, skim->name.at, skim->name.len) == 0;
}

cairn_span cairn_skim_string(cairn_span value)
{
	if (value.len < 2 || value.at[0] != '"')
		return (cairn_span){0};
	return (cairn_span){value.at + 1, value.len - 2};
}

bool cairn_skim_id(cairn_span value, cairn_id *out)
{
	cairn_span string = cairn_skim_string(value);
	char text[CAIRN_ID_TEXT];

	if (!string.at || string.len >= sizeof(text))
		return false;
	memcpy(text, string.at, string.len);
	text[string.len] = '\0';
	return cairn_id_parse(out, text, NULL) == 0;
}

bool cairn_skim_integer(cairn_span value, int64_t *out)
{
	struct reader r = {.at = value.at, .end = value.at + value.len};
	bool is_negative;
	int64_t sum = 0;

	if (value.len == 0)
		return false;
	is_negative = take(&r, '-');
	value.at = r.at;
	if (read_digits(&r) == 0 || r.at != r.end)
		return false;
	for (; value.at < r.end; value.at++)
		sum = 10 * sum + (*value.at - '0');
	*out = is_negative ? -sum : sum;
	return true;
}

cairn_span cairn_skim_get(cairn_span object, const char *name)
{
	cairn_skim skim = cairn_skim_begin(object.at, object.len);

	while (cairn_skim_next(&skim)) {
		if (skim.close == '}' && cairn_skim_is_named(&skim, name))
			return skim.value;
	}
	return (cairn_span){0};
}
