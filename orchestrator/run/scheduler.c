/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scheduler.c - what runs next, and the one loop that waits.
 *
 * Ready stages start in the order of the plan, as far as slots (-j), cpus, gpus and memory go;
 * a claim larger than the machine counts as the whole of it. Two stages with the same key
 * have the same result: the second waits for the first and finds it.
 */
#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "run/preflight.h"
#include "run/runner.h"

#define TICK_MS     100
#define HEARTBEAT_S 1.0

double cairn_runner_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- what may start ------------------------------------------------------------------------- */

static int64_t count_gpus(void)
{
	glob_t found = {0};
	int64_t n = glob("/dev/nvidia[0-9]*", 0, NULL, &found) == 0 ? (int64_t)found.gl_pathc : 0;

	globfree(&found);
	return n;
}

static int64_t at_most(int64_t claim, int64_t all)
{
	return claim < all ? claim : all;
}

static uint64_t memory_of(const cairn_runner *runner, size_t i)
{
	uint64_t claim = cairn_memory_claim(&runner->plan->stages[i]);

	return claim < runner->memory_bytes ? claim : runner->memory_bytes;
}

/* Stages that do not say what memory they need, and have no estimate, claim none. */
static bool has_memory(const cairn_runner *runner, size_t i)
{
	uint64_t used = 0;

	for (size_t s = 0; s < runner->n_slots; s++) {
		if (runner->attempts[s].is_used)
			used += memory_of(runner, runner->attempts[s].stage);
	}
	return used + memory_of(runner, i) <= runner->memory_bytes;
}

/* Do the claims of the running stages leave room for this one? */
static bool has_room(const cairn_runner *runner, size_t i)
{
	const cairn_settings *want = &runner->plan->stages[i].instance->settings;
	int64_t cpus = sysconf(_SC_NPROCESSORS_ONLN), gpus = want->gpus ? count_gpus() : 0;
	int64_t used_cpus = 0, used_gpus = 0;

	for (size_t s = 0; s < runner->n_slots; s++) {
		const cairn_attempt *attempt = &runner->attempts[s];
		const cairn_settings *has;

		if (!attempt->is_used)
			continue;
		has = &runner->plan->stages[attempt->stage].instance->settings;
		used_cpus += at_most(has->cpus, cpus);
		used_gpus += at_most(has->gpus, gpus);
	}
	return used_cpus + at_most(want->cpus, cpus) <= cpus &&
	       used_gpus + at_most(want->gpus, gpus) <= gpus;
}

static bool has_running_twin(const cairn_runner *runner, size_t i)
{
	for (size_t s = 0; s < runner->n_slots; s++) {
		const cairn_attempt *attempt = &runner->attempts[s];
		if (attempt->is_used &&
			memcmp(&runner->plan->stages[attempt->stage].key,
				&runner->plan->stages[i].key, sizeof(cairn_key)) == 0)
			return true;
	}
	return false;
}

static size_t count_running(const cairn_runner *runner)
{
	size_t n = 0;

	for (size_t s = 0; s < runner->n_slots; s++)
		n += runner->attempts[s].is_used;
	return n;
}

static bool may_start(const cairn_runner *runner)
{
	return !runner->n_signals && (!runner->has_failed || runner->options->keep_going);
}

static int start_ready(cairn_runner *runner, cairn_error *err)
{
	double now = cairn_runner_clock();
	int rc = 0;

	if (!may_start(runner))
		return 0;
	for (size_t i = 0; i < runner->plan->n_stages && rc == 0; i++) {
		if (count_running(runner) == runner->n_slots)
			break;
		if (runner->plan->stages[i].state == CAIRN_STATE_READY &&
			runner->tries[i].not_before <= now && !has_running_twin(runner, i) &&
			has_room(runner, i) && has_memory(runner, i))
			rc = cairn_runner_start(runner, i, err);
	}
	return rc;
}

