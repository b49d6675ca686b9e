/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hf_config.c - config.json to gpt_config and back.
 *
 * Members that are absent have GPT-2's defaults, as in transformers. Of the rest only those matter
 * that change what the network computes; dropout and the like belong to whoever trains.
 */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "gpt/hf.h"

struct reading {
	const json_t *json;
	const char *source;
	gpt_hf_config *out;
	cairn_error *err;
};

static int bad(const struct reading *in, const char *key, const char *what)
{
	return cairn_error_set(
		in->err, CAIRN_EINPUT, "config.json of '%s': %s %s", in->source, key, what);
}

static int get_integer(const struct reading *in, const char *key, int32_t *out)
{
	const json_t *value = json_object_get(in->json, key);

	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
		json_integer_value(value) > INT32_MAX)
		return bad(in, key, "is not a positive whole number");
	*out = (int32_t)json_integer_value(value);
	return 0;
}

static bool says(const struct reading *in, const char *key, bool what)
{
	const json_t *value = json_object_get(in->json, key);

	return what ? json_is_true(value) : json_is_false(value);
}

/* Members that would make it another network than ours. */
static int check_architecture(const struct reading *in)
{
	const char *activation = cairn_json_string(in->json, "activation_function", "gelu_new");
	double epsilon = cairn_json_number(in->json, "layer_norm_epsilon", 1e-5);

	if (strcmp(cairn_json_string(in->json, "model_type", "gpt2"), "gpt2") != 0)
		return bad(in, "model_type", "is not gpt2");
	if (strcmp(activation, "gelu_new") != 0)
		return bad(in, "activation_function",
			"is not gelu_new, the only one that the kernels have");
	if (!(fabs(epsilon - 1e-5) <= 1e-9))
		return bad(
			in, "layer_norm_epsilon", "is not 1e-5, which the kernels have built in");
	if (says(in, "scale_attn_weights", false))
		return bad(in, "scale_attn_weights", "is false; attention is always scaled");
	if (says(in, "scale_attn_by_inverse_layer_idx", true))
		return bad(in, "scale_attn_by_inverse_layer_idx",
			"is true; attention is scaled alike in all layers");
	if (says(in, "add_cross_attention", true))
		return bad(in, "add_cross_attention", "is true; there is no encoder to attend to");
	return 0;
}

static int read_reward(const struct reading *in)
{
	const json_t *ours = json_object_get(in->json, "cairn");
	gpt_hf_config *out = in->out;

	out->reward_gain = cairn_json_number(ours, "reward_gain", 1);
	out->reward_bias = cairn_json_number(ours, "reward_bias", 0);
	if (!isfinite(out->reward_gain) || !isfinite(out->reward_bias))
		return bad(in, "cairn", "has a reward that is not finite");
	return 0;
}

static int read_sizes(const struct reading *in)
{
	const json_t *inner = json_object_get(in->json, "n_inner");
	bool has_positions = json_object_get(in->json, "n_positions") != NULL;
	gpt_config *out = &in->out->config;
	int rc = get_integer(in, "n_layer", &out->n_layer);

	if (!rc)
		rc = get_integer(in, "n_head", &out->n_head);
	if (!rc)
		rc = get_integer(in, "n_embd", &out->n_embd);
	if (!rc) /* OpenAI's name, then Hugging Face's. */
		rc = get_integer(in,
			has_positions || !json_object_get(in->json, "n_ctx") ? "n_positions"
									     : "n_ctx",
			&out->n_ctx);
	if (!rc)
		rc = get_integer(in, "vocab_size", &out->n_vocab);
	if (!rc && inner && !json_is_null(inner))
		rc = get_integer(in, "n_inner", &out->n_inner);
	else if (!rc)
		out->n_inner = out->n_embd <= INT32_MAX / 4 ? 4 * out->n_embd : INT32_MAX;
	out->untied = says(in, "tie_word_embeddings", false);
	return rc;
}

int gpt_hf_config_read(
	gpt_hf_config *out, const char *text, size_t len, const char *source, cairn_error *err)
{
	gpt_hf_config config = {0};
	struct reading in = {.source = source, .out = &config, .err = err};
	json_t *json = NULL;
	char place[300];
	int rc;

	(void)snprintf(place, sizeof(place), "%s: config.json", source);
	rc = cairn_json_parse(&json, text, len, place, err);
	if (rc)
		return rc;
	in.json = json;
	if (!json_is_object(json))
		rc = cairn_error_set(
			err, CAIRN_EINPUT, "config.json of '%s' is no JSON object", source);
	if (!rc)
		rc = check_architecture(&in);
	if (!rc)
		rc = read_sizes(&in);
	if (!rc)
		rc = read_reward(&in);
	config.end_token = cairn_json_integer(json, "eos_token_id", -1);
	if (!rc)
		rc = gpt_config_check(&config.config, err);
	if (rc)
		cairn_error_at(err, "%s", place);
	else
		*out = config;
	json_decref(json);
	return rc;
}

/* ---- writing ------------------------------------------------------------------------------------
 */

/* A sequence classifier's one label, and what transformers has no member for. */
static int add_scalar(json_t *json, const gpt_model *model)
{
	json_t *more = json_pack("{s:{s:s}, s:{s:i}, s:{s:f, s:f}}", "id2label", "0", "LABEL_0",
		"label2id", "LABEL_0", 0, "cairn", "reward_gain", model->reward_gain, "reward_bias",
		model->reward_bias);
	int rc = more ? json_object_update(json, more) : -1;

	json_decref(more);
	return rc;
}

char *gpt_hf_config_write(const gpt_model *model, int32_t end_token)
{
	const gpt_config *config = &model->config;
	bool is_scalar = model->head == GPT_HEAD_SCALAR;
	json_t *end = end_token >= 0 ? json_integer(end_token) : json_null();
	json_t *json = json_pack(
		"{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b, s:s, s:O, s:O}",
		"architectures", is_scalar ? "GPT2ForSequenceClassification" : "GPT2LMHeadModel",
		"model_type", "gpt2", "n_layer", config->n_layer, "n_head", config->n_head,
		"n_embd", config->n_embd, "n_positions", config->n_ctx, "vocab_size",
		config->n_vocab, "n_inner", config->n_inner, "activation_function", "gelu_new",
		"layer_norm_epsilon", 1e-5, "tie_word_embeddings", is_scalar || !config->untied,
		"torch_dtype", "float32", "bos_token_id", end, "eos_token_id", end);
	char *pretty = NULL;
	cairn_text text = {0};

	if (json && (!is_scalar || add_scalar(json, model) == 0))
		pretty = cairn_json_pretty(json);
	if (pretty) {
		cairn_text_add(&text, pretty);
		cairn_text_add_char(&text, '\n');
	}
	free(pretty);
	json_decref(json);
	json_decref(end);
	if (text.failed)
		cairn_text_free(&text);
	return text.data;
}
