/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An artifact that the disk changed after it was written: whoever reads it next has it made again,
 * and no repair command is needed.
 */
#include "fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/plan/plan.h"

#define HEAD  "[workflow]\nname = w\n"
#define WORDS "what a writes, and nobody else"
#define A     "[stage a]\nplugin = counter\nsteps = 3\ntext = " WORDS "\n"
#define B     "[stage b]\nplugin = counter\nsteps = 2\ninput.in = a:out\n"
#define B4    "[stage b]\nplugin = counter\nsteps = 4\ninput.in = a:out\n"

enum {
	DATA = 300 << 10, /* one chunk in a segment */
	PAGE = 4096,
};

/* The index as bytes, to be looked through; the caller frees. */
static uint8_t *open_index(fixture *f, int *fd, size_t *len)
{
	char path[160];
	struct stat st;
	uint8_t *index;

	snprintf(path, sizeof(path), "%s/meta/data.mdb", f->store_dir);
	*fd = open(path, O_RDWR);
	assert_true(*fd >= 0 && fstat(*fd, &st) == 0);
	*len = (size_t)st.st_size;
	index = malloc(*len);
	assert_non_null(index);
	assert_int_equal(pread(*fd, index, *len, 0), st.st_size);
	return index;
}

/* Changes a byte of each place of the index where the text stands as a value of its own: the
 * workflow and the records quote it. True: there was one. */
static bool damage_text(fixture *f, const char *text)
{
	size_t len = strlen(text), n = 0, all;
	int fd;
	uint8_t *index = open_index(f, &fd, &all);

	for (size_t at = 1; at + len <= all; at++) {
		if (!strchr(" \"=", index[at - 1]) && memcmp(index + at, text, len) == 0) {
			assert_int_equal(pwrite(fd, "#", 1, (off_t)at), 1);
			n++;
		}
	}
	free(index);
	close(fd);
	return n > 0;
}

/* A byte of the manifest, which stands behind its id and has the kind in it. */
static void damage_manifest(fixture *f, const char *id_text, const char *kind)
{
	size_t n = 0, all;
	cairn_id id;
	int fd;
	uint8_t *index = open_index(f, &fd, &all), *found;

	assert_int_equal(cairn_id_parse(&id, id_text, NULL), 0);
	for (size_t at = 0; at + 128 <= all; at++) {
		if (memcmp(index + at, id.bytes, sizeof(id.bytes)) != 0)
			continue;
		found = memmem(index + at + 32, 64, kind, strlen(kind));
		if (found) {
			assert_int_equal(pwrite(fd, "#", 1, found - index), 1);
			n++;
		}
	}
	free(index);
	close(fd);
	assert_true(n > 0);
}

static size_t count_notes(fixture *f)
{
	json_t *damage = NULL;
	cairn_snapshot *snapshot;
	cairn_id id;
	size_t n;

	assert_int_equal(cairn_id_parse(&id, output_of(f, "a", "out"), NULL), 0);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	n = cairn_record_damage(&damage, snapshot, &stage_of(f, "a")->key, &id, NULL) == 0;
	cairn_snapshot_end(snapshot);
	json_decref(damage);
	return n;
}

static void test_run_mend__the_producer_runs_again_in_the_same_call(void **state)
{
	fixture *f = *state;
	const seen_event *started = NULL;
	char out[80];

	assert_int_equal(fixture_run(f, HEAD A B), 0);
	snprintf(out, sizeof(out), "%s", output_of(f, "a", "out"));
	assert_true(damage_text(f, WORDS));
	assert_int_equal(fixture_run(f, HEAD A B4), 0);
	assert_int_equal(f->summary.done, 2);
	assert_int_equal(count_events(f, CAIRN_EVENT_PLANNED), 1);
	assert_int_equal(count_events(f, CAIRN_EVENT_PLANNED_ANEW), 1);
	started = event_of(f, CAIRN_EVENT_STARTED, "a");
	assert_non_null(started);
	assert_non_null(strstr(started->text, "its output 'out' is damaged: "));
	assert_string_equal(output_of(f, "a", "out"), out);
	assert_int_equal(count_notes(f), 0);
	assert_int_equal(fixture_run(f, HEAD A B4), 0);
	assert_int_equal(f->summary.cached, 2);
}

/* The planner itself reads manifests, for its estimates. */
static void test_run_mend__a_damaged_manifest_does_the_same(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_run(f, HEAD A B), 0);
	damage_manifest(f, output_of(f, "a", "out"), "report");
	assert_int_equal(fixture_run(f, HEAD A B4), 0);
	assert_int_equal(f->summary.done, 2);
	assert_int_equal(count_events(f, CAIRN_EVENT_PLANNED_ANEW), 1);
}

/* Without anybody who reads it, damage is nobody's concern: nothing is read to look for it. */
static void test_run_mend__what_nobody_reads_stays_cached(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_run(f, HEAD A B), 0);
	assert_true(damage_text(f, WORDS));
	assert_int_equal(fixture_run(f, HEAD A B), 0);
	assert_int_equal(f->summary.cached, 2);
}

