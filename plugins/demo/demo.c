/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo.c - stage `demo`: demonstrations and prompts, read, sifted and split.
 *
 * In the order of the paper (2203.02155, 3.2 and A.1): duplicates go, found by a long common
 * prefix; a user gives at most 200 prompts; the split is by user, so that nobody's rows are on
 * both sides; what identifies people is taken out of the training side. Prompts for the later
 * steps come from a file of their own, or else from the demonstrations; a user is on the same side
 * in both. Rows keep the order of the files.
 * Reads like: demo_read.c, demo_sift.c, demo_report.c.
 */
#include "demo.h"

#include "base/alloc.h"
#include "gpt/template.h"

static const cairn_param params[] = {
	{"prompt",
		"Template of the prompt: {field}, {field?} where it may be missing. Other than the "
		"default, it is taken whatever the shape.",
		CAIRN_PARAM_STRING, 0, offsetof(struct demo_params, prompt), "{prompt}", 0, 0, NULL,
		NULL},
	{"completion", "Template of the completion, shape own.", CAIRN_PARAM_STRING, 0,
		offsetof(struct demo_params, completion), "{completion}", 0, 0, NULL, NULL},
	{"user", "Template of who asked: the cap and the split go by it.", CAIRN_PARAM_STRING, 0,
		offsetof(struct demo_params, user), "{user?}", 0, 0, NULL, NULL},
	{"labeler", "Template of who demonstrated.", CAIRN_PARAM_STRING, 0,
		offsetof(struct demo_params, labeler), "{labeler?}", 0, 0, NULL, NULL},
	{"answer", "Template of what a right completion contains.", CAIRN_PARAM_STRING, 0,
		offsetof(struct demo_params, answer), "{answer?}", 0, 0, NULL, NULL},
	{"dedupe_on", "What must begin alike in duplicates: the prompt, or prompt and completion.",
		CAIRN_PARAM_ENUM, 0, offsetof(struct demo_params, dedupe_on), "prompt", 0, 0, NULL,
		"prompt|row"},
	{"dedupe_prefix",
		"Length of the common prefix that makes duplicates (2203.02155, A.1 has the method "
		"but no length); shorter texts must be equal. 0: all must be equal.",
		CAIRN_PARAM_INT, 0, offsetof(struct demo_params, dedupe_prefix), "128", 0, 1000000,
		"characters", NULL},
	{"cap_per_user", "Rows that are kept of one user (2203.02155, 3.2: 200); 0: all.",
		CAIRN_PARAM_INT, 0, offsetof(struct demo_params, cap_per_user), "200", 0, 1e15,
		"rows", NULL},
	{"valid_fraction", "Share of users held out; of prompts, where rows have no user.",
		CAIRN_PARAM_REAL, 0, offsetof(struct demo_params, valid_fraction), "0.1", 0, 0.5,
		NULL, NULL},
	{"pii",
		"What to do with training rows that hold mail addresses, telephone, card or IP "
		"numbers.",
		CAIRN_PARAM_ENUM, 0, offsetof(struct demo_params, pii), "none", 0, 0, NULL,
		"none|drop|mask"},
	GPT_SHAPE_PARAMS(offsetof(struct demo_params, shapes)),
};

static const cairn_port inputs[] = {
	{"demos", "file", CAIRN_PORT_MANY, 0,
		"Demonstrations: JSON lines or an array, also packed with gzip; docs/data.md."},
	{"prompts", "file", CAIRN_PORT_MANY | CAIRN_PORT_OPTIONAL, 0,
		"Prompts for rankings and PPO, in the same shapes."},
};

static const cairn_port outputs[] = {
	{"train", "dataset/demo", 0, 0, "Demonstrations to train on."},
	{"valid", "dataset/demo", 0, 0, "Demonstrations of other users."},
	{"prompts_train", "dataset/prompt", 0, 0, "Prompts to train on."},
	{"prompts_valid", "dataset/prompt", 0, 0, "Prompts of other users."},
	{"report", "report", 0, 0, "What became of the rows."},
};

