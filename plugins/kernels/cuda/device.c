/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.c - see device.h.
 *
 * Writes go through a ring of pinned memory: the caller's bytes are copied into it and travel from
 * there, so nobody waits unless the device is a whole ring behind. The ring is cut into segments;
 * an event behind the last copy out of a segment says when it may be filled again. Reads wait
 * anyway; large ones go piece by piece through two pinned buffers, which takes turns between the
 * bus and the copy to where the caller wants them.
 *
 * What is fetched beside computing goes through a stream of its own, which waits for the calls
 * before by an event; another event holds back those that may change what is being fetched.
 */
#include "kernels/cuda/device.h"

#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SEGMENTS = 8,
	SEGMENT = 4 << 20,
	READ_PIECE = 4 << 20,
	ALIGN = 64,
};

typedef struct block {
	void *dev;
	size_t bytes;
} block;

struct cuda_device {
	cuda_found found;
	cudaStream_t stream;
	cudaStream_t copies; /* of what is fetched */
	cudaEvent_t computed, fetched;
	bool is_fetching; /* since the host last waited */

	block *blocks;
	size_t n_blocks, cap_blocks, now, peak;

	char *ring, *reading;
	cudaEvent_t filled[SEGMENTS], read[2];
	int segment;
	size_t used; /* of the segment */

	cudaError_t error;
	const char *operation, *what; /* what: of an error that is not CUDA's, else NULL */
	size_t lacked;                /* bytes that could not be had; 0: not the error */
	bool recording, recording_failed;
};

struct cuda_recording {
	cudaGraphExec_t exec;
};

/* ---- errors --------------------------------------------------------------------------------- */

static bool ok(cuda_device *d, cudaError_t rc, const char *operation)
{
	if (rc == cudaSuccess)
		return true;
	(void)cudaGetLastError();
	if (d->recording) {
		d->recording_failed = true;
	} else if (!d->operation) {
		d->error = rc;
		d->operation = operation;
	}
	return false;
}

void cuda_device_check(cuda_device *d, const char *operation)
{
	(void)ok(d, cudaGetLastError(), operation);
}

void cuda_device_fail(cuda_device *d, const char *operation, const char *what)
{
	if (d->recording) {
		d->recording_failed = true;
	} else if (!d->operation) {
		d->operation = operation;
		d->what = what;
	}
}

void cuda_device_lacks(cuda_device *d, const char *operation, size_t bytes)
{
	if (!d->recording && !d->operation)
		d->lacked = bytes;
	cuda_device_fail(d, operation, "out of memory");
}

