/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failcalls.c - every call into the system fails once, in the middle of everything that a store can
 * do.
 *
 * For each operation the calls of each kind are counted; then it is run again and again, each time
 * on a new copy of the store, with the n-th one failing: an input or output error, a full disk, a
 * quota, an interruption, half of a write. It must answer an error that says something, or succeed;
 * leave what was committed as it is, no descriptor open and no memory behind; and succeed once the
 * fault is gone, with the same handle and in a new process.
 */
#include "inject.h"
#include "operations.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "store/internal.h"

enum {
	ERRORS = 6,
	PATIENCE_S = 30, /* a trial takes milliseconds */
	FORK_EVERY = 8,  /* trials, a new process looks, too: $CAIRN_SOAK has one each time */
	MOST = 48,       /* of the calls of one kind, if there are more: the first half, and some */
	MOST_SLOW = 8,   /* and one error for each, in turn: $CAIRN_SOAK has them all */
};

static struct trial {
	const operation *operation;
	inject_fault fault;
	const char *directory;
} now;
static bool is_trying;
static uint64_t n_trials, n_errors, n_borne, n_failed;

static void print_trial(void)
{
	print_error("in %s, %s number %llu, error %d%s\n", now.operation->name,
		inject_name(now.fault.call), (unsigned long long)now.fault.nth, now.fault.error,
		now.fault.stays ? ", stays" : "");
}

