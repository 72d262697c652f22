"""What maintenance removes from the raw zone, on S3; the tables are a matter of the integration test."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from glue_jobs import maintain
from retail_etl.errors import ConfigurationError
from retail_etl.maintenance import debris
from retail_etl.runtime import Job
from retail_etl.storage import open_storage

SOON = timedelta(minutes=1)

OF_A_BATCH = {
    1: {"claim", "extract", "quality_raw"},  # at its place
    2: {"claim"},  # its extraction died
    3: {"claim", "extract", "rejected"},  # the raw gate died, then it was rejected
    4: {"claim", "publish"},  # somebody deleted manifests: they may come back from a backup
    5: {"claim", "extract", "quality_raw", "transform"},  # the transform died before it removed what was parsed
}


def test_only_what_no_manifest_can_name_is_debris(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="lake")
        storage = open_storage("s3://lake/some/prefix")
        for batch, manifests in OF_A_BATCH.items():
            for name in manifests:
                storage.create(f"batches/{batch}/{name}.json", b"{}")
            storage.create(f"raw/design/batch_id={batch}/part-0.txt.lz4", b"rows")
            storage.create(f"raw/sales_order/batch_id={batch}/_temporary/0/part-0.txt.lz4", b"rows")
            storage.create(f"verdicts/batch_id={batch}/part-0.txt.lz4", b"rows")
            storage.create(f"parsed/batch_id={batch}/design/0.parquet", b"rows")
        assert debris(storage, datetime.now(UTC) - SOON) == {}
        found = debris(storage, datetime.now(UTC) + SOON)
        assert set(found) == {
            "raw/design/batch_id=2/part-0.txt.lz4",
            "raw/sales_order/batch_id=2/_temporary/0/part-0.txt.lz4",
            "verdicts/batch_id=2/part-0.txt.lz4",
            "verdicts/batch_id=3/part-0.txt.lz4",
            *(f"parsed/batch_id={batch}/design/0.parquet" for batch in (3, 4, 5)),
        }
        storage.remove(list(found))
        assert debris(storage, datetime.now(UTC) + SOON) == {}


@pytest.mark.parametrize(("name", "value"), [("keep_days", "soon"), ("keep_snapshots", "0")])
def test_what_is_to_be_kept_is_a_number(name: str, value: str, tmp_path: Path) -> None:
    options = {"lake": str(tmp_path), "keep_days": "1", "keep_snapshots": "1", name: value}
    with pytest.raises(ConfigurationError, match=f"--{name} {value} is no number"):
        maintain.run(Job("maintain", options))
