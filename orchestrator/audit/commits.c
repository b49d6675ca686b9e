/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commits.c - what was made by the code of a commit.
 *
 * A run's record names the commit and the tree of its code. There is no index of them: all runs are
 * looked at, and only those whose record contains the digits are parsed.
 */
#include <string.h>

#include "audit/lineage.h"
#include "audit/record.h"
#include "base/alloc.h"

typedef struct commit_search {
	cairn_snapshot *snapshot;
	const char *digits;
	cairn_lineage_start *starts;
	size_t n, cap, n_runs;
} commit_search;

static bool begins_with(const json_t *object, const char *name, const char *digits)
{
	return strncmp(cairn_json_string(object, name, ""), digits, strlen(digits)) == 0;
}

/* The stages that this run computed itself. */
static int take_stages(commit_search *s, const cairn_run_id *run, cairn_error *err)
{
	json_t *stages = NULL, *stage;
	cairn_key key;
	size_t i;
	int rc = cairn_record_stages(&stages, s->snapshot, run, err);

	json_array_foreach(stages, i, stage)
	{
		if (strcmp(cairn_json_string(stage, "state", ""), "done") != 0 ||
			cairn_key_parse(&key, cairn_json_string(stage, "key", ""), NULL) < 0)
			continue;
		if (s->n == s->cap) {
			size_t cap = s->cap ? 2 * s->cap : 64;
			void *starts = cairn_realloc(s->starts, cap, sizeof(*s->starts));
			if (!starts) {
				rc = cairn_error_set(
					err, CAIRN_ENOMEM, "out of memory looking for a commit");
				break;
			}
			s->starts = starts;
			s->cap = cap;
		}
		s->starts[s->n] = (cairn_lineage_start){.is_stage = true};
		memcpy(s->starts[s->n++].bytes, key.bytes, sizeof(key.bytes));
	}
	json_decref(stages);
	return rc;
}

static int take_run(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	commit_search *s = arg;
	const json_t *code;
	json_t *record = NULL;
	cairn_run_id run;
	int rc = 0;

	if (key_len != sizeof(run.bytes) || !memmem(value, value_len, s->digits, strlen(s->digits)))
		return 0;
	rc = cairn_record_parse(&record, "run", value, value_len, err);
	code = json_object_get(record, "provenance");
	if (rc == 0 &&
		(begins_with(code, "head", s->digits) || begins_with(code, "tree", s->digits))) {
		memcpy(run.bytes, key, key_len);
		s->n_runs++;
		rc = take_stages(s, &run, err);
	}
	json_decref(record);
	return rc;
}

int cairn_lineage_of_commit(cairn_lineage_start **out, size_t *n, cairn_snapshot *snapshot,
	const char *digits, cairn_error *err)
{
	commit_search s = {.snapshot = snapshot, .digits = digits};
	int rc;

	if (strlen(digits) < 4 || strspn(digits, "0123456789abcdef") != strlen(digits)) {
		cairn_error_set(err, CAIRN_EUSAGE, "'%.100s' is no commit", digits);
		cairn_error_hint(err, "Write four or more of its digits, in lower case.");
		return CAIRN_EUSAGE;
	}
	rc = cairn_snapshot_scan(snapshot, "run", NULL, 0, false, take_run, &s, err);
	if (rc == 0 && s.n_runs == 0) {
		rc = cairn_error_set(
			err, CAIRN_ENOTFOUND, "no run was of a commit or tree '%.100s'", digits);
		cairn_error_hint(err, "`cairn log` has the commits of the runs.");
	}
	if (rc < 0) {
		free(s.starts);
		return rc;
	}
	*out = s.starts;
	*n = s.n;
	return 0;
}
