/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.h - the contract between cairn and a stage plugin.
 *
 * A plugin is a shared object that exports one constant data symbol,
 * `cairn_plugin`. It links no symbol of the host; everything it needs is in
 * the `cairn_host` table that `run` gets. Its first 24 bytes (cairn_abi_head) never
 * change: major must be equal, minor must not be newer than the host's, and the host
 * copies min(struct_size, its own size) into a zeroed struct, so that members added
 * at the end read as NULL in older plugins.
 *
 * Life of a stage: the host parses and checks the parameters against the table below,
 * binds the inputs, and calls `run` once, on the main thread of a process of its own.
 * `run` asks for the newest checkpoint (resume), works, calls step() once per optimizer
 * step, writes a checkpoint when step() asks for one, commits its outputs and returns.
 *
 * Exactness is a duty: the same key must give the same bytes, killed and resumed at
 * any point, on any number of threads. So no clock, no address, no locale, no order of
 * a hash table may reach an output or a checkpoint, and every random number comes from
 * a counter-based stream (rng_key) whose counters follow from the step and the sample.
 *
 * All strings are UTF-8 and NUL-terminated. Everything got from the host is borrowed
 * until `run` returns; the plugin frees only what it allocated. Table functions may be
 * called from the thread that called `run` only, except `log`.
 */
#ifndef CAIRN_STAGE_H
#define CAIRN_STAGE_H

#include "cairn/base.h"
#include "cairn/error.h"

CAIRN_BEGIN_DECLS

#define CAIRN_STAGE_MAGIC  0x4e524143u /* "CARN" */
#define CAIRN_STAGE_MAJOR  1
#define CAIRN_STAGE_MINOR  3
#define CAIRN_STAGE_SYMBOL "cairn_plugin"

/* Compiler and float flags of the plugin: shown by `cairn plugins`, kept in provenance. */
#ifndef CAIRN_BUILD
#define CAIRN_BUILD __VERSION__
#endif

/* Frozen for ever. */
typedef struct cairn_abi_head {
	uint32_t magic;
	uint16_t major;
	uint16_t minor;
	uint32_t struct_size; /* of the whole struct that this head opens, in bytes */
	uint32_t reserved;
	const char *build;
} cairn_abi_head;

#define CAIRN_STAGE_HEAD(type)                                                            \
	{                                                                                 \
		CAIRN_STAGE_MAGIC, CAIRN_STAGE_MAJOR, CAIRN_STAGE_MINOR, sizeof(type), 0, \
			CAIRN_BUILD                                                       \
	}

/* ---- parameters ------------------------------------------------------------------- */

/* Type of the field at `offset` in the plugin's parameter struct. */
enum cairn_param_type {
	CAIRN_PARAM_INT = 1,      /* int64_t */
	CAIRN_PARAM_REAL = 2,     /* double */
	CAIRN_PARAM_BOOL = 3,     /* int32_t, 0 or 1; written yes/no */
	CAIRN_PARAM_STRING = 4,   /* const char *, never NULL */
	CAIRN_PARAM_ENUM = 5,     /* int32_t, index into `choices` */
	CAIRN_PARAM_SIZE = 6,     /* uint64_t bytes; written 64K, 4M, 2G */
	CAIRN_PARAM_DURATION = 7, /* double seconds; written 30s, 5m, 2h */
};

enum {
	CAIRN_PARAM_NEUTRAL = 1, /* does not affect the result: stays out of the key */
	/* Since 1.3, with the former: says how work is cut, so it does affect the last bits where
	 * the backend is not batch invariant (cairn/kernels.h). There it is in the key. */
	CAIRN_PARAM_CUTS = 2,
};

typedef struct cairn_param {
	const char *name;
	const char *doc; /* one sentence; cite the paper where a default comes from it */
	uint32_t type;
	uint32_t flags;
	uint64_t offset;
	const char *fallback; /* default, as text; NULL: required */
	double min, max;      /* inclusive, for numbers; both 0: unbounded */
	const char *unit;     /* "epochs", "tokens", or NULL */
	const char *choices;  /* "none|linear|cosine", for CAIRN_PARAM_ENUM */
} cairn_param;

