/* SPDX-License-Identifier: Apache-2.0 */
/* The planner: files as artifacts, keys, what is cached, and the reasons for the rest. */
#include "fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit/roots.h"

#define HEAD "[workflow]\nname = w\n"

static const char chain[] = HEAD "[stage a]\nplugin = counter\nsteps = 3\ninput.in = file:in.txt\n"
				 "[stage b]\nplugin = counter\nsteps = 4\ninput.in = a:out\n";

/* So old that its times can be trusted. */
static void make_old(const char *path)
{
	struct timespec times[2] = {{.tv_sec = time(NULL) - 100}, {.tv_sec = time(NULL) - 100}};

	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* The id of an input of the first stage; until the next call. */
static const char *input_of(fixture *f, size_t b)
{
	static char text[CAIRN_ID_TEXT];

	cairn_id_format(cairn_plan_input(f->plan, 0, b), text);
	return text;
}

static void test_run_plan__first_time(void **state)
{
	fixture *f = *state;
	cairn_planned *a, *b;

	write_file("in.txt", "hello");
	assert_int_equal(fixture_plan(f, chain), 0);
	a = stage_of(f, "a");
	b = stage_of(f, "b");
	assert_int_equal(a->state, CAIRN_STATE_READY);
	assert_true(a->has_key);
	assert_string_equal(a->reason, "no result yet");
	assert_int_equal(b->state, CAIRN_STATE_PENDING);
	assert_false(b->has_key);
	assert_string_equal(b->reason, "waits for 'a'");
	assert_null(cairn_plan_input(f->plan, 1, 0));
}

static void test_run_plan__file_becomes_an_artifact(void **state)
{
	fixture *f = *state;
	cairn_object *object;
	cairn_id id;
	char *text;

	write_file("in.txt", "hello");
	assert_int_equal(fixture_plan(f, chain), 0);
	text = entry_text(f, input_of(f, 0), "data");
	assert_string_equal(text, "hello");
	free(text);
	assert_int_equal(cairn_id_parse(&id, input_of(f, 0), NULL), 0);
	assert_int_equal(cairn_object_open(&object, f->store, &id, NULL), 0);
	assert_string_equal(cairn_object_kind(object), "file");
	assert_string_equal(cairn_object_meta(object), "{\"name\":\"in.txt\"}");
	assert_int_equal(cairn_object_count(object), 1);
	cairn_object_close(object);
}

static void test_run_plan__empty_file(void **state)
{
	fixture *f = *state;
	char *text;

	write_file("in.txt", "");
	assert_int_equal(fixture_plan(f, chain), 0);
	text = entry_text(f, input_of(f, 0), "data");
	assert_string_equal(text, "");
	free(text);
}

/* The workflow's own check comes first; a file can still go away after it. */
static void test_run_plan__missing_file_and_directory(void **state)
{
	fixture *f = *state;

	write_file("in.txt", "hello");
	assert_int_equal(fixture_plan(f, chain), 0);
	cairn_plan_free(f->plan);
	f->plan = NULL;
	assert_int_equal(unlink("in.txt"), 0);
	assert_int_equal(
		cairn_plan_make(&f->plan, f->workflow, f->store, &f->error), CAIRN_ENOTFOUND);
	assert_non_null(strstr(f->error.message, "in.txt"));
	assert_non_null(strstr(f->error.place, "workflow.ini:6"));
	cairn_error_clear(&f->error);
	assert_int_equal(mkdir("in.txt", 0777), 0);
	assert_int_equal(cairn_plan_make(&f->plan, f->workflow, f->store, &f->error), CAIRN_EINPUT);
	assert_non_null(strstr(f->error.message, "is a directory"));
	assert_non_null(strstr(f->error.place, "workflow.ini:6"));
}

/* The kept id of an unchanged file is believed: we replaced it, and get the replacement. */
static void test_run_plan__unchanged_file_is_not_read_again(void **state)
{
	fixture *f = *state;
	char *first, *other, path[128], value[1024];
	cairn_snapshot *snapshot;
	cairn_batch *batch;
	const void *kept;
	size_t len;

	write_file("other.txt", "other");
	write_file("in.txt", "hello");
	make_old("other.txt");
	make_old("in.txt");
	assert_int_equal(fixture_plan(f, HEAD "[stage a]\nplugin = counter\n"
					      "input.in = file:in.txt file:other.txt\n"),
		0);
	first = strdup(input_of(f, 0));
	other = strdup(input_of(f, 1));

	snprintf(path, sizeof(path), "%s/in.txt", f->dir);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(
		cairn_snapshot_get(snapshot, "filecache", path, strlen(path), &kept, &len, NULL),
		0);
	assert_true(len < sizeof(value));
	memcpy(value, kept, len);
	value[len] = '\0';
	cairn_snapshot_end(snapshot);
	memcpy(strstr(value, first), other, strlen(other));
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(
		cairn_batch_put(batch, "filecache", path, strlen(path), value, len, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);

	assert_int_equal(fixture_plan(f, chain), 0);
	assert_string_equal(input_of(f, 0), other);
	/* Touched: it is read, and the truth comes out. */
	write_file("in.txt", "hello");
	assert_int_equal(fixture_plan(f, chain), 0);
	assert_string_equal(input_of(f, 0), first);
	free(first);
	free(other);
}

/* Same size, same times as far as the file system's clock can tell: still seen. */
static void test_run_plan__racy_change_is_seen(void **state)
{
	fixture *f = *state;
	struct timespec times[2];
	struct stat st;
	char *first;

	write_file("in.txt", "hello");
	assert_int_equal(stat("in.txt", &st), 0);
	assert_int_equal(fixture_plan(f, chain), 0);
	first = strdup(input_of(f, 0));
	write_file("in.txt", "jello");
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, "in.txt", times, 0), 0);
	assert_int_equal(fixture_plan(f, chain), 0);
	assert_string_not_equal(input_of(f, 0), first);
	free(first);
}

