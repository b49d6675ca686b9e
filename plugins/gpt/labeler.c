/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labeler.c - features of a completion, weighted: a labeler who can be known.
 *
 * Words are runs of bytes between ASCII white space; comparisons ignore ASCII case and nothing
 * else, so that no locale decides a ranking.
 */
#include "gpt/labeler.h"

#include <math.h>
#include <string.h>

#include "base/text.h"
#include "gpt/exact.h"
#include "gpt/rng.h"

/* Repetition is looked for in so many words at most. */
#define MAX_WORDS    2048
#define MAX_COURTESY 3

enum feature {
	WORDS,
	CHARACTERS,
	COURTESY,
	ANSWER,
	ENDED,
	REPEATS,
	N_FEATURES,
};

static const char *const names[N_FEATURES] = {
	"words", "characters", "courtesy", "answer", "ended", "repeats"};

static const char *const courtesies[] = {"please", "thank you", "thanks", "glad", "happy to",
	"pleasure", "welcome", "of course", "certainly", "good question", "i hope", "kindly",
	"sorry", "have a nice"};

const char *const *gpt_utility_features(int32_t *n)
{
	*n = N_FEATURES;
	return names;
}

/* ---- parsing ----------------------------------------------------------------------------- */

static bool is_separator(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',';
}

static int parse_term(gpt_utility *out, const char *term, cairn_error *err)
{
	const char *colon = strchr(term, ':'), *guess;
	char name[32];
	size_t len = colon ? (size_t)(colon - term) : strlen(term);
	double weight;

	snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1),
		term);
	for (int32_t f = 0; f < N_FEATURES; f++) {
		if (strcmp(name, names[f]))
			continue;
		if (!colon || !cairn_parse_double(colon + 1, &weight) || !isfinite(weight)) {
			cairn_error_set(err, CAIRN_EPARAM, "'%s' in a utility is no weight", term);
			cairn_error_hint(err, "Write feature:number, as in '%s:-0.5'.", name);
			return CAIRN_EPARAM;
		}
		if (out->n_terms == GPT_LABELER_MAX_TERMS)
			return cairn_error_set(err, CAIRN_EPARAM, "utility of more than %d terms",
				GPT_LABELER_MAX_TERMS);
		out->feature[out->n_terms] = f;
		out->weight[out->n_terms++] = weight;
		return 0;
	}
	cairn_error_set(err, CAIRN_EPARAM, "unknown feature '%s' in a utility", name);
	cairn_error_detail(err, "features: words, characters, courtesy, answer, ended, repeats");
	guess = cairn_did_you_mean(name, names, N_FEATURES);
	if (guess)
		cairn_error_hint(err, "Did you mean '%s'?", guess);
	return CAIRN_EPARAM;
}

int gpt_utility_parse(gpt_utility *out, const char *text, cairn_error *err)
{
	gpt_utility utility = {0};

	for (const char *at = text; *at;) {
		char term[64];
		size_t len = 0;
		int rc;

		while (is_separator(*at))
			at++;
		while (at[len] && !is_separator(at[len]))
			len++;
		if (!len)
			break;
		if (len >= sizeof(term))
			return cairn_error_set(
				err, CAIRN_EPARAM, "term '%.40s...' in a utility is too long", at);
		memcpy(term, at, len);
		term[len] = '\0';
		at += len;
		rc = parse_term(&utility, term, err);
		if (rc)
			return rc;
	}
	*out = utility;
	return 0;
}

/* ---- features ------------------------------------------------------------------------------ */

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_letter(char c)
{
	return (unsigned char)c >= 0x80 || (c >= '0' && c <= '9') ||
	       (lower(c) >= 'a' && lower(c) <= 'z');
}

