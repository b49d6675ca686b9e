/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.c - lines that the command writes into a named pipe, and files that ask it for something.
 *
 * The pipe is open for reading and writing here, so that no writer ever waits for a reader or
 * gets SIGPIPE, and a command that opens and closes it for each line works like one that keeps
 * it open. Lines of up to 4096 bytes from several processes do not mix (PIPE_BUF).
 *
 * What the command says is believed as little as any input: a line that cannot be understood is
 * logged and passed over. README.md is the protocol.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec.h"

#define MAX_METRICS 64
#define MAX_BAD     20 /* lines that are complained about */

/* ---- asking ------------------------------------------------------------------------------- */

static int ask(const struct exec_work *work, const char *what)
{
	cairn_text path = {0};
	int fd, rc = exec_path(work, &path, "ask/%s", what);

	if (rc)
		return rc;
	fd = open(path.data, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		rc = exec_fail_errno(work, "create", path.data);
	else
		close(fd);
	cairn_text_free(&path);
	return rc;
}

static void ask_no_more(const struct exec_work *work, const char *what)
{
	cairn_text path = {0};

	if (exec_path(work, &path, "ask/%s", what) == 0)
		unlink(path.data);
	cairn_text_free(&path);
}

/* Tells the host; what it answers becomes a file in ask/. */
static int tell(struct exec_work *work, const cairn_metric *metrics, size_t n)
{
	const cairn_progress progress = {
		.step = work->step,
		.total = work->total,
		.tokens = work->tokens,
		.phase = work->phase[0] ? work->phase : "command",
		.metrics = metrics,
		.n_metrics = n,
	};
	int answer = work->host->step(work->run, &progress);

	if (answer < 0)
		return answer;
	if (answer == CAIRN_STOP && !work->is_stopping) {
		work->is_stopping = true;
		return ask(work, "stop");
	}
	if (answer == CAIRN_CHECKPOINT && !work->wants_checkpoint) {
		work->wants_checkpoint = true;
		return ask(work, "checkpoint");
	}
	return 0;
}

int exec_beat(struct exec_work *work)
{
	return tell(work, NULL, 0);
}

/* ---- lines -------------------------------------------------------------------------------- */

static int bad(struct exec_work *work, const char *why, const char *what)
{
	if (++work->n_bad <= MAX_BAD)
		work->host->log(work->run, CAIRN_LOG_WARNING,
			"event %llu of the command: %s: '%.100s'%s",
			(unsigned long long)work->n_lines, why, what,
			work->n_bad == MAX_BAD ? "; further ones are not told" : "");
	return 0;
}

/* Cuts the next word off; "" at the end. */
static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t");
	size_t len = strcspn(word, " \t");

	*rest = word[len] ? word + len + 1 : word + len;
	word[len] = '\0';
	return word;
}

static bool is_name(const char *text, size_t len)
{
	if (len == 0 || len > 100)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c >= 127 || c == '"' || c == '\\')
			return false;
	}
	return true;
}

/* "loss=0.25": the name is cut off in place. */
static bool read_pair(char *word, cairn_metric *out)
{
	char *equals = strchr(word, '=');

	if (!equals || !is_name(word, (size_t)(equals - word)))
		return false;
	*equals = '\0';
	out->name = word;
	if (cairn_parse_double(equals + 1, &out->value))
		return true;
	if (strcmp(equals + 1, "nan") == 0)
		out->value = NAN;
	else if (strcmp(equals + 1, "inf") == 0 || strcmp(equals + 1, "-inf") == 0)
		out->value = equals[1] == '-' ? -INFINITY : INFINITY;
	else
		*equals = '='; /* for the message */
	return !*equals;
}

/* step N [of TOTAL] [tokens=N] [NAME=VALUE]... */
static int on_step(struct exec_work *work, char *rest)
{
	cairn_metric metrics[MAX_METRICS];
	char *word = next_word(&rest);
	size_t n = 0;
	uint64_t step, total = work->total;

	if (!cairn_parse_u64(word, &step) || step == 0)
		return bad(work, "step takes a number from 1 on", word);
	if (step <= work->step)
		return bad(work, "this step was there before", word);
	while (*(word = next_word(&rest))) {
		if (strcmp(word, "of") == 0) {
			word = next_word(&rest);
			if (!cairn_parse_u64(word, &total))
				return bad(work, "not a number of steps", word);
		} else if (n == MAX_METRICS) {
			return bad(work, "more than 64 metrics", word);
		} else if (!read_pair(word, &metrics[n])) {
			return bad(work, "not NAME=NUMBER", word);
		} else if (strcmp(metrics[n].name, "tokens") == 0 && metrics[n].value >= 0) {
			work->tokens = (uint64_t)metrics[n].value;
		} else {
			n++;
		}
	}
	work->step = step;
	work->total = total;
	return tell(work, metrics, n);
}