static void test_run_plan__reasons_name_what_changed(void **state)
{
	fixture *f = *state;
	const char *reason;

	write_file("in.txt", "hello");
	assert_int_equal(fixture_run(f, chain), 0);
	assert_int_equal(fixture_plan(f, chain), 0);
	assert_int_equal(stage_of(f, "a")->state, CAIRN_STATE_CACHED);
	assert_int_equal(stage_of(f, "b")->state, CAIRN_STATE_CACHED);

	write_file("in.txt", "world");
	assert_int_equal(fixture_plan(f, HEAD "[stage a]\nplugin = counter\nsteps = 5\ninput.in = "
					      "file:in.txt\n[stage b]\nplugin = counter\n"),
		0);
	reason = stage_of(f, "a")->reason;
	assert_non_null(strstr(reason, "param.steps 3 -> 5, input.in.0 "));
	assert_int_equal(
		strlen(strstr(reason, "input.in.0 ")), strlen("input.in.0 123456 -> 123456"));
	assert_non_null(strstr(stage_of(f, "b")->reason, "param.steps 4 -> 20"));
	assert_non_null(strstr(stage_of(f, "b")->reason, "-> (none)"));
}

/* An output that is the same again ends the rerunning there. */
static void test_run_plan__early_cut_off(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = %s\n%s"
				       "[stage b]\nplugin = counter\nsteps = 4\ninput.in = a:out\n";
	fixture *f = *state;
	char text[512];

	snprintf(text, sizeof(text), ini, "nan", "");
	assert_int_equal(fixture_run(f, text), 0);
	assert_int_equal(f->summary.done, 2);
	/* Another plugin, another key, the same bytes under another name of stage. */
	write_file("here", "");
	snprintf(text, sizeof(text), ini, "counter", "steps = 3\n");
	assert_int_equal(fixture_run(f, text), 0);
	assert_int_equal(f->summary.done, 2);
	snprintf(text, sizeof(text), ini, "nan", "");
	assert_int_equal(fixture_run(f, text), 0);
	assert_int_equal(f->summary.cached, 2);
}

static void test_run_plan__neutral_parameters_change_nothing(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = counter\nsteps = 2\n"), 0);
	assert_int_equal(fixture_plan(f, HEAD "[stage a]\nplugin = counter\nsteps = 2\n"
					      "pause = 1s\nretries = 3\n"),
		0);
	assert_int_equal(stage_of(f, "a")->state, CAIRN_STATE_CACHED);
}

static void test_run_plan__input_by_id(void **state)
{
	fixture *f = *state;
	char ini[512];

	write_file("in.txt", "hello");
	assert_int_equal(fixture_run(f, chain), 0);
	snprintf(ini, sizeof(ini), HEAD "[stage c]\nplugin = counter\nsteps = 4\ninput.in = %s\n",
		output_of(f, "a", "out"));
	assert_int_equal(fixture_plan(f, ini), 0);
	assert_int_equal(stage_of(f, "c")->state, CAIRN_STATE_CACHED); /* the same key as b */
	snprintf(
		ini, sizeof(ini), HEAD "[stage c]\nplugin = counter\ninput.in = sha256:%064d\n", 7);
	assert_int_equal(fixture_plan(f, ini), CAIRN_ENOTFOUND);
	assert_non_null(strstr(f->error.place, "workflow.ini:5"));
}

