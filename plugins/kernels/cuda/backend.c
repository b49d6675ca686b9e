/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend.c - what cuda.so exports: finds the GPU, opens the table, keeps its workspaces.
 *
 * CAIRN_CUDA=bf16|fp32 in the environment chooses the type of activations and of products'
 * operands; without it bf16. The numeric class names all that the bits of a result depend on: the
 * type, the version of our kernels, the GPU (cuBLASLt chooses by it) and the version of cuBLASLt.
 */
#include "kernels/cuda/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/peak.h"

enum {
	KERNELS_VERSION = 1, /* to be raised when a kernel's sums change */
	SCORE = 200,         /* above every CPU's */
};

/* ---- workspaces ------------------------------------------------------------------------------ */

static bool retire(cuda_backend *b, void *dev)
{
	if (b->n_graphs == 0 && !cuda_device_is_recording(b->device)) {
		cuda_device_free(b->device, dev);
		return true;
	}
	if (b->n_retired == b->cap_retired) {
		size_t cap = 2 * b->cap_retired + 16;
		void **more = realloc(b->retired, cap * sizeof(*more));

		if (!more)
			return false;
		b->retired = more;
		b->cap_retired = cap;
	}
	b->retired[b->n_retired++] = dev;
	return true;
}

void *cuda_backend_buffer(cuda_backend *b, enum cuda_buffer which, size_t bytes)
{
	if (b->buffer[which].dev && b->buffer[which].bytes >= bytes)
		return b->buffer[which].dev;
	/* While calls are captured nothing can be allocated: their shapes were to be known. */
	if (cuda_device_is_recording(b->device)) {
		cuda_device_fail(b->device, "capturing", "a shape is new");
		return NULL;
	}
	if (b->buffer[which].dev && !retire(b, b->buffer[which].dev)) {
		cuda_device_fail(b->device, "getting a workspace", "no memory on the host");
		return NULL;
	}
	bytes = bytes > 256 ? bytes : 256;
	b->buffer[which].dev = cuda_device_alloc(b->device, bytes);
	b->buffer[which].bytes = b->buffer[which].dev ? bytes : 0;
	if (!b->buffer[which].dev)
		cuda_device_lacks(b->device, "getting a workspace", bytes);
	return b->buffer[which].dev;
}

void cuda_backend_drop_retired(cuda_backend *b)
{
	while (b->n_graphs == 0 && b->n_retired > 0)
		cuda_device_free(b->device, b->retired[--b->n_retired]);
}

/* ---- memory and graphs -------------------------------------------------------------------------
 */

static void *dev_alloc(const cairn_kernels *k, size_t bytes)
{
	return cuda_device_alloc(cuda_backend_of(k)->device, bytes);
}

static void dev_free(const cairn_kernels *k, void *dev)
{
	cuda_device_free(cuda_backend_of(k)->device, dev);
}

static void dev_write(const cairn_kernels *k, void *dev, const void *host, size_t bytes)
{
	cuda_device_write(cuda_backend_of(k)->device, dev, host, bytes);
}

static void dev_read(const cairn_kernels *k, void *host, const void *dev, size_t bytes)
{
	cuda_device_read(cuda_backend_of(k)->device, host, dev, bytes);
}

static void dev_copy(const cairn_kernels *k, void *to, const void *from, size_t bytes)
{
	cuda_device_copy(cuda_backend_of(k)->device, to, from, bytes);
}

static void dev_zero(const cairn_kernels *k, void *dev, size_t bytes)
{
	cuda_device_zero(cuda_backend_of(k)->device, dev, bytes);
}

static void *pinned_alloc(const cairn_kernels *k, size_t bytes)
{
	return cuda_device_pinned_alloc(cuda_backend_of(k)->device, bytes);
}

static void pinned_free(const cairn_kernels *k, void *pinned)
{
	cuda_device_pinned_free(cuda_backend_of(k)->device, pinned);
}

static void fetch(const cairn_kernels *k, void *pinned, const void *dev, size_t bytes)
{
	cuda_device_fetch(cuda_backend_of(k)->device, pinned, dev, bytes);
}

