/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip.h - the one door to zlib: a gzip file, unpacked as it is read.
 *
 * Several members one after the other are one text, as gzip(1) has it; zeros behind the last are
 * padding. Everything else that is not as RFC 1952 says is an error: a broken checksum, an end in
 * the middle, other bytes behind the last member, and a file that unpacks to more than
 * GPT_GZIP_MAX_RATIO times its size (text packs 3 to 20 times; deflate can reach 1032).
 */
#ifndef CAIRN_GPT_GZIP_H
#define CAIRN_GPT_GZIP_H

#include <stdbool.h>

#include "cairn/error.h"

#define GPT_GZIP_MAX_RATIO 200
/* What any file may unpack to, however small it is. */
#define GPT_GZIP_FREE (64u << 20)

typedef struct gpt_gzip gpt_gzip;

/* By the magic bytes; a name says nothing. */
bool gpt_gzip_is(const void *bytes, size_t len);
/* Over bytes that the caller keeps; `source` names them in errors. */
CAIRN_MUST int gpt_gzip_open(
	gpt_gzip **out, const char *source, const void *bytes, size_t len, cairn_error *err);
/* Fills `to` with up to `cap` bytes; *n < cap only at the end. EINPUT, ELIMIT, ENOMEM. */
CAIRN_MUST int gpt_gzip_read(gpt_gzip *gzip, void *to, size_t cap, size_t *n, cairn_error *err);
void gpt_gzip_close(gpt_gzip *gzip);

#endif
