/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All orders in which a collection, writers and a reader can take turns.
 *
 * Each actor is a coroutine that gives up the turn at the steps of cairn_store__hook: where another
 * process could come in between. A schedule is a list of choices; they are enumerated depth first,
 * each on a copy of one small store. What must hold after each is in check().
 *
 *   K  named from the start                 M  named, in a segment of which little is left
 *   A  named by nothing, until somebody does  B  named by nothing, until somebody puts it again
 *   X  named by nothing, ever
 */
#include "support.h"

#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/digest.h"
#include "store/internal.h"

enum {
	LEN = 70 << 10, /* one chunk, in a segment */
	STACK_BYTES = 1 << 20,
	MAX_ACTORS = 4,
	MAX_CHOICES = 128,
};

enum {
	SEED_K = 100,
	SEED_M = 200,
	SEED_A = 300,
	SEED_B = 400,
	SEED_X = 500,
};

struct world;
typedef struct actor {
	void (*work)(struct world *world);
	const char *steps; /* " put commit ": where it gives up the turn */
	ucontext_t context;
	char *stack;
	bool is_done;
} actor;

typedef struct world {
	cairn_store *store;
	actor actors[MAX_ACTORS];
	size_t n_actors;
	actor *current;
	ucontext_t scheduler;
	/* What became of them. */
	int rc_gc, rc_name, rc_put, rc_put_moved, rc_read;
	cairn_error why;
} world;

static world *the_world; /* for the hook, which takes no argument */

static cairn_id id_of_seed[600];

/* ---- turns -------------------------------------------------------------------------------- */

static void give_up_turn(const char *where)
{
	world *w = the_world;
	char word[64];

	snprintf(word, sizeof(word), " %s,", where);
	if (w && w->current && strstr(w->current->steps, word))
		swapcontext(&w->current->context, &w->scheduler);
}

static void begin_actor(void)
{
	actor *self = the_world->current;

	self->work(the_world);
	self->is_done = true;
	swapcontext(&self->context, &the_world->scheduler);
}

static void add_actor(world *w, void (*work)(world *world), const char *steps)
{
	actor *a = &w->actors[w->n_actors++];

	*a = (actor){.work = work, .steps = steps, .stack = malloc(STACK_BYTES)};
	assert_non_null(a->stack);
	assert_int_equal(getcontext(&a->context), 0);
	a->context.uc_stack.ss_sp = a->stack;
	a->context.uc_stack.ss_size = STACK_BYTES;
	makecontext(&a->context, begin_actor, 0);
}

/* A schedule: at its i-th turn, which of those that are not done; and how many there were. */
typedef struct schedule {
	uint8_t choice[MAX_CHOICES], n_open[MAX_CHOICES];
	size_t n;
} schedule;

static void run_schedule(world *w, schedule *s)
{
	the_world = w;
	cairn_store__hook = give_up_turn;
	for (size_t turn = 0;; turn++) {
		actor *open[MAX_ACTORS];
		size_t n_open = 0;

		for (size_t i = 0; i < w->n_actors; i++) {
			if (!w->actors[i].is_done)
				open[n_open++] = &w->actors[i];
		}
		if (n_open == 0) {
			s->n = turn;
			break;
		}
		assert_true(turn < MAX_CHOICES);
		if (turn >= s->n)
			s->choice[turn] = 0;
		s->n = turn >= s->n ? turn + 1 : s->n;
		s->n_open[turn] = (uint8_t)n_open;
		w->current = open[s->choice[turn]];
		swapcontext(&w->scheduler, &w->current->context);
		w->current = NULL;
	}
	cairn_store__hook = NULL;
	the_world = NULL;
}

/* The next one, depth first; false where there is none. */
static bool next_schedule(schedule *s)
{
	while (s->n > 0 && s->choice[s->n - 1] + 1 >= s->n_open[s->n - 1])
		s->n--;
	if (s->n == 0)
		return false;
	s->choice[s->n - 1]++;
	return true;
}

/* ---- actors -------------------------------------------------------------------------------- */

static int tell_ref(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	void **telling = arg;
	cairn_id id;

	(void)key, (void)key_len;
	assert_int_equal(value_len, sizeof(id));
	memcpy(&id, value, sizeof(id));
	return (*(cairn_root_fn *)telling[0])(telling[1], &id, err);
}

static int tell_refs(
	void *arg, cairn_store *store, cairn_root_fn tell, void *root_arg, cairn_error *err)
{
	void *telling[] = {&tell, root_arg};
	cairn_snapshot *snapshot;
	int rc = cairn_snapshot_begin(&snapshot, store, err);

	(void)arg;
	if (rc)
		return rc;
	rc = cairn_snapshot_scan(snapshot, "ref", NULL, 0, false, tell_ref, telling, err);
	cairn_snapshot_end(snapshot);
	return rc;
}

