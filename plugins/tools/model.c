/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - the table of the tools for models: parameters, ports, functions. */
#include "tools.h"

/* ---- generate ---- */

static const cairn_param generate_options[] = {
	{.name = "max_new",
		.doc = "Longest completion; it also ends where the model's context does.",
		.type = CAIRN_PARAM_INT,
		.offset = offsetof(generate_params, max_new),
		.fallback = "256",
		.min = 1,
		.max = 65536,
		.unit = "tokens"},
	{.name = "temperature",
		.doc = "Divides the logits; 0: always the most likely token.",
		.type = CAIRN_PARAM_REAL,
		.offset = offsetof(generate_params, temperature),
		.fallback = "1",
		.min = 0,
		.max = 100},
	{.name = "top_k",
		.doc = "Draw from the k most likely tokens; 0: from all.",
		.type = CAIRN_PARAM_INT,
		.offset = offsetof(generate_params, top_k),
		.fallback = "0",
		.min = 0,
		.max = 1e6,
		.unit = "tokens"},
	{.name = "top_p",
		.doc = "Draw from the most likely tokens that have this probability together; 1: "
		       "from all.",
		.type = CAIRN_PARAM_REAL,
		.offset = offsetof(generate_params, top_p),
		.fallback = "1",
		.min = 1e-6,
		.max = 1},
	{.name = "seed",
		.doc = "Another seed, other completions; the same one, the same.",
		.type = CAIRN_PARAM_INT,
		.offset = offsetof(generate_params, seed),
		.fallback = "0",
		.min = 0,
		.max = 1e15},
	{.name = "samples",
		.doc = "Completions of each prompt.",
		.type = CAIRN_PARAM_INT,
		.offset = offsetof(generate_params, n),
		.fallback = "1",
		.min = 1,
		.max = 1024,
		.unit = "completions"},
	{.name = "stop_at_end",
		.doc = "A completion ends with the model's end token.",
		.type = CAIRN_PARAM_BOOL,
		.offset = offsetof(generate_params, stop_at_end),
		.fallback = "yes"},
	{.name = "format",
		.doc = "text: prompts are lines, completions appear as they are drawn, each on "
		       "lines of its own; jsonl: rows with 'prompt' in, with 'completion' out.",
		.type = CAIRN_PARAM_ENUM,
		.offset = offsetof(generate_params, format),
		.fallback = "text",
		.choices = "text|jsonl"},
	{.name = "batch",
		.doc = "Prompts that are read before they are answered; 1: each at once. Changes no "
		       "result.",
		.type = CAIRN_PARAM_INT,
		.flags = CAIRN_PARAM_NEUTRAL | CAIRN_PARAM_CUTS,
		.offset = offsetof(generate_params, batch),
		.fallback = "1",
		.min = 1,
		.max = 1024,
		.unit = "prompts"},
};

static const cairn_port generate_inputs[] = {
	{.name = "model",
		.kind = "model/lm|directory",
		.doc = "The model that goes on with the text."},
};

/* ---- score ---- */

static const cairn_param score_options[] = {
	{.name = "batch",
		.doc = "Rows that are read before they are answered; 1: each at once. Changes no "
		       "result.",
		.type = CAIRN_PARAM_INT,
		.flags = CAIRN_PARAM_NEUTRAL | CAIRN_PARAM_CUTS,
		.offset = offsetof(score_params, batch),
		.fallback = "64",
		.min = 1,
		.max = 65536,
		.unit = "rows"},
	{.name = "micro_tokens",
		.doc = "Tokens that go through the network at once, padding included: speed and "
		       "memory. Changes no result.",
		.type = CAIRN_PARAM_INT,
		.flags = CAIRN_PARAM_NEUTRAL | CAIRN_PARAM_CUTS,
		.offset = offsetof(score_params, micro_tokens),
		.fallback = "2048",
		.min = 1,
		.max = 1e9,
		.unit = "tokens"},
};

static const cairn_port score_inputs[] = {
	{.name = "model",
		.kind = "model/lm|model/reward|directory",
		.doc = "A language model or a reward model."},
};

/* ---- tokenize ---- */

static const cairn_param tokenize_options[] = {
	{.name = "decode",
		.doc = "From {\"ids\":[...]} to {\"text\":\"...\"}; bytes that are no UTF-8 become "
		       "U+FFFD.",
		.type = CAIRN_PARAM_BOOL,
		.offset = offsetof(tokenize_params, decode),
		.fallback = "no"},
};

