/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.h - models and optimizer state to and from artifacts, through the host table.
 *
 * A model artifact (model/lm, model/reward): "config.json" (Hugging Face's names), the
 * tensors as float32, and its tokenizer ("tokenizer/vocab.json", "tokenizer/merges.txt"), so
 * that a model is usable by itself. A tokenizer artifact has "vocab.json" and "merges.txt".
 * meta: {"architecture":"gpt2","head":"lm"|"scalar","n_ctx":..,"n_params":..} and, of a scalar
 * model, "reward_bias" and "reward_gain".
 *
 * Models are also read in Hugging Face's layout (hf.h), from a directory or from an artifact with
 * its files; and tokenizers under OpenAI's names ("encoder.json", "vocab.bpe").
 *
 * In checkpoints several models share one artifact under prefixes: "policy/wte.weight",
 * "policy/adam.m/wte.weight", "policy/adam.v/...", and plain bytes "policy/adam.t" and
 * "policy/reward" (gain, bias).
 *
 * All functions return 0 or the code of a failure already reported to the host.
 */
#ifndef CAIRN_GPT_CHECKPOINT_H
#define CAIRN_GPT_CHECKPOINT_H

#include "gpt/model.h"
#include "gpt/optimizer.h"
#include "gpt/tokenizer.h"

/* Model of input `port`, index 0. A scalar model from an LM artifact: allowed where
 * head is GPT_HEAD_SCALAR; its head is then initialised from score_key. */
CAIRN_MUST int gpt_load_model(gpt_model **out, const cairn_host *host, cairn_run *run,
	const char *port, enum gpt_head head, unsigned flags, uint64_t score_key);
/* With the head that it has, not to be trained. */
CAIRN_MUST int gpt_load_model_as_is(
	gpt_model **out, const cairn_host *host, cairn_run *run, const char *port);
/* The tokenizer inside a model artifact or a tokenizer artifact. */
CAIRN_MUST int gpt_load_tokenizer(
	gpt_tokenizer **out, const cairn_host *host, cairn_run *run, const char *port);
/* NULL where there is none. */
CAIRN_MUST int gpt_load_tokenizer_if_any(
	gpt_tokenizer **out, const cairn_host *host, cairn_run *run, const char *port);
/* Commits a model artifact on an output port, with tokenizer (may be NULL). EDIVERGED where a
 * parameter is not finite. */
CAIRN_MUST int gpt_save_model(const cairn_host *host, cairn_run *run, const char *port,
	const gpt_model *model, const gpt_tokenizer *tokenizer);
/* The metadata of a model artifact: with the network's shape, so that `cairn plan` can tell what a
 * stage that reads it will need. Gain and bias are of scalar models. Caller frees; NULL: no memory.
 */
char *gpt_model_meta(
	const gpt_config *config, enum gpt_head head, double reward_gain, double reward_bias);

/* Out of a checkpoint, what gpt_save_state() put there. adam may be NULL. */
CAIRN_MUST int gpt_get_state(const cairn_host *host, cairn_run *run,
	const cairn_artifact *checkpoint, const char *prefix, gpt_model *model, gpt_adam *adam);
/* Plain bytes of a struct or array. get: EINTEGRITY where the size differs. */
CAIRN_MUST int gpt_put_bytes(const cairn_host *host, cairn_run *run, cairn_writer *writer,
	const char *name, const void *data, size_t bytes);
CAIRN_MUST int gpt_get_bytes(const cairn_host *host, cairn_run *run,
	const cairn_artifact *checkpoint, const char *name, void *data, size_t bytes);

/* What gpt_save_training() put, from the newest checkpoint, if there is one; else everything stays
 * as it is. */
CAIRN_MUST int gpt_resume_training(const cairn_host *host, cairn_run *run, gpt_model *model,
	gpt_adam *adam, void *counters, size_t bytes);

#endif
