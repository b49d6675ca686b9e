/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inject.c - see inject.h. The functions here take the places of the C library's, for LMDB too,
 * and do what those do by system calls. With 64-bit file offsets a program calls pwrite64 where
 * its source says pwrite; a library built otherwise calls pwrite: both are here.
 */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include "inject.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cairn/base.h"

/* Shared with children. */
struct shared {
	atomic_bool is_armed;
	inject_fault fault;
	atomic_ullong n_calls;
};

static struct shared *shared;
static bool spares_disk;
static atomic_llong n_blocks;
static _Thread_local bool has_armed; /* is it this thread that did? */

const char *inject_name(int call)
{
	static const char *const names[] = {
#define INJECT_NAME(id, name) name,
		INJECT_CALL_MAP(INJECT_NAME)
#undef INJECT_NAME
	};

	return call < INJECT_CALLS ? names[call] : "change";
}

void inject_arm(const inject_fault *fault)
{
	if (!shared) {
		shared = (struct shared *)syscall(SYS_mmap, NULL, sizeof(*shared),
			PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (shared == MAP_FAILED)
			abort();
	}
	has_armed = true;
	shared->fault = *fault;
	atomic_store(&shared->n_calls, 0);
	atomic_store(&shared->is_armed, true);
}

uint64_t inject_disarm(void)
{
	if (!shared)
		return 0;
	atomic_store(&shared->is_armed, false);
	return atomic_load(&shared->n_calls);
}

int64_t inject_blocks(void)
{
	return atomic_load(&n_blocks);
}

void inject_spare_the_disk(void)
{
	spares_disk = true;
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
}

static bool is_change(int call)
{
	return call == INJECT_WRITE || call == INJECT_PWRITE || call == INJECT_WRITEV ||
	       call == INJECT_FSYNC || call == INJECT_FDATASYNC || call == INJECT_FTRUNCATE ||
	       call == INJECT_FALLOCATE || call == INJECT_MKDIR || call == INJECT_RENAME ||
	       call == INJECT_LINK || call == INJECT_UNLINK || call == INJECT_CREATE;
}

/* What is to happen to this call: 0, an errno value, INJECT_SHORT or INJECT_TORN. */
static int strike(int call)
{
	unsigned long long n;

	if (!shared || !atomic_load(&shared->is_armed))
		return 0;
#if defined(__SANITIZE_ADDRESS__)
	if (call == INJECT_MALLOC && !has_armed) /* the sanitizer's own, for a new thread */
		return 0;
#endif
	if (shared->fault.call != call &&
		!(shared->fault.call == INJECT_CHANGES && is_change(call)))
		return 0;
	n = atomic_fetch_add(&shared->n_calls, 1) + 1;
	if (n != shared->fault.nth && !(shared->fault.stays && n > shared->fault.nth))
		return 0;
	if (shared->fault.error == INJECT_KILL ||
		(shared->fault.error == INJECT_TORN && call != INJECT_PWRITE &&
			call != INJECT_WRITE))
		(void)syscall(SYS_kill, getpid(), SIGKILL);
	return shared->fault.error;
}

/* -1 with errno where the call is to fail. */
static bool fails(int call)
{
	int error = strike(call);

	if (error > 0)
		errno = error;
	return error > 0;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

#define IN_PLACE CAIRN_EXPORT __attribute__((used))

static ssize_t do_pwrite(int fd, const void *bytes, size_t len, off64_t at)
{
	int error = strike(INJECT_PWRITE);
	size_t half = len / 2 / 512 * 512; /* what O_DIRECT takes */

	if (error > 0) {
		errno = error;
		return -1;
	}
	if (error) {
		ssize_t n = half ? syscall(SYS_pwrite64, fd, bytes, half, at) : 0;

		if (error == INJECT_TORN)
			(void)syscall(SYS_kill, getpid(), SIGKILL);
		if (half)
			return n;
	}
	return syscall(SYS_pwrite64, fd, bytes, len, at);
}

static ssize_t do_write(int fd, const void *bytes, size_t len)
{
	int error = strike(INJECT_WRITE);

	if (error > 0) {
		errno = error;
		return -1;
	}
	if (error) {
		ssize_t n = syscall(SYS_write, fd, bytes, len / 2);

		if (error == INJECT_TORN)
			(void)syscall(SYS_kill, getpid(), SIGKILL);
		return n;
	}
	return syscall(SYS_write, fd, bytes, len);
}

IN_PLACE ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return do_pwrite(fd, bytes, len, at);
}

IN_PLACE ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
	return do_pwrite(fd, bytes, len, at);
}

