/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c - the bytes of large chunks: append-only files, written by one process each.
 *
 * FORMAT.md has the bytes. A segment is made when the first large chunk of this process comes,
 * and never touched by another one. Everything in it is a multiple of 4 KiB, so the file can be
 * written with O_DIRECT: past the page cache, which is the slowest part of the way to a fast
 * disk. Where a file system refuses O_DIRECT, the same writes go through the cache.
 *
 * Records are copied into a ring of staging buffers; while one is filled, two threads write the
 * others, so that the disk has the next request while it answers one. sync() hands over what is
 * left, waits, and calls fdatasync. A failed write closes the segment for good: later chunks go
 * to a new one, and whoever appended before the failure learns of it from
 * cairn_segments__failures.
 *
 * Reads like: batch.c, which must call sync before it names anything in the index.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/internal.h"

enum {
	STAGES = 4,
	STAGE_BYTES = 8 << 20,
	WRITERS = 2,
	PREFETCH_BYTES = 128 << 10,
	RESERVE_BYTES = 64 << 20, /* at first; then as much again as there is */
};

struct stage {
	uint8_t *bytes;
	size_t len;
	uint64_t at;
	enum {
		FREE, /* or being filled */
		FULL,
		WRITING
	} state; /* under the lock */
};

struct cairn_segments {
	cairn_store *store;
	int directory_fd;
	char *directory; /* for messages */

	/* The open segment; fd -1: none. */
	int fd;
	uint32_t number;
	uint64_t end;      /* where the next record goes */
	uint64_t reserved; /* the file's size, where it is ahead of that */
	bool is_dirty;     /* something was appended since the last sync */
	bool is_kept;      /* the index names bytes of it */
	uint64_t failures;
	int *held; /* full segments of batches that wait for their commit */
	size_t n_held;

	/* The ring: `fill` bytes are in stages[current], to be written at its `at`. */
	struct stage stages[STAGES];
	int current;
	size_t fill;

	/* What the writing threads have to do; under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t writers[WRITERS];
	int n_writers;
	bool is_closing;
	int next;  /* the stage to be written next, once it is FULL */
	int error; /* errno of the first write that failed */
};

static void segment_name(char out[16], uint32_t number)
{
	snprintf(out, 16, "%08x.seg", number);
}

static size_t padded(size_t len)
{
	return (len + CAIRN_BLOCK_BYTES - 1) / CAIRN_BLOCK_BYTES * CAIRN_BLOCK_BYTES;
}

/* ---- writing beside the caller ---------------------------------------------------- */

/* Writes everything; 0 or an errno value. */
static int write_all(int fd, const uint8_t *bytes, size_t len, uint64_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)at);
		int flags;

		if (n < 0 && errno == EINTR)
			continue;
		/* A file system that takes O_DIRECT at open may still refuse it here, or need a
		 * coarser alignment after a short write. */
		if (n < 0 && errno == EINVAL && (flags = fcntl(fd, F_GETFL)) >= 0 &&
			(flags & O_DIRECT)) {
			if (fcntl(fd, F_SETFL, flags & ~O_DIRECT) != 0)
				return errno;
			continue;
		}
		if (n < 0)
			return errno;
		if (n == 0)
			return ENOSPC;
		bytes += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

static void *write_behind(void *arg)
{
	cairn_segments *segments = arg;

	pthread_mutex_lock(&segments->lock);
	for (;;) {
		struct stage *stage = &segments->stages[segments->next];
		int rc;

		if (stage->state != FULL) {
			if (segments->is_closing)
				break;
			pthread_cond_wait(&segments->changed, &segments->lock);
			continue;
		}
		segments->next = (segments->next + 1) % STAGES;
		stage->state = WRITING;
		pthread_mutex_unlock(&segments->lock);
		rc = write_all(segments->fd, stage->bytes, stage->len, stage->at);
		pthread_mutex_lock(&segments->lock);
		if (rc && !segments->error)
			segments->error = rc;
		stage->state = FREE;
		pthread_cond_broadcast(&segments->changed);
	}
	pthread_mutex_unlock(&segments->lock);
	return NULL;
}

