/* SPDX-License-Identifier: Apache-2.0 */
/* bandit.c - see bandit.h. */
#include "bandit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/rng.h"
#include "gpt/train_lm.h"
#include "kernels/portable/portable.h"

#ifndef CAIRN_DOUBLE
#error "the bandit needs the double build"
#endif

/* Of different lengths, so that there is padding. */
static const int32_t prompt_tokens[BANDIT_PROMPTS][2] = {{0}, {1, 2}};

/* ---- a host that takes notes ----------------------------------------------------------------- */

struct cairn_run {
	bandit *self;
};

static int host_fail(cairn_run *run, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(run->self->message, sizeof(run->self->message), format, args);
	va_end(args);
	run->self->code = code;
	return code;
}

static int host_fail_with(cairn_run *run, const cairn_error *error)
{
	return host_fail(run, error->code, "%s", error->message);
}

static void host_hint(cairn_run *run, const char *format, ...)
{
	(void)run;
	(void)format;
}

static void host_account(cairn_run *run, int account, uint64_t real, uint64_t padded)
{
	(void)run;
	assert_in_range(account, 0, CAIRN_ACCOUNTS - 1);
	assert_true(real <= padded || padded == 0);
}

static const cairn_host host = {
	.head = CAIRN_STAGE_HEAD(cairn_host),
	.account = host_account,
	.fail = host_fail,
	.fail_with = host_fail_with,
	.hint = host_hint,
};

/* ---- the problem ------------------------------------------------------------------------------
 */

double bandit_reward(const int32_t *prompt, int32_t n_prompt, const int32_t *tokens, int32_t n)
{
	uint64_t code = (uint64_t)prompt[n_prompt - 1] + 1;

	for (int32_t t = 0; t < n; t++)
		code = code * (BANDIT_VOCAB + 1) + (uint64_t)tokens[t] + 1;
	return gpt_random_normal(77, 0, code);
}

static int score(ppo_stage *stage, const gpt_seq *seqs, size_t n, double *out)
{
	(void)stage;
	for (size_t i = 0; i < n; i++)
		out[i] = bandit_reward(seqs[i].tokens, seqs[i].first,
			seqs[i].tokens + seqs[i].first, seqs[i].n - seqs[i].first);
	return 0;
}

/* ---- the stage --------------------------------------------------------------------------------
 */

void bandit_init(bandit *self, int64_t batch)
{
	*self = (bandit){
		.params =
			{
				.iterations = 1000,
				.batch = batch,
				.minibatch = batch,
				.inner_epochs = 1,
				.micro_tokens = 100,
				.max_new = BANDIT_LONGEST,
				.temperature = 1,
				.beta = 1,
				.lr = 5e-3,
				.value_lr = 5e-3,
				.adam = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8},
				.gamma_rl = 1,
				.gae_lambda = 0.95,
				.clip = 0.2,
				.value_clip = 0.2,
				.whiten = PPO_WHITEN_NONE,
				.ptx_ratio = 1,
			},
		.reference_key = 5,
	};
}

/* Weights like those of a trained network: all of them matter. */
static gpt_model *network(
	bandit *self, int32_t n_embd, enum gpt_head head, unsigned flags, uint64_t key)
{
	gpt_config config = {
		.n_layer = 1,
		.n_head = 2,
		.n_embd = n_embd,
		.n_ctx = 8,
		.n_vocab = BANDIT_VOCAB,
		.n_inner = 4 * n_embd,
	};
	gpt_model *model = NULL;
	cairn_error err = {0};
	double *flat;

	assert_int_equal(gpt_model_new(&model, &self->k, &config, head, flags, &err), 0);
	flat = bandit_weights(model);
	for (size_t i = 0; i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];
		bool gain = strstr(tensor->name, "ln_") && strstr(tensor->name, "weight");

		for (size_t j = 0; j < tensor->size; j++)
			flat[tensor->offset + j] =
				(gain ? 1 : 0) + 0.3 * gpt_random_normal(key, i, j);
	}
	self->k.write(&self->k, gpt_params_change(model), flat, model->n_params * sizeof(*flat));
	free(flat);
	return model;
}

