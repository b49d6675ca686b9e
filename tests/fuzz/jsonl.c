/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a dataset between stages: JSON lines, or an array, packed or not. The first byte
 * picks the kind that the rows must be of. Each row is one that the kind allows, or bad with its
 * line; what was read can be written, and is read again as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "fuzz.h"
#include "gpt/rows.h"

static void require(bool is_true)
{
	if (!is_true)
		abort();
}

static const char *const kinds[] = {
	"dataset/demo", "dataset/prompt", "dataset/completion", "dataset/ranking"};

static void check_row(const gpt_row *row, const char *kind)
{
	bool is_ranking = strcmp(kind, "dataset/ranking") == 0;
	bool has_many = is_ranking || strcmp(kind, "dataset/completion") == 0;

	require(row->prompt && row->user && row->labeler && row->group && row->answer);
	if (strcmp(kind, "dataset/demo") == 0)
		require(row->completion != NULL);
	require(!has_many || row->n_completions >= 1);
	for (int32_t i = 0; i < row->n_completions; i++)
		require(row->completions[i] && (!is_ranking || row->ranks[i] >= 0));
}

/* Every row of the file; the number of good ones. */
static uint64_t read_all(const char *text, size_t len, const char *kind)
{
	cairn_arena *arena = cairn_arena_new();
	gpt_rows_writer *writer = gpt_rows_writer_new();
	uint64_t n = 0, line = 0;
	gpt_jsonl reader;
	cairn_error err = {0};
	json_t *json = NULL;
	int rc = gpt_jsonl_open(&reader, "fuzz", text, len, &err);

	if (rc < 0) {
		require(rc == CAIRN_EINPUT && err.message[0]);
		goto out;
	}
	while ((rc = gpt_jsonl_next(&reader, &json, &err)) != 0) {
		gpt_row row;
		require(reader.line >= line);
		line = reader.line;
		if (rc < 0) {
			require(err.message[0] &&
				(reader.is_broken || reader.why < GPT_BAD_REASONS));
		} else {
			require(json_is_object(json));
			rc = gpt_row_parse(&row, &reader, json, kind, arena, &err);
			json_decref(json);
		}
		if (rc >= 0) {
			check_row(&row, kind);
			require(gpt_rows_writer_add(writer, &row) == 0);
			n++;
		} else {
			require(rc == CAIRN_EINPUT && err.place[0]);
		}
		err = (cairn_error){0};
		if (reader.is_broken)
			break;
	}
	require(gpt_rows_writer_count(writer) == n);
	gpt_jsonl_close(&reader);
out:
	gpt_rows_writer_free(writer);
	cairn_arena_free(arena);
	return n;
}

/* Lines as they are: as many bytes as there were, but for their ends. */
static void read_lines(const char *text, size_t len)
{
	gpt_jsonl reader;
	cairn_error err = {0};
	const char *line;
	size_t line_len;

	if (gpt_jsonl_open(&reader, "fuzz", text, len, &err) < 0)
		return;
	while (gpt_jsonl_line(&reader, &line, &line_len, &err) == 1)
		require(!memchr(line, '\n', line_len));
	gpt_jsonl_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *kind;
	uint64_t n;

	if (size == 0)
		return 0;
	kind = kinds[data[0] % CAIRN_COUNT(kinds)];
	n = read_all((const char *)data + 1, size - 1, kind);
	require(read_all((const char *)data + 1, size - 1, kind) == n);
	read_lines((const char *)data + 1, size - 1);
	return 0;
}
