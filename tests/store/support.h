/* SPDX-License-Identifier: Apache-2.0 */
/* support.h - a store of its own for each test, and short ways to fill and check it. */
#ifndef CAIRN_TESTS_STORE_SUPPORT_H
#define CAIRN_TESTS_STORE_SUPPORT_H

#include "../test.h"

#include <sys/types.h>

#include "cairn/store.h"

/* cmocka setup and teardown: *state is the path of a directory that does not exist yet (char *),
 * inside one of the test's own that teardown removes. */
int support_setup(void **state);
int support_teardown(void **state);

/* Fails the test with the whole error where rc is not 0; in a child, ends it with status 99. */
void support_check(int rc, const cairn_error *err, const char *what, const char *file, int line);
/* `call` uses a cairn_error named err. */
#define OK(call) support_check((call), &err, #call, __FILE__, __LINE__)

cairn_store *support_open(const char *directory, unsigned flags);

/* Bytes that depend on the seed, and do not repeat. */
void support_fill(void *to, size_t len, uint64_t seed);
/* A new block of them. */
uint8_t *support_bytes(size_t len, uint64_t seed);
cairn_tensor support_file(const char *name, const void *data, size_t len);

/* An artifact of n entries "e0", "e1" ...; entry i has `len` bytes of seed + i. */
void support_put(cairn_batch *batch, size_t n, size_t len, uint64_t seed, cairn_id *out);
/* The same in a batch of its own. */
cairn_id support_commit(cairn_store *store, size_t n, size_t len, uint64_t seed);
/* 0 where the artifact is there and every byte of it is right; else the code, with *err. */
int support_verify(cairn_store *store, const cairn_id *id, size_t n, size_t len, uint64_t seed,
	cairn_error *err);

/* Sum of the sizes of the files in DIR/NAME. */
uint64_t support_size(const char *directory, const char *name);
/* Writes a whole file; reads one (a new block). */
void support_write(const char *path, const void *bytes, size_t len);
uint8_t *support_read(const char *path, size_t *len);
void support_copy_tree(const char *from, const char *to);
void support_remove_tree(const char *path);

/* Runs fn in a child and waits: its exit status, or 128 + the signal that ended it. */
int support_child(int (*fn)(void *arg), void *arg);
pid_t support_fork(int (*fn)(void *arg), void *arg);
int support_wait(pid_t pid);

#endif
