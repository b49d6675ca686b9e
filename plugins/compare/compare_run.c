/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare_run.c - reads the reports, finds each one's place, and averages.
 *
 * What a report is about, it says itself (its group, its tags): names of instances may change
 * without a change of the table.
 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "compare.h"

/* ---- parameters ------------------------------------------------------------------------ */

static int parse(compare_stage *self, const compare_params *params, cairn_error *err)
{
	int code = compare_fields_parse(&self->rows, "rows", params->rows, COMPARE_MAX_FIELDS, err);

	if (!code)
		code = compare_fields_parse(&self->columns, "columns", params->columns, 1, err);
	if (!code)
		code = compare_fields_parse(
			&self->values, "values", params->values, COMPARE_MAX_FIELDS, err);
	if (!code)
		code = compare_fields_parse(&self->cluster, "cluster", params->cluster, 1, err);
	if (!code)
		code = compare_fields_parse(&self->x, "x", params->x, 1, err);
	if (!code)
		code = compare_fields_parse(&self->series, "series", params->series, 1, err);
	if (!code && self->values.n == 0)
		code = cairn_error_set(err, CAIRN_EPARAM, "'values' names no field");
	return code;
}

static void free_fields(compare_stage *self)
{
	compare_fields_free(&self->rows);
	compare_fields_free(&self->columns);
	compare_fields_free(&self->values);
	compare_fields_free(&self->cluster);
	compare_fields_free(&self->x);
	compare_fields_free(&self->series);
}

int compare_check(const void *params, cairn_error *err)
{
	compare_stage self = {0};
	int code = parse(&self, params, err);

	free_fields(&self);
	return code;
}

/* ---- reports --------------------------------------------------------------------------- */

/* The place of a text in a list, which gets it if it is new. */
static int find_or_add(compare_list *list, const gpt_work *work, const char *text, size_t *place)
{
	for (*place = 0; *place < list->n; ++*place)
		if (strcmp(list->text[*place], text) == 0)
			return 0;
	if (list->n == list->cap) {
		size_t cap = 2 * list->cap + 16;
		char **larger = cairn_realloc(list->text, cap, sizeof(*larger));

		if (!larger)
			return gpt_no_memory(work, "the reports' places");
		list->text = larger;
		list->cap = cap;
	}
	list->text[list->n] = cairn_strdup(text);
	if (!list->text[list->n])
		return gpt_no_memory(work, "the reports' places");
	list->n++;
	return 0;
}

static void free_list(compare_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->text[i]);
	free(list->text);
}

static int place_in(compare_stage *self, const compare_fields *fields, compare_list *list,
	const json_t *json, size_t *place)
{
	cairn_text text = {0};
	int code;

	for (size_t i = 0; i < fields->n; i++) {
		if (i > 0)
			cairn_text_add_char(&text, COMPARE_US);
		compare_add_word(&text, compare_look_up(json, fields->field[i].path));
	}
	code = text.failed ? gpt_no_memory(&self->work, "a report's place")
			   : find_or_add(list, &self->work, cairn_text_get(&text), place);
	cairn_text_free(&text);
	return code;
}

static int place_report(compare_stage *self, compare_report *report, size_t index)
{
	const gpt_work *work = &self->work;
	const json_t *x = NULL;
	int code = place_in(self, &self->rows, &self->row_list, report->json, &report->row);

	if (!code)
		code = place_in(
			self, &self->columns, &self->column_list, report->json, &report->column);
	if (!code)
		code = place_in(
			self, &self->series, &self->series_list, report->json, &report->series);
	if (!code && self->cluster.n > 0)
		code = place_in(
			self, &self->cluster, &self->cluster_list, report->json, &report->cluster);
	else
		report->cluster = index;
	if (self->x.n > 0)
		x = compare_look_up(report->json, self->x.field[0].path);
	report->x = x ? json_number_value(x) : NAN;
	if (!code && x && !json_is_number(x))
		code = work->host->fail(work->run, CAIRN_EINPUT, "'%s' of '%s' is no number",
			self->x.field[0].path, report->source);
	if (!code && report->x <= 0 && self->params->x_scale == COMPARE_LOG) {
		code = work->host->fail(work->run, CAIRN_EINPUT,
			"'%s' of '%s' is %g, which has no place on a logarithmic axis",
			self->x.field[0].path, report->source, report->x);
		work->host->hint(work->run, "Set x_scale = even, or linear.");
	}
	return code;
}

static int read_report(compare_stage *self, uint64_t index)
{
	const gpt_work *work = &self->work;
	compare_report *report = &self->reports[index];
	cairn_artifact artifact = {0};
	cairn_tensor entry = {0};
	cairn_error err = {0};
	int found = work->host->input_open(work->run, "reports", index, &artifact);

	if (!found)
		found = work->host->entry_get(work->run, &artifact, "report.json", &entry);
	if (found > 0)
		return work->host->fail(
			work->run, CAIRN_EINPUT, "'%s' has no report.json", artifact.source);
	if (found < 0)
		return found;
	report->source = artifact.source;
	if (cairn_json_parse(&report->json, entry.data, entry.bytes, artifact.source, &err))
		return gpt_report(work, &err);
	self->n++;
	if (!json_is_object(report->json))
		return work->host->fail(work->run, CAIRN_EINPUT, "report.json of '%s' is no object",
			artifact.source);
	return place_report(self, report, index);
}

