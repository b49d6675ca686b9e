/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease.c - who is at work on the store, so that a collection takes nothing from under them.
 *
 * A lease is a record that a process has in the index from its first write on:
 *
 *   16 bytes -> { "kind": "write" or "gc", "host", "boot_id", "pid_ns", "pid", "pid_start",
 *                 "epoch", "seen_ms" (for people) }
 *
 * It says: what is stamped with `epoch` or later is in use. It is written inside the first
 * transaction of a process, so it costs none of its own; a later commit moves it on to the
 * present epoch, as far as the batches that are still open allow. Nobody takes it away at the
 * end: it is dead as soon as its process is, and the next process that takes one clears it.
 * Dead means: the machine was started anew, or no process has that number and start time. Age
 * means nothing, and what another host or container holds cannot be judged from here: only
 * cairn_store_break_lease ends that.
 *
 * The rule of the writers (FORMAT.md 5): a batch relies on an entry that it found, without a copy
 * of the bytes, only if its stamp is not older than the lease was when the batch began to rely.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/json.h"
#include "cairn/gc.h"
#include "store/internal.h"

#define MAX_LEASES 1024

/* ---- processes -------------------------------------------------------------------------- */

/* A small file of /proc, NUL-terminated; "" where there is none. 0 or an errno value: what cannot
 * be read (no descriptor left, no memory) says nothing about whether it is there. */
static int read_small(const char *path, char *out, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), failed = 0;
	ssize_t n = 0;

	if (fd < 0 && errno != ENOENT)
		failed = errno;
	else if (fd >= 0 && (n = read(fd, out, cap - 1)) < 0)
		failed = errno;
	out[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return failed;
}

/* When a process started: field 22 of /proc/PID/stat. 0: there is no such process, or it is a
 * zombie. The name of the command, field 2, may hold spaces and brackets: count from the last
 * bracket. 0 or an errno value. */
static int start_of(int64_t pid, int64_t *out)
{
	char path[64], stat[1024], *at;
	int failed;

	*out = 0;
	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	if ((failed = read_small(path, stat, sizeof(stat))))
		return failed == ESRCH ? 0 : failed; /* it ended while we read */
	at = strrchr(stat, ')');
	if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
		return 0;
	for (int field = 2; field < 22; field++) {
		at = strchr(at + 1, ' ');
		if (!at)
			return 0;
	}
	at[1 + strcspn(at + 1, " ")] = '\0';
	if (!cairn_parse_i64(at + 1, out))
		*out = 0;
	return 0;
}

struct here {
	char host[256], boot_id[64], pid_ns[64];
};

/* What cannot be read is "". */
static int look_around(struct here *out)
{
	ssize_t n = readlink("/proc/self/ns/pid", out->pid_ns, sizeof(out->pid_ns) - 1);
	int failed = n < 0 && errno != ENOENT ? errno : 0, failed_boot;

	out->pid_ns[n > 0 ? n : 0] = '\0';
	failed_boot =
		read_small("/proc/sys/kernel/random/boot_id", out->boot_id, sizeof(out->boot_id));
	out->boot_id[strcspn(out->boot_id, "\n")] = '\0';
	out->host[0] = '\0';
	(void)gethostname(out->host, sizeof(out->host) - 1);
	out->host[sizeof(out->host) - 1] = '\0';
	return failed ? failed : failed_boot;
}

/* For sure: whoever cannot be judged lives. /proc may be mounted so that it hides the processes of
 * other users (hidepid): kill tells of those. */
