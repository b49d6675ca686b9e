/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest.c - the door to OpenSSL. The algorithm is fetched once: fetching takes longer than hashing
 * a small record.
 */
#include "base/digest.h"

#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init and its like, which need no memory */
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <string.h>

#define SHORT_BYTES 4096

static EVP_MD *sha256;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

cairn_digest *cairn_digest_new(void)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	pthread_once(&once, fetch);
	/* It was not fetched where there was no memory. */
	if (context && !EVP_DigestInit_ex2(context, sha256 ? sha256 : EVP_sha256(), NULL)) {
		EVP_MD_CTX_free(context);
		context = NULL;
	}
	return (cairn_digest *)context;
}

void cairn_digest_add(cairn_digest *digest, const void *bytes, size_t len)
{
	CAIRN_ASSERT(EVP_DigestUpdate((EVP_MD_CTX *)digest, bytes, len));
}

void cairn_digest_end(cairn_digest *digest, uint8_t out[CAIRN_DIGEST_BYTES])
{
	CAIRN_ASSERT(EVP_DigestFinal_ex((EVP_MD_CTX *)digest, out, NULL));
	EVP_MD_CTX_free((EVP_MD_CTX *)digest);
}

void cairn_sha256(const void *bytes, size_t len, uint8_t out[CAIRN_DIGEST_BYTES])
{
	SHA256_CTX context;

	if (len <= SHORT_BYTES && cairn_sha256_short(bytes, len, out))
		return;
	/* Not EVP_Digest: that allocates, and a digest must not fail where there is no memory. */
	CAIRN_ASSERT(SHA256_Init(&context) && SHA256_Update(&context, bytes, len) &&
		     SHA256_Final(out, &context));
}

void cairn_hex_encode(const void *bytes, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[b[i] >> 4];
		out[2 * i + 1] = digits[b[i] & 15];
	}
	out[2 * len] = '\0';
}

/* The value of a digit and one; 0: it is none. Whoever collects a store reads millions of ids. */
static const uint8_t digit_values[256] = {['0'] = 1,
	['1'] = 2,
	['2'] = 3,
	['3'] = 4,
	['4'] = 5,
	['5'] = 6,
	['6'] = 7,
	['7'] = 8,
	['8'] = 9,
	['9'] = 10,
	['a'] = 11,
	['b'] = 12,
	['c'] = 13,
	['d'] = 14,
	['e'] = 15,
	['f'] = 16,
	['A'] = 11,
	['B'] = 12,
	['C'] = 13,
	['D'] = 14,
	['E'] = 15,
	['F'] = 16};

int cairn_hex_decode(const char *text, void *out, size_t len)
{
	uint8_t *b = out;

	if (strlen(text) != 2 * len)
		return -1;
	for (size_t i = 0; i < len; i++) {
		unsigned high = digit_values[(uint8_t)text[2 * i]];
		unsigned low = digit_values[(uint8_t)text[2 * i + 1]];

		if (!high || !low)
			return -1;
		b[i] = (uint8_t)((high - 1) << 4 | (low - 1));
	}
	return 0;
}

void cairn_key_format(const cairn_key *key, char out[CAIRN_KEY_TEXT])
{
	cairn_hex_encode(key->bytes, sizeof(key->bytes), out);
}

int cairn_key_parse(cairn_key *out, const char *text, cairn_error *err)
{
	cairn_key key;

	if (cairn_hex_decode(text, key.bytes, sizeof(key.bytes)))
		return cairn_error_set(err, CAIRN_EINPUT, "'%s' is not a stage key", text);
	*out = key;
	return 0;
}
