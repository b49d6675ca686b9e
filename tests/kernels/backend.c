/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - opening cpu.so: what it says of itself, and the environment's choice. */
#include <dlfcn.h>
#include <string.h>

#include "harness.h"

static const cairn_kernels_backend *backend(void **library)
{
	const cairn_kernels_backend *found;

	*library = dlopen(CAIRN_PLUGIN_DIR "/kernels/cpu.so", RTLD_NOW | RTLD_LOCAL);
	if (!*library)
		fail_msg("%s", dlerror());
	found = dlsym(*library, CAIRN_KERNELS_SYMBOL);
	assert_non_null(found);
	return found;
}

static void test_kernels_backend__says_what_it_is(void **state)
{
	void *library;
	const cairn_kernels_backend *b = backend(&library);
	cairn_kernels k;

	(void)state;
	assert_int_equal(b->abi.magic, CAIRN_KERNELS_MAGIC);
	assert_int_equal(b->abi.major, CAIRN_KERNELS_MAJOR);
	assert_int_equal(b->abi.struct_size, sizeof(*b));
	assert_string_equal(b->name, "cpu");
	assert_true(b->score() > 0);
	assert_int_equal(b->open(&k, 3, NULL), 0);
	assert_int_equal(k.abi.struct_size, sizeof(k));
	assert_int_equal(k.threads, 3);
	assert_string_equal(k.numerics, CAIRN_NUMERICS);
	assert_non_null(strstr(k.name, "cpu/"));
	b->close(&k);
	assert_int_equal(b->open(&k, 0, NULL), 0);
	assert_true(k.threads >= 1);
	b->close(&k);
	dlclose(library);
}

static void test_kernels_backend__environment_chooses_the_unit(void **state)
{
	void *library;
	const cairn_kernels_backend *b = backend(&library);
	cairn_error err = {0};
	cairn_kernels k;

	(void)state;
	setenv("CAIRN_CPU", "portable", 1);
	assert_int_equal(b->open(&k, 1, &err), 0);
	assert_string_equal(k.name, "cpu/portable");
	b->close(&k);
	setenv("CAIRN_CPU", "abacus", 1);
	assert_int_equal(b->open(&k, 1, &err), CAIRN_EPARAM);
	assert_non_null(strstr(err.message, "'abacus'"));
	assert_non_null(strstr(err.hint, "avx512"));
	unsetenv("CAIRN_CPU");
	dlclose(library);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_backend__says_what_it_is),
		cmocka_unit_test(test_kernels_backend__environment_chooses_the_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
