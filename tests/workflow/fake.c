/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include <dirent.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The struct that the parameters of 'sft' and 'wide' describe. */
struct sft_params {
	int64_t epochs, log_every, micro;
	double lr, dropout, warmup;
	uint64_t buffer;
	const char *template;
	int32_t schedule, mask;
};

static const cairn_param sft_params[] = {
	{.name = "epochs",
		.doc = "Passes over the data.",
		.type = CAIRN_PARAM_INT,
		.offset = offsetof(struct sft_params, epochs),
		.fallback = "16",
		.min = 1,
		.max = 1000,
		.unit = "epochs"},
	{.name = "lr",
		.doc = "Highest learning rate.",
		.type = CAIRN_PARAM_REAL,
		.offset = offsetof(struct sft_params, lr),
		.fallback = "9.65e-6",
		.min = 0,
		.max = 1},
	{.name = "dropout",
		.doc = "On residual branches.",
		.type = CAIRN_PARAM_REAL,
		.offset = offsetof(struct sft_params, dropout),
		.fallback = "0.2",
		.min = 0,
		.max = 1},
	{.name = "schedule",
		.doc = "Of the learning rate.",
		.type = CAIRN_PARAM_ENUM,
		.offset = offsetof(struct sft_params, schedule),
		.fallback = "cosine",
		.choices = "none|linear|cosine"},
	{.name = "mask",
		.doc = "Train on the answer only.",
		.type = CAIRN_PARAM_BOOL,
		.offset = offsetof(struct sft_params, mask),
		.fallback = "yes"},
	{.name = "template",
		.doc = "Between prompt and answer.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(struct sft_params, template),
		.fallback = "\\n\\n"},
	{.name = "buffer",
		.doc = "Bytes read ahead.",
		.type = CAIRN_PARAM_SIZE,
		.offset = offsetof(struct sft_params, buffer),
		.fallback = "64K"},
	{.name = "warmup",
		.doc = "Time before full speed.",
		.type = CAIRN_PARAM_DURATION,
		.offset = offsetof(struct sft_params, warmup),
		.fallback = "1m"},
	{.name = "log_every",
		.doc = "Steps between lines.",
		.type = CAIRN_PARAM_INT,
		.flags = CAIRN_PARAM_NEUTRAL,
		.offset = offsetof(struct sft_params, log_every),
		.fallback = "10",
		.min = 1},
	{.name = "micro",
		.doc = "Tokens of a pass.",
		.type = CAIRN_PARAM_INT,
		.flags = CAIRN_PARAM_NEUTRAL | CAIRN_PARAM_CUTS,
		.offset = offsetof(struct sft_params, micro),
		.fallback = "0"},
};

static const cairn_param rm_params[] = {
	{.name = "group", .doc = "Whose rankings to learn from.", .type = CAIRN_PARAM_STRING},
	{.name = "utility",
		.doc = "Of simulated labelers.",
		.type = CAIRN_PARAM_STRING,
		.offset = 8,
		.fallback = ""},
};

static const cairn_param ppo_params[] = {
	{.name = "kl_coef",
		.doc = "Weight of the KL penalty.",
		.type = CAIRN_PARAM_REAL,
		.fallback = "0.02",
		.min = 0,
		.max = INFINITY},
};

#define MANY     CAIRN_PORT_MANY
#define OPTIONAL CAIRN_PORT_OPTIONAL

static const cairn_port text_in[] = {{.name = "files", .kind = "file", .flags = MANY}};
static const cairn_port text_out[] = {{.name = "text", .kind = "text"}};
static const cairn_port demo_out[] = {
	{.name = "train", .kind = "dataset/demo"}, {.name = "valid", .kind = "dataset/demo"}};
static const cairn_port ranking_out[] = {{.name = "train", .kind = "dataset/ranking"}};
static const cairn_port pretrain_in[] = {{.name = "text", .kind = "text"}};
static const cairn_port pretrain_out[] = {
	{.name = "model", .kind = "model/lm"}, {.name = "tokenizer", .kind = "tokenizer"}};
static const cairn_port sft_in[] = {
	{.name = "base", .kind = "model/lm"}, {.name = "demos", .kind = "dataset/demo"}};
