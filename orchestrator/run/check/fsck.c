/* SPDX-License-Identifier: Apache-2.0 */
#include "run/check/fsck.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/fsck.h"
#include "audit/record.h"
#include "base/quiet.h"
#include "cairn/fsck.h"
#include "run/lock.h"

/* ---- the child --------------------------------------------------------------------------------
 */

static void write_line(void *arg, json_t *line)
{
	char *text = cairn_json_canonical(line);

	json_decref(line);
	if (!text)
		_exit(1);
	fprintf(arg, "%s\n", text);
	fflush(arg);
	free(text);
}

typedef struct task {
	const cairn_fsck_options *options;
	bool repairs; /* else: checks, from */
	enum cairn_audit_part from;
	json_t *damages; /* so far */
} task;

static void work(const task *t, FILE *out)
{
	cairn_audit_fsck fsck = {.is_quick = t->options->is_quick,
		.damages = t->damages,
		.tell = write_line,
		.arg = out};
	cairn_error err = {0};
	int rc = cairn_store_open(
		&fsck.store, t->options->store, t->repairs ? 0 : CAIRN_STORE_READONLY, &err);

	if (rc == 0)
		rc = t->repairs ? cairn_audit_repair(&fsck, &err)
				: cairn_audit_check(&fsck, t->from, &err);
	if (rc < 0)
		write_line(out, json_pack("{s:o}", "error", cairn_record_error(&err)));
	else
		write_line(out, json_pack("{s:b}", "end", 1));
	cairn_store_close(fsck.store);
}

/* ---- the parent -------------------------------------------------------------------------------
 */

typedef struct session {
	const cairn_fsck_options *options;
	cairn_fsck_progress_fn progress;
	void *arg;
	json_t *report;
	/* Of the present child: */
	enum cairn_audit_part part;
	bool is_done;
	cairn_error error;
} session;

static void set_error(cairn_error *err, const json_t *line)
{
	int code = cairn_error_code_of(cairn_json_string(line, "code", ""));

	cairn_error_set(
		err, code ? code : CAIRN_EBUG, "%s", cairn_json_string(line, "message", ""));
	if (cairn_json_string(line, "detail", "")[0])
		cairn_error_detail(err, "%s", cairn_json_string(line, "detail", ""));
	if (cairn_json_string(line, "hint", "")[0])
		cairn_error_hint(err, "%s", cairn_json_string(line, "hint", ""));
}

static void note_progress(session *s, const json_t *progress)
{
	const char *part = cairn_json_string(progress, "part", "");
	uint64_t done = (uint64_t)cairn_json_integer(progress, "done", 0);
	uint64_t total = (uint64_t)cairn_json_integer(progress, "total", 0);

	if (strcmp(part, "segments") == 0)
		json_object_set_new(s->report, "bytes", json_integer((json_int_t)done));
	if (s->progress)
		s->progress(s->arg, part, done, total);
}

static void take_line(session *s, const char *text, size_t len)
{
	static const struct {
		const char *member, *list;
	} lists[] = {{"damage", "damages"}, {"hurt", "hurt"}, {"gone", "gone"}, {"done", "done"}};
	const char *part;
	json_t *line, *value;

	if (cairn_json_parse(&line, text, len, "fsck", NULL) < 0)
		return; /* cut off by the end of its writer */
	for (size_t i = 0; i < CAIRN_COUNT(lists); i++) {
		value = json_object_get(line, lists[i].member);
		if (value)
			json_array_append(json_object_get(s->report, lists[i].list), value);
	}
	part = cairn_json_string(line, "part", NULL);
	for (int i = 0; part && i < CAIRN_AUDIT_PARTS; i++) {
		if (strcmp(part, cairn_audit_part_name((enum cairn_audit_part)i)) == 0)
			s->part = (enum cairn_audit_part)i;
	}
	if ((value = json_object_get(line, "progress")))
		note_progress(s, value);
	if ((value = json_object_get(line, "error")))
		set_error(&s->error, value);
	if (json_object_get(line, "end"))
		s->is_done = true;
	json_decref(line);
}

static void read_lines(session *s, int fd)
{
	FILE *in = fdopen(fd, "r");
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	if (!in) {
		close(fd);
		return;
	}
	while ((len = getline(&line, &cap, in)) > 0)
		take_line(s, line, (size_t)len);
	free(line);
	fclose(in);
}

