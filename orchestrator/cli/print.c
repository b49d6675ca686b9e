/* SPDX-License-Identifier: Apache-2.0 */
/* print.c - text that is safe for a terminal, colours, errors, JSON documents. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cli/cli.h"

const char *cli_style(bool on, enum cli_style style)
{
	static const char *const codes[] = {
		[CLI_PLAIN] = "\033[0m",
		[CLI_BOLD] = "\033[1m",
		[CLI_DIM] = "\033[2m",
		[CLI_RED] = "\033[31m",
		[CLI_GREEN] = "\033[32m",
		[CLI_YELLOW] = "\033[33m",
		[CLI_BLUE] = "\033[34m",
	};

	return on ? codes[style] : "";
}

enum cli_style cli_state_style(const char *state)
{
	static const struct {
		const char *state;
		enum cli_style style;
	} styles[] = {{"done", CLI_GREEN}, {"cached", CLI_DIM}, {"failed", CLI_RED},
		{"killed", CLI_RED}, {"interrupted", CLI_YELLOW}, {"running", CLI_BLUE},
		{"stopped", CLI_YELLOW}, {"waiting", CLI_YELLOW}, {"blocked", CLI_YELLOW},
		{"skipped", CLI_DIM}};

	for (size_t i = 0; i < CAIRN_COUNT(styles); i++) {
		if (strcmp(state, styles[i].state) == 0)
			return styles[i].style;
	}
	return CLI_PLAIN;
}

/* ---- safe text -------------------------------------------------------------------------- */

/* Length of the UTF-8 character at `at` and its code point; 0 where it is none. */
static size_t decode(const unsigned char *at, uint32_t *point)
{
	size_t n = at[0] < 0x80 ? 1 : at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

	if ((at[0] >= 0x80 && at[0] < 0xc2) || at[0] > 0xf4)
		return 0;
	*point = n == 1 ? at[0] : at[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		*point = *point << 6 | (at[i] & 0x3f);
	}
	if (*point < least[n] || *point > 0x10ffff || (*point >= 0xd800 && *point < 0xe000))
		return 0;
	return n;
}

/* C0, DEL and C1 can move the cursor; the marks below turn the direction of what follows. */
static bool is_unsafe(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x061c ||
	       (point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
	       (point >= 0x2066 && point <= 0x2069);
}

const char *cli_safe_into(char *out, size_t cap, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t len = 0;

	while (*at) {
		char piece[8];
		uint32_t point = 0;
		size_t n = decode(at, &point), width;
		if (n == 0)
			width = (size_t)snprintf(piece, sizeof(piece), "\\x%02x", *at);
		else if (is_unsafe(point))
			width = (size_t)snprintf(piece, sizeof(piece),
				point < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)point);
		else
			memcpy(piece, at, width = n);
		if (len + width + 1 > cap)
			break;
		memcpy(out + len, piece, width);
		len += width;
		at += n ? n : 1;
	}
	out[len] = '\0';
	return out;
}

const char *cli_safe(cli *c, const char *text)
{
	const char *at = text;
	size_t cap;

	while (*at >= 0x20 && *at < 0x7f)
		at++;
	if (!*at)
		return cairn_arena_strndup(c->arena, text, (size_t)(at - text));
	/* One byte becomes four at most, two bytes (U+0080..9f) four, three bytes six. */
	cap = 4 * strlen(text) + 1;
	return cli_safe_into(cairn_arena_alloc(c->arena, cap, 1), cap, text);
}

/* ---- errors ----------------------------------------------------------------------------- */

int cli_exit_status(int code)
{
	switch (code) {
	case CAIRN_OK:
		return CLI_OK;
	case CAIRN_EUSAGE:
	case CAIRN_EWORKFLOW:
	case CAIRN_EPARAM:
	case CAIRN_EINPUT:
	case CAIRN_ELIMIT: /* what was asked for is too large */
		return CLI_USAGE;
	case CAIRN_ENOTFOUND:
		return CLI_NOT_FOUND;
	case CAIRN_EINTEGRITY:
		return CLI_INTEGRITY;
	case CAIRN_EBUSY:
		return CLI_BUSY;
	}
	return CLI_FAILED;
}

int cli_error(cli *c, const cairn_error *err)
{
	bool color = c->color_err;

	fflush(stdout);
	fprintf(stderr, "%serror:%s %s\n", cli_style(color, CLI_RED), cli_style(color, CLI_PLAIN),
		cli_safe(c, err->message[0] ? err->message : cairn_error_meaning(err->code)));
	if (err->place[0])
		fprintf(stderr, "  at %s\n", cli_safe(c, err->place));
	if (err->detail[0])
		fprintf(stderr, "detail: %s\n", cli_safe(c, err->detail));
	if (err->hint[0])
		fprintf(stderr, "%shint:%s %s\n", cli_style(color, CLI_YELLOW),
			cli_style(color, CLI_PLAIN), cli_safe(c, err->hint));
	return cli_exit_status(err->code);
}

int cli_fail(cli *c, int code, const char *hint, const char *format, ...)
{
	cairn_error err = {0};
	char message[sizeof(err.message)];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	cairn_error_set(&err, code, "%s", message);
	if (hint)
		cairn_error_hint(&err, "%s", hint);
	else if (code == CAIRN_EUSAGE)
		cairn_error_hint(&err, "`cairn help` lists verbs and options.");
	return cli_error(c, &err);
}

/* ---- documents -------------------------------------------------------------------------- */

int cli_print_json(json_t *json, const char *schema)
{
	json_t *document = json_pack("{s:s}", "schema", schema);
	char *text;

	json_object_update(document, json);
	json_decref(json);
	text = cairn_json_pretty(document);
	json_decref(document);
	if (!text) {
		fputs("error: out of memory printing a document\n", stderr);
		return CLI_FAILED;
	}
	puts(text);
	free(text);
	return CLI_OK;
}
