/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage.c - who needs which bytes. Each part has the first owner that reached it, and whether
 * another one did; so what only one reaches is known in one pass over all of them.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "cairn/gc.h"
#include "store/internal.h"

struct cairn_usage {
	cairn_store *store;
	cairn_txn *
		txn; /* from the first artifact on: a million of them are no million transactions */
	cairn_marks marks;
	cairn_usage_sums *owners;
	size_t n_owners;
};

int cairn_usage_new(cairn_usage **out, cairn_store *store, cairn_error *err)
{
	cairn_usage *usage = cairn_alloc(1, sizeof(*usage));

	if (!usage)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	usage->store = store;
	*out = usage;
	return 0;
}

void cairn_usage_free(cairn_usage *usage)
{
	if (!usage)
		return;
	cairn_index__abort(usage->txn);
	cairn_marks__free(&usage->marks);
	free(usage->owners);
	free(usage);
}

/* ---- adding ------------------------------------------------------------------------------- */

struct visit {
	cairn_usage *usage;
	cairn_txn *txn;
	uint32_t owner;
	bool is_missing;
};

static int bytes_of(
	const struct visit *visit, const cairn_part *part, uint64_t *out, cairn_error *err)
{
	cairn_place place;
	int rc;

	*out = part->len;
	if (part->bytes)
		return 0;
	if (part->table == CAIRN_TABLE_CHUNK) {
		rc = cairn_catalog__get_chunk(visit->txn, &part->id, &place, err);
		if (!rc)
			*out = cairn_reclaim__bytes(&place);
	} else {
		const void *bytes;
		size_t len;

		rc = cairn_index__get(visit->txn, part->table, part->id.bytes, sizeof(part->id),
			&bytes, &len, err);
		if (!rc)
			*out = len;
	}
	return rc;
}

static int add_part(void *arg, const cairn_part *part, cairn_error *err)
{
	struct visit *visit = arg;
	cairn_usage_sums *owner = &visit->usage->owners[visit->owner];
	cairn_mark *mark;
	bool is_new;

	if (part->problem) {
		visit->is_missing |=
			part->problem == CAIRN_ENOTFOUND && part->table == CAIRN_TABLE_ARTIFACT;
		return 0;
	}
	mark = cairn_marks__add(&visit->usage->marks, cairn_marks__kind(part), &part->id, &is_new);
	if (!mark)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	if (is_new) {
		uint64_t bytes = 0;

		/* One that is missing or damaged takes no room that is known. */
		if (bytes_of(visit, part, &bytes, NULL) != 0)
			bytes = 0;
		mark->owner = visit->owner;
		mark->bytes = (uint32_t)bytes;
		mark->node = part->bytes;
		owner->exclusive += mark->bytes;
	} else if (mark->last == visit->owner) {
		return 1; /* and all below it: seen */
	} else if (!mark->is_shared && mark->owner != visit->owner) {
		mark->is_shared = true;
		visit->usage->owners[mark->owner].exclusive -= mark->bytes;
	}
	mark->last = visit->owner;
	owner->total += mark->bytes;
	if (mark->owner != 0)
		owner->beyond_first += mark->bytes;
	return 0;
}

/* What several owners need is read and verified once. */
static enum cairn_known recall(
	void *arg, enum cairn_table table, const cairn_id *id, const void **bytes, size_t *len)
{
	const struct visit *visit = arg;
	const cairn_mark *mark = cairn_marks__find(&visit->usage->marks,
		table == CAIRN_TABLE_ARTIFACT ? CAIRN_MARK_ARTIFACT : CAIRN_MARK_NODE, id);

	if (!mark)
		return CAIRN_UNKNOWN;
	*bytes = mark->node;
	*len = mark->bytes;
	return CAIRN_KNOWN_BYTES;
}

static int make_room(cairn_usage *usage, uint32_t owner, cairn_error *err)
{
	size_t n = usage->n_owners ? usage->n_owners : 16;
	cairn_usage_sums *grown;

	if (owner < usage->n_owners)
		return 0;
	while (n <= owner)
		n *= 2;
	grown = cairn_realloc(usage->owners, n, sizeof(*grown));
	if (!grown)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	memset(grown + usage->n_owners, 0, (n - usage->n_owners) * sizeof(*grown));
	usage->owners = grown;
	usage->n_owners = n;
	return 0;
}

int cairn_usage_add(cairn_usage *usage, uint32_t owner, const cairn_id *artifact, cairn_error *err)
{
	struct visit visit = {.usage = usage, .owner = owner};
	int rc = make_room(usage, owner, err);

	if (!rc && !usage->txn)
		rc = cairn_index__begin(&usage->txn, usage->store->index, false, err);
	if (rc)
		return rc;
	visit.txn = usage->txn;
	rc = cairn_walk_known(visit.txn, artifact, recall, add_part, &visit, err);
	return rc ? rc : visit.is_missing ? CAIRN_ENOTFOUND : 0;
}

void cairn_usage_of(const cairn_usage *usage, uint32_t owner, cairn_usage_sums *out)
{
	*out = owner < usage->n_owners ? usage->owners[owner] : (cairn_usage_sums){0};
}

bool cairn_usage_has(const cairn_usage *usage, const cairn_id *artifact)
{
	return cairn_marks__has(&usage->marks, CAIRN_MARK_ARTIFACT, artifact);
}

bool cairn_usage_is_first(const cairn_usage *usage, uint32_t owner, const cairn_id *artifact)
{
	const cairn_mark *mark = cairn_marks__find(&usage->marks, CAIRN_MARK_ARTIFACT, artifact);

	return mark && mark->owner == owner;
}

bool cairn_usage_is_last(const cairn_usage *usage, uint32_t owner, const cairn_id *artifact)
{
	const cairn_mark *mark = cairn_marks__find(&usage->marks, CAIRN_MARK_ARTIFACT, artifact);

	return mark && mark->last == owner;
}

/* ---- the store as a whole -------------------------------------------------------------------- */

static bool lives(void *arg, const cairn_id *id, uint64_t stamp)
{
	(void)arg, (void)id, (void)stamp;
	return true;
}

int cairn_store_sizes_get(cairn_store *store, cairn_store_sizes *out, cairn_error *err)
{
	cairn_gc_report report = {0};
	cairn_store_sizes sizes = {0};
	uint64_t entries[CAIRN_TABLES];
	int rc = cairn_index__sizes(
		store->index, entries, &sizes.index_bytes, &sizes.index_used_bytes, err);

	if (!rc)
		rc = cairn_reclaim__foresee(store, lives, NULL, &report, err);
	if (rc)
		return rc;
	sizes.n_artifacts = entries[CAIRN_TABLE_ARTIFACT];
	sizes.n_blobs = entries[CAIRN_TABLE_BLOB];
	sizes.n_chunks = entries[CAIRN_TABLE_CHUNK];
	sizes.n_segments = report.n_segments;
	sizes.segment_bytes = report.segment_bytes_before;
	sizes.segment_live_bytes = report.segment_bytes_live;
	*out = sizes;
	return 0;
}
