/* SPDX-License-Identifier: Apache-2.0 */
/*
 * binary.c - what git cannot see: the digest and build id of a binary that took part.
 *
 * The build id is the linker's (ELF note GNU, type 3): it ties a stripped file to the build
 * and its debug symbols. A file without one, or no ELF file at all, has the digest alone.
 */
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/provenance.h"
#include "audit/record.h"

#define MAX_BUILD_ID 64

static size_t align4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* Walks the notes of one PT_NOTE segment. true where the build id was found. */
static bool find_in_notes(const uint8_t *notes, size_t len, char out[2 * MAX_BUILD_ID + 1])
{
	Elf64_Nhdr note;
	size_t at = 0;

	while (len - at >= sizeof(note)) {
		size_t name, desc;
		memcpy(&note, notes + at, sizeof(note));
		name = at + sizeof(note);
		if (note.n_namesz > len - name)
			return false;
		desc = name + align4(note.n_namesz);
		if (desc > len || note.n_descsz > len - desc)
			return false;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			memcmp(notes + name, "GNU", 4) == 0 && note.n_descsz <= MAX_BUILD_ID) {
			cairn_hex_encode(notes + desc, note.n_descsz, out);
			return true;
		}
		at = desc + align4(note.n_descsz);
		if (at > len)
			return false;
	}
	return false;
}

static bool find_build_id(const uint8_t *file, size_t len, char out[2 * MAX_BUILD_ID + 1])
{
	Elf64_Ehdr head;
	Elf64_Phdr segment;

	if (len < sizeof(head))
		return false;
	memcpy(&head, file, sizeof(head));
	if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
		head.e_phentsize != sizeof(segment))
		return false;
	for (size_t i = 0; i < head.e_phnum; i++) {
		if (head.e_phoff > len || (i + 1) * sizeof(segment) > len - head.e_phoff)
			return false;
		memcpy(&segment, file + head.e_phoff + i * sizeof(segment), sizeof(segment));
		if (segment.p_type != PT_NOTE || segment.p_offset > len ||
			segment.p_filesz > len - segment.p_offset)
			continue;
		if (find_in_notes(file + segment.p_offset, segment.p_filesz, out))
			return true;
	}
	return false;
}

json_t *cairn_provenance_binary(const char *path)
{
	char hex[2 * CAIRN_DIGEST_BYTES + 1], build_id[2 * MAX_BUILD_ID + 1];
	uint8_t digest[CAIRN_DIGEST_BYTES];
	bool has_build_id = false;
	void *file = MAP_FAILED;
	struct stat st;
	json_t *json;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file != MAP_FAILED) {
		cairn_sha256(file, (size_t)st.st_size, digest);
		cairn_hex_encode(digest, sizeof(digest), hex);
		has_build_id = find_build_id(file, (size_t)st.st_size, build_id);
	}
	json = json_pack("{s:o, s:o, s:o}", "path", cairn_record_text(path), "sha256",
		file != MAP_FAILED ? json_string(hex) : json_null(), "build_id",
		has_build_id ? json_string(build_id) : json_null());
	if (file != MAP_FAILED)
		munmap(file, (size_t)st.st_size);
	if (fd >= 0)
		close(fd);
	return json;
}
