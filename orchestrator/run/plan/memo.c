/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memo.c - see memo.h. A stage is looked for where it was last; where stages were put in or taken
 * out before it, in a table of all keys, which is made at the first such miss.
 */
#include "run/plan/memo.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/crc.h"
#include "base/text.h"

#define PREFIX     "plan:"
#define VERSION    2
#define PIECE_HEAD (1 + 8)
#define NAME_MAX   (sizeof(PREFIX) + 255 + 4)
#define FLAGS      (CAIRN_DIGEST_BYTES + 4)
#define N_IDS      (FLAGS + 1)
#define FLOP       (N_IDS + 1)
#define SECONDS    (FLOP + 8)
#define ENTRY_HEAD (SECONDS + 8)
#define BLESSED    1
#define ID_BYTES   (1 + CAIRN_DIGEST_BYTES)
#define MAX_OUTPUTS                                                                   \
	200 /* of a plugin, for a byte says which; stages of larger ones are left out \
	     */
#define RUN_BYTES  16
#define HEAD_BYTES (1 + RUN_BYTES + CAIRN_DIGEST_BYTES)

struct piece {
	const uint8_t *bytes; /* NULL: not looked at yet, or not there */
	bool is_read;
	bool is_whole; /* nothing was deleted since it was written */
	size_t n;
	uint32_t at[CAIRN_MEMO_PIECE]; /* where its entries begin */
};

struct cairn_memo {
	const cairn_plan *plan;
	cairn_snapshot *snapshot;
	struct piece *pieces;
	size_t n_pieces;
	uint64_t losses;
	uint32_t *slots; /* number of an entry + 1; 0: free. NULL: not made */
	uint32_t mask;
	const cairn_plugin_info *plugin; /* the last one, and its `ports` */
	uint32_t ports;
};

/* ---- names and forms -------------------------------------------------------------------- */

/* The key of a piece, or of the head; 0 where the workflow's name is too long for one. */
static size_t name_of(uint8_t out[NAME_MAX], const char *workflow, size_t piece, bool is_piece)
{
	size_t prefix = strlen(PREFIX), len = strlen(workflow), at = prefix + len;

	if (len > 255)
		return 0;
	memcpy(out, PREFIX, prefix);
	memcpy(out + prefix, workflow, len);
	if (!is_piece)
		return at;
	out[at++] = 0;
	cairn_put_be(out + at, piece, 4);
	return at + 4;
}

