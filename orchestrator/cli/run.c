/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - `cairn run` and `check`. */
#include <signal.h>

#include "audit/provenance.h"
#include "cli/cli.h"

static const char *first_arg(const cli *c)
{
	return c->n_args > 0 ? c->args[0] : NULL;
}

/* ---- check ------------------------------------------------------------------------------ */

int cli_check(cli *c)
{
	cli_work work;
	int status = cli_work_open(c, &work, first_arg(c), 0);

	if (status != CLI_OK)
		return status;
	if (c->json)
		status = cli_print_json(
			json_pack("{s:s, s:s, s:I, s:b}", "workflow", work.workflow->name, "file",
				work.workflow->file, "n_stages",
				(json_int_t)work.workflow->n_instances, "ok", 1),
			"cairn.check/1");
	else if (!c->quiet)
		printf("%s: workflow '%s', %zu stages, no mistakes\n",
			cli_safe(c, work.workflow->file), cli_safe(c, work.workflow->name),
			work.workflow->n_instances);
	cli_work_close(&work);
	return status;
}

/* ---- run -------------------------------------------------------------------------------- */

static int status_of(const cli *c, const cairn_run_summary *summary)
{
	if (summary->failed || summary->stopped)
		return CLI_FAILED;
	if (summary->waiting) /* that is no failure, and whoever wants to know says so */
		return c->exit_code ? CLI_WAITING : CLI_OK;
	return summary->blocked ? CLI_FAILED : CLI_OK;
}

int cli_run(cli *c)
{
	cli_work work;
	cli_progress *progress;
	cairn_run_summary summary = {0};
	cairn_run_options options = {.jobs = c->jobs,
		.threads = c->threads,
		.keep_going = c->keep_going,
		.no_wait = c->no_wait,
		.overcommit = c->overcommit,
		.has_max_flop = c->max_flop >= 0,
		.max_flop = c->max_flop,
		.argv = c->argv,
		.argc = c->argc};
	cairn_error err = {0};
	int status, rc;

	if (c->dry_run)
		return cli_plan(c);
	cairn_provenance_prepare(".");
	status = cli_work_open(
		c, &work, first_arg(c), CLI_WORK_STORE | CLI_WORK_CREATE | CLI_WORK_PLAN);
	if (status != CLI_OK)
		return status;
	progress = cli_progress_new(c, work.workflow);
	rc = cairn_run_workflow(
		work.plan, &options, cli_progress_observer(progress), &summary, &err);
	cli_progress_end(progress);
	if (rc < 0) {
		status = cli_error(c, &err);
	} else {
		status = cli_closing(c, &work, progress, &summary);
		if (status == CLI_OK)
			status = status_of(c, &summary);
	}
	cli_work_close(&work);
	if (summary.signal) {
		/* Die of the signal, so that the shell and its scripts know. */
		fflush(NULL);
		signal(summary.signal, SIG_DFL);
		raise(summary.signal);
	}
	return status;
}
