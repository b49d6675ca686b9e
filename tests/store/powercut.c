/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts, simulated: what a disk may hold after one.
 *
 * This program stands between the store (and LMDB) and the C library: it records every write,
 * every sync and every acknowledged commit. A power cut at some point of that record leaves of
 * each file all that was synced before the point, and of what was written since, any subset of
 * 4 KiB blocks; of a new file whose directory was not synced, perhaps nothing. Such disks are
 * made by the hundred, opened, and must hold every acknowledged commit, whole.
 *
 * That the simulation can find something is shown by the last tests: with syncs left out of
 * the record, it must.
 */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "store/internal.h"

enum {
	BLOCK = 4096,
	MAX_EVENTS = 20000,
	MAX_FILES = 16,
	COMMITS = 8,
	N = 3,
	LEN = 90 << 10
};

enum event_type {
	WROTE,
	SYNCED,
	LISTED,
	ACKED
};

typedef struct event {
	enum event_type type;
	int file; /* WROTE, SYNCED: which; LISTED: files known then (a bit each) */
	uint64_t at;
	size_t len;
	uint8_t *bytes;
	bool is_synced; /* by O_DSYNC: the write itself is durable */
} event;

static struct {
	pthread_mutex_t lock;
	bool is_on;
	char directory[600];
	struct {
		char path[600]; /* relative */
		ino_t inode;
	} files[MAX_FILES];
	int n_files;
	event events[MAX_EVENTS];
	size_t n_events;
} tape = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- recording ---------------------------------------------------------------------------- */

static event *add_event(enum event_type type)
{
	event *e = &tape.events[tape.n_events++];

	CAIRN_ASSERT(tape.n_events < MAX_EVENTS);
	e->type = type;
	return e;
}

/* The number of the file behind fd; -1 where it is none of the store's. */
static int file_of(int fd)
{
	char link[64], path[1024];
	struct stat st;
	ssize_t len;
	size_t prefix = strlen(tape.directory);

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return -1;
	for (int i = 0; i < tape.n_files; i++) {
		if (tape.files[i].inode == st.st_ino)
			return i;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len <= 0)
		return -1;
	path[len] = 0;
	if (strncmp(path, tape.directory, prefix) != 0 || strstr(path, "lock.mdb"))
		return -1;
	CAIRN_ASSERT(tape.n_files < MAX_FILES);
	tape.files[tape.n_files].inode = st.st_ino;
	snprintf(
		tape.files[tape.n_files].path, sizeof(tape.files[0].path), "%s", path + prefix + 1);
	return tape.n_files++;
}

static void record_write(int fd, const void *bytes, size_t len, uint64_t at)
{
	int flags = fcntl(fd, F_GETFL), file;

	pthread_mutex_lock(&tape.lock);
	file = tape.is_on ? file_of(fd) : -1;
	if (file >= 0) {
		event *e = add_event(WROTE);

		e->file = file;
		e->at = at;
		e->len = len;
		e->bytes = malloc(len);
		CAIRN_ASSERT(e->bytes);
		memcpy(e->bytes, bytes, len);
		e->is_synced = (flags & O_DSYNC) != 0;
	}
	pthread_mutex_unlock(&tape.lock);
}

static void record_sync(int fd)
{
	struct stat st;
	int file;

	pthread_mutex_lock(&tape.lock);
	if (tape.is_on && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		/* Names that exist now are durable; a file is known from its first write. */
		int seg = openat(fd, ".", O_RDONLY | O_DIRECTORY);
		DIR *stream = fdopendir(seg);
		const struct dirent *found;

		while (stream && (found = readdir(stream))) {
			event *e = add_event(LISTED);

			e->bytes = (uint8_t *)strdup(found->d_name);
		}
		closedir(stream);
	} else if (tape.is_on && (file = file_of(fd)) >= 0) {
		add_event(SYNCED)->file = file;
	}
	pthread_mutex_unlock(&tape.lock);
}

/* These take the place of the C library's, for LMDB too. With 64-bit file offsets the C name
 * pwrite is the symbol pwrite64; LMDB is built without and uses the plain symbol. */
CAIRN_EXPORT ssize_t plain_pwrite(int fd, const void *bytes, size_t len, off_t at) __asm__(
	"pwrite");
CAIRN_EXPORT ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at);
CAIRN_EXPORT ssize_t writev(int fd, const struct iovec *parts, int n);
CAIRN_EXPORT int fdatasync(int fd);
CAIRN_EXPORT int fsync(int fd);

