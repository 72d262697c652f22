"""Write terraform/raw_tables.json, the raw zone's tables for Athena, from the model. `--check` fails if it is old."""

import json
import sys
from pathlib import Path

from retail_etl import model
from retail_etl.schema import BATCH_ID
from scripts import generated

TARGET = Path(__file__).resolve().parent.parent / "terraform" / "raw_tables.json"


def render() -> str:
    """Source table → description and columns, with the types in which Spark reads the same objects."""
    tables = {
        table.name: {
            "description": f"{table.grain} As each {BATCH_ID} read it ({table.extract}).",
            "columns": [
                {"name": column.name, "type": column.type.raw, "description": column.description}
                for column in table.columns
            ],
        }
        for table in model.SOURCE.values()
    }
    return json.dumps(tables, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, render(), "the model: run make raw-tables", sys.argv[1:]))
