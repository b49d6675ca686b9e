/* SPDX-License-Identifier: Apache-2.0 */
#include "run/plan/filecache.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/record.h"
#include "base/text.h"

#define RACY_MS        2000
#define NAME_MAX_BYTES 511 /* a key of the store */

static int64_t in_ns(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int cairn_filestamp_take(cairn_filestamp *out, int fd, const char *path, cairn_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return cairn_error_errno(err, CAIRN_EIO, errno, "cannot look at '%s'", path);
	if (!S_ISREG(st.st_mode)) {
		cairn_error_set(err, CAIRN_EINPUT, "'%s' is %s", path,
			S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
		cairn_error_hint(err, "Name a file.");
		return CAIRN_EINPUT;
	}
	*out = (cairn_filestamp){
		.size = st.st_size,
		.mtime_ns = in_ns(st.st_mtim),
		.ctime_ns = in_ns(st.st_ctim),
		.inode = (int64_t)st.st_ino,
		.dev = (int64_t)st.st_dev,
		.read_ms = cairn_now_ms(),
	};
	return 0;
}

bool cairn_filestamp_equal(const cairn_filestamp *a, const cairn_filestamp *b)
{
	return a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
	       a->inode == b->inode && a->dev == b->dev;
}

bool cairn_filecache_get(cairn_snapshot *snapshot, const char *name, const cairn_filestamp *now,
	char *id, size_t cap)
{
	cairn_filestamp then;
	json_t *json = NULL;
	const void *value;
	size_t len;
	bool is_known;

	if (strlen(name) > NAME_MAX_BYTES ||
		cairn_snapshot_get(snapshot, "filecache", name, strlen(name), &value, &len, NULL) <
			0 ||
		cairn_json_parse(&json, value, len, "filecache", NULL) < 0)
		return false;
	then = (cairn_filestamp){
		.size = cairn_json_integer(json, "size", -1),
		.mtime_ns = cairn_json_integer(json, "mtime_ns", 0),
		.ctime_ns = cairn_json_integer(json, "ctime_ns", 0),
		.inode = cairn_json_integer(json, "inode", 0),
		.dev = cairn_json_integer(json, "dev", 0),
		.read_ms = cairn_json_integer(json, "read_ms", 0),
	};
	is_known = cairn_filestamp_equal(&then, now) &&
		   then.mtime_ns / 1000000 + RACY_MS < then.read_ms &&
		   cairn_copy(id, cap, cairn_json_string(json, "id", "")) && id[0];
	json_decref(json);
	return is_known;
}

int cairn_filecache_put(cairn_batch *batch, const char *name, const cairn_filestamp *stamp,
	const char *id, cairn_error *err)
{
	char value[512];
	int len;

	if (strlen(name) > NAME_MAX_BYTES)
		return 0;
	len = snprintf(value, sizeof(value),
		"{\"size\":%lld,\"mtime_ns\":%lld,\"ctime_ns\":%lld,\"inode\":%lld,\"dev\":%lld,"
		"\"read_ms\":%lld,\"id\":\"%s\"}",
		(long long)stamp->size, (long long)stamp->mtime_ns, (long long)stamp->ctime_ns,
		(long long)stamp->inode, (long long)stamp->dev, (long long)stamp->read_ms, id);
	return cairn_batch_put(batch, "filecache", name, strlen(name), value, (size_t)len, err);
}
