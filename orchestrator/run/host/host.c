/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.c - the stage process: `cairn --stage-host PARENT NAME`, started by executor.c.
 *
 * It dies with the runner (host_parent.c), reads its job from fd 3, loads the plugin, calls run()
 * once and says goodbye. SIGTERM asks the plugin, at its next step(), for a checkpoint and an end.
 *
 * A plugin that says CAIRN_CAN_REPEAT is not unloaded after an attempt that went well: the
 * process waits for another job, until the wire is closed. An attempt that failed, stopped or
 * waits ends its process: nothing that it may have left behind meets another stage.
 *
 * Reads like: host.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "run/children.h"
#include "run/gpus.h"
#include "run/host/host.h"
#include "run/host/surroundings.h"
#include "run/plugin/abi.h"
#include "run/plugin/plugins.h"
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

/* What outlives an attempt. */
struct process {
	cairn_store *store;
	cairn_arena *arena; /* of the plugin's description */
	cairn_stage_plugin plugin;
	char *log; /* path of the file behind stdout and stderr */
	uint64_t n_attempts;
	cairn_surroundings surroundings; /* before the first run() */
};

/* 1: there is no more to do. */
static int read_job(cairn_run *run, cairn_error *err)
{
	json_t *json = NULL;
	int rc = cairn_wire_receive(&json, CAIRN_WIRE_FD, CAIRN_WIRE_MAX_JOB, err);

	return rc != 0 ? rc : cairn_job_read(&run->job, json, run->arena, err);
}

/* The runner opened the first attempt's log. A file that an attempt left empty becomes the next
 * one's, so that thousands of stages that say nothing do not leave thousands of files. */
static void take_log(struct process *process, const char *path)
{
	struct stat st;
	int fd;

	if (process->n_attempts &&
		(fstat(STDERR_FILENO, &st) < 0 || st.st_size || rename(process->log, path) < 0)) {
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
		if (fd < 0)
			return;
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		close(fd);
	}
	free(process->log);
	process->log = cairn_strdup(path);
}

/* The attempts before may have needed more memory than this one will. */
static void forget_peak(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "5", 1) < 0) /* the kernel was built without: then the peak is of all */
		errno = 0;
	close(fd);
}

static bool has_log(void)
{
	struct stat st;

	fflush(stdout);
	return fstat(STDERR_FILENO, &st) == 0 && st.st_size > 0;
}

/* A long run outlives a rebuild of its plugins. The key and the provenance speak of the file
 * that was planned with, so no other may run in its name. */
static int check_digest(const cairn_job *job, cairn_error *err)
{
	char digest[65];
	int rc = cairn_plugin_digest(job->plugin_path, digest, err);

	if (rc < 0 || strcmp(digest, job->plugin_digest) == 0)
		return rc;
	cairn_error_set(err, CAIRN_EABI, "the plugin '%s' changed since the run was planned",
		job->plugin_path);
	cairn_error_hint(err, "Run again: the plan is then made with the new one.");
	return CAIRN_EABI;
}

/* What the first job needs, and the others find. */
static int set_up(struct process *process, const cairn_job *job, cairn_error *err)
{
	int rc = 0;

	if (!process->store)
		rc = cairn_store_open(&process->store, job->store, 0, err);
	if (rc < 0 || process->plugin.run)
		return rc;
	rc = check_digest(job, err);
	return rc < 0 ? rc
		      : cairn_abi_stage(&process->plugin, job->plugin_path, process->arena, err);
}

static int fill_params(cairn_run *run, cairn_error *err)
{
	CAIRN_ASSERT(run->job.n_values == run->plugin.n_params); /* the same file */
	run->params = cairn_arena_alloc(run->arena, run->plugin.params_size + 1, 1);
	return cairn_param_fill(
		run->plugin.params, run->plugin.n_params, run->job.values, run->params, err);
}

static int prepare(struct process *process, cairn_run *run, cairn_error *err)
{
	int rc = limit_memory(run, err);

	/* Before anything that may open a device is loaded; each job of a process has the same. */
	if (rc == 0 && run->job.gpus && setenv(CAIRN_GPUS_ENV, run->job.gpus, 1) < 0)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a stage");
	if (rc == 0)
		rc = set_up(process, &run->job, err);
	if (rc < 0)
		return rc;
	run->store = process->store;
	run->plugin = process->plugin;
	rc = fill_params(run, err);
	run->inputs = cairn_arena_alloc(run->arena, run->job.n_inputs + 1, sizeof(*run->inputs));
	for (size_t i = 0; i < run->job.n_inputs; i++)
		run->inputs[i].job = &run->job.inputs[i];
	run->outputs =
		cairn_arena_alloc(run->arena, run->plugin.n_outputs + 1, sizeof(*run->outputs));
	return rc;
}

/* Another stage would meet it here. */
static void note_left(cairn_run *run, const char *what)
{
	run->left_something = true;
	if (run->plugin.capabilities & CAIRN_CAN_REPEAT)
		cairn_host_log(run, CAIRN_LOG_WARNING,
			"plugin '%s' says that it may repeat, and left behind: %s",
			run->plugin.name, what);
}

/* Nobody waits for it: it is killed when this process ends. */
static void note_children(cairn_run *run)
{
	pid_t pid;

	if (cairn_children_list(&pid, 1) == 0)
		return;
	run->left_something = true;
	cairn_host_log(
		run, CAIRN_LOG_WARNING, "plugin '%s' left behind: a process", run->plugin.name);
}

