/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c - the bytes of an entry: where its chunks lie, and each one verified before anybody
 * sees it.
 *
 * Large tensors are mapped: each chunk lies in a segment at a multiple of 4 KiB and is 4 MiB long,
 * so they are laid side by side into one range of addresses, without a copy, in memory that is the
 * page cache's: other processes share it, and the kernel may take it back. Everything else is read
 * into memory. Either way every chunk is hashed, on all cores, before the call returns; README.md
 * says what a mapping can and cannot promise after that.
 *
 * Transactions are short: places are looked up in one, files are read after it. A collector may
 * move a chunk in between; then its place is looked up again.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "store/internal.h"

enum {
	RING = 8,         /* chunks that are being hashed */
	AHEAD = 2 * RING, /* and mapped, so that the disk reads them meanwhile */
	ALIGNMENT = 64,
	MAP_MIN = 1 << 20,  /* a smaller entry is copied in the time that mapping takes */
	MAPS_MAX = 1 << 15, /* half of what Linux lets one process have */
	MOVES_MAX = 8,
};

typedef struct part {
	uint64_t at; /* in the entry */
	uint32_t len;
	cairn_place place; /* raw_len 0: it was in the index, and is copied already */
} part;

typedef struct reading {
	const cairn_content *content;
	cairn_store *store;
	uint8_t *out;
	bool is_mapped;
	cairn_id *ids;
	part *parts;
	cairn_segment_reader reader;
} reading;

static atomic_uint n_maps; /* of this process */

int cairn_content__node(
	void *arg, const cairn_id *id, const void **bytes, size_t *len, cairn_error *err)
{
	int rc = cairn_catalog__get_blob(arg, CAIRN_TABLE_BLOB, id, bytes, len, err);
	char text[CAIRN_ID_TEXT];

	if (rc != CAIRN_ENOTFOUND)
		return rc;
	cairn_id_format(id, text);
	cairn_error_set(err, CAIRN_EINTEGRITY, "the store has lost a part of an artifact");
	cairn_error_detail(err, "no node %s in its index", text);
	return CAIRN_EINTEGRITY;
}

/* Says which chunk an integrity error is about. */
static int name_chunk(const reading *r, uint64_t i, int rc, cairn_error *err)
{
	char object[CAIRN_ID_TEXT], chunk[CAIRN_ID_TEXT], where[64] = "the index";
	const cairn_content *content = r->content;
	const cairn_place *place = &r->parts[i].place;

	if (rc != CAIRN_EINTEGRITY)
		return rc;
	cairn_id_format(content->artifact, object);
	cairn_id_format(&r->ids[i], chunk);
	if (place->raw_len)
		snprintf(where, sizeof(where), "segment %08x.seg at byte %llu", place->segment,
			(unsigned long long)place->offset);
	cairn_error_detail(err, "%s '%s' of %s: chunk %llu of %llu, %s, in %s",
		content->name ? "entry" : "part", content->name ? content->name : "metadata",
		object, (unsigned long long)i + 1, (unsigned long long)content->n_chunks, chunk,
		where);
	cairn_error_hint(err, "These bytes changed after they were written: restore them from a "
			      "backup of the store, and check the disk.");
	return rc;
}

/* ---- where the chunks lie ------------------------------------------------------------- */

/* What the entry says of the length of chunk i; 0: nothing, its place has it. */
static uint32_t stated_len(const cairn_content *content, uint64_t i)
{
	uint64_t left = content->len - i * CAIRN_CHUNK_BYTES;

	if (content->is_cut_by_content)
		return i + 1 == content->n_chunks ? content->last_len : 0;
	return left < CAIRN_CHUNK_BYTES ? (uint32_t)left : CAIRN_CHUNK_BYTES;
}

static bool is_right_len(const cairn_content *content, uint64_t i, uint64_t at, size_t len)
{
	uint32_t stated = stated_len(content, i);

	if (len > content->len - at || (i + 1 == content->n_chunks && len != content->len - at))
		return false;
	return stated ? len == stated : len >= CAIRN_CUT_MIN && len <= CAIRN_CUT_MAX;
}