static double get_double(const uint8_t *bytes)
{
	uint64_t bits = cairn_get_le(bytes, sizeof(bits));
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static void put_double(uint8_t *out, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	cairn_put_le(out, bits, sizeof(bits));
}

static uint32_t ports_of(const cairn_plugin_info *plugin)
{
	uint32_t crc = 0;

	for (uint64_t i = 0; i < plugin->n_outputs; i++)
		crc = cairn_crc32c(
			crc, plugin->outputs[i].name, strlen(plugin->outputs[i].name) + 1);
	return crc;
}

/* ---- reading ---------------------------------------------------------------------------- */

cairn_memo *cairn_memo_open(const cairn_plan *plan, cairn_snapshot *snapshot)
{
	cairn_memo *memo = cairn_alloc(1, sizeof(*memo));

	if (!memo)
		return NULL;
	memo->plan = plan;
	memo->snapshot = snapshot;
	memo->losses = cairn_snapshot_losses(snapshot);
	memo->n_pieces = (plan->n_stages + CAIRN_MEMO_PIECE - 1) / CAIRN_MEMO_PIECE;
	memo->pieces = cairn_alloc(memo->n_pieces + 1, sizeof(*memo->pieces));
	if (!memo->pieces)
		memo->n_pieces = 0;
	return memo;
}

void cairn_memo_close(cairn_memo *memo)
{
	if (!memo)
		return;
	free(memo->pieces);
	free(memo->slots);
	free(memo);
}

/* Finds the entries of a piece; one that is cut off, or of another version, has none. */
static void index_piece(struct piece *piece, const uint8_t *bytes, size_t len, uint64_t losses)
{
	size_t at = PIECE_HEAD;

	if (len < PIECE_HEAD || bytes[0] != VERSION)
		return;
	piece->bytes = bytes;
	piece->is_whole = losses != UINT64_MAX && cairn_get_le(bytes + 1, 8) == losses;
	while (piece->n < CAIRN_MEMO_PIECE && at + ENTRY_HEAD <= len) {
		size_t end = at + ENTRY_HEAD + bytes[at + N_IDS] * ID_BYTES;

		if (end > len)
			return;
		piece->at[piece->n++] = (uint32_t)at;
		at = end;
	}
}

static struct piece *read_piece(cairn_memo *memo, size_t number)
{
	struct piece *piece = &memo->pieces[number];
	uint8_t name[NAME_MAX];
	size_t name_len = name_of(name, memo->plan->workflow->name, number, true), len;
	const void *value;

	if (piece->is_read)
		return piece;
	piece->is_read = true;
	if (name_len &&
		cairn_snapshot_get(memo->snapshot, "note", name, name_len, &value, &len, NULL) == 0)
		index_piece(piece, value, len, memo->losses);
	return piece;
}

/* NULL where there is no entry of that number. */
static const uint8_t *entry_at(cairn_memo *memo, size_t i)
{
	struct piece *piece;

	if (i / CAIRN_MEMO_PIECE >= memo->n_pieces)
		return NULL;
	piece = read_piece(memo, i / CAIRN_MEMO_PIECE);
	return i % CAIRN_MEMO_PIECE < piece->n ? piece->bytes + piece->at[i % CAIRN_MEMO_PIECE]
					       : NULL;
}

static uint32_t hash_of(const uint8_t *key)
{
	return (uint32_t)cairn_get_le(key, 4); /* a digest is as good a hash as any */
}

static void make_table(cairn_memo *memo)
{
	size_t n_slots = 16;

	while (n_slots < memo->n_pieces * CAIRN_MEMO_PIECE * 2)
		n_slots *= 2;
	memo->slots = cairn_alloc(n_slots, sizeof(*memo->slots));
	memo->mask = (uint32_t)n_slots - 1;
	for (size_t i = 0; memo->slots && i < memo->n_pieces * CAIRN_MEMO_PIECE; i++) {
		const uint8_t *entry = entry_at(memo, i);
		uint32_t at = entry ? hash_of(entry) & memo->mask : 0;

		if (!entry || !cairn_get_le(entry, 8)) /* of a stage that was not finished */
			continue;
		while (memo->slots[at])
			at = (at + 1) & memo->mask;
		memo->slots[at] = (uint32_t)i + 1;
	}
}

/* The number of the entry of a key; SIZE_MAX where there is none. */
static size_t entry_of(cairn_memo *memo, size_t i, const cairn_key *key)
{
	const uint8_t *entry = entry_at(memo, i);
	uint32_t at;

	if (entry && memcmp(entry, key->bytes, sizeof(key->bytes)) == 0)
		return i;
	if (!memo->slots)
		make_table(memo);
	if (!memo->slots)
		return SIZE_MAX;
	for (at = hash_of(key->bytes) & memo->mask; memo->slots[at]; at = (at + 1) & memo->mask) {
		entry = entry_at(memo, memo->slots[at] - 1);
		if (memcmp(entry, key->bytes, sizeof(key->bytes)) == 0)
			return memo->slots[at] - 1;
	}
	return SIZE_MAX;
}

static uint32_t ports_seen(cairn_memo *memo, const cairn_plugin_info *plugin)
{
	if (plugin != memo->plugin) {
		memo->plugin = plugin;
		memo->ports = ports_of(plugin);
	}
	return memo->ports;
}

static bool has_result(cairn_memo *memo, const cairn_key *key)
{
	const void *value;
	size_t len;

	return cairn_snapshot_get(memo->snapshot, "result", key->bytes, sizeof(key->bytes), &value,
		       &len, NULL) == 0;
}

bool cairn_memo_find(cairn_memo *memo, size_t i, cairn_id *out, cairn_remembered *more)
{
	const cairn_planned *planned = &memo->plan->stages[i];
	const cairn_plugin_info *plugin = planned->instance->plugin;
	size_t found = entry_of(memo, i, &planned->key);
	const uint8_t *entry = found == SIZE_MAX ? NULL : entry_at(memo, found), *id;
	bool is_whole = entry && memo->pieces[found / CAIRN_MEMO_PIECE].is_whole;

	if (!entry || cairn_get_le(entry + CAIRN_DIGEST_BYTES, 4) != ports_seen(memo, plugin))
		return false;
	memset(out, 0, (plugin->n_outputs + 1) * sizeof(*out));
	id = entry + ENTRY_HEAD;
	for (unsigned n = entry[N_IDS]; n > 0; n--, id += ID_BYTES) {
		if (id[0] > plugin->n_outputs)
			return false;
		memcpy(out[id[0]].bytes, id + 1, CAIRN_DIGEST_BYTES);
		if (!is_whole && !cairn_snapshot_has(memo->snapshot, &out[id[0]]))
			return false;
	}
	more->is_blessed = entry[FLAGS] & BLESSED;
	more->flop = get_double(entry + FLOP);
	more->seconds = get_double(entry + SECONDS);
	return is_whole || has_result(memo, &planned->key);
}

/* ---- the head --------------------------------------------------------------------------- */

static void add_string(cairn_text *out, const char *text)
{
	cairn_text_add_bytes(out, text, strlen(text) + 1);
}

/* What a stage's record says of a stage that is cached. */
static void describe(cairn_text *out, const cairn_planned *planned)
{
	const cairn_instance *instance = planned->instance;

	add_string(out, instance->name);
	add_string(out, instance->plugin->name);
	cairn_text_add_bytes(out, planned->key.bytes, sizeof(planned->key.bytes));
	cairn_text_add_char(out, instance->settings.show ? '1' : '0');
	for (size_t a = 0; a < instance->n_axes; a++)
		add_string(out, instance->axes[a].axis);
	cairn_text_add_char(out, '\0');
	for (size_t b = 0; b < instance->n_bindings; b++) {
		add_string(out, instance->bindings[b].port->name);
		add_string(out, instance->bindings[b].text);
	}
	cairn_text_add_char(out, '\0');
}

static bool digest_of(const cairn_plan *plan, uint8_t out[CAIRN_DIGEST_BYTES])
{
	cairn_digest *digest = cairn_digest_new();
	cairn_text some = {0};

	if (!digest)
		return false;
	for (size_t i = 0; i < plan->n_stages; i++) {
		describe(&some, &plan->stages[i]);
		if (some.len > 1u << 15 || i + 1 == plan->n_stages) {
			cairn_digest_add(digest, cairn_text_get(&some), some.len);
			cairn_text_clear(&some);
		}
	}
	cairn_digest_end(digest, out);
	cairn_text_free(&some);
	return !some.failed;
}

int cairn_memo_run(
	cairn_run_id *out, const cairn_plan *plan, cairn_snapshot *snapshot, cairn_error *err)
{
	uint8_t name[NAME_MAX], digest[CAIRN_DIGEST_BYTES];
	size_t name_len = name_of(name, plan->workflow->name, 0, false), len;
	char mark[CAIRN_NAMES_MARK];
	const uint8_t *head;
	const void *value;
	int rc;

	if (!name_len)
		return CAIRN_ENOTFOUND;
	rc = cairn_snapshot_get(snapshot, "note", name, name_len, &value, &len, err);
	if (rc < 0)
		return rc;
	head = value;
	cairn_record_names_mark(mark, snapshot);
	if (len < HEAD_BYTES || head[0] != VERSION || len - HEAD_BYTES != strlen(mark) ||
		memcmp(head + HEAD_BYTES, mark, strlen(mark)) != 0 || !digest_of(plan, digest) ||
		memcmp(head + 1 + RUN_BYTES, digest, sizeof(digest)) != 0)
		return CAIRN_ENOTFOUND;
	memcpy(out->bytes, head + 1, RUN_BYTES);
	return 0;
}

/* ---- writing ---------------------------------------------------------------------------- */

static void encode_stage(cairn_text *out, const cairn_planned *planned)
{
	static const cairn_id none;
	const cairn_plugin_info *plugin = planned->instance->plugin;
	uint32_t ports = ports_of(plugin);
	uint8_t head[ENTRY_HEAD] = {0};
	bool is_known = planned->outputs && !planned->has_more && plugin->n_outputs <= MAX_OUTPUTS;
	size_t at = out->len;

	if (is_known)
		memcpy(head, planned->key.bytes, sizeof(planned->key.bytes));
	cairn_put_le(head + CAIRN_DIGEST_BYTES, ports, 4);
	head[FLAGS] = planned->is_blessed ? BLESSED : 0;
	put_double(head + FLOP, planned->flop);
	put_double(head + SECONDS, planned->seconds);
	cairn_text_add_bytes(out, head, sizeof(head));
	for (uint64_t o = 0; is_known && o <= plugin->n_outputs; o++) {
		if (cairn_id_compare(&planned->outputs[o], &none) == 0)
			continue;
		cairn_text_add_char(out, (char)o);
		cairn_text_add_bytes(out, planned->outputs[o].bytes, CAIRN_DIGEST_BYTES);
		if (!out->failed)
			out->data[at + N_IDS]++;
	}
}

static bool is_so(
	cairn_snapshot *snapshot, const uint8_t *name, size_t name_len, const cairn_text *wanted)
{
	const void *now;
	size_t len;

	return cairn_snapshot_get(snapshot, "note", name, name_len, &now, &len, NULL) == 0 &&
	       len == wanted->len && memcmp(now, wanted->data, len) == 0;
}

static int put_piece(cairn_batch *batch, const cairn_plan *plan, cairn_snapshot *snapshot,
	size_t number, cairn_text *scratch, cairn_error *err)
{
	uint8_t name[NAME_MAX], head[PIECE_HEAD];
	size_t name_len = name_of(name, plan->workflow->name, number, true);
	size_t first = number * CAIRN_MEMO_PIECE;

	cairn_text_clear(scratch);
	head[0] = VERSION;
	cairn_put_le(head + 1, plan->losses, 8);
	cairn_text_add_bytes(scratch, head, sizeof(head));
	for (size_t i = first; i < plan->n_stages && i < first + CAIRN_MEMO_PIECE; i++)
		encode_stage(scratch, &plan->stages[i]);
	if (scratch->failed)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	if (is_so(snapshot, name, name_len, scratch))
		return 0;
	return cairn_batch_put(batch, "note", name, name_len, scratch->data, scratch->len, err);
}

/* Pieces beyond the plan's last, of a time when it was longer. */
static int drop_rest(cairn_batch *batch, const cairn_plan *plan, cairn_snapshot *snapshot,
	size_t number, cairn_error *err)
{
	uint8_t name[NAME_MAX];
	const void *value;
	size_t len;
	int rc = 0;

	for (; rc == 0; number++) {
		size_t name_len = name_of(name, plan->workflow->name, number, true);

		if (cairn_snapshot_get(snapshot, "note", name, name_len, &value, &len, NULL) < 0)
			break;
		rc = cairn_batch_delete(batch, "note", name, name_len, err);
	}
	return rc;
}

static bool is_finished(const cairn_plan *plan)
{
	for (size_t i = 0; i < plan->n_stages; i++) {
		if (!plan->stages[i].outputs)
			return false;
	}
	return true;
}

static int put_head(cairn_batch *batch, const cairn_plan *plan, const cairn_run_id *run,
	const char *mark, cairn_error *err)
{
	uint8_t name[NAME_MAX], head[HEAD_BYTES + CAIRN_NAMES_MARK];
	size_t name_len = name_of(name, plan->workflow->name, 0, false), len = strlen(mark);

	head[0] = VERSION;
	memcpy(head + 1, run->bytes, RUN_BYTES);
	memcpy(head + HEAD_BYTES, mark, len);
	if (!is_finished(plan) || !digest_of(plan, head + 1 + RUN_BYTES))
		return cairn_batch_delete(batch, "note", name, name_len, err);
	return cairn_batch_put(batch, "note", name, name_len, head, HEAD_BYTES + len, err);
}

int cairn_memo_put(cairn_batch *batch, const cairn_plan *plan, cairn_snapshot *snapshot,
	const cairn_run_id *run, const char *mark, cairn_error *err)
{
	size_t n_pieces = (plan->n_stages + CAIRN_MEMO_PIECE - 1) / CAIRN_MEMO_PIECE;
	cairn_text scratch = {0};
	int rc = 0;

	if (strlen(plan->workflow->name) > 255)
		return 0;
	for (size_t i = 0; i < n_pieces && rc == 0; i++)
		rc = put_piece(batch, plan, snapshot, i, &scratch, err);
	cairn_text_free(&scratch);
	if (rc == 0)
		rc = drop_rest(batch, plan, snapshot, n_pieces, err);
	return rc < 0 ? rc : put_head(batch, plan, run, mark, err);
}
