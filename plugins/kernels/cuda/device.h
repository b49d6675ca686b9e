/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.h - the GPU as the backend uses it: memory, streams, copies, graphs, what went wrong.
 *
 * Everything that is computed goes through one stream, in the order of the calls; only what is
 * fetched beside computing has another. Errors stick: the first one is kept with the name of the
 * operation, and cuda_device_status() tells it.
 *
 * find.c, device.c and blas.c are the only files in C that call CUDA's runtime and cuBLASLt; the
 * tests put others in their place, which work in the host's memory.
 */
#ifndef CAIRN_KERNELS_CUDA_DEVICE_H
#define CAIRN_KERNELS_CUDA_DEVICE_H

#include "cairn/kernels.h"
#include "kernels/cuda/types.h"

typedef struct cuda_device cuda_device;
typedef struct cuda_recording cuda_recording; /* captured calls */

/* What this machine has: one device of it, and what is above all of them. */
typedef struct cuda_found {
	bool usable;
	int devices;    /* how many there are */
	int capability; /* 90: compute capability 9.0 */
	int multiprocessors;
	int khz;             /* the highest clock of its multiprocessors; 0: not known */
	int driver, runtime; /* 13000: CUDA 13.0; driver 0: there is none */
	size_t memory;
	char name[128];
	char why[192];    /* not usable: why not, as a message */
	const char *hint; /* and what to do */
} cuda_found;

enum {
	CUDA_CAPABILITY_MIN = 80, /* mma.sync of bf16, cp.async */
};

/* Device `which`, from 0. Starts nothing on it. */
void cuda_device_find(cuda_found *out, int which);
/* What to do about an error of CUDA's runtime (a cudaError_t). */
const char *cuda_hint_of(int error);
CAIRN_MUST int cuda_device_open(cuda_device **out, const cuda_found *found, cairn_error *err);
void cuda_device_close(cuda_device *d);
cuda_stream cuda_device_stream(const cuda_device *d);

/* Zeroed, aligned to 256 bytes. NULL where there is no memory: that is no error of the device. */
void *cuda_device_alloc(cuda_device *d, size_t bytes);
void cuda_device_free(cuda_device *d, void *dev);
size_t cuda_device_peak(const cuda_device *d);
/* Returns when `host` may be changed; the copy may still be under way. */
void cuda_device_write(cuda_device *d, void *dev, const void *host, size_t bytes);
/* Waits for everything before it. */
void cuda_device_read(cuda_device *d, void *host, const void *dev, size_t bytes);
void cuda_device_copy(cuda_device *d, void *to, const void *from, size_t bytes);
void cuda_device_zero(cuda_device *d, void *dev, size_t bytes);

/* As in cairn/kernels.h. None of them while calls are captured. */
void *cuda_device_pinned_alloc(cuda_device *d, size_t bytes);
void cuda_device_pinned_free(cuda_device *d, void *pinned);
void cuda_device_fetch(cuda_device *d, void *pinned, const void *dev, size_t bytes);
void cuda_device_fetch_fence(cuda_device *d);
void cuda_device_fetch_wait(cuda_device *d);

/* After the launches of an operation: keeps their error. */
void cuda_device_check(cuda_device *d, const char *operation);
/* For errors that are not the runtime's own. `what` lives as long as the program. */
void cuda_device_fail(cuda_device *d, const char *operation, const char *what);
/* The same where there was no memory for so many bytes. */
void cuda_device_lacks(cuda_device *d, const char *operation, size_t bytes);
/* Waits for everything, then EDEVICE where anything has failed. */
int cuda_device_status(cuda_device *d, cairn_error *err);

bool cuda_device_can_record(void);
bool cuda_device_is_recording(const cuda_device *d);
void cuda_device_record(cuda_device *d);
/* NULL where it failed; that is no error of the device. */
cuda_recording *cuda_device_recorded(cuda_device *d);
void cuda_device_replay(cuda_device *d, cuda_recording *recording);
void cuda_recording_free(cuda_device *d, cuda_recording *recording);

#endif
