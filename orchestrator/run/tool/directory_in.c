/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/digest.h"
#include "run/plan/filecache.h"
#include "run/tool/directory.h"

/* A model is a handful of files; somebody named the wrong directory. */
#define MAX_FILES  10000
#define NAME_BYTES 200 /* of an entry: stage.h */

struct file {
	const char *name;
	uint64_t bytes; /* when it was listed */
	int fd;         /* -1: not read yet */
	cairn_filestamp stamp;
	void *map; /* NULL for an empty file */
};

struct cairn_indir {
	cairn_arena *arena;
	const char *path, *absolute;
	int fd;
	struct file *files;
	size_t n, cap;
	uint64_t bytes;
};

static bool can_be_entry(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	}
	return len >= 1 && len <= NAME_BYTES;
}

static int add_file(cairn_indir *dir, const char *name, const struct stat *st, cairn_error *err)
{
	if (dir->n == MAX_FILES) {
		cairn_error_set(
			err, CAIRN_EINPUT, "'%s' holds more than %d files", dir->path, MAX_FILES);
		cairn_error_hint(err, "Name the directory of one model.");
		return CAIRN_EINPUT;
	}
	if (dir->n == dir->cap) {
		size_t cap = dir->cap ? 2 * dir->cap : 32;
		struct file *files = cairn_realloc(dir->files, cap, sizeof(*files));
		if (!files)
			return cairn_error_set(
				err, CAIRN_ENOMEM, "out of memory listing '%s'", dir->path);
		dir->files = files;
		dir->cap = cap;
	}
	dir->files[dir->n++] = (struct file){
		.name = cairn_arena_strdup(dir->arena, name),
		.bytes = (uint64_t)st->st_size,
		.fd = -1,
	};
	dir->bytes += (uint64_t)st->st_size;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static int list_files(cairn_indir *dir, cairn_error *err)
{
	int fd = dup(dir->fd), rc = 0;
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	struct stat st;

	if (!stream) {
		rc = cairn_error_errno(err, CAIRN_EIO, errno, "cannot list '%s'", dir->path);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0 && (entry = readdir(stream))) {
		/* Follows a link; where one dangles, there is no file. */
		if (can_be_entry(entry->d_name) && fstatat(dir->fd, entry->d_name, &st, 0) == 0 &&
			S_ISREG(st.st_mode))
			rc = add_file(dir, entry->d_name, &st, err);
	}
	closedir(stream);
	if (dir->n)
		qsort(dir->files, dir->n, sizeof(*dir->files), by_name);
	return rc;
}

static int open_directory(cairn_indir *dir, const char *path, cairn_error *err)
{
	char absolute[PATH_MAX];

	dir->path = cairn_arena_strdup(dir->arena, path);
	dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0 && errno == ENOTDIR) {
		cairn_error_set(err, CAIRN_EINPUT, "'%s' is no directory", path);
		cairn_error_hint(err, "Name the directory that holds it.");
		return CAIRN_EINPUT;
	}
	if (dir->fd < 0)
		return cairn_error_errno(err, errno == ENOENT ? CAIRN_ENOTFOUND : CAIRN_EIO, errno,
			"cannot open the directory '%s'", path);
	dir->absolute =
		realpath(path, absolute) ? cairn_arena_strdup(dir->arena, absolute) : dir->path;
	return list_files(dir, err);
}

int cairn_indir_open(cairn_indir **out, const char *path, cairn_error *err)
{
	cairn_indir *dir = cairn_alloc(1, sizeof(*dir));
	int rc;

	if (!dir)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory opening '%s'", path);
	dir->arena = cairn_arena_new();
	dir->fd = -1;
	rc = open_directory(dir, path, err);
	if (rc < 0) {
		cairn_indir_close(dir);
		return rc;
	}
	*out = dir;
	return 0;
}

void cairn_indir_close(cairn_indir *dir)
{
	if (!dir)
		return;
	for (size_t i = 0; i < dir->n; i++) {
		if (dir->files[i].map)
			munmap(dir->files[i].map, dir->files[i].bytes);
		if (dir->files[i].fd >= 0)
			close(dir->files[i].fd);
	}
	if (dir->fd >= 0)
		close(dir->fd);
	free(dir->files);
	cairn_arena_free(dir->arena);
	free(dir);
}

