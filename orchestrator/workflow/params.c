/* SPDX-License-Identifier: Apache-2.0 */
/*
 * params.c - parameter text -> canonical text -> the plugin's struct.
 *
 * Canonical text is what enters a key and what the stage host is given, so that "1e-5",
 * "0.00001" and "1.0e-05" are one value:
 *
 *   int        decimal                            real      see real_text()
 *   bool       yes, no                            enum      its word
 *   size       bytes, decimal                     duration  seconds, as a real
 *   string     as given, with \n \t \\ replaced; any other backslash stays
 *
 * Bounds are inclusive; min = max = 0 means none, and max below min no upper one.
 */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "workflow/plugin_info.h"

static const char *const type_names[] = {
	[CAIRN_PARAM_INT] = "a whole number",
	[CAIRN_PARAM_REAL] = "a number",
	[CAIRN_PARAM_BOOL] = "yes or no",
	[CAIRN_PARAM_STRING] = "a text",
	[CAIRN_PARAM_ENUM] = "a word",
	[CAIRN_PARAM_SIZE] = "a size like 64K, 4M or 2G",
	[CAIRN_PARAM_DURATION] = "a time like 30s, 5m or 2h",
};

static int refuse_type(const cairn_param *param, const char *text, cairn_error *err)
{
	cairn_error_set(err, CAIRN_EPARAM, "parameter '%s' must be %s, not '%.60s'", param->name,
		type_names[param->type], text);
	if (param->doc)
		cairn_error_detail(err, "%s: %s", param->name, param->doc);
	if (param->fallback)
		cairn_error_hint(
			err, "Correct it, or leave it out for the default, `%s`.", param->fallback);
	cairn_error_hint(err, "Correct it.");
	return CAIRN_EPARAM;
}

/* The one text of a real; -0 is 0. */
static void real_text(double value, char out[32])
{
	cairn_format_double(value == 0 ? 0 : value, out);
}

static int check_range(const cairn_param *param, double value, const char *text, cairn_error *err)
{
	bool is_bounded = param->min != 0 || param->max != 0;
	bool has_max = is_bounded && param->max >= param->min && isfinite(param->max);
	bool has_min = is_bounded && isfinite(param->min);
	char min[32], max[32], unit[64] = "";

	if ((!has_min || value >= param->min) && (!has_max || value <= param->max))
		return 0;
	real_text(param->min, min);
	real_text(param->max, max);
	if (param->unit)
		snprintf(unit, sizeof(unit), " (%s)", param->unit);
	if (has_min && value < param->min)
		cairn_error_set(err, CAIRN_EPARAM, "parameter '%s' must be at least %s, not %s",
			param->name, min, text);
	else
		cairn_error_set(err, CAIRN_EPARAM, "parameter '%s' must be at most %s, not %s",
			param->name, max, text);
	if (param->doc)
		cairn_error_detail(err, "%s: %s", param->name, param->doc);
	if (has_min && has_max)
		cairn_error_hint(err, "Give a value from %s to %s%s.", min, max, unit);
	cairn_error_hint(err, "Give a value of %s or %s%s.", has_min ? min : max,
		has_min ? "more" : "less", unit);
	return CAIRN_EPARAM;
}

/* Index of the word among "a|b|c", -1 where there is none. */
static int32_t choice_index(const char *choices, const char *word)
{
	size_t len = strlen(word);
	int32_t index = 0;

	for (const char *c = choices;; index++) {
		size_t n = strcspn(c, "|");

		if (n == len && memcmp(c, word, n) == 0)
			return index;
		if (!c[n])
			return -1;
		c += n + 1;
	}
}

static int refuse_choice(
	const cairn_param *param, const char *text, cairn_arena *arena, cairn_error *err)
{
	const char *words[64], *near;
	cairn_text all = {0};
	size_t n = 0;

	for (const char *c = param->choices; n < CAIRN_COUNT(words);) {
		size_t len = strcspn(c, "|");

		words[n] = cairn_arena_strndup(arena, c, len);
		cairn_text_printf(&all, "%s%s", n ? ", " : "", words[n]);
		n++;
		if (!c[len])
			break;
		c += len + 1;
	}
	near = cairn_did_you_mean(text, words, n);
	cairn_error_set(err, CAIRN_EPARAM, "parameter '%s' cannot be '%.60s'", param->name, text);
	if (param->doc)
		cairn_error_detail(err, "%s: %s", param->name, param->doc);
	if (near)
		cairn_error_hint(
			err, "Did you mean '%s'? It is one of: %s.", near, cairn_text_get(&all));
	cairn_error_hint(err, "Write one of: %s.", cairn_text_get(&all));
	cairn_text_free(&all);
	return CAIRN_EPARAM;
}