static void test_run_mend__with_a_limit_it_is_the_next_call(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_run(f, HEAD A B), 0);
	assert_true(damage_text(f, WORDS));
	f->options.has_max_flop = true;
	f->options.max_flop = 1e30;
	assert_int_equal(fixture_run(f, HEAD A B4), 1);
	assert_int_equal(f->summary.failed, 1);
	assert_int_equal(event_of(f, CAIRN_EVENT_ENDED, "b")->error.code, CAIRN_EINTEGRITY);
	assert_int_equal(fixture_plan(f, HEAD A B4), 0);
	assert_int_equal(stage_of(f, "a")->state, CAIRN_STATE_READY);
	assert_non_null(strstr(stage_of(f, "a")->reason, "its output 'out' is damaged: "));
	assert_int_equal(fixture_run(f, HEAD A B4), 0);
	assert_int_equal(f->summary.done, 2);
}

static void write_data(void)
{
	char *data = malloc(DATA + 1);

	assert_non_null(data);
	for (size_t i = 0; i < DATA; i++)
		data[i] = (char)('a' + i * i % 23);
	data[DATA] = 0;
	write_file("data.bin", data);
	free(data);
}

static void test_run_mend__a_file_is_read_again(void **state)
{
	static const char reads[] = HEAD "[stage a]\nplugin = counter\ninput.in = file:data.bin\n";
	static const char other[] =
		HEAD "[stage a]\nplugin = counter\nsteps = 7\ninput.in = file:data.bin\n";
	fixture *f = *state;
	char path[160];
	int fd;

	write_data();
	assert_int_equal(fixture_run(f, reads), 0);
	snprintf(path, sizeof(path), "%s/seg/00000000.seg", f->store_dir);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "#", 1, 2 * PAGE + 1234), 1);
	close(fd);
	assert_int_equal(fixture_run(f, other), 0);
	assert_int_equal(f->summary.done, 1);
	assert_int_equal(count_events(f, CAIRN_EVENT_PLANNED_ANEW), 1);
}

/* What nobody can make again is left as it is, for what is right of it. */
static void test_run_mend__what_has_no_maker_stays(void **state)
{
	fixture *f = *state;
	cairn_tensor tensor = {.name = "data",
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {sizeof(WORDS)},
		.data = WORDS,
		.bytes = sizeof(WORDS)};
	char id_text[CAIRN_ID_TEXT], ini[256];
	cairn_snapshot *snapshot;
	cairn_batch *batch;
	cairn_id id;

	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_batch_artifact_begin(batch, "file", NULL), 0);
	assert_int_equal(cairn_batch_artifact_put(batch, &tensor, NULL), 0);
	assert_int_equal(cairn_batch_artifact_end(batch, NULL, &id, NULL), 0);
	assert_int_equal(cairn_record_put_ref(batch, "mine", &id, "tool", "test", NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	assert_true(damage_text(f, WORDS));
	cairn_id_format(&id, id_text);
	snprintf(ini, sizeof(ini), HEAD "[stage b]\nplugin = counter\ninput.in = %s\n", id_text);
	assert_int_equal(fixture_run(f, ini), 1);
	assert_int_equal(event_of(f, CAIRN_EVENT_ENDED, "b")->error.code, CAIRN_EINTEGRITY);
	assert_int_equal(count_events(f, CAIRN_EVENT_PLANNED_ANEW), 0);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_true(cairn_snapshot_has(snapshot, &id));
	cairn_snapshot_end(snapshot);
}

/* ---- a disk that fails ----------------------------------------------------------------------- */

static fixture *hurt;

/* Whatever a writes is damaged at once. */
static void damage_each_time(
	cairn_observer *observer, const cairn_plan *plan, const cairn_event *event)
{
	(void)observer;
	if (event->type == CAIRN_EVENT_ENDED &&
		plan->stages[event->stage].state == CAIRN_STATE_DONE)
		assert_true(damage_text(hurt, WORDS));
}

static void test_run_mend__a_failing_disk_ends_it(void **state)
{
	fixture *f = *state;

	hurt = f;
	f->observer.event = damage_each_time;
	assert_int_equal(fixture_run(f, HEAD A B), CAIRN_EINTEGRITY);
	assert_non_null(strstr(f->error.message, "'a' was made again by this run"));
	f->observer.event = NULL;
	f->error = (cairn_error){0};
	assert_int_equal(fixture_run(f, HEAD A B), 0);
}

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_run_mend__the_producer_runs_again_in_the_same_call),
		FIXTURE_TEST(test_run_mend__a_damaged_manifest_does_the_same),
		FIXTURE_TEST(test_run_mend__what_nobody_reads_stays_cached),
		FIXTURE_TEST(test_run_mend__with_a_limit_it_is_the_next_call),
		FIXTURE_TEST(test_run_mend__a_file_is_read_again),
		FIXTURE_TEST(test_run_mend__what_has_no_maker_stays),
		FIXTURE_TEST(test_run_mend__a_failing_disk_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
