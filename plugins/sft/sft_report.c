/* SPDX-License-Identifier: Apache-2.0 */
/* sft_report.c - the curve over epochs: numbers, a plot to read, and which epoch won. */
#include <math.h>
#include <string.h>

#include "gpt/train_report.h"
#include "sft.h"

#define BAR 40 /* characters of the longest bar */

static const char *const names[] = {"last", "loss", "reward"};

/* What the epochs are compared by; where the last one wins, what there is to see. */
static double compared(const sft_stage *self, const sft_point *point)
{
	if (self->params->select == SFT_SELECT_REWARD)
		return point->eval_reward;
	return isfinite(point->eval_loss) ? point->eval_loss : point->loss;
}

static json_t *curve_json(const sft_stage *self)
{
	json_t *curve = json_array();
	int bad = !curve;

	for (uint64_t i = 0; i < self->at.n_points; i++) {
		const sft_point *point = &self->curve[i];
		json_t *json = json_object();

		bad |= json_object_set_new(json, "epoch", json_integer((json_int_t)point->epoch));
		bad |= json_object_set_new(json, "step", json_integer((json_int_t)point->step));
		bad |= json_object_set_new(json, "loss", gpt_report_number(point->loss));
		bad |= json_object_set_new(json, "eval_loss", gpt_report_number(point->eval_loss));
		bad |= json_object_set_new(
			json, "eval_reward", gpt_report_number(point->eval_reward));
		bad |= json_array_append_new(curve, json);
	}
	if (bad) {
		json_decref(curve);
		return NULL;
	}
	return curve;
}

static json_t *as_json(const sft_stage *self)
{
	const sft_point *best = &self->curve[self->at.best - 1];
	json_t *json = json_object();
	int bad = !json;

	bad |= json_object_set_new(json, "schema", json_string("cairn.sft-report/1"));
	bad |= json_object_set_new(json, "select", json_string(names[self->params->select]));
	bad |= json_object_set_new(json, "epochs", json_integer((json_int_t)self->params->epochs));
	bad |= json_object_set_new(json, "epoch", json_integer((json_int_t)best->epoch));
	bad |= json_object_set_new(json, "loss", gpt_report_number(best->loss));
	bad |= json_object_set_new(json, "eval_loss", gpt_report_number(best->eval_loss));
	bad |= json_object_set_new(json, "eval_reward", gpt_report_number(best->eval_reward));
	bad |= json_object_set_new(
		json, "n_demonstrations", json_integer((json_int_t)self->demos.n));
	bad |= json_object_set_new(json, "n_prompts", json_integer((json_int_t)self->said.n));
	bad |= json_object_set_new(json, "curve", curve_json(self));
	if (bad) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static void add_number(cairn_text *text, double value)
{
	if (isfinite(value))
		cairn_text_printf(text, " %10.4f", value);
	else
		cairn_text_add(text, "          -");
}

/* One line per epoch, with a bar from the curve's least value to its greatest. */
static void plot(const sft_stage *self, cairn_text *text)
{
	double least = INFINITY, most = -INFINITY;

	for (uint64_t i = 0; i < self->at.n_points; i++) {
		least = fmin(least, compared(self, &self->curve[i]));
		most = fmax(most, compared(self, &self->curve[i]));
	}
	cairn_text_printf(text, "epoch       loss  eval_loss eval_reward  %s\n",
		self->params->select == SFT_SELECT_REWARD ? "eval_reward"
		: self->valid.n > 0                       ? "eval_loss"
							  : "loss");
	for (uint64_t i = 0; i < self->at.n_points; i++) {
		const sft_point *point = &self->curve[i];
		double share = most > least ? (compared(self, point) - least) / (most - least) : 0;

		cairn_text_printf(text, "%5llu", (unsigned long long)point->epoch);
		add_number(text, point->loss);
		add_number(text, point->eval_loss);
		add_number(text, point->eval_reward);
		cairn_text_add(text, "   |");
		for (int c = 0; c < (int)lround(share * BAR); c++)
			cairn_text_add_char(text, '#');
		cairn_text_add(text, i + 1 == self->at.best ? " <- kept\n" : "\n");
	}
}

static void as_text(const sft_stage *self, cairn_text *text)
{
	const sft_point *best = &self->curve[self->at.best - 1];

	cairn_text_printf(text, "supervised fine-tuning: epoch %llu of %lld is kept",
		(unsigned long long)best->epoch, (long long)self->params->epochs);
	if (self->params->select == SFT_SELECT_LOSS)
		cairn_text_add(text, ", of the lowest held-out loss");
	if (self->params->select == SFT_SELECT_REWARD)
		cairn_text_printf(text, ", whose responses to %zu held-out prompts score highest",
			self->said.n);
	cairn_text_add(text, "\n\n");
	plot(self, text);
}

static void summarise(const sft_stage *self)
{
	const sft_point *best = &self->curve[self->at.best - 1];
	const cairn_host *host = self->work.host;
	cairn_run *run = self->work.run;

	host->summary(run, "loss", self->at.loss);
	if (self->valid.n > 0)
		host->summary(run, "valid_loss", self->valid_loss);
	if (self->params->select != SFT_SELECT_LAST)
		host->summary(run, "epoch", (double)best->epoch);
	if (isfinite(best->eval_reward))
		host->summary(run, "eval_reward", best->eval_reward);
}

int sft_report(sft_stage *self)
{
	const gpt_work *work = &self->work;
	cairn_writer *writer = NULL;
	cairn_text text = {0};
	int code = work->host->output_begin(work->run, "report", &writer);

	summarise(self);
	as_text(self, &text);
	if (!code)
		code = gpt_report_json(work, writer, "report.json", as_json(self));
	if (!code)
		code = gpt_report_text(work, writer, "highlight.txt", &text);
	if (!code)
		code = work->host->commit(writer);
	cairn_text_free(&text);
	return code;
}
