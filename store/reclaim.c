/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reclaim.c - giving the bytes of segments back to the disk.
 *
 * A segment that no chunk of the index lies in is unlinked: an orphan that a crash left, or one
 * that a collection emptied. One of which less than half is used has its chunks copied to a segment
 * of ours, synced, then moved in the index, and is unlinked then. Who has it open reads on; who
 * looked up a place in it looks again (object.c).
 *
 * Whoever writes a segment holds a lock on it, until all that is in it has been published
 * (segment.c). Nobody writes to a segment that was made by another: where the lock is free, no
 * chunk will come to lie in it that the index does not know by then. So the lock comes first, and
 * is kept while the index is read and the file unlinked.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "cairn/gc.h"
#include "store/internal.h"

enum {
	FILES_AT_ONCE = 256, /* file descriptors */
	MOVES_PER_TXN = 1000,
	MOVE_BYTES = 256 << 20, /* copied between two syncs */
};

struct file {
	uint32_t number;
	int fd; /* -1: somebody writes it */
	uint64_t size, live;
	bool has_damage;
};

struct survey {
	cairn_store *store;
	int directory;
	struct file *files;
	size_t n_files, cap_files;
	/* The group being worked on. */
	struct file *group;
	size_t n_group;
	cairn_lives_fn lives; /* NULL: all that the index has */
	void *lives_arg;
	cairn_gc_report *report;
};

uint64_t cairn_reclaim__bytes(const cairn_place *place)
{
	uint64_t blocks = ((uint64_t)place->stored_len + CAIRN_BLOCK_BYTES - 1) / CAIRN_BLOCK_BYTES;

	return (blocks + 1) * CAIRN_BLOCK_BYTES;
}

/* ---- the files ------------------------------------------------------------------------------- */

static bool parse_name(const char *name, uint32_t *number)
{
	uint8_t be[4];
	char digits[9];

	if (strlen(name) != 12 || strcmp(name + 8, ".seg") != 0)
		return false;
	memcpy(digits, name, 8);
	digits[8] = '\0';
	if (cairn_hex_decode(digits, be, sizeof(be)) != 0)
		return false;
	*number = (uint32_t)be[0] << 24 | (uint32_t)be[1] << 16 | (uint32_t)be[2] << 8 | be[3];
	return true;
}

