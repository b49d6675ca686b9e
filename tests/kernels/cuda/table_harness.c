/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_harness.c - lets the cases of tests/kernels run on the CUDA backend, in fp32 and emulated,
 * against the portable reference. Tests that ask for a table of cpu.so get that.
 */
#define check_case check_case_on_cpu
#include "../harness.c"
#undef check_case

#include "emulated.h"

void check_case(op_case *run, const void *shape);

void check_case(op_case *run, const void *shape)
{
	outcome want = {0}, got = {0};
	cairn_error err = {0};
	const cairn_kernels *k = emulated_table("fp32");

	run(reference(), shape, &want);
	drop_tensors();
	run(k, shape, &got);
	drop_tensors();
	assert_int_equal(k->status(k, &err), 0);
	compare_near(&want, &got, k->name);
	outcome_free(&want);
	outcome_free(&got);
}