/* Waits until a stage was written. 0 or the errno value of the first failure. */
static int wait_for(cairn_segments *segments, int stage)
{
	int rc;

	pthread_mutex_lock(&segments->lock);
	while (segments->stages[stage].state != FREE)
		pthread_cond_wait(&segments->changed, &segments->lock);
	rc = segments->error;
	pthread_mutex_unlock(&segments->lock);
	return rc;
}

/* Waits for all writes under way. */
static int drain(cairn_segments *segments)
{
	int rc = 0;

	for (int i = 0; i < STAGES; i++)
		rc = wait_for(segments, i);
	return rc;
}

/* Makes the file larger than what is written to it: a file system lets only one write at a time
 * through that grows a file, and several that do not. Where it cannot, nothing is lost but that. */
static void reserve(cairn_segments *segments, uint64_t end)
{
	uint64_t more = end < RESERVE_BYTES ? RESERVE_BYTES : end;

	if (end <= segments->reserved || segments->n_writers == 0)
		return;
	if (end < CAIRN_SEGMENT_BYTES && more > CAIRN_SEGMENT_BYTES - end)
		more = CAIRN_SEGMENT_BYTES - end;
	if (fallocate(segments->fd, 0, 0, (off_t)(end + more)) == 0)
		segments->reserved = end + more;
}

/* 0 or an errno value. */
static int trim(cairn_segments *segments)
{
	if (segments->reserved <= segments->end)
		return 0;
	segments->reserved = 0;
	return ftruncate(segments->fd, (off_t)segments->end) == 0 ? 0 : errno;
}

/* Hands the staged bytes to a thread and goes on in the next stage. */
static int hand_over(cairn_segments *segments)
{
	struct stage *stage = &segments->stages[segments->current];
	int next = (segments->current + 1) % STAGES;
	int rc;

	if (segments->fill == 0)
		return 0;
	stage->len = segments->fill;
	if (stage->len == STAGE_BYTES)
		reserve(segments, stage->at + stage->len);
	if (segments->n_writers == 0) {
		rc = write_all(segments->fd, stage->bytes, stage->len, stage->at);
		segments->error = rc;
	} else {
		pthread_mutex_lock(&segments->lock);
		stage->state = FULL;
		pthread_cond_broadcast(&segments->changed);
		pthread_mutex_unlock(&segments->lock);
		rc = wait_for(segments, next);
	}
	segments->stages[next].at = stage->at + stage->len;
	segments->current = next;
	segments->fill = 0;
	return rc;
}

/* Appends to the stage: bytes, then zeros up to `len_with_zeros`. */
static int stage(cairn_segments *segments, const uint8_t *bytes, size_t len, size_t len_with_zeros)
{
	size_t done = 0;

	while (done < len_with_zeros) {
		uint8_t *to = segments->stages[segments->current].bytes + segments->fill;
		size_t room = STAGE_BYTES - segments->fill;
		size_t left = done < len ? len - done : len_with_zeros - done;
		size_t n = left < room ? left : room;
		int rc;

		if (done < len)
			memcpy(to, bytes + done, n);
		else
			memset(to, 0, n);
		done += n;
		segments->fill += n;
		if (segments->fill == STAGE_BYTES && (rc = hand_over(segments)))
			return rc;
	}
	return 0;
}

/* ---- segments --------------------------------------------------------------------- */

