/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - texts made of the fields of a row: "{title}\n{stance}\n".
 *
 *	{name}    the field's text; numbers and booleans as JSON writes them. Missing or null: a
 *	          mistake of the row.
 *	{name?}   the same, but empty where the field is missing or null
 *	{a.b.0.c} a field of a field, an item of a list; a field that is called "a.b.0.c" comes
 *first
 *	{{ }}     braces
 *	\n \t \\  line feed, tab, backslash
 *
 * So the columns of any data set become prompts and completions without a script.
 */
#ifndef CAIRN_GPT_TEMPLATE_H
#define CAIRN_GPT_TEMPLATE_H

#include "base/json.h"
#include "base/text.h"

/* EPARAM, with what is wrong and where; `param` names the parameter. */
CAIRN_MUST int gpt_template_check(const char *param, const char *text, cairn_error *err);
/* Appends the row's text. EINPUT without a place where a field is missing or no text; EPARAM
 * where the template itself is wrong. *out then holds a part of the text. */
CAIRN_MUST int gpt_template_render(
	const char *text, const json_t *row, cairn_text *out, cairn_error *err);

#endif
