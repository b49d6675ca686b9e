/* SPDX-License-Identifier: Apache-2.0 */
#include "base/quiet.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cairn/base.h"

void cairn_die_quietly(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGPIPE};
	const struct rlimit none = {0, 0};
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (size_t i = 0; i < CAIRN_COUNT(signals); i++)
		signal(signals[i], SIG_DFL);
	(void)setrlimit(RLIMIT_CORE, &none);
	if (fd >= 0)
		(void)dup2(fd, STDERR_FILENO);
}
