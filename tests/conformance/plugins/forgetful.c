/* SPDX-License-Identifier: Apache-2.0 */
/* forgetful.c - resumes, but keeps a count outside of its checkpoint: what a kill does shows. */
#include "faulty.h"

#define STEPS 12

static int save(const cairn_host *host, cairn_run *run, uint64_t step)
{
	cairn_tensor tensor = {"step", CAIRN_I64, 1, {1}, &step, sizeof(step)};
	cairn_writer *writer;
	int rc = host->checkpoint_begin(run, step, &writer);

	if (rc == 0)
		rc = host->put(writer, &tensor);
	return rc < 0 ? rc : host->commit(writer);
}

static int run_forgetful(const cairn_host *host, cairn_run *run, const void *params)
{
	uint64_t step = 0;
	int n_steps = 0; /* since this process began */
	cairn_artifact checkpoint;
	char text[16];
	int rc = host->resume(run, &checkpoint, &step);

	(void)params;
	while (rc >= 0 && step < STEPS) {
		cairn_progress progress = {++step, STEPS, 0, NULL, NULL, 0};
		n_steps++;
		rc = host->step(run, &progress);
		if (rc == CAIRN_CHECKPOINT || rc == CAIRN_STOP) {
			int answer = rc;
			rc = save(host, run, step);
			if (rc == 0 && answer == CAIRN_STOP)
				return CAIRN_STOPPED;
		}
	}
	snprintf(text, sizeof(text), "%d", n_steps);
	return rc < 0 ? rc : write_out(host, run, text);
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "forgetful",
	.summary = "resumes, but not exactly",
	.version = "1",
	.license = "Apache-2.0",
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.capabilities = CAIRN_CAN_CHECKPOINT,
	.state_version = 1,
	.state_version_oldest = 1,
	.run = run_forgetful,
};
