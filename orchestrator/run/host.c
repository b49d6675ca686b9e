/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.c - the stage process: `cairn --stage-host PARENT NAME`, started by executor.c.
 *
 * It dies with the runner, reads its job from fd 3, loads the plugin, calls run() once and
 * says goodbye. SIGTERM asks the plugin, at its next step(), for a checkpoint and an end.
 *
 * Reads like: host.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "run/abi.h"
#include "run/host.h"
#include "run/plugins.h"
#include "run/wire.h"

static const cairn_host table = {
	.head = CAIRN_STAGE_HEAD(cairn_host),
	.input_count = cairn_host_input_count,
	.input_open = cairn_host_input_open,
	.entry_list = cairn_host_entry_list,
	.entry_get = cairn_host_entry_get,
	.output_begin = cairn_host_output_begin,
	.checkpoint_begin = cairn_host_checkpoint_begin,
	.put = cairn_host_put,
	.meta = cairn_host_meta,
	.commit = cairn_host_commit_writer,
	.resume = cairn_host_resume,
	.step = cairn_host_step,
	.rng_key = cairn_host_rng_key,
	.kernels = cairn_host_kernels,
	.account = cairn_host_account,
	.summary = cairn_host_summary,
	.scratch = cairn_host_scratch,
	.fail = cairn_host_fail,
	.fail_with = cairn_host_fail_with,
	.hint = cairn_host_hint,
	.log = cairn_host_log,
	.entry_release = cairn_host_entry_release,
};

/* ---- the process -------------------------------------------------------------------------- */

static void on_term(int signal)
{
	(void)signal;
	cairn_host_ask_stop();
}

/* False where the runner is gone already: then nobody wants this attempt. */
static bool tie_to_parent(const char *parent)
{
	int64_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return cairn_parse_i64(parent, &pid) && getppid() == (pid_t)pid;
}

static void set_signals(void)
{
	struct sigaction term = {.sa_handler = on_term, .sa_flags = SA_RESTART};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGTERM, &term, NULL);
	sigaction(SIGINT, &ignore, NULL); /* the runner tells us what it means */
	sigaction(SIGPIPE, &ignore, NULL);
}

static int limit_memory(const cairn_run *run, cairn_error *err)
{
	struct rlimit limit = {run->job.memory_bytes, run->job.memory_bytes};

	if (run->job.memory_bytes && setrlimit(RLIMIT_DATA, &limit) < 0)
		return cairn_error_errno(err, CAIRN_ELIMIT, errno,
			"cannot limit the stage to %llu bytes of memory",
			(unsigned long long)run->job.memory_bytes);
	return 0;
}

/* ---- the attempt ---------------------------------------------------------------------------- */

static int read_job(cairn_run *run, cairn_error *err)
{
	json_t *json = NULL;
	int rc = cairn_wire_receive(&json, CAIRN_WIRE_FD, CAIRN_WIRE_MAX_JOB, err);

	return rc < 0 ? rc : cairn_job_read(&run->job, json, run->arena, err);
}

/* A long run outlives a rebuild of its plugins. The key and the provenance speak of the file
 * that was planned with, so no other may run in its name. */
static int check_digest(const cairn_run *run, cairn_error *err)
{
	char digest[65];
	int rc = cairn_plugin_digest(run->job.plugin_path, digest, err);

	if (rc < 0 || strcmp(digest, run->job.plugin_digest) == 0)
		return rc;
	cairn_error_set(err, CAIRN_EABI, "the plugin '%s' changed since the run was planned",
		run->job.plugin_path);
	cairn_error_hint(err, "Run again: the plan is then made with the new one.");
	return CAIRN_EABI;
}

static int load_plugin(cairn_run *run, cairn_error *err)
{
	int rc = check_digest(run, err);

	if (rc == 0)
		rc = cairn_abi_stage(&run->plugin, run->job.plugin_path, run->arena, err);
	if (rc < 0)
		return rc;
	CAIRN_ASSERT(run->job.n_values == run->plugin.n_params); /* the same file */
	run->params = cairn_arena_alloc(run->arena, run->plugin.params_size + 1, 1);
	return cairn_param_fill(
		run->plugin.params, run->plugin.n_params, run->job.values, run->params, err);
}

