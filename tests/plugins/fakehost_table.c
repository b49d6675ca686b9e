/* SPDX-License-Identifier: Apache-2.0 */
/* fakehost_table.c - the host table over lists in memory, with a script for step(). */
#include <dlfcn.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "fakehost_private.h"

/* ---- small helpers ------------------------------------------------------------------ */

static size_t port_index(const cairn_port *ports, uint64_t n, const char *name, const char *what)
{
	for (uint64_t i = 0; i < n; i++)
		if (!strcmp(ports[i].name, name))
			return i;
	fail_msg("the plugin has no %s port '%s'", what, name);
	return 0;
}

size_t fake_input_index(const struct fakehost *host, const char *port)
{
	return port_index(host->plugin->inputs, host->plugin->n_inputs, port, "input");
}

size_t fake_output_index(const struct fakehost *host, const char *port)
{
	return port_index(host->plugin->outputs, host->plugin->n_outputs, port, "output");
}

void fake_named_set(struct named_value **list, size_t *n, const char *name, double value)
{
	for (size_t i = 0; i < *n; i++)
		if (!strcmp((*list)[i].name, name)) {
			(*list)[i].value = value;
			return;
		}
	*list = cairn_realloc(*list, *n + 1, sizeof(**list));
	if (!*list)
		fail_msg("no memory");
	(*list)[(*n)++] = (struct named_value){fake_strdup(name), value};
}

double fake_named_get(const struct named_value *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].name, name))
			return list[i].value;
	return NAN;
}

void fake_named_clear(struct named_value **list, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		free((*list)[i].name);
	free(*list);
	*list = NULL;
	*n = 0;
}

/* ---- the host table: inputs ----------------------------------------------------------- */

static uint64_t host_input_count(cairn_run *run, const char *port)
{
	uint64_t n = 0;

	for (struct fake_artifact *a = run->host->inputs[fake_input_index(run->host, port)]; a;
		a = a->next)
		n++;
	return n;
}

static int host_input_open(cairn_run *run, const char *port, uint64_t index, cairn_artifact *out)
{
	struct fake_artifact *a = run->host->inputs[fake_input_index(run->host, port)];

	for (uint64_t i = 0; a && i < index; i++)
		a = a->next;
	if (!a)
		fail_msg("the plugin opened input '%s' %llu, which is not bound", port,
			(unsigned long long)index);
	fake_artifact_seal(a);
	fake_artifact_describe(a, out);
	return 0;
}

static int host_entry_list(
	cairn_run *run, const cairn_artifact *artifact, uint64_t index, cairn_tensor *out)
{
	const cairn_tensor *entry = fake_entry_at(artifact->handle, index);

	(void)run;
	if (!entry)
		fail_msg("the plugin listed entry %llu of %llu", (unsigned long long)index,
			(unsigned long long)artifact->n_entries);
	*out = *entry;
	out->data = NULL;
	return 0;
}

static int host_entry_get(
	cairn_run *run, const cairn_artifact *artifact, const char *name, cairn_tensor *out)
{
	const cairn_tensor *entry = fake_entry(artifact->handle, name);

	(void)run;
	if (!entry)
		return 1;
	*out = *entry;
	return 0;
}

/* ---- the host table: outputs and checkpoints -------------------------------------------- */

static cairn_writer *writer_new(struct fakehost *host, const char *kind, const char *source)
{
	cairn_writer *writer = fake_alloc(1, sizeof(*writer));

	writer->host = host;
	writer->artifact = fake_artifact_new(kind, source);
	writer->next = host->writers;
	host->writers = writer;
	return writer;
}

void fake_writer_end(cairn_writer *writer)
{
	cairn_writer **at = &writer->host->writers;

	while (*at != writer)
		at = &(*at)->next;
	*at = writer->next;
	free(writer);
}

