/* SPDX-License-Identifier: Apache-2.0 */
/* roots_tables.h - what roots.c and losses.c share: the runs and keys of a store, judged. */
#ifndef CAIRN_AUDIT_ROOTS_TABLES_H
#define CAIRN_AUDIT_ROOTS_TABLES_H

#include "audit/roots.h"

/* Sorted once it is complete; may hold a key several times. */
typedef struct cairn_keys {
	cairn_key *items;
	size_t n, cap;
} cairn_keys;

typedef struct cairn_root_run {
	cairn_run_id id;
	char *workflow;
	char state[16];
	int64_t start_ms, end_ms;
	uint64_t n_newer; /* runs of its workflow */
	bool was_collected, is_to_go;
	cairn_run_id stages_of; /* whose records of stages are its own (record.h) */
} cairn_root_run;

struct cairn_roots {
	cairn_retention retention;
	cairn_root_run *runs; /* newest first */
	size_t n_runs, cap_runs;
	cairn_keys kept, lost; /* named by runs that stay; by others. Empty where all stay */
	cairn_keys live;       /* running now */
};

bool cairn_keys__add(cairn_keys *keys, const cairn_key *key);
void cairn_keys__sort(cairn_keys *keys);
bool cairn_keys__has(const cairn_keys *keys, const void *key);
/* Is this a key that only collected runs name? */
bool cairn_roots__is_lost(const cairn_roots *roots, const void *key);
/* Is the checkpoint of this key (stage key, step) to go? */
bool cairn_roots__drops(const cairn_roots *roots, const void *key, size_t key_len);
typedef int (*cairn_root_key_fn)(void *arg, const cairn_key *key, cairn_error *err);
/* Calls fn with the key of each stage of the run that has one. */
CAIRN_MUST int cairn_roots__scan_keys(const cairn_root_run *run, cairn_snapshot *snapshot,
	cairn_root_key_fn fn, void *arg, cairn_error *err);
/* What the run's own records name, not the results of its stages. */
CAIRN_MUST int cairn_roots__tell_run(const cairn_root_run *run, cairn_snapshot *snapshot,
	cairn_root_fn tell, void *arg, cairn_error *err);

#endif