IN_PLACE ssize_t write(int fd, const void *bytes, size_t len)
{
	return do_write(fd, bytes, len);
}

/* LMDB's, of whole pages one after the other. */
IN_PLACE ssize_t writev(int fd, const struct iovec *parts, int n)
{
	int error = strike(INJECT_WRITEV);

	if (error > 0) {
		errno = error;
		return -1;
	}
	return syscall(SYS_writev, fd, parts, error && n > 1 ? n / 2 : n);
}

IN_PLACE ssize_t pread(int fd, void *bytes, size_t len, off_t at)
{
	return fails(INJECT_PREAD) ? -1 : syscall(SYS_pread64, fd, bytes, len, at);
}

IN_PLACE ssize_t pread64(int fd, void *bytes, size_t len, off64_t at)
{
	return fails(INJECT_PREAD) ? -1 : syscall(SYS_pread64, fd, bytes, len, at);
}

IN_PLACE ssize_t read(int fd, void *bytes, size_t len)
{
	return fails(INJECT_READ) ? -1 : syscall(SYS_read, fd, bytes, len);
}

/* What _FORTIFY_SOURCE makes of them. */
IN_PLACE ssize_t __pread64_chk(int fd, void *bytes, size_t len, off64_t at, size_t cap);
IN_PLACE ssize_t __read_chk(int fd, void *bytes, size_t len, size_t cap);

ssize_t __pread64_chk(int fd, void *bytes, size_t len, off64_t at, size_t cap)
{
	return len > cap ? (abort(), -1) : pread64(fd, bytes, len, at);
}

ssize_t __read_chk(int fd, void *bytes, size_t len, size_t cap)
{
	return len > cap ? (abort(), -1) : read(fd, bytes, len);
}

/* ---- files ---------------------------------------------------------------------------------- */

static int do_open(int at, const char *path, int flags, unsigned mode)
{
	if (spares_disk)
		flags &= ~O_DIRECT;
	return fails(flags & O_CREAT ? INJECT_CREATE : INJECT_OPEN)
		       ? -1
		       : (int)syscall(SYS_openat, at, path, flags, mode);
}

static unsigned mode_of(int flags, va_list args)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, unsigned) : 0;
}

#define OPEN_BODY(at)                                    \
	do {                                             \
		va_list args;                            \
		unsigned mode;                           \
                                                         \
		va_start(args, flags);                   \
		mode = mode_of(flags, args);             \
		va_end(args);                            \
		return do_open((at), path, flags, mode); \
	} while (0)

IN_PLACE int open(const char *path, int flags, ...)
{
	OPEN_BODY(AT_FDCWD);
}

IN_PLACE int open64(const char *path, int flags, ...)
{
	OPEN_BODY(AT_FDCWD);
}

IN_PLACE int openat(int at, const char *path, int flags, ...)
{
	OPEN_BODY(at);
}

IN_PLACE int openat64(int at, const char *path, int flags, ...)
{
	OPEN_BODY(at);
}

IN_PLACE int __open64_2(const char *path, int flags);
IN_PLACE int __openat64_2(int at, const char *path, int flags);

int __open64_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

int __openat64_2(int at, const char *path, int flags)
{
	return do_open(at, path, flags, 0);
}

IN_PLACE int fsync(int fd)
{
	if (fails(INJECT_FSYNC))
		return -1;
	return spares_disk ? 0 : (int)syscall(SYS_fsync, fd);
}

IN_PLACE int fdatasync(int fd)
{
	if (fails(INJECT_FDATASYNC))
		return -1;
	return spares_disk ? 0 : (int)syscall(SYS_fdatasync, fd);
}