/* ---- ports ------------------------------------------------------------------------ */

enum {
	CAIRN_PORT_OPTIONAL = 1, /* input may stay unbound; output may stay uncommitted */
	CAIRN_PORT_MANY = 2,     /* input may be bound to several artifacts */
};

/* Kinds in use: file, text, tokenizer, dataset/text, dataset/demo, dataset/prompt,
 * dataset/completion, dataset/ranking, model/lm, model/reward, report, metrics. */
typedef struct cairn_port {
	const char *name;
	const char *kind; /* an input may accept several: "dataset/prompt|dataset/demo" */
	uint32_t flags;
	uint32_t reserved;
	const char *doc;
} cairn_port;

/* ---- artifacts as a plugin sees them ----------------------------------------------- */

enum cairn_dtype {
	CAIRN_U8 = 1,
	CAIRN_U16 = 2,
	CAIRN_I32 = 3,
	CAIRN_I64 = 4,
	CAIRN_F32 = 5,
	CAIRN_F64 = 6,
	CAIRN_BF16 = 7,
};

#define CAIRN_MAX_DIMS 8

/* One named entry of an artifact: a tensor, or a file (CAIRN_U8, one dimension). */
typedef struct cairn_tensor {
	const char *name; /* 1..200 bytes, no control characters */
	uint32_t dtype;
	uint32_t n_dims;
	uint64_t dims[CAIRN_MAX_DIMS];
	const void *data; /* row-major, little-endian; NULL in listings */
	uint64_t bytes;
} cairn_tensor;

/* An opened input (or checkpoint). */
typedef struct cairn_artifact {
	const char *id; /* "sha256:..." */
	const char *kind;
	const char *meta; /* canonical JSON object; "{}" where nothing was put */
	const char *
		source; /* "rm@brief:model" or "data/a.txt": for messages only, never for results */
	uint64_t n_entries;
	uint64_t bytes;
	const void *handle; /* the host's */
} cairn_artifact;

/* ---- the host's table ------------------------------------------------------------- */

typedef struct cairn_run cairn_run;
typedef struct cairn_writer cairn_writer;
struct cairn_kernels; /* plugins/kernels/include/cairn/kernels.h */

/* What compute is spent on: the columns of the ledger. */
enum cairn_account {
	CAIRN_ACCOUNT_OTHER = 0,
	CAIRN_ACCOUNT_FORWARD = 1,
	CAIRN_ACCOUNT_BACKWARD = 2,
	CAIRN_ACCOUNT_ROLLOUT = 3,
	CAIRN_ACCOUNT_REFERENCE = 4,
	CAIRN_ACCOUNT_REWARD = 5,
	CAIRN_ACCOUNT_VALUE = 6,
	CAIRN_ACCOUNT_PTX = 7,
	CAIRN_ACCOUNT_OPTIMIZER = 8,
	CAIRN_ACCOUNTS = 9
};

/* Answers of step(). */
enum {
	CAIRN_GO = 0,
	/* Write a checkpoint of the state after this step, before the next step(): who copies it
	 * beside computing may begin() it when the copy is there. What this step has cost was
	 * noted by step(). */
	CAIRN_CHECKPOINT = 1,
	CAIRN_STOP = 2, /* write a checkpoint, then return CAIRN_STOPPED */
};

/* Answers of run(); a negative one is a cairn_error_code. */
enum {
	CAIRN_DONE = 0,
	CAIRN_STOPPED = 1, /* stopped after a checkpoint, as asked */
	CAIRN_WAITING =
		2, /* waiting for people; what for is what hint(), else the last log(), said */
};

enum cairn_log_level {
	CAIRN_LOG_DEBUG = 0,
	CAIRN_LOG_INFO = 1,
	CAIRN_LOG_WARNING = 2,
};

typedef struct cairn_metric {
	const char *name; /* TRL's or OpenAI's name where there is one: "objective/kl" */
	double value;
} cairn_metric;

