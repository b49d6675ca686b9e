/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors.h - Hugging Face's file of named tensors, read strictly and written.
 *
 * A file is 8 bytes with the length of the header (little-endian), the header in JSON
 * ({"name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}, ..., "__metadata__":{...}}), and
 * the tensors' bytes, which cover the rest of the file without hole or overlap. The reader believes
 * nothing: files come from strangers. It copies no data and does not need it aligned.
 *
 * The header has a grammar of its own in safetensors_header.c, not the JSON library's: of 100 MB of
 * hostile JSON that one would build a tree of gigabytes, and it could not say at which byte of
 * the file the mistake is.
 */
#ifndef CAIRN_GPT_SAFETENSORS_H
#define CAIRN_GPT_SAFETENSORS_H

#include <stdbool.h>
#include <stdint.h>

#include "cairn/error.h"

#define GPT_ST_MAX_HEADER  100000000u /* bytes: the format's own limit */
#define GPT_ST_MAX_TENSORS 100000u
#define GPT_ST_MAX_PAIRS   4096u /* of metadata */
#define GPT_ST_MAX_DIMS    8

/* dtype, name in the file, bytes of an element */
#define GPT_ST_DTYPE_MAP(X) \
	X(BOOL, 1)          \
	X(U8, 1)            \
	X(I8, 1)            \
	X(F8_E4M3, 1)       \
	X(F8_E5M2, 1)       \
	X(U16, 2)           \
	X(I16, 2)           \
	X(F16, 2)           \
	X(BF16, 2)          \
	X(U32, 4)           \
	X(I32, 4)           \
	X(F32, 4)           \
	X(U64, 8)           \
	X(I64, 8)           \
	X(F64, 8)

enum gpt_st_dtype {
#define GPT_ST_ENUM(name, bytes) GPT_ST_##name,
	GPT_ST_DTYPE_MAP(GPT_ST_ENUM)
#undef GPT_ST_ENUM
	GPT_ST_DTYPES /* how many there are */
};

typedef struct gpt_st_tensor {
	const char *name; /* UTF-8 without NUL, may be empty */
	enum gpt_st_dtype dtype;
	uint32_t n_dims;
	uint64_t dims[GPT_ST_MAX_DIMS];
	uint64_t n;            /* elements: 1 of a scalar (n_dims 0) */
	uint64_t begin, bytes; /* place in the file */
	uint64_t at;           /* of the name, in the file: for messages */
} gpt_st_tensor;

typedef struct gpt_st_pair {
	const char *key, *value;
} gpt_st_pair;

/* An opened file; {0} is valid and empty. */
typedef struct gpt_safetensors {
	const char *file; /* borrowed */
	size_t len;
	gpt_st_tensor *tensors; /* in the order of their data */
	size_t n;
	gpt_st_pair *metadata; /* in the order of the header */
	size_t n_metadata;
	gpt_st_tensor **by_name;
	char *strings;
} gpt_safetensors;

/* Over bytes that the caller keeps; `source` names them in errors, which have the byte as place.
 * EINPUT where they are no such file, ELIMIT, ENOMEM. */
CAIRN_MUST int gpt_safetensors_open(
	gpt_safetensors *out, const char *source, const void *bytes, size_t len, cairn_error *err);
void gpt_safetensors_close(gpt_safetensors *file);
/* NULL where there is none of that name. */
const gpt_st_tensor *gpt_safetensors_find(const gpt_safetensors *file, const char *name);
/* Value of a metadata key, or NULL. */
const char *gpt_safetensors_metadata(const gpt_safetensors *file, const char *key);

/* n and bytes from dtype and shape; false where they overflow. */
CAIRN_MUST bool gpt_st_measure(gpt_st_tensor *tensor);
const char *gpt_st_dtype_name(enum gpt_st_dtype dtype);
size_t gpt_st_dtype_bytes(enum gpt_st_dtype dtype);
/* Whether gpt_st_floats() can read it: F32, F16, BF16, F64. */
bool gpt_st_is_real(enum gpt_st_dtype dtype);
/* Elements [from, from + n) as float32: exact for F32, BF16 and F16, rounded to nearest for F64. */
void gpt_st_floats(const gpt_safetensors *file, const gpt_st_tensor *tensor, uint64_t from,
	uint64_t n, float *out);

/*
 * Lays out a file for tensors of which name, dtype and shape are set: allocates it, writes the
 * header in the order given, fills n, begin and bytes. The caller then writes the data to
 * *file + begin and frees *file. The same arguments give the same bytes; the data begins at a
 * multiple of 8. EPARAM: a name twice, a shape that overflows; ENOMEM.
 */
CAIRN_MUST int gpt_safetensors_layout(char **file, size_t *len, gpt_st_tensor *tensors, size_t n,
	const gpt_st_pair *metadata, size_t n_metadata, cairn_error *err);

#endif
