/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: who has one, when it is dead, and what it holds back. */
#include "support.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "store/internal.h"

enum {
	LARGE = 100 << 10,
};

static int no_roots(
	void *arg, cairn_store *store, cairn_root_fn tell, void *root_arg, cairn_error *err)
{
	(void)arg, (void)store, (void)tell, (void)root_arg, (void)err;
	return 0;
}

static cairn_gc_report collect(cairn_store *store)
{
	const cairn_gc_options options = {.roots = no_roots};
	cairn_gc_report report;
	cairn_error err = {0};

	OK(cairn_store_gc(store, &options, &report, &err));
	return report;
}

static int count_lease(void *arg, const cairn_lease_info *lease, cairn_error *err)
{
	(void)lease, (void)err;
	++*(int *)arg;
	return 0;
}

static int n_leases(cairn_store *store)
{
	cairn_error err = {0};
	int n = 0;

	OK(cairn_store_leases(store, count_lease, &n, &err));
	return n;
}

static int n_records(cairn_store *store)
{
	cairn_error err = {0};
	uint64_t n;
	cairn_txn *txn;

	OK(cairn_index__begin(&txn, store->index, false, &err));
	OK(cairn_index__count(txn, CAIRN_TABLE_LEASE, &n, &err));
	cairn_index__abort(txn);
	return (int)n;
}

static void put(cairn_store *store, const char *table, const char *key, const char *value)
{
	cairn_error err = {0};
	cairn_batch *batch;

	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_put(batch, table, key, strlen(key), value, strlen(value), &err));
	OK(cairn_batch_commit(batch, &err));
}

static uint64_t epoch_of(cairn_store *store)
{
	cairn_error err = {0};
	uint64_t epoch;
	cairn_txn *txn;

	OK(cairn_index__begin(&txn, store->index, false, &err));
	OK(cairn_catalog__number(txn, "gc_epoch", &epoch, &err));
	cairn_index__abort(txn);
	return epoch;
}

/* ---- one's own ------------------------------------------------------------------------------ */

static void test_store_lease__comes_with_the_first_write(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);

	assert_int_equal(n_leases(store), 0);
	put(store, "note", "a", "b");
	assert_int_equal(n_leases(store), 1);
	put(store, "note", "a", "c");
	assert_int_equal(n_records(store), 1);
	cairn_store_close(store);
	/* The same process, the same lease. */
	store = support_open(*state, 0);
	put(store, "note", "a", "d");
	assert_int_equal(n_records(store), 1);
	cairn_store_close(store);
}

static int write_and_end(void *arg)
{
	cairn_store *store = support_open(arg, 0);

	put(store, "note", "child", "x");
	if (n_leases(store) != 1)
		return 2;
	raise(SIGKILL);
	return 1;
}

static void test_store_lease__ends_with_its_process(void **state)
{
	cairn_store *store;

	cairn_store_close(support_open(*state, CAIRN_STORE_CREATE));
	for (int i = 0; i < 3; i++)
		assert_int_equal(support_child(write_and_end, *state), 128 + SIGKILL);
	store = support_open(*state, 0);
	assert_int_equal(n_records(store), 1); /* each has cleared that of the one before */
	assert_int_equal(n_leases(store), 0);  /* which counts for nothing */
	put(store, "note", "a", "b");
	assert_int_equal(n_records(store), 1);
	assert_int_equal(n_leases(store), 1);
	cairn_store_close(store);
}

/* ---- those of others --------------------------------------------------------------------------
 */

/* A lease of epoch 0, as another process would have written it. NULL: as it is here. */
static void pretend(cairn_store *store, const char *host, const char *boot_id, const char *pid_ns,
	int pid, int64_t start)
{
	char own_host[256] = "", boot[64] = "", ns[64] = "", text[1024];
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	ssize_t n = readlink("/proc/self/ns/pid", ns, sizeof(ns) - 1);

	assert_non_null(file);
	assert_non_null(fgets(boot, sizeof(boot), file));
	fclose(file);
	boot[strcspn(boot, "\n")] = '\0';
	assert_true(n > 0);
	assert_int_equal(gethostname(own_host, sizeof(own_host) - 1), 0);
	snprintf(text, sizeof(text),
		"{\"kind\":\"write\",\"host\":\"%s\",\"boot_id\":\"%s\",\"pid_ns\":\"%s\","
		"\"pid\":%d,\"pid_start\":%lld,\"epoch\":0,\"seen_ms\":0}",
		host ? host : own_host, boot_id ? boot_id : boot, pid_ns ? pid_ns : ns, pid,
		(long long)start);
	put(store, "lease", "0123456789abcdef", text);
}

