/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - what a stage process tells the runner, over a socket pair (fd 3 in the child).
 *
 * A frame is a length, u32 little-endian, and so many bytes of JSON: one object whose
 * "type" is one of
 *
 *   hello       {"pid"}                                    the child reads its job
 *   started     {"resumed": step}                          resume() was answered, or run() began
 *                                                          (where that says more than the job)
 *   step        {"step","total","tokens","phase","metrics": [[name, value]..],
 *                "flop": [..], "flop_real": [..], "max_rss_bytes", "kernel_peak_bytes"}
 *                                                          at most ten a second, and the last
 *   log         {"level","text"}
 *   checkpoint  {"step","kept"}                            durable now; kept: FLOPs, total
 *   committed   {"kept", "flop", ...}                      the result is in the store
 *   error       {"error": {code, message, detail, hint, place}}
 *   bye         {"code","step","flop", ...}                the answer of run(); the last one
 *                                                          of the attempt; "text": what a stage
 *                                                          that waits for people waits for;
 *                                                          "mended": it failed at a damaged input,
 *                                                          which was taken out of the store
 *
 * A value that is no number travels as text ("nan", "inf"). Records of unknown type are
 * skipped, unknown fields ignored. The other way go jobs (job.h): one, and where the bye had
 * "stays": true, more.
 *
 * A short stage may hand over what it made rather than commit it: a frame that begins with a
 * NUL byte, behind which is a packet (store.h: cairn_batch_pack), and a bye with "result" and
 * "kept". All else never crosses the wire: artifacts go through the store.
 */
#ifndef CAIRN_RUN_WIRE_H
#define CAIRN_RUN_WIRE_H

#include <stdbool.h>

#include "base/json.h"
#include "base/text.h"
#include "cairn/stage.h"

#define CAIRN_WIRE_FD          3
#define CAIRN_WIRE_MAX         (1u << 20)  /* of a record */
#define CAIRN_WIRE_MAX_JOB     (64u << 20) /* of the job */
#define CAIRN_WIRE_MAX_METRICS 256
#define CAIRN_WIRE_MAX_PACKET  (256u << 10)

enum cairn_wire_type {
	CAIRN_WIRE_UNKNOWN = 0,
	CAIRN_WIRE_HELLO,
	CAIRN_WIRE_STARTED,
	CAIRN_WIRE_STEP,
	CAIRN_WIRE_LOG,
	CAIRN_WIRE_CHECKPOINT,
	CAIRN_WIRE_COMMITTED,
	CAIRN_WIRE_ERROR,
	CAIRN_WIRE_BYE,
	CAIRN_WIRE_PACKET, /* not a JSON record */
};

/* A decoded record; strings are borrowed from `json`. */
typedef struct cairn_wire_record {
	enum cairn_wire_type type;
	json_t *json;
	uint64_t step, total, tokens;
	const char *phase; /* or NULL */
	cairn_metric metrics[CAIRN_WIRE_MAX_METRICS];
	size_t n_metrics;
	bool has_flop;
	double flop[CAIRN_ACCOUNTS], flop_real[CAIRN_ACCOUNTS];
	double kept;                               /* negative: not told */
	uint64_t max_rss_bytes, kernel_peak_bytes; /* 0: not told */
	int level, code;
	const char *text;
	cairn_error error;
	json_t *result;     /* of a bye; or NULL */
	bool stays;         /* of a bye: the process takes another job */
	bool has_log;       /* of a bye: something is in the log file */
	bool is_mended;     /* of a bye: a damaged input is gone, to be made again */
	const void *packet; /* until more is fed to the reader */
	size_t packet_len;
} cairn_wire_record;

/* 0 where the bytes are a record, of whatever type; EBUG where they are not. */
CAIRN_MUST int cairn_wire_decode(
	cairn_wire_record *out, const char *bytes, size_t len, cairn_error *err);
void cairn_wire_record_clear(cairn_wire_record *record);

/* Bytes as they come, records as they are complete. {0} is ready to use. */
typedef struct cairn_wire_reader {
	cairn_text buffer;
	size_t taken; /* bytes of the buffer that are used up */
} cairn_wire_reader;

CAIRN_MUST int cairn_wire_feed(
	cairn_wire_reader *reader, const void *bytes, size_t len, cairn_error *err);
/* 1: *out is the next record (clear it); 0: none is complete; EBUG: the stream is broken. */
CAIRN_MUST int cairn_wire_next(cairn_wire_reader *reader, cairn_wire_record *out, cairn_error *err);
void cairn_wire_reader_clear(cairn_wire_reader *reader);

/* One frame, in full; blocks. EIO where the other side is gone. */
CAIRN_MUST int cairn_wire_send(int fd, const json_t *json, cairn_error *err);
/* A packet, and a record behind it. */
CAIRN_MUST int cairn_wire_send_packet(
	int fd, const void *packet, size_t len, const json_t *json, cairn_error *err);
/* Reads one frame, of at most `max` bytes, in full: for the job. New reference. 1: the other side
 * said no more. */
CAIRN_MUST int cairn_wire_receive(json_t **out, int fd, size_t max, cairn_error *err);

/* Numbers that JSON cannot say become texts, and back. New reference. */
json_t *cairn_wire_number(double value);
double cairn_wire_number_of(const json_t *json);
/* An account as an array of CAIRN_ACCOUNTS numbers, and back (absent ones are 0). */
json_t *cairn_wire_account(const double account[CAIRN_ACCOUNTS]);
void cairn_wire_account_of(double out[CAIRN_ACCOUNTS], const json_t *json);
/* An error as cairn_record_error() writes it, back into *err (if that is empty). */
void cairn_wire_error_of(cairn_error *err, const json_t *json);

#endif
