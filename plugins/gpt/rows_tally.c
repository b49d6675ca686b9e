/* SPDX-License-Identifier: Apache-2.0 */
/* rows_tally.c - what was read, for people and for programs. */
#include <inttypes.h>
#include <math.h>

#include "base/alloc.h"
#include "gpt/rows_read.h"

/* A row of Table 9. */
struct summary {
	double mean, std, min, q25, q50, q75, max;
};

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Between two neighbours in proportion, as numpy and pandas have it. */
static double quantile(const uint32_t *sorted, size_t n, double q)
{
	double place = q * (double)(n - 1);
	size_t below = (size_t)place;

	if (below + 1 >= n)
		return sorted[n - 1];
	return sorted[below] +
	       (place - (double)below) * ((double)sorted[below + 1] - (double)sorted[below]);
}

/* Of n > 0 texts; the standard deviation of a sample. false without memory. */
static bool summarize(const gpt_lengths *lengths, struct summary *out)
{
	size_t n = lengths->n;
	uint32_t *sorted = cairn_alloc(n, sizeof(*sorted));
	double sum = 0, square = 0;

	if (!sorted)
		return false;
	for (size_t i = 0; i < n; i++) {
		sorted[i] = lengths->characters[i];
		sum += sorted[i];
	}
	qsort(sorted, n, sizeof(*sorted), by_size);
	out->mean = sum / (double)n;
	for (size_t i = 0; i < n; i++)
		square += (sorted[i] - out->mean) * (sorted[i] - out->mean);
	out->std = n > 1 ? sqrt(square / (double)(n - 1)) : 0;
	out->min = sorted[0];
	out->q25 = quantile(sorted, n, 0.25);
	out->q50 = quantile(sorted, n, 0.5);
	out->q75 = quantile(sorted, n, 0.75);
	out->max = sorted[n - 1];
	free(sorted);
	return true;
}

static void print_lengths(const char *what, const gpt_lengths *lengths, cairn_text *out)
{
	struct summary s;

	if (!lengths->n)
		return;
	if (!summarize(lengths, &s)) {
		out->failed = true;
		return;
	}
	cairn_text_printf(out, "    %-11s %7.0f %7.0f %7.0f %7.0f %7.0f %7.0f %7.0f\n", what,
		s.mean, s.std, s.min, s.q25, s.q50, s.q75, s.max);
}

void gpt_tally_print(const gpt_tally *tally, cairn_text *out)
{
	for (size_t i = 0; i < tally->n_files; i++) {
		const gpt_file_tally *f = &tally->files[i];

		cairn_text_printf(out,
			"  file %zu: shape %s, %" PRIu64 " record%s, %" PRIu64 " row%s, %" PRIu64
			" bad\n",
			i + 1, f->shape == GPT_SHAPE_AUTO ? "unknown" : gpt_shape_names[f->shape],
			f->records, f->records == 1 ? "" : "s", f->rows, f->rows == 1 ? "" : "s",
			f->bad);
	}
	gpt_bad_rows_print(&tally->bad, out);
	if (!tally->prompts.n)
		return;
	cairn_text_add(out, "  characters       mean     std     min     25%     50%     75%     "
			    "max\n");
	print_lengths("prompts", &tally->prompts, out);
	print_lengths("completions", &tally->completions, out);
}

/* NULL without memory; an empty object where there are no texts. */
static json_t *lengths_json(const gpt_lengths *lengths)
{
	struct summary s;

	if (!lengths->n)
		return json_object();
	if (!summarize(lengths, &s))
		return NULL;
	return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "n", (json_int_t)lengths->n,
		"mean", s.mean, "std", s.std, "min", s.min, "25%", s.q25, "50%", s.q50, "75%",
		s.q75, "max", s.max);
}

static json_t *files_json(const gpt_tally *tally)
{
	json_t *list = json_array();
	int rc = 0;

	for (size_t i = 0; i < tally->n_files; i++) {
		const gpt_file_tally *f = &tally->files[i];

		rc |= json_array_append_new(list,
			json_pack("{s:s, s:I, s:I, s:I}", "shape",
				f->shape == GPT_SHAPE_AUTO ? "unknown" : gpt_shape_names[f->shape],
				"records", (json_int_t)f->records, "rows", (json_int_t)f->rows,
				"bad", (json_int_t)f->bad));
	}
	if (!rc)
		return list;
	json_decref(list);
	return NULL;
}

int gpt_tally_json(const gpt_tally *tally, json_t *object)
{
	int rc = 0;

	rc |= json_object_set_new(object, "files", files_json(tally));
	rc |= json_object_set_new(object, "bad_rows", gpt_bad_rows_json(&tally->bad));
	rc |= json_object_set_new(object, "prompt_characters", lengths_json(&tally->prompts));
	rc |= json_object_set_new(
		object, "completion_characters", lengths_json(&tally->completions));
	return rc ? CAIRN_ENOMEM : 0;
}
