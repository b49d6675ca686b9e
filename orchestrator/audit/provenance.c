/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provenance.c - the state of the code that a run was started from, by libgit2.
 *
 * The identity of a work tree is its *tree id*: that of a commit changes with the clock, that
 * of a patch with the diff algorithm. A clean work tree is its HEAD's tree, and nothing is
 * copied. Otherwise the tree is put together as `git add -A && git write-tree` would, but from
 * an index in memory and into an object database of ours:
 *
 *   STORE/code.git/objects   loose objects, the only backend that is written
 *   user's objects           an alternate: read, never written, never touched (freshen is off)
 *
 * So it holds the blobs and trees that HEAD lacks, under refs/trees/<tree id>; plain git reads
 * them with GIT_ALTERNATE_OBJECT_DIRECTORIES set to the user's objects. The patch HEAD -> tree
 * becomes an artifact, which is what survives on its own. Nobody fsyncs code.git: what it holds can
 * be made again from HEAD and the patch.
 *
 * Whatever goes wrong is a reason in the record, not an error: a run never fails for it.
 * This is the only file that knows libgit2.
 */
#include "audit/provenance.h"

#include <git2.h>
#include <git2/sys/odb_backend.h>
#include <git2/sys/repository.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/record.h"
#include "base/alloc.h"
#include "base/text.h"

/* What is larger than this is data, not code: listed with its size, not stored. */
#define MAX_FILE_BYTES  (20u << 20)
#define MAX_TOTAL_BYTES (64u << 20)
#define MAX_FILES       20000u
#define MAX_LISTED      1000u
#define MAX_NESTING     3

#define EMPTY_TREE "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

typedef struct work {
	cairn_store *store;
	git_repository *repo;
	const char *root; /* of the work tree, with a trailing slash */
	int depth;
	git_oid head, head_oid_tree, tree;
	git_tree *head_tree; /* NULL where HEAD is unborn */
	git_diff *diff;      /* HEAD -> work tree */
	git_index *index;    /* in memory: becomes the tree */
	json_t *skipped, *nested;
	size_t n_skipped, n_files;
	uint64_t bytes;
} work;

static json_t *oid_text(const git_oid *oid)
{
	char text[GIT_OID_HEXSZ + 1];

	return json_string(git_oid_tostr(text, sizeof(text), oid));
}

static const char *last_message(void)
{
	const git_error *error = git_error_last();

	return error && error->message ? error->message : "libgit2 gives no reason";
}

static json_t *unavailable(const char *reason, const char *hint)
{
	return json_pack("{s:b, s:o, s:o}", "available", 0, "reason", cairn_record_text(reason),
		"hint", cairn_record_text(hint));
}

/* ---- opening ------------------------------------------------------------------------ */

/* Process-wide. libgit2 refuses a repository that names an extension it does not know; these two
 * change nothing in what we read. */
static void set_up_libgit2(void)
{
	static const char *extensions[] = {"worktreeconfig", "partialclone"};

	git_libgit2_init();
	git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, extensions, CAIRN_COUNT(extensions));
}

static pthread_once_t libgit2_once = PTHREAD_ONCE_INIT;

static bool has(const char *directory, size_t len, const char *name)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%.*s/%s", (int)len, directory, name);

	return n > 0 && n < (int)sizeof(path) && access(path, F_OK) == 0;
}

/* May libgit2 find a repository here or above? If not, it need not be asked: it takes longer to
 * begin than all else that a run does. */
static bool is_in_sight(const char *directory)
{
	char path[PATH_MAX];
	size_t len;

	if (getenv("GIT_DIR") || !realpath(directory, path))
		return true;
	for (len = strlen(path);; len--) {
		if (has(path, len, ".git") || (has(path, len, "HEAD") && has(path, len, "objects")))
			return true;
		while (len > 0 && path[len - 1] != '/')
			len--;
		if (len == 0)
			return false;
	}
}

static const char *or_here(const char *directory)
{
	return directory && *directory ? directory : ".";
}

static void *prepare(void *unused)
{
	(void)unused;
	pthread_once(&libgit2_once, set_up_libgit2);
	return NULL;
}

void cairn_provenance_prepare(const char *directory)
{
	sigset_t all, before;
	pthread_t thread;

	if (!is_in_sight(or_here(directory)))
		return;
	sigfillset(&all); /* signals are for the threads of the caller */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, prepare, NULL) == 0)
		pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static json_t *no_repository(void)
{
	return unavailable("not inside a git repository",
		"Run `git init` beside the workflow to have the code recorded with each run.");
}

