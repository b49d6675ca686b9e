/* SPDX-License-Identifier: Apache-2.0 */
#include "drive.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_ARGS 32

extern char **environ;

static char directory[64];
static outcome last;
static const char *input = "/dev/null", *binary = CAIRN_BINARY;

int drive_setup(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/cairn-cli-XXXXXX");
	if (!mkdtemp(directory) || chdir(directory) < 0)
		return -1;
	drive_env("CAIRN_PLUGIN_PATH", CAIRN_TEST_PLUGIN_DIR);
	drive_env("CAIRN_STORE", NULL);
	drive_env("NO_COLOR", NULL);
	drive_env("TERM", "xterm");
	drive_env("HOME", directory);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st, (void)type, (void)walk;
	return remove(path);
}

int drive_teardown(void **state)
{
	(void)state;
	free(last.out);
	free(last.err);
	last = (outcome){0};
	binary = CAIRN_BINARY;
	if (chdir("/") < 0)
		return -1;
	return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void drive_env(const char *name, const char *value)
{
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

void drive_write(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static char *read_all(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc((size_t)size + 1, 1);

	assert_non_null(text);
	assert_int_equal(pread(fd, text, (size_t)size, 0), size);
	return text;
}

static int open_capture(void)
{
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static pid_t start(const char *args, int out, int err)
{
	char line[1024], *argv[MAX_ARGS] = {line}, *rest = NULL;
	posix_spawn_file_actions_t actions;
	int n = 0;
	pid_t pid;

	snprintf(line, sizeof(line), "cairn %s", args);
	for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		assert_true(n + 1 < MAX_ARGS);
		argv[n++] = word;
	}
	argv[n] = NULL;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, err, 2);
	assert_int_equal(posix_spawn(&pid, binary, &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static const outcome *finish(pid_t pid, int out, int err)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	free(last.out);
	free(last.err);
	last.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	last.out = read_all(out);
	last.err = read_all(err);
	close(out);
	close(err);
	return &last;
}

const outcome *cairn(const char *args)
{
	int out = open_capture(), err = open_capture();

	return finish(start(args, out, err), out, err);
}

int cairn_status(void)
{
	return last.status;
}

const outcome *cairn_is(int status, const char *args)
{
	const outcome *got = cairn(args);

	if (got->status != status)
		fail_msg("cairn %s: exit status %d, not %d\n%s%s", args, got->status, status,
			got->out, got->err);
	return got;
}

const outcome *cairn_fed(const char *text, const char *args)
{
	char path[96];
	const outcome *got;

	snprintf(path, sizeof(path), "%s/stdin", directory);
	drive_write(path, text);
	input = path;
	got = cairn(args);
	input = "/dev/null";
	return got;
}

const outcome *cairn_unread(const char *args)
{
	int ends[2], out = open_capture(), err = open_capture();
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = start(args, ends[1], err);
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	return finish(pid, out, err);
}

void drive_alone(void)
{
	static char path[96];
	int from = open(CAIRN_BINARY, O_RDONLY | O_CLOEXEC), to;
	struct stat st;
	off_t at = 0;

	snprintf(path, sizeof(path), "%s/alone", directory);
	to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	assert_true(from >= 0 && to >= 0);
	assert_int_equal(fstat(from, &st), 0);
	while (at < st.st_size)
		assert_true(sendfile(to, from, &at, (size_t)(st.st_size - at)) > 0);
	close(from);
	close(to);
	binary = path;
}

char *drive_read(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	char *text;

	if (fd < 0)
		fail_msg("there is no file '%s'", name);
	text = read_all(fd);
	close(fd);
	return text;
}

/* Ten seconds at most; the stages under test take longer than that. */
static bool wait_for(int fd, const char *text)
{
	const struct timespec nap = {0, 10000000};
	bool is_there = false;

	for (int i = 0; i < 1000 && !is_there; i++) {
		char *now = read_all(fd);
		is_there = strstr(now, text) != NULL;
		free(now);
		nanosleep(&nap, NULL);
	}
	return is_there;
}

const outcome *cairn_signalled(const char *args, const char *text, int signal)
{
	int out = open_capture(), err = open_capture();
	pid_t pid = start(args, out, err);
	bool is_there = wait_for(err, text);

	kill(pid, is_there ? signal : SIGKILL);
	finish(pid, out, err);
	if (!is_there)
		fail_msg("cairn %s never said '%s':\n%s", args, text, last.err);
	return &last;
}

const outcome *cairn_beside(const char *other, const char *text, const char *args)
{
	int out = open_capture(), err = open_capture(), status;
	pid_t pid = start(other, out, err);
	bool is_there = wait_for(err, text);

	if (is_there)
		cairn(args);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(out);
	close(err);
	assert_true(is_there);
	return &last;
}

json_t *cairn_json(const char *args, const char *schema)
{
	char line[1024];
	json_t *json = NULL;
	cairn_error error = {0};
	const outcome *got;

	snprintf(line, sizeof(line), "%s --json", args);
	got = cairn(line);
	if (cairn_json_parse(&json, got->out, strlen(got->out), "stdout", &error) < 0)
		fail_msg("cairn %s: %s\n%s%s", line, error.message, got->out, got->err);
	assert_string_equal(cairn_json_string(json, "schema", "(none)"), schema);
	return json;
}
