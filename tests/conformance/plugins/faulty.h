/* SPDX-License-Identifier: Apache-2.0 */
/* faulty.h - the frame of a plugin with one output `out` and a run() of its own. */
#ifndef CAIRN_TESTS_FAULTY_H
#define CAIRN_TESTS_FAULTY_H

#include <string.h>

#include "cairn/stage.h"

static const cairn_port outputs[] = {{"out", "report", 0, 0, "what it would have made"}};

#define FAULTY_PLUGIN(name_, run_, capabilities_)              \
	CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = { \
		.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),  \
		.name = name_,                                 \
		.summary = "does what no plugin should",       \
		.version = "1",                                \
		.license = "Apache-2.0",                       \
		.outputs = outputs,                            \
		.n_outputs = CAIRN_COUNT(outputs),             \
		.capabilities = capabilities_,                 \
		.run = run_,                                   \
	}

/* Writes the output, with one entry of this text. */
static inline int write_out(const cairn_host *host, cairn_run *run, const char *text)
{
	cairn_tensor tensor = {"text", CAIRN_U8, 1, {strlen(text)}, text, strlen(text)};
	cairn_writer *writer;
	int rc = host->output_begin(run, "out", &writer);

	if (rc == 0)
		rc = host->put(writer, &tensor);
	return rc < 0 ? rc : host->commit(writer);
}

#endif
