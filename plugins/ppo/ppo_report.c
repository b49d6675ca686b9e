/* SPDX-License-Identifier: Apache-2.0 */
/* ppo_report.c - what comes out: the model, the last samples, the closing numbers. */
#include "base/digest.h"
#include "gpt/checkpoint.h"
#include "gpt/train_report.h"
#include "ppo.h"

static double episode_kl(const ppo_rollout *rollout, size_t e)
{
	double kl = 0;

	for (size_t t = rollout->first[e]; t < rollout->first[e + 1]; t++)
		kl += (double)rollout->logp[t] - (double)rollout->ref[t];
	return kl;
}

/* One line of samples.jsonl. */
static json_t *sample_json(const ppo_stage *self, size_t e, const char *completion)
{
	const ppo_rollout *rollout = &self->rollout;
	json_t *json = json_object();
	int bad = !json;

	bad |= json_object_set_new(
		json, "prompt", gpt_json_string(self->rows.rows[rollout->row[e]].prompt));
	bad |= json_object_set_new(json, "completion", gpt_json_string(completion));
	bad |= json_object_set_new(json, "ended", json_boolean(rollout->drawn.ended[e]));
	bad |= json_object_set_new(json, "score", gpt_report_number(rollout->score[e]));
	bad |= json_object_set_new(json, "kl", gpt_report_number(episode_kl(rollout, e)));
	bad |= json_object_set_new(json, "tokens", json_integer(rollout->drawn.n_tokens[e]));
	if (bad) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static int put_samples(const ppo_stage *self, cairn_writer *writer)
{
	cairn_text lines = {0};
	int code = 0;

	for (size_t e = 0; e < self->rollout.n && !code; e++) {
		char *text = NULL;

		code = gpt_completions_text(
			&self->rollout.drawn, &self->work, self->tokenizer, e, &text);
		if (!code)
			gpt_report_line(&lines, sample_json(self, e, text));
		free(text);
	}
	if (!code)
		code = gpt_report_text(&self->work, writer, "samples.jsonl", &lines);
	cairn_text_free(&lines);
	return code;
}

static json_t *report_json(const ppo_stage *self, const ppo_stats *stats)
{
	char digest[2 * CAIRN_DIGEST_BYTES + 1];
	json_t *json = json_object();
	int bad = !json;

	cairn_hex_encode(self->reference_digest, CAIRN_DIGEST_BYTES, digest);
	bad |= json_object_set_new(json, "iterations", json_integer((json_int_t)self->iterations));
	bad |= json_object_set_new(json, "updates", json_integer((json_int_t)self->at.update));
	bad |= json_object_set_new(
		json, "episodes", json_integer((json_int_t)(self->iterations * self->rollout.n)));
	bad |= json_object_set_new(json, "gamma_ptx", gpt_report_number(self->params->gamma_ptx));
	bad |= json_object_set_new(json, "kl_coef", gpt_report_number(self->at.rollout_beta));
	bad |= json_object_set_new(json, "reward_start", gpt_report_number(self->at.first_score));
	bad |= json_object_set_new(json, "reward", gpt_report_number(stats->score));
	bad |= json_object_set_new(json, "rlhf_reward", gpt_report_number(stats->rlhf));
	bad |= json_object_set_new(json, "kl", gpt_report_number(stats->kl));
	bad |= json_object_set_new(json, "entropy", gpt_report_number(stats->entropy));
	bad |= json_object_set_new(
		json, "eos_rate", gpt_report_number(stats->ended / (double)self->rollout.n));
	bad |= json_object_set_new(json, "response_length", gpt_report_number(stats->length));
	bad |= json_object_set_new(json, "reference_sha256", json_string(digest));
	if (bad) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static int put_report(const ppo_stage *self, const ppo_stats *stats)
{
	const gpt_work *work = &self->work;
	cairn_writer *writer = NULL;
	int code = work->host->output_begin(work->run, "report", &writer);

	if (!code)
		code = gpt_report_json(work, writer, "report.json", report_json(self, stats));
	if (!code)
		code = put_samples(self, writer);
	if (!code)
		code = work->host->commit(writer);
	return code;
}

int ppo_finish(ppo_stage *self)
{
	const gpt_work *work = &self->work;
	bool averaged = self->ema && self->params->output == 0;
	gpt_model view = averaged ? ppo_ema_view(self) : *self->policy;
	ppo_stats stats;
	int code;

	ppo_rollout_stats(self, &stats);
	work->host->summary(work->run, "reward", stats.score);
	work->host->summary(work->run, "reward_start", self->at.first_score);
	work->host->summary(work->run, "kl", stats.kl);
	work->host->summary(work->run, "entropy", stats.entropy);
	work->host->summary(work->run, "eos_rate", stats.ended / (double)self->rollout.n);
	work->host->summary(work->run, "response_length", stats.length);
	code = put_report(self, &stats);
	if (!code)
		code = gpt_save_model(work->host, work->run, "model", &view, self->tokenizer);
	return code;
}
