/* SPDX-License-Identifier: Apache-2.0 */
/* score.c - unit tests of the score tool: against the network itself, and against PyTorch's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "fakeio.h"
#include "gpt/oracle_file.h"

static struct fakehost *make(enum gpt_head head)
{
	struct fakehost *host = fakehost_new_tool("model", "score");

	tools_model(host, "model", head);
	return host;
}

/* The tool's answers; caller frees. */
static char *answers(struct fakehost *host, const char *in, const char *text, int code)
{
	fakeio io;
	char *out;

	fakeio_init(&io, in);
	assert_int_equal(fakeio_run(host, &io, text), code);
	out = strdup(cairn_text_get(&io.out));
	fakeio_free(&io);
	return out;
}

/* What a text of these tokens must get: log-probabilities, or raw values, by a pass of its own. */
static void expected(enum gpt_head head, const int32_t *ids, int32_t n, cairn_real *out)
{
	gpt_model *model = tools_new_model(head);
	int32_t target[32];
	cairn_error err = {0};
	gpt_batch batch = {.B = 1, .T = head == GPT_HEAD_LM ? n - 1 : n, .tokens = ids};

	for (int32_t t = 0; t + 1 < n; t++)
		target[t] = ids[t + 1];
	assert_int_equal(gpt_forward(model, &batch, &err), 0);
	if (head == GPT_HEAD_LM)
		assert_int_equal(gpt_logprobs(model, target, 1, out, NULL, &err), 0);
	else
		assert_int_equal(gpt_values(model, out, &err), 0);
	gpt_model_free(model);
}

/* One row of answers: its log-probabilities, or its reward, are these bits. */
static void check_row(enum gpt_head head, const char **at, const int32_t *ids, int32_t n)
{
	size_t len = strcspn(*at, "\n");
	json_t *row = json_loadb(*at, len, 0, NULL), *list = json_object_get(row, "logprobs");
	cairn_real want[32];

	assert_non_null(row);
	expected(head, ids, n, want);
	if (head == GPT_HEAD_SCALAR) {
		double reward = 1.5 * (double)want[n - 1] - .25;

		assert_true(json_real_value(json_object_get(row, "reward")) == reward);
	} else {
		assert_int_equal(json_array_size(list), n);
		assert_true(json_is_null(json_array_get(list, 0)));
		for (int32_t j = 1; j < n; j++) {
			const json_t *value = json_array_get(list, (size_t)j);

			assert_true(json_is_real(value));
			assert_true((float)json_real_value(value) == (float)want[j - 1]);
		}
	}
	json_decref(row);
	*at += len + 1;
}

static const char rows[] = "{\"ids\":[1,2,3,4,5,6,7,8,9,10,11,12],\"id\":\"a\"}\n"
			   "{\"ids\":[5,5]}\n"
			   "{\"ids\":[200,271,0,3],\"more\":{\"x\":1}}\n"
			   "{\"ids\":[9,8,7,6,5]}\n";

