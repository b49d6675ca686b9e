/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rm_report.c - how good the reward model is: accuracy on held-out pairs, against the
 * baseline that labelers just like the longer completion; and its normalisation.
 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/rlhf.h"
#include "gpt/train_lm.h"
#include "gpt/train_report.h"
#include "rm.h"

int rm_measure(rm_stage *self, const rm_rankings *set, gpt_accuracy *out)
{
	double gain = self->model->reward_gain, bias = self->model->reward_bias;
	int code;

	/* The loss is about what is trained: raw scores, whatever the normalisation. */
	self->model->reward_gain = 1;
	self->model->reward_bias = 0;
	code = gpt_scores(&self->work, self->model, set->examples.seqs, set->examples.n,
		CAIRN_ACCOUNT_FORWARD, self->score);
	self->model->reward_gain = gain;
	self->model->reward_bias = bias;
	if (code)
		return code;
	return gpt_accuracy_of(out, &self->work, &set->rows, &set->examples, self->score,
		self->params->divide == 1);
}

static double characters(const char *text)
{
	double n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

int rm_measure_length(rm_stage *self, const rm_rankings *set, gpt_accuracy *out)
{
	for (size_t u = 0; u < set->n; u++) {
		size_t first = set->first[u];
		const gpt_row *row = &set->rows.rows[set->examples.row[first]];

		for (int32_t k = 0; k < row->n_completions; k++)
			self->score[first + (size_t)k] = characters(row->completions[k]);
	}
	return gpt_accuracy_of(out, &self->work, &set->rows, &set->examples, self->score, false);
}

/* ---- normalisation --------------------------------------------------------------------- */

/* PAPER 2203.02155 section 3.5: before RL a bias shifts the scores so that those of the labelers'
 * demonstrations have the mean 0. */
static void set_normalisation(rm_stage *self, const double *raw, size_t n, double *std)
{
	double mean = 0, variance = 0;

	for (size_t i = 0; i < n; i++)
		mean += raw[i];
	mean /= (double)n;
	for (size_t i = 0; i < n; i++)
		variance += (raw[i] - mean) * (raw[i] - mean);
	*std = sqrt(variance / (double)n);
	if (self->params->normalize == RM_NORMALIZE_GAIN && *std > 0)
		self->model->reward_gain = 1 / *std;
	self->model->reward_bias = -mean * self->model->reward_gain;
}

static int score_demos(rm_stage *self, const gpt_examples *demos, double *demo_mean, double *std)
{
	double *raw = cairn_alloc(demos->n, sizeof(*raw));
	int code;

	if (!raw)
		return gpt_no_memory(&self->work, "scores of demonstrations");
	self->model->reward_gain = 1;
	self->model->reward_bias = 0;
	code = gpt_scores(
		&self->work, self->model, demos->seqs, demos->n, CAIRN_ACCOUNT_FORWARD, raw);
	if (!code) {
		double sum = 0;

		set_normalisation(self, raw, demos->n, std);
		for (size_t i = 0; i < demos->n; i++)
			sum += self->model->reward_gain * raw[i] + self->model->reward_bias;
		*demo_mean = sum / (double)demos->n;
	}
	free(raw);
	return code;
}

int rm_normalise(rm_stage *self, double *demo_mean, double *demo_std)
{
	const gpt_work *work = &self->work;
	gpt_rows rows = {0};
	gpt_examples demos = {0};
	int code;

	*demo_mean = *demo_std = NAN;
	if (self->params->normalize == RM_NORMALIZE_NONE)
		return 0;
	if (!gpt_bound(work, "demos")) {
		work->host->log(work->run, CAIRN_LOG_WARNING,
			"rewards are not normalised: nothing is bound to 'demos'");
		return 0;
	}
	code = gpt_rows_load(&rows, work->host, work->run, "demos");
	if (!code)
		code = gpt_examples_make(&demos, work, &rows, self->tokenizer, &self->limits,
			GPT_EXAMPLE_DEMO, "demonstrations");
	if (!code) {
		gpt_seqs_sort(demos.seqs, demos.n);
		code = score_demos(self, &demos, demo_mean, demo_std);
	}
	gpt_examples_free(&demos);
	gpt_rows_free(&rows);
	return code;
}

/* ---- report ---------------------------------------------------------------------------- */

struct findings {
	gpt_accuracy valid, others, length;
	double demo_mean, demo_std;
};

static void summarise(const rm_stage *self, const struct findings *found)
{
	const cairn_host *host = self->work.host;
	cairn_run *run = self->work.run;

	host->summary(run, "loss", self->at.loss);
	if (self->valid.n > 0) {
		host->summary(run, "accuracy", found->valid.share);
		host->summary(run, "valid_loss", found->valid.loss);
		host->summary(run, "n_pairs", found->valid.n_pairs);
		host->summary(run, "longer_wins", found->length.share);
	}
	if (self->others.n > 0)
		host->summary(run, "accuracy_others", found->others.share);
}

/* "accuracy", "accuracy_low", "accuracy_high", and the number of pairs. */
static int add_accuracy(
	json_t *json, const char *name, const char *n_pairs, const gpt_accuracy *found)
{
	char bound[64];
	int bad = json_object_set_new(json, name, gpt_report_number(found->share));

	(void)snprintf(bound, sizeof(bound), "%s_low", name);
	bad |= json_object_set_new(json, bound, gpt_report_number(found->low));
	(void)snprintf(bound, sizeof(bound), "%s_high", name);
	bad |= json_object_set_new(json, bound, gpt_report_number(found->high));
	return bad | json_object_set_new(json, n_pairs, gpt_report_number(found->n_pairs));
}

static json_t *as_json(const rm_stage *self, const struct findings *found)
{
	json_t *json = json_object();
	int bad = !json;

	bad |= json_object_set_new(json, "schema", json_string("cairn.rm-report/1"));
	bad |= json_object_set_new(json, "tags", gpt_tags_json(self->params->tags));
	bad |= json_object_set_new(json, "group", gpt_json_string(self->params->group));
	bad |= json_object_set_new(
		json, "exclude_group", gpt_json_string(self->params->exclude_group));
	bad |= json_object_set_new(json, "pairs",
		json_string(self->params->pairs == RM_PAIRS_SHUFFLED ? "shuffled" : "together"));
	bad |= json_object_set_new(json, "epochs", json_integer(self->params->epochs));
	bad |= json_object_set_new(json, "n_rankings", json_integer((json_int_t)self->train.n));
	bad |= json_object_set_new(json, "first_loss", gpt_report_number(self->at.first_loss));
	bad |= json_object_set_new(json, "loss", gpt_report_number(self->at.loss));
	bad |= json_object_set_new(
		json, "reward_gain", gpt_report_number(self->model->reward_gain));
	bad |= json_object_set_new(
		json, "reward_bias", gpt_report_number(self->model->reward_bias));
	bad |= json_object_set_new(json, "demo_mean", gpt_report_number(found->demo_mean));
	bad |= json_object_set_new(json, "demo_std", gpt_report_number(found->demo_std));
	if (self->valid.n > 0) {
		bad |= add_accuracy(json, "accuracy", "n_pairs", &found->valid);
		bad |= json_object_set_new(
			json, "valid_loss", gpt_report_number(found->valid.loss));
		bad |= json_object_set_new(
			json, "longer_wins", gpt_report_number(found->length.share));
	}
	if (self->others.n > 0)
		bad |= add_accuracy(json, "accuracy_others", "n_pairs_others", &found->others);
	if (bad) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static void accuracy_text(cairn_text *text, const char *what, const gpt_accuracy *found)
{
	cairn_text_printf(text, "right on %.1f %% [%.1f, %.1f] of %.0f %s", 100 * found->share,
		100 * found->low, 100 * found->high, found->n_pairs, what);
}

static void as_text(const rm_stage *self, const struct findings *found, cairn_text *text)
{
	const char *group = self->params->group, *excluded = self->params->exclude_group;

	cairn_text_printf(text, "reward model%s%s: %zu rankings, loss %.3f -> %.3f\n",
		*group      ? " of "
		: *excluded ? " of all but "
			    : "",
		*group ? group : excluded, self->train.n, self->at.first_loss, self->at.loss);
	if (self->valid.n > 0) {
		accuracy_text(text, "held-out pairs", &found->valid);
		cairn_text_printf(
			text, " (\"the longer wins\": %.1f %%)\n", 100 * found->length.share);
	}
	if (self->others.n > 0) {
		accuracy_text(text,
			*excluded ? "pairs of the group left out" : "pairs of other groups",
			&found->others);
		cairn_text_add_char(text, '\n');
	}
}

static int write_report(const rm_stage *self, const struct findings *found)
{
	const gpt_work *work = &self->work;
	cairn_writer *writer = NULL;
	cairn_text text = {0};
	int code = work->host->output_begin(work->run, "report", &writer);

	as_text(self, found, &text);
	if (!code)
		code = gpt_report_json(work, writer, "report.json", as_json(self, found));
	if (!code)
		code = gpt_report_text(work, writer, "highlight.txt", &text);
	if (!code)
		code = work->host->commit(writer);
	cairn_text_free(&text);
	return code;
}

int rm_report(rm_stage *self)
{
	struct findings found = {0};
	int code = rm_normalise(self, &found.demo_mean, &found.demo_std);

	if (!code && self->valid.n > 0)
		code = rm_measure_length(self, &self->valid, &found.length);
	if (!code && self->valid.n > 0)
		code = rm_measure(self, &self->valid, &found.valid);
	if (!code && self->others.n > 0)
		code = rm_measure(self, &self->others, &found.others);
	if (code)
		return code;
	summarise(self, &found);
	return write_report(self, &found);
}
