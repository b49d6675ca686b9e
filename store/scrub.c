/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrub.c - segments as files: for those who want to know what is on the disk, not what the page
 * cache remembers of it. So they are read with O_DIRECT where that is possible, which also
 * leaves the cache to the runs beside us.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "store/internal.h"

size_t cairn_scrub__padded(uint32_t len)
{
	return ((size_t)len + CAIRN_BLOCK_BYTES - 1) / CAIRN_BLOCK_BYTES * CAIRN_BLOCK_BYTES;
}

size_t cairn_scrub__record(const cairn_place *place)
{
	return CAIRN_BLOCK_BYTES + cairn_scrub__padded(place->stored_len);
}

bool cairn_scrub__fits(const cairn_scrub *scrub, const cairn_place *place)
{
	return place->stored_len <= CAIRN_CHUNK_BYTES && place->offset <= scrub->bytes &&
	       cairn_scrub__record(place) <= scrub->bytes - place->offset;
}

int cairn_scrub__open(cairn_scrub *scrub, uint32_t segment, cairn_error *err)
{
	cairn_text path = {0};
	struct stat st;
	int rc = 0;

	if (scrub->fd >= 0 && scrub->segment == segment)
		return 0;
	cairn_scrub__close(scrub);
	cairn_text_printf(&path, "%s/seg/%08x.seg", scrub->directory, segment);
	if (path.failed) {
		cairn_text_free(&path);
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	}
	scrub->fd = open(path.data, O_RDONLY | O_CLOEXEC | O_DIRECT);
	if (scrub->fd < 0 && errno == EINVAL)
		scrub->fd = open(path.data, O_RDONLY | O_CLOEXEC);
	if (scrub->fd < 0)
		rc = errno == ENOENT ? cairn_error_set(err, CAIRN_EINTEGRITY,
					       "segment '%s' is missing", path.data)
				     : cairn_error_errno(err, CAIRN_EIO, errno,
					       "cannot open segment '%s'", path.data);
	else if (fstat(scrub->fd, &st) != 0)
		rc = cairn_error_errno(
			err, CAIRN_EIO, errno, "cannot examine segment '%s'", path.data);
	cairn_text_free(&path);
	if (rc) {
		cairn_scrub__close(scrub);
		return rc;
	}
	scrub->segment = segment;
	scrub->bytes = (uint64_t)st.st_size;
	return 0;
}

void cairn_scrub__close(cairn_scrub *scrub)
{
	if (scrub->fd >= 0)
		close(scrub->fd);
	scrub->fd = -1;
}

/* pread; where the file system refuses O_DIRECT only now, without it. */
static ssize_t read_some(int fd, uint8_t *to, size_t len, uint64_t at)
{
	for (;;) {
		ssize_t n = pread(fd, to, len, (off_t)at);
		int flags;

		if (n >= 0 || (errno != EINTR && errno != EINVAL))
			return n;
		if (errno == EINTR)
			continue;
		flags = fcntl(fd, F_GETFL);
		if (flags < 0 || !(flags & O_DIRECT) || fcntl(fd, F_SETFL, flags & ~O_DIRECT) != 0)
			return -1;
	}
}

int cairn_scrub__read(cairn_scrub *scrub, uint64_t offset, void *out, size_t len, cairn_error *err)
{
	uint8_t *to = out;

	while (len > 0) {
		ssize_t n = read_some(scrub->fd, to, len, offset);

		if (n < 0)
			/* What the disk cannot read is damaged, as what it reads wrongly. */
			return cairn_error_errno(err, errno == EIO ? CAIRN_EINTEGRITY : CAIRN_EIO,
				errno, "cannot read segment '%s/seg/%08x.seg'", scrub->directory,
				scrub->segment);
		if (n == 0)
			return cairn_error_set(err, CAIRN_EINTEGRITY,
				"segment '%s/seg/%08x.seg' is truncated", scrub->directory,
				scrub->segment);
		to += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* "0000002a.seg" */
static bool parse_name(const char *name, uint32_t *out)
{
	uint8_t bytes[4];
	char digits[9];

	if (strlen(name) != 12 || strcmp(name + 8, ".seg") != 0)
		return false;
	memcpy(digits, name, 8);
	digits[8] = 0;
	if (cairn_hex_decode(digits, bytes, sizeof(bytes)) != 0)
		return false;
	*out = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
	return true;
}

int cairn_scrub__list(uint32_t **out, size_t *n, const char *directory, cairn_error *err)
{
	cairn_text path = {0};
	const struct dirent *found;
	uint32_t *numbers = NULL, number;
	size_t count = 0, cap = 0;
	DIR *stream;
	int rc = 0;

	cairn_text_printf(&path, "%s/seg", directory);
	stream = opendir(cairn_text_get(&path));
	if (!stream)
		rc = cairn_error_errno(
			err, CAIRN_EIO, errno, "cannot read '%s'", cairn_text_get(&path));
	while (!rc && (found = readdir(stream))) {
		if (!parse_name(found->d_name, &number))
			continue;
		if (count == cap) {
			uint32_t *grown;

			cap = cap ? 2 * cap : 64;
			grown = cairn_realloc(numbers, cap, sizeof(*grown));
			if (!grown) {
				rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
				break;
			}
			numbers = grown;
		}
		numbers[count++] = number;
	}
	if (stream)
		closedir(stream);
	cairn_text_free(&path);
	if (rc) {
		free(numbers);
		return rc;
	}
	if (count)
		qsort(numbers, count, sizeof(*numbers), by_number);
	*out = numbers;
	*n = count;
	return 0;
}