int cuda_device_status(cuda_device *d, cairn_error *err)
{
	if (!d->operation && !d->recording)
		(void)ok(d, cudaStreamSynchronize(d->stream), "waiting for the device");
	if (!d->operation)
		return CAIRN_OK;
	cairn_error_set(err, CAIRN_EDEVICE, "%s failed on the GPU: %s", d->operation,
		d->what ? d->what : cudaGetErrorString(d->error));
	if (d->lacked > 0)
		cairn_error_detail(err,
			"%zu bytes wanted (%zu MiB); of the %zu MiB of %s %zu were taken at most",
			d->lacked, d->lacked >> 20, d->found.memory >> 20, d->found.name,
			d->peak >> 20);
	else
		cairn_error_detail(err, "%s, %zu MiB of %zu MiB taken at most", d->found.name,
			d->peak >> 20, d->found.memory >> 20);
	if (d->lacked > 0)
		cairn_error_hint(err,
			"Lower 'micro_tokens' or 'batch', set 'recompute = yes' where it trains, "
			"or take a GPU with more memory.");
	else
		cairn_error_hint(err, "Run it again: what was committed is kept. If it fails "
				      "again, look for 'Xid' in the kernel's log.");
	return CAIRN_EDEVICE;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static bool open_ring(cuda_device *d)
{
	bool done = ok(d,
		cudaHostAlloc((void **)&d->ring, (size_t)SEGMENTS * SEGMENT, cudaHostAllocDefault),
		"getting pinned memory");

	done = done && ok(d,
			       cudaHostAlloc((void **)&d->reading, 2 * (size_t)READ_PIECE,
				       cudaHostAllocDefault),
			       "getting pinned memory");
	for (int i = 0; i < SEGMENTS; i++)
		done = done &&
		       ok(d, cudaEventCreateWithFlags(&d->filled[i], cudaEventDisableTiming),
			       "making an event");
	for (int i = 0; i < 2; i++)
		done = done && ok(d, cudaEventCreateWithFlags(&d->read[i], cudaEventDisableTiming),
				       "making an event");
	return done;
}

static bool open_copies(cuda_device *d)
{
	return ok(d, cudaStreamCreateWithFlags(&d->copies, cudaStreamNonBlocking),
		       "making a stream") &&
	       ok(d, cudaEventCreateWithFlags(&d->computed, cudaEventDisableTiming),
		       "making an event") &&
	       ok(d, cudaEventCreateWithFlags(&d->fetched, cudaEventDisableTiming),
		       "making an event");
}

int cuda_device_open(cuda_device **out, const cuda_found *found, cairn_error *err)
{
	cuda_device *d = calloc(1, sizeof(*d));

	*out = NULL;
	if (!d)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for the CUDA backend");
	d->found = *found;
	if (ok(d, cudaSetDevice(0), "taking the GPU") &&
		ok(d, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking),
			"making a stream") &&
		open_ring(d) && open_copies(d)) {
		*out = d;
		return CAIRN_OK;
	}
	cairn_error_set(err, CAIRN_EDEVICE, "%s failed on '%s': %s", d->operation, found->name,
		cudaGetErrorString(d->error));
	if (d->stream && d->error == cudaErrorMemoryAllocation)
		cairn_error_hint(err, "It is the machine's memory that is short, not the GPU's: "
				      "pinned memory counts against the limits of a container.");
	else
		cairn_error_hint(err, "%s", cuda_hint_of(d->error));
	cuda_device_close(d);
	return CAIRN_EDEVICE;
}

void cuda_device_close(cuda_device *d)
{
	if (!d)
		return;
	if (d->stream)
		(void)cudaStreamSynchronize(d->stream);
	if (d->copies)
		(void)cudaStreamSynchronize(d->copies);
	for (size_t i = 0; i < d->n_blocks; i++)
		(void)cudaFree(d->blocks[i].dev);
	free(d->blocks);
	for (int i = 0; i < SEGMENTS; i++)
		if (d->filled[i])
			(void)cudaEventDestroy(d->filled[i]);
	for (int i = 0; i < 2; i++)
		if (d->read[i])
			(void)cudaEventDestroy(d->read[i]);
	if (d->computed)
		(void)cudaEventDestroy(d->computed);
	if (d->fetched)
		(void)cudaEventDestroy(d->fetched);
	(void)cudaFreeHost(d->ring);
	(void)cudaFreeHost(d->reading);
	if (d->copies)
		(void)cudaStreamDestroy(d->copies);
	if (d->stream)
		(void)cudaStreamDestroy(d->stream);
	(void)cudaGetLastError();
	free(d);
}

cuda_stream cuda_device_stream(const cuda_device *d)
{
	return d->stream;
}

/* ---- memory ------------------------------------------------------------------------------------
 */

static bool keep_block(cuda_device *d, void *dev, size_t bytes)
{
	if (d->n_blocks == d->cap_blocks) {
		size_t cap = 2 * d->cap_blocks + 64;
		block *more = realloc(d->blocks, cap * sizeof(*more));

		if (!more)
			return false;
		d->blocks = more;
		d->cap_blocks = cap;
	}
	d->blocks[d->n_blocks++] = (block){dev, bytes};
	d->now += bytes;
	d->peak = d->now > d->peak ? d->now : d->peak;
	return true;
}

