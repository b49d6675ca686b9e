/* SPDX-License-Identifier: Apache-2.0 */
/* no_symbol.c - a shared object like any other. */
#include "cairn/base.h"

CAIRN_EXPORT int answer(void);

int answer(void)
{
	return 42;
}