static int on_summary(struct exec_work *work, char *rest)
{
	cairn_metric pair;
	char *word;

	while (*(word = next_word(&rest))) {
		if (!read_pair(word, &pair))
			return bad(work, "not NAME=NUMBER", word);
		work->host->summary(work->run, pair.name, pair.value);
	}
	return 0;
}

static int on_checkpoint(struct exec_work *work, char *rest)
{
	char *word = next_word(&rest);
	uint64_t step;
	int rc;

	if (!cairn_parse_u64(word, &step) || step == 0)
		return bad(work, "checkpoint takes a step and a path", word);
	if (step < work->resumed || step > work->step)
		return bad(work, "no such step was told", word);
	rc = exec_take_checkpoint(work, step, rest + strspn(rest, " \t"));
	if (rc == 0 && work->wants_checkpoint) {
		work->wants_checkpoint = false;
		ask_no_more(work, "checkpoint");
	}
	return rc < 0 ? rc : 0;
}

static int on_line(struct exec_work *work, char *line)
{
	char *rest = line, *word = next_word(&rest);

	work->n_lines++;
	if (!*word)
		return 0;
	if (strcmp(word, "step") == 0)
		return on_step(work, rest);
	if (strcmp(word, "summary") == 0)
		return on_summary(work, rest);
	if (strcmp(word, "checkpoint") == 0)
		return on_checkpoint(work, rest);
	if (strcmp(word, "phase") == 0) {
		word = next_word(&rest);
		if (!is_name(word, strlen(word)) ||
			!cairn_copy(work->phase, sizeof(work->phase), word))
			return bad(work, "phase takes a short word", word);
		return 0;
	}
	if (strcmp(word, "log") == 0 || strcmp(word, "warning") == 0) {
		work->host->log(
			work->run, word[0] == 'l' ? CAIRN_LOG_INFO : CAIRN_LOG_WARNING, "%s", rest);
		return 0;
	}
	if (strcmp(word, "waiting") == 0) {
		work->is_waiting = true;
		work->host->hint(work->run, "%s", rest);
		work->host->log(work->run, CAIRN_LOG_WARNING, "waiting: %s", rest);
		return 0;
	}
	return bad(work, "unknown word", word);
}

/* ---- the pipe ----------------------------------------------------------------------------- */

int exec_events_open(struct exec_work *work)
{
	cairn_text path = {0};
	int rc = exec_path(work, &path, "events");

	work->events = -1;
	if (rc == 0 && mkfifo(path.data, 0666) < 0)
		rc = exec_fail_errno(work, "create", path.data);
	if (rc == 0)
		work->events = open(path.data, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (rc == 0 && work->events < 0)
		rc = exec_fail_errno(work, "open", path.data);
	cairn_text_free(&path);
	return rc;
}

void exec_events_close(struct exec_work *work)
{
	if (work->events >= 0)
		close(work->events);
	work->events = -1;
	cairn_text_free(&work->line);
}

/* Bytes up to the end of a line, or of what came. */
static int take(struct exec_work *work, const char *bytes, size_t len, bool is_end)
{
	int rc = 0;

	if (work->line.len + len > EXEC_MAX_LINE)
		work->is_too_long = true;
	if (!work->is_too_long)
		cairn_text_add_bytes(&work->line, bytes, len);
	if (!is_end)
		return 0;
	if (work->is_too_long) {
		work->n_lines++;
		rc = bad(work, "longer than 64 KiB", cairn_text_get(&work->line));
	} else if (work->line.len && memchr(work->line.data, '\0', work->line.len)) {
		work->n_lines++;
		rc = bad(work, "has a NUL byte", cairn_text_get(&work->line));
	} else if (work->line.len) {
		rc = on_line(work, work->line.data);
	}
	work->is_too_long = false;
	cairn_text_clear(&work->line);
	return rc;
}

int exec_events_read(struct exec_work *work)
{
	char bytes[16384];
	int rc = 0;

	for (int i = 0; i < 64 && rc == 0; i++) { /* then the command's end is looked for */
		ssize_t n = read(work->events, bytes, sizeof(bytes));
		const char *at = bytes, *end = bytes + (n > 0 ? n : 0);

		if (n <= 0)
			break;
		while (at < end && rc == 0) {
			const char *stop = memchr(at, '\n', (size_t)(end - at));

			rc = take(work, at, (size_t)((stop ? stop : end) - at), stop != NULL);
			at = stop ? stop + 1 : end;
		}
	}
	return rc;
}
