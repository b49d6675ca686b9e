/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.c - a store with a long past, made in a minute; and how long the reading verbs take on
 * it.
 *
 *   bench-history make STORE [RUNS [OUTPUTS]]   10,000 runs of 20 stages, 12 outputs each
 *   bench-history time TIMES PROGRAM ARG...     median and least time, largest size of a process
 *
 * A hundred programmes with the shape of workflows/instructgpt.ini share one pretrained model. Each
 * run changes one stage, so that it and what follows run again and the rest is cached. The records
 * are as long as real ones; nothing was computed. The same arguments make the same records.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "audit/record.h"
#include "base/alloc.h"

#define N_STAGES     20
#define N_PROGRAMMES 100
#define MAX_OUTPUTS  64
#define RUNS_A_BATCH 500
#define FIRST_MS     1700000000000

extern char **environ;

/* -1 ends a list; a stage reads the first output of those that it needs. */
static const struct shape {
	const char *instance, *plugin;
	int needs[3];
} shapes[N_STAGES] = {
	{"text", "text", {-1}},
	{"demos", "demo", {-1}},
	{"pretrain", "pretrain", {0, -1}},
	{"sft", "sft", {2, 1, -1}},
	{"ppo_init", "sft", {2, 1, -1}},
	{"samples", "sample", {3, 1, -1}},
	{"rankings@brief", "ranking", {5, -1}},
	{"rankings@courteous", "ranking", {5, -1}},
	{"rm@brief", "rm", {3, 6, -1}},
	{"rm@courteous", "rm", {3, 7, -1}},
	{"ppo@brief", "ppo", {4, 8, -1}},
	{"ppo@courteous", "ppo", {4, 9, -1}},
	{"ppo_ptx@brief", "ppo", {4, 8, 0}},
	{"ppo_ptx@courteous", "ppo", {4, 9, 0}},
	{"eval@brief,brief", "eval", {12, 8, -1}},
	{"eval@brief,courteous", "eval", {12, 9, -1}},
	{"eval@courteous,brief", "eval", {13, 8, -1}},
	{"eval@courteous,courteous", "eval", {13, 9, -1}},
	{"eval_ppo@brief", "eval", {10, 8, -1}},
	{"eval_ppo@courteous", "eval", {11, 9, -1}},
};

/* What a programme has of a stage by now. */
struct made {
	bool is_made;
	cairn_key key;
	char outputs[MAX_OUTPUTS][CAIRN_ID_TEXT];
	char run[CAIRN_RUN_TEXT];
};

struct maker {
	cairn_store *store;
	cairn_batch *batch;
	size_t n_outputs, n_runs, n_results, n_artifacts;
	uint64_t random;
	struct made programmes[N_PROGRAMMES][N_STAGES];
};

static void check(int rc, const cairn_error *err)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s %s\n", err->message, err->detail);
	exit(1);
}

static uint64_t next_random(struct maker *m)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return m->random >> 33;
}

/* ---- one result --------------------------------------------------------------------------- */

static json_t *write_output(struct maker *m, size_t number, char id_text[CAIRN_ID_TEXT])
{
	const char *kind = number == 0   ? "model/lm"
			   : number == 1 ? "metrics"
					 : "dataset/completion";
	const cairn_tensor entry = {.name = "data",
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {8},
		.data = "12345678",
		.bytes = 8};
	cairn_error err = {0};
	char meta[96];
	cairn_id id;

	snprintf(meta, sizeof(meta), "{\"n_params\":908032,\"serial\":%zu}", m->n_artifacts++);
	check(cairn_batch_artifact_begin(m->batch, kind, &err), &err);
	check(cairn_batch_artifact_put(m->batch, &entry, &err), &err);
	check(cairn_batch_artifact_end(m->batch, meta, &id, &err), &err);
	cairn_id_format(&id, id_text);
	return json_pack("{s:s, s:s, s:i}", "id", id_text, "kind", kind, "bytes", 3672064);
}

