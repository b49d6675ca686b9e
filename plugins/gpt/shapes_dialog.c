/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shapes_dialog.c - dialogs as a prompt and what the assistant answers.
 *
 * Messages are written by the templates of the turns, and a prompt ends where the assistant's next
 * words would begin. The blank before {content} belongs to the completion: with "\n\nAssistant:
 * {content}" the prompt ends in "Assistant:" and the completion begins with " ", as the texts of
 * HH-RLHF have it and as GPT-2's tokens do. What follows {content} is left out of a completion,
 * because the end token stands there.
 */
#include <string.h>

#include "gpt/shapes_internal.h"
#include "gpt/template.h"

static const char answer_mark[] = "\n\nAssistant:", question_mark[] = "\n\nHuman:";

enum {
	BEFORE = 1,
	WITHIN = 2,
	AFTER = 4
};

/* ---- messages to text ----------------------------------------------------------------------- */

static int bad(const struct record *r, const char *what)
{
	return gpt_jsonl_bad(r->reader, GPT_BAD_DIALOG, r->err, "%s", what);
}

/* The template of a role's turn, or NULL. Data sets differ in what they call the two. */
static const char *turn_of(const gpt_shape_params *p, const char *role)
{
	if (!strcmp(role, "assistant"))
		return p->assistant_turn;
	if (!strcmp(role, "user") || !strcmp(role, "prompter"))
		return p->user_turn;
	return !strcmp(role, "system") ? p->system_turn : NULL;
}

static bool is_assistant(const json_t *message)
{
	return !strcmp(cairn_json_string(message, "role", ""), "assistant");
}

/* Content of a message, and its role's template; Open-Assistant says "text". */
static int look_at(
	const struct record *r, const json_t *message, const char **turn, const json_t **content)
{
	const json_t *role = shape_get(message, "role");

	*content = shape_get(message, "content");
	if (!*content)
		*content = shape_get(message, "text");
	if (!json_is_string(role) || !json_is_string(*content))
		return gpt_jsonl_bad(r->reader, GPT_BAD_TYPE, r->err,
			"a message has no role or no text as content");
	*turn = turn_of(r->shaper->params, json_string_value(role));
	if (!*turn)
		return gpt_jsonl_bad(r->reader, GPT_BAD_DIALOG, r->err,
			"role '%.40s' is none of system, user, assistant", json_string_value(role));
	return 0;
}

/* Appends the given parts of a turn. The template has {content} (gpt_shape_check). */
static int add_turn(const struct record *r, const char *turn, const json_t *message,
	const json_t *content, int parts, cairn_text *out)
{
	const char *middle = strstr(turn, "{content}"), *behind = middle + strlen("{content}");
	char *before = cairn_arena_strndup(r->shaper->arena, turn, (size_t)(middle - turn));
	int rc = 0;

	if (parts & BEFORE)
		rc = gpt_template_render(before, message, out, r->err);
	if (!rc && (parts & WITHIN))
		cairn_text_add_bytes(out, json_string_value(content), json_string_length(content));
	if (!rc && (parts & AFTER))
		rc = gpt_template_render(behind, message, out, r->err);
	if (!rc)
		return 0;
	r->reader->why = GPT_BAD_DIALOG;
	cairn_error_at(r->err, "%s:%llu", r->reader->source, (unsigned long long)r->reader->line);
	return rc;
}

/* Blanks at the end of what comes before the assistant's content. */
static size_t blanks_before(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && text[len - 1 - n] == ' ')
		n++;
	return n;
}

/* The assistant's turn up to its content, rendered for a message of no content. */
static int add_opening(const struct record *r, cairn_text *out)
{
	json_t *nobody = json_pack("{s:s, s:s}", "role", "assistant", "content", "");
	int rc = nobody ? add_turn(r, r->shaper->params->assistant_turn, nobody, NULL, BEFORE, out)
			: cairn_error_set(r->err, CAIRN_ENOMEM, "no memory for a dialog");

	json_decref(nobody);
	return rc;
}

static int take(
	const struct record *r, int rc, cairn_text *text, size_t from, size_t to, const char **out)
{
	if (!rc && text->failed)
		rc = cairn_error_set(r->err, CAIRN_ENOMEM, "no memory for a dialog");
	if (!rc)
		*out = cairn_arena_strndup(
			r->shaper->arena, cairn_text_get(text) + from, to - from);
	cairn_text_free(text);
	return rc;
}

