"""What the demo shows: what the application changed, and what arrived."""

from rich.table import Table

from retail_etl.postgres import Database
from scripts.display import console, output
from scripts.local import LocalPair


def show_changes(changes: dict[str, dict[str, int]]) -> None:
    """Rows by table, and by what was done to them."""
    table = Table("table", "inserted", "updated", "deleted", box=None, pad_edge=False)
    for name, counts in changes.items():
        table.add_row(name, *(f"{counts[how]:,}" for how in ("inserted", "updated", "deleted")))
    console.print(table)


def show_counts(pair: LocalPair) -> None:
    """Source, lake and warehouse beside each other."""
    from scripts import lake_query

    table = Table("source", "rows", "star", "lake, current", "warehouse, current", box=None, pad_edge=False)
    pairs = [
        ("sales_order", "fact_sales_order"),
        ("purchase_order", "fact_purchase_order"),
        ("transaction", "dim_transaction"),
        ("payment", "fact_payment"),
        ("staff", "dim_staff"),
        ("design", "dim_design"),
    ]
    lake = lake_query.connect(str(pair.lake))
    with pair.owner() as source, Database.from_url("warehouse", pair.warehouse_url).connect() as warehouse:
        for origin, star in pairs:
            count = f"SELECT count(*) FROM {star}_current"
            (rows,) = source.run(f"SELECT count(*) FROM {origin}")[0]
            (in_lake,) = lake.sql(count).fetchone() or (0,)
            (loaded,) = warehouse.run(count)[0]
            table.add_row(origin, f"{rows:,}", star, f"{in_lake:,}", f"{loaded:,}")
    output.print(table)
