/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake.c - tools that know nothing of models: one per verb, each using a part of the contract.
 *
 *   generate  parameters, random streams, a stream that ends when somebody stops it
 *   score     verified reads of an artifact or a directory, lines in, lines out
 *   tokenize  an optional input, a bool, an error of its own
 *   import    a directory to the store
 *   export    an artifact to a directory
 */
#include <string.h>
#include <time.h>

#include "cairn/tool.h"

static int put(const cairn_host *host, cairn_writer *writer, const char *name, const void *data,
	uint64_t bytes)
{
	cairn_tensor tensor = {name, CAIRN_U8, 1, {bytes}, data, bytes};

	return host->put(writer, &tensor);
}

static int say(const cairn_tool_io *io, const char *text)
{
	return io->write(io->self, text, strlen(text));
}

/* ---- generate --------------------------------------------------------------------------- */

struct generate {
	int64_t samples, seed;
	double temperature;
	int32_t endless, mode;
};

static const cairn_param generate_params[] = {
	{"samples", "how many", CAIRN_PARAM_INT, 0, offsetof(struct generate, samples), "1", 1, 100,
		NULL, NULL},
	{"seed", "of the random streams", CAIRN_PARAM_INT, 0, offsetof(struct generate, seed), "0",
		0, 1e9, NULL, NULL},
	{"temperature", "how bold", CAIRN_PARAM_REAL, 0, offsetof(struct generate, temperature),
		"1", 0, 2, NULL, NULL},
	{"endless", "until somebody stops it", CAIRN_PARAM_BOOL, 0,
		offsetof(struct generate, endless), "no", 0, 0, NULL, NULL},
	{"finish_mode", "how it ends", CAIRN_PARAM_ENUM, 0, offsetof(struct generate, mode), "well",
		0, 0, NULL, "well|badly|waiting"},
};

/* Ten seconds are ever enough for a test that fails. */
static int write_for_ever(const cairn_tool_io *io)
{
	const struct timespec nap = {0, 2000000};
	int rc = 0;

	for (int i = 0; rc == 0 && !io->stopping(io->self); i++) {
		if (i == 5000)
			return CAIRN_DONE;
		rc = say(io, "again and again\n");
		if (rc == 0)
			rc = io->flush(io->self);
		nanosleep(&nap, NULL);
	}
	return rc < 0 ? rc : CAIRN_STOPPED;
}

static int generate(const cairn_host *host, cairn_run *run, const cairn_tool_io *io,
	const void *params, const char *text)
{
	const struct generate *p = params;
	cairn_artifact artifact;
	char line[256];
	int rc = host->input_open(run, "model", 0, &artifact);

	host->log(run, CAIRN_LOG_INFO, "reading %s", artifact.source);
	host->log(run, CAIRN_LOG_DEBUG, "of kind %s", artifact.kind);
	if (p->endless)
		return write_for_ever(io);
	for (int64_t i = 0; rc == 0 && i < p->samples; i++) {
		snprintf(line, sizeof(line), "%s %lld at %g: %016llx\n", text ? text : "(none)",
			(long long)i, p->temperature,
			(unsigned long long)host->rng_key(run, "sample"));
		rc = say(io, line);
	}
	if (p->mode == 1)
		return CAIRN_EDIVERGED;
	return rc < 0 ? rc : p->mode == 2 ? CAIRN_WAITING : CAIRN_DONE;
}

static const cairn_port generate_inputs[] = {
	{"model", "report|directory", 0, 0, "what to say"},
};

/* ---- score ------------------------------------------------------------------------------ */

/* "NAME=BYTES ..." of the input's entries. */
static int describe(const cairn_host *host, cairn_run *run, const cairn_tool_io *io)
{
	cairn_artifact artifact;
	cairn_tensor entry;
	char line[256];
	int rc = host->input_open(run, "model", 0, &artifact);

	for (uint64_t i = 0; rc == 0 && i < artifact.n_entries; i++) {
		rc = host->entry_list(run, &artifact, i, &entry);
		if (rc == 0)
			rc = host->entry_get(run, &artifact, entry.name, &entry);
		snprintf(line, sizeof(line), "%s=%llu%s", entry.name,
			(unsigned long long)entry.bytes, i + 1 < artifact.n_entries ? " " : "\n");
		if (rc == 0)
			rc = say(io, line);
	}
	if (rc == 0 && host->entry_get(run, &artifact, "no such entry", &entry) != 1)
		return host->fail(run, CAIRN_EBUG, "an entry that is not there was found");
	return rc;
}

static int score(const cairn_host *host, cairn_run *run, const cairn_tool_io *io,
	const void *params, const char *text)
{
	const char *line;
	size_t len;
	int rc = describe(host, run, io), got;

	(void)params, (void)text;
	while (rc == 0 && (got = io->read_line(io->self, &line, &len)) != 0) {
		char number[32];
		if (got < 0)
			return got;
		snprintf(number, sizeof(number), "%zu %zu\n", len, strlen(line));
		rc = say(io, number);
	}
	return rc;
}

static const cairn_port score_inputs[] = {
	{"model", "report|metrics|directory", 0, 0, "what to look at"},
};

/* ---- tokenize --------------------------------------------------------------------------- */

struct tokenize {
	int32_t decode, json;
};

static const cairn_param tokenize_params[] = {
	{"decode", "the reverse", CAIRN_PARAM_BOOL, 0, offsetof(struct tokenize, decode), "no", 0,
		0, NULL, NULL},
	{"json", "lines of JSON", CAIRN_PARAM_BOOL, 0, offsetof(struct tokenize, json), "no", 0, 0,
		NULL, NULL},
};

