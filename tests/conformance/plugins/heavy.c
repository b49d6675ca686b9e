/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heavy.c - a stage whose state is large: for the tests of checkpoints that are written beside the
 * next steps, and for the bench of the pause that they cause.
 *
 * Each step changes one word in every 4 KiB of the state, so that no chunk of a checkpoint is known
 * already. The log's last line is what the checkpoints cost, the first one and the median, beside a
 * plain copy of the same bytes that is made before each: times are in the log and nowhere else.
 * Metric "wave" goes down and up.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cairn/stage.h"

#define PARTS      4
#define MOST_TIMES 64 /* of so many checkpoints, the first */

struct params {
	int64_t steps;
	uint64_t bytes;
	double work; /* seconds a step */
	int32_t compares, estimates;
};

static const cairn_param params[] = {
	{"steps", "how many steps", CAIRN_PARAM_INT, 0, offsetof(struct params, steps), "10", 1,
		1e6, "steps", NULL},
	{"bytes", "size of the state", CAIRN_PARAM_SIZE, 0, offsetof(struct params, bytes), "8M",
		4096, 1e12, NULL, NULL},
	{"work", "how long a step computes", CAIRN_PARAM_DURATION, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, work), "0", 0, 60, NULL, NULL},
	{"compares", "copy the state before each checkpoint, to know what that costs",
		CAIRN_PARAM_BOOL, CAIRN_PARAM_NEUTRAL, offsetof(struct params, compares), "no", 0,
		0, NULL, NULL},
	{"estimates", "say before the run how large the state is", CAIRN_PARAM_BOOL,
		CAIRN_PARAM_NEUTRAL, offsetof(struct params, estimates), "yes", 0, 0, NULL, NULL},
};

static const cairn_port outputs[] = {{"out", "report", 0, 0, "the sum of the state"}};

