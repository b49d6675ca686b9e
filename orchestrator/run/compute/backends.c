/* SPDX-License-Identifier: Apache-2.0 */
#include "run/compute/backends.h"

#include <dirent.h>
#include <string.h>

#include "audit/record.h"
#include "base/text.h"
#include "run/plugin/abi.h"
#include "run/plugin/plugins.h"

#define MAX_DIRS 64

/* ---- candidates --------------------------------------------------------------------------- */

/* "cpu" of "cpu.so"; NULL for other files and other devices. */
static const char *name_of(const char *file, const char *device, cairn_arena *arena)
{
	size_t len = strlen(file);

	if (len <= 3 || strcmp(file + len - 3, ".so") != 0)
		return NULL;
	len -= 3;
	if (strcmp(device, "auto") != 0 && (strncmp(device, file, len) != 0 || device[len]))
		return NULL;
	return cairn_arena_strndup(arena, file, len);
}

static bool is_shadowed(const cairn_candidates *candidates, const char *name)
{
	for (size_t i = 0; i < candidates->n; i++) {
		if (strcmp(candidates->of[i].name, name) == 0)
			return true;
	}
	return false;
}

/* A directory has no order of its own: those from `first` on are kept by name. */
static void insert(cairn_candidates *out, size_t first, const char *name, const char *path)
{
	size_t at = out->n;

	for (; at > first && strcmp(out->of[at - 1].name, name) > 0; at--)
		out->of[at] = out->of[at - 1];
	out->of[at] = (cairn_candidate){.name = name, .path = path};
	out->n++;
}

void cairn_candidates_find(cairn_candidates *out, const char *device, cairn_arena *arena)
{
	const char *dirs[MAX_DIRS];
	size_t n = cairn_plugin_dirs(dirs, CAIRN_COUNT(dirs), arena);

	out->n = 0;
	for (size_t i = 0; i < n; i++) {
		const char *path = cairn_arena_printf(arena, "%s/kernels", dirs[i]);
		DIR *dir = opendir(path);
		size_t first = out->n;
		const struct dirent *file;

		while (dir && (file = readdir(dir))) {
			const char *name = name_of(file->d_name, device, arena);

			if (name && out->n < CAIRN_MAX_BACKENDS && !is_shadowed(out, name))
				insert(out, first, name,
					cairn_arena_printf(arena, "%s/%s.so", path, name));
		}
		if (dir)
			closedir(dir);
	}
}

size_t cairn_candidates_best(const cairn_candidates *candidates)
{
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < candidates->n; i++) {
		const cairn_candidate *candidate = &candidates->of[i];

		if (candidate->score > 0 && !candidate->why.code &&
			(best == SIZE_MAX || candidate->score > candidates->of[best].score))
			best = i;
	}
	return best;
}

void cairn_candidates_say(cairn_text *out, const cairn_candidates *candidates)
{
	for (size_t i = 0; i < candidates->n; i++) {
		const cairn_candidate *candidate = &candidates->of[i];

		if (!candidate->why.code)
			continue;
		cairn_text_printf(out, "%s%s: %s%s%s", out->len ? "; " : "", candidate->name,
			candidate->why.message, candidate->why.detail[0] ? ": " : "",
			candidate->why.detail);
	}
}

int cairn_candidates_refuse(
	const cairn_candidates *candidates, const char *device, cairn_error *err)
{
	const cairn_error *why = candidates->n ? &candidates->of[0].why : NULL;
	cairn_text all = {0};

	if (!candidates->n) {
		cairn_error_set(err, CAIRN_EDEVICE, "no compute backend for device '%s'", device);
		cairn_error_detail(err, "no kernels/%s.so was found",
			strcmp(device, "auto") == 0 ? "*" : device);
		cairn_error_hint(err, "Backends lie in 'kernels' below the plugin directories; "
				      "CAIRN_PLUGIN_PATH adds directories. `cairn doctor` lists "
				      "what there is.");
		return CAIRN_EDEVICE;
	}
	if (candidates->n == 1) {
		cairn_error_set(err, CAIRN_EDEVICE, "%s", why->message);
		if (why->detail[0])
			cairn_error_detail(err, "%s", why->detail);
		cairn_error_hint(err, "%s",
			why->hint[0] ? why->hint : "`cairn doctor` says what this machine has.");
		return CAIRN_EDEVICE;
	}
	cairn_candidates_say(&all, candidates);
	cairn_error_set(
		err, CAIRN_EDEVICE, "no compute backend can be used for device '%s'", device);
	cairn_error_detail(err, "%s", cairn_text_get(&all));
	cairn_error_hint(err, "`cairn doctor` says of each what would help.");
	cairn_text_free(&all);
	return CAIRN_EDEVICE;
}

int cairn_candidates_mistake(const cairn_candidates *candidates, cairn_error *err)
{
	for (size_t i = 0; i < candidates->n; i++) {
		const cairn_error *why = &candidates->of[i].why;

		if (why->code != CAIRN_EPARAM)
			continue;
		if (err && !err->code)
			*err = *why;
		return why->code;
	}
	return 0;
}

