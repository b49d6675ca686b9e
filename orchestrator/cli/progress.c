/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.c - what a person or a program sees while a run goes on, all of it on stderr.
 *
 *   tty    a header and one line per running stage, redrawn at most ten times a second; what
 *          is final (a stage ended, a warning) scrolls up above them
 *   plain  one line per change of state, and a heartbeat each 30 s
 *   json   every event as one JSON line
 *   none   errors and warnings only
 *
 * Of a plan of many stages, tty and plain leave out what ended well within a second: the counter
 * tells of it, plain once a second. So 10,000 short stages are a few lines, and printing them is
 * not what takes the time.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/cli.h"

#define REDRAW_S       0.1
#define HEARTBEAT_S    30.0
#define SHOWN_METRICS  3
#define LAST_LOG_LINES 20
#define MAX_LOG_TAIL   65536
#define SHORT_S        1.0
#define COUNT_S        1.0

enum mode {
	MODE_NONE,
	MODE_PLAIN,
	MODE_TTY,
	MODE_JSON
};

/* A running stage. */
typedef struct live {
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
	} metrics[SHOWN_METRICS];
	size_t n_metrics;
} live;

struct cli_progress {
	cairn_observer observer; /* first: the runner hands back a pointer to it */
	cli *c;
	const cairn_workflow *workflow;
	enum mode mode;
	live *slots; /* as many as ran at once */
	size_t n_slots;
	cli_spent *spent; /* per stage, what this run spent on it */
	size_t n_stages, n_ended, n_told, n_lines;
	double start_s, drawn_s, beat_s, told_s;
	char name[512]; /* name_of */
};

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Safe to print, until the next call. */
static const char *name_of(cli_progress *p, size_t i)
{
	return cli_safe_into(p->name, sizeof(p->name), p->workflow->instances[i].name);
}

/* ---- one stage in one line -------------------------------------------------------------- */

static double step_rate(const live *l)
{
	double seconds = l->seconds - l->first_s;

	return seconds > 0 && l->step > l->first_step ? (double)(l->step - l->first_step) / seconds
						      : 0;
}

/* What matters most comes first: the line is cut at the terminal's width. */
static void describe_live(cairn_text *out, const live *l, double now)
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

static void bar(char *out, size_t width, const live *l)
{
	size_t full = l->total ? (size_t)((double)width * (double)l->step / (double)l->total) : 0;

	for (size_t i = 0; i < width; i++)
		out[i] = i < full ? '#' : '.';
	out[width] = '\0';
}

/* ---- the redrawn part ------------------------------------------------------------------- */

static void erase(cli_progress *p)
{
	if (p->mode != MODE_TTY)
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

static void recount(cli_progress *p, const cairn_plan *plan)
{
	p->n_ended = 0;
	for (size_t i = 0; plan && i < plan->n_stages; i++)
		p->n_ended += plan->stages[i].state != CAIRN_STATE_PENDING &&
			      plan->stages[i].state != CAIRN_STATE_READY &&
			      plan->stages[i].state != CAIRN_STATE_RUNNING;
}

static void draw(cli_progress *p)
{
	struct winsize window;
	size_t columns = 80, n_running = 0;
	double now = now_s();
	char number[32], bar_text[21];
	cairn_text line = {0};

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 20)
		columns = window.ws_col - 1u;
	erase(p);
	for (size_t i = 0; i < p->n_slots; i++)
		n_running += p->slots[i].is_running;
	cairn_text_printf(&line, "[%zu/%zu] %zu running  %s", p->n_ended, p->n_stages, n_running,
		cli_duration(number, now - p->start_s));
	put_line(p, cairn_text_get(&line), columns);
	for (size_t i = 0; i < p->n_slots; i++) {
		const live *l = &p->slots[i];
		if (!l->is_running)
			continue;
		cairn_text_clear(&line);
		bar(bar_text, sizeof(bar_text) - 1, l);
		cairn_text_printf(&line, "  %-16s %s ", name_of(p, l->stage), bar_text);
		describe_live(&line, l, now);
		put_line(p, cairn_text_get(&line), columns);
	}
	cairn_text_free(&line);
	fflush(stderr);
	p->drawn_s = now;
}

