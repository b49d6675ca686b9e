/* SPDX-License-Identifier: Apache-2.0 */
/* jsonl.c - rows of JSON, one by one: lines or an array, packed or not. */
#include "gpt/jsonl.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "gpt/gzip.h"
#include "gpt/utf8.h"

/* What is unpacked at once. */
#define CHUNK (1u << 18)

/* Where in an array the reader stands. */
enum {
	LINES = 0,
	ARRAY_BEGIN,
	ARRAY_INSIDE,
	ARRAY_END
};

const char *const gpt_bad_reasons[GPT_BAD_REASONS] = {
#define GPT_BAD_TEXT(name, text) text,
	GPT_BAD_MAP(GPT_BAD_TEXT)
#undef GPT_BAD_TEXT
};

/* ---- the window ----------------------------------------------------------------------- */

/* Adds bytes behind the unread ones: 1, or 0 at the end of the file. Moves the window. */
static int more(gpt_jsonl *r, cairn_error *err)
{
	size_t unread = r->len - r->at, n = 0;
	int rc;

	if (!r->gzip)
		return 0;
	if (unread + CHUNK > r->cap) {
		size_t cap = 2 * (unread + CHUNK);
		char *wider = cairn_realloc(r->buffer, cap, 1);

		if (!wider) {
			r->is_broken = true;
			return cairn_error_set(err, CAIRN_ENOMEM, "no memory for a row");
		}
		r->buffer = wider;
		r->cap = cap;
	}
	memmove(r->buffer, r->buffer + r->at, unread);
	rc = gpt_gzip_read(r->gzip, r->buffer + unread, r->cap - unread, &n, err);
	r->text = r->buffer;
	r->at = 0;
	r->len = unread + n;
	r->is_broken = rc != 0;
	return rc ? rc : n > 0;
}

/* Gives up the n unread bytes that are too much for a row. */
static void drop(gpt_jsonl *r, size_t *n, uint64_t *dropped)
{
	if (!r->gzip || *n <= GPT_JSONL_MAX_LINE)
		return;
	*dropped += *n;
	r->at += *n;
	*n = 0;
}

static int check_length(gpt_jsonl *r, uint64_t n, cairn_error *err)
{
	if (n <= GPT_JSONL_MAX_LINE)
		return 0;
	return gpt_jsonl_bad(r, GPT_BAD_LONG, err, "row of %llu bytes is longer than %u",
		(unsigned long long)n, GPT_JSONL_MAX_LINE);
}

static int broken(gpt_jsonl *r, cairn_error *err, const char *what, const char *hint)
{
	r->is_broken = true;
	gpt_jsonl_bad(r, GPT_BAD_JSON, err, "%s", what);
	cairn_error_hint(err, "%s", hint);
	return CAIRN_EINPUT;
}

/* ---- lines --------------------------------------------------------------------------------- */

bool gpt_line_next(const char *text, size_t len, size_t *at, const char **line, size_t *line_len)
{
	const char *end;

	if (*at >= len)
		return false;
	*line = text + *at;
	end = memchr(*line, '\n', len - *at);
	*line_len = end ? (size_t)(end - *line) : len - *at;
	*at += *line_len + (end ? 1 : 0);
	if (*line_len && (*line)[*line_len - 1] == '\r')
		--*line_len;
	return true;
}

int gpt_jsonl_line(gpt_jsonl *r, const char **line, size_t *line_len, cairn_error *err)
{
	uint64_t dropped = 0;
	size_t seen = 0; /* unread bytes that hold no line feed */
	int rc = 1;

	while (rc > 0) {
		const char *unread = r->text + r->at;

		if (r->len - r->at > seen && memchr(unread + seen, '\n', r->len - r->at - seen))
			break;
		seen = r->len - r->at;
		drop(r, &seen, &dropped);
		rc = more(r, err);
	}
	if (rc < 0)
		return rc;
	*line = "";
	*line_len = 0;
	if (!gpt_line_next(r->text, r->len, &r->at, line, line_len) && !dropped)
		return 0;
	r->line = ++r->passed;
	rc = check_length(r, dropped + *line_len, err);
	return rc ? rc : 1;
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	return true;
}

/* ---- an array ---------------------------------------------------------------------------------
 */

/* How far into an item of the array the reader is. */
struct scan {
	int depth;
	bool in_string, is_escaped;
};

/* Takes one byte of an item. 0: it goes on, 1: this byte ends it, 2: it ended before. What is
 * inside is the JSON parser's affair. */
