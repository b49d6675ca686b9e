/* SPDX-License-Identifier: Apache-2.0 */
/* eval_report.c - the findings: numbers, samples, and a block to read. */
#include <math.h>
#include <string.h>

#include "eval.h"
#include "gpt/train_report.h"

/* ---- summary --------------------------------------------------------------------------- */

static double mean(const double *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i];
	return sum / (double)n;
}

static void summarise_if(const eval_stage *self, const char *name, double value)
{
	if (isfinite(value))
		self->work.host->summary(self->work.run, name, value);
}

static void summarise(const eval_stage *self)
{
	size_t n = self->model.said.n;

	if (isfinite(self->by_labelers.rate)) {
		summarise_if(self, "win_rate", self->by_labelers.rate);
		summarise_if(self, "win_rate_low", self->by_labelers.low);
		summarise_if(self, "win_rate_high", self->by_labelers.high);
	}
	summarise_if(self, "rm_win_rate", self->by_reward.rate);
	if (self->model.reward)
		summarise_if(self, "reward", mean(self->model.reward, n));
	if (self->baseline.reward)
		summarise_if(self, "baseline_reward", mean(self->baseline.reward, n));
	summarise_if(self, "valid_loss", self->model.loss);
	summarise_if(self, "baseline_loss", self->baseline.loss);
	summarise_if(self, "kl", self->kl);
	summarise_if(self, "rm_accuracy", self->rm_accuracy.share);
}

/* ---- report.json ----------------------------------------------------------------------- */

static int set(json_t *json, const char *name, double value)
{
	return json_object_set_new(json, name, gpt_report_number(value));
}

static json_t *wins_json(const eval_wins *wins)
{
	json_t *json = json_object();
	int bad = !json;

	if (!isfinite(wins->rate)) {
		json_decref(json);
		return json_null();
	}
	bad |= set(json, "win_rate", wins->rate);
	bad |= set(json, "win_rate_low", wins->low);
	bad |= set(json, "win_rate_high", wins->high);
	bad |= set(json, "judgments", wins->n_judgments);
	bad |= set(json, "ties", wins->n_ties);
	if (bad) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static json_t *side_json(const eval_side *side)
{
	json_t *json = json_object();
	int bad = !json;
	double n = (double)side->said.n;

	if (!side->model) {
		json_decref(json);
		return json_null();
	}
	bad |= set(json, "loss", side->loss);
	bad |= set(json, "response_length", (double)gpt_completions_tokens(&side->said) / n);
	bad |= set(json, "eos_rate", (double)gpt_completions_ended(&side->said) / n);
	if (side->utility)
		bad |= set(json, "utility", mean(side->utility, side->said.n));
	if (side->reward)
		bad |= set(json, "reward", mean(side->reward, side->said.n));
	if (bad) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static json_t *report_json(const eval_stage *self)
{
	json_t *json = json_object();
	int bad = !json;

	bad |= json_object_set_new(json, "schema", json_string("cairn.eval-report/1"));
	bad |= json_object_set_new(json, "tags", gpt_tags_json(self->params->tags));
	bad |= json_object_set_new(json, "judge", gpt_json_string(self->params->judge));
	bad |= json_object_set_new(json, "utility", gpt_json_string(self->params->utility));
	bad |= json_object_set_new(json, "labelers", json_integer((json_int_t)self->n_labelers));
	bad |= set(json, "noise", self->params->noise);
	bad |= json_object_set_new(json, "prompts", json_integer((json_int_t)self->n_prompts));
	bad |= json_object_set_new(json, "K", json_integer((json_int_t)self->params->K));
	bad |= json_object_set_new(json, "by_labelers", wins_json(&self->by_labelers));
	bad |= json_object_set_new(json, "by_reward_model", wins_json(&self->by_reward));
	bad |= json_object_set_new(json, "model", side_json(&self->model));
	bad |= json_object_set_new(json, "baseline", side_json(&self->baseline));
	bad |= set(json, "kl", self->kl);
	bad |= set(json, "kl_stderr", self->kl_stderr);
	bad |= set(json, "rm_accuracy", self->rm_accuracy.share);
	bad |= set(json, "rm_accuracy_low", self->rm_accuracy.low);
	bad |= set(json, "rm_accuracy_high", self->rm_accuracy.high);
	bad |= set(json, "rm_pairs", self->rm_accuracy.n_pairs);
	if (bad) {
		json_decref(json);
		return NULL;
	}
	return json;
}

/* ---- samples.jsonl --------------------------------------------------------------------- */

static int set_side(json_t *json, const char *name, const eval_side *side, size_t i)
{
	json_t *object = json_object();
	int bad = !object;

	bad |= json_object_set_new(object, "text", gpt_json_string(side->text[i]));
	bad |= json_object_set_new(object, "ended", json_boolean(side->said.ended[i]));
	if (side->utility)
		bad |= set(object, "utility", side->utility[i]);
	if (side->reward)
		bad |= set(object, "reward", side->reward[i]);
	return bad | json_object_set_new(json, name, object);
}

static const char *prompt_of(const eval_stage *self, size_t i)
{
	return self->rows.rows[self->prompts.row[i / (size_t)self->params->K]].prompt;
}

static json_t *sample_json(const eval_stage *self, size_t i)
{
	json_t *json = json_object();
	int bad = !json;

	bad |= json_object_set_new(json, "prompt", gpt_json_string(prompt_of(self, i)));
	bad |= set_side(json, "model", &self->model, i);
	if (self->baseline.model)
		bad |= set_side(json, "baseline", &self->baseline, i);
	if (self->by_labelers.share)
		bad |= set(json, "won_by_labelers", self->by_labelers.share[i]);
	if (self->by_reward.share)
		bad |= set(json, "won_by_reward_model", self->by_reward.share[i]);
	if (bad) {
		json_decref(json);
		return NULL;
	}
	return json;
}

/* ---- highlight.txt --------------------------------------------------------------------- */

#define SHOWN_BYTES 240

/* One line of a text: white space runs become one blank, cut at a character's border. */
static void one_line(cairn_text *out, const char *text)
{
	size_t n = 0;
	bool blank = false;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c <= ' ') {
			blank = n > 0;
			continue;
		}
		if (n >= SHOWN_BYTES && (c & 0xc0) != 0x80) {
			cairn_text_add(out, " ...");
			break;
		}
		if (blank)
			cairn_text_add_char(out, ' ');
		blank = false;
		cairn_text_add_char(out, (char)c);
		n++;
	}
	cairn_text_add_char(out, '\n');
}

