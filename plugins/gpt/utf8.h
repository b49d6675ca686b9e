/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - characters in bytes that may be anything (RFC 3629: no overlong forms, no surrogates,
 * nothing above U+10FFFF). */
#ifndef CAIRN_GPT_UTF8_H
#define CAIRN_GPT_UTF8_H

#include <stddef.h>

#include "base/text.h"

/* Bytes of the valid character at s, 0 where there is none. len > 0. */
size_t gpt_utf8_character(const char *s, size_t len);
/* Bytes of the longest beginning of a valid character at s, at least 1: what one U+FFFD replaces
 * ("maximal subpart", Unicode 15 section 3.9; Python's errors="replace" does the same). len > 0. */
size_t gpt_utf8_broken(const char *s, size_t len);
/* Bytes at the end that may be the beginning of a character: 0..3. */
size_t gpt_utf8_unfinished(const char *s, size_t len);
/* Adds the bytes; what is no UTF-8 becomes U+FFFD. */
void gpt_utf8_add(cairn_text *text, const char *s, size_t len);

#endif
