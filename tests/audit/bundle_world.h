/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle_world.h - a store with a run of two stages and its bundle, an empty store to take it in,
 * and what must hold afterwards.
 */
#ifndef CAIRN_TESTS_AUDIT_BUNDLE_WORLD_H
#define CAIRN_TESTS_AUDIT_BUNDLE_WORLD_H

#include "audit/bundle.h"
#include "fixture.h"

typedef struct world {
	fixture *f;         /* has it all */
	cairn_store *other; /* empty */
	char other_path[96];
	cairn_id data, model, report;
	cairn_run_id run;
	uint8_t *tar;
	size_t len;
} world;

typedef struct source {
	const uint8_t *bytes;
	size_t len, at;
	size_t kill_at; /* 0: never */
} source;

/* Adds to w->tar, as the world's `arg`. */
int world_take(void *arg, const void *bytes, size_t len, cairn_error *err);
cairn_id world_put_artifact(cairn_batch *batch, const char *kind, size_t len, uint8_t seed);
void world_export(world *w, cairn_store *store, const cairn_bundle_root *root);
int world_setup(void **state);
int world_teardown(void **state);
int world_import(cairn_store *store, const uint8_t *bytes, size_t len, const char *prefix,
	json_t **report, cairn_error *err);
json_t *world_must_import(world *w, const char *prefix);
/* Of all tables that a bundle changes. */
size_t world_count_records(cairn_store *store);
bool world_has(cairn_store *store, const cairn_id *id);
void world_assert_nothing_visible(const world *w);
void world_assert_same_bytes(cairn_store *a, cairn_store *b, const cairn_id *id);
uint8_t *world_copy_tar(const world *w);
void world_refused(world *w, const uint8_t *bytes, size_t len, const char *message);
/* In pieces of odd sizes, as pipes have them. */
int64_t world_give(void *arg, void *bytes, size_t len, cairn_error *err);

#endif
