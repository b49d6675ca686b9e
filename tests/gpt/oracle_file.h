/* SPDX-License-Identifier: Apache-2.0 */
/* oracle_file.h - a safetensors file of the tests' data as doubles; whole files; where data is. */
#ifndef CAIRN_TESTS_GPT_ORACLE_FILE_H
#define CAIRN_TESTS_GPT_ORACLE_FILE_H

#include <stddef.h>

typedef struct oracle_file oracle_file;

/* NULL where there is no such file; fails the test where it is broken. */
oracle_file *oracle_open(const char *path);
void oracle_close(oracle_file *file);
/* Any of F32, F64, I64 as doubles; *n their number. Caller frees. Fails the test where absent. */
double *oracle_get(const oracle_file *file, const char *name, size_t *n);

/* Folder of the tests' data: $CAIRN_DATA, or ../shared/data beside the source tree. */
void data_path(char *out, size_t cap, const char *file);
/* A file's bytes, NUL-terminated; NULL where there is none. Caller frees. */
char *read_file(const char *path, size_t *len);
/* As read_file, of the data folder; skips the test where it is missing. */
char *read_data(const char *file, size_t *len);

#endif
