/* SPDX-License-Identifier: Apache-2.0 */
/* fake_runtime.c - see fake_runtime.h. */
#include "fake_runtime.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	POISON = 0xa5,
	MAX_BLOCKS = 1024,
};

fake_runtime fake;

#define DEMAND(condition)                                                                       \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s: undefined with CUDA: %s\n", __func__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

/* Of a stream, in its order. `upto`: of the other stream, what must be done before. */
typedef struct operation {
	enum {
		COPY,
		SET,
		WAIT,
		CALL
	} what;
	void *to;
	const void *from;
	size_t bytes;
	int value;
	struct CUstream_st *other;
	size_t upto;
	void (*function)(void *);
} operation;

typedef struct operations {
	operation *of;
	size_t n, cap;
} operations;

struct CUgraph_st {
	operations kept;
};

struct CUgraphExec_st {
	operations kept;
};

struct CUstream_st {
	operations queue;
	size_t done;
	bool is_capturing, is_spoiled;
	operations captured;
};

/* Where it was recorded last; NULL: nowhere, then nobody waits for it. */
struct CUevent_st {
	struct CUstream_st *stream;
	size_t upto;
};

typedef struct block {
	char *at;
	size_t bytes;
	bool is_pinned;
} block;

static block blocks[MAX_BLOCKS];
static struct CUstream_st *all_streams[16];
static cudaError_t dead, last;

void fake_runtime_reset(void)
{
	fake = (fake_runtime){
		.driver = 13000,
		.runtime = 13000,
		.devices = 1,
		.name = "NVIDIA H100 80GB HBM3",
		.memory = (size_t)1 << 30,
		.major = 9,
		.minor = 0,
		.multiprocessors = 132,
		.khz = 1980000,
		.dies_after = -1,
	};
	dead = last = cudaSuccess;
}

/* ---- what fails -------------------------------------------------------------------------------
 */

static cudaError_t result(cudaError_t rc)
{
	if (rc != cudaSuccess)
		last = rc;
	return rc;
}

/* First of every call. */
static cudaError_t begin(const char *name)
{
	if (dead != cudaSuccess)
		return result(dead);
	if (!fake.fails || strcmp(fake.fails, name) != 0 || fake.fails_after-- > 0)
		return cudaSuccess;
	fake.fails = NULL;
	return result(fake.fails_with);
}

#define BEGIN()                                      \
	do {                                         \
		cudaError_t begun = begin(__func__); \
		if (begun != cudaSuccess)            \
			return begun;                \
	} while (0)

cudaError_t cudaGetLastError(void)
{
	cudaError_t rc = last;

	last = dead;
	return rc;
}

const char *cudaGetErrorString(cudaError_t error)
{
	static char text[64];

	snprintf(text, sizeof(text), "what CUDA says of error %d", (int)error);
	return text;
}

const char *cudaGetErrorName(cudaError_t error)
{
	return error == cudaErrorSystemNotReady ? "cudaErrorSystemNotReady" : "cudaErrorOther";
}

/* ---- what there is ----------------------------------------------------------------------------
 */

cudaError_t cudaDriverGetVersion(int *version)
{
	*version = fake.driver;
	return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
	*version = fake.runtime;
	return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
	BEGIN();
	if (fake.count_error != cudaSuccess)
		return result(fake.count_error);
	*count = fake.devices;
	return fake.devices > 0 ? cudaSuccess : result(cudaErrorNoDevice);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
	BEGIN();
	if (device >= fake.devices)
		return result(cudaErrorInvalidDevice);
	memset(properties, 0, sizeof(*properties));
	snprintf(properties->name, sizeof(properties->name), "%s", fake.name);
	properties->totalGlobalMem = fake.memory;
	return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr which, int device)
{
	BEGIN();
	if (device >= fake.devices)
		return result(cudaErrorInvalidDevice);
	*value = which == cudaDevAttrComputeCapabilityMajor   ? fake.major
		 : which == cudaDevAttrComputeCapabilityMinor ? fake.minor
		 : which == cudaDevAttrMultiProcessorCount    ? fake.multiprocessors
		 : which == cudaDevAttrClockRate              ? fake.khz
							      : 0;
	return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
	BEGIN();
	return device < fake.devices ? cudaSuccess : result(cudaErrorInvalidDevice);
}

