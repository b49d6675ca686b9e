#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Computes the golden values of artifact.c and cuts.c from store/FORMAT.md alone; takes some seconds."""
import hashlib
import struct

MASK = (1 << 64) - 1
CHUNK, INLINE, FANOUT = 4 << 20, 64 << 10, 1024
CUT_MIN, CUT_NORMAL, CUT_MAX = 128 << 10, 256 << 10, 1 << 20
GEAR = [int.from_bytes(hashlib.sha256(b"cairn cut " + bytes([i])).digest()[:8], "little") for i in range(256)]


def dtypes():
    """The numbers of cairn/stage.h, read so that they cannot drift."""
    import pathlib
    import re
    header = pathlib.Path(__file__).parents[2] / "orchestrator/include/cairn/stage.h"
    return {name: int(value) for name, value in re.findall(r"CAIRN_(U8|F32|I64) = (\d+)", header.read_text())}


def sha(data):
    return hashlib.sha256(data).digest()


def cut_length(data, at):
    left = len(data) - at
    if left <= CUT_MIN:
        return left
    total = 0
    for k in range(64):  # from the definition: the sum over the last 64 bytes
        total = (total + (GEAR[data[at + CUT_MIN - 1 - k]] << k)) & MASK
    length = CUT_MIN
    while True:
        if total >> (46 if length <= CUT_NORMAL else 48) == 0 or length == min(left, CUT_MAX):
            return length
        total = ((total << 1) + GEAR[data[at + length]]) & MASK
        length += 1


def cuts(data):
    lengths, at = [], 0
    while at < len(data):
        lengths.append(cut_length(data, at))
        at += lengths[-1]
    return lengths


def encoded_list(sums):
    depth = 0
    while len(sums) > FANOUT:
        nodes = [sums[i:i + FANOUT] for i in range(0, len(sums), FANOUT)]
        sums = [sha(b"CAIRNLST" + struct.pack("<HBBI", 1, depth, 0, len(n)) + b"".join(n)) for n in nodes]
        depth += 1
    return struct.pack("<B3xI", depth, len(sums)) + b"".join(sums)


def entry(name, dtype, dims, data):
    by_content = dtype == dtypes()["U8"] and len(dims) == 1 and len(data) > CUT_MIN
    lengths = cuts(data) if by_content else [min(CHUNK, len(data) - i) for i in range(0, len(data), CHUNK)]
    sums, at = [], 0
    for length in lengths:
        sums.append(sha(data[at:at + length]))
        at += length
    node = b"CAIRNENT" + struct.pack("<HBBII", 2 if by_content else 1, 1, 0, dtype, len(dims))
    node += struct.pack(f"<{len(dims)}Q", *dims) + struct.pack("<QI", len(data), 0 if by_content else CHUNK)
    node += struct.pack("<I", len(name)) + name
    if by_content:
        node += struct.pack("<QI", len(lengths), lengths[-1])
    return node + encoded_list(sums)


def manifest(kind, meta, entries, total):
    node = b"CAIRNART" + struct.pack("<HBBI", 1, 1, 0, len(kind)) + kind
    node += struct.pack("<QQQ", len(entries), total, len(meta)) + meta
    return node + encoded_list([sha(entries[name]) for name in sorted(entries)])


def filled(length, seed):
    """support_fill."""
    out = bytearray()
    for i in range((length + 7) // 8):
        z = (seed * 0xd1342543de82ef95 + (i + 1) * 0x9e3779b97f4a7c15) & MASK
        z = ((z ^ z >> 30) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ z >> 27) * 0x94d049bb133111eb) & MASK
        out += struct.pack("<Q", z ^ z >> 31)
    return bytes(out[:length])


def main():
    kinds = dtypes()
    big = bytes((i * i + i) % 251 for i in range(CHUNK + 5))
    parts = {
        b"w": (kinds["F32"], [2, 3], struct.pack("<6f", *range(6))),
        b"bias": (kinds["U8"], [], b"\x2a"),
        b"empty": (kinds["I64"], [0], b""),
        b"big": (kinds["U8"], [len(big)], big),
    }
    entries = {name: entry(name, *part) for name, part in parts.items()}
    total = sum(len(part[2]) for part in parts.values())
    print("golden artifact", sha(manifest(b"model/lm", b'{"a":[1,2.5],"step":3}', entries, total)).hex())
    print("empty artifact ", sha(manifest(b"report", b"{}", {}, 0)).hex())
    print("gear", " ".join(f"{GEAR[i]:016x}" for i in (0, 1, 97, 255)))
    for length, seed in ((3 * CUT_MAX + 5, 1), (CUT_MIN + 1, 2), (3 * CUT_MAX, 3)):
        data = filled(length, seed)
        print("cuts of", length, "bytes of seed", seed, cuts(data))
        node = entry(b"f", kinds["U8"], [length], data)
        print("  as the entry 'f' of a 'file':", sha(manifest(b"file", b"{}", {b"f": node}, length)).hex())
    print("cuts of 2500000 zeros", cuts(bytes(2500000)))
    print("cuts of the golden bytes", cuts(big))


if __name__ == "__main__":
    main()
