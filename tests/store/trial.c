/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "store/internal.h"

enum {
	PATIENCE_S = 30, /* a trial takes milliseconds */
	FORK_EVERY = 8,  /* trials, a new process looks, too; $CAIRN_SOAK: each time */
#if defined(__SANITIZE_ADDRESS__)
	MOST = 40,
#else
	MOST = 48, /* of the calls of one kind, if there are more: the first half, and some */
#endif
	MOST_SLOW = 8, /* and one error for each, in turn */
};

static struct trial {
	const operation *operation;
	inject_fault fault;
	char directory[600];
} now;
static bool is_trying;
trial_counts trials;

static bool is_soak(void)
{
	return getenv("CAIRN_SOAK") != NULL;
}

static void print_trial(void)
{
	print_error("in %s, %s number %llu, error %d%s\n", now.operation->name,
		inject_name(now.fault.call), (unsigned long long)now.fault.nth, now.fault.error,
		now.fault.stays ? ", stays" : "");
}

/* Says what was tried, then dies of the signal as it would have. */
static void die_loudly(int signal_number)
{
	(void)inject_disarm();
	print_trial();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* Goes on after a failure: all of them together say more. */
#define EXPECT(condition)                                                               \
	do {                                                                            \
		if (!(condition)) {                                                     \
			print_trial();                                                  \
			print_error("  %s\n  %d: %s | %s | %s\n", #condition, err.code, \
				err.message, err.detail, err.hint);                     \
			trials.n_failed++;                                              \
		}                                                                       \
	} while (0)

static int count_descriptors(void)
{
	DIR *stream = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(stream);
	while (readdir(stream))
		n++;
	closedir(stream);
	return n;
}

/* ---- one trial --------------------------------------------------------------------------------
 */

static int open_and_run(
	const operation *o, cairn_store **store, const char *directory, cairn_error *err)
{
	int rc = 0;

	if (o->flags != UINT_MAX && !*store)
		rc = cairn_store_open(store, directory, o->flags, err);
	return rc ? rc : o->run(*store, directory, err);
}

static void check(const operation *o, cairn_store *store)
{
	if (o->prepare == operations[0].prepare)
		return; /* a new store: empty */
	o->check(store);
	operations_check_kept(store, o);
}

/* The same again, by somebody who knows of no fault. */
static int run_in_peace(void *arg)
{
	const struct trial *t = arg;
	cairn_store *store = NULL;
	cairn_error err = {0};

	OK(open_and_run(t->operation, &store, t->directory, &err));
	cairn_store_close(store);
	store = support_open(t->directory, 0);
	check(t->operation, store);
	cairn_store_close(store);
	return 0;
}

static bool is_full(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

static void check_error(int rc, cairn_error err)
{
	EXPECT(now.fault.error != INJECT_NOTHING);
	EXPECT(rc < 0 && err.code == rc);
	EXPECT(err.message[0] != '\0');
	EXPECT(!is_full(now.fault.error) || strstr(err.hint, "full"));
	EXPECT(now.fault.call != INJECT_MALLOC || rc == CAIRN_ENOMEM || rc == CAIRN_EIO);
}

/* Answers how many calls there were. */
static uint64_t try(const char *origin)
{
	const operation *o = now.operation;
	int n_descriptors = count_descriptors(), rc;
	int64_t n_blocks = inject_blocks();
	cairn_store *store = NULL;
	cairn_error err = {0};
	uint64_t n_calls;

	support_copy_tree(origin, now.directory);
	if (o->prepare)
		o->prepare(now.directory);
	is_trying = true;
	alarm(PATIENCE_S);
	inject_arm(&now.fault);
	rc = open_and_run(o, &store, now.directory, &err);
	n_calls = inject_disarm();
	if (rc) {
		check_error(rc, err);
		trials.n_errors++;
		err = (cairn_error){0};
		rc = open_and_run(o, &store, now.directory, &err);
		EXPECT(rc == 0);
	} else if (now.fault.error != INJECT_NOTHING) {
		trials.n_borne++;
	}
	cairn_store_close(store);
	EXPECT(count_descriptors() == n_descriptors);
	EXPECT(now.fault.error == INJECT_NOTHING || inject_blocks() == n_blocks);
	store = support_open(now.directory, 0);
	check(o, store);
	cairn_store_close(store);
	if (is_soak() || trials.n_trials % FORK_EVERY == 0)
		EXPECT(support_child(run_in_peace, &now) == 0);
	alarm(0);
	is_trying = false;
	support_remove_tree(now.directory);
	trials.n_trials++;
	return n_calls;
}

void trial_sweep(const operation *o, const char *origin, int call, const int errors[TRIAL_ERRORS],
	bool stays)
{
	bool is_short = o->is_slow && !is_soak();
	uint64_t n_calls, n_tried = 0, half = (is_short ? MOST_SLOW : MOST) / 2;

	snprintf(now.directory, sizeof(now.directory), "%s-copy", origin);
	now.operation = o;
	now.fault = (inject_fault){.call = call, .error = INJECT_NOTHING};
	n_calls = try(origin);
	for (uint64_t n = 1; n <= n_calls; n++) {
		int n_errors = 0;

		if (n > half && n_calls > 2 * half && n % (n_calls / half) != 0 && !is_soak())
			continue;
		while (n_errors < TRIAL_ERRORS && errors[n_errors])
			n_errors++;
		for (int i = 0; i < n_errors; i++) {
			if (is_short && i != (int)(n_tried % (uint64_t)n_errors))
				continue;
			now.fault = (inject_fault){
				.call = call, .nth = n, .error = errors[i], .stays = stays};
			(void)try(origin);
		}
		n_tried++;
	}
}

/* ---- for cmocka -------------------------------------------------------------------------------
 */

int trial_setup(void **state)
{
	inject_spare_the_disk();
	signal(SIGALRM, die_loudly);
	signal(SIGSEGV, die_loudly);
	signal(SIGABRT, die_loudly);
	if (support_setup(state) != 0)
		return -1;
	operations_make(*state);
	return 0;
}

/* A check that failed inside of a trial has not said which one. */
int trial_teardown(void **state)
{
	(void)inject_disarm();
	if (is_trying)
		print_trial();
	print_message("%llu trials: %llu errors, %llu borne\n", (unsigned long long)trials.n_trials,
		(unsigned long long)trials.n_errors, (unsigned long long)trials.n_borne);
	return support_teardown(state);
}