IN_PLACE int ftruncate(int fd, off_t len)
{
	return fails(INJECT_FTRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

IN_PLACE int ftruncate64(int fd, off64_t len)
{
	return fails(INJECT_FTRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

IN_PLACE int fallocate(int fd, int mode, off_t at, off_t len)
{
	return fails(INJECT_FALLOCATE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, len);
}

IN_PLACE int fallocate64(int fd, int mode, off64_t at, off64_t len)
{
	return fails(INJECT_FALLOCATE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, len);
}

IN_PLACE int mkdir(const char *path, mode_t mode)
{
	return fails(INJECT_MKDIR) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

IN_PLACE int mkdirat(int at, const char *path, mode_t mode)
{
	return fails(INJECT_MKDIR) ? -1 : (int)syscall(SYS_mkdirat, at, path, mode);
}

IN_PLACE int renameat(int from_at, const char *from, int to_at, const char *to)
{
	return fails(INJECT_RENAME) ? -1 : (int)syscall(SYS_renameat2, from_at, from, to_at, to, 0);
}

IN_PLACE int rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

IN_PLACE int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
	return fails(INJECT_LINK) ? -1 : (int)syscall(SYS_linkat, from_at, from, to_at, to, flags);
}

IN_PLACE int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

IN_PLACE int unlinkat(int at, const char *path, int flags)
{
	return fails(INJECT_UNLINK) ? -1 : (int)syscall(SYS_unlinkat, at, path, flags);
}

IN_PLACE int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

IN_PLACE int flock(int fd, int how)
{
	return fails(INJECT_FLOCK) ? -1 : (int)syscall(SYS_flock, fd, how);
}

IN_PLACE int fstat64(int fd, struct stat64 *out)
{
	return fails(INJECT_STAT) ? -1 : (int)syscall(SYS_newfstatat, fd, "", out, AT_EMPTY_PATH);
}

IN_PLACE int fstatat64(int at, const char *path, struct stat64 *out, int flags)
{
	return fails(INJECT_STAT) ? -1 : (int)syscall(SYS_newfstatat, at, path, out, flags);
}

/* ---- memory --------------------------------------------------------------------------------- */

IN_PLACE void *mmap(void *at, size_t len, int access, int flags, int fd, off_t from)
{
	return fails(INJECT_MMAP) ? MAP_FAILED
				  : (void *)syscall(SYS_mmap, at, len, access, flags, fd, from);
}

IN_PLACE void *mmap64(void *at, size_t len, int access, int flags, int fd, off64_t from)
{
	return mmap(at, len, access, flags, fd, from);
}

IN_PLACE int msync(void *at, size_t len, int flags)
{
	return fails(INJECT_MSYNC) ? -1 : (int)syscall(SYS_msync, at, len, flags);
}

IN_PLACE int madvise(void *at, size_t len, int advice)
{
	return fails(INJECT_MADVISE) ? -1 : (int)syscall(SYS_madvise, at, len, advice);
}

IN_PLACE int pthread_create(
	pthread_t *out, const pthread_attr_t *attributes, void *(*function)(void *), void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	int error = strike(INJECT_THREAD);

	if (error > 0)
		return error;
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	return real(out, attributes, function, arg);
}

/* A sanitizer's own allocator is asked, and counts leaks itself; else glibc's, by the names that
 * it has for replacements of malloc. */
#if defined(__SANITIZE_ADDRESS__)
#define REAL(name) __interceptor_##name
void *REAL(malloc)(size_t len);
void *REAL(calloc)(size_t n, size_t len);
void *REAL(realloc)(void *block, size_t len);
void *REAL(aligned_alloc)(size_t alignment, size_t len);
int REAL(posix_memalign)(void **out, size_t alignment, size_t len);
#define ALIGNED REAL(aligned_alloc)
#else
#define REAL(name) __libc_##name
void *REAL(malloc)(size_t len);
void *REAL(calloc)(size_t n, size_t len);
void *REAL(realloc)(void *block, size_t len);
void *REAL(memalign)(size_t alignment, size_t len);
void REAL(free)(void *block);
#define ALIGNED    REAL(memalign)
#endif

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
IN_PLACE void free(void *block)
{
	if (block)
		atomic_fetch_sub(&n_blocks, 1);
	REAL(free)(block);
}
#endif

#if !defined(__SANITIZE_THREAD__)
static void *counted(void *block)
{
#if !defined(__SANITIZE_ADDRESS__)
	if (block)
		atomic_fetch_add(&n_blocks, 1);
#endif
	return block;
}

IN_PLACE void *malloc(size_t len)
{
	return fails(INJECT_MALLOC) ? NULL : counted(REAL(malloc)(len));
}

IN_PLACE void *calloc(size_t n, size_t len)
{
	return fails(INJECT_MALLOC) ? NULL : counted(REAL(calloc)(n, len));
}

IN_PLACE void *realloc(void *block, size_t len)
{
	void *moved;

	if (fails(INJECT_MALLOC))
		return NULL;
	moved = REAL(realloc)(block, len);
	return block ? moved : counted(moved);
}

IN_PLACE void *aligned_alloc(size_t alignment, size_t len)
{
	return fails(INJECT_MALLOC) ? NULL : counted(ALIGNED(alignment, len));
}

IN_PLACE int posix_memalign(void **out, size_t alignment, size_t len)
{
	void *block;
	int error = strike(INJECT_MALLOC);

	if (error > 0)
		return error;
	block = counted(ALIGNED(alignment, len));
	if (!block)
		return ENOMEM;
	*out = block;
	return 0;
}
#endif
