/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugins.c - the registry: a name becomes a described shared object.
 *
 * The plugin `sft` is the first sft.so in the search path; it must call itself so. Nothing
 * is described before somebody asks for it, so a broken plugin disturbs nobody who does
 * not use it, and a workflow whose plugins are known costs one stat and two reads of the
 * store each: path -> digest (filecache), digest -> description (table `plugin`).
 *
 * What the plugin's own check() accepted is kept too, in `note` under "check:" + digest of
 * plugin and values. The caches are conveniences: failing to write one is no error.
 *
 * Reads like: run.h, describe.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "run/plan/filecache.h"
#include "run/plugin/describe.h"
#include "run/plugin/plugins.h"
#include "run/run.h"

#define MAX_DIRS 64

struct entry {
	const char *name;
	bool is_described;
	cairn_plugin_info info;
	cairn_error error; /* code 0: info is good */
	struct entry *next;
};

#define CHECK_KEY_BYTES (6 + CAIRN_DIGEST_BYTES)

struct check_key {
	uint8_t bytes[CHECK_KEY_BYTES];
};

struct registry {
	cairn_registry base; /* first: the callers hold this */
	cairn_store *store;  /* may be NULL */
	cairn_arena *arena;
	const char *dirs[MAX_DIRS];
	size_t n_dirs;
	struct entry *entries; /* asked for so far */
	bool are_listed;
	const char **names; /* once listed */
	size_t n_names;
	/* A child that checks, of the plugin that was asked last: workflows ask in runs. */
	cairn_describer *checker;
	const cairn_plugin_info *checks;
	struct check_key *accepted; /* not in the store yet */
	size_t n_accepted, cap_accepted;
};

/* ---- the search path ------------------------------------------------------------------ */

size_t cairn_plugin_dirs(const char **out, size_t cap, cairn_arena *arena)
{
	const char *path = getenv("CAIRN_PLUGIN_PATH");
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;
	size_t n = 0;

	while (path && *path && n + 2 < cap) {
		size_t part = strcspn(path, ":");
		if (part)
			out[n++] = cairn_arena_strndup(arena, path, part);
		path += part + (path[part] == ':');
	}
	exe[len > 0 ? len : 0] = '\0';
	slash = strrchr(exe, '/');
	if (slash) {
		*slash = '\0';
		out[n++] = cairn_arena_printf(arena, "%s/plugins", exe);
		out[n++] = cairn_arena_printf(arena, "%s/%s", exe, CAIRN_INSTALLED_PLUGIN_DIR);
	}
	return n;
}

