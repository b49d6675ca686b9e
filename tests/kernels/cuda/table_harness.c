/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_harness.c - lets the cases of tests/kernels run on the CUDA backend, emulated or on a GPU:
 * in both types near the portable reference, and on a GPU twice with the same bits (emulated, the
 * tests of the kernels do more: there threads run in another order). Tests that ask for a table of
 * cpu.so get that.
 */
#define check_case check_case_on_cpu
#include "../harness.c"
#undef check_case

#include "table.h"

void check_case(op_case *run, const void *shape);

static outcome outcome_of(op_case *run, const void *shape, const cairn_kernels *k)
{
	outcome out = {0};

	run(k, shape, &out);
	drop_tensors();
	return out;
}

static void check_in(const char *mode, op_case *run, const void *shape)
{
	const cairn_kernels *k = cuda_table(mode);
	outcome want, got;
	cairn_error err = {0};

	tested_act_bytes = k->act_bytes;
	want = outcome_of(run, shape, reference());
	got = outcome_of(run, shape, k);
#ifdef CAIRN_ON_GPU
	outcome again = outcome_of(run, shape, k);

	compare_bits(&got, &again, k->name, k->threads);
	outcome_free(&again);
#endif
	tested_act_bytes = sizeof(float);
	if (k->status(k, &err))
		fail_msg("%s: %s", err.message, err.detail);
	compare_near(&want, &got, k->name);
	outcome_free(&want);
	outcome_free(&got);
}

void check_case(op_case *run, const void *shape)
{
	check_in("fp32", run, shape);
	check_in("bf16", run, shape);
}