static bool is_dead(const json_t *lease, const struct here *here)
{
	const char *boot_id = cairn_json_string(lease, "boot_id", "");
	int64_t pid = cairn_json_integer(lease, "pid", 0), then, start;

	if (!*boot_id || !*here->boot_id || !*here->pid_ns)
		return false;
	if (strcmp(boot_id, here->boot_id) != 0) /* this machine, before it was started anew */
		return !strcmp(cairn_json_string(lease, "host", ""), here->host);
	if (strcmp(cairn_json_string(lease, "pid_ns", ""), here->pid_ns) != 0)
		return false; /* a container that we cannot look into */
	if (pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
		return true;
	if (start_of(pid, &start) != 0)
		return false;
	then = cairn_json_integer(lease, "pid_start", 0);
	if (start == 0) /* hidden, or a zombie */
		return kill((pid_t)pid, 0) == 0 || errno == ESRCH;
	return then != 0 && start != then;
}

/* ---- this process's own ----------------------------------------------------------------- */

void cairn_lease__open(cairn_lease *lease)
{
	pthread_mutex_init(&lease->lock, NULL);
	lease->kind = "write";
}

struct self {
	struct here here;
	int64_t start;
};

/* A lease that does not say whose it is would be taken for that of a dead process. */
static int look_at_self(struct self *out, cairn_error *err)
{
	int failed = look_around(&out->here);

	if (!failed)
		failed = start_of(getpid(), &out->start);
	return failed ? cairn_error_errno(err, CAIRN_EIO, failed,
				"cannot read in '/proc' what this process is called")
		      : 0;
}

/* The same process that opens the store again has the same lease again. */
static void identify(cairn_lease *lease, const struct self *self)
{
	uint8_t digest[CAIRN_DIGEST_BYTES];
	char name[512];
	int len = snprintf(name, sizeof(name), "%s %s %s %d %lld", self->here.host,
		self->here.boot_id, self->here.pid_ns, (int)getpid(), (long long)self->start);

	CAIRN_ASSERT(len > 0 && (size_t)len < sizeof(name));
	cairn_sha256(name, (size_t)len, digest);
	memcpy(lease->id, digest, sizeof(lease->id));
}

void cairn_lease__close(cairn_lease *lease)
{
	pthread_mutex_destroy(&lease->lock);
}

void cairn_lease__enter(cairn_batch *batch)
{
	cairn_lease *lease = &batch->store->lease;

	pthread_mutex_lock(&lease->lock);
	batch->floor = UINT64_MAX;
	batch->next = lease->batches;
	lease->batches = batch;
	pthread_mutex_unlock(&lease->lock);
}

void cairn_lease__leave(cairn_batch *batch)
{
	cairn_lease *lease = &batch->store->lease;

	pthread_mutex_lock(&lease->lock);
	for (cairn_batch **at = &lease->batches; *at; at = &(*at)->next) {
		if (*at == batch) {
			*at = batch->next;
			break;
		}
	}
	pthread_mutex_unlock(&lease->lock);
}

uint64_t cairn_lease__rely(cairn_batch *batch)
{
	cairn_lease *lease = &batch->store->lease;
	uint64_t floor;

	pthread_mutex_lock(&lease->lock);
	if (batch->floor == UINT64_MAX && lease->is_held)
		batch->floor = lease->epoch;
	floor = batch->floor;
	pthread_mutex_unlock(&lease->lock);
	return floor;
}

/* What the lease may say now. Set at once: whoever begins to rely from here on sees it. */
static uint64_t settle_epoch(cairn_lease *lease, cairn_batch *ending, uint64_t epoch)
{
	pthread_mutex_lock(&lease->lock);
	for (cairn_batch *batch = lease->batches; batch; batch = batch->next) {
		if (batch != ending && batch->floor < epoch)
			epoch = batch->floor;
	}
	lease->epoch = epoch;
	pthread_mutex_unlock(&lease->lock);
	return epoch;
}

static int put_own(cairn_lease *lease, cairn_txn *txn, uint64_t epoch, const struct self *self,
	cairn_error *err)
{
	struct timespec now;
	json_t *record;
	char *text;
	int rc;

	clock_gettime(CLOCK_REALTIME, &now);
	record = json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:I}", "kind", lease->kind, "host",
		self->here.host, "boot_id", self->here.boot_id, "pid_ns", self->here.pid_ns, "pid",
		(int)getpid(), "pid_start", (json_int_t)self->start, "epoch", (json_int_t)epoch,
		"seen_ms", (json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
	text = record ? cairn_json_canonical(record) : NULL;
	json_decref(record);
	if (!text)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	rc = cairn_catalog__put(
		txn, CAIRN_TABLE_LEASE, lease->id, sizeof(lease->id), text, strlen(text), err);
	free(text);
	return rc;
}

/* ---- those of all ----------------------------------------------------------------------- */

struct census {
	struct here here;
	const cairn_lease *own;
	uint8_t (*dead)[CAIRN_MAX_KEY + 1]; /* length, key */
	size_t n_dead;
	uint64_t floor; /* the least epoch of the living */
	bool has_collector;
	bool is_dry_run;   /* our own would be renewed first */
	cairn_lease_fn fn; /* told of each; may be NULL */
	void *fn_arg;
};

static int judge(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	struct census *census = arg;
	json_t *json = NULL;
	uint64_t epoch;
	bool is_own;
	int rc = cairn_catalog__unseal(CAIRN_TABLE_LEASE, key, key_len, &value, &value_len, err);

	if (rc)
		return rc;
	/* One that says nothing we understand keeps everything, until somebody breaks it. */
	if (cairn_json_parse(&json, value, value_len, "lease", NULL) < 0 || !json_is_object(json)) {
		json_decref(json);
		json = json_object();
	} else if (is_dead(json, &census->here)) {
		json_decref(json);
		if (census->n_dead < MAX_LEASES && census->dead && key_len <= 255) {
			census->dead[census->n_dead][0] = (uint8_t)key_len;
			memcpy(census->dead[census->n_dead++] + 1, key, key_len);
		}
		return 0;
	}
	epoch = (uint64_t)cairn_json_integer(json, "epoch", 0);
	is_own = census->own && key_len == sizeof(census->own->id) &&
		 !memcmp(key, census->own->id, key_len);
	if (epoch < census->floor && !(is_own && census->is_dry_run))
		census->floor = epoch;
	census->has_collector |= !strcmp(cairn_json_string(json, "kind", ""), "gc");
	if (census->fn) {
		char id[2 * 16 + 1] = "";
		const cairn_lease_info info = {.id = id,
			.kind = cairn_json_string(json, "kind", "?"),
			.host = cairn_json_string(json, "host", "?"),
			.pid = cairn_json_integer(json, "pid", 0),
			.epoch = epoch,
			.seen_ms = cairn_json_integer(json, "seen_ms", 0),
			.is_own = is_own};
		cairn_hex_encode(key, key_len < 16 ? key_len : 16, id);
		rc = census->fn(census->fn_arg, &info, err);
	}
	json_decref(json);
	return rc;
}

static int take_census(struct census *census, cairn_txn *txn, cairn_error *err)
{
	(void)look_around(&census->here); /* who cannot be judged lives */
	census->floor = UINT64_MAX;
	return cairn_index__scan(txn, CAIRN_TABLE_LEASE, NULL, 0, false, judge, census, err);
}

int cairn_lease__bury(cairn_txn *txn, uint64_t *epoch, cairn_error *err)
{
	struct census census = {.dead = cairn_alloc(MAX_LEASES, CAIRN_MAX_KEY + 1)};
	int rc = census.dead ? take_census(&census, txn, err)
			     : cairn_error_set(err, CAIRN_ENOMEM, "out of memory");

	for (size_t i = 0; i < census.n_dead && !rc; i++)
		rc = cairn_index__delete(
			txn, CAIRN_TABLE_LEASE, census.dead[i] + 1, census.dead[i][0], err);
	if (!rc && cairn_epoch__is_collecting(*epoch) && !census.has_collector) {
		rc = cairn_index__clear(txn, CAIRN_TABLE_RECENT, err);
		if (!rc)
			rc = cairn_catalog__set_number(txn, "gc_epoch", ++*epoch, err);
	}
	free(census.dead);
	return rc;
}

int cairn_lease__renew(cairn_store *store, cairn_txn *txn, cairn_batch *batch, bool is_end,
	uint64_t epoch, cairn_error *err)
{
	cairn_lease *lease = &store->lease;
	struct self self;
	uint64_t now;
	const void *value;
	size_t len;
	int rc;

	if (!lease->is_held) {
		if ((rc = look_at_self(&self, err)))
			return rc;
		identify(lease, &self);
	}
	if (batch && !is_end && batch->floor > epoch)
		batch->floor = epoch;
	now = settle_epoch(lease, is_end ? batch : NULL, epoch);
	if (lease->is_held && now == lease->recorded) {
		rc = cairn_index__get(
			txn, CAIRN_TABLE_LEASE, lease->id, sizeof(lease->id), &value, &len, err);
		if (rc != CAIRN_ENOTFOUND) /* else somebody broke it */
			return rc;
	}
	if (lease->is_held && (rc = look_at_self(&self, err)))
		return rc;
	return put_own(lease, txn, now, &self, err);
}

int cairn_lease__hold(cairn_store *store, cairn_txn *txn, cairn_batch *batch, bool is_end,
	uint64_t *epoch, cairn_error *err)
{
	int rc = store->lease.is_held ? 0 : cairn_lease__bury(txn, epoch, err);

	return rc ? rc : cairn_lease__renew(store, txn, batch, is_end, *epoch, err);
}

void cairn_lease__held(cairn_store *store)
{
	pthread_mutex_lock(&store->lease.lock);
	store->lease.is_held = true;
	store->lease.recorded = store->lease.epoch;
	pthread_mutex_unlock(&store->lease.lock);
}

int cairn_lease__floor(cairn_store *store, cairn_txn *txn, uint64_t *out, cairn_error *err)
{
	struct census census = {.own = &store->lease};
	int rc = take_census(&census, txn, err);

	if (!rc)
		*out = census.floor;
	return rc;
}

int cairn_lease__foresee(cairn_store *store, cairn_txn *txn, uint64_t *out, cairn_error *err)
{
	struct census census = {.own = &store->lease, .is_dry_run = true};
	struct self self;
	int rc = look_at_self(&self, err);

	if (rc)
		return rc;
	identify(&store->lease, &self);
	rc = take_census(&census, txn, err);
	pthread_mutex_lock(&store->lease.lock);
	for (const cairn_batch *batch = store->lease.batches; batch; batch = batch->next) {
		if (batch->floor < census.floor)
			census.floor = batch->floor;
	}
	pthread_mutex_unlock(&store->lease.lock);
	if (!rc)
		*out = census.floor;
	return rc;
}

/* ---- for people ------------------------------------------------------------------------- */

int cairn_store_leases(cairn_store *store, cairn_lease_fn fn, void *arg, cairn_error *err)
{
	struct census census = {.own = &store->lease, .fn = fn, .fn_arg = arg};
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, store->index, false, err);

	if (rc)
		return rc;
	rc = take_census(&census, txn, err);
	cairn_index__abort(txn);
	return rc;
}

