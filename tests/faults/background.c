/* SPDX-License-Identifier: Apache-2.0 */
#include "background.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/drive.h"

#define MAX_ARGS   32
#define PATIENCE_S 10.0

double background_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void background_nap(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

background background_start(const char *args)
{
	static int n;
	char line[1024], *argv[MAX_ARGS] = {line}, *rest = NULL;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	background b = {.started = background_now()};
	sigset_t all, none;
	int count = 0;

	snprintf(b.out, sizeof(b.out), "out.%d", ++n);
	snprintf(b.err, sizeof(b.err), "err.%d", n);
	snprintf(line, sizeof(line), "cairn %s", args);
	for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		assert_true(count + 1 < MAX_ARGS);
		argv[count++] = word;
	}
	argv[count] = NULL;
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, b.out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_addopen(&actions, 2, b.err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(
		posix_spawn(&b.pid, CAIRN_BINARY, &actions, &attributes, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return b;
}

char *background_err(const background *b)
{
	return drive_read(b->err);
}

char *background_out(const background *b)
{
	return drive_read(b->out);
}

void background_says(background *b, const char *text)
{
	double end = background_now() + PATIENCE_S;
	char *err = NULL;

	do {
		free(err);
		background_nap(5);
		err = background_err(b);
	} while (!strstr(err, text) && background_now() < end);
	if (!strstr(err, text))
		fail_msg("'%s' was never said:\n%s", text, err);
	free(err);
}

bool background_is_running(background *b)
{
	int status;
	pid_t pid = b->pid ? waitpid(b->pid, &status, WNOHANG) : -1;

	if (pid == 0)
		return true;
	if (pid > 0) {
		b->pid = 0;
		b->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	return false;
}

int background_end(background *b, double seconds)
{
	double end = background_now() + seconds;

	while (background_is_running(b)) {
		if (background_now() > end) {
			char *err = background_err(b);
			kill(b->pid, SIGKILL);
			fail_msg("still running after %g s:\n%s", seconds, err);
		}
		background_nap(5);
	}
	return b->status;
}

int background_pids(const char *file, int n, pid_t *out)
{
	double end = background_now() + PATIENCE_S;
	int found = 0;

	while (found < n && background_now() < end) {
		FILE *in = fopen(file, "r");

		for (found = 0; in && found < n && fscanf(in, "%d", &out[found]) == 1;)
			found++;
		if (in)
			fclose(in);
		background_nap(5);
	}
	return found;
}

bool background_lives(pid_t pid)
{
	char path[64], line[512] = "", *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	state = strrchr(line, ')');
	return state && state[2] != 'Z' && state[2] != 'X';
}

bool background_is_gone(pid_t pid)
{
	double end = background_now() + PATIENCE_S;

	while (background_lives(pid)) {
		if (background_now() > end)
			return false;
		background_nap(5);
	}
	return true;
}

int background_children(pid_t pid, pid_t *out, int cap)
{
	char path[64];
	FILE *file;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	file = fopen(path, "r");
	while (file && n < cap && fscanf(file, "%d", &out[n]) == 1)
		n++;
	if (file)
		fclose(file);
	return n;
}
