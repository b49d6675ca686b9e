/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trial.h - an operation with a fault in it, on a copy of the store, and what must be true after
 * that: an error that says something, or success; what was committed is as it was; no descriptor is
 * open and no memory is left behind; and with the fault gone it succeeds, with the same handle and
 * in a new process.
 */
#ifndef CAIRN_TESTS_STORE_TRIAL_H
#define CAIRN_TESTS_STORE_TRIAL_H

#include "inject.h"
#include "operations.h"

enum {
	TRIAL_ERRORS = 6
};

typedef struct trial_counts {
	uint64_t n_trials, n_errors, n_borne; /* ended with an error; succeeded in spite of it */
	uint64_t n_failed;                    /* did not do as they must: printed */
} trial_counts;

extern trial_counts trials;

/* cmocka setup and teardown: *state is as in support.h, and there is a store. Once a process. */
int trial_setup(void **state);
int trial_teardown(void **state);
/* All calls of a kind fail in turn, with each of these errors (0 ends them). Of many calls some are
 * left out, and of slow operations more, unless $CAIRN_SOAK is set. */
void trial_sweep(const operation *operation_, const char *origin, int call,
	const int errors[TRIAL_ERRORS], bool stays);

#endif