static void add_name(struct registry *self, const char *name, size_t len)
{
	for (size_t i = 0; i < self->n_names; i++) {
		if (strncmp(self->names[i], name, len) == 0 && !self->names[i][len])
			return;
	}
	if (self->n_names % 64 == 0) {
		const char **more =
			cairn_arena_alloc(self->arena, self->n_names + 64, sizeof(*more));
		if (self->n_names)
			memcpy(more, self->names, self->n_names * sizeof(*more));
		self->names = more;
	}
	self->names[self->n_names++] = cairn_arena_strndup(self->arena, name, len);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t registry_names(cairn_registry *base, const char *const **out)
{
	struct registry *self = (struct registry *)base;

	for (size_t i = 0; !self->are_listed && i < self->n_dirs; i++) {
		DIR *dir = opendir(self->dirs[i]);
		const struct dirent *file;

		while (dir && (file = readdir(dir))) {
			size_t len = strlen(file->d_name);
			if (len > 3 && strcmp(file->d_name + len - 3, ".so") == 0)
				add_name(self, file->d_name, len - 3);
		}
		if (dir)
			closedir(dir);
	}
	self->are_listed = true;
	if (self->n_names)
		qsort(self->names, self->n_names, sizeof(*self->names), by_name);
	*out = self->names;
	return self->n_names;
}

/* ---- one file -------------------------------------------------------------------------- */

static int hash_file(int fd, const char *path, char out[65], cairn_error *err)
{
	uint8_t block[65536], sum[CAIRN_DIGEST_BYTES];
	cairn_digest *digest = cairn_digest_new();
	ssize_t n;

	if (!digest)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading '%s'", path);
	while ((n = read(fd, block, sizeof(block))) > 0)
		cairn_digest_add(digest, block, (size_t)n);
	cairn_digest_end(digest, sum);
	if (n < 0)
		return cairn_error_errno(err, CAIRN_EIO, errno, "cannot read '%s'", path);
	cairn_hex_encode(sum, sizeof(sum), out);
	return 0;
}

int cairn_plugin_digest(const char *path, char out[65], cairn_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return cairn_error_errno(err, errno == ENOENT ? CAIRN_ENOTFOUND : CAIRN_EIO, errno,
			"cannot open the plugin '%s'", path);
	rc = hash_file(fd, path, out, err);
	close(fd);
	return rc;
}

static int info_from(cairn_plugin_info *out, const json_t *json, const char *path,
	const char *digest, cairn_arena *arena, cairn_error *err)
{
	int rc = cairn_plugin_info_from_json(out, json, arena, err);

	if (rc < 0)
		return rc;
	out->path = cairn_arena_strdup(arena, path);
	out->digest = cairn_arena_strdup(arena, digest);
	return 0;
}

/* From the caches: 1 found, 0 not. `digest` is filled where it is known. */
static int look_up(cairn_plugin_info *out, struct registry *self, const char *name,
	const char *path, const cairn_filestamp *stamp, char digest[65])
{
	cairn_snapshot *snapshot = NULL;
	uint8_t sum[CAIRN_DIGEST_BYTES];
	json_t *json = NULL;
	const void *value;
	size_t len;
	int found = 0;

	if (!self->store || cairn_snapshot_begin(&snapshot, self->store, NULL) < 0)
		return 0;
	if (cairn_filecache_get(snapshot, name, stamp, digest, 65) &&
		cairn_hex_decode(digest, sum, sizeof(sum)) == 0 &&
		cairn_snapshot_get(snapshot, "plugin", sum, sizeof(sum), &value, &len, NULL) == 0 &&
		cairn_json_parse(&json, value, len, path, NULL) == 0 &&
		/* another cairn may have checked less, or described it in another form */
		strcmp(cairn_json_string(json, "described_by", ""), CAIRN_VERSION) == 0)
		found = info_from(out, json, path, digest, self->arena, NULL) == 0;
	json_decref(json);
	cairn_snapshot_end(snapshot);
	return found;
}

/* Only a cache: failing to write it (a read-only store) is no error. */
static void commit_cache(cairn_batch *batch)
{
	int ignored = cairn_batch_commit(batch, NULL);

	(void)ignored;
}

static void keep(struct registry *self, const char *name, const cairn_filestamp *stamp,
	const char *digest, const json_t *json)
{
	uint8_t sum[CAIRN_DIGEST_BYTES];
	cairn_batch *batch = NULL;
	char *text = cairn_json_canonical(json);

	if (self->store && text && cairn_hex_decode(digest, sum, sizeof(sum)) == 0 &&
		cairn_batch_begin(&batch, self->store, NULL) == 0) {
		if (cairn_filecache_put(batch, name, stamp, digest, NULL) == 0 &&
			cairn_batch_put(
				batch, "plugin", sum, sizeof(sum), text, strlen(text), NULL) == 0)
			commit_cache(batch);
		else
			cairn_batch_abort(batch);
	}
	free(text);
}

/* Describes the file at `path`, an absolute one, through the caches. */
static int describe_file(
	cairn_plugin_info *out, struct registry *self, const char *path, cairn_error *err)
{
	const char *name = cairn_arena_printf(self->arena, "so:%s", path);
	cairn_filestamp stamp;
	char digest[65] = "";
	json_t *json = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return cairn_error_errno(err, errno == ENOENT ? CAIRN_ENOTFOUND : CAIRN_EIO, errno,
			"cannot open the plugin '%s'", path);
	rc = cairn_filestamp_take(&stamp, fd, path, err);
	if (rc < 0 || look_up(out, self, name, path, &stamp, digest))
		goto out;
	rc = hash_file(fd, path, digest, err);
	if (rc == 0)
		rc = cairn_describe_ask(&json, path, NULL, NULL, err);
	if (rc == 0)
		rc = info_from(out, json, path, digest, self->arena, err);
	if (rc == 0) {
		json_object_set_new(json, "described_by", json_string(CAIRN_VERSION));
		keep(self, name, &stamp, digest, json);
	}
out:
	json_decref(json);
	close(fd);
	return rc;
}

int cairn_plugin_describe(
	cairn_plugin_info *out, const char *path, cairn_arena *arena, cairn_error *err)
{
	struct registry alone = {.arena = arena};
	char absolute[PATH_MAX];

	if (!realpath(path, absolute))
		return cairn_error_errno(
			err, CAIRN_ENOTFOUND, errno, "cannot open the plugin '%s'", path);
	return describe_file(out, &alone, absolute, err);
}

/* ---- the registry ---------------------------------------------------------------------- */

static int not_found(struct registry *self, const char *name, cairn_error *err)
{
	const char *const *names, *near;
	size_t n = registry_names(&self->base, &names);
	cairn_text where = {0};

	for (size_t i = 0; i < self->n_dirs; i++)
		cairn_text_printf(&where, "%s%s", i ? ", " : "", self->dirs[i]);
	cairn_error_set(err, CAIRN_ENOTFOUND, "there is no plugin '%s'", name);
	cairn_error_detail(err, "looked for %s.so in %s", name, cairn_text_get(&where));
	near = cairn_did_you_mean(name, names, n);
	if (near)
		cairn_error_hint(err, "Did you mean '%s'?", near);
	else
		cairn_error_hint(err, "List them with `cairn plugins`; CAIRN_PLUGIN_PATH adds "
				      "directories.");
	cairn_text_free(&where);
	return CAIRN_ENOTFOUND;
}

static int describe_entry(struct registry *self, struct entry *entry)
{
	char absolute[PATH_MAX];
	int rc;

	for (size_t i = 0; i < self->n_dirs; i++) {
		const char *path =
			cairn_arena_printf(self->arena, "%s/%s.so", self->dirs[i], entry->name);
		if (!realpath(path, absolute))
			continue;
		rc = describe_file(&entry->info, self, absolute, &entry->error);
		if (rc == 0 && strcmp(entry->info.name, entry->name) != 0) {
			rc = cairn_error_set(&entry->error, CAIRN_EABI,
				"'%s' holds the plugin '%s'", absolute, entry->info.name);
			cairn_error_hint(&entry->error, "Name the file %s.so.", entry->info.name);
		}
		return rc;
	}
	return not_found(self, entry->name, &entry->error);
}

static const cairn_plugin_info *registry_find(
	cairn_registry *base, const char *name, cairn_error *err)
{
	struct registry *self = (struct registry *)base;
	struct entry *entry = self->entries;

	while (entry && strcmp(entry->name, name) != 0)
		entry = entry->next;
	if (!entry) {
		entry = cairn_arena_alloc(self->arena, 1, sizeof(*entry));
		entry->name = cairn_arena_strdup(self->arena, name);
		entry->next = self->entries;
		self->entries = entry;
		if (strchr(name, '/') || !name[0])
			not_found(self, name, &entry->error);
		else
			describe_entry(self, entry);
	}
	if (entry->error.code) {
		if (err && !err->code)
			*err = entry->error;
		return NULL;
	}
	return &entry->info;
}

/* ---- check() --------------------------------------------------------------------------- */

/* "check:" + SHA-256 over what the answer depends on. */
static struct check_key check_key(const cairn_plugin_info *plugin, const char *const *values)
{
	struct check_key key = {"check:"};
	cairn_text text = {0};

	cairn_text_add_bytes(&text, plugin->digest, strlen(plugin->digest) + 1);
	for (uint64_t i = 0; i < plugin->n_params; i++)
		cairn_text_add_bytes(&text, values[i], strlen(values[i]) + 1);
	CAIRN_ASSERT(!text.failed);
	cairn_sha256(text.data, text.len, key.bytes + 6);
	cairn_text_free(&text);
	return key;
}

static bool was_accepted(struct registry *self, const struct check_key *key)
{
	cairn_snapshot *snapshot;
	const void *value;
	size_t len;
	bool is_known;

	if (!self->store || cairn_snapshot_begin(&snapshot, self->store, NULL) < 0)
		return false;
	is_known = cairn_snapshot_get(snapshot, "note", key->bytes, sizeof(key->bytes), &value,
			   &len, NULL) == 0;
	cairn_snapshot_end(snapshot);
	return is_known;
}

/* One commit for all of them. */
static void keep_accepted(struct registry *self)
{
	cairn_batch *batch;
	int rc = 0;

	if (!self->n_accepted || cairn_batch_begin(&batch, self->store, NULL) < 0)
		return;
	for (size_t i = 0; i < self->n_accepted && rc == 0; i++)
		rc = cairn_batch_put(
			batch, "note", self->accepted[i].bytes, CHECK_KEY_BYTES, "ok", 2, NULL);
	self->n_accepted = 0;
	if (rc == 0)
		commit_cache(batch);
	else
		cairn_batch_abort(batch);
}

static void note_accepted(struct registry *self, const struct check_key *key)
{
	if (!self->store)
		return;
	if (self->n_accepted == self->cap_accepted) {
		size_t cap = self->cap_accepted ? self->cap_accepted * 2 : 64;
		struct check_key *grown = cairn_realloc(self->accepted, cap, sizeof(*grown));

		if (!grown)
			return;
		self->accepted = grown;
		self->cap_accepted = cap;
	}
	self->accepted[self->n_accepted++] = *key;
}

static void stop_checker(struct registry *self)
{
	cairn_describer_close(self->checker);
	self->checker = NULL;
	self->checks = NULL;
}

static int ask_checker(struct registry *self, const cairn_plugin_info *plugin,
	const json_t *request, cairn_error *err)
{
	json_t *answer = NULL;
	int rc = 0;

	if (self->checks != plugin) {
		stop_checker(self);
		rc = cairn_describer_open(&self->checker, plugin->path, err);
		if (rc < 0)
			return rc;
		self->checks = plugin;
	}
	rc = cairn_describer_ask(self->checker, &answer, "check", request, err);
	json_decref(answer);
	if (rc == CAIRN_ECRASH || rc == CAIRN_ETIMEOUT || rc == CAIRN_EABI)
		stop_checker(self);
	return rc;
}

static int registry_check(cairn_registry *base, const cairn_plugin_info *plugin,
	const char *const *values, cairn_error *err)
{
	struct registry *self = (struct registry *)base;
	struct check_key key;
	json_t *request, *list;
	int rc;

	if (!plugin->has_check)
		return 0;
	key = check_key(plugin, values);
	if (was_accepted(self, &key))
		return 0;
	list = json_array();
	for (uint64_t i = 0; i < plugin->n_params; i++)
		json_array_append_new(list, json_string(values[i]));
	request = json_pack("{s:o}", "values", list);
	rc = ask_checker(self, plugin, request, err);
	if (rc == 0)
		note_accepted(self, &key);
	json_decref(request);
	return rc;
}

static void registry_rest(cairn_registry *base)
{
	struct registry *self = (struct registry *)base;

	stop_checker(self);
	keep_accepted(self);
}

/* ---- open, close ------------------------------------------------------------------------- */

int cairn_plugins_open(cairn_registry **out, cairn_store *store, cairn_error *err)
{
	struct registry *self = cairn_alloc(1, sizeof(*self));

	if (!self)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory opening the plugins");
	self->base = (cairn_registry){registry_find, registry_names, registry_check, registry_rest};
	self->store = store;
	self->arena = cairn_arena_new();
	self->n_dirs = cairn_plugin_dirs(self->dirs, MAX_DIRS, self->arena);
	*out = &self->base;
	return 0;
}

void cairn_plugins_close(cairn_registry *registry)
{
	struct registry *self = (struct registry *)registry;

	if (!self)
		return;
	registry_rest(registry);
	cairn_arena_free(self->arena);
	free(self->accepted);
	free(self);
}