static int host_output_begin(cairn_run *run, const char *port, cairn_writer **out)
{
	struct fakehost *host = run->host;
	size_t i = fake_output_index(host, port);

	if (host->was_begun[i])
		fail_msg("the plugin began output '%s' twice", port);
	host->was_begun[i] = true;
	*out = writer_new(host, host->plugin->outputs[i].kind, port);
	(*out)->output = i;
	return 0;
}

static int host_checkpoint_begin(cairn_run *run, uint64_t step, cairn_writer **out)
{
	if (!(run->host->plugin->capabilities & CAIRN_CAN_CHECKPOINT))
		fail_msg("a plugin without CAIRN_CAN_CHECKPOINT wrote a checkpoint");
	*out = writer_new(run->host, "checkpoint", "checkpoint");
	(*out)->is_checkpoint = true;
	(*out)->artifact->step = step;
	return 0;
}

static int host_put(cairn_writer *writer, const cairn_tensor *t)
{
	fake_add(writer->artifact, t->name, t->dtype, t->n_dims, t->dims, t->data, t->bytes);
	return 0;
}

static int host_meta(cairn_writer *writer, const char *json)
{
	if (writer->has_meta)
		fail_msg("the plugin put meta twice");
	writer->has_meta = true;
	fake_meta(writer->artifact, json);
	return 0;
}

static int host_commit(cairn_writer *writer)
{
	struct fakehost *host = writer->host;

	fake_artifact_seal(writer->artifact);
	if (writer->is_checkpoint) {
		writer->artifact->next = host->checkpoints;
		host->checkpoints = writer->artifact;
	} else {
		host->outputs[writer->output] = writer->artifact;
	}
	fake_writer_end(writer);
	return 0;
}

static int host_resume(cairn_run *run, cairn_artifact *out, uint64_t *step)
{
	const struct fake_artifact *newest = run->host->checkpoints;

	if (!newest)
		return 0;
	fake_artifact_describe(newest, out);
	*step = newest->step;
	return 1;
}

/* ---- the host table: the rest --------------------------------------------------------------- */

static void keep_line(struct fakehost *host, uint64_t step, const char *text, bool is_heartbeat)
{
	for (size_t i = 0; i < host->n_lines; i++)
		if (host->lines[i].step == step) {
			if (!is_heartbeat && strcmp(host->lines[i].text, text))
				fail_msg("step %llu gave '%s', then '%s'", (unsigned long long)step,
					host->lines[i].text, text);
			return;
		}
	host->lines = cairn_realloc(host->lines, host->n_lines + 1, sizeof(*host->lines));
	if (!host->lines)
		fail_msg("no memory");
	host->lines[host->n_lines++] = (struct step_line){step, fake_strdup(text)};
	cairn_text_printf(&host->all_lines, "%s\n", text);
}

static int host_step(cairn_run *run, const cairn_progress *progress)
{
	struct fakehost *host = run->host;
	cairn_text line = {0};
	char number[32];

	host->steps++;
	cairn_text_printf(&line, "%llu %s", (unsigned long long)progress->step,
		progress->phase ? progress->phase : "-");
	for (uint64_t i = 0; i < progress->n_metrics; i++) {
		cairn_format_double(progress->metrics[i].value, number);
		cairn_text_printf(&line, " %s=%s", progress->metrics[i].name, number);
		fake_named_set(&host->metrics, &host->n_metrics, progress->metrics[i].name,
			progress->metrics[i].value);
	}
	/* Before the first step, and while one lasts, a step() without metrics says: still here. */
	if (progress->step)
		keep_line(host, progress->step, cairn_text_get(&line), !progress->n_metrics);
	cairn_text_free(&line);
	if (host->stop_at && progress->step == host->stop_at) {
		host->stop_at = 0;
		return CAIRN_STOP;
	}
	if (host->checkpoint_every && progress->step % host->checkpoint_every == 0)
		return CAIRN_CHECKPOINT;
	return CAIRN_GO;
}

