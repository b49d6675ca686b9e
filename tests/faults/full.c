/* SPDX-License-Identifier: Apache-2.0 */
/*
 * full.c - the disk is full in the middle of a run: the error says where, the run ends with 1 and
 * keeps what it had; after room was made, the next run goes on without another word.
 *
 * Needs a small file system of its own, which root may mount, and others in a user namespace; where
 * neither is allowed the tests are skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "background.h"
#include "cli/drive.h"

static void write_to(const char *path, const char *format, unsigned id)
{
	FILE *file = fopen(path, "w");

	if (!file)
		return; /* the mount will not work, then */
	fprintf(file, format, id);
	fclose(file);
}

/* Mounts of our own, so that nothing is left behind however this ends. */
static bool enter_namespace(void)
{
	unsigned uid = getuid(), gid = getgid();

	if (unshare(CLONE_NEWNS) < 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			return false;
		write_to("/proc/self/setgroups", "deny", 0);
		write_to("/proc/self/uid_map", "0 %u 1", uid);
		write_to("/proc/self/gid_map", "0 %u 1", gid);
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Mounts "small"; skips the test where it may not. */
static void mount_small(void)
{
	assert_int_equal(mkdir("small", 0700), 0);
	if (mount("cairn", "small", "tmpfs", 0, "size=32m") < 0) {
		print_message("no file system may be mounted here: %s\n", strerror(errno));
		skip();
	}
}

/* Leaves so much room. */
static void fill_up(long leave)
{
	char block[65536] = {1};
	int fd = open("small/ballast", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	struct stat st;

	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size > leave ? st.st_size - leave : 0), 0);
	close(fd);
}

static void make_room(void)
{
	assert_int_equal(unlink("small/ballast"), 0);
}

static int teardown(void **state)
{
	umount2("small", MNT_DETACH);
	return drive_teardown(state);
}

/* Stages of a megabyte each, until nothing more goes in. */
static const char large[] = "[workflow]\nname = w\n[axis n]\nvalues = 1, 2, 3, 4, 5, 6, 7, 8\n"
			    "[stage s]\nplugin = fickle\ndoes = large\ntext = ${n}\nforeach = n\n"
			    "[stage z]\nplugin = noop\ninput.in = s@*:out\n";

static void check_whole(int done_before)
{
	char want[32];
	const outcome *got;

	make_room();
	got = cairn_is(0, "--store small/s run w.ini");
	snprintf(want, sizeof(want), "cached %d", done_before);
	if (done_before >= 0)
		assert_has(got->out, want);
	cairn_is(0, "--store small/s fsck");
	assert_has(cairn_is(0, "--store small/s run w.ini")->out, "done 0, cached 9");
}

static void test_faults_full__before_the_run(void **state)
{
	const outcome *got;

	(void)state;
	mount_small();
	drive_write("w.ini", large);
	fill_up(0);
	got = cairn("--store small/s run");
	assert_int_equal(got->status, 1);
	assert_has(got->err,
		"The disk (or a quota) is full. Make room on the file system of 'small/s");
	check_whole(0);
}

static void test_faults_full__in_the_middle(void **state)
{
	const outcome *got;
	json_t *status;

	(void)state;
	mount_small();
	drive_write("w.ini", large);
	drive_write("first.ini", "[workflow]\nname = first\n[stage a]\nplugin = noop\n");
	cairn_is(0, "--store small/s run first.ini");
	fill_up(3 << 20);
	got = cairn("--store small/s run w.ini");
	assert_int_equal(got->status, 1);
	assert_has(got->err,
		"The disk (or a quota) is full. Make room on the file system of 'small/s");
	/* What was made is there, and readers read. */
	status = cairn_json("--store small/s status", "cairn.status/1");
	assert_string_equal(cairn_json_string(status, "workflow", ""), "w");
	json_decref(status);
	cairn_is(0, "--store small/s log");
	check_whole(-1);
}

/* While checkpoints are written: the stage fails, and the next run goes on from an earlier one. */
static void test_faults_full__during_checkpoints(void **state)
{
	background b;
	char *err;

	(void)state;
	mount_small();
	drive_write("w.ini", "[workflow]\nname = w\n[params]\npause = 10ms\nevery = 1\n[stage a]\n"
			     "plugin = counter\nsteps = 3000\npause = ${pause}\n"
			     "checkpoint_every = ${every}\n");
	b = background_start("--store small/s run -v w.ini");
	background_says(&b, "checkpoint at step");
	fill_up(0);
	assert_int_equal(background_end(&b, 60), 1);
	err = background_err(&b);
	assert_has(err, "The disk (or a quota) is full. Make room on the file system of 'small/s/");
	free(err);
	make_room();
	assert_has(cairn_is(0, "--store small/s run -p pause=0s -p every=1000 w.ini")->err,
		"resumes at step");
	cairn_is(0, "--store small/s fsck");
}

#define MOUNTED(test) cmocka_unit_test_setup_teardown(test, drive_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOUNTED(test_faults_full__before_the_run),
		MOUNTED(test_faults_full__in_the_middle),
		MOUNTED(test_faults_full__during_checkpoints),
	};

	if (!enter_namespace()) {
		print_message("skipped: no mounts of our own: %s\n", strerror(errno));
		return 0;
	}
	return cmocka_run_group_tests_name("faults/full", tests, NULL, NULL);
}