static int tokenize(const cairn_host *host, cairn_run *run, const cairn_tool_io *io,
	const void *params, const char *text)
{
	const struct tokenize *p = params;
	cairn_artifact second;
	char line[64];
	int rc;

	(void)text;
	snprintf(line, sizeof(line), "decode %d, json %d, extra %llu\n", p->decode, p->json,
		(unsigned long long)host->input_count(run, "extra_words"));
	rc = say(io, line);
	if (rc == 0 && host->input_count(run, "extra_words")) {
		rc = host->input_open(run, "extra_words", 0, &second);
		if (rc == 0)
			rc = say(io, second.source);
	}
	if (rc == 0 && p->decode && p->json) {
		host->fail(run, CAIRN_EINPUT, "cannot do both");
		host->hint(run, "Choose one.");
		return CAIRN_EINPUT;
	}
	return rc;
}

static const cairn_port tokenize_inputs[] = {
	{"tokenizer", "report", 0, 0, "the words"},
	{"extra_words", "report|directory", CAIRN_PORT_OPTIONAL, 0, "more words"},
};

/* ---- import, export --------------------------------------------------------------------- */

struct import {
	const char *only;
	int32_t mode;
};

static const cairn_param import_params[] = {
	{"only", "the one file to take", CAIRN_PARAM_STRING, 0, offsetof(struct import, only), "",
		0, 0, NULL, NULL},
	{"mode", "how it ends", CAIRN_PARAM_ENUM, 0, offsetof(struct import, mode), "well", 0, 0,
		NULL, "well|badly|early"},
};

/* All entries of input port `from` to output port `to`. */
static int copy(const cairn_host *host, cairn_run *run, const char *from, const char *to,
	const struct import *p)
{
	cairn_artifact artifact;
	cairn_writer *writer;
	cairn_tensor entry;
	int rc = host->input_open(run, from, 0, &artifact);

	if (rc == 0)
		rc = host->output_begin(run, to, &writer);
	for (uint64_t i = 0; rc == 0 && i < artifact.n_entries; i++) {
		rc = host->entry_list(run, &artifact, i, &entry);
		if (rc < 0 || (p && p->only[0] && strcmp(p->only, entry.name) != 0))
			continue;
		rc = host->entry_get(run, &artifact, entry.name, &entry);
		if (rc == 0)
			rc = put(host, writer, entry.name, entry.data, entry.bytes);
	}
	if (rc == 0)
		rc = host->meta(writer, "{\"copied\":true}");
	if (rc < 0)
		return rc;
	if (p && p->mode == 1)
		return host->fail(run, CAIRN_EINPUT, "told to fail");
	return p && p->mode == 2 ? 0 : host->commit(writer);
}

static int import(const cairn_host *host, cairn_run *run, const cairn_tool_io *io,
	const void *params, const char *text)
{
	(void)io, (void)text;
	return copy(host, run, "source", "model", params);
}

static const cairn_port import_inputs[] = {
	{"source", "directory", 0, 0, "the files"},
};

static const cairn_port import_outputs[] = {
	{"model", "report", 0, 0, "the files"},
	{"extra", "report", CAIRN_PORT_OPTIONAL, 0, "never written"},
};

static int export(const cairn_host *host, cairn_run *run, const cairn_tool_io *io,
	const void *params, const char *text)
{
	(void)io, (void)text;
	return copy(host, run, "model", "files", params);
}

static const cairn_port export_inputs[] = {
	{"model", "report", 0, 0, "what to write"},
};

static const cairn_port export_outputs[] = {
	{"files", "directory", 0, 0, "the files"},
};

/* ---- the table -------------------------------------------------------------------------- */

static const cairn_tool tools[] = {
	{.name = "generate",
		.summary = "says what it was told",
		.params = generate_params,
		.n_params = CAIRN_COUNT(generate_params),
		.params_size = sizeof(struct generate),
		.inputs = generate_inputs,
		.n_inputs = CAIRN_COUNT(generate_inputs),
		.run = generate},
	{.name = "score",
		.summary = "measures lines",
		.inputs = score_inputs,
		.n_inputs = CAIRN_COUNT(score_inputs),
		.run = score},
	{.name = "tokenize",
		.summary = "says what it was given",
		.params = tokenize_params,
		.n_params = CAIRN_COUNT(tokenize_params),
		.params_size = sizeof(struct tokenize),
		.inputs = tokenize_inputs,
		.n_inputs = CAIRN_COUNT(tokenize_inputs),
		.run = tokenize},
	{.name = "import",
		.summary = "copies files into the store",
		.params = import_params,
		.n_params = CAIRN_COUNT(import_params),
		.params_size = sizeof(struct import),
		.inputs = import_inputs,
		.n_inputs = CAIRN_COUNT(import_inputs),
		.outputs = import_outputs,
		.n_outputs = CAIRN_COUNT(import_outputs),
		.run = import},
	{.name = "export",
		.summary = "copies entries to files",
		.params = import_params,
		.n_params = CAIRN_COUNT(import_params),
		.params_size = sizeof(struct import),
		.inputs = export_inputs,
		.n_inputs = CAIRN_COUNT(export_inputs),
		.outputs = export_outputs,
		.n_outputs = CAIRN_COUNT(export_outputs),
		.run = export},
};

CAIRN_EXPORT const cairn_tools cairn_tools_table = {
	.head = CAIRN_TOOL_HEAD(cairn_tools),
	.tools = tools,
	.n_tools = CAIRN_COUNT(tools),
	.version = "7",
};
