/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rebuild.c - an index lost, and one made of what is left: of itself, of its backup, of the
 * segments.
 *
 *   1. nobody else may have the store open, and who comes meanwhile waits
 *   2. DIR/rebuild/new gets a new index; old/ and backup/ there are links to the present one and
 *      its backup, so that both can be read without their lock files
 *   3. all right values of the present one; then those of the backup, but only for tables that
 *      were not read from end to end: elsewhere, what the backup alone knows was deleted since
 *   4. chunks must lie where their entries say; segments are read forward for more of them
 *   5. data.mdb is linked to data.mdb.damaged, and the new one renamed over it
 *
 * A crash before the rename leaves all as it was, and a folder that the next rebuild removes.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "cairn/fsck.h"
#include "store/internal.h"

enum {
	SCAN_BATCH = 4096 /* chunks a transaction */
};

typedef struct rebuild {
	const char *directory;
	const cairn_fsck_observer *observer;
	int directory_fd;
	uint8_t uuid[CAIRN_UUID_BYTES];
	cairn_text from, to; /* directories with an index */
	cairn_index *index;  /* the new one */
	cairn_txn *txn;
	size_t n_in_txn;
	uint32_t *segments;
	size_t n_segments;
	uint64_t done, total; /* bytes of segments */
	cairn_rebuilt result;
} rebuild;

static int fail(const rebuild *r, const char *doing, const char *name, cairn_error *err)
{
	return cairn_disk__fail(
		err, errno, r->directory, "cannot %s '%s/%s'", doing, r->directory, name);
}

