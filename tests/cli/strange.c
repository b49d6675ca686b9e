/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strange.c - what is no store, or not ours to write: which verb says what.
 *
 * Nothing is made where no store is, and what can be read is read. Where root runs this, somebody
 * without rights is played by nobody; the read-only file system needs a mount of its own, which
 * root may make, and others in a user namespace.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drive.h"

#define NOBODY 65534

static int setup_run(void **state)
{
	int rc = drive_setup(state);

	if (rc != 0)
		return rc;
	drive_write("data.bin", "ab\n");
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = counter\n"
			     "input.in = file:data.bin\nsteps = 2\n");
	cairn_is(0, "run -q");
	return 0;
}

/* false, with a message: this user may do everything, or nobody may run the binary. */
static bool become_nobody(void)
{
	if (geteuid() != 0)
		return true;
	assert_int_equal(chmod(".", 0777), 0);
	if (seteuid(NOBODY) == 0 && eaccess(CAIRN_BINARY, X_OK) == 0)
		return true;
	assert_int_equal(seteuid(0), 0);
	print_message("nobody may not run %s: skipped\n", CAIRN_BINARY);
	return false;
}

static void become_again(uid_t user)
{
	if (geteuid() != user)
		assert_int_equal(seteuid(user), 0);
}

static void test_cli_strange__a_file_is_no_store(void **state)
{
	(void)state;
	assert_has(cairn_is(2, "status --store data.bin")->err, "it is no directory");
	assert_has(cairn_is(2, "run --store data.bin")->err, "it is no directory");
	assert_has(cairn_is(2, "fsck --store data.bin")->err, "it is no directory");
	assert_has(cairn_is(2, "gc --store data.bin")->err, "it is no directory");
}

static void test_cli_strange__a_foreign_directory_is_left_alone(void **state)
{
	const outcome *got;

	(void)state;
	assert_int_equal(mkdir("foreign", 0777), 0);
	drive_write("foreign/thesis.txt", "x");
	assert_has(cairn_is(3, "status --store foreign")->err, "there is no store in 'foreign'");
	assert_has(cairn_is(3, "fsck --rebuild --store foreign")->err, "there is no store");
	assert_has(cairn_is(3, "gc --delete --store foreign")->err, "there is no store");
	got = cairn_is(2, "run --store foreign");
	assert_has(got->err, "not a store and not empty");
	assert_has(got->err, "thesis.txt");
	assert_int_equal(access("foreign/meta", F_OK), -1);
	assert_int_equal(access("foreign/lock", F_OK), -1);
}

static void test_cli_strange__a_newer_store_is_named(void **state)
{
	static const char *const verbs[] = {
		"status", "run", "plan", "fsck", "fsck --rebuild", "gc --delete", "du"};
	char *format = drive_read(".cairn/format"), *version = strstr(format, "version = ");

	(void)state;
	assert_non_null(version);
	version[strlen("version = ")] = '9';
	drive_write(".cairn/format", format);
	free(format);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		assert_has(cairn_is(2, verbs[i])->err, "it is version 9");
		assert_has(cairn_is(2, verbs[i])->err, "Use a newer cairn");
	}
}

/* LMDB's readers sign up in the lock file. */
static void test_cli_strange__somebody_without_rights(void **state)
{
	uid_t user = geteuid();

	(void)state;
	assert_int_equal(chmod(".cairn/meta/lock.mdb", 0444), 0);
	if (become_nobody()) {
		assert_has(cairn_is(1, "status")->err, "meta/lock.mdb");
		assert_has(cairn_is(1, "run")->err, "see to the permissions of '.cairn/meta'");
		become_again(user);
		assert_int_equal(chmod(".cairn", 0), 0);
		(void)become_nobody();
		assert_has(cairn_is(1, "status")->err, "cannot open the store '.cairn'");
		assert_has(cairn_is(1, "run")->err, "see to the permissions of '.cairn'");
		become_again(user);
		assert_int_equal(chmod(".cairn", 0755), 0);
	}
	assert_int_equal(chmod(".cairn/meta/lock.mdb", 0666), 0);
	cairn_is(0, "fsck");
}

/* ---- a read-only file system ------------------------------------------------------------------
 */

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool is_done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return is_done;
}

static bool own_mounts(void)
{
	char map[64];

	if (unshare(CLONE_NEWNS) != 0) {
		snprintf(map, sizeof(map), "0 %d 1", (int)geteuid());
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
			!write_text("/proc/self/setgroups", "deny") ||
			!write_text("/proc/self/uid_map", map))
			return false;
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static bool mount_read_only(const char *path)
{
	return own_mounts() && mount(path, path, NULL, MS_BIND, NULL) == 0 &&
	       mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0;
}

static void test_cli_strange__a_read_only_file_system_can_be_read(void **state)
{
	static const char *const readers[] = {
		"status", "log", "lineage up a:out", "ls a:out", "cat a:out text", "fsck", "du"};
	static const char *const writers[] = {"run", "gc --delete", "fsck --repair"};

	(void)state;
	if (!mount_read_only(".cairn")) {
		print_message("no file system may be mounted here: skipped\n");
		return;
	}
	for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++)
		cairn_is(0, readers[i]);
	for (size_t i = 0; i < sizeof(writers) / sizeof(*writers); i++) {
		assert_has(cairn_is(1, writers[i])->err, "Read-only file system");
		assert_has(cairn_is(1, writers[i])->err, "can be read");
	}
	assert_int_equal(umount2(".cairn", MNT_DETACH), 0);
	cairn_is(0, "run");
}

#define ON_A_RUN(test) cmocka_unit_test_setup_teardown(test, setup_run, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_RUN(test_cli_strange__a_file_is_no_store),
		ON_A_RUN(test_cli_strange__a_foreign_directory_is_left_alone),
		ON_A_RUN(test_cli_strange__a_newer_store_is_named),
		ON_A_RUN(test_cli_strange__somebody_without_rights),
		ON_A_RUN(test_cli_strange__a_read_only_file_system_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
