/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc.c - taking away what nothing leads to, while others write and read.
 *
 *   raise    one transaction: the epoch becomes odd and higher, `recent` is emptied, and the
 *            threshold is fixed: the least of the new epoch and those of all live leases
 *   mark     from the roots that the caller names, in short read transactions
 *   sweep    manifests first, then nodes and small chunks, then large ones; in write
 *            transactions of at most 1000. Each first marks from what came to `recent` since,
 *            and deletes only what is not marked and stamped before the threshold
 *   end      one transaction: the epoch becomes even, `recent` is emptied
 *   reclaim  segments of which little is left (reclaim.c)
 *
 * FORMAT.md, section 6, has the argument why nothing is lost; tests/store/gc_interleave.c runs
 * all orders of the steps against writers and readers. Killed anywhere, what was done stays done
 * and the next collection begins anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "cairn/gc.h"
#include "store/bytes.h"
#include "store/internal.h"

enum {
	DELETES_PER_TXN = 1000,
	LOOKS_PER_TXN = 20000,
	ROOTS_PER_TXN = 256,
	N_HEAPS = 1 << 16, /* of roots to be sorted */
};

struct gc {
	cairn_store *store;
	cairn_gc_report *report;
	bool is_dry_run;
	uint64_t epoch;       /* ours, odd */
	uint64_t threshold;   /* what is stamped with it or later stays */
	uint64_t next_recent; /* of `recent`, what is before it is marked */
	cairn_marks marks;
	cairn_id *roots;
	size_t n_roots, cap_roots;
};

/* ---- raise and end ------------------------------------------------------------------------- */

static int raise_epoch(cairn_txn *txn, void *arg, cairn_error *err)
{
	struct gc *gc = arg;
	uint64_t epoch, floor;
	int rc = cairn_catalog__number(txn, "gc_epoch", &epoch, err);

	if (!rc)
		rc = cairn_lease__bury(txn, &epoch, err);
	if (rc)
		return rc;
	epoch += cairn_epoch__is_collecting(epoch) ? 2 : 1;
	gc->epoch = epoch;
	gc->store->lease.kind = "gc";
	if ((rc = cairn_catalog__set_number(txn, "gc_epoch", epoch, err)) ||
		(rc = cairn_index__clear(txn, CAIRN_TABLE_RECENT, err)) ||
		(rc = cairn_lease__renew(gc->store, txn, NULL, false, epoch, err)) ||
		(rc = cairn_lease__floor(gc->store, txn, &floor, err)))
		return rc;
	gc->threshold = floor < epoch ? floor : epoch;
	return 0;
}

/* Nobody else collects while this one holds gc.lock; so only a restored index says otherwise. */
static int check_epoch(const struct gc *gc, cairn_txn *txn, cairn_error *err)
{
	uint64_t epoch;
	int rc = cairn_catalog__number(txn, "gc_epoch", &epoch, err);

	if (!rc && epoch != gc->epoch)
		rc = cairn_error_set(
			err, CAIRN_EBUSY, "another collection began in '%s'", gc->store->path);
	return rc;
}

static int end_epoch(cairn_txn *txn, void *arg, cairn_error *err)
{
	struct gc *gc = arg;
	int rc = check_epoch(gc, txn, err);

	if (!rc)
		rc = cairn_catalog__set_number(txn, "gc_epoch", gc->epoch + 1, err);
	return rc ? rc : cairn_index__clear(txn, CAIRN_TABLE_RECENT, err);
}

/* For a dry run: what the threshold would be. */
static int foresee(struct gc *gc, cairn_error *err)
{
	uint64_t epoch, floor = UINT64_MAX;
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, gc->store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_catalog__number(txn, "gc_epoch", &epoch, err);
	if (!rc)
		rc = cairn_lease__foresee(gc->store, txn, &floor, err);
	cairn_index__abort(txn);
	gc->threshold = floor <= epoch ? floor : epoch + 1;
	return rc;
}

/* ---- mark ----------------------------------------------------------------------------------- */

static int cannot_be_known(const cairn_part *part, cairn_error *err)
{
	char id[CAIRN_ID_TEXT];

	cairn_id_format(&part->id, id);
	cairn_error_set(err, CAIRN_EINTEGRITY, "an artifact that must stay is damaged");
	cairn_error_detail(err, "%s: %s", id, part->why->message);
	cairn_error_hint(err,
		"Nothing was taken, for what it is made of cannot be known. `cairn fsck` "
		"says what is damaged and what would make it again.");
	return CAIRN_EINTEGRITY;
}