static const cairn_port sft_out[] = {
	{.name = "model", .kind = "model/lm"}, {.name = "report", .kind = "report"}};
static const cairn_port rm_in[] = {{.name = "init", .kind = "model/lm"},
	{.name = "rankings", .kind = "dataset/ranking", .flags = MANY}};
static const cairn_port rm_out[] = {{.name = "model", .kind = "model/reward"}};
static const cairn_port ppo_in[] = {{.name = "policy", .kind = "model/lm"},
	{.name = "reward", .kind = "model/reward"},
	{.name = "prompts", .kind = "dataset/prompt|dataset/demo", .flags = OPTIONAL}};
static const cairn_port ppo_out[] = {{.name = "model", .kind = "model/lm"}};
static const cairn_port eval_in[] = {
	{.name = "models", .kind = "model/lm|model/reward", .flags = MANY},
	{.name = "logs", .kind = "metrics", .flags = MANY | OPTIONAL}};
static const cairn_port eval_out[] = {{.name = "report", .kind = "report"}};
static const cairn_port node_in[] = {{.name = "in", .kind = "file", .flags = MANY | OPTIONAL}};
static const cairn_port node_out[] = {{.name = "out", .kind = "file"}};

#define PARAMS(table)  .params = (table), .n_params = CAIRN_COUNT(table)
#define INPUTS(table)  .inputs = (table), .n_inputs = CAIRN_COUNT(table)
#define OUTPUTS(table) .outputs = (table), .n_outputs = CAIRN_COUNT(table)

static const cairn_plugin_info plugins[] = {
	{.name = "demo", .version = "1.0", INPUTS(text_in), OUTPUTS(demo_out)},
	{.name = "eval", .version = "1.0", INPUTS(eval_in), OUTPUTS(eval_out)},
	{.name = "node", .version = "1.0", INPUTS(node_in), OUTPUTS(node_out)},
	{.name = "ppo",
		.version = "1.0",
		PARAMS(ppo_params),
		.params_size = 8,
		INPUTS(ppo_in),
		OUTPUTS(ppo_out),
		.capabilities = CAIRN_NEEDS_KERNELS},
	{.name = "pretrain", .version = "1.0", INPUTS(pretrain_in), OUTPUTS(pretrain_out)},
	{.name = "ranking", .version = "1.0", INPUTS(text_in), OUTPUTS(ranking_out)},
	{.name = "rm",
		.version = "1.0",
		PARAMS(rm_params),
		.params_size = 16,
		INPUTS(rm_in),
		OUTPUTS(rm_out)},
	{.name = "sft",
		.version = "1.0",
		PARAMS(sft_params),
		.params_size = sizeof(struct sft_params),
		INPUTS(sft_in),
		OUTPUTS(sft_out),
		.capabilities = CAIRN_NEEDS_KERNELS | CAIRN_CAN_CHECKPOINT,
		.has_check = true},
	{.name = "text", .version = "1.0", INPUTS(text_in), OUTPUTS(text_out)},
	{.name = "wide",
		.version = "1.0",
		PARAMS(sft_params),
		.params_size = sizeof(struct sft_params),
		INPUTS(node_in),
		OUTPUTS(node_out)},
};

static size_t n_found, n_checked;

static const cairn_plugin_info *find(cairn_registry *self, const char *name, cairn_error *err)
{
	(void)self;
	n_found++;
	for (size_t i = 0; i < CAIRN_COUNT(plugins); i++) {
		if (strcmp(plugins[i].name, name) == 0)
			return &plugins[i];
	}
	cairn_error_set(err, CAIRN_ENOTFOUND, "unknown plugin '%s'", name);
	return NULL;
}

static size_t names(cairn_registry *self, const char *const **out)
{
	static const char *all[CAIRN_COUNT(plugins)];

	(void)self;
	for (size_t i = 0; i < CAIRN_COUNT(plugins); i++)
		all[i] = plugins[i].name;
	*out = all;
	return CAIRN_COUNT(plugins);
}

