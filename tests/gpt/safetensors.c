/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors.c - 8 bytes little-endian length, JSON header, then the tensors; offsets in the
 * header count from its end.
 */
#include "gpt/safetensors.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

struct oracle_file {
	json_t *header;
	char *bytes;
	size_t len;
	const char *data;
};

static char *read_file(const char *path, size_t *len)
{
	FILE *stream = fopen(path, "rb");
	char *bytes;
	long end;

	if (!stream)
		return NULL;
	assert_int_equal(fseek(stream, 0, SEEK_END), 0);
	end = ftell(stream);
	assert_true(end > 0);
	rewind(stream);
	bytes = malloc((size_t)end);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, (size_t)end, stream), end);
	fclose(stream);
	*len = (size_t)end;
	return bytes;
}

oracle_file *oracle_open(const char *path)
{
	size_t len;
	char *bytes = read_file(path, &len);
	oracle_file *file;
	uint64_t header;

	if (!bytes)
		return NULL;
	assert_true(len > 8);
	memcpy(&header, bytes, 8);
	assert_true(header <= len - 8);
	file = calloc(1, sizeof(*file));
	assert_non_null(file);
	file->bytes = bytes;
	file->len = len;
	file->header = json_loadb(bytes + 8, header, 0, NULL);
	assert_non_null(file->header);
	file->data = bytes + 8 + header;
	return file;
}

void oracle_close(oracle_file *file)
{
	if (!file)
		return;
	json_decref(file->header);
	free(file->bytes);
	free(file);
}

static double element(const char *data, size_t i, const char *dtype)
{
	int64_t whole;
	double real;
	float single;

	if (strcmp(dtype, "I64") == 0) {
		memcpy(&whole, data + 8 * i, 8);
		return (double)whole;
	}
	if (strcmp(dtype, "F64") == 0) {
		memcpy(&real, data + 8 * i, 8);
		return real;
	}
	assert_string_equal(dtype, "F32");
	memcpy(&single, data + 4 * i, 4);
	return (double)single;
}

double *oracle_get(const oracle_file *file, const char *name, size_t *n)
{
	const json_t *entry = json_object_get(file->header, name);
	const json_t *offsets = json_object_get(entry, "data_offsets");
	const char *dtype = json_string_value(json_object_get(entry, "dtype"));
	size_t start = (size_t)json_integer_value(json_array_get(offsets, 0));
	size_t end = (size_t)json_integer_value(json_array_get(offsets, 1));
	double *out;

	if (!dtype)
		fail_msg("the oracle has no '%s'", name);
	assert_true(start <= end && end <= file->len - (size_t)(file->data - file->bytes));
	*n = (end - start) / (strcmp(dtype, "F32") == 0 ? 4 : 8);
	out = calloc(*n, sizeof(*out));
	assert_non_null(out);
	for (size_t i = 0; i < *n; i++)
		out[i] = element(file->data + start, i, dtype);
	return out;
}

void data_path(char *out, size_t cap, const char *file)
{
	const char *folder = getenv("CAIRN_DATA");

	(void)snprintf(
		out, cap, "%s/%s", folder ? folder : CAIRN_SOURCE_DIR "/../shared/data", file);
}