static int mark_part(void *arg, const cairn_part *part, cairn_error *err)
{
	struct gc *gc = arg;
	bool is_new;

	if (part->problem == CAIRN_ENOTFOUND && part->table == CAIRN_TABLE_ARTIFACT) {
		gc->report->n_missing++;
		return 0;
	}
	if (part->problem)
		return cannot_be_known(part, err);
	if (!cairn_marks__add(&gc->marks, cairn_marks__kind(part), &part->id, &is_new))
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	return is_new ? 0 : 1;
}

/* A node is marked before what is below it; whoever ends in between ends the collection. */
static enum cairn_known is_marked(
	void *arg, enum cairn_table table, const cairn_id *id, const void **bytes, size_t *len)
{
	const struct gc *gc = arg;
	bool is_artifact = table == CAIRN_TABLE_ARTIFACT;

	(void)bytes, (void)len;
	return cairn_marks__has(&gc->marks, is_artifact ? CAIRN_MARK_ARTIFACT : CAIRN_MARK_NODE, id)
		       ? CAIRN_KNOWN_BELOW
		       : CAIRN_UNKNOWN;
}

static int mark(struct gc *gc, cairn_txn *txn, const cairn_id *id, cairn_error *err)
{
	return cairn_walk_known(txn, id, is_marked, mark_part, gc, err);
}

