/* SPDX-License-Identifier: Apache-2.0 */
/* fsck.c - `cairn fsck`: what is damaged, what that means, and what to do. */
#include "run/check/fsck.h"

#include <string.h>
#include <unistd.h>

#include "audit/fsck.h"
#include "base/clock.h"
#include "cairn/fsck.h"
#include "cli/cli.h"

#define REDRAW_S 0.2
#define BEAT_S   30.0
#define MAX_ROWS 20 /* of one kind: --json has all */

/* ---- progress ---------------------------------------------------------------------------------
 */

typedef struct meter {
	cli *c;
	bool is_tty, is_shown;
	double begun_s, shown_s;
	char part[16];
} meter;

static void erase(meter *m)
{
	if (m->is_tty && m->is_shown)
		fputs("\r\033[2K", stderr);
	m->is_shown = false;
}

/* "segments  1.2 GiB of 40.0 GiB, 1.1 GiB/s, eta 36s" */
static void show(meter *m, uint64_t done, uint64_t total, double now)
{
	double seconds = now - m->begun_s, rate = seconds > 0 ? (double)done / seconds : 0;
	char a[32], b[32], speed[32], eta[32];

	erase(m);
	if (strcmp(m->part, "segments") == 0)
		fprintf(stderr, "%s  %s of %s, %s/s", m->part, cli_bytes(a, (double)done),
			cli_bytes(b, (double)total), cli_bytes(speed, rate));
	else
		fprintf(stderr, "%s  %llu of %llu", m->part, (unsigned long long)done,
			(unsigned long long)total);
	if (rate > 0 && done < total)
		fprintf(stderr, ", eta %s", cli_duration(eta, (double)(total - done) / rate));
	if (!m->is_tty)
		fputc('\n', stderr);
	fflush(stderr);
	m->is_shown = true;
	m->shown_s = now;
}

static void on_progress(void *arg, const char *part, uint64_t done, uint64_t total)
{
	meter *m = arg;
	double now = cairn_clock();

	if (strcmp(m->part, part) != 0) {
		snprintf(m->part, sizeof(m->part), "%s", part);
		m->begun_s = m->shown_s = now;
	}
	if (now - m->shown_s >= (m->is_tty ? REDRAW_S : BEAT_S))
		show(m, done, total, now);
}

static bool wants_progress(const cli *c, bool *is_tty)
{
	const char *term = getenv("TERM");

	*is_tty = strcmp(c->progress, "tty") == 0 ||
		  (strcmp(c->progress, "auto") == 0 && isatty(STDERR_FILENO) && term &&
			  strcmp(term, "dumb") != 0);
	return !c->quiet && strcmp(c->progress, "none") != 0;
}

/* ---- the report -------------------------------------------------------------------------------
 */

/* "entry 'e1', chunk 1 of 3, in segment 0000002a.seg at byte 4096" */
static void print_place(cli *c, const json_t *damage)
{
	const char *entry = cairn_json_string(damage, "entry", NULL);
	int64_t chunk = cairn_json_integer(damage, "chunk", 0);

	if (entry)
		printf(" entry '%s',", cli_safe(c, entry));
	if (chunk > 0)
		printf(" chunk %lld of %lld,", (long long)chunk,
			(long long)cairn_json_integer(damage, "chunks", 0));
	if (json_object_get(damage, "segment"))
		printf(" in segment %08llx.seg at byte %lld,",
			(unsigned long long)cairn_json_integer(damage, "segment", 0),
			(long long)cairn_json_integer(damage, "offset", 0));
	printf(" %s\n", cli_safe(c, cairn_json_string(damage, "message", "?")));
}

static void print_parts(cli *c, const json_t *report, const char *id)
{
	size_t i, n = 0;
	json_t *damage;

	json_array_foreach(json_object_get(report, "damages"), i, damage)
	{
		if (strcmp(cairn_json_string(damage, "artifact", ""), id) != 0)
			continue;
		if (n++ < MAX_ROWS) {
			fputs("   ", stdout);
			print_place(c, damage);
		}
	}
	if (n > MAX_ROWS)
		printf("    and %zu more parts\n", n - MAX_ROWS);
}

static const char *text_of(const json_t *item, const char *member)
{
	const char *text = member ? cairn_json_string(item, member, "?") : json_string_value(item);

	return text ? text : "?";
}

