/* SPDX-License-Identifier: Apache-2.0 */
/*
 * amend.h - changing some fields of an attempt's record without losing the others.
 *
 * Two processes write the same attempt record: the runner (pid, heartbeat, end) and the
 * stage host (what a checkpoint or the end made durable). Each names only its own fields;
 * they are merged into the record as it is inside the write transaction. Accounts (flop,
 * flop_real, kept_flop, step) only ever grow: a late heartbeat cannot take back what the
 * stage host booked. How an attempt ended (state, end_ms, error) is said once.
 */
#ifndef CAIRN_RUN_AMEND_H
#define CAIRN_RUN_AMEND_H

#include "audit/record.h"

typedef struct cairn_amendment {
	cairn_key key;
	uint32_t attempt;
	json_t *fields;
} cairn_amendment;

/* {0} is an empty, valid list. */
typedef struct cairn_amends {
	cairn_amendment *items;
	size_t n, cap;
} cairn_amends;

/* Takes over `take_fields`, also on failure. */
CAIRN_MUST int cairn_amends_add(cairn_amends *amends, const cairn_key *key, uint32_t attempt,
	json_t *take_fields, cairn_error *err);
/* Has the list applied when the batch is committed; it must live until then. */
void cairn_amends_attach(cairn_amends *amends, cairn_batch *batch);
void cairn_amends_clear(cairn_amends *amends);

/* The rule of merging, for its test: `fields` into `record`. */
void cairn_amend_merge(json_t *record, json_t *fields);

#endif
