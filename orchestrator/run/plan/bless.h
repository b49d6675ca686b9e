/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bless.h - an earlier result is accepted in place of a run.
 *
 * A new version of a plugin that computes the same, a parameter that only changes what is shown: a
 * person may know that a stage need not run again though its key is another. Blessing writes a
 * result under today's key with the outputs of the last one, and who did that, when and why.
 * The old record stays as it is, nothing counts as spent, and because the outputs are the
 * same, what depends on them stays cached.
 *
 * The record is a copy of the last result's, with today's components and inputs and
 *   "blessed": {"by", "ms", "reason", "key" (the one it was made for), "changes": [{"name",
 *               "before", "after"}]}
 * Every blessing, and every one that was taken back, is also noted for good: table `note`,
 *   "bless:" WORKFLOW "/" INSTANCE 0 ms u64 BE -> the document of below.
 */
#ifndef CAIRN_RUN_BLESS_H
#define CAIRN_RUN_BLESS_H

#include "run/run.h"

#define CAIRN_BLESS_REASON_MAX 1000

enum cairn_bless_action {
	CAIRN_BLESS,
	CAIRN_BLESS_REVOKE, /* the stage runs again, as if it had not been blessed */
};

typedef struct cairn_bless_options {
	enum cairn_bless_action action;
	const char *reason; /* of a blessing */
	bool is_dry;        /* all checks, and nothing written */
	bool no_wait;       /* EBUSY rather than wait for a run of this store */
	/* Told once, with who holds the store, before it is waited for; may be NULL. */
	void (*waits)(void *arg, const char *holder);
	void *arg;
} cairn_bless_options;

/*
 * {"workflow", "instance", "action": "bless" or "revoke", "key": today's, "from": the key whose
 *  result is accepted, "run" that made it, "by", "ms", "reason", "changes"}; new reference.
 * EUSAGE where there is nothing to accept or it must not be: inputs that are not known, no
 * change, no earlier result, another plugin, outputs that it lacks, a plugin that is not
 * deterministic, no reason. ENOTFOUND where outputs are gone.
 */
CAIRN_MUST int cairn_bless(json_t **out, cairn_plan *plan, size_t i,
	const cairn_bless_options *options, cairn_error *err);
/* All of these documents, of all workflows, oldest first by instance; new reference. */
CAIRN_MUST int cairn_bless_list(json_t **out, cairn_snapshot *snapshot, cairn_error *err);

#endif
