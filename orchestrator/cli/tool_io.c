/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_io.c - what a tool reads from and says to a person or a pipe.
 *
 * Ctrl-C asks it to finish; a second one kills, as ever. A reader that has gone (`| head -1`) ends
 * it without a word: the process dies of SIGPIPE, as others do, but after the tool had its chance
 * to clean up.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/cli.h"

#define MAX_LINE    ((size_t)64 << 20)
#define BLOCK_BYTES ((size_t)64 << 10)

static volatile sig_atomic_t caught;

static void on_signal(int signal)
{
	caught = signal;
}

/* ---- reading ------------------------------------------------------------------------------ */

static int too_long(cli_tool_io *io)
{
	cairn_error_set(&io->error, CAIRN_ELIMIT, "a line of standard input is longer than 64 MiB");
	cairn_error_hint(&io->error, "Each line is one document; cut it.");
	return CAIRN_ELIMIT;
}

/* Room for another block behind what is there, and for the NUL. */
static int make_room(cli_tool_io *io)
{
	size_t len = io->end - io->start, cap = io->cap ? io->cap : BLOCK_BYTES;
	char *buffer;

	if (io->start) {
		memmove(io->buffer, io->buffer + io->start, len);
		io->start = 0;
		io->end = len;
	}
	while (cap < len + BLOCK_BYTES + 1)
		cap *= 2;
	if (cap == io->cap)
		return 0;
	buffer = cairn_realloc(io->buffer, cap, 1);
	if (!buffer)
		return cairn_error_set(&io->error, CAIRN_ENOMEM, "out of memory reading a line");
	io->buffer = buffer;
	io->cap = cap;
	return 0;
}

/* 1: there is more now; 0: there is no more; < 0 */
static int read_more(cli_tool_io *io)
{
	ssize_t n = -1;
	int rc;

	if (io->at_end)
		return 0;
	rc = make_room(io);
	if (rc < 0)
		return rc;
	/* A signal interrupts the read: the handler is set so. */
	while (!caught) {
		n = read(STDIN_FILENO, io->buffer + io->end, BLOCK_BYTES);
		if (n >= 0 || errno != EINTR)
			break;
	}
	if (caught)
		return 0;
	if (n < 0)
		return cairn_error_errno(
			&io->error, CAIRN_EIO, errno, "cannot read standard input");
	io->at_end = n == 0;
	io->end += (size_t)n;
	return n > 0;
}

static int read_line(void *self, const char **line, size_t *len)
{
	cli_tool_io *io = self;
	size_t seen = 0;
	int rc = 1;

	for (;;) {
		char *begin = io->buffer ? io->buffer + io->start : NULL, *end = NULL;
		size_t there = io->end - io->start;

		if (there > seen)
			end = memchr(begin + seen, '\n', there - seen);
		seen = there;
		if (!end && rc == 0 && there > 0 && !caught)
			end = begin + there; /* the last line has no end */
		if (end) {
			bool has_newline = end < begin + there;
			*end = '\0';
			*line = begin;
			*len = (size_t)(end - begin);
			io->start += *len + has_newline;
			return *len > MAX_LINE ? too_long(io) : 1;
		}
		if (rc == 0)
			return 0;
		if (there > MAX_LINE)
			return too_long(io);
		rc = read_more(io);
		if (rc < 0)
			return rc;
	}
}

/* ---- writing ------------------------------------------------------------------------------ */

static int write_failed(cli_tool_io *io)
{
	if (errno == EPIPE) {
		io->is_closed = true;
		return CAIRN_STOPPED;
	}
	return cairn_error_errno(&io->error, CAIRN_EIO, errno, "cannot write to standard output");
}

static int write_out(void *self, const void *data, size_t len)
{
	cli_tool_io *io = self;

	if (io->is_closed)
		return CAIRN_STOPPED;
	return len && fwrite(data, 1, len, stdout) != len ? write_failed(io) : 0;
}

static int flush_out(void *self)
{
	cli_tool_io *io = self;

	if (io->is_closed)
		return CAIRN_STOPPED;
	return fflush(stdout) != 0 ? write_failed(io) : 0;
}

static int is_stopping(void *self)
{
	const cli_tool_io *io = self;

	return caught || io->is_closed;
}

/* ---- life --------------------------------------------------------------------------------- */

static void listen_to(int signal)
{
	/* No SA_RESTART: who waits for standard input must wake up. */
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	struct sigaction old;

	/* Somebody (nohup, a shell in the background) may have made us deaf to it. */
	if (sigaction(signal, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaction(signal, &action, NULL);
}

void cli_tool_io_open(cli_tool_io *out)
{
	*out = (cli_tool_io){
		.io = {.self = out,
			.read_line = read_line,
			.write = write_out,
			.flush = flush_out,
			.stopping = is_stopping},
	};
	caught = 0;
	listen_to(SIGINT);
	listen_to(SIGTERM);
	signal(SIGPIPE, SIG_IGN); /* write() shall say so */
}

int cli_tool_io_signal(const cli_tool_io *io)
{
	return caught ? caught : io->is_closed ? SIGPIPE : 0;
}

void cli_tool_io_close(cli_tool_io *io)
{
	free(io->buffer);
	io->buffer = NULL;
	signal(SIGPIPE, SIG_DFL);
}
