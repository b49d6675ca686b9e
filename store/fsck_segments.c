/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck_segments.c - the bytes of every chunk that the index names, in the order of the disk.
 *
 * No transaction is open while bytes are read, so a collection may take or move a chunk
 * meanwhile: before one is called damaged, its place is looked up again. Hashing runs behind the
 * reading by a few records.
 */
#include "store/fsck.h"

#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"

enum {
	READ_AHEAD = 4, /* records in memory, being hashed while the next is read */
	MOVES = 8,      /* of one chunk, while we look at it */
};

typedef struct chunk {
	cairn_id id;
	cairn_place place;
} chunk;

struct chunks {
	cairn_txn *txn;
	chunk *items;
	size_t n, cap;
	uint64_t bytes;
};

/* Entries that are damaged themselves have been told of. */
static int take_chunk(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct chunks *list = arg;
	chunk *item;
	cairn_id id;

	(void)value, (void)value_len;
	if (key_len != sizeof(id.bytes))
		return 0;
	memcpy(id.bytes, key, key_len);
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 1024;
		chunk *grown = cairn_realloc(list->items, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		list->items = grown;
		list->cap = cap;
	}
	item = &list->items[list->n];
	if (cairn_catalog__get_chunk(list->txn, &id, &item->place, NULL) != 0)
		return 0;
	item->id = id;
	list->bytes += cairn_scrub__record(&item->place);
	list->n++;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const cairn_place *x = &((const chunk *)a)->place, *y = &((const chunk *)b)->place;

	if (x->segment != y->segment)
		return (x->segment > y->segment) - (x->segment < y->segment);
	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* All chunks that the index names, as they lie on the disk. */
static int list_chunks(cairn_fsck *fsck, struct chunks *list, cairn_error *err)
{
	int rc = 0;

	for (int i = 0; i < CAIRN_FSCK_FIRST_BYTES && !rc; i++) {
		uint8_t first = (uint8_t)i;

		rc = cairn_index__begin(&list->txn, fsck->store->index, false, err);
		if (rc)
			break;
		rc = cairn_index__scan(
			list->txn, CAIRN_TABLE_CHUNK, &first, 1, false, take_chunk, list, err);
		cairn_index__abort(list->txn);
		if (rc == CAIRN_EINTEGRITY) { /* told by the part before */
			cairn_error_clear(err);
			rc = 0;
		}
	}
	if (!rc && list->n)
		qsort(list->items, list->n, sizeof(*list->items), by_place);
	return rc;
}

/* Where a chunk is now: 0; ENOTFOUND where the index does not name it any more. */
static int look_again(cairn_fsck *fsck, const cairn_id *id, cairn_place *out, cairn_error *err)
{
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, fsck->store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_catalog__get_chunk(txn, id, out, NULL);
	cairn_index__abort(txn);
	return rc;
}

static bool has_right_header(const uint8_t *record, const chunk *c)
{
	uint8_t right[CAIRN_BLOCK_BYTES];

	cairn_header__record(right, &c->id, &c->place);
	return memcmp(record, right, sizeof(right)) == 0;
}

static bool is_same_place(const cairn_place *a, const cairn_place *b)
{
	return a->segment == b->segment && a->offset == b->offset && a->raw_len == b->raw_len;
}

/* Reads a record: EINTEGRITY and *why; 0 with *is_header_bad where its chunk is right. */
static int read_record(cairn_fsck *fsck, cairn_scrub *scrub, const chunk *c, uint8_t *buffer,
	bool *is_header_bad, cairn_error *why)
{
	cairn_id found;
	int rc = cairn_scrub__open(scrub, c->place.segment, why);

	*is_header_bad = false;
	if (!rc && !cairn_scrub__fits(scrub, &c->place))
		rc = cairn_error_set(why, CAIRN_EINTEGRITY,
			"segment '%s/seg/%08x.seg' is truncated", scrub->directory,
			c->place.segment);
	if (rc || fsck->is_quick)
		return rc;
	rc = cairn_scrub__read(scrub, c->place.offset, buffer, cairn_scrub__record(&c->place), why);
	if (rc)
		return rc;
	cairn_sha256(buffer + CAIRN_BLOCK_BYTES, c->place.stored_len, found.bytes);
	if (cairn_id_compare(&found, &c->id) != 0)
		return cairn_error_set(
			why, CAIRN_EINTEGRITY, "stored bytes do not match their digest");
	*is_header_bad = !has_right_header(buffer, c);
	return 0;
}

/* Reads a suspect until the index and what was read agree where it lies. 0: it is right, or gone;
 * 1: its header is damaged; EINTEGRITY and *why: it is. */
static int judge(
	cairn_fsck *fsck, chunk *suspect, uint8_t *buffer, cairn_error *why, cairn_error *err)
{
	cairn_scrub scrub = {.directory = fsck->store->path, .fd = -1};
	cairn_place place;
	bool is_header_bad = false;
	int rc = 0;

	for (int i = 0; i < MOVES; i++) {
		int found;

		cairn_error_clear(why);
		rc = read_record(fsck, &scrub, suspect, buffer, &is_header_bad, why);
		if (rc != CAIRN_EINTEGRITY && !is_header_bad)
			break;
		found = look_again(fsck, &suspect->id, &place, err);
		if (found) {
			/* Collected meanwhile, or its entry is damaged: that was told of. */
			is_header_bad = false;
			rc = found == CAIRN_ENOTFOUND || found == CAIRN_EINTEGRITY ? 0 : found;
			break;
		}
		if (is_same_place(&place, &suspect->place))
			break;
		suspect->place = place;
	}
	cairn_scrub__close(&scrub);
	if (rc && rc != CAIRN_EINTEGRITY && err && !err->code)
		*err = *why;
	return rc ? rc : is_header_bad;
}

static int confirm(cairn_fsck *fsck, const chunk *suspect, uint8_t *buffer, cairn_error *err)
{
	chunk now = *suspect;
	cairn_error why = {0};
	int rc = judge(fsck, &now, buffer, &why, err);

	if (rc == 1) {
		cairn_error_set(&why, CAIRN_EINTEGRITY, "the header of a chunk is damaged");
		cairn_error_detail(&why, "the chunk itself is right");
	}
	if (rc != 1 && rc != CAIRN_EINTEGRITY)
		return rc;
	cairn_fsck__tell(fsck, rc == 1 ? "header" : "chunk", CAIRN_TABLE_CHUNK, now.id.bytes,
		sizeof(now.id.bytes), &now.place, &why);
	return rc == 1 ? 0
		       : cairn_fsck__remember(fsck, CAIRN_TABLE_CHUNK, &now.id, &now.place, err);
}

/* A segment's own header; its chunks can be read without. */
static int check_segment(
	cairn_fsck *fsck, cairn_scrub *scrub, uint32_t number, uint8_t *buffer, cairn_error *err)
{
	cairn_place place = {.segment = number};
	cairn_error why = {0};
	int rc = cairn_scrub__open(scrub, number, &why);

	if (!rc)
		rc = cairn_scrub__read(scrub, 0, buffer, CAIRN_BLOCK_BYTES, &why);
	if (rc == CAIRN_EINTEGRITY)
		return 0; /* each chunk in it says so, where there are any still */
	if (rc) {
		if (err)
			*err = why;
		return rc;
	}
	if (cairn_header__is_segment(buffer, number, fsck->store->uuid))
		return 0;
	cairn_error_set(&why, CAIRN_EINTEGRITY, "the header of a segment is damaged");
	cairn_error_detail(&why, "'%s/seg/%08x.seg'", fsck->store->path, number);
	cairn_fsck__tell(fsck, "header", CAIRN_TABLE_CHUNK, NULL, 0, &place, &why);
	return 0;
}

/* A record being hashed beside us. */
struct slot {
	uint8_t *buffer;
	cairn_hash_job job;
	const chunk *c;
	bool is_suspect, is_hashing;
};

/* Reads without judging: the slot is suspect, or its bytes are on their way to a digest. */
static int fill(
	cairn_fsck *fsck, cairn_scrub *scrub, struct slot *slot, const chunk *c, cairn_error *err)
{
	cairn_error why = {0};
	int rc = 0;

	slot->c = c;
	slot->is_suspect = slot->is_hashing = false;
	if (!(scrub->fd >= 0 && scrub->segment == c->place.segment))
		rc = check_segment(fsck, scrub, c->place.segment, slot->buffer, err);
	if (rc)
		return rc;
	rc = cairn_scrub__open(scrub, c->place.segment, &why);
	if (!rc && !cairn_scrub__fits(scrub, &c->place))
		rc = CAIRN_EINTEGRITY;
	if (!rc && !fsck->is_quick)
		rc = cairn_scrub__read(
			scrub, c->place.offset, slot->buffer, cairn_scrub__record(&c->place), &why);
	if (rc == CAIRN_EINTEGRITY) {
		slot->is_suspect = true;
		return 0;
	}
	if (rc) {
		if (err)
			*err = why;
		return rc;
	}
	if (fsck->is_quick)
		return 0;
	slot->is_suspect = !has_right_header(slot->buffer, c);
	slot->job = (cairn_hash_job){
		.bytes = slot->buffer + CAIRN_BLOCK_BYTES, .len = c->place.stored_len};
	cairn_pool__submit(fsck->store->pool, &slot->job);
	slot->is_hashing = true;
	return 0;
}

static int settle(cairn_fsck *fsck, struct slot *slot, cairn_error *err)
{
	if (slot->is_hashing) {
		cairn_pool__wait(fsck->store->pool, &slot->job);
		slot->is_hashing = false;
		slot->is_suspect |= cairn_id_compare(&slot->job.id, &slot->c->id) != 0;
	}
	fsck->done += cairn_scrub__record(&slot->c->place);
	cairn_fsck__progress(fsck, "segments");
	return slot->is_suspect ? confirm(fsck, slot->c, slot->buffer, err) : 0;
}

static int check_chunks(
	cairn_fsck *fsck, const struct chunks *list, struct slot *slots, cairn_error *err)
{
	cairn_scrub scrub = {.directory = fsck->store->path, .fd = -1};
	size_t n_filled = 0, n_settled = 0;
	int rc = 0;

	while (n_settled < list->n && !rc) {
		while (!rc && n_filled < list->n && n_filled < n_settled + READ_AHEAD) {
			rc = fill(fsck, &scrub, &slots[n_filled % READ_AHEAD],
				&list->items[n_filled], err);
			n_filled += rc == 0;
		}
		if (!rc)
			rc = settle(fsck, &slots[n_settled % READ_AHEAD], err);
		n_settled += rc == 0;
	}
	for (size_t i = 0; i < READ_AHEAD; i++) {
		if (slots[i].is_hashing)
			cairn_pool__wait(fsck->store->pool, &slots[i].job);
	}
	cairn_scrub__close(&scrub);
	return rc;
}

int cairn_fsck_segments(cairn_fsck *fsck, cairn_error *err)
{
	struct slot slots[READ_AHEAD] = {0};
	struct chunks list = {0};
	int rc = list_chunks(fsck, &list, err);

	for (size_t i = 0; i < READ_AHEAD && !rc; i++) {
		slots[i].buffer = aligned_alloc(CAIRN_BLOCK_BYTES, CAIRN_RECORD_BYTES);
		if (!slots[i].buffer)
			rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	}
	fsck->done = 0;
	fsck->total = list.bytes;
	cairn_fsck__progress(fsck, "segments");
	if (!rc)
		rc = check_chunks(fsck, &list, slots, err);
	for (size_t i = 0; i < READ_AHEAD; i++)
		free(slots[i].buffer);
	free(list.items);
	return rc;
}
