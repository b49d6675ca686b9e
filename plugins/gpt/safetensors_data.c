/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors_data.c - dtypes, elements as float32, and the writer. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "gpt/safetensors.h"

static const struct {
	const char *name;
	size_t bytes;
} dtypes[] = {
#define DTYPE(name, bytes) {#name, bytes},
	GPT_ST_DTYPE_MAP(DTYPE)
#undef DTYPE
};

const char *gpt_st_dtype_name(enum gpt_st_dtype dtype)
{
	return dtypes[dtype].name;
}

size_t gpt_st_dtype_bytes(enum gpt_st_dtype dtype)
{
	return dtypes[dtype].bytes;
}

bool gpt_st_is_real(enum gpt_st_dtype dtype)
{
	return dtype == GPT_ST_F32 || dtype == GPT_ST_F16 || dtype == GPT_ST_BF16 ||
	       dtype == GPT_ST_F64;
}

bool gpt_st_measure(gpt_st_tensor *tensor)
{
	uint64_t n = 1;
	bool is_empty = false;

	for (uint32_t i = 0; i < tensor->n_dims; i++)
		is_empty = is_empty || tensor->dims[i] == 0;
	for (uint32_t i = 0; !is_empty && i < tensor->n_dims; i++)
		if (__builtin_mul_overflow(n, tensor->dims[i], &n))
			return false;
	tensor->n = is_empty ? 0 : n;
	return !__builtin_mul_overflow(
		tensor->n, (uint64_t)gpt_st_dtype_bytes(tensor->dtype), &tensor->bytes);
}

/* ---- elements ----------------------------------------------------------------------------------
 */

/* IEEE 754 half: every value is a float32, subnormal ones as normal numbers. */
static uint32_t half_bits(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000) << 16, fraction = half & 0x3ff;
	int exponent = half >> 10 & 0x1f;

	if (exponent == 0x1f) /* infinity; of a NaN, its payload */
		return sign | 0x7f800000 | fraction << 13;
	if (exponent == 0 && fraction == 0)
		return sign;
	if (exponent == 0) {
		for (exponent = 1; !(fraction & 0x400); exponent--)
			fraction <<= 1;
		fraction &= 0x3ff;
	}
	return sign | (uint32_t)(exponent + 112) << 23 | fraction << 13;
}

void gpt_st_floats(const gpt_safetensors *file, const gpt_st_tensor *tensor, uint64_t from,
	uint64_t n, float *out)
{
	size_t size = gpt_st_dtype_bytes(tensor->dtype);
	const char *data = file->file + tensor->begin + from * size;

	CAIRN_ASSERT(gpt_st_is_real(tensor->dtype) && from <= tensor->n && n <= tensor->n - from);
	if (tensor->dtype == GPT_ST_F32) {
		if (n)
			memcpy(out, data, n * sizeof(*out));
		return;
	}
	for (uint64_t i = 0; i < n; i++, data += size) {
		uint16_t half;
		uint32_t bits;
		double wide;

		if (tensor->dtype == GPT_ST_F64) {
			memcpy(&wide, data, sizeof(wide));
			out[i] = (float)wide;
			continue;
		}
		memcpy(&half, data, sizeof(half));
		bits = tensor->dtype == GPT_ST_F16 ? half_bits(half) : (uint32_t)half << 16;
		memcpy(&out[i], &bits, sizeof(bits));
	}
}

/* ---- writing ------------------------------------------------------------------------------------
 */

static void add_string(cairn_text *header, const char *string)
{
	json_t *json = json_string(string);
	char *quoted = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;

	if (quoted)
		cairn_text_add(header, quoted);
	else
		header->failed = true;
	free(quoted);
	json_decref(json);
}

static void add_metadata(cairn_text *header, const gpt_st_pair *metadata, size_t n)
{
	cairn_text_add(header, "\"__metadata__\":{");
	for (size_t i = 0; i < n; i++) {
		if (i)
			cairn_text_add_char(header, ',');
		add_string(header, metadata[i].key);
		cairn_text_add_char(header, ':');
		add_string(header, metadata[i].value);
	}
	cairn_text_add_char(header, '}');
}

static void add_tensor(cairn_text *header, const gpt_st_tensor *tensor, uint64_t offset)
{
	add_string(header, tensor->name);
	cairn_text_printf(
		header, ":{\"dtype\":\"%s\",\"shape\":[", gpt_st_dtype_name(tensor->dtype));
	for (uint32_t i = 0; i < tensor->n_dims; i++)
		cairn_text_printf(header, "%s%" PRIu64, i ? "," : "", tensor->dims[i]);
	cairn_text_printf(header, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset,
		offset + tensor->bytes);
}

/* Places the tensors one behind the other; *total is the size of the data. */
static int place(gpt_st_tensor *tensors, size_t n, uint64_t *total, cairn_error *err)
{
	*total = 0;
	for (size_t i = 0; i < n; i++) {
		tensors[i].begin = *total;
		if (!gpt_st_measure(&tensors[i]) ||
			__builtin_add_overflow(*total, tensors[i].bytes, total))
			return cairn_error_set(err, CAIRN_EPARAM,
				"the shape of tensor '%.100s' overflows", tensors[i].name);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(tensors[i].name, tensors[j].name))
				return cairn_error_set(err, CAIRN_EPARAM,
					"tensor '%.100s' is to be written twice", tensors[i].name);
	}
	return 0;
}

int gpt_safetensors_layout(char **file, size_t *len, gpt_st_tensor *tensors, size_t n,
	const gpt_st_pair *metadata, size_t n_metadata, cairn_error *err)
{
	cairn_text header = {0};
	uint64_t total, bytes;
	char *out = NULL;
	int rc = place(tensors, n, &total, err);

	if (rc)
		return rc;
	cairn_text_add_char(&header, '{');
	if (n_metadata)
		add_metadata(&header, metadata, n_metadata);
	for (size_t i = 0; i < n; i++) {
		if (i || n_metadata)
			cairn_text_add_char(&header, ',');
		add_tensor(&header, &tensors[i], tensors[i].begin);
	}
	cairn_text_add_char(&header, '}');
	while (header.len % 8 && !header.failed)
		cairn_text_add_char(&header, ' ');
	if (!header.failed && !__builtin_add_overflow(total, 8 + (uint64_t)header.len, &bytes))
		out = cairn_alloc(bytes, 1);
	if (!out) {
		rc = cairn_error_set(err, CAIRN_ENOMEM,
			"no memory for a file of %" PRIu64 " bytes of tensors", total);
		goto out;
	}
	for (size_t i = 0; i < 8; i++)
		out[i] = (char)(header.len >> 8 * i);
	memcpy(out + 8, header.data, header.len);
	for (size_t i = 0; i < n; i++)
		tensors[i].begin += 8 + header.len;
	*file = out;
	*len = bytes;
out:
	cairn_text_free(&header);
	return rc;
}
