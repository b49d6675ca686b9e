/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.c - `cairn export --format=bundle` and `cairn import FILE`: one file, whole or not there.
 */
#include "audit/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

/* ---- export -----------------------------------------------------------------------------------
 */

/* The file under its temporary name, or standard output. */
typedef struct target {
	const char *path, *temporary; /* NULL: standard output */
	int fd;
} target;

static int write_some(void *arg, const void *bytes, size_t len, cairn_error *err)
{
	const target *t = arg;
	const char *from = bytes;

	while (len > 0) {
		ssize_t n = write(t->fd, from, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return cairn_error_errno(err, CAIRN_EIO, n < 0 ? errno : ENOSPC,
				"cannot write '%.250s'", t->path ? t->path : "standard output");
		from += n;
		len -= (size_t)n;
	}
	return 0;
}

static int open_target(cli *c, target *t, const char *path, cairn_error *err)
{
	if (strcmp(path, "-") == 0) {
		if (isatty(STDOUT_FILENO)) {
			cairn_error_set(err, CAIRN_EUSAGE, "a bundle is no text for a terminal");
			cairn_error_hint(err, "Send it to a file or a pipe.");
			return CAIRN_EUSAGE;
		}
		*t = (target){.fd = STDOUT_FILENO};
		return 0;
	}
	if (!c->force && access(path, F_OK) == 0) {
		cairn_error_set(err, CAIRN_EUSAGE, "'%.250s' is there already", path);
		cairn_error_hint(err, "Name another file, or replace it with --force.");
		return CAIRN_EUSAGE;
	}
	t->path = path;
	t->temporary = cairn_arena_printf(c->arena, "%s.part.%ld", path, (long)getpid());
	t->fd = open(t->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return t->fd >= 0 ? 0
			  : cairn_error_errno(
				    err, CAIRN_EIO, errno, "cannot create '%.250s'", t->temporary);
}

/* Whole under its name, or not there. */
static int close_target(target *t, int rc, cairn_error *err)
{
	if (!t->path)
		return rc;
	if (rc == 0 && fsync(t->fd) != 0)
		rc = cairn_error_errno(err, CAIRN_EIO, errno, "cannot write '%.250s'", t->path);
	close(t->fd);
	if (rc == 0 && rename(t->temporary, t->path) != 0)
		rc = cairn_error_errno(err, CAIRN_EIO, errno, "cannot create '%.250s'", t->path);
	if (rc < 0)
		(void)unlink(t->temporary);
	return rc;
}

/* A run where there is one of that name, else an artifact. */
static int resolve(cli *c, cairn_bundle_root *root, cairn_run_id *run, cairn_id *artifact,
	cli_reader *reader, cairn_error *err)
{
	const char *text = c->args[0];
	int rc = cairn_resolve_run(run, reader->snapshot, text, NULL);

	if (rc == 0) {
		root->run = run;
		return 0;
	}
	rc = cairn_resolve_artifact(artifact, reader->store, reader->snapshot, text, err);
	root->artifact = artifact;
	return rc;
}

static int print_exported(cli *c, const target *t, json_t *result)
{
	char bytes[32];

	if (!t->path) {
		json_decref(result);
		return CLI_OK;
	}
	if (c->json) {
		json_object_set_new(result, "path", cairn_record_text(t->path));
		return cli_print_json(json_pack("{s:o}", "bundle", result), "cairn.export/1");
	}
	printf("%s\n", cli_safe(c, t->path));
	if (!c->quiet)
		fprintf(stderr,
			"%s, %lld artifacts; `tar -xOf FILE SHA256SUMS` lists its digests\n",
			cli_bytes(bytes, cairn_json_number(result, "bytes", 0)),
			(long long)cairn_json_integer(result, "artifacts", 0));
	json_decref(result);
	return CLI_OK;
}

int cli_export_bundle(cli *c)
{
	const char *path = c->n_args > 1 ? c->args[1] : cli_directory_name(c, c->args[0], ".tar");
	cairn_bundle_root root = {.with_inputs = c->with_inputs};
	cli_reader reader = {0};
	target t = {.fd = -1};
	json_t *result = NULL;
	cairn_error err = {0};
	cairn_run_id run;
	cairn_id artifact;
	int status, rc = cli_reader_open(c, &reader, &err);

	if (rc == 0)
		rc = resolve(c, &root, &run, &artifact, &reader, &err);
	if (rc == 0) {
		/* The export takes a view of its own, for as long as it needs one. */
		cairn_snapshot_end(reader.snapshot);
		reader.snapshot = NULL;
		rc = open_target(c, &t, path, &err);
		if (rc == 0) {
			rc = cairn_bundle_export(
				&result, reader.store, &root, write_some, &t, &err);
			rc = close_target(&t, rc, &err);
		}
	}
	cli_reader_close(&reader);
	if (rc == 0)
		status = print_exported(c, &t, result);
	else
		status = cli_error(c, &err);
	return status;
}

/* ---- import -----------------------------------------------------------------------------------
 */

static int64_t read_some(void *arg, void *bytes, size_t len, cairn_error *err)
{
	const target *t = arg;

	for (;;) {
		ssize_t n = read(t->fd, bytes, len);

		if (n >= 0)
			return n;
		if (errno != EINTR)
			return cairn_error_errno(err, CAIRN_EIO, errno, "cannot read '%.250s'",
				t->path ? t->path : "standard input");
	}
}

bool cli_is_bundle(const char *text)
{
	size_t len = strlen(text);
	struct stat st;

	if (stat(text, &st) == 0)
		return !S_ISDIR(st.st_mode);
	return strcmp(text, "-") == 0 || (len > 4 && strcmp(text + len - 4, ".tar") == 0);
}

static int print_imported(cli *c, json_t *report)
{
	const json_t *records = json_object_get(report, "records");
	const char *name;
	json_t *id, *kept;
	size_t i;

	if (c->json)
		return cli_print_json(report, "cairn.import/1");
	json_object_foreach(json_object_get(report, "names"), name, id)
	{
		printf("%s", cairn_json_string(json_object_get(report, "names"), name, "?"));
		if (!c->quiet)
			printf("  %s", cli_safe(c, name));
		putchar('\n');
	}
	if (!c->quiet) {
		fprintf(stderr, "%zu artifacts; records: %lld new, %lld the same\n",
			json_array_size(json_object_get(report, "artifacts")),
			(long long)cairn_json_integer(records, "new", 0),
			(long long)cairn_json_integer(records, "same", 0));
		json_array_foreach(json_object_get(report, "kept"), i, kept) fprintf(stderr,
			"kept ours, theirs differs: %s\n", cli_safe(c, json_string_value(kept)));
	}
	json_decref(report);
	return CLI_OK;
}

int cli_import_bundle(cli *c, const char *prefix)
{
	const char *path = c->args[0];
	target t = {.fd = STDIN_FILENO, .path = strcmp(path, "-") ? path : NULL};
	cairn_store *store = NULL;
	json_t *report = NULL;
	cairn_error err = {0};
	int rc = 0;

	if (t.path)
		t.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (t.fd < 0)
		rc = cairn_error_errno(&err, errno == ENOENT ? CAIRN_ENOTFOUND : CAIRN_EIO, errno,
			"cannot open '%.250s'", path);
	if (rc == 0)
		rc = cli_open_store(c, &store, CAIRN_STORE_CREATE, &err);
	if (rc == 0)
		rc = cairn_bundle_import(&report, store, read_some, &t, prefix, &err);
	cairn_store_close(store);
	if (t.path && t.fd >= 0)
		close(t.fd);
	if (rc < 0) {
		cairn_error_at(&err, "%s", t.path ? t.path : "standard input");
		return cli_error(c, &err);
	}
	return print_imported(c, report);
}
