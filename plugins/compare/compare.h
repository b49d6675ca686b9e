/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare.h - many reports as one table and one plot.
 *
 * Reads in this order: compare.c (parameters), compare_fields.c (what is looked at),
 * compare_run.c (reports, and means over them), compare_table.c, compare_plot.c.
 */
#ifndef CAIRN_COMPARE_H
#define CAIRN_COMPARE_H

#include "gpt/train_report.h"

#define COMPARE_MAX_FIELDS 16

enum compare_error {
	COMPARE_STDERR = 0,
	COMPARE_DEVIATION = 1,
	COMPARE_NONE = 2,
};

enum compare_scale {
	COMPARE_LINEAR = 0,
	COMPARE_LOG = 1,
	COMPARE_EVEN = 2, /* values side by side, whatever lies between them */
};

typedef struct compare_params {
	const char *title;
	const char *rows, *columns, *values, *cluster;
	int32_t error; /* enum compare_error */
	int64_t digits;
	const char *x, *series;
	int32_t x_scale; /* enum compare_scale */
} compare_params;

/* "PATH as LABEL": a path of keys, joined by dots, into a report.json. */
typedef struct compare_field {
	char *path, *label;
	bool is_percent; /* the label ends with '%': shown times 100 */
} compare_field;

typedef struct compare_fields {
	compare_field field[COMPARE_MAX_FIELDS];
	size_t n;
} compare_fields;

/* A report, and its place in table and plot. */
typedef struct compare_report {
	json_t *json;
	const char *source;
	size_t row, column, cluster, series; /* indices into the lists below */
	double x;                            /* NAN where the report has none */
} compare_report;

#define COMPARE_US '\x1f' /* between the words of several fields */

/* Different texts in the order of their first appearance; of several fields, joined by US. */
typedef struct compare_list {
	char **text;
	size_t n, cap;
} compare_list;

typedef struct compare_stage {
	gpt_work work;
	const compare_params *params;
	compare_fields rows, columns, values, cluster, x, series;
	compare_report *reports;
	size_t n;
	compare_list row_list, column_list, cluster_list, series_list;
} compare_stage;

/* The mean over some reports; NANs where none has the value. */
typedef struct compare_estimate {
	double mean, error;
	size_t n, n_clusters;
} compare_estimate;

int compare_check(const void *params, cairn_error *err);
int compare_run(const cairn_host *host, cairn_run *run, const void *params);

/* compare_fields.c. `name` is the parameter's, for messages; at most `most` fields. */
CAIRN_MUST int compare_fields_parse(
	compare_fields *out, const char *name, const char *text, size_t most, cairn_error *err);
void compare_fields_free(compare_fields *fields);
/* Borrowed; NULL where there is no such field, or it is null. */
const json_t *compare_look_up(const json_t *json, const char *path);
/* A value as a word: strings as they are, "-" for none. */
void compare_add_word(cairn_text *out, const json_t *value);
/* All paths of a report that lead to no object and no list, each after a blank. */
void compare_add_paths(cairn_text *out, json_t *json);

/* compare_run.c. Over the reports of row, column and series (SIZE_MAX: any) and x (NAN: any,
 * INFINITY: those that have none). */
CAIRN_MUST int compare_estimate_of(compare_estimate *out, const compare_stage *self,
	const compare_field *value, size_t row, size_t column, size_t series, double x);

/* compare_table.c */
CAIRN_MUST int compare_table_text(const compare_stage *self, cairn_text *out);
CAIRN_MUST int compare_table_json(const compare_stage *self, json_t **out);
/* A field's number as the table shows it. */
void compare_add_number(
	const compare_stage *self, cairn_text *out, const compare_field *field, double value);

/* compare_plot.c: an SVG document. */
CAIRN_MUST int compare_plot(const compare_stage *self, cairn_text *out);

#endif
