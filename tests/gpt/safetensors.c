/* SPDX-License-Identifier: Apache-2.0 */
/* The safetensors reader against files made to deceive it, and the writer against the reader. */
#include "gpt/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpt/oracle_file.h"
#include "test.h"

/* A file of this header and n_data bytes 0, 1, 2 ...; caller frees. */
static char *file_of(const char *header, size_t n_data, size_t *len)
{
	size_t n = strlen(header);
	char *file = calloc(1, 8 + n + n_data + 1);

	assert_non_null(file);
	for (size_t i = 0; i < 8; i++)
		file[i] = (char)(n >> 8 * i);
	memcpy(file + 8, header, n);
	for (size_t i = 0; i < n_data; i++)
		file[8 + n + i] = (char)i;
	*len = 8 + n + n_data;
	return file;
}

/* Opens it from a block of exactly its size, so that reading beyond it is seen. */
static int open_exact(
	gpt_safetensors *out, char **block, const char *bytes, size_t len, cairn_error *err)
{
	*block = malloc(len ? len : 1);
	assert_non_null(*block);
	if (len)
		memcpy(*block, bytes, len);
	return gpt_safetensors_open(out, "test.safetensors", *block, len, err);
}

/* The header has a '^' before the byte where the mistake is, or `ahead` bytes before it. */
static void refuses(const char *marked, size_t n_data, size_t ahead, const char *message)
{
	size_t caret = strcspn(marked, "^"), len;
	gpt_safetensors st = {0};
	cairn_error err = {0};
	char *block, *file, header[400], place[64];

	assert_int_equal(marked[caret], '^');
	(void)snprintf(header, sizeof(header), "%.*s%s", (int)caret, marked, marked + caret + 1);
	file = file_of(header, n_data, &len);
	if (!open_exact(&st, &block, file, len, &err))
		fail_msg("'%s' was not refused: %s", message, header);
	assert_int_equal(err.code, CAIRN_EINPUT);
	assert_string_equal(err.message, message);
	(void)snprintf(place, sizeof(place), "test.safetensors, byte %zu", 8 + caret + ahead);
	assert_string_equal(err.place, place);
	assert_null(st.tensors);
	free(file);
	free(block);
}

#define T(name, dtype, shape, from, to)                                                            \
	"\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" from "," to \
	"]}"

static void test_gpt_safetensors__refuses_bad_places(void **state)
{
	(void)state;
	refuses("{" T("a", "U8", "[4]", "0", "4") "," T("b", "U8", "[4]", "8", "12") "}^", 12, 4,
		"4 byte(s) before tensor 'b' belong to none");
	refuses("{" T("a", "U8", "[4]", "0", "4") "," T("b", "U8", "[4]", "2", "6") "}^", 6, 2,
		"tensors 'a' and 'b' overlap");
	refuses("{" T("a", "U8", "[4]", "1", "5") "}^", 5, 0,
		"1 byte(s) before tensor 'a' belong to none");
	refuses("{" T("a", "U8", "[4]", "0", "4") "}^", 5, 4,
		"1 byte(s) at the end belong to no tensor");
	refuses("{^" T("a", "U8", "[4]", "0", "4") "}", 3, 0,
		"tensor 'a' ends at byte 4 of the data, which has 3");
	refuses("{^" T("a", "U8", "[4]", "4", "0") "}", 4, 0, "tensor 'a' ends before it begins");
	refuses("{^" T("a", "U8", "[4]", "0", "18446744073709551615") "}", 4, 0,
		"tensor 'a' ends at byte 18446744073709551615 of the data, which has 4");
	refuses("{^" T("a", "F32", "[4]", "0", "4") "}", 4, 0,
		"tensor 'a' has 4 bytes, its dtype and shape need 16");
	refuses("{}^", 1, 0, "1 byte(s) at the end belong to no tensor");
}

