/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_train.c - byte-pair encoding learnt from texts.
 *
 * The words of the texts (tokenizer_split.c) are counted once; from then on only different words
 * matter. Each pair of neighbours knows its count and the words it may stand in, so that a merge
 * touches those words only, and in them only the pairs beside the merge. The next merge is the
 * most frequent pair, the smaller (left id, right id) among equals: nothing depends on the order
 * of a hash table. Counts of known pairs only fall, so an outdated heap entry is too high and is
 * put back with today's count when it comes up. A pair that occurs once is not merged: it would
 * only learn its one place by heart.
 */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "gpt/tokenizer_internal.h"

#define MAX_VOCAB 1000000
#define NONE      UINT32_MAX

struct word {
	const char *text; /* in the caller's texts */
	size_t len;
	int64_t count;
	size_t start, n; /* its symbols: trainer.symbols[start..start+n) */
};

struct pair {
	int32_t left, right;
	int64_t count;
	uint32_t *words; /* it stands in these, or did; may repeat */
	uint32_t n_words, cap_words;
};

struct candidate {
	int64_t count;
	uint32_t pair;
};

struct trainer {
	struct word *words;
	size_t n_words, cap_words;
	uint32_t *word_slots; /* by hash of the text; NONE: free */
	size_t n_word_slots;
	int32_t *symbols;
	struct pair *pairs;
	size_t n_pairs, cap_pairs;
	uint32_t *pair_slots; /* by hash of the ids; NONE: free */
	size_t n_pair_slots;
	struct candidate *heap;
	size_t n_heap, cap_heap;
	uint64_t *merges; /* gpt_pair(left, right) */
	size_t n_merges;
	char **names;  /* of the tokens, in the alphabet: GPT_BYTES + n_merges */
	json_t *taken; /* the names as a set */
	bool failed;   /* no memory: checked after each round */
};

/* Makes room for one more item in *list, a pointer; sets `failed` where there is none. */
static bool grow(struct trainer *t, void *list, size_t n, size_t *cap, size_t size)
{
	size_t wider = *cap ? *cap * 2 : 1024;
	void *block;

	if (n < *cap)
		return true;
	memcpy(&block, list, sizeof(block));
	block = cairn_realloc(block, wider, size);
	if (!block) {
		t->failed = true;
		return false;
	}
	memcpy(list, &block, sizeof(block));
	*cap = wider;
	return true;
}

static uint32_t *new_slots(struct trainer *t, size_t n)
{
	uint32_t *slots = cairn_alloc(n, sizeof(*slots));

	if (slots)
		memset(slots, 0xff, n * sizeof(*slots));
	else
		t->failed = true;
	return slots;
}

/* ---- words ------------------------------------------------------------------------------------
 */

static size_t word_slot(const struct trainer *t, const char *text, size_t len)
{
	size_t slot = gpt_hash_bytes(text, len) & (t->n_word_slots - 1);

	while (t->word_slots[slot] != NONE) {
		const struct word *word = &t->words[t->word_slots[slot]];

		if (word->len == len && !memcmp(word->text, text, len))
			break;
		slot = (slot + 1) & (t->n_word_slots - 1);
	}
	return slot;
}

static void widen_words(struct trainer *t)
{
	uint32_t *old = t->word_slots;

	t->word_slots = new_slots(t, t->n_word_slots * 2);
	if (t->failed) {
		t->word_slots = old;
		return;
	}
	free(old);
	t->n_word_slots *= 2;
	for (size_t i = 0; i < t->n_words; i++)
		t->word_slots[word_slot(t, t->words[i].text, t->words[i].len)] = (uint32_t)i;
}

static void count_word(struct trainer *t, const char *text, size_t len)
{
	size_t slot = word_slot(t, text, len);

	if (t->word_slots[slot] != NONE) {
		t->words[t->word_slots[slot]].count++;
		return;
	}
	if (!grow(t, &t->words, t->n_words, &t->cap_words, sizeof(*t->words)))
		return;
	t->word_slots[slot] = (uint32_t)t->n_words;
	t->words[t->n_words++] = (struct word){.text = text, .len = len, .count = 1, .n = len};
	if (t->n_words * 2 > t->n_word_slots)
		widen_words(t);
}

