/* SPDX-License-Identifier: Apache-2.0 */
/*
 * find.c - which GPUs there are, and why one cannot be used.
 *
 * Nothing is started here: no context is made, so this costs neither memory of the GPU nor the
 * tenths of a second that a context takes. A GPU that another process holds is found usable; that
 * is only seen when it is opened (device.c).
 */
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/device.h"

#define WITHOUT_GPU "'device = cpu' or 'device = auto' in the workflow does without a GPU."

const char *cuda_hint_of(int error)
{
	switch ((cudaError_t)error) {
	case cudaErrorInsufficientDriver:
	case cudaErrorCallRequiresNewerDriver:
	case cudaErrorCompatNotSupportedOnDevice:
		return "Install a newer NVIDIA driver, or build cairn with the CUDA toolkit of "
		       "this one; " WITHOUT_GPU;
	case cudaErrorSystemDriverMismatch:
		return "The driver was updated while it was loaded: restart the machine; " WITHOUT_GPU;
	case cudaErrorSystemNotReady:
		return "On machines with NVSwitch the service nvidia-fabricmanager must run; " WITHOUT_GPU;
	case cudaErrorDevicesUnavailable:
		return "Another process holds the GPU for itself, or it is set to 'prohibited': "
		       "nvidia-smi shows both ('Compute M.'); " WITHOUT_GPU;
	case cudaErrorMemoryAllocation:
		return "Other processes have taken the GPU's memory: nvidia-smi lists them; wait, "
		       "or choose another GPU by CUDA_VISIBLE_DEVICES; " WITHOUT_GPU;
	default:
		return "nvidia-smi shows what the driver sees, and the kernel's log its errors "
		       "('NVRM', 'Xid'); " WITHOUT_GPU;
	}
}

static int attribute(enum cudaDeviceAttr which, int device)
{
	int value = 0;

	return cudaDeviceGetAttribute(&value, which, device) == cudaSuccess ? value : 0;
}

static void none_seen(cuda_found *out)
{
	const char *visible = getenv("CUDA_VISIBLE_DEVICES");

	if (visible) {
		(void)snprintf(out->why, sizeof(out->why),
			"no NVIDIA GPU can be seen with CUDA_VISIBLE_DEVICES='%.80s'", visible);
		out->hint = "Unset CUDA_VISIBLE_DEVICES, or name one that `nvidia-smi -L` "
			    "lists; " WITHOUT_GPU;
	} else {
		(void)snprintf(out->why, sizeof(out->why), "no NVIDIA GPU can be seen");
		out->hint = "nvidia-smi shows what the driver sees; a container must be given its "
			    "GPUs; " WITHOUT_GPU;
	}
}

static void refused(cuda_found *out, cudaError_t rc)
{
	out->hint = cuda_hint_of(rc);
	if (rc == cudaErrorInsufficientDriver)
		(void)snprintf(out->why, sizeof(out->why),
			"the driver is one of CUDA %d.%d, and one of CUDA %d is needed",
			out->driver / 1000, out->driver % 1000 / 10, out->runtime / 1000);
	else
		(void)snprintf(out->why, sizeof(out->why), "%s (%s)", cudaGetErrorString(rc),
			cudaGetErrorName(rc));
}

static void describe(cuda_found *out, int which)
{
	struct cudaDeviceProp properties;
	cudaError_t rc = cudaGetDeviceProperties(&properties, which);

	if (rc != cudaSuccess) {
		refused(out, rc);
		return;
	}
	(void)snprintf(out->name, sizeof(out->name), "%.100s", properties.name);
	out->memory = properties.totalGlobalMem;
	out->capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor, which) +
			  attribute(cudaDevAttrComputeCapabilityMinor, which);
	out->multiprocessors = attribute(cudaDevAttrMultiProcessorCount, which);
	out->khz = attribute(cudaDevAttrClockRate, which);
	out->usable = out->capability >= CUDA_CAPABILITY_MIN;
	if (out->usable)
		return;
	(void)snprintf(out->why, sizeof(out->why),
		"%.80s has compute capability %d.%d, and 8.0 is needed", out->name,
		out->capability / 10, out->capability % 10);
	out->hint = "GPUs from A100 and GeForce 30 on will do, and CUDA_VISIBLE_DEVICES chooses "
		    "among several; " WITHOUT_GPU;
}

void cuda_device_find(cuda_found *out, int which)
{
	cudaError_t rc;

	memset(out, 0, sizeof(*out));
	(void)cudaDriverGetVersion(&out->driver);
	(void)cudaRuntimeGetVersion(&out->runtime);
	rc = cudaGetDeviceCount(&out->devices);
	if (rc != cudaSuccess)
		out->devices = 0;
	if (out->driver == 0) {
		(void)snprintf(out->why, sizeof(out->why), "no NVIDIA driver is installed");
		out->hint = "Install NVIDIA's driver (libcuda.so.1); a container must be given the "
			    "host's; " WITHOUT_GPU;
	} else if (rc == cudaErrorNoDevice || (rc == cudaSuccess && which >= out->devices)) {
		none_seen(out);
	} else if (rc != cudaSuccess) {
		refused(out, rc);
	} else {
		describe(out, which);
	}
	(void)cudaGetLastError();
}
