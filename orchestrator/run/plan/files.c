/* SPDX-License-Identifier: Apache-2.0 */
#include "run/plan/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "run/plan/filecache.h"

/* One distinct file. */
struct file {
	const char *path;             /* absolute */
	const cairn_binding *binding; /* the first that names it */
	cairn_filestamp stamp;
	const cairn_id *id;
};

static int blame(cairn_error *err, const cairn_binding *binding, int rc)
{
	if (binding->place.file)
		cairn_error_at(err, "%s:%d", binding->place.file, binding->place.line);
	return rc;
}

static int open_file(const struct file *file, cairn_error *err)
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return cairn_error_errno(
			err, CAIRN_EIO, errno, "cannot open '%s'", file->binding->path);
	return fd;
}

static int look_at(struct file *file, cairn_arena *arena, cairn_error *err)
{
	char absolute[PATH_MAX];
	int fd, rc;

	if (!realpath(file->binding->path, absolute)) {
		rc = errno == ENOENT || errno == ENOTDIR ? CAIRN_ENOTFOUND : CAIRN_EIO;
		cairn_error_errno(err, rc, errno, "cannot open '%s'", file->binding->path);
		cairn_error_hint(err, "Paths are relative to the workflow file.");
		return rc;
	}
	file->path = cairn_arena_strdup(arena, absolute);
	fd = open_file(file, err);
	if (fd < 0)
		return fd;
	rc = cairn_filestamp_take(&file->stamp, fd, file->binding->path, err);
	close(fd);
	return rc;
}

static const cairn_id *keep_id(const cairn_id *id, cairn_arena *arena)
{
	cairn_id *kept = cairn_arena_alloc(arena, 1, sizeof(*kept));

	*kept = *id;
	return kept;
}

/* Takes the id of a file that is known, unchanged and in the store. */
static void look_up(struct file *file, cairn_snapshot *snapshot, cairn_arena *arena)
{
	char text[CAIRN_ID_TEXT];
	cairn_id id;

	if (cairn_filecache_get(snapshot, file->path, &file->stamp, text, sizeof(text)) &&
		cairn_id_parse(&id, text, NULL) == 0 && cairn_snapshot_has(snapshot, &id))
		file->id = keep_id(&id, arena);
}

/* The text of a meta object that keeps the file's name. */
static char *name_as_meta(const char *path)
{
	const char *slash = strrchr(path, '/');
	json_t *json = json_pack("{s:s}", "name", slash ? slash + 1 : path);
	char *text;

	if (!json) /* a name that is not UTF-8 */
		json = json_object();
	text = cairn_json_canonical(json);
	json_decref(json);
	return text;
}

static int put_bytes(struct file *file, int fd, cairn_batch *batch, cairn_id *id, cairn_error *err)
{
	cairn_tensor tensor = {
		.name = "data",
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {(uint64_t)file->stamp.size},
		.data = "",
		.bytes = (uint64_t)file->stamp.size,
	};
	char *meta = name_as_meta(file->path);
	void *map = NULL;
	int rc;

	if (!meta)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading a file");
	if (tensor.bytes) {
		map = mmap(NULL, tensor.bytes, PROT_READ, MAP_PRIVATE, fd, 0);
		if (map == MAP_FAILED) {
			free(meta);
			return cairn_error_errno(
				err, CAIRN_EIO, errno, "cannot read '%s'", file->path);
		}
		tensor.data = map;
	}
	rc = cairn_batch_artifact_begin(batch, "file", err);
	if (rc == 0)
		rc = cairn_batch_artifact_put(batch, &tensor, err);
	if (rc == 0)
		rc = cairn_batch_artifact_end(batch, meta, id, err);
	if (map)
		munmap(map, tensor.bytes);
	free(meta);
	return rc;
}

static int store_file(struct file *file, cairn_batch *batch, cairn_arena *arena, cairn_error *err)
{
	char text[CAIRN_ID_TEXT];
	cairn_filestamp after;
	cairn_id id;
	int fd = open_file(file, err), rc;

	if (fd < 0)
		return fd;
	rc = cairn_filestamp_take(&file->stamp, fd, file->path, err);
	if (rc == 0)
		rc = put_bytes(file, fd, batch, &id, err);
	if (rc == 0)
		rc = cairn_filestamp_take(&after, fd, file->path, err);
	close(fd);
	if (rc < 0)
		return rc;
	if (!cairn_filestamp_equal(&file->stamp, &after)) {
		cairn_error_set(err, CAIRN_EIO, "'%s' changed while it was read", file->path);
		cairn_error_hint(err, "Run again when whoever writes the file is done.");
		return CAIRN_EIO;
	}
	file->id = keep_id(&id, arena);
	cairn_id_format(&id, text);
	return cairn_filecache_put(batch, file->path, &file->stamp, text, err);
}

/* Those without an id; nothing is written where there are none. */
static int store_new(
	struct file *files, size_t n, cairn_store *store, cairn_arena *arena, cairn_error *err)
{
	cairn_batch *batch = NULL;
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		if (files[i].id)
			continue;
		if (!batch)
			rc = cairn_batch_begin(&batch, store, err);
		if (rc == 0)
			rc = store_file(&files[i], batch, arena, err);
		if (rc < 0)
			blame(err, files[i].binding, rc);
	}
	if (rc < 0) {
		cairn_batch_abort(batch);
		return rc;
	}
	return batch ? cairn_batch_commit(batch, err) : 0;
}

static int by_path(const void *a, const void *b)
{
	const cairn_file_input *x = a, *y = b;

	return strcmp(x->binding->path, y->binding->path);
}

/* One look at each path, however many stages name it: they must agree. */
static int look_at_all(
	struct file *files, size_t n, cairn_store *store, cairn_arena *arena, cairn_error *err)
{
	cairn_snapshot *snapshot;
	int rc = cairn_snapshot_begin(&snapshot, store, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = look_at(&files[i], arena, err);
		if (rc == 0)
			look_up(&files[i], snapshot, arena);
		else
			blame(err, files[i].binding, rc);
	}
	cairn_snapshot_end(snapshot);
	return rc;
}

int cairn_files_take(cairn_file_input *inputs, size_t n, cairn_store *store, cairn_arena *arena,
	cairn_error *err)
{
	struct file *files;
	size_t n_files = 0, at = 0;
	int rc;

	if (!n)
		return 0;
	qsort(inputs, n, sizeof(*inputs), by_path);
	for (size_t i = 0; i < n; i++)
		n_files += i == 0 || by_path(&inputs[i - 1], &inputs[i]) != 0;
	files = cairn_arena_alloc(arena, n_files, sizeof(*files));
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || by_path(&inputs[i - 1], &inputs[i]) != 0)
			files[at++].binding = inputs[i].binding;
	}
	rc = look_at_all(files, n_files, store, arena, err);
	if (rc == 0)
		rc = store_new(files, n_files, store, arena, err);
	at = 0;
	for (size_t i = 0; i < n && rc == 0; i++) {
		at += i && by_path(&inputs[i - 1], &inputs[i]) != 0;
		*inputs[i].id = files[at].id;
	}
	return rc;
}
