/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_init.c - the weights that a model starts with.
 *
 * Element i of tensor t is draw (t, i) of the key: it depends neither on the layout of the buffer
 * nor on the other tensors' sizes, and any number of threads may share the work. They are started
 * for a large tensor and gone after it: this happens once in the life of a model.
 */
#include <math.h>
#include <pthread.h>

#include "base/alloc.h"
#include "gpt/model_internal.h"
#include "gpt/rng.h"

enum {
	PIECE = 1 << 18, /* elements that a thread draws at a time */
	MAX_THREADS = 64,
};

/* Elements start .. start+n-1 of tensor t. */
typedef struct piece {
	pthread_t thread;
	uint64_t rng_key;
	size_t t, start, n;
	double mean, deviation;
	cairn_real *to;
	bool apart; /* on its own thread */
} piece;

static void *draw(void *argument)
{
	const piece *p = argument;

	for (size_t i = 0; i < p->n; i++) {
		double x = p->mean;

		if (p->deviation != 0)
			x += p->deviation * gpt_random_normal(p->rng_key, p->t, p->start + i);
		p->to[i] = (cairn_real)x;
	}
	return NULL;
}

/* A piece for each thread, side by side in `to`, from element `start` of a tensor on; returns the
 * number of elements. Where a thread cannot be started its piece is drawn here. */
static size_t draw_pieces(const piece *first, size_t size, int32_t threads, cairn_real *to)
{
	piece pieces[MAX_THREADS];
	size_t at = first->start, count = 0;

	for (; count < (size_t)threads && at < size; count++, at += PIECE) {
		piece *p = &pieces[count];

		*p = *first;
		p->start = at;
		p->n = size - at < PIECE ? size - at : PIECE;
		p->to = to + count * PIECE;
		p->apart = count > 0 && pthread_create(&p->thread, NULL, draw, p) == 0;
	}
	for (size_t i = 0; i < count; i++)
		if (!pieces[i].apart)
			(void)draw(&pieces[i]);
	for (size_t i = 0; i < count; i++)
		if (pieces[i].apart)
			pthread_join(pieces[i].thread, NULL);
	return (at < size ? at : size) - first->start;
}

/* Fills one tensor with mean + N(0, deviation). */
static void fill(gpt_model *model, size_t t, double mean, double deviation, uint64_t rng_key)
{
	const cairn_kernels *k = model->k;
	size_t size = model->tensors[t].size;
	int32_t threads = k->threads < MAX_THREADS ? k->threads : (int32_t)MAX_THREADS;
	cairn_real *buffer = NULL, few[1024];
	piece p = {.rng_key = rng_key, .t = t, .mean = mean, .deviation = deviation};

	if (size > CAIRN_COUNT(few))
		buffer = cairn_alloc((size_t)threads * PIECE, sizeof(*buffer));
	for (; p.start < size; p.start += p.n) {
		if (buffer) {
			p.n = draw_pieces(&p, size, threads, buffer);
		} else { /* little is wanted, or there is no memory for more */
			p.n = size - p.start;
			p.n = p.n < CAIRN_COUNT(few) ? p.n : CAIRN_COUNT(few);
			p.to = few;
			(void)draw(&p);
		}
		k->write(k, gpt__param_change(model, t) + p.start, buffer ? buffer : few,
			p.n * sizeof(*few));
	}
	free(buffer);
}

static void init_layer(gpt_model *model, int32_t layer, double residual, uint64_t rng_key)
{
	fill(model, gpt__in_layer(layer, LN_1_WEIGHT), 1, 0, rng_key);
	fill(model, gpt__in_layer(layer, LN_1_BIAS), 0, 0, rng_key);
	fill(model, gpt__in_layer(layer, ATTN_WEIGHT), 0, 0.02, rng_key);
	fill(model, gpt__in_layer(layer, ATTN_BIAS), 0, 0, rng_key);
	fill(model, gpt__in_layer(layer, ATTN_PROJ_WEIGHT), 0, residual, rng_key);
	fill(model, gpt__in_layer(layer, ATTN_PROJ_BIAS), 0, 0, rng_key);
	fill(model, gpt__in_layer(layer, LN_2_WEIGHT), 1, 0, rng_key);
	fill(model, gpt__in_layer(layer, LN_2_BIAS), 0, 0, rng_key);
	fill(model, gpt__in_layer(layer, FC_WEIGHT), 0, 0.02, rng_key);
	fill(model, gpt__in_layer(layer, FC_BIAS), 0, 0, rng_key);
	fill(model, gpt__in_layer(layer, MLP_PROJ_WEIGHT), 0, residual, rng_key);
	fill(model, gpt__in_layer(layer, MLP_PROJ_BIAS), 0, 0, rng_key);
}

void gpt_model_init(gpt_model *model, uint64_t rng_key)
{
	const gpt_config *config = &model->config;
	double residual = 0.02 / sqrt(2.0 * config->n_layer);

	fill(model, WTE, 0, 0.02, rng_key);
	fill(model, WPE, 0, 0.02, rng_key);
	for (int32_t l = 0; l < config->n_layer; l++)
		init_layer(model, l, residual, rng_key);
	fill(model, gpt__after_layers(config, LN_F_WEIGHT), 1, 0, rng_key);
	fill(model, gpt__after_layers(config, LN_F_BIAS), 0, 0, rng_key);
	if (model->head == GPT_HEAD_SCALAR)
		gpt_model_init_score(model, rng_key);
	else if (config->untied)
		fill(model, gpt__after_layers(config, LM_HEAD_WEIGHT), 0, 0.02, rng_key);
}

void gpt_model_init_score(gpt_model *model, uint64_t rng_key)
{
	const gpt_config *config = &model->config;

	CAIRN_ASSERT(model->head == GPT_HEAD_SCALAR);
	fill(model, gpt__after_layers(config, SCORE_WEIGHT), 0, 1 / sqrt(config->n_embd + 1.0),
		rng_key);
	fill(model, gpt__after_layers(config, SCORE_BIAS), 0, 0, rng_key);
}
