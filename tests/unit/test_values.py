"""Keys as bitmaps: numbers in and out, and those within ranges."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_etl.values import Values, between, bounds, is_among, numbers_of, signed, unsigned, values_of

KEYS = st.sets(st.integers(-(1 << 63), (1 << 63) - 1), max_size=30)
END = st.none() | st.integers(-20, 20)


def _values(numbers: set[int]) -> Values:
    return Values([unsigned(number) for number in numbers])


@settings(deadline=None)
@given(KEYS)
def test_numbers_come_back_as_they_were(numbers: set[int]) -> None:
    values = values_of(pa.chunked_array([pa.array(list(numbers), pa.int64()), pa.array([None], pa.int64())]))
    assert {signed(value) for value in values} == numbers
    assert set(numbers_of(values).to_pylist()) == numbers
    if numbers:
        assert bounds(values) == (min(numbers), max(numbers))


@settings(deadline=None)
@given(st.sets(st.integers(-20, 20)), st.lists(st.tuples(END, END), max_size=5))
def test_those_within_ranges_are_found(numbers: set[int], ranges: list[tuple[int | None, int | None]]) -> None:
    def lies_in(number: int, low: int | None, high: int | None) -> bool:
        return (low is None or number >= low) and (high is None or number <= high)

    expected = {number for number in numbers if any(lies_in(number, *ends) for ends in ranges)}
    assert {signed(value) for value in between(_values(numbers), ranges)} == expected


def test_thousands_of_ranges_are_one_pass() -> None:
    keys = Values(range(1_000_000))
    ranges = [(place, place + 9) for place in range(0, 1_000_000, 100)]
    assert len(between(keys, ranges)) == 100_000


def test_days_and_nulls_are_told_apart_from_numbers() -> None:
    days = pa.array([0, 19_000, None], pa.int32()).cast(pa.date32())
    assert values_of(days) == Values([0, 19_000])
    assert is_among(days, Values([19_000])).to_pylist()[:2] == [False, True]
    with pytest.raises(ValueError, match="empty"):
        bounds(Values())
