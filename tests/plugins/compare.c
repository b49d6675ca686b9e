/* SPDX-License-Identifier: Apache-2.0 */
/* compare.c - unit tests of the compare stage: tables against sums by hand. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fakehost.h"

static void add(struct fakehost *host, const char *json)
{
	struct fake_artifact *report = fakehost_input(host, "reports", "report", "eval@x:report");

	fake_add(report, "report.json", CAIRN_U8, 0, NULL, json, strlen(json));
}

/* Three folds of two seeds. Means of the folds: 0.70, 0.72, 0.77. */
static struct fakehost *make(void)
{
	static const double accuracy[] = {0.69, 0.71, 0.72, 0.72, 0.75, 0.79};
	struct fakehost *host = fakehost_new("compare");

	for (int i = 0; i < 6; i++) {
		char json[256];

		(void)snprintf(json, sizeof(json),
			"{\"accuracy\":%.2f,\"accuracy_others\":%.2f,\"tags\":{\"fold\":%d,"
			"\"seed\":%d}}",
			accuracy[i], accuracy[i] - 0.1, i / 2, i % 2);
		add(host, json);
	}
	fakehost_param(host, "values=accuracy as training groups %, "
			     "accuracy_others as held-out group %");
	return host;
}

static json_t *table(const struct fakehost *host)
{
	json_t *json =
		json_loads(fake_text(fakehost_output(host, "report"), "table.json"), 0, NULL);

	assert_non_null(json);
	return json;
}

static double cell(const struct fakehost *host, size_t i, const char *name)
{
	json_t *json = table(host);
	const json_t *number =
		json_object_get(json_array_get(json_object_get(json, "cells"), i), name);
	double value = json_is_number(number) ? json_number_value(number) : NAN;

	json_decref(json);
	return value;
}

static const char *text(const struct fakehost *host)
{
	return fake_text(fakehost_output(host, "report"), "table.txt");
}

static void test_compare__mean_and_standard_error(void **state)
{
	struct fakehost *host = make();

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fabs(cell(host, 0, "mean") - 0.73) < 1e-12);
	/* Squares of .04 .02 .01 .01 .02 .06: 62e-4; over 5, over 6. */
	assert_true(fabs(cell(host, 0, "error") - sqrt(62e-4 / 5 / 6)) < 1e-12);
	assert_true(cell(host, 0, "reports") == 6);
	assert_string_equal(text(host), "training groups %   73.0 +- 1.4\n"
					"held-out group %    63.0 +- 1.4\n"
					"\n"
					"6 reports; +- is the standard error over reports\n");
	assert_string_equal(
		text(host), fake_text(fakehost_output(host, "report"), "highlight.txt"));
	fakehost_param(host, "error=deviation");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fabs(cell(host, 0, "error") - sqrt(62e-4 / 5)) < 1e-12);
	fakehost_param(host, "error=none");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(isnan(cell(host, 0, "error")));
	assert_null(strstr(text(host), "+-"));
	fakehost_free(host);
}

/* Seeds of one fold are averaged first: three means, .70 .72 .77 around .73. */
static void test_compare__averages_clusters_first(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_param(host, "cluster=tags.fold as fold");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fabs(cell(host, 0, "mean") - 0.73) < 1e-12);
	assert_true(fabs(cell(host, 0, "error") - sqrt((9e-4 + 1e-4 + 16e-4) / 2 / 3)) < 1e-12);
	assert_true(cell(host, 0, "clusters") == 3);
	assert_non_null(strstr(text(host), "6 reports in 3 clusters by fold"));
	fakehost_free(host);
}

static void test_compare__rows_and_columns_stand_in_order(void **state)
{
	struct fakehost *host = fakehost_new("compare");

	(void)state;
	add(host,
		"{\"tags\":{\"model\":\"SFT\"},\"loss\":2.5,\"by\":{\"rate\":null},\"of\":\"a\"}");
	add(host, "{\"tags\":{\"model\":\"PPO\",\"gamma\":0},\"loss\":3,\"by\":{\"rate\":0.75},"
		  "\"of\":\"a\"}");
	add(host, "{\"tags\":{\"model\":\"PPO\",\"gamma\":27.8},\"loss\":2,\"by\":{\"rate\":0.5},"
		  "\"of\":\"a\"}");
	fakehost_param(host, "title=Alignment tax");
	fakehost_param(host, "rows=tags.model as model, tags.gamma as gamma");
	fakehost_param(host, "values=loss, by.rate as win rate %");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_string_equal(text(host), "Alignment tax\n"
					"\n"
					"model   gamma    loss   win rate %\n"
					"SFT     -       2.500            -\n"
					"PPO     0       3.000         75.0\n"
					"PPO     27.8    2.000         50.0\n"
					"\n"
					"3 reports; +- is the standard error over reports\n");
	fakehost_param(host, "title=");
	fakehost_param(host, "rows=of");
	fakehost_param(host, "columns=tags.gamma");
	fakehost_param(host, "values=loss");
	fakehost_param(host, "digits=1");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_string_equal(text(host), "of   - loss   0 loss   27.8 loss\n"
					"a       2.5      3.0         2.0\n"
					"\n"
					"3 reports; +- is the standard error over reports\n");
	fakehost_free(host);
}

