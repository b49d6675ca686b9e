/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.h - attributes and assertions that every part of cairn uses.
 *
 * Part of the plugin ABI: keep it free of functions that need linking, except
 * the inline ones below. Compiles as C11 and as C++17 (nvcc's host side).
 */
#ifndef CAIRN_BASE_H
#define CAIRN_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__GNUC__) || defined(__clang__)
#define CAIRN_EXPORT        __attribute__((visibility("default")))
#define CAIRN_MUST          __attribute__((warn_unused_result))
#define CAIRN_PRINTF(f, a)  __attribute__((format(printf, f, a)))
#define CAIRN_NORETURN      __attribute__((noreturn))
#define CAIRN_UNREACHABLE() __builtin_unreachable()
#else
#error "cairn needs GCC or Clang"
#endif

#ifdef __cplusplus
#define CAIRN_BEGIN_DECLS extern "C" {
#define CAIRN_END_DECLS   }
#else
#define CAIRN_BEGIN_DECLS
#define CAIRN_END_DECLS
#endif

/*
 * A programming error, never a fault of input, files or memory. Always on: the
 * process is either an isolated stage or holds nothing that an abort would harm.
 */
#define CAIRN_ASSERT(cond)                                                                  \
	do {                                                                                \
		if (!(cond)) {                                                              \
			fprintf(stderr, "cairn: assertion failed at %s:%d: %s\n", __FILE__, \
				__LINE__, #cond);                                           \
			abort();                                                            \
		}                                                                           \
	} while (0)

#define CAIRN_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