void *cuda_device_alloc(cuda_device *d, size_t bytes)
{
	void *dev = NULL;
	cudaError_t rc;

	if (d->recording) {
		d->recording_failed = true;
		return NULL;
	}
	bytes = bytes ? bytes : 1;
	rc = cudaMalloc(&dev, bytes);
	if (rc == cudaErrorMemoryAllocation) {
		(void)cudaGetLastError();
		return NULL;
	}
	if (!ok(d, rc, "getting memory"))
		return NULL;
	if (!keep_block(d, dev, bytes)) {
		(void)cudaFree(dev);
		return NULL;
	}
	cuda_device_zero(d, dev, bytes);
	return dev;
}

void cuda_device_free(cuda_device *d, void *dev)
{
	if (!dev)
		return;
	if (d->recording) {
		/* It cannot be: the graph would know it. What is captured is worth nothing, and
		 * the memory goes with the device. */
		d->recording_failed = true;
		return;
	}
	for (size_t i = d->n_blocks; i-- > 0;) {
		if (d->blocks[i].dev != dev)
			continue;
		d->now -= d->blocks[i].bytes;
		d->blocks[i] = d->blocks[--d->n_blocks];
		break;
	}
	/* What was launched may still use it. */
	cuda_device_fetch_wait(d);
	(void)ok(d, cudaStreamSynchronize(d->stream), "waiting for the device");
	(void)ok(d, cudaFree(dev), "giving memory back");
}

size_t cuda_device_peak(const cuda_device *d)
{
	return d->peak;
}

/* ---- copies ------------------------------------------------------------------------------------
 */

/* Room in the ring for at least one byte, `bytes` if there are so many; *bytes becomes what it is.
 */
static char *ring_room(cuda_device *d, size_t *bytes)
{
	char *room;

	if (d->used == SEGMENT) {
		if (!ok(d, cudaEventRecord(d->filled[d->segment], d->stream), "writing"))
			return NULL;
		d->segment = (d->segment + 1) % SEGMENTS;
		d->used = 0;
		if (!ok(d, cudaEventSynchronize(d->filled[d->segment]), "writing"))
			return NULL;
	}
	room = d->ring + (size_t)d->segment * SEGMENT + d->used;
	*bytes = *bytes < SEGMENT - d->used ? *bytes : SEGMENT - d->used;
	d->used += (*bytes + ALIGN - 1) / ALIGN * ALIGN;
	return room;
}

void cuda_device_write(cuda_device *d, void *dev, const void *host, size_t bytes)
{
	char *to = dev;
	const char *from = host;

	while (bytes > 0) {
		size_t piece = bytes;
		char *room = ring_room(d, &piece);

		if (!room)
			return;
		memcpy(room, from, piece);
		if (!ok(d, cudaMemcpyAsync(to, room, piece, cudaMemcpyHostToDevice, d->stream),
			    "writing"))
			return;
		to += piece;
		from += piece;
		bytes -= piece;
	}
}

static bool read_pieces(cuda_device *d, char *host, const char *dev, size_t bytes)
{
	size_t pieces = (bytes + READ_PIECE - 1) / READ_PIECE;

	for (size_t i = 0; i < pieces + 1; i++) {
		/* Piece i begins its way while piece i - 1 is taken out. */
		if (i < pieces) {
			size_t at = i * READ_PIECE, left = bytes - at;

			if (!ok(d,
				    cudaMemcpyAsync(d->reading + i % 2 * READ_PIECE, dev + at,
					    left < READ_PIECE ? left : READ_PIECE,
					    cudaMemcpyDeviceToHost, d->stream),
				    "reading") ||
				!ok(d, cudaEventRecord(d->read[i % 2], d->stream), "reading"))
				return false;
		}
		if (i > 0) {
			size_t at = (i - 1) * READ_PIECE, left = bytes - at;

			if (!ok(d, cudaEventSynchronize(d->read[(i - 1) % 2]), "reading"))
				return false;
			memcpy(host + at, d->reading + (i - 1) % 2 * READ_PIECE,
				left < READ_PIECE ? left : READ_PIECE);
		}
	}
	return true;
}

