/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare_plot.c - the plot: an SVG document, one panel for each value, one line for each
 * series, error bars where there are replicas. Text is escaped, numbers have two decimals, and
 * nothing depends on the machine: the same reports give the same bytes.
 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "compare.h"

#define WIDTH        720.0
#define LEFT         80.0
#define RIGHT        20.0
#define PANEL        210.0 /* height of a panel's axes */
#define GAP          56.0  /* below a panel: ticks and label */
#define LINE         18.0  /* of the legend */
#define MAX_TICKS    12
#define N_COLOURS    CAIRN_COUNT(colours)
#define TICK_LETTERS 24

/* Distinguishable for colour-blind eyes (Okabe and Ito); dashes help on paper. */
static const char *const colours[] = {
	"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};
static const char *const dashes[] = {"", "6 3", "2 3", "8 3 2 3"};

struct axis {
	double least, most;
	double pixel_least, pixel_most;
	bool is_log;
	const double *even; /* values at equal distances, or NULL */
	size_t n_even;
};

struct plot {
	const compare_stage *self;
	cairn_text *out;
	double *x; /* different values, ascending */
	size_t n_x;
	struct axis x_axis;
};

/* ---- text ------------------------------------------------------------------------------ */

/* XML's five characters are escaped; control characters, which XML cannot hold, become blanks. */
static void add_escaped(cairn_text *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			cairn_text_add(out, "&amp;");
			break;
		case '<':
			cairn_text_add(out, "&lt;");
			break;
		case '>':
			cairn_text_add(out, "&gt;");
			break;
		case '"':
			cairn_text_add(out, "&quot;");
			break;
		case '\'':
			cairn_text_add(out, "&#39;");
			break;
		default:
			cairn_text_add_char(
				out, (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text);
		}
	}
}

static void add_label(struct plot *plot, double x, double y, const char *anchor, const char *more,
	const char *text)
{
	cairn_text_printf(
		plot->out, "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"%s\"%s>", x, y, anchor, more);
	add_escaped(plot->out, text);
	cairn_text_add(plot->out, "</text>\n");
}

static void add_line(
	struct plot *plot, double x1, double y1, double x2, double y2, const char *style)
{
	cairn_text_printf(plot->out, "<line x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\" %s/>\n",
		x1, y1, x2, y2, style);
}

/* ---- axes ------------------------------------------------------------------------------ */

static double pixel(const struct axis *axis, double value)
{
	double share = 0.5;

	if (axis->even) {
		for (size_t i = 0; i < axis->n_even; i++)
			if (axis->even[i] == value)
				share = ((double)i + 0.5) / (double)axis->n_even;
	} else if (axis->most > axis->least) {
		share = axis->is_log ? log(value / axis->least) / log(axis->most / axis->least)
				     : (value - axis->least) / (axis->most - axis->least);
	}
	return axis->pixel_least + share * (axis->pixel_most - axis->pixel_least);
}

/* The largest of 1, 2, 5 times a power of ten that gives at least four steps. */
static double step_of(double span)
{
	double power = pow(10, floor(log10(span / 4)));

	if (power * 5 <= span / 4)
		return power * 5;
	return power * 2 <= span / 4 ? power * 2 : power;
}

/* Values to be written at an axis; their number. */
static size_t ticks_of(const struct axis *axis, double ticks[MAX_TICKS])
{
	size_t n = 0;
	double step;

	if (axis->even) {
		/* Where there are too many, every second, third, ... */
		size_t every = (axis->n_even + MAX_TICKS - 1) / MAX_TICKS;

		for (size_t i = 0; i < axis->n_even; i += every)
			ticks[n++] = axis->even[i];
		return n;
	}
	if (axis->is_log) {
		double every = ceil(log10(axis->most / axis->least) / (MAX_TICKS - 2));

		step = pow(10, every < 1 ? 1 : every);
		for (double at = pow(10, ceil(log10(axis->least) - 1e-9));
			at <= axis->most * (1 + 1e-9) && n < MAX_TICKS; at *= step)
			ticks[n++] = at;
		return n;
	}
	step = step_of(axis->most - axis->least);
	for (double at = ceil(axis->least / step - 1e-9);
		at * step <= axis->most + 1e-9 * step && n < MAX_TICKS; at++)
		ticks[n++] = at * step;
	return n;
}

static void format_tick(char out[TICK_LETTERS], double value)
{
	/* A zero that a multiple of the step came out as -0 or 1e-17. */
	(void)snprintf(out, TICK_LETTERS, "%.6g", fabs(value) < 1e-12 ? 0.0 : value);
}

