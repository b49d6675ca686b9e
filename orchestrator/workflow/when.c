/* SPDX-License-Identifier: Apache-2.0 */
/* when.c - recursive descent over one line of text; see when.h for the grammar. */
#include "workflow/when.h"

#include <string.h>

#include "base/text.h"

#define MAX_TEXT  4096
#define MAX_REFS  64
#define MAX_DEPTH 32

enum kind {
	KIND_OR,
	KIND_AND,
	KIND_NOT,
	KIND_LESS,
	KIND_LESS_EQUAL,
	KIND_GREATER,
	KIND_GREATER_EQUAL,
	KIND_EQUAL,
	KIND_UNEQUAL,
};

typedef struct operand {
	bool is_ref;
	size_t ref;
	double number;
} operand;

struct cairn_when_node {
	enum kind kind;
	const struct cairn_when_node *left, *right; /* of OR, AND; NOT has a left one */
	operand a, b;                               /* of a relation */
};

typedef struct cairn_when_node node;

typedef struct parser {
	const char *text; /* of all */
	const char *at;
	char word[MAX_TEXT + 1]; /* the token at hand; "" at the end */
	const char *word_at;
	cairn_when *when;
	cairn_arena *arena;
	int depth;
	cairn_error *err;
} parser;

/* ---- tokens ------------------------------------------------------------------------------- */

static bool is_relation_char(char c)
{
	return c == '<' || c == '>' || c == '=' || c == '!';
}

static bool is_word_char(char c)
{
	return c && !strchr(" \t()", c) && !is_relation_char(c);
}

static void next(parser *p)
{
	size_t len = 0;

	p->at += strspn(p->at, " \t");
	p->word_at = p->at;
	if (*p->at == '(' || *p->at == ')')
		len = 1;
	else if (is_relation_char(*p->at))
		len = is_relation_char(p->at[1]) ? 2 : 1;
	else
		while (is_word_char(p->at[len]))
			len++;
	memcpy(p->word, p->at, len);
	p->word[len] = '\0';
	p->at += len;
}

static bool is_word(const parser *p, const char *word)
{
	return strcmp(p->word, word) == 0;
}

static int fail(parser *p, const char *expected)
{
	cairn_error_set(p->err, CAIRN_EWORKFLOW, "`when` expects %s", expected);
	if (p->word[0])
		cairn_error_detail(p->err, "not '%.60s', at '%.60s'", p->word, p->word_at);
	else
		cairn_error_detail(p->err, "it ends after '%.100s'", p->text);
	cairn_error_hint(p->err, "Write `when = STAGE:METRIC >= NUMBER`; `and`, `or`, `not` and "
				 "parentheses join comparisons.");
	return CAIRN_EWORKFLOW;
}

/* ---- grammar ------------------------------------------------------------------------------ */

static int add_ref(parser *p, const char *stage, const char *metric, size_t *out)
{
	cairn_when *when = p->when;

	for (size_t i = 0; i < when->n_refs; i++) {
		if (strcmp(when->refs[i].stage, stage) == 0 &&
			strcmp(when->refs[i].metric, metric) == 0) {
			*out = i;
			return 0;
		}
	}
	if (when->n_refs == MAX_REFS)
		return cairn_error_set(
			p->err, CAIRN_EWORKFLOW, "`when` asks for more than %d metrics", MAX_REFS);
	*out = when->n_refs;
	when->refs[when->n_refs++] = (cairn_when_ref){
		.stage = cairn_arena_strdup(p->arena, stage),
		.metric = cairn_arena_strdup(p->arena, metric),
	};
	return 0;
}

static int parse_operand(parser *p, operand *out)
{
	char *colon = strchr(p->word, ':');
	int rc = 0;

	*out = (operand){0};
	if (colon && colon > p->word && colon[1]) {
		*colon = '\0';
		out->is_ref = true;
		rc = add_ref(p, p->word, colon + 1, &out->ref);
	} else if (!cairn_parse_double(p->word, &out->number)) {
		rc = fail(p, "a number or STAGE:METRIC");
	}
	if (rc == 0)
		next(p);
	return rc;
}

