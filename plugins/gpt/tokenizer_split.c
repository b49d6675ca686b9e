/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_split.c - the byte alphabet and the pre-tokenizer of GPT-2.
 *
 * White space in the pattern is spelt out as Unicode's White_Space, as GPT-2's \s means: PCRE2's
 * own \s has U+180E besides, which would make it another tokenizer.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/tokenizer_internal.h"
#include "gpt/utf8.h"

#define SPACE                                                                              \
	"\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}" \
	"\\x{202f}\\x{205f}\\x{3000}"
#define PATTERN                                                                           \
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|[" SPACE \
	"]+(?![^" SPACE "])|[" SPACE "]+"

/* ---- alphabet ----------------------------------------------------------------------------- */

static bool is_printable(int byte)
{
	return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

void gpt_alphabet_init(gpt_alphabet *a)
{
	int n = 0, code = GPT_BYTES;

	memset(a->byte, 0xff, sizeof(a->byte));
	for (int b = 0; b < GPT_BYTES; b++)
		if (is_printable(b))
			a->order[n++] = (uint8_t)b;
	for (int b = 0; b < GPT_BYTES; b++)
		if (!is_printable(b))
			a->order[n++] = (uint8_t)b;
	for (int b = 0; b < GPT_BYTES; b++) {
		int letter = is_printable(b) ? b : code++;

		a->letter[b] = (uint16_t)letter;
		a->byte[letter] = (int16_t)b;
		memset(a->utf8[b], 0, sizeof(a->utf8[b]));
		if (letter < 0x80) {
			a->utf8[b][0] = (char)letter;
		} else {
			a->utf8[b][0] = (char)(0xc0 | letter >> 6);
			a->utf8[b][1] = (char)(0x80 | (letter & 0x3f));
		}
	}
}

/* ---- words ---------------------------------------------------------------------------------- */

struct gpt_splitter {
	pcre2_code *code;
};

int gpt_splitter_new(gpt_splitter **out, cairn_error *err)
{
	gpt_splitter *splitter = cairn_alloc(1, sizeof(*splitter));
	PCRE2_SIZE offset;
	int problem;

	if (!splitter)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for the pre-tokenizer");
	splitter->code = pcre2_compile((PCRE2_SPTR)PATTERN, PCRE2_ZERO_TERMINATED,
		PCRE2_UTF | PCRE2_UCP, &problem, &offset, NULL);
	if (!splitter->code) {
		free(splitter);
		return cairn_error_set(err, CAIRN_EBUG,
			"PCRE2 does not take the pre-tokenizer's pattern (error %d at %zu)",
			problem, (size_t)offset);
	}
	/* Faster where the system allows it; the same without. */
	(void)pcre2_jit_compile(splitter->code, PCRE2_JIT_COMPLETE);
	*out = splitter;
	return 0;
}

void gpt_splitter_free(gpt_splitter *splitter)
{
	if (!splitter)
		return;
	pcre2_code_free(splitter->code);
	free(splitter);
}

int gpt_words_begin(gpt_words *out, const gpt_splitter *splitter, const char *text, size_t len,
	cairn_error *err)
{
	pcre2_match_data *match = pcre2_match_data_create(1, NULL);

	if (!match)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for the pre-tokenizer");
	*out = (gpt_words){.splitter = splitter, .match = match, .text = text, .len = len};
	return 0;
}

/* Where the run that begins at `at` ends: of valid characters, or of bytes that are none. */
static size_t run_end(const gpt_words *words, size_t at, bool is_valid)
{
	while (at < words->len) {
		size_t n = gpt_utf8_character(words->text + at, words->len - at);

		if ((n > 0) != is_valid)
			break;
		at += n ? n : 1;
	}
	return at;
}

int gpt_words_next(gpt_words *words, const char **word, size_t *len, cairn_error *err)
{
	size_t end;
	int rc;

	if (words->at == words->len)
		return 0;
	if (words->at >= words->valid_end)
		words->valid_end = run_end(words, words->at, true);
	if (words->at == words->valid_end) {
		end = run_end(words, words->at, false);
	} else {
		rc = pcre2_match(words->splitter->code, (PCRE2_SPTR)words->text, words->valid_end,
			words->at, PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, words->match, NULL);
		if (rc <= 0)
			return cairn_error_set(err, CAIRN_EBUG,
				"the pre-tokenizer gave up at byte %zu (PCRE2 error %d)", words->at,
				rc);
		end = pcre2_get_ovector_pointer(words->match)[1];
	}
	*word = words->text + words->at;
	*len = end - words->at;
	words->at = end;
	return 1;
}

void gpt_words_end(gpt_words *words)
{
	pcre2_match_data_free(words->match);
	words->match = NULL;
}