static void wins_text(cairn_text *out, const eval_stage *self, const eval_wins *wins)
{
	cairn_text_printf(out, "%.1f %% [%.1f, %.1f] of %zu prompts", 100 * wins->rate,
		100 * wins->low, 100 * wins->high, self->n_prompts);
}

static void numbers_text(cairn_text *out, const eval_stage *self)
{
	double tax = self->model.loss - self->baseline.loss;

	if (isfinite(self->by_labelers.rate)) {
		cairn_text_printf(out,
			"preferred to the baseline by %zu labeler%s: ", self->n_labelers,
			self->n_labelers == 1 ? "" : "s");
		wins_text(out, self, &self->by_labelers);
		cairn_text_add_char(out, '\n');
	}
	if (isfinite(self->by_reward.rate)) {
		cairn_text_add(out, "preferred by the reward model: ");
		wins_text(out, self, &self->by_reward);
		cairn_text_add_char(out, '\n');
	}
	if (isfinite(self->model.loss))
		cairn_text_printf(
			out, "alignment tax: loss on held-out text %.3f", self->model.loss);
	if (isfinite(tax))
		cairn_text_printf(out, ", baseline %.3f (%+.3f)", self->baseline.loss, tax);
	if (isfinite(self->model.loss))
		cairn_text_add_char(out, '\n');
	if (isfinite(self->kl))
		cairn_text_printf(out, "KL from the reference: %.2f +- %.2f nats an answer\n",
			self->kl, self->kl_stderr);
	if (isfinite(self->rm_accuracy.share))
		cairn_text_printf(out,
			"reward model right on %.1f %% [%.1f, %.1f] of %.0f held-out pairs\n",
			100 * self->rm_accuracy.share, 100 * self->rm_accuracy.low,
			100 * self->rm_accuracy.high, self->rm_accuracy.n_pairs);
}

/* The first prompts, not the best ones. */
static void samples_text(cairn_text *out, const eval_stage *self)
{
	size_t n = (size_t)self->params->n_samples_shown, K = (size_t)self->params->K;

	for (size_t p = 0; p < n && p < self->n_prompts; p++) {
		cairn_text_add(out, "\nprompt  ");
		one_line(out, prompt_of(self, p * K));
		if (self->baseline.model) {
			cairn_text_add(out, "before  ");
			one_line(out, self->baseline.text[p * K]);
		}
		cairn_text_add(out, self->baseline.model ? "after   " : "answer  ");
		one_line(out, self->model.text[p * K]);
	}
}

static int put_highlight(const eval_stage *self, cairn_writer *writer)
{
	cairn_text text = {0};
	int code;

	if (*self->params->judge)
		cairn_text_printf(&text, "judge: %s\n", self->params->judge);
	numbers_text(&text, self);
	samples_text(&text, self);
	code = gpt_report_text(&self->work, writer, "highlight.txt", &text);
	cairn_text_free(&text);
	return code;
}

int eval_report(eval_stage *self)
{
	const gpt_work *work = &self->work;
	cairn_writer *writer = NULL;
	cairn_text samples = {0};
	int code = work->host->output_begin(work->run, "report", &writer);

	summarise(self);
	for (size_t i = 0; i < self->model.said.n; i++)
		gpt_report_line(&samples, sample_json(self, i));
	if (!code)
		code = gpt_report_json(work, writer, "report.json", report_json(self));
	if (!code)
		code = gpt_report_text(work, writer, "samples.jsonl", &samples);
	if (!code)
		code = put_highlight(self, writer);
	if (!code)
		code = work->host->commit(writer);
	cairn_text_free(&samples);
	return code;
}
