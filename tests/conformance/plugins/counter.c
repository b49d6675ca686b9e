/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counter.c - the well-behaved plugin: everything that the contract offers, in small.
 *
 * Each step mixes a random number (counter-based: stream key and step) into a sum; the
 * inputs' bytes are the sum's beginning. The checkpoint holds step, sum and the best value
 * so far. So the output depends on every step, and an error in resuming shows in its id.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cairn/stage.h"

struct params {
	int64_t steps;
	double pause; /* seconds a step */
	const char *text;
	int64_t fail_at;
	int32_t code; /* of the failure at fail_at */
	int32_t writes_extra;
};

static const cairn_param params[] = {
	{"steps", "how many steps to count", CAIRN_PARAM_INT, 0, offsetof(struct params, steps),
		"20", 1, 1e6, "steps", NULL},
	{"pause", "how long a step takes", CAIRN_PARAM_DURATION, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, pause), "0", 0, 60, NULL, NULL},
	{"text", "goes into the output", CAIRN_PARAM_STRING, 0, offsetof(struct params, text), "",
		0, 0, NULL, NULL},
	{"fail_at", "the step that fails; 0: none", CAIRN_PARAM_INT, 0,
		offsetof(struct params, fail_at), "0", 0, 1e6, NULL, NULL},
	{"code", "how it fails", CAIRN_PARAM_ENUM, 0, offsetof(struct params, code), "input", 0, 0,
		NULL, "input|io"},
	{"extra", "write the optional output too", CAIRN_PARAM_BOOL, 0,
		offsetof(struct params, writes_extra), "no", 0, 0, NULL, NULL},
};

static const cairn_port inputs[] = {
	{"in", "file|report", CAIRN_PORT_OPTIONAL | CAIRN_PORT_MANY, 0, "what to begin with"},
};

static const cairn_port outputs[] = {
	{"out", "report", 0, 0, "the sum"},
	{"extra", "report", CAIRN_PORT_OPTIONAL, 0, "the text again"},
};

struct state {
	uint64_t step, sum, best;
};

static uint64_t mix(uint64_t sum, uint64_t value)
{
	sum = (sum ^ value) * 0x9e3779b97f4a7c15u;
	return sum ^ sum >> 29;
}

static int put(const cairn_host *host, cairn_writer *writer, const char *name, const void *data,
	uint64_t bytes)
{
	cairn_tensor tensor = {name, CAIRN_U8, 1, {bytes}, data, bytes};

	return host->put(writer, &tensor);
}

