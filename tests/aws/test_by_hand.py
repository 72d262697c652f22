"""What `make` does by hand on a deployment, on the one that Terraform made."""

from pathlib import Path

import pytest

from retail_etl.postgres import Database
from scripts import terraform
from scripts.aws import chosen, put_secret
from scripts.deployment import Deployment, from_outputs, read_deployment
from tests.aws import conftest

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def deployed(deployment: conftest.Deployment, configuration: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    for name, value in deployment.aws.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(terraform, "FOLDER", configuration)
    return read_deployment()


def test_terraforms_state_tells_all_that_the_commands_need(deployment: conftest.Deployment, deployed: Deployment):
    assert deployed == from_outputs(deployment.outputs)
    assert {"pipeline", "reconcile", "rebuild"} <= deployed.workflows.keys()
    raw, lake = deployed.buckets["raw"], deployed.buckets["lake"]
    shown = [place.describe() for what in ("raw", "lake") for place in chosen(what, deployed, "", "")]
    assert [text.partition(": ")[0] for text in shown] == [f"raw zone s3://{raw}", f"lake s3://{lake}"]


def test_a_secret_that_was_put_is_the_warehouse_that_jobs_read(deployed: Deployment):
    put_secret(deployed, "warehouse", "postgresql://etl:secret@db.example/warehouse")
    assert deployed.warehouse() == Database.from_url("warehouse", "postgresql://etl:secret@db.example/warehouse")
