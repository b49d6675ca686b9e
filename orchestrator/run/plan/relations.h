/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relations.h - inside run/: who needs whom, and who has the same key.
 *
 * So that the end of one stage costs what follows from it, not a look at every stage. Made when
 * the first stage of a run ends: a plan where everything is cached never needs it.
 */
#ifndef CAIRN_RUN_RELATIONS_H
#define CAIRN_RUN_RELATIONS_H

#include "run/run.h"

#define CAIRN_NO_STAGE UINT32_MAX

struct cairn_relations *cairn_relations_of(cairn_plan *plan); /* made at the first call */
/* A stage became ready: it can be found by its key. Nothing where the relations are not made. */
void cairn_relations_add_ready(cairn_plan *plan, uint32_t i);
/* The first stage found by a key, and the next of the same key after `i`; CAIRN_NO_STAGE after
 * the last. Whether they are still ready is for the caller to see. */
uint32_t cairn_relations_first(const cairn_plan *plan, const cairn_key *key);
uint32_t cairn_relations_next(const cairn_plan *plan, uint32_t i);

#endif