static void test_gpt_safetensors__refuses_bad_shapes(void **state)
{
	(void)state;
	refuses("{^" T("a", "U8", "[4294967296,4294967296]", "0", "0") "}", 0, 0,
		"the shape of tensor 'a' overflows");
	refuses("{^" T("a", "F64", "[4611686018427387904]", "0", "0") "}", 0, 0,
		"the shape of tensor 'a' overflows");
	refuses("{" T("a", "U8", "[^18446744073709551616]", "0", "0") "}", 0, 0,
		"a number beyond 2^64");
	refuses("{" T("a", "U8", "[1,1,1,1,1,1,1,1,^1]", "0", "1") "}", 1, 0,
		"'shape' has more than 8 numbers");
	refuses("{" T("a", "U8", "[^01]", "0", "1") "}", 1, 0, "a number with a leading zero");
	refuses("{" T("a", "U8", "[^1.0]", "0", "1") "}", 1, 0, "a number that is not whole");
	refuses("{" T("a", "U8", "[^1e0]", "0", "1") "}", 1, 0, "a number that is not whole");
	refuses("{" T("a", "U8", "[^-1]", "0", "1") "}", 1, 0,
		"no whole number where one should be");
	refuses("{" T("a", "U8", "[1,^]", "0", "1") "}", 1, 0,
		"no whole number where one should be");
	refuses("{\"a\":{\"dtype\":^\"F99\"}}", 1, 0, "tensor 'a' has the unknown dtype 'F99'");
	refuses("{\"a\":{\"dtype\":^\"f32\"}}", 4, 0, "tensor 'a' has the unknown dtype 'f32'");
}

static void test_gpt_safetensors__refuses_bad_members(void **state)
{
	(void)state;
	refuses("{" T("a", "U8", "[1]", "0", "1") ",^" T("a", "U8", "[1]", "1", "2") "}", 2, 0,
		"tensor 'a' stands twice in the header");
	/* The same name in two spellings. */
	refuses("{" T("a", "U8", "[1]", "0", "1") ",^" T("\\u0061", "U8", "[1]", "1", "2") "}", 2,
		0, "tensor 'a' stands twice in the header");
	refuses("{^\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, 0,
		"tensor 'a' has no 'data_offsets'");
	refuses("{\"a\":{\"dtype\":\"U8\",^\"dtype\":\"U8\"}}", 1, 0,
		"tensor 'a' has 'dtype' twice");
	refuses("{\"a\":{^\"kind\":1}}", 1, 0,
		"tensor 'a' has a member 'kind' that it should not have");
	refuses("{\"a\":{\"dtype\":\"U8\",^\"data_offsets\":[0]}}", 1, 0,
		"'data_offsets' of 'a' are not two numbers");
	refuses("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1,^2]}}", 1, 0,
		"'data_offsets' has more than 2 numbers");
	refuses("{\"__metadata__\":{},^\"__metadata__\":{}}", 0, 0,
		"'__metadata__' stands twice in the header");
	refuses("{\"__metadata__\":{\"a\":\"1\",^\"a\":\"2\"}}", 0, 0,
		"'a' stands twice in the metadata");
	refuses("{\"__metadata__\":{\"a\":^1}}", 0, 0,
		"the header has byte 0x31 where '\"' should be");
}

static void test_gpt_safetensors__refuses_bad_json(void **state)
{
	(void)state;
	refuses("^", 0, 0, "the header does not begin with '{'");
	refuses("^ {}", 0, 0, "the header does not begin with '{'");
	refuses("^[]", 0, 0, "the header does not begin with '{'");
	refuses("{^", 0, 0, "the header ends where '\"' should be");
	refuses("{} ^x", 0, 0, "something stands behind the header's end");
	refuses("{^\"a", 0, 0, "a string without end");
	refuses("{\"a^\\", 0, 0, "an escape that JSON does not have");
	refuses("{\"^\\x\":1}", 0, 0, "an escape that JSON does not have");
	refuses("{\"\\u12^g4\":1}", 0, 0, "'\\u' without four hexadecimal digits");
	refuses("{\"^\\u0000\":1}", 0, 0, "NUL in a string");
	refuses("{\"^\\ud83d\":1}", 0, 0, "half of a surrogate pair");
	refuses("{\"^\\ud83d\\u0041\":1}", 0, 0, "half of a surrogate pair");
	refuses("{\"^\\ude00\":1}", 0, 0, "half of a surrogate pair");
	refuses("{\"a^\nb\":1}", 0, 0, "control character 0x0a in a string");
	refuses("{\"a^\xff\":1}", 0, 0, "the header is not UTF-8");
	refuses("{\"^\xc0\xaf\":1}", 0, 0, "the header is not UTF-8");
	refuses("{\"__metadata__\":{},^}", 0, 0, "the header has byte 0x7d where '\"' should be");
	refuses("{\"__metadata__\":{}^\"a\"}", 0, 0,
		"the header has byte 0x22 where '}' should be");
}

