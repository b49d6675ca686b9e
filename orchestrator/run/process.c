/* SPDX-License-Identifier: Apache-2.0 */
#include "run/process.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

/* A small file of /proc, NUL-terminated; false where it cannot be read. */
static bool read_small(const char *path, char *out, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, out, cap - 1);
	close(fd);
	if (n <= 0)
		return false;
	out[n] = '\0';
	return true;
}

static void read_boot_id(char out[40])
{
	if (!read_small("/proc/sys/kernel/random/boot_id", out, 40))
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

/* Field 22 of /proc/PID/stat; 0 where there is no such process or it is a zombie. The
 * command's name, field 2, may hold spaces and brackets: count from the last bracket. */
static int64_t read_start(pid_t pid)
{
	char path[64], stat[1024], *at;
	int64_t start = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!read_small(path, stat, sizeof(stat)))
		return 0;
	at = strrchr(stat, ')');
	if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
		return 0;
	for (int field = 2; field < 22; field++) {
		at = strchr(at + 1, ' ');
		if (!at)
			return 0;
	}
	at[1 + strcspn(at + 1, " ")] = '\0';
	return cairn_parse_i64(at + 1, &start) ? start : 0;
}

void cairn_process_describe(json_t *record, pid_t pid)
{
	char boot_id[40];

	read_boot_id(boot_id);
	json_object_set_new(record, "pid", json_integer(pid));
	json_object_set_new(record, "boot_id", json_string(boot_id));
	json_object_set_new(record, "pid_start", json_integer(read_start(pid)));
}

bool cairn_process_is_alive(const json_t *record)
{
	char boot_id[40];
	int64_t pid = cairn_json_integer(record, "pid", 0);
	int64_t start = cairn_json_integer(record, "pid_start", 0);

	read_boot_id(boot_id);
	return pid > 0 && start > 0 &&
	       strcmp(boot_id, cairn_json_string(record, "boot_id", "")) == 0 &&
	       read_start((pid_t)pid) == start;
}
