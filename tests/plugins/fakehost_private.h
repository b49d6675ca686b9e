/* SPDX-License-Identifier: Apache-2.0 */
/* fakehost_private.h - shared by the fake host's files only: artifacts in memory, the host's state.
 */
#ifndef CAIRN_TESTS_FAKEHOST_PRIVATE_H
#define CAIRN_TESTS_FAKEHOST_PRIVATE_H

#include "base/text.h"
#include "fakehost.h"

struct fake_artifact {
	char *kind, *source, *meta;
	char id[80];
	cairn_tensor *entries; /* sorted by name; names and data are owned */
	size_t n_entries;
	uint64_t bytes;
	uint64_t step;              /* of a checkpoint */
	struct fake_artifact *next; /* of the same list: a port's inputs, older checkpoints */
};

struct fake_artifact *fake_artifact_new(const char *kind, const char *source);
struct fake_artifact *fake_artifact_copy(const struct fake_artifact *artifact);
void fake_artifact_free(struct fake_artifact *artifact);
void fake_artifact_free_list(struct fake_artifact *artifact);
/* Computes the id over the entries and meta. */
void fake_artifact_seal(struct fake_artifact *artifact);
/* The descriptor that a plugin gets. */
void fake_artifact_describe(const struct fake_artifact *artifact, cairn_artifact *out);
/* Fails the test where there is no memory. */
void *fake_alloc(size_t n, size_t size);
char *fake_strdup(const char *text);

struct cairn_run {
	struct fakehost *host;
};

struct cairn_writer {
	struct fakehost *host;
	struct fake_artifact *artifact;
	size_t output;      /* index of the port */
	bool is_checkpoint; /* then `output` means nothing */
	bool has_meta;
	struct cairn_writer *next;
};

struct named_value {
	char *name;
	double value;
};

struct step_line {
	uint64_t step;
	char *text;
};

struct fakehost {
	struct cairn_run run;
	void *library;
	const cairn_stage_plugin *plugin; /* of a tool: made up from it */
	cairn_stage_plugin made_up;
	const cairn_tool *tool; /* NULL: a stage */
	const cairn_tool_io *io;
	const char *text;
	char **given;                      /* parameter texts, by table index; NULL: default */
	struct fake_artifact **inputs;     /* list heads, by port */
	struct fake_artifact **outputs;    /* by port */
	bool *was_begun;                   /* outputs, by port */
	struct fake_artifact *checkpoints; /* newest first */
	struct cairn_writer *writers;      /* that are open */
	uint64_t seed, checkpoint_every, stop_at, steps;
	const cairn_kernels *kernels;
	cairn_kernels own_kernels;
	const cairn_kernels_backend *backend; /* of own_kernels */
	int threads;
	cairn_error err;
	struct named_value *summaries, *metrics;
	size_t n_summaries, n_metrics;
	struct step_line *lines;
	size_t n_lines;
	cairn_text all_lines, log;
	char scratch[64]; /* "" until somebody asks */
};

/* The table that plugins get. */
extern const cairn_host fake_host_table;

/* Index of a port; fails the test where the plugin has none of that name. */
size_t fake_input_index(const struct fakehost *host, const char *port);
size_t fake_output_index(const struct fakehost *host, const char *port);
void fake_named_set(struct named_value **list, size_t *n, const char *name, double value);
/* NAN where it was never set. */
double fake_named_get(const struct named_value *list, size_t n, const char *name);
void fake_named_clear(struct named_value **list, size_t *n);
/* Takes the writer from the list of open ones and frees it, not its artifact. */
void fake_writer_end(struct cairn_writer *writer);

#endif