static int check(const void *given, cairn_error *err)
{
	const struct demo_params *p = given;
	const struct {
		const char *name, *text;
	} templates[] = {{"prompt", p->prompt}, {"completion", p->completion}, {"user", p->user},
		{"labeler", p->labeler}, {"answer", p->answer}};

	for (size_t i = 0; i < CAIRN_COUNT(templates); i++) {
		int rc = gpt_template_check(templates[i].name, templates[i].text, err);

		if (rc)
			return rc;
	}
	return gpt_shape_check(&p->shapes, err);
}

static int load_set(struct demo_work *w, struct demo_set *set)
{
	int rc;

	if ((rc = demo_read(w, set)) || (rc = demo_sift(w, set)))
		return rc;
	set->is_valid = cairn_alloc(set->n + 1, sizeof(*set->is_valid));
	if (!set->is_valid)
		return w->host->fail(w->run, CAIRN_ENOMEM, "no memory for the rows");
	return 0;
}

/* The rows of one side, as a dataset. */
static int put_side(const struct demo_work *w, const gpt_row *rows, size_t n, bool no_completions,
	const char *port)
{
	gpt_rows_writer *writer = gpt_rows_writer_new();
	int rc = writer ? 0 : CAIRN_ENOMEM;

	for (size_t i = 0; !rc && i < n; i++) {
		gpt_row row = rows[i];

		if (no_completions)
			row.completion = row.labeler = NULL;
		rc = gpt_rows_writer_add(writer, &row);
	}
	if (rc)
		rc = w->host->fail(w->run, CAIRN_ENOMEM, "no memory for the rows");
	else
		rc = gpt_rows_writer_commit(writer, w->host, w->run, port);
	gpt_rows_writer_free(writer);
	return rc;
}

/* One side of a set; as prompts, each only once. */
static int put_rows(struct demo_work *w, const struct demo_set *set, bool is_valid, bool as_prompts,
	const char *port)
{
	gpt_row *rows = cairn_alloc(set->n + 1, sizeof(*rows));
	size_t n = 0;
	int rc = 0;

	if (!rows)
		return w->host->fail(w->run, CAIRN_ENOMEM, "no memory for the rows");
	for (size_t i = 0; i < set->n; i++)
		if (set->is_valid[i] == is_valid)
			rows[n++] = set->rows[i];
	if (as_prompts)
		rc = demo_unique_prompts(w, rows, &n);
	if (!rc)
		rc = put_side(w, rows, n, as_prompts, port);
	free(rows);
	return rc;
}

static int run(const cairn_host *host, cairn_run *the_run, const void *given)
{
	struct demo_work w = {.host = host,
		.run = the_run,
		.params = given,
		.arena = cairn_arena_new(),
		.demos = {.port = "demos", .has_completions = true},
		.prompts = {.port = "prompts"}};
	const struct demo_set *prompts =
		host->input_count(the_run, "prompts") ? &w.prompts : &w.demos;
	int rc;

	if ((rc = load_set(&w, &w.demos)) || (rc = load_set(&w, &w.prompts)) ||
		(rc = demo_split(&w)))
		goto out;
	demo_clean(&w, &w.demos);
	demo_clean(&w, &w.prompts);
	if (!w.demos.counts.train) {
		rc = host->fail(the_run, CAIRN_EINPUT,
			"no demonstration is left of %llu for training",
			(unsigned long long)w.demos.tally.records);
		goto out;
	}
	if ((rc = put_rows(&w, &w.demos, false, false, "train")) ||
		(rc = put_rows(&w, &w.demos, true, false, "valid")) ||
		(rc = put_rows(&w, prompts, false, true, "prompts_train")) ||
		(rc = put_rows(&w, prompts, true, true, "prompts_valid")) || (rc = demo_report(&w)))
		goto out;
	host->summary(the_run, "train", (double)w.demos.counts.train);
	host->summary(the_run, "valid", (double)w.demos.counts.valid);
out:
	free(w.demos.rows);
	free(w.demos.is_valid);
	free(w.prompts.rows);
	free(w.prompts.is_valid);
	gpt_tally_free(&w.demos.tally);
	gpt_tally_free(&w.prompts.tally);
	cairn_arena_free(w.arena);
	return rc;
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "demo",
	.summary = "demonstrations and prompts: deduplicated, capped, split by user",
	.version = "3",
	.license = "Apache-2.0",
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = sizeof(struct demo_params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run,
	.check = check,
	.estimate = demo_estimate,
};