/* Set: pwrite refuses files with O_DIRECT, as some file systems do. */
static bool no_direct_writes;

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	ssize_t n;

	if (no_direct_writes && (fcntl(fd, F_GETFL) & O_DIRECT)) {
		errno = EINVAL;
		return -1;
	}
	n = syscall(SYS_pwrite64, fd, bytes, len, at);
	if (n > 0)
		record_write(fd, bytes, (size_t)n, (uint64_t)at);
	return n;
}

ssize_t plain_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return pwrite(fd, bytes, len, at);
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	ssize_t written = syscall(SYS_writev, fd, parts, n);
	size_t left = written > 0 ? (size_t)written : 0;

	for (int i = 0; i < n && left > 0 && at >= 0; i++) {
		size_t len = parts[i].iov_len < left ? parts[i].iov_len : left;

		record_write(fd, parts[i].iov_base, len, (uint64_t)at);
		at += (off_t)len;
		left -= len;
	}
	return written;
}

/* Real syncs would only slow the test down: the disks are made from the record. */
int fdatasync(int fd)
{
	record_sync(fd);
	return 0;
}

int fsync(int fd)
{
	record_sync(fd);
	return 0;
}

static void start_tape(const char *directory)
{
	for (size_t i = 0; i < tape.n_events; i++)
		free(tape.events[i].bytes);
	memset(tape.events, 0, sizeof(tape.events));
	tape.n_events = 0;
	tape.n_files = 0;
	snprintf(tape.directory, sizeof(tape.directory), "%s", directory);
	tape.is_on = true;
}

/* ---- a disk after a power cut --------------------------------------------------------------- */

static uint64_t rng_state;

static uint64_t next_random(void)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return rng_state >> 33;
}

typedef bool (*ignore_fn)(const event *e);

/* Applies the whole blocks of a write, or a random half of them. */
static void apply(int fd, const event *e, bool all)
{
	for (size_t done = 0; done < e->len;) {
		uint64_t at = e->at + done;
		size_t len = BLOCK - at % BLOCK;

		if (len > e->len - done)
			len = e->len - done;
		if (all || next_random() % 2)
			assert_true(syscall(SYS_pwrite64, fd, e->bytes + done, len, at) ==
				    (ssize_t)len);
		done += len;
	}
}

/* Is the name of a new file left? For sure if its directory was synced after it was made. */
static bool is_left(int file, size_t cut, ignore_fn ignore)
{
	const char *name = strrchr(tape.files[file].path, '/');
	bool is_written = false;

	for (size_t i = 0; i < cut; i++) {
		const event *e = &tape.events[i];

		if (e->type == LISTED && !ignore(e) && name &&
			!strcmp(name + 1, (const char *)e->bytes))
			return true;
		is_written |= e->type == WROTE && e->file == file;
	}
	return is_written && next_random() % 2;
}

/* Makes in `to` what may be left of `from` (as it was when the tape began) after `cut` events. */
static void make_disk(const char *from, const char *to, size_t cut, ignore_fn ignore)
{
	support_copy_tree(from, to);
	for (int f = 0; f < tape.n_files; f++) {
		char path[1300];
		size_t synced = 0;
		int fd;

		snprintf(path, sizeof(path), "%s/%s", to, tape.files[f].path);
		if (access(path, F_OK) != 0 && !is_left(f, cut, ignore))
			continue;
		for (size_t i = 0; i < cut; i++) {
			const event *e = &tape.events[i];

			if (e->type == SYNCED && e->file == f && !ignore(e))
				synced = i;
		}
		fd = open(path, O_RDWR | O_CREAT, 0666);
		assert_true(fd >= 0);
		for (size_t i = 0; i < cut; i++) {
			const event *e = &tape.events[i];

			if (e->type == WROTE && e->file == f)
				apply(fd, e, i < synced || (e->is_synced && !ignore(e)));
		}
		close(fd);
	}
}

typedef struct disk {
	char path[600];
	uint64_t acked; /* commits that must be there */
} disk;

