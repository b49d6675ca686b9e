/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - numbers are read and written by the "C" locale's functions through newlocale,
 * so that a host program's setlocale() cannot change a key.
 */
#include "base/text.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

void cairn_text_free(cairn_text *text)
{
	free(text->data);
	*text = (cairn_text){0};
}

void cairn_text_clear(cairn_text *text)
{
	text->len = 0;
	if (text->data)
		text->data[0] = '\0';
}

/* Makes room for `more` bytes and a NUL. */
static bool grow(cairn_text *text, size_t more)
{
	size_t need, cap = text->cap ? text->cap : 64;
	char *data;

	if (text->failed || __builtin_add_overflow(text->len + 1, more, &need)) {
		text->failed = true;
		return false;
	}
	if (need <= text->cap)
		return true;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	data = cairn_realloc(text->data, cap, 1);
	if (!data) {
		text->failed = true;
		return false;
	}
	text->data = data;
	text->cap = cap;
	return true;
}

char *cairn_text_room(cairn_text *text, size_t len)
{
	char *room;

	if (!grow(text, len))
		return NULL;
	room = text->data + text->len;
	text->len += len;
	text->data[text->len] = '\0';
	return room;
}

void cairn_text_add_bytes(cairn_text *text, const void *bytes, size_t len)
{
	if (!grow(text, len))
		return;
	if (len)
		memcpy(text->data + text->len, bytes, len);
	text->len += len;
	text->data[text->len] = '\0';
}

void cairn_text_add(cairn_text *text, const char *string)
{
	cairn_text_add_bytes(text, string, strlen(string));
}

void cairn_text_add_char(cairn_text *text, char c)
{
	cairn_text_add_bytes(text, &c, 1);
}

void cairn_text_printf(cairn_text *text, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0 || !grow(text, (size_t)len)) {
		text->failed = true;
		return;
	}
	va_start(args, format);
	vsnprintf(text->data + text->len, (size_t)len + 1, format, args);
	va_end(args);
	text->len += (size_t)len;
}

const char *cairn_text_get(const cairn_text *text)
{
	return text->data ? text->data : "";
}

static locale_t c_locale;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	CAIRN_ASSERT(c_locale);
}

/* strtod and friends accept leading blanks; we do not. */
static bool starts_like_number(const char *text)
{
	return (text[0] >= '0' && text[0] <= '9') || text[0] == '-' || text[0] == '+' ||
	       text[0] == '.';
}

bool cairn_parse_i64(const char *text, int64_t *out)
{
	char *end;
	long long value;

	if (!starts_like_number(text))
		return false;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || *end || end == text)
		return false;
	*out = value;
	return true;
}

bool cairn_parse_u64(const char *text, uint64_t *out)
{
	char *end;
	unsigned long long value;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end)
		return false;
	*out = value;
	return true;
}

/* A number and what follows it. Refuses infinities, NaN and hexadecimal. */
static bool number_prefix(const char *text, double *out, const char **rest)
{
	char *end;

	if (!starts_like_number(text) || strchr(text, 'x') || strchr(text, 'X'))
		return false;
	pthread_once(&once, make_locale);
	*out = strtod_l(text, &end, c_locale);
	*rest = end;
	return end != text && isfinite(*out);
}

bool cairn_parse_double(const char *text, double *out)
{
	double value;
	const char *rest;

	if (!number_prefix(text, &value, &rest) || *rest)
		return false;
	*out = value;
	return true;
}

bool cairn_parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	double value, factor = 1;
	const char *rest, *unit;

	if (!number_prefix(text, &value, &rest) || value < 0)
		return false;
	if (*rest && (unit = strchr(units, *rest >= 'a' ? *rest - 32 : *rest))) {
		factor = ldexp(1, 10 * (int)(unit - units + 1));
		rest++;
		if (*rest == 'i')
			rest++;
	}
	if (*rest == 'B')
		rest++;
	if (*rest || value * factor > 0x1p62)
		return false;
	*out = (uint64_t)(value * factor);
	return true;
}

const char *cairn_format_size(char out[32], uint64_t bytes)
{
	static const char units[][2] = {"", "K", "M", "G", "T"};
	size_t i = 0;

	while (bytes && bytes % 1024 == 0 && i + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		i++;
	}
	snprintf(out, 32, "%llu%s", (unsigned long long)bytes, units[i]);
	return out;
}

bool cairn_parse_duration(const char *text, double *out)
{
	double value, factor = 1;
	const char *rest;

	if (!number_prefix(text, &value, &rest) || value < 0)
		return false;
	if (strcmp(rest, "ms") == 0)
		factor = 1e-3;
	else if (strcmp(rest, "m") == 0 || strcmp(rest, "min") == 0)
		factor = 60;
	else if (strcmp(rest, "h") == 0)
		factor = 3600;
	else if (strcmp(rest, "d") == 0)
		factor = 86400;
	else if (*rest && strcmp(rest, "s") != 0)
		return false;
	*out = value * factor;
	return true;
}

bool cairn_parse_bool(const char *text, bool *out)
{
	static const char *const words[2][4] = {
		{"no", "false", "off", "0"}, {"yes", "true", "on", "1"}};

	for (int value = 0; value < 2; value++) {
		for (size_t i = 0; i < CAIRN_COUNT(words[value]); i++) {
			if (strcasecmp(text, words[value][i]) == 0) {
				*out = value;
				return true;
			}
		}
	}
	return false;
}

void cairn_format_double(double value, char out[32])
{
	locale_t before;

	pthread_once(&once, make_locale);
	if (value == nearbyint(value) && fabs(value) < 1e15) {
		snprintf(out, 32, "%.0f", value);
		return;
	}
	before = uselocale(c_locale);
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(out, 32, "%.*g", digits, value);
		if (strtod_l(out, NULL, c_locale) == value || value != value)
			break;
	}
	uselocale(before);
}

/* Levenshtein with transpositions, bounded to words of 63 bytes. */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	size_t rows[3][64];

	if (n > 63 || m > 63)
		return 64;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = up[j - 1] + (a[i - 1] != b[j - 1]);

			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[n % 3][m];
}

const char *cairn_format_bytes(char out[32], double bytes, double exact_below)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t i = 0;

	while (bytes >= 1023.5 && i + 1 < CAIRN_COUNT(units)) {
		bytes /= 1024;
		i++;
	}
	snprintf(out, 32, i > 0 && bytes < exact_below ? "%.1f %s" : "%.0f %s", bytes, units[i]);
	return out;
}

const char *cairn_did_you_mean(const char *word, const char *const *candidates, size_t n)
{
	size_t best = strlen(word) / 3 + 2;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, candidates[i]);

		if (d < best && d < strlen(candidates[i])) {
			best = d;
			found = candidates[i];
		}
	}
	return found;
}

bool cairn_copy(char *to, size_t cap, const char *from)
{
	size_t len = strlen(from);

	if (len >= cap)
		return false;
	memcpy(to, from, len + 1);
	return true;
}