typedef struct cairn_progress {
	uint64_t step;               /* finished steps, from 1 */
	uint64_t total;              /* of the whole stage; 0: unknown */
	uint64_t tokens;             /* real tokens seen so far */
	const char *phase;           /* "train", "rollout"; or NULL */
	const cairn_metric *metrics; /* one row of the metric log; may be empty */
	uint64_t n_metrics;
} cairn_progress;

typedef struct cairn_host {
	cairn_abi_head head;

	/* Number of artifacts bound to an input port; 0 for an unbound optional one. */
	uint64_t (*input_count)(cairn_run *run, const char *port);
	/* Opens the index-th artifact of a port. */
	int (*input_open)(cairn_run *run, const char *port, uint64_t index, cairn_artifact *out);
	/* Lists entry `index` in the manifest's order (names sorted bytewise); data stays NULL. */
	int (*entry_list)(
		cairn_run *run, const cairn_artifact *artifact, uint64_t index, cairn_tensor *out);
	/* Reads and verifies one entry. 0 found, 1 there is none of that name, < 0 error. */
	int (*entry_get)(cairn_run *run, const cairn_artifact *artifact, const char *name,
		cairn_tensor *out);

	/* Starts the artifact of an output port. One commit per port, one writer open at a time
	 * (else EBUG). */
	int (*output_begin)(cairn_run *run, const char *port, cairn_writer **out);
	/* Starts a checkpoint of the state after `step` steps. */
	int (*checkpoint_begin)(cairn_run *run, uint64_t step, cairn_writer **out);
	/* Adds an entry. The bytes are copied or written before it returns. */
	int (*put)(cairn_writer *writer, const cairn_tensor *tensor);
	/* Metadata, a JSON object; stored in canonical form. At most once. */
	int (*meta)(cairn_writer *writer, const char *json);
	/* Ends the writer. A checkpoint is complete when this returns: its bytes are copied, and
	 * written beside the next steps; it is durable before the next one begins, and before a
	 * stage that was asked to stop has ended. Outputs become visible together, when run()
	 * returns 0. The writer is gone after this, whatever it returns. */
	int (*commit)(cairn_writer *writer);

	/* 1: *out is the newest checkpoint and *step its step; 0: there is none; < 0 error. */
	int (*resume)(cairn_run *run, cairn_artifact *out, uint64_t *step);

	/* One call per optimizer step (or other unit of work): heartbeat, metric row, meter.
	 * Answers CAIRN_GO, CAIRN_CHECKPOINT or CAIRN_STOP. */
	int (*step)(cairn_run *run, const cairn_progress *progress);

	/* Key of a counter-based random stream, derived from (stage key, stream name). */
	uint64_t (*rng_key)(cairn_run *run, const char *stream);

	/* The compute backend, already wrapped by the FLOP meter. */
	int (*kernels)(cairn_run *run, const struct cairn_kernels **out);
	/* What the following kernel calls are for, and what part of their rows is real:
	 * real of padded tokens. padded = 0 means all of them. */
	void (*account)(cairn_run *run, int account, uint64_t real, uint64_t padded);

	/* A named result that `status`, the closing table and `when` show: "accuracy", 0.71. */
	void (*summary)(cairn_run *run, const char *name, double value);

	/* A directory of this attempt's own; removed on success. */
	const char *(*scratch)(cairn_run *run);

	/* Fills the attempt's error and returns `code`. The first one counts. */
	int (*fail)(cairn_run *run, int code, const char *format, ...) CAIRN_PRINTF(3, 4);
	/* Takes over a filled error and returns its code. */
	int (*fail_with)(cairn_run *run, const cairn_error *error);
	/* Adds a sentence that says what to do. */
	void (*hint)(cairn_run *run, const char *format, ...) CAIRN_PRINTF(2, 3);
	/* A line of the attempt's log; from any thread. */
	void (*log)(cairn_run *run, int level, const char *format, ...) CAIRN_PRINTF(3, 4);

	/* Since 1.2: gives back the bytes of an entry (NULL: of all entries) that entry_get
	 * handed out, for plugins that have copied them. They may be asked for again. */
	void (*entry_release)(cairn_run *run, const cairn_artifact *artifact, const char *name);
} cairn_host;

