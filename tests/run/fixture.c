/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/spawn.h"

/* ---- events ------------------------------------------------------------------------------ */

static void on_event(cairn_observer *observer, const cairn_plan *plan, const cairn_event *event)
{
	fixture *f = (fixture *)((char *)observer - offsetof(fixture, observer));
	seen_event *seen = &f->events[f->n_events];

	if (event->type == CAIRN_EVENT_PROGRESS && f->stop_at_step > 0 &&
		event->step >= (uint64_t)f->stop_at_step) {
		f->stop_at_step = 0;
		kill(getpid(), SIGTERM);
	}
	if (f->n_events == MAX_EVENTS)
		return;
	f->n_events++;
	*seen = (seen_event){.type = event->type,
		.step = event->step,
		.resumed_step = event->resumed_step,
		.flop = event->flop};
	if (event->stage < plan->n_stages) {
		seen->state = plan->stages[event->stage].state;
		snprintf(seen->stage, sizeof(seen->stage), "%s",
			plan->stages[event->stage].instance->name);
	}
	if (event->text)
		snprintf(seen->text, sizeof(seen->text), "%s", event->text);
	if (event->error)
		seen->error = *event->error;
}

const seen_event *event_of(fixture *f, enum cairn_event_type type, const char *stage)
{
	for (size_t i = 0; i < f->n_events; i++) {
		if (f->events[i].type == type && (!stage || strcmp(f->events[i].stage, stage) == 0))
			return &f->events[i];
	}
	return NULL;
}

size_t place_of(fixture *f, enum cairn_event_type type, const char *stage)
{
	const seen_event *event = event_of(f, type, stage);

	assert_non_null(event);
	return (size_t)(event - f->events);
}

size_t count_events(fixture *f, enum cairn_event_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_events; i++)
		n += f->events[i].type == type;
	return n;
}

/* ---- set-up --------------------------------------------------------------------------------- */

static void open_store(fixture *f, const char *name)
{
	snprintf(f->store_dir, sizeof(f->store_dir), "%s/%s", f->dir, name);
	assert_int_equal(
		cairn_store_open(&f->store, f->store_dir, CAIRN_STORE_CREATE, &f->error), 0);
}

int fixture_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "%s/cairn-run-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chdir(f->dir), 0);
	setenv("CAIRN_PLUGIN_PATH", CAIRN_TEST_PLUGIN_DIR, 1);
	unsetenv("CAIRN_TEST_KILL_AT");
	/* Sanitizers must leave the deliberate crashes to the kernel. */
	setenv("ASAN_OPTIONS", "handle_segv=0:handle_abort=0", 1);
	f->options.jobs = 1;
	f->options.threads = 1;
	f->observer.event = on_event;
	open_store(f, "store");
	*state = f;
	return 0;
}

