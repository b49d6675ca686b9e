/* SPDX-License-Identifier: Apache-2.0 */
/* open.c - finding and opening what a verb works on. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

int cli_open_store(cli *c, cairn_store **out, unsigned flags, cairn_error *err)
{
	int rc = cairn_store_open(out, c->store_dir, flags, err);

	if (rc == CAIRN_ENOTFOUND)
		cairn_error_hint(
			err, "`cairn run FILE` makes one; --store or CAIRN_STORE name another.");
	return rc;
}

int cli_reader_open(cli *c, cli_reader *out, cairn_error *err)
{
	cli_reader reader = {0};
	int rc = cli_open_store(c, &reader.store, CAIRN_STORE_READONLY, err);

	if (rc == 0)
		rc = cairn_snapshot_begin(&reader.snapshot, reader.store, err);
	if (rc < 0) {
		cli_reader_close(&reader);
		return rc;
	}
	*out = reader;
	return 0;
}

void cli_reader_close(cli_reader *reader)
{
	if (reader->snapshot)
		cairn_snapshot_end(reader->snapshot);
	if (reader->store)
		cairn_store_close(reader->store);
	*reader = (cli_reader){0};
}

/* ---- the workflow's file ------------------------------------------------------------------ */

static bool is_ini(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && name[0] != '.' && strcmp(name + len - 4, ".ini") == 0;
}

static int find_only_ini(cli *c, const char **out, cairn_error *err)
{
	DIR *dir = opendir(".");
	const char *found = NULL;
	struct dirent *entry;
	int n = 0;

	if (!dir)
		return cairn_error_errno(
			err, CAIRN_EIO, errno, "cannot look for a workflow in this directory");
	while ((entry = readdir(dir))) {
		if (!is_ini(entry->d_name))
			continue;
		/* Two names are enough to show; the smaller first, whatever the directory's order.
		 */
		if (!found || strcmp(entry->d_name, found) < 0)
			found = cairn_arena_strdup(c->arena, entry->d_name);
		n++;
	}
	closedir(dir);
	if (n == 1) {
		*out = found;
		return 0;
	}
	cairn_error_set(err, n ? CAIRN_EUSAGE : CAIRN_ENOTFOUND,
		n ? "several workflow files are here" : "no workflow file (*.ini) is here");
	if (n)
		cairn_error_hint(err, "Name one: `cairn %s %s`.", c->verb, found);
	else
		cairn_error_hint(err, "Name one, or write a first one with `cairn init`.");
	return err->code;
}

int cli_workflow_file(cli *c, const char *given, const char **out, cairn_error *err)
{
	const char *file = given ? given : c->file;

	if (!file)
		return find_only_ini(c, out, err);
	if (access(file, R_OK) < 0) {
		cairn_error_errno(err, errno == ENOENT ? CAIRN_ENOTFOUND : CAIRN_EIO, errno,
			"cannot read the workflow '%.250s'", file);
		cairn_error_hint(err, "`cairn init` writes a first one.");
		return err->code;
	}
	*out = file;
	return 0;
}

/* ---- workflow, plugins, plan ----------------------------------------------------------------- */

/* Every mistake of the file, then how many there are. */
static int print_mistakes(cli *c, const char *file, int code, const cairn_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++) {
		if (i > 0)
			fputc('\n', stderr);
		cli_error(c, &errors->items[i]);
	}
	if (errors->n > 1)
		fprintf(stderr, "\n%zu mistakes in '%s'\n", errors->n, cli_safe(c, file));
	if (errors->n == 0)
		return cli_fail(c, code, NULL, "cannot load the workflow '%.250s'", file);
	return cli_exit_status(code);
}

/* Where a store is, it remembers what the plugins said of themselves; without one it works, too. */
static void open_store_if_any(cli *c, cairn_store **out)
{
	if (cairn_store_open(out, c->store_dir, 0, NULL) < 0)
		*out = NULL;
}

static int open_plan(cli *c, cli_work *work)
{
	cairn_error err = {0};

	if (cairn_plan_make(&work->plan, work->workflow, work->store, &err) < 0)
		return cli_error(c, &err);
	return CLI_OK;
}

int cli_work_open(cli *c, cli_work *out, const char *given, unsigned what)
{
	cli_work work = {0};
	cairn_errors errors = {0};
	cairn_error err = {0};
	const char *file = NULL;
	unsigned flags = what & CLI_WORK_CREATE ? CAIRN_STORE_CREATE : 0;
	int status = CLI_OK, rc;

	if (cli_workflow_file(c, given, &file, &err) < 0)
		return cli_error(c, &err);
	rc = 0;
	if (what & CLI_WORK_STORE)
		rc = cli_open_store(c, &work.store, flags, &err);
	else
		open_store_if_any(c, &work.store);
	if (rc == 0)
		rc = cairn_plugins_open(&work.registry, work.store, &err);
	if (rc < 0) {
		status = cli_error(c, &err);
		goto out;
	}
	rc = cairn_workflow_load(
		&work.workflow, file, c->params, c->n_params, work.registry, &errors);
	if (rc < 0)
		status = print_mistakes(c, file, rc, &errors);
	else if (what & CLI_WORK_PLAN)
		status = open_plan(c, &work);
out:
	cairn_errors_free(&errors);
	if (status == CLI_OK)
		*out = work;
	else
		cli_work_close(&work);
	return status;
}

void cli_work_close(cli_work *work)
{
	if (work->plan)
		cairn_plan_free(work->plan);
	if (work->workflow)
		cairn_workflow_free(work->workflow);
	if (work->registry)
		cairn_plugins_close(work->registry);
	if (work->store)
		cairn_store_close(work->store);
	*work = (cli_work){0};
}