void cuda_device_read(cuda_device *d, void *host, const void *dev, size_t bytes)
{
	/* Who looks at it before asking for the status sees zeros, not what memory held. */
	if (!read_pieces(d, host, dev, bytes) && bytes > 0)
		memset(host, 0, bytes);
}

void cuda_device_copy(cuda_device *d, void *to, const void *from, size_t bytes)
{
	if (bytes > 0)
		(void)ok(d, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, d->stream),
			"copying");
}

void cuda_device_zero(cuda_device *d, void *dev, size_t bytes)
{
	if (bytes > 0)
		(void)ok(d, cudaMemsetAsync(dev, 0, bytes, d->stream), "zeroing");
}

/* ---- fetching beside computing -------------------------------------------------------------
 */

void *cuda_device_pinned_alloc(cuda_device *d, size_t bytes)
{
	void *pinned = NULL;
	cudaError_t rc = cudaHostAlloc(&pinned, bytes ? bytes : 1, cudaHostAllocDefault);

	if (rc == cudaErrorMemoryAllocation) {
		(void)cudaGetLastError();
		return NULL;
	}
	return ok(d, rc, "getting pinned memory") ? pinned : NULL;
}

void cuda_device_pinned_free(cuda_device *d, void *pinned)
{
	if (!pinned)
		return;
	cuda_device_fetch_wait(d);
	(void)ok(d, cudaFreeHost(pinned), "giving pinned memory back");
}

void cuda_device_fetch(cuda_device *d, void *pinned, const void *dev, size_t bytes)
{
	CAIRN_ASSERT(!d->recording);
	if (bytes > 0 && ok(d, cudaEventRecord(d->computed, d->stream), "fetching") &&
		ok(d, cudaStreamWaitEvent(d->copies, d->computed, 0), "fetching") &&
		ok(d, cudaMemcpyAsync(pinned, dev, bytes, cudaMemcpyDeviceToHost, d->copies),
			"fetching"))
		d->is_fetching = true;
}

void cuda_device_fetch_fence(cuda_device *d)
{
	CAIRN_ASSERT(!d->recording);
	if (d->is_fetching && ok(d, cudaEventRecord(d->fetched, d->copies), "fetching"))
		(void)ok(d, cudaStreamWaitEvent(d->stream, d->fetched, 0), "fetching");
}

void cuda_device_fetch_wait(cuda_device *d)
{
	if (d->is_fetching)
		(void)ok(d, cudaStreamSynchronize(d->copies), "fetching");
	d->is_fetching = false;
}

/* ---- graphs ------------------------------------------------------------------------------------
 */

bool cuda_device_can_record(void)
{
	return true;
}

bool cuda_device_is_recording(const cuda_device *d)
{
	return d->recording;
}

void cuda_device_record(cuda_device *d)
{
	d->recording = true;
	d->recording_failed = false;
	/* Other threads of the process are none of this one's business. */
	(void)ok(d, cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal),
		"capturing");
}

cuda_recording *cuda_device_recorded(cuda_device *d)
{
	cuda_recording *recording = calloc(1, sizeof(*recording));
	cudaGraph_t graph = NULL;
	bool good = ok(d, cudaStreamEndCapture(d->stream, &graph), "capturing");

	good = good && !d->recording_failed && recording &&
	       ok(d, cudaGraphInstantiate(&recording->exec, graph, 0), "capturing");
	d->recording = false;
	if (graph)
		(void)cudaGraphDestroy(graph);
	if (good)
		return recording;
	(void)cudaGetLastError();
	free(recording);
	return NULL;
}

void cuda_device_replay(cuda_device *d, cuda_recording *recording)
{
	(void)ok(d, cudaGraphLaunch(recording->exec, d->stream), "replaying");
}

void cuda_recording_free(cuda_device *d, cuda_recording *recording)
{
	if (!recording)
		return;
	(void)ok(d, cudaStreamSynchronize(d->stream), "waiting for the device");
	(void)ok(d, cudaGraphExecDestroy(recording->exec), "freeing what was captured");
	free(recording);
}
