"""What is read of the source: the model's tables alone, in one moment, by key ranges, with no right but SELECT."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from retail_etl import model, source_rows, spark
from retail_etl.errors import StateError
from retail_etl.raw import RawZone
from retail_etl.source import open_snapshot
from tests.integration.world import SOURCE_ROWS, World
from tests.raw_objects import read_lines

ORDERS = (
    "INSERT INTO sales_order SELECT n, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,"
    " agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, created_at, last_updated"
    " FROM sales_order, unnest(ARRAY[1, 2, 3, 4, 5, 6, 7, 8, 2000000]) n"
)


def _lines(world: World, table: str, batch_id: int = 1) -> list[dict[str, object]]:
    folder = Path(world.lake) / "raw" / table / f"batch_id={batch_id}"
    return [json.loads(line) for part in sorted(folder.glob("part-*")) for line in read_lines(part)]


@pytest.mark.integration
def test_a_role_that_may_only_select_is_enough_and_strangers_are_not_read(
    loaded: World, connect: Callable[[str], Connection]
) -> None:
    world = loaded
    assert world.source.run("SELECT to_regclass('_prisma_migrations') IS NOT NULL") == [[True]]
    reader = connect(world.databases["source"].url)
    for forbidden in ("DELETE FROM payment", "SELECT * FROM _prisma_migrations", "CREATE TABLE public.mine (id int)"):
        with pytest.raises(DatabaseError, match="permission denied"):
            reader.run(forbidden)
    assert reader.run("SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole") == [[0]]
    read = {folder.name for folder in (Path(world.lake) / "raw").iterdir()}
    assert read == set(model.SOURCE) - {"purchase_order"}  # it has no rows


@pytest.mark.integration
def test_a_large_table_is_read_in_ranges_of_its_key_each_row_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retail_etl.source_rows.FEW", 9)
    monkeypatch.setattr("retail_etl.source_rows.ROWS_PER_PARTITION", 3)
    world.source.run(SOURCE_ROWS)
    world.source.run(ORDERS)
    assert world.extract().error is None
    assert len(list((Path(world.lake) / "raw" / "sales_order" / "batch_id=1").glob("part-*"))) == 4
    keys = [row["sales_order_id"] for row in _lines(world, "sales_order")]
    assert sorted(keys) == [1, 2, 3, 4, 5, 6, 7, 8, 100, 2000000]


@pytest.mark.integration
def test_all_partitions_see_the_moment_of_the_snapshot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retail_etl.source_rows.ROWS_PER_PARTITION", 3)
    world.source.run(SOURCE_ROWS)
    world.source.run(ORDERS)
    with open_snapshot(world.databases["source"]) as snapshot:
        columns = snapshot.check_contract(model.SOURCE)["sales_order"]
        reading = snapshot.plan(model.SALES_ORDER, columns, None)
        world.source.run("DELETE FROM sales_order WHERE sales_order_id < 9")
        world.source.run("UPDATE sales_order SET units_sold = 99")
        rows = source_rows.read(spark.session(world.lake), snapshot, reading, columns).collect()
        few = source_rows.read_few(snapshot, reading, columns).decode()
    assert sorted(few.splitlines()) == sorted(row.value for row in rows)
    found = [json.loads(row.value) for row in rows]
    assert sorted(row["sales_order_id"] for row in found) == [1, 2, 3, 4, 5, 6, 7, 8, 100, 2000000]
    assert {row["units_sold"] for row in found} == {7}


@pytest.mark.integration
def test_a_column_more_is_kept_and_reported_wider_types_are_read_and_what_is_too_large_for_the_star_is_set_aside(
    world: World,
) -> None:
    world.source.run("ALTER TABLE sales_order ADD COLUMN channel text DEFAULT 'shop'")
    world.source.run("ALTER TABLE sales_order ALTER COLUMN units_sold TYPE bigint")
    world.source.run("ALTER TABLE currency ALTER COLUMN currency_code TYPE varchar(20)")
    world.source.run(SOURCE_ROWS)
    world.source.run(ORDERS)
    world.source.run("UPDATE sales_order SET units_sold = 3000000000 WHERE sales_order_id = 8")
    assert world.run().error is None
    assert {row["channel"] for row in _lines(world, "sales_order")} == {"shop"}
    extract = RawZone(world.lake).expect_manifest(1, "extract")
    assert extract["tables"]["sales_order"]["unknown_columns"] == ["channel"]
    reason = "units_sold must fit into four bytes: found '3000000000'"
    held = "SELECT reasons FROM quarantine_current WHERE table_name = 'sales_order'"
    assert world.in_lake(held) == [([reason],)]
    assert world.warehouse.run("SELECT units_sold, count(*) FROM fact_sales_order GROUP BY 1") == [[7, 9]]
    assert world.warehouse.run("SELECT count(*) FROM fact_sales_order WHERE sales_order_id = 8") == [[0]]


@pytest.mark.integration
def test_few_rows_are_told_as_over_jdbc_and_spark_can_read_what_is_written_of_them(world: World) -> None:
    for name, file in {"line\nbreak": "\u0085\\", "tab\t": "\U0001f6d2 \x7f\x01", "long": "x" * 300_000}.items():
        world.source.run(
            "INSERT INTO design (design_name, file_location, file_name, created_at, last_updated)"
            " VALUES (:name, '/usr', :file, '2024-01-01 00:00:00.1', 'infinity')",
            name=name,
            file=file,
        )
    world.source.run("ALTER TABLE design ADD COLUMN seen timestamptz DEFAULT '2024-01-01 00:00+03'")
    world.source.run("ALTER TABLE design ADD COLUMN ratio float8 DEFAULT 0.1")
    session, zone = spark.session(world.lake), RawZone(world.lake)
    with open_snapshot(world.databases["source"]) as snapshot:
        columns = snapshot.check_contract(model.SOURCE)["design"]
        reading = snapshot.plan(model.SOURCE["design"], columns, None)
        few = source_rows.read_few(snapshot, reading, columns)
        many = source_rows.read(session, snapshot, reading, columns).collect()
    assert sorted(few.decode().removesuffix("\n").split("\n")) == sorted(row.value for row in many)
    (name,) = zone.write_few(few, "design", 7)
    assert sorted(session.read.text(zone.storage.uri(name)).collect()) == sorted(many)
    assert len(many) == 3
    with pytest.raises(StateError, match="part-00000"):
        zone.write_few(few, "design", 7)


@pytest.mark.integration
def test_a_damaged_full_copy_is_read_again_from_the_source(loaded: World) -> None:
    (part,) = (Path(loaded.lake) / "raw" / "department" / "batch_id=1").glob("part-*")
    part.write_bytes(part.read_bytes()[:-9])
    mended = loaded.run()
    assert (mended.error, mended.batch_id) == (None, 2)
    assert _lines(loaded, "department", 2)[0]["department_name"] == "Sales"
    assert loaded.run().status == "nothing_changed"
