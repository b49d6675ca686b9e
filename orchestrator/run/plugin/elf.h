/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf.h - what a shared object asks of others and offers them, read from the file.
 *
 * The file is read, never loaded; the libraries that it needs are loaded to look for names in
 * them, so this is called in a child process (describe_main.c).
 */
#ifndef CAIRN_RUN_ELF_H
#define CAIRN_RUN_ELF_H

#include "base/json.h"

/* {"needed": [library], "missing": [library that cannot be found], "undefined": [name that no
 * needed library has], "exported": [name], "constructors": how many functions run when it is
 * loaded}, lists in bytewise order. EABI where the file is no shared object of this machine. */
CAIRN_MUST int cairn_elf_read(json_t **out, const char *path, cairn_error *err);

#endif
