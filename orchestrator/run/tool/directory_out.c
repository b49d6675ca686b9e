/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "run/tool/directory.h"

#define LEFTOVER     ".cairn-" /* of a process that was killed; does not count */
#define MAX_TRIES    100
#define REMOVE_DEPTH 16 /* directories that nftw holds open */

struct cairn_outdir {
	cairn_arena *arena;
	char *path; /* without slashes at its end */
	char *temp; /* NULL: there is nothing to remove */
	bool exists;
	const char **names;
	size_t n, cap;
	uint64_t bytes;
};

/* ---- begin ------------------------------------------------------------------------------ */

static bool is_empty(const char *path)
{
	DIR *stream = opendir(path);
	const struct dirent *entry;
	bool empty = stream != NULL;

	while (empty && (entry = readdir(stream)))
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			strncmp(entry->d_name, LEFTOVER, strlen(LEFTOVER)) == 0;
	if (stream)
		closedir(stream);
	return empty;
}

static int look_at(cairn_outdir *dir, bool force, cairn_error *err)
{
	struct stat st;

	if (stat(dir->path, &st) < 0)
		return errno == ENOENT ? 0
				       : cairn_error_errno(err, CAIRN_EIO, errno,
						 "cannot write to '%s'", dir->path);
	if (!S_ISDIR(st.st_mode))
		return cairn_error_set(err, CAIRN_EUSAGE, "'%s' is no directory", dir->path);
	dir->exists = true;
	if (force || is_empty(dir->path))
		return 0;
	cairn_error_set(err, CAIRN_EUSAGE, "'%s' exists and is not empty", dir->path);
	cairn_error_hint(err, "Name another directory, or add --force: files of the same names are "
			      "replaced, others stay.");
	return CAIRN_EUSAGE;
}

/* All directories of a path but its last part. `from`: where the part that may be missing
 * begins. */
static int make_parents(char *path, size_t from, cairn_error *err)
{
	for (char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
		int rc = 0;

		if (slash == path)
			continue;
		*slash = '\0';
		if (mkdir(path, 0777) < 0 && errno != EEXIST)
			rc = cairn_error_errno(
				err, CAIRN_EIO, errno, "cannot make the directory '%s'", path);
		*slash = '/';
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int make_temp(cairn_outdir *dir, cairn_error *err)
{
	int rc = make_parents(dir->path, 0, err);

	for (int i = 0; rc == 0 && i < MAX_TRIES; i++) {
		char *temp = cairn_arena_printf(dir->arena, "%s%s%ld-%d", dir->path,
			dir->exists ? "/" LEFTOVER : LEFTOVER, (long)getpid(), i);
		if (mkdir(temp, 0777) == 0) {
			dir->temp = temp;
			return 0;
		}
		if (errno != EEXIST)
			break;
	}
	return rc < 0 ? rc
		      : cairn_error_errno(err, CAIRN_EIO, errno, "cannot write to '%s'", dir->path);
}

int cairn_outdir_begin(cairn_outdir **out, const char *path, bool force, cairn_error *err)
{
	cairn_outdir *dir = cairn_alloc(1, sizeof(*dir));
	size_t len = strlen(path);
	int rc;

	if (!dir)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory writing '%s'", path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	dir->arena = cairn_arena_new();
	dir->path = cairn_arena_strndup(dir->arena, path, len);
	rc = look_at(dir, force, err);
	if (rc == 0)
		rc = make_temp(dir, err);
	if (rc < 0) {
		cairn_outdir_free(dir);
		return rc;
	}
	*out = dir;
	return 0;
}

/* ---- put -------------------------------------------------------------------------------- */

/* Every part of it a name: not empty, not "." and not "..". */
static bool stays_inside(const char *name)
{
	for (;; name++) {
		size_t len = strcspn(name, "/");

		if (len == 0 || (len <= 2 && strspn(name, ".") >= len))
			return false;
		name += len;
		if (!*name)
			return true;
	}
}

static int remember(cairn_outdir *dir, const char *name, uint64_t len, cairn_error *err)
{
	if (dir->n == dir->cap) {
		size_t cap = dir->cap ? 2 * dir->cap : 16;
		const char **names = cairn_realloc(dir->names, cap, sizeof(*names));
		if (!names)
			return cairn_error_set(
				err, CAIRN_ENOMEM, "out of memory writing '%s'", dir->path);
		dir->names = names;
		dir->cap = cap;
	}
	dir->names[dir->n++] = cairn_arena_strdup(dir->arena, name);
	dir->bytes += len;
	return 0;
}

static int write_all(int fd, const char *data, uint64_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len < (1u << 30) ? len : 1u << 30);
		if (n < 0 && errno != EINTR)
			return -1;
		data += n > 0 ? n : 0;
		len -= n > 0 ? (uint64_t)n : 0;
	}
	return fsync(fd);
}