int cairn_segments__open(
	cairn_segments **out, cairn_store *store, const char *directory, cairn_error *err)
{
	cairn_segments *segments = cairn_alloc(1, sizeof(*segments));
	cairn_text path = {0};
	int rc = 0;

	cairn_text_printf(&path, "%s/seg", directory);
	if (!segments || path.failed) {
		free(segments);
		cairn_text_free(&path);
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	}
	segments->store = store;
	segments->directory = path.data;
	segments->fd = -1;
	pthread_mutex_init(&segments->lock, NULL);
	pthread_cond_init(&segments->changed, NULL);
	segments->directory_fd = open(segments->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (segments->directory_fd < 0) {
		rc = cairn_error_errno(err, errno == ENOENT ? CAIRN_EINTEGRITY : CAIRN_EIO, errno,
			"cannot open '%s'", segments->directory);
		cairn_segments__close(segments);
		return rc;
	}
	*out = segments;
	return 0;
}

void cairn_segments__settle(cairn_segments *segments)
{
	while (segments->n_held > 0)
		close(segments->held[--segments->n_held]);
	free(segments->held);
	segments->held = NULL;
}

/* Ends the open segment, which is full: it stays open, and so locked, for the batches that have
 * chunks in it. */
static int seal_segment(cairn_segments *segments, cairn_error *err)
{
	int *grown = cairn_realloc(segments->held, segments->n_held + 1, sizeof(*grown));

	if (!grown)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	segments->held = grown;
	segments->held[segments->n_held++] = segments->fd;
	segments->fd = -1;
	return 0;
}

/* Closes the open segment. One that nothing was ever published from is removed. */
static void drop_segment(cairn_segments *segments)
{
	char name[16];

	if (segments->fd < 0)
		return;
	(void)drain(segments);
	(void)trim(segments); /* of what was never synced nothing is named: a tail may stay */
	close(segments->fd);
	segments->fd = -1;
	if (!segments->is_kept) {
		segment_name(name, segments->number);
		(void)unlinkat(segments->directory_fd, name, 0);
	}
	segments->fill = 0;
	segments->is_dirty = false;
	segments->error = 0;
}

void cairn_segments__close(cairn_segments *segments)
{
	if (!segments)
		return;
	drop_segment(segments);
	pthread_mutex_lock(&segments->lock);
	segments->is_closing = true;
	pthread_cond_broadcast(&segments->changed);
	pthread_mutex_unlock(&segments->lock);
	for (int i = 0; i < segments->n_writers; i++)
		pthread_join(segments->writers[i], NULL);
	if (segments->directory_fd >= 0)
		close(segments->directory_fd);
	pthread_cond_destroy(&segments->changed);
	pthread_mutex_destroy(&segments->lock);
	for (int i = 0; i < STAGES; i++)
		free(segments->stages[i].bytes);
	free(segments->directory);
	free(segments);
}

/* A failed write: the segment is given up, and its number is counted as lost. */
static int give_up(cairn_segments *segments, int errno_value, cairn_error *err)
{
	int rc = cairn_disk__fail(err, errno_value, segments->directory,
		"cannot write segment '%s/%08x.seg'", segments->directory, segments->number);

	drop_segment(segments);
	segments->failures++;
	return rc;
}

/* The next number, taken for good: a crash skips it. */
static int take_number(cairn_txn *txn, void *arg, cairn_error *err)
{
	uint64_t *number = arg;
	int rc = cairn_catalog__number(txn, "next_seg", number, err);

	if (!rc && *number > UINT32_MAX)
		rc = cairn_error_set(err, CAIRN_ELIMIT, "the store has no segment numbers left");
	return rc ? rc : cairn_catalog__set_number(txn, "next_seg", *number + 1, err);
}

static int allocate_stage(cairn_segments *segments, cairn_error *err)
{
	for (int i = 0; i < STAGES; i++) {
		uint8_t **bytes = &segments->stages[i].bytes;

		if (!*bytes)
			*bytes = aligned_alloc(CAIRN_BLOCK_BYTES, STAGE_BYTES);
		if (!*bytes)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	}
	while (segments->n_writers < WRITERS &&
		cairn_pool__thread(&segments->writers[segments->n_writers], write_behind, segments))
		segments->n_writers++;
	return 0;
}

/* The lock says that somebody writes here, so that no collection takes the file for an orphan. One
 * may have done so since it was made: then the file is gone, or will be. 0; EEXIST: take another
 * number; else what is wrong. */
static int lock_file(int fd)
{
	struct stat st;

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EINTR)
			return errno == EWOULDBLOCK ? EEXIST : errno;
	}
	if (fstat(fd, &st) != 0)
		return errno;
	return st.st_nlink > 0 ? 0 : EEXIST;
}

