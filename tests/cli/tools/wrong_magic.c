/* SPDX-License-Identifier: Apache-2.0 */
/* wrong_magic.c - exports the symbol, but it is somebody else's. */
#define cairn_tools_table cairn_tools_table_of_today
#include "cairn/tool.h"
#undef cairn_tools_table

extern CAIRN_EXPORT const char cairn_tools_table[64];
CAIRN_EXPORT const char cairn_tools_table[64] = "a piece of text, not a table";