static int collect(cairn_store *store, bool is_dry_run, cairn_gc_report *report, cairn_error *err)
{
	const cairn_gc_options options = {.roots = tell_refs, .is_dry_run = is_dry_run};

	return cairn_store_gc(store, &options, report, err);
}

static void work_gc(world *w)
{
	cairn_gc_report report;

	w->rc_gc = collect(w->store, false, &report, &w->why);
}

/* Names A, which it has seen some time ago. */
static void work_name(world *w)
{
	cairn_error err = {0};
	cairn_batch *batch;
	cairn_id id = id_of_seed[SEED_A];

	w->rc_name = cairn_batch_begin(&batch, w->store, &err);
	if (!w->rc_name)
		w->rc_name = cairn_batch_use(batch, &id, true, &err);
	if (!w->rc_name)
		w->rc_name = cairn_batch_put(batch, "ref", "A", 1, id.bytes, 32, &err);
	if (!w->rc_name)
		w->rc_name = cairn_batch_commit(batch, &err);
}

static int put(world *w, const char *ref, uint64_t seed)
{
	cairn_error *err = &w->why;
	cairn_batch *batch;
	cairn_id id;
	int rc = cairn_batch_begin(&batch, w->store, err);

	if (rc)
		return rc;
	support_put(batch, 1, LEN, seed, &id);
	rc = cairn_batch_put(batch, "ref", ref, 1, id.bytes, 32, err);
	return rc ? rc : cairn_batch_commit(batch, err);
}

/* Makes B again: what it finds of it may go before it commits. */
static void work_put(world *w)
{
	w->rc_put = put(w, "B", SEED_B);
}

/* Makes M again, which is moved meanwhile. */
static void work_put_moved(world *w)
{
	w->rc_put_moved = put(w, "N", SEED_M);
}

static void work_read(world *w)
{
	w->rc_read = support_verify(w->store, &id_of_seed[SEED_M], 1, LEN, SEED_M, &w->why);
}

/* ---- one store, many copies -------------------------------------------------------------------
 */

static int make_old_things(void *arg)
{
	static const struct {
		const char *ref;
		uint64_t seed;
	} things[] = {{NULL, SEED_X}, {NULL, SEED_A}, {NULL, SEED_B}, {"M", SEED_M}, {"K", SEED_K}};
	cairn_store *store = support_open(arg, CAIRN_STORE_CREATE);
	cairn_error err = {0};

	/* More that goes, so that what is left of the segment is less than half. */
	for (uint64_t i = 0; i < 4; i++)
		(void)support_commit(store, 1, LEN, 1000 + i);
	for (size_t i = 0; i < CAIRN_COUNT(things); i++) {
		cairn_id id = support_commit(store, 1, LEN, things[i].seed);
		cairn_batch *batch;

		if (!things[i].ref)
			continue;
		OK(cairn_batch_begin(&batch, store, &err));
		OK(cairn_batch_put(batch, "ref", things[i].ref, 1, id.bytes, 32, &err));
		OK(cairn_batch_commit(batch, &err));
	}
	cairn_store_close(store);
	return 0;
}

static void learn_ids(const char *directory)
{
	static const uint64_t seeds[] = {SEED_K, SEED_M, SEED_A, SEED_B, SEED_X};
	char path[600];
	cairn_store *store;

	snprintf(path, sizeof(path), "%s-ids", directory);
	store = support_open(path, CAIRN_STORE_CREATE);
	for (size_t i = 0; i < CAIRN_COUNT(seeds); i++)
		id_of_seed[seeds[i]] = support_commit(store, 1, LEN, seeds[i]);
	cairn_store_close(store);
}

/* A process that has written before holds a lease, and relies on young things without a copy. */
static void write_something(cairn_store *store)
{
	cairn_error err = {0};
	cairn_batch *batch;

	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_put(batch, "note", "was here", 8, "x", 1, &err));
	OK(cairn_batch_commit(batch, &err));
}

static bool is_there(cairn_store *store, uint64_t seed)
{
	cairn_object *object = NULL;
	int rc = cairn_object_open(&object, store, &id_of_seed[seed], NULL);

	cairn_object_close(object);
	return rc == 0;
}

