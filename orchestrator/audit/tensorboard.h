/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tensorboard.h - metric rows as an event file that TensorBoard reads.
 *
 * An event file is a sequence of records in TFRecord's frame, all numbers little-endian:
 *
 *   u64 length | u32 masked CRC-32C of the length | data | u32 masked CRC-32C of the data
 *
 * where masked(c) is c rotated right by 15 bits plus 0xa282ead8, modulo 2^32. The data is the
 * protocol buffer `Event`, of which these fields are written:
 *
 *   Event   1 double wall_time, 2 int64 step, 3 string file_version, 5 Summary summary
 *   Summary 1 repeated Value value
 *   Value   1 string tag, 2 float simple_value
 *
 * The first event is the version "brain.Event:2"; then one per row, its step and all of its
 * values. A row has no time of its own, so each gets that of the attempt: the same store gives the
 * same bytes.
 */
#ifndef CAIRN_AUDIT_TENSORBOARD_H
#define CAIRN_AUDIT_TENSORBOARD_H

#include "base/text.h"
#include "cairn/error.h"

/* Appends the whole file to *out. `rows`: JSON lines as in metrics.h; `place` names them in errors.
 * EINPUT for a line that is no such row. */
CAIRN_MUST int cairn_tensorboard_events(cairn_text *out, const char *rows, size_t len,
	int64_t time_ms, const char *place, cairn_error *err);
/* "events.out.tfevents.1700000000.cairn": TensorBoard looks for the second word. */
void cairn_tensorboard_name(char out[64], int64_t time_ms);

#endif