static gpt_adam *adam(const bandit *self, const gpt_model *model)
{
	const ppo_params *params = &self->params;
	gpt_adam_options options = {
		.beta1 = params->adam.beta1, .beta2 = params->adam.beta2, .eps = params->adam.eps};
	gpt_adam *out = NULL;
	cairn_error err = {0};

	assert_int_equal(gpt_adam_new(&out, model, &options, &err), 0);
	return out;
}

static void open_prompts(ppo_stage *stage)
{
	gpt_examples *prompts = &stage->prompts;

	prompts->n = BANDIT_PROMPTS;
	prompts->seqs = cairn_alloc(BANDIT_PROMPTS, sizeof(*prompts->seqs));
	prompts->row = cairn_alloc(BANDIT_PROMPTS, sizeof(*prompts->row));
	assert_true(prompts->seqs && prompts->row);
	for (int p = 0; p < BANDIT_PROMPTS; p++)
		prompts->seqs[p] = (gpt_seq){.tokens = prompt_tokens[p],
			.n = p + 1,
			.first = p + 1,
			.unit = (uint64_t)p};
	assert_int_equal(gpt_order_init(&stage->order, &stage->work, 3, BANDIT_PROMPTS), 0);
}

void bandit_open(bandit *self, int32_t n_embd)
{
	static int32_t text[100];
	ppo_stage *stage = &self->stage;
	size_t batch = (size_t)self->params.batch;
	cairn_run *run = cairn_alloc(1, sizeof(*run));
	cairn_error err = {0};
	cairn_real *room;

	assert_int_equal(cairn_kernels_portable_open(&self->k, 1, &err), 0);
	run->self = self;
	gpt_work_init(&stage->work, &host, run, self->params.micro_tokens);
	stage->params = &self->params;
	stage->end_token = BANDIT_END;
	stage->score = score;
	stage->policy = network(self, n_embd, GPT_HEAD_LM, GPT_TRAINABLE, self->reference_key);
	stage->reference = network(self, n_embd, GPT_HEAD_LM, 0, self->reference_key);
	stage->value = network(self, 8, GPT_HEAD_SCALAR, GPT_TRAINABLE, 6);
	stage->policy_adam = adam(self, stage->policy);
	stage->value_adam = adam(self, stage->value);
	open_prompts(stage);
	for (uint64_t i = 0; i < CAIRN_COUNT(text); i++)
		text[i] = (int32_t)gpt_random_below(8, 0, i, BANDIT_VOCAB);
	stage->text = (gpt_text){.train = text, .n_train = CAIRN_COUNT(text)};
	stage->ptx_length = 5;
	stage->limits.max_response = BANDIT_LONGEST;
	stage->text_key = 11;
	stage->sample_key = 12;
	stage->minibatch_key = 13;
	stage->iterations = (uint64_t)self->params.iterations;
	stage->per_iteration = (uint64_t)(self->params.batch / self->params.minibatch) *
			       (uint64_t)self->params.inner_epochs;
	stage->at.beta = stage->at.rollout_beta = self->params.beta;
	stage->shuffled = cairn_alloc(batch, sizeof(*stage->shuffled));
	stage->minibatch = cairn_alloc(batch, sizeof(*stage->minibatch));
	stage->ptx = cairn_alloc(batch, sizeof(*stage->ptx));
	stage->scratch = cairn_alloc(batch * BANDIT_LONGEST, sizeof(*stage->scratch));
	room = cairn_alloc(stage->reference->n_params, sizeof(*room));
	assert_true(stage->shuffled && stage->minibatch && stage->ptx && stage->scratch && room);
	ppo_reference_remember(stage, room);
	free(room);
	assert_int_equal(ppo_rollout_init(stage), 0);
}

