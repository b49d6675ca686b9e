/* SPDX-License-Identifier: Apache-2.0 */
/* drive.h - the built cairn as a child process, in a directory of the test's own. */
#ifndef CAIRN_TESTS_CLI_DRIVE_H
#define CAIRN_TESTS_CLI_DRIVE_H

#include <stdbool.h>

#include "base/json.h"
#include "test.h"

typedef struct outcome {
	int status; /* exit status; 128 + signal where it died of one */
	char *out, *err;
} outcome;

/* cmocka's setup and teardown: a fresh working directory and environment. */
int drive_setup(void **state);
int drive_teardown(void **state);
/* Writes a file there. */
void drive_write(const char *name, const char *text);
/* Sets (or with NULL removes) a variable for the children. */
void drive_env(const char *name, const char *value);

/* Runs `cairn ARGS`, split at blanks. The outcome lives until the next call. */
const outcome *cairn(const char *args);
/* The exit status of the last call. */
int cairn_status(void);
/* The same, where the exit status must be `status`. */
const outcome *cairn_is(int status, const char *args);
/* The same with this text as standard input. */
const outcome *cairn_fed(const char *input, const char *args);
/* Runs it with a standard output that nobody reads any more after the first byte. */
const outcome *cairn_unread(const char *args);
/* From here on a copy of the binary that lies in the directory: nothing is beside it. */
void drive_alone(void);
/* The bytes of a file there, NUL-terminated; the caller frees. */
char *drive_read(const char *name);
/* Starts it, sends `signal` once standard error contains `text`, and waits. */
const outcome *cairn_signalled(const char *args, const char *text, int signal);
/* Runs `args` while `other` is running and has said `text`; then `other` is killed. */
const outcome *cairn_beside(const char *other, const char *text, const char *args);
/* Runs with --json; standard output must be one document of that schema. Caller decrefs. */
json_t *cairn_json(const char *args, const char *schema);

#define assert_has(text, part)                                           \
	do {                                                             \
		if (!strstr((text), (part)))                             \
			fail_msg("'%s' is not in:\n%s", (part), (text)); \
	} while (0)
#define assert_has_not(text, part)                                              \
	do {                                                                    \
		if (strstr((text), (part)))                                     \
			fail_msg("'%s' should not be in:\n%s", (part), (text)); \
	} while (0)

#endif