static int count_words(struct trainer *t, const char *const *texts, const size_t *lens,
	size_t n_texts, cairn_error *err)
{
	gpt_splitter *splitter = NULL;
	int rc = gpt_splitter_new(&splitter, err);

	t->n_word_slots = 1 << 12;
	t->word_slots = new_slots(t, t->n_word_slots);
	for (size_t i = 0; !rc && !t->failed && i < n_texts; i++) {
		gpt_words words;
		const char *word;
		size_t len;

		rc = gpt_words_begin(&words, splitter, texts[i], lens[i], err);
		if (rc)
			break;
		while (!t->failed && (rc = gpt_words_next(&words, &word, &len, err)) > 0)
			count_word(t, word, len);
		rc = t->failed ? 0 : rc;
		gpt_words_end(&words);
	}
	gpt_splitter_free(splitter);
	return rc;
}

/* ---- pairs --------------------------------------------------------------------------------------
 */

static size_t pair_slot(const struct trainer *t, int32_t left, int32_t right)
{
	size_t slot = gpt_hash_pair(gpt_pair(left, right)) & (t->n_pair_slots - 1);

	while (t->pair_slots[slot] != NONE) {
		const struct pair *pair = &t->pairs[t->pair_slots[slot]];

		if (pair->left == left && pair->right == right)
			break;
		slot = (slot + 1) & (t->n_pair_slots - 1);
	}
	return slot;
}

static void widen_pairs(struct trainer *t)
{
	uint32_t *old = t->pair_slots;

	t->pair_slots = new_slots(t, t->n_pair_slots * 2);
	if (t->failed) {
		t->pair_slots = old;
		return;
	}
	free(old);
	t->n_pair_slots *= 2;
	for (size_t i = 0; i < t->n_pairs; i++)
		t->pair_slots[pair_slot(t, t->pairs[i].left, t->pairs[i].right)] = (uint32_t)i;
}

static struct pair *find_pair(struct trainer *t, int32_t left, int32_t right)
{
	size_t slot = pair_slot(t, left, right);

	if (t->pair_slots[slot] == NONE) {
		if (!grow(t, &t->pairs, t->n_pairs, &t->cap_pairs, sizeof(*t->pairs)))
			return NULL;
		t->pair_slots[slot] = (uint32_t)t->n_pairs;
		t->pairs[t->n_pairs++] = (struct pair){.left = left, .right = right};
		if (t->n_pairs * 2 > t->n_pair_slots)
			widen_pairs(t);
		return &t->pairs[t->n_pairs - 1];
	}
	return &t->pairs[t->pair_slots[slot]];
}

/* A word gained the pair once more. */
static void add_pair(struct trainer *t, uint32_t word, int32_t left, int32_t right)
{
	struct pair *pair = find_pair(t, left, right);
	size_t cap;

	if (!pair)
		return;
	pair->count += t->words[word].count;
	if (pair->n_words && pair->words[pair->n_words - 1] == word)
		return;
	if (pair->n_words == pair->cap_words) {
		uint32_t *words;

		cap = pair->cap_words ? (size_t)pair->cap_words * 2 : 4;
		words = cairn_realloc(pair->words, cap, sizeof(*words));
		if (!words) {
			t->failed = true;
			return;
		}
		pair->words = words;
		pair->cap_words = (uint32_t)cap;
	}
	pair->words[pair->n_words++] = word;
}

/* A word lost the pair once. */
static void drop_pair(struct trainer *t, uint32_t word, int32_t left, int32_t right)
{
	struct pair *pair = find_pair(t, left, right);

	if (pair)
		pair->count -= t->words[word].count;
}

/* ---- the heap of candidates
 * ------------------------------------------------------------------------ */

static bool comes_first(
	const struct trainer *t, const struct candidate *a, const struct candidate *b)
{
	const struct pair *x = &t->pairs[a->pair], *y = &t->pairs[b->pair];

	if (a->count != b->count)
		return a->count > b->count;
	return gpt_pair(x->left, x->right) < gpt_pair(y->left, y->right);
}

static void push(struct trainer *t, uint32_t pair)
{
	struct candidate c = {t->pairs[pair].count, pair};
	size_t i = t->n_heap;

	if (c.count < 2 || !grow(t, &t->heap, t->n_heap, &t->cap_heap, sizeof(*t->heap)))
		return;
	t->n_heap++;
	while (i && comes_first(t, &c, &t->heap[(i - 1) / 2])) {
		t->heap[i] = t->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	t->heap[i] = c;
}

static struct candidate pop(struct trainer *t)
{
	struct candidate top = t->heap[0], last = t->heap[--t->n_heap];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < t->n_heap) {
		if (child + 1 < t->n_heap && comes_first(t, &t->heap[child + 1], &t->heap[child]))
			child++;
		if (!comes_first(t, &t->heap[child], &last))
			break;
		t->heap[i] = t->heap[child];
		i = child;
	}
	t->heap[i] = last;
	return top;
}