/* Finds one chunk; one that lies in the index is copied to its place at once. */
static int locate(reading *r, uint64_t i, cairn_txn *txn, cairn_error *err)
{
	uint32_t stated = stated_len(r->content, i);
	bool is_inline = stated && stated <= CAIRN_INLINE_BYTES;
	part *p = &r->parts[i];
	const void *bytes;
	size_t len;
	int rc;

	p->at = i ? r->parts[i - 1].at + r->parts[i - 1].len : 0;
	if (is_inline) {
		rc = cairn_catalog__get_blob(txn, CAIRN_TABLE_BLOB, &r->ids[i], &bytes, &len, err);
	} else {
		rc = cairn_catalog__get_chunk(txn, &r->ids[i], &p->place, err);
		len = p->place.raw_len;
	}
	if (rc == CAIRN_ENOTFOUND)
		rc = cairn_error_set(
			err, CAIRN_EINTEGRITY, "the store has lost a part of an artifact");
	else if (!rc && !is_right_len(r->content, i, p->at, len))
		rc = cairn_error_set(
			err, CAIRN_EINTEGRITY, "a part of an artifact has the wrong size");
	if (rc)
		return name_chunk(r, i, rc, err);
	p->len = (uint32_t)len;
	if (is_inline)
		memcpy(r->out + p->at, bytes, len);
	return 0;
}

static int locate_all(reading *r, cairn_error *err)
{
	const cairn_content *content = r->content;
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, r->store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_manifest__read_list(&r->ids, content->list, content->list_len, content->n_chunks,
		cairn_content__node, txn, err);
	for (uint64_t i = 0; i < content->n_chunks && !rc; i++)
		rc = locate(r, i, txn, err);
	cairn_index__abort(txn);
	return rc;
}

/* Has the chunk another place by now? Then that is taken. */
static bool has_moved(reading *r, uint64_t i)
{
	cairn_place *place = &r->parts[i].place, now;
	bool is_moved;
	cairn_txn *txn;

	if (cairn_index__begin(&txn, r->store->index, false, NULL))
		return false;
	is_moved = cairn_catalog__get_chunk(txn, &r->ids[i], &now, NULL) == 0 &&
		   now.raw_len == place->raw_len &&
		   (now.segment != place->segment || now.offset != place->offset);
	cairn_index__abort(txn);
	if (is_moved)
		*place = now;
	return is_moved;
}

/* ---- bytes in, and verified ------------------------------------------------------------ */

/* Maps or reads one chunk. 1: it cannot be mapped. */
static int fetch(reading *r, uint64_t i, cairn_error *err)
{
	cairn_segments *segments = r->store->segments;
	const part *p = &r->parts[i];
	cairn_error failure;
	int rc, n_moves = 0;

	if (!p->place.raw_len)
		return 0;
	do {
		cairn_error_clear(&failure);
		rc = r->is_mapped ? cairn_segments__map(segments, &r->reader, &p->place,
					    r->out + p->at, &failure)
				  : cairn_segments__read(segments, &r->reader, &p->place,
					    r->out + p->at, &failure);
	} while (rc == CAIRN_EINTEGRITY && n_moves++ < MOVES_MAX && has_moved(r, i));
	if (rc < 0) {
		name_chunk(r, i, rc, &failure);
		if (err && !err->code)
			*err = failure;
	}
	return rc;
}

/* Gets the pages of a mapped chunk in. Here a disk that cannot read them is an error; whoever
 * touched them first would be killed by SIGBUS. 1: this kernel cannot do that. */
static int populate(const reading *r, uint64_t i, cairn_error *err)
{
	const part *p = &r->parts[i];

	if (!r->is_mapped || !p->place.raw_len ||
		madvise(r->out + p->at, p->len, MADV_POPULATE_READ) == 0)
		return 0;
	if (errno == EINVAL)
		return 1;
	return cairn_error_errno(err, CAIRN_EIO, errno == EFAULT ? EIO : errno,
		"cannot read segment '%s/seg/%08x.seg'", r->store->path, p->place.segment);
}

static int compare(const reading *r, uint64_t i, const cairn_hash_job *job, cairn_error *err)
{
	int rc;

	if (!r->parts[i].place.raw_len) /* catalog.c has checked it */
		return 0;
	if (cairn_id_compare(&job->id, &r->ids[i]) == 0)
		return 0;
	rc = cairn_error_set(err, CAIRN_EINTEGRITY, "stored bytes do not match their digest");
	return name_chunk(r, i, rc, err);
}