/* A stage can be in a list several times, once for each result: its name is printed once. */
static bool is_repeated(const json_t *list, size_t i, const char *member)
{
	const char *text = text_of(json_array_get(list, i), member);
	size_t k = 0;

	while (k < i && strcmp(text_of(json_array_get(list, k), member), text) != 0)
		k++;
	return k < i;
}

static void print_list(cli *c, const char *label, const json_t *list, const char *member)
{
	size_t i, n = 0, n_more = 0;
	json_t *item;

	if (json_array_size(list) == 0)
		return;
	printf("  %s ", label);
	json_array_foreach(list, i, item)
	{
		if (is_repeated(list, i, member))
			continue;
		if (n < MAX_ROWS)
			printf("%s%s", n ? ", " : "", cli_safe(c, text_of(item, member)));
		n_more += n++ >= MAX_ROWS;
	}
	if (n_more)
		printf(" and %zu more", n_more);
	putchar('\n');
}

static void print_hurt(cli *c, const json_t *report, const json_t *hurt)
{
	const char *id = cairn_json_string(hurt, "artifact", "?");
	int64_t n = cairn_json_integer(hurt, "artifacts", 0);

	printf("%sdamaged%s %s", cli_style(c->color_out, CLI_RED),
		cli_style(c->color_out, CLI_PLAIN), id);
	if (json_object_get(hurt, "kind"))
		printf("  %s", cli_safe(c, cairn_json_string(hurt, "kind", "")));
	putchar('\n');
	print_parts(c, report, id);
	print_list(c, "named", json_object_get(hurt, "names"), NULL);
	print_list(c, "a checkpoint of", json_object_get(hurt, "checkpoints"), "instance");
	print_list(c, "made by", json_object_get(hurt, "producers"), "instance");
	print_list(c, "used by", json_object_get(hurt, "stages"), "instance");
	if (n > 0)
		printf("  %lld artifact%s made from it %s not damaged by this\n", (long long)n,
			n == 1 ? "" : "s", n == 1 ? "is" : "are");
	printf("  %sto do:%s %s\n", cli_style(c->color_out, CLI_YELLOW),
		cli_style(c->color_out, CLI_PLAIN),
		cli_safe(c, cairn_json_string(hurt, "how", "?")));
}

/* Damage that is no artifact's: records, headers, the index; chunks that nothing names. */
static void print_other(cli *c, const json_t *damage)
{
	const char *what = cairn_json_string(damage, "what", "?");
	const char *table = cairn_json_string(damage, "table", "");
	const char *name = cairn_json_string(damage, "name", NULL);
	const char *detail = cairn_json_string(damage, "detail", "");

	if (!name)
		name = cairn_json_string(damage, "key", "");
	printf("%s%s%s", cli_style(c->color_out, CLI_RED), what,
		cli_style(c->color_out, CLI_PLAIN));
	if (table[0] && strcmp(table, what) != 0)
		printf(" %s", cli_safe(c, table));
	if (name[0])
		printf(" %s", cli_safe(c, name));
	putchar(':');
	print_place(c, damage);
	/* Of all else the place says enough. */
	if (strcmp(what, "index") == 0 && detail[0])
		printf("  %s\n", cli_safe(c, detail));
}

static void print_others(cli *c, const json_t *report)
{
	size_t i, n = 0;
	json_t *damage;

	json_array_foreach(json_object_get(report, "damages"), i, damage)
	{
		if (!json_object_get(damage, "artifact") && n++ < MAX_ROWS)
			print_other(c, damage);
	}
	if (n > MAX_ROWS)
		printf("and %zu more: --json lists them\n", n - MAX_ROWS);
}

static void print_rebuilt(cli *c, const json_t *rebuilt)
{
	char when[32];

	if (!rebuilt)
		return;
	printf("the index was made anew: %lld values of the old one, %lld of its backup, %lld chunks "
	       "found in segments, %lld dropped\n",
		(long long)cairn_json_integer(rebuilt, "salvaged", 0),
		(long long)cairn_json_integer(rebuilt, "from_backup", 0),
		(long long)cairn_json_integer(rebuilt, "scanned", 0),
		(long long)cairn_json_integer(rebuilt, "dropped", 0));
	if (json_is_true(json_object_get(rebuilt, "has_backup")))
		printf("the backup is of %s\n",
			cli_time(when, cairn_json_integer(rebuilt, "backup_ms", 0)));
	else if (!json_is_true(json_object_get(rebuilt, "has_index")))
		printf("%sthere was neither an index nor a backup that can be read: runs, names and "
		       "artifacts are lost%s\n",
			cli_style(c->color_out, CLI_RED), cli_style(c->color_out, CLI_PLAIN));
}

