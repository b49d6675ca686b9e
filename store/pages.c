/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages.c - the pages of the index, read without LMDB, and none of them believed.
 *
 * LMDB has no checksums of its pages. One that is damaged can hide values from a lookup, show those
 * of an older page, end the process, or have a later commit write over what is in use. Here every
 * page that one moment's index is made of is compared with what leads to it: its number, its kind,
 * the order and range of its keys, the sums in the record of its tree; and each page of the file
 * must be in one tree, or in the list of free ones, once. What is left after that are the values,
 * which have checksums of their own (catalog.c), and bytes that nobody reads.
 *
 * The layout is that of data version 1, which is all of LMDB 0.9, on machines of 64 bits and little
 * end. Of a file that says otherwise nothing is said here.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/bytes.h"
#include "store/internal.h"

enum {
	PAGE_HEAD = 16,    /* u64 number, u16, u16 kind, u16 and u16 begin and end of free space */
	NODE_HEAD = 8,     /* u16 and u16 length of the value, u16 flags, u16 length of the key */
	FIRST_PAGE = 2,    /* behind the meta pages, which have behind their head: */
	META_MAGIC = 16,   /* u32, and u32 version */
	META_TREES = 40,   /* two of */
	TREE_BYTES = 48,   /* u32, u16 flags, u16 depth, u64: branch, leaf, overflow pages, values,
			      root */
	META_LAST = 136,   /* u64 the last page */
	META_COMMIT = 144, /* u64 the transaction */
	META_BYTES = 152,
	MAX_DEPTH = 32, /* LMDB's own limit */
	MAX_TABLES = 32,
	READS_OF_META = 8,
	LEAST_PAGE = 4096, /* LMDB takes that of the machine */
	MOST_PAGE = 65536,
};

enum {
	IS_BRANCH = 1,
	IS_LEAF = 2,
	IS_OVERFLOW = 4,
	IS_META = 8
}; /* pages */
enum {
	IS_FAR = 1,
	IS_TREE = 2
}; /* values of leaves */
enum {
	HAS_NUMBERS = 8,
	HAS_NO_FOLDER = 0x4000
}; /* trees */

static const uint64_t magic = 0xbeefc0de, version = 1, no_page = UINT64_MAX;

typedef struct tree {
	uint64_t flags, depth, branches, leaves, overflows, values, root;
} tree;

typedef struct meta {
	uint64_t magic, version, page, kind, page_bytes, last, commit;
	tree free, tables;
} meta;

typedef struct slice {
	const uint8_t *bytes; /* NULL: without end */
	size_t len;
} slice;

typedef struct walk {
	int fd;
	size_t page_bytes;
	uint64_t n_pages, n_taken;
	uint8_t *taken;   /* a bit for each page */
	uint8_t *buffers; /* a page for each level */
	/* The tree that we are in: */
	const char *table; /* "": of the tables, or of free pages */
	bool is_free_list;
	uint64_t depth;
	tree seen;
	/* Found in the tree of tables. */
	struct {
		char name[16];
		tree tree;
	} tables[MAX_TABLES];
	size_t n_tables;
	cairn_pages_fn tell;
	void *arg;
	uint64_t n_told;
} walk;

/* ---- meta pages --------------------------------------------------------------------- */

static void read_tree(tree *out, const uint8_t *bytes)
{
	*out = (tree){.flags = cairn_get_le(bytes + 4, 2),
		.depth = cairn_get_le(bytes + 6, 2),
		.branches = cairn_get_le(bytes + 8, 8),
		.leaves = cairn_get_le(bytes + 16, 8),
		.overflows = cairn_get_le(bytes + 24, 8),
		.values = cairn_get_le(bytes + 32, 8),
		.root = cairn_get_le(bytes + 40, 8)};
}