static json_t *components_of(const struct maker *m, size_t stage, json_t *inputs)
{
	json_t *list = json_object(), *bound;
	const char *port;
	char name[64], value[64];

	json_object_set_new(list, "plugin", json_string(shapes[stage].plugin));
	json_object_set_new(list, "version", json_string("2"));
	json_object_set_new(list, "numerics", json_string("fp32-fma512-lanes16-v2"));
	json_object_set_new(list, "seed", json_string("1"));
	json_object_set_new(list, "param.members", json_string("ann, bob, cem"));
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "param.setting_%d", i);
		snprintf(value, sizeof(value), "%zu", i ? (size_t)i : m->n_results);
		json_object_set_new(list, name, json_string(value));
	}
	json_object_foreach(inputs, port, bound)
	{
		snprintf(name, sizeof(name), "input.%s.0", port);
		json_object_set(list, name, json_object_get(json_array_get(bound, 0), "id"));
	}
	return list;
}

static json_t *inputs_of(const struct made *programme, size_t stage)
{
	static const char *const ports[] = {"model", "data", "more"};
	json_t *inputs = json_object();

	for (size_t i = 0; i < 3 && shapes[stage].needs[i] >= 0; i++) {
		int from = shapes[stage].needs[i];
		char source[64];
		snprintf(source, sizeof(source), "%s:out0", shapes[from].instance);
		json_object_set_new(inputs, ports[i],
			json_pack("[{s:s, s:s, s:s}]", "id", programme[from].outputs[0], "kind",
				"model/lm", "source", source));
		if (i > 0 && from == 0)
			break;
	}
	return inputs;
}

static void write_attempt(struct maker *m, const struct made *made, size_t stage, int64_t ms)
{
	double flop = 1e11 * (double)(1 + stage);
	json_t *attempt = json_pack("{s:i, s:s, s:I, s:I, s:i, s:[f,f,f], s:[f,f,f], s:s, s:f, s:I,"
				    " s:s, s:s, s:s, s:f, s:s, s:i, s:i}",
		"attempt", 1, "boot_id", "b4359ce7-227f-44bb-a0b2-2c4de786f513", "start_ms",
		(json_int_t)ms, "end_ms", (json_int_t)ms + 900, "exit", 0, "flop", 0.0, flop,
		2 * flop, "flop_real", 0.0, flop, 2 * flop, "instance", shapes[stage].instance,
		"kept_flop", 3 * flop, "max_rss_bytes", (json_int_t)106328064, "plugin",
		shapes[stage].plugin, "run", made->run, "state", "done", "seconds", 0.9, "log",
		"/var/lib/cairn/logs/a.log", "step", 872, "total", 872);
	cairn_error err = {0};

	check(cairn_record_put_attempt(m->batch, &made->key, 1, attempt, &err), &err);
	json_decref(attempt);
}

static void write_result(struct maker *m, struct made *programme, size_t stage,
	const char run[CAIRN_RUN_TEXT], int64_t ms)
{
	struct made *made = &programme[stage];
	json_t *inputs = inputs_of(programme, stage), *outputs = json_object(), *result;
	double flop = 3e11 * (double)(1 + stage);
	cairn_error err = {0};
	char port[32];

	cairn_sha256(&m->n_results, sizeof(m->n_results), made->key.bytes);
	memcpy(made->run, run, sizeof(made->run));
	for (size_t i = 0; i < m->n_outputs; i++) {
		snprintf(port, sizeof(port), "out%zu", i);
		json_object_set_new(outputs, port, write_output(m, i, made->outputs[i]));
	}
	result = json_pack("{s:i, s:s, s:s, s:o, s:I, s:[f,f,f], s:[f,f,f], s:o, s:s, s:I, s:o,"
			   " s:s, s:s, s:s, s:f, s:i, s:{s:f,s:f,s:f}, s:s}",
		"attempts", 1, "backend", "cpu/avx512", "build", "12.2.0", "components",
		components_of(m, stage, inputs), "end_ms", (json_int_t)ms + 900, "flop", 0.0,
		flop / 3, flop, "flop_real", 0.0, flop / 3, flop, "inputs", inputs, "instance",
		shapes[stage].instance, "max_rss_bytes", (json_int_t)106328064, "outputs", outputs,
		"plugin", shapes[stage].plugin, "plugin_digest",
		"cd2d29a3467bdc4b7abad58ab56c3b08fbc63be492ed070db6f3e231ab34e151", "run", run,
		"seconds", 0.9, "steps", 872, "summary", "win_rate", 0.5, "valid_loss", 0.59,
		"reward", -0.6, "version", "2");
	check(cairn_record_put_result(m->batch, &made->key, result, &err), &err);
	json_decref(result);
	write_attempt(m, made, stage, ms);
	made->is_made = true;
	m->n_results++;
}

