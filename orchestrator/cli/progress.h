/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - inside cli/: what the files of the progress share.
 *
 *   progress.c        what is known of the run, and who is told what
 *   progress_lines.c  what is final, a line each
 *   progress_draw.c   the part of a terminal that is drawn again and again
 *   progress_json.c   events for programs
 */
#ifndef CAIRN_CLI_PROGRESS_H
#define CAIRN_CLI_PROGRESS_H

#include "cli/cli.h"

#define CLI_SHOWN_METRICS 3

enum cli_mode {
	CLI_MODE_NONE,
	CLI_MODE_PLAIN,
	CLI_MODE_TTY,
	CLI_MODE_JSON
};

/* A running stage. */
typedef struct cli_live {
	bool is_running;
	size_t stage;
	uint64_t step, total, tokens;
	/* Where this attempt began to report: rates are of what it did itself. */
	uint64_t first_step, first_tokens;
	double first_s, seconds, flop, started_s;
	char phase[16];
	struct {
		char name[24];
		double value;
	} metrics[CLI_SHOWN_METRICS];
	size_t n_metrics;
} cli_live;

struct cli_progress {
	cairn_observer observer; /* first: the runner hands back a pointer to it */
	cli *c;
	const cairn_workflow *workflow;
	enum cli_mode mode;
	cli_live *slots; /* as many as ran at once */
	size_t n_slots;
	cli_spent *spent; /* per stage, what this run spent on it */
	size_t n_stages, n_ended, n_told, n_lines;
	double start_s, drawn_s, beat_s, told_s;
	char name[512]; /* cli_progress_name */
};

/* Of an instance, safe to print, until the next call. */
const char *cli_progress_name(cli_progress *p, size_t i);
/* "12/200  3.1 s  eta 1 m  loss 2.31": what matters most comes first, for lines are cut. */
void cli_progress_describe(cairn_text *out, const cli_live *l, double now);

/* On a terminal: takes the drawn part away, and draws it. */
void cli_progress_erase(cli_progress *p);
void cli_progress_draw(cli_progress *p);

/* "[ 3/20] done     ", the begin of a line. */
void cli_progress_counter(const cli_progress *p, enum cli_style style, const char *word);
/* An event in words; nothing of those that only change what is drawn. */
void cli_progress_line(cli_progress *p, const cairn_plan *plan, const cairn_event *event);

#endif
