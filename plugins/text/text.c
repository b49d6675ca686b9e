/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - stage `text`: plain text to a tokenizer and token ids for pretraining.
 *
 * A document ends with the end token. For validation whole blocks of text are held out, chosen
 * by a hash of their own bytes: the same passage is never on both sides, wherever it stands and
 * however often, and adding a file moves no block of another. Where a held-out block was cut out
 * of a document, the seam is closed with the end token, so that no sentence runs on into another.
 * The tokenizer is learnt from the training side alone.
 */
#include "text.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "gpt/checkpoint.h"
#include "gpt/rng.h"
#include "gpt/template.h"
#include "gpt/tokenizer.h"

static const cairn_param params[] = {
	{"n_vocab", "Size of the vocabulary that is learnt; of no effect where one is given.",
		CAIRN_PARAM_INT, 0, offsetof(struct params, n_vocab), "1024", 257, 1000000,
		"tokens", NULL},
	{"valid_fraction", "Share of the text that is held out for validation.", CAIRN_PARAM_REAL,
		0, offsetof(struct params, valid_fraction), "0.05", 0, 0.5, NULL, NULL},
	{"block", "Text is held out in blocks of about this size, ended at a document or line.",
		CAIRN_PARAM_SIZE, 0, offsetof(struct params, block), "4K", 64, 1 << 30, NULL, NULL},
	{"max_bytes", "Use only so much text from the start; 0: all.", CAIRN_PARAM_SIZE, 0,
		offsetof(struct params, max_bytes), "0", 0, 0, NULL, NULL},
	{"document",
		"What ends with the end token: a file, each paragraph between blank lines, or the text "
		"of each row of a JSON file (docs/data.md).",
		CAIRN_PARAM_ENUM, 0, offsetof(struct params, document), "file", 0, 0, NULL,
		"file|paragraph|row"},
	{"row", "Rows: template of the text.", CAIRN_PARAM_STRING, 0, offsetof(struct params, row),
		"{text}", 0, 0, NULL, NULL},
	{"max_bad", "Rows: share of bad ones that are left out before the stage fails.",
		CAIRN_PARAM_REAL, 0, offsetof(struct params, max_bad), "0", 0, 1, NULL, NULL},
};

static const cairn_port inputs[] = {
	{"text", "file|text", CAIRN_PORT_MANY, 0,
		"Plain text, UTF-8 (any bytes are taken), or rows of JSON; also packed with gzip."},
	{"vocab", "file", CAIRN_PORT_OPTIONAL, 0, "GPT-2's vocab.json (encoder.json)."},
	{"merges", "file", CAIRN_PORT_OPTIONAL, 0, "GPT-2's merges.txt (vocab.bpe)."},
	{"tokenizer", "tokenizer", CAIRN_PORT_OPTIONAL, 0, "A tokenizer that was made before."},
};

static const cairn_port outputs[] = {
	{"tokenizer", "tokenizer", 0, 0, "vocab.json and merges.txt."},
	{"tokens", "dataset/text", 0, 0, "Token ids: train and valid."},
};

/* ---- cutting --------------------------------------------------------------------------- */

struct block {
	const char *text;
	size_t len;
	double draw; /* uniform; low ones are held out */
	bool is_valid;
	bool opens; /* the first of its document */
};

/* What gets an end token: a document or what is left of it on its side. */
struct piece {
	const char *text;
	size_t len;
};

struct side {
	struct piece *pieces;
	size_t n, cap;
	uint64_t bytes;
	int32_t *ids;
	size_t n_ids, cap_ids;
};

struct work {
	const cairn_host *host;
	cairn_run *run;
	const struct params *params;
	uint64_t key;
	struct block *blocks;
	size_t n_blocks, cap_blocks;
	struct side sides[2]; /* train, valid */
	struct text_reader reader;
	gpt_tokenizer *tokenizer;
};

static int no_memory(const struct work *w)
{
	return w->host->fail(w->run, CAIRN_ENOMEM, "no memory for the text");
}