/* ---- one run ------------------------------------------------------------------------------ */

static bool needs_rerun(const bool *is_fresh, size_t stage)
{
	for (size_t i = 0; i < 3 && shapes[stage].needs[i] >= 0; i++) {
		if (is_fresh[shapes[stage].needs[i]])
			return true;
	}
	return false;
}

static void write_stage(struct maker *m, const cairn_run_id *run, const struct made *made,
	size_t stage, bool is_fresh)
{
	char key[CAIRN_KEY_TEXT];
	cairn_error err = {0};
	json_t *record, *inputs = json_object();

	cairn_key_format(&made->key, key);
	for (size_t i = 0; i < 3 && shapes[stage].needs[i] >= 0; i++)
		json_object_set_new(inputs, i ? "data" : "model",
			json_pack("[s]", shapes[shapes[stage].needs[i]].instance));
	record = json_pack("{s:i, s:{s:s}, s:o, s:s, s:s, s:s, s:s, s:b, s:s, s:s}", "attempt",
		is_fresh ? 1 : 0, "axes", "group", "brief", "inputs", inputs, "instance",
		shapes[stage].instance, "key", key, "plugin", shapes[stage].plugin, "reason",
		is_fresh ? "param.setting_0 1 -> 2" : "up to date", "show", 0, "stage",
		shapes[stage].plugin, "state", is_fresh ? "done" : "cached");
	check(cairn_record_put_stage(m->batch, run, (uint32_t)stage, record, &err), &err);
	json_decref(record);
}

static void write_run(struct maker *m, const cairn_run_id *id, size_t programme, int64_t ms)
{
	json_t *plugins = json_object(), *run;
	char name[32], head[41], run_text[CAIRN_RUN_TEXT];
	cairn_error err = {0};

	for (size_t i = 0; i < N_STAGES; i++)
		json_object_set_new(plugins, shapes[i].plugin,
			json_pack("{s:s, s:s, s:s, s:s}", "build", "12.2.0", "path",
				"/usr/lib/cairn/plugins/stage.so", "sha256",
				"cd2d29a3467bdc4b7abad58ab56c3b08fbc63be492ed070db6f3e231ab34e151",
				"version", "2"));
	cairn_run_id_format(id, run_text);
	snprintf(name, sizeof(name), "programme-%02zu", programme);
	snprintf(head, sizeof(head), "%040zx", m->n_runs / 50 + 0xabc000);
	run = json_pack(
		"{s:[s,s,s], s:I, s:s, s:s, s:s, s:i, s:{}, s:i, s:{s:b,s:s,s:b,s:s,s:s,s:o},"
		" s:s, s:I, s:s, s:i, s:s, s:s, s:s}",
		"args", "cairn", "run", "programme.ini", "end_ms", (json_int_t)ms + 60000, "file",
		"programme.ini", "file_id",
		"sha256:903f22c5cebac2f9d6470ef68a879020863ef19b5b9c50e07dfe407bdfad02e8", "host",
		"trainer", "n_stages", N_STAGES, "params", "pid", 4711, "provenance", "available",
		1, "branch", "main", "dirty", 0, "head", head, "tree", head, "plugins", plugins,
		"run", run_text, "start_ms", (json_int_t)ms, "state", "done", "threads", 0, "user",
		"ann", "version", "0.1.0", "workflow", name);
	check(cairn_record_put_run(m->batch, id, run, &err), &err);
	json_decref(run);
}

/* What a run leaves besides: the names of outputs and the last keys, of the last run only. */
static void write_names(struct maker *m, size_t programme, const char *run)
{
	cairn_error err = {0};
	char name[96];
	cairn_id id;

	for (size_t s = 0; s < N_STAGES; s++) {
		const struct made *made = &m->programmes[programme][s];
		for (size_t i = 0; i < m->n_outputs; i++) {
			snprintf(name, sizeof(name), "programme-%02zu/%s:out%zu", programme,
				shapes[s].instance, i);
			check(cairn_id_parse(&id, made->outputs[i], &err), &err);
			check(cairn_record_put_ref(m->batch, name, &id, "run", run, &err), &err);
		}
		snprintf(name, sizeof(name), "key:programme-%02zu/%s", programme,
			shapes[s].instance);
		check(cairn_batch_put(m->batch, "note", name, strlen(name), made->key.bytes,
			      sizeof(made->key.bytes), &err),
			&err);
	}
}

