/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crc.h - CRC-32C (Castagnoli), reflected, the variant of iSCSI, ext4 and TFRecord.
 *
 * The store guards with it what no SHA-256 guards: records, index entries and the headers in
 * segments; event files frame their records with it. Those are small, so one table of 256
 * words is fast enough where the processor has no instruction for it.
 */
#ifndef CAIRN_BASE_CRC_H
#define CAIRN_BASE_CRC_H

#include "cairn/base.h"

/* CRC-32C of bytes, going on from `crc` (0 to begin). */
uint32_t cairn_crc32c(uint32_t crc, const void *bytes, size_t len);

#endif
