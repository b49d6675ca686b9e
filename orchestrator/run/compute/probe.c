/* SPDX-License-Identifier: Apache-2.0 */
/* probe.c - asks, chooses, remembers. Reads like: probe.h, backends.h. */
#include "run/compute/probe.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "audit/record.h"
#include "base/digest.h"
#include "base/text.h"
#include "run/compute/backends.h"
#include "run/plugin/describe.h"
#include "run/wire.h"

#define NOTE_PREFIX "compute:"
#define NOTE_MAX    128
#define VERSION     1 /* of what is remembered */

/* What was found out about the candidates. */
struct probe {
	cairn_candidates candidates;
	json_t *answers[CAIRN_MAX_BACKENDS]; /* NULL where none came */
};

/* ---- asking ------------------------------------------------------------------------------- */

static void ask_one(struct probe *probe, size_t i, bool look)
{
	cairn_candidate *candidate = &probe->candidates.of[i];
	json_t *request = json_pack("{s:b}", "look", (int)look), *answer = NULL, *why;

	if (cairn_describe_ask(&answer, candidate->path, "backend", request, &candidate->why) < 0) {
		if (!candidate->why.code)
			cairn_error_set(&candidate->why, CAIRN_EDEVICE, "no answer came from '%s'",
				candidate->path);
	} else {
		candidate->score = (int)cairn_json_integer(answer, "score", 0);
		why = json_object_get(answer, "why");
		if (why)
			cairn_wire_error_of(&candidate->why, why);
	}
	probe->answers[i] = answer;
	json_decref(request);
}

static void ask_all(struct probe *probe, bool look)
{
	for (size_t i = 0; i < probe->candidates.n; i++)
		ask_one(probe, i, look);
}

static void free_answers(struct probe *probe)
{
	for (size_t i = 0; i < probe->candidates.n; i++)
		json_decref(probe->answers[i]);
}

/* ---- what an answer depends on -------------------------------------------------------------- */

