/* SPDX-License-Identifier: Apache-2.0 */
/* exec.h - what the files of the plugin share. */
#ifndef CAIRN_EXEC_H
#define CAIRN_EXEC_H

#include <stdbool.h>

#include "cairn/stage.h"

/* Laid out by the parameter table in exec.c. */
struct exec_params {
	const char *command, *outputs, *env;
};

/* Where a command works: DIRECTORY/in and DIRECTORY/out, DIRECTORY being its own. */
struct exec_work {
	const cairn_host *host;
	cairn_run *run;
	const struct exec_params *params;
	char *directory;
};

/* files.c: inputs as files; files as the output. < 0: the error is filled with fail(). */
CAIRN_MUST int exec_put_inputs(struct exec_work *work);
CAIRN_MUST int exec_take_outputs(const struct exec_work *work);
/* Names in `outputs`, sorted; NULL-terminated, freed by exec_free_names(). */
char **exec_output_names(const char *outputs, size_t *n);
void exec_free_names(char **names);

/* command.c: 0 when the command ended well, CAIRN_STOPPED when it was told to stop. */
CAIRN_MUST int exec_run_command(const struct exec_work *work);

#endif