/* *killed_by: the signal that ended the child, or 0. */
static int run_child(session *s, const task *t, int *killed_by, cairn_error *err)
{
	int ends[2], status;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return cairn_error_errno(err, CAIRN_EIO, errno, "cannot make a pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		FILE *out = fdopen(ends[1], "w");

		close(ends[0]);
		cairn_die_quietly();
		if (out)
			work(t, out);
		_exit(0);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return cairn_error_errno(err, CAIRN_EIO, errno, "cannot start a process");
	}
	s->is_done = false;
	cairn_error_clear(&s->error);
	read_lines(s, ends[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*killed_by = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	return 0;
}

static void add_index_damage(session *s, const char *part, const char *message, const char *detail)
{
	json_array_append_new(json_object_get(s->report, "damages"),
		json_pack("{s:s, s:s, s:o, s:o}", "what", "index", "table", part, "message",
			cairn_record_text(message), "detail", cairn_record_text(detail)));
}

/* A damaged index ends the child by a signal, or cannot be opened: both are findings. */
static int check(session *s, cairn_error *err)
{
	task t = {.options = s->options, .damages = json_object_get(s->report, "damages")};
	int killed_by = 0, rc = 0;

	while (rc == 0 && t.from < CAIRN_AUDIT_PARTS) {
		s->part = t.from;
		rc = run_child(s, &t, &killed_by, err);
		if (rc < 0 || s->is_done)
			break;
		if (s->error.code && s->error.code != CAIRN_EINTEGRITY) {
			*err = s->error;
			return s->error.code;
		}
		if (s->error.code) {
			add_index_damage(s, "", s->error.message, s->error.detail);
			break; /* every part would say so */
		}
		add_index_damage(s, cairn_audit_part_name(s->part),
			"reading the index ended the process",
			killed_by ? strsignal(killed_by) : "it ended early");
		t.from = s->part + 1;
	}
	return rc;
}

static int repair(session *s, cairn_error *err)
{
	task t = {.options = s->options,
		.repairs = true,
		.damages = json_object_get(s->report, "damages")};
	int killed_by = 0, rc;

	if (json_array_size(t.damages) == 0)
		return 0;
	if (cairn_audit_is_index_damaged(s->report)) {
		cairn_error_set(err, CAIRN_EINTEGRITY,
			"the index of '%s' is damaged as a whole: it cannot be repaired value by value",
			s->options->store);
		cairn_error_hint(err, "`cairn fsck --rebuild` makes it anew of its backup and of "
				      "what can be read.");
		return CAIRN_EINTEGRITY;
	}
	rc = run_child(s, &t, &killed_by, err);
	if (rc < 0 || s->is_done)
		return rc;
	if (s->error.code)
		*err = s->error;
	else
		cairn_error_set(err, CAIRN_EINTEGRITY, "the repair ended early: %s",
			killed_by ? strsignal(killed_by) : "nobody knows why");
	return err->code;
}

static void on_rebuild(void *arg, const char *part, uint64_t done, uint64_t total)
{
	session *s = arg;

	if (s->progress)
		s->progress(s->arg, part, done, total);
}

static int rebuild(session *s, cairn_error *err)
{
	const cairn_fsck_observer observer = {NULL, on_rebuild, s};
	cairn_rebuilt made;
	int rc = cairn_store_rebuild(&made, s->options->store, &observer, err);

	if (rc == 0)
		json_object_set_new(s->report, "rebuilt",
			json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I}", "has_index",
				(int)made.has_index, "has_backup", (int)made.has_backup,
				"backup_ms", (json_int_t)made.backup_ms, "salvaged",
				(json_int_t)made.n_salvaged, "from_backup",
				(json_int_t)made.n_from_backup, "scanned",
				(json_int_t)made.n_scanned, "dropped", (json_int_t)made.n_dropped));
	return rc;
}

static int take_lock(const char *store, int *lock, cairn_error *err)
{
	char holder[64];
	int rc = cairn_lock_try(lock, store, holder, sizeof(holder), err);

	if (rc <= 0)
		return rc;
	cairn_error_set(err, CAIRN_EBUSY, "the store '%s' is in use by %s", store, holder);
	cairn_error_hint(err, "A repair waits for nobody: try again when that one is done.");
	return CAIRN_EBUSY;
}

int cairn_fsck_run(json_t **out, const cairn_fsck_options *options, cairn_fsck_progress_fn progress,
	void *arg, cairn_error *err)
{
	session s = {.options = options, .progress = progress, .arg = arg};
	bool repairs = options->repairs || options->rebuilds;
	int lock = -1, rc = 0;

	s.report = json_pack("{s:o, s:I, s:[], s:[], s:[], s:[]}", "store",
		cairn_record_text(options->store), "bytes", (json_int_t)0, "damages", "hurt",
		"gone", "done");
	if (!s.report)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	/* Opened read-only it would tell the same; a lock file must not appear where no store is.
	 */
	if (repairs)
		rc = cairn_store_exists(options->store, err);
	if (rc == 0 && repairs)
		rc = take_lock(options->store, &lock, err);
	if (rc == 0 && options->rebuilds)
		rc = rebuild(&s, err);
	if (rc == 0)
		rc = check(&s, err);
	if (rc == 0 && repairs)
		rc = repair(&s, err);
	if (lock >= 0)
		close(lock);
	if (rc < 0) {
		json_decref(s.report);
		return rc;
	}
	json_object_set_new(s.report, "is_clean",
		json_boolean(json_array_size(json_object_get(s.report, "damages")) == 0));
	*out = s.report;
	return 0;
}