static void fetch_fence(const cairn_kernels *k)
{
	cuda_device_fetch_fence(cuda_backend_of(k)->device);
}

static void fetch_wait(const cairn_kernels *k)
{
	cuda_device_fetch_wait(cuda_backend_of(k)->device);
}

static size_t peak_bytes(const cairn_kernels *k)
{
	return cuda_device_peak(cuda_backend_of(k)->device);
}

static int status(const cairn_kernels *k, cairn_error *err)
{
	return cuda_device_status(cuda_backend_of(k)->device, err);
}

static void capture_begin(const cairn_kernels *k)
{
	cuda_device_record(cuda_backend_of(k)->device);
}

static cairn_graph *capture_end(const cairn_kernels *k)
{
	cuda_backend *b = cuda_backend_of(k);
	cuda_recording *recording = cuda_device_recorded(b->device);

	b->n_graphs += recording ? 1 : 0;
	return (cairn_graph *)recording;
}

static void replay(const cairn_kernels *k, cairn_graph *graph, int64_t n_keys)
{
	(void)n_keys; /* the meter's */
	cuda_device_replay(cuda_backend_of(k)->device, (cuda_recording *)graph);
}

static void graph_free(const cairn_kernels *k, cairn_graph *graph)
{
	cuda_backend *b = cuda_backend_of(k);

	if (!graph)
		return;
	cuda_recording_free(b->device, (cuda_recording *)graph);
	b->n_graphs--;
	cuda_backend_drop_retired(b);
}

/* Which of cuBLASLt's algorithms each product got. */
static char *plans(const cairn_kernels *k)
{
	return strdup(cuda_blas_plans(cuda_backend_of(k)->blas));
}

static void fill_memory(cairn_kernels *k, enum cuda_type type)
{
	k->act_bytes = (int32_t)cuda_type_bytes(type);
	k->enough_rows = INT64_MAX;
	k->rounding = type == CUDA_BF16 ? 0x1p-8 : 0x1p-24;
	k->describe = plans;
	k->alloc = dev_alloc;
	k->free = dev_free;
	k->write = dev_write;
	k->read = dev_read;
	k->copy = dev_copy;
	k->zero = dev_zero;
	k->pinned_alloc = pinned_alloc;
	k->pinned_free = pinned_free;
	k->fetch = fetch;
	k->fetch_fence = fetch_fence;
	k->fetch_wait = fetch_wait;
	k->peak_bytes = peak_bytes;
	k->status = status;
	if (cuda_device_can_record()) {
		k->capture_begin = capture_begin;
		k->capture_end = capture_end;
		k->replay = replay;
		k->graph_free = graph_free;
	}
}

/* ---- the backend -------------------------------------------------------------------------------
 */

static int choose_type(enum cuda_type *out, cairn_error *err)
{
	const char *wanted = getenv("CAIRN_CUDA");

	*out = CUDA_BF16;
	if (!wanted || !*wanted || strcmp(wanted, "bf16") == 0)
		return CAIRN_OK;
	*out = CUDA_FLOAT;
	if (strcmp(wanted, "fp32") == 0)
		return CAIRN_OK;
	cairn_error_set(err, CAIRN_EPARAM, "unknown type '%s' in CAIRN_CUDA", wanted);
	cairn_error_hint(err, "Unset CAIRN_CUDA, or set it to bf16 or fp32.");
	return CAIRN_EPARAM;
}

static int backend_score(void)
{
	cuda_found found;

	cuda_device_find(&found, 0);
	return found.usable ? SCORE : 0;
}

static void backend_free(cuda_backend *b)
{
	if (!b)
		return;
	cuda_blas_close(b->blas);
	cuda_device_close(b->device); /* and all memory with it */
	free(b->retired);
	free(b);
}

static void describe(cuda_backend *b, const cuda_found *found)
{
	const char *type = b->type == CUDA_BF16 ? "bf16" : "fp32";

	(void)snprintf(b->name, sizeof(b->name), "cuda/%s (%s)", type, found->name);
	(void)snprintf(b->numerics, sizeof(b->numerics), "cuda-%s-v%d-sm%dx%d-lt%zu", type,
		KERNELS_VERSION, found->capability, found->multiprocessors,
		cuda_blas_version(b->blas));
}

