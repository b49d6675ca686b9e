/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.h - what was spent, and on what.
 *
 * The unit of account is the stage key: the sum over all its attempts, in whatever run they
 * were made. spent = kept + wasted; wasted is what an attempt did after its last commit.
 * A sum over several stages counts each key once, however many instances share it.
 */
#ifndef CAIRN_AUDIT_LEDGER_H
#define CAIRN_AUDIT_LEDGER_H

#include "audit/record.h"

typedef struct cairn_cost {
	uint32_t attempts;
	double flop[CAIRN_ACCOUNTS];      /* with padding: what the device did */
	double flop_real[CAIRN_ACCOUNTS]; /* of real tokens */
	double spent, kept;               /* sums over the accounts */
	double seconds;
	/* Of the attempts on a device whose peak is known: what they spent, and what it could have
	 * done in their time. */
	double peaked_flop, peak_flop;
	/* Memory of the largest attempt, and of its tensors; 0: not known. */
	uint64_t peak_bytes, kernel_peak_bytes;
} cairn_cost;

void cairn_cost_add(cairn_cost *to, const cairn_cost *from);
double cairn_cost_wasted(const cairn_cost *cost);
double cairn_cost_real(const cairn_cost *cost);
/* A second, of all time that the attempts took; 0 where that is nothing. */
double cairn_cost_rate(const cairn_cost *cost);
/* Model FLOPs utilisation: the share of what the device could have done, over the whole time of
 * attempts, with reading, checkpoints and padding. < 0: its peak is not known. */
double cairn_cost_mfu(const cairn_cost *cost);
/* {"attempts", "flop", "real_flop", "kept_flop", "wasted_flop", "pf_days", "seconds",
 * "flop_per_second", "mfu" (or null), "peak_bytes", "kernel_peak_bytes"} */
json_t *cairn_cost_to_json(const cairn_cost *cost);
/* {name: {"flop", "real_flop"}}, without the accounts that are zero. */
json_t *cairn_cost_accounts(const cairn_cost *cost);
/* "forward", ... */
const char *cairn_account_name(int account);

/* All attempts of a key; with `run` (its text) not NULL, those that it made. */
CAIRN_MUST int cairn_ledger_key(cairn_cost *out, cairn_snapshot *snapshot, const cairn_key *key,
	const char *run, cairn_error *err);

/*
 * {"total": cost, "this_run": cost, "stages": [{"instance", "plugin", "key", cost ...,
 *  "same_as": instance whose key it shares, or absent}], "groups": [{"axis", "value", cost ...}],
 *  "accounts": {...}, "pretrain": {"flop", "after_flop", "ratio"} or null}. New reference.
 * A group holds the stages that exist for that value alone; what all share is group "shared".
 */
CAIRN_MUST int cairn_ledger_run(
	json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err);
/* The same over an artifact's ancestors, without "this_run" and "groups". */
CAIRN_MUST int cairn_ledger_artifact(
	json_t **out, cairn_snapshot *snapshot, const cairn_id *artifact, cairn_error *err);

#endif
