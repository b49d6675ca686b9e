/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - the compute functions of one vector unit. */
#include "kernels/cpu/compute.h"

void ISA(fill)(cairn_kernels *k)
{
	k->name = CPU_NAME;
	ISA(fill_pack)(k);
	ISA(fill_head)(k);
	ISA(fill_attention)(k);
	ISA(fill_decode)(k);
	ISA(fill_layers)(k);
	ISA(fill_rows)(k);
	ISA(fill_updates)(k);
}