static int check(cairn_registry *self, const cairn_plugin_info *plugin, const char *const *values,
	cairn_error *err)
{
	struct sft_params p = {0};

	(void)self;
	n_checked++;
	if (cairn_param_fill(plugin->params, plugin->n_params, values, &p, err) < 0)
		return err->code;
	if (p.dropout == 1) {
		cairn_error_set(err, CAIRN_EPARAM, "dropout of 1 leaves nothing to train");
		cairn_error_hint(err, "Give less, e.g. 0.2.");
		return CAIRN_EPARAM;
	}
	return 0;
}

cairn_registry *fake_registry(void)
{
	static cairn_registry registry = {.find = find, .names = names, .check = check};

	return &registry;
}

size_t fake_found(void)
{
	return n_found;
}

size_t fake_checked(void)
{
	return n_checked;
}

/* ---- files ------------------------------------------------------------------------------ */

static char directory[64];

int fake_enter(void **state)
{
	(void)state;
	cairn_copy(directory, sizeof(directory), "/tmp/cairn-workflow-XXXXXX");
	if (!mkdtemp(directory) || chdir(directory) < 0 || mkdir("data", 0700) < 0)
		return -1;
	fake_write("data/a.txt", "a\n");
	fake_write("data/b.txt", "b\n");
	return 0;
}

static int remove_files_of(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
	return closedir(dir);
}

int fake_leave(void **state)
{
	(void)state;
	remove_files_of("data");
	remove_files_of(".");
	return rmdir("data") < 0 || chdir("/") < 0 || rmdir(directory) < 0 ? -1 : 0;
}

void fake_write_bytes(const char *path, const void *bytes, size_t len)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

void fake_write(const char *path, const char *text)
{
	fake_write_bytes(path, text, strlen(text));
}

/* ---- loading ---------------------------------------------------------------------------- */

static void render(cairn_text *out, const cairn_error *err)
{
	cairn_text_printf(out, "error: %s\n", err->message);
	if (err->place[0])
		cairn_text_printf(out, "  at %s\n", err->place);
	if (err->detail[0])
		cairn_text_printf(out, "detail: %s\n", err->detail);
	if (err->hint[0])
		cairn_text_printf(out, "hint: %s\n", err->hint);
}

void fake_mistakes(cairn_text *out, const cairn_override *overrides, size_t n)
{
	cairn_workflow *workflow = NULL;
	cairn_errors errors = {0};
	int rc = cairn_workflow_load(&workflow, "t.ini", overrides, n, fake_registry(), &errors);

	cairn_text_clear(out);
	for (size_t i = 0; i < errors.n; i++)
		render(out, &errors.items[i]);
	assert_true((rc == 0) == (errors.n == 0));
	cairn_errors_free(&errors);
	cairn_workflow_free(workflow);
}

void fake_check_case(const struct fake_case *c)
{
	cairn_text told = {0};

	fake_write("t.ini", c->ini);
	fake_mistakes(&told, &c->override, c->override.name != NULL);
	if (strcmp(cairn_text_get(&told), c->told) != 0)
		fail_msg("%s: told\n%s\nrather than\n%s", c->name, cairn_text_get(&told), c->told);
	cairn_text_free(&told);
}

cairn_workflow *fake_load_with(const char *text, const cairn_override *overrides, size_t n)
{
	cairn_workflow *workflow = NULL;
	cairn_errors errors = {0};
	cairn_text told = {0};

	fake_write("t.ini", text);
	if (cairn_workflow_load(&workflow, "t.ini", overrides, n, fake_registry(), &errors) < 0) {
		for (size_t i = 0; i < errors.n; i++)
			render(&told, &errors.items[i]);
		fail_msg("%s", cairn_text_get(&told));
	}
	cairn_errors_free(&errors);
	cairn_text_free(&told);
	return workflow;
}

cairn_workflow *fake_load(const char *text)
{
	return fake_load_with(text, NULL, 0);
}

const char *fake_value(const cairn_workflow *workflow, const char *instance, const char *param)
{
	const cairn_instance *found = cairn_workflow_find(workflow, instance, NULL);

	assert_non_null(found);
	for (uint64_t i = 0; i < found->plugin->n_params; i++) {
		if (strcmp(found->values[i].param->name, param) == 0)
			return found->values[i].text;
	}
	fail_msg("no parameter %s", param);
	return NULL;
}
