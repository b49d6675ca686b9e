/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - stage `exec`: a shell command, for what no plugin does.
 *
 * The command runs in an empty directory of its own:
 *
 *   in/in-0/ENTRY   the first artifact of input `in`, one read-only file per entry, byte for
 *   in/in-1/ENTRY   byte as stored (a tensor: row-major, little-endian); the second; ...
 *   out/NAME        what the command must write: the names of parameter `outputs`
 *
 * Its environment holds PATH, HOME and the variables of parameter `env`, nothing else. What
 * it prints goes to the stage's log.
 *
 * The key knows the command's text and its inputs, not the programs it calls nor the values
 * of the environment: a command that depends on those is not reproducible by cairn's means.
 * There is no checkpoint: a command that was stopped starts again.
 */
#include "exec.h"

#include <string.h>

#include "base/alloc.h"

static const cairn_param params[] = {
	{.name = "command",
		.doc = "What /bin/sh runs; \\n stands for a new line.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(struct exec_params, command)},
	{.name = "outputs",
		.doc = "Files below out/ that the command writes, separated by blanks.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(struct exec_params, outputs),
		.fallback = "data"},
	{.name = "env",
		.doc = "Environment variables that it sees beside PATH and HOME.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(struct exec_params, env),
		.fallback = ""},
};

static const cairn_port inputs[] = {{.name = "in",
	.kind = "file|text|tokenizer|dataset/text|dataset/demo|dataset/prompt|dataset/completion|"
		"dataset/ranking|model/lm|model/reward|report",
	.flags = CAIRN_PORT_OPTIONAL | CAIRN_PORT_MANY,
	.doc = "Become files: in/in-0/ENTRY, in/in-1/ENTRY, ..."}};

static const cairn_port outputs[] = {
	{.name = "out", .kind = "file", .doc = "The files of `outputs`, one entry each."}};

static int check(const void *params_struct, cairn_error *err)
{
	const struct exec_params *p = params_struct;
	size_t n;
	char **names = exec_output_names(p->outputs, &n);
	int rc = 0;

	if (!names)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for the names of outputs");
	if (!p->command[strspn(p->command, " \t\n")]) {
		rc = cairn_error_set(err, CAIRN_EPARAM, "command is empty");
		cairn_error_hint(err, "Write `command = ...`, as you would for a shell.");
	} else if (n == 0) {
		rc = cairn_error_set(err, CAIRN_EPARAM, "outputs names no file");
		cairn_error_hint(err, "Name what the command writes below out/.");
	}
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (names[i][0] == '/' || strstr(names[i], "..") || strlen(names[i]) > 200) {
			rc = cairn_error_set(
				err, CAIRN_EPARAM, "'%.200s' cannot be an output", names[i]);
			cairn_error_hint(err, "Give paths below out/, of at most 200 bytes.");
		} else if (i && strcmp(names[i], names[i - 1]) == 0) {
			rc = cairn_error_set(
				err, CAIRN_EPARAM, "output '%s' is named twice", names[i]);
			cairn_error_hint(err, "Name every file once.");
		}
	}
	exec_free_names(names);
	return rc;
}

static int run(const cairn_host *host, cairn_run *run, const void *params_struct)
{
	struct exec_work work = {.host = host, .run = run, .params = params_struct};
	int rc = exec_put_inputs(&work);

	if (rc == 0)
		rc = exec_run_command(&work);
	if (rc == 0)
		rc = exec_take_outputs(&work);
	free(work.directory);
	return rc;
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "exec",
	.summary = "runs a shell command on files",
	.version = "1.0",
	.license = "Apache-2.0",
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = sizeof(struct exec_params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run,
	.check = check,
};
