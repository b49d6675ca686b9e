/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance_stage.c - a stage to try: what it needs is computed once, then it is run again and
 * again in the same store, which forgets its result each time. So trials cost the stage alone,
 * and all of them have the same key.
 *
 * The trials run in directories of their own (working directory, TMPDIR, HOME): what is left in
 * these, the plugin left.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/report.h"
#include "base/text.h"
#include "run/check/checkup.h"
#include "run/runner.h"

/* Of an attempt, where the stage has no timeout of its own. */
#define PATIENCE_S 600

#define LEFT_BEHIND "left behind: "

/* ---- one run ------------------------------------------------------------------------------ */

static const cairn_planned *stage_of(const cairn_trial *trial)
{
	return &trial->plan->stages[trial->plan->n_stages - 1];
}

const json_t *cairn_trial_result(const cairn_trial *trial)
{
	return trial->plan ? cairn_plan_result(trial->plan, trial->plan->n_stages - 1) : NULL;
}

static void on_event(cairn_observer *observer, const cairn_plan *plan, const cairn_event *event)
{
	cairn_trial *trial = (cairn_trial *)observer;
	const char *left;

	if (event->stage != plan->n_stages - 1)
		return;
	if (event->type == CAIRN_EVENT_PROGRESS && event->step > trial->n_steps)
		trial->n_steps = event->step;
	/* host.c says so of processes, and of whatever else a plugin that may repeat left. */
	left = event->type == CAIRN_EVENT_LOG && event->level == CAIRN_LOG_WARNING && event->text
		       ? strstr(event->text, LEFT_BEHIND)
		       : NULL;
	if (left && !trial->left[0])
		snprintf(trial->left, sizeof(trial->left), "%s", left + strlen(LEFT_BEHIND));
	if (event->type == CAIRN_EVENT_ENDED && event->error)
		trial->error = *event->error;
	if (event->type != CAIRN_EVENT_STARTED)
		return;
	trial->resumed_step = event->resumed_step;
	if (trial->stop && trial->asked_at == 0) {
		/* As a person would: the runner is listening, and passes it on. */
		trial->asked_at = cairn_runner_clock();
		kill(getpid(), SIGTERM);
	}
}

/* The second one kills. CAIRN_TEST_GRACE as in executor.c. */
static void on_tick(cairn_observer *observer, const cairn_plan *plan)
{
	cairn_trial *trial = (cairn_trial *)observer;
	const char *text = getenv("CAIRN_TEST_GRACE");
	double grace;

	(void)plan;
	if (!text || !cairn_parse_double(text, &grace))
		grace = CAIRN_GRACE_S;
	if (trial->asked_at == 0 || trial->is_killed ||
		cairn_runner_clock() < trial->asked_at + grace)
		return;
	trial->is_killed = true;
	kill(getpid(), SIGTERM);
}

static void read_attempt(cairn_trial *trial)
{
	const cairn_planned *stage = stage_of(trial);
	cairn_snapshot *snapshot = NULL;

	if (stage->attempt == 0 || cairn_snapshot_begin(&snapshot, trial->of->store, NULL) < 0)
		return;
	if (cairn_record_attempt(&trial->attempt, snapshot, &stage->key, stage->attempt, NULL) ==
		0) {
		uint64_t step = (uint64_t)cairn_json_integer(trial->attempt, "step", 0);
		trial->n_steps = step > trial->n_steps ? step : trial->n_steps;
		trial->seconds = cairn_json_number(trial->attempt, "seconds", 0);
	}
	cairn_snapshot_end(snapshot);
}

/* A run may end before it sees the SIGTERM that we sent it: then nobody shall. */
static void hold_signal(sigset_t *before)
{
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, before);
}

static void release_signal(const sigset_t *before)
{
	const struct timespec at_once = {0};
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	while (sigtimedwait(&term, NULL, &at_once) == SIGTERM)
		;
	sigprocmask(SIG_SETMASK, before, NULL);
}