/* A repository of another user comes as GIT_EOWNER (-36), or in 1.5 as GIT_ENOTFOUND of a
 * configuration value where no safe.directory is set at all. */
static json_t *explain_open_failure(int rc, const char *directory)
{
	const git_error *error = git_error_last();
	bool is_config = error && error->klass == GIT_ERROR_CONFIG;
	cairn_text reason = {0}, hint = {0};
	char real[PATH_MAX];
	json_t *json;

	if (rc == GIT_EOWNER || (rc == GIT_ENOTFOUND && is_config)) {
		git_buf found = {0};
		const char *owned = realpath(directory, real) ? real : directory;
		if (git_repository_discover(&found, directory, 0, NULL) == 0) {
			size_t len = strlen(found.ptr);
			if (len > 6 && strcmp(found.ptr + len - 6, "/.git/") == 0)
				found.ptr[len - 6] = '\0';
			owned = found.ptr;
		}
		cairn_text_printf(&reason, "the git repository belongs to another user");
		cairn_text_printf(&hint,
			"If you trust it, run `git config --global --add safe.directory %s`.",
			owned);
		git_buf_dispose(&found);
	} else if (rc == GIT_ENOTFOUND) {
		json = no_repository();
		goto out;
	} else {
		cairn_text_printf(&reason, "%s", last_message());
		cairn_text_printf(
			&hint, "libgit2 %s cannot read this repository.", LIBGIT2_VERSION);
	}
	json = unavailable(cairn_text_get(&reason), cairn_text_get(&hint));
out:
	cairn_text_free(&reason);
	cairn_text_free(&hint);
	return json;
}

/* The store may lie in the work tree; it is never part of the code. The rule is in memory. */
static int ignore_store(const work *w)
{
	cairn_text rule = {0};
	char root[PATH_MAX], store[PATH_MAX];
	size_t len;
	int rc;

	if (!w->store || !realpath(w->root, root) || !realpath(cairn_store_path(w->store), store))
		return 0;
	len = strlen(root);
	if (strncmp(store, root, len) != 0 || store[len] != '/')
		return 0;
	for (const char *c = store + len; *c; c++) {
		if (strchr("*?[]\\ !#", *c))
			cairn_text_add_char(&rule, '\\');
		cairn_text_add_char(&rule, *c);
	}
	cairn_text_add(&rule, "/\n");
	rc = rule.failed ? -1 : git_ignore_add_rule(w->repo, cairn_text_get(&rule));
	cairn_text_free(&rule);
	return rc;
}

/* code.git in front, the user's objects behind, and no backend that touches what exists. */
static int use_own_objects(work *w)
{
	cairn_text path = {0};
	git_repository *own = NULL;
	git_buf theirs = {0};
	git_odb *odb = NULL;
	int rc;

	cairn_text_printf(&path, "%s/code.git", cairn_store_path(w->store));
	if ((rc = git_repository_init(&own, cairn_text_get(&path), 1)) < 0)
		goto out;
	if ((rc = git_repository_item_path(&theirs, w->repo, GIT_REPOSITORY_ITEM_OBJECTS)) < 0)
		goto out;
	cairn_text_add(&path, "/objects");
	if ((rc = git_odb_open(&odb, cairn_text_get(&path))) < 0)
		goto out;
	if ((rc = git_odb_add_disk_alternate(odb, theirs.ptr)) < 0)
		goto out;
	for (size_t i = 0; i < git_odb_num_backends(odb); i++) {
		git_odb_backend *backend;
		if (git_odb_get_backend(&backend, odb, i) == 0)
			backend->freshen = NULL;
	}
	rc = git_repository_set_odb(w->repo, odb);
out:
	git_odb_free(odb);
	git_buf_dispose(&theirs);
	git_repository_free(own);
	cairn_text_free(&path);
	return rc;
}

/* ---- what changed --------------------------------------------------------------------- */

/* HEAD's commit and tree; both stay zero where HEAD is unborn. */
static int read_head(work *w)
{
	git_reference *head = NULL;
	git_commit *commit = NULL;
	git_object *object = NULL;
	int rc = git_repository_head(&head, w->repo);

	if (rc == GIT_EUNBORNBRANCH || rc == GIT_ENOTFOUND)
		return 0;
	if (rc == 0)
		rc = git_reference_peel(&object, head, GIT_OBJECT_COMMIT);
	if (rc == 0) {
		commit = (git_commit *)object;
		git_oid_cpy(&w->head, git_commit_id(commit));
		rc = git_commit_tree(&w->head_tree, commit);
	}
	if (rc == 0)
		git_oid_cpy(&w->head_oid_tree, git_tree_id(w->head_tree));
	git_object_free(object);
	git_reference_free(head);
	return rc;
}

