/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/tensorboard.h"

#include <math.h>
#include <string.h>

#include "base/crc.h"
#include "base/json.h"

/* Wire types of protocol buffers. */
enum {
	VARINT = 0,
	FIXED64 = 1,
	BYTES = 2,
	FIXED32 = 5
};

/* ---- protocol buffers ------------------------------------------------------------------- */

static void add_le(cairn_text *out, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		cairn_text_add_char(out, (char)(value >> (8 * i) & 0xff));
}

static void add_varint(cairn_text *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		cairn_text_add_char(out, (char)(0x80 | (value & 0x7f)));
	cairn_text_add_char(out, (char)value);
}

static void add_tag(cairn_text *out, unsigned field, unsigned type)
{
	add_varint(out, field << 3 | type);
}

static void add_bytes(cairn_text *out, unsigned field, const void *bytes, size_t len)
{
	add_tag(out, field, BYTES);
	add_varint(out, len);
	cairn_text_add_bytes(out, bytes, len);
}

static void add_double(cairn_text *out, unsigned field, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	add_tag(out, field, FIXED64);
	add_le(out, bits, sizeof(bits));
}

static void add_float(cairn_text *out, unsigned field, float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	add_tag(out, field, FIXED32);
	add_le(out, bits, sizeof(bits));
}

/* ---- the frame -------------------------------------------------------------------------- */

static uint32_t masked_crc(const void *bytes, size_t len)
{
	uint32_t crc = cairn_crc32c(0, bytes, len);

	return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void add_record(cairn_text *out, const cairn_text *data)
{
	size_t at = out->len;

	add_le(out, data->len, 8);
	if (out->failed)
		return;
	add_le(out, masked_crc(out->data + at, 8), 4);
	cairn_text_add_bytes(out, cairn_text_get(data), data->len);
	add_le(out, masked_crc(cairn_text_get(data), data->len), 4);
}

/* ---- events ----------------------------------------------------------------------------- */

/* A number, or one of the words that the metric log has for what JSON cannot say. */
static bool value_of(const json_t *json, double *out)
{
	const char *word = json_string_value(json);

	*out = json_number_value(json);
	if (!word)
		return json_is_number(json);
	if (strcmp(word, "inf") == 0)
		*out = INFINITY;
	else if (strcmp(word, "-inf") == 0)
		*out = -INFINITY;
	else if (strcmp(word, "nan") == 0 || strcmp(word, "-nan") == 0)
		*out = NAN;
	else
		return false;
	return true;
}

static void add_value(cairn_text *summary, const char *name, double number)
{
	cairn_text value = {0};

	add_bytes(&value, 1, name, strlen(name));
	add_float(&value, 2, (float)number);
	add_bytes(summary, 1, cairn_text_get(&value), value.len);
	summary->failed |= value.failed;
	cairn_text_free(&value);
}

static int add_row(
	cairn_text *out, const json_t *row, double time_s, const char *place, cairn_error *err)
{
	cairn_text summary = {0}, event = {0};
	const char *name;
	json_t *json;
	double number;
	int rc = 0;

	if (!json_is_integer(json_object_get(row, "step")))
		return cairn_error_set(
			err, CAIRN_EINPUT, "a metric row of '%s' has no step", place);
	json_object_foreach((json_t *)row, name, json)
	{
		if (strcmp(name, "step") == 0)
			continue;
		if (rc == 0 && !value_of(json, &number))
			rc = cairn_error_set(err, CAIRN_EINPUT,
				"the metric '%.100s' of '%s' is no number", name, place);
		if (rc == 0)
			add_value(&summary, name, number);
	}
	add_double(&event, 1, time_s);
	add_tag(&event, 2, VARINT);
	add_varint(&event, (uint64_t)cairn_json_integer(row, "step", 0));
	add_bytes(&event, 5, cairn_text_get(&summary), summary.len);
	out->failed |= summary.failed || event.failed;
	add_record(out, &event);
	cairn_text_free(&summary);
	cairn_text_free(&event);
	return rc;
}

static void add_version(cairn_text *out, double time_s)
{
	static const char version[] = "brain.Event:2";
	cairn_text event = {0};

	add_double(&event, 1, time_s);
	add_bytes(&event, 3, version, sizeof(version) - 1);
	out->failed |= event.failed;
	add_record(out, &event);
	cairn_text_free(&event);
}

int cairn_tensorboard_events(cairn_text *out, const char *rows, size_t len, int64_t time_ms,
	const char *place, cairn_error *err)
{
	const char *at = rows, *end = rows + len;
	double time_s = (double)time_ms / 1000;
	int rc = 0;

	add_version(out, time_s);
	while (rc == 0 && at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t n = stop ? (size_t)(stop - at) : (size_t)(end - at);
		json_t *row = NULL;
		rc = cairn_json_parse(&row, at, n, place, err);
		if (rc == 0)
			rc = add_row(out, row, time_s, place, err);
		json_decref(row);
		at += n + (stop != NULL);
	}
	if (rc == 0 && out->failed)
		rc = cairn_error_set(
			err, CAIRN_ENOMEM, "out of memory for the events of '%s'", place);
	return rc;
}

void cairn_tensorboard_name(char out[64], int64_t time_ms)
{
	snprintf(out, 64, "events.out.tfevents.%lld.cairn", (long long)(time_ms / 1000));
}
