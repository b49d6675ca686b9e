/* SPDX-License-Identifier: Apache-2.0 */
/* train_estimate.c - what metadata tell about a stage's cost; see train_estimate.h. */
#include "gpt/train_estimate.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define PAPER_CONTEXT 2048
/* Of English: less under a small vocabulary, more under GPT-2's. */
#define BYTES_PER_TOKEN 3.5

/* ---- what is bound ----------------------------------------------------------------------- */

gpt_estimate_inputs gpt_estimate_begin(
	const cairn_estimate_input *inputs, uint64_t n_inputs, cairn_estimate *out)
{
	*out = (cairn_estimate){.compute = out->compute};
	return (gpt_estimate_inputs){inputs, n_inputs};
}

bool gpt_estimate_bound(gpt_estimate_inputs in, const char *port)
{
	for (uint64_t i = 0; i < in.n; i++) {
		if (strcmp(in.of[i].port, port) == 0)
			return true;
	}
	return false;
}

uint64_t gpt_estimate_bytes(gpt_estimate_inputs in, const char *port)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < in.n; i++) {
		if (strcmp(in.of[i].port, port) == 0)
			sum += in.of[i].bytes;
	}
	return sum;
}

/* False where not every artifact of the port has the number. */
static bool sum_of(gpt_estimate_inputs in, const char *port, const char *key, double *sum)
{
	bool is_known = true;

	*sum = 0;
	for (uint64_t i = 0; i < in.n; i++) {
		const char *text = in.of[i].meta;
		json_t *meta = NULL;
		const json_t *number;

		if (strcmp(in.of[i].port, port) != 0)
			continue;
		if (!text || cairn_json_parse(&meta, text, strlen(text), port, NULL)) {
			is_known = false;
			continue;
		}
		number = json_object_get(meta, key);
		is_known &= json_is_number(number) || json_is_boolean(number);
		*sum += json_is_true(number) ? 1 : json_number_value(number);
		json_decref(meta);
	}
	return is_known;
}

double gpt_estimate_number(
	gpt_estimate_inputs in, const char *port, const char *key, double fallback)
{
	double sum;

	return gpt_estimate_bound(in, port) && sum_of(in, port, key, &sum) ? sum : fallback;
}

double gpt_estimate_rows(gpt_estimate_inputs in, const char *port, cairn_estimate *out)
{
	double rows;

	if (!sum_of(in, port, "rows", &rows))
		out->is_partial = 1;
	return rows;
}

/* ---- networks ------------------------------------------------------------------------------ */

gpt_network gpt_network_of(const gpt_config *config, enum gpt_head head)
{
	return (gpt_network){
		.config = *config,
		.head = head,
		.n_params = (double)gpt_param_count(config, head),
		.has_shape = true,
	};
}

gpt_network gpt_network_with(const gpt_network *network, enum gpt_head head)
{
	gpt_network other = *network;

	if (network->has_shape)
		return gpt_network_of(&network->config, head);
	other.head = head;
	return other;
}

static int32_t whole(gpt_estimate_inputs in, const char *port, const char *key, int32_t fallback)
{
	double number = gpt_estimate_number(in, port, key, fallback);

	return number > 0 && number < INT32_MAX ? (int32_t)number : 0;
}

gpt_network gpt_estimate_network(
	gpt_estimate_inputs in, const char *port, enum gpt_head head, cairn_estimate *out)
{
	gpt_network network = {.head = head};
	gpt_config config = {
		.n_layer = whole(in, port, "n_layer", 0),
		.n_embd = whole(in, port, "n_embd", 0),
		.n_ctx = whole(in, port, "n_ctx", 0),
		.n_vocab = whole(in, port, "n_vocab", 0),
		.untied = gpt_estimate_number(in, port, "untied", 0) > 0,
	};

	config.n_inner = whole(in, port, "n_inner", 4 * config.n_embd);
	config.n_head = whole(in, port, "n_head", 1);
	if (gpt_config_check(&config, NULL) == 0)
		return gpt_network_of(&config, head);
	network.config.n_ctx = config.n_ctx;
	network.n_params = gpt_estimate_number(in, port, "n_params", 0);
	if (network.n_params <= 0)
		out->is_partial = 1;
	return network;
}

double gpt_estimate_length(const gpt_network *network, int64_t max_prompt, int64_t max_response)
{
	if (max_prompt > 0 && max_response > 0)
		return (double)(max_prompt + max_response);
	return network->config.n_ctx > 0 ? network->config.n_ctx : PAPER_CONTEXT;
}

/* ---- lengths --------------------------------------------------------------------------------- */

static double smaller(double a, double b)
{
	return a < b ? a : b;
}

/* The largest of a number of the metadata over all artifacts of a port; 0: not known. */
static double largest(gpt_estimate_inputs in, const char *port, const char *key)
{
	double most = 0;

	for (uint64_t i = 0; i < in.n; i++) {
		gpt_estimate_inputs one = {&in.of[i], 1};
		double number = gpt_estimate_number(one, port, key, 0);

		most = number > most ? number : most;
	}
	return most;
}

