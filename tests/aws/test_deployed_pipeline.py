"""What Terraform deploys, run as it is deployed: scripts, library, arguments and Spark settings are those of the Glue
API, on a real source and warehouse; then the lake is read as others read it, by its catalog.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import time
from decimal import Decimal
from pathlib import Path
from time import sleep
from typing import Any
from uuid import uuid4

import boto3
import pytest
from pyiceberg.catalog import Catalog, load_catalog

from retail_etl import model, spark
from retail_etl.postgres import Database, quoted
from retail_etl.runtime import Progress
from retail_etl.schema import StarTable
from retail_etl.warehouse_ddl import qualified
from scripts.deployed import run_deployed
from scripts.glue_graph import read_graph, read_job
from scripts.glue_process import JobProcess, deployed_settings
from tests.aws.conftest import ROOT, Aws, Deployment
from tests.integration.world import SOURCE_ROWS, World

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MORE_ROWS = "INSERT INTO currency (currency_id, currency_code) VALUES (2, 'EUR')"
CHANGES = """
INSERT INTO sales_order (sales_order_id, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,
    agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id)
  VALUES (101, 9, 5, 2, 1, 0.01, 1, '2024-03-02', '2024-03-01', 3);
UPDATE payment SET paid = true, last_updated = now() WHERE payment_id = 70;
UPDATE design SET design_name = 'Metal', last_updated = now();
DELETE FROM currency WHERE currency_id = 2;
"""


@pytest.fixture
def deployed(deployment: Deployment, world: World, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """With its secrets, which are all that leads to the databases."""
    for name, value in deployment.aws.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SPARK_DRIVER_MEMORY", "1g")
    world.source.run("GRANT pg_read_all_stats TO reader")
    # Hadoop's S3 client, which Glue does not use, copies no object that has a KMS key where there is no HTTPS.
    deployment.aws.client("s3").delete_bucket_encryption(Bucket=deployment.outputs["buckets"]["raw"])
    for purpose, role in (("production", "source"), ("warehouse", "warehouse")):
        secret = json.dumps(_secret(world.databases[role]))
        client = deployment.aws.client("secretsmanager")
        client.put_secret_value(SecretId=deployment.outputs["secrets"][purpose], SecretString=secret)
    return deployment


def _secret(database: Database) -> dict[str, Any]:
    names = ("host", "port", "user", "password", "database")
    return {**{name: getattr(database, name) for name in names}, "sslmode": database.ssl_mode}


def test_the_deployed_pipeline_brings_the_source_into_lake_and_warehouse(
    deployed: Deployment, world: World, tmp_path: Path
) -> None:
    glue, workflow = deployed.aws.client("glue"), deployed.outputs["workflows"]["pipeline"]
    for job in read_graph(glue, workflow).jobs.values():
        assert spark.settings().items() <= deployed_settings(job).items()
    world.source.run(SOURCE_ROWS)
    world.source.run(MORE_ROWS)
    _run_job(deployed, "extract", tmp_path)  # a first batch, which waits
    world.source.run(CHANGES)
    _run_job(deployed, "detect", tmp_path)
    (started,) = glue.get_workflow_runs(Name=workflow)["Runs"]
    run = run_deployed(workflow, Progress(), tmp_path, started["WorkflowRunId"])
    assert (run.status, run.error, run.warnings, run.batch_id) == ("succeeded", None, [], 2)

    catalog, database = _catalog(deployed.aws), deployed.outputs["lake_database"]
    names = {table.name for table in (*model.STAR.values(), model.QUALITY_RESULT)}
    assert {name for _, name in catalog.list_tables(database)} == names
    rows = _expect_equal(catalog, database, world)
    versions = {
        name: len(rows[name]) for name in ("fact_sales_order", "fact_payment", "dim_currency", "deleted_record")
    }
    assert versions == {"fact_sales_order": 2, "fact_payment": 2, "dim_currency": 2, "deleted_record": 1}
    assert world.warehouse.run("SELECT design_name FROM dim_design") == [["Metal"]]

    _run_job(deployed, "detect", tmp_path)  # which finds nothing more
    assert len(glue.get_workflow_runs(Name=workflow)["Runs"]) == 1
    found = deployed.aws.client("cloudwatch").list_metrics(Namespace=deployed.outputs["name"])["Metrics"]
    measured = {metric["MetricName"] for metric in found}
    assert {"QuarantinedRows", "EvaluatedExpectations", "GateSeconds", "SecondsBehindSource"} <= measured
    logs = "".join(log.read_text() for log in tmp_path.rglob("*.log"))
    assert "INFO retail_etl" in logs
    assert "only reads" not in logs


@pytest.mark.long
def test_a_lake_on_s3_needs_no_deployment(aws: Aws, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    region = "us-east-1"  # with a catalog of its own
    for name, value in {**aws.environment, "AWS_REGION": region, "AWS_DEFAULT_REGION": region}.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="undeployed")
    source, warehouse = world.databases["source"], world.databases["warehouse"]
    urls = ("--source", source.url, "--warehouse", warehouse.url, "--lake", "s3://undeployed/lake")
    for rows in (SOURCE_ROWS + MORE_ROWS, CHANGES):
        world.source.run(rows)
        command = [sys.executable, str(ROOT / "scripts" / "etl.py"), "run", *urls]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert len(_expect_equal(_catalog(aws), "star", world)["fact_payment"]) == 2


def _run_job(deployed: Deployment, job: str, folder: Path) -> None:
    """One job, by itself."""
    definition = read_job(deployed.aws.client("glue"), deployed.outputs["jobs"][job])
    identity = {"--JOB_NAME": definition.name, "--JOB_RUN_ID": f"alone_{uuid4().hex}"}
    process = JobProcess(deployed.aws.client("s3"), definition, identity, folder / job, 300.0)
    while (state := process.state()) == "RUNNING":
        sleep(0.1)
    assert state == "SUCCEEDED", process.log.read_text()


def _catalog(aws: Aws) -> Catalog:
    return load_catalog("lake", type="glue", **{"glue.endpoint": aws.endpoint, "s3.endpoint": aws.endpoint})


def _expect_equal(catalog: Catalog, database: str, world: World) -> dict[str, list[str]]:
    """The rows of each table, which are the same in lake and warehouse."""
    rows = {name: _in_lake(catalog, database, table) for name, table in model.WAREHOUSE.items()}
    assert rows == {name: _in_warehouse(world, table) for name, table in model.WAREHOUSE.items()}
    return rows


def _in_lake(catalog: Catalog, database: str, table: StarTable) -> list[str]:
    found = catalog.load_table((database, table.name)).scan().to_arrow().to_pylist()
    return _comparable([row[name] for name in table.column_names] for row in found)


def _in_warehouse(world: World, table: StarTable) -> list[str]:
    columns = ", ".join(quoted(name) for name in table.column_names)
    return _comparable(world.warehouse.run(f"SELECT {columns} FROM {qualified(table)}"))


def _comparable(rows: Iterable[list[Any]]) -> list[str]:
    """In one order, and one form: the lake has times as text with microseconds, and decimals with all their digits."""

    def form(value: Any) -> Any:
        if isinstance(value, time):
            return value.isoformat("microseconds")
        return value.normalize() if isinstance(value, Decimal) else value

    return sorted(repr([form(value) for value in row]) for row in rows)
