/* SPDX-License-Identifier: Apache-2.0 */
/* fixture.h - a temporary directory with a store in it, and records that nobody had to compute. */
#ifndef CAIRN_TESTS_AUDIT_FIXTURE_H
#define CAIRN_TESTS_AUDIT_FIXTURE_H

#include "test.h"

#include "audit/record.h"

typedef struct fixture {
	char dir[64]; /* temporary; removed at the end */
	cairn_store *store;
} fixture;

/* cmocka's setup and teardown; *state is the fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* An id or key whose 32 bytes are all `byte`. */
cairn_id fixture_id(uint8_t byte);
cairn_key fixture_key(uint8_t byte);

/* Writes the result of a stage: reads `inputs`, writes `outputs` (strings of bytes as above, as in
 * "\x01\x02"; ports are in0.. and out0..). */
void fixture_result(fixture *f, const char *instance, const char *plugin, uint8_t key,
	const char *inputs, const char *outputs);
/* Writes an attempt that spent `forward` + `backward` FLOPs and kept `kept`. */
void fixture_attempt(fixture *f, uint8_t key, uint32_t n, const char *run, double forward,
	double backward, double kept);
/* Writes a run and returns its id. */
cairn_run_id fixture_run(fixture *f, uint64_t ms, const char *workflow);
/* Writes a stage of a run; axis may be NULL. */
void fixture_stage(fixture *f, const cairn_run_id *run, uint32_t index, const char *instance,
	const char *plugin, uint8_t key, const char *axis, const char *value);

#endif
