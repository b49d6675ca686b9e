/* SPDX-License-Identifier: Apache-2.0 */
/* shapes_internal.h - what the files of shapes.h share. Reads like: shapes.c. */
#ifndef CAIRN_GPT_SHAPES_INTERNAL_H
#define CAIRN_GPT_SHAPES_INTERNAL_H

#include "base/text.h"
#include "gpt/shapes.h"

/* One record on its way to rows. */
struct record {
	gpt_shaper *shaper;
	gpt_jsonl *reader;
	const json_t *json;
	cairn_error *err;
	const char *user, *labeler; /* the shape's templates of these, where the fields give none */
};

/* ---- shapes.c --------------------------------------------------------------------------- */

/* object[key], NULL where it is null. */
const json_t *shape_get(const json_t *object, const char *key);
/* A copy of a JSON string in the arena. */
const char *shape_copy(const struct record *r, const json_t *string);
/* The member `key`, which must be a text: as it lies in the record, or copied. */
CAIRN_MUST int shape_borrow(const struct record *r, const char *key, const char **out);
CAIRN_MUST int shape_text(const struct record *r, const char *key, const char **out);
/* A template's text in the arena. */
CAIRN_MUST int shape_render(const struct record *r, const char *template, const char **out);
/* Adds a row of a prompt and K completions; ranks NULL: one completion, a demonstration. K = 0: a
 * prompt. Fills in who and what the fields say, and takes what is wanted of it. */
CAIRN_MUST int shape_add(const struct record *r, const char *prompt, const char *const *completions,
	const int32_t *ranks, int32_t K);
/* A pair of which the first is the better one. */
CAIRN_MUST int shape_add_pair(
	const struct record *r, const char *prompt, const char *chosen, const char *rejected);

/* ---- shapes_dialog.c: messages and dialogs as texts ----------------------------------------- */

/* The messages [0..n) as a text that ends where the assistant begins to write. */
CAIRN_MUST int dialog_prompt(
	const struct record *r, const json_t *messages, size_t n, const char **out);
/* What the assistant writes behind such a prompt: the content of one message. */
CAIRN_MUST int dialog_completion(const struct record *r, const json_t *message, const char **out);
/* A prompt that is a text or a list of messages. */
CAIRN_MUST int dialog_prompt_of(const struct record *r, const char *key, const char **out);
/* A completion that is a text or a list of one message. */
CAIRN_MUST int dialog_completion_of(const struct record *r, const char *key, const char **out);
/* {chosen, rejected} with or without a prompt beside them; "" as prompt_key: without. */
CAIRN_MUST int dialog_pair(const struct record *r, const char *prompt_key, const char *chosen_key,
	const char *rejected_key);
CAIRN_MUST int dialog_messages(const struct record *r);
/* Two whole HH dialogs. */
CAIRN_MUST int dialog_hh(const struct record *r);

/* ---- shapes_sets.c: data sets of a form of their own -------------------------------------------
 */

CAIRN_MUST int set_summarize(struct record *r);
CAIRN_MUST int set_oasst(struct record *r);
CAIRN_MUST int set_bestof(const struct record *r);

#endif