static void test_gpt_safetensors__refuses_bad_lengths(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int code;
		const char *message;
	} cases[] = {
		{"", 0, CAIRN_EINPUT, "a file of 0 bytes has no room for the length of its header"},
		{"\2\0\0\0\0\0\0", 7, CAIRN_EINPUT,
			"a file of 7 bytes has no room for the length of its header"},
		{"\3\0\0\0\0\0\0\0{}", 10, CAIRN_EINPUT,
			"a header of 3 bytes goes beyond the end of the file"},
		{"\0\0\0\0\0\0\0\x80{}", 10, CAIRN_ELIMIT,
			"a header of 9223372036854775808 bytes is longer than 100000000"},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		gpt_safetensors st = {0};
		cairn_error err = {0};
		char *block;

		assert_int_equal(
			open_exact(&st, &block, cases[i].bytes, cases[i].len, &err), cases[i].code);
		assert_string_equal(err.message, cases[i].message);
		assert_string_equal(err.place, "test.safetensors, byte 0");
		free(block);
	}
}

static void test_gpt_safetensors__reads_what_is_there(void **state)
{
	static const char header[] =
		"{ \"z\" : {\"data_offsets\":[4,6],\"shape\":[ ],\"dtype\":\"I16\"},"
		"\"\\u00e9\\ud83d\\ude00\\\"\\/\\n\":{\"dtype\":\"U8\",\"shape\":[2,2],"
		"\"data_offsets\":[0,4]},"
		"\"none\":{\"dtype\":\"F32\",\"shape\":[0,18446744073709551615],"
		"\"data_offsets\":[4,4]},"
		"\"__metadata__\":{\"k\":\"v\",\"\":\"\\t\"}}  \n";
	gpt_safetensors st = {0};
	const gpt_st_tensor *tensor;
	cairn_error err = {0};
	char *block, *file;
	size_t len;

	(void)state;
	file = file_of(header, 6, &len);
	if (open_exact(&st, &block, file, len, &err))
		fail_msg("%s: %s", err.place, err.message);
	assert_int_equal(st.n, 3);
	/* In the order of the data. */
	assert_string_equal(st.tensors[0].name, "\xc3\xa9\xf0\x9f\x98\x80\"/\n");
	assert_string_equal(st.tensors[1].name, "none");
	assert_string_equal(st.tensors[2].name, "z");
	tensor = gpt_safetensors_find(&st, "z");
	assert_non_null(tensor);
	assert_int_equal(tensor->dtype, GPT_ST_I16);
	assert_int_equal(tensor->n_dims, 0);
	assert_int_equal(tensor->n, 1);
	assert_int_equal(tensor->bytes, 2);
	assert_memory_equal(block + tensor->begin, "\4\5", 2);
	assert_int_equal(st.tensors[0].n, 4);
	assert_int_equal(st.tensors[0].dims[1], 2);
	assert_int_equal(st.tensors[1].n, 0);
	assert_null(gpt_safetensors_find(&st, "y"));
	assert_string_equal(gpt_safetensors_metadata(&st, "k"), "v");
	assert_string_equal(gpt_safetensors_metadata(&st, ""), "\t");
	assert_null(gpt_safetensors_metadata(&st, "v"));
	gpt_safetensors_close(&st);
	free(file);
	free(block);
}

/* ---- the shared vectors ------------------------------------------------------------------------
 */

