/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provenance.c - tests against repositories that git itself makes and judges: the snapshot's
 * tree must be the one of `git add -A && git write-tree`, and .git must stay as it was.
 */
#include "audit/provenance.h"

#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

extern char **environ;

/* libgit2 1.5 forgets PCRE2's memory for each value of a configuration that does not match. */
CAIRN_EXPORT const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libpcre2\n";
}

/* ---- a shell in the repository ------------------------------------------------------------ */

/* Runs a script in DIR/repo and gives what it printed, without the last newline. */
static void shell(fixture *f, char *out, size_t cap, const char *script)
{
	char whole[4096];
	char sh[] = "sh", flag[] = "-c", *argv[] = {sh, flag, whole, NULL};
	posix_spawn_file_actions_t actions;
	int fds[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	snprintf(whole, sizeof(whole), "set -e; mkdir -p '%s/repo'; cd '%s/repo'; %s", f->dir,
		f->dir, script);
	assert_int_equal(pipe(fds), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	posix_spawn_file_actions_addclose(&actions, fds[0]);
	posix_spawn_file_actions_addclose(&actions, fds[1]);
	assert_int_equal(posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	while (len + 1 < cap && (n = read(fds[0], out + len, cap - 1 - len)) > 0)
		len += (size_t)n;
	close(fds[0]);
	while (len > 0 && out[len - 1] == '\n')
		len--;
	out[len] = '\0';
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("exit status %d of: %s", status, script);
}

static void run(fixture *f, const char *script)
{
	char ignored[65536];

	shell(f, ignored, sizeof(ignored), script);
}

static json_t *take(fixture *f)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/repo", f->dir);
	return cairn_provenance_take(f->store, path);
}

/* Two commits' worth of ordinary content. */
static const char base[] = "git init -q -b main; mkdir -p src/deep; echo one >a; echo two >b; "
			   "echo three >src/c; echo four >src/deep/d; ln -s a link; echo x >run; "
			   "printf '*.log\\n' >.gitignore; git add -A; git commit -qm base; ";

/* What git would make of the work tree, from a copy: sets tree to its id. */
static void expected_tree(fixture *f, char tree[64])
{
	shell(f, tree, 64,
		"cp -a . ../copy; cd ../copy; git add -A; git write-tree; rm -rf ../copy");
}

/* Every file under .git with size, time of change and digest. */
static void fingerprint(fixture *f, char *out, size_t cap)
{
	shell(f, out, cap,
		"find .git -type f -printf '%p %s %T@ ' -exec sha256sum '{}' ';' | sort | sha256sum");
}

static const char *text(const json_t *json, const char *key)
{
	return cairn_json_string(json, key, "(none)");
}

/* ---- what is ordinary ----------------------------------------------------------------------- */

static void test_audit_provenance__clean_tree_is_heads(void **state)
{
	fixture *f = *state;
	char head[64], tree[64], path[96];
	json_t *json;

	run(f, base);
	shell(f, head, sizeof(head), "git rev-parse HEAD");
	shell(f, tree, sizeof(tree), "git rev-parse 'HEAD^{tree}'");
	json = take(f);
	assert_true(json_is_true(json_object_get(json, "available")));
	assert_string_equal(text(json, "head"), head);
	assert_string_equal(text(json, "tree"), tree);
	assert_string_equal(text(json, "branch"), "main");
	assert_true(json_is_false(json_object_get(json, "dirty")));
	assert_true(json_is_null(json_object_get(json, "diff")));
	assert_true(json_is_null(json_object_get(json, "remote")));
	/* Nothing is copied where nothing is needed. */
	snprintf(path, sizeof(path), "%s/store/code.git", f->dir);
	assert_int_equal(access(path, F_OK), -1);
	json_decref(json);
}

static const char changes[] =
	"echo changed >>a; rm b; echo staged >s; git add s; echo gone >t; git add t; rm t; "
	"printf 'bin\\000ary' >src/blob; mkdir fresh; echo new >fresh/n; echo no >x.log; "
	"ln -sf b link; chmod +x run; echo again >>src/deep/d; git add src/deep/d; "
	"echo twice >>src/deep/d; git rm -q --cached src/c; ";

static void test_audit_provenance__tree_is_what_git_would_write(void **state)
{
	fixture *f = *state;
	char tree[64];
	json_t *json;

	run(f, base);
	run(f, changes);
	expected_tree(f, tree);
	json = take(f);
	assert_string_equal(text(json, "tree"), tree);
	assert_true(json_is_true(json_object_get(json, "dirty")));
	assert_int_equal(json_array_size(json_object_get(json, "skipped")), 0);
	json_decref(json);
}

static void test_audit_provenance__users_repository_is_not_touched(void **state)
{
	fixture *f = *state;
	char before[128], after[128];
	json_t *json;

	run(f, base);
	run(f, changes);
	/* A tree that the user's repository already has: it must not even be made younger. */
	run(f, "cp -a . ../copy; cd ../copy; git add -A; git write-tree >/dev/null; "
	       "cp -a .git/objects/. ../repo/.git/objects/; cd ../repo; rm -rf ../copy; "
	       "find .git/objects -type f -exec touch -d '2001-01-01' '{}' +");
	fingerprint(f, before, sizeof(before));
	json = take(f);
	fingerprint(f, after, sizeof(after));
	assert_string_equal(before, after);
	assert_true(json_is_true(json_object_get(json, "dirty")));
	json_decref(json);
}

static void test_audit_provenance__patch_makes_the_tree_of_head(void **state)
{
	fixture *f = *state;
	char script[512], tree[64], applied[64];
	cairn_object *object;
	cairn_tensor patch;
	cairn_id id;
	json_t *json;
	FILE *file;

	run(f, base);
	run(f, changes);
	json = take(f);
	snprintf(tree, sizeof(tree), "%s", text(json, "tree"));
	assert_int_equal(cairn_id_parse(&id, text(json, "diff"), NULL), 0);
	json_decref(json);
	assert_int_equal(cairn_object_open(&object, f->store, &id, NULL), 0);
	assert_string_equal(cairn_object_kind(object), "file");
	assert_int_equal(cairn_object_read(object, "diff.patch", &patch, NULL), 0);
	snprintf(script, sizeof(script), "%s/patch", f->dir);
	file = fopen(script, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(patch.data, 1, patch.bytes, file), patch.bytes);
	assert_int_equal(fclose(file), 0);
	cairn_object_close(object);
	shell(f, applied, sizeof(applied),
		"git clone -q . ../clone; cd ../clone; git apply --index ../patch; git write-tree");
	assert_string_equal(applied, tree);
}

static void test_audit_provenance__snapshot_reads_with_git(void **state)
{
	fixture *f = *state;
	char script[512], out[4096];
	json_t *json;

	run(f, base);
	run(f, changes);
	json = take(f);
	snprintf(script, sizeof(script),
		"export GIT_ALTERNATE_OBJECT_DIRECTORIES=$PWD/.git/objects; "
		"git --git-dir=../store/code.git show refs/trees/%s:a",
		text(json, "tree"));
	shell(f, out, sizeof(out), script);
	assert_string_equal(out, "one\nchanged");
	json_decref(json);
}

static void test_audit_provenance__same_state_is_the_same_record(void **state)
{
	fixture *f = *state;
	json_t *a, *b;

	run(f, base);
	run(f, changes);
	a = take(f);
	b = take(f);
	assert_true(json_equal(a, b));
	json_decref(a);
	json_decref(b);
}

static void test_audit_provenance__store_inside_is_no_code(void **state)
{
	fixture *f = *state;
	char tree[64], path[128];
	cairn_store *inside;
	json_t *json;

	run(f, base);
	shell(f, tree, sizeof(tree), "git rev-parse 'HEAD^{tree}'");
	run(f, "mkdir 'with [odd] name'");
	snprintf(path, sizeof(path), "%s/repo/with [odd] name/store", f->dir);
	assert_int_equal(cairn_store_open(&inside, path, CAIRN_STORE_CREATE, NULL), 0);
	snprintf(path, sizeof(path), "%s/repo", f->dir);
	json = cairn_provenance_take(inside, path);
	assert_true(json_is_false(json_object_get(json, "dirty")));
	assert_string_equal(text(json, "tree"), tree);
	cairn_store_close(inside);
	json_decref(json);
}

/* ---- what is odd ------------------------------------------------------------------------------
 */

static void test_audit_provenance__unborn_head(void **state)
{
	fixture *f = *state;
	char tree[64];
	json_t *json;

	run(f, "git init -q -b trunk");
	json = take(f);
	assert_true(json_is_null(json_object_get(json, "head")));
	assert_string_equal(text(json, "branch"), "trunk");
	assert_true(json_is_false(json_object_get(json, "dirty")));
	json_decref(json);
	run(f, "echo first >a; mkdir d; echo second >d/b");
	expected_tree(f, tree);
	json = take(f);
	assert_string_equal(text(json, "tree"), tree);
	assert_true(json_is_string(json_object_get(json, "diff")));
	json_decref(json);
}

static void test_audit_provenance__detached_head_has_no_branch(void **state)
{
	fixture *f = *state;
	json_t *json;

	run(f, base);
	run(f, "git checkout -q --detach");
	json = take(f);
	assert_true(json_is_null(json_object_get(json, "branch")));
	assert_true(json_is_string(json_object_get(json, "head")));
	json_decref(json);
}

static void test_audit_provenance__file_becomes_directory_and_back(void **state)
{
	fixture *f = *state;
	char tree[64];
	json_t *json;

	run(f, base);
	run(f, "rm a; mkdir a; echo inside >a/x; rm -r src; echo now a file >src");
	expected_tree(f, tree);
	json = take(f);
	assert_string_equal(text(json, "tree"), tree);
	json_decref(json);
}

static void test_audit_provenance__unresolved_merge(void **state)
{
	fixture *f = *state;
	char tree[64];
	json_t *json;

	run(f, base);
	run(f, "git checkout -qb other; echo theirs >a; git commit -qam theirs; "
	       "git checkout -q main; echo ours >a; git commit -qam ours; "
	       "git merge -q other >/dev/null || true");
	expected_tree(f, tree);
	json = take(f);
	assert_string_equal(text(json, "tree"), tree);
	json_decref(json);
}

static void test_audit_provenance__line_endings_are_filtered(void **state)
{
	fixture *f = *state;
	char tree[64];
	json_t *json;

	run(f, base);
	run(f, "echo '*.txt text eol=crlf' >.gitattributes; printf 'one\\r\\ntwo\\r\\n' >w.txt");
	expected_tree(f, tree);
	json = take(f);
	assert_string_equal(text(json, "tree"), tree);
	json_decref(json);
}

static void test_audit_provenance__linked_worktree(void **state)
{
	fixture *f = *state;
	char tree[64], path[96];
	json_t *json;

	run(f, base);
	run(f, "git worktree add -q -b side ../linked; echo more >>../linked/a");
	shell(f, tree, sizeof(tree),
		"git clone -q . ../copy; cd ../copy; echo more >>a; git add -A; git write-tree");
	snprintf(path, sizeof(path), "%s/linked", f->dir);
	json = cairn_provenance_take(f->store, path);
	assert_string_equal(text(json, "tree"), tree);
	assert_string_equal(text(json, "branch"), "side");
	json_decref(json);
}

static void test_audit_provenance__sparse_checkout_is_clean(void **state)
{
	fixture *f = *state;
	char tree[64];
	json_t *json;

	run(f, base);
	shell(f, tree, sizeof(tree), "git rev-parse 'HEAD^{tree}'");
	/* Sets extensions.worktreeConfig, which libgit2 refuses unless told. */
	run(f, "git config extensions.worktreeConfig true; git sparse-checkout set src 2>/dev/null");
	json = take(f);
	assert_true(json_is_true(json_object_get(json, "available")));
	assert_string_equal(text(json, "tree"), tree);
	json_decref(json);
}

static void test_audit_provenance__nested_repository_has_a_record(void **state)
{
	fixture *f = *state;
	char head[64], tree[64];
	json_t *json, *nested;

	run(f, base);
	shell(f, tree, sizeof(tree), "git rev-parse 'HEAD^{tree}'");
	run(f, "git init -q -b main inner; cd inner; echo i >i; git add i; git commit -qm inner; "
	       "echo edit >>i");
	shell(f, head, sizeof(head), "git -C inner rev-parse HEAD");
	json = take(f);
	/* The outer tree has nothing of it. */
	assert_string_equal(text(json, "tree"), tree);
	nested = json_array_get(json_object_get(json, "nested"), 0);
	assert_string_equal(text(nested, "path"), "inner");
	assert_string_equal(text(nested, "head"), head);
	assert_true(json_is_true(json_object_get(nested, "dirty")));
	assert_true(json_is_string(json_object_get(nested, "diff")));
	json_decref(json);
}

static void test_audit_provenance__edits_in_a_submodule_are_kept(void **state)
{
	fixture *f = *state;
	char tree[64];
	json_t *json, *nested;

	run(f, base);
	run(f, "git init -q -b main ../lib; cd ../lib; echo l >l; git add l; git commit -qm l; "
	       "cd ../repo; git -c protocol.file.allow=always submodule --quiet add ../lib lib; "
	       "git commit -qm sub; echo edited >>lib/l");
	expected_tree(f, tree);
	json = take(f);
	assert_string_equal(text(json, "tree"), tree);
	nested = json_array_get(json_object_get(json, "nested"), 0);
	assert_string_equal(text(nested, "path"), "lib");
	assert_true(json_is_true(json_object_get(nested, "dirty")));
	json_decref(json);
	/* A commit in the submodule moves the link in the tree. */
	run(f, "cd lib; git commit -qam moved");
	expected_tree(f, tree);
	json = take(f);
	assert_string_equal(text(json, "tree"), tree);
	json_decref(json);
}

static const char *skip_reason(const json_t *json, const char *path)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(json, "skipped"), i, one)
	{
		if (strcmp(text(one, "path"), path) == 0)
			return text(one, "why");
	}
	return "(not skipped)";
}

