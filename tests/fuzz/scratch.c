/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUTS_PER_STORE 4000

static char directory[64];
static cairn_store *store;
static unsigned n_inputs;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st, (void)type, (void)walk;
	return remove(path);
}

static void drop_store(void)
{
	if (!store)
		return;
	cairn_store_close(store);
	store = NULL;
	(void)nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void new_store(void)
{
	char path[80];

	if (n_inputs == 0)
		(void)atexit(drop_store);
	drop_store();
	snprintf(directory, sizeof(directory), "%s/cairn-fuzz-XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	MUST(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/store", directory);
	MUST(cairn_store_open(&store, path, CAIRN_STORE_CREATE, NULL) == 0);
}

cairn_store *fuzz_store(void)
{
	if (n_inputs % INPUTS_PER_STORE == 0)
		new_store();
	n_inputs++;
	return store;
}
