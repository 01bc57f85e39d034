"""Small PNG files: a picture of a screen with a palette of at most 256 colours."""

from __future__ import annotations

import struct
import zlib
from collections import Counter

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
Colour = tuple[int, int, int]
_FREQUENT, _MOST = 128, 256


def with_palette(png: bytes) -> bytes:
    """Return a PNG (8 bits, RGB or RGBA without transparency) with a palette.

    It has the most frequent colours, and of the rest those that are the least like them, so that
    a small icon keeps its own. Any other colour becomes the nearest of the palette.
    """
    width, height, pixels = _decode(png)
    counted = Counter(pixels)
    palette = _palette(counted)
    index = {colour: at for at, colour in enumerate(palette)}
    for colour in counted:
        if colour not in index:
            index[colour] = min(range(len(palette)), key=lambda at: _distance(colour, palette[at]))
    rows = bytearray()
    for top in range(0, width * height, width):
        rows.append(0)
        rows += bytes(index[colour] for colour in pixels[top : top + width])
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    colours = b"".join(bytes(colour) for colour in palette)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", head),
            _chunk(b"PLTE", colours),
            _chunk(b"IDAT", zlib.compress(bytes(rows), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _palette(counted: Counter[Colour]) -> list[Colour]:
    palette = [colour for colour, _ in counted.most_common(_FREQUENT)]
    far = {
        colour: min(_distance(colour, each) for each in palette)
        for colour in counted.keys() - set(palette)
    }
    while far and len(palette) < _MOST:
        chosen = max(far, key=lambda colour: (far[colour], colour))
        palette.append(chosen)
        far = {
            colour: min(distance, _distance(colour, chosen))
            for colour, distance in far.items()
            if colour != chosen
        }
    return palette


def _distance(a: Colour, b: Colour) -> int:
    return sum((one - other) ** 2 for one, other in zip(a, b, strict=True))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _decode(png: bytes) -> tuple[int, int, list[Colour]]:
    """Return the width, the height and the colours, row by row."""
    assert png.startswith(_SIGNATURE)
    at, data, head = len(_SIGNATURE), b"", b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        head = body if kind == b"IHDR" else head
        data += body if kind == b"IDAT" else b""
        at += length + 12
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", head)
    assert (depth, interlaced) == (8, 0) and colour in (2, 6)
    step = 3 if colour == 2 else 4
    raw, before = zlib.decompress(data), bytearray(width * step)
    pixels: list[Colour] = []
    for row in range(height):
        start = row * (width * step + 1)
        line = bytearray(raw[start + 1 : start + 1 + width * step])
        _unfilter(raw[start], line, before, step)
        pixels += zip(line[0::step], line[1::step], line[2::step], strict=True)
        before = line
    return width, height, pixels


def _unfilter(kind: int, line: bytearray, above: bytearray, step: int) -> None:
    """Undo the filter of a row in its place (PNG specification, 9.2)."""
    if kind == 0:
        return
    for at in range(len(line)):
        left = line[at - step] if at >= step else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = above[at]
        elif kind == 3:
            guess = (left + above[at]) // 2
        else:
            guess = _paeth(left, above[at], above[at - step] if at >= step else 0)
        line[at] = (line[at] + guess) & 255


def _paeth(a: int, b: int, c: int) -> int:
    p = a + b - c
    return min((a, b, c), key=lambda each: abs(p - each))