/* ---- the room to work in -------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st, (void)type, (void)walk;
	return remove(path);
}

static void remove_room(const rebuild *r)
{
	cairn_text path = {0};

	cairn_text_printf(&path, "%s/rebuild", r->directory);
	if (!path.failed)
		(void)nftw(path.data, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	cairn_text_free(&path);
}

/* Every opener holds the directory's lock shared (open.c). */
static int lock_out(const rebuild *r, cairn_error *err)
{
	if (flock(r->directory_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return fail(r, "lock", "", err);
	cairn_error_set(err, CAIRN_EBUSY, "the store '%s' is in use", r->directory);
	cairn_error_hint(err, "Its index can be made anew only while no other program has it open: "
			      "end those and try again.");
	return CAIRN_EBUSY;
}

static int make_room(rebuild *r, cairn_error *err)
{
	static const char *const names[] = {"meta", "rebuild", "rebuild/new", "rebuild/old",
		"rebuild/backup", "rebuild/new/meta", "rebuild/old/meta", "rebuild/backup/meta"};

	remove_room(r);
	for (size_t i = 0; i < CAIRN_COUNT(names); i++) {
		if (mkdirat(r->directory_fd, names[i], 0777) != 0 && errno != EEXIST)
			return fail(r, "create", names[i], err);
	}
	cairn_text_printf(&r->to, "%s/rebuild/new", r->directory);
	return r->to.failed ? cairn_error_set(err, CAIRN_ENOMEM, "out of memory") : 0;
}

/* ---- values --------------------------------------------------------------------------------- */

static int open_new(rebuild *r, bool create, cairn_error *err)
{
	return cairn_index__open(&r->index, r->to.data, create, false, CAIRN_MAP_BYTES, err);
}

static void close_new(rebuild *r)
{
	cairn_index__abort(r->txn);
	r->txn = NULL;
	cairn_index__close(r->index);
	r->index = NULL;
}

static int count_all(rebuild *r, uint64_t *out, cairn_error *err)
{
	uint64_t sum = 0, n = 0;
	cairn_txn *txn;
	int rc = open_new(r, false, err);

	if (!rc)
		rc = cairn_index__begin(&txn, r->index, false, err);
	if (rc) {
		close_new(r);
		return rc;
	}
	for (int table = 0; table < CAIRN_TABLES && !rc; table++) {
		rc = cairn_index__count(txn, (enum cairn_table)table, &n, err);
		sum += n;
	}
	cairn_index__abort(txn);
	close_new(r);
	*out = sum;
	return rc;
}

/* Is this an index of our store? One without a readable uuid may be. */
static int check_owner(const rebuild *r, cairn_error *err)
{
	const void *value;
	size_t len;
	cairn_txn *txn;
	cairn_index *index;
	int rc = cairn_index__open(&index, r->to.data, false, true, CAIRN_MAP_BYTES, err);

	if (rc)
		return rc;
	rc = cairn_index__begin(&txn, index, false, err);
	if (!rc) {
		rc = cairn_catalog__get(txn, CAIRN_TABLE_META, "uuid", 4, &value, &len, err);
		if (!rc && (len != CAIRN_UUID_BYTES || memcmp(value, r->uuid, len) != 0)) {
			rc = cairn_error_set(err, CAIRN_EINTEGRITY,
				"the index of the store '%s' belongs to another store",
				r->directory);
			cairn_error_hint(err, "Take it away, with its backup: the index is then "
					      "made of the segments alone.");
		} else if (rc == CAIRN_ENOTFOUND) {
			rc = 0;
		}
		cairn_index__abort(txn);
	}
	cairn_index__close(index);
	return rc;
}

/* Takes over what the index `name` in meta/ holds. */
static int take_over(rebuild *r, const char *name, const char *room, const bool *skip,
	cairn_salvage *found, uint64_t *n_taken, cairn_error *err)
{
	char from[48], to[48];
	uint64_t before, after = 0;
	int rc;

	snprintf(from, sizeof(from), "meta/%s", name);
	snprintf(to, sizeof(to), "rebuild/%s/meta/data.mdb", room);
	if (linkat(r->directory_fd, from, r->directory_fd, to, 0) != 0)
		return errno == ENOENT ? 0 : fail(r, "link", from, err);
	cairn_text_clear(&r->from);
	cairn_text_printf(&r->from, "%s/rebuild/%s", r->directory, room);
	if (r->from.failed)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	rc = count_all(r, &before, err);
	if (!rc)
		rc = cairn_salvage__copy(found, r->from.data, r->to.data, skip, err);
	if (!rc)
		rc = count_all(r, &after, err);
	if (!rc)
		rc = check_owner(r, err);
	*n_taken = after - before;
	return rc;
}

static int take_over_all(rebuild *r, cairn_error *err)
{
	cairn_salvage now = {0}, then = {0};
	struct stat st;
	int rc = take_over(r, "data.mdb", "old", NULL, &now, &r->result.n_salvaged, err);

	if (rc)
		return rc;
	r->result.has_index = now.is_open;
	rc = take_over(
		r, "backup.mdb", "backup", now.is_whole, &then, &r->result.n_from_backup, err);
	r->result.has_backup = then.is_open;
	if (then.is_open && fstatat(r->directory_fd, "meta/backup.mdb", &st, 0) == 0)
		r->result.backup_ms =
			(int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	return rc;
}

/* ---- chunks --------------------------------------------------------------------------------- */

static int ensure_txn(rebuild *r, cairn_error *err)
{
	cairn_txn *txn = r->txn;
	int rc;

	if (txn && r->n_in_txn < SCAN_BATCH)
		return 0;
	r->txn = NULL;
	r->n_in_txn = 0;
	rc = txn ? cairn_index__commit(txn, err) : 0;
	cairn_index__tend(r->index);
	return rc ? rc : cairn_index__begin(&r->txn, r->index, true, err);
}

/* 0 and *out: are these the chunk's bytes? */
static int verify(cairn_scrub *scrub, const cairn_id *id, const cairn_place *place, uint8_t *buffer,
	bool *out, cairn_error *err)
{
	size_t len = cairn_scrub__padded(place->stored_len);
	cairn_id found;
	int rc = cairn_scrub__read(scrub, place->offset + CAIRN_BLOCK_BYTES, buffer, len, err);

	if (rc)
		return rc;
	cairn_sha256(buffer, place->stored_len, found.bytes);
	*out = cairn_id_compare(&found, id) == 0;
	return 0;
}

/* A record that was met in a segment: the index may know its chunk, there or elsewhere. */
static int meet(rebuild *r, cairn_scrub *scrub, const cairn_id *id, const cairn_place *place,
	uint8_t *buffer, cairn_error *err)
{
	cairn_error why = {0};
	cairn_place known;
	bool is_right = false;
	int rc = ensure_txn(r, err);

	if (rc)
		return rc;
	rc = cairn_catalog__get_chunk(r->txn, id, &known, NULL);
	if (rc == 0)
		return 0;
	rc = verify(scrub, id, place, buffer, &is_right, &why);
	if (rc == CAIRN_EINTEGRITY || (!rc && !is_right))
		return 0; /* the end that a crash left, or damage */
	if (rc) {
		if (err)
			*err = why;
		return rc;
	}
	r->n_in_txn++;
	r->result.n_scanned++;
	return cairn_catalog__put_chunk(r->txn, id, place, 0, err);
}

static bool is_record(const uint8_t *block, const cairn_scrub *scrub, uint64_t offset, cairn_id *id,
	cairn_place *place)
{
	return cairn_header__read_record(block, id, place) && place->segment == scrub->segment &&
	       place->offset == offset && place->codec == CAIRN_CODEC_RAW &&
	       place->raw_len > CAIRN_INLINE_BYTES && place->raw_len <= CAIRN_CHUNK_BYTES &&
	       place->stored_len == place->raw_len;
}

/* From record to record; where a header is damaged, block by block to the next one. */
static int scan_segment(rebuild *r, cairn_scrub *scrub, uint8_t *buffer, cairn_error *err)
{
	uint64_t at = CAIRN_BLOCK_BYTES;
	int rc = 0;

	while (!rc && at + CAIRN_BLOCK_BYTES <= scrub->bytes) {
		cairn_error why = {0};
		cairn_place place;
		cairn_id id;

		rc = cairn_scrub__read(scrub, at, buffer, CAIRN_BLOCK_BYTES, &why);
		if (rc == CAIRN_EINTEGRITY) {
			rc = 0; /* a block that the disk cannot read */
			at += CAIRN_BLOCK_BYTES;
			continue;
		}
		if (rc && err)
			*err = why;
		if (!rc && is_record(buffer, scrub, at, &id, &place)) {
			rc = meet(r, scrub, &id, &place, buffer, err);
			at += cairn_scrub__padded(place.stored_len);
		}
		at += CAIRN_BLOCK_BYTES;
	}
	return rc;
}

static void tell(const rebuild *r)
{
	if (r->observer && r->observer->progress)
		r->observer->progress(r->observer->arg, "segments", r->done, r->total);
}

static int scan_segments(rebuild *r, cairn_error *err)
{
	cairn_scrub scrub = {.directory = r->directory, .fd = -1};
	uint8_t *buffer = aligned_alloc(CAIRN_BLOCK_BYTES, CAIRN_RECORD_BYTES);
	int rc = buffer ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "out of memory");

	for (size_t i = 0; i < r->n_segments && !rc; i++) {
		rc = cairn_scrub__open(&scrub, r->segments[i], err);
		r->total += rc ? 0 : scrub.bytes;
	}
	for (size_t i = 0; i < r->n_segments && !rc; i++) {
		tell(r);
		rc = cairn_scrub__open(&scrub, r->segments[i], err);
		if (!rc)
			rc = scan_segment(r, &scrub, buffer, err);
		r->done += scrub.bytes;
	}
	tell(r);
	cairn_scrub__close(&scrub);
	free(buffer);
	return rc;
}

/* An entry of another time can name a place that a collection has given up since. */
struct stale {
	rebuild *r;
	cairn_scrub scrub;
	uint8_t *buffer;
	cairn_id *ids;
	size_t n, cap;
};

static int check_place(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct stale *s = arg;
	cairn_place place, found;
	bool is_right = false;
	cairn_id id, met;
	int rc;

	(void)value, (void)value_len;
	if (key_len != sizeof(id.bytes))
		return 0;
	memcpy(id.bytes, key, key_len);
	if (cairn_catalog__get_chunk(s->r->txn, &id, &place, NULL) != 0)
		return 0;
	rc = cairn_scrub__open(&s->scrub, place.segment, NULL);
	if (!rc && !cairn_scrub__fits(&s->scrub, &place))
		rc = CAIRN_EINTEGRITY;
	if (!rc)
		rc = cairn_scrub__read(&s->scrub, place.offset, s->buffer, CAIRN_BLOCK_BYTES, NULL);
	if (!rc && is_record(s->buffer, &s->scrub, place.offset, &met, &found) &&
		cairn_id_compare(&met, &id) == 0)
		return 0;
	/* Without its header, the chunk itself may be right. */
	if (!rc)
		rc = verify(&s->scrub, &id, &place, s->buffer, &is_right, NULL);
	if (!rc && is_right)
		return 0;
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		cairn_id *grown = cairn_realloc(s->ids, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		s->ids = grown;
		s->cap = cap;
	}
	s->ids[s->n++] = id;
	return 0;
}

static int drop_stale(rebuild *r, cairn_error *err)
{
	struct stale s = {.r = r, .scrub = {.directory = r->directory, .fd = -1}};
	int rc;

	s.buffer = aligned_alloc(CAIRN_BLOCK_BYTES, CAIRN_RECORD_BYTES);
	if (!s.buffer)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	rc = ensure_txn(r, err);
	if (!rc)
		rc = cairn_index__scan(
			r->txn, CAIRN_TABLE_CHUNK, NULL, 0, false, check_place, &s, err);
	for (size_t i = 0; i < s.n && !rc; i++)
		rc = cairn_index__delete(
			r->txn, CAIRN_TABLE_CHUNK, s.ids[i].bytes, sizeof(s.ids[i].bytes), err);
	r->result.n_dropped = s.n;
	cairn_scrub__close(&s.scrub);
	free(s.buffer);
	free(s.ids);
	return rc;
}

/* ---- the end -------------------------------------------------------------------------------- */

static int settle_numbers(rebuild *r, cairn_error *err)
{
	uint64_t next = 0, least = r->n_segments ? r->segments[r->n_segments - 1] + 1ull : 0;
	int rc = ensure_txn(r, err);

	if (!rc)
		rc = cairn_catalog__number(r->txn, "next_seg", &next, err);
	if (!rc && next < least)
		rc = cairn_catalog__set_number(r->txn, "next_seg", least, err);
	if (!rc)
		rc = cairn_catalog__put(
			r->txn, CAIRN_TABLE_META, "uuid", 4, r->uuid, sizeof(r->uuid), err);
	return rc;
}

static int fill(rebuild *r, cairn_error *err)
{
	cairn_txn *txn;
	int rc = open_new(r, false, err);

	if (!rc)
		rc = drop_stale(r, err);
	if (!rc)
		rc = scan_segments(r, err);
	if (!rc)
		rc = settle_numbers(r, err);
	txn = r->txn;
	r->txn = NULL;
	if (rc)
		cairn_index__abort(txn);
	else
		rc = cairn_index__commit(txn, err);
	close_new(r);
	return rc;
}

static int swap(rebuild *r, cairn_error *err)
{
	int fd = r->directory_fd;

	/* Its readers and last transaction are those of the old one. */
	(void)unlinkat(fd, "meta/lock.mdb", 0);
	(void)unlinkat(fd, "meta/data.mdb.damaged", 0);
	if (linkat(fd, "meta/data.mdb", fd, "meta/data.mdb.damaged", 0) != 0 && errno != ENOENT)
		return fail(r, "link", "meta/data.mdb", err);
	if (renameat(fd, "rebuild/new/meta/data.mdb", fd, "meta/data.mdb") != 0)
		return fail(r, "replace", "meta/data.mdb", err);
	errno = cairn_disk__sync_directory(fd, "meta");
	return errno ? fail(r, "sync", "meta", err) : 0;
}

static int make(rebuild *r, cairn_error *err)
{
	int rc = make_room(r, err);

	if (!rc)
		rc = open_new(r, true, err);
	if (rc)
		return rc;
	close_new(r); /* children write to it first */
	rc = take_over_all(r, err);
	if (!rc)
		rc = fill(r, err);
	return rc ? rc : swap(r, err);
}

int cairn_store_exists(const char *directory, cairn_error *err)
{
	uint8_t uuid[CAIRN_UUID_BYTES];

	return cairn_store__uuid(uuid, directory, err);
}

int cairn_store_rebuild(cairn_rebuilt *out, const char *directory,
	const cairn_fsck_observer *observer, cairn_error *err)
{
	rebuild r = {.directory = directory, .observer = observer, .directory_fd = -1};
	int rc = cairn_store__uuid(r.uuid, directory, err);

	if (rc)
		return rc;
	r.directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.directory_fd < 0)
		rc = fail(&r, "open", "", err);
	if (!rc)
		rc = cairn_scrub__list(&r.segments, &r.n_segments, directory, err);
	if (!rc)
		rc = lock_out(&r, err);
	if (!rc) {
		rc = make(&r, err);
		remove_room(&r);
	}
	if (!rc)
		*out = r.result;
	if (r.directory_fd >= 0)
		close(r.directory_fd);
	cairn_text_free(&r.from);
	cairn_text_free(&r.to);
	free(r.segments);
	return rc;
}
