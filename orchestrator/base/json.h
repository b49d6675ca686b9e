/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - the door to jansson: parsing with errors of our form, canonical output.
 *
 * Canonical: sorted keys, compact, UTF-8, reals in their shortest form that reads back.
 */
#ifndef CAIRN_BASE_JSON_H
#define CAIRN_BASE_JSON_H

#include <jansson.h>

#include "cairn/base.h"
#include "cairn/error.h"

/* `place` names the source in errors ("data/demos.jsonl:12"). Refuses duplicate keys, NULs and
 * nesting deeper than
 * 64. On success *out is a new reference. */
CAIRN_MUST int cairn_json_parse(
	json_t **out, const char *text, size_t len, const char *place, cairn_error *err);
/* Caller frees with free(). NULL where there is no memory. */
char *cairn_json_canonical(const json_t *json);
/* For people: indented by two, keys in insertion order, reals as in the canonical form. Caller
 * frees. */
char *cairn_json_pretty(const json_t *json);

/* Borrowed string of object[key], or `fallback` where absent or no string. */
const char *cairn_json_string(const json_t *object, const char *key, const char *fallback);
double cairn_json_number(const json_t *object, const char *key, double fallback);
int64_t cairn_json_integer(const json_t *object, const char *key, int64_t fallback);

#endif
