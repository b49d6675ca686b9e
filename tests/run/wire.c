/* SPDX-License-Identifier: Apache-2.0 */
/* The wire: frames in pieces, broken ones, and whatever bytes. */
#include "fixture.h"

#include <math.h>
#include <string.h>

#include "run/wire.h"

static size_t frame(uint8_t *out, const char *json)
{
	size_t len = strlen(json);

	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(len >> (8 * i));
	memcpy(out + 4, json, len);
	return len + 4;
}

static void test_run_wire__frames_in_pieces(void **state)
{
	cairn_wire_reader reader = {0};
	cairn_wire_record record;
	uint8_t bytes[512];
	size_t n =
		frame(bytes, "{\"type\":\"step\",\"step\":7,\"total\":9,\"phase\":\"train\","
			     "\"metrics\":[[\"loss\",1.5],[\"kl\",\"nan\"],[\"x\",\"-inf\"],3]}");

	(void)state;
	n += frame(bytes + n, "{\"type\":\"of tomorrow\",\"more\":1}");
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(cairn_wire_next(&reader, &record, NULL), 0);
		assert_int_equal(cairn_wire_feed(&reader, bytes + i, 1, NULL), 0);
		if (i + 1 == n || record.type)
			continue;
		if (cairn_wire_next(&reader, &record, NULL) == 1) {
			assert_int_equal(record.type, CAIRN_WIRE_STEP);
			assert_int_equal(record.step, 7);
			assert_int_equal(record.total, 9);
			assert_string_equal(record.phase, "train");
			assert_int_equal(record.n_metrics, 3);
			assert_string_equal(record.metrics[0].name, "loss");
			assert_float_equal(record.metrics[0].value, 1.5, 0);
			assert_true(isnan(record.metrics[1].value));
			assert_true(record.metrics[2].value < 0 && isinf(record.metrics[2].value));
			cairn_wire_record_clear(&record);
		}
		memset(&record, 0, sizeof(record));
	}
	assert_int_equal(cairn_wire_next(&reader, &record, NULL), 1);
	assert_int_equal(record.type, CAIRN_WIRE_UNKNOWN);
	cairn_wire_record_clear(&record);
	assert_int_equal(cairn_wire_next(&reader, &record, NULL), 0);
	cairn_wire_reader_clear(&reader);
}

static void broken(const void *bytes, size_t len)
{
	cairn_wire_reader reader = {0};
	cairn_wire_record record;
	cairn_error err = {0};

	assert_int_equal(cairn_wire_feed(&reader, bytes, len, &err), 0);
	assert_int_equal(cairn_wire_next(&reader, &record, &err), CAIRN_EBUG);
	assert_true(err.message[0]);
	cairn_wire_reader_clear(&reader);
}

static void test_run_wire__refuses_what_is_no_record(void **state)
{
	uint8_t bytes[64];

	(void)state;
	broken("\xff\xff\xff\x7f", 4);
	broken(bytes, frame(bytes, "[1,2]"));
	broken(bytes, frame(bytes, "{\"type\":"));
	broken(bytes, frame(bytes, ""));
}

static void test_run_wire__error_comes_back(void **state)
{
	static const char json[] =
		"{\"type\":\"error\",\"error\":{\"code\":\"EINPUT\",\"message\":\"no\","
		"\"detail\":\"d\",\"hint\":\"h\",\"place\":\"p\"}}";
	cairn_wire_record record;

	(void)state;
	assert_int_equal(cairn_wire_decode(&record, json, strlen(json), NULL), 0);
	assert_int_equal(record.error.code, CAIRN_EINPUT);
	assert_string_equal(record.error.message, "no");
	assert_string_equal(record.error.hint, "h");
	cairn_wire_record_clear(&record);
}

/* Every byte of good records changed in many ways: an error or a record, never worse. */
static void test_run_wire__survives_damage(void **state)
{
	static const char *const good[] = {
		"{\"type\":\"step\",\"step\":7,\"metrics\":[[\"loss\",1.5]],\"flop\":[1,2],"
		"\"flop_real\":[3]}",
		"{\"type\":\"log\",\"level\":1,\"text\":\"a\\u0041\"}",
		"{\"type\":\"bye\",\"code\":-3,\"flop\":[1e300]}",
		"{\"type\":\"error\",\"error\":{\"code\":\"EIO\",\"message\":\"x\"}}",
	};
	uint64_t dice = 1;
	size_t taken = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		const char *text = good[round % (int)CAIRN_COUNT(good)];
		cairn_wire_reader reader = {0};
		cairn_wire_record record;
		uint8_t bytes[512];
		size_t n = frame(bytes, text);

		for (int k = 0; k < 1 + round % 3; k++) {
			dice = dice * 6364136223846793005u + 1442695040888963407u;
			bytes[(dice >> 33) % n] = (uint8_t)(dice >> 25);
		}
		assert_int_equal(cairn_wire_feed(&reader, bytes, n, NULL), 0);
		if (cairn_wire_next(&reader, &record, NULL) == 1) {
			taken++;
			cairn_wire_record_clear(&record);
		}
		cairn_wire_reader_clear(&reader);
	}
	assert_true(taken > 100); /* some damage leaves a record: both ways were seen */
	assert_true(taken < 19000);
}

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_wire__frames_in_pieces),
		cmocka_unit_test(test_run_wire__refuses_what_is_no_record),
		cmocka_unit_test(test_run_wire__error_comes_back),
		cmocka_unit_test(test_run_wire__survives_damage),
	};

	return cmocka_run_group_tests_name("run/wire", tests, NULL, NULL);
}
