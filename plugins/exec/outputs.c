/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outputs.c - files below out/ become artifacts, once the command has ended well.
 *
 * A model is looked at here, though the stage that reads it would do so too: after days of
 * training, the place to hear that a file is missing is the stage that should have written it.
 */
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "exec.h"
#include "gpt/checkpoint.h"
#include "gpt/hf.h"

/* ---- files -------------------------------------------------------------------------------- */

static bool is_directory_name(const char *name)
{
	size_t len = strlen(name);

	return len && name[len - 1] == '/';
}

static int take_directory(const struct exec_work *work, cairn_writer *writer, const char *name)
{
	struct exec_tree tree = {0};
	cairn_text path = {0};
	int rc = exec_path(work, &path, "out/%.*s", (int)strlen(name) - 1, name);

	if (rc == 0)
		rc = exec_tree_list(&tree, work, path.data);
	for (size_t i = 0; i < tree.n && rc == 0; i++) {
		rc = exec_path(work, &path, "%s%s", name, tree.paths[i]);
		if (rc == 0)
			rc = exec_put_file(work, writer, "out",
				path.data + strlen(work->directory) + 1,
				path.data + strlen(work->directory) + 1);
	}
	exec_tree_free(&tree);
	cairn_text_free(&path);
	return rc;
}

static int take_files(const struct exec_work *work, char **names, size_t n)
{
	const cairn_host *host = work->host;
	cairn_writer *writer;
	int rc = host->output_begin(work->run, "out", &writer);

	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = is_directory_name(names[i])
			     ? take_directory(work, writer, names[i])
			     : exec_put_file(work, writer, "out", names[i], names[i]);
		if (rc)
			host->hint(work->run,
				"Let it write there, or take '%.200s' out of `outputs`.", names[i]);
	}
	return rc ? rc : host->commit(writer);
}

/* ---- models ------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && strcmp(text + len - n, end) == 0;
}

/* What of a saved directory belongs to the model: not the state of its training. */
static bool is_of_model(const char *path)
{
	return !strchr(path, '/') && (ends_with(path, ".json") || ends_with(path, ".safetensors") ||
					     ends_with(path, ".txt") || ends_with(path, ".model"));
}

static int check_model(
	const struct exec_work *work, const struct exec_tree *tree, const char *directory)
{
	bool has_config = false, has_weights = false, has_pickle = false;
	int rc = 0;

	for (size_t i = 0; i < tree->n; i++) {
		has_config |= strcmp(tree->paths[i], "config.json") == 0;
		has_weights |=
			!strchr(tree->paths[i], '/') && ends_with(tree->paths[i], ".safetensors");
		has_pickle |= ends_with(tree->paths[i], ".bin");
	}
	if (!has_config)
		rc = work->host->fail(
			work->run, CAIRN_EINPUT, "'out/%s' has no 'config.json'", directory);
	else if (!has_weights)
		rc = work->host->fail(work->run, CAIRN_EINPUT,
			"'out/%s' has no weights as '.safetensors'", directory);
	if (rc)
		work->host->hint(work->run,
			has_pickle ? "A '.bin' file is a program, not data: save with "
				     "`safe_serialization=True`."
				   : "Let the command save the model there in Hugging Face's "
				     "layout: `model.save_pretrained(\"out/%s\")`.",
			directory);
	return rc;
}

/* What `cairn plan` can tell the stages behind; also the first look at the network. */
static int put_meta(
	const struct exec_work *work, cairn_writer *writer, const char *directory, const char *port)
{
	const bool is_reward = strcmp(port, "reward") == 0;
	gpt_hf_config config;
	cairn_text path = {0}, text = {0};
	cairn_error err = {0};
	char *meta = NULL, bytes[4096];
	FILE *file = NULL;
	size_t n;
	int rc = exec_path(work, &path, "out/%s/config.json", directory);

	if (rc == 0) {
		file = fopen(path.data, "re");
		rc = file ? 0 : exec_fail_errno(work, "open", path.data);
	}
	while (file && (n = fread(bytes, 1, sizeof(bytes), file)) > 0 && text.len < (1u << 20))
		cairn_text_add_bytes(&text, bytes, n);
	if (rc == 0 && gpt_hf_config_read(&config, cairn_text_get(&text), text.len,
			       path.data + strlen(work->directory) + 1, &err) < 0) {
		cairn_error_hint(&err,
			"cairn's own stages read GPT-2. Hand a model of another kind on as files: "
			"`outputs = %.100s/` and a stage `exec` that reads them.",
			directory);
		rc = work->host->fail_with(work->run, &err);
	}
	if (rc == 0) {
		meta = gpt_model_meta(&config.config, is_reward ? GPT_HEAD_SCALAR : GPT_HEAD_LM,
			config.reward_gain, config.reward_bias);
		rc = meta ? work->host->meta(writer, meta)
			  : work->host->fail(work->run, CAIRN_ENOMEM, "no memory for a model");
	}
	if (file)
		fclose(file);
	free(meta);
	cairn_text_free(&path);
	cairn_text_free(&text);
	return rc;
}

static int take_model(const struct exec_work *work, const char *port, const char *directory)
{
	const cairn_host *host = work->host;
	struct exec_tree tree = {0};
	cairn_writer *writer;
	cairn_text path = {0};
	int rc;

	if (!directory[0])
		return 0;
	rc = exec_path(work, &path, "out/%s", directory);
	if (rc == 0)
		rc = exec_tree_list(&tree, work, path.data);
	if (rc == 0)
		rc = check_model(work, &tree, directory);
	if (rc == 0)
		rc = host->output_begin(work->run, port, &writer);
	for (size_t i = 0; i < tree.n && rc == 0; i++) {
		if (is_of_model(tree.paths[i]))
			rc = exec_put_file(work, writer, path.data + strlen(work->directory) + 1,
				tree.paths[i], tree.paths[i]);
	}
	if (rc == 0)
		rc = put_meta(work, writer, directory, port);
	if (rc == 0)
		rc = host->commit(writer);
	exec_tree_free(&tree);
	cairn_text_free(&path);
	return rc;
}

int exec_take_outputs(const struct exec_work *work)
{
	size_t n;
	char **names = exec_split_names(work->params->outputs, &n);
	int rc;

	if (!names)
		return work->host->fail(
			work->run, CAIRN_ENOMEM, "no memory for the names of outputs");
	rc = n ? take_files(work, names, n) : 0;
	exec_free_names(names);
	if (rc == 0)
		rc = take_model(work, "model", work->params->model);
	if (rc == 0)
		rc = take_model(work, "reward", work->params->reward);
	return rc;
}
