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
#include "cli/progress.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

#define REDRAW_S    0.1
#define HEARTBEAT_S 30.0
#define SHORT_S     1.0
#define COUNT_S     1.0

const char *cli_progress_name(cli_progress *p, size_t i)
{
	return cli_safe_into(p->name, sizeof(p->name), p->workflow->instances[i].name);
}

static void recount(cli_progress *p, const cairn_plan *plan)
{
	p->n_ended = 0;
	for (size_t i = 0; plan && i < plan->n_stages; i++)
		p->n_ended += plan->stages[i].state != CAIRN_STATE_PENDING &&
			      plan->stages[i].state != CAIRN_STATE_READY &&
			      plan->stages[i].state != CAIRN_STATE_RUNNING;
}

/* ---- the observer ----------------------------------------------------------------------- */

static void note_progress(cli_live *l, const cairn_event *event)
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
	l->n_metrics = event->n_metrics < CLI_SHOWN_METRICS ? event->n_metrics : CLI_SHOWN_METRICS;
	for (size_t i = 0; i < l->n_metrics; i++) {
		cli_safe_into(
			l->metrics[i].name, sizeof(l->metrics[i].name), event->metrics[i].name);
		l->metrics[i].value = event->metrics[i].value;
	}
}

/* The slot of a running stage; a free one for a new stage. NULL: there is none. */
static cli_live *slot_of(cli_progress *p, size_t stage, bool is_new)
{
	cli_live *free_slot = NULL, *grown;

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
	cli_live *l = slot_of(p, event->stage, false);

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
	cli_live *l;

	switch (event->type) {
	case CAIRN_EVENT_PLANNED:
	case CAIRN_EVENT_PLANNED_ANEW:
		recount(p, plan);
		break;
	case CAIRN_EVENT_STARTED:
		l = slot_of(p, event->stage, true);
		if (l)
			*l = (cli_live){.is_running = true,
				.stage = event->stage,
				.started_s = cairn_clock(),
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
	if (p->mode != CLI_MODE_PLAIN || p->n_ended == p->n_told || now - p->told_s < COUNT_S)
		return;
	cli_progress_counter(p, CLI_GREEN, "done");
	fputc('\n', stderr);
	p->n_told = p->n_ended;
	p->told_s = now;
}

static void on_event(cairn_observer *self, const cairn_plan *plan, const cairn_event *event)
{
	cli_progress *p = (cli_progress *)self;
	bool is_loud = event->type == CAIRN_EVENT_WARNING || event->type == CAIRN_EVENT_ENDED;

	note(p, plan, event);
	if (p->mode == CLI_MODE_JSON) {
		cli_progress_json(plan, event);
		return;
	}
	if (event->type == CAIRN_EVENT_PROGRESS || event->type == CAIRN_EVENT_PLANNED)
		return;
	if (p->mode == CLI_MODE_NONE &&
		(!is_loud || (event->type == CAIRN_EVENT_ENDED &&
				     plan->stages[event->stage].state != CAIRN_STATE_FAILED)))
		return;
	if (is_dull(p, plan, event))
		return;
	cli_progress_erase(p);
	cli_progress_line(p, plan, event);
	p->n_told = p->n_ended;
	if (p->mode == CLI_MODE_TTY)
		cli_progress_draw(p);
}

static void on_tick(cairn_observer *self, const cairn_plan *plan)
{
	cli_progress *p = (cli_progress *)self;
	double now = cairn_clock();
	cairn_text line = {0};

	if (p->mode == CLI_MODE_TTY && now - p->drawn_s >= REDRAW_S) {
		recount(p, plan);
		cli_progress_draw(p);
	}
	if (p->n_stages > CLI_MANY_STAGES)
		tell_count(p, now);
	if (p->mode != CLI_MODE_PLAIN || now - p->beat_s < HEARTBEAT_S)
		return;
	p->beat_s = now;
	for (size_t i = 0; i < p->n_slots; i++) {
		if (!p->slots[i].is_running)
			continue;
		cairn_text_clear(&line);
		cli_progress_describe(&line, &p->slots[i], now);
		cli_progress_counter(p, CLI_BLUE, "running");
		fprintf(stderr, "%s  %s\n", cli_progress_name(p, p->slots[i].stage),
			cairn_text_get(&line));
	}
	cairn_text_free(&line);
}

static enum cli_mode choose_mode(const cli *c)
{
	const char *term = getenv("TERM");

	if (strcmp(c->progress, "auto") != 0)
		return strcmp(c->progress, "tty") == 0    ? CLI_MODE_TTY
		       : strcmp(c->progress, "json") == 0 ? CLI_MODE_JSON
		       : strcmp(c->progress, "none") == 0 ? CLI_MODE_NONE
							  : CLI_MODE_PLAIN;
	if (c->quiet)
		return CLI_MODE_NONE;
	return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0 ? CLI_MODE_TTY
									  : CLI_MODE_PLAIN;
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
		.start_s = cairn_clock(),
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
	cli_progress_erase(progress);
	free(progress->slots);
	progress->slots = NULL;
	progress->n_slots = 0;
	fflush(stderr);
}

const cli_spent *cli_progress_spent(const cli_progress *progress, size_t i)
{
	return &progress->spent[i];
}
