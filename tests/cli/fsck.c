/* SPDX-License-Identifier: Apache-2.0 */
/* fsck.c - damage on the disk, as a person meets it: what is named, and what brings it back. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drive.h"

static const char line[] = "[workflow]\nname = w\n[stage a]\nplugin = counter\n"
			   "input.in = file:data.bin\ntext = what a writes\n"
			   "[stage b]\nplugin = counter\ninput.in = a:out\n";

enum {
	DATA = 300 << 10, /* one chunk in a segment */
	PAGE = 4096,
};

static int setup_run(void **state)
{
	int rc = drive_setup(state);
	char *data;

	if (rc != 0)
		return rc;
	data = malloc(DATA + 1);
	if (!data)
		return -1;
	for (size_t i = 0; i < DATA; i++)
		data[i] = (char)('a' + i * i % 23);
	data[DATA] = 0;
	drive_write("data.bin", data);
	drive_write("w.ini", line);
	free(data);
	cairn_is(0, "run -q");
	return 0;
}

static void change(const char *path, off_t at, const void *bytes, size_t len)
{
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, at), len);
	close(fd);
}

/* The only segment: the data file is the only large thing. */
static const char *segment(void)
{
	static char path[64];

	for (int i = 0; i < 16; i++) {
		snprintf(path, sizeof(path), ".cairn/seg/%08x.seg", i);
		if (access(path, F_OK) == 0)
			return path;
	}
	fail_msg("there is no segment");
	return NULL;
}

/* Changes a byte of all places in the index where the text stands, but not inside another one: the
 * workflow and the records quote it. */
static void change_in_index(const char *text)
{
	size_t len = strlen(text), n = 0;
	struct stat st;
	char *index;
	int fd = open(".cairn/meta/data.mdb", O_RDWR);

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	index = malloc((size_t)st.st_size);
	assert_non_null(index);
	assert_int_equal(pread(fd, index, (size_t)st.st_size, 0), st.st_size);
	for (size_t at = 0; at + len <= (size_t)st.st_size; at++) {
		if (at > 0 && !strchr(" \"=", index[at - 1]) &&
			memcmp(index + at, text, len) == 0) {
			assert_int_equal(pwrite(fd, "#", 1, (off_t)at), 1);
			n++;
		}
	}
	free(index);
	close(fd);
	assert_true(n > 0);
}

static const char *at(const json_t *json, const char *list, size_t i, const char *member)
{
	return cairn_json_string(json_array_get(json_object_get(json, list), i), member, "(none)");
}

static void test_cli_fsck__a_clean_store(void **state)
{
	json_t *json = cairn_json("fsck", "cairn.fsck/1");

	(void)state;
	assert_true(json_is_true(json_object_get(json, "is_clean")));
	assert_int_equal(json_array_size(json_object_get(json, "damages")), 0);
	assert_int_equal(json_array_size(json_object_get(json, "gone")), 0);
	assert_true(cairn_json_integer(json, "bytes", 0) > DATA);
	json_decref(json);
	assert_has(cairn_is(0, "fsck")->out, "no damage");
	assert_has(cairn_is(0, "fsck --index -q")->out, "no damage");
	assert_has(cairn_is(0, "fsck --repair")->out, "no damage");
	assert_has(cairn_is(3, "fsck --store nowhere")->err, "there is no store");
	assert_has(cairn_is(3, "fsck --repair --store nowhere")->err, "there is no store");
	assert_int_not_equal(access("nowhere", F_OK), 0);
}

static void test_cli_fsck__a_file_that_was_read_is_read_again(void **state)
{
	json_t *json;
	const outcome *got;

	(void)state;
	change(segment(), 2 * PAGE + 1234, "#", 1);
	got = cairn_is(4, "fsck");
	assert_has(got->out, "entry 'data', chunk");
	assert_has(got->out, "in segment 0000");
	assert_has(got->out, "at byte 4096");
	assert_has(got->out, "used by a, b\n");
	assert_has(got->out, "chunk ");
	assert_has_not(got->out, "chunk chunk");
	assert_has(got->out, "the next `cairn run` reads file:data.bin again");
	assert_has(got->err, "cairn fsck --repair");
	json = cairn_json("fsck", "cairn.fsck/1");
	assert_string_equal(at(json, "hurt", 0, "remedy"), "file");
	json_decref(json);
	got = cairn_is(4, "fsck --repair");
	assert_has(got->out, "dropped chunk");
	assert_has(got->out, "dropped artifact");
	assert_has(cairn_is(0, "fsck --repair")->out, "no damage");
	cairn_is(0, "run -q");
	cairn_is(0, "fsck");
	assert_has(cairn_is(0, "explain a")->out, "up to date");
}

