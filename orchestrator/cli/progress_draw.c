/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress_draw.c - the part of a terminal that changes: a header and a line per running stage.
 *
 * It is the last thing on the screen. Whatever is final is printed above it: erase, print, draw.
 */
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/progress.h"

/* ---- one stage in one line -------------------------------------------------------------- */

static double step_rate(const cli_live *l)
{
	double seconds = l->seconds - l->first_s;

	return seconds > 0 && l->step > l->first_step ? (double)(l->step - l->first_step) / seconds
						      : 0;
}

/* What matters most comes first: the line is cut at the terminal's width. */
void cli_progress_describe(cairn_text *out, const cli_live *l, double now)
{
	char number[32];
	double rate = step_rate(l), seconds = l->seconds - l->first_s;

	if (l->total)
		cairn_text_printf(out, "%llu/%llu  ", (unsigned long long)l->step,
			(unsigned long long)l->total);
	else if (l->step)
		cairn_text_printf(out, "%llu  ", (unsigned long long)l->step);
	cairn_text_add(out, cli_duration(number, now - l->started_s));
	if (rate > 0 && l->total > l->step)
		cairn_text_printf(
			out, "  eta %s", cli_duration(number, (double)(l->total - l->step) / rate));
	for (size_t i = 0; i < l->n_metrics; i++)
		cairn_text_printf(out, "  %s %s", l->metrics[i].name,
			cli_number(number, l->metrics[i].value));
	if (seconds > 0 && l->tokens > l->first_tokens)
		cairn_text_printf(
			out, "  %.0f tok/s", (double)(l->tokens - l->first_tokens) / seconds);
	if (l->phase[0])
		cairn_text_printf(out, "  %s", l->phase);
}

static void bar(char *out, size_t width, const cli_live *l)
{
	size_t full = l->total ? (size_t)((double)width * (double)l->step / (double)l->total) : 0;

	for (size_t i = 0; i < width; i++)
		out[i] = i < full ? '#' : '.';
	out[width] = '\0';
}

/* ---- the redrawn part ------------------------------------------------------------------- */

void cli_progress_erase(cli_progress *p)
{
	if (p->mode != CLI_MODE_TTY)
		return;
	for (; p->n_lines > 0; p->n_lines--)
		fputs("\033[A\033[2K", stderr);
	fputc('\r', stderr);
}

/* Cut at the terminal's width, not through a character: a wrapped line could not be erased. */
static void put_line(cli_progress *p, const char *text, size_t columns)
{
	size_t at = 0, used = 0;

	while (text[at] && used < columns) {
		at++;
		while (((unsigned char)text[at] & 0xc0) == 0x80)
			at++;
		used++;
	}
	fprintf(stderr, "%.*s\n", (int)at, text);
	p->n_lines++;
}

void cli_progress_draw(cli_progress *p)
{
	struct winsize window;
	size_t columns = 80, n_running = 0;
	double now = cairn_clock();
	char number[32], bar_text[21];
	cairn_text line = {0};

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 20)
		columns = window.ws_col - 1u;
	cli_progress_erase(p);
	for (size_t i = 0; i < p->n_slots; i++)
		n_running += p->slots[i].is_running;
	cairn_text_printf(&line, "[%zu/%zu] %zu running  %s", p->n_ended, p->n_stages, n_running,
		cli_duration(number, now - p->start_s));
	put_line(p, cairn_text_get(&line), columns);
	for (size_t i = 0; i < p->n_slots; i++) {
		const cli_live *l = &p->slots[i];
		if (!l->is_running)
			continue;
		cairn_text_clear(&line);
		bar(bar_text, sizeof(bar_text) - 1, l);
		cairn_text_printf(&line, "  %-16s %s ", cli_progress_name(p, l->stage), bar_text);
		cli_progress_describe(&line, l, now);
		put_line(p, cairn_text_get(&line), columns);
	}
	cairn_text_free(&line);
	fflush(stderr);
	p->drawn_s = now;
}