int cairn_trial_run(cairn_trial *trial, cairn_error *err)
{
	cairn_checkup *c = trial->of;
	cairn_run_options options = {
		.jobs = 1, .threads = trial->threads, .keep_going = true, .overcommit = true};
	sigset_t before;
	int rc;

	trial->observer = (cairn_observer){.event = on_event, .tick = on_tick};
	trial->asked_at = 0;
	trial->is_killed = false;
	trial->left[0] = '\0';
	trial->error = (cairn_error){0};
	trial->n_steps = trial->resumed_step = 0;
	trial->seconds = 0;
	rc = cairn_plan_make(&trial->plan, c->workflow, c->store, err);
	if (rc < 0)
		return rc;
	if (trial->kill_at)
		setenv("CAIRN_TEST_KILL_AT", trial->kill_at, 1);
	hold_signal(&before);
	rc = cairn_run_workflow(trial->plan, &options, &trial->observer, &trial->summary, err);
	release_signal(&before);
	unsetenv("CAIRN_TEST_KILL_AT");
	if (rc < 0)
		return rc;
	trial->state = stage_of(trial)->state;
	read_attempt(trial);
	/* A signal that was not ours. */
	c->is_stopped |= trial->summary.signal && trial->asked_at == 0;
	return 0;
}

void cairn_trial_close(cairn_trial *trial)
{
	json_decref(trial->attempt);
	cairn_plan_free(trial->plan);
	trial->attempt = NULL;
	trial->plan = NULL;
}

static int delete_checkpoint(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	(void)value, (void)value_len;
	return cairn_batch_delete(arg, "checkpoint", key, key_len, err);
}

int cairn_trial_forget(const cairn_trial *trial, cairn_error *err)
{
	const cairn_key *key = &stage_of(trial)->key;
	cairn_store *store = trial->of->store;
	cairn_snapshot *snapshot = NULL;
	cairn_batch *batch = NULL;
	int rc = cairn_batch_begin(&batch, store, err);

	if (rc < 0)
		return rc;
	rc = cairn_snapshot_begin(&snapshot, store, err);
	if (rc == 0) {
		rc = cairn_batch_delete(batch, "result", key->bytes, sizeof(key->bytes), err);
		if (rc == 0)
			rc = cairn_snapshot_scan(snapshot, "checkpoint", key->bytes,
				sizeof(key->bytes), false, delete_checkpoint, batch, err);
		cairn_snapshot_end(snapshot);
	}
	if (rc < 0) {
		cairn_batch_abort(batch);
		return rc;
	}
	return cairn_batch_commit(batch, err);
}

/* ---- the workflow ------------------------------------------------------------------------- */

/* The instance and all before it that it needs, directly or not; without_self: only those. */
static cairn_workflow *subset(
	cairn_checkup *c, const cairn_workflow *full, size_t index, bool without_self)
{
	bool *needed = cairn_arena_alloc(c->arena, index + 1, sizeof(*needed));
	size_t *place = cairn_arena_alloc(c->arena, index + 1, sizeof(*place)), n = 0;
	cairn_instance *instances = cairn_arena_alloc(c->arena, index + 1, sizeof(*instances));
	cairn_workflow *out = cairn_arena_alloc(c->arena, 1, sizeof(*out));

	needed[index] = true;
	for (size_t i = index + 1; i-- > 0;) {
		const cairn_instance *instance = &full->instances[i];
		for (size_t b = 0; needed[i] && b < instance->n_bindings; b++) {
			if (instance->bindings[b].type == CAIRN_FROM_INSTANCE)
				needed[instance->bindings[b].instance] = true;
		}
	}
	for (size_t i = 0; i <= index - without_self && index + 1 > without_self; i++) {
		cairn_binding *bindings;
		if (!needed[i])
			continue;
		instances[n] = full->instances[i];
		bindings =
			cairn_arena_alloc(c->arena, instances[n].n_bindings + 1, sizeof(*bindings));
		for (size_t b = 0; b < instances[n].n_bindings; b++) {
			bindings[b] = instances[n].bindings[b];
			if (bindings[b].type == CAIRN_FROM_INSTANCE)
				bindings[b].instance = place[bindings[b].instance];
		}
		instances[n].bindings = bindings;
		place[i] = n++;
	}
	*out = *full;
	out->instances = instances;
	out->n_instances = n;
	return out;
}