static uint64_t hash_bytes(const char *bytes, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
	return h;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Length of the blank lines at the start of text; a last line of blanks only counts, too. */
static size_t blank_lines(const char *text, size_t len)
{
	size_t end = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			end = i + 1;
		else if (!is_blank(text[i]))
			return end;
	}
	return len;
}

/* Where the text may be cut at or after `at`: behind a line, or behind the blank lines after a
 * paragraph. */
static size_t border(const char *text, size_t len, size_t at, enum document document)
{
	while (at < len) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t blank;

		if (!end)
			break;
		at = (size_t)(end - text) + 1;
		if (document != DOCUMENT_PARAGRAPH)
			return at;
		blank = blank_lines(text + at, len - at);
		if (blank)
			return at + blank;
	}
	return len;
}

static int cut_blocks(void *context, const char *text, size_t len)
{
	struct work *w = context;

	for (size_t at = 0, end; at < len; at = end) {
		struct block *b;

		if (w->n_blocks == w->cap_blocks) {
			size_t cap = w->cap_blocks ? w->cap_blocks * 2 : 256;

			b = cairn_realloc(w->blocks, cap, sizeof(*b));
			if (!b)
				return no_memory(w);
			w->blocks = b;
			w->cap_blocks = cap;
		}
		end = len - at <= w->params->block ? len
						   : border(text, len, at + w->params->block - 1,
							     (enum document)w->params->document);
		b = &w->blocks[w->n_blocks++];
		*b = (struct block){.text = text + at, .len = end - at, .opens = at == 0};
		b->draw = gpt_random_uniform(w->key, hash_bytes(b->text, b->len), b->len);
		b->is_valid = b->draw < w->params->valid_fraction;
	}
	return 0;
}

/* A short text may have drawn one side only: the block nearest to the border moves. */
static void keep_both_sides(struct work *w)
{
	size_t n_valid = 0, low = 0, high = 0;

	for (size_t i = 0; i < w->n_blocks; i++) {
		n_valid += w->blocks[i].is_valid;
		low = w->blocks[i].draw < w->blocks[low].draw ? i : low;
		high = w->blocks[i].draw > w->blocks[high].draw ? i : high;
	}
	if (w->n_blocks < 2 || w->params->valid_fraction <= 0)
		return;
	if (n_valid == 0)
		w->blocks[low].is_valid = true;
	if (n_valid == w->n_blocks)
		w->blocks[high].is_valid = false;
}

static int add_piece(struct work *w, struct side *side, const char *text, size_t len)
{
	if (side->n == side->cap) {
		size_t cap = side->cap ? side->cap * 2 : 256;
		struct piece *pieces = cairn_realloc(side->pieces, cap, sizeof(*pieces));

		if (!pieces)
			return no_memory(w);
		side->pieces = pieces;
		side->cap = cap;
	}
	side->pieces[side->n++] = (struct piece){text, len};
	side->bytes += len;
	return 0;
}

static int add_paragraphs(struct work *w, const struct block *b)
{
	size_t at = blank_lines(b->text, b->len), end;
	int rc = 0;

	for (; !rc && at < b->len; at = end) {
		size_t stop;

		end = border(b->text, b->len, at, DOCUMENT_PARAGRAPH);
		for (stop = end; stop > at && is_blank(b->text[stop - 1]); stop--)
			;
		rc = add_piece(w, &w->sides[b->is_valid], b->text + at, stop - at);
	}
	return rc;
}

/* Neighbouring blocks of one file on one side stay one piece. */
static int make_pieces(struct work *w)
{
	int rc = 0;

	for (size_t i = 0, end; !rc && i < w->n_blocks; i = end) {
		const struct block *b = &w->blocks[i];
		size_t len = b->len;

		end = i + 1;
		if (w->params->document == DOCUMENT_PARAGRAPH) {
			rc = add_paragraphs(w, b);
			continue;
		}
		for (; end < w->n_blocks && !w->blocks[end].opens &&
			w->blocks[end].is_valid == b->is_valid;
			end++)
			len += w->blocks[end].len;
		rc = add_piece(w, &w->sides[b->is_valid], b->text, len);
	}
	return rc;
}

/* ---- reading and writing ------------------------------------------------------------------ */

