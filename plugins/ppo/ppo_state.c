/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo_state.c - the checkpoint: policy, value function, their moments, the moving average, the
 * counters with the KL coefficient, and the rollout that the next updates learn from.
 *
 * The rollout stays in it after its last update, because the report shows the last one. The
 * reference and the reward model are inputs and are not stored.
 */
#include "gpt/checkpoint.h"
#include "ppo.h"

gpt_model ppo_ema_view(const ppo_stage *self)
{
	gpt_model view = *self->policy;

	view.params = self->ema;
	return view;
}

/* The per-token and per-episode arrays, as named bytes. */
struct array {
	const char *name;
	void *data;
	size_t bytes;
};

#define N_ARRAYS 6

static void list_arrays(ppo_rollout *rollout, struct array out[N_ARRAYS])
{
	size_t tokens = rollout->first[rollout->n];

	out[0] = (struct array){"rollout/logp", rollout->logp, tokens * sizeof(*rollout->logp)};
	out[1] = (struct array){"rollout/ref", rollout->ref, tokens * sizeof(*rollout->ref)};
	out[2] = (struct array){"rollout/value", rollout->value, tokens * sizeof(*rollout->value)};
	out[3] = (struct array){
		"rollout/advantage", rollout->advantage, tokens * sizeof(*rollout->advantage)};
	out[4] = (struct array){
		"rollout/returns", rollout->returns, tokens * sizeof(*rollout->returns)};
	out[5] = (struct array){
		"rollout/score", rollout->score, rollout->n * sizeof(*rollout->score)};
}

static int put_rollout(ppo_stage *self, gpt_save *checkpoint)
{
	struct array arrays[N_ARRAYS];
	int code = gpt_completions_put(&self->rollout.drawn, checkpoint);

	list_arrays(&self->rollout, arrays);
	for (size_t i = 0; i < N_ARRAYS && !code; i++)
		code = gpt_save_bytes(checkpoint, arrays[i].name, arrays[i].data, arrays[i].bytes);
	return code;
}

static int get_rollout(ppo_stage *self, const cairn_artifact *checkpoint)
{
	const gpt_work *work = &self->work;
	struct array arrays[N_ARRAYS];
	int code;

	/* The rollout is that of the last finished update. */
	ppo_rollout_begin(self, (self->at.update - 1) / self->per_iteration);
	code = gpt_completions_get(&self->rollout.drawn, work, checkpoint);
	if (!code && self->rollout.drawn.done != self->rollout.n)
		code = work->host->fail(
			work->run, CAIRN_EINTEGRITY, "the checkpoint's rollout is not whole");
	if (!code)
		code = ppo_rollout_index(self);
	if (code)
		return code;
	list_arrays(&self->rollout, arrays);
	for (size_t i = 0; i < N_ARRAYS && !code; i++)
		code = gpt_get_bytes(work->host, work->run, checkpoint, arrays[i].name,
			arrays[i].data, arrays[i].bytes);
	return code;
}

int ppo_save(void *opaque, gpt_save *checkpoint)
{
	ppo_stage *self = opaque;
	int code = gpt_save_state(checkpoint, "policy", self->policy, self->policy_adam);

	if (!code)
		code = gpt_save_state(checkpoint, "value", self->value, self->value_adam);
	if (!code && self->ema) {
		gpt_model view = ppo_ema_view(self);

		code = gpt_save_state(checkpoint, "ema", &view, NULL);
	}
	if (!code)
		code = gpt_save_bytes(checkpoint, "counters", &self->at, sizeof(self->at));
	return code ? code : put_rollout(self, checkpoint);
}

int ppo_resume(ppo_stage *self)
{
	const gpt_work *work = &self->work;
	cairn_artifact checkpoint = {0};
	uint64_t step = 0;
	int code = work->host->resume(work->run, &checkpoint, &step);

	if (code <= 0)
		return code;
	code = gpt_get_state(
		work->host, work->run, &checkpoint, "policy", self->policy, self->policy_adam);
	if (!code)
		code = gpt_get_state(
			work->host, work->run, &checkpoint, "value", self->value, self->value_adam);
	if (!code && self->ema) {
		gpt_model view = ppo_ema_view(self);

		code = gpt_get_state(work->host, work->run, &checkpoint, "ema", &view, NULL);
	}
	if (!code)
		code = gpt_get_bytes(work->host, work->run, &checkpoint, "counters", &self->at,
			sizeof(self->at));
	if (!code && self->at.update == 0)
		code = work->host->fail(
			work->run, CAIRN_EINTEGRITY, "the checkpoint is of no update");
	return code ? code : get_rollout(self, &checkpoint);
}