/* ---- streams ----------------------------------------------------------------------------------
 */

static void add(operations *list, operation one)
{
	if (list->n == list->cap) {
		list->cap = 2 * list->cap + 64;
		list->of = realloc(list->of, list->cap * sizeof(one));
		DEMAND(list->of);
	}
	list->of[list->n++] = one;
}

static void run_to(struct CUstream_st *stream, size_t upto);

static void run(const operation *o)
{
	if (dead != cudaSuccess)
		return;
	if (fake.dies_after >= 0 && fake.dies_after-- == 0) {
		dead = fake.dies_with;
		return;
	}
	switch (o->what) {
	case COPY:
		memmove(o->to, o->from, o->bytes);
		break;
	case SET:
		memset(o->to, o->value, o->bytes);
		break;
	case WAIT:
		run_to(o->other, o->upto);
		break;
	case CALL:
		o->function(o->to);
		break;
	}
}

static void run_to(struct CUstream_st *stream, size_t upto)
{
	DEMAND(upto <= stream->queue.n);
	while (stream->done < upto) {
		operation one = stream->queue.of[stream->done++];

		run(&one);
	}
}

static void run_all(void)
{
	for (size_t i = 0; i < sizeof(all_streams) / sizeof(*all_streams); i++)
		if (all_streams[i])
			run_to(all_streams[i], all_streams[i]->queue.n);
}

static void put(struct CUstream_st *stream, operation one)
{
	DEMAND(stream);
	add(stream->is_capturing ? &stream->captured : &stream->queue, one);
}

/* Of calls that cannot be captured, of any stream: they spoil what is captured. */
static bool spoils(void)
{
	bool is_spoiled = false;

	for (size_t i = 0; i < sizeof(all_streams) / sizeof(*all_streams); i++)
		if (all_streams[i] && all_streams[i]->is_capturing)
			is_spoiled = all_streams[i]->is_spoiled = true;
	return is_spoiled;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
	size_t at = 0;

	BEGIN();
	DEMAND(flags == cudaStreamNonBlocking);
	while (all_streams[at])
		at++;
	*out = all_streams[at] = calloc(1, sizeof(**out));
	fake.streams++;
	return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
	for (size_t i = 0; i < sizeof(all_streams) / sizeof(*all_streams); i++) {
		if (all_streams[i] != stream)
			continue;
		all_streams[i] = NULL;
		free(stream->queue.of);
		free(stream->captured.of);
		free(stream);
		fake.streams--;
		return begin(__func__);
	}
	DEMAND(!"a stream");
	return cudaErrorInvalidValue;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
	BEGIN();
	fake.waits++;
	if (stream->is_capturing) {
		stream->is_spoiled = true;
		return result(cudaErrorStreamCaptureUnsupported);
	}
	run_to(stream, stream->queue.n);
	return result(dead);
}

void fake_launch(void *stream, void (*function)(void *), void *argument)
{
	put(stream, (operation){.what = CALL, .function = function, .to = argument});
}

/* ---- events -----------------------------------------------------------------------------------
 */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
	BEGIN();
	DEMAND(flags == cudaEventDisableTiming);
	*out = calloc(1, sizeof(**out));
	fake.events++;
	return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
	free(event);
	fake.events--;
	return begin(__func__);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
	BEGIN();
	DEMAND(!stream->is_capturing);
	*event = (struct CUevent_st){stream, stream->queue.n};
	return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
	BEGIN();
	fake.waits++;
	if (event->stream)
		run_to(event->stream, event->upto);
	return result(dead);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
	BEGIN();
	DEMAND(flags == 0);
	if (event->stream)
		put(stream, (operation){.what = WAIT, .other = event->stream, .upto = event->upto});
	return cudaSuccess;
}

/* ---- memory -----------------------------------------------------------------------------------
 */

static cudaError_t get(void **out, size_t bytes, bool is_pinned)
{
	size_t at = 0;

	while (at < MAX_BLOCKS && blocks[at].at)
		at++;
	DEMAND(at < MAX_BLOCKS);
	DEMAND(bytes > 0);
	blocks[at] = (block){aligned_alloc(256, (bytes + 255) / 256 * 256), bytes, is_pinned};
	DEMAND(blocks[at].at);
	memset(blocks[at].at, POISON, bytes);
	*out = blocks[at].at;
	return cudaSuccess;
}

