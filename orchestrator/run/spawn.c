/* SPDX-License-Identifier: Apache-2.0 */
#include "run/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

/* 0: fine, else an errno. Copies of the descriptors above 9 cannot be overwritten by the
 * dup2 calls that come before their own. */
static int set_descriptors(posix_spawn_file_actions_t *actions, const int fds[4], int high[4])
{
	for (int i = 0; i < 4; i++) {
		if (fds[i] < 0)
			continue;
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 10);
		if (high[i] < 0)
			return errno;
		int problem = posix_spawn_file_actions_adddup2(actions, high[i], i);
		if (problem)
			return problem;
	}
	return 0;
}

int cairn_spawn_self(pid_t *out, const cairn_spawn *how, cairn_error *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int high[4] = {-1, -1, -1, -1};
	int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	int problem;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	if (how->own_group) {
		flags |= POSIX_SPAWN_SETPGROUP;
		posix_spawnattr_setpgroup(&attributes, 0);
	}
	posix_spawnattr_setflags(&attributes, (short)flags);
	problem = set_descriptors(&actions, how->fds, high);
	/* The link is read in the child, whose executable is still ours: also right after
	 * the file was replaced by a newer build. */
	if (!problem)
		problem = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes,
			(char *const *)how->argv, environ);
	for (int i = 0; i < 4; i++) {
		if (high[i] >= 0)
			close(high[i]);
	}
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	if (problem)
		return cairn_error_errno(
			err, CAIRN_EIO, problem, "cannot start a process for '%s'", how->argv[1]);
	*out = pid;
	return 0;
}

void cairn_spawn_death(cairn_error *err, const char *who, int signal)
{
	const char *words = sigdescr_np(signal);

	cairn_error_set(err, CAIRN_ECRASH, "%s died of signal %d (%s)", who, signal,
		words ? words : "unknown");
	if (signal == SIGKILL)
		cairn_error_hint(err,
			"Nothing in cairn sends this: often the system was out of memory; `dmesg` "
			"would say so.");
}