static int prepare(cairn_run *run, cairn_error *err)
{
	int rc = read_job(run, err);

	if (rc == 0)
		rc = limit_memory(run, err);
	if (rc == 0)
		rc = cairn_store_open(&run->store, run->job.store, 0, err);
	if (rc == 0)
		rc = load_plugin(run, err);
	if (rc < 0)
		return rc;
	run->inputs = cairn_arena_alloc(run->arena, run->job.n_inputs + 1, sizeof(*run->inputs));
	for (size_t i = 0; i < run->job.n_inputs; i++)
		run->inputs[i].job = &run->job.inputs[i];
	run->outputs =
		cairn_arena_alloc(run->arena, run->plugin.n_outputs + 1, sizeof(*run->outputs));
	return 0;
}

static int run_plugin(cairn_run *run, cairn_error *err)
{
	int code;

	run->checkpoint_begun = run->checkpoint_time = cairn_host_clock();
	if (!(run->plugin.capabilities & CAIRN_CAN_CHECKPOINT))
		cairn_host_started(run, 0);
	code = cairn_host_settle(run, run->plugin.run(&table, run, run->params));
	cairn_host_started(run, 0);
	cairn_host_flush_step(run);
	if (code < 0)
		return cairn_host_explain(run, code, err);
	switch (code) {
	case CAIRN_DONE:
		return cairn_host_finish(run, err);
	case CAIRN_STOPPED:
		if (cairn_host_is_stopping())
			return CAIRN_STOPPED;
		return cairn_error_set(err, CAIRN_EBUG,
			"plugin '%s' stopped though nobody asked it to", run->plugin.name);
	case CAIRN_WAITING:
		return CAIRN_WAITING;
	}
	return cairn_error_set(
		err, CAIRN_EBUG, "plugin '%s' returned %d from run()", run->plugin.name, code);
}

static void say_goodbye(cairn_run *run, int code, const cairn_error *err)
{
	json_t *bye = json_pack("{s:i, s:I, s:I}", "code", code, "step", (json_int_t)run->step,
		"total", (json_int_t)run->total);

	if (code < 0) {
		fprintf(stderr, "cairn: %s: %s\n", cairn_error_name(code), err->message);
		cairn_host_send(run, "error", json_pack("{s:o}", "error", cairn_record_error(err)));
	}
	cairn_host_put_account(run, bye, false);
	cairn_host_send(run, "bye", bye);
}

static void free_run(cairn_run *run)
{
	cairn_host_background_free(run);
	cairn_host_kernels_close(run);
	cairn_host_outputs_close(run);
	cairn_host_inputs_close(run);
	cairn_store_close(run->store);
	cairn_text_free(&run->metrics);
	json_decref(run->summary);
	json_decref(run->step_waiting);
	json_decref(run->job.json);
	cairn_arena_free(run->arena);
	pthread_mutex_destroy(&run->report_lock);
	free(run);
}

int cairn_stage_host_main(int argc, char **argv)
{
	cairn_run *run;
	cairn_error err = {0};
	int code;

	if (argc < 3 || !tie_to_parent(argv[2])) {
		fprintf(stderr, "cairn: --stage-host is started by `cairn run` only\n");
		return 2;
	}
	run = cairn_alloc(1, sizeof(*run));
	if (!run)
		return 1;
	set_signals();
	fcntl(CAIRN_WIRE_FD, F_SETFD, FD_CLOEXEC);
	setvbuf(stderr, NULL, _IOLBF, 0);
	pthread_mutex_init(&run->report_lock, NULL);
	run->started = cairn_host_clock();
	run->arena = cairn_arena_new();
	run->summary = json_object();
	cairn_host_send(run, "hello", json_pack("{s:i}", "pid", (int)getpid()));
	code = prepare(run, &err);
	if (code == 0)
		code = run_plugin(run, &err);
	say_goodbye(run, code, &err);
	free_run(run);
	return code < 0 ? 1 : 0;
}
