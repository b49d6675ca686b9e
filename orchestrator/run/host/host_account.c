/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_account.c - step(): heartbeat, metric log, meter, and the answer.
 *
 * The metric log is one JSON line per step() that has metrics: {"step":N,"name":value,...}
 * in the plugin's order, values in their shortest exact form. It is part of the result, so
 * no clock and no rate limit touches it; the wire gets at most ten of the rows a second.
 */
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/host/host.h"
#include "run/wire.h"

#define WIRE_INTERVAL_S 0.1
#define SCRATCH_DEPTH   16 /* directories that nftw holds open */

static volatile sig_atomic_t stop_is_asked;

void cairn_host_ask_stop(void)
{
	stop_is_asked = 1;
}

bool cairn_host_is_stopping(void)
{
	return stop_is_asked != 0;
}

/* ---- metric log ----------------------------------------------------------------------------- */

static void add_json_string(cairn_text *text, const char *string)
{
	json_t *json = json_string(string);
	char *quoted = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;

	cairn_text_add(text, quoted ? quoted : "\"?\"");
	free(quoted);
	json_decref(json);
}

static void add_row(cairn_run *run, const cairn_progress *progress)
{
	char number[32];

	if (!progress->n_metrics)
		return;
	cairn_text_printf(&run->metrics, "{\"step\":%llu", (unsigned long long)progress->step);
	for (uint64_t i = 0; i < progress->n_metrics; i++) {
		const cairn_metric *metric = &progress->metrics[i];
		cairn_text_add_char(&run->metrics, ',');
		add_json_string(&run->metrics, metric->name);
		cairn_format_double(metric->value, number);
		/* JSON has no word for these. */
		cairn_text_printf(
			&run->metrics, isfinite(metric->value) ? ":%s" : ":\"%s\"", number);
	}
	cairn_text_add(&run->metrics, "}\n");
	run->n_rows++;
}

/* ---- step -------------------------------------------------------------------------------------
 */

static json_t *step_record(const cairn_progress *progress)
{
	json_t *metrics = json_array();
	json_t *record = json_pack("{s:I, s:I, s:I, s:o}", "step", (json_int_t)progress->step,
		"total", (json_int_t)progress->total, "tokens", (json_int_t)progress->tokens,
		"metrics", metrics);

	for (uint64_t i = 0; i < progress->n_metrics && i < CAIRN_WIRE_MAX_METRICS; i++)
		json_array_append_new(
			metrics, json_pack("[s, o]", progress->metrics[i].name,
					 cairn_wire_number(progress->metrics[i].value)));
	if (progress->phase)
		json_object_set_new(record, "phase", json_string(progress->phase));
	return record;
}

int cairn_host_step(cairn_run *run, const cairn_progress *progress)
{
	cairn_error *err = cairn_host_err(run);
	uint64_t before = run->step;
	int rc = cairn_host_background_poll(run, err);

	if (rc < 0)
		return rc;
	run->step = progress->step;
	run->meter_at_step = run->meter;
	run->total = progress->total;
	run->tokens = progress->tokens;
	add_row(run, progress);
	if (run->metrics.failed)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for the metric log");
	cairn_host_watch_best(run, progress);
	cairn_host_background_prepare(run);
	cairn_host_started(run, 0);
	json_decref(run->step_waiting);
	run->step_waiting = step_record(progress);
	if (cairn_host_clock() - run->step_sent >= WIRE_INTERVAL_S)
		cairn_host_flush_step(run);
	cairn_host_failpoint("step", progress->step);
	if (cairn_host_is_stopping())
		return CAIRN_STOP;
	return cairn_host_checkpoint_is_due(run, before) ? CAIRN_CHECKPOINT : CAIRN_GO;
}

/* ---- summary ------------------------------------------------------------------------------------
 */

void cairn_host_summary(cairn_run *run, const char *name, double value)
{
	json_object_set_new(run->summary, name, cairn_wire_number(value));
}

char *cairn_host_summary_text(cairn_run *run)
{
	return cairn_json_canonical(run->summary);
}

