/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fallback.c - cuda.so where there is no GPU: it loads without cuBLASLt, says nothing, scores
 * nothing, and says why when it is asked for. Skipped where there is a GPU.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "../../test.h"
#include "cairn/kernels.h"

static const cairn_kernels_backend *backend(void)
{
	static const cairn_kernels_backend *found;

	if (!found) {
		void *library = dlopen(CAIRN_PLUGIN_DIR "/kernels/cuda.so", RTLD_NOW | RTLD_LOCAL);

		if (!library)
			fail_msg("%s", dlerror());
		found = dlsym(library, CAIRN_KERNELS_SYMBOL);
		assert_non_null(found);
	}
	return found;
}

static void test_cuda_fallback__says_what_it_is(void **state)
{
	const cairn_kernels_backend *b = backend();

	(void)state;
	assert_int_equal(b->abi.magic, CAIRN_KERNELS_MAGIC);
	assert_int_equal(b->abi.major, CAIRN_KERNELS_MAJOR);
	assert_int_equal(b->abi.struct_size, sizeof(*b));
	assert_string_equal(b->name, "cuda");
}

/* cuBLASLt takes 50 ms to load: a process that only asks for a score must not pay that. */
static void test_cuda_fallback__loads_no_library_of_cuda(void **state)
{
	(void)state;
	(void)backend()->score();
	assert_null(dlopen("libcublasLt.so.12", RTLD_NOW | RTLD_NOLOAD));
	assert_null(dlopen("libcublasLt.so.13", RTLD_NOW | RTLD_NOLOAD));
}

static void test_cuda_fallback__open_says_why(void **state)
{
	cairn_kernels k = {0};
	cairn_error err = {0};

	(void)state;
	if (backend()->score() > 0)
		skip();
	assert_int_equal(backend()->open(&k, 1, &err), CAIRN_EDEVICE);
	assert_non_null(strstr(err.message, "CUDA cannot be used here: "));
	assert_non_null(strstr(err.hint, "device = cpu"));
	assert_null(k.alloc);
}

/* For `cairn doctor`: a line for each thing that is needed, whether it is there or not. */
static void test_cuda_fallback__look_says_what_there_is(void **state)
{
	static const char *const lines[] = {
		"driver: ", "\nruntime: CUDA ", "\ncuBLASLt: ", "\nusable: "};
	char *text = backend()->look();

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < CAIRN_COUNT(lines); i++)
		if (!strstr(text, lines[i]))
			fail_msg("'%s' is not in: %s", lines[i], text);
	if (backend()->score() == 0)
		assert_null(strstr(text, "usable: device"));
	assert_int_equal(text[strlen(text) - 1], '\n');
	free(text);
}

static void test_cuda_fallback__environment_chooses_the_type(void **state)
{
	cairn_kernels k = {0};
	cairn_error err = {0};

	(void)state;
	setenv("CAIRN_CUDA", "int3", 1);
	assert_int_equal(backend()->open(&k, 1, &err), CAIRN_EPARAM);
	unsetenv("CAIRN_CUDA");
	assert_non_null(strstr(err.message, "'int3'"));
	assert_non_null(strstr(err.hint, "bf16"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_fallback__says_what_it_is),
		cmocka_unit_test(test_cuda_fallback__loads_no_library_of_cuda),
		cmocka_unit_test(test_cuda_fallback__open_says_why),
		cmocka_unit_test(test_cuda_fallback__look_says_what_there_is),
		cmocka_unit_test(test_cuda_fallback__environment_chooses_the_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
