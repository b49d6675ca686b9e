/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_kernels.c - the compute backend, opened when the plugin first asks for it.
 *
 * Candidates are the shared objects in "kernels" below the plugin directories; a name that
 * was seen shadows later ones. The device of the workflow restricts them to those of that
 * name ("cpu" takes cpu.so); among the rest the highest score wins. The plugin gets the
 * table wrapped by the meter.
 */
#include <dirent.h>
#include <string.h>

#include "run/host/host.h"
#include "run/plugin/abi.h"
#include "run/plugin/plugins.h"

#define MAX_CANDIDATES 32

struct choice {
	cairn_kernels_backend backend;
	int score; /* 0: none yet */
	const char *names[MAX_CANDIDATES];
	size_t n;
	cairn_text tried;
};

static int load(cairn_kernels_backend *out, const char *path, cairn_error *err)
{
	static const cairn_abi_expected expected = {
		.what = "compute backend",
		.begin = "CAIRN_KERNELS_MAGIC",
		.magic = CAIRN_KERNELS_MAGIC,
		.major = CAIRN_KERNELS_MAJOR,
		.minor = CAIRN_KERNELS_MINOR,
		.size = sizeof(cairn_kernels_backend),
		.size_min = sizeof(cairn_kernels_backend),
	};
	const void *symbol;
	int rc = cairn_abi_symbol(&symbol, path, CAIRN_KERNELS_SYMBOL, err);

	return rc < 0 ? rc : cairn_abi_copy(out, symbol, path, &expected, err);
}

static void consider(cairn_run *run, struct choice *choice, const char *dir, const char *name)
{
	const char *path = cairn_arena_printf(run->arena, "%s/%s.so", dir, name);
	cairn_kernels_backend backend;
	cairn_error why = {0};
	int score;

	for (size_t i = 0; i < choice->n; i++) {
		if (strcmp(choice->names[i], name) == 0)
			return;
	}
	if (choice->n == MAX_CANDIDATES)
		return;
	choice->names[choice->n++] = name;
	if (load(&backend, path, &why) < 0) {
		cairn_text_printf(&choice->tried, "%s: %s; ", name, why.message);
		return;
	}
	score = backend.score();
	cairn_text_printf(&choice->tried, "%s: score %d; ", name, score);
	if (score > choice->score) {
		choice->score = score;
		choice->backend = backend;
	}
}

/* "cpu" for "cpu.so"; NULL for other files and other devices. */
static const char *candidate(cairn_run *run, const char *file)
{
	size_t len = strlen(file);

	if (len <= 3 || strcmp(file + len - 3, ".so") != 0)
		return NULL;
	if (strcmp(run->job.device, "auto") != 0 &&
		(strncmp(run->job.device, file, len - 3) != 0 || run->job.device[len - 3]))
		return NULL;
	return cairn_arena_strndup(run->arena, file, len - 3);
}

static void search(cairn_run *run, struct choice *choice)
{
	const char *dirs[64];
	size_t n = cairn_plugin_dirs(dirs, CAIRN_COUNT(dirs), run->arena);

	for (size_t i = 0; i < n; i++) {
		const char *path = cairn_arena_printf(run->arena, "%s/kernels", dirs[i]);
		DIR *dir = opendir(path);
		const struct dirent *file;

		while (dir && (file = readdir(dir))) {
			const char *name = candidate(run, file->d_name);
			if (name)
				consider(run, choice, path, name);
		}
		if (dir)
			closedir(dir);
	}
}

static int open_best(cairn_run *run, const struct choice *choice, cairn_error *err)
{
	int rc;

	if (!choice->score) {
		cairn_error_set(
			err, CAIRN_EDEVICE, "no compute backend for device '%s'", run->job.device);
		cairn_error_detail(err, "%s",
			choice->n ? cairn_text_get(&choice->tried) : "no kernels/*.so was found");
		cairn_error_hint(err, "Backends lie in 'kernels' below the plugin directories; "
				      "CAIRN_PLUGIN_PATH adds directories.");
		return CAIRN_EDEVICE;
	}
	rc = choice->backend.open(&run->inner, (int)run->job.threads, err);
	if (rc < 0)
		return rc;
	run->kernels_close = choice->backend.close;
	run->backend = run->inner.name ? run->inner.name : choice->backend.name;
	/* The key was computed for one numeric class: another would be another result. A tool
	 * has no key. */
	if (!run->job.numerics[0])
		return 0;
	if (!run->inner.numerics || strcmp(run->inner.numerics, run->job.numerics) != 0)
		return cairn_error_set(err, CAIRN_EABI,
			"backend '%s' computes in '%s', the key says '%s'", run->backend,
			run->inner.numerics ? run->inner.numerics : "?", run->job.numerics);
	return 0;
}

int cairn_host_kernels(cairn_run *run, const cairn_kernels **out)
{
	cairn_error *err = cairn_host_err(run);
	struct choice choice = {0};
	int rc = 0;

	if (!(run->plugin.capabilities & CAIRN_NEEDS_KERNELS))
		return cairn_error_set(err, CAIRN_EBUG,
			"plugin '%s' uses kernels but does not say that it needs them",
			run->plugin.name);
	if (!run->has_kernels) {
		search(run, &choice);
		rc = open_best(run, &choice, err);
		cairn_text_free(&choice.tried);
		if (rc < 0)
			return rc;
		cairn_meter_wrap(&run->kernels, &run->inner, &run->meter);
		run->has_kernels = true;
		cairn_host_log(run, CAIRN_LOG_DEBUG, "computing with %s, %d threads", run->backend,
			run->inner.threads);
	}
	*out = &run->kernels;
	return rc;
}

void cairn_host_kernels_close(cairn_run *run)
{
	if (run->kernels_close)
		run->kernels_close(&run->inner);
	run->kernels_close = NULL;
}
