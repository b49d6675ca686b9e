/* SPDX-License-Identifier: Apache-2.0 */
/* directory.c - tests of directories as inputs and outputs: what is seen, and when. */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "run/tool/directory.h"

static char directory[64];

static int setup(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/cairn-dir-XXXXXX");
	return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st, (void)type, (void)walk;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	if (chdir("/") < 0)
		return -1;
	return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void assert_file(const char *name, const char *text)
{
	char got[64] = "";
	FILE *file = fopen(name, "r");

	if (!file)
		fail_msg("there is no '%s'", name);
	got[fread(got, 1, sizeof(got) - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(got, text);
}

static bool is_there(const char *name)
{
	return access(name, F_OK) == 0;
}

/* ---- in --------------------------------------------------------------------------------- */

static void test_run_directory__entries_are_sorted_files(void **state)
{
	cairn_indir *dir;
	cairn_artifact artifact;
	cairn_tensor entry;
	cairn_error err = {0};

	(void)state;
	assert_int_equal(mkdir("in", 0777), 0);
	write_file("in/b", "bb");
	write_file("in/B", "");
	write_file("in/a.txt", "a");
	write_file("in/new\nline", "not an entry's name");
	assert_int_equal(cairn_indir_open(&dir, "in", NULL), 0);
	cairn_indir_describe(dir, &artifact);
	assert_string_equal(artifact.id, "");
	assert_string_equal(artifact.kind, "directory");
	assert_int_equal(artifact.n_entries, 3);
	assert_int_equal(artifact.bytes, 3);
	assert_int_equal(cairn_indir_entry(dir, 0, &entry, NULL), 0);
	assert_string_equal(entry.name, "B");
	assert_null(entry.data);
	assert_int_equal(cairn_indir_entry(dir, 2, &entry, NULL), 0);
	assert_string_equal(entry.name, "b");
	assert_int_equal(cairn_indir_entry(dir, 3, &entry, &err), CAIRN_EBUG);
	/* An empty file has bytes, too: none. */
	assert_int_equal(cairn_indir_read(dir, "B", &entry, NULL), 0);
	assert_non_null(entry.data);
	assert_int_equal(entry.bytes, 0);
	assert_int_equal(cairn_indir_read(dir, "b", &entry, NULL), 0);
	assert_memory_equal(entry.data, "bb", 2);
	assert_int_equal(entry.dims[0], 2);
	assert_int_equal(cairn_indir_read(dir, "new\nline", &entry, NULL), 1);
	assert_int_equal(cairn_indir_read(dir, "../in/b", &entry, NULL), 1);
	cairn_indir_close(dir);
}

static void test_run_directory__a_changed_file_is_an_error(void **state)
{
	cairn_indir *dir;
	cairn_tensor entry;
	json_t *origin = NULL;
	cairn_error err = {0};

	(void)state;
	assert_int_equal(mkdir("in", 0777), 0);
	write_file("in/a", "before");
	write_file("in/b", "before");
	assert_int_equal(cairn_indir_open(&dir, "in", NULL), 0);
	/* Longer than when it was listed. */
	write_file("in/a", "afterwards");
	assert_int_equal(cairn_indir_read(dir, "a", &entry, &err), CAIRN_EIO);
	assert_non_null(strstr(err.message, "'in/a' changed while it was read"));
	/* Another file of the same size, after it was read. */
	assert_int_equal(cairn_indir_read(dir, "b", &entry, NULL), 0);
	assert_int_equal(truncate("in/b", 5), 0);
	cairn_error_clear(&err);
	assert_int_equal(cairn_indir_origin(&origin, dir, &err), CAIRN_EIO);
	assert_null(origin);
	cairn_indir_close(dir);
}

static void test_run_directory__what_cannot_be_opened(void **state)
{
	cairn_indir *dir = NULL;
	cairn_error err = {0};

	(void)state;
	write_file("file", "");
	assert_int_equal(cairn_indir_open(&dir, "file", &err), CAIRN_EINPUT);
	cairn_error_clear(&err);
	assert_int_equal(cairn_indir_open(&dir, "nowhere", &err), CAIRN_ENOTFOUND);
	assert_null(dir);
}

/* ---- out -------------------------------------------------------------------------------- */

static void test_run_directory__nothing_is_seen_before_the_commit(void **state)
{
	cairn_outdir *dir;

	(void)state;
	assert_int_equal(cairn_outdir_begin(&dir, "x/y/out///", false, NULL), 0);
	assert_int_equal(cairn_outdir_put(dir, "a", "A", 1, NULL), 0);
	assert_int_equal(cairn_outdir_put(dir, "deep/er/b", "BB", 2, NULL), 0);
	assert_false(is_there("x/y/out"));
	assert_int_equal(cairn_outdir_commit(dir, NULL), 0);
	assert_int_equal(cairn_outdir_count(dir), 2);
	assert_int_equal(cairn_outdir_bytes(dir), 3);
	assert_string_equal(cairn_outdir_name(dir, 1), "deep/er/b");
	cairn_outdir_free(dir);
	assert_file("x/y/out/a", "A");
	assert_file("x/y/out/deep/er/b", "BB");
	/* And nothing beside it. */
	assert_int_equal(rename("x/y/out", "out"), 0);
	assert_int_equal(rmdir("x/y"), 0);
}

static void test_run_directory__an_empty_one_is_filled(void **state)
{
	cairn_outdir *dir;

	(void)state;
	assert_int_equal(mkdir("out", 0777), 0);
	/* What a killed export left does not count. */
	assert_int_equal(mkdir("out/.cairn-77-0", 0777), 0);
	assert_int_equal(cairn_outdir_begin(&dir, "out", false, NULL), 0);
	assert_int_equal(cairn_outdir_put(dir, "a", "A", 1, NULL), 0);
	assert_false(is_there("out/a"));
	assert_int_equal(cairn_outdir_commit(dir, NULL), 0);
	cairn_outdir_free(dir);
	assert_file("out/a", "A");
	assert_int_equal(unlink("out/a"), 0);
	assert_int_equal(rmdir("out/.cairn-77-0"), 0);
	assert_int_equal(rmdir("out"), 0);
}

static void test_run_directory__force_replaces_and_spares(void **state)
{
	cairn_outdir *dir = NULL;
	cairn_error err = {0};

	(void)state;
	assert_int_equal(mkdir("out", 0777), 0);
	write_file("out/a", "old");
	write_file("out/b", "old");
	assert_int_equal(cairn_outdir_begin(&dir, "out", false, &err), CAIRN_EUSAGE);
	assert_null(dir);
	assert_int_equal(cairn_outdir_begin(&dir, "out", true, NULL), 0);
	assert_int_equal(cairn_outdir_put(dir, "a", "new", 3, NULL), 0);
	assert_file("out/a", "old");
	assert_int_equal(cairn_outdir_commit(dir, NULL), 0);
	cairn_outdir_free(dir);
	assert_file("out/a", "new");
	assert_file("out/b", "old");
}

static void test_run_directory__nothing_stays_without_a_commit(void **state)
{
	cairn_outdir *dir;

	(void)state;
	assert_int_equal(mkdir("in", 0777), 0);
	assert_int_equal(cairn_outdir_begin(&dir, "in/new", false, NULL), 0);
	assert_int_equal(cairn_outdir_put(dir, "deep/a", "A", 1, NULL), 0);
	cairn_outdir_free(dir);
	assert_int_equal(rmdir("in"), 0);
}

static void test_run_directory__somebody_made_it_meanwhile(void **state)
{
	cairn_outdir *dir;
	cairn_error err = {0};

	(void)state;
	assert_int_equal(mkdir("in", 0777), 0);
	assert_int_equal(cairn_outdir_begin(&dir, "in/new", false, NULL), 0);
	assert_int_equal(cairn_outdir_put(dir, "a", "A", 1, NULL), 0);
	assert_int_equal(mkdir("in/new", 0777), 0);
	write_file("in/new/a", "theirs");
	assert_int_equal(cairn_outdir_commit(dir, &err), CAIRN_EIO);
	cairn_outdir_free(dir);
	assert_file("in/new/a", "theirs");
	assert_int_equal(unlink("in/new/a"), 0);
	assert_int_equal(rmdir("in/new"), 0);
	assert_int_equal(rmdir("in"), 0);
}

static void test_run_directory__names_stay_inside(void **state)
{
	static const char *const bad[] = {
		"", "/etc/passwd", "../a", "a/../../b", "a//b", "a/", ".", "..", "a/."};
	cairn_outdir *dir;

	(void)state;
	assert_int_equal(cairn_outdir_begin(&dir, "out", false, NULL), 0);
	for (size_t i = 0; i < CAIRN_COUNT(bad); i++) {
		cairn_error err = {0};
		assert_int_equal(cairn_outdir_put(dir, bad[i], "A", 1, &err), CAIRN_EBUG);
	}
	assert_int_equal(cairn_outdir_put(dir, "...", "A", 1, NULL), 0);
	assert_int_equal(cairn_outdir_put(dir, ".hidden", "A", 1, NULL), 0);
	assert_int_equal(cairn_outdir_put(dir, ".hidden", "A", 1, NULL), CAIRN_EBUG);
	cairn_outdir_free(dir);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIRECTORY(test_run_directory__entries_are_sorted_files),
		IN_DIRECTORY(test_run_directory__a_changed_file_is_an_error),
		IN_DIRECTORY(test_run_directory__what_cannot_be_opened),
		IN_DIRECTORY(test_run_directory__nothing_is_seen_before_the_commit),
		IN_DIRECTORY(test_run_directory__an_empty_one_is_filled),
		IN_DIRECTORY(test_run_directory__force_replaces_and_spares),
		IN_DIRECTORY(test_run_directory__nothing_stays_without_a_commit),
		IN_DIRECTORY(test_run_directory__somebody_made_it_meanwhile),
		IN_DIRECTORY(test_run_directory__names_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