void bandit_close(bandit *self)
{
	ppo_stage *stage = &self->stage;

	ppo_rollout_free(&stage->rollout);
	free(stage->scratch);
	free(stage->ptx);
	free(stage->minibatch);
	free(stage->shuffled);
	gpt_order_free(&stage->order);
	free(stage->prompts.seqs);
	free(stage->prompts.row);
	gpt_adam_free(stage->value_adam);
	gpt_adam_free(stage->policy_adam);
	gpt_model_free(stage->value);
	gpt_model_free(stage->reference);
	gpt_model_free(stage->policy);
	free(stage->work.run);
	gpt_work_free(&stage->work);
	cairn_kernels_portable_close(&self->k);
}

/* ---- enumeration ------------------------------------------------------------------------------
 */

/* Appends all responses that start with `tokens`. */
static void add_responses(ppo_rollout *rollout, int prompt, int32_t *tokens, int32_t n)
{
	gpt_completions *drawn = &rollout->drawn;
	bool ended = n > 0 && tokens[n - 1] == BANDIT_END;
	size_t e = drawn->done;

	if (!ended && n < BANDIT_LONGEST) {
		for (int32_t v = 0; v < BANDIT_VOCAB; v++) {
			tokens[n] = v;
			add_responses(rollout, prompt, tokens, n + 1);
		}
		return;
	}
	assert_true(e < BANDIT_ALL);
	rollout->prompt[e] = (gpt_seq){.tokens = prompt_tokens[prompt],
		.n = prompt + 1,
		.first = prompt + 1,
		.unit = (uint64_t)prompt};
	memcpy(drawn->tokens + e * (size_t)drawn->max_new, tokens, (size_t)n * sizeof(*tokens));
	drawn->n_tokens[e] = n;
	drawn->ended[e] = ended;
	drawn->done++;
}

static void list_responses(bandit *self)
{
	ppo_rollout *rollout = &self->stage.rollout;
	int32_t tokens[BANDIT_LONGEST];

	assert_int_equal(self->params.batch, BANDIT_ALL);
	rollout->drawn.done = 0;
	for (int p = 0; p < BANDIT_PROMPTS; p++)
		add_responses(rollout, p, tokens, 0);
	assert_int_equal(rollout->drawn.done, BANDIT_ALL);
	assert_int_equal(ppo_rollout_index(&self->stage), 0);
}

static void token_logps(bandit *self, gpt_model *model, double *out)
{
	assert_int_equal(gpt_lm_logprobs(&self->stage.work, model, self->stage.rollout.seq,
				 BANDIT_ALL, 1, CAIRN_ACCOUNT_OTHER, out, NULL),
		0);
}

void bandit_enumerate(bandit *self)
{
	list_responses(self);
	token_logps(self, self->stage.policy, self->stage.rollout.logp);
	assert_int_equal(ppo_verify_drawn(&self->stage), 0);
	assert_int_equal(ppo_rollout_judge(&self->stage), 0);
	assert_int_equal(ppo_verify_scores(&self->stage), 0);
	assert_int_equal(ppo_rollout_credit(&self->stage), 0);
}

void bandit_logps(bandit *self, gpt_model *model, double *out)
{
	double token[BANDIT_ALL * BANDIT_LONGEST];
	const size_t *first;

	list_responses(self);
	first = self->stage.rollout.first;
	token_logps(self, model, token);
	for (size_t e = 0; e < BANDIT_ALL; e++) {
		out[e] = 0;
		for (size_t t = first[e]; t < first[e + 1]; t++)
			out[e] += token[t];
	}
}

