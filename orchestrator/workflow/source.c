/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.c - the bytes of a workflow: the file and what it includes.
 *
 * Before a byte reaches the parser it is known to be text: valid UTF-8, no NUL and no
 * control character but tab and line end. A file is read once, however often it is named;
 * naming it twice is a mistake. Included files are read after the file that names them,
 * so that places and the kept text follow the order of the files.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workflow/draft.h"
#include "workflow/path.h"

/* Reads a whole regular file of at most `limit` bytes, and puts a NUL behind it. */
static int read_whole(char **out, size_t *len, const char *path, size_t limit, cairn_arena *arena,
	cairn_error *err)
{
	int fd, rc = 0;
	struct stat st;
	char *bytes = NULL;
	size_t n = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return cairn_error_errno(err, CAIRN_EIO, errno, "cannot read '%s'", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		rc = cairn_error_set(err, CAIRN_EIO, "cannot read '%s'", path);
		cairn_error_detail(err, "it is no regular file");
		goto out;
	}
	if ((uint64_t)st.st_size > limit) {
		rc = cairn_error_set(err, CAIRN_ELIMIT, "'%s' is too large", path);
		cairn_error_detail(
			err, "a workflow and its includes have at most %u bytes", CAIRN_MAX_SOURCE);
		goto out;
	}
	bytes = cairn_arena_bytes(arena, (size_t)st.st_size + 1);
	while (n < (size_t)st.st_size) {
		ssize_t got = read(fd, bytes + n, (size_t)st.st_size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			rc = cairn_error_errno(err, CAIRN_EIO, errno, "cannot read '%s'", path);
			goto out;
		}
		if (got == 0)
			break;
		n += (size_t)got;
	}
	bytes[n] = '\0';
	*out = bytes;
	*len = n;
out:
	close(fd);
	return rc;
}

/* Length of the UTF-8 sequence at s, 0 where there is none. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (len == 0 || s[0] > 0xf4 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

static bool is_plain(const char *bytes, size_t i, size_t len)
{
	unsigned char c = (unsigned char)bytes[i];

	if (c == '\r')
		return i + 1 == len || bytes[i + 1] == '\n';
	return c == '\t' || c == '\n' || (c >= 0x20 && c != 0x7f);
}

/* 8 where the next eight bytes are all of printable ASCII, else 0: most of a file goes by here. */
static size_t printable(const char *bytes, size_t left)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
	uint64_t word;

	if (left < sizeof(word))
		return 0;
	memcpy(&word, bytes, sizeof(word));
	/* Beyond 0x7e, or below 0x20 (which borrows from the byte's high bit). */
	if ((word | (word + ones)) & high || (word - ones * 0x20) & high)
		return 0;
	return sizeof(word);
}

/* false after reporting where the bytes are no text. */
static bool check_text(cairn_draft *draft, const char *file, const char *bytes, size_t len)
{
	cairn_place place = {file, 1};
	cairn_error *err = NULL;

	for (size_t i = 0, step; i < len; i += step) {
		step = printable(bytes + i, len - i);
		if (step)
			continue;
		step = utf8_length((const unsigned char *)bytes + i, len - i);
		if (step == 0) {
			err = cairn_draft__mistake(draft, place, NULL, "not valid UTF-8");
			cairn_error_detail(err, "byte 0x%02x", (unsigned char)bytes[i]);
			cairn_error_hint(err, "Save the file as UTF-8.");
			return false;
		}
		if (!is_plain(bytes, i, len)) {
			err = cairn_draft__mistake(draft, place, NULL,
				"control character 0x%02x in a text file", (unsigned char)bytes[i]);
			cairn_error_hint(err, "Is this a workflow file? Only tabs and line ends "
					      "are allowed.");
			return false;
		}
		place.line += bytes[i] == '\n';
	}
	return true;
}

static int read_file(cairn_draft *draft, const char *file, unsigned depth, cairn_error *err);

/* One file of an `include`. */
static void include(cairn_draft *draft, const cairn_entry *entry, const char *title,
	const char *path, unsigned depth)
{
	cairn_error error = {0}, *err = NULL;

	for (size_t i = 0; i < draft->n_files; i++) {
		if (strcmp(draft->files[i], path) != 0)
			continue;
		err = cairn_draft__mistake(
			draft, entry->place, title, "'%s' is included twice, or by itself", path);
		cairn_error_hint(err, "Name every file once.");
		return;
	}
	if (depth > CAIRN_MAX_INCLUDES || draft->n_files == CAIRN_MAX_FILES) {
		err = cairn_draft__mistake(
			draft, entry->place, title, "too many files included: '%s'", path);
		cairn_error_detail(err, "at most %u files, and %u levels of files in files",
			CAIRN_MAX_FILES, CAIRN_MAX_INCLUDES);
		return;
	}
	if (read_file(draft, path, depth, &error) < 0 && error.code != CAIRN_EWORKFLOW) {
		err = cairn_draft__adopt(draft, entry->place, title, &error);
		cairn_error_hint(err, "Paths are relative to the file that includes.");
	}
}

/* The files that the sections from `first` on include. */
static void follow_includes(cairn_draft *draft, const char *file, size_t first, unsigned depth)
{
	size_t end = draft->n_sections;
	const char *directory = cairn_path__directory(draft->arena, file);

	for (size_t i = first; i < end; i++) {
		cairn_section section = draft->sections[i];

		if (strcmp(section.kind, "") != 0 && strcmp(section.kind, "workflow") != 0)
			continue;
		for (size_t j = section.first; j < section.first + section.n; j++) {
			cairn_entry entry = draft->entries[j];
			const char *word, *list = entry.value;
			size_t len;

			if (strcmp(entry.key, "include") != 0)
				continue;
			while ((len = cairn_draft__word(&list, false, &word)))
				include(draft, &entry, section.title,
					cairn_path__join(draft->arena, directory, word, len),
					depth + 1);
		}
	}
}

static int read_file(cairn_draft *draft, const char *file, unsigned depth, cairn_error *err)
{
	char *bytes = NULL;
	size_t len = 0, first = draft->n_sections;
	int rc = read_whole(
		&bytes, &len, file, CAIRN_MAX_SOURCE - draft->n_bytes, draft->arena, err);

	if (rc < 0)
		return rc;
	draft->files[draft->n_files++] = file;
	draft->n_bytes += len;
	if (!check_text(draft, file, bytes, len)) {
		if (err)
			err->code = CAIRN_EWORKFLOW;
		return CAIRN_EWORKFLOW;
	}
	if (depth)
		cairn_text_printf(&draft->text, "\n; ---- included: %s\n", file);
	cairn_text_add_bytes(&draft->text, bytes, len);
	cairn_ini__read(draft, file, bytes, len, depth);
	follow_includes(draft, file, first, depth);
	return 0;
}

int cairn_source__read(cairn_draft *draft, const char *file, cairn_error *err)
{
	int rc = read_file(draft, file, 0, err);

	if (rc == 0 && draft->text.failed)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "no memory to read '%s'", file);
	if (rc == CAIRN_EIO)
		cairn_error_hint(
			err, "Give the path of a workflow file; `cairn init` writes a first one.");
	return rc;
}
