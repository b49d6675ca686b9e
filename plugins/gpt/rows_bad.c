/* SPDX-License-Identifier: Apache-2.0 */
/* rows_bad.c - bad rows: logged, counted, and judged against a share. */
#include "gpt/rows_bad.h"

#include <inttypes.h>

void gpt_bad_rows_add(gpt_bad_rows *bad, const cairn_host *host, cairn_run *run,
	const gpt_jsonl *reader, uint64_t file, cairn_error *err)
{
	if (bad->n++ == 0)
		bad->first = *err;
	if (bad->by_reason[reader->why]++ == 0) {
		bad->first_file[reader->why] = file;
		bad->first_line[reader->why] = reader->line;
	}
	if (bad->n <= GPT_BAD_LOGGED)
		host->log(run, CAIRN_LOG_WARNING, "bad row at %s: %s", err->place, err->message);
	else if (bad->n == GPT_BAD_LOGGED + 1)
		host->log(run, CAIRN_LOG_WARNING, "more bad rows follow: they are only counted");
	cairn_error_clear(err);
}

/* "12 no valid JSON, 3 too long" */
static void list_reasons(const gpt_bad_rows *bad, cairn_text *out)
{
	const char *comma = "";

	for (int r = 0; r < GPT_BAD_REASONS; r++)
		if (bad->by_reason[r]) {
			cairn_text_printf(out, "%s%" PRIu64 " %s", comma, bad->by_reason[r],
				gpt_bad_reasons[r]);
			comma = ", ";
		}
}

int gpt_bad_rows_check(const gpt_bad_rows *bad, const cairn_host *host, cairn_run *run,
	uint64_t n_read, double max_bad)
{
	double share = n_read ? (double)bad->n / (double)n_read : 0;
	cairn_error err = bad->first;
	cairn_text list = {0};
	char hint[sizeof(err.hint)], limit[32];

	if (bad->n == 0)
		return 0;
	list_reasons(bad, &list);
	if (share <= max_bad) {
		host->log(run, CAIRN_LOG_WARNING,
			"%" PRIu64 " of %" PRIu64 " rows are bad and left out: %s", bad->n, n_read,
			cairn_text_get(&list));
		cairn_text_free(&list);
		return 0;
	}
	cairn_format_double(max_bad, limit);
	cairn_error_detail(&err, "%" PRIu64 " of %" PRIu64 " rows are bad (%s); max_bad is %s",
		bad->n, n_read, cairn_text_get(&list), limit);
	(void)snprintf(hint, sizeof(hint),
		"%.300s%sMend the bad rows, or leave out a share of them: max_bad = %.2g.",
		err.hint, err.hint[0] ? " " : "", share < 0.98 ? share * 1.01 + 0.001 : 1);
	err.hint[0] = '\0';
	cairn_error_hint(&err, "%s", hint);
	cairn_text_free(&list);
	return host->fail_with(run, &err);
}

void gpt_bad_rows_print(const gpt_bad_rows *bad, cairn_text *out)
{
	for (int r = 0; r < GPT_BAD_REASONS; r++)
		if (bad->by_reason[r])
			cairn_text_printf(out,
				"    %8" PRIu64 "  %s; the first in file %" PRIu64 ", line %" PRIu64
				"\n",
				bad->by_reason[r], gpt_bad_reasons[r], bad->first_file[r],
				bad->first_line[r]);
}

json_t *gpt_bad_rows_json(const gpt_bad_rows *bad)
{
	json_t *list = json_array();
	int rc = 0;

	for (int r = 0; r < GPT_BAD_REASONS; r++)
		if (bad->by_reason[r])
			rc |= json_array_append_new(list,
				json_pack("{s:s, s:I, s:I, s:I}", "reason", gpt_bad_reasons[r],
					"rows", (json_int_t)bad->by_reason[r], "first_file",
					(json_int_t)bad->first_file[r], "first_line",
					(json_int_t)bad->first_line[r]));
	if (!rc)
		return list;
	json_decref(list);
	return NULL;
}
