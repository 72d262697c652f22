"""docs/add-a-table.md, done as it stands there, on a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.world import World

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "add-a-table.md"
COPIED = ("Makefile", "pyproject.toml", "requirements.txt", "docs", "glue_jobs", "lib", "scripts", "terraform", "tests")
OPEN_WAREHOUSE = """
import sys
from retail_etl.postgres import Database
from retail_etl.warehouse import open_warehouse
with open_warehouse(Database.from_url("warehouse", sys.argv[1]), "this lake"):
    pass
"""
RETURN = "INSERT INTO sales_return VALUES (1, 100, 2, NULL, '2024-03-05')"


def _blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which the page's diffs are applied and its test stands."""
    copy = tmp_path_factory.mktemp("project")
    ignored = shutil.ignore_patterns("__pycache__", ".terraform", "*.tfplan")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(Path(sys.prefix))
    for diff in _blocks("diff"):
        _succeed(["git", "apply", "-"], copy, stdin=diff)
    test_star = copy / "tests" / "unit" / "test_star.py"
    (written,) = _blocks("python")
    test_star.write_text(f"{test_star.read_text(encoding='utf-8')}\n\n{written}", encoding="utf-8")
    return copy


def _succeed(command: list[str], folder: Path, stdin: str = "") -> str:
    # The copy's lines are not the project's: what runs of them counts for no coverage.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        command,
        cwd=folder,
        input=stdin,
        text=True,
        capture_output=True,
        check=False,
        env={**environment, "PYTHONPATH": f"{folder / 'lib'}:{folder}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _etl(command: str, project: Path, replaced: Mapping[str, str]) -> str:
    """The page's command, on a test's databases and lake."""
    for shown, real in replaced.items():
        command = command.replace(shown, real)
    return _succeed(["bash", "-c", command.replace("etl.py", f"{sys.executable} scripts/etl.py", 1)], project)


def _commands() -> list[str]:
    (console,) = _blocks("console")
    return [line.removeprefix("$ ") for line in console.splitlines()]


@pytest.mark.integration
@pytest.mark.slow
def test_the_page_makes_a_table_that_fits_the_source_and_the_star(project: Path, world: World) -> None:
    for block in _blocks("sh"):
        for command in block.splitlines():
            # .venv is there, and must not be set up anew because the copy is younger.
            said = _succeed(["bash", "-c", command.replace("make ", "make --old-file=.venv/.ready ", 1)], project)
            assert "pytest" not in command or "1 passed" in said
    assert "### fact_sales_return" in (project / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
    assert "erDiagram\n  fact_sales_return {" in (project / "docs" / "erd.md").read_text(encoding="utf-8")
    assert "sales_return" in json.loads((project / "terraform" / "raw_tables.json").read_text(encoding="utf-8"))
    (sql,) = _blocks("sql")
    for statement in filter(str.strip, sql.split(";")):
        world.source.run(statement)
    url = world.databases["source"].url
    ready = _etl(f"{_commands()[0]} --json", project, {"postgresql://reader:password@localhost:5432/totesys": url})
    assert "sales_return" in [table["table"] for table in json.loads(ready)["tables"]]
    warehouse = world.databases["warehouse"]
    _succeed([sys.executable, "-c", OPEN_WAREHOUSE, warehouse.url], project)
    assert world.warehouse.run("SELECT count(*) FROM fact_sales_return_current") == [[0]]


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.long
def test_in_a_warehouse_that_is_there_the_new_table_arrives_with_the_next_run(project: Path, loaded: World) -> None:
    (sql,) = _blocks("sql")
    for statement in filter(str.strip, [*sql.split(";"), RETURN]):
        loaded.source.run(statement)
    replaced = {
        "postgresql://reader:password@localhost:5432/totesys": loaded.databases["source"].url,
        "postgresql://etl:password@localhost:5432/warehouse": loaded.databases["warehouse"].url,
        "./my-lake": f"'{loaded.lake}'",
    }
    _init, _run, query = (_etl(command, project, replaced) for command in _commands())
    assert "100" in query
    assert loaded.warehouse.run("SELECT units_returned, reason FROM fact_sales_return_current") == [[2, None]]
