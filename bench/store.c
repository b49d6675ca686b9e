/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - how fast artifacts go into a store and come out, beside the disk that it lies on.
 *
 * Everything that is compared takes turns in each round, with the same bytes in pieces of the same
 * size: a virtual machine's disk is twice as fast in one minute as in the next. Prints one line for
 * each thing measured: median of the rounds, least and most, GB/s (1e9 bytes), and the median of
 * its ratio to the disk's sequential O_DIRECT write of the same round.
 *
 * Usage: bench-store DIR [MiB [ROUNDS]]     DIR lies on the disk that is meant
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "store/internal.h"

enum {
	TENSORS = 64,
	CHANGED = 3, /* of them, in the second version */
	PIECE = 8 << 20,
	MAX_ROUNDS = 99,
	TEXT_LINE = 400, /* about what a line of a data set has */
};

enum {
	DIRECT,
	BUFFERED,
	PUT,
	PUT_CHANGED,
	PUT_TEXT,
	READ_COLD,
	READ_WARM,
	COPY_COLD,
	COPY_WARM,
	COPY_BYTES,
	HASH_ONE,
	HASH_ALL,
	N_MEASURED
};

static const char *const names[N_MEASURED] = {"disk: O_DIRECT, fdatasync",
	"disk: buffered, fdatasync", "put + commit", "put + commit, 3 of 64 changed",
	"put + commit, a data set", "read mapped, cold", "read mapped, warm", "read copied, cold",
	"read copied, warm", "memcpy to fresh memory", "SHA-256, one thread",
	"SHA-256, all threads"};

static double measured[N_MEASURED][MAX_ROUNDS];
static double put_cpu[MAX_ROUNDS];
static uint64_t rss_anon[2], rss_file[2]; /* mapped, copied */

static CAIRN_NORETURN CAIRN_PRINTF(1, 2) void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void check(int rc, const cairn_error *err)
{
	if (rc)
		die("%s: %s\n%s\n%s", cairn_error_name(rc), err->message, err->detail, err->hint);
}

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- the bytes --------------------------------------------------------------------------- */

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void fill(uint8_t *to, size_t len, uint64_t seed)
{
	uint64_t *words = (uint64_t *)to;

	for (size_t i = 0; i < len / 8; i++)
		words[i] = mix(seed * 0xd1342543de82ef95u + i * 0x9e3779b97f4a7c15u);
}

/* Lines of lower-case letters: what they say does not matter to a store. */
static void fill_text(uint8_t *to, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = i % TEXT_LINE == TEXT_LINE - 1
				? '\n'
				: (uint8_t)('a' + mix(i / 8) / (i % 8 + 1) % 26);
}

static uint8_t *allocate(size_t len)
{
	uint8_t *bytes =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		die("no memory for %zu bytes", len);
	return bytes;
}

/* ---- the disk and the processor ---------------------------------------------------------- */

static double write_file(const char *path, int flags, const uint8_t *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0600);
	double start = seconds(CLOCK_MONOTONIC), took;

	if (fd < 0)
		die("cannot create '%s': %s", path, strerror(errno));
	for (size_t at = 0; at < len; at += PIECE) {
		if (pwrite(fd, bytes + at, PIECE, (off_t)at) != PIECE)
			die("cannot write '%s': %s", path, strerror(errno));
	}
	if (fdatasync(fd) != 0)
		die("cannot sync '%s': %s", path, strerror(errno));
	took = seconds(CLOCK_MONOTONIC) - start;
	close(fd);
	unlink(path);
	return (double)len / took;
}

static double copy(const uint8_t *bytes, size_t len)
{
	double start = seconds(CLOCK_MONOTONIC), took;
	uint8_t *to = allocate(len);

	memcpy(to, bytes, len);
	took = seconds(CLOCK_MONOTONIC) - start;
	munmap(to, len);
	return (double)len / took;
}

