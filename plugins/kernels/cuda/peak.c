/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peak.c - see peak.h.
 *
 * Multiprocessors x clock x FLOP of one of them in a cycle, as NVIDIA's white papers and data
 * sheets of each architecture have it. Two things do not follow from the compute capability:
 *
 * - Boards for games (GeForce, TITAN) and the L40 add products of bf16 into floats at half the rate
 *   of the others of their generation.
 * - Hopper's boost clock for tensor cores is below the one that the driver reports, which is that
 *   of other work: 1830 MHz of 1980 on SXM boards, 1620 of 1755 on PCIe boards.
 *
 * What came later is not known here: an MFU of nothing is better than one of a guess.
 */
#include "kernels/cuda/peak.h"

#include <string.h>

/* Of one multiprocessor in a cycle. */
typedef struct rate {
	int capability;
	int tensor; /* products of bf16, sums in float */
	int lanes;  /* multiply-adds of floats */
} rate;

static const rate rates[] = {
	{80, 2048, 64},  /* A100, A30 */
	{86, 1024, 128}, /* A10, A40, RTX A6000, GeForce 30 */
	{89, 1024, 128}, /* L4, L40S, RTX 6000 Ada, GeForce 40 */
	{90, 4096, 128}, /* H100, H200, GH200 */
};

static bool has_half_rate(const cuda_found *gpu)
{
	if (gpu->capability != 86 && gpu->capability != 89)
		return false;
	return strstr(gpu->name, "GeForce") || strstr(gpu->name, "TITAN") ||
	       strcmp(gpu->name, "NVIDIA L40") == 0;
}

static double tensor_hertz(const cuda_found *gpu)
{
	int most = gpu->capability != 90         ? gpu->khz
		   : gpu->multiprocessors <= 114 ? 1620000
						 : 1830000;

	return 1e3 * (gpu->khz < most ? gpu->khz : most);
}

double cuda_peak_flops(const cuda_found *gpu, enum cuda_type type)
{
	const rate *r = NULL;

	for (size_t i = 0; i < CAIRN_COUNT(rates); i++)
		if (rates[i].capability == gpu->capability)
			r = &rates[i];
	if (!r)
		return 0;
	if (type == CUDA_FLOAT)
		return 2.0 * r->lanes * gpu->multiprocessors * 1e3 * gpu->khz;
	return (has_half_rate(gpu) ? 0.5 : 1.0) * r->tensor * gpu->multiprocessors *
	       tensor_hertz(gpu);
}
