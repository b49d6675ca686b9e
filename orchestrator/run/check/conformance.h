/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance.h - does a plugin keep the duties of cairn/stage.h?
 *
 * Checks its shared object and its description, asks its functions with values at their limits,
 * and, where a stage can be run, runs it in a store of its own: twice, on more threads, in
 * another environment, killed and resumed, stopped and resumed. Each check is told as it ends.
 */
#ifndef CAIRN_RUN_CONFORMANCE_H
#define CAIRN_RUN_CONFORMANCE_H

#include "run/run.h"

enum cairn_verdict {
	CAIRN_PASSED,
	CAIRN_WARNED, /* allowed, and probably not what was meant */
	CAIRN_FAILED,
	CAIRN_SKIPPED,
};
const char *cairn_verdict_name(enum cairn_verdict verdict); /* "ok", "warning", ... */

typedef struct cairn_finding {
	const char *check; /* "symbols"; conformance.c lists them */
	enum cairn_verdict verdict;
	const char *what; /* what was seen, or why it was not looked at */
	const char *hint; /* what to do; "" where there is nothing */
} cairn_finding;

typedef struct cairn_conformance {
	const char *file;     /* the shared object: NAME.so */
	const char *workflow; /* with a stage of this plugin, or NULL: one is made, if it can be */
	const char *stage;    /* an instance; NULL: the only one of the plugin */
	/* Of [params]; without a workflow, of the plugin. */
	const cairn_override *values;
	size_t n_values;
	int threads;           /* of the runs on more than one; 0: all cpus, two at least */
	const char *directory; /* exists and is empty; what is made in it, is the caller's */
	void (*found)(const cairn_finding *finding, void *arg);
	void *arg;
} cairn_conformance;

/* 0: nothing failed; 1: something did, or a signal ended it; < 0: it could not be looked at. */
CAIRN_MUST int cairn_conformance_check(const cairn_conformance *ask, cairn_error *err);

#endif