static int run_plugin(struct process *process, cairn_run *run, cairn_error *err)
{
	cairn_error device = {0};
	const char *left;
	int code;

	run->checkpoint_begun = run->checkpoint_time = cairn_host_clock();
	if (!(run->plugin.capabilities & CAIRN_CAN_CHECKPOINT)) {
		/* The runner knows of one that may repeat when it begins: with the job. */
		run->is_started_sent = run->plugin.capabilities & CAIRN_CAN_REPEAT;
		cairn_host_started(run, 0);
	}
	if (!process->surroundings.directory[0])
		cairn_surroundings_take(&process->surroundings);
	code = cairn_host_settle(run, run->plugin.run(&table, run, run->params));
	/* Whatever it says of its end, even why it failed, is of no worth where the device was ill.
	 */
	if (cairn_host_kernels_status(run, &device) < 0) {
		run->error = device;
		code = device.code;
	}
	left = cairn_surroundings_restore(&process->surroundings);
	if (left)
		note_left(run, left);
	note_children(run);
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

static bool may_stay(const struct process *process, cairn_run *run, int code)
{
	if (code != CAIRN_DONE || !(run->plugin.capabilities & CAIRN_CAN_REPEAT) ||
		cairn_host_is_stopping())
		return false;
	if (!run->has_kernels && cairn_surroundings_has_thread(&process->surroundings))
		note_left(run, "a thread");
	return !run->left_something;
}

/* True where the process stays for another job. */
static bool say_goodbye(
	const struct process *process, cairn_run *run, int code, const cairn_error *err)
{
	bool stays = may_stay(process, run, code);
	bool is_mended = code < 0 && cairn_host_mend(run);
	json_t *bye =
		json_pack("{s:i, s:I, s:I, s:b, s:b}", "code", code, "step", (json_int_t)run->step,
			"total", (json_int_t)run->total, "stays", stays, "mended", is_mended);

	cairn_host_kernels_forget(run);
	if (code < 0) {
		fprintf(stderr, "cairn: %s: %s\n", cairn_error_name(code), err->message);
		cairn_host_send(run, "error", json_pack("{s:o}", "error", cairn_record_error(err)));
	}
	if (code == CAIRN_WAITING) /* in the plugin's words */
		json_object_set_new(bye, "text",
			cairn_record_text(run->error.hint[0] ? run->error.hint : run->said));
	cairn_host_put_account(run, bye, false);
	json_object_set_new(bye, "log", json_boolean(has_log()));
	if (run->result) {
		json_object_set(bye, "result", run->result);
		json_object_set_new(bye, "kept", json_real(run->kept));
	}
	cairn_host_send_packet(run, "bye", bye, run->packet, run->packet_len);
	return stays;
}

static cairn_run *new_run(const struct process *process)
{
	cairn_run *run = cairn_alloc(1, sizeof(*run));

	if (!run)
		return NULL;
	pthread_mutex_init(&run->report_lock, NULL);
	run->n_before = process->n_attempts;
	run->arena = cairn_arena_new();
	run->summary = json_object();
	return run;
}

static void free_run(cairn_run *run)
{
	cairn_host_background_free(run);
	cairn_host_kernels_close(run);
	cairn_host_outputs_close(run);
	cairn_host_inputs_close(run);
	cairn_text_free(&run->metrics);
	json_decref(run->summary);
	json_decref(run->step_waiting);
	json_decref(run->result);
	free(run->packet);
	json_decref(run->job.json);
	cairn_arena_free(run->arena);
	pthread_mutex_destroy(&run->report_lock);
	free(run);
}

/* One attempt. True: another may follow. */
static bool serve(struct process *process, int *status)
{
	cairn_run *run = new_run(process);
	cairn_error err = {0};
	bool stays = false;
	int code;

	if (!run) {
		*status = 1;
		return false;
	}
	if (!process->n_attempts)
		cairn_host_send(run, "hello", json_pack("{s:i}", "pid", (int)getpid()));
	code = read_job(run, &err);
	run->started = cairn_host_clock();
	if (code != 1) {
		if (process->n_attempts)
			forget_peak();
		if (code == 0) {
			take_log(process, run->job.log);
			code = prepare(process, run, &err);
		}
		if (code == 0)
			code = run_plugin(process, run, &err);
		stays = say_goodbye(process, run, code, &err);
		*status = code < 0 ? 1 : 0;
	}
	free_run(run);
	process->n_attempts++;
	return stays;
}

int cairn_stage_host_main(int argc, char **argv)
{
	struct process process = {0};
	int status = 0;

	if (argc < 3 || !cairn_host_tie(argv[2])) {
		fprintf(stderr, "cairn: --stage-host is started by `cairn run` only\n");
		return 2;
	}
	set_signals();
	fcntl(CAIRN_WIRE_FD, F_SETFD, FD_CLOEXEC);
	setvbuf(stderr, NULL, _IOLBF, 0);
	process.arena = cairn_arena_new();
	while (serve(&process, &status))
		;
	cairn_children_kill(NULL, NULL);
	cairn_store_close(process.store);
	free(process.log);
	cairn_arena_free(process.arena);
	return status;
}