double bandit_objective(bandit *self, double *kl, double *best)
{
	double logp[BANDIT_ALL], beta = self->params.beta, sum = 0;
	const double *ref = self->reference_logp;
	const gpt_completions *drawn = &self->stage.rollout.drawn;

	if (!self->has_reference_logp)
		bandit_logps(self, self->stage.reference, self->reference_logp);
	self->has_reference_logp = true;
	bandit_logps(self, self->stage.policy, logp);
	if (kl)
		*kl = *best = 0;
	for (int p = 0; p < BANDIT_PROMPTS; p++) {
		size_t from = (size_t)p * BANDIT_RESPONSES;
		double reward[BANDIT_RESPONSES], Z = 0;

		for (size_t i = 0; i < BANDIT_RESPONSES; i++) {
			size_t e = from + i;

			reward[i] = bandit_reward(prompt_tokens[p], p + 1,
				drawn->tokens + e * BANDIT_LONGEST, drawn->n_tokens[e]);
			Z += exp(ref[e] + reward[i] / beta);
			sum += exp(logp[e]) * (reward[i] - beta * (logp[e] - ref[e])) / 2;
		}
		for (size_t i = 0; i < BANDIT_RESPONSES && kl; i++) {
			double star = ref[from + i] + reward[i] / beta - log(Z);

			*kl += exp(logp[from + i]) * (logp[from + i] - star) / 2;
		}
		if (kl)
			*best += beta * log(Z) / 2;
	}
	return sum;
}

void bandit_shake(bandit *self, double size, uint64_t key)
{
	gpt_model *model = self->stage.policy;
	double *flat = bandit_weights(model);

	for (size_t i = 0; i < model->n_tensors; i++)
		for (size_t j = 0; j < model->tensors[i].size; j++)
			flat[model->tensors[i].offset + j] += size * gpt_random_normal(key, i, j);
	self->k.write(&self->k, gpt_params_change(model), flat, model->n_params * sizeof(*flat));
	free(flat);
}

/* ---- gradients --------------------------------------------------------------------------------
 */

static double *read_flat(const gpt_model *model, const double *dev)
{
	double *flat = cairn_alloc(model->n_params, sizeof(*flat));

	assert_non_null(flat);
	model->k->read(model->k, flat, dev, model->n_params * sizeof(*flat));
	return flat;
}

double *bandit_gradient(gpt_model *model)
{
	gpt_finish_grads(model);
	return read_flat(model, model->grads);
}

double *bandit_weights(const gpt_model *model)
{
	return read_flat(model, model->params);
}

double *bandit_slopes(gpt_model *model, bandit_loss f, void *self)
{
	const double step = 1e-5;
	double *slopes = cairn_alloc(model->n_params, sizeof(*slopes));

	assert_non_null(slopes);
	for (size_t i = 0; i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];

		for (size_t j = tensor->offset; j < tensor->offset + tensor->size; j++) {
			double w, side[2];

			model->k->read(model->k, &w, model->params + j, sizeof(w));
			for (int s = 0; s < 2; s++) {
				double moved = w + (s ? -step : step);

				model->k->write(model->k, gpt_params_change(model) + j, &moved,
					sizeof(moved));
				side[s] = f(self);
			}
			model->k->write(model->k, gpt_params_change(model) + j, &w, sizeof(w));
			slopes[j] = (side[0] - side[1]) / (2 * step);
		}
	}
	return slopes;
}

void bandit_compare(
	const gpt_model *model, const double *slopes, const double *gradient, const char *what)
{
	for (size_t i = 0; i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];
		double difference = 0, size = 0;

		for (size_t j = tensor->offset; j < tensor->offset + tensor->size; j++) {
			difference += (slopes[j] - gradient[j]) * (slopes[j] - gradient[j]);
			size += slopes[j] * slopes[j];
		}
		if (!(sqrt(difference / size) < 1e-6))
			fail_msg("%s: gradient of %s: relative error %g", what, tensor->name,
				sqrt(difference / size));
	}
}

void bandit_check_gradient(
	gpt_model *model, bandit_loss f, void *self, const double *gradient, const char *what)
{
	double *slopes = bandit_slopes(model, f, self);

	bandit_compare(model, slopes, gradient, what);
	free(slopes);
}
