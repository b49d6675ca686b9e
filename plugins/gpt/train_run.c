/* SPDX-License-Identifier: Apache-2.0 */
/* train_run.c - the frame of a training stage; see train_run.h. */
#include "gpt/train_run.h"

#include <math.h>

#include "base/text.h"

void gpt_metrics_clear(gpt_metrics *metrics)
{
	metrics->n = 0;
}

void gpt_metrics_add(gpt_metrics *metrics, const char *name, double value)
{
	CAIRN_ASSERT(metrics->n < GPT_METRICS_MAX);
	metrics->rows[metrics->n++] = (cairn_metric){name, value};
}

void gpt_work_init(gpt_work *work, const cairn_host *host, cairn_run *run, int64_t micro_tokens)
{
	*work = (gpt_work){
		.host = host,
		.run = run,
		.micro_tokens = micro_tokens,
		.account_forward = CAIRN_ACCOUNT_FORWARD,
		.account_backward = CAIRN_ACCOUNT_BACKWARD,
	};
	gpt_save_init(&work->save, host, run);
}

void gpt_work_free(gpt_work *work)
{
	gpt_save_free(&work->save);
	gpt_micro_free(&work->micro);
}

bool gpt_bound(const gpt_work *work, const char *port)
{
	return work->host->input_count(work->run, port) > 0;
}

int gpt_no_memory(const gpt_work *work, const char *what)
{
	return work->host->fail(work->run, CAIRN_ENOMEM, "no memory for %s", what);
}

int gpt_report(const gpt_work *work, cairn_error *err)
{
	/* What a failed device leaves behind looks like anything. */
	if (err->code == CAIRN_EDIVERGED) {
		int code = gpt_save_check(&work->save);

		if (code)
			return code;
	}
	if (err->code == CAIRN_EDIVERGED && work->metrics.n > 0) {
		cairn_text text = {0};

		cairn_text_add(&text, "last metrics:");
		for (size_t i = 0; i < work->metrics.n; i++)
			cairn_text_printf(&text, " %s=%.6g", work->metrics.rows[i].name,
				work->metrics.rows[i].value);
		cairn_error_detail(err, "%s", cairn_text_get(&text));
		cairn_text_free(&text);
	}
	return work->host->fail_with(work->run, err);
}

int gpt_check_finite(const gpt_work *work, const char *what, double value, uint64_t step)
{
	cairn_error err = {0};

	if (isfinite(value))
		return 0;
	cairn_error_set(&err, CAIRN_EDIVERGED, "%s is not finite at step %llu", what,
		(unsigned long long)step);
	cairn_error_hint(&err, "Lower the learning rate or raise the warm-up.");
	return gpt_report(work, &err);
}

int gpt_finish_step(gpt_work *work, cairn_progress *progress, gpt_save_fn save, void *self)
{
	int answer, code = gpt_save_finish(&work->save);

	if (!code)
		code = gpt_save_check(&work->save);
	if (code)
		return code;
	progress->metrics = work->metrics.rows;
	progress->n_metrics = work->quiet ? 0 : work->metrics.n;
	answer = work->host->step(work->run, progress);
	if (answer <= CAIRN_GO)
		return answer;
	/* After the last step nothing is left to be done beside. */
	code = gpt_save_step(&work->save, progress->step,
		answer == CAIRN_STOP || progress->step == progress->total, save, self);
	if (code)
		return code;
	return answer == CAIRN_STOP ? CAIRN_STOPPED : 0;
}

int gpt_update(gpt_work *work, gpt_adam *adam, gpt_model *model, double lr, double *norm)
{
	cairn_error err = {0};
	int code = gpt_save_finish(&work->save);

	if (code)
		return code;
	work->host->account(work->run, CAIRN_ACCOUNT_OPTIMIZER, 0, 0);
	if (gpt_adam_step(adam, model, lr, norm, &err))
		return gpt_report(work, &err);
	return 0;
}

void gpt_work_account(const gpt_work *work, int account)
{
	const gpt_batch *batch = &work->micro.batch;

	work->host->account(work->run, account, work->micro.real, (uint64_t)(batch->B * batch->T));
}

int gpt_work_forward(gpt_work *work, gpt_model *model, const gpt_seq *seqs, size_t n, size_t from,
	enum gpt_rows_form form, bool training)
{
	cairn_error err = {0};

	if (gpt_micro_pack(&work->micro, seqs, n, from,
		    gpt_micro_limit(work->micro_tokens, model->k->enough_rows), form, &err))
		return gpt_report(work, &err);
	work->micro.batch.forward_only = !training;
	if (training) {
		work->micro.batch.recompute = work->recompute;
		work->micro.batch.dropout = work->dropout;
		work->micro.batch.dropout_key = work->dropout_key;
	}
	gpt_work_account(work, work->account_forward);
	if (gpt_forward(model, &work->micro.batch, &err))
		return gpt_report(work, &err);
	return 0;
}
