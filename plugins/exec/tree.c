/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.c - files below a directory.
 *
 * Names come from artifacts, from the workflow and from the command: one that could lead out of
 * the command's directory is refused, and what is a link is not followed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "exec.h"

#define MAX_NAME  200 /* of an entry */
#define MAX_FILES 100000
#define MAX_DEPTH 16

/* ---- names -------------------------------------------------------------------------------- */

bool exec_is_safe(const char *path)
{
	if (strlen(path) > MAX_NAME)
		return false;
	for (const char *part = path;; part++) {
		size_t len = strcspn(part, "/");

		if (len == 0 || (len == 1 && part[0] == '.') ||
			(len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part += len;
		if (!*part)
			return true;
	}
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **exec_split_names(const char *text, size_t *n)
{
	char **names = cairn_alloc(strlen(text) / 2 + 2, sizeof(*names));

	*n = 0;
	for (const char *s = text; names;) {
		size_t len;

		s += strspn(s, " \t\n");
		len = strcspn(s, " \t\n");
		if (!len)
			break;
		names[*n] = cairn_strndup(s, len);
		if (!names[(*n)++]) {
			exec_free_names(names);
			return NULL;
		}
		s += len;
	}
	if (names && *n)
		qsort(names, *n, sizeof(*names), by_bytes);
	return names;
}

void exec_free_names(char **names)
{
	for (char **name = names; name && *name; name++)
		free(*name);
	free(names);
}

static int no_memory(const struct exec_work *work)
{
	return work->host->fail(work->run, CAIRN_ENOMEM, "no memory for the names of files");
}

int exec_path(const struct exec_work *work, cairn_text *out, const char *format, ...)
{
	char rest[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(rest, sizeof(rest), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(rest))
		return work->host->fail(work->run, CAIRN_ELIMIT, "a path is too long");
	cairn_text_clear(out);
	cairn_text_printf(out, "%s/%s", work->directory, rest);
	return out->failed ? no_memory(work) : 0;
}

int exec_fail_errno(const struct exec_work *work, const char *what, const char *path)
{
	const char *shown = path;
	size_t len = work->directory ? strlen(work->directory) : 0;
	int problem = errno, rc;

	/* The directory's own name says nothing to anybody. */
	if (len && strncmp(path, work->directory, len) == 0 && path[len] == '/')
		shown = path + len + 1;
	rc = work->host->fail(
		work->run, CAIRN_EIO, "cannot %s '%.300s': %s", what, shown, strerror(problem));
	if (problem == ENOSPC || problem == EDQUOT)
		work->host->hint(work->run, "The scratch directory is below the store: make room "
					    "there, then run again.");
	return rc;
}

/* ---- writing ------------------------------------------------------------------------------ */

static int make_parents(const struct exec_work *work, char *path)
{
	char *slash = path + strlen(work->directory) + 1;

	while ((slash = strchr(slash, '/'))) {
		int rc = 0;

		*slash = '\0';
		if (mkdir(path, 0777) < 0 && errno != EEXIST)
			rc = exec_fail_errno(work, "create", path);
		*slash++ = '/';
		if (rc)
			return rc;
	}
	return 0;
}

static int write_all(int fd, const char *bytes, uint64_t left)
{
	while (left) {
		ssize_t n = write(fd, bytes, left < (1u << 30) ? left : 1u << 30);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		bytes += n;
		left -= (uint64_t)n;
	}
	return 0;
}

int exec_write_file(const struct exec_work *work, const char *path, unsigned mode,
	const void *bytes, uint64_t len)
{
	char *copy = cairn_strdup(path);
	int fd, rc = copy ? make_parents(work, copy) : no_memory(work);

	free(copy);
	if (rc)
		return rc;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
	if (fd < 0)
		return exec_fail_errno(work, "create", path);
	if (write_all(fd, bytes, len) < 0)
		rc = exec_fail_errno(work, "write", path);
	if (close(fd) < 0 && !rc)
		rc = exec_fail_errno(work, "write", path);
	return rc;
}

/* ---- listing ------------------------------------------------------------------------------ */

void exec_tree_free(struct exec_tree *tree)
{
	exec_free_names(tree->paths);
	*tree = (struct exec_tree){0};
}

static int add_path(struct exec_tree *tree, const struct exec_work *work, const char *path)
{
	if (tree->n == MAX_FILES)
		return work->host->fail(work->run, CAIRN_ELIMIT,
			"there are over %d files in one directory", MAX_FILES);
	if (tree->n + 1 >= tree->cap) {
		size_t cap = tree->cap ? tree->cap * 2 : 64;
		char **grown = cairn_realloc(tree->paths, cap, sizeof(*grown));

		if (!grown)
			return no_memory(work);
		tree->paths = grown;
		tree->cap = cap;
	}
	tree->paths[tree->n] = cairn_strdup(path);
	if (!tree->paths[tree->n])
		return no_memory(work);
	tree->paths[++tree->n] = NULL;
	return 0;
}

static int list_below(struct exec_tree *tree, const struct exec_work *work, int at,
	const char *prefix, int depth);

static int list_one(struct exec_tree *tree, const struct exec_work *work, int at,
	const char *prefix, const char *name, int depth)
{
	cairn_text path = {0};
	struct stat st;
	int rc = 0, fd;

	cairn_text_printf(&path, "%s%s%s", prefix, prefix[0] ? "/" : "", name);
	if (path.failed)
		return no_memory(work);
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		rc = exec_fail_errno(work, "look at", path.data);
	} else if (S_ISREG(st.st_mode)) {
		rc = add_path(tree, work, path.data);
	} else if (S_ISDIR(st.st_mode)) {
		fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		rc = fd < 0 ? exec_fail_errno(work, "open", path.data)
			    : list_below(tree, work, fd, path.data, depth + 1);
	} else {
		rc = work->host->fail(work->run, CAIRN_EINPUT,
			"'%.300s' is neither a file nor a directory", path.data);
	}
	cairn_text_free(&path);
	return rc;
}

/* Takes over the descriptor. */
static int list_below(
	struct exec_tree *tree, const struct exec_work *work, int at, const char *prefix, int depth)
{
	DIR *dir = fdopendir(at);
	const struct dirent *entry;
	int rc = 0;

	if (!dir) {
		rc = exec_fail_errno(work, "read", prefix);
		close(at);
		return rc;
	}
	if (depth > MAX_DEPTH)
		rc = work->host->fail(work->run, CAIRN_ELIMIT,
			"directory '%.300s' is more than %d levels deep", prefix, MAX_DEPTH);
	while (!rc && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = list_one(tree, work, at, prefix, entry->d_name, depth);
	}
	closedir(dir);
	return rc;
}

int exec_tree_list(struct exec_tree *out, const struct exec_work *work, const char *directory)
{
	struct exec_tree tree = {0};
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc;

	if (fd < 0)
		return exec_fail_errno(work, "open", directory);
	rc = list_below(&tree, work, fd, "", 0);
	if (rc) {
		exec_tree_free(&tree);
		return rc;
	}
	if (tree.n)
		qsort(tree.paths, tree.n, sizeof(*tree.paths), by_bytes);
	*out = tree;
	return 0;
}

/* ---- taking ------------------------------------------------------------------------------- */

static int put_open(const struct exec_work *work, cairn_writer *writer, const char *path,
	const char *name, int fd)
{
	cairn_tensor tensor = {.name = name, .dtype = CAIRN_U8, .n_dims = 1, .data = ""};
	struct stat st;
	void *bytes = NULL;
	int rc;

	if (fstat(fd, &st) < 0)
		return exec_fail_errno(work, "read", path);
	if (!S_ISREG(st.st_mode))
		return work->host->fail(
			work->run, CAIRN_EINPUT, "'%.300s' is no regular file", path);
	tensor.bytes = tensor.dims[0] = (uint64_t)st.st_size;
	if (st.st_size) {
		bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED)
			return exec_fail_errno(work, "read", path);
		tensor.data = bytes;
	}
	rc = work->host->put(writer, &tensor);
	if (bytes)
		munmap(bytes, (size_t)st.st_size);
	return rc;
}

int exec_put_file(const struct exec_work *work, cairn_writer *writer, const char *directory,
	const char *path, const char *name)
{
	cairn_text full = {0};
	int fd, rc = exec_path(work, &full, "%s/%s", directory, path);

	if (rc)
		return rc;
	fd = open(full.data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENOTDIR)) {
		rc = work->host->fail(work->run, CAIRN_EINPUT,
			"the command did not write '%.100s/%.200s': %s", directory, path,
			strerror(errno));
	} else if (fd < 0) {
		rc = exec_fail_errno(work, "open", full.data);
	} else {
		rc = put_open(work, writer, full.data + strlen(work->directory) + 1, name, fd);
		close(fd);
	}
	cairn_text_free(&full);
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)where;
	if (type == FTW_DP)
		rmdir(path);
	else
		unlink(path);
	return 0;
}

void exec_remove(const char *path)
{
	nftw(path, remove_one, MAX_DEPTH, FTW_DEPTH | FTW_PHYS);
}