static int scan_byte(struct scan *s, char c)
{
	if (s->in_string) {
		s->in_string = s->is_escaped || c != '"';
		s->is_escaped = !s->is_escaped && c == '\\';
		return 0;
	}
	if (s->depth == 0 && (c == ',' || c == ']'))
		return 2;
	s->in_string = c == '"';
	s->depth += (c == '{' || c == '[') - (c == '}' || c == ']');
	return s->depth <= 0 && (c == '}' || c == ']');
}

/* The first unread byte that is no blank: 1, 0 at the end of the file, < 0 where it is broken. */
static int skip_blanks(gpt_jsonl *r, char *c, cairn_error *err)
{
	int rc;

	do {
		for (; r->at < r->len; r->at++) {
			*c = r->text[r->at];
			if (*c != ' ' && *c != '\t' && *c != '\r' && *c != '\n')
				return 1;
			r->passed += *c == '\n';
		}
		rc = more(r, err);
	} while (rc > 0);
	return rc;
}

static int cut_item(gpt_jsonl *r, const char **item, size_t *len, cairn_error *err)
{
	struct scan scan = {0};
	uint64_t dropped = 0;
	size_t n = 0;
	int rc, ends = 0;

	r->line = r->passed + 1;
	for (;;) {
		while (!ends && r->at + n < r->len) {
			char c = r->text[r->at + n];

			ends = scan_byte(&scan, c);
			n += ends < 2;
			r->passed += c == '\n';
		}
		if (ends)
			break;
		drop(r, &n, &dropped);
		rc = more(r, err);
		if (rc < 0)
			return rc;
		if (!rc)
			return broken(r, err, "the array ends in the middle of a row",
				"The file was not copied whole; or write one object a line: "
				"jq -c '.[]' FILE.");
	}
	*item = r->text + r->at;
	*len = n;
	r->at += n;
	rc = check_length(r, dropped + n, err);
	return rc ? rc : 1;
}

/* The next item of the array as text: 1, 0 at the end, < 0. */
static int next_item(gpt_jsonl *r, const char **item, size_t *len, cairn_error *err)
{
	static const char help[] = "Write one object a line: jq -c '.[]' FILE.";
	char c = 0;
	int rc = r->in_array == ARRAY_END ? 0 : skip_blanks(r, &c, err);

	if (rc < 0 || r->in_array == ARRAY_END)
		return rc;
	r->line = r->passed + 1;
	if (rc == 0)
		return broken(r, err, "the array has no end", help);
	if (c == ']') {
		r->in_array = ARRAY_END;
		r->at++;
		rc = skip_blanks(r, &c, err);
		r->line = r->passed + 1;
		return rc > 0 ? broken(r, err, "there is something behind the array", help) : rc;
	}
	if (r->in_array == ARRAY_INSIDE) {
		if (c != ',')
			return broken(r, err, "no ',' between two rows of the array", help);
		r->at++;
		rc = skip_blanks(r, &c, err);
		if (rc < 0)
			return rc;
		r->line = r->passed + 1;
		if (rc == 0 || c == ']')
			return broken(r, err, "no row behind a ',' of the array", help);
	}
	if (c == ',')
		return broken(r, err, "no row before a ',' of the array", help);
	r->in_array = ARRAY_INSIDE;
	return cut_item(r, item, len, err);
}

/* ---- opening and rows -------------------------------------------------------------------------
 */

static int check_encoding(const gpt_jsonl *r, cairn_error *err)
{
	const unsigned char *head = (const unsigned char *)r->text;

	if (r->len < 2 ||
		((head[0] != 0xff || head[1] != 0xfe) && (head[0] != 0xfe || head[1] != 0xff)))
		return 0;
	cairn_error_set(err, CAIRN_EINPUT, "'%s' is in UTF-16", r->source);
	cairn_error_at(err, "%s", r->source);
	cairn_error_hint(err, "Convert it first: iconv -f UTF-16 -t UTF-8 FILE.");
	return CAIRN_EINPUT;
}

