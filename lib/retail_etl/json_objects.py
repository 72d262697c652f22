"""JSON objects of the raw zone, read by Arrow: three times as fast as by Spark, and strictly. What is not just what the
extract writes is left to Spark, whose reader tells bad lines from good ones.
"""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from retail_etl.data_files import Part, read
from retail_etl.schema import SourceTable, StarTable

_CHUNK = 4 << 20
_LARGEST_BLOCK = 1 << 28
_PIECE = 128 << 10
_RAW_TYPES = {"bigint": pa.int64(), "string": pa.string(), "boolean": pa.bool_()}


class UnclearError(Exception):
    """Not what was expected here: Spark is to look at it."""


DAMAGED = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, zlib.error)
"""What is raised where bytes are not what they were."""


def schema_of(table: SourceTable | StarTable) -> pa.Schema:
    """The columns of a source table, as the raw zone has them."""
    return pa.schema([(column.name, _RAW_TYPES[column.type.raw]) for column in table.columns])


def rows(part: Part) -> Iterator[Any]:
    """The object's rows as Arrow's tables, with the columns of its table in the model.

    UnclearError, or one of `DAMAGED`, where they are not what is expected here; StateError where the object is gone.
    """
    options = pj.ParseOptions(explicit_schema=schema_of(part.of), unexpected_field_behavior="ignore")
    for chunk in _whole_lines(_unpacked(part.uri, read(part.uri))):
        lines = _lines(chunk)
        reading = pj.ReadOptions(use_threads=False, block_size=len(chunk) + 1)
        found = pj.read_json(pa.BufferReader(chunk), read_options=reading, parse_options=options)
        if found.num_rows != lines:
            raise UnclearError
        found.validate(full=True)
        yield found


def _unpacked(uri: str, data: bytes) -> Iterator[bytes]:
    if uri.endswith(".gz"):
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while piece := file.read(_CHUNK):
                yield piece
    elif uri.endswith(".lz4"):
        yield from _from_lz4(memoryview(data))
    else:
        yield data


def _from_lz4(data: memoryview) -> Iterator[bytes]:
    """Hadoop's framing: blocks, each after its length when unpacked, of pieces, each after its own length. More than
    one piece, as a row of a quarter of a megabyte makes, is not understood: how long one is when unpacked is not told.
    """
    place = 0

    def length() -> int:
        nonlocal place
        place += 4
        return int.from_bytes(data[place - 4 : place], "big")

    while place < len(data) and (left := length()):
        while left:
            size = length()
            if not 0 < size <= len(data) - place or left > _LARGEST_BLOCK:
                raise UnclearError
            piece = pa.py_buffer(data[place : place + size])
            unpacked = pa.decompress(piece, decompressed_size=left, codec="lz4_raw", asbytes=True)
            place, left = place + size, left - len(unpacked)
            yield unpacked


def in_lz4(data: bytes) -> bytes:
    """The bytes in that framing, in blocks of a piece each, which is as large as Hadoop unpacks at once."""
    pieces = []
    for place in range(0, len(data), _PIECE):
        block = data[place : place + _PIECE]
        piece = pa.compress(block, codec="lz4_raw", asbytes=True)
        pieces += [len(block).to_bytes(4, "big"), len(piece).to_bytes(4, "big"), piece]
    return b"".join(pieces)


def _whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        end = piece.rfind(b"\n") + 1 if size + len(piece) >= _CHUNK else 0
        if end:
            yield b"".join((*waiting, piece[:end]))
            waiting, size = [], 0
        waiting.append(piece[end:])
        size += len(piece) - end
    if rest := b"".join(waiting):
        yield rest


def _lines(chunk: bytes) -> int:
    """How many lines there are, each of them a single object: Arrow would also take one over two lines, or two in one,
    and falls over a bare null.
    """
    characters = np.frombuffer(chunk, dtype="uint8")
    ends = np.flatnonzero(characters == ord("\n"))
    if len(ends) == 0 or ends[-1] != len(characters) - 1 or ends[0] == 0:
        raise UnclearError
    starts = np.concatenate(([0], ends[:-1] + 1))
    if not ((characters[ends - 1] == ord("}")).all() and (characters[starts] == ord("{")).all()):
        raise UnclearError
    if not chunk.isascii():
        chunk.decode()  # Arrow would not look at the bytes of a column that the model does not have
    return len(ends)
