/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hf.h - GPT-2 as Hugging Face keeps it: config.json and safetensors, to and from a gpt_model.
 *
 * A directory (or an artifact with the same entries) has "config.json" and "model.safetensors", or
 * in parts "model.safetensors.index.json" and the files that it names. Tensors may have the prefix
 * "transformer." or not; the buffers "h.N.attn.bias" and "h.N.attn.masked_bias" of old files are
 * no parameters and are passed over; everything else must be there, of the right shape, and
 * nothing besides. F16, BF16 and F64 become float32.
 *
 * The head is untied where "lm_head.weight" is there and is not "wte.weight", bit by bit.
 * A reward model is a GPT2ForSequenceClassification with one label: "score.weight" [1,C]. What
 * transformers has no place for stays beside it: the head's bias as "score.bias" [1] where it is
 * not 0 (it is not used there: rewards differ by a constant), gain and bias of the reward in
 * config.json as "cairn": {"reward_gain", "reward_bias"}.
 */
#ifndef CAIRN_GPT_HF_H
#define CAIRN_GPT_HF_H

#include "cairn/stage.h"
#include "gpt/model.h"

/* ---- config.json -------------------------------------------------------------------------- */

typedef struct gpt_hf_config {
	gpt_config config;
	double reward_gain, reward_bias; /* 1 and 0 where nothing is said */
	int64_t end_token;               /* "eos_token_id"; -1 where nothing is said */
} gpt_hf_config;

/* Refuses what would make it another network than ours, and says why. `source` is named in errors.
 */
CAIRN_MUST int gpt_hf_config_read(
	gpt_hf_config *out, const char *text, size_t len, const char *source, cairn_error *err);
/* What transformers needs to load the model; end_token -1: none. Caller frees; NULL: no memory. */
char *gpt_hf_config_write(const gpt_model *model, int32_t end_token);

/* ---- weights -------------------------------------------------------------------------------- */

/* An opened directory or artifact. */
typedef struct gpt_hf gpt_hf;

/* The functions with a host return 0 or the code of a failure already reported to it. */
CAIRN_MUST int gpt_hf_open(
	gpt_hf **out, const cairn_host *host, cairn_run *run, const cairn_artifact *artifact);
void gpt_hf_close(gpt_hf *hf);
/* `untied` as the weights say. */
const gpt_hf_config *gpt_hf_get_config(const gpt_hf *hf);
/* Whether it is a reward model. */
bool gpt_hf_is_scalar(const gpt_hf *hf);
/* Fills all parameters of a model of that configuration; of a scalar model from a language model,
 * all but the head. */
CAIRN_MUST int gpt_hf_fill(
	const gpt_hf *hf, const cairn_host *host, cairn_run *run, gpt_model *model);

/* A model as a safetensors file, with the prefix "transformer." as transformers writes it. The
 * same model gives the same bytes. Caller frees *file. */
CAIRN_MUST int gpt_hf_weights(char **file, size_t *len, const gpt_model *model, cairn_error *err);

/* Whether an artifact has an entry; reads nothing. */
bool gpt_has_entry(
	const cairn_host *host, cairn_run *run, const cairn_artifact *artifact, const char *name);

#endif