/* What must be true whatever the order was. */
static void check(world *w)
{
	cairn_error err = {0};
	cairn_gc_report report;
	bool has_put = false, has_name = false;

	assert_int_equal(w->rc_gc, 0);
	assert_int_equal(w->rc_put, 0);
	assert_int_equal(w->rc_put_moved, 0);
	assert_int_equal(w->rc_read, 0);
	assert_true(w->rc_name == 0 || w->rc_name == CAIRN_EBUSY);
	for (size_t i = 0; i < w->n_actors; i++) {
		has_put |= w->actors[i].work == work_put;
		has_name |= w->actors[i].work == work_name && w->rc_name == 0;
	}
	for (int round = 0; round < 2; round++) {
		OK(support_verify(w->store, &id_of_seed[SEED_K], 1, LEN, SEED_K, &err));
		OK(support_verify(w->store, &id_of_seed[SEED_M], 1, LEN, SEED_M, &err));
		if (has_put)
			OK(support_verify(w->store, &id_of_seed[SEED_B], 1, LEN, SEED_B, &err));
		if (has_name)
			OK(support_verify(w->store, &id_of_seed[SEED_A], 1, LEN, SEED_A, &err));
		/* Garbage goes with the second collection at the latest. */
		OK(collect(w->store, false, &report, &err));
	}
	assert_false(is_there(w->store, SEED_X));
	assert_true(is_there(w->store, SEED_A) == has_name);
	assert_true(is_there(w->store, SEED_B) == has_put);
	OK(collect(w->store, true, &report, &err));
	assert_int_equal(report.dead_chunks.n + report.dead_blobs.n + report.held.n, 0);
	assert_int_equal(report.live_chunks.n, 2 + has_put + has_name);
}

/* All schedules of these actors; returns how many there were. */
static size_t explore(const char *origin, void (*add_actors)(world *w), bool has_lease)
{
	schedule s = {.n = 0};
	size_t n = 0;

	do {
		world w = {.n_actors = 0};
		cairn_error err = {0};
		char copy[600];

		snprintf(copy, sizeof(copy), "%s-run", origin);
		support_copy_tree(origin, copy);
		/* A small map: thousands of large ones would take most of the time. */
		OK(cairn_store__open(&w.store, copy, 0, (size_t)16 << 20, &err));
		if (has_lease)
			write_something(w.store);
		add_actors(&w);
		run_schedule(&w, &s);
		check(&w);
		cairn_store_close(w.store);
		for (size_t i = 0; i < w.n_actors; i++)
			free(w.actors[i].stack);
		support_remove_tree(copy);
		n++;
	} while (next_schedule(&s));
	return n;
}

/* ---- the scenarios
 * ------------------------------------------------------------------------------- */

#define GC_STEPS " gc raised, gc marked, gc delete, gc ended,"

/* One adds a root to what was garbage, one puts again what is being deleted. */
static void two_writers(world *w)
{
	add_actor(w, work_gc, GC_STEPS);
	add_actor(w, work_name, "");
	add_actor(w, work_put, " put, commit,");
}

/* Chunks move while one relies on one of them and one reads it. */
static void while_segments_move(world *w)
{
	add_actor(w, work_gc, " gc ended, reclaim copied, reclaim moved, reclaim unlink,");
	add_actor(w, work_put_moved, " commit,");
	add_actor(w, work_read, " read,");
}

/* Every single step of the collection against one writer. */
static void every_step(world *w)
{
	add_actor(w, work_gc, GC_STEPS " reclaim copied, reclaim moved, reclaim unlink,");
	add_actor(w, work_put, " put, commit,");
}

static void run_scenario(
	void **state, void (*add_actors)(world *w), bool has_lease, size_t at_least)
{
	size_t n = explore(*state, add_actors, has_lease);

	if (n < at_least)
		fail_msg("only %zu schedules", n);
	print_message("           %zu schedules\n", n);
}

static int setup(void **state)
{
	int rc = support_setup(state);

	if (rc)
		return rc;
	learn_ids(*state);
	assert_int_equal(support_child(make_old_things, *state), 0);
	return 0;
}

static void test_store_gc_interleave__two_new_writers(void **state)
{
	run_scenario(state, two_writers, false, 1000);
}

static void test_store_gc_interleave__two_writers_with_a_lease(void **state)
{
	run_scenario(state, two_writers, true, 1000);
}

static void test_store_gc_interleave__while_segments_move(void **state)
{
	run_scenario(state, while_segments_move, true, 500);
}

static void test_store_gc_interleave__every_step(void **state)
{
	run_scenario(state, every_step, false, 300);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_gc_interleave__two_new_writers),
		TEST(test_store_gc_interleave__two_writers_with_a_lease),
		TEST(test_store_gc_interleave__while_segments_move),
		TEST(test_store_gc_interleave__every_step),
	};

	/* Thousands of small stores: in memory, where there is such a place. */
	if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	return cmocka_run_group_tests_name("store/gc_interleave", tests, NULL, NULL);
}
