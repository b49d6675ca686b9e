/* SPDX-License-Identifier: Apache-2.0 */
/* hang.c - a driver that never answers. */
#include <unistd.h>

#include "tiny.h"

static int hang_score(void)
{
	while (pause() < 0)
		;
	return 9000;
}

static int hang_open(cairn_kernels *out, int threads, cairn_error *err)
{
	(void)err;
	return tiny_fill(out, threads);
}

TINY_EXPORT(.name = "hang", .score = hang_score, .open = hang_open);