static int read_texts(struct work *w)
{
	int rc = text_read(&w->reader);

	if (rc)
		return rc;
	keep_both_sides(w);
	return make_pieces(w);
}

static int learn_tokenizer(struct work *w, cairn_error *err)
{
	const struct side *train = &w->sides[0];
	const char **texts = cairn_alloc(train->n + 1, sizeof(*texts));
	size_t *lens = cairn_alloc(train->n + 1, sizeof(*lens));
	int rc = CAIRN_ENOMEM;

	for (size_t i = 0; texts && lens && i < train->n; i++) {
		texts[i] = train->pieces[i].text;
		lens[i] = train->pieces[i].len;
	}
	if (texts && lens)
		rc = gpt_tokenizer_train(
			&w->tokenizer, texts, lens, train->n, (int32_t)w->params->n_vocab, err);
	else
		cairn_error_set(err, CAIRN_ENOMEM, "no memory for the text");
	free(texts);
	free(lens);
	return rc;
}

static int get_tokenizer(struct work *w)
{
	bool has_vocab = w->host->input_count(w->run, "vocab") > 0;
	bool has_merges = w->host->input_count(w->run, "merges") > 0;
	struct text_file vocab, merges;
	cairn_error err = {0};
	int rc;

	if (has_vocab != has_merges) {
		w->host->fail(w->run, CAIRN_EINPUT, "input '%s' is bound without '%s'",
			has_vocab ? "vocab" : "merges", has_vocab ? "merges" : "vocab");
		w->host->hint(w->run, "A vocabulary is both files of one model: bind both.");
		return CAIRN_EINPUT;
	}
	if (w->host->input_count(w->run, "tokenizer"))
		return gpt_load_tokenizer(&w->tokenizer, w->host, w->run, "tokenizer");
	if (!has_vocab) {
		rc = learn_tokenizer(w, &err);
	} else {
		if ((rc = text_read_file(w->host, w->run, "vocab", 0, &vocab)) ||
			(rc = text_read_file(w->host, w->run, "merges", 0, &merges)))
			return rc;
		rc = gpt_tokenizer_load(
			&w->tokenizer, vocab.data, vocab.len, merges.data, merges.len, &err);
	}
	return rc ? w->host->fail_with(w->run, &err) : 0;
}

static int append_ids(struct work *w, struct side *side, const int32_t *ids, size_t n)
{
	if (side->cap_ids - side->n_ids < n + 1) {
		size_t cap = (side->n_ids + n + 1) * 2;
		int32_t *wider = cairn_realloc(side->ids, cap, sizeof(*wider));

		if (!wider)
			return no_memory(w);
		side->ids = wider;
		side->cap_ids = cap;
	}
	if (n)
		memcpy(side->ids + side->n_ids, ids, n * sizeof(*ids));
	side->n_ids += n;
	side->ids[side->n_ids++] = gpt_tokenizer_end(w->tokenizer);
	return 0;
}

static int encode_side(struct work *w, struct side *side)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < side->n; i++) {
		cairn_error err = {0};
		int32_t *ids = NULL;
		size_t n = 0;

		rc = gpt_tokenizer_encode(
			w->tokenizer, side->pieces[i].text, side->pieces[i].len, &ids, &n, &err);
		rc = rc ? w->host->fail_with(w->run, &err) : append_ids(w, side, ids, n);
		free(ids);
	}
	return rc;
}

static int put_entry(const struct work *w, cairn_writer *writer, const char *name, uint32_t dtype,
	const void *data, uint64_t count, uint64_t bytes)
{
	cairn_tensor entry = {.name = name,
		.dtype = dtype,
		.n_dims = 1,
		.dims = {count},
		.data = data ? data : "",
		.bytes = bytes};

	return w->host->put(writer, &entry);
}

