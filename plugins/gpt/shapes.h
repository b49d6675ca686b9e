/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shapes.h - records in the shapes that published data sets have, turned into rows.
 *
 *   own        {"prompt","completion"}, {"prompt"}, {"prompt","completions":[K],"ranks":[K]}; equal
 *              ranks are ties; "scores":[K] (the highest is best) in place of ranks; or whatever
 * the templates of the fields say trl        {"prompt","completion"},
 * {"prompt","chosen","rejected"}, {"chosen","rejected"}; each a text or a list of messages
 * {"role","content"} messages   {"messages":[{"role","content"}..]} hh {"chosen","rejected"}, whole
 * dialogs "\n\nHuman: ..\n\nAssistant: .." openrlhf   as trl, under keys that are parameters
 *   summarize  {"info":{..},"summaries":[{"text"},{"text"}],"choice","worker"}
 *   oasst      trees of messages whose sibling replies have a "rank"
 *   bestof     {"query","sample0".."sample3","best"}
 *
 * A record of two or more completions is a ranking; where a demonstration is wanted, it is the best
 * of them. One tree gives many rows, every other record one. docs/data.md has an example of each.
 */
#ifndef CAIRN_GPT_SHAPES_H
#define CAIRN_GPT_SHAPES_H

#include "base/arena.h"
#include "base/json.h"
#include "gpt/jsonl.h"
#include "gpt/rows.h"

#define GPT_SHAPE_NAMES "auto|own|trl|messages|hh|openrlhf|summarize|oasst|bestof"

enum gpt_shape {
	GPT_SHAPE_AUTO,
	GPT_SHAPE_OWN,
	GPT_SHAPE_TRL,
	GPT_SHAPE_MESSAGES,
	GPT_SHAPE_HH,
	GPT_SHAPE_OPENRLHF,
	GPT_SHAPE_SUMMARIZE,
	GPT_SHAPE_OASST,
	GPT_SHAPE_BESTOF,
	GPT_SHAPES
};

enum gpt_want {
	GPT_WANT_DEMO,    /* prompt and completion */
	GPT_WANT_PROMPT,  /* the prompt alone */
	GPT_WANT_RANKING, /* prompt, completions, ranks */
};

/* Parameters of every stage that reads people's data. */
typedef struct gpt_shape_params {
	int32_t shape, synthetic;
	const char *input_key, *output_key, *prompt_key, *chosen_key, *rejected_key;
	const char *system_turn, *user_turn, *assistant_turn;
	double max_bad;
} gpt_shape_params;

/* Rows of the table of parameters; `at` is the offset of the gpt_shape_params. */
#define GPT_SHAPE_TEXT(at, name, doc, fallback)                                             \
	{                                                                                   \
#name, doc, CAIRN_PARAM_STRING, 0, (at) + offsetof(gpt_shape_params, name), \
			fallback, 0, 0, NULL, NULL                                          \
	}
#define GPT_SHAPE_PARAMS(at)                                                                          \
	{"shape",                                                                                     \
		"Shape of the input's records (docs/data.md); auto: seen from each file's first "     \
		"record.",                                                                            \
		CAIRN_PARAM_ENUM, 0, (at) + offsetof(gpt_shape_params, shape), "auto", 0, 0, NULL,    \
		GPT_SHAPE_NAMES},                                                                     \
		{"max_bad",                                                                           \
			"Share of bad rows that are left out before the stage fails, of the rows "    \
			"of one port.",                                                               \
			CAIRN_PARAM_REAL, 0, (at) + offsetof(gpt_shape_params, max_bad), "0", 0,      \
			1, NULL, NULL},                                                               \
		GPT_SHAPE_TEXT(                                                                       \
			at, input_key, "openrlhf: key of a demonstration's prompt.", "input"),        \
		GPT_SHAPE_TEXT(at, output_key, "openrlhf: key of a demonstration's completion.",      \
			"output"),                                                                    \
		GPT_SHAPE_TEXT(at, prompt_key,                                                        \
			"openrlhf: key of a comparison's prompt; where it is missing, the prompt is " \
			"what both dialogs have in common.",                                          \
			"prompt"),                                                                    \
		GPT_SHAPE_TEXT(                                                                       \
			at, chosen_key, "openrlhf: key of the better completion.", "chosen"),         \
		GPT_SHAPE_TEXT(                                                                       \
			at, rejected_key, "openrlhf: key of the worse completion.", "rejected"),      \
		GPT_SHAPE_TEXT(at, system_turn,                                                       \
			"Messages: template of what the system says; it has {content}.",              \
			"{content}"),                                                                 \
		GPT_SHAPE_TEXT(at, user_turn, "Messages: template of what the user says.",            \
			"\\n\\nHuman: {content}"),                                                    \
		GPT_SHAPE_TEXT(at, assistant_turn,                                                    \
			"Messages: template of what the assistant says; a prompt ends before its "    \
			"{content} and the blank before that.",                                       \
			"\\n\\nAssistant: {content}"),                                                \
	{                                                                                             \
		"synthetic", "oasst: keep replies that a model wrote.", CAIRN_PARAM_BOOL, 0,          \
			(at) + offsetof(gpt_shape_params, synthetic), "no", 0, 0, NULL, NULL          \
	}

/* Templates of fields; "": where the shape has the field. */
typedef struct gpt_fields {
	const char *prompt, *completion, *user, *labeler, *group, *answer;
} gpt_fields;

typedef struct gpt_shaper {
	const gpt_shape_params *params;
	gpt_fields fields;
	enum gpt_want want;
	cairn_arena *arena;
	/* The rows of the record that was shaped last. */
	gpt_row *rows;
	size_t n, cap;
} gpt_shaper;

extern const char *const gpt_shape_names[GPT_SHAPES];

/* EPARAM where a template of the parameters is wrong. */
CAIRN_MUST int gpt_shape_check(const gpt_shape_params *params, cairn_error *err);
/* The shape of a file whose first record this is; GPT_SHAPE_AUTO where it has none we know. */
enum gpt_shape gpt_shape_recognise(const gpt_shaper *shaper, const json_t *record);
/* shaper->rows[0..n) from the record that `reader` read last. EINPUT, placed at the record, where
 * it is not of this shape or no row can be made of it; ENOMEM. Texts live in the arena. */
CAIRN_MUST int gpt_shape_record(gpt_shaper *shaper, enum gpt_shape shape, gpt_jsonl *reader,
	const json_t *record, cairn_error *err);
/* Frees the list, not the texts. */
void gpt_shaper_close(gpt_shaper *shaper);

#endif
