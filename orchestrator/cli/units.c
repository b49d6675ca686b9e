/* SPDX-License-Identifier: Apache-2.0 */
/* units.c - numbers in the form that people compare. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"

static const char *const units[] = {
	"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP", "ZFLOP", "YFLOP"};

const char *cli_flop(char out[32], double flop)
{
	size_t i = 0;

	while (flop >= 999.5 && i + 1 < CAIRN_COUNT(units)) {
		flop /= 1000;
		i++;
	}
	snprintf(out, 32, flop > 0 && flop < 9.95 ? "%.1f %s" : "%.0f %s", flop, units[i]);
	return out;
}

const char *cli_pf_days(char out[32], double flop)
{
	double days = flop / CAIRN_PF_DAY;

	snprintf(out, 32,
		days == 0 || days >= 999.5 ? "%.0f"
		: days >= 0.01             ? "%.3g"
					   : "%.1e",
		days);
	return out;
}

bool cli_parse_cost(const char *text, double *flop)
{
	size_t len = strcspn(text, "kMGTPEZYF "), unit = len + strspn(text + len, " ");
	double factor = CAIRN_PF_DAY, number;
	char digits[64];

	if (text[unit]) {
		size_t i = 0;
		factor = 1;
		while (i < CAIRN_COUNT(units) && strcmp(text + unit, units[i++]) != 0)
			factor *= 1000;
		if (strcmp(text + unit, units[i - 1]) != 0)
			return false;
	}
	if (len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (!cairn_parse_double(digits, &number) || !(number >= 0) || isinf(number))
		return false;
	*flop = number * factor;
	return true;
}

const char *cli_duration(char out[32], double seconds)
{
	long long whole = (long long)(seconds + 0.5);

	if (seconds < 0.0995)
		snprintf(out, 32, "%.0fms", seconds * 1000);
	else if (seconds < 9.95)
		snprintf(out, 32, "%.1fs", seconds);
	else if (whole < 60)
		snprintf(out, 32, "%llds", whole);
	else if (whole < 3600)
		snprintf(out, 32, "%lldm%02llds", whole / 60, whole % 60);
	else if (whole < 86400)
		snprintf(out, 32, "%lldh%02lldm", whole / 3600, whole % 3600 / 60);
	else
		snprintf(out, 32, "%lldd%02lldh", whole / 86400, whole % 86400 / 3600);
	return out;
}

const char *cli_bytes(char out[32], double bytes)
{
	return cairn_format_bytes(out, bytes, 9.95);
}

const char *cli_peak(char out[32], const json_t *cost)
{
	double bytes = cairn_json_number(cost, "peak_bytes", 0);

	return bytes > 0 ? cli_bytes(out, bytes) : "-";
}

const char *cli_number(char out[32], double value)
{
	double size = fabs(value);

	if (size >= 1e6 || (size > 0 && size < 1e-3))
		snprintf(out, 32, "%.2e", value);
	else if (value == floor(value))
		snprintf(out, 32, "%.0f", value);
	else
		snprintf(out, 32, size >= 100 ? "%.1f" : size >= 1 ? "%.2f" : "%.3f", value);
	return out;
}

const char *cli_time(char out[32], int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm parts;

	if (ms <= 0 || !localtime_r(&seconds, &parts) ||
		strftime(out, 32, "%Y-%m-%d %H:%M:%S", &parts) == 0)
		snprintf(out, 32, "-");
	return out;
}
