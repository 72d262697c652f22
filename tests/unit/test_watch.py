"""`etl.py watch`: intervals, and the exit code of runs that fail. Signals: tests/integration/test_watch.py."""

import re
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from scripts import etl, watch_display
from scripts.watch import seconds
from scripts.watch_display import Watching
from scripts.workflow import Run, Stage

NOBODY = "postgresql://me:secret@127.0.0.1:1/nothing"


@pytest.mark.parametrize(("text", "found"), [("5m", 300), ("90s", 90), ("1h", 3600), ("2", 120), ("0.5 M", 30)])
def test_an_interval_has_a_unit_or_is_minutes(text: str, found: float) -> None:
    assert seconds(text) == found


@pytest.mark.parametrize("text", ["", "0", "soon", "-5m", "5d"])
def test_no_interval_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="give an interval such as 90s"):
        seconds(text)


def test_a_run_that_fails_is_shown_and_the_next_one_tried(tmp_path: Path) -> None:
    databases = ["--source", NOBODY, "--warehouse", NOBODY]
    command = ["watch", "--every", "0.1s", "--runs", "2", *databases, "--lake", str(tmp_path)]
    done = CliRunner().invoke(etl.app, command)
    assert done.exit_code == 1


def test_the_live_view_shows_stages_runs_and_what_is_next(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=80, record=True, force_terminal=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    monkeypatch.setattr(watch_display, "console", console)
    with Watching("my-lake", 300) as shown:
        shown.begin(1)
        progress = shown.stage("extract")
        progress.start("payment", 100)
        progress.finish("payment", 100, 0.5)
        shown.look(stopping=True)
        console.print(shown._drawn())
        published = {"batch_id": 4, "age_seconds": 65, "loaded": True, "as_of": ""}
        shown.end(Run([Stage("extract", "succeeded", 2.0, 100), Stage("load", "failed", error="no [disk]")]), published)
        console.print(shown._drawn())
    text = console.export_text()
    assert "Ending after this stage" in text
    assert re.search(r"extract +running +100", text)
    assert re.search(r"extract +succeeded +100", text)
    assert "fresh: the warehouse shows the source as of 65 seconds ago, batch 4" in text
    assert "error no [disk]" in text
