/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - where cairn starts: as the command line, or as the host of one stage.
 *
 * The hidden modes come first: a stage host must not read options, the environment or the
 * terminal before it knows what it is. Reads like: verbs.c, then the file of the verb.
 */
#include <signal.h>
#include <string.h>

#include "cli/cli.h"

static int dispatch(cli *c)
{
	const cli_verb *verb = cli_verb_find(c->verb);
	int status = verb->run(c);

	/* A full disk or a closed pipe at the end of a report is a failure, too. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fputs("error: cannot write to stdout\n", stderr);
		return status ? status : CLI_FAILED;
	}
	return status;
}

int main(int argc, char **argv)
{
	const char *store = getenv("CAIRN_STORE");
	cli c = {.progress = "auto", .color = "auto", .by = "stage", .limit = -1, .max_flop = -1};
	bool stop = false, is_check;
	int status;

	if (argc > 1 && strcmp(argv[1], "--stage-host") == 0)
		return cairn_stage_host_main(argc, argv);
	if (argc > 1 && strcmp(argv[1], "--describe") == 0)
		return cairn_describe_main(argc, argv);
	c.store_dir = store && *store ? store : ".cairn";
	c.arena = cairn_arena_new();
	/* getopt_long permutes argv: the record wants the line as it was typed. */
	c.argc = argc;
	c.argv = cairn_arena_alloc(c.arena, (size_t)argc + 1, sizeof(*c.argv));
	memcpy((void *)c.argv, argv, (size_t)argc * sizeof(*c.argv));
	if (argc > 1 && strncmp(argv[1], "--complete", 10) == 0) {
		status = strcmp(argv[1], "--complete") == 0
				 ? cli_complete_script(&c, argc > 2 ? argv[2] : "")
				 : cli_complete_words(&c, argc - 2, argv + 2);
		goto out;
	}
	/* For the tests of the manual: is this a command line? Nothing is run. */
	is_check = argc > 1 && strcmp(argv[1], "--check-usage") == 0;
	status = cli_parse(&c, argc - is_check, argv + is_check, &stop);
	if (status == CLI_OK && !stop && !is_check)
		status = dispatch(&c);
out:
	cli_tool_close(&c);
	cairn_arena_free(c.arena);
	return status;
}
