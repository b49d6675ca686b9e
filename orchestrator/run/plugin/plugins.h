/* SPDX-License-Identifier: Apache-2.0 */
/* plugins.h - inside run/: where plugins are looked for. The registry itself is in run.h. */
#ifndef CAIRN_RUN_PLUGINS_H
#define CAIRN_RUN_PLUGINS_H

#include "base/arena.h"
#include "cairn/error.h"

/* The directories searched, in order: CAIRN_PLUGIN_PATH, beside the executable, installed. The
 * compute backends are in "kernels" below each. */
size_t cairn_plugin_dirs(const char **out, size_t cap, cairn_arena *arena);
/* SHA-256 of the file, 64 hex digits. */
CAIRN_MUST int cairn_plugin_digest(const char *path, char out[65], cairn_error *err);

#endif
