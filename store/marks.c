/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks.c - a set of parts of artifacts: what has been reached.
 *
 * A node and a small chunk of the same bytes are one value of the index, but two marks: whoever
 * stores the bytes of a node as a file does not thereby reach what the node lists.
 */
#include <string.h>

#include "base/alloc.h"
#include "store/internal.h"

static size_t slot_of(const cairn_marks *marks, enum cairn_mark_kind kind, const cairn_id *id)
{
	uint64_t word;
	size_t slot;

	memcpy(&word, id->bytes, sizeof(word));
	slot = (size_t)(word + kind) & (marks->n_slots - 1);
	while (marks->slots[slot].is_taken) {
		const cairn_mark *mark = &marks->slots[slot];

		if (mark->kind == kind && cairn_id_compare(&mark->id, id) == 0)
			break;
		slot = (slot + 1) & (marks->n_slots - 1);
	}
	return slot;
}

static bool make_room(cairn_marks *marks)
{
	cairn_marks larger = {.n_slots = marks->n_slots ? marks->n_slots * 2 : 1024};

	if (marks->n * 4 < marks->n_slots * 3)
		return true;
	larger.slots = cairn_alloc(larger.n_slots, sizeof(*larger.slots));
	if (!larger.slots)
		return false;
	for (size_t i = 0; i < marks->n_slots; i++) {
		const cairn_mark *mark = &marks->slots[i];

		if (mark->is_taken)
			larger.slots[slot_of(&larger, mark->kind, &mark->id)] = *mark;
	}
	free(marks->slots);
	marks->slots = larger.slots;
	marks->n_slots = larger.n_slots;
	return true;
}

const cairn_mark *cairn_marks__find(
	const cairn_marks *marks, enum cairn_mark_kind kind, const cairn_id *id)
{
	const cairn_mark *mark = marks->n_slots ? &marks->slots[slot_of(marks, kind, id)] : NULL;

	return mark && mark->is_taken ? mark : NULL;
}

bool cairn_marks__has(const cairn_marks *marks, enum cairn_mark_kind kind, const cairn_id *id)
{
	return cairn_marks__find(marks, kind, id) != NULL;
}

cairn_mark *cairn_marks__add(
	cairn_marks *marks, enum cairn_mark_kind kind, const cairn_id *id, bool *is_new)
{
	cairn_mark *mark;

	if (!make_room(marks))
		return NULL;
	mark = &marks->slots[slot_of(marks, kind, id)];
	*is_new = !mark->is_taken;
	if (*is_new) {
		*mark = (cairn_mark){.id = *id, .kind = (uint8_t)kind, .is_taken = true};
		marks->n++;
	}
	return mark;
}

enum cairn_mark_kind cairn_marks__kind(const cairn_part *part)
{
	if (part->table == CAIRN_TABLE_ARTIFACT)
		return CAIRN_MARK_ARTIFACT;
	if (part->table == CAIRN_TABLE_CHUNK)
		return CAIRN_MARK_CHUNK;
	return part->is_node ? CAIRN_MARK_NODE : CAIRN_MARK_BLOB;
}

bool cairn_marks__lives(const cairn_marks *marks, enum cairn_table table, const cairn_id *id)
{
	if (table == CAIRN_TABLE_ARTIFACT)
		return cairn_marks__has(marks, CAIRN_MARK_ARTIFACT, id);
	if (table == CAIRN_TABLE_CHUNK)
		return cairn_marks__has(marks, CAIRN_MARK_CHUNK, id);
	return cairn_marks__has(marks, CAIRN_MARK_NODE, id) ||
	       cairn_marks__has(marks, CAIRN_MARK_BLOB, id);
}

void cairn_marks__free(cairn_marks *marks)
{
	free(marks->slots);
	*marks = (cairn_marks){0};
}