int dialog_prompt(const struct record *r, const json_t *messages, size_t n, const char **out)
{
	cairn_text text = {0};
	int rc = n ? 0 : bad(r, "nothing is said before the assistant's turn");

	for (size_t i = 0; !rc && i < n; i++) {
		const json_t *message = json_array_get(messages, i), *content;
		const char *turn;

		rc = look_at(r, message, &turn, &content);
		if (!rc)
			rc = add_turn(r, turn, message, content, BEFORE | WITHIN | AFTER, &text);
	}
	if (!rc)
		rc = add_opening(r, &text);
	return take(
		r, rc, &text, 0, text.len - blanks_before(cairn_text_get(&text), text.len), out);
}

int dialog_completion(const struct record *r, const json_t *message, const char **out)
{
	cairn_text text = {0};
	const json_t *content;
	const char *turn;
	size_t from = 0;
	int rc = look_at(r, message, &turn, &content);

	if (!rc && !is_assistant(message))
		rc = bad(r, "the last message is not the assistant's");
	if (!rc && !json_string_value(content)[strspn(json_string_value(content), " \t\r\n")])
		rc = gpt_jsonl_bad(
			r->reader, GPT_BAD_EMPTY, r->err, "the assistant's message is empty");
	if (!rc)
		rc = add_opening(r, &text);
	if (!rc) {
		from = text.len - blanks_before(cairn_text_get(&text), text.len);
		rc = add_turn(r, turn, message, content, WITHIN, &text);
	}
	return take(r, rc, &text, from, text.len, out);
}

/* ---- a text or messages
 * -------------------------------------------------------------------------- */

int dialog_prompt_of(const struct record *r, const char *key, const char **out)
{
	const json_t *value = shape_get(r->json, key);

	if (json_is_array(value))
		return dialog_prompt(r, value, json_array_size(value), out);
	return shape_text(r, key, out);
}

int dialog_completion_of(const struct record *r, const char *key, const char **out)
{
	const json_t *value = shape_get(r->json, key);

	if (!json_is_array(value))
		return shape_text(r, key, out);
	if (json_array_size(value) != 1)
		return gpt_jsonl_bad(r->reader, GPT_BAD_DIALOG, r->err,
			"'%.60s' is not one message but %zu", key, json_array_size(value));
	return dialog_completion(r, json_array_get(value, 0), out);
}

int dialog_messages(const struct record *r)
{
	const json_t *list = shape_get(r->json, "messages");
	size_t n = json_array_size(list);
	const char *prompt, *completion = NULL;
	bool has_answer = n && is_assistant(json_array_get(list, n - 1));
	int rc;

	if (!json_is_array(list))
		return gpt_jsonl_bad(
			r->reader, GPT_BAD_TYPE, r->err, "'messages' is no list of messages");
	if (!has_answer && r->shaper->want != GPT_WANT_PROMPT)
		return bad(r, "the last message is not the assistant's");
	rc = dialog_prompt(r, list, n - has_answer, &prompt);
	if (!rc && has_answer)
		rc = dialog_completion(r, json_array_get(list, n - 1), &completion);
	return rc ? rc : shape_add(r, prompt, &completion, NULL, has_answer);
}

/* ---- comparisons
 * ------------------------------------------------------------------------------------ */

static size_t common(const char *a, const char *b)
{
	size_t n = 0;

	while (a[n] && a[n] == b[n])
		n++;
	return n;
}

/* The last place of `mark` in text, or NULL. */
static const char *last_of(const char *text, const char *mark)
{
	const char *found = NULL;

	for (const char *at = text; (at = strstr(at, mark)); at++)
		found = at;
	return found;
}

/* The pair that two texts make which have their first n bytes in common. Only now anything is
 * copied: the dialogs of a large file share most of what they say. */
static int add_split(const struct record *r, const char *chosen, const char *rejected, size_t n)
{
	cairn_arena *arena = r->shaper->arena;

	return shape_add_pair(r, cairn_arena_strndup(arena, chosen, n),
		cairn_arena_strdup(arena, chosen + n), cairn_arena_strdup(arena, rejected + n));
}