static double hash(const uint8_t *bytes, size_t len, bool is_one)
{
	size_t n = len / CAIRN_CHUNK_BYTES;
	cairn_hash_job *jobs = calloc(n, sizeof(*jobs));
	cairn_pool *pool = cairn_pool__new();
	double start = seconds(CLOCK_MONOTONIC), took;

	if (!jobs || !pool)
		die("no memory");
	for (size_t i = 0; i < n; i++) {
		jobs[i].bytes = bytes + i * CAIRN_CHUNK_BYTES;
		jobs[i].len = CAIRN_CHUNK_BYTES;
		if (is_one)
			cairn_sha256(jobs[i].bytes, jobs[i].len, jobs[i].id.bytes);
		else
			cairn_pool__submit(pool, &jobs[i]);
	}
	for (size_t i = 0; i < n && !is_one; i++)
		cairn_pool__wait(pool, &jobs[i]);
	took = seconds(CLOCK_MONOTONIC) - start;
	cairn_pool__free(pool);
	free(jobs);
	return (double)len / took;
}

/* ---- the store --------------------------------------------------------------------------- */

static cairn_store *open_store(const char *path, unsigned flags)
{
	cairn_error err = {0};
	cairn_store *store;

	check(cairn_store_open(&store, path, flags, &err), &err);
	return store;
}

static double put(cairn_store *store, const uint8_t *bytes, size_t len, bool is_text, cairn_id *id)
{
	double start = seconds(CLOCK_MONOTONIC);
	size_t n = is_text ? 1 : TENSORS, each = len / n;
	cairn_error err = {0};
	cairn_batch *batch;
	char name[32];

	check(cairn_batch_begin(&batch, store, &err), &err);
	check(cairn_batch_artifact_begin(batch, "model/lm", &err), &err);
	for (size_t i = 0; i < n; i++) {
		cairn_tensor tensor = {.name = name,
			.dtype = is_text ? CAIRN_U8 : CAIRN_F32,
			.n_dims = 1,
			.dims = {is_text ? each : each / 4},
			.data = bytes + i * each,
			.bytes = each};

		snprintf(name, sizeof(name), "tensor%02zu", i);
		check(cairn_batch_artifact_put(batch, &tensor, &err), &err);
	}
	check(cairn_batch_artifact_end(batch, NULL, id, &err), &err);
	check(cairn_batch_commit(batch, &err), &err);
	return (double)len / (seconds(CLOCK_MONOTONIC) - start);
}

static uint64_t status(const char *field)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, field, strlen(field)))
			sscanf(line + strlen(field), ": %llu", &kib);
	}
	if (file)
		fclose(file);
	return kib << 10;
}

/* Opens, reads and verifies all, and looks at one word of each page, as whoever wanted it will. */
static double read_all(cairn_store *store, const cairn_id *id, bool is_copied)
{
	uint64_t anon = status("RssAnon"), in_files = status("RssFile"), sum = 0;
	double start = seconds(CLOCK_MONOTONIC), rate;
	cairn_error err = {0};
	cairn_object *object;
	cairn_tensor tensor;

	store->copies_reads = is_copied;
	check(cairn_object_open(&object, store, id, &err), &err);
	for (uint64_t i = 0; i < cairn_object_count(object); i++) {
		check(cairn_object_entry(object, i, &tensor, &err), &err);
		check(cairn_object_read(object, tensor.name, &tensor, &err), &err);
		for (size_t at = 0; at + 8 <= tensor.bytes; at += 4096)
			sum += *(const uint64_t *)((const char *)tensor.data + at);
	}
	rate = (double)cairn_object_bytes(object) / (seconds(CLOCK_MONOTONIC) - start);
	rss_anon[is_copied] = status("RssAnon") - anon;
	rss_file[is_copied] = status("RssFile") - in_files;
	cairn_object_close(object);
	return sum == 42 ? 0 : rate; /* so that the sum is computed */
}