/* A name counts as what it stands for: the same key as by id. */
static void test_run_plan__input_by_name(void **state)
{
	fixture *f = *state;

	write_file("in.txt", "hello");
	assert_int_equal(fixture_run(f, chain), 0);
	assert_int_equal(fixture_plan(f, HEAD "[stage c]\nplugin = counter\nsteps = 4\n"
					      "input.in = ref:w/a:out\n"),
		0);
	assert_int_equal(stage_of(f, "c")->state, CAIRN_STATE_CACHED); /* the same key as b */
	/* The whole name, not a part of it. */
	assert_int_equal(
		fixture_plan(f, HEAD "[stage c]\nplugin = counter\ninput.in = ref:a:out\n"),
		CAIRN_ENOTFOUND);
	assert_string_equal(f->error.message, "no artifact is called 'a:out'");
	assert_non_null(strstr(f->error.place, "workflow.ini:5"));
	assert_non_null(strstr(f->error.hint, "cairn ls"));
	/* ... of a kind that the port takes. */
	assert_int_equal(
		fixture_plan(f, HEAD "[stage c]\nplugin = matmul\ninput.in = ref:w/a:out\n"),
		CAIRN_EWORKFLOW);
}

static void test_run_plan__not_deterministic_runs_each_time(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = dice\n[stage b]\nplugin = counter\n"
				       "input.in = a:out\n";
	fixture *f = *state;

	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(f->summary.done, 2);
	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(stage_of(f, "a")->state, CAIRN_STATE_DONE);
	assert_int_equal(count_attempts(f, "a"), 2);
	assert_string_equal(
		event_of(f, CAIRN_EVENT_STARTED, "a")->text, "not deterministic: runs each time");
}

/* The end of one stage changes what follows from it, and the plan says which stages that was. */
static void test_run_plan__update_says_what_changed(void **state)
{
	fixture *f = *state;
	const uint32_t *users;
	cairn_planned *a;

	assert_int_equal(fixture_plan(f, HEAD "[stage a]\nplugin = counter\n"
					      "[stage b]\nplugin = counter\ninput.in = a:out\n"
					      "[stage twin]\nplugin = counter\n"
					      "[stage d]\nplugin = counter\ninput.in = twin:out\n"
					      "[stage e]\nplugin = counter\ninput.in = d:out\n"),
		0);
	assert_int_equal(f->plan->n_changed, 2); /* by making it: a and its twin are ready */
	a = stage_of(f, "a");
	assert_ptr_equal(a, &f->plan->stages[0]);
	a->state = CAIRN_STATE_DONE;
	a->result = json_pack("{s:{s:{s:s}}}", "outputs", "out", "id",
		"sha256:"
		"0000000000000000000000000000000000000000000000000000000000000001");
	assert_int_equal(cairn_plan_update(f->plan, 0, &f->error), 0);
	assert_int_equal(f->plan->n_changed, 3);
	assert_string_equal(f->plan->stages[f->plan->changed[0]].instance->name, "b");
	assert_string_equal(f->plan->stages[f->plan->changed[1]].instance->name, "twin");
	assert_string_equal(f->plan->stages[f->plan->changed[2]].instance->name, "d");
	assert_int_equal(stage_of(f, "b")->state, CAIRN_STATE_READY);
	assert_int_equal(stage_of(f, "twin")->state, CAIRN_STATE_CACHED);
	assert_int_equal(stage_of(f, "d")->state, CAIRN_STATE_READY);
	assert_int_equal(stage_of(f, "e")->state, CAIRN_STATE_PENDING);
	assert_string_equal(stage_of(f, "e")->reason, "waits for 'd'");
	assert_int_equal(cairn_plan_users(f->plan, 0, &users), 1);
	assert_int_equal(users[0], f->plan->changed[0]);
	assert_int_equal(cairn_plan_users(f->plan, 4, &users), 0);
}

/* ---- collections ------------------------------------------------------------------------- */

static int no_roots(
	void *arg, cairn_store *store, cairn_root_fn tell, void *root_arg, cairn_error *err)
{
	(void)arg, (void)store, (void)tell, (void)root_arg, (void)err;
	return 0;
}