static uint64_t host_rng_key(cairn_run *run, const char *stream)
{
	cairn_digest *digest = cairn_digest_new();
	uint8_t hash[CAIRN_DIGEST_BYTES];
	uint64_t key;

	if (!digest)
		fail_msg("no memory");
	cairn_digest_add(digest, &run->host->seed, sizeof(run->host->seed));
	cairn_digest_add(digest, stream, strlen(stream));
	cairn_digest_end(digest, hash);
	memcpy(&key, hash, sizeof(key));
	return key;
}

static void open_kernels(struct fakehost *host)
{
	void *library =
		dlopen(CAIRN_PLUGIN_DIR "/kernels/cpu.so", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!library) {
		print_message("the CPU backend is not built: %s\n", dlerror());
		skip();
	}
	host->backend = dlsym(library, CAIRN_KERNELS_SYMBOL);
	if (!host->backend)
		fail_msg("%s", dlerror());
	if (host->backend->open(&host->own_kernels, host->threads, &host->err))
		fail_msg("the CPU backend does not open: %s", host->err.message);
	host->kernels = &host->own_kernels;
}

static int host_kernels(cairn_run *run, const cairn_kernels **out)
{
	if (!(run->host->plugin->capabilities & CAIRN_NEEDS_KERNELS))
		fail_msg("a plugin without CAIRN_NEEDS_KERNELS asked for kernels");
	if (!run->host->kernels)
		open_kernels(run->host);
	*out = run->host->kernels;
	return 0;
}

static void host_account(cairn_run *run, int account, uint64_t real, uint64_t padded)
{
	(void)run;
	if (account < 0 || account >= CAIRN_ACCOUNTS)
		fail_msg("account %d does not exist", account);
	if (padded && real > padded)
		fail_msg("%llu real tokens of %llu", (unsigned long long)real,
			(unsigned long long)padded);
}

static void host_summary(cairn_run *run, const char *name, double value)
{
	fake_named_set(&run->host->summaries, &run->host->n_summaries, name, value);
}

static const char *host_scratch(cairn_run *run)
{
	struct fakehost *host = run->host;

	if (!host->scratch[0]) {
		assert_true(cairn_copy(
			host->scratch, sizeof(host->scratch), "/tmp/cairn-fakehost-XXXXXX"));
		assert_non_null(mkdtemp(host->scratch));
	}
	return host->scratch;
}

static int host_fail(cairn_run *run, int code, const char *format, ...)
{
	char message[sizeof(run->host->err.message)];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return cairn_error_set(&run->host->err, code, "%s", message);
}

static int host_fail_with(cairn_run *run, const cairn_error *error)
{
	if (error->code >= 0)
		fail_msg("the plugin failed with an empty error");
	if (!run->host->err.code)
		run->host->err = *error;
	return error->code;
}

static void host_hint(cairn_run *run, const char *format, ...)
{
	char hint[sizeof(run->host->err.hint)];
	va_list args;

	va_start(args, format);
	vsnprintf(hint, sizeof(hint), format, args);
	va_end(args);
	cairn_error_hint(&run->host->err, "%s", hint);
}

static void host_log(cairn_run *run, int level, const char *format, ...)
{
	char line[1024];
	va_list args;

	(void)level;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	cairn_text_printf(&run->host->log, "%s\n", line);
}

const cairn_host fake_host_table = {
	.head = CAIRN_STAGE_HEAD(cairn_host),
	.input_count = host_input_count,
	.input_open = host_input_open,
	.entry_list = host_entry_list,
	.entry_get = host_entry_get,
	.output_begin = host_output_begin,
	.checkpoint_begin = host_checkpoint_begin,
	.put = host_put,
	.meta = host_meta,
	.commit = host_commit,
	.resume = host_resume,
	.step = host_step,
	.rng_key = host_rng_key,
	.kernels = host_kernels,
	.account = host_account,
	.summary = host_summary,
	.scratch = host_scratch,
	.fail = host_fail,
	.fail_with = host_fail_with,
	.hint = host_hint,
	.log = host_log,
};
