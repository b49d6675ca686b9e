/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st;
	(void)kind;
	(void)walk;
	return remove(path);
}

/* In a child of the test a failure must end the child: cmocka would go on with the tests there. */
static bool is_child;

int support_setup(void **state)
{
	const char *base = getenv("TMPDIR");
	char *path = malloc(256);

	if (!path)
		return -1;
	snprintf(path, 240, "%s/cairn-store-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(path)) {
		free(path);
		return -1;
	}
	memcpy(path + strlen(path), "/store", sizeof("/store"));
	*state = path;
	return 0;
}

int support_teardown(void **state)
{
	char *path = *state;

	*strrchr(path, '/') = 0;
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
	return 0;
}

void support_check(int rc, const cairn_error *err, const char *what, const char *file, int line)
{
	if (rc == 0)
		return;
	if (is_child)
		_exit(99);
	print_error("%s\n  answered %d %s: %s\n  detail: %s\n  hint: %s\n", what, rc,
		cairn_error_name(rc), err->message, err->detail, err->hint);
	_fail(file, line);
}

cairn_store *support_open(const char *directory, unsigned flags)
{
	cairn_error err = {0};
	cairn_store *store = NULL;

	OK(cairn_store_open(&store, directory, flags, &err));
	return store;
}

/* SplitMix64: each word depends on its place and the seed only. */
void support_fill(void *to, size_t len, uint64_t seed)
{
	uint8_t *bytes = to;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t z = seed * 0xd1342543de82ef95u + (i / 8 + 1) * 0x9e3779b97f4a7c15u;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		z ^= z >> 31;
		memcpy(bytes + i, &z, len - i < 8 ? len - i : 8);
	}
}

uint8_t *support_bytes(size_t len, uint64_t seed)
{
	uint8_t *bytes = malloc(len ? len : 1);

	assert_non_null(bytes);
	support_fill(bytes, len, seed);
	return bytes;
}

cairn_tensor support_file(const char *name, const void *data, size_t len)
{
	return (cairn_tensor){.name = name,
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {len},
		.data = data,
		.bytes = len};
}

void support_put(cairn_batch *batch, size_t n, size_t len, uint64_t seed, cairn_id *out)
{
	uint8_t *bytes = support_bytes(len, 0);
	cairn_error err = {0};
	char name[32];

	OK(cairn_batch_artifact_begin(batch, "file", &err));
	for (size_t i = 0; i < n; i++) {
		cairn_tensor tensor = support_file(name, bytes, len);

		snprintf(name, sizeof(name), "e%zu", i);
		support_fill(bytes, len, seed + i);
		OK(cairn_batch_artifact_put(batch, &tensor, &err));
	}
	OK(cairn_batch_artifact_end(batch, NULL, out, &err));
	free(bytes);
}

cairn_id support_commit(cairn_store *store, size_t n, size_t len, uint64_t seed)
{
	cairn_error err = {0};
	cairn_batch *batch;
	cairn_id id;

	OK(cairn_batch_begin(&batch, store, &err));
	support_put(batch, n, len, seed, &id);
	OK(cairn_batch_commit(batch, &err));
	return id;
}

int support_verify(cairn_store *store, const cairn_id *id, size_t n, size_t len, uint64_t seed,
	cairn_error *err)
{
	uint8_t *want = support_bytes(len, 0);
	cairn_object *object = NULL;
	cairn_tensor got;
	char name[32];
	int rc = cairn_object_open(&object, store, id, err);

	if (!rc && cairn_object_count(object) != n)
		rc = cairn_error_set(err, CAIRN_EBUG, "wrong number of entries");
	for (size_t i = 0; i < n && !rc; i++) {
		snprintf(name, sizeof(name), "e%zu", i);
		support_fill(want, len, seed + i);
		rc = cairn_object_read(object, name, &got, err);
		if (!rc && (got.bytes != len || memcmp(got.data, want, len) != 0))
			rc = cairn_error_set(err, CAIRN_EBUG, "wrong bytes without an error");
	}
	cairn_object_close(object);
	free(want);
	return rc;
}

/* ---- files ----------------------------------------------------------------------------- */

uint64_t support_size(const char *directory, const char *name)
{
	char path[600];
	const struct dirent *found;
	uint64_t sum = 0;
	DIR *stream;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	stream = opendir(path);
	assert_non_null(stream);
	while ((found = readdir(stream))) {
		struct stat st;

		if (fstatat(dirfd(stream), found->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
	}
	closedir(stream);
	return sum;
}

void support_write(const char *path, const void *bytes, size_t len)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

uint8_t *support_read(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *bytes;

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &st), 0);
	*len = (size_t)st.st_size;
	bytes = malloc(*len + 1);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, *len, file), *len);
	fclose(file);
	return bytes;
}

void support_copy_tree(const char *from, const char *to)
{
	DIR *stream = opendir(from);
	const struct dirent *found;

	assert_non_null(stream);
	mkdir(to, 0777);
	while ((found = readdir(stream))) {
		char a[600], b[600];
		struct stat st;
		size_t len;

		if (!strcmp(found->d_name, ".") || !strcmp(found->d_name, ".."))
			continue;
		snprintf(a, sizeof(a), "%s/%s", from, found->d_name);
		snprintf(b, sizeof(b), "%s/%s", to, found->d_name);
		assert_int_equal(stat(a, &st), 0);
		if (S_ISDIR(st.st_mode)) {
			support_copy_tree(a, b);
		} else {
			uint8_t *bytes = support_read(a, &len);

			support_write(b, bytes, len);
			free(bytes);
		}
	}
	closedir(stream);
}

void support_remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- processes ------------------------------------------------------------------------- */

pid_t support_fork(int (*fn)(void *arg), void *arg)
{
	static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		is_child = true;
		/* cmocka's own, which go on with the next test. */
		for (size_t i = 0; i < CAIRN_COUNT(deadly); i++)
			signal(deadly[i], SIG_DFL);
		_exit(fn(arg));
	}
	return pid;
}

int support_wait(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int support_child(int (*fn)(void *arg), void *arg)
{
	return support_wait(support_fork(fn, arg));
}