static void make_run(struct maker *m, size_t all_runs)
{
	size_t programme = m->n_runs % N_PROGRAMMES;
	struct made *made = m->programmes[programme];
	/* Of all stages but the text and the pretrained model. */
	size_t changed = (size_t[]){1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}[next_random(m) % 12];
	int64_t ms = FIRST_MS + (int64_t)m->n_runs * 3600000;
	bool is_fresh[N_STAGES];
	char run_text[CAIRN_RUN_TEXT];
	cairn_run_id run;

	for (int i = 0; i < 6; i++)
		run.bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
	for (int i = 6; i < 16; i++)
		run.bytes[i] = (uint8_t)next_random(m);
	cairn_run_id_format(&run, run_text);
	if (programme > 0 && !made[0].is_made) {
		made[0] = m->programmes[0][0];
		made[2] = m->programmes[0][2];
	}
	for (size_t s = 0; s < N_STAGES; s++) {
		is_fresh[s] = s == changed || !made[s].is_made || needs_rerun(is_fresh, s);
		if (is_fresh[s])
			write_result(m, made, s, run_text, ms);
		write_stage(m, &run, &made[s], s, is_fresh[s]);
	}
	write_run(m, &run, programme, ms);
	if (m->n_runs + N_PROGRAMMES >= all_runs)
		write_names(m, programme, run_text);
	m->n_runs++;
}

static int make(const char *path, size_t n_runs, size_t n_outputs)
{
	struct maker *m = cairn_alloc(1, sizeof(*m));
	cairn_error err = {0};

	m->n_outputs = n_outputs < MAX_OUTPUTS ? n_outputs : MAX_OUTPUTS;
	check(cairn_store_open(&m->store, path, CAIRN_STORE_CREATE, &err), &err);
	while (m->n_runs < n_runs) {
		check(cairn_batch_begin(&m->batch, m->store, &err), &err);
		do {
			make_run(m, n_runs);
		} while (m->n_runs < n_runs && m->n_runs % RUNS_A_BATCH);
		check(cairn_batch_commit(m->batch, &err), &err);
	}
	check(cairn_record_list_runs(m->store, &err), &err);
	printf("%zu runs, %zu results, %zu artifacts; what all share: %s\n", m->n_runs,
		m->n_results, m->n_artifacts, m->programmes[0][2].outputs[0]);
	cairn_store_close(m->store);
	free(m);
	return 0;
}

/* ---- time --------------------------------------------------------------------------------- */

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int measure(int times, char **argv)
{
	double *wall = cairn_alloc((size_t)times, sizeof(*wall)), cpu = 0;
	long peak = 0;
	int status = 0;

	for (int i = -1; i < times; i++) { /* the first one warms up */
		posix_spawn_file_actions_t actions;
		struct rusage usage;
		double start = seconds();
		pid_t pid;

		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
		if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) != 0 ||
			wait4(pid, &status, 0, &usage) < 0)
			return 1;
		posix_spawn_file_actions_destroy(&actions);
		if (i < 0)
			continue;
		wall[i] = seconds() - start;
		cpu += (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
		peak = usage.ru_maxrss > peak ? usage.ru_maxrss : peak;
	}
	qsort(wall, (size_t)times, sizeof(*wall), compare);
	printf("%7.1f ms (%5.1f), CPU %6.1f ms, %4ld MiB, exit %d:", 1e3 * wall[times / 2],
		1e3 * wall[0], 1e3 * cpu / times, peak / 1024, WEXITSTATUS(status));
	for (int i = 1; argv[i]; i++)
		printf(" %s", argv[i]);
	putchar('\n');
	free(wall);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && strcmp(argv[1], "make") == 0)
		return make(argv[2], argc > 3 ? strtoul(argv[3], NULL, 10) : 10000,
			argc > 4 ? strtoul(argv[4], NULL, 10) : 12);
	if (argc >= 4 && strcmp(argv[1], "time") == 0 && atoi(argv[2]) > 0)
		return measure(atoi(argv[2]), argv + 3);
	fputs("usage: bench-history make STORE [RUNS [OUTPUTS]] | time TIMES PROGRAM ARG...\n",
		stderr);
	return 2;
}
