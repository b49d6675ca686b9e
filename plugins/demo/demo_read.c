/* SPDX-License-Identifier: Apache-2.0 */
/* demo_read.c - the files of a port to rows; fields come by the templates of the parameters. */
#include <string.h>

#include "base/alloc.h"
#include "demo.h"

struct taking {
	const struct demo_work *w;
	struct demo_set *set;
};

static int take(void *context, const gpt_row *row)
{
	const struct taking *to = context;
	struct demo_set *set = to->set;

	if (set->n == set->cap) {
		size_t cap = set->cap ? set->cap * 2 : 256;
		gpt_row *rows = cairn_realloc(set->rows, cap, sizeof(*rows));

		if (!rows)
			return to->w->host->fail(
				to->w->run, CAIRN_ENOMEM, "no memory for the rows");
		set->rows = rows;
		set->cap = cap;
	}
	set->rows[set->n++] = *row;
	return 0;
}

/* A template that was left as it is leaves the field to the shape. */
static const char *unless(const char *template, const char *fallback)
{
	return strcmp(template, fallback) ? template : "";
}

int demo_read(struct demo_work *w, struct demo_set *set)
{
	const struct demo_params *p = w->params;
	struct taking to = {w, set};
	gpt_rows_reader reader = {.host = w->host,
		.run = w->run,
		.port = set->port,
		.take = take,
		.context = &to,
		.shaper = {.params = &p->shapes,
			.want = set->has_completions ? GPT_WANT_DEMO : GPT_WANT_PROMPT,
			.arena = w->arena,
			.fields = {.prompt = unless(p->prompt, "{prompt}"),
				.completion = unless(p->completion, "{completion}"),
				.user = p->user,
				.labeler = p->labeler,
				.group = "",
				.answer = p->answer}}};

	return gpt_rows_read(&reader, &set->tally);
}
