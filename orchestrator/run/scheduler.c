/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scheduler.c - what runs next, and the one loop that waits.
 *
 * Ready stages start in the order of the plan, as far as slots (-j), cpus, gpus and memory go;
 * a claim larger than the machine counts as the whole of it. Two stages with the same key
 * have the same result: the second waits for the first and finds it.
 *
 * A turn of the loop: begin what can begin, write down what must be, send the jobs, wait for
 * news. Nothing in it looks at every stage.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "run/budget.h"
#include "run/compute/probe.h"
#include "run/plan/preflight.h"
#include "run/runner.h"

#define TICK_MS     100
#define HEARTBEAT_S 1.0

double cairn_runner_clock(void)
{
	return cairn_clock();
}

/* ---- what may start ------------------------------------------------------------------------- */

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

static uint64_t device_memory_of(const cairn_runner *runner, size_t i)
{
	const cairn_compute *compute = runner->plan->compute;
	const cairn_planned_cost *cost = runner->plan->stages[i].cost;
	uint64_t all = compute ? compute->device_bytes : 0, claim = cost ? cost->device_bytes : 0;

	return claim < all ? claim : all;
}

/* Stages that claim no devices share the one that all of them see first; those that do have theirs
 * to themselves. */
static bool has_device_memory(const cairn_runner *runner, size_t i, uint64_t gpus)
{
	uint64_t used = device_memory_of(runner, i);

	for (size_t s = 0; s < runner->n_slots && !gpus; s++) {
		const cairn_attempt *attempt = &runner->attempts[s];

		if (attempt->is_used && !attempt->gpus)
			used += device_memory_of(runner, attempt->stage);
	}
	return gpus || !used || used <= runner->plan->compute->device_bytes;
}

/* Do the claims of the running stages leave room for this one? */
static bool has_room(const cairn_runner *runner, size_t i)
{
	const cairn_settings *want = &runner->plan->stages[i].instance->settings;
	int64_t cpus = runner->n_cpus, used_cpus = 0;

	for (size_t s = 0; s < runner->n_slots; s++) {
		const cairn_attempt *attempt = &runner->attempts[s];
		const cairn_settings *has;

		if (!attempt->is_used)
			continue;
		has = &runner->plan->stages[attempt->stage].instance->settings;
		used_cpus += at_most(has->cpus, cpus);
	}
	return used_cpus + at_most(want->cpus, cpus) <= cpus;
}

static uint64_t used_gpus(const cairn_runner *runner)
{
	uint64_t used = 0;

	for (size_t s = 0; s < runner->n_slots; s++) {
		if (runner->attempts[s].is_used)
			used |= runner->attempts[s].gpus;
	}
	return used;
}

/* The devices for stage i, none where it claims none. False: others have them. */
static bool choose_gpus(const cairn_runner *runner, size_t i, uint64_t *out)
{
	int n = cairn_gpus_claim(&runner->gpus, runner->plan->stages[i].instance->settings.gpus);

	*out = n ? cairn_gpus_choose(&runner->gpus, n, used_gpus(runner)) : 0;
	return !n || *out;
}

/* A process keeps the devices that it has seen. It may take a stage that needs as many, and gets
 * these if they are free. */
static bool fits_gpus(const cairn_runner *runner, const cairn_attempt *slot, uint64_t *gpus)
{
	uint64_t has = slot->child.gpus;

	if (__builtin_popcountll(has) != __builtin_popcountll(*gpus) || (has & used_gpus(runner)))
		return false;
	*gpus = has;
	return true;
}