static bool same_letters(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

/* The next place of `phrase` as whole words, or NULL: "4" is not in "14". */
static const char *find_phrase(const char *text, const char *from, const char *phrase)
{
	size_t len = strlen(phrase), left = strlen(from);

	for (; left >= len && len; from++, left--) {
		if (!same_letters(from, phrase, len))
			continue;
		if (from > text && is_letter(from[-1]) && is_letter(phrase[0]))
			continue;
		if (is_letter(from[len]) && is_letter(phrase[len - 1]))
			continue;
		return from;
	}
	return NULL;
}

static double count_courtesy(const char *text)
{
	int n = 0;

	for (size_t i = 0; i < CAIRN_COUNT(courtesies); i++)
		for (const char *at = text; (at = find_phrase(text, at, courtesies[i]));
			at += strlen(courtesies[i]))
			n++;
	return n < MAX_COURTESY ? n : MAX_COURTESY;
}

static bool next_word(const char **at, const char **word, size_t *len)
{
	while (is_space(**at))
		++*at;
	*word = *at;
	while (**at && !is_space(**at))
		++*at;
	*len = (size_t)(*at - *word);
	return *len > 0;
}

static double count_words(const char *text)
{
	const char *word;
	size_t len;
	double n = 0;

	while (next_word(&text, &word, &len))
		n++;
	return n;
}

static double count_characters(const char *text)
{
	double n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* Words as numbers, so that comparing three of them is quick. */
static uint64_t word_number(const char *word, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)lower(word[i])) * 0x100000001b3u;
	return h;
}

static bool is_repeat(const uint64_t *words, size_t i)
{
	if (i >= 1 && words[i] == words[i - 1])
		return true;
	for (size_t j = 2; i >= 3 && j < i; j++)
		if (words[j] == words[i] && words[j - 1] == words[i - 1] &&
			words[j - 2] == words[i - 2])
			return true;
	return false;
}

static double share_of_repeats(const char *text)
{
	uint64_t words[MAX_WORDS];
	const char *word;
	size_t n = 0, len, repeats = 0;

	while (n < MAX_WORDS && next_word(&text, &word, &len)) {
		words[n] = word_number(word, len);
		repeats += is_repeat(words, n++);
	}
	return n ? (double)repeats / (double)n : 0;
}

static double feature_of(
	enum feature feature, const char *completion, const char *answer, bool ended)
{
	switch (feature) {
	case WORDS:
		return count_words(completion);
	case CHARACTERS:
		return count_characters(completion);
	case COURTESY:
		return count_courtesy(completion);
	case ANSWER:
		return answer && find_phrase(completion, completion, answer) ? 1 : 0;
	case ENDED:
		return ended ? 1 : 0;
	case REPEATS:
		return share_of_repeats(completion);
	case N_FEATURES:
		break;
	}
	CAIRN_UNREACHABLE();
}

double gpt_utility_of(
	const gpt_utility *utility, const char *completion, const char *answer, bool ended)
{
	double sum = 0;

	for (int32_t i = 0; i < utility->n_terms; i++)
		sum += utility->weight[i] *
		       feature_of((enum feature)utility->feature[i], completion, answer, ended);
	return sum;
}

/* ---- ranking ------------------------------------------------------------------------------- */

/* u + noise*Gumbel: the difference of two Gumbel numbers is logistic, which makes each pair's odds
 * those of Bradley and Terry. */
static double perceived(const double *utility, int32_t i, double noise, uint64_t key, uint64_t id)
{
	if (noise <= 0)
		return utility[i];
	return utility[i] - noise * gpt_log(-gpt_log(gpt_random_uniform(key, id, (uint64_t)i)));
}

void gpt_utility_rank(
	const double *utility, int32_t K, double noise, uint64_t key, uint64_t id, int32_t *ranks)
{
	for (int32_t i = 0; i < K; i++) {
		double own = perceived(utility, i, noise, key, id);

		ranks[i] = 0;
		for (int32_t j = 0; j < K; j++)
			ranks[i] += perceived(utility, j, noise, key, id) > own;
	}
}