/* The stage that was named, or the only one of the plugin: its index, or SIZE_MAX and told. */
static size_t find_stage(cairn_checkup *c, const cairn_workflow *full)
{
	const cairn_instance *named = NULL;
	size_t found = SIZE_MAX, n = 0;
	cairn_error err = {0};

	if (c->ask->stage) {
		named = cairn_workflow_find(full, c->ask->stage, &err);
		if (!named) {
			cairn_checkup_say(c, "runs", CAIRN_FAILED, err.hint, "%s", err.message);
			return SIZE_MAX;
		}
		found = (size_t)(named - full->instances);
		if (strcmp(named->plugin->path, c->path) == 0)
			return found;
		cairn_checkup_say(c, "runs", CAIRN_FAILED,
			"Name a stage of this plugin with --stage.", "stage '%s' is of plugin '%s'",
			named->name, named->plugin->path);
		return SIZE_MAX;
	}
	for (size_t i = 0; i < full->n_instances; i++) {
		if (strcmp(full->instances[i].plugin->path, c->path) == 0 && n++ == 0)
			found = i;
	}
	if (n == 0)
		cairn_checkup_say(c, "runs", CAIRN_FAILED, "Name a workflow that uses it with -f.",
			"the workflow has no stage of this plugin");
	if (n > 1)
		cairn_checkup_say(c, "runs", CAIRN_FAILED,
			cairn_arena_printf(c->arena, "Say which: --stage %s, for one.",
				full->instances[found].name),
			"the workflow has %zu stages of this plugin", n);
	return n == 1 ? found : SIZE_MAX;
}

/* A workflow of nothing but the plugin: its path, or NULL where it cannot be; told then. */
static const char *make_workflow(cairn_checkup *c)
{
	const char *path = cairn_arena_printf(c->arena, "%s/check.ini", c->ask->directory);
	cairn_text text = {0};
	FILE *file;

	for (uint64_t i = 0; i < c->info.n_inputs; i++) {
		if (c->info.inputs[i].flags & CAIRN_PORT_OPTIONAL)
			continue;
		cairn_checkup_say(c, "runs", CAIRN_SKIPPED,
			"Name a workflow with a small stage of it: -f FILE.ini --stage STAGE.",
			"it reads '%s', and no workflow says what", c->info.inputs[i].name);
		return NULL;
	}
	cairn_text_printf(
		&text, "[workflow]\nname = check\n[stage check]\nplugin = %s\n", c->info.name);
	for (size_t i = 0; i < c->ask->n_values; i++)
		cairn_text_printf(
			&text, "%s = %s\n", c->ask->values[i].name, c->ask->values[i].value);
	file = fopen(path, "we");
	if (!file || fputs(cairn_text_get(&text), file) < 0 || fclose(file) != 0) {
		cairn_checkup_say(c, "runs", CAIRN_FAILED, NULL, "cannot write '%s'", path);
		path = NULL;
	}
	cairn_text_free(&text);
	return path;
}

/* 1: loaded; 0: told what is wrong with it. */
static int load(cairn_checkup *c, cairn_workflow **out)
{
	char path[PATH_MAX];
	const char *file = c->ask->workflow;
	cairn_errors errors = {0};
	int rc;

	if (!file)
		file = make_workflow(c);
	else if (realpath(file, path))
		file = cairn_arena_strdup(c->arena, path);
	if (!file)
		return 0;
	rc = cairn_workflow_load(out, file, c->ask->workflow ? c->ask->values : NULL,
		c->ask->workflow ? c->ask->n_values : 0, c->registry, &errors);
	if (rc < 0)
		cairn_checkup_say(c, "runs", c->ask->workflow ? CAIRN_FAILED : CAIRN_SKIPPED,
			errors.n && errors.items[0].hint[0]
				? cairn_arena_strdup(c->arena, errors.items[0].hint)
				: "`cairn check` tells every mistake of a workflow.",
			"no stage can be made: %s",
			errors.n ? errors.items[0].message : "the workflow cannot be read");
	cairn_errors_free(&errors);
	return rc == 0;
}