static int take_root(void *arg, const cairn_id *id, cairn_error *err)
{
	struct gc *gc = arg;

	if (gc->n_roots == gc->cap_roots) {
		size_t cap = gc->cap_roots ? gc->cap_roots * 2 : 256;
		cairn_id *grown = cairn_realloc(gc->roots, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		gc->roots = grown;
		gc->cap_roots = cap;
	}
	gc->roots[gc->n_roots++] = *id;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return cairn_id_compare(a, b);
}

static size_t place_of(const cairn_id *id)
{
	return (size_t)id->bytes[0] << 8 | id->bytes[1];
}

/* Digests are spread evenly: by their first two bytes a million of them fall into heaps of sixteen,
 * which are sorted in no time. */
static int sort_roots(struct gc *gc, cairn_error *err)
{
	size_t *ends = cairn_alloc(N_HEAPS + 1, sizeof(*ends)), n = 0;
	cairn_id *sorted = cairn_alloc(gc->n_roots + 1, sizeof(*sorted));

	if (!ends || !sorted) {
		free(ends);
		free(sorted);
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < gc->n_roots; i++)
		ends[place_of(&gc->roots[i]) + 1]++;
	for (size_t i = 1; i <= N_HEAPS; i++)
		ends[i] += ends[i - 1];
	for (size_t i = 0; i < gc->n_roots; i++)
		sorted[ends[place_of(&gc->roots[i])]++] = gc->roots[i];
	for (size_t i = 0, start = 0; i < N_HEAPS; start = ends[i++])
		qsort(sorted + start, ends[i] - start, sizeof(*sorted), by_id);
	for (size_t i = 0; i < gc->n_roots; i++) {
		if (i == 0 || cairn_id_compare(&sorted[i], &sorted[n - 1]) != 0)
			sorted[n++] = sorted[i];
	}
	free(ends);
	free(gc->roots);
	gc->roots = sorted;
	gc->n_roots = n;
	gc->report->n_roots = n;
	return 0;
}

static int mark_roots(struct gc *gc, const cairn_gc_options *options, cairn_error *err)
{
	int rc = options->roots(options->roots_arg, gc->store, take_root, gc, err);

	if (rc < 0)
		return rc;
	rc = sort_roots(gc, err);
	for (size_t i = 0; i < gc->n_roots && !rc; i += ROOTS_PER_TXN) {
		cairn_txn *txn;

		if ((rc = cairn_index__begin(&txn, gc->store->index, false, err)))
			break;
		for (size_t k = i; k < gc->n_roots && k < i + ROOTS_PER_TXN && !rc; k++)
			rc = mark(gc, txn, &gc->roots[k], err);
		cairn_index__abort(txn);
	}
	return rc;
}

/* ---- what became a root meanwhile ------------------------------------------------------------ */

struct recent {
	struct gc *gc;
	cairn_txn *txn;
};

static int mark_one_recent(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct recent *recent = arg;
	cairn_id id;
	int rc = cairn_catalog__unseal(CAIRN_TABLE_RECENT, key, key_len, &value, &value_len, err);

	if (rc)
		return rc;
	if (key_len != 8 || value_len != sizeof(id))
		return 0;
	memcpy(&id, value, sizeof(id));
	recent->gc->next_recent = cairn_get_be(key, 8) + 1;
	return mark(recent->gc, recent->txn, &id, err);
}

static int mark_recent(struct gc *gc, cairn_txn *txn, cairn_error *err)
{
	struct recent recent = {gc, txn};
	uint8_t key[8];

	cairn_put_be(key, gc->next_recent, sizeof(key));
	return cairn_index__scan_from(
		txn, CAIRN_TABLE_RECENT, key, sizeof(key), mark_one_recent, &recent, err);
}

/* ---- sweep ----------------------------------------------------------------------------------- */

/* A stretch of a table: what of it seemed dead when it was looked at. */
struct page {
	struct gc *gc;
	enum cairn_table table;
	cairn_id ids[DELETES_PER_TXN];
	size_t n, n_looks;
	cairn_id last;
	bool has_last, is_end;
	cairn_gc_count dead;
};

static cairn_gc_count *live_count(const struct page *page)
{
	cairn_gc_report *report = page->gc->report;

	return page->table == CAIRN_TABLE_ARTIFACT ? &report->live_artifacts
	       : page->table == CAIRN_TABLE_BLOB   ? &report->live_blobs
						   : &report->live_chunks;
}

static cairn_gc_count *dead_count(const struct page *page)
{
	cairn_gc_report *report = page->gc->report;

	return page->table == CAIRN_TABLE_ARTIFACT ? &report->dead_artifacts
	       : page->table == CAIRN_TABLE_BLOB   ? &report->dead_blobs
						   : &report->dead_chunks;
}

static void add(cairn_gc_count *count, uint64_t bytes)
{
	count->n++;
	count->bytes += bytes;
}

static int bytes_of(const struct page *page, const cairn_id *id, const void *value, size_t len,
	uint64_t *out, cairn_error *err)
{
	cairn_place place;
	int rc = 0;

	*out = len;
	if (page->table == CAIRN_TABLE_CHUNK &&
		!(rc = cairn_catalog__read_place(id, value, len, &place, err)))
		*out = cairn_reclaim__bytes(&place);
	return rc;
}

/* Is it dead by what is known now? Adds it to the counts of what stays otherwise. */
static int judge(struct page *page, const cairn_id *id, const void *value, size_t len,
	bool may_count, bool *is_dead, cairn_error *err)
{
	uint64_t stamp, bytes;
	int rc = cairn_catalog__stamp(page->table, id, value, len, &stamp, err);

	if (rc || (rc = bytes_of(page, id, value, len, &bytes, err)))
		return rc;
	*is_dead = false;
	if (cairn_marks__lives(&page->gc->marks, page->table, id)) {
		if (may_count)
			add(live_count(page), bytes);
	} else if (stamp >= page->gc->threshold) {
		if (may_count)
			add(&page->gc->report->held, bytes);
	} else {
		*is_dead = true;
		add(&page->dead, bytes);
	}
	return 0;
}

static int look(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	struct page *page = arg;
	bool is_dead;
	cairn_id id;

	(void)err;
	if (key_len != sizeof(id))
		return 0;
	memcpy(&id, key, sizeof(id));
	if (page->has_last && cairn_id_compare(&id, &page->last) == 0)
		return 0;
	if (page->n == DELETES_PER_TXN || page->n_looks == LOOKS_PER_TXN) {
		page->is_end = false;
		return 1;
	}
	/* A damaged value is for fsck to judge; nothing is known of its stamp. */
	if (judge(page, &id, value, value_len, true, &is_dead, NULL) == 0 && is_dead)
		page->ids[page->n++] = id;
	page->n_looks++;
	page->last = id;
	page->has_last = true;
	return 0;
}

static int look_on(struct page *page, cairn_error *err)
{
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, page->gc->store->index, false, err);

	if (rc)
		return rc;
	page->n = page->n_looks = 0;
	page->is_end = true;
	page->dead = (cairn_gc_count){0};
	rc = cairn_index__scan_from(txn, page->table, page->has_last ? page->last.bytes : NULL,
		page->has_last ? sizeof(page->last) : 0, look, page, err);
	cairn_index__abort(txn);
	return rc;
}

