/* SPDX-License-Identifier: Apache-2.0 */
#include "page.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "test.h"

/* "\fB", "\-", "\(aq" and the like, as a terminal shows them. */
static void add_unescaped(cairn_text *out, const char *text, size_t len)
{
	static const struct {
		const char *code, *plain;
	} specials[] = {{"(aq", "'"}, {"(ga", "`"}, {"(ti", "~"}, {"(ha", "^"}, {"(bu", "*"},
		{"-", "-"}, {"e", "\\"}, {"&", ""}, {" ", " "}};

	for (size_t i = 0; i < len; i++) {
		size_t k = 0, n = 0;
		if (text[i] != '\\') {
			cairn_text_add_char(out, text[i]);
			continue;
		}
		if (text[i + 1] == 'f') {
			i += 2;
			continue;
		}
		while (k < CAIRN_COUNT(specials) &&
			strncmp(text + i + 1, specials[k].code, strlen(specials[k].code)) != 0)
			k++;
		if (k == CAIRN_COUNT(specials))
			fail_msg("an escape that page.c does not know: %.10s", text + i);
		n = strlen(specials[k].code);
		cairn_text_add(out, specials[k].plain);
		i += n;
	}
}

/* The arguments of a macro; those of .BR, .RI ... stand together, of .B and .I with blanks. */
static void add_arguments(cairn_text *out, const char *at, const char *end, bool is_joined)
{
	bool is_first = true;

	while (at < end) {
		const char *stop;
		bool is_quoted = *at == '"';
		if (*at == ' ') {
			at++;
			continue;
		}
		if (!is_first && !is_joined)
			cairn_text_add_char(out, ' ');
		is_first = false;
		at += is_quoted;
		for (stop = at; stop < end; stop++) {
			if (is_quoted ? *stop == '"' && stop[1] != '"' : *stop == ' ')
				break;
			stop += is_quoted && *stop == '"'; /* "" is one " */
		}
		add_unescaped(out, at, (size_t)(stop - at));
		at = stop + (is_quoted && stop < end);
	}
}

static void add_line(cairn_text *out, const char *line, size_t len, bool *in_example)
{
	char macro[4] = "";
	const char *end = line + len, *args;

	if (len == 0 || line[0] != '.') {
		if (*in_example)
			cairn_text_add(out, "> ");
		add_unescaped(out, line, len);
		cairn_text_add_char(out, '\n');
		return;
	}
	for (size_t i = 0; i + 1 < len && i < 3 && line[i + 1] != ' '; i++)
		macro[i] = line[i + 1];
	args = line + 1 + strlen(macro);
	if (strcmp(macro, "nf") == 0 || strcmp(macro, "EX") == 0)
		*in_example = true;
	else if (strcmp(macro, "fi") == 0 || strcmp(macro, "EE") == 0)
		*in_example = false;
	else if (strcmp(macro, "TP") == 0)
		cairn_text_add(out, "= ");
	else if (strcmp(macro, "SH") == 0 || strcmp(macro, "SS") == 0) {
		cairn_text_add(out, macro[1] == 'H' ? "# " : "## ");
		add_arguments(out, args, end, false);
		cairn_text_add_char(out, '\n');
	} else if (strchr("BIR", macro[0]) && macro[0] && strcmp(macro, "RS") != 0 &&
		   strcmp(macro, "RE") != 0) {
		add_arguments(out, args, end, macro[1] != '\0');
		cairn_text_add_char(out, '\n');
	} else if (line[1] != '\\' && !strstr("TH PP RS RE br", macro)) {
		fail_msg("a macro that page.c does not know: %.*s", (int)len, line);
	}
}

char *page_read(const char *name)
{
	char path[512], *line = NULL;
	cairn_text out = {0};
	bool in_example = false;
	size_t cap = 0;
	ssize_t len;
	FILE *file;

	snprintf(path, sizeof(path), "%s/orchestrator/man/%s", CAIRN_SOURCE_DIR, name);
	file = fopen(path, "r");
	if (!file)
		return NULL;
	while ((len = getline(&line, &cap, file)) > 0)
		add_line(&out, line, (size_t)len - (line[len - 1] == '\n'), &in_example);
	free(line);
	fclose(file);
	assert_false(out.failed);
	return out.data;
}

char *page_section(const char *plain, const char *title)
{
	char head[64];
	const char *at = plain, *end;
	size_t len;

	snprintf(head, sizeof(head), "# %s\n", title);
	len = strlen(head);
	while (at && strncmp(at, head, len) != 0) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return strdup("");
	at += len;
	end = strncmp(at, "# ", 2) == 0 ? at : strstr(at, "\n# ");
	return strndup(at, end ? (size_t)(end - at) + (end != at) : strlen(at));
}

bool page_next(const char **at, char mark, char *line, unsigned long cap)
{
	while (**at) {
		const char *from = *at;
		size_t len = strcspn(from, "\n");
		*at += len + (from[len] == '\n');
		if (len >= 2 && from[0] == mark && from[1] == ' ') {
			assert_true(len - 2 < cap);
			memcpy(line, from + 2, len - 2);
			line[len - 2] = '\0';
			return true;
		}
	}
	return false;
}
