/* SPDX-License-Identifier: Apache-2.0 */
/* wrong_magic.c - exports the symbol, but it is somebody else's. */
#define cairn_plugin cairn_plugin_of_today
#include "cairn/stage.h"
#undef cairn_plugin

extern CAIRN_EXPORT const char cairn_plugin[64];
CAIRN_EXPORT const char cairn_plugin[64] = "a piece of text, not a descriptor";
