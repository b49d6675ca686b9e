/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.c - the checks, in the order in which a run meets what they are about. */
#include "run/check/doctor.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "audit/provenance.h"
#include "audit/record.h"
#include "base/text.h"
#include "cairn/gc.h"
#include "cairn/kernels.h"
#include "run/compute/probe.h"
#include "run/plan/preflight.h"
#include "run/run.h"

/* Less than that on the store's disk is soon used up. */
#define LITTLE_ROOM ((uint64_t)1 << 30)

typedef struct doctor {
	json_t *document, *checks;
	bool has_failed;
} doctor;

/* ---- checks -------------------------------------------------------------------------------- */

/* hint may be NULL. */
static void say(doctor *d, const char *check, const char *verdict, const char *hint,
	const char *format, ...) CAIRN_PRINTF(5, 6);

static void say(doctor *d, const char *check, const char *verdict, const char *hint,
	const char *format, ...)
{
	char what[1400];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	d->has_failed |= strcmp(verdict, "failed") == 0;
	json_array_append_new(d->checks,
		json_pack("{s:s, s:s, s:o, s:o}", "check", check, "verdict", verdict, "what",
			cairn_record_text(what), "hint", cairn_record_text(hint ? hint : "")));
}

static void say_error(doctor *d, const char *check, const char *verdict, const cairn_error *err)
{
	say(d, check, verdict, err->hint, "%s%s%s", err->message, err->detail[0] ? ": " : "",
		err->detail);
}

/* ---- cairn and the machine ------------------------------------------------------------------- */

static void look_at_cairn(doctor *d)
{
	char stage[32], kernels[32];

	snprintf(stage, sizeof(stage), "%d.%d", CAIRN_STAGE_MAJOR, CAIRN_STAGE_MINOR);
	snprintf(kernels, sizeof(kernels), "%d.%d", CAIRN_KERNELS_MAJOR, CAIRN_KERNELS_MINOR);
	json_object_set_new(d->document, "version", json_string(CAIRN_VERSION));
	json_object_set_new(d->document, "build",
		json_pack("{s:s, s:s, s:s, s:s}", "type", CAIRN_BUILD_TYPE, "compiler", __VERSION__,
			"plugin_contract", stage, "kernels_contract", kernels));
	say(d, "cairn", "ok", NULL, "%s, %s build by %s; contracts: plugins %s, kernels %s",
		CAIRN_VERSION, CAIRN_BUILD_TYPE[0] ? CAIRN_BUILD_TYPE : "plain", __VERSION__, stage,
		kernels);
}

/* The first "model name" of /proc/cpuinfo. */
static void cpu_model(char out[128])
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(out, 128, "a processor without a name");
	while (file && fgets(line, sizeof(line), file)) {
		const char *colon = strchr(line, ':');

		if (!colon || strncmp(line, "model name", 10) != 0)
			continue;
		snprintf(out, 128, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
		break;
	}
	if (file)
		fclose(file);
}

static void look_at_machine(doctor *d)
{
	long all = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t memory = cairn_memory_limit();
	char model[128], text[32];
	cpu_set_t set;
	int usable = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : (int)all;

	cpu_model(model);
	json_object_set_new(d->document, "machine",
		json_pack("{s:o, s:I, s:i, s:I}", "cpu", cairn_record_text(model), "cpus",
			(json_int_t)all, "cpus_usable", usable, "memory_bytes",
			(json_int_t)memory));
	say(d, "processor", "ok", NULL, "%s, %d of %ld usable", model, usable, all);
	if (memory)
		say(d, "memory", "ok", NULL, "%s for all stages together",
			cairn_format_bytes(text, (double)memory, 99.95));
	else
		say(d, "memory", "warning", "Say how much they may use with CAIRN_MEMORY.",
			"nobody knows how much there is: no plan can be refused for it");
}

/* ---- what computes -----------------------------------------------------------------------------
 */

static bool has_device_file(void)
{
	return access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dxg", F_OK) == 0;
}

/* One that is not for this machine is nothing to worry about; one that should be is. */
static void say_refused(doctor *d, const char *check, const json_t *row, const json_t *why)
{
	const char *code = cairn_json_string(why, "code", "");
	const char *detail = cairn_json_string(why, "detail", "");
	bool is_mistake = strcmp(code, "EPARAM") == 0;
	bool is_expected = strcmp(code, "EDEVICE") == 0 &&
			   cairn_json_integer(row, "score", 0) <= 0 && !has_device_file();

	say(d, check,
		is_mistake    ? "failed"
		: is_expected ? "none"
			      : "warning",
		cairn_json_string(why, "hint", ""), "%s%s%s",
		cairn_json_string(why, "message", "?"), detail[0] ? ": " : "", detail);
}

