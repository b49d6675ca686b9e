/* SPDX-License-Identifier: Apache-2.0 */
/* init.c - `cairn init`: a first workflow that runs as it is. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* It trains on the one text that is certain to be there: itself. */
static const char starter[] =
	"; A first workflow: a tokenizer and a very small language model, trained on this file.\n"
	";\n"
	";   cairn check         are there mistakes?\n"
	";   cairn plan          what would run, and why?\n"
	";   cairn run           run it; interrupt it and run it again: it goes on\n"
	";   cairn cost          what did it cost?\n"
	";   cairn plugins text  what else can be set?\n"
	"\n"
	"[workflow]\n"
	"name = first\n"
	"seed = 1\n"
	"\n"
	"; Every value here can be replaced: cairn run -p steps=200\n"
	"[params]\n"
	"text  = %s\n"
	"steps = 40\n"
	"\n"
	"[stage text]\n"
	"plugin     = text\n"
	"input.text = file:${text}\n"
	"n_vocab    = 300\n"
	"\n"
	"; An input is the output of an earlier stage, written stage:port.\n"
	"[stage pretrain]\n"
	"plugin          = pretrain\n"
	"input.tokens    = text:tokens\n"
	"input.tokenizer = text:tokenizer\n"
	"n_layer = 2\n"
	"n_head  = 2\n"
	"n_embd  = 32\n"
	"n_ctx   = 32\n"
	"steps   = ${steps}\n"
	"batch   = 4\n"
	"warmup  = 5\n";

int cli_init(cli *c)
{
	const char *file = c->n_args ? c->args[0] : "workflow.ini", *base = strrchr(file, '/');
	cairn_error err = {0};
	cairn_text text = {0};
	FILE *out = NULL;
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0) {
		cairn_error_errno(&err, errno == EEXIST ? CAIRN_EUSAGE : CAIRN_EIO, errno,
			"cannot write '%.250s'", file);
		if (errno == EEXIST)
			cairn_error_hint(&err, "Name another file: `cairn init FILE`.");
		return cli_error(c, &err);
	}
	cairn_text_printf(&text, starter, base ? base + 1 : file);
	out = fdopen(fd, "w");
	if (!out || fputs(cairn_text_get(&text), out) < 0 || fclose(out) != 0)
		cairn_error_errno(&err, CAIRN_EIO, errno, "cannot write '%.250s'", file);
	cairn_text_free(&text);
	if (err.code)
		return cli_error(c, &err);
	printf("wrote %s | next: cairn run %s\n", cli_safe(c, file), cli_safe(c, file));
	return CLI_OK;
}
