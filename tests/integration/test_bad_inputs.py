"""Hundreds of bad rows beside good ones: each is where it belongs, says why, and comes in when it is mended."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from retail_etl import model
from retail_etl.raw import RawZone
from retail_etl.schema import DATE, DATE_TEXT, TEXT, TIME, Column
from tests.integration.bad_inputs import BROKEN_LATER, CROWD, INPUTS, MENDED, NEW_LATER, RELEASED
from tests.integration.bad_rows import Input, crowd, insert, purchase_order, relax, replace
from tests.integration.world import SOURCE_ROWS, World
from tests.raw_objects import read_lines

LARGE = {"sales_order": 100, "purchase_order": 200, "transaction": 40, "payment": 70}  # and a good row of each
MADE_OF = {table.sources[0]: table for table in model.STAR.values() if table.sources}

Place = tuple[str, int | None]  # source table and key
Query = Callable[[str], Iterable[Any]]


class Held(NamedTuple):
    """What quarantine says of a row."""

    waits: bool
    reasons: list[str]
    text: str


class Seen:
    """What quarantine, lake and warehouse show of the source's rows."""

    def __init__(self, world: World) -> None:
        held = world.in_lake(
            'SELECT table_name, record_id, waits, reasons, "row" FROM quarantine_current WHERE is_held'
        )
        self.places = sorted((table, key) for table, key, *_ in held)
        self.held = {(table, key): Held(*rest) for table, key, *rest in held}
        self.lake = _star_rows(world.in_lake)
        self.warehouse = _star_rows(world.warehouse.run)

    def mismatches(self, one: Input) -> list[str]:
        """What is not with this input as the corpus says."""
        place = _place(one)
        shown = {"lake": self.lake.get(place, []), "warehouse": self.warehouse.get(place, [])}
        if one.outcome == "quarantined":
            return [*self.unlike(one), *(f"is in the {name}" for name, rows in shown.items() if rows)]
        problems = [f"is in quarantine: {self.held[place].reasons}"] if place in self.held else []
        if one.row.table not in MADE_OF:  # a department is shown with its staff
            return problems
        for name, rows in shown.items():
            problems += [f"is {len(rows)} times in the {name}"] if len(rows) != 1 else []
            problems += [f"{name}: {difference}" for row in rows for difference in _differences(one, row)]
        return problems

    def unlike(self, one: Input) -> list[str]:
        """What quarantine does not say of this input, or should not say."""
        held = self.held.get(_place(one))
        if held is None:
            return ["is not in quarantine"]
        unsaid = [rule for rule in one.broken if not any(rule.explains(reason) for reason in held.reasons)]
        problems = [f"no reason says {rule}, but: {held.reasons}" for rule in unsaid]
        columns = {rule.column for rule in one.broken}
        problems += [f"a reason too many: {reason}" for reason in held.reasons if reason.split()[0] not in columns]
        problems += [f"waits is {held.waits}"] if one.waits not in {None, held.waits} else []
        kept, given = json.loads(held.text), one.row.values
        texts = [column.name for column in model.SOURCE[one.row.table].columns if column.type in {TEXT, DATE_TEXT}]
        return problems + [f"{name} was kept as {kept[name]!a:.200}" for name in texts if kept[name] != given.get(name)]


def _place(one: Input) -> Place:
    return one.row.table, one.row.key


def _held(inputs: Iterable[Input]) -> set[Place]:
    return {_place(one) for one in inputs if one.outcome == "quarantined"}


def _star_rows(query: Query) -> dict[Place, list[dict[str, Any]]]:
    """The rows of the star by the source row that they are made of."""
    shown: dict[Place, list[dict[str, Any]]] = {}
    for source, table in MADE_OF.items():
        for row in query(f"SELECT {', '.join(table.column_names)} FROM {table.name}"):
            named = dict(zip(table.column_names, row, strict=True))
            shown.setdefault((source, named[table.key]), []).append(named)
    return shown


def _differences(one: Input, shown: dict[str, Any]) -> list[str]:
    """The columns that show something else than the row has."""
    values = one.row.values
    values["last_updated"] = values["last_updated"] or values["created_at"]
    differences = []
    for column in MADE_OF[one.row.table].columns:
        given = values.get(column.origin or column.name, "now")
        found = shown[column.name]
        if column.type is not TIME and given != "now" and found != (expected := _as_shown(column, given)):
            differences.append(f"{column.name} is {found!a:.200} for {expected!a:.200}")
    return differences


def _as_shown(column: Column, given: Any) -> Any:
    if column.type is DATE:
        return date.fromisoformat(given[:10])
    return Decimal(given) if column.type.precision else given