/* What seemed dead is looked at again, with all that became true meanwhile. */
static int delete_page(cairn_txn *txn, void *arg, cairn_error *err)
{
	struct page *page = arg;
	int rc = check_epoch(page->gc, txn, err);

	page->dead = (cairn_gc_count){0};
	if (!rc)
		rc = mark_recent(page->gc, txn, err);
	for (size_t i = 0; i < page->n && !rc; i++) {
		const cairn_id *id = &page->ids[i];
		const void *value;
		bool is_dead;
		size_t len;

		rc = cairn_index__get(
			txn, page->table, id->bytes, sizeof(id->bytes), &value, &len, err);
		if (!rc)
			rc = judge(page, id, value, len, false, &is_dead, err);
		if (!rc && is_dead)
			rc = cairn_catalog__delete(
				txn, page->table, id->bytes, sizeof(id->bytes), err);
	}
	return rc;
}

static int sweep(struct gc *gc, enum cairn_table table, cairn_error *err)
{
	struct page *page = cairn_alloc(1, sizeof(*page));
	int rc = page ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "out of memory");

	if (!page)
		return rc;
	page->gc = gc;
	page->table = table;
	do {
		if ((rc = look_on(page, err)))
			break;
		if (page->n && !gc->is_dry_run) {
			cairn_store__step("gc delete");
			rc = cairn_index__write(gc->store->index, delete_page, page, err);
		}
		if (!rc) {
			dead_count(page)->n += page->dead.n;
			dead_count(page)->bytes += page->dead.bytes;
		}
	} while (!rc && !page->is_end);
	free(page);
	return rc;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

int cairn_gc__lock(cairn_store *store, int *out, cairn_error *err)
{
	int fd = openat(store->directory_fd, "gc.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		return cairn_disk__fail(
			err, errno, store->path, "cannot open '%s/gc.lock'", store->path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*out = fd;
		return 0;
	}
	close(fd);
	cairn_error_set(err, CAIRN_EBUSY, "another collection is at work in '%s'", store->path);
	cairn_error_hint(err, "Wait for its end: there is no need for two.");
	return CAIRN_EBUSY;
}

static int collect(struct gc *gc, const cairn_gc_options *options, cairn_error *err)
{
	static const enum cairn_table order[] = {
		CAIRN_TABLE_ARTIFACT, CAIRN_TABLE_BLOB, CAIRN_TABLE_CHUNK};
	int rc = mark_roots(gc, options, err);

	cairn_store__step("gc marked");
	for (size_t i = 0; i < CAIRN_COUNT(order) && !rc; i++) {
		rc = sweep(gc, order[i], err);
		cairn_store__step("gc swept");
	}
	return rc;
}

static bool will_live(void *arg, const cairn_id *id, uint64_t stamp)
{
	const struct gc *gc = arg;

	return stamp >= gc->threshold || cairn_marks__lives(&gc->marks, CAIRN_TABLE_CHUNK, id);
}

static int collect_for_good(struct gc *gc, const cairn_gc_options *options, cairn_error *err)
{
	cairn_index *index = gc->store->index;
	int rc = cairn_index__write(index, raise_epoch, gc, err), rc_end;

	if (rc)
		return rc;
	cairn_lease__held(gc->store);
	cairn_store__step("gc raised");
	rc = collect(gc, options, err);
	rc_end = cairn_index__write(index, end_epoch, gc, rc ? NULL : err);
	gc->store->lease.kind = "write";
	if (rc || rc_end)
		return rc ? rc : rc_end;
	cairn_store__step("gc ended");
	return cairn_reclaim__segments(gc->store, gc->report, err);
}

int cairn_store_gc(cairn_store *store, const cairn_gc_options *options, cairn_gc_report *report,
	cairn_error *err)
{
	struct gc gc = {.store = store, .report = report, .is_dry_run = options->is_dry_run};
	int lock = -1, rc;

	*report = (cairn_gc_report){0};
	if (options->is_dry_run) {
		rc = foresee(&gc, err);
		if (!rc)
			rc = collect(&gc, options, err);
		if (!rc)
			rc = cairn_reclaim__foresee(store, will_live, &gc, report, err);
	} else {
		rc = cairn_gc__lock(store, &lock, err);
		if (!rc)
			rc = collect_for_good(&gc, options, err);
	}
	if (lock >= 0)
		close(lock);
	cairn_marks__free(&gc.marks);
	free(gc.roots);
	return rc;
}
