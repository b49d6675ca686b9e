/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_run.c - one tool, from its inputs to its outputs.
 *
 * The state is a stage's (host.h); so are the table functions, and verified reads, one writer
 * at a time and messages with hints come with them. The descriptor that they look at is made up
 * from the tool's.
 *
 * Reads like: host.c, tool.h.
 */
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "run/host/host.h"
#include "run/tool/tool.h"
#include "run/tool/tool_commit.h"

static const cairn_host table = {
	.head = CAIRN_STAGE_HEAD(cairn_host),
	.input_count = cairn_host_input_count,
	.input_open = cairn_host_input_open,
	.entry_list = cairn_host_entry_list,
	.entry_get = cairn_host_entry_get,
	.output_begin = cairn_host_output_begin,
	.put = cairn_host_put,
	.meta = cairn_host_meta,
	.commit = cairn_host_commit_writer,
	.rng_key = cairn_host_rng_key,
	.kernels = cairn_host_kernels,
	.account = cairn_host_account,
	.fail = cairn_host_fail,
	.fail_with = cairn_host_fail_with,
	.hint = cairn_host_hint,
	.log = cairn_host_log,
	.entry_release = cairn_host_entry_release,
};

/* Random streams follow from the parameter `seed` alone, so that a sample can be drawn again. */
static cairn_key key_of(const cairn_tool_job *job)
{
	static const char tag[] = "cairn.tool/1"; /* with its NUL */
	const cairn_tool *tool = job->info->tool;
	cairn_digest *digest = cairn_digest_new();
	cairn_key key;

	CAIRN_ASSERT(digest);
	cairn_digest_add(digest, tag, sizeof(tag));
	for (uint64_t i = 0; i < tool->n_params; i++) {
		if (strcmp(tool->params[i].name, "seed") == 0)
			cairn_digest_add(digest, job->values[i], strlen(job->values[i]));
	}
	cairn_digest_end(digest, key.bytes);
	return key;
}

static int open_inputs(cairn_run *run, const cairn_tool_job *job, cairn_error *err)
{
	int rc = 0;

	run->job.inputs =
		cairn_arena_alloc(run->arena, job->n_inputs + 1, sizeof(*run->job.inputs));
	run->inputs = cairn_arena_alloc(run->arena, job->n_inputs + 1, sizeof(*run->inputs));
	run->job.n_inputs = job->n_inputs;
	for (size_t i = 0; i < job->n_inputs; i++) {
		const cairn_tool_input *input = &job->inputs[i];
		run->job.inputs[i] = (cairn_job_input){input->port, input->id, input->source};
		run->inputs[i].job = &run->job.inputs[i];
		if (rc == 0 && !input->id[0])
			rc = cairn_indir_open(&run->inputs[i].indir, input->source, err);
	}
	return rc;
}

static int prepare(cairn_run *run, const cairn_tool_job *job, cairn_error *err)
{
	const cairn_tool *tool = job->info->tool;
	int rc;

	run->plugin = (cairn_stage_plugin){
		.name = tool->name,
		.version = job->info->version,
		.params = tool->params,
		.n_params = tool->n_params,
		.inputs = tool->inputs,
		.n_inputs = tool->n_inputs,
		.outputs = tool->outputs,
		.n_outputs = tool->n_outputs,
		.capabilities = tool->capabilities,
	};
	run->store = job->store;
	run->log = job->log;
	run->log_arg = job->log_arg;
	run->job.device = "auto";
	run->job.numerics = ""; /* any: nothing is computed under a key */
	run->job.passed_over = "";
	run->job.threads = job->threads > 0 ? job->threads : sysconf(_SC_NPROCESSORS_ONLN);
	run->job.key = key_of(job);
	run->outputs = cairn_arena_alloc(run->arena, tool->n_outputs + 1, sizeof(*run->outputs));
	rc = open_inputs(run, job, err);
	if (rc == 0 && job->directory)
		rc = cairn_outdir_begin(&run->outdir, job->directory, job->force, err);
	if (rc < 0)
		return rc;
	run->params = cairn_arena_alloc(run->arena, tool->params_size + 1, 1);
	return cairn_param_fill(tool->params, tool->n_params, job->values, run->params, err);
}

static int call(json_t **out, cairn_run *run, const cairn_tool_job *job, cairn_error *err)
{
	int code = job->info->tool->run(&table, run, job->io, run->params, job->text);
	cairn_error device = {0};

	if (cairn_host_kernels_status(run, &device) < 0) {
		run->error = device;
		code = device.code;
	}
	if (code < 0)
		return cairn_host_explain(run, code, err);
	if (code == CAIRN_STOPPED)
		return CAIRN_STOPPED;
	if (code != CAIRN_DONE)
		return cairn_error_set(err, CAIRN_EBUG, "tool '%s' returned %d from run()",
			run->plugin.name, code);
	code = cairn_host_check_outputs(run, err);
	return code < 0 ? code : cairn_tool_commit(out, run, job, err);
}

static void free_run(cairn_run *run)
{
	cairn_host_kernels_close(run);
	cairn_host_outputs_close(run);
	cairn_host_inputs_close(run);
	cairn_outdir_free(run->outdir);
	cairn_arena_free(run->arena);
	pthread_mutex_destroy(&run->report_lock);
	free(run);
}

int cairn_tool_run(json_t **out, const cairn_tool_job *job, cairn_error *err)
{
	cairn_run *run = cairn_alloc(1, sizeof(*run));
	int rc;

	if (!run)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory starting a tool");
	pthread_mutex_init(&run->report_lock, NULL);
	run->arena = cairn_arena_new();
	run->started = cairn_host_clock();
	rc = prepare(run, job, err);
	if (rc == 0)
		rc = call(out, run, job, err);
	free_run(run);
	return rc;
}
