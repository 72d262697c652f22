"""The local runner: what detect finds unneeded is not begun, and is no failure."""

from pathlib import Path

import pytest

from retail_etl.errors import ConfigurationError
from retail_etl.runtime import NOTHING_TO_DO, Job, Progress, Result
from scripts import workflow
from scripts.workflow import Run, read_pipeline, run_pipeline

JOBS = list(read_pipeline().jobs)


def _run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **results: Result) -> Run:
    def job(one: Job) -> Result:
        if one.name in results:
            return results[one.name]
        raise ConfigurationError(f"{one.name} was begun.")

    monkeypatch.setattr(workflow, "_entry_point", lambda _: job)
    return run_pipeline(read_pipeline(), {"lake": str(tmp_path)}, {}, lambda _: Progress())


def test_detect_is_first_and_starts_the_others() -> None:
    assert JOBS[:2] == ["detect", "extract"]


def test_what_is_unneeded_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Result("nothing_to_do", warnings=("design: 2 of 2 rows are gone",), needs_attention=True)
    run = _run(tmp_path, monkeypatch, detect=waits)
    assert [(stage.name, stage.status) for stage in run.stages] == [(name, "nothing_to_do") for name in JOBS]
    assert (run.status, run.needs_attention, run.warnings) == ("nothing_changed", True, list(waits.warnings))


def test_that_a_run_is_needed_is_no_change_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = dict.fromkeys(JOBS, NOTHING_TO_DO) | {"detect": Result("succeeded")}
    run = _run(tmp_path, monkeypatch, **results)
    assert [stage.status for stage in run.stages] == ["succeeded", *["nothing_to_do"] * 5]
    assert run.status == "nothing_changed"
    assert _run(tmp_path, monkeypatch, **results | {"load": Result("succeeded")}).status == "succeeded"


def test_a_detect_that_fails_begins_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _run(tmp_path, monkeypatch)
    assert [stage.status for stage in run.stages] == ["failed", *["skipped"] * 5]
    assert (run.status, run.error) == ("failed", "detect was begun.")
