/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abi.h - opening a foreign shared object and deciding whether it speaks our contract.
 *
 * Only ever called in a child process, except for tools, which the command line runs itself:
 * dlopen runs the object's constructors. The one place, besides host_kernels.c, where the
 * runner meets dlfcn. Libraries are never closed.
 */
#ifndef CAIRN_RUN_ABI_H
#define CAIRN_RUN_ABI_H

#include "base/arena.h"
#include "cairn/stage.h"
#include "cairn/tool.h"

/* dlopen + dlsym of a data symbol. EABI with dlerror()'s words as detail. */
CAIRN_MUST int cairn_abi_symbol(
	const void **out, const char *path, const char *symbol, cairn_error *err);
/* What a head must say. */
typedef struct cairn_abi_expected {
	const char *what;  /* "stage plugin" */
	const char *begin; /* what it must begin with: "CAIRN_STAGE_HEAD" */
	uint32_t magic;
	uint16_t major, minor;
	uint32_t size;     /* of our struct */
	uint32_t size_min; /* up to the last member that is required */
} cairn_abi_expected;
/* Copies min(its size, ours) into the zeroed *out of expected->size bytes, or refuses: EABI names
 * every field that differs, the versions and the remedy. */
CAIRN_MUST int cairn_abi_copy(void *out, const void *symbol, const char *path,
	const cairn_abi_expected *expected, cairn_error *err);
/* Opens a stage plugin: the two above and a check of the descriptor's sanity. */
CAIRN_MUST int cairn_abi_stage(
	cairn_stage_plugin *out, const char *path, cairn_arena *arena, cairn_error *err);
/* The same for a shared object of tools, and every tool in it. */
CAIRN_MUST int cairn_abi_tools(
	cairn_tools *out, const char *path, cairn_arena *arena, cairn_error *err);

#endif
