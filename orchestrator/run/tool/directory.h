/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.h - a directory as what a tool reads, or as what it writes.
 *
 * Read: its regular files are the entries of an artifact of kind "directory", symbolic links
 * to regular files among them (a cache of downloaded models is made of such). Subdirectories,
 * other files, and names that no entry can have are left out. Files are mapped when asked for;
 * one that changes meanwhile is an error.
 *
 * Written: files collect in a directory beside the one that was asked for, or, where that
 * exists, in a hidden one inside it (it may be a mount point). Each is synced. Nothing can be
 * seen under its name before the commit, which renames: the directory as a whole where it is new,
 * else file by file.
 */
#ifndef CAIRN_RUN_DIRECTORY_H
#define CAIRN_RUN_DIRECTORY_H

#include <stdbool.h>

#include "base/json.h"
#include "cairn/stage.h"

#define CAIRN_DIRECTORY_KIND "directory"

/* ---- directory_in.c --------------------------------------------------------------------- */

typedef struct cairn_indir cairn_indir;

/* ENOTFOUND, EINPUT (no directory, or one of very many files), EIO. */
CAIRN_MUST int cairn_indir_open(cairn_indir **out, const char *path, cairn_error *err);
void cairn_indir_close(cairn_indir *dir);
/* As an artifact: borrowed until close. */
void cairn_indir_describe(const cairn_indir *dir, cairn_artifact *out);
/* Entry `index` in bytewise order of names; data is NULL. */
CAIRN_MUST int cairn_indir_entry(
	const cairn_indir *dir, uint64_t index, cairn_tensor *out, cairn_error *err);
/* Maps a file. 0; 1 where there is none of that name; EIO where it changed since it was listed. */
CAIRN_MUST int cairn_indir_read(
	cairn_indir *dir, const char *name, cairn_tensor *out, cairn_error *err);
/* {"path": absolute, "files": [{"name", "bytes", "sha256"}]} of the files that were read; new
 * reference. EIO where one changed since. */
CAIRN_MUST int cairn_indir_origin(json_t **out, const cairn_indir *dir, cairn_error *err);

/* ---- directory_out.c -------------------------------------------------------------------- */

typedef struct cairn_outdir cairn_outdir;

/* Leading directories are made. EUSAGE where `path` is no directory, or one with something in
 * it; with `force`, files of the same names will be replaced and others stay. */
CAIRN_MUST int cairn_outdir_begin(
	cairn_outdir **out, const char *path, bool force, cairn_error *err);
/* One file; `name` may have directories: "sft/metrics.jsonl". EBUG for a name that leads
 * outside, or a second file of that name. */
CAIRN_MUST int cairn_outdir_put(
	cairn_outdir *dir, const char *name, const void *data, uint64_t len, cairn_error *err);
uint64_t cairn_outdir_count(const cairn_outdir *dir);
uint64_t cairn_outdir_bytes(const cairn_outdir *dir);
const char *cairn_outdir_name(const cairn_outdir *dir, uint64_t index);
/* Makes the files visible. On failure they may be there in part if the directory existed before;
 * a new one is there whole or not at all. Free it afterwards. */
CAIRN_MUST int cairn_outdir_commit(cairn_outdir *dir, cairn_error *err);
/* Without a commit nothing is left. */
void cairn_outdir_free(cairn_outdir *dir);

#endif
