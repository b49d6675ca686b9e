/* SPDX-License-Identifier: Apache-2.0 */
/* train_generate.c - drawing, keeping and handing on completions; see train_generate.h. */
#include "gpt/train_generate.h"

#include <string.h>

#include "base/alloc.h"
#include "gpt/checkpoint.h"

int gpt_completions_init(gpt_completions *out, const gpt_work *work, const char *name,
	const gpt_seq *prompts, size_t n_prompts, int32_t K, int32_t max_new)
{
	size_t n = n_prompts * (size_t)K;

	*out = (gpt_completions){
		.name = name,
		.prompt = prompts,
		.n_prompts = n_prompts,
		.K = K,
		.max_new = max_new,
		.n = n,
		.tokens = cairn_alloc(n, sizeof(*out->tokens) * (size_t)max_new),
		.n_tokens = cairn_alloc(n, sizeof(*out->n_tokens)),
		.ended = cairn_alloc(n, sizeof(*out->ended)),
	};
	if (!out->tokens || !out->n_tokens || !out->ended)
		return gpt_no_memory(work, "completions");
	return 0;
}

void gpt_completions_free(gpt_completions *completions)
{
	free(completions->tokens);
	free(completions->n_tokens);
	free(completions->ended);
	*completions = (gpt_completions){0};
}

int gpt_completions_draw(gpt_completions *completions, gpt_work *work, gpt_model *model,
	const gpt_sampling *options, size_t batch)
{
	size_t left = completions->n - completions->done, first = completions->done;
	size_t n = left < batch ? left : batch;
	gpt_sequence *sequences = cairn_alloc(n, sizeof(*sequences));
	cairn_error err = {0};

	if (!sequences)
		return gpt_no_memory(work, "sequences to draw");
	for (size_t b = 0; b < n; b++) {
		size_t i = first + b;
		const gpt_seq *prompt = &completions->prompt[i / (size_t)completions->K];

		sequences[b] = (gpt_sequence){
			.prompt = prompt->tokens,
			.n_prompt = prompt->n,
			.sample_id = completions->first_id + i,
			.tokens = completions->tokens + i * (size_t)completions->max_new,
			.logprobs = completions->logprobs ? completions->logprobs +
								    i * (size_t)completions->max_new
							  : NULL,
		};
	}
	work->host->account(work->run, CAIRN_ACCOUNT_ROLLOUT, 0, 0);
	if (gpt_sample(model, sequences, (int64_t)n, options, &err)) {
		free(sequences);
		return gpt_report(work, &err);
	}
	for (size_t b = 0; b < n; b++) {
		completions->n_tokens[first + b] = sequences[b].n_tokens;
		completions->ended[first + b] = sequences[b].ended;
	}
	completions->done += n;
	free(sequences);
	return 0;
}

uint64_t gpt_completions_tokens(const gpt_completions *completions)
{
	uint64_t tokens = 0;

	for (size_t i = 0; i < completions->done; i++)
		tokens += (uint64_t)completions->n_tokens[i];
	return tokens;
}

uint64_t gpt_completions_ended(const gpt_completions *completions)
{
	uint64_t ended = 0;

	for (size_t i = 0; i < completions->done; i++)
		ended += completions->ended[i];
	return ended;
}

int gpt_completions_text(const gpt_completions *completions, const gpt_work *work,
	const gpt_tokenizer *tokenizer, size_t i, char **text)
{
	size_t len = 0;
	cairn_error err = {0};

	if (gpt_tokenizer_decode(tokenizer, completions->tokens + i * (size_t)completions->max_new,
		    (size_t)completions->n_tokens[i], text, &len, &err))
		return gpt_report(work, &err);
	return 0;
}

int gpt_completions_seqs(
	const gpt_completions *completions, const gpt_work *work, gpt_seq **seqs, int32_t **store)
{
	size_t K = (size_t)completions->K, total = 0, at = 0;

	for (size_t i = 0; i < completions->n; i++)
		total += (size_t)(completions->prompt[i / K].n + completions->n_tokens[i]);
	*seqs = cairn_alloc(completions->n, sizeof(**seqs));
	*store = cairn_alloc(total, sizeof(**store));
	if (!*seqs || !*store)
		return gpt_no_memory(work, "sequences to score");
	for (size_t i = 0; i < completions->n; i++) {
		const gpt_seq *prompt = &completions->prompt[i / K];
		int32_t n = completions->n_tokens[i];
		int32_t *tokens = *store + at;

		memcpy(tokens, prompt->tokens, (size_t)prompt->n * sizeof(*tokens));
		memcpy(tokens + prompt->n, completions->tokens + i * (size_t)completions->max_new,
			(size_t)n * sizeof(*tokens));
		(*seqs)[i] = (gpt_seq){
			.tokens = tokens,
			.n = prompt->n + n,
			.first = prompt->n,
			.unit = i / K,
			.id = i,
		};
		at += (size_t)(prompt->n + n);
	}
	return 0;
}

/* ---- checkpoints ----------------------------------------------------------------------- */

static const char *entry(const gpt_completions *completions, const char *what, char out[64])
{
	(void)snprintf(out, 64, "%s/%s", completions->name, what);
	return out;
}

int gpt_completions_put(const gpt_completions *completions, gpt_save *save)
{
	uint64_t done = completions->done;
	char name[64];
	int code = gpt_save_bytes(save, entry(completions, "done", name), &done, sizeof(done));

	if (!code)
		code = gpt_save_bytes(save, entry(completions, "tokens", name), completions->tokens,
			done * (size_t)completions->max_new * sizeof(*completions->tokens));
	if (!code)
		code = gpt_save_bytes(save, entry(completions, "n_tokens", name),
			completions->n_tokens, done * sizeof(*completions->n_tokens));
	if (!code)
		code = gpt_save_bytes(save, entry(completions, "ended", name), completions->ended,
			done * sizeof(*completions->ended));
	return code;
}

int gpt_completions_get(
	gpt_completions *completions, const gpt_work *work, const cairn_artifact *checkpoint)
{
	const cairn_host *host = work->host;
	uint64_t done = 0;
	char name[64];
	int code = gpt_get_bytes(
		host, work->run, checkpoint, entry(completions, "done", name), &done, sizeof(done));

	if (!code && done > completions->n)
		code = host->fail(work->run, CAIRN_EINTEGRITY,
			"the checkpoint has %llu completions, the stage draws %zu",
			(unsigned long long)done, completions->n);
	if (!code)
		code = gpt_get_bytes(host, work->run, checkpoint,
			entry(completions, "tokens", name), completions->tokens,
			done * (size_t)completions->max_new * sizeof(*completions->tokens));
	if (!code)
		code = gpt_get_bytes(host, work->run, checkpoint,
			entry(completions, "n_tokens", name), completions->n_tokens,
			done * sizeof(*completions->n_tokens));
	if (!code)
		code = gpt_get_bytes(host, work->run, checkpoint, entry(completions, "ended", name),
			completions->ended, done * sizeof(*completions->ended));
	if (!code)
		completions->done = done;
	return code;
}
