/* SPDX-License-Identifier: Apache-2.0 */
/* tool_commit.h - inside run/: the end of a tool that wrote something. */
#ifndef CAIRN_RUN_TOOL_COMMIT_H
#define CAIRN_RUN_TOOL_COMMIT_H

#include "run/host/host.h"
#include "run/tool/tool.h"

/* After run() returned 0: publishes what went to the store, then the directory. *out as that of
 * cairn_tool_run(). */
CAIRN_MUST int cairn_tool_commit(
	json_t **out, cairn_run *run, const cairn_tool_job *job, cairn_error *err);

#endif
