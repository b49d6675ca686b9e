/* SPDX-License-Identifier: Apache-2.0 */
/* compare_table.c - the table: text for people, JSON for programs. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "compare.h"

/* Texts side by side and on top of each other. */
struct grid {
	char **text; /* [n_rows, n_columns]; "" where NULL */
	size_t n_rows, n_columns;
	size_t n_left; /* columns of words, which are not flush right */
};

static size_t characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static const char *at(const struct grid *grid, size_t row, size_t column)
{
	const char *text = grid->text[row * grid->n_columns + column];

	return text ? text : "";
}

static int set(const compare_stage *self, struct grid *grid, size_t row, size_t column,
	const char *text, size_t len)
{
	char *copy = cairn_strndup(text, len);

	if (!copy)
		return gpt_no_memory(&self->work, "the table");
	/* One line a row, whatever a tag holds. */
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	grid->text[row * grid->n_columns + column] = copy;
	return 0;
}

void compare_add_number(
	const compare_stage *self, cairn_text *out, const compare_field *field, double value)
{
	int64_t digits = self->params->digits;

	if (field->is_percent)
		digits = digits > 2 ? digits - 2 : 0;
	if (isfinite(value))
		cairn_text_printf(
			out, "%.*f", (int)digits, field->is_percent ? 100 * value : value);
	else
		cairn_text_add_char(out, '-');
}

static int set_estimate(const compare_stage *self, struct grid *grid, size_t row, size_t column,
	const compare_field *field, const compare_estimate *estimate)
{
	cairn_text text = {0};
	int code;

	compare_add_number(self, &text, field, estimate->mean);
	if (isfinite(estimate->error)) {
		cairn_text_add(&text, " +- ");
		compare_add_number(self, &text, field, estimate->error);
	}
	code = text.failed ? gpt_no_memory(&self->work, "the table")
			   : set(self, grid, row, column, cairn_text_get(&text), text.len);
	cairn_text_free(&text);
	return code;
}

/* ---- text ------------------------------------------------------------------------------ */

/* "PPO" US "4" into the first cells of a row. */
static int set_words(
	const compare_stage *self, struct grid *grid, size_t row, const char *words, size_t n)
{
	int code = 0;

	for (size_t i = 0; i < n && !code; i++) {
		size_t len = strcspn(words, "\x1f");

		code = set(self, grid, row, i, words, len);
		words += len + (words[len] == COMPARE_US);
	}
	return code;
}

/* Head of the column of a value under a column's text: both where there are several. */
static int set_head(const compare_stage *self, struct grid *grid, size_t column, const char *over,
	const char *label)
{
	cairn_text text = {0};
	int code;

	cairn_text_printf(&text, "%s%s%s", over, *over && *label ? " " : "", label);
	code = text.failed ? gpt_no_memory(&self->work, "the table")
			   : set(self, grid, 0, column, cairn_text_get(&text), text.len);
	cairn_text_free(&text);
	return code;
}

/* Rows by fields: a line for each of their values, a column for each value under each column,
 * and how many reports. */
static int fill_by_rows(const compare_stage *self, struct grid *grid)
{
	const compare_fields *values = &self->values;
	int code = 0;

	for (size_t i = 0; i < self->rows.n && !code; i++)
		code = set(self, grid, 0, i, self->rows.field[i].label,
			strlen(self->rows.field[i].label));
	for (size_t r = 0; r < self->row_list.n && !code; r++)
		code = set_words(self, grid, r + 1, self->row_list.text[r], self->rows.n);
	for (size_t c = 0; c < self->column_list.n; c++)
		for (size_t v = 0; v < values->n && !code; v++) {
			size_t column = self->rows.n + c * values->n + v;

			code = set_head(self, grid, column, self->column_list.text[c],
				values->field[v].label);
			for (size_t r = 0; r < self->row_list.n && !code; r++) {
				compare_estimate estimate;

				code = compare_estimate_of(
					&estimate, self, &values->field[v], r, c, SIZE_MAX, NAN);
				if (!code)
					code = set_estimate(self, grid, r + 1, column,
						&values->field[v], &estimate);
			}
		}
	return code;
}

/* No rows given: a line for each value, a column for each column. */
static int fill_by_values(const compare_stage *self, struct grid *grid)
{
	const compare_fields *values = &self->values;
	int code = 0;

	for (size_t v = 0; v < values->n && !code; v++)
		code = set(self, grid, v + 1, 0, values->field[v].label,
			strlen(values->field[v].label));
	for (size_t c = 0; c < self->column_list.n && !code; c++) {
		code = set_head(self, grid, 1 + c, self->column_list.text[c], "");
		for (size_t v = 0; v < values->n && !code; v++) {
			compare_estimate estimate;

			code = compare_estimate_of(
				&estimate, self, &values->field[v], SIZE_MAX, c, SIZE_MAX, NAN);
			if (!code)
				code = set_estimate(
					self, grid, v + 1, 1 + c, &values->field[v], &estimate);
		}
	}
	return code;
}