int cairn_outdir_put(
	cairn_outdir *dir, const char *name, const void *data, uint64_t len, cairn_error *err)
{
	char *path;
	int fd, rc = 0;

	if (!stays_inside(name))
		return cairn_error_set(err, CAIRN_EBUG, "'%.200s' cannot be a file's name", name);
	path = cairn_arena_printf(dir->arena, "%s/%s", dir->temp, name);
	if (make_parents(path, strlen(dir->temp) + 1, err) < 0)
		return CAIRN_EIO;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return cairn_error_errno(err, errno == EEXIST ? CAIRN_EBUG : CAIRN_EIO, errno,
			"cannot write '%s' into '%s'", name, dir->path);
	if (write_all(fd, data, len) < 0)
		rc = cairn_error_errno(
			err, CAIRN_EIO, errno, "cannot write '%s' into '%s'", name, dir->path);
	close(fd);
	return rc < 0 ? rc : remember(dir, name, len, err);
}

uint64_t cairn_outdir_count(const cairn_outdir *dir)
{
	return dir->n;
}

uint64_t cairn_outdir_bytes(const cairn_outdir *dir)
{
	return dir->bytes;
}

const char *cairn_outdir_name(const cairn_outdir *dir, uint64_t index)
{
	return dir->names[index];
}

/* ---- commit ----------------------------------------------------------------------------- */

static int sync_directory(const char *path, cairn_error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0 || fsync(fd) < 0)
		rc = cairn_error_errno(err, CAIRN_EIO, errno, "cannot sync '%s'", path);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* The directory that holds a path; the path itself stays as it is. */
static int sync_parent(cairn_outdir *dir, const char *path, cairn_error *err)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash && slash > path ? (size_t)(slash - path) : 1;

	return sync_directory(slash ? cairn_arena_strndup(dir->arena, path, len) : ".", err);
}

static int rename_one(cairn_outdir *dir, const char *from, const char *to, cairn_error *err)
{
	if (rename(from, to) == 0)
		return 0;
	cairn_error_errno(err, CAIRN_EIO, errno, "cannot make '%s'", to);
	if (errno == ENOTEMPTY || errno == EEXIST)
		cairn_error_hint(err, "Somebody made '%s' meanwhile.", dir->path);
	return CAIRN_EIO;
}

/* Into a directory that is there: file by file. */
static int move_files(cairn_outdir *dir, cairn_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < dir->n; i++) {
		const char *from =
			cairn_arena_printf(dir->arena, "%s/%s", dir->temp, dir->names[i]);
		char *to = cairn_arena_printf(dir->arena, "%s/%s", dir->path, dir->names[i]);
		rc = make_parents(to, strlen(dir->path) + 1, err);
		if (rc == 0)
			rc = rename_one(dir, from, to, err);
		if (rc == 0)
			rc = sync_parent(dir, to, err);
	}
	return rc;
}

int cairn_outdir_commit(cairn_outdir *dir, cairn_error *err)
{
	int rc = 0;

	if (dir->exists)
		return move_files(dir, err);
	for (size_t i = 0; rc == 0 && i < dir->n; i++)
		rc = sync_parent(dir,
			cairn_arena_printf(dir->arena, "%s/%s", dir->temp, dir->names[i]), err);
	if (rc == 0)
		rc = sync_directory(dir->temp, err);
	if (rc == 0)
		rc = rename_one(dir, dir->temp, dir->path, err);
	if (rc < 0)
		return rc;
	dir->temp = NULL;
	return sync_parent(dir, dir->path, err);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)where;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

void cairn_outdir_free(cairn_outdir *dir)
{
	int ignored;

	if (!dir)
		return;
	/* What cannot be removed is a hidden directory that the next export takes no notice of. */
	if (dir->temp) {
		ignored = nftw(dir->temp, remove_one, REMOVE_DEPTH, FTW_DEPTH | FTW_PHYS);
		(void)ignored;
	}
	free(dir->names);
	cairn_arena_free(dir->arena);
	free(dir);
}
