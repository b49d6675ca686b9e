/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a bundle: refused with a message and nothing visible, or taken in and whole.
 *
 * The first byte picks the way. Even: the rest is the file. Odd: the rest is members, each a kind,
 * a length of two bytes and the content, which are packed with right names, sizes and digests, as
 * somebody would who knows the form; random bytes would never get past the first digest.
 */
#include "audit/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/tar.h"
#include "base/text.h"
#include "cairn/transfer.h"
#include "fuzz.h"
#include "scratch.h"

static cairn_store *store;

struct input {
	const uint8_t *at;
	size_t left;
};

static int64_t give(void *arg, void *bytes, size_t len, cairn_error *err)
{
	struct input *in = arg;
	size_t n = in->left < len ? in->left : len;

	(void)err;
	if (n)
		memcpy(bytes, in->at, n);
	in->at += n;
	in->left -= n;
	return (int64_t)n;
}

static int read_piece(void *arg, const cairn_piece *piece, cairn_error *err)
{
	uint8_t *bytes = malloc(piece->bytes + 1);

	(void)arg;
	MUST(bytes && cairn_store_read_piece(store, piece, bytes, err) == 0);
	free(bytes);
	return 0;
}

/* What an import has taken in is there to the last byte. */
static void check(const json_t *report)
{
	cairn_snapshot *snapshot;
	json_t *id_text;
	cairn_id id;
	size_t i;

	MUST(cairn_snapshot_begin(&snapshot, store, NULL) == 0);
	json_array_foreach(json_object_get(report, "artifacts"), i, id_text)
	{
		MUST(cairn_id_parse(&id, json_string_value(id_text), NULL) == 0);
		MUST(cairn_snapshot_pieces(snapshot, &id, read_piece, NULL, NULL) == 0);
	}
	cairn_snapshot_end(snapshot);
}

/* ---- members, packed ---------------------------------------------------------------------- */

#define MAX_MEMBERS 24

static void add(cairn_text *to, const char *name, const void *bytes, size_t len)
{
	static const uint8_t zeros[CAIRN_TAR_BLOCK];
	uint8_t header[CAIRN_TAR_BLOCK];

	cairn_tar_header(header, name, len);
	cairn_text_add_bytes(to, header, sizeof(header));
	cairn_text_add_bytes(to, bytes, len);
	cairn_text_add_bytes(to, zeros, cairn_tar_padding(len));
}

static void name_member(char name[CAIRN_TAR_MAX_NAME + 1], uint8_t kind, const char *hex)
{
	static const char key[] =
		"0101010101010101010101010101010101010101010101010101010101010101";
	static const char run[] = "01M84Y1BV5VXJXPCQP2NFTY6WK";
	size_t cap = CAIRN_TAR_MAX_NAME + 1;

	switch (kind % 9) {
	case 0:
		snprintf(name, cap, "artifacts/%s", hex);
		break;
	case 1:
		snprintf(name, cap, "chunks/%.2s/%s", hex, hex);
		break;
	case 2:
		snprintf(name, cap, "nodes/%.2s/%s", hex, hex);
		break;
	case 3:
		snprintf(name, cap, "bundle.json");
		break;
	case 4:
		snprintf(name, cap, "records/results/%s.json", key);
		break;
	case 5:
		snprintf(name, cap, "records/attempts/%s.jsonl", key);
		break;
	case 6:
		snprintf(name, cap, "records/runs/%s.json", run);
		break;
	case 7:
		snprintf(name, cap, "records/stages/%s.jsonl", run);
		break;
	default:
		snprintf(name, cap, "records/events/%s.jsonl", run);
		break;
	}
}

static void pack(cairn_text *out, const uint8_t *data, size_t size)
{
	static const uint8_t end[2 * CAIRN_TAR_BLOCK];
	cairn_text sums = {0}, members = {0};
	char name[CAIRN_TAR_MAX_NAME + 1], hex[65];
	uint8_t digest[32];

	for (int i = 0; i < MAX_MEMBERS && size >= 3; i++) {
		size_t len = (size_t)(data[1] | data[2] << 8);

		len = len < size - 3 ? len : size - 3;
		cairn_sha256(data + 3, len, digest);
		cairn_hex_encode(digest, sizeof(digest), hex);
		name_member(name, data[0], hex);
		add(&members, name, data + 3, len);
		cairn_text_printf(&sums, "%s  %s\n", hex, name);
		data += 3 + len;
		size -= 3 + len;
	}
	add(out, "SHA256SUMS", cairn_text_get(&sums), sums.len);
	cairn_text_add_bytes(out, cairn_text_get(&members), members.len);
	cairn_text_add_bytes(out, end, sizeof(end));
	cairn_text_free(&sums);
	cairn_text_free(&members);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cairn_text packed = {0};
	struct input in = {data + 1, size ? size - 1 : 0};
	cairn_error err = {0};
	json_t *report = NULL;

	store = fuzz_store();
	if (size && data[0] % 2) {
		pack(&packed, data + 1, size - 1);
		in = (struct input){(const uint8_t *)packed.data, packed.len};
	}
	if (cairn_bundle_import(&report, store, give, &in, NULL, &err) == 0) {
		check(report);
		json_decref(report);
	} else {
		MUST(!report && err.code < 0 && err.message[0]);
	}
	cairn_text_free(&packed);
	return 0;
}