/* Fetches all chunks; hashing runs behind, in the ring. 1: mapping does not work here. */
static int fetch_chunks(reading *r, cairn_error *err)
{
	uint64_t n = r->content->n_chunks, n_fetched = 0, n_submitted = 0, n_checked = 0;
	cairn_hash_job jobs[RING];
	int rc = 0;

	while (n_checked < n) {
		uint64_t ahead = n_checked + (r->is_mapped ? AHEAD : RING);

		while (!rc && n_submitted < n && n_submitted < n_checked + RING) {
			cairn_hash_job *job = &jobs[n_submitted % RING];
			const part *p = &r->parts[n_submitted];

			for (; !rc && n_fetched < n && n_fetched < ahead &&
				(r->is_mapped || n_fetched == n_submitted);
				n_fetched++)
				rc = fetch(r, n_fetched, err);
			if (rc || (rc = populate(r, n_submitted, err)))
				break;
			*job = (cairn_hash_job){
				.bytes = r->out + p->at, .len = p->len, .is_done = true};
			if (p->place.raw_len)
				cairn_pool__submit(r->store->pool, job);
			n_submitted++;
		}
		if (n_checked == n_submitted)
			break;
		cairn_pool__wait(r->store->pool, &jobs[n_checked % RING]);
		if (!rc)
			rc = compare(r, n_checked, &jobs[n_checked % RING], err);
		n_checked++;
	}
	cairn_segments__read_end(&r->reader);
	return rc;
}

/* ---- memory ---------------------------------------------------------------------------- */

static bool may_map(const cairn_store *store, const cairn_content *content)
{
	return !store->copies_reads && content->name && !content->needs_nul &&
	       !content->is_cut_by_content && content->len >= MAP_MIN &&
	       atomic_load(&n_maps) + content->n_chunks <= MAPS_MAX;
}

void cairn_content__free(cairn_held *held)
{
	if (held->mapped) {
		munmap(held->bytes, held->mapped);
		atomic_fetch_sub(&n_maps, held->n_maps);
	} else {
		free(held->bytes);
	}
	*held = (cairn_held){0};
}

/* Room for the bytes; where they are to be mapped, addresses to map them at. */
static int allocate(cairn_held *out, const cairn_content *content, bool is_mapped, cairn_error *err)
{
	/* Where they are not, at least one byte more: a NUL. */
	size_t room = (content->len / ALIGNMENT + 1) * ALIGNMENT;

	*out = (cairn_held){0};
	if (is_mapped) {
		room = (content->len + CAIRN_BLOCK_BYTES - 1) / CAIRN_BLOCK_BYTES *
		       CAIRN_BLOCK_BYTES;
		out->bytes = mmap(NULL, room, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (out->bytes != MAP_FAILED) {
			out->mapped = room;
			out->n_maps = (unsigned)content->n_chunks;
			atomic_fetch_add(&n_maps, out->n_maps);
			return 0;
		}
		out->bytes = NULL;
	} else {
		out->bytes = aligned_alloc(ALIGNMENT, room);
		if (out->bytes) {
			memset((char *)out->bytes + content->len, 0, room - content->len);
			return 0;
		}
	}
	cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	cairn_error_detail(err, "'%s' has %llu bytes", content->name ? content->name : "metadata",
		(unsigned long long)content->len);
	return CAIRN_ENOMEM;
}

/* 1: mapping does not work here. */
static int read_once(cairn_held *out, cairn_store *store, const cairn_content *content,
	bool is_mapped, cairn_error *err)
{
	reading r = {
		.content = content, .store = store, .is_mapped = is_mapped, .reader = {.fd = -1}};
	cairn_held held;
	int rc = allocate(&held, content, is_mapped, err);

	if (rc)
		return rc;
	r.out = held.bytes;
	r.parts = cairn_alloc(content->n_chunks ? content->n_chunks : 1, sizeof(*r.parts));
	if (!r.parts)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	if (!rc)
		rc = locate_all(&r, err);
	cairn_store__step("read");
	if (!rc)
		rc = fetch_chunks(&r, err);
	if (rc)
		cairn_content__free(&held);
	else
		*out = held;
	free(r.parts);
	free(r.ids);
	return rc;
}

int cairn_content__read(
	cairn_held *out, cairn_store *store, const cairn_content *content, cairn_error *err)
{
	int rc = 1;

	if (may_map(store, content))
		rc = read_once(out, store, content, true, err);
	if (rc == 1)
		rc = read_once(out, store, content, false, err);
	return rc;
}
