"""How the JVM is started on this machine."""

import shlex
from pathlib import Path

import pytest

from retail_etl import java

_LOG_SETTINGS = Path("/x/log4j2.properties")


def test_the_archive_of_classes_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    archive = tmp_path / "a folder" / "classes.jsa"
    monkeypatch.setattr(java, "CLASS_ARCHIVE", archive)
    monkeypatch.delenv("SPARK_CONF_DIR", raising=False)
    assert "Shared" not in java.options(_LOG_SETTINGS)
    archive.parent.mkdir()
    archive.touch()
    monkeypatch.setenv("SPARK_CONF_DIR", "a configuration of one's own")
    assert "Shared" not in java.options(_LOG_SETTINGS)
    monkeypatch.delenv("SPARK_CONF_DIR")
    assert f"-XX:SharedArchiveFile={archive}" in shlex.split(java.options(_LOG_SETTINGS))  # as Spark's launcher splits


def test_what_ends_soon_is_not_optimized_and_all_else_late() -> None:
    assert set(java.COMPILED_SIMPLY) <= set(java.options(_LOG_SETTINGS, for_few=True).split())
    usual = java.options(_LOG_SETTINGS).split()
    assert set(java.COMPILED_LATE) <= set(usual)
    assert not set(java.COMPILED_SIMPLY) & set(usual)


def test_log4j_gets_its_settings() -> None:
    assert "-Dlog4j2.configurationFile=file:///x/log4j2.properties" in java.options(_LOG_SETTINGS).split()