static int read_inputs(const cairn_host *host, cairn_run *run, struct state *state)
{
	uint64_t n = host->input_count(run, "in");

	for (uint64_t i = 0; i < n; i++) {
		cairn_artifact artifact;
		cairn_tensor tensor;
		int rc = host->input_open(run, "in", i, &artifact);

		for (uint64_t e = 0; rc == 0 && e < artifact.n_entries; e++) {
			rc = host->entry_list(run, &artifact, e, &tensor);
			if (rc == 0)
				rc = host->entry_get(run, &artifact, tensor.name, &tensor);
			for (uint64_t b = 0; rc == 0 && b < tensor.bytes; b++)
				state->sum = mix(state->sum, ((const uint8_t *)tensor.data)[b]);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int load(const cairn_host *host, cairn_run *run, struct state *state)
{
	cairn_artifact checkpoint;
	cairn_tensor tensor;
	uint64_t step;
	int rc = host->resume(run, &checkpoint, &step);

	if (rc <= 0)
		return rc < 0 ? rc : read_inputs(host, run, state);
	if (checkpoint.n_entries != 1)
		return host->fail(run, CAIRN_EBUG, "a checkpoint of one entry shows %llu",
			(unsigned long long)checkpoint.n_entries);
	rc = host->entry_get(run, &checkpoint, "state", &tensor);
	if (rc != 0 || tensor.bytes != sizeof(*state))
		return host->fail(run, CAIRN_EINTEGRITY, "the checkpoint has no state");
	memcpy(state, tensor.data, sizeof(*state));
	if (state->step != step)
		return host->fail(run, CAIRN_EINTEGRITY, "the checkpoint is of another step");
	host->log(run, CAIRN_LOG_INFO, "going on after step %llu", (unsigned long long)step);
	return 0;
}

static int save(const cairn_host *host, cairn_run *run, const struct state *state)
{
	cairn_writer *writer;
	int rc = host->checkpoint_begin(run, state->step, &writer);

	if (rc < 0)
		return rc;
	rc = put(host, writer, "state", state, sizeof(*state));
	if (rc == 0)
		rc = host->meta(writer, "{\"form\":\"counter\"}");
	if (rc < 0)
		return rc;
	return host->commit(writer);
}

static int count_one(const cairn_host *host, cairn_run *run, const struct params *p, uint64_t key,
	struct state *state)
{
	double value;
	cairn_metric metrics[2];
	cairn_progress progress;

	if (p->pause > 0) {
		struct timespec nap = {(time_t)p->pause, (long)(p->pause * 1e9) % 1000000000};
		nanosleep(&nap, NULL);
	}
	state->step++;
	if (p->fail_at == (int64_t)state->step) {
		host->hint(run, "Set fail_at to 0.");
		return host->fail(run, p->code ? CAIRN_EIO : CAIRN_EINPUT,
			"step %llu fails, as it was told to", (unsigned long long)state->step);
	}
	state->sum = mix(state->sum, mix(key, state->step));
	value = (double)(state->sum >> 11) / 9007199254740992.0;
	if (state->sum > state->best) {
		state->best = state->sum;
		host->summary(run, "best", value);
	}
	metrics[0] = (cairn_metric){"sum", value};
	metrics[1] = (cairn_metric){"third", (double)state->step / 3};
	progress = (cairn_progress){state->step, (uint64_t)p->steps, state->step * 10, "count",
		metrics, CAIRN_COUNT(metrics)};
	return host->step(run, &progress);
}

static int write_output(const cairn_host *host, cairn_run *run, const char *port,
	const struct state *state, const char *text)
{
	cairn_writer *writer;
	int rc = host->output_begin(run, port, &writer);

	if (rc == 0)
		rc = put(host, writer, "sum", &state->sum, sizeof(state->sum));
	if (rc == 0)
		rc = put(host, writer, "text", text, strlen(text));
	return rc < 0 ? rc : host->commit(writer);
}

static int run_counter(const cairn_host *host, cairn_run *run, const void *params_)
{
	const struct params *p = params_;
	uint64_t key = host->rng_key(run, "count");
	struct state state = {0};
	int rc = load(host, run, &state);

	while (rc >= 0 && state.step < (uint64_t)p->steps) {
		rc = count_one(host, run, p, key, &state);
		if (rc == CAIRN_CHECKPOINT)
			rc = save(host, run, &state);
		if (rc == CAIRN_STOP) {
			rc = save(host, run, &state);
			return rc < 0 ? rc : CAIRN_STOPPED;
		}
	}
	if (rc >= 0)
		rc = write_output(host, run, "out", &state, p->text);
	if (rc >= 0 && p->writes_extra)
		rc = write_output(host, run, "extra", &state, p->text);
	return rc < 0 ? rc : CAIRN_DONE;
}

static int check(const void *params_, cairn_error *err)
{
	const struct params *p = params_;

	if (p->fail_at <= p->steps)
		return 0;
	/* A plugin links nothing of the host, not even the error functions. */
	err->code = CAIRN_EPARAM;
	snprintf(err->message, sizeof(err->message), "fail_at is %lld, after the last step",
		(long long)p->fail_at);
	return CAIRN_EPARAM;
}

/* The number after "name": in a JSON text; 0 where it has none. */
static double number_in(const char *json, const char *name)
{
	const char *at = json ? strstr(json, name) : NULL;

	return at ? strtod(at + strlen(name), NULL) : 0;
}

/* 2 FLOP a step, and 1 for each step of the counters before it and each line of a file. */
static int estimate(
	const void *params_, const cairn_estimate_input *in, uint64_t n_inputs, cairn_estimate *out)
{
	const struct params *p = params_;
	double before = 0;

	for (uint64_t i = 0; i < n_inputs; i++) {
		before += number_in(in[i].meta, "\"steps\":") + number_in(in[i].meta, "\"lines\":");
		out->output_bytes += in[i].bytes;
		out->is_partial |= !in[i].meta;
	}
	out->flop_of[CAIRN_ACCOUNT_FORWARD] = 2.0 * (double)p->steps;
	out->flop_of[CAIRN_ACCOUNT_BACKWARD] = before;
	out->flop = 2.0 * (double)p->steps + before;
	out->memory_bytes = 1 << 20;
	snprintf(out->outputs, sizeof(out->outputs), "{\"out\":{\"steps\":%lld}}",
		(long long)p->steps);
	return 0;
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "counter",
	.summary = "counts, mixing random numbers",
	.version = "1",
	.license = "Apache-2.0",
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = sizeof(struct params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.capabilities = CAIRN_CAN_CHECKPOINT,
	.state_version = 1,
	.state_version_oldest = 1,
	.run = run_counter,
	.check = check,
	.estimate = estimate,
};