static int find_changes(work *w)
{
	git_diff_options options;

	git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
	/* No GIT_DIFF_UPDATE_INDEX: the user's index is only read. */
	options.flags = GIT_DIFF_INCLUDE_UNTRACKED | GIT_DIFF_RECURSE_UNTRACKED_DIRS |
			GIT_DIFF_INCLUDE_TYPECHANGE;
	return git_diff_tree_to_workdir_with_index(&w->diff, w->repo, w->head_tree, &options);
}

static int skip(work *w, const char *path, uint64_t bytes, const char *why)
{
	json_t *one;

	if (w->n_skipped++ >= MAX_LISTED)
		return 0;
	one = json_pack("{s:o, s:I, s:o}", "path", cairn_record_text(path), "bytes",
		(json_int_t)bytes, "why", cairn_record_text(why));
	return json_array_append_new(w->skipped, one);
}

static json_t *take(cairn_store *store, const char *directory, bool search, int depth);

/* A repository inside: its commit stands in the tree (submodule) or nothing does (untracked);
 * what was edited in it is a record of its own. */
static int take_nested(work *w, const char *path, bool is_submodule)
{
	cairn_text full = {0};
	json_t *record = NULL;
	const char *head;
	git_index_entry entry = {.mode = GIT_FILEMODE_COMMIT, .path = path};
	int rc = 0;

	if (w->depth >= MAX_NESTING)
		return skip(w, path, 0, "nested too deep");
	cairn_text_printf(&full, "%s%s", w->root, path);
	record = take(w->store, cairn_text_get(&full), false, w->depth + 1);
	cairn_text_free(&full);
	head = cairn_json_string(record, "head", NULL);
	if (is_submodule && head && git_oid_fromstr(&entry.id, head) == 0)
		rc = git_index_add(w->index, &entry);
	json_object_set_new(record, "path", cairn_record_text(path));
	json_array_append_new(w->nested, record);
	return rc;
}

/* libgit2 runs no external filter: taking the file would store what LFS keeps out of git. */
static bool is_lfs(const work *w, const char *path)
{
	const char *filter = NULL;

	if (git_attr_get(&filter, w->repo, GIT_ATTR_CHECK_FILE_THEN_INDEX, path, "filter") < 0)
		return false;
	return filter && strcmp(filter, "lfs") == 0;
}

static uint32_t mode_of(const struct stat *st, const git_diff_delta *delta)
{
	if (S_ISLNK(st->st_mode))
		return GIT_FILEMODE_LINK;
	/* With core.fileMode off, the mode is the one that git remembers. */
	if (delta->new_file.mode == GIT_FILEMODE_BLOB ||
		delta->new_file.mode == GIT_FILEMODE_BLOB_EXECUTABLE)
		return delta->new_file.mode;
	return st->st_mode & S_IXUSR ? GIT_FILEMODE_BLOB_EXECUTABLE : GIT_FILEMODE_BLOB;
}

static int take_file(work *w, const git_diff_delta *delta, const struct stat *st)
{
	const char *path = delta->new_file.path;
	uint64_t bytes = (uint64_t)st->st_size;
	git_index_entry entry = {.path = path};

	if (is_lfs(w, path))
		return skip(w, path, bytes, "kept by git-lfs");
	if (bytes > MAX_FILE_BYTES)
		return skip(w, path, bytes, "larger than 20 MiB");
	if (w->bytes + bytes > MAX_TOTAL_BYTES || w->n_files >= MAX_FILES)
		return skip(w, path, bytes, "too much is changed");
	if (git_blob_create_from_workdir(&entry.id, w->repo, path) < 0)
		return skip(w, path, bytes, last_message());
	w->bytes += bytes;
	w->n_files++;
	entry.mode = mode_of(st, delta);
	entry.file_size = (uint32_t)bytes;
	return git_index_add(w->index, &entry);
}

/* The delta only says where to look; what the tree gets is what lies in the work tree now. */
static int take_change(work *w, const git_diff_delta *delta)
{
	cairn_text full = {0};
	const char *path = delta->new_file.path;
	struct stat st;
	size_t len = strlen(path);
	int rc;

	if (delta->old_file.mode == GIT_FILEMODE_COMMIT ||
		delta->new_file.mode == GIT_FILEMODE_COMMIT || path[len - 1] == '/') {
		char *name = cairn_strndup(path, path[len - 1] == '/' ? len - 1 : len);
		if (!name)
			return -1;
		rc = take_nested(w, name, path[len - 1] != '/');
		free(name);
		return rc;
	}
	cairn_text_printf(&full, "%s%s", w->root, path);
	rc = lstat(cairn_text_get(&full), &st);
	cairn_text_free(&full);
	if (rc < 0 || S_ISDIR(st.st_mode)) {
		/* A staged file that is gone again was never in HEAD: nothing to remove. */
		if (git_index_get_bypath(w->index, path, 0))
			return git_index_remove_bypath(w->index, path);
		return 0;
	}
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return skip(w, path, 0, "neither a file nor a link");
	return take_file(w, delta, &st);
}