/* As the real ones, these wait for all that was started. */
static size_t give_back(void *memory, bool is_pinned)
{
	run_all();
	for (size_t i = 0; i < MAX_BLOCKS; i++) {
		if (!blocks[i].at || blocks[i].at != memory)
			continue;
		DEMAND(blocks[i].is_pinned == is_pinned);
		free(memory);
		blocks[i].at = NULL;
		return blocks[i].bytes;
	}
	DEMAND(!"memory that is in use");
	return 0;
}

static bool is_in(const void *memory, size_t bytes, bool is_pinned)
{
	uintptr_t at = (uintptr_t)memory;

	for (size_t i = 0; i < MAX_BLOCKS; i++) {
		uintptr_t from = (uintptr_t)blocks[i].at;

		if (from && blocks[i].is_pinned == is_pinned && at >= from &&
			at + bytes <= from + blocks[i].bytes)
			return true;
	}
	return false;
}

cudaError_t(cudaMalloc)(void **out, size_t bytes)
{
	BEGIN();
	if (spoils())
		return result(cudaErrorStreamCaptureUnsupported);
	if (bytes > fake.memory || fake.bytes > fake.memory - bytes)
		return result(cudaErrorMemoryAllocation);
	fake.allocations++;
	fake.bytes += bytes;
	return get(out, bytes, false);
}

cudaError_t cudaFree(void *memory)
{
	if (!memory)
		return cudaSuccess;
	if (spoils())
		return result(cudaErrorStreamCaptureUnsupported);
	fake.bytes -= give_back(memory, false);
	fake.allocations--;
	return begin(__func__);
}

cudaError_t(cudaHostAlloc)(void **out, size_t bytes, unsigned flags)
{
	BEGIN();
	DEMAND(flags == cudaHostAllocDefault);
	fake.pinned++;
	return get(out, bytes, true);
}

cudaError_t cudaFreeHost(void *memory)
{
	if (!memory)
		return cudaSuccess;
	give_back(memory, true);
	fake.pinned--;
	return begin(__func__);
}

cudaError_t cudaMemcpyAsync(
	void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
	BEGIN();
	DEMAND(bytes > 0);
	DEMAND(is_in(to, bytes, kind == cudaMemcpyDeviceToHost));
	DEMAND(is_in(from, bytes, kind == cudaMemcpyHostToDevice));
	fake.copies++;
	put(stream, (operation){.what = COPY, .to = to, .from = from, .bytes = bytes});
	return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
	BEGIN();
	DEMAND(is_in(to, bytes, false));
	put(stream, (operation){.what = SET, .to = to, .value = value, .bytes = bytes});
	return cudaSuccess;
}

/* ---- graphs -----------------------------------------------------------------------------------
 */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
	BEGIN();
	DEMAND(mode == cudaStreamCaptureModeThreadLocal);
	if (stream->is_capturing)
		return result(cudaErrorIllegalState);
	stream->is_capturing = true;
	stream->is_spoiled = false;
	stream->captured.n = 0;
	return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
	operations *captured = &stream->captured;
	cudaError_t begun = begin(__func__);
	bool was_capturing = stream->is_capturing;

	*out = NULL;
	stream->is_capturing = false;
	if (begun != cudaSuccess)
		return begun;
	if (!was_capturing)
		return result(cudaErrorIllegalState);
	if (stream->is_spoiled)
		return result(cudaErrorStreamCaptureInvalidated);
	*out = calloc(1, sizeof(**out));
	(*out)->kept = *captured;
	*captured = (operations){0};
	fake.graphs++;
	return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags)
{
	BEGIN();
	DEMAND(flags == 0);
	*out = calloc(1, sizeof(**out));
	for (size_t i = 0; i < graph->kept.n; i++)
		add(&(*out)->kept, graph->kept.of[i]);
	fake.graphs++;
	return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
	BEGIN();
	for (size_t i = 0; i < exec->kept.n; i++)
		put(stream, exec->kept.of[i]);
	return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
	free(graph->kept.of);
	free(graph);
	fake.graphs--;
	return begin(__func__);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
	free(exec->kept.of);
	free(exec);
	fake.graphs--;
	return begin(__func__);
}