static int put_tokenizer(const struct work *w)
{
	size_t vocab_len, merges_len;
	const char *vocab = gpt_tokenizer_vocab_json(w->tokenizer, &vocab_len);
	const char *merges = gpt_tokenizer_merges(w->tokenizer, &merges_len);
	cairn_writer *writer;
	char meta[96];
	int rc;

	snprintf(meta, sizeof(meta), "{\"n_vocab\":%d,\"end\":%d}",
		gpt_tokenizer_size(w->tokenizer), gpt_tokenizer_end(w->tokenizer));
	if ((rc = w->host->output_begin(w->run, "tokenizer", &writer)) ||
		(rc = put_entry(w, writer, "vocab.json", CAIRN_U8, vocab, vocab_len, vocab_len)) ||
		(rc = put_entry(
			 w, writer, "merges.txt", CAIRN_U8, merges, merges_len, merges_len)) ||
		(rc = w->host->meta(writer, meta)))
		return rc;
	return w->host->commit(writer);
}

static int put_tokens(const struct work *w)
{
	const struct side *train = &w->sides[0], *valid = &w->sides[1];
	cairn_writer *writer;
	char meta[256];
	int rc;

	snprintf(meta, sizeof(meta),
		"{\"n_vocab\":%d,\"train_tokens\":%zu,\"valid_tokens\":%zu,"
		"\"train_bytes\":%llu,\"valid_bytes\":%llu}",
		gpt_tokenizer_size(w->tokenizer), train->n_ids, valid->n_ids,
		(unsigned long long)train->bytes, (unsigned long long)valid->bytes);
	if ((rc = w->host->output_begin(w->run, "tokens", &writer)) ||
		(rc = put_entry(w, writer, "train", CAIRN_I32, train->ids, train->n_ids,
			 train->n_ids * sizeof(int32_t))) ||
		(rc = put_entry(w, writer, "valid", CAIRN_I32, valid->ids, valid->n_ids,
			 valid->n_ids * sizeof(int32_t))) ||
		(rc = w->host->meta(writer, meta)))
		return rc;
	return w->host->commit(writer);
}

static int check_tokenizer(const struct work *w)
{
	if (gpt_tokenizer_end(w->tokenizer) >= 0)
		return 0;
	w->host->fail(w->run, CAIRN_EINPUT, "the vocabulary has no token '<|endoftext|>'");
	w->host->hint(w->run, "Documents end with it: add it to vocab.json with the next number.");
	return CAIRN_EINPUT;
}

static int check(const void *given, cairn_error *err)
{
	return gpt_template_check("row", ((const struct params *)given)->row, err);
}

static int run(const cairn_host *host, cairn_run *the_run, const void *given)
{
	struct work w = {.host = host, .run = the_run, .params = given};
	const struct side *train = &w.sides[0];
	int rc;

	w.key = host->rng_key(the_run, "split");
	w.reader = (struct text_reader){.host = host,
		.run = the_run,
		.params = given,
		.arena = cairn_arena_new(),
		.take = cut_blocks,
		.context = &w};
	if ((rc = read_texts(&w)))
		goto out;
	if (!train->bytes) {
		rc = host->fail(the_run, CAIRN_EINPUT, "the text is empty");
		goto out;
	}
	if ((rc = get_tokenizer(&w)) || (rc = check_tokenizer(&w)) ||
		(rc = encode_side(&w, &w.sides[0])) || (rc = encode_side(&w, &w.sides[1])) ||
		(rc = put_tokenizer(&w)) || (rc = put_tokens(&w)))
		goto out;
	host->summary(the_run, "n_vocab", gpt_tokenizer_size(w.tokenizer));
	host->summary(the_run, "train_tokens", (double)train->n_ids);
	host->summary(the_run, "valid_tokens", (double)w.sides[1].n_ids);
	host->summary(the_run, "bytes_per_token", (double)train->bytes / (double)train->n_ids);
out:
	for (int i = 0; i < 2; i++) {
		free(w.sides[i].pieces);
		free(w.sides[i].ids);
	}
	free(w.blocks);
	text_reader_free(&w.reader);
	gpt_tokenizer_free(w.tokenizer);
	return rc;
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "text",
	.summary = "plain text to a tokenizer and token ids",
	.version = "2",
	.license = "Apache-2.0",
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = sizeof(struct params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run,
	.check = check,
	.estimate = text_estimate,
};
