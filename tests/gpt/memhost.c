/* SPDX-License-Identifier: Apache-2.0 */
/* memhost.c - see memhost.h. */
#include "gpt/memhost.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "test.h"

enum {
	MAX_ENTRIES = 512
};

typedef struct entry {
	char name[201];
	cairn_tensor tensor;
	char *data;
} entry;

struct cairn_writer {
	memhost *host;
};

struct memhost {
	const cairn_kernels *k;
	entry entries[MAX_ENTRIES];
	size_t n;
	char meta[1000];
	const char *kind;
	cairn_error err;
	struct cairn_writer writer;
	int commits;
};

/* The run handle is the host itself. */
static memhost *of(cairn_run *run)
{
	return (memhost *)(void *)run;
}

static void clear(memhost *host)
{
	for (size_t i = 0; i < host->n; i++)
		free(host->entries[i].data);
	host->n = 0;
	(void)snprintf(host->meta, sizeof(host->meta), "{}");
}

memhost *memhost_new(const cairn_kernels *k)
{
	memhost *host = cairn_alloc(1, sizeof(*host));

	assert_non_null(host);
	host->k = k;
	host->writer.host = host;
	host->kind = "model/lm";
	clear(host);
	return host;
}

void memhost_free(memhost *host)
{
	clear(host);
	free(host);
}

cairn_run *memhost_run(memhost *host)
{
	return (cairn_run *)(void *)host;
}

cairn_error memhost_error(memhost *host)
{
	cairn_error err = host->err;

	cairn_error_clear(&host->err);
	return err;
}

cairn_artifact memhost_artifact(memhost *host)
{
	return (cairn_artifact){
		.id = "sha256:0",
		.kind = host->kind,
		.meta = host->meta,
		.source = "the test's model",
		.n_entries = host->n,
		.handle = host,
	};
}

static int put(cairn_writer *writer, const cairn_tensor *tensor);

static entry *find(memhost *host, const char *name)
{
	for (size_t i = 0; i < host->n; i++)
		if (strcmp(host->entries[i].name, name) == 0)
			return &host->entries[i];
	return NULL;
}

size_t memhost_entries(const memhost *host)
{
	return host->n;
}

cairn_tensor *memhost_entry(memhost *host, const char *name)
{
	entry *found = find(host, name);

	return found ? &found->tensor : NULL;
}

void memhost_rename(memhost *host, const char *name, const char *new_name)
{
	entry *found = find(host, name);

	assert_non_null(found);
	(void)snprintf(found->name, sizeof(found->name), "%s", new_name);
}

void memhost_replace(memhost *host, const char *name, const char *text)
{
	entry *found = find(host, name);

	assert_non_null(found);
	free(found->data);
	found->data = cairn_strdup(text);
	found->tensor.data = found->data;
	found->tensor.bytes = found->tensor.dims[0] = strlen(text);
}

void memhost_set_meta(memhost *host, const char *json)
{
	(void)snprintf(host->meta, sizeof(host->meta), "%s", json);
}

void memhost_set_kind(memhost *host, const char *kind)
{
	host->kind = kind;
}

void memhost_add(memhost *host, const char *name, const void *data, size_t bytes)
{
	cairn_tensor file = {.name = name,
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {bytes},
		.data = data,
		.bytes = bytes};

	assert_int_equal(put(&host->writer, &file), 0);
}

void memhost_remove(memhost *host, const char *name)
{
	entry *found = find(host, name), *last = &host->entries[host->n - 1];

	assert_non_null(found);
	free(found->data);
	*found = *last;
	*last = (entry){0};
	host->n--;
}

void memhost_clear(memhost *host)
{
	clear(host);
}

int memhost_commits(const memhost *host)
{
	return host->commits;
}

/* ---- the table ----------------------------------------------------------------------------- */

static int input_open(cairn_run *run, const char *port, uint64_t index, cairn_artifact *out)
{
	assert_string_equal(port, "model");
	assert_int_equal(index, 0);
	*out = memhost_artifact(of(run));
	return 0;
}

static int entry_get(
	cairn_run *run, const cairn_artifact *artifact, const char *name, cairn_tensor *out)
{
	cairn_tensor *found = memhost_entry(of(run), name);

	assert_ptr_equal(artifact->handle, run);
	if (!found)
		return 1;
	*out = *found;
	return 0;
}

static int entry_list(
	cairn_run *run, const cairn_artifact *artifact, uint64_t index, cairn_tensor *out)
{
	assert_ptr_equal(artifact->handle, run);
	assert_true(index < of(run)->n);
	*out = of(run)->entries[index].tensor;
	out->name = of(run)->entries[index].name;
	out->data = NULL;
	return 0;
}

static int output_begin(cairn_run *run, const char *port, cairn_writer **out)
{
	assert_string_equal(port, "model");
	clear(of(run));
	*out = &of(run)->writer;
	return 0;
}

static int checkpoint_begin(cairn_run *run, uint64_t step, cairn_writer **out)
{
	(void)step;
	clear(of(run));
	*out = &of(run)->writer;
	return 0;
}

static int put(cairn_writer *writer, const cairn_tensor *tensor)
{
	memhost *host = writer->host;
	entry *new = &host->entries[host->n];

	assert_null(find(host, tensor->name));
	assert_true(host->n < MAX_ENTRIES && strlen(tensor->name) <= 200);
	(void)snprintf(new->name, sizeof(new->name), "%s", tensor->name);
	new->data = cairn_alloc(tensor->bytes + 1, 1);
	assert_non_null(new->data);
	memcpy(new->data, tensor->data, tensor->bytes);
	new->tensor = *tensor;
	new->tensor.name = new->name;
	new->tensor.data = new->data;
	host->n++;
	return 0;
}

static int meta(cairn_writer *writer, const char *json)
{
	assert_string_equal(writer->host->meta, "{}");
	memhost_set_meta(writer->host, json);
	return 0;
}

static int commit(cairn_writer *writer)
{
	writer->host->commits++;
	return 0;
}

static int kernels(cairn_run *run, const cairn_kernels **out)
{
	*out = of(run)->k;
	return 0;
}

static int report(cairn_run *run, int code, const char *format, ...)
{
	char message[384];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return cairn_error_set(&of(run)->err, code, "%s", message);
}

static int fail_with(cairn_run *run, const cairn_error *error)
{
	assert_true(error->code < 0);
	of(run)->err = *error;
	return error->code;
}

static void hint(cairn_run *run, const char *format, ...)
{
	cairn_error_hint(&of(run)->err, "%s", format);
}

const cairn_host *memhost_table(void)
{
	static const cairn_host table = {
		.head = CAIRN_STAGE_HEAD(cairn_host),
		.input_open = input_open,
		.entry_list = entry_list,
		.entry_get = entry_get,
		.output_begin = output_begin,
		.checkpoint_begin = checkpoint_begin,
		.put = put,
		.meta = meta,
		.commit = commit,
		.kernels = kernels,
		.fail = report,
		.fail_with = fail_with,
		.hint = hint,
	};

	return &table;
}
