from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from retail_etl.errors import ConfigurationError
from retail_etl.storage import Storage, open_storage


def _check(storage: Storage) -> None:
    assert storage.read("a/b.json") is None
    assert not storage.exists("a/b.json")
    assert storage.create("a/b.json", b"first")
    assert not storage.create("a/b.json", b"second")
    assert storage.read("a/b.json") == b"first"
    assert storage.exists("a/b.json")
    assert storage.sizes("a/") == {"a/b.json": 5}
    assert storage.sizes("nothing/") == {}
    assert storage.read_version("nothing") is None
    data, version = storage.read_version("a/b.json") or (b"", "")
    assert data == b"first"
    assert storage.replace("a/b.json", b"second", version)
    assert not storage.replace("a/b.json", b"third", version)
    assert storage.read("a/b.json") == b"second"
    assert not storage.replace("a/nothing.json", b"third", version)
    assert not storage.exists("a/nothing.json")
    file = storage.files("a/")["a/b.json"]
    assert file.bytes == 6
    assert abs(datetime.now(UTC) - file.changed_at) < timedelta(minutes=1)
    assert storage.create("c/d/e.json", b"")
    assert storage.create("c/f.json", b"")
    storage.remove(["c/d/e.json", "c/d/nothing.json", "nothing/g.json"])
    assert storage.files("c/").keys() == {"c/f.json"}


def test_an_object_in_a_folder_is_created_once(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "lake"))
    _check(storage)
    assert storage.uri("raw/t/batch_id=1/") == f"file://{tmp_path}/lake/raw/t/batch_id=1"
    assert not (tmp_path / "lake" / "c" / "d").exists()
    assert {path.name for path in (tmp_path / "lake" / "a").iterdir()} == {
        "b.json",
        ".b.json.lock",
        ".nothing.json.lock",
    }


def test_an_object_in_a_bucket_is_created_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        storage = open_storage("s3://lake/some/prefix")
        _check(storage)
        assert storage.uri("raw/") == "s3://lake/some/prefix/raw/"


def test_what_is_no_place_for_a_lake_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="is a file"):
        open_storage(str(tmp_path / "file"))
    with pytest.raises(ConfigurationError, match="s3://bucket/prefix"):
        open_storage("ftp://host/lake")
