from functools import partial
from pathlib import Path

import pytest

from scripts import etl
from scripts.local import LocalPair
from scripts.workflow import REBUILD, read_pipeline

NOBODY = "postgresql://me:secret@127.0.0.1:1/nothing"


def test_who_names_the_databases_needs_no_embedded_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setattr(etl, "LocalPair", partial(LocalPair, home))
    refused = etl._run_workflow(str(tmp_path / "lake"), source=NOBODY, warehouse=NOBODY)
    assert "Cannot reach the source 'nothing' at 127.0.0.1:1" in (refused.error or "")
    rebuilt = etl._run_workflow(str(tmp_path / "lake"), pipeline=read_pipeline(REBUILD))
    assert rebuilt.status == "nothing_changed"
    assert not home.exists()