static void test_compare__names_a_slip(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_param(host, "values=acuracy");
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_non_null(strstr(fakehost_error(host)->message, "'acuracy'"));
	assert_non_null(
		strstr(fakehost_error(host)->hint, "accuracy accuracy_others tags.fold tags.seed"));
	fakehost_param(host, "values=tags");
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_non_null(strstr(fakehost_error(host)->message, "no number"));
	fakehost_param(host, "values=two words");
	assert_int_equal(fakehost_run(host), CAIRN_EPARAM);
	fakehost_param(host, "values= , ");
	assert_int_equal(fakehost_run(host), CAIRN_EPARAM);
	fakehost_param(host, "values=accuracy");
	fakehost_param(host, "columns=a, b");
	assert_int_equal(fakehost_run(host), CAIRN_EPARAM);
	assert_non_null(strstr(fakehost_error(host)->message, "'columns'"));
	fakehost_param(host, "columns=");
	fakehost_param(host, "x=tags.seed");
	fakehost_param(host, "x_scale=log");
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_non_null(strstr(fakehost_error(host)->message, "logarithmic"));
	fakehost_free(host);
}

static size_t count(const char *where, const char *what)
{
	size_t n = 0;

	for (where = strstr(where, what); where; where = strstr(where + 1, what))
		n++;
	return n;
}

static struct fakehost *make_plot(void)
{
	struct fakehost *host = fakehost_new("compare");

	add(host, "{\"tags\":{\"model\":\"SFT <&\\\"'\\u0007>\"},\"loss\":2.5}");
	for (int gamma = 0; gamma < 3; gamma++)
		for (int seed = 0; seed < 2; seed++) {
			char json[256];

			(void)snprintf(json, sizeof(json),
				"{\"tags\":{\"model\":\"PPO-ptx\",\"gamma\":%d},\"loss\":%d.%d}",
				gamma * gamma, 3 - gamma, seed);
			add(host, json);
		}
	fakehost_param(host, "values=loss as held-out loss");
	fakehost_param(host, "x=tags.gamma as gamma & more");
	fakehost_param(host, "series=tags.model");
	return host;
}

static void test_compare__plots_lines_with_errors(void **state)
{
	struct fakehost *host = make_plot();
	const char *svg, *line;
	double x[3], y[3];

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	svg = fake_text(fakehost_output(host, "report"), "plot.svg");
	assert_int_equal(strncmp(svg, "<svg xmlns=", 11), 0);
	assert_int_equal(count(svg, "<circle"), 3);
	assert_int_equal(count(svg, "<polyline"), 1);
	/* The bar of each point, in the colour of its series. */
	assert_int_equal(count(svg, "stroke=\"#d55e00\"/>"), 3);
	/* SFT has no gamma: a level line, and in the legend. */
	assert_int_equal(count(svg, "stroke=\"#0072b2\""), 2);
	assert_non_null(strstr(svg, "SFT &lt;&amp;&quot;&#39; &gt;</text>"));
	assert_non_null(strstr(svg, "gamma &amp; more</text>"));
	assert_non_null(strstr(svg, "held-out loss</text>"));
	line = strstr(svg, "<polyline points=\"") + strlen("<polyline points=\"");
	assert_int_equal(
		sscanf(line, "%lf,%lf %lf,%lf %lf,%lf", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2]),
		6);
	/* Gamma 0, 1, 4; losses fall by 1, downwards on the page. */
	assert_true(fabs((x[2] - x[0]) - 4 * (x[1] - x[0])) < 0.05);
	assert_true(y[1] > y[0] && fabs((y[1] - y[0]) - (y[2] - y[1])) < 0.05);

	fakehost_param(host, "x_scale=even");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	svg = fake_text(fakehost_output(host, "report"), "plot.svg");
	line = strstr(svg, "<polyline points=\"") + strlen("<polyline points=\"");
	assert_int_equal(
		sscanf(line, "%lf,%lf %lf,%lf %lf,%lf", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2]),
		6);
	assert_true(fabs((x[2] - x[1]) - (x[1] - x[0])) < 0.05);
	fakehost_free(host);
}

/* One value everywhere, one x: nothing to divide by. */
static void test_compare__plots_a_single_point(void **state)
{
	static const char *const scales[] = {"x_scale=linear", "x_scale=log", "x_scale=even"};
	static const char *const reports[] = {"{\"x\":1,\"y\":0}", "{\"x\":1e9,\"y\":-5e-5}"};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(scales); i++)
		for (size_t r = 0; r < CAIRN_COUNT(reports); r++) {
			struct fakehost *host = fakehost_new("compare");
			const char *svg;

			add(host, reports[r]);
			fakehost_param(host, "values=y");
			fakehost_param(host, "x=x");
			fakehost_param(host, scales[i]);
			assert_int_equal(fakehost_run(host), CAIRN_DONE);
			svg = fake_text(fakehost_output(host, "report"), "plot.svg");
			assert_int_equal(count(svg, "<circle"), 1);
			assert_null(strstr(svg, "nan"));
			assert_null(strstr(svg, "inf"));
			fakehost_free(host);
		}
}

static void test_compare__same_reports_same_bytes(void **state)
{
	struct fakehost *one = make_plot(), *other = make_plot();

	(void)state;
	assert_int_equal(fakehost_run(one), CAIRN_DONE);
	assert_int_equal(fakehost_run(other), CAIRN_DONE);
	fake_assert_equal(fakehost_output(one, "report"), fakehost_output(other, "report"));
	fakehost_free(other);
	fakehost_free(one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare__mean_and_standard_error),
		cmocka_unit_test(test_compare__averages_clusters_first),
		cmocka_unit_test(test_compare__rows_and_columns_stand_in_order),
		cmocka_unit_test(test_compare__names_a_slip),
		cmocka_unit_test(test_compare__plots_lines_with_errors),
		cmocka_unit_test(test_compare__plots_a_single_point),
		cmocka_unit_test(test_compare__same_reports_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