/* The page cache forgets the segments. */
static void forget(const char *path)
{
	char name[1200];

	for (unsigned i = 0;; i++) {
		int fd;

		snprintf(name, sizeof(name), "%s/seg/%08x.seg", path, i);
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
}

static void remove_store(const char *path)
{
	static const char *const files[] = {
		"meta/data.mdb", "meta/lock.mdb", "format", "meta", "seg", ""};
	char name[1200];

	for (unsigned i = 0;; i++) {
		snprintf(name, sizeof(name), "%s/seg/%08x.seg", path, i);
		if (unlink(name) != 0)
			break;
	}
	for (size_t i = 0; i < CAIRN_COUNT(files); i++) {
		snprintf(name, sizeof(name), "%s/%s", path, files[i]);
		(void)remove(name);
	}
}

static void measure(const char *directory, uint8_t *bytes, const uint8_t *text, size_t len, int r)
{
	char file[1024], path[1024];
	cairn_store *store;
	cairn_id id, second;
	double cpu;

	snprintf(file, sizeof(file), "%s/raw", directory);
	snprintf(path, sizeof(path), "%s/store", directory);
	measured[DIRECT][r] = write_file(file, O_DIRECT, bytes, len);
	store = open_store(path, CAIRN_STORE_CREATE);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	measured[PUT][r] = put(store, bytes, len, false, &id);
	put_cpu[r] = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	for (size_t i = 0; i < CHANGED; i++)
		fill(bytes + i * 20 * (len / TENSORS), len / TENSORS, (uint64_t)r * 100 + 1000 + i);
	measured[PUT_CHANGED][r] = put(store, bytes, len, false, &second);
	forget(path);
	measured[READ_COLD][r] = read_all(store, &id, false);
	measured[READ_WARM][r] = read_all(store, &id, false);
	measured[COPY_WARM][r] = read_all(store, &id, true);
	forget(path);
	measured[COPY_COLD][r] = read_all(store, &id, true);
	measured[PUT_TEXT][r] = put(store, text, len, true, &id);
	cairn_store_close(store);
	remove_store(path);
	measured[BUFFERED][r] = write_file(file, 0, bytes, len);
	measured[COPY_BYTES][r] = copy(bytes, len);
	measured[HASH_ONE][r] = hash(bytes, len, true);
	measured[HASH_ALL][r] = hash(bytes, len, false);
}

/* ---- the table --------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values, int n)
{
	double sorted[MAX_ROUNDS];

	memcpy(sorted, values, (size_t)n * sizeof(*values));
	qsort(sorted, (size_t)n, sizeof(*sorted), ascending);
	return sorted[n / 2];
}

static void print(size_t len, int rounds)
{
	printf("%zu MiB, %d rounds\n%-31s %6s %13s %7s\n", len >> 20, rounds, "", "GB/s",
		"least-most", "of disk");
	for (int i = 0; i < N_MEASURED; i++) {
		double ratios[MAX_ROUNDS], least = 1e300, most = 0;

		for (int r = 0; r < rounds; r++) {
			ratios[r] = measured[i][r] / measured[DIRECT][r];
			least = measured[i][r] < least ? measured[i][r] : least;
			most = measured[i][r] > most ? measured[i][r] : most;
		}
		printf("%-31s %6.2f   %5.2f-%5.2f %7.2f\n", names[i],
			median(measured[i], rounds) / 1e9, least / 1e9, most / 1e9,
			median(ratios, rounds));
	}
	printf("processor time of the first put: %.2f s a GiB\n",
		median(put_cpu, rounds) * (double)(1 << 30) / (double)len);
	printf("resident after a read: mapped %.0f MiB own + %.0f MiB of files, copied %.0f + %.0f\n",
		(double)rss_anon[0] / (1 << 20), (double)rss_file[0] / (1 << 20),
		(double)rss_anon[1] / (1 << 20), (double)rss_file[1] / (1 << 20));
}

int main(int argc, char **argv)
{
	size_t len = (size_t)(argc > 2 ? strtoul(argv[2], NULL, 10) : 1024) << 20;
	int rounds = argc > 3 ? atoi(argv[3]) : 5;
	char directory[512];
	uint8_t *bytes, *text;

	if (argc < 2 || len < (size_t)TENSORS * (1 << 20) || len % ((size_t)TENSORS << 20) ||
		rounds < 1 || rounds > MAX_ROUNDS)
		die("usage: bench-store DIR [MiB, a multiple of 64 [ROUNDS]]");
	snprintf(directory, sizeof(directory), "%s/bench-store-XXXXXX", argv[1]);
	if (!mkdtemp(directory))
		die("cannot make a directory in '%s': %s", argv[1], strerror(errno));
	bytes = allocate(len);
	text = allocate(len);
	fill(bytes, len, 1);
	fill_text(text, len);
	for (int r = 0; r < rounds; r++)
		measure(directory, bytes, text, len, r);
	rmdir(directory);
	print(len, rounds);
	return 0;
}
