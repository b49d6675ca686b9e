/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance_trials.c - what must be true of a stage, however it is run.
 *
 * The first run, undisturbed on one thread, says what is expected; every other must make the same
 * outputs, the metric rows among them. Kills use the failpoints of the stage host, at growing
 * steps of one life: a stage is killed several times before it may finish.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "run/check/checkup.h"

/* An estimate may be off by this factor: it knows bytes where the meter counts tokens. */
#define ESTIMATE_FACTOR 4.0
/* That of memory by this one, and by what any process takes. */
#define MEMORY_FACTOR 2.0
#define MEMORY_SLACK  (64u << 20)

typedef struct expected {
	json_t *outputs; /* {port: id} of the first run */
	uint64_t n_steps;
} expected;

static json_t *outputs_of(const cairn_trial *trial)
{
	json_t *list = json_object();
	const json_t *output;
	const char *port;

	json_object_foreach(json_object_get(cairn_trial_result(trial), "outputs"), port, output)
		json_object_set_new(list, port, json_string(cairn_json_string(output, "id", "?")));
	return list;
}

/* The stage has a result: is it the expected one? Tells it where it is not. */
static bool is_same(cairn_checkup *c, const char *check, const cairn_trial *trial,
	const expected *want, const char *hint)
{
	json_t *got = outputs_of(trial);
	const json_t *id;
	const char *port;
	cairn_text differ = {0};
	bool same;

	json_object_foreach(want->outputs, port, id)
	{
		if (!json_equal(id, json_object_get(got, port)))
			cairn_text_printf(&differ, "%s'%s'", differ.len ? ", " : "", port);
	}
	json_object_foreach(got, port, id)
	{
		if (!json_object_get(want->outputs, port))
			cairn_text_printf(&differ, "%s'%s'", differ.len ? ", " : "", port);
	}
	same = differ.len == 0;
	if (!same)
		cairn_checkup_say(
			c, check, CAIRN_FAILED, hint, "other bytes in output %s", differ.data);
	cairn_text_free(&differ);
	json_decref(got);
	return same;
}

static bool is_done(const cairn_trial *trial)
{
	return trial->state == CAIRN_STATE_DONE;
}

static void say_failure(cairn_checkup *c, const char *check, const cairn_trial *trial)
{
	cairn_checkup_say(c, check, CAIRN_FAILED, trial->error.hint, "the stage %s%s%s",
		trial->state == CAIRN_STATE_FAILED ? "fails" : cairn_state_name(trial->state),
		trial->error.code ? ": " : "", trial->error.message);
}

/* ---- undisturbed -------------------------------------------------------------------------- */

/* The contract's own word for a broken rule; whatever else ended it is no result either. */
static void say_first(cairn_checkup *c, const cairn_trial *trial)
{
	bool is_bug = trial->error.code == CAIRN_EBUG;

	if (is_done(trial)) {
		cairn_checkup_say(c, "runs", CAIRN_PASSED, NULL, "done in %.2g s, %llu steps",
			trial->seconds, (unsigned long long)trial->n_steps);
		cairn_checkup_say(c, "rules", CAIRN_PASSED, NULL,
			"the host saw nothing that the contract forbids");
	} else if (trial->state == CAIRN_STATE_WAITING) {
		cairn_checkup_say(c, "runs", CAIRN_SKIPPED,
			"Give it what people would, then check again.", "it waits for people");
	} else {
		say_failure(c, is_bug ? "rules" : "runs", trial);
	}
}

/* ---- what the account says ---------------------------------------------------------------- */

static double flop_of(const cairn_trial *trial)
{
	const json_t *list = json_object_get(trial->attempt, "flop"), *one;
	double sum = 0;
	size_t i;

	json_array_foreach((json_t *)list, i, one) sum += json_number_value(one);
	return sum;
}

