/* SPDX-License-Identifier: Apache-2.0 */
/* oracle_file.c - see oracle_file.h. */
#include "gpt/oracle_file.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpt/safetensors.h"
#include "test.h"

struct oracle_file {
	char *bytes;
	gpt_safetensors st;
};

char *read_file(const char *path, size_t *len)
{
	FILE *stream = fopen(path, "rb");
	char *bytes;
	long end;

	if (!stream)
		return NULL;
	assert_int_equal(fseek(stream, 0, SEEK_END), 0);
	end = ftell(stream);
	assert_true(end >= 0);
	rewind(stream);
	bytes = malloc((size_t)end + 1);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, (size_t)end, stream), end);
	bytes[end] = '\0';
	fclose(stream);
	*len = (size_t)end;
	return bytes;
}

char *read_data(const char *file, size_t *len)
{
	char path[1024];
	char *bytes;

	data_path(path, sizeof(path), file);
	bytes = read_file(path, len);
	if (!bytes) {
		print_message("no %s: skipped\n", path);
		skip();
	}
	return bytes;
}

oracle_file *oracle_open(const char *path)
{
	size_t len;
	char *bytes = read_file(path, &len);
	oracle_file *file;
	cairn_error err = {0};

	if (!bytes)
		return NULL;
	file = calloc(1, sizeof(*file));
	assert_non_null(file);
	file->bytes = bytes;
	if (gpt_safetensors_open(&file->st, path, bytes, len, &err))
		fail_msg("%s: %s", err.place, err.message);
	return file;
}

void oracle_close(oracle_file *file)
{
	if (!file)
		return;
	gpt_safetensors_close(&file->st);
	free(file->bytes);
	free(file);
}

static double element(const char *data, size_t i, enum gpt_st_dtype dtype)
{
	int64_t whole;
	double real;
	float single;

	if (dtype == GPT_ST_I64) {
		memcpy(&whole, data + 8 * i, 8);
		return (double)whole;
	}
	if (dtype == GPT_ST_F64) {
		memcpy(&real, data + 8 * i, 8);
		return real;
	}
	assert_int_equal(dtype, GPT_ST_F32);
	memcpy(&single, data + 4 * i, 4);
	return (double)single;
}

double *oracle_get(const oracle_file *file, const char *name, size_t *n)
{
	const gpt_st_tensor *tensor = gpt_safetensors_find(&file->st, name);
	double *out;

	if (!tensor)
		fail_msg("the oracle has no '%s'", name);
	*n = tensor->n;
	out = calloc(*n, sizeof(*out));
	assert_non_null(out);
	for (size_t i = 0; i < *n; i++)
		out[i] = element(file->st.file + tensor->begin, i, tensor->dtype);
	return out;
}

void data_path(char *out, size_t cap, const char *file)
{
	const char *folder = getenv("CAIRN_DATA");

	(void)snprintf(
		out, cap, "%s/%s", folder ? folder : CAIRN_SOURCE_DIR "/../shared/data", file);
}