/* A field that no report has is a slip: say what they have. */
static int check_fields(const compare_stage *self, const compare_fields *fields)
{
	const gpt_work *work = &self->work;

	for (size_t i = 0; i < fields->n; i++) {
		cairn_text paths = {0};
		bool found = false;
		int code;

		for (size_t r = 0; r < self->n && !found; r++)
			found = compare_look_up(self->reports[r].json, fields->field[i].path);
		if (found)
			continue;
		compare_add_paths(&paths, self->reports[0].json);
		code = work->host->fail(work->run, CAIRN_EINPUT, "no report has the field '%s'",
			fields->field[i].path);
		work->host->hint(work->run, "'%s' has:%.900s", self->reports[0].source,
			cairn_text_get(&paths));
		cairn_text_free(&paths);
		return code;
	}
	return 0;
}

static int open_stage(compare_stage *self)
{
	const gpt_work *work = &self->work;
	uint64_t n = work->host->input_count(work->run, "reports");
	cairn_error err = {0};
	int code = 0;

	if (parse(self, self->params, &err))
		return gpt_report(work, &err);
	self->reports = cairn_alloc(n, sizeof(*self->reports));
	if (!self->reports)
		return gpt_no_memory(work, "the reports");
	for (uint64_t i = 0; i < n && !code; i++)
		code = read_report(self, i);
	if (!code)
		code = check_fields(self, &self->rows);
	if (!code)
		code = check_fields(self, &self->columns);
	if (!code)
		code = check_fields(self, &self->values);
	if (!code)
		code = check_fields(self, &self->cluster);
	if (!code)
		code = check_fields(self, &self->x);
	return code ? code : check_fields(self, &self->series);
}

/* ---- means ----------------------------------------------------------------------------- */

/* Sums of one cluster. */
struct part {
	double sum;
	size_t n;
};

static bool is_chosen(
	const compare_report *report, size_t row, size_t column, size_t series, double x)
{
	bool at_x = isnan(x) || (isinf(x) ? isnan(report->x) : report->x == x);

	return at_x && (row == SIZE_MAX || report->row == row) &&
	       (column == SIZE_MAX || report->column == column) &&
	       (series == SIZE_MAX || report->series == series);
}

static void conclude(compare_estimate *out, const struct part *parts, size_t n, int32_t error)
{
	double squares = 0, clusters = 0;

	out->mean = 0;
	for (size_t c = 0; c < n; c++) {
		if (parts[c].n == 0)
			continue;
		out->mean += parts[c].sum / (double)parts[c].n;
		clusters++;
	}
	out->n_clusters = (size_t)clusters;
	out->mean = clusters > 0 ? out->mean / clusters : NAN;
	for (size_t c = 0; c < n; c++) {
		double off = parts[c].sum / (double)parts[c].n - out->mean;

		if (parts[c].n > 0)
			squares += off * off;
	}
	out->error = NAN;
	if (clusters < 2 || error == COMPARE_NONE)
		return;
	out->error = sqrt(squares / (clusters - 1));
	if (error == COMPARE_STDERR)
		out->error /= sqrt(clusters);
}

int compare_estimate_of(compare_estimate *out, const compare_stage *self,
	const compare_field *value, size_t row, size_t column, size_t series, double x)
{
	const gpt_work *work = &self->work;
	size_t n = self->cluster.n > 0 ? self->cluster_list.n : self->n;
	struct part *parts = cairn_alloc(n, sizeof(*parts));
	int code = 0;

	if (!parts)
		return gpt_no_memory(work, "means");
	*out = (compare_estimate){0};
	for (size_t r = 0; r < self->n && !code; r++) {
		const compare_report *report = &self->reports[r];
		const json_t *number = NULL;

		if (is_chosen(report, row, column, series, x))
			number = compare_look_up(report->json, value->path);
		if (!number)
			continue;
		if (!json_is_number(number))
			code = work->host->fail(work->run, CAIRN_EINPUT,
				"'%s' of '%s' is no number", value->path, report->source);
		parts[report->cluster].sum += json_number_value(number);
		parts[report->cluster].n++;
		out->n++;
	}
	conclude(out, parts, n, self->params->error);
	free(parts);
	return code;
}

/* ---- the stage ------------------------------------------------------------------------- */

static int put_report(compare_stage *self)
{
	const gpt_work *work = &self->work;
	cairn_writer *writer = NULL;
	cairn_text table = {0}, plot = {0};
	json_t *json = NULL;
	int code = compare_table_text(self, &table);

	if (!code)
		code = compare_table_json(self, &json);
	if (!code && self->x.n > 0)
		code = compare_plot(self, &plot);
	if (!code)
		code = work->host->output_begin(work->run, "report", &writer);
	if (!code)
		code = gpt_report_text(work, writer, "highlight.txt", &table);
	if (!code)
		code = gpt_report_text(work, writer, "table.txt", &table);
	if (!code) {
		code = gpt_report_json(work, writer, "table.json", json);
		json = NULL;
	}
	if (!code && self->x.n > 0)
		code = gpt_report_text(work, writer, "plot.svg", &plot);
	if (!code)
		code = work->host->commit(writer);
	json_decref(json);
	cairn_text_free(&plot);
	cairn_text_free(&table);
	return code;
}

int compare_run(const cairn_host *host, cairn_run *run, const void *params)
{
	compare_stage self = {.params = params};
	int code;

	gpt_work_init(&self.work, host, run, 0);
	code = open_stage(&self);
	if (!code)
		code = put_report(&self);
	for (size_t r = 0; r < self.n; r++)
		json_decref(self.reports[r].json);
	free(self.reports);
	free_list(&self.row_list);
	free_list(&self.column_list);
	free_list(&self.cluster_list);
	free_list(&self.series_list);
	free_fields(&self);
	gpt_work_free(&self.work);
	return code;
}
