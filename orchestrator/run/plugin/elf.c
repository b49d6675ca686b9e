/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf.c - the dynamic symbols of a 64-bit object, by its section headers.
 *
 * Every offset is checked against the size of the file before it is followed: plugins under test
 * are broken in all ways.
 */
#include "run/plugin/elf.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SYMBOLS 100000
#define MAX_NEEDED  256

struct object {
	const unsigned char *bytes;
	size_t len;
	const Elf64_Shdr *sections;
	size_t n_sections;
	json_t *needed, *missing, *undefined, *exported;
	void *libraries[MAX_NEEDED];
	size_t n_libraries;
	uint64_t constructors;
};

static const void *at(const struct object *o, uint64_t offset, uint64_t len)
{
	bool is_inside = offset <= o->len && len <= o->len - offset;

	return is_inside ? o->bytes + offset : NULL;
}

/* A text of a table of strings; NULL where it does not end inside. */
static const char *text_at(const struct object *o, uint64_t section, uint64_t offset)
{
	const Elf64_Shdr *table = section < o->n_sections ? &o->sections[section] : NULL;
	const char *text;

	if (!table || table->sh_type != SHT_STRTAB || offset >= table->sh_size)
		return NULL;
	text = at(o, table->sh_offset, table->sh_size);
	return text && memchr(text + offset, '\0', table->sh_size - offset) ? text + offset : NULL;
}

static void add_name(json_t *list, const char *name)
{
	json_t *text = json_string(name);

	json_array_append_new(list, text ? text : json_string("(no text)"));
}

/* ---- libraries ---------------------------------------------------------------------------- */

