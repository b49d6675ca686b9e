/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manual.c - `cairn help VERB` on a terminal: the page cairn-VERB(1), shown by man.
 *
 * Only the page that was installed with this binary counts, so that what is shown is what this
 * cairn does; it is found from the executable, as plugins are. Where anything is missing (not
 * installed, no man, no terminal) the caller prints the help that is compiled in.
 */
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

extern char **environ;

/* PREFIX/share/man/man1/cairn-VERB.1, plain or compressed; NULL where there is none. */
static const char *find_page(cli *c, const char *verb)
{
	static const char *const endings[] = {"", ".gz", ".xz", ".zst"};
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	exe[len > 0 ? len : 0] = '\0';
	slash = strrchr(exe, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	for (size_t i = 0; i < CAIRN_COUNT(endings); i++) {
		const char *path = cairn_arena_printf(c->arena, "%s/%s/man1/cairn-%s.1%s", exe,
			CAIRN_INSTALLED_MAN_DIR, verb, endings[i]);
		if (access(path, R_OK) == 0)
			return path;
	}
	return NULL;
}

bool cli_manual_show(cli *c, const char *verb)
{
	const char *path = isatty(STDOUT_FILENO) && !c->quiet ? find_page(c, verb) : NULL;
	const char *argv[] = {"man", "-l", path, NULL};
	int status = 1;
	pid_t pid;

	if (!path || posix_spawnp(&pid, "man", NULL, NULL, (char **)argv, environ) != 0)
		return false;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
