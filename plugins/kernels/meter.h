/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter.h - counts the FLOPs of every call that passes through a kernel table.
 *
 * The stage host wraps the backend's table with this before a plugin sees it: FLOPs are
 * metered from the shapes of the calls, never claimed. A fused multiply-add counts as two.
 * Each call is booked twice: as executed (with padding), and scaled to its real tokens.
 */
#ifndef CAIRN_KERNELS_METER_H
#define CAIRN_KERNELS_METER_H

#include "cairn/kernels.h"

typedef struct cairn_meter {
	double flop[CAIRN_ACCOUNTS];      /* as executed, with padding */
	double flop_real[CAIRN_ACCOUNTS]; /* the share of real tokens */
	double gemm_flop;                 /* part of the above in products */
	int account;
	uint64_t real, padded;        /* of the calls to come; padded = 0: all real */
	struct cairn_graph *captured; /* what is being captured books here; NULL: nothing is */
	const cairn_kernels *inner;   /* set by cairn_meter_wrap() */
} cairn_meter;

/* *out is a table that books into *meter (zeroed before) and calls *inner. Both must outlive it. */
void cairn_meter_wrap(cairn_kernels *out, const cairn_kernels *inner, cairn_meter *meter);
/* Sets account and share for the calls to come; see cairn_host.account. */
void cairn_meter_account(cairn_meter *meter, int account, uint64_t real, uint64_t padded);

double cairn_meter_total(const cairn_meter *meter);
double cairn_meter_total_real(const cairn_meter *meter);

#endif
