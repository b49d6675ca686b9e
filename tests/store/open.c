/* SPDX-License-Identifier: Apache-2.0 */
/* Opening: what is a store, what is none, and what a half-made one becomes. */
#include "support.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "store/internal.h"

static char *in(const char *directory, const char *name)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static int try_open(const char *directory, unsigned flags, cairn_error *err)
{
	cairn_store *store = NULL;
	int rc;

	cairn_error_clear(err);
	rc = cairn_store_open(&store, directory, flags, err);
	cairn_store_close(store);
	return rc;
}

static void test_store_open__needs_create_to_make_one(void **state)
{
	cairn_error err;

	assert_int_equal(try_open(*state, 0, &err), CAIRN_ENOTFOUND);
	assert_int_equal(try_open(*state, CAIRN_STORE_READONLY, &err), CAIRN_ENOTFOUND);
	assert_int_equal(
		try_open(*state, CAIRN_STORE_READONLY | CAIRN_STORE_CREATE, &err), CAIRN_ENOTFOUND);
	assert_int_equal(mkdir(*state, 0777), 0);
	assert_int_equal(try_open(*state, 0, &err), CAIRN_ENOTFOUND);
	OK(try_open(*state, CAIRN_STORE_CREATE, &err));
	OK(try_open(*state, 0, &err));
	OK(try_open(*state, CAIRN_STORE_CREATE, &err));
}

static void test_store_open__refuses_a_foreign_directory(void **state)
{
	cairn_error err;

	assert_int_equal(mkdir(*state, 0777), 0);
	support_write(in(*state, "thesis.txt"), "x", 1);
	assert_int_equal(try_open(*state, CAIRN_STORE_CREATE, &err), CAIRN_EINPUT);
	assert_non_null(strstr(err.detail, "thesis.txt"));
	assert_int_equal(access(in(*state, "meta"), F_OK), -1); /* nothing was made */
	assert_int_equal(try_open(in(*state, "thesis.txt"), 0, &err), CAIRN_EINPUT);
	support_write(in(*state, "format"), "ext4\n", 5);
	assert_int_equal(try_open(*state, 0, &err), CAIRN_EINPUT);
	assert_non_null(strstr(err.message, "foreign"));
}

static void test_store_open__refuses_a_newer_format(void **state)
{
	static const char *const newer[] = {
		"cairn store\nversion = 3\nhash = sha256\nchunk = 4194304\nuuid = ",
		"cairn store\nversion = 1\nhash = blake3\nchunk = 4194304\nuuid = ",
		"cairn store\nversion = 1\nhash = sha256\nchunk = 1048576\nuuid = ",
	};
	cairn_error err;

	cairn_store_close(support_open(*state, CAIRN_STORE_CREATE));
	for (size_t i = 0; i < CAIRN_COUNT(newer); i++) {
		support_write(in(*state, "format"), newer[i], strlen(newer[i]));
		assert_int_equal(try_open(*state, 0, &err), CAIRN_EINPUT);
		assert_non_null(strstr(err.hint, "newer cairn"));
	}
	support_write(in(*state, "format"), "cairn store\n", 12);
	assert_int_equal(try_open(*state, 0, &err), CAIRN_EINTEGRITY);
}

/* Whatever step the creation was cut off at, the next one completes it. */
static void test_store_open__completes_a_half_made_store(void **state)
{
	cairn_error err;
	size_t len;
	uint8_t *first, *second;

	assert_int_equal(mkdir(*state, 0777), 0);
	assert_int_equal(mkdir(in(*state, "meta"), 0777), 0);
	OK(try_open(*state, CAIRN_STORE_CREATE, &err));
	first = support_read(in(*state, "format"), &len);
	support_write(in(*state, "format.new.4711"), "cairn st", 8);
	assert_int_equal(unlink(in(*state, "format")), 0);
	assert_int_equal(try_open(*state, 0, &err), CAIRN_ENOTFOUND);
	OK(try_open(*state, CAIRN_STORE_CREATE, &err));
	second = support_read(in(*state, "format"), &len);
	assert_memory_equal(first, second, len); /* the uuid was settled already */
	free(first);
	free(second);
}

static int create_and_commit(void *arg)
{
	cairn_error err = {0};
	cairn_store *store;
	cairn_batch *batch;

	if (cairn_store_open(&store, arg, CAIRN_STORE_CREATE, &err) ||
		cairn_batch_begin(&batch, store, &err) ||
		cairn_batch_put(batch, "note", "k", 1, "v", 1, &err) ||
		cairn_batch_commit(batch, &err))
		return 1;
	cairn_store_close(store);
	return 0;
}

static void test_store_open__may_be_created_by_many_at_once(void **state)
{
	pid_t pids[6];
	cairn_error err;

	for (size_t i = 0; i < CAIRN_COUNT(pids); i++)
		pids[i] = support_fork(create_and_commit, *state);
	for (size_t i = 0; i < CAIRN_COUNT(pids); i++)
		assert_int_equal(support_wait(pids[i]), 0);
	OK(try_open(*state, 0, &err));
}

