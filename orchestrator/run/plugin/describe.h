/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe.h - questions to a plugin, answered by a child process that loads it.
 *
 * `cairn --describe FILE` prints what the plugin is; `cairn --describe FILE check` and
 * `... estimate` read {"values": [text, ...], "inputs": [...]} from stdin and call the
 * plugin's own function; `... symbols` says what its file asks of others, without loading it
 * (elf.h); `... backend` opens a compute backend and says what it is (compute/probe.h). The answer
 * is one JSON document on stdout; {"error": {...}} where the plugin refused or was refused. A
 * crash, a hang or a babbling constructor harms the child alone.
 *
 * `cairn --describe FILE serve` answers many: frames {"action", "request"} in, answers out,
 * over a socket at descriptor 3, until its end. A plan asks one such child per plugin.
 */
#ifndef CAIRN_RUN_DESCRIBE_H
#define CAIRN_RUN_DESCRIBE_H

#include "base/json.h"

/* action: NULL, "check", "estimate", "symbols" or "backend". *out is a new reference, never an
 * error document.
 */
CAIRN_MUST int cairn_describe_ask(json_t **out, const char *path, const char *action,
	const json_t *request, cairn_error *err);

/* A child that has loaded one plugin. `path` is borrowed. */
typedef struct cairn_describer cairn_describer;

CAIRN_MUST int cairn_describer_open(cairn_describer **out, const char *path, cairn_error *err);
/* As cairn_describe_ask(). After ECRASH, ETIMEOUT or EABI it is of no more use. */
CAIRN_MUST int cairn_describer_ask(cairn_describer *describer, json_t **out, const char *action,
	const json_t *request, cairn_error *err);
void cairn_describer_close(cairn_describer *describer);

#endif