int gpt_jsonl_open(
	gpt_jsonl *out, const char *source, const char *text, size_t len, cairn_error *err)
{
	gpt_jsonl r = {.source = source, .text = text, .len = len};
	size_t first;
	int rc;

	if (gpt_gzip_is(text, len)) {
		r.text = "";
		r.len = 0;
		rc = gpt_gzip_open(&r.gzip, source, text, len, err);
		if (!rc)
			rc = more(&r, err);
		if (rc < 0)
			goto failed;
	}
	rc = check_encoding(&r, err);
	if (rc)
		goto failed;
	if (r.len >= 3 && !memcmp(r.text, "\xef\xbb\xbf", 3))
		r.at = 3;
	for (first = r.at; first < r.len && r.text[first] && strchr(" \t\r\n", r.text[first]);)
		first++;
	if (first < r.len && r.text[first] == '[') {
		for (; r.at < first; r.at++)
			r.passed += r.text[r.at] == '\n';
		r.at++;
		r.in_array = ARRAY_BEGIN;
	}
	*out = r;
	return 0;
failed:
	gpt_jsonl_close(&r);
	return rc;
}

void gpt_jsonl_close(gpt_jsonl *reader)
{
	gpt_gzip_close(reader->gzip);
	free(reader->buffer);
	reader->gzip = NULL;
	reader->buffer = NULL;
	reader->text = "";
	reader->len = reader->at = 0;
}

/* The parser's complaint is about characters where there are none: say so, and where. */
static int explain(gpt_jsonl *r, const char *text, size_t len, cairn_error *err)
{
	const char *nul = memchr(text, '\0', len);
	size_t at = 0, n;

	r->why = GPT_BAD_JSON;
	if (err->code == CAIRN_ELIMIT)
		return err->code;
	if (nul || memmem(text, len, "\\u0000", 6)) {
		cairn_error_clear(err);
		gpt_jsonl_bad(r, GPT_BAD_NUL, err, "row holds a NUL character%s",
			nul ? "" : ", written \\u0000");
		cairn_error_hint(err, "Take it out: no text has such characters.");
		return err->code;
	}
	for (; at < len; at += n) {
		n = gpt_utf8_character(text + at, len - at);
		if (n == 0)
			break;
	}
	if (at < len) {
		cairn_error_clear(err);
		gpt_jsonl_bad(r, GPT_BAD_UTF8, err, "row is not UTF-8: byte 0x%02x at place %zu",
			(unsigned char)text[at], at + 1);
		cairn_error_hint(err, "Convert the file: iconv -f LATIN1 -t UTF-8 FILE.");
	} else {
		cairn_error_hint(err, "Each line must be one complete JSON object; jq -c . FILE "
				      "makes such lines.");
	}
	return err->code;
}

int gpt_jsonl_next(gpt_jsonl *reader, json_t **row, cairn_error *err)
{
	char place[256];
	const char *text;
	size_t len;
	json_t *json = NULL;
	int rc;

	do {
		rc = reader->in_array ? next_item(reader, &text, &len, err)
				      : gpt_jsonl_line(reader, &text, &len, err);
		if (rc <= 0)
			return rc;
	} while (is_blank(text, len));
	(void)snprintf(
		place, sizeof(place), "%s:%llu", reader->source, (unsigned long long)reader->line);
	if (cairn_json_parse(&json, text, len, place, err))
		return explain(reader, text, len, err);
	if (!json_is_object(json)) {
		json_decref(json);
		gpt_jsonl_bad(reader, GPT_BAD_OBJECT, err, "row is no JSON object");
		cairn_error_hint(err, "Each row must be an object: {\"prompt\": ...}.");
		return CAIRN_EINPUT;
	}
	*row = json;
	return 1;
}

int gpt_jsonl_bad(gpt_jsonl *reader, enum gpt_bad why, cairn_error *err, const char *format, ...)
{
	char message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	reader->why = why;
	cairn_error_set(err, CAIRN_EINPUT, "%s", message);
	cairn_error_at(err, "%s:%llu", reader->source, (unsigned long long)reader->line);
	return CAIRN_EINPUT;
}

json_t *gpt_json_string(const char *bytes)
{
	json_t *string = json_string(bytes);
	cairn_text mended = {0};

	if (string)
		return string;
	while (*bytes) {
		/* The NUL at the end is no part of a character, so nothing behind it is read. */
		size_t len = gpt_utf8_character(bytes, 4);

		if (len > 0)
			cairn_text_add_bytes(&mended, bytes, len);
		else
			cairn_text_add(&mended, "\xef\xbf\xbd");
		bytes += len > 0 ? len : 1;
	}
	if (!mended.failed)
		string = json_string(cairn_text_get(&mended));
	cairn_text_free(&mended);
	return string;
}
