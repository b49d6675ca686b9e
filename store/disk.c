/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.c - what the store has to know about file systems: full ones, remote ones, and that a
 * new name is durable only once its directory was synced.
 *
 * LMDB's locks and its memory map do not work over a network (lmdb.h, caveats), and fail by
 * silently losing data; so a store there is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "store/internal.h"

#define FUSE_MAGIC 0x65735546u

/* LMDB answers EIO for a short write, which is what a disk that just filled up gives. */
static bool is_full(int errno_value, const char *path)
{
	struct statvfs room;

	if (errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG)
		return true;
	return errno_value == EIO && statvfs(path, &room) == 0 &&
	       (uint64_t)room.f_bavail * room.f_frsize < (uint64_t)1 << 20;
}

int cairn_disk__fail(cairn_error *err, int errno_value, const char *path, const char *format, ...)
{
	char what[384];
	va_list args;
	int rc;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	rc = cairn_error_errno(err, CAIRN_EIO, errno_value, "%s", what);
	if (is_full(errno_value, path))
		cairn_error_hint(err,
			"The disk (or a quota) is full. Make room on the file system of '%s' and run "
			"again: nothing that was committed is lost.",
			path);
	else if (errno_value == EROFS)
		cairn_error_hint(err,
			"The store '%s' lies on a read-only file system: it can be read, but not "
			"written.",
			path);
	else if (errno_value == EACCES || errno_value == EPERM)
		cairn_error_hint(err,
			"The store must be writable for this, its lock file (meta/lock.mdb) even to "
			"read: see to the permissions of '%s'.",
			path);
	else if (errno_value == ENOENT)
		cairn_error_hint(err, "The directory above it must exist: is '%s' meant?", path);
	return rc;
}

const char *cairn_disk__network_name(uint64_t magic, const char *type)
{
	static const struct {
		uint64_t magic;
		const char *name;
	} by_magic[] = {
		{0x6969, "NFS"},
		{0x517b, "SMB"},
		{0xff534d42, "CIFS"},
		{0xfe534d42, "SMB2"},
		{0x564c, "NCP"},
		{0x5346414f, "AFS"},
		{0x73757245, "Coda"},
		{0x01021997, "9P"},
		{0x00c36400, "Ceph"},
		{0x0bd00bd0, "Lustre"},
		{0x47504653, "GPFS"},
		{0x19830326, "BeeGFS"},
	};
	/* FUSE has local ones too (ntfs-3g, virtiofs): only the mount type tells. */
	static const char *const by_type[] = {"fuse.sshfs", "fuse.rclone", "fuse.s3fs",
		"fuse.gcsfuse", "fuse.glusterfs", "fuse.ceph-fuse", "fuse.curlftpfs", "fuse.davfs",
		"fuse.juicefs", "fuse.mount-s3"};

	for (size_t i = 0; i < CAIRN_COUNT(by_magic); i++) {
		if (magic == by_magic[i].magic)
			return by_magic[i].name;
	}
	if (magic != FUSE_MAGIC || !type)
		return NULL;
	for (size_t i = 0; i < CAIRN_COUNT(by_type); i++) {
		if (!strcmp(type, by_type[i]))
			return by_type[i];
	}
	return NULL;
}

/* The file system type that /proc/self/mountinfo gives for a device:
 * "36 35 98:0 /root /mount options [tags] - TYPE source options". */
static bool mount_type(dev_t device, char *type, size_t cap)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t line_cap = 0;
	bool is_found = false;

	if (!file)
		return false;
	while (!is_found && getline(&line, &line_cap, file) > 0) {
		unsigned major_id, minor_id;
		const char *tail = strstr(line, " - ");

		if (!tail || sscanf(line, "%*u %*u %u:%u", &major_id, &minor_id) != 2)
			continue;
		if (major_id != major(device) || minor_id != minor(device))
			continue;
		snprintf(type, cap, "%.*s", (int)strcspn(tail + 3, " \n"), tail + 3);
		is_found = true;
	}
	free(line);
	fclose(file);
	return is_found;
}

int cairn_disk__check_local(int directory_fd, const char *path, cairn_error *err)
{
	struct statfs fs;
	struct stat st;
	char type[64];
	const char *name;

	if (fstatfs(directory_fd, &fs) != 0 || fstat(directory_fd, &st) != 0)
		return cairn_disk__fail(err, errno, path, "cannot examine '%s'", path);
	/* Some kernels sign-extend f_type. */
	name = cairn_disk__network_name((uint32_t)fs.f_type,
		(uint32_t)fs.f_type == FUSE_MAGIC && mount_type(st.st_dev, type, sizeof(type))
			? type
			: NULL);
	if (!name)
		return 0;
	cairn_error_set(err, CAIRN_EINPUT, "'%s' lies on a network file system (%s)", path, name);
	cairn_error_hint(err,
		"Put the store on a local disk, with --store DIR: its index would lose "
		"data over a network.");
	return CAIRN_EINPUT;
}

int cairn_disk__sync_directory(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) != 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	return rc;
}
