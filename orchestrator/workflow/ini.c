/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ini.c - the only door to inih: text -> sections and entries, each with its place.
 *
 * inih as Debian packages it cuts a line at 199 bytes and takes the rest as a new line,
 * gives its handler no line number, does not tell of empty sections, cuts their names at
 * 49 bytes, keeps comments in continuation lines, and tells of the first bad line only. So
 * it never sees the text itself: ini_parse_stream asks our reader for lines, and the
 * reader hands out only what inih is good at:
 *
 *   comments and blank lines    nothing; counted
 *   [kind name]                 noted here; inih is told "[-]", which ends the value before
 *   key = value                 as it is, comment cut
 *   a continuation line         a tab and the rest, comment cut
 *   a line beyond inih's buffer reported, and its beginning marked as broken
 *
 * What inih answers lies in the copy of the line that it was given; the same place in the file's
 * own bytes becomes the string (in_place()), so that a key costs no copy.
 * A line that was handed out and brought no call of the handler is no `key = value`.
 * Values broken over several lines are joined with single blanks.
 */
#include <ini.h>
#include <string.h>

#include "workflow/draft.h"

struct reader {
	cairn_draft *draft;
	const char *file;
	char *next, *end; /* of the bytes, which are ours to cut into strings */
	unsigned depth;
	int line;             /* number of the line handed out last */
	bool is_open;         /* a key was read in this section: an indented line continues it */
	bool is_continuation; /* the line handed out last */
	bool is_cut;          /* that line was too long */
	bool is_unanswered;   /* the handler was not called for that line yet */
	char *line_bytes;     /* that line, and the copy of it that inih has */
	const char *line_copy;
	size_t line_len;
	cairn_text value; /* of the newest entry, while it consists of several lines */
	bool has_value;   /* it does */
};

static const char *const kinds[] = {"workflow", "params", "axis", "labelers", "stage"};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Ends the newest entry: no more lines can be added to its value. */
static void close_value(struct reader *r)
{
	cairn_draft *draft = r->draft;
	cairn_entry *entry;

	if (!r->has_value)
		return;
	r->has_value = false;
	entry = &draft->entries[draft->n_entries - 1];
	entry->value = cairn_arena_strndup(draft->arena, cairn_text_get(&r->value), r->value.len);
	cairn_text_clear(&r->value);
	if (r->value.failed || r->value.len > CAIRN_MAX_VALUE) {
		cairn_draft__mistake(draft, entry->place, NULL,
			"value of '%s' is longer than %u bytes",
			cairn_draft__clip(draft, entry->key), CAIRN_MAX_VALUE);
		entry->is_broken = true;
	}
}

static void add_section(
	struct reader *r, const char *kind, const char *name, const char *title, int line)
{
	cairn_draft *draft = r->draft;

	close_value(r);
	r->is_open = false;
	draft->sections = cairn_draft__extend(
		draft->sections, draft->n_sections, &draft->cap_sections, sizeof(*draft->sections));
	draft->sections[draft->n_sections++] = (cairn_section){.kind = kind,
		.name = name,
		.title = title,
		.place = {r->file, line},
		.first = draft->n_entries,
		.depth = r->depth};
}

/* A part of the line as a string that lasts. */
static char *in_place(struct reader *r, const char *part)
{
	size_t len = strlen(part), at = (size_t)(part - r->line_copy);

	if (part < r->line_copy || at + len > r->line_len)
		return cairn_arena_strndup(r->draft->arena, part, len);
	r->line_bytes[at + len] = '\0';
	return r->line_bytes + at;
}

/* A value that goes on in another line. */
static void continue_value(struct reader *r, const char *more)
{
	cairn_entry *entry = &r->draft->entries[r->draft->n_entries - 1];

	if (!r->has_value)
		cairn_text_add(&r->value, entry->value);
	if (r->value.len)
		cairn_text_add_char(&r->value, ' ');
	cairn_text_add(&r->value, more);
	r->has_value = true;
	entry->is_broken |= r->is_cut;
}

/* inih's handler: a new key, or more of its value. */
static int on_entry(void *user, const char *section, const char *key, const char *value)
{
	struct reader *r = user;
	cairn_draft *draft = r->draft;

	(void)section;
	r->is_unanswered = false;
	if (r->is_continuation) {
		continue_value(r, value);
		return 1;
	}
	close_value(r);
	if (!key[0]) { /* inih forgets such a key, so that the next line cannot continue it */
		r->is_open = false;
		r->is_unanswered = true;
		return 1;
	}
	draft->entries = cairn_draft__extend(
		draft->entries, draft->n_entries, &draft->cap_entries, sizeof(*draft->entries));
	draft->entries[draft->n_entries++] = (cairn_entry){.key = in_place(r, key),
		.value = in_place(r, value),
		.place = {r->file, r->line},
		.is_broken = r->is_cut};
	draft->sections[draft->n_sections - 1].n++;
	r->is_open = true;
	return 1;
}

static const char *kind_of(cairn_draft *draft, const char *text, size_t len)
{
	for (size_t i = 0; i < CAIRN_COUNT(kinds); i++) {
		if (strlen(kinds[i]) == len && memcmp(kinds[i], text, len) == 0)
			return kinds[i];
	}
	return cairn_arena_strndup(draft->arena, text, len);
}

