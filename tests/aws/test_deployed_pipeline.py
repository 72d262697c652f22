"""What Terraform deploys, run as it is deployed: scripts, library, arguments and Spark settings are those of the Glue
API, on a real source and warehouse; then the lake is read as others read it, by its catalog.
"""

import json
from collections.abc import Iterable
from datetime import time
from pathlib import Path
from time import sleep
from typing import Any

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
from tests.aws.conftest import Deployment
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
        if job.command == "glueetl":
            assert spark.settings().items() <= deployed_settings(job).items()
    world.source.run(SOURCE_ROWS)
    world.source.run(MORE_ROWS)
    (started,) = _detect(deployed, tmp_path)
    first = run_deployed(workflow, Progress(), tmp_path, started)
    assert (first.status, first.error, first.batch_id) == ("succeeded", None, 1)
    world.source.run(CHANGES)
    second = run_deployed(workflow, Progress(), tmp_path)
    assert (second.status, second.error, second.batch_id) == ("succeeded", None, 2)

    catalog = _catalog(deployed)
    names = {table.name for table in (*model.STAR.values(), model.QUALITY_RESULT)}
    assert {name for _, name in catalog.list_tables(deployed.outputs["lake_database"])} == names
    rows = {table.name: _in_lake(catalog, deployed, table) for table in model.WAREHOUSE.values()}
    assert rows == {table.name: _in_warehouse(world, table) for table in model.WAREHOUSE.values()}
    assert len(rows["fact_payment"]) == 2
    assert len(rows["fact_sales_order"]) == 2
    assert [len(rows[name]) for name in ("dim_currency", "deleted_record")] == [2, 1]
    assert world.warehouse.run("SELECT design_name FROM dim_design") == [["Metal"]]
    assert _detect(deployed, tmp_path) == []
    _assert_measured(deployed)
    logs = "".join(log.read_text() for log in tmp_path.rglob("*.log"))
    assert "only reads" not in logs
    assert "retail_etl" in logs


def _detect(deployed: Deployment, folder: Path) -> list[str]:
    """The ids of the runs that the deployed job `detect` starts now."""
    glue, workflow = deployed.aws.client("glue"), deployed.outputs["workflows"]["pipeline"]
    before = [run["WorkflowRunId"] for run in glue.get_workflow_runs(Name=workflow)["Runs"]]
    identity = {"--JOB_RUN_ID": f"detect_after_{len(before)}"}
    job = read_job(glue, deployed.outputs["jobs"]["detect"])
    process = JobProcess(deployed.aws.client("s3"), job, identity, folder / "detect", 60.0)
    while (state := process.state()) == "RUNNING":
        sleep(0.1)
    assert state == "SUCCEEDED", process.last_words()
    runs = [run["WorkflowRunId"] for run in glue.get_workflow_runs(Name=workflow)["Runs"]]
    return runs[len(before) :]


def _catalog(deployed: Deployment) -> Catalog:
    endpoint = {"glue.endpoint": deployed.aws.endpoint, "s3.endpoint": deployed.aws.endpoint}
    return load_catalog("lake", type="glue", **endpoint)


def _in_lake(catalog: Catalog, deployed: Deployment, table: StarTable) -> list[str]:
    found = catalog.load_table((deployed.outputs["lake_database"], table.name)).scan().to_arrow().to_pylist()
    return _comparable([row[name] for name in table.column_names] for row in found)


def _in_warehouse(world: World, table: StarTable) -> list[str]:
    columns = ", ".join(quoted(name) for name in table.column_names)
    return _comparable(world.warehouse.run(f"SELECT {columns} FROM {qualified(table)}"))


def _comparable(rows: Iterable[list[Any]]) -> list[str]:
    """In one order. The lake has times as text, with microseconds."""
    plain = ([one.isoformat("microseconds") if isinstance(one, time) else one for one in row] for row in rows)
    return sorted(map(repr, plain))


def _assert_measured(deployed: Deployment) -> None:
    namespace = deployed.outputs["name"]
    found = deployed.aws.client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"]
    names = {metric["MetricName"] for metric in found}
    assert {"QuarantinedRows", "EvaluatedExpectations", "GateSeconds", "SecondsBehindSource"} <= names
