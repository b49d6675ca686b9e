/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tensorboard.c - tests of the event files, read back by a decoder that shares no code with
 * the writer: bitwise CRC, protocol buffers field by field, skipping what it does not know.
 */
#include <math.h>
#include <string.h>

#include "test.h"

#include "audit/tensorboard.h"
#include "base/crc.h"

/* ---- the decoder ------------------------------------------------------------------------ */

/* CRC-32C as the polynomial division that it is, a bit at a time. */
static uint32_t slow_crc(const uint8_t *bytes, size_t len)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < 8 * len; i++) {
		uint32_t bit = (bytes[i / 8] >> i % 8 & 1) ^ (crc & 1);
		crc = crc >> 1 ^ (bit ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static uint64_t little(const uint8_t *at, int n)
{
	return n ? at[0] | little(at + 1, n - 1) << 8 : 0;
}

static uint32_t unmask(uint32_t masked)
{
	uint32_t rotated = masked - 0xa282ead8;

	return rotated >> 17 | rotated << 15;
}

typedef struct reader {
	const uint8_t *at, *end;
} reader;

static uint64_t varint(reader *in)
{
	uint64_t value = 0;

	for (int shift = 0; shift < 64; shift += 7) {
		assert_true(in->at < in->end);
		value |= (uint64_t)(*in->at & 0x7f) << shift;
		if (!(*in->at++ & 0x80))
			return value;
	}
	fail_msg("a varint of more than 64 bits");
	return 0;
}

/* One field; `number` for types 0, 1 and 5, `bytes` for type 2. */
typedef struct field {
	unsigned name, type;
	uint64_t number;
	reader bytes;
} field;

static bool next(reader *in, field *out)
{
	uint64_t tag;

	if (in->at == in->end)
		return false;
	tag = varint(in);
	*out = (field){.name = (unsigned)(tag >> 3), .type = tag & 7};
	switch (out->type) {
	case 0:
		out->number = varint(in);
		return true;
	case 1:
	case 5:
		assert_true(in->end - in->at >= (out->type == 1 ? 8 : 4));
		out->number = little(in->at, out->type == 1 ? 8 : 4);
		in->at += out->type == 1 ? 8 : 4;
		return true;
	case 2:
		out->number = varint(in);
		assert_true((uint64_t)(in->end - in->at) >= out->number);
		out->bytes = (reader){in->at, in->at + out->number};
		in->at += out->number;
		return true;
	}
	fail_msg("wire type %u", out->type);
	return false;
}

/* The data of the next frame, whose sums must be right. */
static bool next_record(reader *in, reader *out)
{
	uint64_t len;

	if (in->at == in->end)
		return false;
	assert_true(in->end - in->at >= 16);
	len = little(in->at, 8);
	assert_int_equal(unmask((uint32_t)little(in->at + 8, 4)), slow_crc(in->at, 8));
	assert_true((uint64_t)(in->end - in->at) >= 16 + len);
	*out = (reader){in->at + 12, in->at + 12 + len};
	assert_int_equal(unmask((uint32_t)little(out->end, 4)), slow_crc(out->at, (size_t)len));
	in->at += 16 + len;
	return true;
}

typedef struct event {
	double wall_time;
	uint64_t step;
	char version[32];
	size_t n;
	char tags[8][64];
	float values[8];
} event;

static void take_text(char *out, size_t cap, reader bytes)
{
	size_t len = (size_t)(bytes.end - bytes.at);

	assert_true(len < cap);
	memcpy(out, bytes.at, len);
	out[len] = '\0';
}

static void take_value(event *out, reader in)
{
	uint32_t bits = 0;
	field f;

	assert_true(out->n < 8);
	while (next(&in, &f)) {
		if (f.name == 1)
			take_text(out->tags[out->n], sizeof(out->tags[0]), f.bytes);
		if (f.name == 2 && f.type == 5)
			bits = (uint32_t)f.number;
	}
	memcpy(&out->values[out->n++], &bits, sizeof(bits));
}

static bool next_event(reader *in, event *out)
{
	reader data;
	field f, value;

	*out = (event){0};
	if (!next_record(in, &data))
		return false;
	while (next(&data, &f)) {
		if (f.name == 1 && f.type == 1)
			memcpy(&out->wall_time, &f.number, sizeof(double));
		if (f.name == 2 && f.type == 0)
			out->step = f.number;
		if (f.name == 3)
			take_text(out->version, sizeof(out->version), f.bytes);
		while (f.name == 5 && next(&f.bytes, &value)) {
			assert_int_equal(value.name, 1);
			take_value(out, value.bytes);
		}
	}
	return true;
}

/* ---- tests ------------------------------------------------------------------------------ */

/* RFC 3720, appendix B.4, and the check value of the CRC catalogues. */
static void test_audit_tensorboard__crc_has_its_known_values(void **state)
{
	uint8_t bytes[32];

	(void)state;
	assert_int_equal(cairn_crc32c(0, "123456789", 9), 0xe3069283);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(cairn_crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(cairn_crc32c(0, bytes, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(cairn_crc32c(0, bytes, 32), 0x46dd794e);
	/* In pieces, and as the decoder computes it. */
	assert_int_equal(cairn_crc32c(cairn_crc32c(0, bytes, 7), bytes + 7, 25), 0x46dd794e);
	assert_int_equal(slow_crc(bytes, 32), 0x46dd794e);
	assert_int_equal(cairn_crc32c(0, "", 0), 0);
}

static void test_audit_tensorboard__events_are_the_rows(void **state)
{
	static const char rows[] = "{\"step\":1,\"loss\":2.5,\"objective/kl\":0}\n"
				   "{\"step\":300,\"loss\":-1e-3,\"big\":\"inf\",\"odd\":\"nan\"}\n"
				   "{\"step\":3000000000,\"n\":7}\n";
	cairn_text file = {0};
	reader in;
	event e;

	(void)state;
	assert_int_equal(
		cairn_tensorboard_events(&file, rows, strlen(rows), 1700000000250, "a", NULL), 0);
	in = (reader){(const uint8_t *)file.data, (const uint8_t *)file.data + file.len};
	assert_true(next_event(&in, &e));
	assert_string_equal(e.version, "brain.Event:2");
	assert_true(e.wall_time == 1700000000.25);
	assert_int_equal(e.n, 0);

	assert_true(next_event(&in, &e));
	assert_string_equal(e.version, "");
	assert_true(e.wall_time == 1700000000.25);
	assert_int_equal(e.step, 1);
	assert_int_equal(e.n, 2);
	assert_string_equal(e.tags[0], "loss");
	assert_true(e.values[0] == 2.5f);
	assert_string_equal(e.tags[1], "objective/kl");
	assert_true(e.values[1] == 0);

	assert_true(next_event(&in, &e));
	assert_int_equal(e.step, 300);
	assert_int_equal(e.n, 3);
	assert_true(e.values[0] == -1e-3f);
	assert_string_equal(e.tags[1], "big");
	assert_true(e.values[1] == INFINITY);
	assert_true(e.values[2] != e.values[2]);

	assert_true(next_event(&in, &e));
	assert_int_equal(e.step, 3000000000);
	assert_string_equal(e.tags[0], "n");
	assert_true(e.values[0] == 7);
	assert_false(next_event(&in, &e));
	cairn_text_free(&file);
}

/* The first bytes of every such file, as other writers make them: length 24, its masked sum, then
 * wall_time and version. */
static void test_audit_tensorboard__begins_as_it_must(void **state)
{
	static const uint8_t head[] = {24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22, 0x09};
	static const uint8_t tail[] = "\x1a\x0d"
				      "brain.Event:2";
	cairn_text file = {0};

	(void)state;
	assert_int_equal(cairn_tensorboard_events(&file, "", 0, 0, "a", NULL), 0);
	assert_int_equal(file.len, 12 + 24 + 4);
	assert_memory_equal(file.data, head, sizeof(head));
	assert_memory_equal(file.data + 12 + 9, tail, 15);
	cairn_text_free(&file);
}

static void test_audit_tensorboard__refuses_what_is_no_row(void **state)
{
	static const char *const bad[] = {"{\"loss\":1}\n", "{\"step\":1,\"loss\":\"much\"}\n",
		"{\"step\":1,\"loss\":[1]}\n", "[1]\n", "no JSON\n"};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(bad); i++) {
		cairn_error err = {0};
		cairn_text file = {0};
		assert_int_equal(
			cairn_tensorboard_events(&file, bad[i], strlen(bad[i]), 0, "stage b", &err),
			CAIRN_EINPUT);
		assert_true(err.message[0] != '\0');
		cairn_text_free(&file);
	}
}

static void test_audit_tensorboard__name_is_found(void **state)
{
	char name[64];

	(void)state;
	cairn_tensorboard_name(name, 1700000000999);
	assert_string_equal(name, "events.out.tfevents.1700000000.cairn");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_audit_tensorboard__crc_has_its_known_values),
		cmocka_unit_test(test_audit_tensorboard__events_are_the_rows),
		cmocka_unit_test(test_audit_tensorboard__begins_as_it_must),
		cmocka_unit_test(test_audit_tensorboard__refuses_what_is_no_row),
		cmocka_unit_test(test_audit_tensorboard__name_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
