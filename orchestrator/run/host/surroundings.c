/* SPDX-License-Identifier: Apache-2.0 */
#include "run/host/surroundings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cairn/store.h"

#if defined(__SSE2__)
#include <immintrin.h>
#define MXCSR_FLAGS 0x3fu /* what happened, as opposed to what shall happen */
#endif

#define MAX_DESCRIPTOR 200 /* a lowest free one above: many were left open */

static uint64_t mix(uint64_t sum, const char *text)
{
	for (; *text; text++)
		sum = (sum ^ (unsigned char)*text) * UINT64_C(1099511628211);
	return (sum ^ 0xff) * UINT64_C(1099511628211);
}

static uint64_t environment(void)
{
	uint64_t sum = UINT64_C(14695981039346656037);

	for (char **text = environ; text && *text; text++)
		sum = mix(sum, *text);
	return sum;
}

static uint64_t arithmetic(void)
{
	uint64_t mode = (uint64_t)fegetround();

#if defined(__SSE2__)
	mode |= (uint64_t)(_mm_getcsr() & ~MXCSR_FLAGS) << 32;
#endif
	return mode;
}

static uint64_t count_tasks(void)
{
	struct stat st;

	return stat("/proc/self/task", &st) == 0 ? (uint64_t)st.st_nlink - 2 : 0;
}

static bool is_of_the_store(int tasks, const char *tid)
{
	static const char name[] = CAIRN_STORE_THREAD "\n";
	char path[64], comm[32];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%.32s/comm", tid);
	fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, comm, sizeof(comm));
	close(fd);
	return len == sizeof(name) - 1 && memcmp(comm, name, sizeof(name) - 1) == 0;
}

/* The store keeps its threads, once it has some. */
static uint64_t count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	uint64_t n = 0;

	while (tasks && (entry = readdir(tasks)))
		n += entry->d_name[0] != '.' && !is_of_the_store(dirfd(tasks), entry->d_name);
	if (tasks)
		closedir(tasks);
	return n;
}

static mode_t read_umask(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return mask;
}

void cairn_surroundings_take(cairn_surroundings *out)
{
	const char *locale = setlocale(LC_ALL, NULL);

	memset(out, 0, sizeof(*out));
	if (!getcwd(out->directory, sizeof(out->directory)))
		out->directory[0] = '\0';
	if (locale && strlen(locale) < sizeof(out->locale))
		strcpy(out->locale, locale);
	out->umask = read_umask();
	sigprocmask(SIG_BLOCK, NULL, &out->blocked);
	for (int i = 1; i < CAIRN_SIGNALS; i++)
		sigaction(i, NULL, &out->actions[i]);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		getrlimit(i, &out->limits[i]);
	out->environment = environment();
	out->arithmetic = arithmetic();
	out->n_threads = count_threads();
}

/* Each answers whether it had to do something. */

static bool restore_arithmetic(const cairn_surroundings *before)
{
	if (arithmetic() == before->arithmetic)
		return false;
	fesetround((int)(uint32_t)before->arithmetic);
#if defined(__SSE2__)
	_mm_setcsr((uint32_t)(before->arithmetic >> 32));
#endif
	return true;
}

static bool restore_directory(const cairn_surroundings *before)
{
	char now[PATH_MAX];

	if (getcwd(now, sizeof(now)) && strcmp(now, before->directory) == 0)
		return false;
	if (chdir(before->directory) < 0)
		errno = 0; /* it was removed: then nothing can be said about it */
	return true;
}

static bool restore_locale(const cairn_surroundings *before)
{
	const char *now = setlocale(LC_ALL, NULL);

	if (uselocale((locale_t)0) == LC_GLOBAL_LOCALE && now && strcmp(now, before->locale) == 0)
		return false;
	uselocale(LC_GLOBAL_LOCALE);
	setlocale(LC_ALL, before->locale);
	return true;
}

static bool is_same_action(const struct sigaction *a, const struct sigaction *b)
{
	return a->sa_handler == b->sa_handler && a->sa_flags == b->sa_flags;
}

static bool restore_signals(const cairn_surroundings *before)
{
	sigset_t now;
	bool is_changed = false;

	for (int i = 1; i < CAIRN_SIGNALS; i++) {
		struct sigaction action;

		if (sigaction(i, NULL, &action) < 0 || is_same_action(&action, &before->actions[i]))
			continue;
		sigaction(i, &before->actions[i], NULL);
		is_changed = true;
	}
	sigprocmask(SIG_SETMASK, &before->blocked, &now);
	for (int i = 1; i < CAIRN_SIGNALS; i++)
		is_changed |= sigismember(&now, i) != sigismember(&before->blocked, i);
	return is_changed;
}

static bool restore_limits(const cairn_surroundings *before)
{
	bool is_changed = false;

	for (int i = 0; i < RLIM_NLIMITS; i++) {
		const struct rlimit *want = &before->limits[i];
		struct rlimit now;

		if (getrlimit(i, &now) < 0 ||
			(now.rlim_cur == want->rlim_cur && now.rlim_max == want->rlim_max))
			continue;
		is_changed = true;
		if (setrlimit(i, want) < 0) { /* who is not root cannot take back a hard one */
			now.rlim_cur =
				want->rlim_cur < now.rlim_max ? want->rlim_cur : now.rlim_max;
			setrlimit(i, &now);
		}
	}
	return is_changed;
}

static bool restore_umask(const cairn_surroundings *before)
{
	return umask(before->umask) != before->umask;
}

static bool has_children(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static bool has_many_open(void)
{
	int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd < 0 || fd > MAX_DESCRIPTOR;
}

const char *cairn_surroundings_restore(const cairn_surroundings *before)
{
	const char *what = NULL;

	if (restore_umask(before))
		what = "the umask";
	if (restore_directory(before))
		what = "the working directory";
	if (restore_locale(before))
		what = "the locale";
	if (restore_limits(before))
		what = "the resource limits";
	if (restore_signals(before))
		what = "how signals are taken";
	if (restore_arithmetic(before))
		what = "how floating-point numbers are rounded";
	if (environment() != before->environment)
		what = "the environment";
	if (has_children())
		what = "a child process";
	if (has_many_open())
		what = "many open files";
	return what;
}

bool cairn_surroundings_has_thread(const cairn_surroundings *before)
{
	return count_tasks() > before->n_threads && count_threads() > before->n_threads;
}