static void forget_plan(fixture *f)
{
	cairn_plan_free(f->plan);
	cairn_workflow_free(f->workflow);
	cairn_plugins_close(f->registry);
	f->plan = NULL;
	f->workflow = NULL;
	f->registry = NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

int fixture_teardown(void **state)
{
	fixture *f = *state;

	forget_plan(f);
	cairn_store_close(f->store);
	assert_int_equal(chdir("/"), 0);
	nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

void fixture_new_store(fixture *f)
{
	static int n;
	char name[32];

	forget_plan(f);
	cairn_store_close(f->store);
	snprintf(name, sizeof(name), "store%d", ++n);
	open_store(f, name);
}

/* ---- runs ----------------------------------------------------------------------------------- */

void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

int fixture_plan(fixture *f, const char *ini)
{
	cairn_errors errors = {0};
	int rc;

	forget_plan(f);
	cairn_error_clear(&f->error);
	write_file("workflow.ini", ini);
	rc = cairn_plugins_open(&f->registry, f->store, &f->error);
	if (rc == 0)
		rc = cairn_workflow_load(
			&f->workflow, "workflow.ini", NULL, 0, f->registry, &errors);
	if (errors.n)
		f->error = errors.items[0];
	cairn_errors_free(&errors);
	return rc < 0 ? rc : cairn_plan_make(&f->plan, f->workflow, f->store, &f->error);
}

int fixture_run(fixture *f, const char *ini)
{
	int rc = fixture_plan(f, ini);

	f->n_events = 0;
	if (rc < 0)
		return rc;
	return cairn_run_workflow(f->plan, &f->options, &f->observer, &f->summary, &f->error);
}

pid_t fixture_spawn_run(fixture *f, const char *ini)
{
	const char *const argv[] = {"cairn", "--run", f->store_dir, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	cairn_spawn how = {.argv = argv, .fds = {null, null, 2, -1}};
	pid_t pid;

	write_file("workflow.ini", ini);
	assert_int_equal(cairn_spawn_self(&pid, &how, &f->error), 0);
	close(null);
	return pid;
}

/* The child of fixture_spawn_run: the exit status is the signal that ended it, or 0 or 1. */
static int run_main(const char *store)
{
	fixture f = {.options = {.jobs = 1, .threads = 1}};
	cairn_errors errors = {0};
	int rc = cairn_store_open(&f.store, store, 0, &f.error);

	if (rc == 0)
		rc = cairn_plugins_open(&f.registry, f.store, &f.error);
	if (rc == 0)
		rc = cairn_workflow_load(&f.workflow, "workflow.ini", NULL, 0, f.registry, &errors);
	if (rc == 0)
		rc = cairn_plan_make(&f.plan, f.workflow, f.store, &f.error);
	if (rc == 0)
		rc = cairn_run_workflow(f.plan, &f.options, NULL, &f.summary, &f.error);
	if (rc < 0)
		fprintf(stderr, "--run: %s\n",
			errors.n ? errors.items[0].message : f.error.message);
	cairn_errors_free(&errors);
	forget_plan(&f);
	cairn_store_close(f.store);
	return f.summary.signal ? f.summary.signal : rc < 0 ? 2 : rc;
}

/* ---- looking -------------------------------------------------------------------------------- */

cairn_planned *stage_of(fixture *f, const char *instance)
{
	assert_non_null(f->plan);
	for (size_t i = 0; i < f->plan->n_stages; i++) {
		if (strcmp(f->plan->stages[i].instance->name, instance) == 0)
			return &f->plan->stages[i];
	}
	fail_msg("there is no stage '%s'", instance);
	return NULL;
}

const json_t *result_of(fixture *f, const char *instance)
{
	return cairn_plan_result(f->plan, (size_t)(stage_of(f, instance) - f->plan->stages));
}

const char *output_of(fixture *f, const char *instance, const char *port)
{
	const json_t *result = result_of(f, instance);
	const json_t *output = json_object_get(json_object_get(result, "outputs"), port);

	if (!output)
		fail_msg("'%s' has no output '%s'", instance, port);
	return cairn_json_string(output, "id", "");
}

char *entry_text(fixture *f, const char *id_text, const char *entry)
{
	cairn_object *object = NULL;
	cairn_tensor tensor;
	cairn_error err = {0};
	cairn_id id;
	char *text;

	assert_int_equal(cairn_id_parse(&id, id_text, &err), 0);
	assert_int_equal(cairn_object_open(&object, f->store, &id, &err), 0);
	assert_int_equal(cairn_object_read(object, entry, &tensor, &err), 0);
	text = calloc(1, tensor.bytes + 1);
	assert_non_null(text);
	memcpy(text, tensor.data, tensor.bytes);
	cairn_object_close(object);
	return text;
}

json_t *attempt_of(fixture *f, const char *instance, uint32_t n)
{
	cairn_snapshot *snapshot;
	json_t *json = NULL;

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	if (cairn_record_attempt(&json, snapshot, &stage_of(f, instance)->key, n, NULL) < 0)
		json = NULL;
	cairn_snapshot_end(snapshot);
	return json;
}

size_t count_attempts(fixture *f, const char *instance)
{
	cairn_snapshot *snapshot;
	uint32_t n = 0;

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(
		cairn_record_last_attempt(&n, snapshot, &stage_of(f, instance)->key, NULL), 0);
	cairn_snapshot_end(snapshot);
	return n;
}

static int count_one(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	(void)key, (void)key_len, (void)value, (void)value_len, (void)err;
	++*(size_t *)arg;
	return 0;
}

size_t count_checkpoints(fixture *f, const char *instance)
{
	cairn_snapshot *snapshot;
	size_t n = 0;

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_snapshot_scan(snapshot, "checkpoint",
				 stage_of(f, instance)->key.bytes, 32, false, count_one, &n, NULL),
		0);
	cairn_snapshot_end(snapshot);
	return n;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--stage-host") == 0)
		return cairn_stage_host_main(argc, argv);
	if (argc > 1 && strcmp(argv[1], "--describe") == 0)
		return cairn_describe_main(argc, argv);
	if (argc > 2 && strcmp(argv[1], "--run") == 0)
		return run_main(argv[2]);
	return tests_main();
}