static void test_audit_provenance__large_and_lfs_files_are_listed(void **state)
{
	fixture *f = *state;
	char tree[64];
	json_t *json;

	run(f, base);
	run(f, "echo '*.bin filter=lfs' >.gitattributes; git add -A; git commit -qm lfs");
	shell(f, tree, sizeof(tree), "git rev-parse 'HEAD^{tree}'");
	run(f, "truncate -s 30M data.raw; echo weights >w.bin");
	json = take(f);
	assert_string_equal(text(json, "tree"), tree);
	assert_true(json_is_true(json_object_get(json, "dirty")));
	assert_int_equal(cairn_json_integer(json, "n_skipped", 0), 2);
	assert_string_equal(skip_reason(json, "data.raw"), "larger than 20 MiB");
	assert_string_equal(skip_reason(json, "w.bin"), "kept by git-lfs");
	json_decref(json);
}

static void test_audit_provenance__credentials_are_removed(void **state)
{
	static const struct {
		const char *url, *shown;
	} urls[] = {
		{"https://me:s3cret@host.example/a/b.git?token=t#f",
			"https://host.example/a/b.git"},
		{"https://s3cret@host.example/a", "https://host.example/a"},
		{"https://a:b@c@host.example/a@b", "https://host.example/a@b"},
		{"ssh://git@host.example:22/a", "ssh://host.example:22/a"},
		{"git@host.example:a/b.git", "git@host.example:a/b.git"},
	};
	fixture *f = *state;
	char script[256];

	run(f, base);
	for (size_t i = 0; i < CAIRN_COUNT(urls); i++) {
		json_t *json;
		/* Not every remote is called origin. */
		snprintf(script, sizeof(script),
			"git remote remove up 2>/dev/null || true; "
			"git remote add up '%s'",
			urls[i].url);
		run(f, script);
		json = take(f);
		assert_string_equal(text(json, "remote"), urls[i].shown);
		json_decref(json);
	}
}

