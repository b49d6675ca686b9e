/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failcalls.c - every call into the system fails once, in the middle of everything that a store can
 * do: an input or output error, a full disk, a quota, an interruption, half of a write. trial.h
 * says what must be true then.
 */
#include "trial.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "store/internal.h"

/* The errors that each kind of call is tried with; 0 ends them. */
static const struct {
	int call;
	int errors[TRIAL_ERRORS];
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

static void test_store_failcalls__each_once(void **state)
{
	for (size_t i = 0; i < n_operations; i++) {
		for (size_t k = 0; k < CAIRN_COUNT(tries); k++)
			trial_sweep(&operations[i], *state, tries[k].call, tries[k].errors, false);
	}
	assert_int_equal(trials.n_failed, 0);
	assert_true(trials.n_errors > 500 && trials.n_borne > 100);
}

/* ---- who is at work ----------------------------------------------------------------------------
 */

struct holder {
	const char *directory;
	int pipes[4];
};

/* Has put something that nothing names yet, and lives. */
static int hold(void *arg)
{
	const struct holder *holder = arg;
	const int *pipes = holder->pipes;
	cairn_store *store = support_open(holder->directory, 0);
	cairn_id id = support_commit(store, 1, 70 << 10, 900);
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* where the test fails */
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
	struct holder holder = {.directory = *state};
	uint64_t n_tried = 0;
	cairn_id id;
	pid_t pid;

	assert_int_equal(pipe(holder.pipes), 0);
	assert_int_equal(pipe(holder.pipes + 2), 0);
	pid = support_fork(hold, &holder);
	assert_int_equal(read(holder.pipes[0], &id, sizeof(id)), sizeof(id));
	store = support_open(*state, 0);
	for (size_t i = 0; i < 2 * CAIRN_COUNT(errors); i++) {
		uint64_t n_calls = 1;

		/* Number 0 strikes nothing, and counts. */
		for (uint64_t n = 0; n <= n_calls && n < 24; n++) {
			cairn_gc_report report;
			uint64_t n_seen;

			inject_arm(&(inject_fault){.call = calls[i % 2],
				.nth = n,
				.error = n ? errors[i / 2] : INJECT_NOTHING,
				.stays = n % 2});
			(void)operations_collect(store, &report, NULL);
			n_seen = inject_disarm();
			n_calls = n ? n_calls : n_seen;
			OK(support_verify(store, &id, 1, 70 << 10, 900, &err));
			n_tried++;
		}
	}
	assert_int_equal(write(holder.pipes[3], "x", 1), 1);
	assert_int_equal(support_wait(pid), 0);
	cairn_store_close(store);
	for (int i = 0; i < 4; i++)
		close(holder.pipes[i]);
	assert_true(n_tried > 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, trial_setup, trial_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_failcalls__each_once),
		TEST(test_store_failcalls__no_lease_dies_of_an_unreadable_proc),
	};

	return cmocka_run_group_tests_name("store/failcalls", tests, NULL, NULL);
}