static int parse_relation(parser *p, node *out)
{
	static const struct {
		const char *word;
		enum kind kind;
	} relations[] = {{"<", KIND_LESS}, {"<=", KIND_LESS_EQUAL}, {">", KIND_GREATER},
		{">=", KIND_GREATER_EQUAL}, {"==", KIND_EQUAL}, {"!=", KIND_UNEQUAL}};
	int rc = parse_operand(p, &out->a);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < CAIRN_COUNT(relations); i++) {
		if (is_word(p, relations[i].word)) {
			out->kind = relations[i].kind;
			next(p);
			return parse_operand(p, &out->b);
		}
	}
	return fail(p, "<, <=, >, >=, == or !=");
}

static int parse_or(parser *p, const node **out);

static int parse_factor(parser *p, const node **out)
{
	node *made = cairn_arena_alloc(p->arena, 1, sizeof(*made));
	int rc;

	if (++p->depth > MAX_DEPTH)
		return cairn_error_set(
			p->err, CAIRN_EWORKFLOW, "`when` is nested more than %d deep", MAX_DEPTH);
	if (is_word(p, "not")) {
		next(p);
		made->kind = KIND_NOT;
		rc = parse_factor(p, &made->left);
		*out = made;
	} else if (is_word(p, "(")) {
		next(p);
		rc = parse_or(p, out);
		if (rc == 0 && !is_word(p, ")"))
			rc = fail(p, "a closing parenthesis");
		if (rc == 0)
			next(p);
	} else {
		rc = parse_relation(p, made);
		*out = made;
	}
	p->depth--;
	return rc;
}

/* left {WORD right}, to the left. */
static int parse_chain(parser *p, const node **out, const char *word, enum kind kind,
	int (*part)(parser *, const node **))
{
	int rc = part(p, out);

	while (rc == 0 && is_word(p, word)) {
		node *made = cairn_arena_alloc(p->arena, 1, sizeof(*made));

		next(p);
		made->kind = kind;
		made->left = *out;
		rc = part(p, &made->right);
		*out = made;
	}
	return rc;
}

static int parse_and(parser *p, const node **out)
{
	return parse_chain(p, out, "and", KIND_AND, parse_factor);
}

static int parse_or(parser *p, const node **out)
{
	return parse_chain(p, out, "or", KIND_OR, parse_and);
}

int cairn_when_parse(cairn_when **out, const char *text, cairn_arena *arena, cairn_error *err)
{
	cairn_when *when = cairn_arena_alloc(arena, 1, sizeof(*when));
	parser *p;
	int rc;

	if (strlen(text) > MAX_TEXT)
		return cairn_error_set(
			err, CAIRN_EWORKFLOW, "`when` is longer than %d bytes", MAX_TEXT);
	p = cairn_arena_alloc(arena, 1, sizeof(*p));
	when->refs = cairn_arena_alloc(arena, MAX_REFS, sizeof(*when->refs));
	when->text = cairn_arena_strdup(arena, text);
	*p = (parser){.text = when->text, .at = when->text, .arena = arena, .when = when};
	p->err = err;
	next(p);
	rc = parse_or(p, &when->root);
	if (rc == 0 && p->word[0])
		rc = fail(p, "`and`, `or` or the end");
	if (rc < 0)
		return rc;
	*out = when;
	return 0;
}

/* ---- value -------------------------------------------------------------------------------- */

static double value_of(const operand *o, const double *values)
{
	return o->is_ref ? values[o->ref] : o->number;
}

static bool holds(const node *n, const double *values)
{
	double a = value_of(&n->a, values), b = value_of(&n->b, values);

	switch (n->kind) {
	case KIND_OR:
		return holds(n->left, values) || holds(n->right, values);
	case KIND_AND:
		return holds(n->left, values) && holds(n->right, values);
	case KIND_NOT:
		return !holds(n->left, values);
	case KIND_LESS:
		return a < b;
	case KIND_LESS_EQUAL:
		return a <= b;
	case KIND_GREATER:
		return a > b;
	case KIND_GREATER_EQUAL:
		return a >= b;
	case KIND_EQUAL:
		return a == b;
	case KIND_UNEQUAL:
		return a != b;
	}
	CAIRN_UNREACHABLE();
}

bool cairn_when_holds(const cairn_when *when, const double *values)
{
	return holds(when->root, values);
}
