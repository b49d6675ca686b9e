/* SPDX-License-Identifier: Apache-2.0 */
/* background.h - a cairn that runs while the test does something to it. In drive.h's directory. */
#ifndef CAIRN_TESTS_FAULTS_BACKGROUND_H
#define CAIRN_TESTS_FAULTS_BACKGROUND_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct background {
	pid_t pid;
	char out[32], err[32]; /* files, in the working directory */
	double started;
	int status; /* once finished: as outcome's */
} background;

/* Starts `cairn ARGS`, split at blanks, with default signals. */
background background_start(const char *args);
/* Waits until its standard error has this text; fails the test after ten seconds. */
void background_says(background *b, const char *text);
/* Waits for its end, `seconds` at most; else the test fails. */
int background_end(background *b, double seconds);
bool background_is_running(background *b);
/* What it said so far; the caller frees. */
char *background_err(const background *b);
char *background_out(const background *b);
/* Monotonic seconds; a nap. */
double background_now(void);
void background_nap(long ms);
/* Waits, ten seconds at most, until a file has so many lines; the numbers in them. */
int background_pids(const char *file, int n, pid_t *out);
/* Does the process exist, other than as a zombie? */
bool background_lives(pid_t pid);
/* Waits until it is gone, ten seconds at most. */
bool background_is_gone(pid_t pid);
/* The children of a process, as many as fit. */
int background_children(pid_t pid, pid_t *out, int cap);

#endif