static void check_compute(cairn_checkup *c, const cairn_trial *trial)
{
	const cairn_planned *stage = &trial->plan->stages[trial->plan->n_stages - 1];
	double metered = flop_of(trial), estimate = stage->cost ? stage->cost->flop : 0;

	if (!(c->info.capabilities & CAIRN_NEEDS_KERNELS)) {
		cairn_checkup_say(
			c, "compute", CAIRN_SKIPPED, NULL, "it does not compute with kernels");
		return;
	}
	if (metered <= 0) {
		cairn_checkup_say(c, "compute", CAIRN_FAILED,
			"Compute with the table that host->kernels() gives, or do not say "
			"CAIRN_NEEDS_KERNELS.",
			"it says that it needs kernels, and the meter counted nothing");
		return;
	}
	cairn_checkup_say(c, "compute", CAIRN_PASSED, NULL, "%.4g FLOP metered", metered);
	if (!c->info.has_estimate || !stage->cost || stage->cost->is_partial)
		cairn_checkup_say(c, "estimate", CAIRN_SKIPPED, NULL,
			c->info.has_estimate ? "not everything it depends on is known"
					     : "it has no estimate()");
	else if (estimate * ESTIMATE_FACTOR < metered || metered * ESTIMATE_FACTOR < estimate)
		cairn_checkup_say(c, "estimate", CAIRN_FAILED,
			"Count as the meter does: with padding, backward twice the forward.",
			"%.4g FLOP estimated, %.4g metered: more than a factor of %g", estimate,
			metered, ESTIMATE_FACTOR);
	else
		cairn_checkup_say(c, "estimate", CAIRN_PASSED, NULL,
			"%.4g FLOP estimated, %.3g times what was metered", estimate,
			estimate / metered);
}

static void check_memory(cairn_checkup *c, const cairn_trial *trial)
{
	const cairn_planned *stage = &trial->plan->stages[trial->plan->n_stages - 1];
	double estimate = stage->cost ? (double)stage->cost->memory_bytes : 0;
	double peak = cairn_json_number(trial->attempt, "max_rss_bytes", 0);
	char a[32], b[32];

	cairn_format_bytes(a, estimate, 10);
	cairn_format_bytes(b, peak, 10);
	if (estimate <= 0 || peak <= 0)
		cairn_checkup_say(c, "memory", CAIRN_SKIPPED,
			"With .memory_bytes in the estimate, runs that do not fit are refused.",
			"it does not estimate its memory");
	else if (peak > estimate * MEMORY_FACTOR + MEMORY_SLACK)
		cairn_checkup_say(c, "memory", CAIRN_FAILED,
			"Count what is resident at once: runs are planned with it.",
			"%s estimated, %s used", a, b);
	else if (estimate > peak * MEMORY_FACTOR + MEMORY_SLACK)
		cairn_checkup_say(c, "memory", CAIRN_WARNED,
			"A stage that asks for too much waits for others to end.",
			"%s estimated, %s used", a, b);
	else
		cairn_checkup_say(c, "memory", CAIRN_PASSED, NULL, "%s estimated, %s used", a, b);
}

/* ---- what is left behind ------------------------------------------------------------------ */

