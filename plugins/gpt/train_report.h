/* SPDX-License-Identifier: Apache-2.0 */
/* train_report.h - files of a report artifact: canonical JSON and text for people. */
#ifndef CAIRN_GPT_TRAIN_REPORT_H
#define CAIRN_GPT_TRAIN_REPORT_H

#include "base/json.h"
#include "base/text.h"
#include "gpt/jsonl.h"
#include "gpt/train_run.h"

/* Puts a text file into a report. */
CAIRN_MUST int gpt_report_text(
	const gpt_work *work, cairn_writer *writer, const char *name, const cairn_text *text);
/* Puts a JSON document; takes the reference, NULL is a lack of memory. */
CAIRN_MUST int gpt_report_json(
	const gpt_work *work, cairn_writer *writer, const char *name, json_t *take_json);
/* Appends a JSON object as one line; takes the reference. */
void gpt_report_line(cairn_text *text, json_t *take_json);
/* A number; null where it is not finite, which JSON cannot hold. */
json_t *gpt_report_number(double value);

/* Tags: "fold:3 model:PPO-ptx", facts about a run that tables over many reports sort by. EPARAM
 * where a word has no name or no value, or names something twice. */
CAIRN_MUST int gpt_tags_check(const char *tags, cairn_error *err);
/* The object {"fold":3,"model":"PPO-ptx"}; new reference, NULL without memory. */
json_t *gpt_tags_json(const char *tags);

#endif
