from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import etl, running
from scripts.local import LocalPair
from scripts.workflow import REBUILD, RECONCILE, Run, read_pipeline

NOBODY = "postgresql://me:secret@127.0.0.1:1/nothing"


def test_who_names_the_databases_needs_no_embedded_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setattr(running, "LocalPair", partial(LocalPair, home))
    refused = running.run_workflow(str(tmp_path / "lake"), source=NOBODY, warehouse=NOBODY)
    assert "Cannot reach the source 'nothing' at 127.0.0.1:1" in (refused.error or "")
    rebuilt = running.run_workflow(str(tmp_path / "lake"), pipeline=read_pipeline(REBUILD))
    assert rebuilt.status == "nothing_changed"
    assert not home.exists()


@pytest.mark.parametrize("command", ["run", "reconcile"])
def test_what_is_accepted_reaches_the_jobs(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Mapping[str, str]] = []

    def workflow(_lake: str, variables: Mapping[str, str], *_: object, **_urls: str) -> Run:
        given.append(variables)
        return Run()

    monkeypatch.setattr(etl, "run_workflow", workflow)
    options = [
        "--accept-quarantine",
        "staff",
        "--accept-volume",
        "staff",
        "--accept-contract",
        "design",
        "--accept-contract",
        "staff",
        "--accept-deletions",
        "payment",
    ]
    assert CliRunner().invoke(etl.app, [command, *options]).exit_code == 0
    assert given
    for variables in given:
        assert (variables["accept_contract"], variables["accept_deletions"]) == ("design,staff", "payment")
        assert (variables["accept_quarantine"], variables["accept_volume"]) == ("staff", "staff")
        assert variables["accept_source"] == "false"
    pipeline = read_pipeline(RECONCILE)
    for job in (read_pipeline().jobs["extract"], pipeline.jobs["reconcile"]):
        assert {"--accept_contract", "--accept_deletions", "--accept_source"} <= job.arguments.keys()
    assert pipeline.variables["accept_contract"] == ""
