/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memhost.h - as much of a cairn_host as checkpoint.h uses, with one artifact in memory.
 *
 * What output_begin() or checkpoint_begin() ... commit() wrote is what input_open() opens next.
 */
#ifndef CAIRN_TESTS_GPT_MEMHOST_H
#define CAIRN_TESTS_GPT_MEMHOST_H

#include "cairn/kernels.h"
#include "cairn/stage.h"

typedef struct memhost memhost;

memhost *memhost_new(const cairn_kernels *k);
void memhost_free(memhost *host);
const cairn_host *memhost_table(void);
cairn_run *memhost_run(memhost *host);
/* The first error that was reported; cleared by this call. */
cairn_error memhost_error(memhost *host);

/* The artifact as an input or a checkpoint. */
cairn_artifact memhost_artifact(memhost *host);
size_t memhost_entries(const memhost *host);
/* NULL where there is none. */
cairn_tensor *memhost_entry(memhost *host, const char *name);
void memhost_rename(memhost *host, const char *name, const char *new_name);
void memhost_replace(memhost *host, const char *name, const char *text);
/* Adds a file, as a directory or an artifact has it. */
void memhost_add(memhost *host, const char *name, const void *data, size_t bytes);
void memhost_remove(memhost *host, const char *name);
/* Forgets all entries. */
void memhost_clear(memhost *host);
/* "model/lm" if never called. */
void memhost_set_kind(memhost *host, const char *kind);
void memhost_set_meta(memhost *host, const char *json);
int memhost_commits(const memhost *host);

#endif