/* Says what was tried, then dies of the signal as it would have. */
static void die_loudly(int signal_number)
{
	char line[256];
	int len = snprintf(line, sizeof(line), "signal %d: %s, %s number %llu, error %d%s\n",
		signal_number, now.operation->name, inject_name(now.fault.call),
		(unsigned long long)now.fault.nth, now.fault.error,
		now.fault.stays ? ", stays" : "");

	(void)inject_disarm();
	if (len > 0 && write(STDERR_FILENO, line, (size_t)len) < 0)
		_exit(98);
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
			n_failed++;                                                     \
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

/* Answers how many calls there were. */
static uint64_t try(const char *origin)
{
	const operation *o = now.operation;
	int n_descriptors = count_descriptors(), rc;
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
		EXPECT(rc < 0 && err.code == rc);
		EXPECT(err.message[0] != '\0');
		EXPECT(now.fault.error != INJECT_NOTHING);
		EXPECT(!is_full(now.fault.error) || strstr(err.hint, "full"));
		n_errors++;
		err = (cairn_error){0};
		rc = open_and_run(o, &store, now.directory, &err);
		EXPECT(rc == 0);
	} else if (now.fault.error != INJECT_NOTHING) {
		n_borne++;
	}
	cairn_store_close(store);
	EXPECT(count_descriptors() == n_descriptors);
	store = support_open(now.directory, 0);
	check(o, store);
	cairn_store_close(store);
	if (getenv("CAIRN_SOAK") || n_trials % FORK_EVERY == 0)
		EXPECT(support_child(run_in_peace, &now) == 0);
	alarm(0);
	is_trying = false;
	support_remove_tree(now.directory);
	n_trials++;
	return n_calls;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

/* The errors that each kind of call is tried with; 0 ends them. */
static const struct {
	int call;
	int errors[ERRORS];
} tries[] = {
	{INJECT_OPEN, {EIO, EMFILE, EINTR}},
	{INJECT_CREATE, {EIO, EMFILE, ENOSPC, EDQUOT}},
	{INJECT_READ, {EIO, EINTR}},
	{INJECT_PREAD, {EIO, EINTR}},
	{INJECT_WRITE, {EIO, ENOSPC, EDQUOT, EINTR, INJECT_SHORT}},
	{INJECT_PWRITE, {EIO, ENOSPC, EDQUOT, EINTR, INJECT_SHORT}},
	{INJECT_WRITEV, {EIO, ENOSPC, EDQUOT, EINTR, INJECT_SHORT}},
	{INJECT_FSYNC, {EIO, ENOSPC, EDQUOT}},
	{INJECT_FDATASYNC, {EIO, ENOSPC, EDQUOT}},
	{INJECT_FTRUNCATE, {EIO, EINTR}},
	{INJECT_FALLOCATE, {ENOSPC, EOPNOTSUPP}},
	{INJECT_MMAP, {ENOMEM, EAGAIN}},
	{INJECT_MSYNC, {EIO}},
	{INJECT_MADVISE, {EINVAL, EFAULT}},
	{INJECT_MKDIR, {EIO, ENOSPC, EDQUOT}},
	{INJECT_RENAME, {EIO, ENOSPC}},
	{INJECT_LINK, {EIO, ENOSPC, EDQUOT}},
	{INJECT_UNLINK, {EIO}},
	{INJECT_FLOCK, {EINTR, ENOLCK}},
	{INJECT_STAT, {EIO}},
};

static void try_call(const char *origin, int call, const int *errors)
{
	bool is_short = now.operation->is_slow && !getenv("CAIRN_SOAK");
	uint64_t n_calls, n_tried = 0, half = (is_short ? MOST_SLOW : MOST) / 2;

	now.fault = (inject_fault){.call = call, .error = INJECT_NOTHING};
	n_calls = try(origin);
	for (uint64_t n = 1; n <= n_calls; n++) {
		int n_errors_of = 0;

		if (n > half && n_calls > 2 * half && n % (n_calls / half) != 0 &&
			!getenv("CAIRN_SOAK"))
			continue;
		while (n_errors_of < ERRORS && errors[n_errors_of])
			n_errors_of++;
		for (int i = 0; i < n_errors_of; i++) {
			if (is_short && i != (int)(n_tried % (uint64_t)n_errors_of))
				continue;
			now.fault = (inject_fault){.call = call, .nth = n, .error = errors[i]};
			(void)try(origin);
		}
		n_tried++;
	}
}

static void test_store_failcalls__each_once(void **state)
{
	char copy[600];

	operations_make(*state);
	snprintf(copy, sizeof(copy), "%s-copy", (const char *)*state);
	now.directory = copy;
	for (size_t i = 0; i < n_operations; i++) {
		now.operation = &operations[i];
		for (size_t k = 0; k < CAIRN_COUNT(tries); k++)
			try_call(*state, tries[k].call, tries[k].errors);
	}
	print_message("%llu trials: %llu errors, %llu borne\n", (unsigned long long)n_trials,
		(unsigned long long)n_errors, (unsigned long long)n_borne);
	assert_int_equal(n_failed, 0);
	assert_true(n_errors > 500 && n_borne > 100);
}

/* A check that failed inside of a trial has not said which one. */
static int teardown(void **state)
{
	if (is_trying)
		print_trial();
	return support_teardown(state);
}

/* ---- who is at work ----------------------------------------------------------------------------
 */

/* Has put something that nothing names yet, and lives. */
static int hold(void *arg)
{
	const int *pipes = arg;
	cairn_store *store = support_open(now.directory, 0);
	cairn_id id = support_commit(store, 1, 70 << 10, 900);
	char byte;

	if (write(pipes[1], &id, sizeof(id)) != sizeof(id) || read(pipes[2], &byte, 1) != 1)
		return 1;
	cairn_store_close(store);
	return 0;
}

/* What cannot be read in /proc is no proof that a process is gone: nothing is taken from it. */
static void test_store_failcalls__no_lease_dies_of_an_unreadable_proc(void **state)
{
	static const int errors[] = {EMFILE, ENOMEM, EACCES};
	static const int calls[] = {INJECT_OPEN, INJECT_READ};
	cairn_store *store;
	cairn_error err = {0};
	int pipes[4];
	cairn_id id;
	pid_t pid;

	operations_make(*state);
	now.directory = *state;
	now.operation = &operations[0];
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(pipe(pipes + 2), 0);
	pid = support_fork(hold, pipes);
	assert_int_equal(read(pipes[0], &id, sizeof(id)), sizeof(id));
	store = support_open(*state, 0);
	for (size_t i = 0; i < 2 * CAIRN_COUNT(errors); i++) {
		uint64_t n_calls = 1;

		for (uint64_t n = 1; n <= n_calls; n++) {
			cairn_gc_report report;

			now.fault = (inject_fault){.call = calls[i % 2],
				.nth = n,
				.error = errors[i / 2],
				.stays = true};
			inject_arm(&now.fault);
			(void)operations_collect(store, &report, NULL);
			n_calls = inject_disarm();
			EXPECT(support_verify(store, &id, 1, 70 << 10, 900, &err) == 0);
			n_trials++;
			if (n > 12)
				break;
		}
	}
	assert_int_equal(write(pipes[3], "x", 1), 1);
	assert_int_equal(support_wait(pid), 0);
	cairn_store_close(store);
	for (int i = 0; i < 4; i++)
		close(pipes[i]);
	assert_int_equal(n_failed, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_failcalls__each_once),
		TEST(test_store_failcalls__no_lease_dies_of_an_unreadable_proc),
	};

	inject_spare_the_disk();
	signal(SIGALRM, die_loudly);
	return cmocka_run_group_tests_name("store/failcalls", tests, NULL, NULL);
}