void cairn_host_summary_restore(cairn_run *run, const char *text, size_t len)
{
	json_t *json = NULL;

	if (cairn_json_parse(&json, text, len, CAIRN_HOST_SUMMARY, NULL) < 0)
		return;
	json_object_update(run->summary, json);
	json_decref(json);
}

/* ---- account
 * -------------------------------------------------------------------------------------- */

void cairn_host_account(cairn_run *run, int account, uint64_t real, uint64_t padded)
{
	if (account < 0 || account >= CAIRN_ACCOUNTS)
		account = CAIRN_ACCOUNT_OTHER;
	cairn_meter_account(&run->meter, account, real, padded);
}

/* The largest size that this program had in memory, in bytes; 0: not known. Not ru_maxrss, which
 * remembers the size of the process that we were spawned from. */
static uint64_t peak_rss(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "VmHWM: %llu", &kib) == 1)
			break;
	}
	if (file)
		fclose(file);
	return (uint64_t)kib * 1024;
}

void cairn_host_put_account(cairn_run *run, json_t *record, bool with_base)
{
	cairn_host_put_account_of(run, &run->meter, record, with_base);
}

void cairn_host_put_account_of(
	cairn_run *run, const cairn_meter *meter, json_t *record, bool with_base)
{
	double flop[CAIRN_ACCOUNTS], real[CAIRN_ACCOUNTS];

	for (int i = 0; i < CAIRN_ACCOUNTS; i++) {
		flop[i] = meter->flop[i] + (with_base ? run->base[i] : 0);
		real[i] = meter->flop_real[i] + (with_base ? run->base_real[i] : 0);
	}
	json_object_set_new(record, "flop", cairn_wire_account(flop));
	json_object_set_new(record, "flop_real", cairn_wire_account(real));
	json_object_set_new(record, "max_rss_bytes", json_integer((json_int_t)peak_rss()));
	if (run->has_kernels && run->inner.peak_bytes)
		json_object_set_new(record, "kernel_peak_bytes",
			json_integer((json_int_t)run->inner.peak_bytes(&run->inner)));
}

double cairn_host_seconds(cairn_run *run)
{
	return run->base_seconds + cairn_host_clock() - run->started;
}

/* ---- random streams
 * -------------------------------------------------------------------------------- */

/* The first 8 bytes, little-endian, of SHA-256("cairn.rng/1\0" + key + name). */
uint64_t cairn_host_rng_key(cairn_run *run, const char *stream)
{
	static const char tag[] = "cairn.rng/1"; /* with its NUL */
	cairn_digest *digest = cairn_digest_new();
	uint8_t sum[CAIRN_DIGEST_BYTES];
	uint64_t key = 0;

	CAIRN_ASSERT(digest);
	cairn_digest_add(digest, tag, sizeof(tag));
	cairn_digest_add(digest, run->job.key.bytes, sizeof(run->job.key.bytes));
	cairn_digest_add(digest, stream, strlen(stream));
	cairn_digest_end(digest, sum);
	for (int i = 0; i < 8; i++)
		key |= (uint64_t)sum[i] << (8 * i);
	return key;
}

/* ---- scratch
 * ------------------------------------------------------------------------------------------ */

const char *cairn_host_scratch(cairn_run *run)
{
	char *parent, *slash;

	if (run->has_scratch)
		return run->job.scratch;
	parent = cairn_arena_strdup(run->arena, run->job.scratch);
	slash = strrchr(parent, '/');
	if (slash)
		*slash = '\0';
	mkdir(parent, 0777);
	if (mkdir(run->job.scratch, 0777) < 0 && errno != EEXIST)
		cairn_host_log(run, CAIRN_LOG_WARNING, "cannot make the scratch directory '%s': %s",
			run->job.scratch, strerror(errno));
	run->has_scratch = true;
	return run->job.scratch;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)where;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

void cairn_host_scratch_remove(cairn_run *run)
{
	if (run->has_scratch &&
		nftw(run->job.scratch, remove_one, SCRATCH_DEPTH, FTW_DEPTH | FTW_PHYS) < 0)
		cairn_host_log(run, CAIRN_LOG_WARNING, "cannot remove '%s': %s", run->job.scratch,
			strerror(errno));
}