/* ---- where it runs ------------------------------------------------------------------------ */

/* The object under test comes first among plugins of its name. */
static void put_first(cairn_checkup *c)
{
	const char *old = getenv("CAIRN_PLUGIN_PATH"), *slash = strrchr(c->path, '/');
	char *path = cairn_arena_printf(c->arena, "%.*s%s%s", (int)(slash - c->path), c->path,
		old && *old ? ":" : "", old ? old : "");

	setenv("CAIRN_PLUGIN_PATH", path, 1);
}

/* Working directory, TMPDIR and HOME of what is started from here on. */
static int move_to(cairn_checkup *c, const char *name, cairn_error *err)
{
	static const char *const parts[] = {"work", "tmp", "home"};
	const char *paths[3];

	for (int i = 0; i < 3; i++) {
		const char *parent = cairn_arena_printf(c->arena, "%s/%s", c->ask->directory, name);
		paths[i] = cairn_arena_printf(c->arena, "%s/%s", parent, parts[i]);
		if ((i == 0 && mkdir(parent, 0700) < 0 && errno != EEXIST) ||
			(mkdir(paths[i], 0700) < 0 && errno != EEXIST))
			return cairn_error_errno(
				err, CAIRN_EIO, errno, "cannot make '%.250s'", paths[i]);
	}
	if (chdir(paths[0]) < 0)
		return cairn_error_errno(
			err, CAIRN_EIO, errno, "cannot work in '%.250s'", paths[0]);
	setenv("TMPDIR", paths[1], 1);
	setenv("HOME", paths[2], 1);
	return 0;
}

/* Runs what the stage needs. 1: all is there; 0: told. */
static int prepare(cairn_checkup *c, cairn_workflow *full, size_t index, cairn_error *err)
{
	cairn_trial trial = {.of = c};
	int rc = move_to(c, "before", err);

	c->workflow = subset(c, full, index, true);
	if (rc < 0 || c->workflow->n_instances == 0)
		return rc < 0 ? rc : 1;
	rc = cairn_trial_run(&trial, err);
	if (rc == 0 && trial.summary.done + trial.summary.cached < c->workflow->n_instances) {
		cairn_checkup_say(c, "runs", CAIRN_SKIPPED,
			"Run the workflow: its own error says more.",
			"what the stage reads could not be made%s%s", trial.error.code ? ": " : "",
			trial.error.message);
	} else if (rc == 0) {
		rc = 1;
	}
	cairn_trial_close(&trial);
	return rc;
}

int cairn_checkup_stage(cairn_checkup *c, cairn_error *err)
{
	const char *store = cairn_arena_printf(c->arena, "%s/store", c->ask->directory);
	cairn_workflow *full = NULL;
	cairn_instance *self;
	size_t index;
	int rc;

	put_first(c);
	rc = cairn_store_open(&c->store, store, CAIRN_STORE_CREATE, err);
	if (rc == 0)
		rc = cairn_plugins_open(&c->registry, c->store, err);
	if (rc < 0)
		return rc;
	rc = load(c, &full);
	if (rc == 0)
		return 0;
	index = find_stage(c, full);
	if (index == SIZE_MAX) {
		cairn_workflow_free(full);
		return 0;
	}
	rc = prepare(c, full, index, err);
	/* The texts of `full` are used until the end; the arena of the workflow goes with it. */
	c->workflow = subset(c, full, index, false);
	self = (cairn_instance *)&c->workflow->instances[c->workflow->n_instances - 1];
	c->settings = &self->settings;
	c->settings->retries = 0;
	if (c->settings->timeout_s <= 0)
		c->settings->timeout_s = PATIENCE_S;
	if (rc != 1)
		return rc;
	rc = move_to(c, "during", err);
	return rc < 0 ? rc : 1;
}

void cairn_checkup_stage_close(cairn_checkup *c)
{
	cairn_workflow_free(c->workflow);
	cairn_plugins_close(c->registry);
	cairn_store_close(c->store);
}