/* Something is ready and only waits for its next try. */
static bool is_backing_off(const cairn_runner *runner)
{
	if (!may_start(runner))
		return false;
	for (size_t i = 0; i < runner->plan->n_stages; i++) {
		if (runner->plan->stages[i].state == CAIRN_STATE_READY)
			return true;
	}
	return false;
}

/* ---- waiting ----------------------------------------------------------------------------------
 */

static void wait_for_news(cairn_runner *runner, struct pollfd *fds)
{
	nfds_t n = 0;

	fds[n++] = (struct pollfd){.fd = runner->signals.fd, .events = POLLIN};
	for (size_t s = 0; s < runner->n_slots; s++) {
		if (runner->attempts[s].is_used && runner->attempts[s].fd >= 0)
			fds[n++] = (struct pollfd){.fd = runner->attempts[s].fd, .events = POLLIN};
	}
	if (poll(fds, n, TICK_MS) < 0)
		return; /* a signal: the loop looks at everything anyway */
}

/* First signal: finish the step, write a checkpoint, end. Second: now. */
static void take_signals(cairn_runner *runner)
{
	cairn_event event = {.type = CAIRN_EVENT_STOPPING, .stage = SIZE_MAX};
	int signal;

	while ((signal = cairn_signals_next(&runner->signals))) {
		if (!runner->n_signals++)
			runner->signal = signal;
		event.text = runner->n_signals == 1
				     ? "stopping after a checkpoint; once more to stop at once"
				     : "stopping at once";
		for (size_t s = 0; s < runner->n_slots; s++) {
			if (!runner->attempts[s].is_used)
				continue;
			if (runner->n_signals == 1)
				cairn_attempt_ask_stop(&runner->attempts[s]);
			else
				cairn_attempt_kill(&runner->attempts[s]);
		}
		cairn_journal_event(&runner->journal, "stopping", SIZE_MAX, event.text, NULL);
		cairn_runner_tell(runner, &event);
	}
}

static int serve_all(cairn_runner *runner, cairn_error *err)
{
	int rc = 0;

	for (size_t s = 0; s < runner->n_slots && rc == 0; s++) {
		if (runner->attempts[s].is_used)
			rc = cairn_runner_serve(runner, &runner->attempts[s], err);
	}
	return rc;
}

static int beat(cairn_runner *runner, cairn_error *err)
{
	double now = cairn_runner_clock();

	if (runner->observer && runner->observer->tick)
		runner->observer->tick(runner->observer, runner->plan);
	if (now - runner->heartbeat < HEARTBEAT_S)
		return 0;
	runner->heartbeat = now;
	cairn_runner_heartbeat(runner);
	return cairn_journal_flush(&runner->journal, err);
}

/* The run cannot go on: nothing of it may be left behind. */
static void end_all(cairn_runner *runner)
{
	const struct timespec nap = {.tv_nsec = 10 * 1000 * 1000};

	for (size_t s = 0; s < runner->n_slots; s++) {
		if (!runner->attempts[s].is_used)
			continue;
		cairn_attempt_kill(&runner->attempts[s]);
		while (!cairn_attempt_reap(&runner->attempts[s]))
			nanosleep(&nap, NULL);
		cairn_attempt_clear(&runner->attempts[s]);
	}
}

int cairn_runner_loop(cairn_runner *runner, cairn_error *err)
{
	struct pollfd *fds = cairn_alloc(runner->n_slots + 1, sizeof(*fds));
	int rc = fds ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "out of memory for the scheduler");

	while (rc == 0) {
		rc = start_ready(runner, err);
		if (rc < 0 || (!count_running(runner) && !is_backing_off(runner)))
			break;
		wait_for_news(runner, fds);
		take_signals(runner);
		rc = serve_all(runner, err);
		if (rc == 0)
			rc = beat(runner, err);
	}
	if (rc < 0)
		end_all(runner);
	free(fds);
	return rc;
}