/* ---- one of them -------------------------------------------------------------------------- */

int cairn_backend_load(cairn_kernels_backend *out, const char *path, cairn_error *err)
{
	static const cairn_abi_expected expected = {
		.what = "compute backend",
		.begin = "CAIRN_KERNELS_MAGIC",
		.magic = CAIRN_KERNELS_MAGIC,
		.major = CAIRN_KERNELS_MAJOR,
		.minor = CAIRN_KERNELS_MINOR,
		.size = sizeof(cairn_kernels_backend),
		.size_min = offsetof(cairn_kernels_backend, look),
	};
	const void *symbol;
	int rc = cairn_abi_symbol(&symbol, path, CAIRN_KERNELS_SYMBOL, err);

	return rc < 0 ? rc : cairn_abi_copy(out, symbol, path, &expected, err);
}

int cairn_backend_open(cairn_kernels *out, const cairn_kernels_backend *backend, int threads,
	const char *path, cairn_error *err)
{
	int rc;

	memset(out, 0, sizeof(*out));
	rc = backend->open(out, threads, err);
	if (rc < 0)
		return cairn_error_set(
			err, rc, "'%s' cannot be opened, and does not say why", path);
	if (out->name && out->numerics)
		return 0;
	backend->close(out);
	return cairn_error_set(err, CAIRN_EABI,
		"'%s' does not say what it is, or in what numbers it computes", path);
}

/* A candidate that fails when it is opened makes room for the next. */
static int open_next(cairn_kernels *out, cairn_kernels_backend *backend,
	cairn_kernels_backend *loaded, cairn_candidates *candidates, const char *device,
	int threads, cairn_error *err)
{
	for (;;) {
		size_t best = cairn_candidates_best(candidates);
		cairn_candidate *candidate = &candidates->of[best == SIZE_MAX ? 0 : best];

		if (best == SIZE_MAX)
			return cairn_candidates_refuse(candidates, device, err);
		if (cairn_backend_open(
			    out, &loaded[best], threads, candidate->path, &candidate->why) == 0) {
			*backend = loaded[best];
			return 0;
		}
		if (cairn_candidates_mistake(candidates, err) < 0)
			return candidate->why.code;
	}
}

int cairn_backend_open_best(cairn_kernels *out, cairn_kernels_backend *backend,
	cairn_candidates *candidates, const char *device, int threads, cairn_error *err)
{
	cairn_kernels_backend loaded[CAIRN_MAX_BACKENDS];

	for (size_t i = 0; i < candidates->n; i++) {
		cairn_candidate *candidate = &candidates->of[i];

		if (cairn_backend_load(&loaded[i], candidate->path, &candidate->why) < 0)
			continue;
		candidate->score = loaded[i].score();
		/* It cannot serve, and says why when it is opened. */
		if (candidate->score <= 0 && cairn_backend_open(out, &loaded[i], threads,
						     candidate->path, &candidate->why) == 0) {
			loaded[i].close(out);
			cairn_error_set(&candidate->why, CAIRN_EDEVICE,
				"'%s' says that it cannot compute here", candidate->path);
		}
	}
	return open_next(out, backend, loaded, candidates, device, threads, err);
}

/* ---- what one says of itself --------------------------------------------------------------- */

static json_t *constants(const cairn_kernels *k)
{
	return json_pack("{s:s, s:s, s:b, s:b, s:b, s:i, s:I, s:I, s:f}", "backend", k->name,
		"numerics", k->numerics, "in_host_memory", (int)k->in_host_memory,
		"batch_invariant", (int)k->batch_invariant, "wants_packed", (int)k->wants_packed,
		"act_bytes", (int)k->act_bytes, "enough_rows", (json_int_t)k->enough_rows,
		"device_bytes", (json_int_t)k->device_bytes, "peak_flops", k->peak_flops);
}

/* What the machine has of its kind, wanted or not: for `cairn doctor`. */
static void add_look(json_t *json, const cairn_kernels_backend *backend)
{
	char *text = backend->look ? backend->look() : NULL;

	if (text)
		json_object_set_new(json, "look", cairn_record_text(text));
	free(text);
}

int cairn_backend_describe(json_t **out, const char *path, const json_t *request, cairn_error *err)
{
	cairn_kernels_backend backend;
	cairn_error why = {0};
	cairn_kernels kernels;
	json_t *json;
	int rc = cairn_backend_load(&backend, path, err), score;

	if (rc < 0)
		return rc;
	json = json_object();
	score = backend.score();
	json_object_set_new(json, "score", json_integer(score));
	/* One thread: nothing is computed. */
	if (cairn_backend_open(&kernels, &backend, 1, path, &why) == 0) {
		json_t *of = constants(&kernels);

		json_object_update(json, of);
		json_decref(of);
		backend.close(&kernels);
		if (score <= 0)
			cairn_error_set(
				&why, CAIRN_EDEVICE, "'%s' says that it cannot compute here", path);
	}
	if (why.code)
		json_object_set_new(json, "why", cairn_record_error(&why));
	if (json_is_true(json_object_get(request, "look")))
		add_look(json, &backend);
	*out = json;
	return 0;
}
