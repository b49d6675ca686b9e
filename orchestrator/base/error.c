/* SPDX-License-Identifier: Apache-2.0 */
#include "cairn/error.h"

#include <stdarg.h>
#include <string.h>

/* vsnprintf that marks a cut with "..." rather than ending in the middle of a word unseen. */
static CAIRN_PRINTF(3, 0) void fill(char *field, size_t cap, const char *format, va_list args)
{
	int len = vsnprintf(field, cap, format, args);

	if (len >= (int)cap)
		memcpy(field + cap - 4, "...", 4);
}

int cairn_error_set(cairn_error *err, int code, const char *format, ...)
{
	va_list args;

	if (!err || err->code)
		return err && err->code ? err->code : code;
	va_start(args, format);
	fill(err->message, sizeof(err->message), format, args);
	va_end(args);
	err->code = code;
	return code;
}

int cairn_error_errno(cairn_error *err, int code, int errno_value, const char *format, ...)
{
	va_list args;
	char text[128] = "";

	if (!err || err->code)
		return err && err->code ? err->code : code;
	va_start(args, format);
	fill(err->message, sizeof(err->message), format, args);
	va_end(args);
	err->code = code;
	cairn_error_detail(err, "%s", strerror_r(errno_value, text, sizeof(text)));
	return code;
}

#define ADD(field)                                                  \
	do {                                                        \
		va_list args;                                       \
		if (!err || err->field[0])                          \
			return;                                     \
		va_start(args, format);                             \
		fill(err->field, sizeof(err->field), format, args); \
		va_end(args);                                       \
	} while (0)

void cairn_error_detail(cairn_error *err, const char *format, ...)
{
	ADD(detail);
}

void cairn_error_hint(cairn_error *err, const char *format, ...)
{
	ADD(hint);
}

void cairn_error_at(cairn_error *err, const char *format, ...)
{
	ADD(place);
}

void cairn_error_clear(cairn_error *err)
{
	if (err)
		*err = (cairn_error){0};
}

static const struct {
	const char *name, *meaning;
	int code, may_retry;
} map[] = {
#define ROW(name, value, text, retry) {#name, text, value, retry},
	CAIRN_ERROR_MAP(ROW)
#undef ROW
};

static int find(int code)
{
	for (size_t i = 0; i < CAIRN_COUNT(map); i++)
		if (map[i].code == code)
			return (int)i;
	return -1;
}

const char *cairn_error_name(int code)
{
	int i = find(code);

	return i < 0 ? "E?" : map[i].name;
}

const char *cairn_error_meaning(int code)
{
	int i = find(code);

	return i < 0 ? "an error that nobody knows" : map[i].meaning;
}

int cairn_error_may_retry(int code)
{
	int i = find(code);

	return i >= 0 && map[i].may_retry;
}

int cairn_error_code_of(const char *name)
{
	for (size_t i = 0; i < CAIRN_COUNT(map); i++)
		if (strcmp(map[i].name, name) == 0)
			return map[i].code;
	return 0;
}