struct breaking {
	const char *prefix;
	size_t n;
	uint8_t key[CAIRN_MAX_KEY];
	size_t key_len;
};

static int find_lease(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct breaking *breaking = arg;
	char id[2 * 16 + 1];

	(void)value, (void)value_len, (void)err;
	cairn_hex_encode(key, key_len < 16 ? key_len : 16, id);
	if (strncmp(id, breaking->prefix, strlen(breaking->prefix)) != 0)
		return 0;
	memcpy(breaking->key, key, key_len);
	breaking->key_len = key_len;
	breaking->n++;
	return 0;
}

static int remove_lease(cairn_txn *txn, void *arg, cairn_error *err)
{
	struct breaking *breaking = arg;
	int rc;

	breaking->n = 0;
	rc = cairn_index__scan(txn, CAIRN_TABLE_LEASE, NULL, 0, false, find_lease, breaking, err);
	if (!rc && breaking->n != 1) {
		rc = cairn_error_set(err, CAIRN_ENOTFOUND,
			breaking->n ? "several leases begin with '%.40s'"
				    : "no lease is called '%.40s'",
			breaking->prefix);
		cairn_error_hint(err, "`cairn gc` lists the leases that hold something back.");
	}
	return rc ? rc
		  : cairn_index__delete(
			    txn, CAIRN_TABLE_LEASE, breaking->key, breaking->key_len, err);
}

int cairn_store_break_lease(cairn_store *store, const char *id, cairn_error *err)
{
	struct breaking breaking = {.prefix = id};

	if (strlen(id) < 4)
		return cairn_error_set(
			err, CAIRN_EUSAGE, "the id of a lease has at least 4 digits");
	return cairn_index__write(store->index, remove_lease, &breaking, err);
}