/* ---- what cannot be read ------------------------------------------------------------------------
 */

static void assert_unavailable(json_t *json, const char *reason, const char *hint)
{
	assert_true(json_is_false(json_object_get(json, "available")));
	if (!strstr(text(json, "reason"), reason))
		fail_msg("reason '%s' does not contain '%s'", text(json, "reason"), reason);
	if (!strstr(text(json, "hint"), hint))
		fail_msg("hint '%s' does not contain '%s'", text(json, "hint"), hint);
	json_decref(json);
}

static void test_audit_provenance__outside_a_repository(void **state)
{
	fixture *f = *state;

	run(f, "true");
	assert_unavailable(take(f), "not inside a git repository", "git init");
}

static void test_audit_provenance__bare_repository(void **state)
{
	fixture *f = *state;

	run(f, "git init -q --bare .");
	assert_unavailable(take(f), "bare", "work tree");
}

static void test_audit_provenance__unknown_extension(void **state)
{
	fixture *f = *state;

	run(f, "git init -q --object-format=sha256 . 2>/dev/null");
	assert_unavailable(take(f), "extension", "libgit2");
}

static void test_audit_provenance__repository_of_somebody_else(void **state)
{
	fixture *f = *state;
	char line[160];

	if (geteuid() != 0) {
		print_message("only root can give files away\n");
		skip();
	}
	run(f, base);
	run(f, "chown -R 12345 .");
	snprintf(line, sizeof(line), "git config --global --add safe.directory %s/repo", f->dir);
	assert_unavailable(take(f), "another user", line);
	/* As above, where other directories are marked as safe: another code of libgit2. */
	run(f, "git config --global --add safe.directory /elsewhere");
	assert_unavailable(take(f), "another user", line);
	snprintf(line, sizeof(line), "%s/.gitconfig", getenv("HOME"));
	unlink(line);
}