static int add_file(struct survey *survey, uint32_t number, uint64_t size, cairn_error *err)
{
	if (survey->n_files == survey->cap_files) {
		size_t cap = survey->cap_files ? survey->cap_files * 2 : 64;
		struct file *grown = cairn_realloc(survey->files, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		survey->files = grown;
		survey->cap_files = cap;
	}
	survey->files[survey->n_files++] = (struct file){.number = number, .fd = -1, .size = size};
	survey->report->segment_bytes_before += size;
	survey->report->n_segments++;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static int list_files(struct survey *survey, cairn_error *err)
{
	const char *path = survey->store->path;
	int fd = openat(survey->store->directory_fd, "seg", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *found;
	int rc = 0;

	if (!stream) {
		rc = cairn_disk__fail(err, errno, path, "cannot read '%s/seg'", path);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (!rc && (found = readdir(stream))) {
		struct stat st;
		uint32_t number;

		if (!parse_name(found->d_name, &number))
			continue;
		if (fstatat(dirfd(stream), found->d_name, &st, 0) == 0)
			rc = add_file(survey, number, (uint64_t)st.st_size, err);
		else if (errno != ENOENT)
			rc = cairn_disk__fail(err, errno, path, "cannot examine '%s/seg/%s'", path,
				found->d_name);
	}
	closedir(stream);
	if (survey->n_files)
		qsort(survey->files, survey->n_files, sizeof(*survey->files), by_number);
	return rc;
}

/* Opens and locks; fd stays -1 where it is in use or gone. */
static int lock_file(struct survey *survey, struct file *file, cairn_error *err)
{
	const char *path = survey->store->path;
	char name[32];
	struct stat st;
	int rc = 0;

	snprintf(name, sizeof(name), "seg/%08x.seg", file->number);
	file->fd = openat(survey->store->directory_fd, name, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0)
		return errno == ENOENT ? 0
				       : cairn_disk__fail(err, errno, path, "cannot open '%s/%s'",
						 path, name);
	if (flock(file->fd, LOCK_EX | LOCK_NB) == 0 && fstat(file->fd, &st) == 0) {
		file->size = (uint64_t)st.st_size;
		return 0;
	}
	if (errno != EWOULDBLOCK)
		rc = cairn_disk__fail(err, errno, path, "cannot lock '%s/%s'", path, name);
	close(file->fd);
	file->fd = -1;
	survey->report->segments_in_use.n++;
	survey->report->segments_in_use.bytes += file->size;
	return rc;
}

static int unlink_file(struct survey *survey, const struct file *file, cairn_gc_count *count,
	uint64_t freed, cairn_error *err)
{
	char name[32];

	snprintf(name, sizeof(name), "seg/%08x.seg", file->number);
	cairn_store__step("reclaim unlink");
	if (unlinkat(survey->store->directory_fd, name, 0) != 0 && errno != ENOENT)
		return cairn_disk__fail(err, errno, survey->store->path, "cannot remove '%s/%s'",
			survey->store->path, name);
	count->n++;
	count->bytes += freed;
	return 0;
}

/* ---- what lies in them ------------------------------------------------------------------------
 */

static struct file *find_file(const struct survey *survey, uint32_t number)
{
	const struct file wanted = {.number = number};

	return bsearch(&wanted, survey->group, survey->n_group, sizeof(wanted), by_number);
}

static int read_entry(const void *key, size_t key_len, const void *value, size_t value_len,
	cairn_id *id, cairn_place *place, uint64_t *stamp, cairn_error *err)
{
	int rc;

	if (key_len != sizeof(*id))
		return cairn_error_set(
			err, CAIRN_EINTEGRITY, "a key of table 'chunk' is no digest");
	memcpy(id, key, sizeof(*id));
	rc = cairn_catalog__read_place(id, value, value_len, place, err);
	return rc ? rc : cairn_catalog__stamp(CAIRN_TABLE_CHUNK, id, value, value_len, stamp, err);
}

static int count_live(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct survey *survey = arg;
	struct file *file;
	cairn_place place;
	uint64_t stamp;
	cairn_id id;
	/* A damaged entry may lie anywhere: nothing is removed before fsck has seen to it. */
	int rc = read_entry(key, key_len, value, value_len, &id, &place, &stamp, err);

	if (rc)
		return rc;
	file = find_file(survey, place.segment);
	if (file && survey->lives && !survey->lives(survey->lives_arg, &id, stamp))
		file = NULL;
	if (file) {
		file->live += cairn_reclaim__bytes(&place);
		survey->report->segment_bytes_live += cairn_reclaim__bytes(&place);
	}
	return 0;
}

static int scan_chunks(struct survey *survey, cairn_scan_fn fn, void *arg, cairn_error *err)
{
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, survey->store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_index__scan(txn, CAIRN_TABLE_CHUNK, NULL, 0, false, fn, arg, err);
	cairn_index__abort(txn);
	return rc;
}

static bool is_sparse(const struct file *file)
{
	return file->live && file->live * 2 < file->size;
}

/* ---- moving chunks -----------------------------------------------------------------------------
 */

struct move {
	cairn_id id;
	cairn_place from, to;
	bool is_copied;
};

struct moves {
	struct survey *survey;
	struct move *items;
	size_t n, cap;
	size_t first, end; /* those of this transaction */
};

static int take_move(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct moves *moves = arg;
	struct move move = {.is_copied = false};
	const struct file *file;
	uint64_t stamp;
	int rc = read_entry(key, key_len, value, value_len, &move.id, &move.from, &stamp, err);

	if (rc)
		return rc;
	file = find_file(moves->survey, move.from.segment);
	if (!file || file->fd < 0 || !is_sparse(file))
		return 0;
	if (moves->n == moves->cap) {
		size_t cap = moves->cap ? moves->cap * 2 : 256;
		struct move *grown = cairn_realloc(moves->items, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		moves->items = grown;
		moves->cap = cap;
	}
	moves->items[moves->n++] = move;
	return 0;
}

/* As they lie on the disk. */
static int by_place(const void *a, const void *b)
{
	const cairn_place *x = &((const struct move *)a)->from;
	const cairn_place *y = &((const struct move *)b)->from;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Only right bytes are copied: a segment with wrong ones stays as it is, for fsck. */
static int copy_chunk(struct survey *survey, struct move *move, cairn_segment_reader *reader,
	uint8_t *buffer, cairn_error *err)
{
	cairn_segments *segments = survey->store->segments;
	cairn_error why = {0};
	cairn_id found;
	int rc = cairn_segments__read(segments, reader, &move->from, buffer, &why);

	if (!rc) {
		cairn_sha256(buffer, move->from.raw_len, found.bytes);
		if (cairn_id_compare(&found, &move->id) != 0)
			rc = CAIRN_EINTEGRITY;
	}
	if (rc == CAIRN_EINTEGRITY) {
		find_file(survey, move->from.segment)->has_damage = true;
		return 0;
	}
	if (rc) {
		if (err && !err->code)
			*err = why;
		return rc;
	}
	rc = cairn_segments__append(
		segments, &move->id, buffer, move->from.raw_len, &move->to, err);
	move->is_copied = rc == 0;
	return rc;
}

static int publish_moves(cairn_txn *txn, void *arg, cairn_error *err)
{
	const struct moves *moves = arg;
	int rc = 0;

	for (size_t i = moves->first; i < moves->end && !rc; i++) {
		const struct move *move = &moves->items[i];

		if (move->is_copied)
			rc = cairn_catalog__move_chunk(txn, &move->id, &move->from, &move->to, err);
	}
	return rc;
}

/* Copies from `first` on until it is enough for one transaction, and publishes. */
static int move_some(
	struct moves *moves, cairn_segment_reader *reader, uint8_t *buffer, cairn_error *err)
{
	cairn_store *store = moves->survey->store;
	uint64_t bytes = 0;
	int rc = 0;

	moves->end = moves->first;
	while (moves->end < moves->n && moves->end - moves->first < MOVES_PER_TXN &&
		bytes < MOVE_BYTES && !rc) {
		bytes += moves->items[moves->end].from.raw_len;
		rc = copy_chunk(moves->survey, &moves->items[moves->end++], reader, buffer, err);
	}
	if (!rc)
		rc = cairn_segments__sync(store->segments, err);
	if (rc)
		return rc;
	cairn_segments__keep(store->segments);
	cairn_store__step("reclaim copied");
	rc = cairn_index__write(store->index, publish_moves, moves, err);
	cairn_store__step("reclaim moved");
	moves->first = moves->end;
	return rc;
}

static int move_all(struct survey *survey, cairn_error *err)
{
	struct moves moves = {.survey = survey};
	cairn_segment_reader reader = {.fd = -1};
	uint8_t *buffer = NULL;
	int rc = scan_chunks(survey, take_move, &moves, err);

	if (!rc && moves.n) {
		qsort(moves.items, moves.n, sizeof(*moves.items), by_place);
		buffer = cairn_alloc(CAIRN_CHUNK_BYTES, 1);
		rc = buffer ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	}
	/* What is appended here must not be unlinked before it is published: as a batch. */
	survey->store->n_appending++;
	while (!rc && moves.first < moves.n)
		rc = move_some(&moves, &reader, buffer, err);
	if (--survey->store->n_appending == 0)
		cairn_segments__settle(survey->store->segments);
	cairn_segments__read_end(&reader);
	free(buffer);
	free(moves.items);
	return rc;
}

/* ---- a group of segments ------------------------------------------------------------------------
 */

static int remove_unused(struct survey *survey, cairn_error *err)
{
	cairn_gc_report *report = survey->report;
	bool has_sparse = false;
	int rc = 0;

	for (size_t i = 0; i < survey->n_group && !rc; i++) {
		struct file *file = &survey->group[i];

		has_sparse |= file->fd >= 0 && is_sparse(file);
		if (file->fd >= 0 && file->live == 0)
			rc = unlink_file(survey, file, &report->segments_removed, file->size, err);
	}
	if (rc || !has_sparse)
		return rc;
	rc = move_all(survey, err);
	for (size_t i = 0; i < survey->n_group && !rc; i++) {
		struct file *file = &survey->group[i];

		if (file->fd < 0 || !is_sparse(file))
			continue;
		if (file->has_damage) {
			report->segments_damaged.n++;
			report->segments_damaged.bytes += file->size;
		} else {
			rc = unlink_file(survey, file, &report->segments_rewritten,
				file->size - file->live, err);
		}
	}
	return rc;
}

static int work_on_group(struct survey *survey, cairn_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < survey->n_group && !rc; i++)
		rc = lock_file(survey, &survey->group[i], err);
	if (!rc)
		rc = scan_chunks(survey, count_live, survey, err);
	if (!rc)
		rc = remove_unused(survey, err);
	for (size_t i = 0; i < survey->n_group; i++) {
		if (survey->group[i].fd >= 0)
			close(survey->group[i].fd);
	}
	return rc;
}

int cairn_reclaim__segments(cairn_store *store, cairn_gc_report *report, cairn_error *err)
{
	struct survey survey = {.store = store, .report = report};
	int rc = list_files(&survey, err);

	for (size_t i = 0; i < survey.n_files && !rc; i += FILES_AT_ONCE) {
		survey.group = survey.files + i;
		survey.n_group =
			survey.n_files - i < FILES_AT_ONCE ? survey.n_files - i : FILES_AT_ONCE;
		rc = work_on_group(&survey, err);
	}
	report->segment_bytes_after = report->segment_bytes_before -
				      report->segments_removed.bytes -
				      report->segments_rewritten.bytes;
	free(survey.files);
	return rc;
}

int cairn_reclaim__foresee(cairn_store *store, cairn_lives_fn lives, void *arg,
	cairn_gc_report *report, cairn_error *err)
{
	struct survey survey = {.store = store, .report = report, .lives = lives, .lives_arg = arg};
	int rc = list_files(&survey, err);

	survey.group = survey.files;
	survey.n_group = survey.n_files;
	if (!rc)
		rc = scan_chunks(&survey, count_live, &survey, err);
	for (size_t i = 0; i < survey.n_files && !rc; i++) {
		struct file *file = &survey.files[i];
		cairn_gc_count *count =
			file->live ? &report->segments_rewritten : &report->segments_removed;

		rc = lock_file(&survey, file, err);
		if (file->fd < 0)
			continue;
		close(file->fd);
		if (file->live && !is_sparse(file))
			continue;
		count->n++;
		count->bytes += file->size - file->live;
	}
	report->segment_bytes_after = report->segment_bytes_before -
				      report->segments_removed.bytes -
				      report->segments_rewritten.bytes;
	free(survey.files);
	return rc;
}
