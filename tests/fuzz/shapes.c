/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes people's data: any bytes as a file of rows, in every shape, for every use. The first byte
 * picks the use and the shape, the rest is the file. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "fuzz.h"
#include "gpt/shapes.h"

static const gpt_shape_params params = {.input_key = "input",
	.output_key = "output",
	.prompt_key = "prompt",
	.chosen_key = "chosen",
	.rejected_key = "rejected",
	.system_turn = "{content}",
	.user_turn = "\\n\\nHuman: {content}",
	.assistant_turn = "\\n\\nAssistant: {content}"};

/* What every row that is handed over must be. */
static void check_row(const gpt_row *row, enum gpt_want want)
{
	if (!row->prompt || !row->user || !row->labeler || !row->group || !row->answer)
		abort();
	if (want == GPT_WANT_DEMO && (!row->completion || !row->completion[0]))
		abort();
	if ((want == GPT_WANT_RANKING) != (row->n_completions >= 2 && row->ranks))
		abort();
	for (int32_t i = 0; i < row->n_completions; i++)
		if (strlen(row->completions[i]) > GPT_JSONL_MAX_LINE || row->ranks[i] < 0)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum gpt_want want = size ? (enum gpt_want)(data[0] % 3) : GPT_WANT_DEMO;
	enum gpt_shape shape = size ? (enum gpt_shape)(data[0] / 3 % GPT_SHAPES) : GPT_SHAPE_AUTO;
	gpt_shaper shaper = {.params = &params,
		.want = want,
		.fields = {"", "", "", "", "", ""},
		.arena = cairn_arena_new()};
	/* A copy of the exact size, so that a sanitizer sees a step too far. */
	char *file = malloc(size + 1);
	gpt_jsonl reader;
	cairn_error err = {0};
	json_t *record;
	int rc;

	if (!file)
		abort();
	for (size_t i = 1; i < size; i++)
		file[i - 1] = (char)data[i];
	file = realloc(file, size > 1 ? size - 1 : 1);
	if (gpt_jsonl_open(&reader, "fuzz", file, size > 1 ? size - 1 : 0, &err)) {
		if (!err.code || !err.message[0] || !err.hint[0])
			abort();
		goto out;
	}
	while ((rc = gpt_jsonl_next(&reader, &record, &err))) {
		if (rc > 0) {
			if (shape == GPT_SHAPE_AUTO)
				shape = gpt_shape_recognise(&shaper, record);
			rc = gpt_shape_record(&shaper, shape, &reader, record, &err);
			json_decref(record);
			for (size_t i = 0; !rc && i < shaper.n; i++)
				check_row(&shaper.rows[i], want);
		}
		if (rc && (!err.code || !err.message[0] || !err.place[0]))
			abort();
		if (reader.is_broken)
			break;
		cairn_error_clear(&err);
	}
	gpt_jsonl_close(&reader);
out:
	gpt_shaper_close(&shaper);
	cairn_arena_free(shaper.arena);
	free(file);
	return 0;
}
