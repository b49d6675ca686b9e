/* SPDX-License-Identifier: Apache-2.0 */
/* shapes_sets.c - published data sets of a form of their own. */
#include <string.h>

#include "gpt/shapes_internal.h"

#define MAX_K 64 /* as rows.c has it */
/* Nesting is limited to 64 by the parser; a reply is a list and an object deep. */
#define MAX_PATH 40

/* ---- summarize-from-feedback (OpenAI, 2009.01325) ----------------------------------------------
 */

/* The query format of that paper's code, without its cut at 512 tokens. */
static const char post_template[] =
	"SUBREDDIT: r/{info.subreddit}\\nTITLE: {info.title}\\nPOST: {info.post}\\nTL;DR:";

int set_summarize(struct record *r)
{
	const json_t *list = shape_get(r->json, "summaries"),
		     *choice = shape_get(r->json, "choice");
	const char *prompt = "", *texts[2];
	int rc, better = (int)json_integer_value(choice);

	if (!json_is_array(list) || json_array_size(list) != 2)
		return gpt_jsonl_bad(
			r->reader, GPT_BAD_TYPE, r->err, "'summaries' is no list of two");
	for (size_t i = 0; i < 2; i++) {
		const json_t *text = shape_get(json_array_get(list, i), "text");

		if (!json_is_string(text))
			return gpt_jsonl_bad(r->reader, GPT_BAD_TYPE, r->err,
				"'summaries' item %zu has no text", i);
		texts[i] = shape_copy(r, text);
	}
	if (!json_is_integer(choice) || (json_integer_value(choice) | 1) != 1)
		return gpt_jsonl_bad(
			r->reader, GPT_BAD_VALUE, r->err, "'choice' is neither 0 nor 1");
	r->labeler = "{worker?}";
	rc = r->shaper->fields.prompt[0] ? 0 : shape_render(r, post_template, &prompt);
	if (!rc)
		return shape_add_pair(r, prompt, texts[better], texts[1 - better]);
	cairn_error_hint(r->err, "Set prompt to a template of the fields that 'info' has.");
	return rc;
}

/* ---- lm-human-preferences, best of four (OpenAI, 1909.08593)
 * --------------------------------------- */

int set_bestof(const struct record *r)
{
	const json_t *best = shape_get(r->json, "best");
	const char *prompt, *texts[MAX_K];
	int32_t *ranks = cairn_arena_alloc(r->shaper->arena, MAX_K, sizeof(*ranks));
	int32_t K = 0;
	char key[16];
	int rc = shape_text(r, "query", &prompt);

	for (; !rc && K < MAX_K; K++) {
		(void)snprintf(key, sizeof(key), "sample%d", (int)K);
		if (!shape_get(r->json, key))
			break;
		rc = shape_text(r, key, &texts[K]);
		ranks[K] = 1; /* all that are not best are alike */
	}
	if (rc) {
		cairn_error_hint(r->err, "Token ids must be decoded to texts first.");
		return rc;
	}
	if (!json_is_integer(best) || json_integer_value(best) < 0 || json_integer_value(best) >= K)
		return gpt_jsonl_bad(
			r->reader, GPT_BAD_VALUE, r->err, "'best' is no number below %d", (int)K);
	ranks[json_integer_value(best)] = 0;
	return shape_add(r, prompt, texts, ranks, K);
}

/* ---- Open-Assistant
 * -------------------------------------------------------------------------------- */

/* A reply that counts: the assistant's, not deleted, written by a person unless models' are
 * wanted, and ranked where a ranking is made. */
static bool is_usable(const struct record *r, const json_t *reply, bool ranked)
{
	return !strcmp(cairn_json_string(reply, "role", ""), "assistant") &&
	       !json_is_true(json_object_get(reply, "deleted")) &&
	       (r->shaper->params->synthetic ||
		       !json_is_true(json_object_get(reply, "synthetic"))) &&
	       (!ranked || json_is_integer(json_object_get(reply, "rank")));
}

/* The row of the replies to the last message of the path, where there are enough. */
static int add_replies(
	const struct record *r, const json_t *const *path, size_t depth, const json_t *replies)
{
	bool ranking = r->shaper->want == GPT_WANT_RANKING;
	bool asks = strcmp(cairn_json_string(path[depth - 1], "role", ""), "assistant") != 0;
	size_t n = json_array_size(replies);
	int32_t K = 0, *ranks = cairn_arena_alloc(r->shaper->arena, MAX_K, sizeof(*ranks));
	const char *prompt, *texts[MAX_K];
	json_t *messages;
	int rc = 0;

	for (size_t i = 0; !rc && i < n && K < MAX_K; i++) {
		const json_t *reply = json_array_get(replies, i);
		json_int_t rank = json_integer_value(json_object_get(reply, "rank"));

		if (!is_usable(r, reply, ranking))
			continue;
		if (rank < 0 || rank >= 1 << 20)
			return gpt_jsonl_bad(r->reader, GPT_BAD_RANKS, r->err,
				"'rank' is no rank (0, 1, 2 ...)");
		/* Unranked ones come last where the best one is wanted. */
		ranks[K] = is_usable(r, reply, true) ? (int32_t)rank : 1 << 20;
		rc = dialog_completion(r, reply, &texts[K++]);
	}
	/* A question that nobody answered is a prompt all the same. */
	if (rc || !asks || K < (ranking ? 2 : r->shaper->want == GPT_WANT_DEMO))
		return rc;
	messages = json_array();
	for (size_t i = 0; !rc && i < depth; i++)
		rc = json_array_append(messages, (json_t *)(uintptr_t)path[i]);
	rc = rc ? cairn_error_set(r->err, CAIRN_ENOMEM, "no memory for a dialog")
		: dialog_prompt(r, messages, depth, &prompt);
	json_decref(messages);
	return rc ? rc : shape_add(r, prompt, texts, ranks, K);
}

/* Walks the tree in the order of the file: a message, then what replies to it. */
int set_oasst(struct record *r)
{
	const json_t *path[MAX_PATH] = {shape_get(r->json, "prompt")};
	size_t next[MAX_PATH] = {0}, depth = 1;
	int rc = 0;

	if (!json_is_object(path[0]))
		return gpt_jsonl_bad(
			r->reader, GPT_BAD_TYPE, r->err, "'prompt' is no message with replies");
	/* Rows of one tree share their beginning: they stay on one side of the split. */
	r->user = "{message_tree_id?}";
	while (!rc && depth) {
		const json_t *replies = shape_get(path[depth - 1], "replies");

		if (replies && !json_is_array(replies))
			return gpt_jsonl_bad(
				r->reader, GPT_BAD_TYPE, r->err, "'replies' is no list");
		if (next[depth - 1] == 0)
			rc = add_replies(r, path, depth, replies);
		if (next[depth - 1] == json_array_size(replies)) {
			depth--;
			continue;
		}
		if (depth == MAX_PATH)
			return gpt_jsonl_bad(r->reader, GPT_BAD_LONG, r->err,
				"tree is deeper than %d", MAX_PATH);
		path[depth] = json_array_get(replies, next[depth - 1]++);
		next[depth++] = 0;
	}
	return rc;
}
