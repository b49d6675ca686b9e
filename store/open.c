/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open.c - the directory of a store: making one, recognising one, refusing what is none.
 *
 *   DIR/format   text, the last thing made: where it is, the store is complete
 *   DIR/meta/    the LMDB environment
 *   DIR/seg/     segments
 *
 * Creation can be interrupted or raced at any point: every step is one that may be found done
 * already. The uuid is decided inside the index, by one transaction; `format` repeats it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "store/internal.h"

#define FORMAT_TITLE "cairn store"
#define FORMAT_MAX   4096
#define UUID_KEY     "uuid"

/* Stores that this process has open: LMDB must not be opened twice by one process. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static cairn_store *open_stores;

/* ---- the format file ----------------------------------------------------------------- */

/* "name = value" at the start of a line; copies the value. */
static bool format_field(const char *text, const char *name, char *out, size_t cap)
{
	size_t name_len = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, name_len) && !strncmp(line + name_len, " = ", 3)) {
			const char *value = line + name_len + 3;
			int len = (int)strcspn(value, "\n");

			return snprintf(out, cap, "%.*s", len, value) < (int)cap;
		}
	}
	return false;
}

static int newer(const char *path, const char *what, cairn_error *err)
{
	cairn_error_set(
		err, CAIRN_EINPUT, "the store '%s' has a format unknown to this cairn", path);
	cairn_error_detail(
		err, "%s; this is cairn %s, format %d", what, CAIRN_VERSION, CAIRN_FORMAT_VERSION);
	cairn_error_hint(err, "Use a newer cairn for this store.");
	return CAIRN_EINPUT;
}

static int parse_format(const char *text, const char *path, uint64_t *version_out,
	uint8_t uuid[CAIRN_UUID_BYTES], cairn_error *err)
{
	char value[128], what[192];
	uint64_t version, chunk;

	if (strncmp(text, FORMAT_TITLE "\n", sizeof(FORMAT_TITLE)) != 0)
		return cairn_error_set(
			err, CAIRN_EINPUT, "'%s' is not a store: its 'format' is foreign", path);
	if (!format_field(text, "version", value, sizeof(value)) ||
		!cairn_parse_u64(value, &version) || version == 0)
		return cairn_error_set(err, CAIRN_EINTEGRITY, "'%s/format' names no version", path);
	if (version > CAIRN_FORMAT_VERSION) {
		snprintf(what, sizeof(what), "it is version %llu", (unsigned long long)version);
		return newer(path, what, err);
	}
	if (!format_field(text, "hash", value, sizeof(value)) || strcmp(value, "sha256"))
		return newer(path, "another hash than sha256", err);
	if (!format_field(text, "chunk", value, sizeof(value)) || !cairn_parse_u64(value, &chunk) ||
		chunk != CAIRN_CHUNK_BYTES)
		return newer(path, "other chunks than of 4 MiB", err);
	if (!format_field(text, "uuid", value, sizeof(value)) ||
		cairn_hex_decode(value, uuid, CAIRN_UUID_BYTES) != 0)
		return cairn_error_set(err, CAIRN_EINTEGRITY, "'%s/format' has no uuid", path);
	*version_out = version;
	return 0;
}

