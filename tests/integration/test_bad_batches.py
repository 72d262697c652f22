"""What rejects a whole batch: keys that are no keys, too many bad rows, and objects that are not as they were written.

Nothing of it is shown, one sentence says why, and the next run reads all of it again.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from retail_etl import model
from retail_etl.errors import ConfigurationError
from retail_etl.raw import RawZone
from scripts.workflow import Run
from tests.integration.bad_rows import Row, insert, payment, purchase_order, relax, relax_keys, row, sales_order, staff
from tests.integration.world import SOURCE_ROWS, World
from tests.raw_objects import packed, read_lines

SLACK = random.Random(1).randbytes(400).hex()
"""An unknown column of each row. What is spoilt loses it, and so has room to be padded to the size that it had."""


@dataclass(frozen=True)
class Spoilt:
    """A batch that must be rejected: `rows` besides the good ones, or `damage` done to the objects of tables.

    `words`: what the reason says.
    """

    name: str
    words: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    damage: tuple[tuple[str, Callable[[Path], None]], ...] = ()


# --------------------------------------------------------------------------- damage


def _rewritten(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    """Change the object's lines; what is written has the bytes that it had, so that its size tells nothing."""

    def damage(part: Path) -> None:
        lines = change([line.replace(SLACK, "") for line in read_lines(part)])
        part.write_bytes(packed("".join(lines), part.stat().st_size))

    return damage


def _half_a_line(lines: list[str]) -> list[str]:
    return [*lines[:-1], lines[-1][: len(lines[-1]) // 2]]


def _a_line_less(lines: list[str]) -> list[str]:
    return lines[:-1]


def _a_key_of_text(lines: list[str]) -> list[str]:
    key, _, rest = lines[0].partition(",")
    return [f'{key.partition(":")[0]}:"x",{rest}', *lines[1:]]


def _a_null(lines: list[str]) -> list[str]:
    return ["null\n", *lines[1:]]


def _cut(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-9])


def _flip(part: Path) -> None:
    data = bytearray(part.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 8] = bytes(byte ^ 0xFF for byte in data[middle : middle + 8])
    part.write_bytes(data)


# --------------------------------------------------------------------------- the batches

SPOILT = (
    Spoilt(
        "a key that two rows have, or none",
        (
            "sales_order.sales_order_id must be unique",
            "staff.staff_id must be unique",
            "payment.payment_id must not be NULL",
            "payment_type.payment_type_id must not be NULL",
        ),
        rows=(sales_order(100), staff(5), payment(None), row("payment_type", None)),
    ),
    Spoilt(
        "eleven bad rows, of twelve",
        ("payment", "11"),
        rows=tuple(payment(101 + number, payment_date="") for number in range(11)),
    ),
    Spoilt(
        "lines that are no rows, in objects of the same size",
        ("sales_order must be JSON", "purchase_order must be JSON", "payment must have the rows", "transaction"),
        damage=(
            ("sales_order", _rewritten(_half_a_line)),
            ("purchase_order", _rewritten(_a_key_of_text)),
            ("payment", _rewritten(_a_line_less)),
            ("transaction", _rewritten(_a_null)),
        ),
    ),
    Spoilt("an object that ends early", ("purchase_order", "bytes"), damage=(("purchase_order", _cut),)),
    Spoilt("an object that is gone", ("sales_order", "none"), damage=(("sales_order", Path.unlink),)),
    Spoilt("an object with other bytes, as many as it had", ("payment",), damage=(("payment", _flip),)),
)


@pytest.mark.integration
@pytest.mark.slow
def test_a_spoilt_batch_is_rejected_with_a_sentence_and_the_next_run_reads_it_all_again(
    world: World, subtests: pytest.Subtests
) -> None:
    relax(world.source)
    relax_keys(world.source)
    world.source.run(SOURCE_ROWS)
    insert(world.source, [purchase_order(200), purchase_order(201)])
    for table in model.SOURCE:
        world.source.run(f"ALTER TABLE {table} ADD COLUMN note text")
        world.source.run(f"UPDATE {table} SET note = :slack", slack=SLACK)
    zone = RawZone(world.lake)
    for spoilt in SPOILT:
        insert(world.source, spoilt.rows)
        batch_id = world.extract().batch_id
        assert batch_id, f"{spoilt.name}: what was rejected is not read again"
        for table in model.SOURCE:
            world.source.run(f"DELETE FROM {table} WHERE note IS NULL")  # the application mends what was inserted
        for table, damage in spoilt.damage:
            for part in _objects(world, table, batch_id):
                damage(part)
        with subtests.test(spoilt.name):
            _assert_rejected(world, batch_id, world.run_job("quality_gate_raw"), spoilt.words)
        zone.reject(batch_id, "as it should have been")  # so that one that passed does not hide the next ones

    assert world.run().error is None
    for table in (table for table in model.STAR.values() if table.sources):
        key = model.SOURCE[table.sources[0]].key
        expected = world.source.run(f"SELECT {key} FROM {table.sources[0]} ORDER BY 1")
        shown = f"SELECT {table.key} FROM {table.name} ORDER BY 1"
        assert world.warehouse.run(shown) == expected
        assert [list(found) for found in world.in_lake(shown)] == expected
    assert world.in_lake("SELECT count(*) FROM quarantine_current") == [(0,)]


def _objects(world: World, table: str, batch_id: int) -> Iterator[Path]:
    """The table's objects of the batch. Hadoop's checksums beside them are a folder's alone, and go."""
    for part in list((Path(world.lake) / "raw" / table / f"batch_id={batch_id}").glob("part-*")):
        part.with_name(f".{part.name}.crc").unlink(missing_ok=True)
        yield part


def _assert_rejected(world: World, batch_id: int, gate: Run, words: tuple[str, ...]) -> None:
    error = gate.error or ""
    assert gate.status == "failed"
    assert [word for word in words if word not in error] == [], error
    assert "\n" not in error
    assert "java." not in error
    assert (RawZone(world.lake).rejection(batch_id) or {}).get("reason") == error
    assert world.warehouse.run("SELECT to_regclass('fact_sales_order') IS NULL") == [[True]]
    with suppress(ConfigurationError):  # there is no lake yet
        assert world.in_lake("SELECT count(*) FROM fact_sales_order") == [(0,)]
