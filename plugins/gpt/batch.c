/* SPDX-License-Identifier: Apache-2.0 */
/* batch.c - splitting and padding; see batch.h for what holds. */
#include "gpt/batch.h"

#include <string.h>

#include "base/alloc.h"

void gpt_micro_free(gpt_micro *micro)
{
	if (!micro)
		return;
	free(micro->tokens);
	free(micro->target);
	free(micro->x);
	free(micro->y);
	free(micro->z);
	free(micro->lengths);
	free(micro->ids);
	*micro = (gpt_micro){0};
}

static int grow(void **block, size_t n, size_t size, cairn_error *err)
{
	void *larger = cairn_realloc(*block, n, size);

	if (!larger)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for a micro-batch");
	*block = larger;
	return 0;
}

static int reserve(gpt_micro *micro, size_t n_seqs, size_t n_rows, cairn_error *err)
{
	int code = 0;

	if (n_seqs > micro->cap_seqs) {
		code = grow((void **)&micro->lengths, n_seqs, sizeof(*micro->lengths), err);
		if (!code)
			code = grow((void **)&micro->ids, n_seqs, sizeof(*micro->ids), err);
		if (code)
			return code;
		micro->cap_seqs = n_seqs;
	}
	if (n_rows > micro->cap_rows) {
		code = grow((void **)&micro->tokens, n_rows, sizeof(*micro->tokens), err);
		if (!code)
			code = grow((void **)&micro->target, n_rows, sizeof(*micro->target), err);
		if (!code)
			code = grow((void **)&micro->x, n_rows, sizeof(*micro->x), err);
		if (!code)
			code = grow((void **)&micro->y, n_rows, sizeof(*micro->y), err);
		if (!code)
			code = grow((void **)&micro->z, n_rows, sizeof(*micro->z), err);
		if (code)
			return code;
		micro->cap_rows = n_rows;
	}
	return 0;
}

/* Positions that a sequence takes in the network. */
static int64_t rows_of(const gpt_seq *seq, enum gpt_rows_form form)
{
	return form == GPT_ROWS_PREDICT ? seq->n - 1 : seq->n;
}

/* How many sequences from `from` fit, by whole units; *T is the longest of them. */
static size_t fit(const gpt_seq *seqs, size_t n, size_t from, int64_t micro_tokens,
	enum gpt_rows_form form, int64_t *T)
{
	size_t count = 0;
	int64_t longest = 0;

	while (from + count < n) {
		uint64_t unit = seqs[from + count].unit;
		size_t with = count;
		int64_t reach = longest;

		for (; from + with < n && seqs[from + with].unit == unit; with++) {
			int64_t rows = rows_of(&seqs[from + with], form);

			if (rows > reach)
				reach = rows;
		}
		if (count > 0 && (int64_t)with * reach > micro_tokens)
			break;
		count = with;
		longest = reach;
	}
	*T = longest;
	return count;
}

static void fill(gpt_micro *micro, size_t b, int64_t T, const gpt_seq *seq, enum gpt_rows_form form)
{
	int32_t *tokens = micro->tokens + b * (size_t)T;
	int32_t *target = micro->target + b * (size_t)T;
	int64_t rows = rows_of(seq, form);

	CAIRN_ASSERT(rows >= 1 && seq->first >= 1);
	for (int64_t t = 0; t < T; t++) {
		tokens[t] = t < rows ? seq->tokens[t] : 0;
		target[t] = -1;
		if (form == GPT_ROWS_PREDICT && t < rows && t + 1 >= seq->first)
			target[t] = seq->tokens[t + 1];
	}
	micro->lengths[b] = (int32_t)rows;
	micro->ids[b] = seq->id;
	micro->real += (uint64_t)rows;
}

int64_t gpt_micro_limit(int64_t micro_tokens, int64_t enough_rows)
{
	return enough_rows > 0 && enough_rows < micro_tokens ? enough_rows : micro_tokens;
}

int gpt_micro_pack(gpt_micro *micro, const gpt_seq *seqs, size_t n, size_t from,
	int64_t micro_tokens, enum gpt_rows_form form, cairn_error *err)
{
	int64_t T = 0;
	size_t count = fit(seqs, n, from, micro_tokens, form, &T);
	int code = reserve(micro, count, count * (size_t)T, err);

	if (code)
		return code;
	micro->count = count;
	micro->real = 0;
	for (size_t b = 0; b < count; b++)
		fill(micro, b, T, &seqs[from + b], form);
	micro->batch = (gpt_batch){
		.B = (int64_t)count,
		.T = T,
		.tokens = micro->tokens,
		.lengths = micro->lengths,
		.sample_ids = micro->ids,
	};
	return 0;
}

size_t gpt_micro_row(const gpt_micro *micro, size_t b, int32_t j)
{
	return b * (size_t)micro->batch.T + (size_t)(j - 1);
}

uint64_t gpt_seqs_counted(const gpt_seq *seqs, size_t n)
{
	uint64_t counted = 0;

	for (size_t i = 0; i < n; i++)
		counted += (uint64_t)(seqs[i].n - seqs[i].first);
	return counted;
}

uint64_t gpt_seqs_tokens(const gpt_seq *seqs, size_t n)
{
	uint64_t tokens = 0;

	for (size_t i = 0; i < n; i++)
		tokens += (uint64_t)seqs[i].n;
	return tokens;
}

static int shorter_first(const void *left, const void *right)
{
	const gpt_seq *a = left, *b = right;

	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

void gpt_seqs_sort(gpt_seq *seqs, size_t n)
{
	if (n > 1)
		qsort(seqs, n, sizeof(*seqs), shorter_first);
}
