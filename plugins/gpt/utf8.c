/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.c - see utf8.h. */
#include "gpt/utf8.h"

/* How many bytes the lead byte promises, and what the second may be (Unicode 15, table 3-7): that
 * rules out overlong forms, surrogates and what is too large. 0: no lead byte. */
static size_t promised(unsigned char lead, unsigned char *low, unsigned char *high)
{
	*low = 0x80;
	*high = 0xbf;
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef) {
		if (lead == 0xe0)
			*low = 0xa0;
		if (lead == 0xed)
			*high = 0x9f;
		return 3;
	}
	if (lead >= 0xf0 && lead <= 0xf4) {
		if (lead == 0xf0)
			*low = 0x90;
		if (lead == 0xf4)
			*high = 0x8f;
		return 4;
	}
	return 0;
}

/* Bytes of the character at s that are as they should be; *wanted is how many it needs. */
static size_t matching(const char *s, size_t len, size_t *wanted)
{
	unsigned char low, high;
	size_t n = 1;

	*wanted = promised((unsigned char)s[0], &low, &high);
	if (*wanted == 0)
		return 0;
	while (n < *wanted && n < len && (unsigned char)s[n] >= low &&
		(unsigned char)s[n] <= high) {
		low = 0x80;
		high = 0xbf;
		n++;
	}
	return n;
}

size_t gpt_utf8_character(const char *s, size_t len)
{
	size_t wanted, n = matching(s, len, &wanted);

	return n && n == wanted ? n : 0;
}

size_t gpt_utf8_broken(const char *s, size_t len)
{
	size_t wanted, n = matching(s, len, &wanted);

	return n ? n : 1;
}

size_t gpt_utf8_unfinished(const char *s, size_t len)
{
	for (size_t tail = 1; tail <= 3 && tail <= len; tail++) {
		size_t wanted, n = matching(s + len - tail, tail, &wanted);

		if (n == tail && n < wanted)
			return tail;
	}
	return 0;
}

void gpt_utf8_add(cairn_text *text, const char *s, size_t len)
{
	for (size_t at = 0, n; at < len; at += n) {
		size_t end = at;

		while (end < len && (n = gpt_utf8_character(s + end, len - end)) > 0)
			end += n;
		cairn_text_add_bytes(text, s + at, end - at);
		n = end - at;
		if (end < len) {
			cairn_text_add(text, "\xef\xbf\xbd");
			n += gpt_utf8_broken(s + end, len - end);
		}
	}
}