static void test_tools_score__gives_the_networks_bits(void **state)
{
	static const int32_t a[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, b[] = {5, 5},
			     c[] = {200, 271, 0, 3}, d[] = {9, 8, 7, 6, 5};

	(void)state;
	for (enum gpt_head head = GPT_HEAD_LM; head <= GPT_HEAD_SCALAR; head++) {
		struct fakehost *host = make(head);
		char *out = answers(host, rows, NULL, CAIRN_DONE);
		const char *at = out;

		assert_int_equal(strncmp(out, "{\"id\":\"a\",", 10), 0);
		assert_non_null(strstr(out, "{\"more\":{\"x\":1},"));
		check_row(head, &at, a, 12);
		check_row(head, &at, b, 2);
		check_row(head, &at, c, 4);
		check_row(head, &at, d, 5);
		assert_string_equal(at, "");
		free(out);
		fakehost_free(host);
	}
}

static void test_tools_score__batch_changes_nothing(void **state)
{
	static const char *const params[] = {
		"batch=1", "batch=2", "batch=3", "micro_tokens=1", "micro_tokens=13"};

	(void)state;
	for (enum gpt_head head = GPT_HEAD_LM; head <= GPT_HEAD_SCALAR; head++) {
		struct fakehost *host = make(head);
		char *want = answers(host, rows, NULL, CAIRN_DONE);

		for (size_t i = 0; i < CAIRN_COUNT(params); i++) {
			char *got;

			fakehost_param(host, params[i]);
			got = answers(host, rows, NULL, CAIRN_DONE);
			assert_string_equal(got, want);
			free(got);
		}
		free(want);
		fakehost_free(host);
	}
}

/* With batch 1 a program can ask, wait and ask again. */
static void test_tools_score__answers_at_once(void **state)
{
	struct fakehost *host = make(GPT_HEAD_SCALAR);
	const char *at;
	size_t n = 0;
	fakeio io;

	(void)state;
	fakehost_param(host, "batch=1");
	fakeio_init(&io, rows);
	assert_int_equal(fakeio_run(host, &io, NULL), CAIRN_DONE);
	for (at = strstr(cairn_text_get(&io.marks), "}\n|"); at; at = strstr(at + 1, "}\n|"))
		n++;
	assert_int_equal(n, 4);
	fakeio_free(&io);
	fakehost_free(host);
}

static void test_tools_score__reads_text(void **state)
{
	struct fakehost *host = make(GPT_HEAD_LM);
	gpt_tokenizer *tokenizer = tools_new_tokenizer();
	char *out, *again;
	const char *at;
	cairn_error err = {0};
	int32_t *ids;
	size_t n;

	(void)state;
	assert_int_equal(gpt_tokenizer_encode(tokenizer, "the cat!", 8, &ids, &n, &err), 0);
	out = answers(host, "{\"text\":\"the cat!\"}\n{\"text\":\"\"}\n{\"ids\":[3]}\n", NULL,
		CAIRN_DONE);
	at = out;
	check_row(GPT_HEAD_LM, &at, ids, (int32_t)n);
	assert_string_equal(at, "{\"logprobs\":[]}\n{\"logprobs\":[null]}\n");
	again = answers(host, NULL, "the cat!", CAIRN_DONE);
	assert_int_equal(strncmp(out, again, strlen(again)), 0);
	free(ids);
	free(out);
	free(again);
	gpt_tokenizer_free(tokenizer);
	fakehost_free(host);
}

static void test_tools_score__reads_prompt_and_completion(void **state)
{
	gpt_tokenizer *tokenizer = tools_new_tokenizer();
	int32_t *prompt, *completion, ids[20], n = 0;
	size_t n_prompt, n_completion;
	cairn_error err = {0};

	(void)state;
	assert_int_equal(gpt_tokenizer_encode(tokenizer, "the ", 4, &prompt, &n_prompt, &err), 0);
	assert_int_equal(
		gpt_tokenizer_encode(tokenizer, "cat", 3, &completion, &n_completion, &err), 0);
	for (size_t i = 0; i < n_prompt; i++)
		ids[n++] = prompt[i];
	for (size_t i = 0; i < n_completion; i++)
		ids[n++] = completion[i];
	ids[n++] = gpt_tokenizer_end(tokenizer);
	for (enum gpt_head head = GPT_HEAD_LM; head <= GPT_HEAD_SCALAR; head++) {
		struct fakehost *host = make(head);
		char *out = answers(host,
			"{\"prompt\":\"the \",\"completion\":\"cat\"}\n"
			"{\"prompt\":\"the \",\"completion\":\"cat\",\"ended\":false}\n"
			"{\"prompt\":\"\",\"completion\":\"cat\"}\n",
			NULL, CAIRN_DONE);
		const char *at = out;
		char mark[40];

		(void)snprintf(mark, sizeof(mark), "{\"prompt_tokens\":%zu,", n_prompt);
		assert_int_equal(strncmp(out, mark, strlen(mark)), 0);
		check_row(head, &at, ids, n);
		check_row(head, &at, ids, n - 1);
		ids[n_prompt - 1] = ids[n - 1]; /* an empty prompt is an end token */
		assert_int_equal(strncmp(at, "{\"prompt_tokens\":1,", 19), 0);
		check_row(head, &at, ids + n_prompt - 1, n - (int32_t)n_prompt + 1);
		ids[n_prompt - 1] = prompt[n_prompt - 1];
		free(out);
		fakehost_free(host);
	}
	free(prompt);
	free(completion);
	gpt_tokenizer_free(tokenizer);
}

static void refuses(enum gpt_head head, const char *in, const char *message, const char *place)
{
	struct fakehost *host = make(head);
	char *out = answers(host, in, NULL, CAIRN_EINPUT);

	assert_string_equal(fakehost_error(host)->message, message);
	assert_string_equal(fakehost_error(host)->place, place);
	free(out);
	fakehost_free(host);
}

static void test_tools_score__names_the_line_of_a_mistake(void **state)
{
	struct fakehost *host = make(GPT_HEAD_LM);
	char long_row[200] = "{\"ids\":[1", *out;

	(void)state;
	for (int i = 1; i < 25; i++)
		strcat(long_row, ",1");
	strcat(long_row, "]}\n");
	/* 25 tokens: 24 are read, the last is only predicted. */
	out = answers(host, long_row, NULL, CAIRN_DONE);
	free(out);
	refuses(GPT_HEAD_SCALAR, long_row, "row of 25 tokens is too long for a model of n_ctx = 24",
		"stdin, line 1");
	memcpy(strchr(long_row, ']'), ",1]}\n", 6);
	refuses(GPT_HEAD_LM, long_row, "row of 26 tokens is too long for a model of n_ctx = 24",
		"stdin, line 1");
	refuses(GPT_HEAD_SCALAR, "{\"ids\":[]}", "row has no token to reward", "stdin, line 1");
	refuses(GPT_HEAD_LM, "{\"ids\":[1]}\n{\"ids\":[1],\"text\":\"a\"}\n",
		"row needs one of 'ids', 'text' and 'prompt' with 'completion'", "stdin, line 2");
	refuses(GPT_HEAD_LM, "{}", "row needs one of 'ids', 'text' and 'prompt' with 'completion'",
		"stdin, line 1");
	refuses(GPT_HEAD_LM, "{\"prompt\":\"a\"}", "row has no 'completion'", "stdin, line 1");
	refuses(GPT_HEAD_LM, "{\"completion\":\"a\"}", "row has no 'prompt'", "stdin, line 1");
	refuses(GPT_HEAD_LM, "{\"ids\":[272]}", "'ids' has at place 0 no token of 0..271",
		"stdin, line 1");
	/* The rows before it are answered, whatever the batch. */
	out = answers(host, "{\"ids\":[1]}\n{\"ids\":[2]}\n{\n", NULL, CAIRN_EINPUT);
	assert_string_equal(out, "{\"logprobs\":[null]}\n{\"logprobs\":[null]}\n");
	free(out);
	fakehost_free(host);
}

/* Logits of PyTorch in double, for the directory as Hugging Face has it. */
static void test_tools_score__agrees_with_pytorch(void **state)
{
	enum {
		B = 3,
		T = 12,
		V = 31
	};
	static const char *const files[] = {"config.json", "model.safetensors", NULL};
	struct fakehost *host = fakehost_new_tool("model", "score");
	char path[1024], in[1000] = "", *out;
	double *tokens, *logits;
	oracle_file *oracle;
	const char *at;
	size_t n, len = 0;

	(void)state;
	tools_data_directory(host, "model", "gpt2-oracle", files);
	data_path(path, sizeof(path), "gpt2-oracle/sft.safetensors");
	oracle = oracle_open(path);
	assert_non_null(oracle);
	tokens = oracle_get(oracle, "tokens", &n);
	assert_int_equal(n, B * T);
	logits = oracle_get(oracle, "logits", &n);
	assert_int_equal(n, B * T * V);
	for (int r = 0; r < B * T; r++)
		len += (size_t)snprintf(in + len, sizeof(in) - len, "%s%d%s",
			r % T ? "," : "{\"ids\":[", (int)tokens[r], r % T == T - 1 ? "]}\n" : "");
	out = answers(host, in, NULL, CAIRN_DONE);
	at = out;
	for (int b = 0; b < B; b++, at += strcspn(at, "\n") + 1) {
		json_t *row = json_loadb(at, strcspn(at, "\n"), 0, NULL);
		json_t *list = json_object_get(row, "logprobs");

		assert_int_equal(json_array_size(list), T);
		for (int t = 0; t + 1 < T; t++) {
			const double *at_t = logits + (b * T + t) * V;
			double sum = 0, want;

			for (int v = 0; v < V; v++)
				sum += exp(at_t[v]);
			want = at_t[(int)tokens[b * T + t + 1]] - log(sum);
			assert_true(fabs(json_real_value(json_array_get(list, (size_t)t + 1)) -
					    want) < 1e-5);
		}
		json_decref(row);
	}
	free(tokens);
	free(logits);
	free(out);
	oracle_close(oracle);
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tools_score__gives_the_networks_bits),
		cmocka_unit_test(test_tools_score__batch_changes_nothing),
		cmocka_unit_test(test_tools_score__answers_at_once),
		cmocka_unit_test(test_tools_score__reads_text),
		cmocka_unit_test(test_tools_score__reads_prompt_and_completion),
		cmocka_unit_test(test_tools_score__names_the_line_of_a_mistake),
		cmocka_unit_test(test_tools_score__agrees_with_pytorch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