static void add_x_axis(struct plot *plot, double y, const char *label)
{
	double ticks[MAX_TICKS];
	size_t n = ticks_of(&plot->x_axis, ticks);
	char text[TICK_LETTERS];

	add_line(plot, LEFT, y, WIDTH - RIGHT, y, "stroke=\"#333\"");
	for (size_t i = 0; i < n; i++) {
		double x = pixel(&plot->x_axis, ticks[i]);

		format_tick(text, ticks[i]);
		add_line(plot, x, y, x, y + 5, "stroke=\"#333\"");
		add_label(plot, x, y + 18, "middle", "", text);
	}
	add_label(plot, (LEFT + WIDTH - RIGHT) / 2, y + 36, "middle", "", label);
}

static void add_y_axis(struct plot *plot, const struct axis *axis, const compare_field *field)
{
	double ticks[MAX_TICKS], factor = field->is_percent ? 100 : 1;
	struct axis shown = *axis;
	char text[TICK_LETTERS], turn[64];
	double middle = (axis->pixel_least + axis->pixel_most) / 2;
	size_t n;

	shown.least *= factor;
	shown.most *= factor;
	n = ticks_of(&shown, ticks);
	for (size_t i = 0; i < n; i++) {
		double y = pixel(&shown, ticks[i]);

		format_tick(text, ticks[i]);
		add_line(plot, LEFT, y, WIDTH - RIGHT, y, "stroke=\"#ddd\"");
		add_label(plot, LEFT - 8, y + 4, "end", "", text);
	}
	add_line(plot, LEFT, axis->pixel_least, LEFT, axis->pixel_most, "stroke=\"#333\"");
	(void)snprintf(turn, sizeof(turn), " transform=\"rotate(-90 %.2f %.2f)\"", 20.0, middle);
	add_label(plot, 20, middle, "middle", turn, field->label);
}

/* ---- lines ----------------------------------------------------------------------------- */

static const char *style_of(size_t series, bool is_level, char out[128])
{
	(void)snprintf(out, 128, "stroke=\"%s\" stroke-width=\"%s\"%s%s%s",
		colours[series % N_COLOURS], is_level ? "1.2" : "1.8",
		*dashes[(series / N_COLOURS + is_level) % CAIRN_COUNT(dashes)]
			? " stroke-dasharray=\""
			: "",
		dashes[(series / N_COLOURS + is_level) % CAIRN_COUNT(dashes)],
		*dashes[(series / N_COLOURS + is_level) % CAIRN_COUNT(dashes)] ? "\"" : "");
	return out;
}

/* Has a series reports with an x, or without? */
static bool has_points(const compare_stage *self, size_t series, bool with_x)
{
	for (size_t r = 0; r < self->n; r++)
		if (self->reports[r].series == series && isfinite(self->reports[r].x) == with_x)
			return true;
	return false;
}

/* Mean over those reports of a series that have no x. */
static int level_of(
	compare_estimate *out, const compare_stage *self, const compare_field *field, size_t series)
{
	return compare_estimate_of(out, self, field, SIZE_MAX, SIZE_MAX, series, INFINITY);
}

static void widen(struct axis *axis, const compare_estimate *estimate)
{
	double error = isfinite(estimate->error) ? estimate->error : 0;

	if (!isfinite(estimate->mean))
		return;
	axis->least = fmin(axis->least, estimate->mean - error);
	axis->most = fmax(axis->most, estimate->mean + error);
}

/* From the least to the greatest of what is drawn, and a little more. */
static int find_range(struct plot *plot, const compare_field *field, struct axis *axis)
{
	const compare_stage *self = plot->self;
	compare_estimate estimate;
	double margin;
	int code = 0;

	axis->least = INFINITY;
	axis->most = -INFINITY;
	for (size_t s = 0; s < self->series_list.n && !code; s++) {
		for (size_t i = 0; i < plot->n_x && !code; i++) {
			code = compare_estimate_of(
				&estimate, self, field, SIZE_MAX, SIZE_MAX, s, plot->x[i]);
			if (!code)
				widen(axis, &estimate);
		}
		if (!code)
			code = level_of(&estimate, self, field, s);
		if (!code)
			widen(axis, &estimate);
	}
	if (code)
		return code;
	if (axis->most < axis->least)
		axis->least = axis->most = 0;
	margin = 0.06 * (axis->most - axis->least);
	if (margin <= 0)
		margin = axis->least == 0 ? 1 : 0.1 * fabs(axis->least);
	axis->least -= margin;
	axis->most += margin;
	return 0;
}

static void add_point(struct plot *plot, const struct axis *axis, double x,
	const compare_estimate *estimate, size_t series)
{
	double y = pixel(axis, estimate->mean);
	char style[128];

	cairn_text_printf(plot->out, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"3.5\" fill=\"%s\"/>\n", x,
		y, colours[series % N_COLOURS]);
	if (!isfinite(estimate->error))
		return;
	(void)snprintf(style, sizeof(style), "stroke=\"%s\"", colours[series % N_COLOURS]);
	add_line(plot, x, pixel(axis, estimate->mean - estimate->error), x,
		pixel(axis, estimate->mean + estimate->error), style);
}