static void test_store_lease__of_another_host_is_only_broken_by_hand(void **state)
{
	static const char *const hosts[][3] = {{"elsewhere", "another-boot", NULL},
		{"elsewhere", NULL, "pid:[1]"}, {NULL, NULL, "pid:[1]"}};
	cairn_error err = {0};

	for (size_t i = 0; i < CAIRN_COUNT(hosts); i++) {
		cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
		cairn_gc_report report;

		(void)support_commit(store, 2, LARGE, 100 * i);
		pretend(store, hosts[i][0], hosts[i][1], hosts[i][2], 1, 1);
		report = collect(store);
		assert_int_equal(report.dead_chunks.n, 0);
		assert_true(report.held.n > 0);
		assert_int_equal(cairn_store_break_lease(store, "ffff", &err), CAIRN_ENOTFOUND);
		err = (cairn_error){0};
		OK(cairn_store_break_lease(store, "30313233", &err));
		report = collect(store);
		assert_int_equal(report.dead_chunks.n, 2);
		cairn_store_close(store);
	}
}

static void test_store_lease__is_dead_by_boot_pid_and_start(void **state)
{
	const struct {
		const char *boot_id;
		int pid;
	} dead[] = {{"another-boot", (int)getpid()}, {NULL, 0x3ffffff}, {NULL, (int)getpid()}};

	for (size_t i = 0; i < CAIRN_COUNT(dead); i++) {
		cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);

		(void)support_commit(store, 2, LARGE, 100 * i);
		/* The third: our number, but another start. */
		pretend(store, NULL, dead[i].boot_id, NULL, dead[i].pid, 1);
		assert_int_equal(collect(store).dead_chunks.n, 2);
		assert_int_equal(n_records(store), 1);
		cairn_store_close(store);
	}
}

static void test_store_lease__of_an_unknown_form_keeps_everything(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};

	(void)support_commit(store, 2, LARGE, 100);
	put(store, "lease", "0123456789abcdef", "not what we know");
	assert_int_equal(collect(store).dead_chunks.n, 0);
	OK(cairn_store_break_lease(store, "3031", &err));
	assert_int_equal(collect(store).dead_chunks.n, 2);
	cairn_store_close(store);
}

/* ---- a dead collector --------------------------------------------------------------------------
 */

static void die_when_marked(const char *where)
{
	if (strcmp(where, "gc marked") == 0)
		raise(SIGKILL);
}

static int die_in_collection(void *arg)
{
	cairn_store *store = support_open(arg, 0);

	cairn_store__hook = die_when_marked;
	(void)collect(store);
	return 1;
}

static void test_store_lease__ends_the_collection_of_a_dead_one(void **state)
{
	cairn_store *store;
	uint64_t epoch;

	cairn_store_close(support_open(*state, CAIRN_STORE_CREATE));
	assert_int_equal(support_child(die_in_collection, *state), 128 + SIGKILL);
	store = support_open(*state, 0);
	epoch = epoch_of(store);
	assert_true(cairn_epoch__is_collecting(epoch));
	put(store, "note", "a", "b");
	assert_int_equal(epoch_of(store), epoch + 1);
	(void)collect(store);
	assert_int_equal(epoch_of(store), epoch + 3);
	cairn_store_close(store);
}

/* Broken under a process that lives, it comes back with the next commit. */
static void test_store_lease__heals(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	char id[2 * 16 + 1];

	put(store, "note", "a", "b");
	cairn_hex_encode(store->lease.id, 16, id);
	OK(cairn_store_break_lease(store, id, &err));
	assert_int_equal(n_leases(store), 0);
	put(store, "note", "a", "c");
	assert_int_equal(n_leases(store), 1);
	cairn_store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_lease__comes_with_the_first_write),
		TEST(test_store_lease__ends_with_its_process),
		TEST(test_store_lease__of_another_host_is_only_broken_by_hand),
		TEST(test_store_lease__is_dead_by_boot_pid_and_start),
		TEST(test_store_lease__of_an_unknown_form_keeps_everything),
		TEST(test_store_lease__ends_the_collection_of_a_dead_one),
		TEST(test_store_lease__heals),
	};

	return cmocka_run_group_tests_name("store/lease", tests, NULL, NULL);
}
