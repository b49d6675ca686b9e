/* SPDX-License-Identifier: Apache-2.0 */
/* new_major.c - tools of a contract to come. */
#include "cairn/tool.h"

CAIRN_EXPORT const cairn_tools cairn_tools_table = {
	.head = {CAIRN_TOOL_MAGIC, CAIRN_TOOL_MAJOR + 1, 0, sizeof(cairn_tools), 0,
		"a compiler to come"},
};