/* ---- the plugin's descriptor ------------------------------------------------------- */

enum {
	CAIRN_CAN_CHECKPOINT = 1,
	CAIRN_NEEDS_KERNELS = 2,     /* the numeric class of the backend enters the key */
	CAIRN_NOT_DETERMINISTIC = 4, /* results are never taken from the store */
	/* Since 1.2: run() leaves nothing behind in its process (no thread, no open file, no
	 * changed global), so that one process may run many such stages, and their results may be
	 * committed together. For stages of less than a second, of which a workflow has thousands.
	 */
	CAIRN_CAN_REPEAT = 8,
};

/* What is bound to a port, as far as it is known before the run. */
typedef struct cairn_estimate_input {
	const char *port;
	/* JSON: the artifact's metadata; while it does not exist, what the estimate of the stage
	 * that will make it says of them, or what a `planned:` source states. NULL: nothing is
	 * known. Of a file also "lines". */
	const char *meta;
	uint64_t bytes; /* 0 while the artifact does not exist */
} cairn_estimate_input;

#define CAIRN_ESTIMATE_TEXT 4096

/* What will compute, as far as estimates depend on it; members as in cairn/kernels.h. */
typedef struct cairn_estimate_compute {
	int32_t in_host_memory, act_bytes, batch_invariant, wants_packed;
	int64_t enough_rows;
} cairn_estimate_compute;

/* Zeroed before estimate() is called, but for `compute`; what stays zero is not known. */
typedef struct cairn_estimate {
	double flop; /* with padding, as the meter will count */
	/* Largest resident size of the stage's process. */
	uint64_t memory_bytes;
	uint64_t output_bytes;
	/* Since 1.1: */
	double flop_of[CAIRN_ACCOUNTS]; /* flop by account; all 0 where it is not split */
	/* 1: something that the numbers depend on is not known yet; they are too low. */
	int32_t is_partial;
	int32_t reserved;
	/* JSON object, output port -> what is known of its metadata:
	 * {"model":{"n_params":124439808}}. It is the `meta` of the stages that wait for it. */
	char outputs[CAIRN_ESTIMATE_TEXT];
	/* Since 1.2: of the entries of a checkpoint. The host copies them before it writes them, if
	 * there is room for it: memory_bytes is without that copy. */
	uint64_t checkpoint_bytes;
	/* Since 1.3: set by the host; all 0 where it is not known, or nothing will. */
	cairn_estimate_compute compute;
	/* Most memory of the device at once; 0 where compute is in the host's. */
	uint64_t device_bytes;
} cairn_estimate;

typedef struct cairn_stage_plugin {
	cairn_abi_head head;

	const char *name;    /* [a-z][a-z0-9_]*, as in `plugin = sft` */
	const char *summary; /* one line */
	const char *version; /* of the algorithm; part of the key: raise it when results change */
	const char *license; /* SPDX */

	const cairn_param *params;
	uint64_t n_params;
	uint64_t params_size; /* of the struct that the offsets point into */
	const cairn_port *inputs;
	uint64_t n_inputs;
	const cairn_port *outputs;
	uint64_t n_outputs;

	uint64_t capabilities;
	uint32_t state_version;        /* of the checkpoint's form */
	uint32_t state_version_oldest; /* that run() can still read */

	/* Required. */
	int (*run)(const cairn_host *host, cairn_run *run, const void *params);
	/* Optional: rules between parameters, before any compute. Fills *err. */
	int (*check)(const void *params, cairn_error *err);
	/* Optional: cost from parameters and input sizes. */
	int (*estimate)(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
		cairn_estimate *out);
} cairn_stage_plugin;

/* The plugin defines this. */
extern CAIRN_EXPORT const cairn_stage_plugin cairn_plugin;

CAIRN_END_DECLS

#endif