/* An errno value; EEXIST: there is such a file, or a collection took it. */
static int create_numbered(cairn_segments *segments, const char *name)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
	int rc;

	segments->fd = openat(segments->directory_fd, name, flags | O_DIRECT, 0666);
	if (segments->fd < 0 && errno == EINVAL) {
		/* O_DIRECT refused; on some file systems after the file was made. */
		(void)unlinkat(segments->directory_fd, name, 0);
		segments->fd = openat(segments->directory_fd, name, flags, 0666);
	}
	if (segments->fd < 0)
		return errno;
	rc = lock_file(segments->fd);
	if (!rc)
		return 0;
	close(segments->fd);
	segments->fd = -1;
	(void)unlinkat(segments->directory_fd, name, 0);
	return rc;
}

/* Opens a file of a number that no file has. Numbers that the index has forgotten, because it
 * was restored from a backup, are passed over. */
static int create_file(cairn_segments *segments, cairn_error *err)
{
	uint64_t number;
	char name[16];
	int rc, failed;

	do {
		rc = cairn_index__write(segments->store->index, take_number, &number, err);
		if (rc)
			return rc;
		segments->number = (uint32_t)number;
		segment_name(name, segments->number);
		failed = create_numbered(segments, name);
	} while (failed == EEXIST);
	return failed ? cairn_disk__fail(err, failed, segments->directory, "cannot create '%s/%s'",
				segments->directory, name)
		      : 0;
}

/* Makes the file and stages its header. The name is durable before this returns. */
static int begin_segment(cairn_segments *segments, cairn_error *err)
{
	uint8_t head[CAIRN_BLOCK_BYTES];
	int rc = allocate_stage(segments, err);

	if (rc || (rc = create_file(segments, err)))
		return rc;
	segments->is_kept = false;
	segments->end = segments->stages[segments->current].at = 0;
	segments->reserved = 0;
	segments->fill = 0;
	segments->error = 0;
	if (fsync(segments->directory_fd) != 0)
		return give_up(segments, errno, err);
	cairn_header__segment(head, segments->number, segments->store->uuid);
	rc = stage(segments, head, sizeof(head), sizeof(head));
	if (rc)
		return give_up(segments, rc, err);
	segments->end = CAIRN_BLOCK_BYTES;
	return 0;
}

int cairn_segments__append(cairn_segments *segments, const cairn_id *id, const void *bytes,
	uint32_t len, cairn_place *out, cairn_error *err)
{
	uint8_t head[CAIRN_BLOCK_BYTES];
	cairn_place place;
	int rc;

	if (segments->fd >= 0 && segments->end >= CAIRN_SEGMENT_BYTES) {
		if ((rc = cairn_segments__sync(segments, err)))
			return rc;
		if ((rc = seal_segment(segments, err)))
			return rc;
	}
	if (segments->fd < 0 && (rc = begin_segment(segments, err)))
		return rc;
	place = (cairn_place){
		.segment = segments->number,
		.offset = segments->end,
		.raw_len = len,
		.stored_len = len,
		.codec = CAIRN_CODEC_RAW,
	};
	cairn_header__record(head, id, &place);
	segments->is_dirty = true;
	if ((rc = stage(segments, head, sizeof(head), sizeof(head))) ||
		(rc = stage(segments, bytes, len, padded(len))))
		return give_up(segments, rc, err);
	*out = place;
	segments->end += CAIRN_BLOCK_BYTES + padded(len);
	return 0;
}

