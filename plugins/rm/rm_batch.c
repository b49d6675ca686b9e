/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rm_batch.c - what an optimizer step is made of: rankings, or pairs of them.
 *
 * PAPER 2203.02155 section 3.5: comparisons that are shuffled into one data set are overfit within
 * one pass; so all C(K,2) pairs of a prompt are one element of a batch. Shuffled, an epoch has the
 * same pairs in as many steps of as many pairs each; but a completion's score is pushed in up to
 * K-1 of them, and computed as often.
 */
#include <math.h>

#include "base/alloc.h"
#include "gpt/optimizer.h"
#include "rm.h"

static const gpt_row *ranking_row(const rm_stage *self, size_t u)
{
	const rm_rankings *set = &self->train;

	return &set->rows.rows[set->examples.row[set->first[u]]];
}

static bool shuffles(const rm_stage *self)
{
	return self->params->pairs == RM_PAIRS_SHUFFLED;
}

const int32_t *rm_item_ranks(const rm_stage *self, uint64_t item, int32_t *K)
{
	static const int32_t pair[] = {0, 1}; /* the better one stands first */
	const gpt_row *row;

	if (shuffles(self)) {
		*K = 2;
		return pair;
	}
	row = ranking_row(self, self->items[item].ranking);
	*K = row->n_completions;
	return row->ranks;
}

/* The k-th sequence of an item. */
static const gpt_seq *item_seq(const rm_stage *self, uint64_t index, int32_t k)
{
	const rm_item *item = &self->items[index];
	const gpt_seq *seqs = &self->train.examples.seqs[self->train.first[item->ranking]];

	if (!shuffles(self))
		return &seqs[k];
	return &seqs[k == 0 ? item->better : item->worse];
}

/* ---- set up ---------------------------------------------------------------------------- */

static size_t add_pairs(rm_item *items, size_t n, const gpt_row *row, size_t ranking)
{
	for (int32_t i = 0; i < row->n_completions; i++)
		for (int32_t j = 0; j < row->n_completions; j++) {
			if (row->ranks[i] >= row->ranks[j])
				continue;
			if (items)
				items[n] = (rm_item){ranking, i, j};
			n++;
		}
	return n;
}

static size_t add_items(const rm_stage *self, rm_item *items)
{
	size_t n = 0;

	for (size_t u = 0; u < self->train.n; u++) {
		if (shuffles(self)) {
			n = add_pairs(items, n, ranking_row(self, u), u);
			continue;
		}
		if (items)
			items[n] = (rm_item){.ranking = u};
		n++;
	}
	return n;
}

/* Shuffled pairs come in steps of as many as `batch` prompts have, so that an epoch has as many
 * steps either way. */
static size_t items_per_step(const rm_stage *self)
{
	double batch = (double)self->params->batch;

	if (!shuffles(self))
		return (size_t)self->params->batch;
	if (self->params->pairs_batch > 0)
		return (size_t)self->params->pairs_batch;
	return (size_t)ceil(batch * (double)self->n_items / (double)self->train.n);
}

/* Room for the widest batch, and for the scores of the largest set. */
static int make_buffers(rm_stage *self)
{
	size_t n = self->batch_items, widest = 0, scores;

	for (size_t i = 0; i < self->n_items; i++) {
		int32_t K;

		(void)rm_item_ranks(self, i, &K);
		if ((size_t)K > widest)
			widest = (size_t)K;
	}
	scores = n * widest;
	if (scores < self->valid.examples.n)
		scores = self->valid.examples.n;
	if (scores < self->others.examples.n)
		scores = self->others.examples.n;
	self->batch = cairn_alloc(n * widest, sizeof(*self->batch));
	self->pick = cairn_alloc(n, sizeof(*self->pick));
	self->score = cairn_alloc(scores, sizeof(*self->score));
	self->dscore = cairn_alloc(scores, sizeof(*self->dscore));
	if (!self->batch || !self->pick || !self->score || !self->dscore)
		return gpt_no_memory(&self->work, "a batch");
	return 0;
}

int rm_batch_open(rm_stage *self)
{
	gpt_work *work = &self->work;
	int code;

	self->n_items = add_items(self, NULL);
	self->items = cairn_alloc(self->n_items, sizeof(*self->items));
	if (!self->items)
		return gpt_no_memory(work, "pairs");
	(void)add_items(self, self->items);
	self->batch_items = items_per_step(self);
	if (self->batch_items > self->n_items)
		self->batch_items = self->n_items;
	self->per_epoch = (self->n_items + self->batch_items - 1) / self->batch_items;
	self->total = self->per_epoch * (uint64_t)self->params->epochs;
	code = gpt_order_init(
		&self->order, work, work->host->rng_key(work->run, "order"), self->n_items);
	return code ? code : make_buffers(self);
}

void rm_batch_close(rm_stage *self)
{
	free(self->items);
	free(self->batch);
	free(self->pick);
	free(self->score);
	free(self->dscore);
	gpt_order_free(&self->order);
}

/* ---- a step ---------------------------------------------------------------------------- */

static int32_t longest(const rm_stage *self, uint64_t item)
{
	int32_t most = 0, K;

	(void)rm_item_ranks(self, item, &K);
	for (int32_t k = 0; k < K; k++)
		if (item_seq(self, item, k)->n > most)
			most = item_seq(self, item, k)->n;
	return most;
}

/* Short ones first, for little padding; few enough for an insertion sort. */
static void sort_pick(const rm_stage *self, size_t n)
{
	uint64_t *pick = self->pick;

	for (size_t i = 1; i < n; i++) {
		uint64_t item = pick[i];
		int32_t length = longest(self, item);
		size_t j = i;

		for (; j > 0 && longest(self, pick[j - 1]) > length; j--)
			pick[j] = pick[j - 1];
		pick[j] = item;
	}
}

void rm_batch_draw(rm_stage *self, size_t *n_items, size_t *n_seqs)
{
	uint64_t epoch = self->at.step / self->per_epoch;
	uint64_t in_epoch = self->at.step % self->per_epoch;
	size_t batch = self->batch_items, from = (size_t)in_epoch * batch, n = 0;
	size_t count = self->n_items - from < batch ? self->n_items - from : batch;

	for (size_t i = 0; i < count; i++)
		self->pick[i] = gpt_order_at(&self->order, epoch * self->n_items + from + i);
	sort_pick(self, count);
	for (size_t i = 0; i < count; i++) {
		uint64_t item = self->pick[i];
		int32_t K;

		(void)rm_item_ranks(self, item, &K);
		for (int32_t k = 0; k < K; k++, n++) {
			const gpt_seq *seq = item_seq(self, item, k);

			self->batch[n] = *seq;
			self->batch[n].unit = i;
			/* Unique in the run: a sequence is seen once an epoch, or once per pair. */
			self->batch[n].id =
				shuffles(self) ? 2 * (epoch * self->n_items + item) + (uint64_t)k
					       : epoch * self->train.examples.n + seq->id;
		}
	}
	*n_items = count;
	*n_seqs = n;
}
