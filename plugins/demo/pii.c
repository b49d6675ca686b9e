/* SPDX-License-Identifier: Apache-2.0 */
/* pii.c - finds addresses and numbers that may identify a person. Every finder is given the
 * place where its match would begin and answers with its length, 0 where there is none. */
#include "pii.h"

#include <arpa/inet.h>
#include <string.h>

const char *const pii_names[PII_TYPES] = {"email", "phone", "ip", "card"};

#define MIN_PHONE  8
#define MAX_PHONE  15
#define MIN_CARD   13
#define MAX_CARD   19
#define MAX_LABELS 254 /* bytes of a mail address that are looked at on each side */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(char c)
{
	return is_digit(c) || is_letter(c) || c == '_';
}

static size_t count_digits(const char *s)
{
	size_t n = 0;

	while (is_digit(s[n]))
		n++;
	return n;
}

static size_t find_email(const char *s)
{
	size_t local = 0, domain, last_dot = 0, end;

	while (local < MAX_LABELS && (is_word(s[local]) || (s[local] && strchr(".%+-", s[local]))))
		local++;
	if (!local || s[local] != '@')
		return 0;
	domain = local + 1;
	for (end = domain; end - domain < MAX_LABELS && (is_digit(s[end]) || is_letter(s[end]) ||
								s[end] == '.' || s[end] == '-');
		end++)
		;
	while (end > domain && (s[end - 1] == '.' || s[end - 1] == '-'))
		end--;
	for (size_t i = domain + 1; i < end; i++)
		if (s[i] == '.')
			last_dot = i;
	if (!last_dot || end - last_dot < 3)
		return 0;
	for (size_t i = last_dot + 1; i < end; i++)
		if (!is_letter(s[i]))
			return 0;
	return end;
}

/* Digits with at most one separator between two of them. */
static size_t digit_groups(
	const char *s, const char *separators, size_t max, char *digits, size_t *n)
{
	size_t end = 0;

	*n = 0;
	for (size_t i = 0; *n < max; i++) {
		if (is_digit(s[i])) {
			digits[(*n)++] = s[i];
			end = i + 1;
		} else if (!s[i] || !strchr(separators, s[i]) || i != end || !end) {
			break;
		}
	}
	return end;
}

static bool passes_luhn(const char *digits, size_t n)
{
	int sum = 0;

	for (size_t i = 0; i < n; i++) {
		int d = digits[n - 1 - i] - '0';

		if (i % 2)
			d = d > 4 ? 2 * d - 9 : 2 * d;
		sum += d;
	}
	return sum % 10 == 0;
}

static size_t find_card(const char *s)
{
	char digits[MAX_CARD + 1];
	size_t n, len = digit_groups(s, " -", MAX_CARD + 1, digits, &n);

	if (n < MIN_CARD || n > MAX_CARD || digits[0] < '2' || digits[0] > '6')
		return 0;
	return passes_luhn(digits, n) ? len : 0;
}

/* +CC ... */
static size_t find_international(const char *s)
{
	char digits[MAX_PHONE + 1];
	size_t n, len;

	if (s[0] != '+' || !is_digit(s[1]))
		return 0;
	len = digit_groups(s + 1, " -./", MAX_PHONE + 1, digits, &n);
	return n >= MIN_PHONE && n <= MAX_PHONE ? len + 1 : 0;
}

/* 3-3-4 digits, the first three perhaps in brackets. */
static size_t find_american(const char *s)
{
	bool in_brackets = s[0] == '(';
	size_t at = in_brackets;

	if (count_digits(s + at) != 3)
		return 0;
	at += 3;
	if (in_brackets && s[at++] != ')')
		return 0;
	if (s[at] == ' ' || s[at] == '-' || s[at] == '.')
		at++;
	else if (!in_brackets)
		return 0;
	if (count_digits(s + at) != 3)
		return 0;
	at += 3;
	if (s[at] != ' ' && s[at] != '-' && s[at] != '.')
		return 0;
	at++;
	return count_digits(s + at) == 4 ? at + 4 : 0;
}

static size_t find_phone(const char *s)
{
	size_t len = find_international(s);

	return len ? len : find_american(s);
}

static size_t find_ip(const char *s)
{
	char token[INET6_ADDRSTRLEN + 1];
	uint8_t address[16];
	size_t len = 0, colons = 0, digits = 0;

	for (; len < INET6_ADDRSTRLEN && s[len] &&
		(is_digit(s[len]) || strchr("abcdefABCDEF:.", s[len]));
		len++) {
		colons += s[len] == ':';
		digits += is_digit(s[len]);
	}
	while (len && (s[len - 1] == '.' || (s[len - 1] == ':' && (len < 2 || s[len - 2] != ':'))))
		len--;
	if (!len || !digits || is_word(s[len]))
		return 0;
	memcpy(token, s, len);
	token[len] = '\0';
	return inet_pton(colons ? AF_INET6 : AF_INET, token, address) == 1 ? len : 0;
}

bool pii_find(const char *text, size_t from, struct pii_match *out)
{
	static size_t (*const finders[PII_TYPES])(const char *) = {
		[PII_EMAIL] = find_email,
		[PII_PHONE] = find_phone,
		[PII_IP] = find_ip,
		[PII_CARD] = find_card,
	};
	/* A card number may look like a telephone number with more digits: longest first. */
	static const enum pii_type order[PII_TYPES] = {PII_EMAIL, PII_CARD, PII_IP, PII_PHONE};

	for (size_t at = from; text[at]; at++) {
		/* Only where a word begins; inside one, the match would be a part of it. */
		if (at && is_word(text[at - 1]) && is_word(text[at]))
			continue;
		for (size_t i = 0; i < PII_TYPES; i++) {
			size_t len = finders[order[i]](text + at);

			if (!len)
				continue;
			*out = (struct pii_match){order[i], at, len};
			return true;
		}
	}
	return false;
}

size_t pii_mask(const char *text, cairn_text *out, uint64_t counts[PII_TYPES])
{
	struct pii_match match;
	size_t at = 0, n = 0;

	for (; pii_find(text, at, &match); at = match.at + match.len, n++) {
		counts[match.type]++;
		if (!out)
			continue;
		cairn_text_add_bytes(out, text + at, match.at - at);
		cairn_text_printf(out, "[%s]", pii_names[match.type]);
	}
	if (out)
		cairn_text_add(out, text + at);
	return n;
}
