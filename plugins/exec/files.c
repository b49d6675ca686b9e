/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c - inputs become files, files become the output.
 *
 * Names come from artifacts and from the workflow: one that could lead out of the command's
 * directory is refused, and what the command leaves as a link is not followed.
 */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **exec_output_names(const char *outputs, size_t *n)
{
	char **names = cairn_alloc(strlen(outputs) / 2 + 2, sizeof(*names));

	*n = 0;
	for (const char *s = outputs; names;) {
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

static int fail_errno(const struct exec_work *work, const char *what, const char *path)
{
	return work->host->fail(
		work->run, CAIRN_EIO, "cannot %s '%s': %s", what, path, strerror(errno));
}

static int write_file(const struct exec_work *work, const char *path, const cairn_tensor *entry)
{
	const char *bytes = entry->data;
	uint64_t left = entry->bytes;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

	if (fd < 0)
		return fail_errno(work, "create", path);
	while (left) {
		ssize_t n = write(fd, bytes, left < (1u << 30) ? left : 1u << 30);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fail_errno(work, "write", path);
			close(fd);
			return CAIRN_EIO;
		}
		bytes += n;
		left -= (uint64_t)n;
	}
	if (close(fd) < 0)
		return fail_errno(work, "write", path);
	return 0;
}

/* An entry's name as a path below the artifact's directory: no empty, "." or ".." part. */
static bool is_safe(const char *name)
{
	for (const char *part = name;; part++) {
		size_t len = strcspn(part, "/");

		if (len == 0 || (len == 1 && part[0] == '.') ||
			(len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part += len;
		if (!*part)
			return true;
	}
}

/* Makes the directories that lead to the file. */
static int make_parents(const struct exec_work *work, char *path, size_t fixed)
{
	for (char *slash = path + fixed; (slash = strchr(slash, '/')); slash++) {
		int rc;

		*slash = '\0';
		rc = mkdir(path, 0777) < 0 && errno != EEXIST;
		if (rc)
			rc = fail_errno(work, "create", path);
		*slash = '/';
		if (rc)
			return CAIRN_EIO;
	}
	return 0;
}

static int put_artifact(const struct exec_work *work, uint64_t index)
{
	const cairn_host *host = work->host;
	cairn_artifact artifact = {0};
	cairn_text path = {0};
	int rc = host->input_open(work->run, "in", index, &artifact);

	for (uint64_t i = 0; i < artifact.n_entries && rc == 0; i++) {
		cairn_tensor listed, entry;

		rc = host->entry_list(work->run, &artifact, i, &listed);
		if (rc == 0 && !is_safe(listed.name))
			rc = host->fail(work->run, CAIRN_EINPUT,
				"entry '%s' of '%s' cannot become a file", listed.name,
				artifact.source);
		if (rc == 0)
			rc = host->entry_get(work->run, &artifact, listed.name, &entry);
		if (rc > 0)
			rc = host->fail(work->run, CAIRN_EBUG, "entry '%s' is listed but not there",
				listed.name);
		if (rc)
			break;
		cairn_text_clear(&path);
		cairn_text_printf(&path, "%s/in/in-%llu/%s", work->directory,
			(unsigned long long)index, listed.name);
		if (path.failed) {
			rc = host->fail(work->run, CAIRN_ENOMEM, "no memory for a path");
			break;
		}
		rc = make_parents(work, path.data, strlen(work->directory) + strlen("/in/"));
		if (rc == 0)
			rc = write_file(work, path.data, &entry);
	}
	cairn_text_free(&path);
	return rc;
}

/* A directory that is new whatever an earlier attempt left. */
static int make_directory(struct exec_work *work, const char *scratch)
{
	static const char *const parts[] = {"in", "out"};
	cairn_text path = {0};
	int rc = 0;

	cairn_text_printf(&path, "%s/exec-XXXXXX", scratch);
	if (path.failed)
		return work->host->fail(work->run, CAIRN_ENOMEM, "no memory for a path");
	if (!mkdtemp(path.data)) {
		rc = fail_errno(work, "create", path.data);
		cairn_text_free(&path);
		return rc;
	}
	work->directory = cairn_strdup(path.data);
	if (!work->directory)
		rc = work->host->fail(work->run, CAIRN_ENOMEM, "no memory for a path");
	for (size_t i = 0; i < CAIRN_COUNT(parts) && rc == 0; i++) {
		cairn_text_clear(&path);
		cairn_text_printf(&path, "%s/%s", work->directory, parts[i]);
		if (path.failed || mkdir(path.data, 0777) < 0)
			rc = fail_errno(work, "create", parts[i]);
	}
	cairn_text_free(&path);
	return rc;
}

int exec_put_inputs(struct exec_work *work)
{
	uint64_t n = work->host->input_count(work->run, "in");
	int rc = make_directory(work, work->host->scratch(work->run));

	for (uint64_t i = 0; i < n && rc == 0; i++)
		rc = put_artifact(work, i);
	return rc;
}

/* ---- outputs ------------------------------------------------------------------------------ */

/* The bytes of an open file as an entry. */
static int put_file(const struct exec_work *work, cairn_writer *writer, const char *name, int fd)
{
	cairn_tensor tensor = {.name = name, .dtype = CAIRN_U8, .n_dims = 1, .data = ""};
	struct stat st;
	void *bytes = NULL;
	int rc;

	if (fstat(fd, &st) < 0)
		return fail_errno(work, "read", name);
	if (!S_ISREG(st.st_mode))
		return work->host->fail(
			work->run, CAIRN_EINPUT, "'out/%s' is no regular file", name);
	tensor.bytes = tensor.dims[0] = (uint64_t)st.st_size;
	if (st.st_size) {
		bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED)
			return fail_errno(work, "read", name);
		tensor.data = bytes;
	}
	rc = work->host->put(writer, &tensor);
	if (bytes)
		munmap(bytes, (size_t)st.st_size);
	return rc;
}

static int take_output(const struct exec_work *work, cairn_writer *writer, const char *name)
{
	cairn_text path = {0};
	int fd, rc;

	cairn_text_printf(&path, "%s/out/%s", work->directory, name);
	fd = path.failed ? -1 : open(path.data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		rc = work->host->fail(work->run, CAIRN_EINPUT,
			"the command did not write 'out/%s': %s", name, strerror(errno));
		work->host->hint(
			work->run, "Let it write there, or take '%s' out of `outputs`.", name);
	} else {
		rc = put_file(work, writer, name, fd);
		close(fd);
	}
	cairn_text_free(&path);
	return rc;
}

int exec_take_outputs(const struct exec_work *work)
{
	const cairn_host *host = work->host;
	cairn_writer *writer;
	size_t n;
	char **names = exec_output_names(work->params->outputs, &n);
	int rc;

	if (!names)
		return host->fail(work->run, CAIRN_ENOMEM, "no memory for the names of outputs");
	rc = host->output_begin(work->run, "out", &writer);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = take_output(work, writer, names[i]);
	if (rc == 0)
		rc = host->commit(writer);
	exec_free_names(names);
	return rc;
}
