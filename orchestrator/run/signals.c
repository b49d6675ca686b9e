/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "run/runner.h"

int cairn_signals_open(cairn_signals *out, cairn_error *err)
{
	static const int asked[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction by_default = {.sa_handler = SIG_DFL}, ignore = {.sa_handler = SIG_IGN};
	struct sigaction now;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	for (size_t i = 0; i < CAIRN_COUNT(asked); i++) {
		if (sigaction(asked[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaddset(&mask, asked[i]);
	}
	out->fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (out->fd < 0)
		return cairn_error_errno(err, CAIRN_EIO, errno, "cannot listen for signals");
	/* Where somebody made us ignore SIGCHLD, there would be nothing to wait for. */
	sigaction(SIGCHLD, &by_default, &out->old_child);
	/* Where nobody reads our progress any more the work goes on. */
	sigaction(SIGPIPE, &ignore, &out->old_pipe);
	sigprocmask(SIG_BLOCK, &mask, &out->old_mask);
	return 0;
}

int cairn_signals_next(cairn_signals *signals)
{
	struct signalfd_siginfo info;

	while (read(signals->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			return (int)info.ssi_signo;
	}
	return 0;
}

void cairn_signals_close(cairn_signals *signals)
{
	if (signals->fd < 0)
		return;
	close(signals->fd);
	signals->fd = -1;
	sigprocmask(SIG_SETMASK, &signals->old_mask, NULL);
	sigaction(SIGCHLD, &signals->old_child, NULL);
	sigaction(SIGPIPE, &signals->old_pipe, NULL);
}
