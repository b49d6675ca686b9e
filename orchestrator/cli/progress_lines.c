/* SPDX-License-Identifier: Apache-2.0 */
/* progress_lines.c - what is final in a run, in a line each; of a failure also the end of its log.
 */
#include <string.h>

#include "base/alloc.h"
#include "cli/progress.h"

#define LAST_LOG_LINES 20
#define MAX_LOG_TAIL   65536

/* ---- what is final ---------------------------------------------------------------------- */

void cli_progress_counter(const cli_progress *p, enum cli_style style, const char *word)
{
	bool color = p->c->color_err;

	fprintf(stderr, "[%*zu/%zu] %s%-8s%s ", p->n_stages > 9 ? 2 : 1, p->n_ended, p->n_stages,
		cli_style(color && style != CLI_PLAIN, style), word,
		cli_style(color && style != CLI_PLAIN, CLI_PLAIN));
}

/* The last lines of a log, where a person looks first. */
static void print_tail(const cli_progress *p, const char *path)
{
	char *text, safe[1024];
	FILE *log = fopen(path, "re");
	size_t len, start, lines = 0;
	long size;

	if (!log)
		return;
	text = cairn_alloc(MAX_LOG_TAIL + 1, 1);
	size = fseek(log, 0, SEEK_END) == 0 ? ftell(log) : -1;
	if (!text || size < 0 ||
		fseek(log, size > MAX_LOG_TAIL ? size - MAX_LOG_TAIL : 0, SEEK_SET) < 0)
		goto out;
	len = fread(text, 1, MAX_LOG_TAIL, log);
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	for (start = len; start > 0; start--) {
		if (text[start - 1] == '\n' && ++lines == LAST_LOG_LINES)
			break;
	}
	for (char *line = text + start, *next; len > 0 && line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		fprintf(stderr, "%s  | %s%s\n", cli_style(p->c->color_err, CLI_DIM),
			cli_safe_into(safe, sizeof(safe), line),
			cli_style(p->c->color_err, CLI_PLAIN));
	}
out:
	fprintf(stderr, "log: %s\n", cli_safe_into(safe, sizeof(safe), path));
	free(text);
	fclose(log);
}

static void print_failure(cli_progress *p, const cairn_plan *plan, const cairn_event *event)
{
	const char *name = cli_progress_name(p, event->stage);
	char number[32];

	cli_progress_counter(p, CLI_RED, "failed");
	fprintf(stderr, "%s  %s\n", name, cli_duration(number, event->seconds));
	if (event->error)
		cli_error(p->c, event->error);
	if (event->log_path)
		print_tail(p, event->log_path);
	fprintf(stderr, "see `cairn log %s`, `cairn explain %s`; `cairn run %s` tries again\n",
		name, name, cli_safe(p->c, plan->workflow->file));
}

static void print_ended(cli_progress *p, const cairn_plan *plan, const cairn_event *event)
{
	const cairn_planned *stage = &plan->stages[event->stage];
	const char *state = cairn_state_name(stage->state);
	cairn_text summary = {0};
	char number[32];
	bool is_idle = stage->state == CAIRN_STATE_BLOCKED || stage->state == CAIRN_STATE_SKIPPED;

	if (stage->state == CAIRN_STATE_FAILED) {
		print_failure(p, plan, event);
		return;
	}
	cli_progress_counter(p, cli_state_style(state), state);
	fprintf(stderr, "%s", cli_progress_name(p, event->stage));
	if (stage->state != CAIRN_STATE_CACHED && !is_idle)
		fprintf(stderr, "  %s", cli_duration(number, event->seconds));
	if (event->max_rss_bytes)
		fprintf(stderr, "  %s", cli_bytes(number, (double)event->max_rss_bytes));
	if ((is_idle || stage->state == CAIRN_STATE_WAITING) && stage->reason[0])
		fprintf(stderr, "  %s", cli_safe(p->c, stage->reason));
	cli_summary_text(
		&summary, json_object_get(cairn_plan_result(plan, event->stage), "summary"), 3);
	if (summary.len)
		fprintf(stderr, "  %s", cli_safe(p->c, cairn_text_get(&summary)));
	fputc('\n', stderr);
	cairn_text_free(&summary);
}

void cli_progress_line(cli_progress *p, const cairn_plan *plan, const cairn_event *event)
{
	char safe[1024];
	const char *text = event->text ? cli_safe_into(safe, sizeof(safe), event->text) : "";
	const char *name = plan && event->stage < plan->n_stages
				   ? plan->stages[event->stage].instance->name
				   : "";

	switch (event->type) {
	case CAIRN_EVENT_WAITING_FOR_LOCK:
		fprintf(stderr, "waiting for another run of this store: %s\n", text);
		break;
	case CAIRN_EVENT_STARTED:
		if (p->mode != CLI_MODE_TTY) {
			cli_progress_counter(p, CLI_BLUE, "start");
			fprintf(stderr, "%s  %s\n", name, text);
		}
		break;
	case CAIRN_EVENT_LOG:
		if (event->level >= CAIRN_LOG_WARNING || p->c->verbose)
			fprintf(stderr, "%s: %s\n", name, text);
		break;
	case CAIRN_EVENT_CHECKPOINT:
		if (p->c->verbose)
			fprintf(stderr, "%s: checkpoint at step %llu\n", name,
				(unsigned long long)event->step);
		break;
	case CAIRN_EVENT_ENDED:
		print_ended(p, plan, event);
		break;
	case CAIRN_EVENT_STOPPING:
		fputs("stopping: the running stages write a checkpoint; once more to stop now\n",
			stderr);
		break;
	case CAIRN_EVENT_WARNING:
		fprintf(stderr, "%swarning:%s %s%s%s\n", cli_style(p->c->color_err, CLI_YELLOW),
			cli_style(p->c->color_err, CLI_PLAIN), name, *name ? ": " : "", text);
		break;
	case CAIRN_EVENT_PLANNED_ANEW:
		fprintf(stderr, "planned anew: %s\n", text);
		break;
	case CAIRN_EVENT_PLANNED:
	case CAIRN_EVENT_PROGRESS:
		break;
	}
}