/* ---- what is final ---------------------------------------------------------------------- */

static void counter(const cli_progress *p, enum cli_style style, const char *word)
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
	const char *name = name_of(p, event->stage);
	char number[32];

	counter(p, CLI_RED, "failed");
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
	counter(p, cli_state_style(state), state);
	fprintf(stderr, "%s", name_of(p, event->stage));
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

static void print_line(cli_progress *p, const cairn_plan *plan, const cairn_event *event)
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
		if (p->mode != MODE_TTY) {
			counter(p, CLI_BLUE, "start");
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
	case CAIRN_EVENT_PLANNED:
	case CAIRN_EVENT_PROGRESS:
		break;
	}
}

/* ---- the observer ----------------------------------------------------------------------- */

static void note_progress(live *l, const cairn_event *event)
{
	if (!l->first_s) {
		/* The first report is behind one unit of work; count from there. */
		l->first_s = event->seconds > 0 ? event->seconds : 1e-9;
		l->first_step = event->step;
		l->first_tokens = event->tokens;
	}
	l->step = event->step;
	l->total = event->total;
	l->tokens = event->tokens;
	l->seconds = event->seconds;
	l->flop = event->flop;
	l->phase[0] = '\0';
	if (event->phase)
		cli_safe_into(l->phase, sizeof(l->phase), event->phase);
	if (event->n_metrics == 0)
		return;
	l->n_metrics = event->n_metrics < SHOWN_METRICS ? event->n_metrics : SHOWN_METRICS;
	for (size_t i = 0; i < l->n_metrics; i++) {
		cli_safe_into(
			l->metrics[i].name, sizeof(l->metrics[i].name), event->metrics[i].name);
		l->metrics[i].value = event->metrics[i].value;
	}
}

