/* SPDX-License-Identifier: Apache-2.0 */
/* drive.h - the built cairn as a child process, for the end-to-end tests. */
#ifndef CAIRN_TESTS_E2E_DRIVE_H
#define CAIRN_TESTS_E2E_DRIVE_H

#include <stdbool.h>

#include "base/json.h"

/* A directory of the test's own, removed by drive_clean(). */
const char *drive_directory(void);
void drive_clean(void);

typedef struct drive_result {
	int status; /* exit status; 128 + signal where it died of one */
	char *out;  /* standard output */
	char *err;  /* standard error */
} drive_result;

/* Runs `cairn ARGS...` (NULL-terminated) and waits. */
drive_result drive(const char *const *args);
void drive_free(drive_result *result);
/* Starts it in a session of its own, waits `ms`, kills its whole process group with SIGKILL. True:
 * it was still running; false: it had ended by itself, successfully. */
bool drive_and_kill(const char *const *args, unsigned ms);
/* Runs with --json and parses. Fails the test on a bad status or bad JSON. */
json_t *drive_json(const char *const *args);
/* {"instance": {"port": id}} of `cairn --store STORE status --json`, as one canonical text. Caller
 * frees. */
char *drive_outputs(const char *store);

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
