/* SPDX-License-Identifier: Apache-2.0 */
/* gzip.c - gzip files, unpacked as they are read. */
#include "gpt/gzip.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"

/* 32 KiB of window, and a gzip wrapper whose checksum and length zlib compares. */
#define WINDOW_BITS (15 + 16)

struct gpt_gzip {
	const char *source;
	const unsigned char *bytes;
	size_t len, at; /* `at`: what zlib was given, less what it left */
	uint64_t unpacked;
	z_stream zlib;
	bool is_open;     /* inflateInit was done */
	bool is_between;  /* a member is over, the next was not begun */
	bool is_finished; /* nothing is left */
};

bool gpt_gzip_is(const void *bytes, size_t len)
{
	const unsigned char *magic = bytes;

	return len >= 2 && magic[0] == 0x1f && magic[1] == 0x8b;
}

int gpt_gzip_open(
	gpt_gzip **out, const char *source, const void *bytes, size_t len, cairn_error *err)
{
	gpt_gzip *gzip = cairn_alloc(1, sizeof(*gzip));

	if (!gzip || inflateInit2(&gzip->zlib, WINDOW_BITS) != Z_OK) {
		free(gzip);
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory to unpack '%s'", source);
	}
	gzip->source = source;
	gzip->bytes = bytes;
	gzip->len = len;
	gzip->is_open = true;
	*out = gzip;
	return 0;
}

void gpt_gzip_close(gpt_gzip *gzip)
{
	if (!gzip)
		return;
	if (gzip->is_open)
		inflateEnd(&gzip->zlib);
	free(gzip);
}

static int bad(const gpt_gzip *gzip, int code, const char *what, const char *hint, cairn_error *err)
{
	cairn_error_set(err, code, "'%s' %s", gzip->source, what);
	cairn_error_at(err, "%s, byte %zu", gzip->source, gzip->at);
	cairn_error_detail(err, "gzip file of %zu bytes, %llu unpacked so far%s%s", gzip->len,
		(unsigned long long)gzip->unpacked, gzip->zlib.msg ? "; zlib: " : "",
		gzip->zlib.msg ? gzip->zlib.msg : "");
	cairn_error_hint(err, "%s", hint);
	return code;
}

/* A next member, the end, or what belongs to neither. */
static int begin_member(gpt_gzip *gzip, cairn_error *err)
{
	size_t zeros = gzip->at;

	if (gpt_gzip_is(gzip->bytes + gzip->at, gzip->len - gzip->at)) {
		if (inflateReset(&gzip->zlib) != Z_OK)
			return bad(gzip, CAIRN_EBUG, "cannot be unpacked", "Unpack it first.", err);
		gzip->is_between = false;
		return 0;
	}
	while (zeros < gzip->len && !gzip->bytes[zeros])
		zeros++;
	if (zeros < gzip->len)
		return bad(gzip, CAIRN_EINPUT, "has other bytes behind its gzip data",
			"Get the file again, or pack it again: gunzip -c FILE | gzip > NEW.", err);
	gzip->is_finished = true;
	return 0;
}

static int check_ratio(const gpt_gzip *gzip, cairn_error *err)
{
	if (gzip->unpacked <= GPT_GZIP_FREE ||
		gzip->unpacked / GPT_GZIP_MAX_RATIO <= (uint64_t)gzip->len)
		return 0;
	return bad(gzip, CAIRN_ELIMIT, "unpacks to more than 200 times its size",
		"That is no text as people write it; if it is, unpack it first: gunzip FILE.", err);
}

/* One call of zlib: at least one byte in or out, or an error. */
static int inflate_some(gpt_gzip *gzip, unsigned char *to, size_t cap, size_t *n, cairn_error *err)
{
	z_stream *z = &gzip->zlib;
	size_t left = gzip->len - gzip->at;
	uInt in = left > UINT_MAX ? UINT_MAX : (uInt)left;
	uInt out = cap > UINT_MAX ? UINT_MAX : (uInt)cap;
	int rc;

	z->next_in = (z_const Bytef *)(uintptr_t)(gzip->bytes + gzip->at);
	z->avail_in = in;
	z->next_out = to;
	z->avail_out = out;
	rc = inflate(z, Z_NO_FLUSH);
	gzip->at += in - z->avail_in;
	*n = out - z->avail_out;
	gzip->unpacked += *n;
	if (rc == Z_MEM_ERROR)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory to unpack '%s'", gzip->source);
	if (rc == Z_STREAM_END)
		gzip->is_between = true;
	else if (rc == Z_BUF_ERROR && gzip->at == gzip->len)
		return bad(gzip, CAIRN_EINPUT, "ends in the middle of its gzip data",
			"The file was not copied whole: get it again.", err);
	else if (rc != Z_OK)
		return bad(gzip, CAIRN_EINPUT, "is damaged gzip data",
			"Get the file again; `gzip -t FILE` says whether it is whole.", err);
	return check_ratio(gzip, err);
}

int gpt_gzip_read(gpt_gzip *gzip, void *to, size_t cap, size_t *n, cairn_error *err)
{
	size_t total = 0;

	while (total < cap && !gzip->is_finished) {
		size_t some = 0;
		int rc = gzip->is_between ? begin_member(gzip, err)
					  : inflate_some(gzip, (unsigned char *)to + total,
						    cap - total, &some, err);

		if (rc)
			return rc;
		total += some;
	}
	*n = total;
	return 0;
}
