"""Secrets, logs and buckets of a deployment, on an AWS that moto plays."""

import json
import time
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from retail_etl import lease
from retail_etl.errors import ConfigurationError
from retail_etl.postgres import Database
from scripts.aws import chosen, events, put_secret
from scripts.deployment import Deployment, from_outputs
from scripts.emptying import Lake, Raw

OUTPUTS = {
    "region": "eu-west-2",
    "lake": "s3://the-raw",
    "buckets": {"raw": "the-raw", "lake": "the-lake"},
    "lake_database": "star",
    "secrets": {"production": "retail/production", "warehouse": "retail/warehouse"},
    "workflows": {"pipeline": "retail-pipeline"},
    "log_groups": {"extract": "/retail/extract/output"},
    "jobs": {},
}
URL = "postgresql://reader:p%40ss@db.example:5433/totesys"


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "eu-west-2")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield from_outputs(OUTPUTS)


def test_a_state_without_outputs_says_what_to_do():
    with pytest.raises(ConfigurationError, match=r"no output buckets, .*: make deploy first"):
        from_outputs({"region": "eu-west-2"})


def test_a_secret_holds_what_a_job_reads_and_its_password_is_never_shown(deployed):
    client = boto3.client("secretsmanager")
    client.create_secret(Name="retail/production")
    told = [put_secret(deployed, "production", URL) for _ in range(2)]
    stored = json.loads(client.get_secret_value(SecretId="retail/production")["SecretString"])
    assert Database.from_secret("production", stored) == Database.from_url("production", URL)
    assert "now" in told[0]
    assert "already" in told[1]
    assert "p@ss" not in "".join(told)
    assert len(client.list_secret_version_ids(SecretId="retail/production")["Versions"]) == 1


def test_a_secret_without_url_or_shell_is_refused(deployed):
    with pytest.raises(ConfigurationError, match="PRODUCTION_URL is not set"):
        put_secret(deployed, "production", "")
    with pytest.raises(ConfigurationError, match="make deploy makes it"):
        put_secret(deployed, "production", URL)
    with pytest.raises(ConfigurationError, match="make create-warehouse-secret"):
        deployed.warehouse()
    with pytest.raises(ConfigurationError, match="has no password"):
        put_secret(deployed, "production", "postgresql://reader@db.example/totesys")


def test_log_lines_of_all_jobs_come_in_order_each_once(deployed):
    client = boto3.client("logs")
    group = OUTPUTS["log_groups"]["extract"]
    client.create_log_group(logGroupName=group)
    now = int(time.time() * 1000)
    for stream, at, message in (("b", now - 20, "second"), ("a", now - 30, "first\n"), ("a", now - 90_000, "old")):
        if stream == "b" or at == now - 30:
            client.create_log_stream(logGroupName=group, logStreamName=stream)
        client.put_log_events(
            logGroupName=group, logStreamName=stream, logEvents=[{"timestamp": at, "message": message}]
        )
    groups = {**deployed.log_groups, "transform": "/there/is/none"}
    lines = list(events(deployed, groups, now - 60_000, follow=False))
    assert [line.split(maxsplit=1)[1] for line in lines] == ["extract            first", "extract            second"]


def test_every_version_in_a_bucket_goes_and_the_catalogs_tables_with_the_lakes(deployed):
    s3, glue = boto3.client("s3"), boto3.client("glue")
    for bucket in ("the-raw", "the-lake"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for name in ("batches/1/extract.json", "batches/1/publish.json", "data/part.parquet"):
            s3.put_object(Bucket=bucket, Key=name, Body=b"12")
            s3.put_object(Bucket=bucket, Key=name, Body=b"345")
    s3.delete_object(Bucket="the-lake", Key="data/part.parquet")
    glue.create_database(DatabaseInput={"Name": "star"})
    glue.create_table(DatabaseName="star", TableInput={"Name": "dim_date"})

    raw_and_lake = chosen("lake", deployed, "", "") + chosen("raw", deployed, "", "")
    assert [place.describe() for place in raw_and_lake] == [
        "lake s3://the-lake: 1 tables, 3 objects, 15 bytes",
        "raw zone s3://the-raw: 3 objects, 15 bytes",
    ]
    Lake("s3://the-raw", deployed).empty()
    assert "Versions" not in s3.list_object_versions(Bucket="the-lake")
    assert glue.get_tables(DatabaseName="star")["TableList"] == []
    left = {found["Key"] for found in s3.list_object_versions(Bucket="the-raw")["Versions"]}
    assert left == {"batches/1/extract.json", "data/part.parquet", lease.NAME}  # the batch is there to be taken again

    Raw("s3://the-raw", Lake("s3://the-raw", deployed)).empty()
    assert {found["Key"] for found in s3.list_object_versions(Bucket="the-raw")["Versions"]} == {lease.NAME}


def test_of_a_catalog_that_lakes_share_only_the_own_tables_go(deployed):
    s3, glue = boto3.client("s3"), boto3.client("glue")
    s3.create_bucket(Bucket="shared", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    for name in ("one/batches/1/extract.json", "one/star.db/dim_date/data.parquet", "other/batches/1/extract.json"):
        s3.put_object(Bucket="shared", Key=name, Body=b"1")
    lake = Lake("s3://shared/one")
    assert lake.tables() == []  # there is no database yet
    glue.create_database(DatabaseInput={"Name": "star"})
    for name, place in (("dim_date", "one"), ("dim_design", "other")):
        where = {"Location": f"s3://shared/{place}/star.db/{name}"}
        glue.create_table(DatabaseName="star", TableInput={"Name": name, "StorageDescriptor": where})
    assert lake.describe() == "lake s3://shared/one: 1 tables, 1 objects, 1 bytes"
    lake.empty()
    Raw("s3://shared/one", lake).empty()
    assert [table["Name"] for table in glue.get_tables(DatabaseName="star")["TableList"]] == ["dim_design"]
    left = {found["Key"] for found in s3.list_objects_v2(Bucket="shared")["Contents"]}
    assert left == {"one/lease.json", "other/batches/1/extract.json"}