/* ---- merging
 * ----------------------------------------------------------------------------------------- */

/* The bytes' symbols are their ids in GPT-2's order, 0..255. */
static int spread_words(struct trainer *t, const gpt_alphabet *alphabet)
{
	int32_t id_of[GPT_BYTES];
	size_t total = 0;

	for (int i = 0; i < GPT_BYTES; i++)
		id_of[alphabet->order[i]] = i;
	for (size_t w = 0; w < t->n_words; w++)
		total += t->words[w].len;
	t->symbols = cairn_alloc(total + 1, sizeof(*t->symbols));
	t->n_pair_slots = 1 << 12;
	t->pair_slots = new_slots(t, t->n_pair_slots);
	if (!t->symbols || t->failed)
		return CAIRN_ENOMEM;
	total = 0;
	for (size_t w = 0; w < t->n_words && !t->failed; w++) {
		struct word *word = &t->words[w];

		word->start = total;
		for (size_t i = 0; i < word->len; i++)
			t->symbols[total++] = id_of[(unsigned char)word->text[i]];
		for (size_t i = word->start; i + 1 < total; i++)
			add_pair(t, (uint32_t)w, t->symbols[i], t->symbols[i + 1]);
	}
	for (size_t p = 0; p < t->n_pairs; p++)
		push(t, (uint32_t)p);
	return t->failed ? CAIRN_ENOMEM : 0;
}

/* Puts `id` for each (left, right) of a word, from the left, and keeps the counts of the pairs
 * that this takes and gives. */
static void merge_in_word(
	struct trainer *t, uint32_t index, int32_t left, int32_t right, int32_t id)
{
	struct word *word = &t->words[index];
	int32_t *s = t->symbols + word->start;
	size_t n = word->n, kept = 0;
	bool was_merged = false;

	for (size_t i = 0; i < n;) {
		if (i + 1 == n || s[i] != left || s[i + 1] != right) {
			s[kept++] = s[i++];
			was_merged = false;
			continue;
		}
		/* s[i-1] still holds the old symbol unless it was merged, and then the pair in
		 * front is dropped already. */
		if (i && !was_merged)
			drop_pair(t, index, s[i - 1], left);
		drop_pair(t, index, left, right);
		if (i + 2 < n)
			drop_pair(t, index, right, s[i + 2]);
		s[kept++] = id;
		i += 2;
		was_merged = true;
	}
	word->n = kept;
	if (kept == n)
		return;
	for (size_t i = 0; i + 1 < kept; i++)
		if (s[i] == id || s[i + 1] == id)
			add_pair(t, index, s[i], s[i + 1]);
}

static void merge_everywhere(struct trainer *t, uint32_t chosen, int32_t id)
{
	struct pair pair = t->pairs[chosen];
	size_t first_new = t->n_pairs;

	/* The list is taken away from the pair: merging moves the table of pairs. */
	t->pairs[chosen].words = NULL;
	t->pairs[chosen].n_words = t->pairs[chosen].cap_words = 0;
	for (uint32_t i = 0; i < pair.n_words && !t->failed; i++)
		merge_in_word(t, pair.words[i], pair.left, pair.right, id);
	free(pair.words);
	/* Only pairs with the new symbol can have gained, and all of them are new. */
	for (size_t p = first_new; p < t->n_pairs && !t->failed; p++)
		push(t, (uint32_t)p);
}

/* The bytes' names; room for those of the merges. */
static int begin_names(struct trainer *t, const gpt_alphabet *alphabet, size_t n_merges)
{
	t->merges = cairn_alloc(n_merges + 1, sizeof(*t->merges));
	t->names = cairn_alloc(GPT_BYTES + n_merges, sizeof(*t->names));
	t->taken = json_object();
	if (!t->merges || !t->names || json_object_set_new(t->taken, GPT_END_TOKEN, json_true()))
		return CAIRN_ENOMEM;
	for (int i = 0; i < GPT_BYTES; i++) {
		t->names[i] = cairn_strdup(alphabet->utf8[alphabet->order[i]]);
		if (!t->names[i])
			return CAIRN_ENOMEM;
	}
	return 0;
}

