/* SPDX-License-Identifier: Apache-2.0 */
/* digest.h - SHA-256 (OpenSSL) and hexadecimal. */
#ifndef CAIRN_BASE_DIGEST_H
#define CAIRN_BASE_DIGEST_H

#include <stdbool.h>

#include "cairn/base.h"
#include "cairn/error.h"

#define CAIRN_DIGEST_BYTES 32

typedef struct cairn_digest cairn_digest;

/* NULL where there is no memory. */
cairn_digest *cairn_digest_new(void);
void cairn_digest_add(cairn_digest *digest, const void *bytes, size_t len);
/* Ends and frees. */
void cairn_digest_end(cairn_digest *digest, uint8_t out[CAIRN_DIGEST_BYTES]);
/* One call. */
void cairn_sha256(const void *bytes, size_t len, uint8_t out[CAIRN_DIGEST_BYTES]);
/* As above, for messages of a few kilobytes and without OpenSSL; false, and nothing done, where the
 * processor has no instructions for it. */
bool cairn_sha256_short(const void *bytes, size_t len, uint8_t out[CAIRN_DIGEST_BYTES]);
/* Two messages in one call: where the processor can, in two thirds of the time of two calls. */
void cairn_sha256_two(const void *a, size_t a_len, uint8_t a_out[CAIRN_DIGEST_BYTES], const void *b,
	size_t b_len, uint8_t b_out[CAIRN_DIGEST_BYTES]);

/* out: 2*len + 1 bytes. */
void cairn_hex_encode(const void *bytes, size_t len, char *out);
/* 0, or -1 where text is not exactly 2*len hex digits. */
int cairn_hex_decode(const char *text, void *out, size_t len);

/* A stage's key (workflow/key.h): what decides its result. */
#define CAIRN_KEY_TEXT 65
typedef struct cairn_key {
	uint8_t bytes[CAIRN_DIGEST_BYTES];
} cairn_key;

void cairn_key_format(const cairn_key *key, char out[CAIRN_KEY_TEXT]);
CAIRN_MUST int cairn_key_parse(cairn_key *out, const char *text, cairn_error *err);

#endif
