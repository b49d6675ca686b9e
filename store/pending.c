/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pending.c - what a batch has written or found, until the index names it.
 *
 * Chunks that were found in the index are remembered as well: at the commit they are looked up
 * again, in the write transaction, and stamped with the current epoch. One that a collection
 * removed in between is lost and written anew, from the copy that was kept where this could happen;
 * a collection that runs later sees a young stamp.
 */
#include <string.h>

#include "base/alloc.h"
#include "store/internal.h"

/* Ids are digests: their first bytes are as good as any hash of them. */
static size_t home_slot(const cairn_pending *pending, const cairn_id *id)
{
	uint64_t word;

	memcpy(&word, id->bytes, sizeof(word));
	return (size_t)(word & (pending->n_slots - 1));
}

/* The slot of the item, or the free one where it would go. n_slots > 0. */
static size_t find_slot(const cairn_pending *pending, enum cairn_table table, const cairn_id *id)
{
	size_t slot = home_slot(pending, id);

	while (pending->slots[slot]) {
		const cairn_pending_item *item = &pending->items[pending->slots[slot] - 1];

		if (item->table == table && cairn_id_compare(&item->id, id) == 0)
			break;
		slot = (slot + 1) & (pending->n_slots - 1);
	}
	return slot;
}

bool cairn_pending__has(const cairn_pending *pending, enum cairn_table table, const cairn_id *id)
{
	return pending->n_slots && pending->slots[find_slot(pending, table, id)];
}

/* Room for one more; slots stay at most half full. */
static bool make_room(cairn_pending *pending)
{
	size_t cap = pending->cap_items ? pending->cap_items * 2 : 64;
	cairn_pending_item *items;
	uint32_t *slots;

	if (pending->n_items < pending->cap_items)
		return true;
	if (cap > UINT32_MAX / 2)
		return false;
	items = cairn_realloc(pending->items, cap, sizeof(*items));
	if (!items)
		return false;
	pending->items = items;
	slots = cairn_alloc(cap * 2, sizeof(*slots));
	if (!slots)
		return false;
	free(pending->slots);
	pending->slots = slots;
	pending->n_slots = cap * 2;
	pending->cap_items = cap;
	for (size_t i = 0; i < pending->n_items; i++)
		slots[find_slot(pending, items[i].table, &items[i].id)] = (uint32_t)i + 1;
	return true;
}

cairn_pending_item *cairn_pending__add(
	cairn_pending *pending, enum cairn_table table, const cairn_id *id)
{
	cairn_pending_item *item;

	if (!make_room(pending))
		return NULL;
	pending->slots[find_slot(pending, table, id)] = (uint32_t)pending->n_items + 1;
	item = &pending->items[pending->n_items++];
	memset(item, 0, sizeof(*item));
	item->id = *id;
	item->table = table;
	if (table != CAIRN_TABLE_ARTIFACT)
		pending->n_unpublished++;
	return item;
}

bool cairn_pending__add_bytes(cairn_pending *pending, enum cairn_table table, const cairn_id *id,
	const void *bytes, size_t len)
{
	uint8_t *copy = cairn_alloc(len ? len : 1, 1);
	cairn_pending_item *item;

	if (!copy)
		return false;
	if (len)
		memcpy(copy, bytes, len);
	item = cairn_pending__add(pending, table, id);
	if (!item) {
		free(copy);
		return false;
	}
	item->is_new = true;
	item->bytes = copy;
	item->len = (uint32_t)len;
	if (table != CAIRN_TABLE_ARTIFACT)
		pending->bytes += len;
	return true;
}

void cairn_pending__free(cairn_pending *pending)
{
	for (size_t i = 0; i < pending->n_items; i++)
		free(pending->items[i].bytes);
	free(pending->items);
	free(pending->slots);
	memset(pending, 0, sizeof(*pending));
}

/* ---- publishing ------------------------------------------------------------------- */

static int publish_item(cairn_pending *pending, cairn_pending_item *item, cairn_txn *txn,
	uint64_t epoch, cairn_error *err)
{
	/* Somebody else may have published the same meanwhile; then his stays. */
	int rc = cairn_catalog__touch(txn, item->table, &item->id, epoch, err);
	char id[CAIRN_ID_TEXT];

	if (rc != CAIRN_ENOTFOUND)
		return rc;
	if (!item->is_new && item->bytes) {
		pending->n_lost++;
		return 0;
	}
	if (!item->is_new) { /* our lease was broken, or the index restored, under us */
		cairn_id_format(&item->id, id);
		cairn_error_set(
			err, CAIRN_EBUSY, "a chunk of this artifact was collected meanwhile");
		cairn_error_detail(err, "%s", id);
		cairn_error_hint(err, "Try again: it will be written anew.");
		return CAIRN_EBUSY;
	}
	if (item->table == CAIRN_TABLE_CHUNK)
		return cairn_catalog__put_chunk(txn, &item->id, &item->place, epoch, err);
	return cairn_catalog__put_blob(
		txn, item->table, &item->id, item->bytes, item->len, epoch, err);
}

/* Artifacts wait for the commit, which also looks up again what was spilled before it. */
static bool is_due(const cairn_pending_item *item, bool is_commit)
{
	return is_commit || (!item->is_published && item->table != CAIRN_TABLE_ARTIFACT);
}

int cairn_pending__publish(
	cairn_pending *pending, cairn_txn *txn, bool is_commit, uint64_t epoch, cairn_error *err)
{
	int rc = 0;

	pending->n_lost = 0;
	for (size_t i = 0; i < pending->n_items && !rc; i++) {
		if (is_due(&pending->items[i], is_commit))
			rc = publish_item(pending, &pending->items[i], txn, epoch, err);
	}
	if (!rc && pending->n_lost)
		rc = cairn_error_set(err, CAIRN_EBUSY, "chunks were collected meanwhile");
	return rc;
}

void cairn_pending__spilled(cairn_pending *pending)
{
	for (size_t i = 0; i < pending->n_items; i++) {
		cairn_pending_item *item = &pending->items[i];

		if (!is_due(item, false))
			continue;
		free(item->bytes);
		item->bytes = NULL;
		item->is_published = true;
		item->is_new = false;
	}
	pending->n_unpublished = 0;
	pending->bytes = 0;
}