gpt_token_lengths gpt_estimate_lengths(gpt_estimate_inputs in, const char *port,
	const gpt_network *network, int64_t max_prompt, int64_t max_response)
{
	double limit = gpt_estimate_length(network, max_prompt, max_response);
	double rows = gpt_estimate_number(in, port, "rows", 0);
	double completions = gpt_estimate_number(in, port, "completions", 0);
	double prompt = gpt_estimate_number(in, port, "prompt_bytes", 0);
	double completion = gpt_estimate_number(in, port, "completion_bytes", 0);
	double longest =
		largest(in, port, "prompt_bytes_max") + largest(in, port, "completion_bytes_max");

	if (rows <= 0 || completions <= 0 || longest <= 0)
		return (gpt_token_lengths){limit, limit, limit};
	return (gpt_token_lengths){
		/* ... and the end token */
		smaller(limit, (prompt / rows + completion / completions) / BYTES_PER_TOKEN + 1),
		smaller(limit, longest / BYTES_PER_TOKEN + 1),
		smaller(limit, longest / BYTES_PER_TOKEN + 1),
	};
}

gpt_token_lengths gpt_estimate_drawn(gpt_estimate_inputs in, const char *port,
	const gpt_network *network, int64_t max_prompt, int64_t max_new)
{
	double limit = gpt_estimate_length(network, max_prompt, max_new);
	double context = gpt_estimate_length(network, 0, 0);
	double rows = gpt_estimate_number(in, port, "rows", 0);
	double bytes = gpt_estimate_number(in, port, "prompt_bytes", 0);
	double longest = largest(in, port, "prompt_bytes_max");
	/* As gpt_limits_set() shares the context where nothing is said. */
	double response = max_new > 0 ? (double)max_new : context - (double)((int64_t)context / 2);

	if (rows <= 0 || longest <= 0)
		return (gpt_token_lengths){limit, limit, limit - smaller(response, limit - 1)};
	return (gpt_token_lengths){
		smaller(limit, bytes / rows / BYTES_PER_TOKEN + response),
		smaller(limit, longest / BYTES_PER_TOKEN + response),
		smaller(limit - smaller(response, limit - 1), longest / BYTES_PER_TOKEN),
	};
}

/* ---- FLOPs ----------------------------------------------------------------------------------- */

void gpt_estimate_add(cairn_estimate *out, enum cairn_account account, double flop)
{
	out->flop_of[account] += flop;
	out->flop += flop;
}

void gpt_estimate_forward(
	cairn_estimate *out, enum cairn_account account, const gpt_network *network, double tokens)
{
	gpt_estimate_add(out, account, 2 * network->n_params * tokens);
}

void gpt_estimate_training(cairn_estimate *out, const gpt_network *network, double tokens)
{
	gpt_estimate_add(out, CAIRN_ACCOUNT_FORWARD, 2 * network->n_params * tokens);
	gpt_estimate_add(out, CAIRN_ACCOUNT_BACKWARD, 4 * network->n_params * tokens);
}

double gpt_estimate_again(const gpt_network *network)
{
	const gpt_config *config = &network->config;
	double C = config->n_embd, inner = config->n_inner;

	/* Of 12 C^2 parameters of a layer all but the last matrix's 4 C^2. */
	if (!network->has_shape)
		return 2 * network->n_params * 2 / 3;
	return 2 * config->n_layer * (4 * C * C + C * inner);
}

/* ---- outputs -----------------------------------------------------------------------------------
 */

void gpt_estimate_makes(cairn_estimate *out, const char *port, const char *members)
{
	size_t len = strlen(out->outputs), room = sizeof(out->outputs) - len;
	char *at = out->outputs + (len ? len - 1 : 0); /* over the closing brace */

	/* What has no room is not said. */
	if (strlen(port) + strlen(members) + 16 < room)
		(void)snprintf(at, room, "%s\"%s\":{%s}}", len ? "," : "{", port, members);
}

void gpt_estimate_makes_model(cairn_estimate *out, const char *port, const gpt_network *network)
{
	const gpt_config *config = &network->config;
	const char *head = network->head == GPT_HEAD_SCALAR ? "scalar" : "lm";
	char members[320];

	out->output_bytes += (uint64_t)(4 * network->n_params);
	if (network->n_params <= 0)
		return;
	if (network->has_shape)
		(void)snprintf(members, sizeof(members),
			"\"head\":\"%s\",\"n_params\":%.0f,\"n_ctx\":%d,\"n_layer\":%d,\"n_head\":%d,"
			"\"n_embd\":%d,\"n_inner\":%d,\"n_vocab\":%d,\"untied\":%s",
			head, network->n_params, config->n_ctx, config->n_layer, config->n_head,
			config->n_embd, config->n_inner, config->n_vocab,
			config->untied ? "true" : "false");
	else
		(void)snprintf(members, sizeof(members),
			"\"head\":\"%s\",\"n_params\":%.0f,\"n_ctx\":%d", head, network->n_params,
			config->n_ctx);
	gpt_estimate_makes(out, port, members);
}

void gpt_estimate_makes_rows(cairn_estimate *out, const char *port, double rows, double completions)
{
	char members[96];

	if (rows <= 0)
		return;
	if (completions > 0)
		(void)snprintf(members, sizeof(members), "\"rows\":%.0f,\"completions\":%.0f", rows,
			completions);
	else
		(void)snprintf(members, sizeof(members), "\"rows\":%.0f", rows);
	gpt_estimate_makes(out, port, members);
}