static void take_needed(struct object *o, const Elf64_Shdr *dynamic)
{
	const Elf64_Dyn *entries = at(o, dynamic->sh_offset, dynamic->sh_size);
	size_t n = dynamic->sh_size / sizeof(*entries);

	for (size_t i = 0; entries && i < n && entries[i].d_tag != DT_NULL; i++) {
		const char *name = entries[i].d_tag == DT_NEEDED
					   ? text_at(o, dynamic->sh_link, entries[i].d_un.d_val)
					   : NULL;
		void *library;
		if (!name || o->n_libraries == MAX_NEEDED)
			continue;
		add_name(o->needed, name);
		library = dlopen(name, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
		if (library)
			o->libraries[o->n_libraries++] = library;
		else
			add_name(o->missing, name);
	}
}

/* What a sanitizer's build leaves to the executable. */
static bool is_sanitizers(const char *name)
{
	static const char *const prefixes[] = {
		"__asan_", "__ubsan_", "__tsan_", "__lsan_", "__msan_", "__sanitizer_"};

	for (size_t i = 0; i < CAIRN_COUNT(prefixes); i++) {
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	return false;
}

static bool is_found(const struct object *o, const char *name)
{
	for (size_t i = 0; i < o->n_libraries; i++) {
		if (dlsym(o->libraries[i], name))
			return true;
	}
	return is_sanitizers(name) && dlsym(RTLD_DEFAULT, name);
}

/* ---- symbols ------------------------------------------------------------------------------ */

/* Names that some linkers export for every object. */
static bool is_linkers(const char *name)
{
	static const char *const names[] = {
		"_init", "_fini", "_edata", "_end", "__bss_start", "_GLOBAL_OFFSET_TABLE_"};

	for (size_t i = 0; i < CAIRN_COUNT(names); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return is_sanitizers(name);
}

static void take_symbol(struct object *o, const Elf64_Sym *symbol, const char *name)
{
	unsigned bind = ELF64_ST_BIND(symbol->st_info);
	unsigned visibility = ELF64_ST_VISIBILITY(symbol->st_other);

	if (!name[0] || bind == STB_LOCAL)
		return;
	if (symbol->st_shndx == SHN_UNDEF) {
		/* A weak one may be missing. */
		if (bind != STB_WEAK && !is_found(o, name))
			add_name(o->undefined, name);
	} else if (visibility == STV_DEFAULT && !is_linkers(name)) {
		add_name(o->exported, name);
	}
}

static void take_symbols(struct object *o, const Elf64_Shdr *table)
{
	const Elf64_Sym *symbols = at(o, table->sh_offset, table->sh_size);
	size_t n = table->sh_size / sizeof(*symbols);

	for (size_t i = 1; symbols && i < n && i < MAX_SYMBOLS; i++) {
		const char *name = text_at(o, table->sh_link, symbols[i].st_name);
		if (name)
			take_symbol(o, &symbols[i], name);
	}
}

static int take_sections(struct object *o, const char *path, cairn_error *err)
{
	const Elf64_Ehdr *head = at(o, 0, sizeof(*head));
	bool is_ours = head && memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
		       head->e_ident[EI_CLASS] == ELFCLASS64 &&
		       head->e_ident[EI_DATA] == ELFDATA2LSB && head->e_type == ET_DYN;

	if (!is_ours) {
		cairn_error_set(err, CAIRN_EABI, "'%s' is no shared object of 64 bits", path);
		cairn_error_hint(err, "Build it with `cc -shared -fPIC`.");
		return CAIRN_EABI;
	}
	o->n_sections = head->e_shnum;
	o->sections = at(o, head->e_shoff, (uint64_t)head->e_shnum * sizeof(*o->sections));
	if (!o->sections || head->e_shoff % _Alignof(Elf64_Shdr))
		o->n_sections = 0;
	for (size_t i = 0; i < o->n_sections; i++) {
		if (o->sections[i].sh_type == SHT_DYNAMIC)
			take_needed(o, &o->sections[i]);
	}
	for (size_t i = 0; i < o->n_sections; i++) {
		if (o->sections[i].sh_type == SHT_DYNSYM)
			take_symbols(o, &o->sections[i]);
		if (o->sections[i].sh_type == SHT_INIT_ARRAY)
			o->constructors += o->sections[i].sh_size / sizeof(void (*)(void));
	}
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(
		json_string_value(*(json_t *const *)a), json_string_value(*(json_t *const *)b));
}

/* Sorted, each name once. Takes over `list`. */
static json_t *sorted(json_t *list)
{
	size_t n = json_array_size(list);
	json_t **items = calloc(n + 1, sizeof(*items)), *out = json_array();

	for (size_t i = 0; items && i < n; i++)
		items[i] = json_array_get(list, i);
	if (items)
		qsort(items, n, sizeof(*items), by_text);
	for (size_t i = 0; items && i < n; i++) {
		if (i == 0 || by_text(&items[i - 1], &items[i]) != 0)
			json_array_append(out, items[i]);
	}
	free(items);
	json_decref(list);
	return out;
}

int cairn_elf_read(json_t **out, const char *path, cairn_error *err)
{
	struct object o = {.needed = json_array(),
		.missing = json_array(),
		.undefined = json_array(),
		.exported = json_array()};
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
	struct stat st;
	void *map = MAP_FAILED;

	if (fd < 0 || fstat(fd, &st) < 0)
		rc = cairn_error_errno(err, CAIRN_EIO, errno, "cannot read '%s'", path);
	else if (S_ISREG(st.st_mode) && st.st_size > 0)
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (rc == 0 && map != MAP_FAILED) {
		o.bytes = map;
		o.len = (size_t)st.st_size;
	}
	if (rc == 0)
		rc = take_sections(&o, path, err);
	o.missing = sorted(o.missing);
	o.undefined = sorted(o.undefined);
	o.exported = sorted(o.exported);
	if (rc == 0)
		*out = json_pack("{s:O, s:O, s:O, s:O, s:I}", "needed", o.needed, "missing",
			o.missing, "undefined", o.undefined, "exported", o.exported, "constructors",
			(json_int_t)o.constructors);
	json_decref(o.needed);
	json_decref(o.missing);
	json_decref(o.undefined);
	json_decref(o.exported);
	if (map != MAP_FAILED)
		munmap(map, (size_t)st.st_size);
	if (fd >= 0)
		close(fd);
	return rc;
}
