/* SPDX-License-Identifier: Apache-2.0 */
#include "run/wire.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

#define HEAD_BYTES 4

/* ---- numbers ---------------------------------------------------------------------------- */

json_t *cairn_wire_number(double value)
{
	char text[32];

	if (isfinite(value))
		return json_real(value);
	cairn_format_double(value, text);
	return json_string(text);
}

double cairn_wire_number_of(const json_t *json)
{
	const char *text = json_string_value(json);

	if (!text)
		return json_is_number(json) ? json_number_value(json) : 0;
	if (strcmp(text, "inf") == 0)
		return INFINITY;
	return strcmp(text, "-inf") == 0 ? -INFINITY : NAN;
}

json_t *cairn_wire_account(const double account[CAIRN_ACCOUNTS])
{
	json_t *list = json_array();

	for (int i = 0; i < CAIRN_ACCOUNTS; i++)
		json_array_append_new(list, json_real(isfinite(account[i]) ? account[i] : 0));
	return list;
}

void cairn_wire_account_of(double out[CAIRN_ACCOUNTS], const json_t *json)
{
	for (size_t i = 0; i < CAIRN_ACCOUNTS; i++)
		out[i] = json_number_value(json_array_get(json, i));
}

void cairn_wire_error_of(cairn_error *err, const json_t *json)
{
	int code = (int)cairn_json_integer(json, "code", 0);
	const char *name = cairn_json_string(json, "code", NULL), *message;

	if (name)
		code = cairn_error_code_of(name);
	if (!err || err->code)
		return;
	code = code < 0 ? code : CAIRN_EBUG;
	message = cairn_json_string(json, "message", "");
	cairn_error_set(err, code, "%s", message[0] ? message : cairn_error_meaning(code));
	if (cairn_json_string(json, "detail", "")[0])
		cairn_error_detail(err, "%s", cairn_json_string(json, "detail", ""));
	if (cairn_json_string(json, "hint", "")[0])
		cairn_error_hint(err, "%s", cairn_json_string(json, "hint", ""));
	if (cairn_json_string(json, "place", "")[0])
		cairn_error_at(err, "%s", cairn_json_string(json, "place", ""));
}

/* ---- decoding --------------------------------------------------------------------------- */

static enum cairn_wire_type type_of(const char *name)
{
	static const char *const names[] = {
		[CAIRN_WIRE_HELLO] = "hello",
		[CAIRN_WIRE_STARTED] = "started",
		[CAIRN_WIRE_STEP] = "step",
		[CAIRN_WIRE_LOG] = "log",
		[CAIRN_WIRE_CHECKPOINT] = "checkpoint",
		[CAIRN_WIRE_COMMITTED] = "committed",
		[CAIRN_WIRE_ERROR] = "error",
		[CAIRN_WIRE_BYE] = "bye",
	};

	for (size_t i = 1; i < CAIRN_COUNT(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return (enum cairn_wire_type)i;
	}
	return CAIRN_WIRE_UNKNOWN;
}

static uint64_t count_of(const json_t *json, const char *name)
{
	int64_t value = cairn_json_integer(json, name, 0);

	return value > 0 ? (uint64_t)value : 0;
}

/* Pairs that are no [name, value] are left out. */
static void take_metrics(cairn_wire_record *record, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *pair = json_array_get(list, i);
		const char *name = json_string_value(json_array_get(pair, 0));

		if (!name || record->n_metrics == CAIRN_WIRE_MAX_METRICS)
			continue;
		record->metrics[record->n_metrics++] =
			(cairn_metric){name, cairn_wire_number_of(json_array_get(pair, 1))};
	}
}

int cairn_wire_decode(cairn_wire_record *out, const char *bytes, size_t len, cairn_error *err)
{
	json_t *json = NULL;
	const json_t *flop, *real;
	cairn_error why = {0};

	memset(out, 0, sizeof(*out));
	if (len && !bytes[0]) {
		out->type = CAIRN_WIRE_PACKET;
		out->packet = bytes + 1;
		out->packet_len = len - 1;
		out->kept = -1;
		return 0;
	}
	if (cairn_json_parse(&json, bytes, len, "wire", &why) < 0 || !json_is_object(json)) {
		json_decref(json);
		cairn_error_set(err, CAIRN_EBUG, "a stage process sent what is no record");
		cairn_error_detail(err, "%s", why.code ? why.message : "not an object");
		return CAIRN_EBUG;
	}
	out->json = json;
	out->type = type_of(cairn_json_string(json, "type", ""));
	out->step = count_of(json, out->type == CAIRN_WIRE_STARTED ? "resumed" : "step");
	out->total = count_of(json, "total");
	out->tokens = count_of(json, "tokens");
	out->phase = cairn_json_string(json, "phase", NULL);
	out->kept = cairn_json_number(json, "kept", -1);
	out->max_rss_bytes = count_of(json, "max_rss_bytes");
	out->kernel_peak_bytes = count_of(json, "kernel_peak_bytes");
	out->level = (int)cairn_json_integer(json, "level", CAIRN_LOG_INFO);
	out->code = (int)cairn_json_integer(json, "code", 0);
	out->text = cairn_json_string(json, "text", "");
	take_metrics(out, json_object_get(json, "metrics"));
	flop = json_object_get(json, "flop");
	real = json_object_get(json, "flop_real");
	out->has_flop = json_is_array(flop) && json_is_array(real);
	if (out->has_flop) {
		cairn_wire_account_of(out->flop, flop);
		cairn_wire_account_of(out->flop_real, real);
	}
	if (out->type == CAIRN_WIRE_BYE) {
		out->result = json_object_get(json, "result");
		out->stays = json_is_true(json_object_get(json, "stays"));
		out->has_log = json_is_true(json_object_get(json, "log"));
		out->is_mended = json_is_true(json_object_get(json, "mended"));
	}
	if (out->type == CAIRN_WIRE_ERROR)
		cairn_wire_error_of(&out->error, json_object_get(json, "error"));
	return 0;
}

