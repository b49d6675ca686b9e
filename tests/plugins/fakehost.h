/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fakehost.h - a cairn_host in this process, for unit tests of stage plugins.
 *
 * It opens the built plugin (CAIRN_PLUGIN_DIR/NAME.so), takes parameters as texts, keeps
 * inputs, outputs and checkpoints in memory, and scripts the answers of step(). Misuse of
 * the host table by the plugin (an unknown port, a second commit, meta twice, calls without
 * an open input) fails the test at once. What the plugin itself reports is for the test to
 * look at: fakehost_run() gives run()'s answer, fakehost_error() the error.
 *
 *	struct fakehost *host = fakehost_new("demo");
 *	fakehost_file(host, "demos", "data/demos.jsonl", text);
 *	fakehost_param(host, "valid_fraction=0.2");
 *	assert_int_equal(fakehost_run(host), CAIRN_DONE);
 *	rows = fake_text(fakehost_output(host, "train"), "rows.jsonl");
 *	fakehost_free(host);
 *
 * What a plugin leaves in its scratch directory fails the test, too.
 *
 * Kill and resume: fakehost_stop_at(host, 3); run -> CAIRN_STOPPED; run again -> CAIRN_DONE,
 * resumed from the checkpoint; compare fakehost_metrics() and the outputs with those of a
 * straight run. All functions fail the test (cmocka) where they cannot do what they say.
 */
#ifndef CAIRN_TESTS_FAKEHOST_H
#define CAIRN_TESTS_FAKEHOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cairn/kernels.h"
#include "cairn/stage.h"
#include "cairn/tool.h"

struct fakehost;

/* An artifact in memory: an input, a committed output or a checkpoint. */
struct fake_artifact;

/* ---- set up ------------------------------------------------------------------------- */

struct fakehost *fakehost_new(const char *plugin);
/* A tool of CAIRN_PLUGIN_DIR/tools/LIBRARY.so instead of a stage. */
struct fakehost *fakehost_new_tool(const char *library, const char *tool);
/* What fakehost_run() gives the tool: borrowed; text may be NULL. */
void fakehost_io(struct fakehost *host, const cairn_tool_io *io, const char *text);
void fakehost_free(struct fakehost *host);
const cairn_stage_plugin *fakehost_plugin(const struct fakehost *host);

/* "name=value"; a later one replaces an earlier. The rest have their defaults. */
void fakehost_param(struct fakehost *host, const char *assignment);
/* Adds an artifact to an input port; entries follow with fake_add(). Owned by the host. */
struct fake_artifact *fakehost_input(
	struct fakehost *host, const char *port, const char *kind, const char *source);
/* The first artifact of an input port. */
struct fake_artifact *fakehost_input_artifact(struct fakehost *host, const char *port);
/* Copies the bytes. dims NULL: one dimension of bytes / size of the type. */
void fake_add(struct fake_artifact *artifact, const char *name, uint32_t dtype, uint32_t n_dims,
	const uint64_t *dims, const void *data, uint64_t bytes);
/* Other text for an entry that is one. */
void fake_replace(struct fake_artifact *artifact, const char *name, const char *text);
void fake_meta(struct fake_artifact *artifact, const char *json);
/* Short for an input of kind `file` with the one entry "data". */
void fakehost_file(struct fakehost *host, const char *port, const char *source, const char *text);
/* Short for an artifact with the one entry "rows.jsonl": kind "dataset/demo" etc. */
void fakehost_rows(struct fakehost *host, const char *port, const char *kind, const char *source,
	const char *jsonl);
/* Binds a copy of another run's output (which may be freed then) to an input port. */
void fakehost_bind(struct fakehost *host, const char *port, const struct fake_artifact *artifact);
/* Forgets the artifacts of one input port. */
void fakehost_unbind(struct fakehost *host, const char *port);

/* The seed behind rng_key(); 1 if never called. Same seed and stream name: same key. */
void fakehost_seed(struct fakehost *host, uint64_t seed);
/* The backend's table for kernels(). Without this call the CPU backend of the build is opened
 * on first use; the test is skipped where it is not built. Borrowed. */
void fakehost_kernels(struct fakehost *host, const cairn_kernels *kernels);
/* Threads of the CPU backend that is opened on first use; 1 if never called. */
void fakehost_threads(struct fakehost *host, int threads);

/* ---- script of step(): steps are counted as the plugin reports them, from 1 ----------- */

/* Answer CHECKPOINT at every n-th step; 0: never. */
void fakehost_checkpoint_every(struct fakehost *host, uint64_t n);
/* Answer STOP at that step, once; 0: never. */
void fakehost_stop_at(struct fakehost *host, uint64_t step);
/* Drops all checkpoints and the metric lines: the next run starts from nothing. */
void fakehost_forget(struct fakehost *host);
/* Drops the checkpoints after `step`, as if the process had been killed when that one was the
 * newest: with checkpoint_every(2), stop_at(5), run, rewind(4), run, step 5 is done twice. */
void fakehost_rewind(struct fakehost *host, uint64_t step);

/* ---- run ------------------------------------------------------------------------------- */

/* Fills the parameters, calls check() and run(). Answers as run(): CAIRN_DONE, CAIRN_STOPPED,
 * CAIRN_WAITING or an error code; EPARAM where a parameter or check() refuses. Outputs of an
 * earlier call are forgotten, the checkpoint is kept. After CAIRN_DONE every output that is not
 * optional must have been committed: fails the test otherwise. */
int fakehost_run(struct fakehost *host);
/* code 0 where there was none. */
const cairn_error *fakehost_error(const struct fakehost *host);

/* What the plugin estimates of such a run, of the inputs as far as metadata tell. out->compute is
 * for the caller to fill before; anything else is the plugin's. */
void fakehost_estimate(struct fakehost *host, cairn_estimate *out);

/* ---- results: borrowed until the next run or fakehost_free -------------------------------- */

/* NULL where the port was not committed. */
const struct fake_artifact *fakehost_output(const struct fakehost *host, const char *port);
/* The newest checkpoint, or NULL. */
const struct fake_artifact *fakehost_checkpoint(const struct fakehost *host, uint64_t *step);
const char *fake_artifact_meta(const struct fake_artifact *artifact);
const char *fake_artifact_kind(const struct fake_artifact *artifact);
uint64_t fake_artifact_entries(const struct fake_artifact *artifact);
/* NULL where there is no such entry; by index in the order of names. */
const cairn_tensor *fake_entry(const struct fake_artifact *artifact, const char *name);
const cairn_tensor *fake_entry_at(const struct fake_artifact *artifact, uint64_t index);
/* An entry as text: its bytes, NUL-terminated. Fails the test where there is none. */
const char *fake_text(const struct fake_artifact *artifact, const char *name);
/* Fails the test, naming the entry, unless all entries and meta are equal, byte for byte. */
void fake_assert_equal(const struct fake_artifact *a, const struct fake_artifact *b);

/* summary(name), or NAN where it was never called. */
double fakehost_summary(const struct fakehost *host, const char *name);
/* Every step() with its metrics as text, one line a step: "3 train loss=1.25 lr=0.01". Collected
 * over all runs of this host; steps that a resumed run repeats replace their old line, and fail
 * the test if they differ. */
const char *fakehost_metrics(const struct fakehost *host);
/* The newest value of a metric, or NAN. */
double fakehost_metric(const struct fakehost *host, const char *name);
/* Steps reported by the last run. */
uint64_t fakehost_steps(const struct fakehost *host);
/* All log lines of the last run. */
const char *fakehost_log(const struct fakehost *host);

#endif
