"""A survey by Arrow lets nothing pass that Spark's predicates would not, and counts what Spark counts."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import functions as F

from retail_etl import counting, model, spark
from retail_etl.audit import Audit
from retail_etl.data_files import Part
from retail_etl.lake import Lake
from retail_etl.raw import RawZone
from retail_etl.schema import DATE_TEXT, TIMESTAMP, SourceTable
from retail_etl.survey import is_surveyed, look_at, survey
from tests.integration.world import World

GOOD: dict[str, dict[str, Any]] = {
    "currency": {"currency_id": 1, "currency_code": "GBP"},
    "sales_order": {
        "sales_order_id": 1, "design_id": 9, "staff_id": 5, "counterparty_id": 2, "units_sold": 7,
        "unit_price": "361.39", "currency_id": 1, "agreed_delivery_date": "2024-03-01",
        "agreed_payment_date": "2024-02-28", "agreed_delivery_location_id": 3,
    },
    "transaction": {"transaction_id": 1, "transaction_type": "SALE", "sales_order_id": 7, "purchase_order_id": None},
    "payment": {
        "payment_id": 1, "transaction_id": 3, "counterparty_id": 2, "payment_amount": "-5.0001", "currency_id": 1,
        "payment_type_id": 1, "paid": True, "payment_date": "2024-02-28", "company_ac_number": 12345678,
        "counterparty_ac_number": 87654321,
    },
}  # fmt: skip
MOMENTS = {"created_at": "2024-02-27T14:20:52.186", "last_updated": "2024-02-27T14:20:52"}

ODD: list[Any] = [
    None, True, False, 0, -1, 1.0, 1.5, -0.0, 1e3, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, 2**63,
    10**30, "", " ", "1", "0", "-0", "-1", "+1", "1.", ".5", "1e3", "1E-2", "NaN", "Infinity", "-Infinity",
    "99999999.99", "100000000", "0.005", "0.0050", "0.00500001", "1.50", "1.500000000000", "--1", "1,5", "1_0",
    "0x1", "\u0661", "-", ".", "- 1", "1 ", " 1", "1\n", "-.5", "-5", "-5.00", "00", "007", "SALE", "PURCHASE",
    "sale", "SALE ", "GBP", "gbp", "GBPX", "XXX", "ZZZ", "GB\n", "G\u00df", "2024-01-01", "2024-02-29",
    "2023-02-29", "2024-02-30", "2024-00-10", "2024-13-01", "0000-00-00", "0001-01-01", "1969-12-31", "1970-01-01",
    "2100-12-31", "2101-01-01", "9999-12-31", "10000-01-01", "2024-1-01", "2024-01-1", "24-01-01", "2024/01/01",
    "2024-01-01 ", " 2024-01-01", "2024-01-01T", "2024-01-01T10", "2024-01-01T10:11", "2024-01-01T10:11:12",
    "2024-01-01 10:11:12", "2024-01-01T10:11:12.", "2024-01-01T10:11:12.1", "2024-01-01T10:11:12.123456",
    "2024-01-01T10:11:12.1234567", "2024-01-01T10:11:12Z", "2024-01-01T10:11:12+01", "2024-01-01T10:11:12+01:00",
    "2024-01-01T24:00:00", "2024-01-01T10:60:00", "2024-01-01T10:11:60", "2024-01-01T1:11:12",
    "2024-01-01t10:11:12", "T2024-01-01", "1969-12-31T23:59:59.999999", "2100-12-31T23:59:59.999999",
    "2101-01-01T00:00:00", "infinity", "-infinity", "0044-03-15T12:00:00 BC", "now", "\u0000",
    "2024\u201001\u201001", "20\u0662\u0664-01-01", {}, {"a": 1}, [], ["2024-01-01"],
]  # fmt: skip

BROKEN_LINES = [
    "null", "5", "[]", "{}", "{", "}", '{"currency_id":1', '{"currency_id":1}}',
    '{"currency_id":1}{"currency_id":2}', '[{"currency_id":1}]', '{"currency_id":1,}', '{"currency_id":1;}',
    '{currency_id:1}', "{'currency_id':1}", '{"currency_id":01}', '{"currency_id":+1}', '{"currency_id":NaN}',
    '{"currency_id":1} x', 'x {"currency_id":1}', '{"currency_id":1,"currency_id":2}', '{"CURRENCY_ID":1}',
    '{"currency_id":1,"other":tru}', '{"currency_id":1,"other":"a\tb"}',
]  # fmt: skip


@dataclass
class Written:
    """A line, and the columns that were changed in it."""

    table: SourceTable
    text: str
    is_good: bool = False


def _lines(table: SourceTable) -> Iterator[Written]:
    good = {**GOOD[table.name], **MOMENTS}
    yield Written(table, json.dumps(good), is_good=True)
    yield Written(table, json.dumps({**good, "a_new_column": {"of": ["anything"]}}, ensure_ascii=False), is_good=True)
    values = [*ODD, *_mutated(random.Random(7))]
    for column in table.columns:
        yield Written(table, json.dumps({name: value for name, value in good.items() if name != column.name}))
        is_text = column.type in (DATE_TEXT, TIMESTAMP) or column.type.precision
        for value in values if is_text else ODD:
            yield Written(table, json.dumps({**good, column.name: value}))
    if table.name == "currency":
        yield from (Written(table, text) for text in BROKEN_LINES)


def _mutated(chance: random.Random) -> list[str]:
    """Texts that are almost a date, a time or a number."""
    found = []
    for text in ("2024-02-28", "2024-02-27T14:20:52.186", "361.39") * 60:
        place, character = chance.randrange(len(text)), chance.choice("0123456789-:T .+eEZ\u0660,")
        found.append(text[:place] + character + text[place + chance.randrange(2) :])
    return found


def _with_number(text: str, number: int) -> str:
    if text == "{}":
        return f'{{"line":{number}}}'
    return f'{{"line":{number},{text[1:]}' if text.startswith('{"') else text


def _broken_for_spark(table: SourceTable, lines: list[str], folder: Path) -> set[str]:
    """The lines that Spark cannot read, or whose rows break a rule by themselves."""
    session = spark.session("a lake that is not touched")
    file = folder / f"{table.name}.txt"
    numbered = [_with_number(text, number) for number, text in enumerate(lines)]
    file.write_text("".join(f"{line}\n" for line in numbered), encoding="utf-8", newline="\n")
    schema = f"{table.spark_schema('raw')}, line int, _unreadable string"
    frame = session.read.schema(schema).option("columnNameOfCorruptRecord", "_unreadable").json(f"file://{file}")
    audit = Audit(table, lambda: frame, len(lines), unreadable="_unreadable")
    flags = audit.flagged([rule for _, rule in audit.told_by_rows()], {})
    any_flag = F.greatest(*(F.col(name) for name in flags.columns if name.startswith("__")))
    found = flags.where(any_flag).select("line", "_unreadable").collect()
    texts = dict(zip(numbered, lines, strict=True))
    # Spark takes a bare null for a row of which nothing is known.
    return {texts.get(row._unreadable or "", "null" if row.line is None else lines[row.line]) for row in found}


@pytest.mark.parametrize("name", GOOD)
def test_no_line_that_spark_finds_broken_passes_a_survey(name: str, tmp_path: Path) -> None:
    table = model.SOURCE[name]
    written = list(_lines(table))
    broken = _broken_for_spark(table, [line.text for line in written], tmp_path)
    suspected = set()
    for number, line in enumerate(written):
        part = tmp_path / f"{number}.json"
        part.write_text(f"{line.text}\n", encoding="utf-8", newline="\n")
        found = look_at(Part(name, str(part), part.stat().st_size))
        if found.doubts or not found.is_certain:
            suspected.add(line.text)
    assert broken - suspected == set()
    assert not suspected & {line.text for line in written if line.is_good}
    # What it suspects in vain costs time, and must be rare: forms that the source does not write.
    assert len(suspected - broken) < 0.1 * len(written), sorted(suspected - broken)
    assert len(broken) > 100


@pytest.mark.parametrize(
    "line", ["null", '{"currency_id":1}\n\n{"currency_id":2}', '{"currency_id":1,\n"x":1}', "\n", ""]
)
def test_lines_that_are_no_objects_are_not_understood(line: str, tmp_path: Path) -> None:
    good = json.dumps({**GOOD["currency"], **MOMENTS})
    for text in (f"{line}\n{good}\n", f"{good}\n{line}\n", f"{good}\n{good}"):
        part = tmp_path / "part.json"
        part.write_text(text, encoding="utf-8", newline="\n")
        assert not look_at(Part("currency", str(part), len(text))).is_certain


@pytest.mark.integration
def test_a_survey_counts_what_spark_counts(loaded: World) -> None:
    loaded.source.run("UPDATE design SET design_name = 'Renamed'")
    loaded.source.run("UPDATE sales_order SET units_sold = 8, last_updated = '2024-02-27 15:00'")
    assert loaded.run().error is None
    zone, session = RawZone(loaded.lake), spark.session(loaded.lake)
    lake, seen = Lake(session), set()
    for batch_id in (1, 2):
        extract, transform = (zone.expect_manifest(batch_id, stage) for stage in ("extract", "transform"))
        for name, entry in extract["tables"].items():
            if entry["rows"] is None:
                continue
            found = survey({name: zone.parts(model.SOURCE[name], extract)})[name]
            read = partial(zone.read, session, model.SOURCE[name], extract)
            _assert_equal(Audit(model.SOURCE[name], read, entry["rows"], survey=found, unreadable="_unreadable"))
            seen.add(name)
        for name, entry in transform["tables"].items():
            table = model.STAR[name]
            if not is_surveyed(table):
                continue
            found = survey({name: lake.parts(table, entry["snapshot_id"], batch_id)})[name]
            rows = partial(lake.rows(table).where, F.col("batch_id") == batch_id)
            if name == "dim_design" and batch_id == 1:
                continue  # all of its rows have a new version: see below
            _assert_equal(Audit(table, rows, entry["rows"], survey=found, add_up=lambda counts: {}))
            seen.add(name)
    assert seen >= model.SOURCE.keys() | {
        "fact_sales_order",
        "fact_payment",
        "dim_date",
        "dim_transaction",
        "dim_staff",
    }


def _assert_equal(audit: Audit) -> None:
    assert audit.is_surveyed, audit.table.name
    told, counted = counting.count(audit), counting.count(replace(audit, survey=None))
    assert told.rows == audit.rows
    assert (told.rows, dict(told.broken), dict(told.totals)) == (
        counted.rows,
        dict(counted.broken),
        dict(counted.totals),
    )
    assert {name: list(told.values[name]) for name in counted.values} == {
        name: list(values) for name, values in counted.values.items()
    }


@pytest.mark.integration
def test_rows_that_a_later_batch_replaced_are_left_to_spark(loaded: World) -> None:
    loaded.source.run("UPDATE transaction SET transaction_type = 'PURCHASE', last_updated = '2024-02-27 15:00'")
    assert loaded.run().error is None
    lake, table = Lake(spark.session(loaded.lake)), model.DIM_TRANSACTION
    snapshot = lake.heads(table)["main"]
    first, second = (survey({table.name: lake.parts(table, snapshot, number)})[table.name] for number in (1, 2))
    assert not first.is_certain
    assert (second.is_certain, second.rows) == (True, 1)
