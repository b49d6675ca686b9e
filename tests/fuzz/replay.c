/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c - runs a fuzz target without libFuzzer: over files, then over mutations of them.
 *
 *	replay-NAME MUTATIONS FILE...
 *
 * The mutations are the same in every run: a failure can be repeated. Which input it was, stands
 * in the message of the signal handler: FILE and the mutation's number.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "gpt/rng.h"

#define MAX_INPUT (1u << 20)

static char doing[600]; /* for the signal handler */

static void tell(int signal)
{
	ssize_t ignored = write(STDERR_FILENO, doing, strlen(doing));

	(void)ignored;
	_exit(128 + signal);
}

/* A block of exactly the input's size, so that tools see what reads beyond it. */
static void feed(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);

	if (!exact)
		abort();
	if (len)
		memcpy(exact, bytes, len);
	(void)LLVMFuzzerTestOneInput(exact, len);
	free(exact);
}

static uint8_t *read_file(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = malloc(MAX_INPUT);

	if (!file || !bytes) {
		fprintf(stderr, "replay: cannot read '%s'\n", path);
		exit(1);
	}
	*len = fread(bytes, 1, MAX_INPUT, file);
	fclose(file);
	return bytes;
}

/* Draw `index` of this mutation below n. */
struct dice {
	uint64_t trial, index;
};

static size_t roll(struct dice *dice, size_t n)
{
	return n ? (size_t)gpt_random_below(1, dice->trial, dice->index++, n) : 0;
}

static void mutate_once(uint8_t *bytes, size_t *len, struct dice *dice)
{
	static const char interesting[] = "{}[]\":,\\u0dF8e-.9 \n\xff\x80\x7f\x01";
	size_t at = roll(dice, *len), n = 1 + roll(dice, 8), from;

	if (*len == 0)
		return;
	n = n < *len - at ? n : *len - at;
	switch (roll(dice, 7)) {
	case 0: /* another bit */
		bytes[at] ^= (uint8_t)(1u << roll(dice, 8));
		break;
	case 1: /* another byte */
		bytes[at] = (uint8_t)roll(dice, 256);
		break;
	case 2: /* one that means something */
		bytes[at] = (uint8_t)interesting[roll(dice, sizeof(interesting))];
		break;
	case 3: /* a piece less */
		memmove(bytes + at, bytes + at + n, *len - at - n);
		*len -= n;
		break;
	case 4: /* a piece twice */
		if (*len + n > MAX_INPUT)
			break;
		memmove(bytes + at + n, bytes + at, *len - at);
		*len += n;
		break;
	case 5: /* a piece from elsewhere */
		from = roll(dice, *len - n + 1);
		memmove(bytes + at, bytes + from, n);
		break;
	default: /* cut off */
		*len = at;
		break;
	}
}

static void mutate(const char *path, uint64_t n_mutations, uint64_t seed)
{
	size_t len, now;
	uint8_t *bytes = read_file(path, &len), *copy = malloc(MAX_INPUT);

	if (!copy)
		abort();
	feed(bytes, len);
	for (uint64_t i = 0; i < n_mutations; i++) {
		struct dice dice = {.trial = seed << 32 | i};
		size_t changes = 1 + roll(&dice, 4);

		(void)snprintf(doing, sizeof(doing), "replay: '%s', mutation %llu\n", path,
			(unsigned long long)i);
		memcpy(copy, bytes, len);
		now = len;
		while (changes-- > 0)
			mutate_once(copy, &now, &dice);
		feed(copy, now);
	}
	free(copy);
	free(bytes);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;

	if (argc < 3) {
		fprintf(stderr, "usage: %s MUTATIONS FILE...\n", argv[0]);
		return 2;
	}
	signal(SIGSEGV, tell);
	signal(SIGBUS, tell);
	signal(SIGFPE, tell);
	signal(SIGABRT, tell);
	for (int i = 2; i < argc; i++)
		mutate(argv[i], n / (uint64_t)(argc - 2) + 1, (uint64_t)i);
	printf("%d files, %llu mutations each\n", argc - 2,
		(unsigned long long)(n / (uint64_t)(argc - 2) + 1));
	return 0;
}