void cairn_wire_record_clear(cairn_wire_record *record)
{
	json_decref(record->json);
	record->json = NULL;
}

/* ---- streams ---------------------------------------------------------------------------- */

static uint32_t get_length(const void *bytes)
{
	const uint8_t *b = bytes;

	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

int cairn_wire_feed(cairn_wire_reader *reader, const void *bytes, size_t len, cairn_error *err)
{
	cairn_text *buffer = &reader->buffer;

	/* Records are small and taken at once: what is left over is less than one of them. */
	if (reader->taken) {
		memmove(buffer->data, buffer->data + reader->taken, buffer->len - reader->taken);
		buffer->len -= reader->taken;
		reader->taken = 0;
	}
	cairn_text_add_bytes(buffer, bytes, len);
	if (buffer->failed)
		return cairn_error_set(
			err, CAIRN_ENOMEM, "out of memory reading a stage's records");
	return 0;
}

int cairn_wire_next(cairn_wire_reader *reader, cairn_wire_record *out, cairn_error *err)
{
	const char *at = reader->buffer.data + reader->taken;
	size_t left = reader->buffer.len - reader->taken;
	uint32_t len;
	int rc;

	if (left < HEAD_BYTES)
		return 0;
	len = get_length(at);
	if (len > CAIRN_WIRE_MAX)
		return cairn_error_set(err, CAIRN_EBUG,
			"a stage process sent a record of %u bytes, more than %u", len,
			CAIRN_WIRE_MAX);
	if (left - HEAD_BYTES < len)
		return 0;
	reader->taken += HEAD_BYTES + len;
	rc = cairn_wire_decode(out, at + HEAD_BYTES, len, err);
	return rc < 0 ? rc : 1;
}

void cairn_wire_reader_clear(cairn_wire_reader *reader)
{
	cairn_text_free(&reader->buffer);
	reader->taken = 0;
}

static int send_all(int fd, const void *bytes, size_t len, cairn_error *err)
{
	const char *at = bytes;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cairn_error_errno(
				err, CAIRN_EIO, errno, "lost the other end of a stage's wire");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static void add_head(cairn_text *frames, size_t len)
{
	const char head[HEAD_BYTES] = {
		(char)len, (char)(len >> 8), (char)(len >> 16), (char)(len >> 24)};

	cairn_text_add_bytes(frames, head, sizeof(head));
}

int cairn_wire_send_packet(
	int fd, const void *packet, size_t len, const json_t *json, cairn_error *err)
{
	char *text = cairn_json_canonical(json);
	size_t text_len = text ? strlen(text) : 0;
	cairn_text frames = {0};
	int rc;

	if (!text || text_len > UINT32_MAX || len >= CAIRN_WIRE_MAX) {
		free(text);
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory writing a record");
	}
	/* One buffer: what belongs together should wake the reader once. */
	if (packet) {
		add_head(&frames, len + 1);
		cairn_text_add_bytes(&frames, "", 1);
		cairn_text_add_bytes(&frames, packet, len);
	}
	add_head(&frames, text_len);
	cairn_text_add_bytes(&frames, text, text_len);
	rc = frames.failed ? cairn_error_set(err, CAIRN_ENOMEM, "out of memory writing a record")
			   : send_all(fd, frames.data, frames.len, err);
	cairn_text_free(&frames);
	free(text);
	return rc;
}

int cairn_wire_send(int fd, const json_t *json, cairn_error *err)
{
	return cairn_wire_send_packet(fd, NULL, 0, json, err);
}

/* 0; 1 where nothing came before the end. */
static int receive_all(int fd, void *bytes, size_t len, cairn_error *err)
{
	char *at = bytes;
	size_t left = len;

	while (left) {
		ssize_t n = read(fd, at, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 && left == len)
			return 1;
		if (n <= 0)
			return cairn_error_set(err, CAIRN_EIO, "the wire ended before the job did");
		at += n;
		left -= (size_t)n;
	}
	return 0;
}

int cairn_wire_receive(json_t **out, int fd, size_t max, cairn_error *err)
{
	uint8_t head[HEAD_BYTES];
	char *text;
	uint32_t len;
	int rc = receive_all(fd, head, sizeof(head), err);

	if (rc != 0)
		return rc;
	len = get_length(head);
	if (len > max)
		return cairn_error_set(
			err, CAIRN_ELIMIT, "a frame of %u bytes, more than %zu", len, max);
	text = cairn_alloc((size_t)len + 1, 1);
	if (!text)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading the job");
	rc = receive_all(fd, text, len, err);
	if (rc == 1)
		rc = cairn_error_set(err, CAIRN_EIO, "the wire ended before the job did");
	if (rc == 0)
		rc = cairn_json_parse(out, text, len, "wire", err);
	free(text);
	return rc;
}
