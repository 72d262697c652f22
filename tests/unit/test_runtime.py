import pytest

from retail_etl.errors import ConfigurationError
from retail_etl.runtime import Job, parse_options, side_by_side


def test_options_are_read_as_glue_passes_them_and_optional_ones_have_a_default() -> None:
    arguments = ["extract.py", "--lake", "s3://lake", "--JOB_NAME", "extract", "--unknown", "x"]
    options = parse_options(arguments, ["lake"], {"source_secret": ""})
    assert (options["lake"], options["source_secret"]) == ("s3://lake", "")


def test_a_missing_option_is_named() -> None:
    with pytest.raises(ConfigurationError, match="lake"):
        parse_options(["extract.py"], ["lake"], {})
    with pytest.raises(ConfigurationError, match="--layer"):
        Job("quality_gate", {}).option("layer")


def test_a_database_comes_from_the_environment_or_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_URL", raising=False)
    with pytest.raises(ConfigurationError, match="SOURCE_URL"):
        Job("extract", {}).database("source")
    monkeypatch.setenv("SOURCE_URL", "postgresql://me:secret@127.0.0.1:6000/totesys")
    assert Job("extract", {}).database("source").port == 6000


def test_the_first_failure_of_tasks_side_by_side_is_raised() -> None:
    assert side_by_side({"a": lambda: 1, "b": lambda: 2}) == {"a": 1, "b": 2}

    def fail() -> int:
        raise ConfigurationError("broken")

    with pytest.raises(ConfigurationError, match="broken"):
        side_by_side({"a": lambda: 1, "b": fail})
