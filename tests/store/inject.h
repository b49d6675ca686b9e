/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inject.h - calls into the system that fail, or that the process dies in, at a chosen moment.
 *
 * Linked into a test program, inject.c stands between everything in it (the store, LMDB, the C
 * library's own callers) and the kernel. Nothing happens until a fault is armed; then calls of one
 * kind are counted, in all threads and in children too, and the n-th goes wrong.
 */
#ifndef CAIRN_TESTS_STORE_INJECT_H
#define CAIRN_TESTS_STORE_INJECT_H

#include <stdbool.h>
#include <stdint.h>

#define INJECT_CALL_MAP(X)        \
	X(OPEN, "open")           \
	X(CREATE, "create")       \
	X(READ, "read")           \
	X(PREAD, "pread")         \
	X(WRITE, "write")         \
	X(PWRITE, "pwrite")       \
	X(WRITEV, "writev")       \
	X(FSYNC, "fsync")         \
	X(FDATASYNC, "fdatasync") \
	X(FTRUNCATE, "ftruncate") \
	X(FALLOCATE, "fallocate") \
	X(MMAP, "mmap")           \
	X(MSYNC, "msync")         \
	X(MADVISE, "madvise")     \
	X(MKDIR, "mkdir")         \
	X(RENAME, "rename")       \
	X(LINK, "link")           \
	X(UNLINK, "unlink")       \
	X(FLOCK, "flock")         \
	X(STAT, "stat")           \
	X(THREAD, "thread")       \
	X(MALLOC, "malloc")

enum inject_call {
#define INJECT_ENUM(id, name) INJECT_##id,
	INJECT_CALL_MAP(INJECT_ENUM)
#undef INJECT_ENUM
	INJECT_CALLS,
	/* For kills: whatever changes a file or a directory. */
	INJECT_CHANGES = INJECT_CALLS,
};

/* Beside the numbers of errno.h: */
enum {
	INJECT_NOTHING = 0, /* calls are counted only */
	INJECT_SHORT = -1,  /* a write takes half of the bytes */
	INJECT_KILL = -2,   /* SIGKILL before it */
	INJECT_TORN = -3,   /* SIGKILL after half of it was written */
};

typedef struct inject_fault {
	int call;
	uint64_t nth; /* from 1 */
	int error;
	bool stays; /* all later ones go wrong too */
} inject_fault;

const char *inject_name(int call);
void inject_arm(const inject_fault *fault);
/* How many calls were counted since; more than `nth`, or as many: it has struck. */
uint64_t inject_disarm(void);
/* Blocks of memory that are allocated and not freed; 0 always under a sanitizer, which counts
 * itself. */
int64_t inject_blocks(void);
/* From now on syncs do nothing, no file is opened with O_DIRECT, and tests have their directories
 * in memory if $TMPDIR does not say otherwise: faults need no disk, and tests are ten times as
 * fast. */
void inject_spare_the_disk(void);

#endif
