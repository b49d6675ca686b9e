/* SPDX-License-Identifier: Apache-2.0 */
/* draft.c - the list of mistakes, and small tools of the steps. */
#include "workflow/draft.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"

/* Beyond this many names a suggestion would cost more than it helps. */
#define MAX_CANDIDATES 4096u

struct cairn_mistake {
	cairn_error error;
	size_t file; /* number of the file; 0 for the command line */
	int line;
	size_t order;
};

void *cairn_draft__grow(cairn_arena *arena, void *array, size_t n, size_t *cap, size_t size)
{
	void *larger;

	if (n < *cap)
		return array;
	*cap = *cap ? *cap * 2 : 16;
	larger = cairn_arena_alloc(arena, *cap, size);
	if (n)
		memcpy(larger, array, n * size);
	return larger;
}

void *cairn_draft__extend(void *array, size_t n, size_t *cap, size_t size)
{
	size_t larger = *cap ? *cap * 2 : 64;
	void *moved;

	if (n < *cap)
		return array;
	moved = cairn_realloc(array, larger, size);
	CAIRN_ASSERT(moved); /* as an arena: bounded by the size of the file */
	*cap = larger;
	return moved;
}

void cairn_draft__end(cairn_draft *draft)
{
	cairn_text_free(&draft->text);
	free(draft->sections);
	free(draft->entries);
	free(draft->stages);
}

static size_t file_number(const cairn_draft *draft, const char *file)
{
	for (size_t i = 0; i < draft->n_files; i++) {
		if (draft->files[i] == file)
			return i + 1;
	}
	return 0;
}

const char *cairn_draft__place(cairn_draft *draft, cairn_place place)
{
	if (place.line == 0)
		return place.file;
	return cairn_arena_printf(draft->scratch, "%s:%d", place.file, place.line);
}

/* A free slot, with its place; NULL where enough was told. */
static cairn_error *slot(cairn_draft *draft, cairn_place place)
{
	struct cairn_mistake *mistake;

	if (draft->n_mistakes == CAIRN_MAX_MISTAKES) {
		draft->n_hidden++;
		return NULL;
	}
	draft->mistakes = cairn_draft__grow(draft->scratch, draft->mistakes, draft->n_mistakes,
		&draft->cap_mistakes, sizeof(struct cairn_mistake *));
	mistake = cairn_arena_alloc(draft->scratch, 1, sizeof(*mistake));
	mistake->file = file_number(draft, place.file);
	mistake->line = place.line;
	mistake->order = draft->n_mistakes;
	draft->mistakes[draft->n_mistakes++] = mistake;
	return &mistake->error;
}

static cairn_error *put_place(
	cairn_draft *draft, cairn_error *error, cairn_place place, const char *title)
{
	const char *where = cairn_draft__place(draft, place);

	if (title && title[0])
		cairn_error_at(error, "%s, section [%s]", where, title);
	else
		cairn_error_at(error, "%s", where);
	return error;
}

cairn_error *cairn_draft__mistake(
	cairn_draft *draft, cairn_place place, const char *title, const char *format, ...)
{
	cairn_error *error = slot(draft, place);
	char message[sizeof(error->message)];
	va_list args;

	if (!error)
		return NULL;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	cairn_error_set(error, CAIRN_EWORKFLOW, "%s", message);
	return put_place(draft, error, place, title);
}

cairn_error *cairn_draft__adopt(
	cairn_draft *draft, cairn_place place, const char *title, const cairn_error *from)
{
	cairn_error *error = slot(draft, place);

	if (!error)
		return NULL;
	*error = *from;
	return put_place(draft, error, place, title);
}

static int by_place(const void *left, const void *right)
{
	const struct cairn_mistake *a = *(struct cairn_mistake *const *)left;
	const struct cairn_mistake *b = *(struct cairn_mistake *const *)right;

	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

void cairn_draft__tell(cairn_draft *draft, cairn_errors *errors)
{
	cairn_error rest = {0};

	if (draft->n_mistakes)
		qsort(draft->mistakes, draft->n_mistakes, sizeof(*draft->mistakes), by_place);
	for (size_t i = 0; i < draft->n_mistakes; i++)
		cairn_errors_add(errors, &draft->mistakes[i]->error);
	if (!draft->n_hidden)
		return;
	cairn_error_set(&rest, CAIRN_EWORKFLOW, "%zu more mistakes are not shown", draft->n_hidden);
	cairn_error_hint(&rest, "Correct these first, then check the file again.");
	cairn_error_at(&rest, "%s", draft->workflow->file);
	cairn_errors_add(errors, &rest);
}

void cairn_errors_add(cairn_errors *errors, const cairn_error *err)
{
	if (errors->n == errors->cap) {
		size_t cap = errors->cap ? errors->cap * 2 : 8;
		cairn_error *items = cairn_realloc(errors->items, cap, sizeof(*items));

		if (!items)
			return;
		errors->items = items;
		errors->cap = cap;
	}
	errors->items[errors->n++] = *err;
}

void cairn_errors_free(cairn_errors *errors)
{
	free(errors->items);
	*errors = (cairn_errors){0};
}

const char *cairn_draft__clip(cairn_draft *draft, const char *text)
{
	size_t len = 60;

	if (strlen(text) <= len)
		return text;
	while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	return cairn_arena_printf(draft->scratch, "%.*s...", (int)len, text);
}

const char *cairn_draft__nearest(const char *word, const void *array, size_t n, size_t size)
{
	const char *names[MAX_CANDIDATES];

	if (n > MAX_CANDIDATES)
		return NULL;
	for (size_t i = 0; i < n; i++)
		names[i] = *(const char *const *)((const char *)array + i * size);
	return cairn_did_you_mean(word, names, n);
}

size_t cairn_draft__word(const char **list, bool by_commas, const char **word)
{
	const char *separators = by_commas ? " \t," : " \t";
	size_t len;

	*list += strspn(*list, separators);
	len = strcspn(*list, separators);
	*word = *list;
	*list += len;
	return len;
}

bool cairn_draft__is_name(const char *text, size_t len, bool with_dots)
{
	if (len == 0 || len > CAIRN_MAX_NAME)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '_' || c == '-' || (with_dots && c == '.')))
			return false;
	}
	return true;
}