static int read_meta(meta *out, int fd, size_t page_bytes, int which)
{
	uint8_t bytes[META_BYTES];
	ssize_t n = pread(fd, bytes, sizeof(bytes), (off_t)((size_t)which * page_bytes));

	if (n != (ssize_t)sizeof(bytes))
		return n < 0 ? errno : EIO;
	*out = (meta){.page = cairn_get_le(bytes, 8),
		.kind = cairn_get_le(bytes + 10, 2),
		.magic = cairn_get_le(bytes + META_MAGIC, 4),
		.version = cairn_get_le(bytes + META_MAGIC + 4, 4),
		.page_bytes = cairn_get_le(bytes + META_TREES, 4),
		.last = cairn_get_le(bytes + META_LAST, 8),
		.commit = cairn_get_le(bytes + META_COMMIT, 8)};
	read_tree(&out->free, bytes + META_TREES);
	read_tree(&out->tables, bytes + META_TREES + TREE_BYTES);
	return 0;
}

static bool is_ours(const meta *m)
{
	return m->magic == magic && m->version == version;
}

static bool has_root(const tree *t, uint64_t last)
{
	if (t->root == no_page)
		return t->depth == 0 && t->leaves == 0 && t->values == 0;
	return t->root >= FIRST_PAGE && t->root <= last && t->depth > 0 && t->depth <= MAX_DEPTH;
}

static bool is_plausible(const meta *m, uint64_t page, size_t page_bytes)
{
	return m->page == page && m->kind == IS_META && m->page_bytes == page_bytes &&
	       m->last >= FIRST_PAGE - 1 && m->tables.flags == 0 &&
	       (m->free.flags & ~(uint64_t)HAS_NO_FOLDER) == HAS_NUMBERS;
}

/* Transactions go to the two pages in turn, and the file only grows. The roots of the older one may
 * be anything: where a page could not be written, LMDB gives it its old number, and new roots. */
static bool is_pair(const meta pages[2], size_t page_bytes)
{
	uint64_t even = pages[0].commit, odd = pages[1].commit;
	const meta *newer = &pages[odd > even], *older = &pages[odd <= even];

	if (!is_plausible(&pages[0], 0, page_bytes) || !is_plausible(&pages[1], 1, page_bytes))
		return false;
	if (even == 0 && odd == 0)
		return true; /* made just now */
	return even % 2 == 0 && odd % 2 == 1 && newer->commit - older->commit == 1 &&
	       newer->last >= older->last && has_root(&newer->free, newer->last) &&
	       has_root(&newer->tables, newer->last);
}

/* 0 or an errno value; *out: nothing speaks against them. */
static int look_at_meta(int fd, meta pages[2], bool *out)
{
	int rc = read_meta(&pages[0], fd, 0, 0);
	uint64_t bytes = pages[0].page_bytes;

	*out = true;
	if (rc || !is_ours(&pages[0]))
		return rc; /* of the second LMDB says it, too */
	*out = false;
	if (bytes < LEAST_PAGE || bytes > MOST_PAGE || (bytes & (bytes - 1)) != 0)
		return 0;
	rc = read_meta(&pages[1], fd, bytes, 1);
	*out = !rc && is_ours(&pages[1]) && is_pair(pages, bytes);
	return rc;
}

int cairn_pages__check_meta(const char *directory, cairn_error *err)
{
	bool is_right = false;
	meta pages[2] = {0};
	struct stat st;
	cairn_text path = {0};
	int fd, rc = 0;

	cairn_text_printf(&path, "%s/data.mdb", directory);
	fd = path.failed ? -1 : open(path.data, O_RDONLY | O_CLOEXEC);
	cairn_text_free(&path);
	if (fd < 0)
		return 0; /* LMDB makes it, or says why not */
	/* Somebody may commit while we read: what counts is that it was right once. An index that
	 * is just being made is shorter than this. */
	if (fstat(fd, &st) == 0 && st.st_size >= FIRST_PAGE * LEAST_PAGE) {
		for (int i = 0; i < READS_OF_META && !rc && !is_right; i++)
			rc = look_at_meta(fd, pages, &is_right);
	} else {
		is_right = true;
	}
	close(fd);
	if (rc)
		return cairn_disk__fail(err, rc, directory, "cannot read '%s'", directory);
	if (is_right)
		return 0;
	cairn_error_set(
		err, CAIRN_EINTEGRITY, "a meta page of the index '%s' is damaged", directory);
	cairn_error_detail(err, "they are of transactions %llu and %llu",
		(unsigned long long)pages[0].commit, (unsigned long long)pages[1].commit);
	cairn_error_hint(err, "`cairn fsck --rebuild` makes the index anew, of what can be read.");
	return CAIRN_EINTEGRITY;
}