/* Reads DIR/format into a text of FORMAT_MAX bytes. ENOTFOUND leaves *err untouched. */
static int read_format(int directory, const char *path, char *text, cairn_error *err)
{
	int fd = openat(directory, "format", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 1;
	int rc = 0;

	if (fd < 0 && errno == ENOENT)
		return CAIRN_ENOTFOUND;
	while (fd >= 0 && n > 0 && len < FORMAT_MAX - 1) {
		n = read(fd, text + len, FORMAT_MAX - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (fd < 0 || n < 0)
		rc = cairn_disk__fail(err, errno, path, "cannot read '%s/format'", path);
	text[len] = 0;
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Puts `format` in place, whole or not at all. Somebody else's stays, unless it `replaces` one of
 * an older version. */
static int write_format(int directory, const cairn_store *store, bool replaces, cairn_error *err)
{
	char uuid[2 * CAIRN_UUID_BYTES + 1], text[256], name[64];
	size_t len;
	ssize_t n;
	int fd, failed = 0;

	cairn_hex_encode(store->uuid, CAIRN_UUID_BYTES, uuid);
	len = (size_t)snprintf(text, sizeof(text),
		FORMAT_TITLE "\nversion = %d\nhash = sha256\nchunk = %d\nuuid = %s\n",
		CAIRN_FORMAT_VERSION, CAIRN_CHUNK_BYTES, uuid);
	snprintf(name, sizeof(name), "format.new.%ld", (long)getpid());
	fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		failed = errno;
	else if ((n = write(fd, text, len)) != (ssize_t)len)
		failed = n < 0 ? errno : ENOSPC;
	else if (fsync(fd) != 0)
		failed = errno;
	if (fd >= 0)
		close(fd);
	/* link, unlike rename, replaces nothing. */
	if (!failed && replaces && renameat(directory, name, directory, "format") != 0)
		failed = errno;
	else if (!failed && !replaces && linkat(directory, name, directory, "format", 0) != 0 &&
		 errno != EEXIST)
		failed = errno;
	(void)unlinkat(directory, name, 0);
	if (!failed && fsync(directory) != 0)
		failed = errno;
	return failed ? cairn_disk__fail(
				err, failed, store->path, "cannot write '%s/format'", store->path)
		      : 0;
}

/* ---- creation ------------------------------------------------------------------------ */

static bool is_ours(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "meta") ||
	       !strcmp(name, "seg") || !strncmp(name, "format.new.", 11);
}

/* EINPUT where something lies in the directory that an interrupted creation did not leave. */
static int check_empty(int directory, const char *path, cairn_error *err)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *found;
	int rc = 0;

	if (!stream) {
		rc = cairn_disk__fail(err, errno, path, "cannot read '%s'", path);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (!rc && (found = readdir(stream))) {
		if (is_ours(found->d_name) || !strcmp(found->d_name, "format"))
			continue; /* format: another process was faster */
		cairn_error_set(err, CAIRN_EINPUT, "'%s' is not a store and not empty", path);
		cairn_error_detail(err, "it holds '%s'", found->d_name);
		cairn_error_hint(err, "Name another directory for the store, with --store DIR.");
		rc = CAIRN_EINPUT;
	}
	closedir(stream);
	return rc;
}

static int make_directories(int directory, const char *path, cairn_error *err)
{
	static const char *const names[] = {"meta", "seg"};

	for (size_t i = 0; i < CAIRN_COUNT(names); i++) {
		if (mkdirat(directory, names[i], 0777) != 0 && errno != EEXIST)
			return cairn_disk__fail(
				err, errno, path, "cannot create '%s/%s'", path, names[i]);
	}
	if (fsync(directory) != 0)
		return cairn_disk__fail(err, errno, path, "cannot sync '%s'", path);
	return 0;
}

/* The uuid in the index: the first process to get here decides it. */
static int settle_uuid(cairn_store *store, cairn_error *err)
{
	uint8_t fresh[CAIRN_UUID_BYTES];
	const void *value;
	size_t len;
	cairn_txn *txn;
	int rc;

	if (getrandom(fresh, sizeof(fresh), 0) != sizeof(fresh))
		return cairn_error_errno(err, CAIRN_EIO, errno, "cannot get random bytes");
	rc = cairn_index__begin(&txn, store->index, true, err);
	if (rc)
		return rc;
	rc = cairn_catalog__get(
		txn, CAIRN_TABLE_META, UUID_KEY, strlen(UUID_KEY), &value, &len, err);
	if (rc == 0 && len == CAIRN_UUID_BYTES)
		memcpy(fresh, value, len);
	else if (rc == CAIRN_ENOTFOUND)
		rc = cairn_catalog__put(txn, CAIRN_TABLE_META, UUID_KEY, strlen(UUID_KEY), fresh,
			sizeof(fresh), err);
	if (rc) {
		cairn_index__abort(txn);
		return rc;
	}
	memcpy(store->uuid, fresh, sizeof(fresh));
	return cairn_index__commit(txn, err);
}

/* The index must be the one that `format` was made with. */
static int check_uuid(cairn_store *store, cairn_error *err)
{
	const void *value;
	size_t len;
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_catalog__get(
		txn, CAIRN_TABLE_META, UUID_KEY, strlen(UUID_KEY), &value, &len, err);
	if (rc == CAIRN_ENOTFOUND ||
		(!rc && (len != CAIRN_UUID_BYTES || memcmp(value, store->uuid, len)))) {
		rc = cairn_error_set(err, CAIRN_EINTEGRITY,
			"the index of the store '%s' belongs to another store", store->path);
		cairn_error_hint(err, "Restore 'meta' and 'format' from one backup.");
	}
	if (!rc)
		rc = cairn_catalog__number(txn, "gc_epoch", &store->opened_epoch, err);
	cairn_index__abort(txn);
	return rc;
}

/* A store whose format exists has an index: LMDB would make an empty one without a word. */
static int check_index_exists(int directory, const char *path, cairn_error *err)
{
	struct stat st;

	if (fstatat(directory, "meta/data.mdb", &st, 0) == 0 && st.st_size > 0)
		return 0;
	cairn_error_set(err, CAIRN_EINTEGRITY, "the store '%s' has lost its index", path);
	cairn_error_detail(err, "'%s/meta/data.mdb' is missing or empty", path);
	cairn_error_hint(
		err, "`cairn fsck --rebuild` makes one of its backup and of the segments.");
	return CAIRN_EINTEGRITY;
}

/* ---- open and close ------------------------------------------------------------------- */

/* Enters the store into the list; EBUG where this process has it open already. */
static int enlist(cairn_store *store, int directory, cairn_error *err)
{
	struct stat st;
	int rc = 0;

	if (fstat(directory, &st) != 0)
		return cairn_disk__fail(
			err, errno, store->path, "cannot examine '%s'", store->path);
	store->device = st.st_dev;
	store->inode = st.st_ino;
	store->pid = getpid();
	pthread_mutex_lock(&open_lock);
	for (const cairn_store *other = open_stores; other && !rc; other = other->next) {
		if (other->device == store->device && other->inode == store->inode &&
			other->pid == store->pid) /* else inherited by fork, and unused here */
			rc = cairn_error_set(err, CAIRN_EBUG,
				"the store '%s' is open in this process already", store->path);
	}
	if (!rc) {
		store->next = open_stores;
		open_stores = store;
	}
	pthread_mutex_unlock(&open_lock);
	return rc;
}

static void delist(cairn_store *store)
{
	pthread_mutex_lock(&open_lock);
	for (cairn_store **at = &open_stores; *at; at = &(*at)->next) {
		if (*at == store) {
			*at = store->next;
			break;
		}
	}
	pthread_mutex_unlock(&open_lock);
}

void cairn_store_close(cairn_store *store)
{
	if (!store)
		return;
	cairn_segments__close(store->segments);
	cairn_pool__free(store->pool);
	cairn_index__close(store->index);
	cairn_lease__close(&store->lease);
	if (store->directory_fd >= 0)
		close(store->directory_fd);
	delist(store);
	free(store->path);
	free(store);
}

const char *cairn_store_path(const cairn_store *store)
{
	return store->path;
}

/* A new name is durable once the directory that it is in was synced. 0 or an errno value. */
static int sync_parent(const char *path)
{
	char *parent = cairn_strdup(path);
	size_t len = parent ? strlen(parent) : 0;
	int rc;

	if (!parent)
		return ENOMEM;
	while (len > 1 && parent[len - 1] == '/')
		len--;
	while (len > 0 && parent[len - 1] != '/')
		len--;
	parent[len] = 0;
	rc = cairn_disk__sync_directory(AT_FDCWD, len ? parent : ".");
	free(parent);
	return rc;
}

/* Opens the directory itself, made where allowed. */
static int open_directory(int *out, const char *path, bool create, cairn_error *err)
{
	int fd, rc;

	if (create && mkdir(path, 0777) == 0) {
		if ((rc = sync_parent(path)))
			return cairn_disk__fail(
				err, rc, path, "cannot sync the parent of '%s'", path);
	} else if (create && errno != EEXIST) {
		return cairn_disk__fail(err, errno, path, "cannot create the store '%s'", path);
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return cairn_error_set(err, CAIRN_ENOTFOUND, "there is no store '%s'", path);
	if (fd < 0 && errno == ENOTDIR)
		return cairn_error_set(
			err, CAIRN_EINPUT, "'%s' is not a store: it is no directory", path);
	if (fd < 0)
		return cairn_disk__fail(err, errno, path, "cannot open the store '%s'", path);
	*out = fd;
	return 0;
}

/* Whoever may write it makes an older store one of this version, before anything is written that an
 * older cairn could not read. */
static int upgrade(int directory, const cairn_store *store, uint64_t version, cairn_error *err)
{
	if (version == CAIRN_FORMAT_VERSION || store->is_readonly)
		return 0;
	return write_format(directory, store, true, err);
}

int cairn_store__uuid(uint8_t uuid[CAIRN_UUID_BYTES], const char *path, cairn_error *err)
{
	char text[FORMAT_MAX];
	uint64_t version;
	int directory, rc = open_directory(&directory, path, false, err);

	if (rc)
		return rc;
	rc = read_format(directory, path, text, err);
	if (rc == CAIRN_ENOTFOUND)
		cairn_error_set(err, rc, "there is no store in '%s'", path);
	if (!rc)
		rc = parse_format(text, path, &version, uuid, err);
	close(directory);
	return rc;
}

/* While we have the index open, nobody puts another in its place (compact.c). */
static int share(const cairn_store *store, cairn_error *err)
{
	while (flock(store->directory_fd, LOCK_SH) != 0) {
		if (errno != EINTR)
			return cairn_disk__fail(
				err, errno, store->path, "cannot lock '%s'", store->path);
	}
	return 0;
}

/* A creation that was interrupted can leave an index that is none: LMDB's first two pages, written
 * in part. As long as there is no `format` nothing of it counts, and whoever is alone removes it.
 */
static int create_index(cairn_store *store, int directory, size_t map_bytes, cairn_error *err)
{
	cairn_error why = {0};
	int rc = cairn_index__open(&store->index, store->path, true, false, map_bytes, &why);

	if (rc == CAIRN_EINTEGRITY && flock(directory, LOCK_EX | LOCK_NB) == 0) {
		struct stat st;

		if (fstatat(directory, "format", &st, 0) != 0 && errno == ENOENT) {
			(void)unlinkat(directory, "meta/data.mdb", 0);
			(void)unlinkat(directory, "meta/lock.mdb", 0);
			cairn_error_clear(&why);
			rc = cairn_index__open(
				&store->index, store->path, true, false, map_bytes, &why);
		}
		if (!rc)
			rc = share(store, &why);
	}
	if (rc && err && !err->code)
		*err = why;
	return rc;
}

/* From an examined directory to an open index. */
static int open_index(
	cairn_store *store, int directory, bool may_create, size_t map_bytes, cairn_error *err)
{
	char text[FORMAT_MAX];
	uint64_t version = 0;
	int rc = read_format(directory, store->path, text, err);

	if (rc == 0) {
		if ((rc = parse_format(text, store->path, &version, store->uuid, err)) ||
			(rc = check_index_exists(directory, store->path, err)) ||
			(rc = cairn_index__open(&store->index, store->path, false,
				 store->is_readonly, map_bytes, err)) ||
			(rc = check_uuid(store, err)))
			return rc;
		return upgrade(directory, store, version, err);
	}
	if (rc != CAIRN_ENOTFOUND)
		return rc;
	if (!may_create)
		return cairn_error_set(
			err, CAIRN_ENOTFOUND, "there is no store in '%s'", store->path);
	if ((rc = check_empty(directory, store->path, err)) ||
		(rc = make_directories(directory, store->path, err)) ||
		(rc = create_index(store, directory, map_bytes, err)) ||
		(rc = settle_uuid(store, err)))
		return rc;
	return write_format(directory, store, false, err);
}

static cairn_store *new_store(const char *path, unsigned flags)
{
	cairn_store *store = cairn_alloc(1, sizeof(*store));

	if (!store)
		return NULL;
	store->directory_fd = -1;
	store->is_readonly = flags & CAIRN_STORE_READONLY;
	cairn_lease__open(&store->lease);
	store->path = cairn_strdup(path);
	store->pool = cairn_pool__new();
	if (store->path && store->pool)
		return store;
	cairn_store_close(store);
	return NULL;
}

int cairn_store__open(
	cairn_store **out, const char *path, unsigned flags, size_t map_bytes, cairn_error *err)
{
	bool may_create = (flags & CAIRN_STORE_CREATE) && !(flags & CAIRN_STORE_READONLY);
	cairn_store *store = new_store(path, flags);
	int rc;

	if (!store)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	if ((rc = open_directory(&store->directory_fd, path, may_create, err)) ||
		(rc = cairn_disk__check_local(store->directory_fd, path, err)) ||
		(rc = enlist(store, store->directory_fd, err)) || (rc = share(store, err)) ||
		(rc = open_index(store, store->directory_fd, may_create, map_bytes, err)) ||
		(rc = cairn_segments__open(&store->segments, store, path, err))) {
		cairn_store_close(store);
		return rc;
	}
	*out = store;
	return 0;
}

int cairn_store_open(cairn_store **out, const char *directory, unsigned flags, cairn_error *err)
{
	return cairn_store__open(out, directory, flags, CAIRN_MAP_BYTES, err);
}