static bool is_empty(const struct grid *grid, size_t row)
{
	for (size_t c = 0; c < grid->n_columns; c++)
		if (*at(grid, row, c))
			return false;
	return true;
}

static void add_grid(cairn_text *out, const struct grid *grid)
{
	/* A head without a word is none: values as rows, and no columns. */
	for (size_t r = is_empty(grid, 0) ? 1 : 0; r < grid->n_rows; r++) {
		size_t owed = 0; /* blanks, not written before the end of a line */

		for (size_t c = 0; c < grid->n_columns; c++) {
			size_t width = 0, len = characters(at(grid, r, c));

			for (size_t i = 0; i < grid->n_rows; i++)
				if (characters(at(grid, i, c)) > width)
					width = characters(at(grid, i, c));
			if (c >= grid->n_left)
				owed += width - len;
			for (; len > 0 && owed > 0; owed--)
				cairn_text_add_char(out, ' ');
			cairn_text_add(out, at(grid, r, c));
			owed += c < grid->n_left ? width - len + 3 : 3;
		}
		cairn_text_add_char(out, '\n');
	}
}

static void add_note(const compare_stage *self, cairn_text *out)
{
	static const char *const errors[] = {"standard error", "standard deviation"};
	const char *noun = self->cluster.n > 0 ? self->cluster.field[0].label : "report";

	cairn_text_printf(out, "\n%zu reports", self->n);
	if (self->cluster.n > 0)
		cairn_text_printf(out, " in %zu clusters by %s", self->cluster_list.n, noun);
	if (self->params->error != COMPARE_NONE)
		cairn_text_printf(out, "; +- is the %s over %s", errors[self->params->error],
			self->cluster.n > 0 ? "clusters" : "reports");
	cairn_text_add_char(out, '\n');
}

int compare_table_text(const compare_stage *self, cairn_text *out)
{
	bool by_rows = self->rows.n > 0;
	struct grid grid = {
		.n_rows = 1 + (by_rows ? self->row_list.n : self->values.n),
		.n_columns = by_rows ? self->rows.n + self->column_list.n * self->values.n
				     : 1 + self->column_list.n,
		.n_left = by_rows ? self->rows.n : 1,
	};
	int code;

	grid.text = cairn_alloc(grid.n_rows * grid.n_columns, sizeof(*grid.text));
	if (!grid.text)
		return gpt_no_memory(&self->work, "the table");
	code = by_rows ? fill_by_rows(self, &grid) : fill_by_values(self, &grid);
	if (!code) {
		if (*self->params->title)
			cairn_text_printf(out, "%s\n\n", self->params->title);
		add_grid(out, &grid);
		add_note(self, out);
	}
	for (size_t i = 0; i < grid.n_rows * grid.n_columns; i++)
		free(grid.text[i]);
	free(grid.text);
	return code;
}

/* ---- JSON ------------------------------------------------------------------------------ */

/* {"tags.model":"PPO","tags.gamma":"4"} */
static json_t *words_json(const compare_fields *fields, const char *words)
{
	json_t *json = json_object();

	for (size_t i = 0; i < fields->n; i++) {
		size_t len = strcspn(words, "\x1f");

		(void)json_object_set_new(json, fields->field[i].path, json_stringn(words, len));
		words += len + (words[len] == COMPARE_US);
	}
	return json;
}

static int add_cell(const compare_stage *self, json_t *cells, size_t row, size_t column, size_t v)
{
	const compare_field *field = &self->values.field[v];
	compare_estimate estimate;
	json_t *cell;
	int code = compare_estimate_of(&estimate, self, field, row, column, SIZE_MAX, NAN);

	if (code)
		return code;
	cell = json_pack("{s:o, s:o, s:s, s:s, s:o, s:o, s:I, s:I}", "row",
		words_json(&self->rows, self->row_list.text[row]), "column",
		words_json(&self->columns, self->column_list.text[column]), "value", field->path,
		"label", field->label, "mean", gpt_report_number(estimate.mean), "error",
		gpt_report_number(estimate.error), "reports", (json_int_t)estimate.n, "clusters",
		(json_int_t)estimate.n_clusters);
	if (!cell || json_array_append_new(cells, cell))
		return gpt_no_memory(&self->work, "the table");
	return 0;
}

int compare_table_json(const compare_stage *self, json_t **out)
{
	static const char *const errors[] = {"stderr", "deviation", "none"};
	json_t *cells = json_array();
	int code = cells ? 0 : gpt_no_memory(&self->work, "the table");

	for (size_t r = 0; r < self->row_list.n; r++)
		for (size_t c = 0; c < self->column_list.n; c++)
			for (size_t v = 0; v < self->values.n && !code; v++)
				code = add_cell(self, cells, r, c, v);
	if (code) {
		json_decref(cells);
		return code;
	}
	*out = json_pack("{s:s, s:s, s:s, s:I, s:o}", "schema", "cairn.compare/1", "title",
		self->params->title, "error", errors[self->params->error], "reports",
		(json_int_t)self->n, "cells", cells);
	return *out ? 0 : gpt_no_memory(&self->work, "the table");
}
