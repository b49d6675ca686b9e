/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.c - the 4 KiB blocks before a segment's records and before each record. FORMAT.md, 3.
 *
 * Both follow from what the index knows, so a damaged one can be written again; and a record's
 * holds all that a lost index must be told.
 */
#include <string.h>

#include "store/bytes.h"
#include "store/internal.h"

enum {
	VERSION = 1,
	CRC = CAIRN_BLOCK_BYTES - 4,
};

static const char SEGMENT_MAGIC[] = "CAIRNSEG";
static const char RECORD_MAGIC[] = "CAIRNCHK";

static void begin(uint8_t *block, const char *magic)
{
	memset(block, 0, CAIRN_BLOCK_BYTES);
	memcpy(block, magic, 8);
	cairn_put_le(block + 8, VERSION, 2);
}

static void seal(uint8_t *block)
{
	cairn_put_le(block + CRC, cairn_crc32c(0, block, CRC), 4);
}

void cairn_header__segment(uint8_t *block, uint32_t number, const uint8_t uuid[CAIRN_UUID_BYTES])
{
	begin(block, SEGMENT_MAGIC);
	cairn_put_le(block + 12, number, 4);
	memcpy(block + 16, uuid, CAIRN_UUID_BYTES);
	seal(block);
}

void cairn_header__record(uint8_t *block, const cairn_id *id, const cairn_place *place)
{
	begin(block, RECORD_MAGIC);
	block[10] = place->codec;
	cairn_put_le(block + 12, place->segment, 4);
	cairn_put_le(block + 16, place->offset, 8);
	cairn_put_le(block + 24, place->raw_len, 4);
	cairn_put_le(block + 28, place->stored_len, 4);
	memcpy(block + 32, id->bytes, sizeof(id->bytes));
	seal(block);
}

bool cairn_header__is_segment(
	const uint8_t *block, uint32_t number, const uint8_t uuid[CAIRN_UUID_BYTES])
{
	uint8_t right[CAIRN_BLOCK_BYTES];

	cairn_header__segment(right, number, uuid);
	return memcmp(block, right, sizeof(right)) == 0;
}

bool cairn_header__read_record(const uint8_t *block, cairn_id *id, cairn_place *out)
{
	if (memcmp(block, RECORD_MAGIC, 8) != 0 || cairn_get_le(block + 8, 2) != VERSION ||
		cairn_get_le(block + CRC, 4) != cairn_crc32c(0, block, CRC))
		return false;
	memcpy(id->bytes, block + 32, sizeof(id->bytes));
	*out = (cairn_place){
		.segment = (uint32_t)cairn_get_le(block + 12, 4),
		.offset = cairn_get_le(block + 16, 8),
		.raw_len = (uint32_t)cairn_get_le(block + 24, 4),
		.stored_len = (uint32_t)cairn_get_le(block + 28, 4),
		.codec = block[10],
	};
	return true;
}
