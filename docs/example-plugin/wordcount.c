/* SPDX-License-Identifier: Apache-2.0 */
/* wordcount.c - the smallest useful stage: counts the words of a text. */
#include <ctype.h>
#include <string.h>

#include "cairn/stage.h"

struct wordcount {
	int64_t min_length;
};

static const cairn_param params[] = {{.name = "min_length", .type = CAIRN_PARAM_INT,
	.offset = offsetof(struct wordcount, min_length), .fallback = "1", .min = 1, .max = 1000,
	.unit = "bytes", .doc = "Shorter words do not count."}};
static const cairn_port inputs[] = {{.name = "text", .kind = "file", .doc = "Plain text."}};
static const cairn_port outputs[] = {{.name = "count", .kind = "report", .doc = "One line."}};

static int run(const cairn_host *host, cairn_run *stage, const void *values)
{
	const struct wordcount *p = values;
	int64_t words = 0, length = 0;
	cairn_artifact file;
	cairn_tensor data;
	cairn_writer *writer;
	char line[64];
	int rc;

	if ((rc = host->input_open(stage, "text", 0, &file)) < 0 ||
		(rc = host->entry_get(stage, &file, "data", &data)) < 0)
		return rc; /* the host has reported it */
	for (uint64_t i = 0; i <= data.bytes; i++) {
		if (i < data.bytes && !isspace(((const unsigned char *)data.data)[i])) {
			length++;
			continue;
		}
		words += length >= p->min_length;
		length = 0;
	}
	snprintf(line, sizeof(line), "%lld words\n", (long long)words);
	host->summary(stage, "words", (double)words);
	if ((rc = host->output_begin(stage, "count", &writer)) < 0)
		return rc;
	rc = host->put(writer, &(cairn_tensor){.name = "highlight.txt", .dtype = CAIRN_U8,
		.n_dims = 1, .dims = {strlen(line)}, .data = line, .bytes = strlen(line)});
	return rc < 0 ? rc : host->commit(writer);
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(struct cairn_stage_plugin),
	.name = "wordcount", .summary = "counts the words of a text",
	.version = "1", .license = "Apache-2.0",
	.params = params, .n_params = CAIRN_COUNT(params), .params_size = sizeof(struct wordcount),
	.inputs = inputs, .n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs, .n_outputs = CAIRN_COUNT(outputs),
	.run = run,
};
