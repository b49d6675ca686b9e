/* SPDX-License-Identifier: Apache-2.0 */
/*
 * when.h - `when = rm@brief:accuracy >= 0.6 and not sft:valid_loss > 3`: whether a stage runs, by
 * what earlier ones found out.
 *
 *	expression  = term {"or" term}
 *	term        = factor {"and" factor}
 *	factor      = "not" factor | "(" expression ")" | operand relation operand
 *	relation    = "<" | "<=" | ">" | ">=" | "==" | "!="
 *	operand     = NUMBER | STAGE ":" METRIC
 *
 * STAGE is written as in an input; METRIC is a name that the stage gives in its summary
 * (`cairn status` shows them). A comparison with nan is false, but for "!=".
 */
#ifndef CAIRN_WORKFLOW_WHEN_H
#define CAIRN_WORKFLOW_WHEN_H

#include <stdbool.h>

#include "base/arena.h"
#include "cairn/error.h"

/* One STAGE:METRIC; each stands once. */
typedef struct cairn_when_ref {
	const char *stage;  /* as written: "rm@brief" */
	const char *metric; /* "accuracy" */
	size_t instance;    /* whoever resolves the stage's name fills it in */
} cairn_when_ref;

struct cairn_when_node;

typedef struct cairn_when {
	const char *text; /* as written, blanks made one */
	cairn_when_ref *refs;
	size_t n_refs;
	const struct cairn_when_node *root;
} cairn_when;

/* EWORKFLOW; the message says where in the expression. Everything lives in the arena. */
CAIRN_MUST int cairn_when_parse(
	cairn_when **out, const char *text, cairn_arena *arena, cairn_error *err);
/* values: one per ref. */
bool cairn_when_holds(const cairn_when *when, const double *values);

#endif
