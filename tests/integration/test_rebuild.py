"""The lake built anew from the raw zone: as it was, whatever it went through, and wherever it was damaged."""

import shutil
from pathlib import Path

import pytest

from retail_etl import model, spark
from retail_etl.lake import MAIN, REBUILD, Lake
from tests.integration.world import SOURCE_ROWS, World

DESIGNS = (
    "INSERT INTO design SELECT n, 'Design', '/usr', 'd.json', '2024-01-01', '2024-01-01' FROM generate_series({}) n"
)


def _tables(world: World) -> dict[str, list[tuple]]:
    """All rows of all tables of the lake."""
    return {
        name: sorted(world.in_lake(f"SELECT {', '.join((*table.column_names, 'batch_id'))} FROM {name}"), key=str)
        for name, table in model.STAR.items()
    }


def _heads(world: World) -> dict[str, dict[str, int]]:
    lake = Lake(spark.session(world.lake))  # a session of its own has nothing in its cache
    return {name: lake.heads(table) for name, table in model.STAR.items()}


def _live_through_much(world: World) -> None:
    """Versions, silent edits, deletions and returns, an unbelieved mass deletion, a row in quarantine and out
    of it again, a rejected batch.
    """
    source = world.source
    source.run(SOURCE_ROWS)
    source.run(DESIGNS.format("10, 200"))
    assert world.run().error is None
    source.run("UPDATE sales_order SET units_sold = 8, last_updated = now() AT TIME ZONE 'UTC'")
    source.run("UPDATE department SET location = 'Leeds'")
    source.run("DELETE FROM design WHERE design_id = 11")
    assert world.run().error is None
    source.run("UPDATE payment SET payment_date = '2024-02-30x', last_updated = now() AT TIME ZONE 'UTC'")
    source.run("UPDATE address SET created_at = '1066-10-14'")
    assert world.run().error is None
    source.run("UPDATE design SET created_at = '1066-10-14'")
    assert "rejected" in (world.run().error or "")
    source.run("UPDATE design SET created_at = '2024-01-01'")
    source.run("UPDATE payment SET payment_date = '2024-05-30', last_updated = now() AT TIME ZONE 'UTC'")
    source.run("DELETE FROM design WHERE design_id BETWEEN 20 AND 180")  # too many to be believed
    assert world.run().needs_attention
    source.run("UPDATE sales_order SET units_sold = 7")  # silently
    source.run("DELETE FROM payment")
    assert world.reconcile(heal=True, accept_deletions="payment,design").error is None
    source.run(DESIGNS.format("11, 11"))
    source.run(DESIGNS.format("20, 25"))
    source.run("UPDATE staff SET department_id = 1, last_name = 'Byron'")
    assert world.run().error is None


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
def test_the_lake_comes_from_the_raw_zone_as_it_was_and_lives_on_and_whatever_damaged_it_is_mended_and_said(
    world: World,
) -> None:
    _live_through_much(world)
    before = _tables(world)
    heads = _heads(world)

    session = spark.session(world.lake)
    session.sql("UPDATE lake.star.dim_staff SET first_name = 'Eve'")
    session.sql("DELETE FROM lake.star.fact_sales_order WHERE batch_id = 1")
    rebuilt = world.rebuild_lake()
    assert rebuilt.error is None
    assert [warning.partition(". ")[0] for warning in rebuilt.warnings] == [
        "dim_staff was not what the raw zone gives: 1 rows are new or different, 1 are not there any more",
        "fact_sales_order was not what the raw zone gives: 1 rows are new or different, 0 are not there any more",
    ]
    assert _tables(world) == before
    for name, after in _heads(world).items():
        assert set(after) == set(heads[name])
        assert not after or after[MAIN] != heads[name][MAIN], name  # these are other files

    world.source.run("UPDATE sales_order SET units_sold = 9, last_updated = now() AT TIME ZONE 'UTC'")
    assert world.run().error is None
    before = _tables(world)
    shutil.rmtree(Path(world.lake) / "star")
    assert world.rebuild_lake().error is None
    assert _tables(world) == before


@pytest.mark.integration
def test_a_rebuild_that_cannot_read_the_raw_zone_or_breaks_a_rule_shows_nothing(
    loaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _tables(loaded)
    with monkeypatch.context() as patch:
        patch.setattr("retail_etl.history.versions", lambda table, rows: rows.unionByName(rows))  # all of it twice
        broken = loaded.rebuild_lake()
    assert "The rebuilt lake is rejected, and nothing of it is shown" in (broken.error or "")
    assert "must be unique" in (broken.error or "")
    assert _tables(loaded) == before

    with monkeypatch.context() as patch:
        publish = Lake._publish_table

        def publish_one(lake: Lake, *arguments: object) -> None:
            publish(lake, *arguments)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        patch.setattr(Lake, "_publish_table", publish_one)
        with pytest.raises(KeyboardInterrupt):
            loaded.rebuild_lake()
    finished = loaded.rebuild_lake()
    assert (finished.error, finished.warnings) == (None, [])
    assert all(REBUILD not in branches for branches in _heads(loaded).values())
    assert _tables(loaded) == before

    next((Path(loaded.lake) / "raw" / "payment").rglob("part-*")).unlink()
    lost = loaded.rebuild_lake()
    assert "objects are not as they were written" in (lost.error or "")
    assert _tables(loaded) == before