static void add_file(cairn_text *out, const char *path)
{
	struct stat st = {0};

	if (stat(path, &st) < 0)
		st.st_size = -1;
	cairn_text_printf(out, "%s %lld %lld.%09ld %lld.%09ld %llu %llu\n", path,
		(long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
		(long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec, (unsigned long long)st.st_ino,
		(unsigned long long)st.st_dev);
}

/* The driver's own words; where it is not loaded there is no such file. */
static void add_driver(cairn_text *out)
{
	FILE *file = fopen("/proc/driver/nvidia/version", "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		cairn_text_add(out, line);
	if (file)
		fclose(file);
}

/* True: there is a device that a candidate for GPUs might use. */
static bool add_devices(cairn_text *out)
{
	static const char *const patterns[] = {
		"/dev/nvidiactl", "/dev/nvidia[0-9]*", "/dev/dxg", "/dev/kfd"};
	bool has_some = false;
	glob_t found;

	for (size_t i = 0; i < CAIRN_COUNT(patterns); i++) {
		if (glob(patterns[i], 0, NULL, &found) == 0) {
			for (size_t f = 0; f < found.gl_pathc; f++)
				cairn_text_printf(out, "%s\n", found.gl_pathv[f]);
			has_some |= found.gl_pathc > 0;
		}
		globfree(&found);
	}
	return has_some;
}

/* Digest of all that the answer may follow from; *has_device: add_devices(). */
static void depends_on(
	char out[2 * CAIRN_DIGEST_BYTES + 1], const cairn_candidates *candidates, bool *has_device)
{
	static const char *const names[] = {"CUDA_VISIBLE_DEVICES", "CAIRN_CUDA", "CAIRN_CPU",
		"CAIRN_PLUGIN_PATH", "LD_LIBRARY_PATH"};
	uint8_t sum[CAIRN_DIGEST_BYTES];
	struct utsname machine = {0};
	cairn_text text = {0};

	for (size_t i = 0; i < candidates->n; i++)
		add_file(&text, candidates->of[i].path);
	for (size_t i = 0; i < CAIRN_COUNT(names); i++) {
		const char *value = getenv(names[i]);
		cairn_text_printf(
			&text, "%s%s%s\n", names[i], value ? "=" : "", value ? value : "");
	}
	uname(&machine);
	cairn_text_printf(&text, "%s %s %s\n", machine.nodename, machine.release, machine.machine);
	add_driver(&text);
	*has_device = add_devices(&text);
	cairn_sha256(cairn_text_get(&text), text.len, sum);
	cairn_hex_encode(sum, sizeof(sum), out);
	cairn_text_free(&text);
}

/* ---- memory --------------------------------------------------------------------------------- */

static size_t note_name(char out[NOTE_MAX], const char *device)
{
	int len = snprintf(out, NOTE_MAX, NOTE_PREFIX "%s", device);

	return len > 0 && len < NOTE_MAX ? (size_t)len : 0;
}

/* New reference, or NULL. */
static json_t *remembered(cairn_store *store, const char *device, const char *of)
{
	cairn_snapshot *snapshot;
	char name[NOTE_MAX];
	size_t name_len = note_name(name, device), len;
	json_t *json = NULL, *answer = NULL;
	const void *value;

	if (!store || !name_len || cairn_snapshot_begin(&snapshot, store, NULL) < 0)
		return NULL;
	if (cairn_snapshot_get(snapshot, "note", name, name_len, &value, &len, NULL) == 0 &&
		cairn_json_parse(&json, value, len, "note", NULL) == 0 &&
		cairn_json_integer(json, "version", 0) == VERSION &&
		strcmp(cairn_json_string(json, "of", ""), of) == 0)
		answer = json_incref(json_object_get(json, "answer"));
	json_decref(json);
	cairn_snapshot_end(snapshot);
	return answer;
}

/* Only a memory: failing to write it (a read-only store) is no error. */
static void write_note(cairn_store *store, const char *device, const char *text)
{
	char name[NOTE_MAX];
	size_t name_len = note_name(name, device);
	cairn_batch *batch = NULL;
	int rc;

	if (!store || !name_len || cairn_batch_begin(&batch, store, NULL) < 0)
		return;
	rc = text ? cairn_batch_put(batch, "note", name, name_len, text, strlen(text), NULL)
		  : cairn_batch_delete(batch, "note", name, name_len, NULL);
	if (rc == 0)
		rc = cairn_batch_commit(batch, NULL);
	else
		cairn_batch_abort(batch);
	(void)rc;
}

static void remember(cairn_store *store, const char *device, const char *of, json_t *answer)
{
	json_t *json = json_pack("{s:i, s:s, s:O}", "version", VERSION, "of", of, "answer", answer);
	char *text = json ? cairn_json_canonical(json) : NULL;

	if (text)
		write_note(store, device, text);
	free(text);
	json_decref(json);
}

void cairn_compute_forget(cairn_store *store, const char *device)
{
	write_note(store, device, NULL);
}

/* Will the same be true the next time, as long as nothing that it depends on changes? Not of one
 * that could compute and failed, and not where a device that is there was refused. */
static bool is_lasting(const cairn_candidates *candidates, bool has_device)
{
	for (size_t i = 0; i < candidates->n; i++) {
		const cairn_candidate *candidate = &candidates->of[i];

		if (candidate->why.code && candidate->why.code != CAIRN_EABI &&
			(candidate->score > 0 || has_device ||
				candidate->why.code != CAIRN_EDEVICE))
			return false;
	}
	return true;
}

/* ---- finding -------------------------------------------------------------------------------- */

static const char *text_of(const json_t *answer, const char *name, cairn_arena *arena)
{
	return cairn_arena_strdup(arena, cairn_json_string(answer, name, ""));
}

static bool flag_of(const json_t *answer, const char *name)
{
	return json_is_true(json_object_get(answer, name));
}

static void take(cairn_compute *out, const json_t *answer, cairn_arena *arena)
{
	*out = (cairn_compute){
		.name = text_of(answer, "name", arena),
		.path = text_of(answer, "path", arena),
		.backend = text_of(answer, "backend", arena),
		.numerics = text_of(answer, "numerics", arena),
		.of = {.in_host_memory = flag_of(answer, "in_host_memory"),
			.act_bytes = (int32_t)cairn_json_integer(answer, "act_bytes", 0),
			.batch_invariant = flag_of(answer, "batch_invariant"),
			.wants_packed = flag_of(answer, "wants_packed"),
			.enough_rows = cairn_json_integer(answer, "enough_rows", 0)},
		.device_bytes = (uint64_t)cairn_json_integer(answer, "device_bytes", 0),
		.peak_flops = cairn_json_number(answer, "peak_flops", 0),
		.passed_over = text_of(answer, "passed_over", arena),
	};
}

/* The answer of the best, with its name and what is to be said of the others. New reference. */
static json_t *choose(const struct probe *probe, const char *device, cairn_error *err)
{
	const cairn_candidates *candidates = &probe->candidates;
	size_t best = cairn_candidates_best(candidates);
	cairn_text others = {0};
	json_t *answer;

	if (cairn_candidates_mistake(candidates, err) < 0)
		return NULL;
	if (best == SIZE_MAX) {
		cairn_candidates_refuse(candidates, device, err);
		return NULL;
	}
	answer = json_copy(probe->answers[best]);
	cairn_candidates_say(&others, candidates);
	json_object_set_new(answer, "name", cairn_record_text(candidates->of[best].name));
	json_object_set_new(answer, "path", cairn_record_text(candidates->of[best].path));
	json_object_set_new(answer, "passed_over", cairn_record_text(cairn_text_get(&others)));
	cairn_text_free(&others);
	return answer;
}

int cairn_compute_find(cairn_compute *out, const char *device, cairn_store *store,
	cairn_arena *arena, cairn_error *err)
{
	char of[2 * CAIRN_DIGEST_BYTES + 1];
	struct probe probe = {0};
	cairn_error why = {0};
	bool has_device;
	json_t *answer;

	cairn_candidates_find(&probe.candidates, device, arena);
	depends_on(of, &probe.candidates, &has_device);
	answer = remembered(store, device, of);
	if (!answer) {
		ask_all(&probe, false);
		answer = choose(&probe, device, &why);
		if (answer && is_lasting(&probe.candidates, has_device))
			remember(store, device, of, answer);
		free_answers(&probe);
	}
	if (!answer) {
		if (err && !err->code)
			*err = why;
		return why.code ? why.code : CAIRN_EDEVICE;
	}
	take(out, answer, arena);
	json_decref(answer);
	return 0;
}

/* ---- the survey ------------------------------------------------------------------------------ */

static json_t *row_of(const struct probe *probe, size_t i, bool is_best)
{
	const cairn_candidate *candidate = &probe->candidates.of[i];
	json_t *row = probe->answers[i] ? json_copy(probe->answers[i]) : json_object();

	json_object_set_new(row, "name", cairn_record_text(candidate->name));
	json_object_set_new(row, "path", cairn_record_text(candidate->path));
	json_object_set_new(row, "score", json_integer(candidate->score));
	json_object_set_new(row, "state",
		json_string(is_best               ? "chosen"
			    : candidate->why.code ? "refused"
						  : "usable"));
	json_object_set_new(row, "why",
		candidate->why.code ? cairn_record_error(&candidate->why) : json_null());
	if (!json_object_get(row, "look"))
		json_object_set_new(row, "look", json_null());
	return row;
}

json_t *cairn_compute_survey(const char *device)
{
	cairn_arena *arena = cairn_arena_new();
	struct probe probe = {0};
	json_t *list = json_array();
	size_t best;

	cairn_candidates_find(&probe.candidates, device, arena);
	ask_all(&probe, true);
	best = cairn_candidates_best(&probe.candidates);
	for (size_t i = 0; i < probe.candidates.n; i++)
		json_array_append_new(list, row_of(&probe, i, i == best));
	free_answers(&probe);
	cairn_arena_free(arena);
	return list;
}
