/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar.h - the one form of tar that bundles have: POSIX ustar, regular files, names of up to 100
 * characters, owner 0, mode 0644, time 0. So a name and a size decide all of a header, which makes
 * equal content equal bytes; and a reader need not interpret one: it compares.
 */
#ifndef CAIRN_AUDIT_TAR_H
#define CAIRN_AUDIT_TAR_H

#include <stdbool.h>

#include "cairn/error.h"

#define CAIRN_TAR_BLOCK    512
#define CAIRN_TAR_MAX_NAME 100
#define CAIRN_TAR_MAX_SIZE ((uint64_t)1 << 33) /* eleven octal digits */

/* name: 1 to 100 bytes; size: below the limit. */
void cairn_tar_header(uint8_t out[CAIRN_TAR_BLOCK], const char *name, uint64_t size);
/* Name and size of a header of this form. 1: a block of zeros, the end; EINPUT with a hint where it
 * is something else. */
CAIRN_MUST int cairn_tar_parse(const uint8_t block[CAIRN_TAR_BLOCK],
	char name[CAIRN_TAR_MAX_NAME + 1], uint64_t *size, cairn_error *err);
/* The zeros behind so many bytes. */
size_t cairn_tar_padding(uint64_t size);

#endif
