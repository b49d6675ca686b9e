/* SPDX-License-Identifier: Apache-2.0 */
/* rows_split.c - which rows are held out. */
#include "gpt/rows_split.h"

#include "gpt/rng.h"

uint64_t gpt_hash_text(const char *text)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	return h;
}

double gpt_split_draw(const gpt_row *row, uint64_t key)
{
	bool has_user = row->user[0];

	return gpt_random_uniform(key, gpt_hash_text(has_user ? row->user : row->prompt), has_user);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double gpt_split_threshold(double *draws, size_t n, double fraction)
{
	size_t users = 0, out;

	if (n)
		qsort(draws, n, sizeof(*draws), by_value);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || draws[i] != draws[i - 1])
			draws[users++] = draws[i];
	if (users < 2 || fraction <= 0)
		return 0;
	out = (size_t)(fraction * (double)users + 0.5);
	out = out < 1 ? 1 : out >= users ? users - 1 : out;
	return draws[out];
}
