/* SPDX-License-Identifier: Apache-2.0 */
/* fakeio.h - what a tool reads and writes, in memory; and small models for tools to work on. */
#ifndef CAIRN_TESTS_TOOLS_FAKEIO_H
#define CAIRN_TESTS_TOOLS_FAKEIO_H

#include "base/text.h"
#include "fakehost.h"
#include "gpt/model.h"
#include "gpt/tokenizer.h"

/* Set `table` up with fakeio_init(); the rest is for the test to set and to look at. */
typedef struct fakeio {
	cairn_tool_io table;
	const char *in;   /* what is left of stdin */
	cairn_text out;   /* stdout */
	cairn_text marks; /* stdout with '|' where it was flushed */
	char *line;
	uint64_t n_read, n_written; /* lines, calls of write() */
	uint64_t stop_after;        /* calls of write() until somebody presses Ctrl-C; 0: never */
	uint64_t close_after;       /* until the reader has gone; 0: never */
} fakeio;

void fakeio_init(fakeio *io, const char *in);
void fakeio_free(fakeio *io);

/* A tool with its stdin and the text behind it; runs it and gives run()'s answer. */
int fakeio_run(struct fakehost *host, fakeio *io, const char *text);

/* A model artifact on an input port: random weights, a tokenizer trained on a little text (none
 * where the model has fewer than 257 tokens). */
void tools_model(struct fakehost *host, const char *port, enum gpt_head head);
/* The same as directory "world/", exported. */
void tools_directory(struct fakehost *host, const char *port, enum gpt_head head);
/* The two as they are, to compute what a tool must say. The kernels are portable ones. */
const cairn_kernels *tools_kernels(void);
gpt_model *tools_new_model(enum gpt_head head);
gpt_tokenizer *tools_new_tokenizer(void);
/* A directory of the tests' data on an input port, as its files; skips the test where it is
 * missing. */
void tools_data_directory(
	struct fakehost *host, const char *port, const char *folder, const char *const *files);

#endif