static void test_store_open__finds_a_lost_or_swapped_index(void **state)
{
	char other[600];
	cairn_error err;

	cairn_store_close(support_open(*state, CAIRN_STORE_CREATE));
	snprintf(other, sizeof(other), "%s-other", (char *)*state);
	cairn_store_close(support_open(other, CAIRN_STORE_CREATE));
	assert_int_equal(unlink(in(*state, "meta/data.mdb")), 0);
	assert_int_equal(try_open(*state, CAIRN_STORE_CREATE, &err), CAIRN_EINTEGRITY);
	assert_non_null(strstr(err.message, "lost its index"));
	support_write(in(*state, "meta/data.mdb"), "", 0);
	assert_int_equal(try_open(*state, 0, &err), CAIRN_EINTEGRITY);
	support_copy_tree(other, *state);
	OK(try_open(*state, 0, &err));
	cairn_store_close(support_open(in(*state, "../third"), CAIRN_STORE_CREATE));
	{
		size_t len;
		uint8_t *format = support_read(in(*state, "../third/format"), &len);

		support_write(in(*state, "format"), format, len);
		free(format);
	}
	assert_int_equal(try_open(*state, 0, &err), CAIRN_EINTEGRITY);
	assert_non_null(strstr(err.message, "another store"));
}

static void test_store_open__once_per_process(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err;

	assert_int_equal(try_open(*state, 0, &err), CAIRN_EBUG);
	assert_int_equal(support_child(create_and_commit, *state), 0); /* another process may */
	assert_string_equal(cairn_store_path(store), *state);
	cairn_store_close(store);
	OK(try_open(*state, 0, &err));
}

static void test_store_open__leaves_no_file_open_for_other_programs(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	int n_seen = 0;

	support_commit(store, 1, 100 << 10, 1); /* so that there is a segment too */
	for (int fd = 0; fd < 256; fd++) {
		char link[64], path[600] = "";
		int flags = fcntl(fd, F_GETFD);

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (flags < 0 || readlink(link, path, sizeof(path) - 1) <= 0 ||
			strncmp(path, *state, strlen(*state)) != 0)
			continue;
		n_seen++;
		assert_true(flags & FD_CLOEXEC);
	}
	assert_true(n_seen >= 4);
	cairn_store_close(store);
}

static void test_store_open__knows_network_file_systems(void **state)
{
	(void)state;
	assert_string_equal(cairn_disk__network_name(0x6969, NULL), "NFS");
	assert_string_equal(cairn_disk__network_name(0xff534d42, NULL), "CIFS");
	assert_string_equal(cairn_disk__network_name(0xfe534d42, NULL), "SMB2");
	assert_string_equal(cairn_disk__network_name(0x0bd00bd0, NULL), "Lustre");
	assert_string_equal(cairn_disk__network_name(0x65735546, "fuse.sshfs"), "fuse.sshfs");
	assert_null(cairn_disk__network_name(0x65735546, "fuseblk"));
	assert_null(cairn_disk__network_name(0x65735546, NULL));
	assert_null(cairn_disk__network_name(0xef53, NULL));     /* ext4 */
	assert_null(cairn_disk__network_name(0x01021994, NULL)); /* tmpfs */
}

/* In place of the C library's: what the kernel would say of another file system. */
static unsigned fake_type;

int fstatfs(int fd, struct statfs *out)
{
	(void)fd;
	*out = (struct statfs){.f_type = (int)fake_type};
	return 0;
}

static void test_store_open__refuses_a_network_file_system(void **state)
{
	cairn_error err;

	OK(try_open(*state, CAIRN_STORE_CREATE, &err));
	fake_type = 0x6969;
	assert_int_equal(try_open(*state, 0, &err), CAIRN_EINPUT);
	assert_non_null(strstr(err.message, "network file system (NFS)"));
	assert_non_null(strstr(err.hint, "--store"));
	assert_int_equal(try_open(*state, CAIRN_STORE_READONLY, &err), CAIRN_EINPUT);
	fake_type = 0xff534d42; /* which some kernels extend by its sign */
	assert_int_equal(try_open(*state, CAIRN_STORE_CREATE, &err), CAIRN_EINPUT);
	fake_type = 0xef53;
	OK(try_open(*state, 0, &err));
	fake_type = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_open__needs_create_to_make_one),
		TEST(test_store_open__refuses_a_foreign_directory),
		TEST(test_store_open__refuses_a_newer_format),
		TEST(test_store_open__completes_a_half_made_store),
		TEST(test_store_open__may_be_created_by_many_at_once),
		TEST(test_store_open__finds_a_lost_or_swapped_index),
		TEST(test_store_open__once_per_process),
		TEST(test_store_open__leaves_no_file_open_for_other_programs),
		TEST(test_store_open__refuses_a_network_file_system),
		cmocka_unit_test(test_store_open__knows_network_file_systems),
	};

	return cmocka_run_group_tests_name("store/open", tests, NULL, NULL);
}
