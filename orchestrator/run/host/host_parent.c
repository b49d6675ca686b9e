/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_parent.c - a stage process dies with its runner, and takes along what it started.
 *
 * Two things wake us, for each can be lost. The kernel's signal (PR_SET_PDEATHSIG) reaches a
 * process whose threads are all stuck, but not one that blocks every signal; a thread that waits
 * for the end of the runner's pidfd does not care for signals, but needs a kernel that has them.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include "run/children.h"
#include "run/host/host.h"

#define STACK_BYTES (64 << 10) /* it counts against the stage's memory */

/* Our group is ours alone, unless the plugin led us out of it. */
static void end_all(void)
{
	cairn_children_kill(NULL, NULL);
	kill(getpgrp() == getpid() ? 0 : getpid(), SIGKILL);
}

static void on_orphaned(int signal)
{
	(void)signal;
	end_all();
}

/* Whoever closes the descriptor does not end this: poll() holds on to what it waits for. */
static void *watch(void *arg)
{
	struct pollfd runner = {.fd = (int)(intptr_t)arg, .events = POLLIN};
	int n;

	do {
		n = poll(&runner, 1, -1);
	} while (n < 0 && errno == EINTR);
	if (n == 1 && (runner.revents & POLLIN))
		end_all();
	return NULL;
}

static void start_watching(pid_t runner)
{
	int fd = (int)syscall(SYS_pidfd_open, runner, 0);
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;

	if (fd < 0)
		return; /* the signal remains */
	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are for the plugin's thread */
	if (pthread_create(&thread, &attributes, watch, (void *)(intptr_t)fd) != 0)
		close(fd);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
}

bool cairn_host_tie(const char *parent)
{
	struct sigaction orphaned = {.sa_handler = on_orphaned};
	int64_t pid;

	if (!cairn_parse_i64(parent, &pid))
		return false;
	cairn_children_adopt();
	sigaction(SIGRTMAX, &orphaned, NULL); /* one that no plugin has another use for */
	prctl(PR_SET_PDEATHSIG, SIGRTMAX);
	start_watching((pid_t)pid);
	return getppid() == (pid_t)pid;
}