/* What each valid vector says; order is that of the data. */
static const struct {
	const char *vector, *name;
	enum gpt_st_dtype dtype;
	uint32_t n_dims;
	uint64_t dims[2], offset, bytes;
} wanted[] = {
	{"v02_i32_2x2", "test", GPT_ST_I32, 2, {2, 2}, 0, 16},
	{"v03_scalar", "test", GPT_ST_I32, 0, {0}, 0, 4},
	{"v04_zero_dim", "test", GPT_ST_I32, 2, {2, 0}, 0, 0},
	{"v05_metadata", "a", GPT_ST_F32, 1, {4}, 0, 16},
	{"v06_trailing_ws", "a", GPT_ST_F32, 1, {4}, 0, 16},
	{"v07_order", "a", GPT_ST_F32, 1, {2}, 0, 8},
	{"v07_order", "b", GPT_ST_F32, 1, {2}, 8, 8},
	{"v08_utf8_name", "\xc3\xa9t\xc3\xa9/\xe4\xb8\xad", GPT_ST_U8, 1, {16}, 0, 16},
	{"v09_escapes", "ab\"c", GPT_ST_U8, 1, {16}, 0, 16},
	{"v10_f16_bf16", "x", GPT_ST_F16, 1, {4}, 0, 8},
	{"v10_f16_bf16", "y", GPT_ST_BF16, 1, {4}, 8, 8},
};

static void check_vector(const char *vector, const gpt_safetensors *st)
{
	size_t n = 0;

	for (size_t i = 0; i < CAIRN_COUNT(wanted); i++) {
		const gpt_st_tensor *tensor = &st->tensors[n];

		if (strcmp(wanted[i].vector, vector) != 0)
			continue;
		assert_true(n < st->n);
		assert_string_equal(tensor->name, wanted[i].name);
		assert_int_equal(tensor->dtype, wanted[i].dtype);
		assert_int_equal(tensor->n_dims, wanted[i].n_dims);
		for (uint32_t d = 0; d < tensor->n_dims; d++)
			assert_int_equal(tensor->dims[d], wanted[i].dims[d]);
		assert_int_equal(tensor->bytes, wanted[i].bytes);
		for (uint64_t b = 0; b < tensor->bytes; b++)
			assert_int_equal(st->file[tensor->begin + b], (char)(wanted[i].offset + b));
		n++;
	}
	assert_int_equal(n, st->n);
}