/* The slot of a running stage; a free one for a new stage. NULL: there is none. */
static live *slot_of(cli_progress *p, size_t stage, bool is_new)
{
	live *free_slot = NULL, *grown;

	for (size_t i = 0; i < p->n_slots; i++) {
		if (p->slots[i].is_running && p->slots[i].stage == stage)
			return &p->slots[i];
		if (!p->slots[i].is_running && !free_slot)
			free_slot = &p->slots[i];
	}
	if (!is_new || free_slot)
		return is_new ? free_slot : NULL;
	grown = cairn_realloc(p->slots, p->n_slots + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	p->slots = grown;
	return &p->slots[p->n_slots++];
}

static void note_end(cli_progress *p, const cairn_plan *plan, const cairn_event *event)
{
	const cairn_planned *stage = &plan->stages[event->stage];
	live *l = slot_of(p, event->stage, false);

	if (l)
		l->is_running = false;
	if (stage->state != CAIRN_STATE_CACHED) {
		p->spent[event->stage].seconds += event->seconds;
		p->spent[event->stage].flop += event->flop;
	}
	if (stage->state == CAIRN_STATE_DONE || stage->state == CAIRN_STATE_CACHED)
		p->n_ended++;
	else
		recount(p, plan); /* others were blocked by it */
}

static void note(cli_progress *p, const cairn_plan *plan, const cairn_event *event)
{
	live *l;

	switch (event->type) {
	case CAIRN_EVENT_PLANNED:
		recount(p, plan);
		break;
	case CAIRN_EVENT_STARTED:
		l = slot_of(p, event->stage, true);
		if (l)
			*l = (live){.is_running = true,
				.stage = event->stage,
				.started_s = now_s(),
				.step = event->resumed_step};
		break;
	case CAIRN_EVENT_PROGRESS:
		l = slot_of(p, event->stage, false);
		if (l)
			note_progress(l, event);
		break;
	case CAIRN_EVENT_ENDED:
		note_end(p, plan, event);
		break;
	default:
		break;
	}
}

/* Is this one of many that nobody wants to read of? */
static bool is_dull(const cli_progress *p, const cairn_plan *plan, const cairn_event *event)
{
	enum cairn_state state;

	if (p->n_stages <= CLI_MANY_STAGES || p->c->verbose)
		return false;
	if (event->type == CAIRN_EVENT_STARTED)
		return true;
	if (event->type != CAIRN_EVENT_ENDED)
		return false;
	state = plan->stages[event->stage].state;
	return state == CAIRN_STATE_CACHED ||
	       (state == CAIRN_STATE_DONE && event->seconds < SHORT_S);
}

/* What is_dull() kept back. */
static void tell_count(cli_progress *p, double now)
{
	if (p->mode != MODE_PLAIN || p->n_ended == p->n_told || now - p->told_s < COUNT_S)
		return;
	counter(p, CLI_GREEN, "done");
	fputc('\n', stderr);
	p->n_told = p->n_ended;
	p->told_s = now;
}

static void on_event(cairn_observer *self, const cairn_plan *plan, const cairn_event *event)
{
	cli_progress *p = (cli_progress *)self;
	bool is_loud = event->type == CAIRN_EVENT_WARNING || event->type == CAIRN_EVENT_ENDED;

	note(p, plan, event);
	if (p->mode == MODE_JSON) {
		cli_progress_json(plan, event);
		return;
	}
	if (event->type == CAIRN_EVENT_PROGRESS || event->type == CAIRN_EVENT_PLANNED)
		return;
	if (p->mode == MODE_NONE &&
		(!is_loud || (event->type == CAIRN_EVENT_ENDED &&
				     plan->stages[event->stage].state != CAIRN_STATE_FAILED)))
		return;
	if (is_dull(p, plan, event))
		return;
	erase(p);
	print_line(p, plan, event);
	p->n_told = p->n_ended;
	if (p->mode == MODE_TTY)
		draw(p);
}

static void on_tick(cairn_observer *self, const cairn_plan *plan)
{
	cli_progress *p = (cli_progress *)self;
	double now = now_s();
	cairn_text line = {0};

	if (p->mode == MODE_TTY && now - p->drawn_s >= REDRAW_S) {
		recount(p, plan);
		draw(p);
	}
	if (p->n_stages > CLI_MANY_STAGES)
		tell_count(p, now);
	if (p->mode != MODE_PLAIN || now - p->beat_s < HEARTBEAT_S)
		return;
	p->beat_s = now;
	for (size_t i = 0; i < p->n_slots; i++) {
		if (!p->slots[i].is_running)
			continue;
		cairn_text_clear(&line);
		describe_live(&line, &p->slots[i], now);
		counter(p, CLI_BLUE, "running");
		fprintf(stderr, "%s  %s\n", name_of(p, p->slots[i].stage), cairn_text_get(&line));
	}
	cairn_text_free(&line);
}

static enum mode choose_mode(const cli *c)
{
	const char *term = getenv("TERM");

	if (strcmp(c->progress, "auto") != 0)
		return strcmp(c->progress, "tty") == 0    ? MODE_TTY
		       : strcmp(c->progress, "json") == 0 ? MODE_JSON
		       : strcmp(c->progress, "none") == 0 ? MODE_NONE
							  : MODE_PLAIN;
	if (c->quiet)
		return MODE_NONE;
	return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0 ? MODE_TTY : MODE_PLAIN;
}

cli_progress *cli_progress_new(cli *c, const cairn_workflow *workflow)
{
	cli_progress *p = cairn_arena_alloc(c->arena, 1, sizeof(*p));

	*p = (cli_progress){
		.observer = {on_event, on_tick},
		.c = c,
		.workflow = workflow,
		.mode = choose_mode(c),
		.n_stages = workflow->n_instances,
		.start_s = now_s(),
	};
	p->beat_s = p->start_s;
	p->told_s = p->start_s;
	p->spent = cairn_arena_alloc(c->arena, p->n_stages + 1, sizeof(*p->spent));
	return p;
}

cairn_observer *cli_progress_observer(cli_progress *progress)
{
	return &progress->observer;
}

void cli_progress_end(cli_progress *progress)
{
	erase(progress);
	free(progress->slots);
	progress->slots = NULL;
	progress->n_slots = 0;
	fflush(stderr);
}

const cli_spent *cli_progress_spent(const cli_progress *progress, size_t i)
{
	return &progress->spent[i];
}