/* Removals first, so that a file may become a directory and the other way round. */
static int build_tree(work *w)
{
	size_t n = git_diff_num_deltas(w->diff);
	int rc = git_index_new(&w->index);

	if (rc == 0 && w->head_tree)
		rc = git_index_read_tree(w->index, w->head_tree);
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; rc == 0 && i < n; i++) {
			const git_diff_delta *delta = git_diff_get_delta(w->diff, i);
			if ((delta->status == GIT_DELTA_DELETED) == (pass == 0))
				rc = take_change(w, delta);
		}
	}
	if (rc == 0)
		rc = git_index_write_tree_to(&w->tree, w->index, w->repo);
	return rc;
}

/* refs/trees/<id> keeps the tree alive in code.git and makes it known to plain git. */
static int name_tree(work *w)
{
	char id[GIT_OID_HEXSZ + 1];
	cairn_text path = {0}, name = {0};
	git_repository *own = NULL;
	git_reference *ref = NULL;
	int rc;

	cairn_text_printf(&path, "%s/code.git", cairn_store_path(w->store));
	cairn_text_printf(&name, "refs/trees/%s", git_oid_tostr(id, sizeof(id), &w->tree));
	rc = git_repository_open_bare(&own, cairn_text_get(&path));
	if (rc == 0 && git_reference_lookup(&ref, own, cairn_text_get(&name)) < 0) {
		git_odb *odb = NULL;
		rc = git_repository_odb(&odb, w->repo);
		if (rc == 0)
			rc = git_repository_set_odb(own, odb);
		if (rc == 0)
			rc = git_reference_create(
				&ref, own, cairn_text_get(&name), &w->tree, 1, NULL);
		git_odb_free(odb);
	}
	git_reference_free(ref);
	git_repository_free(own);
	cairn_text_free(&path);
	cairn_text_free(&name);
	return rc;
}

/* ---- the patch ------------------------------------------------------------------------ */

static int store_patch(cairn_store *store, const git_buf *patch, cairn_id *out, cairn_error *err)
{
	cairn_batch *batch = NULL;
	cairn_tensor entry = {.name = "diff.patch",
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {patch->size},
		.data = patch->ptr,
		.bytes = patch->size};
	cairn_id id;
	int rc = cairn_batch_begin(&batch, store, err);

	if (rc < 0)
		return rc;
	rc = cairn_batch_artifact_begin(batch, "file", err);
	if (rc == 0)
		rc = cairn_batch_artifact_put(batch, &entry, err);
	if (rc == 0)
		rc = cairn_batch_artifact_end(batch, NULL, &id, err);
	if (rc < 0) {
		cairn_batch_abort(batch);
		return rc;
	}
	rc = cairn_batch_commit(batch, err);
	if (rc == 0)
		*out = id;
	return rc;
}

/* HEAD's tree -> our tree, with binary files, so that `git apply` makes the one of the other. */
static json_t *make_patch(work *w)
{
	git_diff_options options;
	git_tree *tree = NULL;
	git_diff *diff = NULL;
	git_buf patch = {0};
	char id_text[CAIRN_ID_TEXT];
	cairn_id id;
	json_t *json = NULL;

	git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
	options.flags = GIT_DIFF_SHOW_BINARY;
	if (git_tree_lookup(&tree, w->repo, &w->tree) == 0 &&
		git_diff_tree_to_tree(&diff, w->repo, w->head_tree, tree, &options) == 0 &&
		git_diff_num_deltas(diff) > 0 &&
		git_diff_to_buf(&patch, diff, GIT_DIFF_FORMAT_PATCH) == 0 &&
		store_patch(w->store, &patch, &id, NULL) == 0) {
		cairn_id_format(&id, id_text);
		json = json_string(id_text);
	}
	git_buf_dispose(&patch);
	git_diff_free(diff);
	git_tree_free(tree);
	return json ? json : json_null();
}

/* ---- the record ----------------------------------------------------------------------- */