/* ---- binaries
 * ------------------------------------------------------------------------------------ */

static void test_audit_provenance__binary_has_digest_and_build_id(void **state)
{
	/* SHA-256 of "abc", FIPS 180-2 appendix B.1. */
	static const char abc[] =
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	fixture *f = *state;
	char path[96];
	json_t *json = cairn_provenance_binary("/proc/self/exe");

	assert_int_equal(strlen(text(json, "sha256")), 64);
	assert_true(strlen(text(json, "build_id")) >= 16);
	json_decref(json);
	run(f, "printf abc >file");
	snprintf(path, sizeof(path), "%s/repo/file", f->dir);
	json = cairn_provenance_binary(path);
	assert_string_equal(text(json, "sha256"), abc);
	assert_true(json_is_null(json_object_get(json, "build_id")));
	json_decref(json);
	json = cairn_provenance_binary("/nonexistent");
	assert_true(json_is_null(json_object_get(json, "sha256")));
	json_decref(json);
}

static void test_audit_provenance__binary_cut_anywhere_is_no_trouble(void **state)
{
	fixture *f = *state;
	char path[96];
	int has_id = 0;

	snprintf(path, sizeof(path), "%s/repo/cut", f->dir);
	run(f, "head -c 4096 /proc/self/exe >cut");
	for (int size = 4095; size > 0; size -= 7) {
		json_t *json;
		assert_int_equal(truncate(path, size), 0);
		json = cairn_provenance_binary(path);
		has_id += json_is_string(json_object_get(json, "build_id"));
		json_decref(json);
	}
	/* Whole at first, cut off in the end. */
	assert_in_range(has_id, 1, 584);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_audit_provenance__clean_tree_is_heads),
		WITH_STORE(test_audit_provenance__tree_is_what_git_would_write),
		WITH_STORE(test_audit_provenance__users_repository_is_not_touched),
		WITH_STORE(test_audit_provenance__patch_makes_the_tree_of_head),
		WITH_STORE(test_audit_provenance__snapshot_reads_with_git),
		WITH_STORE(test_audit_provenance__same_state_is_the_same_record),
		WITH_STORE(test_audit_provenance__store_inside_is_no_code),
		WITH_STORE(test_audit_provenance__unborn_head),
		WITH_STORE(test_audit_provenance__detached_head_has_no_branch),
		WITH_STORE(test_audit_provenance__file_becomes_directory_and_back),
		WITH_STORE(test_audit_provenance__unresolved_merge),
		WITH_STORE(test_audit_provenance__line_endings_are_filtered),
		WITH_STORE(test_audit_provenance__linked_worktree),
		WITH_STORE(test_audit_provenance__sparse_checkout_is_clean),
		WITH_STORE(test_audit_provenance__nested_repository_has_a_record),
		WITH_STORE(test_audit_provenance__edits_in_a_submodule_are_kept),
		WITH_STORE(test_audit_provenance__large_and_lfs_files_are_listed),
		WITH_STORE(test_audit_provenance__credentials_are_removed),
		WITH_STORE(test_audit_provenance__outside_a_repository),
		WITH_STORE(test_audit_provenance__bare_repository),
		WITH_STORE(test_audit_provenance__unknown_extension),
		WITH_STORE(test_audit_provenance__repository_of_somebody_else),
		WITH_STORE(test_audit_provenance__binary_has_digest_and_build_id),
		WITH_STORE(test_audit_provenance__binary_cut_anywhere_is_no_trouble),
	};
	char home[] = "/tmp/cairn-home-XXXXXX";
	int failed;

	if (access("/usr/bin/git", X_OK) < 0) {
		fputs("git is not installed: skipped\n", stderr);
		return 77;
	}
	/* No configuration but ours, before libgit2 looks for it. */
	if (!mkdtemp(home) || setenv("HOME", home, 1) < 0)
		return 1;
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("SUDO_UID");
	unsetenv("GIT_DIR");
	unsetenv("GIT_WORK_TREE");
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	setenv("GIT_AUTHOR_NAME", "t", 1);
	setenv("GIT_AUTHOR_EMAIL", "t@example.org", 1);
	setenv("GIT_COMMITTER_NAME", "t", 1);
	setenv("GIT_COMMITTER_EMAIL", "t@example.org", 1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(home);
	return failed;
}
