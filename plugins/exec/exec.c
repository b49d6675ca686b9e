/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - stage `exec`: any command as a stage. README.md says what a command sees, what it may
 * tell, and what enters the key.
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
		.doc = "What the command writes below out/, separated by blanks: files, and "
		       "directories as NAME/. They become output `out`.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(struct exec_params, outputs),
		.fallback = "data"},
	{.name = "model",
		.doc = "Directory below out/ with a language model in Hugging Face's layout: "
		       "becomes output `model`. Empty: there is none.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(struct exec_params, model),
		.fallback = ""},
	{.name = "reward",
		.doc = "The same for a reward model: becomes output `reward`.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(struct exec_params, reward),
		.fallback = ""},
	{.name = "set",
		.doc = "Environment variables, NAME=VALUE, separated by blanks; part of the key.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(struct exec_params, set),
		.fallback = ""},
	{.name = "env",
		.doc = "Names of environment variables that it sees beside PATH, HOME and "
		       "CUDA_VISIBLE_DEVICES, with "
		       "the values of whoever runs cairn; those are not part of the key.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(struct exec_params, env),
		.fallback = ""},
	{.name = "stop_signal",
		.doc = "What the command gets, beside the file ask/stop, when the run is stopped.",
		.type = CAIRN_PARAM_ENUM,
		.flags = CAIRN_PARAM_NEUTRAL,
		.offset = offsetof(struct exec_params, stop_signal),
		.fallback = "term",
		.choices = "term|int|none"},
	{.name = "grace",
		.doc = "How long it may take to write a checkpoint and end, once it is to stop.",
		.type = CAIRN_PARAM_DURATION,
		.flags = CAIRN_PARAM_NEUTRAL,
		.offset = offsetof(struct exec_params, grace),
		.fallback = "30s",
		.min = 0,
		.max = 86400},
};

#define ANY                                                                                \
	"file|text|tokenizer|dataset/text|dataset/demo|dataset/prompt|dataset/completion|" \
	"dataset/ranking|model/lm|model/reward|report|metrics"

static const cairn_port inputs[] = {
	{.name = "in",
		.kind = ANY,
		.flags = CAIRN_PORT_OPTIONAL | CAIRN_PORT_MANY,
		.doc = "Become files, in order: in/in-0/ENTRY, in/in-1/ENTRY, ..."},
	{.name = "script",
		.kind = "file",
		.flags = CAIRN_PORT_OPTIONAL | CAIRN_PORT_MANY,
		.doc = "Programs of the command, in its directory under their own names."},
	{.name = "deps",
		.kind = "file",
		.flags = CAIRN_PORT_OPTIONAL | CAIRN_PORT_MANY,
		.doc = "What the programs need (modules, a list of package versions), beside them."},
};

static const cairn_port outputs[] = {
	{.name = "out",
		.kind = "file",
		.flags = CAIRN_PORT_OPTIONAL,
		.doc = "What `outputs` names, one entry a file."},
	{.name = "model",
		.kind = "model/lm",
		.flags = CAIRN_PORT_OPTIONAL,
		.doc = "The language model that `model` names."},
	{.name = "reward",
		.kind = "model/reward",
		.flags = CAIRN_PORT_OPTIONAL,
		.doc = "The reward model that `reward` names."},
};

/* ---- check -------------------------------------------------------------------------------- */

/* "NAME/" stands for a directory. */
static bool is_output(const char *name)
{
	char path[256];
	size_t len = strlen(name);

	if (len && name[len - 1] == '/')
		len--;
	if (len >= sizeof(path))
		return false;
	memcpy(path, name, len);
	path[len] = '\0';
	return exec_is_safe(path);
}

static int check_outputs(const struct exec_params *p, cairn_error *err)
{
	size_t n;
	char **names = exec_split_names(p->outputs, &n);
	int rc = 0;

	if (!names)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for the names of outputs");
	if (n == 0 && !p->model[0] && !p->reward[0]) {
		rc = cairn_error_set(err, CAIRN_EPARAM, "outputs names no file");
		cairn_error_hint(err, "Name what the command writes below out/.");
	}
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (!is_output(names[i])) {
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

static int check_directory(const char *parameter, const char *name, cairn_error *err)
{
	if (!name[0] || exec_is_safe(name))
		return 0;
	cairn_error_set(
		err, CAIRN_EPARAM, "%s = '%.200s' is no directory below out/", parameter, name);
	cairn_error_hint(
		err, "Write a path such as `%s = final`, without a slash at its end.", parameter);
	return CAIRN_EPARAM;
}

static int check_set(const char *set, cairn_error *err)
{
	size_t n;
	char **words = exec_split_names(set, &n);
	int rc = words ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "no memory for variables");

	for (size_t i = 0; i < n && rc == 0; i++) {
		size_t len = strspn(words[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					      "abcdefghijklmnopqrstuvwxyz0123456789_");

		if (len && words[i][len] == '=' && strncmp(words[i], "CAIRN_", 6) != 0)
			continue;
		rc = cairn_error_set(
			err, CAIRN_EPARAM, "'%.200s' sets no environment variable", words[i]);
		cairn_error_hint(err, "Write `set = NAME=VALUE OTHER=VALUE`, without blanks in a "
				      "value; names that begin with CAIRN_ are taken.");
	}
	exec_free_names(words);
	return rc;
}

static int check(const void *params_struct, cairn_error *err)
{
	const struct exec_params *p = params_struct;
	int rc = 0;

	if (!p->command[strspn(p->command, " \t\n")]) {
		rc = cairn_error_set(err, CAIRN_EPARAM, "command is empty");
		cairn_error_hint(err, "Write `command = ...`, as you would for a shell.");
	}
	if (rc == 0)
		rc = check_outputs(p, err);
	if (rc == 0)
		rc = check_directory("model", p->model, err);
	if (rc == 0)
		rc = check_directory("reward", p->reward, err);
	if (rc == 0)
		rc = check_set(p->set, err);
	return rc;
}

/* ---- run ---------------------------------------------------------------------------------- */

static int run(const cairn_host *host, cairn_run *run, const void *params_struct)
{
	struct exec_work work = {
		.host = host, .run = run, .params = params_struct, .events = -1, .total = 0};
	int rc = exec_make_directory(&work);

	if (rc == 0)
		rc = exec_put_inputs(&work);
	if (rc == 0)
		rc = exec_put_resume(&work);
	if (rc == 0)
		rc = exec_events_open(&work);
	if (rc == 0)
		rc = exec_run_command(&work);
	if (rc == 0)
		rc = work.is_waiting ? CAIRN_WAITING : exec_take_outputs(&work);
	exec_events_close(&work);
	if (work.directory) /* also after a failure: inputs may be large */
		exec_remove(work.directory);
	free(work.directory);
	return rc;
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "exec",
	.summary = "any command: a script, a trainer in another language",
	.version = "2.0",
	.license = "Apache-2.0",
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = sizeof(struct exec_params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.capabilities = CAIRN_CAN_CHECKPOINT,
	.state_version = 1,
	.state_version_oldest = 1,
	.run = run,
	.check = check,
};
