"""Objects of the raw zone as a test reads and writes them: without Spark, by the description of their format.

LZ4 in Hadoop's framing is a sequence of blocks: four bytes that tell how long the block is when it is unpacked, then
pieces until it is complete, each after four bytes that tell how long the piece is. A block of no bytes is the last one.
"""

from io import StringIO
from pathlib import Path

import pyarrow as pa

_BLOCK = 100_000
_END = bytes(4)


def read_lines(part: Path) -> list[str]:
    """The lines of an object, line breaks included."""
    return StringIO(unpacked(part.read_bytes()).decode(), newline="\n").readlines()


def unpacked(data: bytes) -> bytes:
    """What an object holds."""
    found = b""
    while data and (left := int.from_bytes(data[:4], "big")):
        data = data[4:]
        while left:
            size = int.from_bytes(data[:4], "big")
            # How long a piece is by itself is not told; a writer that never splits a block makes it the block.
            piece = pa.decompress(data[4 : 4 + size], decompressed_size=left, codec="lz4_raw", asbytes=True)
            found, left, data = found + piece, left - len(piece), data[4 + size :]
    return found


def packed(text: str, size: int | None = None) -> bytes:
    """An object that holds the text; of just so many bytes where `size` is given: nobody reads behind the end."""
    plain, data = text.encode(), b""
    for start in range(0, len(plain), _BLOCK):
        block = plain[start : start + _BLOCK]
        piece = pa.compress(block, codec="lz4_raw", asbytes=True)
        data += len(block).to_bytes(4, "big") + len(piece).to_bytes(4, "big") + piece
    if size is None:
        return data
    padding = size - len(data) - len(_END)
    assert padding >= 0, f"{len(data)} bytes do not leave room in {size}"
    return data + _END + bytes(padding)
