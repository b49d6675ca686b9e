/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_run.h - what every training stage does around its mathematics: metric rows, steps
 * with checkpoints, errors that name the last metrics.
 *
 * Functions that take the host return 0 or the code of a failure already reported to it.
 */
#ifndef CAIRN_GPT_TRAIN_RUN_H
#define CAIRN_GPT_TRAIN_RUN_H

#include <stdbool.h>

#include "cairn/stage.h"
#include "gpt/batch.h"
#include "gpt/optimizer.h"
#include "gpt/save.h"

#define GPT_METRICS_MAX 40

/* One row of the metric log; {0} is empty. Names are borrowed. */
typedef struct gpt_metrics {
	cairn_metric rows[GPT_METRICS_MAX];
	size_t n;
} gpt_metrics;

void gpt_metrics_clear(gpt_metrics *metrics);
void gpt_metrics_add(gpt_metrics *metrics, const char *name, double value);

/* What a stage works with: host, micro-batch buffers, and how to book the compute. */
typedef struct gpt_work {
	const cairn_host *host;
	cairn_run *run;
	int64_t micro_tokens;
	double dropout; /* of passes that train */
	uint64_t dropout_key;
	int account_forward, account_backward; /* enum cairn_account */
	bool recompute;                        /* gpt_batch.recompute of training passes */
	gpt_micro micro;
	gpt_metrics metrics; /* of the last step that had any: what a divergence error names */
	bool quiet;          /* the step to finish has no metric row */
	gpt_save save;
} gpt_work;

void gpt_work_init(gpt_work *work, const cairn_host *host, cairn_run *run, int64_t micro_tokens);
void gpt_work_free(gpt_work *work);

/* 1 where something is bound to an input port. */
bool gpt_bound(const gpt_work *work, const char *port);
CAIRN_MUST int gpt_no_memory(const gpt_work *work, const char *what);
/* Reports a filled error; a divergence gets the last metrics as detail. Returns its code. */
CAIRN_MUST int gpt_report(const gpt_work *work, cairn_error *err);
/* EDIVERGED where `value` is not finite, else 0. */
CAIRN_MUST int gpt_check_finite(
	const gpt_work *work, const char *what, double value, uint64_t step);

/* step() with work->metrics as its row, then a checkpoint where the host asks for one. Fills
 * progress->metrics. Returns 0, CAIRN_STOPPED, or a reported failure. */
CAIRN_MUST int gpt_finish_step(
	gpt_work *work, cairn_progress *progress, gpt_save_fn save, void *self);

/* One optimizer step from the accumulated gradients, booked as such. */
CAIRN_MUST int gpt_update(
	gpt_work *work, gpt_adam *adam, gpt_model *model, double lr, double *norm);

/* Packs the next micro-batch of seqs from `from` and runs it through the model; `training`
 * turns dropout on. Then work->micro tells what was packed. */
CAIRN_MUST int gpt_work_forward(gpt_work *work, gpt_model *model, const gpt_seq *seqs, size_t n,
	size_t from, enum gpt_rows_form form, bool training);
/* Sets the account for kernel calls on the current micro-batch. */
void gpt_work_account(const gpt_work *work, int account);

#endif