static void test_cli_fsck__an_output_is_made_again(void **state)
{
	json_t *before = cairn_json("status", "cairn.status/1"), *json;
	const outcome *got;

	(void)state;
	/* It is small and lies in the index. */
	change_in_index(cairn_is(0, "cat a:out text")->out);
	json = cairn_json("fsck", "cairn.fsck/1");
	assert_string_equal(at(json, "hurt", 0, "remedy"), "stage");
	assert_has(at(json, "hurt", 0, "how"), "w.ini");
	json_decref(json);
	got = cairn_is(4, "fsck");
	assert_has(got->out, "w/a:out");
	assert_has(got->out, "will run again");
	cairn_is(4, "fsck --repair");
	cairn_is(0, "fsck");
	cairn_is(0, "run -q");
	json = cairn_json("status", "cairn.status/1");
	assert_string_equal(
		cairn_json_string(
			json_object_get(
				json_array_get(json_object_get(json, "stages"), 0), "outputs"),
			"out", "1"),
		cairn_json_string(
			json_object_get(
				json_array_get(json_object_get(before, "stages"), 0), "outputs"),
			"out", "2"));
	cairn_is(0, "fsck");
	json_decref(json);
	json_decref(before);
}

/* Two results of one stage have read it. */
static void test_cli_fsck__a_stage_is_named_once(void **state)
{
	json_t *json;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = counter\n"
			     "input.in = file:data.bin\ntext = what else a writes\n"
			     "[stage b]\nplugin = counter\ninput.in = a:out\n");
	cairn_is(0, "run -q");
	change(segment(), 2 * PAGE + 1234, "#", 1);
	json = cairn_json("fsck", "cairn.fsck/1");
	assert_true(json_array_size(json_object_get(
			    json_array_get(json_object_get(json, "hurt"), 0), "stages")) > 2);
	json_decref(json);
	assert_has(cairn_is(4, "fsck")->out, "used by a, b\n");
}