void cairn_indir_describe(const cairn_indir *dir, cairn_artifact *out)
{
	*out = (cairn_artifact){
		.id = "",
		.kind = CAIRN_DIRECTORY_KIND,
		.meta = "{}",
		.source = dir->path,
		.n_entries = dir->n,
		.bytes = dir->bytes,
		.handle = dir,
	};
}

static void fill(const struct file *file, const void *data, cairn_tensor *out)
{
	*out = (cairn_tensor){
		.name = file->name,
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {file->bytes},
		.data = data,
		.bytes = file->bytes,
	};
}

int cairn_indir_entry(const cairn_indir *dir, uint64_t index, cairn_tensor *out, cairn_error *err)
{
	if (index >= dir->n)
		return cairn_error_set(err, CAIRN_EBUG, "'%s' has no file %llu", dir->path,
			(unsigned long long)index);
	fill(&dir->files[index], NULL, out);
	return 0;
}

static int changed(const cairn_indir *dir, const struct file *file, cairn_error *err)
{
	cairn_error_set(err, CAIRN_EIO, "'%s/%s' changed while it was read", dir->path, file->name);
	cairn_error_hint(err, "Try again when whoever writes the file is done.");
	return CAIRN_EIO;
}

static int map_file(const cairn_indir *dir, struct file *file, cairn_error *err)
{
	void *map = NULL;
	int fd = openat(dir->fd, file->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;

	if (fd < 0)
		return cairn_error_errno(
			err, CAIRN_EIO, errno, "cannot open '%s/%s'", dir->path, file->name);
	rc = cairn_filestamp_take(&file->stamp, fd, file->name, err);
	if (rc == 0 && (uint64_t)file->stamp.size != file->bytes)
		rc = changed(dir, file, err);
	if (rc == 0 && file->bytes) {
		map = mmap(NULL, file->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
		if (map == MAP_FAILED)
			rc = cairn_error_errno(err, CAIRN_EIO, errno, "cannot read '%s/%s'",
				dir->path, file->name);
	}
	if (rc < 0) {
		close(fd);
		return rc;
	}
	file->map = map;
	file->fd = fd;
	return 0;
}

int cairn_indir_read(cairn_indir *dir, const char *name, cairn_tensor *out, cairn_error *err)
{
	struct file wanted = {.name = name}, *file = NULL;
	int rc;

	if (dir->n)
		file = bsearch(&wanted, dir->files, dir->n, sizeof(*dir->files), by_name);
	if (!file)
		return 1;
	if (file->fd < 0) {
		rc = map_file(dir, file, err);
		if (rc < 0)
			return rc;
	}
	fill(file, file->map ? file->map : "", out);
	return 0;
}

/* The digest is of the mapped bytes: those that the tool saw, if the file is the same still. */
static int describe_file(
	json_t *files, const cairn_indir *dir, const struct file *file, cairn_error *err)
{
	uint8_t sum[CAIRN_DIGEST_BYTES];
	char hex[2 * CAIRN_DIGEST_BYTES + 1];
	cairn_filestamp now;
	int rc;

	cairn_sha256(file->map ? file->map : "", file->bytes, sum);
	cairn_hex_encode(sum, sizeof(sum), hex);
	rc = cairn_filestamp_take(&now, file->fd, file->name, err);
	if (rc == 0 && !cairn_filestamp_equal(&now, &file->stamp))
		rc = changed(dir, file, err);
	if (rc == 0)
		json_array_append_new(
			files, json_pack("{s:s, s:I, s:s}", "name", file->name, "bytes",
				       (json_int_t)file->bytes, "sha256", hex));
	return rc;
}

int cairn_indir_origin(json_t **out, const cairn_indir *dir, cairn_error *err)
{
	json_t *files = json_array(), *path = json_string(dir->absolute);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < dir->n; i++) {
		if (dir->files[i].fd >= 0)
			rc = describe_file(files, dir, &dir->files[i], err);
	}
	if (rc < 0) {
		json_decref(files);
		json_decref(path);
		return rc;
	}
	/* A path need not be UTF-8; then the digests alone must do. */
	*out = json_pack("{s:o, s:o}", "path", path ? path : json_string("?"), "files", files);
	return *out ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a record");
}