struct heavy {
	const cairn_host *host;
	cairn_run *run;
	const struct params *params;
	uint64_t *words, *copy;
	uint64_t n_words, step;
	double pauses[MOST_TIMES], copies[MOST_TIMES];
	size_t n;
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* ---- state --------------------------------------------------------------------------------- */

static cairn_tensor part_of(const struct heavy *self, uint64_t i)
{
	static const char *const names[PARTS] = {"a", "b", "c", "d"};
	uint64_t n = self->n_words / PARTS;

	return (cairn_tensor){names[i], CAIRN_I64, 1, {n}, self->words + i * n, n * 8};
}

static int save(struct heavy *self)
{
	double begun = now(), copied;
	cairn_writer *writer;
	int rc;

	if (self->copy)
		memcpy(self->copy, self->words, self->n_words * 8);
	copied = now();
	rc = self->host->checkpoint_begin(self->run, self->step, &writer);
	for (uint64_t i = 0; i < PARTS && rc == 0; i++) {
		cairn_tensor part = part_of(self, i);
		rc = self->host->put(writer, &part);
	}
	if (rc == 0)
		rc = self->host->commit(writer);
	if (self->n < MOST_TIMES) {
		self->copies[self->n] = copied - begun;
		self->pauses[self->n++] = now() - copied;
	}
	return rc;
}

static int load(struct heavy *self)
{
	cairn_artifact checkpoint;
	int rc = self->host->resume(self->run, &checkpoint, &self->step);

	if (rc <= 0)
		return rc;
	for (uint64_t i = 0; i < PARTS; i++) {
		cairn_tensor part = part_of(self, i), found;
		rc = self->host->entry_get(self->run, &checkpoint, part.name, &found);
		if (rc != 0 || found.bytes != part.bytes)
			return self->host->fail(
				self->run, CAIRN_EINTEGRITY, "the checkpoint is not whole");
		memcpy((void *)part.data, found.data, found.bytes);
		self->host->entry_release(self->run, &checkpoint, part.name);
	}
	return 0;
}

/* ---- steps --------------------------------------------------------------------------------- */

static int one_step(struct heavy *self)
{
	double begun = now();
	cairn_metric metric = {"wave", 0};
	cairn_progress progress = {.total = (uint64_t)self->params->steps, .metrics = &metric};
	volatile uint64_t spin = 0;

	progress.step = ++self->step;
	for (uint64_t i = 0; i < self->n_words; i += 512)
		self->words[i] = (self->words[i] ^ (self->step + i)) * 0x9e3779b97f4a7c15u;
	while (now() - begun < self->params->work)
		for (int i = 0; i < 1000; i++)
			spin += (uint64_t)i;
	/* 5 4 3 2 1 2 3 4 5 4 3 ... */
	metric.value = (double)((self->step - 1) % 8 < 5 ? 5 - (self->step - 1) % 8
							 : (self->step - 1) % 8 - 3);
	progress.n_metrics = 1;
	return self->host->step(self->run, &progress);
}

static int write_output(struct heavy *self)
{
	uint64_t sum = 0;
	cairn_tensor tensor = {"sum", CAIRN_I64, 1, {1}, &sum, sizeof(sum)};
	cairn_writer *writer;
	int rc = self->host->output_begin(self->run, "out", &writer);

	for (uint64_t i = 0; i < self->n_words; i++)
		sum = sum * 31 + self->words[i];
	if (rc == 0)
		rc = self->host->put(writer, &tensor);
	return rc < 0 ? rc : self->host->commit(writer);
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median_ms(double *times, size_t n)
{
	qsort(times, n, sizeof(*times), by_size);
	return times[n / 2] * 1e3;
}

static void log_times(struct heavy *self)
{
	double first = self->pauses[0] * 1e3; /* before they are sorted */
	double pause = median_ms(self->pauses, self->n), copy = median_ms(self->copies, self->n);

	self->host->log(self->run, CAIRN_LOG_INFO,
		"checkpoints %zu first_ms %.3f pause_ms %.3f copy_ms %.3f", self->n, first, pause,
		copy);
}

static int train(struct heavy *self)
{
	int rc = load(self);

	while (rc >= 0 && self->step < (uint64_t)self->params->steps) {
		rc = one_step(self);
		if (rc == CAIRN_STOP) {
			rc = save(self);
			return rc < 0 ? rc : CAIRN_STOPPED;
		}
		if (rc == CAIRN_CHECKPOINT)
			rc = save(self);
	}
	if (rc >= 0 && self->n)
		log_times(self);
	return rc < 0 ? rc : write_output(self);
}

static int run_heavy(const cairn_host *host, cairn_run *run, const void *params_)
{
	struct heavy self = {.host = host, .run = run, .params = params_};
	int rc;

	self.n_words = self.params->bytes / 8 / PARTS * PARTS;
	self.words = calloc(self.n_words, 8);
	if (self.words && self.params->compares)
		self.copy = malloc(self.n_words * 8);
	if (self.copy) /* its pages are there before it is measured */
		memset(self.copy, 1, self.n_words * 8);
	rc = self.words ? train(&self) : host->fail(run, CAIRN_ENOMEM, "no memory for the state");
	free(self.words);
	free(self.copy);
	return rc;
}

static int estimate(
	const void *params_, const cairn_estimate_input *in, uint64_t n_inputs, cairn_estimate *out)
{
	const struct params *p = params_;

	(void)in, (void)n_inputs;
	if (!p->estimates)
		return 0;
	out->memory_bytes = p->bytes * (p->compares ? 2 : 1) + (10 << 20);
	out->checkpoint_bytes = p->bytes;
	return 0;
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "heavy",
	.summary = "keeps a large state and little else",
	.version = "1",
	.license = "Apache-2.0",
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = sizeof(struct params),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.capabilities = CAIRN_CAN_CHECKPOINT,
	.state_version = 1,
	.state_version_oldest = 1,
	.run = run_heavy,
	.estimate = estimate,
};
