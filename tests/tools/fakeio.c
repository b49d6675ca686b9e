/* SPDX-License-Identifier: Apache-2.0 */
/* fakeio.c - see fakeio.h. */
#include "fakeio.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpt/oracle_file.h"
#include "gpt/support.h"
#include "kernels/portable/portable.h"

/* ---- stdin and stdout ---------------------------------------------------------------------------
 */

static int read_line(void *self, const char **line, size_t *len)
{
	fakeio *io = self;
	const char *end;

	if (!io->in || !*io->in)
		return 0;
	end = strchr(io->in, '\n');
	*len = end ? (size_t)(end - io->in) : strlen(io->in);
	/* The bytes are the caller's until the next call only: what keeps them too long is found
	 * by the sanitizer. */
	free(io->line);
	io->line = calloc(1, *len + 1);
	assert_non_null(io->line);
	memcpy(io->line, io->in, *len);
	*line = io->line;
	io->in += *len + (end ? 1 : 0);
	io->n_read++;
	return 1;
}

static int write_bytes(void *self, const void *data, size_t len)
{
	fakeio *io = self;

	if (io->close_after && io->n_written >= io->close_after)
		return CAIRN_STOPPED;
	io->n_written++;
	cairn_text_add_bytes(&io->out, data, len);
	cairn_text_add_bytes(&io->marks, data, len);
	return 0;
}

static int flush(void *self)
{
	fakeio *io = self;

	cairn_text_add_char(&io->marks, '|');
	return 0;
}

static int stopping(void *self)
{
	const fakeio *io = self;

	return io->stop_after && io->n_written >= io->stop_after;
}

void fakeio_init(fakeio *io, const char *in)
{
	*io = (fakeio){
		.table = {.read_line = read_line,
			.write = write_bytes,
			.flush = flush,
			.stopping = stopping},
		.in = in,
	};
	io->table.self = io;
}

void fakeio_free(fakeio *io)
{
	cairn_text_free(&io->out);
	cairn_text_free(&io->marks);
	free(io->line);
	*io = (fakeio){0};
}

int fakeio_run(struct fakehost *host, fakeio *io, const char *text)
{
	fakehost_kernels(host, tools_kernels());
	fakehost_io(host, &io->table, text);
	return fakehost_run(host);
}

/* ---- models
 * --------------------------------------------------------------------------------------- */

const cairn_kernels *tools_kernels(void)
{
	static cairn_kernels kernels;
	static bool is_open;
	cairn_error err = {0};

	if (!is_open)
		assert_int_equal(cairn_kernels_portable_open(&kernels, 1, &err), 0);
	is_open = true;
	return &kernels;
}

gpt_tokenizer *tools_new_tokenizer(void)
{
	static const char *const texts[] = {
		"the cat sat on the mat, and the other cat sat on the hat"};
	const size_t lens[] = {strlen(texts[0])};
	gpt_tokenizer *tokenizer = NULL;
	cairn_error err = {0};

	assert_int_equal(gpt_tokenizer_train(&tokenizer, texts, lens, 1, 270, &err), 0);
	return tokenizer;
}

gpt_model *tools_new_model(enum gpt_head head)
{
	const gpt_config config = {.n_layer = 2,
		.n_head = 2,
		.n_embd = 8,
		.n_ctx = 24,
		.n_vocab = 272, /* five more than the tokenizer knows */
		.n_inner = 32};
	gpt_model *model = random_model(tools_kernels(), &config, head, 0, 7);

	model->reward_gain = 1.5;
	model->reward_bias = -.25;
	return model;
}

static void add_text(struct fake_artifact *artifact, const char *name, const char *text, size_t len)
{
	fake_add(artifact, name, CAIRN_U8, 0, NULL, text, len);
}

void tools_model(struct fakehost *host, const char *port, enum gpt_head head)
{
	struct fake_artifact *artifact = fakehost_input(
		host, port, head == GPT_HEAD_LM ? "model/lm" : "model/reward", "the model");
	gpt_tokenizer *tokenizer = tools_new_tokenizer();
	gpt_model *model = tools_new_model(head);
	static const char config[] =
		"{\"model_type\":\"gpt2\",\"n_layer\":2,\"n_head\":2,\"n_embd\":8,"
		"\"n_positions\":24,\"vocab_size\":272,\"n_inner\":32}";
	cairn_real *flat = read_flat(model, model->params);
	const char *text;
	size_t len;

	add_text(artifact, "config.json", config, sizeof(config) - 1);
	for (size_t i = 0; i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];

		fake_add(artifact, tensor->name, CAIRN_F32, tensor->n_dims, tensor->dims,
			flat + tensor->offset, tensor->size * sizeof(*flat));
	}
	text = gpt_tokenizer_vocab_json(tokenizer, &len);
	add_text(artifact, "tokenizer/vocab.json", text, len);
	text = gpt_tokenizer_merges(tokenizer, &len);
	add_text(artifact, "tokenizer/merges.txt", text, len);
	fake_meta(artifact, head == GPT_HEAD_LM ? "{\"head\":\"lm\"}"
						: "{\"head\":\"scalar\",\"reward_bias\":-0.25,"
						  "\"reward_gain\":1.5}");
	free(flat);
	gpt_model_free(model);
	gpt_tokenizer_free(tokenizer);
}

void tools_directory(struct fakehost *host, const char *port, enum gpt_head head)
{
	struct fakehost *exporter = fakehost_new_tool("model", "export");
	fakeio io;

	fakeio_init(&io, NULL);
	tools_model(exporter, "model", head);
	assert_int_equal(fakeio_run(exporter, &io, NULL), CAIRN_DONE);
	fakehost_bind(host, port, fakehost_output(exporter, "directory"));
	fakeio_free(&io);
	fakehost_free(exporter);
}

void tools_data_directory(
	struct fakehost *host, const char *port, const char *folder, const char *const *files)
{
	struct fake_artifact *directory = fakehost_input(host, port, "directory", folder);

	for (; *files; files++) {
		char path[500];
		size_t len;
		char *bytes;

		(void)snprintf(path, sizeof(path), "%s/%s", folder, *files);
		bytes = read_data(path, &len);
		add_text(directory, *files, bytes, len);
		free(bytes);
	}
}