/* Everything that no process at work has written goes. */
static void collect(fixture *f)
{
	cairn_gc_options options = {.roots = no_roots};
	cairn_gc_report report;

	assert_int_equal(cairn_store_gc(f->store, &options, &report, &f->error), 0);
	assert_true(report.dead_artifacts.n > 0);
}

/* The store opened anew, and after a collection that took nothing: no lease holds what an earlier
 * run wrote. */
static void end_lease(fixture *f)
{
	cairn_gc_options options = {.roots = cairn_roots_tell};
	cairn_gc_report report;
	cairn_roots *roots;

	cairn_store_close(f->store);
	assert_int_equal(cairn_store_open(&f->store, f->store_dir, 0, &f->error), 0);
	assert_int_equal(cairn_roots_open(&roots, f->store, &(cairn_retention){0}, &f->error), 0);
	options.roots_arg = roots;
	assert_int_equal(cairn_store_gc(f->store, &options, &report, &f->error), 0);
	cairn_roots_close(roots);
}

static void (*seen_before)(cairn_observer *, const cairn_plan *, const cairn_event *);
static int n_planned, n_anew;

static void collect_once(cairn_observer *observer, const cairn_plan *plan, const cairn_event *event)
{
	n_anew += event->type == CAIRN_EVENT_PLANNED_ANEW;
	if (event->type == CAIRN_EVENT_PLANNED && ++n_planned == 1)
		collect((fixture *)((char *)observer - offsetof(fixture, observer)));
	seen_before(observer, plan, event);
}

static const char two[] = HEAD "[stage a]\nplugin = counter\ninput.in = file:data.txt\n"
			       "[stage b]\nplugin = counter\ninput.in = a:out\n";
static const char three[] = HEAD "[stage a]\nplugin = counter\ninput.in = file:data.txt\n"
				 "[stage b]\nplugin = counter\ninput.in = a:out\n"
				 "[stage c]\nplugin = counter\ninput.in = a:out b:out\n";

/* While the run waited for another one, what it had found cached was collected. */
static void test_run_plan__collected_before_the_run(void **state)
{
	fixture *f = *state;

	write_file("data.txt", "some data\n");
	assert_int_equal(fixture_run(f, two), 0);
	end_lease(f);
	assert_int_equal(fixture_plan(f, two), 0);
	assert_int_equal(stage_of(f, "b")->state, CAIRN_STATE_CACHED);
	collect(f);
	assert_int_equal(
		cairn_run_workflow(f->plan, &f->options, &f->observer, &f->summary, &f->error), 0);
	assert_int_equal(f->summary.done, 2);
}

/* The same between the plan and its record: with all cached, and with something to do. */
static void test_run_plan__collected_before_the_record(void **state)
{
	const char *const programmes[] = {two, three};
	fixture *f = *state;

	write_file("data.txt", "some data\n");
	assert_int_equal(fixture_run(f, two), 0);
	seen_before = f->observer.event;
	f->observer.event = collect_once;
	for (size_t i = 0; i < CAIRN_COUNT(programmes); i++) {
		end_lease(f);
		n_planned = n_anew = 0;
		if (fixture_run(f, programmes[i]) != 0)
			fail_msg("%s: %s", f->error.message, f->error.detail);
		assert_int_equal(n_planned, 1);
		assert_int_equal(n_anew, 1);
		assert_int_equal(f->summary.done, 2 + i);
		assert_int_equal(f->summary.cached, 0);
	}
}

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_run_plan__first_time),
		FIXTURE_TEST(test_run_plan__file_becomes_an_artifact),
		FIXTURE_TEST(test_run_plan__empty_file),
		FIXTURE_TEST(test_run_plan__missing_file_and_directory),
		FIXTURE_TEST(test_run_plan__unchanged_file_is_not_read_again),
		FIXTURE_TEST(test_run_plan__racy_change_is_seen),
		FIXTURE_TEST(test_run_plan__reasons_name_what_changed),
		FIXTURE_TEST(test_run_plan__early_cut_off),
		FIXTURE_TEST(test_run_plan__neutral_parameters_change_nothing),
		FIXTURE_TEST(test_run_plan__input_by_id),
		FIXTURE_TEST(test_run_plan__input_by_name),
		FIXTURE_TEST(test_run_plan__not_deterministic_runs_each_time),
		FIXTURE_TEST(test_run_plan__update_says_what_changed),
		FIXTURE_TEST(test_run_plan__collected_before_the_run),
		FIXTURE_TEST(test_run_plan__collected_before_the_record),
	};

	return cmocka_run_group_tests_name("run/plan", tests, NULL, NULL);
}