static void say_backend(doctor *d, const json_t *row)
{
	const json_t *why = json_object_get(row, "why");
	const char *state = cairn_json_string(row, "state", "");
	double bytes = cairn_json_number(row, "device_bytes", 0);
	double peak = cairn_json_number(row, "peak_flops", 0);
	char check[64], memory[32];
	cairn_text text = {0};

	snprintf(check, sizeof(check), "%.40s", cairn_json_string(row, "name", "?"));
	if (json_is_object(why)) {
		say_refused(d, check, row, why);
		return;
	}
	cairn_text_printf(&text, "%s, in '%s'", cairn_json_string(row, "backend", "?"),
		cairn_json_string(row, "numerics", "?"));
	if (bytes > 0)
		cairn_text_printf(&text, ", %s", cairn_format_bytes(memory, bytes, 99.95));
	if (peak > 0)
		cairn_text_printf(&text, ", %.4g TFLOP/s at best", peak / 1e12);
	if (strcmp(state, "chosen") == 0)
		cairn_text_add(&text, "; `device = auto` takes it");
	say(d, check, "ok", NULL, "%s", cairn_text_get(&text));
	cairn_text_free(&text);
}

static void look_at_backends(doctor *d)
{
	json_t *rows = cairn_compute_survey("auto"), *row;
	const char *chosen = NULL;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		say_backend(d, row);
		if (strcmp(cairn_json_string(row, "state", ""), "chosen") == 0)
			chosen = cairn_json_string(row, "name", "");
	}
	if (!chosen)
		say(d, "compute", "failed",
			"Backends lie in 'kernels' below the plugin directories; CAIRN_PLUGIN_PATH "
			"adds directories.",
			"%s, so no stage that trains or samples can run",
			json_array_size(rows) ? "no compute backend can be used"
					      : "no compute backend was found");
	json_object_set_new(d->document, "auto", chosen ? json_string(chosen) : json_null());
	json_object_set_new(d->document, "backends", rows);
}

/* ---- the store ---------------------------------------------------------------------------------
 */

/* The type of the file system that a file lies on, of /proc/self/mountinfo: "ID PARENT MAJOR:MINOR
 * ROOT POINT OPTIONS... - TYPE SOURCE ...". */
static void file_system(char out[32], dev_t device)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[PATH_MAX];

	snprintf(out, 32, "unknown");
	while (file && fgets(line, sizeof(line), file)) {
		const char *type = strstr(line, " - ");
		unsigned major_no, minor_no;

		if (!type || sscanf(line, "%*d %*d %u:%u", &major_no, &minor_no) != 2 ||
			major_no != major(device) || minor_no != minor(device))
			continue;
		snprintf(out, 32, "%.*s", (int)strcspn(type + 3, " \n"), type + 3);
	}
	if (file)
		fclose(file);
}

/* "version = 2" of the file `format`; 0: there is none. */
static int format_of(const char *directory)
{
	char path[PATH_MAX], line[128];
	int version = 0;
	FILE *file;

	if (snprintf(path, sizeof(path), "%s/format", directory) >= (int)sizeof(path))
		return 0;
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "version = %d", &version) == 1)
			break;
	}
	if (file)
		fclose(file);
	return version;
}

/* The directory itself, or where it would be made. */
static void nearest(char out[PATH_MAX], const char *directory)
{
	snprintf(out, PATH_MAX, "%s", directory[0] ? directory : ".");
	while (access(out, F_OK) < 0) {
		char *slash = strrchr(out, '/');

		if (slash == out)
			slash++;
		if (!slash || !*slash) {
			snprintf(out, PATH_MAX, slash ? "/" : ".");
			return;
		}
		*slash = '\0';
	}
}

static void say_store(doctor *d, const char *directory, const json_t *store)
{
	uint64_t free_bytes = (uint64_t)cairn_json_integer(store, "free_bytes", 0);
	const char *type = cairn_json_string(store, "file_system", "");
	char bytes[32], room[32];

	cairn_format_bytes(room, (double)free_bytes, 9.95);
	if (!json_is_true(json_object_get(store, "is_writable")))
		say(d, "store", "failed",
			"Name another place with --store or CAIRN_STORE, or have this one made "
			"writable.",
			"'%s' cannot be written to", directory);
	else if (!json_is_true(json_object_get(store, "exists")))
		say(d, "store", "ok", NULL,
			"'%s' is not there yet: the first run makes it; %s with %s free", directory,
			type, room);
	else
		say(d, "store", "ok", NULL,
			"'%s', format %lld, %s in %lld artifacts; %s with %s free", directory,
			(long long)cairn_json_integer(store, "format", 0),
			cairn_format_bytes(bytes, cairn_json_number(store, "bytes", 0), 9.95),
			(long long)cairn_json_integer(store, "artifacts", 0), type, room);
	if (free_bytes < LITTLE_ROOM)
		say(d, "disk", "warning",
			"`cairn gc` frees what nothing needs any more; --store names another disk.",
			"only %s are free where the store is", room);
}

