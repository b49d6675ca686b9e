/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake.h - plugins that exist as descriptions only, and workflows written to a private
 * directory: what the tests of this folder share.
 */
#ifndef CAIRN_TESTS_WORKFLOW_FAKE_H
#define CAIRN_TESTS_WORKFLOW_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "workflow/key.h"
#include "workflow/workflow.h"

/* text, demo, ranking, pretrain, sft, rm, ppo, eval, node, wide. sft's check() refuses
 * `dropout = 1`. */
cairn_registry *fake_registry(void);
/* How often find() and check() were called since the start. */
size_t fake_found(void);
size_t fake_checked(void);

/* A directory of this program's own becomes the current one; leave() removes it. */
int fake_enter(void **state);
int fake_leave(void **state);
void fake_write(const char *path, const char *text);
void fake_write_bytes(const char *path, const void *bytes, size_t len);

/* Loads what must be right; prints the mistakes where it is not. */
cairn_workflow *fake_load(const char *text);
cairn_workflow *fake_load_with(const char *text, const cairn_override *overrides, size_t n);
/* The mistakes of t.ini as `cairn check` shows them. "" where there is none. */
void fake_mistakes(cairn_text *out, const cairn_override *overrides, size_t n);
/* A workflow, and what is told of its mistakes. */
struct fake_case {
	const char *name, *ini, *told;
	cairn_override override; /* name NULL: none */
};
void fake_check_case(const struct fake_case *c);

/* How most cases begin: nothing yet; a text, demonstrations and a base model. */
#define FAKE_HEAD "[workflow]\nname = t\n"
#define FAKE_STAGES                                                     \
	"[stage text]\nplugin = text\ninput.files = file:data/a.txt\n"  \
	"[stage demos]\nplugin = demo\ninput.files = file:data/b.txt\n" \
	"[stage base]\nplugin = pretrain\ninput.text = text:text\n"
#define FAKE_BASE FAKE_HEAD FAKE_STAGES

/* The text of a parameter of an instance. */
const char *fake_value(const cairn_workflow *workflow, const char *instance, const char *param);

#endif
