import json

from retail_etl import model
from scripts import raw_tables


def test_athenas_tables_of_the_raw_zone_are_as_new_as_the_model() -> None:
    assert raw_tables.TARGET.read_text(encoding="utf-8") == raw_tables.render()


def test_they_have_the_columns_that_the_raw_zone_is_read_with() -> None:
    for name, table in json.loads(raw_tables.render()).items():
        columns = ", ".join(f"`{column['name']}` {column['type']}" for column in table["columns"])
        assert columns == model.SOURCE[name].spark_schema("raw")
