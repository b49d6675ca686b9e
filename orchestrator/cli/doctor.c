/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.c - `cairn doctor`: what this machine has for cairn, and what stands in the way. */
#include "run/check/doctor.h"

#include <string.h>

#include "cli/cli.h"

#define INDENT 23

static enum cli_style style_of(const char *verdict)
{
	static const struct {
		const char *verdict;
		enum cli_style style;
	} styles[] = {
		{"ok", CLI_GREEN}, {"none", CLI_DIM}, {"warning", CLI_YELLOW}, {"failed", CLI_RED}};

	for (size_t i = 0; i < CAIRN_COUNT(styles); i++) {
		if (strcmp(verdict, styles[i].verdict) == 0)
			return styles[i].style;
	}
	return CLI_PLAIN;
}

/* What a backend says of the machine: driver, libraries, devices. */
static void print_look(cli *c, const json_t *backends, const char *name)
{
	const char *line = "";
	const json_t *row;
	size_t i;

	json_array_foreach((json_t *)backends, i, row)
	{
		if (strcmp(cairn_json_string(row, "name", ""), name) == 0)
			line = cairn_json_string(row, "look", "");
	}
	while (*line) {
		size_t len = strcspn(line, "\n");

		printf("%*s%s\n", INDENT, "",
			cli_safe(c, cairn_arena_strndup(c->arena, line, len)));
		line += len + (line[len] != '\0');
	}
}

static void print_check(cli *c, const json_t *document, const json_t *check)
{
	const char *name = cairn_json_string(check, "check", "?");
	const char *verdict = cairn_json_string(check, "verdict", "?");
	const char *hint = cairn_json_string(check, "hint", "");
	bool color = c->color_out, is_bad = strcmp(verdict, "ok") != 0;

	if (c->quiet && (!is_bad || strcmp(verdict, "none") == 0))
		return;
	printf("%-13s %s%-8s%s %s\n", cli_safe(c, name), cli_style(color, style_of(verdict)),
		verdict, cli_style(color, CLI_PLAIN),
		cli_safe(c, cairn_json_string(check, "what", "")));
	if (hint[0] && is_bad)
		printf("%*s%s%s%s\n", INDENT, "", cli_style(color, CLI_DIM), cli_safe(c, hint),
			cli_style(color, CLI_PLAIN));
	print_look(c, json_object_get(document, "backends"), name);
}

static size_t count(const json_t *checks, const char *verdict)
{
	const json_t *check;
	size_t i, n = 0;

	json_array_foreach((json_t *)checks, i, check) n +=
		strcmp(cairn_json_string(check, "verdict", ""), verdict) == 0;
	return n;
}

static void print_last_line(const json_t *checks)
{
	size_t failed = count(checks, "failed"), warnings = count(checks, "warning");

	printf("\n%s", failed ? "something that runs need is broken" : "workflows can run here");
	if (failed)
		printf(": %zu failed", failed);
	if (warnings)
		printf(", %zu warning%s", warnings, warnings == 1 ? "" : "s");
	putchar('\n');
}

int cli_doctor(cli *c)
{
	json_t *document = cairn_doctor(c->store_dir), *check;
	json_t *checks = json_object_get(document, "checks");
	bool ok = json_is_true(json_object_get(document, "ok"));
	int status = CLI_OK;
	size_t i;

	if (!document)
		return cli_fail(c, CAIRN_ENOMEM, NULL, "out of memory looking at this machine");
	if (c->json) {
		status = cli_print_json(document, "cairn.doctor/1");
	} else {
		json_array_foreach(checks, i, check) print_check(c, document, check);
		if (!c->quiet)
			print_last_line(checks);
		json_decref(document);
	}
	return status == CLI_OK && !ok ? CLI_FAILED : status;
}
