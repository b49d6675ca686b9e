/* SPDX-License-Identifier: Apache-2.0 */
/* progress_json.c - every event of a run as one JSON line on stderr, for programs. */
#include "cli/cli.h"

void cli_progress_json(const cairn_plan *plan, const cairn_event *event)
{
	static const char *const names[] = {"waiting_for_lock", "planned", "started", "progress",
		"log", "checkpoint", "ended", "stopping", "warning", "planned_anew"};
	bool is_stage = event->type != CAIRN_EVENT_WAITING_FOR_LOCK &&
			event->type != CAIRN_EVENT_PLANNED && event->type != CAIRN_EVENT_STOPPING &&
			event->type != CAIRN_EVENT_WARNING &&
			event->type != CAIRN_EVENT_PLANNED_ANEW;
	json_t *json = json_pack(
		"{s:s, s:I}", "event", names[event->type], "time_ms", (json_int_t)cairn_now_ms());
	char *line;

	if (is_stage) {
		json_object_set_new(
			json, "stage", json_string(plan->stages[event->stage].instance->name));
		json_object_set_new(json, "state",
			json_string(cairn_state_name(plan->stages[event->stage].state)));
	}
	if (event->text)
		json_object_set_new(json, "text", cairn_record_text(event->text));
	if (event->type == CAIRN_EVENT_STARTED)
		json_object_set_new(
			json, "resumed_step", json_integer((json_int_t)event->resumed_step));
	if (event->type == CAIRN_EVENT_PROGRESS || event->type == CAIRN_EVENT_CHECKPOINT ||
		event->type == CAIRN_EVENT_ENDED) {
		json_t *metrics = json_object(), *numbers;
		for (size_t i = 0; i < event->n_metrics; i++)
			json_object_set_new(metrics, event->metrics[i].name,
				json_real(event->metrics[i].value));
		numbers = json_pack("{s:I, s:I, s:I, s:f, s:f, s:o}", "step",
			(json_int_t)event->step, "total", (json_int_t)event->total, "tokens",
			(json_int_t)event->tokens, "flop", event->flop, "seconds", event->seconds,
			"metrics", metrics);
		json_object_update(json, numbers);
		json_decref(numbers);
	}
	if (event->phase)
		json_object_set_new(json, "phase", cairn_record_text(event->phase));
	if (event->error)
		json_object_set_new(json, "error", cairn_record_error(event->error));
	line = cairn_json_canonical(json);
	if (line)
		fprintf(stderr, "%s\n", line);
	free(line);
	json_decref(json);
}