int cairn_segments__sync(cairn_segments *segments, cairn_error *err)
{
	int rc;

	if (segments->fd < 0 || !segments->is_dirty)
		return 0;
	if ((rc = hand_over(segments)) || (rc = drain(segments)) || (rc = trim(segments)))
		return give_up(segments, rc, err);
	if (fdatasync(segments->fd) != 0)
		return give_up(segments, errno, err);
	segments->is_dirty = false;
	return 0;
}

void cairn_segments__keep(cairn_segments *segments)
{
	segments->is_kept = true;
}

uint64_t cairn_segments__failures(const cairn_segments *segments)
{
	return segments->failures;
}

/* ---- reading ---------------------------------------------------------------------- */

static int open_for_reading(
	cairn_segments *segments, cairn_segment_reader *reader, uint32_t number, cairn_error *err)
{
	char name[16];

	if (reader->fd >= 0 && reader->segment == number)
		return 0;
	cairn_segments__read_end(reader);
	segment_name(name, number);
	reader->fd = openat(segments->directory_fd, name, O_RDONLY | O_CLOEXEC);
	if (reader->fd < 0 && errno == ENOENT)
		return cairn_error_set(err, CAIRN_EINTEGRITY, "segment '%s/%s' is missing",
			segments->directory, name);
	if (reader->fd < 0)
		return cairn_error_errno(err, CAIRN_EIO, errno, "cannot open segment '%s/%s'",
			segments->directory, name);
	reader->segment = number;
	return 0;
}

/* Has the disk read all of it at once. Linux takes no more than its read-ahead from one such call.
 */
static void prefetch(int fd, off_t from, off_t len)
{
	for (off_t at = 0; at < len; at += PREFETCH_BYTES)
		(void)posix_fadvise(fd, from + at, PREFETCH_BYTES, POSIX_FADV_WILLNEED);
}

static int truncated(const cairn_segments *segments, uint32_t number, cairn_error *err)
{
	return cairn_error_set(err, CAIRN_EINTEGRITY, "segment '%s/%08x.seg' is truncated",
		segments->directory, number);
}

int cairn_segments__read(cairn_segments *segments, cairn_segment_reader *reader,
	const cairn_place *place, void *out, cairn_error *err)
{
	uint64_t at = place->offset + CAIRN_BLOCK_BYTES;
	uint8_t *to = out;
	size_t left = place->stored_len;
	int rc = open_for_reading(segments, reader, place->segment, err);

	if (!rc && left > PREFETCH_BYTES)
		prefetch(reader->fd, (off_t)at, (off_t)left);
	while (!rc && left > 0) {
		ssize_t n = pread(reader->fd, to, left, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cairn_error_errno(err, CAIRN_EIO, errno,
				"cannot read segment '%s/%08x.seg'", segments->directory,
				place->segment);
		if (n == 0)
			return truncated(segments, place->segment, err);
		to += n;
		at += (uint64_t)n;
		left -= (size_t)n;
	}
	return rc;
}

int cairn_segments__map(cairn_segments *segments, cairn_segment_reader *reader,
	const cairn_place *place, void *at, cairn_error *err)
{
	off_t from = (off_t)place->offset + CAIRN_BLOCK_BYTES;
	size_t len = padded(place->stored_len);
	struct stat st;
	int rc = open_for_reading(segments, reader, place->segment, err);

	if (rc)
		return rc;
	if (fstat(reader->fd, &st) != 0)
		return cairn_error_errno(err, CAIRN_EIO, errno,
			"cannot examine segment '%s/%08x.seg'", segments->directory,
			place->segment);
	/* To touch a page behind the end of a file is to be killed. */
	if (from + (off_t)place->stored_len > st.st_size)
		return truncated(segments, place->segment, err);
	if (mmap(at, len, PROT_READ, MAP_SHARED | MAP_FIXED, reader->fd, from) == MAP_FAILED)
		return 1;
	prefetch(reader->fd, from, (off_t)len);
	return 0;
}

void cairn_segments__read_end(cairn_segment_reader *reader)
{
	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = -1;
}
