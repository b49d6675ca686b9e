/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_lt.h - cuBLASLt as blas.c calls it: column-major products by plain loops, and the rules of
 * its manual. What breaks one that the library itself could not tell (a pointer that is aligned to
 * less than was promised when a plan was made, a workspace that is too small) ends the program.
 */
#ifndef CAIRN_TESTS_FAKE_LT_H
#define CAIRN_TESTS_FAKE_LT_H

#include <cublasLt.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct fake_lt_answer {
	int id, split_k;
	cublasLtReductionScheme_t scheme;
	size_t workspace;
	cublasStatus_t state;
} fake_lt_answer;

typedef struct fake_lt_state {
	/* How it is loaded; to be written. */
	bool is_missing;
	int other_major;   /* 0, or that of the only library there is */
	const char *lacks; /* a function, or NULL */
	size_t version;
	cublasStatus_t create, matmul; /* what they answer */
	/* What the heuristic answers, best first. */
	fake_lt_answer answers[8];
	int n_answers;

	int alive; /* descriptors, layouts, preferences, handles */
	int asked, multiplied;
} fake_lt_state;

extern fake_lt_state fake_lt;

void fake_lt_reset(void);

#endif
