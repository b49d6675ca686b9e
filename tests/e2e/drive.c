/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "drive.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

extern char **environ;

static char directory[] = "/tmp/cairn-e2e-XXXXXX";
static bool is_made;

const char *drive_directory(void)
{
	if (!is_made) {
		assert_non_null(mkdtemp(directory));
		is_made = true;
	}
	return directory;
}

void drive_clean(void)
{
	const char *const args[] = {"rm", "-rf", directory, NULL};
	pid_t pid;

	if (is_made && posix_spawnp(&pid, "rm", NULL, NULL, (char *const *)args, environ) == 0)
		waitpid(pid, NULL, 0);
	is_made = false;
	memcpy(directory + strlen(directory) - 6, "XXXXXX", 6);
}

static pid_t start(const char *const *args, int out, int err)
{
	const char *argv[64] = {CAIRN_BINARY};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	pid_t pid;
	int rc;

	for (size_t i = 0; args[i]; i++) {
		assert_true(i + 2 < CAIRN_COUNT(argv));
		argv[i + 1] = args[i];
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, err, 2);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
	rc = posix_spawn(&pid, CAIRN_BINARY, &actions, &attributes, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	assert_int_equal(rc, 0);
	return pid;
}

static int status_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static char *read_all(int fd)
{
	cairn_text text = {0};
	char buffer[4096];
	ssize_t n;

	lseek(fd, 0, SEEK_SET);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		cairn_text_add_bytes(&text, buffer, (size_t)n);
	close(fd);
	cairn_text_add(&text, "");
	return text.data;
}

static int temporary(void)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/out-XXXXXX", drive_directory());
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

drive_result drive(const char *const *args)
{
	int out = temporary(), err = temporary();
	drive_result result = {.status = status_of(start(args, out, err))};

	result.out = read_all(out);
	result.err = read_all(err);
	return result;
}

void drive_free(drive_result *result)
{
	free(result->out);
	free(result->err);
}

bool drive_and_kill(const char *const *args, unsigned ms)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid = start(args, null, null);
	struct timespec tick = {.tv_nsec = 2000000};
	int status;

	close(null);
	for (unsigned waited = 0; waited < ms; waited += 2) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			assert_true(WIFEXITED(status));
			assert_int_equal(WEXITSTATUS(status), 0);
			return false;
		}
		nanosleep(&tick, NULL);
	}
	kill(-pid, SIGKILL);
	status_of(pid);
	return true;
}

json_t *drive_json(const char *const *args)
{
	drive_result result = drive(args);
	json_t *json = NULL;
	cairn_error err = {0};

	if (result.status != 0)
		fail_msg("status %d: %s", result.status, result.err);
	if (cairn_json_parse(&json, result.out, strlen(result.out), "stdout", &err))
		fail_msg("%s: %s", err.message, result.out);
	assert_non_null(cairn_json_string(json, "schema", NULL));
	drive_free(&result);
	return json;
}

char *drive_outputs(const char *store)
{
	json_t *status = drive_json(ARGS("--store", store, "status", "--json"));
	json_t *all = json_object(), *stage;
	char *text;
	size_t i;

	json_array_foreach(json_object_get(status, "stages"), i, stage)
	{
		const char *state = cairn_json_string(stage, "state", "");

		if (strcmp(state, "done") && strcmp(state, "cached"))
			fail_msg(
				"stage %s is %s", cairn_json_string(stage, "instance", "?"), state);
		json_object_set(all, cairn_json_string(stage, "instance", "?"),
			json_object_get(stage, "outputs"));
	}
	assert_true(json_object_size(all) > 0);
	text = cairn_json_canonical(all);
	json_decref(all);
	json_decref(status);
	return text;
}
