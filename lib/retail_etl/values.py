"""Sets of keys as bitmaps: what a table holds and what refers to it, compared without a join."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap64

Values = BitMap64
"""Whole numbers, and days, counted since 1970: each as its 64 bits. Dense keys take a bit each."""


def signed(value: int) -> int:
    """The number that has the bits of one of `Values`."""
    return value - (1 << 64) if value >> 63 else value


def bounds(values: Values) -> tuple[int, int]:
    """The least and the greatest of them, as numbers; ValueError where there is none."""
    if max(values) >> 63:
        numbers = [signed(value) for value in values]
        return min(numbers), max(numbers)
    return min(values), max(values)


def unsigned(value: int) -> int:
    """The bits of a number, as `Values` has them."""
    return value % (1 << 64)


def values_of(column: Any) -> Values:
    """What is in an Arrow column of whole numbers or days, without NULL."""
    numbers = numbers_in(column).drop_null().to_numpy(zero_copy_only=False)
    return Values(memoryview(numbers.view("uint64"))) if len(numbers) else Values()


def numbers_of(values: Values) -> Any:
    """The numbers as an Arrow array."""
    return pa.array(np.fromiter(values, dtype="uint64", count=len(values)).view("int64"))


def numbers_in(column: Any) -> Any:
    """An Arrow column of whole numbers or days as one of whole numbers."""
    return (column.cast(pa.int32()) if pa.types.is_date32(column.type) else column).cast(pa.int64())


def is_among(column: Any, values: Values) -> Any:
    """For each row of such an Arrow column, whether it holds one of the values."""
    return pc.is_in(numbers_in(column), numbers_of(values))


def between(values: Values, ranges: Iterable[Sequence[int | None]]) -> Values:
    """Those of them that lie in one of the ranges `[low, high]`, both included; None where it is open."""
    ends = list(ranges)
    if any(low is None and high is None for low, high in ends):
        return values
    numbers = np.sort(np.fromiter(values, dtype="uint64", count=len(values)).view("int64"))
    slices = [numbers[:0]]
    for low, high in ends:
        first = 0 if low is None else int(np.searchsorted(numbers, low))
        last = len(numbers) if high is None else int(np.searchsorted(numbers, high, side="right"))
        slices.append(numbers[first:last])
    return values_of(pa.array(np.concatenate(slices)))