/* ---- what is found ------------------------------------------------------------------ */

static void tell(walk *w, uint64_t page, const char *how)
{
	cairn_error why = {0};

	w->n_told++;
	if (page == no_page) {
		cairn_error_set(&why, CAIRN_EINTEGRITY, "the index is damaged: %s", how);
	} else {
		cairn_error_set(&why, CAIRN_EINTEGRITY, "page %llu of the index is damaged",
			(unsigned long long)page);
		cairn_error_detail(&why, "%s", how);
	}
	w->tell(w->arg, w->table, &why);
}

/* Each page belongs to one place. */
static bool take(walk *w, uint64_t page, uint64_t n, uint64_t from)
{
	if (page < FIRST_PAGE || n > w->n_pages || page > w->n_pages - n) {
		tell(w, from, "it leads to a page that is not there");
		return false;
	}
	for (uint64_t i = page; i < page + n; i++) {
		uint8_t bit = (uint8_t)(1u << i % 8);

		if (w->taken[i / 8] & bit) {
			tell(w, from, "it leads to a page that belongs elsewhere");
			return false;
		}
		w->taken[i / 8] |= bit;
	}
	w->n_taken += n;
	return true;
}

static bool read_bytes(walk *w, uint64_t page, uint8_t *to, size_t len)
{
	off_t at = (off_t)(page * w->page_bytes);

	while (len > 0) {
		ssize_t n = pread(w->fd, to, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			tell(w, page, n < 0 ? strerror(errno) : "the file ends before it");
			return false;
		}
		to += n;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

/* ---- nodes -------------------------------------------------------------------------- */

typedef struct node {
	slice key;
	uint64_t child;  /* of a branch */
	uint64_t flags;  /* of a leaf, and: */
	slice value;     /* where it is far: the number of its page, and */
	uint64_t length; /* of the value itself */
	size_t size;     /* on the page */
} node;

static size_t count_nodes(const uint8_t *page)
{
	return (cairn_get_le(page + 12, 2) - PAGE_HEAD) / 2;
}

static bool read_node(const walk *w, const uint8_t *page, size_t i, bool is_leaf, node *out)
{
	size_t at = cairn_get_le(page + PAGE_HEAD + 2 * i, 2), key_len, len = 0;
	const uint8_t *bytes = page + at;

	if (at < cairn_get_le(page + 14, 2) || at + NODE_HEAD > w->page_bytes)
		return false;
	key_len = cairn_get_le(bytes + 6, 2);
	out->flags = cairn_get_le(bytes + 4, 2);
	out->length = cairn_get_le(bytes, 4);
	out->child = out->length | out->flags << 32;
	if (is_leaf)
		len = out->flags & IS_FAR ? 8 : out->length;
	out->size = NODE_HEAD + key_len + len;
	if (key_len > CAIRN_MAX_KEY || len > w->page_bytes || at + out->size > w->page_bytes)
		return false;
	out->size += out->size % 2;
	out->key = (slice){bytes + NODE_HEAD, key_len};
	out->value = (slice){bytes + NODE_HEAD + key_len, len};
	return true;
}

static int compare(const walk *w, slice a, slice b)
{
	int order;

	if (w->is_free_list) {
		uint64_t x = cairn_get_le(a.bytes, 8), y = cairn_get_le(b.bytes, 8);

		return (x > y) - (x < y);
	}
	order = memcmp(a.bytes, b.bytes, a.len < b.len ? a.len : b.len);
	return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Its nodes fill the page from where the free space ends, and their keys ascend within the range
 * that the page has. NULL, or what is wrong. */
static const char *check_nodes(
	const walk *w, const uint8_t *page, bool is_leaf, slice low, slice high)
{
	size_t n = count_nodes(page), sum = 0;
	slice last = low;
	node now;

	for (size_t i = 0; i < n; i++) {
		/* The first key of a branch is never looked at. */
		bool has_key = is_leaf || i > 0;

		if (!read_node(w, page, i, is_leaf, &now))
			return "a value reaches over its end";
		sum += now.size;
		if (has_key && w->is_free_list && now.key.len != 8)
			return "a key has the wrong length";
		if (has_key && last.bytes &&
			compare(w, now.key, last) < (is_leaf && i == 0 ? 0 : 1))
			return "its keys are not in order";
		if (has_key)
			last = now.key;
	}
	if (high.bytes && last.bytes && compare(w, last, high) >= 0)
		return "its keys are not in order";
	return sum == w->page_bytes - cairn_get_le(page + 14, 2) ? NULL : "its free space is wrong";
}

static const char *check_head(const walk *w, const uint8_t *page, uint64_t number, bool is_leaf)
{
	size_t begin = cairn_get_le(page + 12, 2), end = cairn_get_le(page + 14, 2);
	/* LMDB lets a branch of its free list have one child. */
	size_t least = is_leaf || w->is_free_list ? 1 : 2;

	if (cairn_get_le(page, 8) != number)
		return "it has the wrong number";
	if (cairn_get_le(page + 10, 2) != (is_leaf ? IS_LEAF : IS_BRANCH))
		return "it is of the wrong kind";
	if (begin < PAGE_HEAD + 2 * least || begin % 2 || begin > end || end > w->page_bytes)
		return "its free space is wrong";
	return NULL;
}

/* ---- values ------------------------------------------------------------------------- */

/* Each record of the free list has the number of pages, and the pages, descending. */
static void take_free(walk *w, uint64_t page, const uint8_t *record, uint64_t len)
{
	uint64_t n = len >= 8 ? cairn_get_le(record, 8) : 0, last = no_page;

	if (len < 8 || n > len / 8 - 1) {
		tell(w, page, "the list of free pages is wrong");
		return;
	}
	for (uint64_t i = 1; i <= n; i++) {
		uint64_t free_page = cairn_get_le(record + 8 * i, 8);

		if (free_page >= last) {
			tell(w, page, "the list of free pages is not in order");
			return;
		}
		last = free_page;
		if (!take(w, free_page, 1, page))
			return;
	}
}

/* A value in pages of its own. */
static void walk_far(walk *w, uint64_t from, const node *value)
{
	uint64_t page = cairn_get_le(value->value.bytes, 8), n_pages;
	uint64_t n_needed = (PAGE_HEAD - 1 + value->length) / w->page_bytes + 1;
	uint8_t head[PAGE_HEAD], *record;

	if (page < FIRST_PAGE || page >= w->n_pages) {
		tell(w, from, "it leads to a page that is not there");
		return;
	}
	if (!read_bytes(w, page, head, sizeof(head)))
		return;
	n_pages = cairn_get_le(head + 12, 4);
	if (cairn_get_le(head, 8) != page || cairn_get_le(head + 10, 2) != IS_OVERFLOW ||
		n_pages < n_needed) {
		tell(w, page, "it is not the beginning of the value that it should be");
		return;
	}
	if (!take(w, page, n_pages, from))
		return;
	w->seen.overflows += n_pages;
	if (!w->is_free_list)
		return;
	record = cairn_alloc(n_pages, w->page_bytes);
	if (!record)
		tell(w, page, "there is no memory to look at it");
	else if (read_bytes(w, page, record, n_pages * w->page_bytes))
		take_free(w, page, record + PAGE_HEAD, value->length);
	free(record);
}

static void add_table(walk *w, uint64_t page, const node *value)
{
	size_t len = value->key.len;

	if (value->flags != IS_TREE || value->length != TREE_BYTES || w->n_tables == MAX_TABLES ||
		len == 0 || len >= sizeof(w->tables[0].name)) {
		tell(w, page, "a table is none");
		return;
	}
	memcpy(w->tables[w->n_tables].name, value->key.bytes, len);
	read_tree(&w->tables[w->n_tables++].tree, value->value.bytes);
}

static void walk_leaf(walk *w, uint64_t page, const uint8_t *bytes)
{
	bool is_of_tables = !w->is_free_list && !w->table[0];
	node value;

	w->seen.leaves++;
	w->seen.values += count_nodes(bytes);
	for (size_t i = 0; i < count_nodes(bytes); i++) {
		if (!read_node(w, bytes, i, true, &value))
			continue;
		if (is_of_tables)
			add_table(w, page, &value);
		else if (value.flags & ~(uint64_t)IS_FAR)
			tell(w, page, "a value is of the wrong kind");
		else if (value.flags & IS_FAR)
			walk_far(w, page, &value);
		else if (w->is_free_list)
			take_free(w, page, value.value.bytes, value.length);
	}
}

/* ---- trees -------------------------------------------------------------------------- */

/* A page and all below it; its keys are from `low` on and below `high`. */
static void walk_page(walk *w, uint64_t page, uint64_t from, uint64_t level, slice low, slice high)
{
	uint8_t *bytes = w->buffers + (level - 1) * w->page_bytes;
	bool is_leaf = level == w->depth;
	const char *how;

	if (!take(w, page, 1, from) || !read_bytes(w, page, bytes, w->page_bytes))
		return;
	how = check_head(w, bytes, page, is_leaf);
	if (!how)
		how = check_nodes(w, bytes, is_leaf, low, high);
	if (how)
		tell(w, page, how);
	else if (is_leaf)
		walk_leaf(w, page, bytes);
	else
		w->seen.branches++;
	for (size_t i = 0; !how && !is_leaf && i < count_nodes(bytes); i++) {
		node child, next;

		if (!read_node(w, bytes, i, false, &child))
			continue;
		if (i + 1 == count_nodes(bytes) || !read_node(w, bytes, i + 1, false, &next))
			next.key = high;
		walk_page(w, child.child, page, level + 1, i ? child.key : low, next.key);
	}
}

static void walk_tree(walk *w, const tree *t, const char *table, bool is_free_list)
{
	const slice none = {NULL, 0};
	uint64_t n_told = w->n_told;

	w->table = table;
	w->is_free_list = is_free_list;
	w->depth = t->depth;
	w->seen = (tree){0};
	if (t->root != no_page && (t->depth == 0 || t->depth > MAX_DEPTH))
		tell(w, no_page, "a tree has an impossible depth");
	else if (t->root != no_page)
		walk_page(w, t->root, no_page, 1, none, none);
	if (n_told != w->n_told)
		return;
	if ((t->flags != 0 && !is_free_list) || w->seen.branches != t->branches ||
		w->seen.leaves != t->leaves || w->seen.overflows != t->overflows ||
		w->seen.values != t->values)
		tell(w, no_page, "a tree is not what its record says");
}

static void walk_all(walk *w, const meta *m)
{
	walk_tree(w, &m->free, "", true);
	walk_tree(w, &m->tables, "", false);
	for (size_t i = 0; i < w->n_tables; i++)
		walk_tree(w, &w->tables[i].tree, w->tables[i].name, false);
	w->table = "";
	if (!w->n_told && w->n_taken + FIRST_PAGE != w->n_pages)
		tell(w, no_page, "it has pages that are neither used nor free");
}

int cairn_pages__walk(int fd, size_t page_bytes, uint64_t commit, const char *path,
	cairn_pages_fn fn, void *arg, cairn_error *err)
{
	walk w = {.fd = fd, .page_bytes = page_bytes, .table = "", .tell = fn, .arg = arg};
	meta m;
	int rc = read_meta(&m, fd, page_bytes, (int)(commit % 2));

	if (rc)
		return cairn_disk__fail(err, rc, path, "cannot read '%s'", path);
	if (!is_ours(&m))
		return 0;
	if (m.commit != commit)
		return 1;
	w.n_pages = m.last + 1;
	w.taken = cairn_alloc(w.n_pages / 8 + 1, 1);
	w.buffers = cairn_alloc(MAX_DEPTH, page_bytes);
	if (!w.taken || !w.buffers)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	else
		walk_all(&w, &m);
	free(w.taken);
	free(w.buffers);
	return rc;
}