static int add_series(
	struct plot *plot, const struct axis *axis, const compare_field *field, size_t series)
{
	const compare_stage *self = plot->self;
	cairn_text points = {0};
	compare_estimate estimate;
	char style[128];
	int code = 0;

	for (size_t i = 0; i < plot->n_x && !code; i++) {
		double x = pixel(&plot->x_axis, plot->x[i]);

		code = compare_estimate_of(
			&estimate, self, field, SIZE_MAX, SIZE_MAX, series, plot->x[i]);
		if (code || !isfinite(estimate.mean))
			continue;
		cairn_text_printf(&points, "%s%.2f,%.2f", points.len > 0 ? " " : "", x,
			pixel(axis, estimate.mean));
		add_point(plot, axis, x, &estimate, series);
	}
	if (points.len > 0)
		cairn_text_printf(plot->out, "<polyline points=\"%s\" fill=\"none\" %s/>\n",
			cairn_text_get(&points), style_of(series, false, style));
	if (points.failed)
		plot->out->failed = true;
	cairn_text_free(&points);
	if (!code)
		code = level_of(&estimate, self, field, series);
	if (!code && isfinite(estimate.mean))
		add_line(plot, LEFT, pixel(axis, estimate.mean), WIDTH - RIGHT,
			pixel(axis, estimate.mean), style_of(series, true, style));
	return code;
}

static int add_panel(struct plot *plot, const compare_field *field, double top)
{
	const compare_stage *self = plot->self;
	struct axis axis = {.pixel_least = top + PANEL, .pixel_most = top};
	int code = find_range(plot, field, &axis);

	if (code)
		return code;
	add_y_axis(plot, &axis, field);
	add_x_axis(plot, top + PANEL, self->x.field[0].label);
	for (size_t s = 0; s < self->series_list.n && !code; s++)
		code = add_series(plot, &axis, field, s);
	return code;
}

static void add_legend(struct plot *plot, double top)
{
	const compare_stage *self = plot->self;
	char style[128];

	for (size_t s = 0; s < self->series_list.n && self->series.n > 0; s++) {
		double y = top + LINE * (double)s;

		add_line(plot, LEFT, y, LEFT + 30, y,
			style_of(s, !has_points(self, s, true), style));
		add_label(plot, LEFT + 38, y + 4, "start", "", self->series_list.text[s]);
	}
}

/* ---- document -------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int find_x(struct plot *plot)
{
	const compare_stage *self = plot->self;
	size_t n = 0;

	plot->x = cairn_alloc(self->n, sizeof(*plot->x));
	if (!plot->x)
		return gpt_no_memory(&self->work, "the plot");
	for (size_t r = 0; r < self->n; r++)
		if (isfinite(self->reports[r].x))
			plot->x[n++] = self->reports[r].x;
	qsort(plot->x, n, sizeof(*plot->x), by_value);
	for (size_t i = 0; i < n; i++)
		if (plot->n_x == 0 || plot->x[i] != plot->x[plot->n_x - 1])
			plot->x[plot->n_x++] = plot->x[i];
	plot->x_axis = (struct axis){
		.least = plot->x[0],
		.most = plot->x[plot->n_x > 0 ? plot->n_x - 1 : 0],
		.pixel_least = LEFT + 12,
		.pixel_most = WIDTH - RIGHT - 12,
		.is_log = self->params->x_scale == COMPARE_LOG,
		.even = self->params->x_scale == COMPARE_EVEN ? plot->x : NULL,
		.n_even = plot->n_x,
	};
	return 0;
}

int compare_plot(const compare_stage *self, cairn_text *out)
{
	struct plot plot = {.self = self, .out = out};
	double top = *self->params->title ? 44 : 20, height;
	double legend = self->series.n > 0 ? LINE * (double)self->series_list.n : 0;
	int code = find_x(&plot);

	height = top + (PANEL + GAP) * (double)self->values.n + legend;
	cairn_text_printf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
		"viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
		WIDTH, height, WIDTH, height);
	if (*self->params->title)
		add_label(&plot, WIDTH / 2, 24, "middle", " font-size=\"15\"", self->params->title);
	for (size_t v = 0; v < self->values.n && !code; v++)
		code = add_panel(&plot, &self->values.field[v], top + (PANEL + GAP) * (double)v);
	add_legend(&plot, top + (PANEL + GAP) * (double)self->values.n);
	cairn_text_add(out, "</svg>\n");
	free(plot.x);
	return code;
}
