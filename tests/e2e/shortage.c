/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shortage.c - a GPU with less free memory than it has: what cairn says of it, and that the stage
 * goes on once there is more. The GPU is emulated (tests/kernels/cuda).
 */
#include "../test.h"

#include <stdlib.h>
#include <string.h>

#include "drive.h"

static const char workflow[] =
	"[workflow]\nname = shortage\ndevice = cuda\n"
	"[stage text]\nplugin = text\ninput.text = file:" CAIRN_SOURCE_DIR
	"/workflows/data/text.txt\nn_vocab = 300\nmax_bytes = 12000\n"
	"[stage pretrain]\nplugin = pretrain\ninput.tokens = text:tokens\n"
	"input.tokenizer = text:tokenizer\nn_layer = 1\nn_head = 2\nn_embd = 16\nn_ctx = 32\n"
	"steps = 4\nbatch = 1\ncontext = 8\neval_every = 0\nvalid_tokens = 256\n"
	"checkpoint_every = 1\nretries = 0\n";

/* What training takes of the device, but not validation of 32 times as much at once. */
#define LITTLE "260000"

static void write_workflow(char *path, size_t cap)
{
	FILE *file;

	(void)snprintf(path, cap, "%s/w.ini", drive_directory());
	file = fopen(path, "w");
	assert_true(file && fputs(workflow, file) >= 0 && fclose(file) == 0);
}

static void contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no '%s' in\n%s", part, text);
}

static void test_e2e_shortage__is_told_and_survived(void **state)
{
	char path[512], store[512];
	drive_result result;

	(void)state;
	write_workflow(path, sizeof(path));
	(void)snprintf(store, sizeof(store), "%s/store", drive_directory());
	assert_int_equal(setenv("CAIRN_TEST_CUDA_BYTES", LITTLE, 1), 0);
	result = drive(ARGS("--store", store, "run", path));
	if (result.status != 1)
		fail_msg("status %d\n%s", result.status, result.err);
	contains(result.err, "memory");
	contains(result.err, "bytes wanted");
	contains(result.err, "were taken at most");
	contains(result.err, "the plan expected it to need");
	contains(result.err, "micro_tokens");
	drive_free(&result);
	assert_int_equal(unsetenv("CAIRN_TEST_CUDA_BYTES"), 0);
	result = drive(ARGS("--store", store, "run", path));
	if (result.status != 0)
		fail_msg("status %d\n%s", result.status, result.err);
	contains(result.err, "resumes at step 3");
	drive_free(&result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_e2e_shortage__is_told_and_survived),
	};
	int status;

	if (setenv("CAIRN_PLUGIN_PATH", CAIRN_BUILD_DIR "/tests/kernels/cuda/plugins", 1))
		return 1;
	status = cmocka_run_group_tests(tests, NULL, NULL);
	drive_clean();
	return status;
}
