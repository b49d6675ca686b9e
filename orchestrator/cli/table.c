/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - columns as wide as their widest cell; the last one is never padded. */
#include <stdarg.h>
#include <string.h>

#include "cli/cli.h"

#define MAX_COLUMNS 12

struct cell {
	const char *text;
	enum cli_style style;
};

struct row {
	struct cell cells[MAX_COLUMNS];
	size_t n;
	struct row *next;
};

struct cli_table {
	cli *c;
	struct row *first, *last;
	bool right[MAX_COLUMNS];
	size_t n_columns;
};

cli_table *cli_table_new(cli *c, const char *columns)
{
	cli_table *table = cairn_arena_alloc(c->arena, 1, sizeof(*table));

	table->c = c;
	cli_table_row(table);
	while (table->n_columns < MAX_COLUMNS) {
		size_t len;
		table->right[table->n_columns] = *columns == '>';
		columns += *columns == '>';
		len = strcspn(columns, "|");
		cli_table_cell(table, "%.*s", (int)len, columns);
		cli_table_style(table, CLI_BOLD);
		table->n_columns++;
		if (columns[len] == '\0')
			break;
		columns += len + 1;
	}
	return table;
}

void cli_table_row(cli_table *table)
{
	struct row *fresh = cairn_arena_alloc(table->c->arena, 1, sizeof(*fresh));

	if (table->last)
		table->last->next = fresh;
	else
		table->first = fresh;
	table->last = fresh;
}

void cli_table_cell(cli_table *table, const char *format, ...)
{
	struct row *row = table->last;
	char short_text[256];
	const char *text = short_text;
	va_list args;
	int len;

	CAIRN_ASSERT(row->n < MAX_COLUMNS);
	va_start(args, format);
	len = vsnprintf(short_text, sizeof(short_text), format, args);
	va_end(args);
	if (len >= (int)sizeof(short_text)) {
		char *all = cairn_arena_alloc(table->c->arena, (size_t)len + 1, 1);

		va_start(args, format);
		vsnprintf(all, (size_t)len + 1, format, args);
		va_end(args);
		text = all;
	}
	row->cells[row->n].text = cli_safe(table->c, len < 0 ? "" : text);
	row->cells[row->n++].style = CLI_PLAIN;
}

void cli_table_style(cli_table *table, enum cli_style style)
{
	table->last->cells[table->last->n - 1].style = style;
}

/* Characters, not bytes; wide ones are counted as one. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_cell(
	const struct cell *cell, size_t width, bool right, bool is_last, FILE *to, bool color)
{
	int pad = (int)(width - width_of(cell->text));
	bool styled = color && cell->style != CLI_PLAIN;

	if (right)
		fprintf(to, "%*s", pad, "");
	fprintf(to, "%s%s%s", cli_style(styled, cell->style), cell->text,
		cli_style(styled, CLI_PLAIN));
	if (!is_last)
		fprintf(to, "%*s", (right ? 0 : pad) + 2, "");
}

void cli_table_print(const cli_table *table, FILE *to, bool color)
{
	size_t widths[MAX_COLUMNS] = {0};

	for (const struct row *r = table->first; r; r = r->next) {
		for (size_t i = 0; i < r->n; i++) {
			size_t width = width_of(r->cells[i].text);
			if (width > widths[i])
				widths[i] = width;
		}
	}
	for (const struct row *r = table->first; r; r = r->next) {
		for (size_t i = 0; i < r->n; i++)
			print_cell(
				&r->cells[i], widths[i], table->right[i], i + 1 == r->n, to, color);
		fputc('\n', to);
	}
}
