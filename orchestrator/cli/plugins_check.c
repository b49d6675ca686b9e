/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugins_check.c - `cairn plugins check FILE.so`: the checks of run/check/conformance.h as a
 * table.
 *
 * They take a while, so each row is printed as it is known. Everything happens in a directory of
 * its own below TMPDIR, which is removed; with -v it stays, for the logs in it.
 */
#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "run/check/conformance.h"

typedef struct report {
	cli *c;
	json_t *checks;
	size_t n[CAIRN_SKIPPED + 1];
} report;

static enum cli_style style_of(enum cairn_verdict verdict)
{
	switch (verdict) {
	case CAIRN_PASSED:
		return CLI_GREEN;
	case CAIRN_WARNED:
		return CLI_YELLOW;
	case CAIRN_FAILED:
		return CLI_RED;
	case CAIRN_SKIPPED:
		return CLI_DIM;
	}
	CAIRN_UNREACHABLE();
}

static void print_row(cli *c, const cairn_finding *finding)
{
	bool color = c->color_out;

	if (c->quiet && finding->verdict != CAIRN_FAILED)
		return;
	printf("%-13s %s%-8s%s %s\n", finding->check, cli_style(color, style_of(finding->verdict)),
		cairn_verdict_name(finding->verdict), cli_style(color, CLI_PLAIN),
		cli_safe(c, finding->what));
	if (finding->hint[0] && finding->verdict != CAIRN_PASSED)
		printf("%-22s %s%s%s\n", "", cli_style(color, CLI_DIM), cli_safe(c, finding->hint),
			cli_style(color, CLI_PLAIN));
	fflush(stdout);
}

static void on_finding(const cairn_finding *finding, void *arg)
{
	report *r = arg;

	r->n[finding->verdict]++;
	json_array_append_new(r->checks, json_pack("{s:s, s:s, s:o, s:o}", "check", finding->check,
						 "verdict", cairn_verdict_name(finding->verdict),
						 "what", cairn_record_text(finding->what), "hint",
						 cairn_record_text(finding->hint)));
	if (!r->c->json)
		print_row(r->c, finding);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st, (void)type, (void)walk;
	return remove(path);
}

static int make_directory(cli *c, char **out, cairn_error *err)
{
	const char *parent = getenv("TMPDIR");
	char *path = cairn_arena_printf(
		c->arena, "%s/cairn-check-XXXXXX", parent && *parent ? parent : "/tmp");

	if (!mkdtemp(path))
		return cairn_error_errno(
			err, CAIRN_EIO, errno, "cannot make a directory '%.250s'", path);
	*out = path;
	return 0;
}

static int conclude(cli *c, const report *r, int rc)
{
	if (c->json) {
		cli_print_json(json_pack("{s:o, s:O, s:I, s:I, s:I, s:I}", "path",
				       cairn_record_text(c->args[1]), "checks", r->checks, "ok",
				       (json_int_t)r->n[CAIRN_PASSED], "warnings",
				       (json_int_t)r->n[CAIRN_WARNED], "failed",
				       (json_int_t)r->n[CAIRN_FAILED], "skipped",
				       (json_int_t)r->n[CAIRN_SKIPPED]),
			"cairn.plugins-check/1");
		return rc ? CLI_FAILED : CLI_OK;
	}
	printf("%sok %zu, warnings %zu, failed %zu, skipped %zu\n", c->quiet ? "" : "\n",
		r->n[CAIRN_PASSED], r->n[CAIRN_WARNED], r->n[CAIRN_FAILED], r->n[CAIRN_SKIPPED]);
	return rc ? CLI_FAILED : CLI_OK;
}

int cli_plugins_check(cli *c)
{
	report r = {.c = c, .checks = json_array()};
	cairn_conformance ask = {
		.file = c->args[1],
		.workflow = c->file,
		.stage = c->stage,
		.values = c->params,
		.n_values = c->n_params,
		.threads = c->threads,
		.found = on_finding,
		.arg = &r,
	};
	cairn_error err = {0};
	char *directory = NULL;
	int status, rc = make_directory(c, &directory, &err);

	ask.directory = directory;
	if (rc == 0)
		rc = cairn_conformance_check(&ask, &err);
	status = rc < 0 ? cli_error(c, &err) : conclude(c, &r, rc);
	if (directory && c->verbose)
		fprintf(stderr, "kept: %s\n", directory);
	else if (directory && nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
		fprintf(stderr, "warning: cannot remove '%s'\n", directory);
	json_decref(r.checks);
	return status;
}