/* The first entry of a directory, or NULL. */
static const char *first_entry(const cairn_checkup *c, const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	const char *found = NULL;

	while (dir && !found && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			found = cairn_arena_strdup(c->arena, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void check_files(cairn_checkup *c)
{
	static const struct {
		const char *path, *name;
	} places[] = {{"during/work", "its working directory"}, {"during/tmp", "TMPDIR"},
		{"during/home", "HOME"},
		{"store/tmp", "its scratch, which the host could not empty"}};

	for (size_t i = 0; i < CAIRN_COUNT(places); i++) {
		const char *path =
			cairn_arena_printf(c->arena, "%s/%s", c->ask->directory, places[i].path);
		const char *found = first_entry(c, path);
		if (found) {
			cairn_checkup_say(c, "files", CAIRN_FAILED,
				"host->scratch() is the place for files; it is removed.",
				"it left '%s' in %s", found, places[i].name);
			return;
		}
	}
	cairn_checkup_say(c, "files", CAIRN_PASSED, NULL, "nothing is left but its outputs");
}

static void check_processes(cairn_checkup *c, const cairn_trial *trial)
{
	if (trial->left[0])
		cairn_checkup_say(c, "processes", CAIRN_FAILED,
			"Wait for what run() starts, and put back what it changes.",
			"when run() returned, it left behind: %s", trial->left);
	else
		cairn_checkup_say(c, "processes", CAIRN_PASSED, NULL,
			"%s was left when run() returned",
			c->info.capabilities & CAIRN_CAN_REPEAT
				? "no process, thread or changed surroundings"
				: "no process");
}

/* 1: it is done, and *out is what to expect of all others. */
static int first_run(cairn_checkup *c, expected *out, cairn_error *err)
{
	cairn_trial trial = {.of = c, .threads = 1};
	int rc = cairn_trial_run(&trial, err);

	if (rc < 0)
		return rc;
	say_first(c, &trial);
	if (is_done(&trial)) {
		check_files(c);
		check_processes(c, &trial);
		check_compute(c, &trial);
		check_memory(c, &trial);
		out->outputs = outputs_of(&trial);
		out->n_steps = trial.n_steps;
		rc = c->is_stopped ? 0 : 1;
	}
	cairn_trial_close(&trial);
	return rc;
}

/* ---- again, a little different ------------------------------------------------------------ */

#define NOT_EXACT                                                                       \
	"Look for a clock, an address, an unset byte, or a sum whose order depends on " \
	"threads; see EXACTNESS in cairn-plugin(7)."

/* Runs it once more; the result must be the same. `good` is what to say where it is. */
static int repeat(cairn_checkup *c, const char *check, cairn_trial *trial, const expected *want,
	const char *good, cairn_error *err)
{
	int rc = cairn_trial_forget(trial, err);

	cairn_trial_close(trial);
	if (rc == 0)
		rc = cairn_trial_run(trial, err);
	if (rc < 0)
		return rc;
	if (!is_done(trial))
		say_failure(c, check, trial);
	else if (is_same(c, check, trial, want, NOT_EXACT))
		cairn_checkup_say(c, check, CAIRN_PASSED, NULL, "%s", good);
	return 0;
}

static int all_threads(const cairn_checkup *c)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return c->ask->threads > 0 ? c->ask->threads : n > 2 ? (int)n : 2;
}

/* Another time zone and language, and memory that is not zero where nobody wrote. */
static void change_environment(bool on)
{
	static const char *const names[] = {"TZ", "LC_ALL", "MALLOC_PERTURB_", "COLUMNS"};
	static const char *const values[] = {"Pacific/Kiritimati", "de_DE.UTF-8", "165", "13"};

	for (size_t i = 0; i < CAIRN_COUNT(names); i++) {
		if (on)
			setenv(names[i], values[i], 1);
		else
			unsetenv(names[i]);
	}
}

static int check_exact(cairn_checkup *c, cairn_trial *trial, const expected *want, cairn_error *err)
{
	int threads = all_threads(c), rc;

	if (c->info.capabilities & CAIRN_NOT_DETERMINISTIC) {
		cairn_checkup_say(c, "again", CAIRN_SKIPPED,
			"Then no stage behind it is ever taken from the store for long.",
			"it says of itself that it is not deterministic");
		return 0;
	}
	trial->threads = 1;
	rc = repeat(c, "again", trial, want, "the same bytes", err);
	trial->threads = threads;
	if (rc == 0)
		rc = repeat(c, "threads", trial, want,
			cairn_arena_printf(c->arena, "the same bytes on %d threads", threads), err);
	trial->threads = 1;
	change_environment(true);
	if (rc == 0)
		rc = repeat(c, "environment", trial, want,
			"the same bytes in another time zone, language and memory", err);
	change_environment(false);
	if (rc < 0 || !(c->info.capabilities & CAIRN_CAN_CHECKPOINT) || want->n_steps == 0)
		return rc;
	c->settings->checkpoint_every_steps = 1;
	return repeat(c, "checkpoints", trial, want, "the same bytes with one at each step", err);
}

/* ---- killed ------------------------------------------------------------------------------- */

/* Where it is killed, in order, of a stage of n steps: at or after these, since a plugin may count
 * in larger steps than one. */
static size_t list_points(const cairn_checkup *c, uint64_t n, const char *points[8])
{
	bool can = c->info.capabilities & CAIRN_CAN_CHECKPOINT;
	const char *const names[] = {"step", "checkpoint", "checkpointed", "step"};
	uint64_t last = 0;
	size_t count = 0;

	for (uint64_t i = 0; i < 4; i++) {
		uint64_t step = n * (i + 1) / 4;
		/* What was checkpointed is not made again: the step after. */
		if (step <= last)
			step = last + 1;
		if (step > n || (!can && i != 0 && i != 3))
			continue;
		points[count++] = cairn_arena_printf(
			c->arena, "%s:%llu+", can ? names[i] : "step", (unsigned long long)step);
		last = step;
	}
	points[count++] = "result:1";
	return count;
}

static void say_killed(
	cairn_checkup *c, const cairn_trial *trial, const expected *want, int n_kills, bool resumed)
{
	bool can = c->info.capabilities & CAIRN_CAN_CHECKPOINT;

	if (!is_done(trial))
		say_failure(c, "killed", trial);
	else if (n_kills == 0)
		cairn_checkup_say(
			c, "killed", CAIRN_SKIPPED, NULL, "it was done before it could be killed");
	else if (is_same(c, "killed", trial, want,
			 "Something that the next step depends on is not in the checkpoint."))
		cairn_checkup_say(c, "killed", CAIRN_PASSED, NULL,
			"killed %d times, then the same bytes", n_kills);
	if (!can)
		cairn_checkup_say(
			c, "resumed", CAIRN_SKIPPED, NULL, "it has no checkpoints: it began again");
	else if (want->n_steps < 2 || n_kills < 2)
		cairn_checkup_say(c, "resumed", CAIRN_SKIPPED, "Give a stage of more steps.",
			"too short to be resumed");
	else if (!resumed)
		cairn_checkup_say(c, "resumed", CAIRN_FAILED,
			"Ask resume(), and write a checkpoint when step() says so.",
			"it says that it can checkpoint, and began again after each kill");
	else
		cairn_checkup_say(
			c, "resumed", CAIRN_PASSED, NULL, "it went on from its checkpoints");
}

static int check_kills(cairn_checkup *c, cairn_trial *trial, const expected *want, cairn_error *err)
{
	const char *points[8];
	size_t n = list_points(c, want->n_steps, points);
	bool resumed = false;
	int n_kills = 0, rc = cairn_trial_forget(trial, err);

	for (size_t i = 0; i <= n && rc == 0 && !c->is_stopped; i++) {
		cairn_trial_close(trial);
		trial->kill_at = i < n ? points[i] : NULL;
		rc = cairn_trial_run(trial, err);
		if (rc < 0)
			break;
		resumed |= trial->resumed_step > 0;
		n_kills += cairn_json_integer(trial->attempt, "signal", 0) == SIGKILL;
		if (is_done(trial))
			break; /* not every point is met */
	}
	trial->kill_at = NULL;
	if (rc == 0)
		say_killed(c, trial, want, n_kills, resumed);
	return rc;
}

/* ---- stopped ------------------------------------------------------------------------------ */

/* After it stopped: is there a checkpoint of its last step? */
static bool has_checkpoint(const cairn_trial *trial)
{
	const cairn_planned *stage = &trial->plan->stages[trial->plan->n_stages - 1];
	cairn_snapshot *snapshot = NULL;
	json_t *checkpoint = NULL;
	bool is_there = false;

	if (cairn_snapshot_begin(&snapshot, trial->of->store, NULL) < 0)
		return false;
	if (cairn_record_newest_checkpoint(&checkpoint, snapshot, &stage->key, NULL) == 0)
		is_there = (uint64_t)cairn_json_integer(checkpoint, "step", 0) == trial->n_steps;
	json_decref(checkpoint);
	cairn_snapshot_end(snapshot);
	return is_there;
}

static int check_stops(cairn_checkup *c, cairn_trial *trial, const expected *want, cairn_error *err)
{
	bool can = c->info.capabilities & CAIRN_CAN_CHECKPOINT;
	bool stopped, killed, has_state;
	int rc = cairn_trial_forget(trial, err);

	cairn_trial_close(trial);
	trial->stop = true;
	if (rc == 0)
		rc = cairn_trial_run(trial, err);
	if (rc < 0)
		return rc;
	killed = trial->is_killed;
	/* Not where it died of the signal: before it could listen. */
	stopped = strcmp(cairn_json_string(trial->attempt, "state", ""), "stopped") == 0;
	has_state = stopped && can && has_checkpoint(trial);
	cairn_trial_close(trial);
	trial->stop = false;
	rc = cairn_trial_run(trial, err); /* and on */
	if (rc < 0)
		return rc;
	if (killed)
		cairn_checkup_say(c, "stopped", CAIRN_FAILED,
			"Call step() at least once a second, and heed CAIRN_STOP.",
			"asked to stop, it went on until it was killed");
	else if (!stopped)
		cairn_checkup_say(c, "stopped", CAIRN_SKIPPED, NULL,
			"it was done before it heard that it should stop");
	else if (can && !has_state)
		cairn_checkup_say(c, "stopped", CAIRN_FAILED,
			"On CAIRN_STOP write a checkpoint of this step, then return "
			"CAIRN_STOPPED.",
			"it stopped without a checkpoint of its last step");
	else if (!is_done(trial))
		say_failure(c, "stopped", trial);
	else if (is_same(c, "stopped", trial, want,
			 "What it writes on CAIRN_STOP is not all that it needs."))
		cairn_checkup_say(c, "stopped", CAIRN_PASSED, NULL,
			"asked to stop it did, and went on to the same bytes");
	return 0;
}

static int check_cached(cairn_checkup *c, cairn_trial *trial, cairn_error *err)
{
	int rc;

	cairn_trial_close(trial);
	rc = cairn_trial_run(trial, err);
	if (rc < 0)
		return rc;
	if (c->info.capabilities & CAIRN_NOT_DETERMINISTIC)
		cairn_checkup_say(c, "cached", CAIRN_SKIPPED, NULL, "it is run each time");
	else if (trial->state != CAIRN_STATE_CACHED)
		cairn_checkup_say(c, "cached", CAIRN_FAILED, NULL, "the same stage ran once more");
	else
		cairn_checkup_say(
			c, "cached", CAIRN_PASSED, NULL, "the same stage is not run again");
	return 0;
}

/* ---- all of them -------------------------------------------------------------------------- */

static int try_all(cairn_checkup *c, const expected *want, cairn_error *err)
{
	bool is_exact = !(c->info.capabilities & CAIRN_NOT_DETERMINISTIC);
	cairn_trial trial = {.of = c, .threads = 1};
	int rc = cairn_trial_run(&trial, err); /* the plan of what is done */

	if (rc == 0)
		rc = check_exact(c, &trial, want, err);
	c->settings->checkpoint_every_steps = 1;
	if (rc == 0 && is_exact && !c->is_stopped)
		rc = check_kills(c, &trial, want, err);
	if (rc == 0 && is_exact && !c->is_stopped)
		rc = check_stops(c, &trial, want, err);
	if (rc == 0 && !c->is_stopped)
		rc = check_cached(c, &trial, err);
	cairn_trial_close(&trial);
	return rc;
}

int cairn_checkup_trials(cairn_checkup *c, cairn_error *err)
{
	expected want = {0};
	int rc = first_run(c, &want, err);

	if (rc == 1)
		rc = try_all(c, &want, err);
	json_decref(want.outputs);
	return rc;
}