static const char *unescape(cairn_arena *arena, const char *text)
{
	char *out, *to;

	if (!strchr(text, '\\'))
		return cairn_arena_strdup(arena, text);
	out = to = cairn_arena_strdup(arena, text);
	for (const char *s = text; *s; s++) {
		const char *code = "ntr\\", *value = "\n\t\r\\", *which;

		which = s[0] == '\\' && s[1] ? strchr(code, s[1]) : NULL;
		if (which) {
			*to++ = value[which - code];
			s++;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
	return out;
}

int cairn_param_canonical(const cairn_param *param, const char *text, cairn_arena *arena,
	const char **out, cairn_error *err)
{
	char number_text[32];
	double real;
	int64_t number;
	uint64_t size;
	bool flag;

	switch ((enum cairn_param_type)param->type) {
	case CAIRN_PARAM_INT:
		if (!cairn_parse_i64(text, &number))
			return refuse_type(param, text, err);
		if (check_range(param, (double)number, text, err) < 0)
			return CAIRN_EPARAM;
		*out = cairn_arena_printf(arena, "%lld", (long long)number);
		return 0;
	case CAIRN_PARAM_REAL:
	case CAIRN_PARAM_DURATION:
		if (!(param->type == CAIRN_PARAM_REAL ? cairn_parse_double(text, &real)
						      : cairn_parse_duration(text, &real)) ||
			!isfinite(real))
			return refuse_type(param, text, err);
		if (check_range(param, real, text, err) < 0)
			return CAIRN_EPARAM;
		real_text(real, number_text);
		*out = cairn_arena_strdup(arena, number_text);
		return 0;
	case CAIRN_PARAM_SIZE:
		if (!cairn_parse_size(text, &size))
			return refuse_type(param, text, err);
		if (check_range(param, (double)size, text, err) < 0)
			return CAIRN_EPARAM;
		*out = cairn_arena_printf(arena, "%llu", (unsigned long long)size);
		return 0;
	case CAIRN_PARAM_BOOL:
		if (!cairn_parse_bool(text, &flag))
			return refuse_type(param, text, err);
		*out = flag ? "yes" : "no";
		return 0;
	case CAIRN_PARAM_ENUM:
		if (choice_index(param->choices, text) < 0)
			return refuse_choice(param, text, arena, err);
		*out = cairn_arena_strdup(arena, text);
		return 0;
	case CAIRN_PARAM_STRING:
		*out = unescape(arena, text);
		return 0;
	}
	return cairn_error_set(err, CAIRN_EABI, "parameter '%s' is of an unknown type, %u",
		param->name, (unsigned)param->type);
}

static bool fill_one(const cairn_param *param, const char *text, char *field)
{
	double real;
	int64_t number;
	uint64_t size;
	int32_t word;
	bool flag;

	switch ((enum cairn_param_type)param->type) {
	case CAIRN_PARAM_INT:
		if (!cairn_parse_i64(text, &number))
			return false;
		memcpy(field, &number, sizeof(number));
		return true;
	case CAIRN_PARAM_REAL:
	case CAIRN_PARAM_DURATION:
		if (!cairn_parse_double(text, &real))
			return false;
		memcpy(field, &real, sizeof(real));
		return true;
	case CAIRN_PARAM_SIZE:
		if (!cairn_parse_u64(text, &size))
			return false;
		memcpy(field, &size, sizeof(size));
		return true;
	case CAIRN_PARAM_BOOL:
		if (!cairn_parse_bool(text, &flag))
			return false;
		word = flag;
		memcpy(field, &word, sizeof(word));
		return true;
	case CAIRN_PARAM_ENUM:
		word = choice_index(param->choices, text);
		memcpy(field, &word, sizeof(word));
		return word >= 0;
	case CAIRN_PARAM_STRING:
		memcpy(field, &text, sizeof(text));
		return true;
	}
	return false;
}

int cairn_param_fill(const cairn_param *params, uint64_t n_params, const char *const *values,
	void *params_struct, cairn_error *err)
{
	for (uint64_t i = 0; i < n_params; i++) {
		if (!fill_one(&params[i], values[i], (char *)params_struct + params[i].offset))
			return cairn_error_set(err, CAIRN_EPARAM,
				"parameter '%s' cannot be '%.60s'", params[i].name, values[i]);
	}
	return 0;
}