/* NULL where HEAD is detached. */
static json_t *branch_name(git_repository *repo)
{
	git_reference *head = NULL;
	const char *target = NULL, *heads = "refs/heads/";
	json_t *json;

	if (git_reference_lookup(&head, repo, "HEAD") == 0)
		target = git_reference_symbolic_target(head);
	if (target && strncmp(target, heads, strlen(heads)) == 0)
		target += strlen(heads);
	json = target ? cairn_record_text(target) : json_null();
	git_reference_free(head);
	return json;
}

/* scheme://user:secret@host/path?token=... -> scheme://host/path; a path or host:path stays. */
static json_t *without_credentials(const char *url)
{
	const char *scheme = strstr(url, "://");
	cairn_text text = {0};
	json_t *json;

	if (scheme) {
		const char *host = scheme + 3;
		size_t authority = strcspn(host, "/?#"), at = authority;
		while (at > 0 && host[at - 1] != '@')
			at--;
		cairn_text_add_bytes(&text, url, (size_t)(host - url));
		host += at;
		cairn_text_add_bytes(&text, host, strcspn(host, "?#"));
	} else {
		cairn_text_add(&text, url);
	}
	json = cairn_record_text(cairn_text_get(&text));
	cairn_text_free(&text);
	return json;
}

/* "origin", or whatever the first one is called. */
static json_t *remote_url(git_repository *repo)
{
	git_strarray names = {0};
	git_remote *remote = NULL;
	json_t *json = NULL;

	if (git_remote_lookup(&remote, repo, "origin") < 0 && git_remote_list(&names, repo) == 0 &&
		names.count > 0 && git_remote_lookup(&remote, repo, names.strings[0]) < 0)
		remote = NULL;
	if (remote && git_remote_url(remote))
		json = without_credentials(git_remote_url(remote));
	git_remote_free(remote);
	git_strarray_dispose(&names);
	return json ? json : json_null();
}

/* Fills w->tree and answers the patch's artifact id as JSON; NULL where that failed. */
static json_t *snapshot_changes(work *w)
{
	if (use_own_objects(w) < 0 || build_tree(w) < 0 || name_tree(w) < 0)
		return NULL;
	return make_patch(w);
}

static json_t *describe(work *w)
{
	size_t n_changed;
	json_t *diff = json_null(), *json;

	if (read_head(w) < 0 || ignore_store(w) < 0 || find_changes(w) < 0)
		return unavailable(last_message(), "Try `git status` there.");
	n_changed = git_diff_num_deltas(w->diff);
	if (n_changed == 0 && w->head_tree) {
		git_oid_cpy(&w->tree, &w->head_oid_tree);
	} else if (n_changed == 0) {
		git_oid_fromstr(&w->tree, EMPTY_TREE);
	} else if (w->store) {
		diff = snapshot_changes(w);
		if (!diff)
			return unavailable(
				last_message(), "The changed work tree could not be recorded.");
	}
	json = json_pack("{s:b, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:I, s:O, s:I}",
		"available", 1, "repository", cairn_record_text(w->root), "head",
		w->head_tree ? oid_text(&w->head) : json_null(), "branch", branch_name(w->repo),
		"remote", remote_url(w->repo), "dirty", n_changed > 0, "tree",
		n_changed && !w->store ? json_null() : oid_text(&w->tree), "head_tree",
		w->head_tree ? oid_text(&w->head_oid_tree) : json_null(), "diff", diff, "n_changed",
		(json_int_t)n_changed, "skipped", w->skipped, "n_skipped",
		(json_int_t)w->n_skipped);
	if (json && json_array_size(w->nested) > 0)
		json_object_set(json, "nested", w->nested);
	return json;
}

static json_t *take(cairn_store *store, const char *directory, bool search, int depth)
{
	work w = {.store = store, .depth = depth};
	json_t *json;
	int rc = git_repository_open_ext(
		&w.repo, directory, search ? 0 : GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);

	if (rc < 0)
		return explain_open_failure(rc, directory);
	w.root = git_repository_workdir(w.repo);
	if (!w.root) {
		git_repository_free(w.repo);
		return unavailable("a bare git repository has no work tree",
			"Keep the workflow in a work tree to have its code recorded.");
	}
	w.skipped = json_array();
	w.nested = json_array();
	json = describe(&w);
	json_decref(w.skipped);
	json_decref(w.nested);
	git_index_free(w.index);
	git_diff_free(w.diff);
	git_tree_free(w.head_tree);
	git_repository_free(w.repo);
	return json;
}

json_t *cairn_provenance_take(cairn_store *store, const char *directory)
{
	if (!is_in_sight(or_here(directory)))
		return no_repository();
	pthread_once(&libgit2_once, set_up_libgit2);
	return take(store, or_here(directory), true, 0);
}