/* Anthropic's data: both end in an answer, and what comes before must be the same. */
static int split_hh(const struct record *r, const char *chosen, const char *rejected)
{
	const char *one = last_of(chosen, answer_mark), *other = last_of(rejected, answer_mark);
	size_t n;

	if (!one || !other)
		return bad(r, "dialog without '\\n\\nAssistant:'");
	n = (size_t)(one - chosen) + strlen(answer_mark);
	if (common(chosen, rejected) < n || other - rejected != one - chosen)
		return gpt_jsonl_bad(r->reader, GPT_BAD_PROMPTS, r->err,
			"the dialogs differ before the last answer");
	if (strstr(chosen + n, question_mark) || strstr(rejected + n, question_mark))
		return bad(r, "a dialog does not end with the assistant's answer");
	return add_split(r, chosen, rejected, n);
}

/* The prompt is what both texts begin with, cut back to before a blank, so that no word and no
 * character is cut; TRL's extract_prompt cuts anywhere. */
static int split_texts(const struct record *r, const char *chosen, const char *rejected)
{
	size_t n = common(chosen, rejected);

	if (chosen[n] == '\0' && rejected[n] == '\0')
		return gpt_jsonl_bad(
			r->reader, GPT_BAD_EQUAL, r->err, "chosen and rejected are equal");
	while (n && chosen[n] != ' ' && chosen[n] != '\n')
		n--;
	if (!n)
		return gpt_jsonl_bad(r->reader, GPT_BAD_PROMPTS, r->err,
			"chosen and rejected have no prompt in common");
	return add_split(r, chosen, rejected, n);
}

static int split_messages(const struct record *r, const json_t *chosen, const json_t *rejected)
{
	size_t n = json_array_size(chosen), k = 0;
	const char *prompt, *one, *other;
	int rc;

	while (k + 1 < n && json_equal(json_array_get(chosen, k), json_array_get(rejected, k)))
		k++;
	if (n < 2 || json_array_size(rejected) != n || k + 1 != n)
		return gpt_jsonl_bad(r->reader, GPT_BAD_PROMPTS, r->err,
			"the dialogs differ before the last message");
	if ((rc = dialog_prompt(r, chosen, k, &prompt)) ||
		(rc = dialog_completion(r, json_array_get(chosen, k), &one)) ||
		(rc = dialog_completion(r, json_array_get(rejected, k), &other)))
		return rc;
	return shape_add_pair(r, prompt, one, other);
}

int dialog_pair(const struct record *r, const char *prompt_key, const char *chosen_key,
	const char *rejected_key)
{
	const json_t *chosen = shape_get(r->json, chosen_key);
	const json_t *rejected = shape_get(r->json, rejected_key);
	const json_t *prompt = prompt_key[0] ? shape_get(r->json, prompt_key) : NULL;
	const char *question, *one, *other;
	int rc;

	/* A text beside two dialogs of messages repeats their first question. */
	if (json_is_array(chosen) && json_is_array(rejected) && !json_is_array(prompt) &&
		(!prompt || json_array_size(chosen) > 1))
		return split_messages(r, chosen, rejected);
	if (!prompt) {
		if ((rc = shape_borrow(r, chosen_key, &one)) ||
			(rc = shape_borrow(r, rejected_key, &other)))
			return rc;
		return strstr(one, answer_mark) && strstr(other, answer_mark)
			       ? split_hh(r, one, other)
			       : split_texts(r, one, other);
	}
	if ((rc = dialog_prompt_of(r, prompt_key, &question)) ||
		(rc = dialog_completion_of(r, chosen_key, &one)) ||
		(rc = dialog_completion_of(r, rejected_key, &other)))
		return rc;
	return shape_add_pair(r, question, one, other);
}

int dialog_hh(const struct record *r)
{
	const char *chosen, *rejected;
	int rc;

	if (shape_get(r->json, "prompt"))
		return gpt_jsonl_bad(r->reader, GPT_BAD_SHAPE, r->err,
			"row has a 'prompt' of its own, the rows before it have none");
	if ((rc = shape_borrow(r, "chosen", &chosen)) ||
		(rc = shape_borrow(r, "rejected", &rejected)))
		return rc;
	return split_hh(r, chosen, rejected);
}
