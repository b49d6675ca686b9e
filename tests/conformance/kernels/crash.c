/* SPDX-License-Identifier: Apache-2.0 */
/* crash.c - a driver that dies when it is looked at, after a word. */
#include <signal.h>
#include <stdio.h>

#include "tiny.h"

static int crash_score(void)
{
	fputs("driver: the board does not answer\n", stderr);
	fflush(stderr);
	raise(SIGSEGV);
	return 9000;
}

static int crash_open(cairn_kernels *out, int threads, cairn_error *err)
{
	(void)err;
	return tiny_fill(out, threads);
}

TINY_EXPORT(.name = "crash", .score = crash_score, .open = crash_open);
