/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page.h - a manual page as plain text that a test can read.
 *
 * Of man(7) as the pages use it: macros of fonts, headings, items and examples. Lines of the
 * plain text: "# SECTION", "= item of a list", "> line of an example", and sentences.
 */
#ifndef CAIRN_TESTS_CLI_PAGE_H
#define CAIRN_TESTS_CLI_PAGE_H

#include <stdbool.h>

/* orchestrator/man/NAME, plain; NULL where there is none. The caller frees. */
char *page_read(const char *name);
/* The lines of a section, without its heading; "" where the page has none. The caller frees. */
char *page_section(const char *plain, const char *title);
/* The next line that begins with `mark` ('=' or '>'), without the mark, into `line`; *at moves
 * on. */
bool page_next(const char **at, char mark, char *line, unsigned long cap);

#endif
