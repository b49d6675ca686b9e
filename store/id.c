/* SPDX-License-Identifier: Apache-2.0 */
/* id.c - artifact ids as text, and the artifact that a few digits stand for. */
#include <string.h>

#include "base/digest.h"
#include "store/internal.h"

static const char SCHEME[] = "sha256:";

enum {
	SCHEME_LEN = sizeof(SCHEME) - 1,
	HEX_LEN = 2 * sizeof(cairn_id),
	MIN_DIGITS = 4
};

void cairn_id_format(const cairn_id *id, char out[CAIRN_ID_TEXT])
{
	memcpy(out, SCHEME, SCHEME_LEN);
	cairn_hex_encode(id->bytes, sizeof(id->bytes), out + SCHEME_LEN);
}

static const char *without_scheme(const char *text)
{
	return strncmp(text, SCHEME, SCHEME_LEN) == 0 ? text + SCHEME_LEN : text;
}

int cairn_id_parse(cairn_id *out, const char *text, cairn_error *err)
{
	cairn_id id;

	if (cairn_hex_decode(without_scheme(text), id.bytes, sizeof(id.bytes)) != 0) {
		cairn_error_set(err, CAIRN_EINPUT, "'%.100s' is not an artifact id", text);
		cairn_error_hint(err, "An id is sha256: and 64 hexadecimal digits.");
		return CAIRN_EINPUT;
	}
	*out = id;
	return 0;
}

int cairn_id_compare(const cairn_id *a, const cairn_id *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* ---- by prefix ---------------------------------------------------------------------- */

struct search {
	const char *digits;
	size_t n_digits;
	cairn_id found[2];
	int n_found;
};

static int match(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	char hex[HEX_LEN + 1];
	struct search *search = arg;

	(void)value;
	(void)value_len;
	(void)err;
	if (key_len != sizeof(cairn_id))
		return 0;
	cairn_hex_encode(key, key_len, hex);
	if (memcmp(hex, search->digits, search->n_digits) != 0)
		return 0; /* the scan goes by whole bytes: an odd last digit differs */
	memcpy(search->found[search->n_found++].bytes, key, key_len);
	return search->n_found == 2;
}

/* Lower-case digits, as many as there are; false where it is no prefix of an id. */
static bool read_digits(const char *text, char out[HEX_LEN + 1], size_t *len)
{
	size_t n = strlen(text);

	if (n < MIN_DIGITS || n > HEX_LEN || strspn(text, "0123456789abcdefABCDEF") != n)
		return false;
	for (size_t i = 0; i <= n; i++)
		out[i] = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
	*len = n;
	return true;
}

int cairn_store_find(cairn_store *store, const char *prefix, cairn_id *out, cairn_error *err)
{
	char digits[HEX_LEN + 1], whole[HEX_LEN + 1], first[CAIRN_ID_TEXT], second[CAIRN_ID_TEXT];
	struct search search = {.digits = digits};
	cairn_id bytes;
	cairn_txn *txn;
	int rc;

	if (!read_digits(without_scheme(prefix), digits, &search.n_digits)) {
		cairn_error_set(err, CAIRN_ENOTFOUND, "there is no artifact '%.100s'", prefix);
		cairn_error_hint(
			err, "Give at least %d of the hexadecimal digits of its id.", MIN_DIGITS);
		return CAIRN_ENOTFOUND;
	}
	memcpy(whole, digits, search.n_digits & ~(size_t)1);
	whole[search.n_digits & ~(size_t)1] = 0;
	CAIRN_ASSERT(cairn_hex_decode(whole, bytes.bytes, search.n_digits / 2) == 0);
	rc = cairn_index__begin(&txn, store->index, false, err);
	if (rc)
		return rc;
	rc = cairn_index__scan(txn, CAIRN_TABLE_ARTIFACT, bytes.bytes, search.n_digits / 2, false,
		match, &search, err);
	cairn_index__abort(txn);
	if (rc)
		return rc;
	if (search.n_found == 0)
		return cairn_error_set(
			err, CAIRN_ENOTFOUND, "there is no artifact '%.100s'", prefix);
	if (search.n_found > 1) {
		cairn_id_format(&search.found[0], first);
		cairn_id_format(&search.found[1], second);
		cairn_error_set(
			err, CAIRN_ENOTFOUND, "'%.100s' stands for several artifacts", prefix);
		cairn_error_detail(err, "%s, %s", first, second);
		cairn_error_hint(err, "Give more digits.");
		return CAIRN_ENOTFOUND;
	}
	*out = search.found[0];
	return 0;
}
