/* SPDX-License-Identifier: Apache-2.0 */
/* dice.c - says of itself that it is not deterministic: it must run each time. */
#include <sys/random.h>

#include "faulty.h"

static int run_dice(const cairn_host *host, cairn_run *run, const void *params)
{
	unsigned char byte = 0;
	char text[8];

	(void)params;
	if (getrandom(&byte, 1, 0) != 1)
		return CAIRN_EIO;
	snprintf(text, sizeof(text), "%d", byte % 2);
	return write_out(host, run, text);
}

FAULTY_PLUGIN("dice", run_dice, CAIRN_NOT_DETERMINISTIC);
