/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - seconds that only go forward: for waiting and measuring, never for a record. */
#ifndef CAIRN_BASE_CLOCK_H
#define CAIRN_BASE_CLOCK_H

#include <time.h>

static inline double cairn_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

#endif
