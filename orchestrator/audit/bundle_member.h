/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle_member.h - a bundle's members one by one: what a name means, and what a text may say.
 *
 * Nothing here touches the store. bundle_read.c has the file and the commit.
 */
#ifndef CAIRN_AUDIT_BUNDLE_MEMBER_H
#define CAIRN_AUDIT_BUNDLE_MEMBER_H

#include "audit/bundle.h"
#include "audit/tar.h"
#include "cairn/transfer.h"

enum cairn_member_kind {
	CAIRN_MEMBER_PIECE,
	CAIRN_MEMBER_HEAD,
	CAIRN_MEMBER_RECORD,
	CAIRN_MEMBER_LINES,
};

typedef struct cairn_member {
	enum cairn_member_kind kind;
	cairn_piece piece; /* its bytes are not known yet */
	json_t *into;      /* of records: the object */
	const char *what;  /* the member of a line that numbers it */
	char key[65];
} cairn_member;

/* EINPUT: "the bundle's member 'NAME' WHY". */
int cairn_member_refuse(const char *name, const char *why, cairn_error *err);
/* false: no member of a bundle is called so. */
bool cairn_member_parse(cairn_member *out, const char *name, const cairn_bundle_content *content);
/* The most bytes that a text can have. */
uint64_t cairn_member_limit(const cairn_member *member);
/* Takes a text into the content; of bundle.json the root into *root. *n_records counts. EINPUT
 * where it says what no bundle says. */
CAIRN_MUST int cairn_member_take(const cairn_member *member, const char *name,
	cairn_bundle_content *content, json_t **root, size_t *n_records, const char *text,
	size_t len, cairn_error *err);

#endif
