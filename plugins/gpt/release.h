/* SPDX-License-Identifier: Apache-2.0 */
/*
 * release.h - giving back the bytes of an entry that was copied or read through.
 *
 * A model is read from an input into memory of the backend's: what was read would stay beside it
 * to the end of the stage, and a network read twice (PPO's policy and reference) would be there
 * three times.
 */
#ifndef CAIRN_GPT_RELEASE_H
#define CAIRN_GPT_RELEASE_H

#include "cairn/stage.h"

/* NULL: all entries of the artifact. Nothing where the host is older than 1.2. */
static inline void gpt_release(
	const cairn_host *host, cairn_run *run, const cairn_artifact *artifact, const char *name)
{
	if (host->entry_release)
		host->entry_release(run, artifact, name);
}

#endif
