/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_report.c - what the stage says: to the runner over the wire, to people in its log.
 *
 * The log file is our stderr. log() may come from any thread, so every record is sent
 * under one lock. A tool's log goes to the command line, which started it.
 */
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "run/host/host.h"
#include "run/wire.h"

#define LINES_AT_ONCE  100
#define LINES_A_SECOND 10

double cairn_host_clock(void)
{
	return cairn_clock();
}

void cairn_host_send_packet(
	cairn_run *run, const char *type, json_t *take_json, const void *packet, size_t len)
{
	cairn_error ignored = {0};

	json_object_set_new(take_json, "type", json_string(type));
	pthread_mutex_lock(&run->report_lock);
	if (cairn_wire_send_packet(CAIRN_WIRE_FD, packet, len, take_json, &ignored) < 0)
		fprintf(stderr, "cairn: %s: %s\n", ignored.message, ignored.detail);
	pthread_mutex_unlock(&run->report_lock);
	json_decref(take_json);
}

void cairn_host_send(cairn_run *run, const char *type, json_t *take_json)
{
	cairn_host_send_packet(run, type, take_json, NULL, 0);
}

void cairn_host_started(cairn_run *run, uint64_t resumed_step)
{
	if (run->is_started_sent)
		return;
	run->is_started_sent = true;
	cairn_host_send(run, "started", json_pack("{s:I}", "resumed", (json_int_t)resumed_step));
}

void cairn_host_flush_step(cairn_run *run)
{
	json_t *record = run->step_waiting;

	if (!record)
		return;
	run->step_waiting = NULL;
	run->step_sent = cairn_host_clock();
	cairn_host_put_account(run, record, false); /* expensive: only of those that are sent */
	cairn_host_send(run, "step", record);
}

static const char *level_name(int level)
{
	switch (level) {
	case CAIRN_LOG_DEBUG:
		return "debug";
	case CAIRN_LOG_WARNING:
		return "warning";
	}
	return "info";
}

/* All lines are in the log; the runner hears of so many at once and so many a second. */
static bool may_tell(cairn_run *run)
{
	double now = cairn_host_clock();
	bool may;

	pthread_mutex_lock(&run->report_lock);
	if (run->lines_time <= 0)
		run->lines = LINES_AT_ONCE;
	else
		run->lines += (now - run->lines_time) * LINES_A_SECOND;
	if (run->lines > LINES_AT_ONCE)
		run->lines = LINES_AT_ONCE;
	run->lines_time = now;
	may = run->lines >= 1;
	if (may)
		run->lines -= 1;
	pthread_mutex_unlock(&run->report_lock);
	return may;
}

static void tell_line(cairn_run *run, int level, const char *text)
{
	if (may_tell(run)) {
		cairn_host_send(run, "log",
			json_pack("{s:i, s:o}", "level", level, "text", cairn_record_text(text)));
	} else if (!run->has_left_out) {
		run->has_left_out = true;
		cairn_host_send(run, "log",
			json_pack("{s:i, s:s}", "level", CAIRN_LOG_WARNING, "text",
				"so many lines are not told here: see the log"));
	}
}

void cairn_host_log(cairn_run *run, int level, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (run->log) {
		pthread_mutex_lock(&run->report_lock);
		run->log(run->log_arg, level, text);
		pthread_mutex_unlock(&run->report_lock);
		return;
	}
	pthread_mutex_lock(&run->report_lock);
	snprintf(run->said, sizeof(run->said), "%.*s", (int)sizeof(run->said) - 1, text);
	pthread_mutex_unlock(&run->report_lock);
	fprintf(stderr, "%9.3f %s: %s\n", cairn_host_clock() - run->started, level_name(level),
		text);
	if (level > CAIRN_LOG_DEBUG)
		tell_line(run, level, text);
}

int cairn_host_fail(cairn_run *run, int code, const char *format, ...)
{
	char text[sizeof(run->error.message)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cairn_error_set(&run->error, code < 0 ? code : CAIRN_EBUG, "%s", text);
	return code < 0 ? code : CAIRN_EBUG;
}

int cairn_host_fail_with(cairn_run *run, const cairn_error *error)
{
	if (!run->error.code)
		run->error = *error;
	if (run->error.code >= 0)
		run->error.code = CAIRN_EBUG;
	return error->code < 0 ? error->code : CAIRN_EBUG;
}

void cairn_host_hint(cairn_run *run, const char *format, ...)
{
	char text[sizeof(run->error.hint)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cairn_error_hint(&run->error, "%s", text);
}

cairn_error *cairn_host_err(cairn_run *run)
{
	cairn_error_clear(&run->host_error);
	return &run->host_error;
}

int cairn_host_explain(cairn_run *run, int code, cairn_error *err)
{
	cairn_error device = {0};
	char size[32];

	/* What a failed device leaves behind looks like anything. */
	if (code == CAIRN_EDIVERGED || code == CAIRN_EBUG)
		code = cairn_host_kernels_status(run, &device) < 0 ? CAIRN_EDEVICE : code;
	if (device.code)
		*err = device;
	else if (run->error.code)
		*err = run->error;
	else if (run->host_error.code == code)
		*err = run->host_error;
	else if (code == CAIRN_ENOMEM && run->job.memory_bytes)
		cairn_error_set(err, code, "'%s' needed more than its memory = %s",
			run->job.instance, cairn_format_size(size, run->job.memory_bytes));
	else {
		cairn_error_set(err, code, "plugin '%s' failed: %s", run->plugin.name,
			cairn_error_meaning(code));
		cairn_error_hint(err, "It gave no reason; its log may.");
	}
	/* What the plugin returned decides whether a retry makes sense. */
	err->code = code;
	if (code == CAIRN_ENOMEM || code == CAIRN_EDEVICE)
		cairn_host_kernels_add_estimate(run, err);
	return code;
}