/* Names the token that the pair makes. false where it has that name already: "a"+"bc" and
 * "ab"+"c" are one token, and the second way to it is not learnt. */
static bool take_name(struct trainer *t, const struct pair *pair)
{
	cairn_text name = {0};

	cairn_text_printf(&name, "%s%s", t->names[pair->left], t->names[pair->right]);
	if (name.failed || json_object_get(t->taken, name.data) ||
		json_object_set_new(t->taken, name.data, json_true())) {
		t->failed |= name.failed || !json_object_get(t->taken, name.data);
		cairn_text_free(&name);
		return false;
	}
	t->names[GPT_BYTES + t->n_merges] = name.data;
	return true;
}

static int learn(struct trainer *t, size_t n_merges)
{
	while (t->n_merges < n_merges && t->n_heap && !t->failed) {
		struct candidate best = pop(t);
		const struct pair *pair = &t->pairs[best.pair];

		if (pair->count != best.count) {
			push(t, best.pair);
			continue;
		}
		if (!take_name(t, pair))
			continue;
		t->merges[t->n_merges] = gpt_pair(pair->left, pair->right);
		merge_everywhere(t, best.pair, GPT_BYTES + (int32_t)t->n_merges++);
	}
	return t->failed ? CAIRN_ENOMEM : 0;
}

/* ---- the two files
 * ----------------------------------------------------------------------------------- */

static void write_entry(cairn_text *vocab, const char *text, int32_t id)
{
	json_t *string = json_string(text);
	char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;

	if (quoted)
		cairn_text_printf(vocab, "%s%s: %" PRId32, id ? ", " : "{", quoted, id);
	else
		vocab->failed = true;
	free(quoted);
	json_decref(string);
}

static int write_files(const struct trainer *t, cairn_text *vocab, cairn_text *merges)
{
	size_t n = GPT_BYTES + t->n_merges;

	cairn_text_add(merges, "#version: 0.2\n");
	for (size_t m = 0; m < t->n_merges; m++)
		cairn_text_printf(merges, "%s %s\n", t->names[t->merges[m] >> 32],
			t->names[(uint32_t)t->merges[m]]);
	for (size_t i = 0; i < n; i++)
		write_entry(vocab, t->names[i], (int32_t)i);
	write_entry(vocab, GPT_END_TOKEN, (int32_t)n);
	cairn_text_add(vocab, "}\n");
	return vocab->failed || merges->failed ? CAIRN_ENOMEM : 0;
}

static void trainer_free(struct trainer *t)
{
	for (size_t p = 0; p < t->n_pairs; p++)
		free(t->pairs[p].words);
	free(t->pairs);
	free(t->pair_slots);
	free(t->words);
	free(t->word_slots);
	free(t->symbols);
	free(t->heap);
	for (size_t i = 0; t->names && i < GPT_BYTES + t->n_merges; i++)
		free(t->names[i]);
	free(t->names);
	json_decref(t->taken);
	free(t->merges);
}

int gpt_tokenizer_train(gpt_tokenizer **out, const char *const *texts, const size_t *lens,
	size_t n_texts, int32_t n_vocab, cairn_error *err)
{
	struct trainer t = {0};
	cairn_text vocab = {0}, merges = {0};
	gpt_alphabet alphabet;
	size_t n_merges = (size_t)n_vocab - GPT_BYTES - 1;
	int rc;

	if (n_vocab < GPT_BYTES + 1 || n_vocab > MAX_VOCAB)
		return cairn_error_set(err, CAIRN_EPARAM, "vocabulary of %d tokens, not %d to %d",
			n_vocab, GPT_BYTES + 1, MAX_VOCAB);
	gpt_alphabet_init(&alphabet);
	rc = count_words(&t, texts, lens, n_texts, err);
	if (rc)
		goto out;
	if (t.failed || spread_words(&t, &alphabet) || begin_names(&t, &alphabet, n_merges) ||
		learn(&t, n_merges) || write_files(&t, &vocab, &merges)) {
		rc = cairn_error_set(err, CAIRN_ENOMEM, "no memory to train a tokenizer");
		goto out;
	}
	rc = gpt_tokenizer_load(out, vocab.data, vocab.len, merges.data, merges.len, err);
out:
	cairn_text_free(&vocab);
	cairn_text_free(&merges);
	trainer_free(&t);
	return rc;
}