static void print_done(cli *c, const json_t *report)
{
	const json_t *list = json_object_get(report, "done");
	json_t *done;
	size_t i;

	json_array_foreach(list, i, done)
	{
		const char *name = cairn_json_string(done, "name", NULL);

		if (!name)
			name = cairn_json_string(done, "key", "");
		printf("%s %s %s%s\n",
			strcmp(cairn_json_string(done, "action", ""), "drop")
				? "restored the header of"
				: "dropped",
			cairn_json_string(done, "table", ""), cli_safe(c, name),
			json_object_get(done, "segment") && !name[0] ? "its segment" : "");
	}
}

static void print_report(cli *c, const json_t *report)
{
	size_t n = json_array_size(json_object_get(report, "damages")), i;
	size_t n_gone = json_array_size(json_object_get(report, "gone"));
	char bytes[32];
	json_t *hurt;

	print_rebuilt(c, json_object_get(report, "rebuilt"));
	if (!c->quiet) {
		json_array_foreach(json_object_get(report, "hurt"), i, hurt)
			print_hurt(c, report, hurt);
		print_others(c, report);
		print_done(c, report);
	}
	if (n_gone && c->verbose)
		printf("%zu outputs that records name were collected, dropped or never imported; they "
		       "are made again when a run needs them\n",
			n_gone);
	cli_bytes(bytes, (double)cairn_json_integer(report, "bytes", 0));
	if (n == 0)
		printf("%sno damage%s: %s of segments %s\n", cli_style(c->color_out, CLI_GREEN),
			cli_style(c->color_out, CLI_PLAIN), bytes, c->index ? "in place" : "read");
	else
		printf("%zu damaged %s, %zu artifact%s hurt\n", n, n == 1 ? "thing" : "things",
			json_array_size(json_object_get(report, "hurt")),
			json_array_size(json_object_get(report, "hurt")) == 1 ? "" : "s");
	if (json_object_get(report, "backup") && !c->quiet)
		printf("the index was copied\n");
}

/* What to type next. */
static void print_advice(cli *c, const json_t *report)
{
	if (c->repair || c->rebuild || json_is_true(json_object_get(report, "is_clean")))
		return;
	fprintf(stderr, "%shint:%s %s\n", cli_style(c->color_err, CLI_YELLOW),
		cli_style(c->color_err, CLI_PLAIN),
		cairn_audit_is_index_damaged(report)
			? "The index itself is damaged: `cairn fsck --rebuild` makes it anew of its "
			  "backup, of what can be read of it and of the segments. Check the disk."
			: "`cairn fsck --repair` drops what is damaged, so that it is made again. "
			  "Check the disk.");
}

/* Of an index that is known to be right; a run leaves out a large one. */
static int make_backup(cli *c, json_t *report, cairn_error *err)
{
	cairn_store *store = NULL;
	bool is_made = false;
	int rc;

	if (!c->backup || !json_is_true(json_object_get(report, "is_clean")))
		return 0;
	rc = cli_open_store(c, &store, 0, err);
	if (rc == 0)
		rc = cairn_store_backup(store, 0, &is_made, err);
	cairn_store_close(store);
	if (rc == 0)
		json_object_set_new(report, "backup", json_boolean(is_made));
	return rc;
}

int cli_fsck(cli *c)
{
	const cairn_fsck_options options = {.store = c->store_dir,
		.is_quick = c->index,
		.repairs = c->repair,
		.rebuilds = c->rebuild};
	meter m = {.c = c};
	bool shows = wants_progress(c, &m.is_tty);
	cairn_error err = {0};
	json_t *report = NULL;
	int status, rc;

	rc = cairn_fsck_run(&report, &options, shows ? on_progress : NULL, &m, &err);
	erase(&m);
	if (rc == CAIRN_ENOTFOUND)
		cairn_error_hint(&err, "--store or CAIRN_STORE name another.");
	if (rc == 0 && (rc = make_backup(c, report, &err)) < 0)
		json_decref(report);
	if (rc < 0)
		return cli_error(c, &err);
	status = json_is_true(json_object_get(report, "is_clean")) ? CLI_OK : CLI_INTEGRITY;
	if (c->json)
		cli_print_json(json_incref(report), "cairn.fsck/1");
	else
		print_report(c, report);
	fflush(stdout);
	print_advice(c, report);
	json_decref(report);
	return status;
}