static void test_gpt_safetensors__takes_and_refuses_the_vectors(void **state)
{
	size_t len, n_valid = 0, n_invalid = 0;
	char *manifest = read_data("safetensors-vectors/MANIFEST.tsv", &len), *rest = manifest;

	(void)state;
	for (char *line = strtok_r(rest, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char path[200], name[100], verdict[20];
		gpt_safetensors st = {0};
		cairn_error err = {0};
		char *bytes, *block;
		int rc;

		assert_int_equal(sscanf(line, "%99[^\t]\t%19[^\t]", name, verdict), 2);
		(void)snprintf(path, sizeof(path), "safetensors-vectors/%s.safetensors", name);
		bytes = read_data(path, &len);
		rc = open_exact(&st, &block, bytes, len, &err);
		if (!strcmp(verdict, "valid")) {
			if (rc)
				fail_msg("%s: %s: %s", name, err.place, err.message);
			check_vector(name, &st);
			n_valid++;
		} else {
			if (!rc)
				fail_msg("%s is not refused", name);
			assert_true(err.message[0] && strstr(err.place, ", byte "));
			print_message("%s: %s: %s\n", name, err.place, err.message);
			n_invalid++;
		}
		gpt_safetensors_close(&st);
		free(bytes);
		free(block);
	}
	assert_int_equal(n_valid, 10);
	assert_int_equal(n_invalid, 12);
	free(manifest);
}

/* ---- elements
 * ------------------------------------------------------------------------------------ */

/* The value of a half, by its definition. */
static double half_value(unsigned half)
{
	double sign = half & 0x8000 ? -1 : 1;
	int exponent = (int)(half >> 10 & 0x1f);
	double fraction = (half & 0x3ff) / 1024.;

	if (exponent == 0x1f)
		return fraction != 0 ? NAN : sign * INFINITY;
	return exponent ? sign * ldexp(1 + fraction, exponent - 15) : sign * ldexp(fraction, -14);
}

/* All 65536 values of both 16-bit types. */
static void test_gpt_safetensors__converts_every_16_bit_value(void **state)
{
	enum {
		N = 1 << 16
	};
	char header[200], *file;
	gpt_safetensors st = {0};
	cairn_error err = {0};
	float *out = malloc(N * sizeof(*out));
	size_t len, at;

	(void)state;
	assert_non_null(out);
	(void)snprintf(header, sizeof(header),
		"{" T("h", "F16", "[65536]", "0", "131072") "," T(
			"b", "BF16", "[65536]", "131072", "262144") "}");
	file = file_of(header, 4 * N, &len);
	at = 8 + strlen(header);
	for (size_t i = 0; i < 2 * N; i++) {
		uint16_t value = (uint16_t)i;

		memcpy(file + at + 2 * i, &value, 2);
	}
	assert_int_equal(gpt_safetensors_open(&st, "all", file, len, &err), 0);
	gpt_st_floats(&st, gpt_safetensors_find(&st, "h"), 0, N, out);
	for (unsigned i = 0; i < N; i++) {
		double value = half_value(i);

		assert_true(isnan(value)
				    ? isnan(out[i])
				    : (double)out[i] == value && !signbit(out[i]) == !(i & 0x8000));
	}
	gpt_st_floats(&st, gpt_safetensors_find(&st, "b"), 0, N, out);
	for (unsigned i = 0; i < N; i++) {
		uint32_t bits;

		memcpy(&bits, &out[i], sizeof(bits));
		assert_int_equal(bits, i << 16);
	}
	gpt_safetensors_close(&st);
	free(file);
	free(out);
}

/* ---- the writer
 * ---------------------------------------------------------------------------------- */

static void test_gpt_safetensors__writes_what_it_reads(void **state)
{
	gpt_st_tensor tensors[] = {
		{.name = "w\"\xc3\xa9\n", .dtype = GPT_ST_F64, .n_dims = 2, .dims = {2, 3}},
		{.name = "empty", .dtype = GPT_ST_F32, .n_dims = 1, .dims = {0}},
		{.name = "scalar", .dtype = GPT_ST_BF16},
	};
	static const gpt_st_pair metadata[] = {{"format", "pt"}, {"note", "a\tb"}};
	static const double values[] = {1, -2, 1e-300, 1e300, .1, 0};
	const uint16_t one = 0x3f80;
	gpt_safetensors st = {0};
	cairn_error err = {0};
	char *file = NULL, *again = NULL;
	float out[6];
	size_t len, len_again;

	(void)state;
	assert_int_equal(gpt_safetensors_layout(&file, &len, tensors, 3, metadata, 2, &err), 0);
	assert_int_equal(tensors[0].begin % 8, 0);
	memcpy(file + tensors[0].begin, values, sizeof(values));
	memcpy(file + tensors[2].begin, &one, sizeof(one));
	if (gpt_safetensors_open(&st, "written", file, len, &err))
		fail_msg("%s: %s", err.place, err.message);
	assert_int_equal(st.n, 3);
	gpt_st_floats(&st, gpt_safetensors_find(&st, tensors[0].name), 0, 6, out);
	for (int i = 0; i < 6; i++)
		assert_true(out[i] == (float)values[i]);
	gpt_st_floats(&st, gpt_safetensors_find(&st, tensors[0].name), 4, 1, out);
	assert_true(out[0] == .1f);
	gpt_st_floats(&st, gpt_safetensors_find(&st, "scalar"), 0, 1, out);
	assert_true(out[0] == 1);
	assert_string_equal(gpt_safetensors_metadata(&st, "note"), "a\tb");
	assert_int_equal(
		gpt_safetensors_layout(&again, &len_again, tensors, 3, metadata, 2, &err), 0);
	assert_int_equal(len, len_again);
	assert_memory_equal(file, again, tensors[0].begin);
	gpt_safetensors_close(&st);
	free(file);
	free(again);
	tensors[1].name = "scalar";
	assert_int_equal(
		gpt_safetensors_layout(&file, &len, tensors, 3, NULL, 0, &err), CAIRN_EPARAM);
	assert_string_equal(err.message, "tensor 'scalar' is to be written twice");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_safetensors__refuses_bad_places),
		cmocka_unit_test(test_gpt_safetensors__refuses_bad_shapes),
		cmocka_unit_test(test_gpt_safetensors__refuses_bad_members),
		cmocka_unit_test(test_gpt_safetensors__refuses_bad_json),
		cmocka_unit_test(test_gpt_safetensors__refuses_bad_lengths),
		cmocka_unit_test(test_gpt_safetensors__reads_what_is_there),
		cmocka_unit_test(test_gpt_safetensors__takes_and_refuses_the_vectors),
		cmocka_unit_test(test_gpt_safetensors__converts_every_16_bit_value),
		cmocka_unit_test(test_gpt_safetensors__writes_what_it_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