/* "[stage ppo]": kind and name are the first word and the rest. */
static void read_header(struct reader *r, const char *line, size_t len)
{
	cairn_draft *draft = r->draft;
	const char *close = memchr(line, ']', len);
	size_t inside = close ? (size_t)(close - line) - 1 : len - 1;
	const char *kind = line + 1, *name;
	size_t kind_len, name_len, title_len;
	char *title;
	cairn_error *err;

	while (inside && is_blank(*kind)) {
		kind++;
		inside--;
	}
	while (inside && is_blank(kind[inside - 1]))
		inside--;
	for (kind_len = 0; kind_len < inside && !is_blank(kind[kind_len]); kind_len++)
		;
	name = kind + kind_len;
	name_len = inside - kind_len;
	while (name_len && is_blank(*name)) {
		name++;
		name_len--;
	}
	title_len = kind_len + (name_len > 0) + name_len;
	title = cairn_arena_bytes(draft->arena, title_len + 1);
	memcpy(title, kind, kind_len);
	if (name_len)
		title[kind_len] = ' ';
	memcpy(title + title_len - name_len, name, name_len);
	title[title_len] = '\0';
	add_section(
		r, kind_of(draft, kind, kind_len), title + title_len - name_len, title, r->line);
	if (close && close + 1 == line + len)
		return;
	err = cairn_draft__mistake(draft, (cairn_place){r->file, r->line}, NULL,
		close ? "text after the ']' of a section header" : "section header without ']'");
	cairn_error_hint(err, "Write the header alone on its line: `[%s]`.",
		cairn_draft__clip(draft, title));
}

/* Tells an indented `[stage x]`, which would continue the value above, from a value. */
static bool is_header(const char *line, size_t len)
{
	if (line[0] != '[' || line[len - 1] != ']')
		return false;
	for (size_t i = 0; i < CAIRN_COUNT(kinds); i++) {
		size_t n = strlen(kinds[i]);

		if (len > n + 1 && memcmp(line + 1, kinds[i], n) == 0 &&
			(is_blank(line[n + 1]) || line[n + 1] == ']'))
			return true;
	}
	return false;
}

/* Length of the line without comment, line end and blanks at its end. */
static size_t content_length(const char *line, size_t len)
{
	const char *at = line;

	while (len && (at = memchr(at, ';', (size_t)(line + len - at)))) {
		if (at > line && is_blank(at[-1])) {
			len = (size_t)(at - line);
			break;
		}
		at++;
	}
	while (len && (is_blank(line[len - 1]) || line[len - 1] == '\r'))
		len--;
	return len;
}

/* The previous line was no `key = value`. */
static void check_answer(struct reader *r)
{
	cairn_error *err;

	if (!r->is_unanswered)
		return;
	r->is_unanswered = false;
	err = cairn_draft__mistake(r->draft, (cairn_place){r->file, r->line}, NULL,
		"line is neither `key = value` nor a section header");
	cairn_error_hint(err, "Begin a comment with ';'; begin a line that continues the value "
			      "above with a blank.");
}

/* Hands a line of `len` bytes to inih, behind a tab if it continues the one before. */
static char *hand_out(struct reader *r, char *out, size_t room, char *line, size_t len)
{
	size_t tab = r->is_continuation;
	cairn_error *err;

	r->is_cut = tab + len > room;
	if (r->is_cut) {
		err = cairn_draft__mistake(r->draft, (cairn_place){r->file, r->line}, NULL,
			"line is longer than %zu bytes", room);
		cairn_error_detail(err, "it has %zu", len);
		cairn_error_hint(err, "Break the value over several lines: begin each further "
				      "line with a blank.");
		len = room - tab;
	}
	if (tab)
		out[0] = '\t';
	memcpy(out + tab, line, len);
	out[tab + len] = '\0';
	r->line_bytes = line;
	r->line_copy = out + tab;
	r->line_len = len;
	r->is_unanswered = !r->is_cut;
	return out;
}

/* inih's reader, in the manner of fgets. */
static char *next_line(char *out, int num, void *stream)
{
	struct reader *r = stream;

	check_answer(r);
	while (r->next < r->end) {
		char *line = r->next;
		char *eol = memchr(line, '\n', (size_t)(r->end - line));
		size_t len, lead = 0;

		if (!eol)
			eol = r->end;
		r->next = eol < r->end ? eol + 1 : eol;
		r->line++;
		len = content_length(line, (size_t)(eol - line));
		while (lead < len && is_blank(line[lead]))
			lead++;
		line += lead;
		len -= lead;
		if (len == 0 || line[0] == ';' || line[0] == '#')
			continue;
		r->is_continuation = lead > 0 && r->is_open && !is_header(line, len);
		if (line[0] == '[' && !r->is_continuation) {
			read_header(r, line, len);
			memcpy(out, "[-]", sizeof("[-]"));
			return out;
		}
		return hand_out(r, out, (size_t)num - 1, line, len);
	}
	return NULL;
}

void cairn_ini__read(cairn_draft *draft, const char *file, char *bytes, size_t len, unsigned depth)
{
	struct reader r = {.draft = draft, .file = file, .next = bytes, .end = bytes + len};

	r.depth = depth;
	if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
		r.next += 3;
	add_section(&r, "", "", "", 0);
	/* Its answer is the number of the first bad line, which check_answer() has told. */
	(void)ini_parse_stream(next_line, &r, on_entry, &r);
	check_answer(&r);
	close_value(&r);
	cairn_text_free(&r.value);
}
