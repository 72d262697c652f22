"""docs/quality.md: its worked example, run as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import etl
from scripts.display import output
from tests.integration.world import SOURCE_ROWS, World

DOCS = Path(__file__).resolve().parents[2] / "docs" / "quality.md"
EXAMPLE = re.compile(r"^## A bad row, from its arrival to its return$(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(sql|console)$(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ etl\.py (.*)$", re.MULTILINE)


def _words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.integration
@pytest.mark.slow
def test_the_worked_example_says_what_happens(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_URL", world.databases["source"].url)
    monkeypatch.setenv("WAREHOUSE_URL", world.databases["warehouse"].url)
    monkeypatch.setenv("LAKE", world.lake)
    monkeypatch.setattr(output, "width", 300)
    world.source.run(SOURCE_ROWS)
    example = EXAMPLE.search(DOCS.read_text(encoding="utf-8"))
    assert example
    ran = 0
    for language, block in BLOCK.findall(example.group(1)):
        if language == "sql":
            world.source.run(block)
            continue
        _, *parts = COMMAND.split(block)
        for command, expected in zip(parts[::2], parts[1::2], strict=True):
            done = CliRunner().invoke(etl.app, shlex.split(command))
            assert done.exit_code == 0, done.output
            shown = _words(done.output)
            for line in filter(None, map(_words, expected.splitlines())):
                assert line in shown, f"etl.py {command}"
            ran += 1
    assert ran == 7
