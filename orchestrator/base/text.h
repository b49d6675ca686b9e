/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - growable strings, number parsing without locale, "did you mean".
 */
#ifndef CAIRN_BASE_TEXT_H
#define CAIRN_BASE_TEXT_H

#include <stdbool.h>

#include "cairn/base.h"

/* A growable string; {0} is empty and valid. data is NUL-terminated once anything was added. An
 * allocation failure sets `failed` and later calls do nothing, so one check at the end serves. */
typedef struct cairn_text {
	char *data;
	size_t len, cap;
	bool failed;
} cairn_text;

void cairn_text_free(cairn_text *text);
void cairn_text_clear(cairn_text *text);
void cairn_text_add(cairn_text *text, const char *string);
void cairn_text_add_bytes(cairn_text *text, const void *bytes, size_t len);
void cairn_text_add_char(cairn_text *text, char c);
/* Room for `len` bytes at the end, which the caller fills; NULL after a failure. */
char *cairn_text_room(cairn_text *text, size_t len);
void cairn_text_printf(cairn_text *text, const char *format, ...) CAIRN_PRINTF(2, 3);
/* data, or "" where nothing was added. */
const char *cairn_text_get(const cairn_text *text);

/* Whole string must parse. Decimal point is '.', whatever the locale. false: not a number. */
bool cairn_parse_i64(const char *text, int64_t *out);
bool cairn_parse_u64(const char *text, uint64_t *out);
bool cairn_parse_double(const char *text, double *out);
/* "64K", "4M", "2G", "1T", "123" -> bytes (powers of 1024; "KiB", "MB" endings accepted). */
bool cairn_parse_size(const char *text, uint64_t *out);
/* "30s", "5m", "2h", "1d", "90" -> seconds. */
bool cairn_parse_duration(const char *text, double *out);
/* yes/no/true/false/on/off/1/0 */
bool cairn_parse_bool(const char *text, bool *out);
/* Shortest text that reads back as the same double, whole numbers below 1e15 without an exponent:
 * the canonical form in keys and reports. */
void cairn_format_double(double value, char out[32]);

/* "4.2 MiB": with one decimal below `exact_below` of a unit, else without. */
const char *cairn_format_bytes(char out[32], double bytes, double exact_below);

/* As it is written in a workflow, "64M", where that is exact; else in bytes. */
const char *cairn_format_size(char out[32], uint64_t bytes);

/* The candidate nearest to `word` (edit distance at most a third of its length), or NULL. */
const char *cairn_did_you_mean(const char *word, const char *const *candidates, size_t n);

/* Copy with checks: false where it does not fit. */
bool cairn_copy(char *to, size_t cap, const char *from);

#endif