/* 0: all is well. In a child: a damaged index could crash LMDB. */
static int examine(void *arg)
{
	const disk *d = arg;
	cairn_error err = {0};
	cairn_snapshot *snapshot;
	cairn_store *store;
	uint64_t found = 0;

	if (cairn_store_open(&store, d->path, 0, &err))
		return 1;
	if (cairn_snapshot_begin(&snapshot, store, &err))
		return 2;
	for (uint64_t i = 1; i <= COMMITS; i++) {
		const void *value;
		cairn_id id;
		size_t len;
		int rc = cairn_snapshot_get(snapshot, "ref", &i, sizeof(i), &value, &len, &err);

		if (rc == CAIRN_ENOTFOUND)
			continue;
		if (rc || len != sizeof(id.bytes))
			return 3;
		memcpy(id.bytes, value, len);
		if (support_verify(store, &id, N, LEN, i * 100, &err))
			return 4;
		found++;
		if (found != i)
			return 5; /* a later commit without an earlier one */
	}
	cairn_snapshot_end(snapshot);
	if (found < d->acked)
		return 6;
	support_commit(store, N, LEN, 5000); /* and it works on */
	cairn_store_close(store);
	return 0;
}

/* ---- the tests ------------------------------------------------------------------------------- */

/* Some commits, recorded; half of them by a second handle, which makes a second segment. */
static void record_commits(const char *directory, const char *before)
{
	cairn_error err = {0};
	cairn_store *store = support_open(directory, CAIRN_STORE_CREATE);

	cairn_store_close(store);
	support_copy_tree(directory, before);
	start_tape(directory);
	store = support_open(directory, 0);
	for (uint64_t i = 1; i <= COMMITS; i++) {
		cairn_batch *batch;
		cairn_id id;

		OK(cairn_batch_begin(&batch, store, &err));
		support_put(batch, N, LEN, i * 100, &id);
		OK(cairn_batch_put(batch, "ref", &i, sizeof(i), id.bytes, sizeof(id.bytes), &err));
		OK(cairn_batch_commit(batch, &err));
		pthread_mutex_lock(&tape.lock);
		add_event(ACKED);
		pthread_mutex_unlock(&tape.lock);
		if (i == COMMITS / 2) {
			cairn_store_close(store);
			store = support_open(directory, 0);
		}
	}
	tape.is_on = false;
	cairn_store_close(store);
}

/* Cuts the power n times; the number of disks on which something was lost or wrong. */
static int count_losses(const char *directory, int n, ignore_fn ignore)
{
	char before[600];
	int n_bad = 0;

	snprintf(before, sizeof(before), "%s-before", directory);
	record_commits(directory, before);
	assert_true(tape.n_events > 8 * COMMITS);
	rng_state = 20220304;
	for (int i = 0; i < n; i++) {
		size_t cut = next_random() % (tape.n_events + 1);
		disk d = {.acked = 0};

		snprintf(d.path, sizeof(d.path), "%s-disk-%d", directory, i);
		for (size_t k = 0; k < cut; k++)
			d.acked += tape.events[k].type == ACKED;
		make_disk(before, d.path, cut, ignore);
		n_bad += support_child(examine, &d) != 0;
	}
	return n_bad;
}

static bool ignore_nothing(const event *e)
{
	(void)e;
	return false;
}

static bool ignore_segment_syncs(const event *e)
{
	return e->type == SYNCED && strstr(tape.files[e->file].path, ".seg");
}

static bool ignore_index_syncs(const event *e)
{
	return (e->type == SYNCED || e->type == WROTE) && !strstr(tape.files[e->file].path, ".seg");
}

static bool ignore_directory_syncs(const event *e)
{
	return e->type == LISTED;
}

static void test_store_powercut__keeps_every_acknowledged_commit(void **state)
{
	assert_int_equal(count_losses(*state, 60, ignore_nothing), 0);
}

static void test_store_powercut__keeps_them_without_o_direct(void **state)
{
	no_direct_writes = true;
	assert_int_equal(count_losses(*state, 25, ignore_nothing), 0);
	no_direct_writes = false;
}

static void test_store_powercut__would_notice_a_segment_not_synced(void **state)
{
	assert_true(count_losses(*state, 15, ignore_segment_syncs) > 0);
}

static void test_store_powercut__would_notice_an_index_not_synced(void **state)
{
	assert_true(count_losses(*state, 15, ignore_index_syncs) > 0);
}

static void test_store_powercut__would_notice_a_directory_not_synced(void **state)
{
	assert_true(count_losses(*state, 15, ignore_directory_syncs) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_powercut__keeps_every_acknowledged_commit),
		TEST(test_store_powercut__keeps_them_without_o_direct),
		TEST(test_store_powercut__would_notice_a_segment_not_synced),
		TEST(test_store_powercut__would_notice_an_index_not_synced),
		TEST(test_store_powercut__would_notice_a_directory_not_synced),
	};

	return cmocka_run_group_tests_name("store/powercut", tests, NULL, NULL);
}