/* Young as it is, and of any size; but not of an index that is damaged. */
static void test_cli_fsck__makes_a_backup_by_hand(void **state)
{
	struct stat before, after;
	json_t *json;

	(void)state;
	assert_int_equal(stat(".cairn/meta/backup.mdb", &before), 0);
	cairn_is(0, "fsck --index");
	assert_int_equal(stat(".cairn/meta/backup.mdb", &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_has(cairn_is(0, "fsck --backup")->out, "the index was copied");
	assert_int_equal(stat(".cairn/meta/backup.mdb", &after), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
	json = cairn_json("fsck --index --backup", "cairn.fsck/1");
	assert_true(json_is_true(json_object_get(json, "backup")));
	json_decref(json);
	assert_int_equal(unlink(".cairn/meta/backup.mdb"), 0);
	change(segment(), 2 * PAGE + 1234, "#", 1);
	assert_has_not(cairn_is(4, "fsck --backup")->out, "was copied");
	assert_int_not_equal(access(".cairn/meta/backup.mdb", F_OK), 0);
}

static void test_cli_fsck__a_lost_index_is_made_anew(void **state)
{
	const outcome *got;

	(void)state;
	assert_int_equal(access(".cairn/meta/backup.mdb", F_OK), 0); /* made by the run */
	assert_int_equal(unlink(".cairn/meta/data.mdb"), 0);
	got = cairn_is(4, "fsck");
	assert_has(got->out, "index");
	assert_has(got->err, "cairn fsck --rebuild");
	assert_has(cairn_is(4, "fsck --repair")->err, "--rebuild");
	got = cairn_is(0, "fsck --rebuild");
	assert_has(got->out, "the index was made anew");
	assert_has(got->out, "the backup is of");
	assert_has(cairn_is(0, "status")->out, "b");
	assert_has(cairn_is(0, "plan")->out, "cached");
	assert_has_not(cairn_is(0, "plan")->out, "ready");
	cairn_is(0, "fsck");
}

/* Whatever page is damaged: an answer, never a crash; and what the backup had is there again. */
static void test_cli_fsck__no_damaged_page_kills_it(void **state)
{
	static const char junk[PAGE] = "not a page";
	struct stat st;
	int n_found = 0;

	(void)state;
	assert_int_equal(stat(".cairn/meta/data.mdb", &st), 0);
	for (off_t page = 0; page < st.st_size / PAGE; page += 1 + page / 6) {
		const outcome *got;

		change(".cairn/meta/data.mdb", page * PAGE, junk, PAGE);
		got = cairn("fsck --index");
		if (got->status != 0 && got->status != 4)
			fail_msg("page %d: %d\n%s%s", (int)page, got->status, got->out, got->err);
		n_found += got->status == 4;
		got = cairn("fsck --rebuild");
		if (got->status != 0 && got->status != 4)
			fail_msg("page %d: %d\n%s%s", (int)page, got->status, got->out, got->err);
		cairn_is(0, "fsck");
		assert_has(cairn_is(0, "plan")->out, "cached");
	}
	assert_true(n_found > 3);
}

/* One bit of a page's number: no value is damaged, but a later commit would take the page whose
 * number it is for free. And one of a meta page, which LMDB would believe. */
static void test_cli_fsck__names_a_damaged_page(void **state)
{
	uint8_t page[PAGE];
	struct stat st;
	int fd = open(".cairn/meta/data.mdb", O_RDONLY);
	const outcome *got = NULL;
	off_t at = 2 * PAGE;

	(void)state;
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	for (bool is_found = false; !is_found && at < st.st_size; at += PAGE) {
		assert_int_equal(pread(fd, page, PAGE, at), PAGE);
		page[0] ^= 1;
		change(".cairn/meta/data.mdb", at, page, 1);
		got = cairn("fsck --index");
		is_found = got->status == 4;
	}
	assert_true(got && got->status == 4);
	assert_has(got->out, "of the index is damaged");
	assert_has(got->err, "cairn fsck --rebuild");
	cairn_is(0, "fsck --rebuild");
	assert_has(cairn_is(0, "plan")->out, "cached");

	close(fd);
	fd = open(".cairn/meta/data.mdb", O_RDONLY); /* it is another one now */
	assert_int_equal(pread(fd, page, PAGE, 0), PAGE);
	close(fd);
	page[144] ^= 64; /* of the number of its transaction */
	change(".cairn/meta/data.mdb", 144, page + 144, 1);
	assert_has(cairn_is(4, "status")->err, "cairn fsck --rebuild");
	got = cairn_is(4, "fsck");
	assert_has(got->out, "a meta page of the index");
	assert_has(got->err, "cairn fsck --rebuild");
	got = cairn_is(0, "fsck --rebuild");
	assert_has(cairn_is(0, "plan")->out, "cached");
}

static void test_cli_fsck__a_repair_waits_for_nobody(void **state)
{
	(void)state;
	drive_write("slow.ini", "[workflow]\nname = slow\n[stage s]\nplugin = counter\n"
				"input.in = file:data.bin\nsteps = 200\npause = 0.1\n");
	assert_has(cairn_beside("run slow.ini", "start", "fsck --repair")->err, "in use by");
	assert_has(cairn_beside("run slow.ini", "start", "fsck")->out, "no damage");
}

#define ON_A_RUN(test) cmocka_unit_test_setup_teardown(test, setup_run, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_RUN(test_cli_fsck__a_clean_store),
		ON_A_RUN(test_cli_fsck__a_file_that_was_read_is_read_again),
		ON_A_RUN(test_cli_fsck__a_stage_is_named_once),
		ON_A_RUN(test_cli_fsck__an_output_is_made_again),
		ON_A_RUN(test_cli_fsck__makes_a_backup_by_hand),
		ON_A_RUN(test_cli_fsck__a_lost_index_is_made_anew),
		ON_A_RUN(test_cli_fsck__no_damaged_page_kills_it),
		ON_A_RUN(test_cli_fsck__names_a_damaged_page),
		ON_A_RUN(test_cli_fsck__a_repair_waits_for_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
