/* SPDX-License-Identifier: Apache-2.0 */
/*
 * operations.h - what a store can be asked for, each as one function: for tests that make a call
 * inside of it fail. All begin with a copy of the same small store, which has something of
 * everything: small and large chunks, bytes cut by content, segments that are sparse, garbage.
 */
#ifndef CAIRN_TESTS_STORE_OPERATIONS_H
#define CAIRN_TESTS_STORE_OPERATIONS_H

#include "support.h"

#include "cairn/gc.h"

typedef struct operation {
	const char *name;
	/* Changes the copy first; may be NULL. Where it makes damage, what was kept is not whole
	 * before the operation has succeeded. */
	void (*prepare)(const char *directory);
	unsigned flags; /* to open the store with; UINT_MAX: it is not to be opened */
	/* Works on the open store, or on the directory. */
	int (*run)(cairn_store *store, const char *directory, cairn_error *err);
	/* Fails the test unless it was done. */
	void (*check)(cairn_store *store);
	bool loses_large; /* the artifact `large` is damaged and dropped */
	bool is_slow;
} operation;

extern const operation operations[];
extern const size_t n_operations;

/* The store that all begin with. */
void operations_make(const char *directory);
/* Fails the test unless all that was kept is there and right. */
void operations_check_kept(cairn_store *store, const operation *after);

/* How much is damaged; quick: without the bytes in segments. */
int operations_fsck(cairn_store *store, bool is_quick, size_t *n_damages, cairn_error *err);
/* A collection of all that no ref names. */
int operations_collect(cairn_store *store, cairn_gc_report *report, cairn_error *err);

#endif