static int find(cuda_found *out, cairn_error *err)
{
	cuda_device_find(out, 0);
	if (out->usable)
		return CAIRN_OK;
	cairn_error_set(err, CAIRN_EDEVICE, "CUDA cannot be used here: %s", out->why);
	cairn_error_hint(err, "%s", out->hint);
	return CAIRN_EDEVICE;
}

static int backend_open(cairn_kernels *out, int threads, cairn_error *err)
{
	static const cairn_abi_head head = {CAIRN_KERNELS_MAGIC, CAIRN_KERNELS_MAJOR,
		CAIRN_KERNELS_MINOR, sizeof(cairn_kernels), 0, CAIRN_BUILD};
	cuda_backend *b;
	cuda_found found;
	enum cuda_type type;
	int rc = choose_type(&type, err);

	(void)threads;
	if (!rc)
		rc = find(&found, err);
	if (rc)
		return rc;
	b = calloc(1, sizeof(*b));
	if (!b)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for the CUDA backend");
	b->type = type;
	rc = cuda_device_open(&b->device, &found, err);
	if (!rc)
		rc = cuda_blas_open(&b->blas, b->device, err);
	if (rc) {
		backend_free(b);
		return rc;
	}
	b->stream = cuda_device_stream(b->device);
	describe(b, &found);
	memset(out, 0, sizeof(*out));
	out->abi = head;
	out->name = b->name;
	out->numerics = b->numerics;
	out->self = b;
	out->threads = 1;
	fill_memory(out, type);
	out->device_bytes = found.memory;
	out->peak_flops = cuda_peak_flops(&found, type);
	cuda_fill_products(out);
	cuda_fill_layers(out);
	return CAIRN_OK;
}

static void backend_close(cairn_kernels *k)
{
	backend_free(k->self);
	k->self = NULL;
}

/* ---- what there is ------------------------------------------------------------------------------
 */

static void print_version(FILE *out, const char *name, int version, const char *none)
{
	if (version > 0)
		(void)fprintf(out, "%s: CUDA %d.%d\n", name, version / 1000, version % 1000 / 10);
	else
		(void)fprintf(out, "%s: %s\n", name, none);
}

static void print_device(FILE *out, int which)
{
	cuda_found found;

	cuda_device_find(&found, which);
	if (!found.name[0]) {
		(void)fprintf(out, "device %d: %s\n", which, found.why);
		return;
	}
	(void)fprintf(out,
		"device %d: %s, %zu MiB, compute capability %d.%d, %d multiprocessors at up to %d "
		"MHz%s\n",
		which, found.name, found.memory >> 20, found.capability / 10, found.capability % 10,
		found.multiprocessors, found.khz / 1000,
		which == 0 && found.usable ? "" : ", not used");
}

static char *backend_look(void)
{
	char *text = NULL, library[256];
	size_t len;
	FILE *out = open_memstream(&text, &len);
	cuda_found found;

	if (!out)
		return NULL;
	cuda_device_find(&found, 0);
	cuda_blas_look(library, sizeof(library));
	print_version(out, "driver", found.driver, "none");
	print_version(out, "runtime", found.runtime, "none");
	(void)fprintf(out, "cuBLASLt: %s\n", library);
	for (int i = 0; i < found.devices; i++)
		print_device(out, i);
	(void)fprintf(out, "usable: %s\n", found.usable ? "device 0" : found.why);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

CAIRN_EXPORT extern const cairn_kernels_backend cairn_kernels_backend_cuda __asm__(
	CAIRN_KERNELS_SYMBOL);

const cairn_kernels_backend cairn_kernels_backend_cuda = {
	.abi = {CAIRN_KERNELS_MAGIC, CAIRN_KERNELS_MAJOR, CAIRN_KERNELS_MINOR,
		sizeof(cairn_kernels_backend), 0, CAIRN_BUILD},
	.name = "cuda",
	.score = backend_score,
	.open = backend_open,
	.close = backend_close,
	.look = backend_look,
};
