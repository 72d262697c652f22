"""Rows that are gone from the source, back again, or gone in such numbers that somebody must confirm it."""

import pytest

from scripts.workflow import Run
from tests.integration.world import World

CURRENT = "SELECT design_id FROM dim_design_current ORDER BY 1"
DESIGNS = (
    "INSERT INTO design SELECT n, 'Design', '/usr', 'd.json', '2024-01-01', '2024-01-01' FROM generate_series(10, {}) n"
)


def _both(world: World, sql: str) -> list[list]:
    """The result that lake and warehouse both give."""
    rows = world.warehouse.run(sql)
    assert [list(row) for row in world.in_lake(sql)] == rows
    return rows


def _ran(run: Run) -> tuple[str, bool]:
    assert run.error is None
    return run.status, run.needs_attention


@pytest.mark.integration
def test_a_deleted_row_leaves_the_current_view_and_comes_back_with_its_key(loaded: World) -> None:
    loaded.source.run(DESIGNS.format(12))
    assert _ran(loaded.run()) == ("succeeded", False)

    loaded.source.run("DELETE FROM design WHERE design_id = 11")
    assert _ran(loaded.run()) == ("succeeded", False)
    assert _both(loaded, CURRENT) == [[9], [10], [12]]
    assert _both(loaded, "SELECT count(*) FROM dim_design") == [[4]]
    assert loaded.warehouse.run("SELECT table_name, record_id, is_deleted, batch_id FROM etl.deleted_record") == [
        ["design", 11, True, 3]
    ]
    assert loaded.run().status == "nothing_changed"

    loaded.source.run(DESIGNS.format(11) + " WHERE n = 11")  # exactly as it was
    assert _ran(loaded.run()) == ("succeeded", False)
    assert _both(loaded, CURRENT) == [[9], [10], [11], [12]]
    events = loaded.in_lake("SELECT record_id, is_deleted, batch_id FROM deleted_record ORDER BY batch_id")
    assert events == [(11, True, 3), (11, False, 4)]


@pytest.mark.integration
def test_a_mass_deletion_waits_until_it_is_accepted_while_other_tables_go_on(loaded: World) -> None:
    loaded.source.run(DESIGNS.format(600))
    assert _ran(loaded.run()) == ("succeeded", False)

    loaded.source.run("DELETE FROM design WHERE design_id BETWEEN 10 AND 109")  # 100 of 592: more than a tenth
    loaded.source.run("UPDATE staff SET first_name = 'Ada'")
    guarded = loaded.run()
    assert _ran(guarded) == ("succeeded", True)
    assert "design: 100 of 592 rows are gone" in " ".join(guarded.warnings)
    assert "--accept-deletions design" in " ".join(guarded.warnings)
    assert _both(loaded, "SELECT count(*) FROM dim_design_current") == [[592]]
    assert _both(loaded, "SELECT first_name FROM dim_staff_current") == [["Ada"]]
    assert _ran(loaded.run()) == ("nothing_changed", True)  # and it goes on saying so

    assert _ran(loaded.run(accept_deletions="design")) == ("succeeded", False)
    assert _both(loaded, "SELECT count(*) FROM dim_design_current") == [[492]]
    assert _ran(loaded.run()) == ("nothing_changed", False)


@pytest.mark.integration
@pytest.mark.long
def test_an_emptied_table_empties_nothing_however_small_it_is(loaded: World) -> None:
    loaded.source.run("INSERT INTO payment_type VALUES (2, 'REFUND', '2024-01-01', '2024-01-01')")
    assert _ran(loaded.run()) == ("succeeded", False)
    loaded.source.run("TRUNCATE payment_type CASCADE")
    guarded = loaded.run()
    assert _ran(guarded) == ("succeeded", True)
    assert "payment_type: 2 of 2 rows are gone" in " ".join(guarded.warnings)
    assert _both(loaded, "SELECT payment_type_id FROM dim_payment_type_current ORDER BY 1") == [[1], [2]]


@pytest.mark.integration
def test_a_table_that_does_not_exist_cannot_be_accepted(world: World) -> None:
    refused = world.run(accept_deletions="designs")
    assert refused.status == "failed"
    assert "no such source table" in (refused.error or "")
