/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ranking_simulate.c - labelers whose wishes are known, so that everything after them can be
 * checked: does the reward model find the utility, does the policy follow it?
 *
 * Each prompt goes to one member of the group, as most of the paper's did (2203.02155, 5.3), and
 * the share `overlap` of them to a second one, which measures the agreement. A member's weights
 * depend on the name alone: ann is the same person in every stage.
 */
#include <string.h>

#include "base/alloc.h"
#include "gpt/labeler.h"
#include "gpt/rng.h"
#include "gpt/rows_split.h"
#include "ranking.h"

#define MAX_MEMBERS 1000
#define MAX_K       64

/* Names of people are hashed under this key, in every run. */
#define PEOPLE 0x6c6162656c657273u /* "labelers" */

struct member {
	const char *name;
	gpt_utility utility;
};

struct crowd {
	struct member *members;
	size_t n;
	uint64_t assign_key, noise_key;
};

static void add_member(struct ranking_work *w, struct crowd *crowd, const gpt_utility *common,
	const char *name, size_t len)
{
	struct member *m = &crowd->members[crowd->n++];

	m->name = cairn_arena_strndup(w->arena, name, len);
	m->utility = *common;
	for (int32_t i = 0; i < common->n_terms; i++)
		m->utility.weight[i] *=
			1 + w->params->disagreement *
				    gpt_random_normal(PEOPLE, gpt_hash_text(m->name), (uint64_t)i);
}

/* "ann, bob cem": names separated by commas or blanks. */
static int read_members(struct ranking_work *w, struct crowd *crowd)
{
	const char *at = w->params->members;
	gpt_utility common;
	cairn_error err = {0};

	if (gpt_utility_parse(&common, w->params->utility, &err))
		return w->host->fail_with(w->run, &err);
	crowd->members = cairn_arena_alloc(w->arena, MAX_MEMBERS, sizeof(*crowd->members));
	while (*(at += strspn(at, ", \t\n"))) {
		size_t len = strcspn(at, ", \t\n");

		if (crowd->n == MAX_MEMBERS)
			return w->host->fail(
				w->run, CAIRN_ELIMIT, "group of more than %d members", MAX_MEMBERS);
		add_member(w, crowd, &common, at, len);
		at += len;
	}
	if (!crowd->n)
		add_member(w, crowd, &common, w->params->group[0] ? w->params->group : "labeler",
			strlen(w->params->group[0] ? w->params->group : "labeler"));
	return 0;
}

/* The ranking of row `index` by one member, as a row of its own. */
static int rank_by(struct ranking_work *w, const struct crowd *crowd, const gpt_row *row,
	uint64_t index, size_t member, const int32_t **ranks_out)
{
	const struct member *m = &crowd->members[member];
	double utility[MAX_K];
	int32_t *ranks = cairn_arena_alloc(w->arena, (size_t)row->n_completions, sizeof(*ranks));
	gpt_row ranking = *row;

	for (int32_t k = 0; k < row->n_completions; k++)
		utility[k] = gpt_utility_of(&m->utility, row->completions[k], row->answer,
			row->ended ? row->ended[k] : true);
	gpt_utility_rank(utility, row->n_completions, w->params->noise, crowd->noise_key,
		index * MAX_MEMBERS + member, ranks);
	ranking.completion = NULL;
	ranking.ranks = ranks;
	ranking.labeler = m->name;
	ranking.group = w->params->group;
	*ranks_out = NULL;
	if (!ranking_folds_keep(w, m->name, &ranking.group)) {
		w->other_fold++;
		return 0;
	}
	*ranks_out = ranks;
	return ranking_add(w, &ranking);
}

static int rank_row(
	struct ranking_work *w, const struct crowd *crowd, const gpt_row *row, uint64_t index)
{
	size_t first = gpt_random_below(crowd->assign_key, index, 0, crowd->n), second;
	bool twice = crowd->n > 1 &&
		     gpt_random_uniform(crowd->assign_key, index, 1) < w->params->overlap;
	const int32_t *ranks[2];
	int rc = ranking_add_draw(w, row);

	if (!rc)
		rc = rank_by(w, crowd, row, index, first, &ranks[0]);
	if (rc || !twice)
		return rc;
	second = gpt_random_below(crowd->assign_key, index, 2, crowd->n - 1);
	second += second >= first;
	rc = rank_by(w, crowd, row, index, second, &ranks[1]);
	if (!rc && ranks[0] && ranks[1])
		ranking_agree(&w->agreement, ranks, 2, row->n_completions);
	return rc;
}

int ranking_simulate(struct ranking_work *w)
{
	struct crowd crowd = {.assign_key = w->host->rng_key(w->run, "assign"),
		.noise_key = w->host->rng_key(w->run, "noise")};
	gpt_rows rows;
	int rc = read_members(w, &crowd);

	for (size_t i = 0; !rc && i < crowd.n; i++)
		rc = ranking_folds_name(w, crowd.members[i].name);
	if (!rc)
		rc = ranking_folds_deal(w);
	if (rc)
		return rc;
	rc = gpt_rows_load(&rows, w->host, w->run, "completions");
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < rows.n; i++) {
		w->read++;
		if (rows.rows[i].n_completions < 2)
			rc = w->host->fail(w->run, CAIRN_EINPUT,
				"row %zu has 1 completion: a ranking needs 2", i + 1);
		else
			rc = rank_row(w, &crowd, &rows.rows[i], i);
	}
	/* Our rows point into these; they live until the run ends. */
	if (rc)
		gpt_rows_free(&rows);
	else
		w->completions = rows;
	return rc;
}
