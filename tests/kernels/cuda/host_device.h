/* SPDX-License-Identifier: Apache-2.0 */
/* host_device.h - what tests may take from the device that host_device.c plays, and learn of it. */
#ifndef CAIRN_TESTS_HOST_DEVICE_H
#define CAIRN_TESTS_HOST_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cairn/base.h"

CAIRN_BEGIN_DECLS

typedef struct host_device_limits {
	size_t device_bytes; /* 1 GiB */
	int64_t refused;     /* the so-manieth allocation from now on fails, from 0; -1: none */
	bool no_pinned;      /* pinned memory cannot be had */
	int64_t pinned_left; /* so many pieces of it can; -1: all */
	int64_t dies_after;  /* so many waits that had something to wait for; -1: never */
	int64_t n_pinned;    /* pieces of it that are in use */
	uint64_t fetched;    /* bytes, so far */
} host_device_limits;

/* Of all devices of this program; to be read and written. */
host_device_limits *host_device_limited(void);

CAIRN_END_DECLS

#endif
