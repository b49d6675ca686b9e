/* SPDX-License-Identifier: Apache-2.0 */
/* index.h - what the two files that know LMDB share: index.c and index_read.c. */
#ifndef CAIRN_STORE_INDEX_H
#define CAIRN_STORE_INDEX_H

#include <lmdb.h>
#include <time.h>

#include "store/internal.h"

struct cairn_index {
	MDB_env *env; /* NULL: it was shut, and is opened with the next transaction */
	MDB_dbi tables[CAIRN_TABLES];
	char *path; /* for messages */
	pid_t pid;
	bool is_readonly;
	size_t map_bytes; /* to open it with again */
	pthread_mutex_t lock;
	size_t live;
	bool has_writer; /* a write transaction of this process is open, of: */
	pthread_t writer;
	bool is_full; /* the map was, in the last write transaction */
	time_t checked;
};

struct cairn_txn {
	cairn_index *index;
	MDB_txn *txn;
	bool writes;
};

/* An LMDB return code as our error: "cannot DOING the index". */
int cairn_index__fail(const cairn_index *index, int mdb_rc, const char *doing, cairn_error *err);

#endif
