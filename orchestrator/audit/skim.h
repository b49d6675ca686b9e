/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skim.h - a few words of a record's JSON text, without a tree of all of it.
 *
 * A store with a million artifacts has hundreds of megabytes of records, and whoever reads them
 * all wants a name or an id of each: a parser that makes values of the rest takes thirty times as
 * long as this. It reads what cairn writes: no spaces, names in ascending order, ASCII without
 * escapes, numbers that surely fit, at most 16 levels. Every other text is *odd*: correct or not,
 * it is for the parser (base/json.h). What is not odd, the parser would read alike.
 */
#ifndef CAIRN_AUDIT_SKIM_H
#define CAIRN_AUDIT_SKIM_H

#include "cairn/store.h"

/* Part of a record: a string without its quotes, or a value as it is written. */
typedef struct cairn_span {
	const char *at; /* NULL: there is none */
	size_t len;
} cairn_span;

/* The members of an object, or the elements of an array, one after the other:
 *
 *   cairn_skim skim = cairn_skim_begin(text, len);
 *   while (cairn_skim_next(&skim))
 *           ...
 *   if (skim.is_odd)
 *           all anew, with the parser
 */
typedef struct cairn_skim {
	cairn_span name; /* of a member */
	cairn_span value;
	bool is_odd;
	const char *at, *end; /* what is left of the text */
	char close;           /* what ends it; 0: it has not begun */
} cairn_skim;

cairn_skim cairn_skim_begin(const void *text, size_t len);
/* false at the end, and where the text is odd: then is_odd is set. */
bool cairn_skim_next(cairn_skim *skim);
bool cairn_skim_is_named(const cairn_skim *skim, const char *name);

/* What is in a string's quotes; none where the value is no string. */
cairn_span cairn_skim_string(cairn_span value);
/* Is the value a string that names an artifact? */
bool cairn_skim_id(cairn_span value, cairn_id *out);
/* false where the value is no integer. */
bool cairn_skim_integer(cairn_span value, int64_t *out);
/* The value of a member of an object that is not odd; none where there is no such member. */
cairn_span cairn_skim_get(cairn_span object, const char *name);

/* fn answers < 0 to end. */
typedef int (*cairn_skim_fn)(void *arg, cairn_span string, cairn_error *err);
/* Calls fn (which may be NULL) with each string of the text that is a value, at whatever depth. 0;
 * 1: the text is odd, after which fn may have been told some; or what fn answered. */
CAIRN_MUST int cairn_skim_strings(
	const void *text, size_t len, cairn_skim_fn fn, void *arg, cairn_error *err);

#endif
