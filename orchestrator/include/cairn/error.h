/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.h - an error is a value: code, message, detail, hint and place.
 *
 * It is filled once, at the lowest level that knows the fact; upper levels may add
 * a hint or a place, never another message. Libraries neither print nor exit.
 *
 *   message  lowercase, no full stop, what failed first, the subject in 'quotes'
 *   detail   facts: errno text, sizes, ids
 *   hint     a full sentence that says what to do
 *   place    FILE:LINE, section; or FILE, row N
 *
 * Part of the plugin ABI. The functions are in base/error.c, a static library that
 * both halves of the house link; a plugin built elsewhere uses the host's `fail`.
 */
#ifndef CAIRN_ERROR_H
#define CAIRN_ERROR_H

#include "cairn/base.h"

CAIRN_BEGIN_DECLS

/* name, value, meaning, may a retry make sense? Append only. */
#define CAIRN_ERROR_MAP(X)                                                  \
	X(EUSAGE, -1, "wrong use of the command line", 0)                   \
	X(EWORKFLOW, -2, "a mistake in the workflow file", 0)               \
	X(EPARAM, -3, "a parameter that cannot be", 0)                      \
	X(EINPUT, -4, "input that cannot be used", 0)                       \
	X(ENOTFOUND, -5, "no such thing", 0)                                \
	X(EINTEGRITY, -6, "stored bytes that do not match their digest", 0) \
	X(EIO, -7, "reading or writing failed", 1)                          \
	X(ENOMEM, -8, "out of memory", 1)                                   \
	X(EDEVICE, -9, "a compute device failed", 1)                        \
	X(EDIVERGED, -10, "training diverged", 0)                           \
	X(EABI, -11, "a plugin of another contract", 0)                     \
	X(EBUSY, -12, "somebody else holds it", 1)                          \
	X(ELIMIT, -13, "a stated limit was exceeded", 0)                    \
	X(ETIMEOUT, -14, "took too long", 1)                                \
	X(ECRASH, -15, "the stage process died", 1)                         \
	X(EBUG, -16, "a bug in cairn or in a plugin", 0)

typedef enum cairn_error_code {
	CAIRN_OK = 0,
#define CAIRN_ERROR_ENUM(name, value, text, retry) CAIRN_##name = (value),
	CAIRN_ERROR_MAP(CAIRN_ERROR_ENUM)
#undef CAIRN_ERROR_ENUM
} cairn_error_code;

typedef struct cairn_error {
	int32_t code;
	char message[384];
	char detail[768];
	char hint[384];
	char place[384];
} cairn_error;

/* Fills *err (may be NULL) and returns `code`. Overwrites nothing if *err is already filled. */
int cairn_error_set(cairn_error *err, int code, const char *format, ...) CAIRN_PRINTF(3, 4);
/* As cairn_error_set, with strerror(errno_value) as detail. */
int cairn_error_errno(cairn_error *err, int code, int errno_value, const char *format, ...)
	CAIRN_PRINTF(4, 5);
/* Add to a filled error; no effect where the field is filled already or err is NULL. */
void cairn_error_detail(cairn_error *err, const char *format, ...) CAIRN_PRINTF(2, 3);
void cairn_error_hint(cairn_error *err, const char *format, ...) CAIRN_PRINTF(2, 3);
void cairn_error_at(cairn_error *err, const char *format, ...) CAIRN_PRINTF(2, 3);
void cairn_error_clear(cairn_error *err);
/* "EINPUT", or "E?" for a code that nobody knows. */
const char *cairn_error_name(int code);
/* The meaning column of the map. */
const char *cairn_error_meaning(int code);
/* 1 where trying the same again can help. */
int cairn_error_may_retry(int code);
/* The code of that name ("EINPUT"), or 0. */
int cairn_error_code_of(const char *name);

CAIRN_END_DECLS

#endif
