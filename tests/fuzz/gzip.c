/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes unpacking: any bytes as a gzip file, read in pieces of a size that the first byte says. */
#include <stdlib.h>

#include "fuzz.h"
#include "gpt/gzip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece = size ? 1 + (size_t)data[0] * 37 : 1, n;
	uint64_t total = 0;
	char *out = malloc(piece);
	gpt_gzip *gzip = NULL;
	cairn_error err = {0};
	int rc;

	if (!out || gpt_gzip_open(&gzip, "fuzz", data + (size > 0), size ? size - 1 : 0, &err))
		abort();
	do {
		n = 0;
		rc = gpt_gzip_read(gzip, out, piece, &n, &err);
		total += n;
		if (rc && (!err.code || !err.message[0] || !err.place[0] || !err.hint[0]))
			abort();
		if (n > piece ||
			total > GPT_GZIP_FREE + (uint64_t)GPT_GZIP_MAX_RATIO * size + piece)
			abort();
	} while (!rc && n == piece);
	gpt_gzip_close(gzip);
	free(out);
	return 0;
}
