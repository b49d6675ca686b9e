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

struct owner {
	uint64_t total, exclusive;
};

struct cairn_usage {
	cairn_store *store;
	cairn_marks marks;
	struct owner *owners;
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
	cairn_marks__free(&usage->marks);
	free(usage->owners);
	free(usage);
}

/* ---- adding ------------------------------------------------------------------------------- */

struct visit {
	cairn_usage *usage;
	uint32_t owner;
	bool is_missing;
};

static uint64_t bytes_of(const cairn_part *part)
{
	const cairn_place place = {.stored_len = (uint32_t)part->len};

	return part->table == CAIRN_TABLE_CHUNK ? cairn_reclaim__bytes(&place) : part->len;
}

static int add_part(void *arg, const cairn_part *part, cairn_error *err)
{
	struct visit *visit = arg;
	struct owner *owner = &visit->usage->owners[visit->owner];
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
		mark->owner = visit->owner;
		mark->bytes = (uint32_t)bytes_of(part);
		owner->exclusive += mark->bytes;
	} else if (mark->last == visit->owner) {
		return 1; /* and all below it: seen */
	} else if (!mark->is_shared && mark->owner != visit->owner) {
		mark->is_shared = true;
		visit->usage->owners[mark->owner].exclusive -= mark->bytes;
	}
	mark->last = visit->owner;
	owner->total += mark->bytes;
	return 0;
}

static int make_room(cairn_usage *usage, uint32_t owner, cairn_error *err)
{
	size_t n = usage->n_owners ? usage->n_owners : 16;
	struct owner *grown;

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
	struct visit visit = {usage, owner, false};
	cairn_txn *txn;
	int rc = make_room(usage, owner, err);

	if (rc || (rc = cairn_index__begin(&txn, usage->store->index, false, err)))
		return rc;
	rc = cairn_walk(txn, artifact, add_part, &visit, err);
	cairn_index__abort(txn);
	return rc ? rc : visit.is_missing ? CAIRN_ENOTFOUND : 0;
}

void cairn_usage_of(const cairn_usage *usage, uint32_t owner, uint64_t *total, uint64_t *exclusive)
{
	const struct owner none = {0},
			   *at = owner < usage->n_owners ? &usage->owners[owner] : &none;

	*total = at->total;
	*exclusive = at->exclusive;
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
