/* SPDX-License-Identifier: Apache-2.0 */
/* cat.c - `cairn cat` and `cairn ls`: artifacts, their entries and their names. */
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static int open_artifact(cli *c, cli_reader *reader, cairn_id *id, cairn_error *err)
{
	int rc = cli_reader_open(c, reader, err);

	return rc < 0 ? rc
		      : cairn_resolve_artifact(
				id, reader->store, reader->snapshot, c->args[0], err);
}

/* ---- cat -------------------------------------------------------------------------------- */

static int no_entry(const cairn_object *object, const char *name, cairn_error *err)
{
	const char *names[1024], *near;
	uint64_t n = cairn_object_count(object);
	size_t known = 0;

	for (uint64_t i = 0; i < n && known < CAIRN_COUNT(names); i++) {
		cairn_tensor entry;
		if (cairn_object_entry(object, i, &entry, NULL) == 0)
			names[known++] = entry.name;
	}
	near = name ? cairn_did_you_mean(name, names, known) : NULL;
	if (name)
		cairn_error_set(err, CAIRN_ENOTFOUND, "the artifact has no entry '%.200s'", name);
	else
		cairn_error_set(
			err, CAIRN_EUSAGE, "the artifact has %llu entries", (unsigned long long)n);
	if (near)
		cairn_error_hint(err, "Did you mean '%s'?", near);
	else
		cairn_error_hint(err, "Name one of those that `cairn ls` lists.");
	return err->code;
}

/* Would a terminal take any of this for a command? */
static bool is_plain_text(cli *c, const cairn_tensor *entry)
{
	const char *at = entry->data, *end = at + entry->bytes;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t len = stop ? (size_t)(stop - at) : (size_t)(end - at);
		char *line = cairn_arena_strndup(c->arena, at, len);
		for (size_t i = 0; i < len; i++) {
			if (line[i] == '\0')
				return false;
			if (line[i] == '\t')
				line[i] = ' ';
		}
		if (strcmp(cli_safe(c, line), line) != 0)
			return false;
		at += len + (stop != NULL);
	}
	return true;
}

static int write_entry(cli *c, const cairn_tensor *entry)
{
	if (isatty(STDOUT_FILENO) && !is_plain_text(c, entry))
		return cli_fail(c, CAIRN_EUSAGE, "Send it to a file or a pipe: `... >FILE`.",
			"entry '%.200s' is not text", entry->name);
	if (entry->bytes && fwrite(entry->data, 1, entry->bytes, stdout) != entry->bytes)
		return cli_fail(c, CAIRN_EIO, NULL, "cannot write to stdout");
	return CLI_OK;
}

int cli_cat(cli *c)
{
	cli_reader reader = {0};
	cairn_object *object = NULL;
	cairn_tensor entry = {0};
	cairn_error err = {0};
	const char *name = c->n_args > 1 ? c->args[1] : NULL;
	cairn_id id;
	int rc = open_artifact(c, &reader, &id, &err), status;

	if (rc == 0)
		rc = cairn_object_open(&object, reader.store, &id, &err);
	if (rc == 0 && !name && cairn_object_count(object) == 1)
		rc = cairn_object_entry(object, 0, &entry, &err);
	else if (rc == 0 && (!name || !cairn_object_has(object, name)))
		rc = no_entry(object, name, &err);
	if (rc == 0)
		rc = cairn_object_read(object, name ? name : entry.name, &entry, &err);
	status = rc < 0 ? cli_error(c, &err) : write_entry(c, &entry);
	cairn_object_close(object);
	cli_reader_close(&reader);
	return status;
}

/* ---- ls --------------------------------------------------------------------------------- */

static void print_refs(cli *c, const json_t *report)
{
	cli_table *table = cli_table_new(c, "NAME|ARTIFACT");
	json_t *ref;
	size_t i;

	json_array_foreach(json_object_get(report, "refs"), i, ref)
	{
		cli_table_row(table);
		cli_table_cell(table, "%s", cairn_json_string(ref, "name", "?"));
		cli_table_cell(table, "%s", cairn_json_string(ref, "id", "?"));
	}
	cli_table_print(table, stdout, c->color_out);
}

static void print_artifact(cli *c, const json_t *report)
{
	cli_table *table = cli_table_new(c, "ENTRY|TYPE|SHAPE|>BYTES");
	json_t *entry, *dim;
	char text[32], *meta = cairn_json_canonical(json_object_get(report, "meta"));
	size_t i, d;

	printf("%s\n%s, %s, %zu entries\n", cairn_json_string(report, "id", "?"),
		cli_safe(c, cairn_json_string(report, "kind", "?")),
		cli_bytes(text, cairn_json_number(report, "bytes", 0)),
		json_array_size(json_object_get(report, "entries")));
	if (meta && strcmp(meta, "{}") != 0)
		printf("%s\n", cli_safe(c, meta));
	putchar('\n');
	json_array_foreach(json_object_get(report, "entries"), i, entry)
	{
		cairn_text shape = {0};
		json_array_foreach(json_object_get(entry, "dims"), d, dim) cairn_text_printf(
			&shape, "%s%lld", d ? " x " : "", (long long)json_integer_value(dim));
		cli_table_row(table);
		cli_table_cell(table, "%s", cairn_json_string(entry, "name", "?"));
		cli_table_cell(table, "%s", cairn_json_string(entry, "dtype", "?"));
		cli_table_cell(table, "%s", cairn_text_get(&shape));
		cli_table_cell(table, "%lld", (long long)cairn_json_integer(entry, "bytes", 0));
		cairn_text_free(&shape);
	}
	cli_table_print(table, stdout, c->color_out);
	free(meta);
}

int cli_ls(cli *c)
{
	cli_reader reader = {0};
	json_t *report = NULL;
	cairn_error err = {0};
	cairn_id id;
	int rc;

	if (c->n_args == 0) {
		rc = cli_reader_open(c, &reader, &err);
		if (rc == 0)
			rc = cairn_report_refs(&report, reader.snapshot, &err);
	} else {
		rc = open_artifact(c, &reader, &id, &err);
		if (rc == 0)
			rc = cairn_report_artifact(&report, reader.store, &id, &err);
	}
	cli_reader_close(&reader);
	if (rc < 0)
		return cli_error(c, &err);
	if (c->json)
		return cli_print_json(report, "cairn.ls/1");
	if (c->n_args == 0)
		print_refs(c, report);
	else
		print_artifact(c, report);
	json_decref(report);
	return CLI_OK;
}
