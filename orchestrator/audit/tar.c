/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/tar.h"

#include <stdio.h>
#include <string.h>

/* POSIX.1-1988: name 0, mode 100, uid 108, gid 116, size 124, mtime 136, chksum 148, typeflag 156,
 * linkname 157, magic 257, version 263, uname 265, gname 297, devmajor 329, devminor 337. */
enum {
	AT_MODE = 100,
	AT_UID = 108,
	AT_GID = 116,
	AT_SIZE = 124,
	AT_MTIME = 136,
	AT_CHECKSUM = 148,
	AT_TYPE = 156,
	AT_MAGIC = 257,
};

void cairn_tar_header(uint8_t out[CAIRN_TAR_BLOCK], const char *name, uint64_t size)
{
	unsigned sum = 0;
	char octal[16];

	memset(out, 0, CAIRN_TAR_BLOCK);
	memcpy(out, name, strlen(name));
	memcpy(out + AT_MODE, "0000644", 7);
	memcpy(out + AT_UID, "0000000", 7);
	memcpy(out + AT_GID, "0000000", 7);
	snprintf(octal, sizeof(octal), "%011llo", (unsigned long long)size);
	memcpy(out + AT_SIZE, octal, 11);
	memcpy(out + AT_MTIME, "00000000000", 11);
	memset(out + AT_CHECKSUM, ' ', 8);
	out[AT_TYPE] = '0';
	memcpy(out + AT_MAGIC, "ustar\00000", 8);
	for (size_t i = 0; i < CAIRN_TAR_BLOCK; i++)
		sum += out[i];
	snprintf(octal, sizeof(octal), "%06o", sum);
	memcpy(out + AT_CHECKSUM, octal, 7); /* with its NUL; a blank follows */
}

size_t cairn_tar_padding(uint64_t size)
{
	return (size_t)(-size & (CAIRN_TAR_BLOCK - 1));
}

/* What somebody gave us instead. */
static int foreign(const uint8_t *block, cairn_error *err)
{
	static const struct {
		const char *magic;
		size_t len;
		const char *tool;
	} packed[] = {{"\x1f\x8b", 2, "gzip"}, {"\x28\xb5\x2f\xfd", 4, "zstd"},
		{"\xfd\x37zXZ", 5, "xz"}, {"BZh", 3, "bzip2"}};

	for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++) {
		if (memcmp(block, packed[i].magic, packed[i].len) != 0)
			continue;
		cairn_error_set(
			err, CAIRN_EINPUT, "the bundle is compressed with %s", packed[i].tool);
		cairn_error_hint(err, "Write `%s -dc FILE | cairn import -`.", packed[i].tool);
		return CAIRN_EINPUT;
	}
	if (memcmp(block + AT_MAGIC, "ustar", 5) == 0) {
		cairn_error_set(err, CAIRN_EINPUT, "this tar file was not written as a bundle");
		cairn_error_hint(err,
			"A bundle is imported as `cairn export --format=bundle` wrote "
			"it, not unpacked and packed again.");
	} else {
		cairn_error_set(err, CAIRN_EINPUT, "this is no bundle: no member begins here");
		cairn_error_hint(err, "`cairn export --format=bundle` writes one.");
	}
	return CAIRN_EINPUT;
}

int cairn_tar_parse(const uint8_t block[CAIRN_TAR_BLOCK], char name[CAIRN_TAR_MAX_NAME + 1],
	uint64_t *size, cairn_error *err)
{
	static const uint8_t zeros[CAIRN_TAR_BLOCK];
	uint8_t right[CAIRN_TAR_BLOCK];
	uint64_t bytes = 0;

	if (memcmp(block, zeros, sizeof(zeros)) == 0)
		return 1;
	memcpy(name, block, CAIRN_TAR_MAX_NAME);
	name[CAIRN_TAR_MAX_NAME] = 0;
	for (int i = 0; i < 11; i++) {
		uint8_t digit = block[AT_SIZE + i];

		if (digit < '0' || digit > '7')
			return foreign(block, err);
		bytes = bytes << 3 | (uint64_t)(digit - '0');
	}
	if (!name[0])
		return foreign(block, err);
	cairn_tar_header(right, name, bytes);
	if (memcmp(block, right, sizeof(right)) != 0)
		return foreign(block, err);
	*size = bytes;
	return 0;
}