static const cairn_port tokenize_inputs[] = {
	{.name = "tokenizer",
		.kind = "tokenizer|model/lm|model/reward|directory",
		.doc = "A tokenizer, a model with one, or a directory with vocab.json and "
		       "merges.txt."},
};

/* ---- import ---- */

static const cairn_port import_inputs[] = {
	{.name = "directory",
		.kind = "directory",
		.doc = "config.json, model.safetensors (or its parts and their index), vocab.json "
		       "and merges.txt; or a tokenizer's two files."},
};

static const cairn_port import_outputs[] = {
	{.name = "model",
		.kind = "model/lm",
		.flags = CAIRN_PORT_OPTIONAL,
		.doc = "Of a language model."},
	{.name = "reward",
		.kind = "model/reward",
		.flags = CAIRN_PORT_OPTIONAL,
		.doc = "Of a classifier with one label: a reward model."},
	{.name = "tokenizer",
		.kind = "tokenizer",
		.flags = CAIRN_PORT_OPTIONAL,
		.doc = "Of a tokenizer's two files alone."},
};

/* ---- export ---- */

static const cairn_param export_options[] = {
	{.name = "format",
		.doc = "safetensors: the directory that transformers' from_pretrained() takes.",
		.type = CAIRN_PARAM_ENUM,
		.offset = offsetof(export_params, format),
		.fallback = "safetensors",
		.choices = "safetensors"},
};

static const cairn_port export_inputs[] = {
	{.name = "model",
		.kind = "model/lm|model/reward|directory",
		.doc = "The model to be written."},
};

static const cairn_port export_outputs[] = {
	{.name = "directory",
		.kind = "directory",
		.doc = "config.json, model.safetensors, vocab.json, merges.txt and what belongs to "
		       "them."},
};

static const cairn_tool tools[] = {
	{
		.name = "generate",
		.summary = "go on with a text, or with each line of stdin",
		.params = generate_options,
		.n_params = CAIRN_COUNT(generate_options),
		.params_size = sizeof(generate_params),
		.inputs = generate_inputs,
		.n_inputs = CAIRN_COUNT(generate_inputs),
		.capabilities = CAIRN_NEEDS_KERNELS,
		.run = tool_generate,
	},
	{
		.name = "score",
		.summary = "log-probabilities of tokens, or rewards of texts, row by row",
		.params = score_options,
		.n_params = CAIRN_COUNT(score_options),
		.params_size = sizeof(score_params),
		.inputs = score_inputs,
		.n_inputs = CAIRN_COUNT(score_inputs),
		.capabilities = CAIRN_NEEDS_KERNELS,
		.run = tool_score,
	},
	{
		.name = "tokenize",
		.summary =
			"text to token numbers: {\"text\":\"...\"} to {\"ids\":[...]}, row by row",
		.params = tokenize_options,
		.n_params = CAIRN_COUNT(tokenize_options),
		.params_size = sizeof(tokenize_params),
		.inputs = tokenize_inputs,
		.n_inputs = CAIRN_COUNT(tokenize_inputs),
		.run = tool_tokenize,
	},
	{
		.name = "import",
		.summary = "make an artifact of a model in Hugging Face's layout",
		.inputs = import_inputs,
		.n_inputs = CAIRN_COUNT(import_inputs),
		.outputs = import_outputs,
		.n_outputs = CAIRN_COUNT(import_outputs),
		.capabilities = CAIRN_NEEDS_KERNELS,
		.run = tool_import,
	},
	{
		.name = "export",
		.summary = "write a model in Hugging Face's layout",
		.params = export_options,
		.n_params = CAIRN_COUNT(export_options),
		.params_size = sizeof(export_params),
		.inputs = export_inputs,
		.n_inputs = CAIRN_COUNT(export_inputs),
		.outputs = export_outputs,
		.n_outputs = CAIRN_COUNT(export_outputs),
		.capabilities = CAIRN_NEEDS_KERNELS,
		.run = tool_export,
	},
};

CAIRN_EXPORT const cairn_tools cairn_tools_table = {
	.head = CAIRN_TOOL_HEAD(cairn_tools),
	.tools = tools,
	.n_tools = CAIRN_COUNT(tools),
	.version = "1",
};