def _check(subtests: pytest.Subtests, inputs: Iterable[Input], mismatches: Callable[[Input], list[str]]) -> None:
    for one in inputs:
        with subtests.test(str(one)):
            assert mismatches(one) == []


@pytest.mark.integration
@pytest.mark.long
def test_each_input_is_where_it_belongs_and_what_is_mended_comes_in(world: World, subtests: pytest.Subtests) -> None:
    relax(world.source)
    world.source.run(SOURCE_ROWS)
    insert(world.source, [purchase_order(200), *(one.row for one in INPUTS)])
    for table, like in LARGE.items():
        crowd(world.source, table, like, CROWD)
    assert world.run().error is None
    seen = Seen(world)
    _check(subtests, INPUTS, seen.mismatches)
    with subtests.test("nothing else is in quarantine, and nothing twice"):
        assert seen.places == sorted(_held(INPUTS))
    with subtests.test("what is in quarantine is the line of the raw zone, to the last byte"):
        lines = _raw_lines(world)
        assert [place for place in seen.places if seen.held[place].text != lines[place]] == []
    with subtests.test("each row of the batch is in the star or in quarantine"):
        _assert_none_is_missing(world)
    with subtests.test("the warehouse holds what the lake holds"):
        _assert_warehouse_is_as_lake(world)
    with subtests.test("each rule tells how many rows break it"):
        assert _untold(world) == []

    replace(world.source, [one.row for one in (*MENDED, *BROKEN_LATER, *NEW_LATER)])
    assert world.run().error is None
    later = Seen(world)
    _check(subtests, (*MENDED, *RELEASED, *NEW_LATER), later.mismatches)
    _check(subtests, BROKEN_LATER, later.unlike)
    with subtests.test("what was in the star stays, however its row is broken now"):
        assert all(later.lake.get(place) == seen.lake.get(place) for place in map(_place, BROKEN_LATER))
    with subtests.test("all others are in quarantine as they were, and nothing twice"):
        back = set(map(_place, (*MENDED, *RELEASED)))
        assert later.places == sorted((_held(INPUTS) - back) | _held((*BROKEN_LATER, *NEW_LATER)))
        assert [place for shown in (later.lake, later.warehouse) for place in shown if len(shown[place]) > 1] == []
    with subtests.test("the warehouse holds what the lake holds, later too"):
        _assert_warehouse_is_as_lake(world)


def _raw_lines(world: World) -> dict[Place, str]:
    """The lines of the first batch."""
    lines: dict[Place, str] = {}
    for part in (Path(world.lake) / "raw").glob("*/batch_id=1/part-*"):
        table = part.parent.parent.name
        for line in read_lines(part):
            lines[table, json.loads(line)[model.SOURCE[table].key]] = line.removesuffix("\n")
    return lines


def _assert_none_is_missing(world: World) -> None:
    tables = RawZone(world.lake).expect_manifest(1, "extract")["tables"]
    held = dict(world.in_lake("SELECT table_name, count(*) FROM quarantine_current WHERE batch_id = 1 GROUP BY 1"))
    extracted = {source: tables[source]["rows"] for source in MADE_OF}
    placed = {
        source: world.in_lake(f"SELECT count(*) FROM {table.name} WHERE batch_id = 1")[0][0] + held.get(source, 0)
        for source, table in MADE_OF.items()
    }
    assert placed == extracted


def _assert_warehouse_is_as_lake(world: World) -> None:
    for table in model.STAR.values():
        if not table.is_control:
            keys = f"SELECT {table.key} FROM {table.name} ORDER BY 1"
            assert [list(row) for row in world.in_lake(keys)] == world.warehouse.run(keys), table.name


def _untold(world: World) -> list[str]:
    """The rules of the corpus of which the batch's quality results say something else, or nothing."""
    results = world.in_lake(
        "SELECT table_name, expectation, subject, severity, success, unexpected, sample_keys FROM quality_result"
        " WHERE layer = 'raw' AND batch_id = 1"
    )
    expected = Counter(
        (one.row.table, rule.rule, rule.column, "info" if one.outcome == "arrives" else "warning")
        for one in INPUTS
        for rule in one.broken
        if "in quarantine" not in rule.more
    )
    told = {
        (table, kind, column, severity): unexpected
        for table, kind, subject, severity, success, unexpected, sample in results
        for column in subject.split(", ")
        if not success and sample
    }
    untold = [f"{rule}: {told.get(rule)} for {count}" for rule, count in expected.items() if told.get(rule, 0) < count]
    old = [result for result in results if result[1] == "freshness" and result[3] != "info"]
    return untold + [f"freshness is not only reported: {result}" for result in old]