/* Somebody has this key, or had it in the group that is not committed yet. */
static bool has_running_twin(const cairn_runner *runner, size_t i)
{
	const cairn_key *key = &runner->plan->stages[i].key;

	for (size_t s = 0; s < runner->n_slots; s++) {
		const cairn_attempt *attempt = &runner->attempts[s];
		if (attempt->is_used &&
			memcmp(&runner->plan->stages[attempt->stage].key, key, sizeof(*key)) == 0)
			return true;
	}
	return cairn_group_has_key(runner, key);
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

void cairn_runner_note_state(cairn_runner *runner, size_t i)
{
	uint64_t bit = (uint64_t)1 << i % 64, *word = &runner->ready.bits[i / 64];
	bool is_ready = runner->plan->stages[i].state == CAIRN_STATE_READY;

	if (is_ready == !!(*word & bit))
		return;
	*word ^= bit;
	runner->ready.n += is_ready ? (size_t)1 : (size_t)-1;
}

/* A process that waits for such a stage; else room for a new one; else one that waits for others,
 * and must go. NULL where every slot is at work. *gpus become those of the process. */
static cairn_attempt *choose_slot(cairn_runner *runner, size_t i, uint64_t *gpus)
{
	cairn_attempt *empty = NULL, *other = NULL;

	for (size_t s = 0; s < runner->n_slots; s++) {
		cairn_attempt *slot = &runner->attempts[s];

		if (cairn_attempt_fits(slot, runner->plan, i) && fits_gpus(runner, slot, gpus))
			return slot;
		if (!slot->is_used && !slot->child.pid)
			empty = slot;
		else if (!slot->is_used)
			other = slot;
	}
	if (!empty && other)
		cairn_runner_end_child(runner, other);
	return empty ? empty : other;
}

/* Processes that wait, and hold memory of these devices. */
static void free_gpus(cairn_runner *runner, const cairn_attempt *but, uint64_t gpus)
{
	for (size_t s = 0; s < runner->n_slots && gpus; s++) {
		cairn_attempt *slot = &runner->attempts[s];

		if (slot != but && !slot->is_used && slot->child.pid && (slot->child.gpus & gpus))
			cairn_runner_end_child(runner, slot);
	}
}

static int start_if_possible(cairn_runner *runner, size_t i, double now, cairn_error *err)
{
	cairn_attempt *slot;
	uint64_t gpus;

	if (runner->tries[i].not_before > now || has_running_twin(runner, i) ||
		!has_room(runner, i) || !choose_gpus(runner, i, &gpus) || !has_memory(runner, i) ||
		!has_device_memory(runner, i, gpus) || !cairn_budget_allows(runner, i))
		return 0;
	slot = choose_slot(runner, i, &gpus);
	if (!slot)
		return 0;
	free_gpus(runner, slot, gpus);
	return cairn_runner_start(runner, slot, i, gpus, err);
}

static int start_ready(cairn_runner *runner, cairn_error *err)
{
	double now = cairn_runner_clock();
	size_t n_free = runner->n_slots - count_running(runner);
	int rc = 0;

	if (!may_start(runner) || !runner->ready.n)
		return 0;
	for (size_t w = 0; w < runner->ready.n_words && n_free && rc == 0; w++) {
		uint64_t bits = runner->ready.bits[w];

		for (; bits && n_free && rc == 0; bits &= bits - 1) {
			rc = start_if_possible(
				runner, w * 64 + (size_t)__builtin_ctzll(bits), now, err);
			n_free = runner->n_slots - count_running(runner);
		}
	}
	return rc;
}

/* Something is ready and only waits for its next try. */
static bool is_backing_off(const cairn_runner *runner)
{
	return may_start(runner) && runner->ready.n;
}

/* ---- waiting ----------------------------------------------------------------------------------
 */

static void wait_for_news(cairn_runner *runner, struct pollfd *fds)
{
	nfds_t n = 0;
	int timeout;

	fds[n++] = (struct pollfd){.fd = runner->signals.fd, .events = POLLIN};
	for (size_t s = 0; s < runner->n_slots; s++) {
		int fd = runner->attempts[s].child.fd;
		if (runner->attempts[s].child.pid && fd >= 0)
			fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	timeout = runner->has_more ? 0 : TICK_MS;
	runner->has_more = false;
	if (poll(fds, n, timeout) < 0)
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
		if (runner->attempts[s].child.pid)
			rc = cairn_runner_serve(runner, &runner->attempts[s], err);
	}
	return rc;
}

static int beat(cairn_runner *runner, cairn_error *err)
{
	double now = cairn_runner_clock();

	cairn_budget_watch(runner);
	if (runner->observer && runner->observer->tick)
		runner->observer->tick(runner->observer, runner->plan);
	if (now - runner->heartbeat < HEARTBEAT_S)
		return 0;
	runner->heartbeat = now;
	cairn_runner_heartbeat(runner);
	return cairn_runner_flush(runner, err);
}

/* The run cannot go on: nothing of it may be left behind. */
static void kill_all(cairn_runner *runner)
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

/* Processes that wait for a stage which does not come. */
static void end_children(cairn_runner *runner)
{
	for (size_t s = 0; s < runner->n_slots; s++)
		cairn_runner_end_child(runner, &runner->attempts[s]);
}

/* Begins what can begin, and writes down what must be or can be. */
static int go_on(cairn_runner *runner, cairn_error *err)
{
	int rc;

	do {
		runner->may_go_on = false;
		rc = start_ready(runner, err);
		if (rc == 0)
			rc = cairn_runner_send_jobs(runner, err);
		if (rc == 0 &&
			cairn_group_is_due(&runner->group, count_running(runner) < runner->n_slots))
			rc = cairn_runner_flush(runner, err);
	} while (rc == 0 && runner->may_go_on);
	return rc;
}

int cairn_runner_loop(cairn_runner *runner, cairn_error *err)
{
	struct pollfd *fds = cairn_alloc(runner->n_slots + 1, sizeof(*fds));
	int rc = fds ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "out of memory for the scheduler");

	for (size_t i = 0; i < runner->plan->n_stages; i++)
		cairn_runner_note_state(runner, i);
	while (rc == 0) {
		rc = go_on(runner, err);
		if (rc < 0 || (!count_running(runner) && !is_backing_off(runner)))
			break;
		wait_for_news(runner, fds);
		take_signals(runner);
		rc = serve_all(runner, err);
		if (rc == 0)
			rc = beat(runner, err);
	}
	if (rc < 0)
		kill_all(runner);
	end_children(runner);
	free(fds);
	return rc;
}
