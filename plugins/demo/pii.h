/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pii.h - what in a text may identify a person: addresses and numbers of a known form.
 *
 *	email  local@domain.tld
 *	phone  +CC and 8 to 15 digits, or 3-3-4 digits in groups, (ddd) ddd-dddd
 *	ip     IPv4 with four parts; IPv6
 *	card   13 to 19 digits, in groups or not, that pass the Luhn check
 *
 * Names and postal addresses are not found; nothing of this kind finds everything. The paper
 * says that it removed PII from the training split (2203.02155, A.1), not how.
 */
#ifndef CAIRN_DEMO_PII_H
#define CAIRN_DEMO_PII_H

#include <stdbool.h>

#include "base/text.h"

enum pii_type {
	PII_EMAIL,
	PII_PHONE,
	PII_IP,
	PII_CARD,
	PII_TYPES,
};

extern const char *const pii_names[PII_TYPES];

struct pii_match {
	enum pii_type type;
	size_t at, len;
};

/* The first match at or after `from`. */
bool pii_find(const char *text, size_t from, struct pii_match *out);
/* Appends the text with "[email]" and the like for each match; adds to counts. out may be NULL:
 * count only. Number of matches. */
size_t pii_mask(const char *text, cairn_text *out, uint64_t counts[PII_TYPES]);

#endif
