/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.c - what the command calls a checkpoint, a file or a directory, as one of ours.
 *
 * The command wrote it and then told of it, so it is complete; once it is taken it is removed, so
 * that a long training does not fill the scratch directory with what the store has anyway.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "exec.h"

#define RESUME "resume"

/* 1: what the command told of cannot be taken. */
static int refuse(const struct exec_work *work, const char *path, const char *why)
{
	work->host->log(work->run, CAIRN_LOG_WARNING,
		"checkpoint '%.200s' of the command was not taken: %s", path, why);
	return 1;
}

static int commit(const struct exec_work *work, uint64_t step, const struct exec_tree *tree,
	const char *directory)
{
	cairn_writer *writer;
	int rc = work->host->checkpoint_begin(work->run, step, &writer);

	for (size_t i = 0; i < tree->n && rc == 0; i++)
		rc = exec_put_file(work, writer, directory, tree->paths[i], tree->paths[i]);
	return rc ? rc : work->host->commit(writer);
}

static int take_directory(struct exec_work *work, uint64_t step, const char *path, const char *full)
{
	struct exec_tree tree = {0};
	int rc = exec_tree_list(&tree, work, full);

	if (rc)
		return rc;
	for (size_t i = 0; i < tree.n && rc == 0; i++) {
		if (!exec_is_safe(tree.paths[i]))
			rc = refuse(work, path, "a path in it is over 200 bytes");
	}
	if (rc == 0)
		rc = tree.n ? commit(work, step, &tree, path) : refuse(work, path, "it is empty");
	exec_tree_free(&tree);
	return rc;
}

static int take_file(struct exec_work *work, uint64_t step, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	cairn_writer *writer;
	int rc = work->host->checkpoint_begin(work->run, step, &writer);

	if (rc == 0)
		rc = exec_put_file(work, writer, ".", path, name);
	return rc ? rc : work->host->commit(writer);
}

int exec_take_checkpoint(struct exec_work *work, uint64_t step, const char *path)
{
	size_t len = strlen(work->directory);
	cairn_text full = {0};
	struct stat st;
	int rc;

	if (strncmp(path, work->directory, len) == 0 && path[len] == '/')
		path += len + 1;
	if (!exec_is_safe(path))
		return refuse(work, path, "give a path inside of the command's directory");
	rc = exec_path(work, &full, "%s", path);
	if (rc)
		return rc;
	if (lstat(full.data, &st) < 0)
		rc = refuse(work, path, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		rc = take_directory(work, step, path, full.data);
	else if (S_ISREG(st.st_mode))
		rc = take_file(work, step, path);
	else
		rc = refuse(work, path, "it is neither a file nor a directory");
	if (rc == 0)
		exec_remove(full.data);
	cairn_text_free(&full);
	return rc;
}

int exec_put_resume(struct exec_work *work)
{
	cairn_artifact checkpoint;
	int rc = work->host->resume(work->run, &checkpoint, &work->resumed);

	if (rc <= 0)
		return rc;
	work->has_resume = true;
	work->step = work->resumed;
	return exec_put_artifact(work, &checkpoint, RESUME);
}