/* The open store's part; ENOTFOUND: there is none yet. */
static int read_store(json_t *out, const char *directory, cairn_error *err)
{
	cairn_store *store = NULL;
	cairn_store_sizes sizes;
	int rc = cairn_store_open(&store, directory, CAIRN_STORE_READONLY, err);

	if (rc < 0)
		return rc;
	rc = cairn_store_sizes_get(store, &sizes, err);
	cairn_store_close(store);
	if (rc < 0)
		return rc;
	json_object_set_new(out, "format", json_integer(format_of(directory)));
	json_object_set_new(
		out, "bytes", json_integer((json_int_t)(sizes.segment_bytes + sizes.index_bytes)));
	json_object_set_new(out, "artifacts", json_integer((json_int_t)sizes.n_artifacts));
	return 0;
}

static void look_at_store(doctor *d, const char *directory)
{
	char place[PATH_MAX], real[PATH_MAX], type[32] = "";
	struct statvfs room = {0};
	struct stat st;
	cairn_error err = {0};
	json_t *store;
	int rc;

	nearest(place, directory);
	if (stat(place, &st) == 0)
		file_system(type, st.st_dev);
	(void)statvfs(place, &room);
	store = json_pack("{s:o, s:b, s:n, s:n, s:n, s:I, s:o, s:b}", "path",
		cairn_record_text(realpath(directory, real) ? real : directory), "exists", 1,
		"format", "bytes", "artifacts", "free_bytes",
		(json_int_t)((uint64_t)room.f_bavail * room.f_frsize), "file_system",
		cairn_record_text(type), "is_writable", access(place, W_OK | X_OK) == 0);
	rc = read_store(store, directory, &err);
	if (rc == CAIRN_ENOTFOUND)
		json_object_set_new(store, "exists", json_false());
	if (rc < 0 && rc != CAIRN_ENOTFOUND)
		say_error(d, "store", "failed", &err);
	else
		say_store(d, directory, store);
	json_object_set_new(d->document, "store", store);
}

/* ---- plugins -----------------------------------------------------------------------------------
 */

static json_t *plugin_row(const cairn_plugin_info *info)
{
	char contract[32];

	snprintf(contract, sizeof(contract), "%u.%u", info->major, info->minor);
	return json_pack("{s:s, s:s, s:o, s:s, s:b}", "name", info->name, "version", info->version,
		"path", cairn_record_text(info->path), "contract", contract, "needs_kernels",
		(info->capabilities & CAIRN_NEEDS_KERNELS) != 0);
}

static void look_at_plugins(doctor *d, const char *directory)
{
	json_t *list = json_array();
	cairn_registry *registry = NULL;
	cairn_store *store = NULL;
	cairn_error err = {0};
	const char *const *names;
	cairn_text text = {0};
	size_t n = 0;

	/* It remembers descriptions; there need not be one. */
	if (cairn_store_open(&store, directory, 0, NULL) < 0)
		store = NULL;
	if (cairn_plugins_open(&registry, store, &err) < 0)
		say_error(d, "plugins", "failed", &err);
	else
		n = registry->names(registry, &names);
	for (size_t i = 0; i < n; i++) {
		cairn_error why = {0};
		const cairn_plugin_info *info = registry->find(registry, names[i], &why);

		if (!info) { /* it disturbs nobody who does not use it */
			say_error(d, names[i], "warning", &why);
			continue;
		}
		json_array_append_new(list, plugin_row(info));
		cairn_text_printf(&text, "%s%s", text.len ? ", " : "", info->name);
	}
	if (registry && json_array_size(list))
		say(d, "plugins", "ok", NULL, "%zu: %s", json_array_size(list),
			cairn_text_get(&text));
	else if (registry)
		say(d, "plugins", "failed",
			"They lie in 'plugins' beside the program, in its installation and in the "
			"directories of CAIRN_PLUGIN_PATH.",
			"no stage plugin was found");
	cairn_text_free(&text);
	json_object_set_new(d->document, "plugins", list);
	if (registry)
		cairn_plugins_close(registry);
	cairn_store_close(store);
}

/* ---- provenance --------------------------------------------------------------------------------
 */

static void look_at_git(doctor *d)
{
	json_t *git = cairn_provenance_take(NULL, ".");
	const char *head = cairn_json_string(git, "head", NULL);

	if (json_is_true(json_object_get(git, "available")))
		say(d, "git", "ok", NULL, "the code in '%s' is recorded with each run: %.12s%s",
			cairn_json_string(git, "repository", "?"), head ? head : "no commit yet",
			json_is_true(json_object_get(git, "dirty")) ? ", with changes" : "");
	else
		say(d, "git", "none", cairn_json_string(git, "hint", ""),
			"no code is recorded with a run from here: %s",
			cairn_json_string(git, "reason", "?"));
	json_object_set_new(d->document, "git", git ? git : json_null());
}

json_t *cairn_doctor(const char *directory)
{
	doctor d = {.document = json_object(), .checks = json_array()};

	look_at_cairn(&d);
	look_at_machine(&d);
	look_at_backends(&d);
	look_at_store(&d, directory);
	look_at_plugins(&d, directory);
	look_at_git(&d);
	json_object_set_new(d.document, "checks", d.checks);
	json_object_set_new(d.document, "ok", json_boolean(!d.has_failed));
	return d.document;
}
