"""Write terraform/raw_tables.json, the raw zone's tables for Athena, from the model. `--check` fails if it is old."""

import json
import sys
from pathlib import Path

from retail_etl import model
from retail_etl.schema import BATCH_ID

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


def main(arguments: list[str]) -> int:
    """0 where the file is (now) as the model says, 1 where `--check` found it older."""
    text = render()
    if arguments == ["--check"]:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
            print("terraform/raw_tables.json is older than the model: run make raw-tables.", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text, encoding="utf-8")
    print(f"{TARGET.relative_to(TARGET.parent.parent)} is written.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
