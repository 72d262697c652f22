"""What is deployed, as Terraform's outputs tell: buckets, secrets, workflows, log groups."""

import json
import os
import subprocess
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from retail_etl.errors import ConfigurationError
from retail_etl.postgres import Database
from scripts import terraform

FAILURES = (BotoCoreError, ClientError)
"""What boto3's calls raise."""


@dataclass(frozen=True)
class Deployment:
    """One deployment. `lake`: the raw zone with its manifests; the star's tables are in a bucket of their own."""

    region: str
    lake: str
    buckets: dict[str, str]
    lake_database: str
    secrets: dict[str, str]
    workflows: dict[str, str]
    log_groups: dict[str, str]

    def client(self, service: Any) -> Any:
        """A boto3 client in the deployment's region."""
        return boto3.client(service, region_name=self.region)

    def warehouse(self) -> Database:
        """The warehouse that its secret names."""
        name = self.secrets["warehouse"]
        try:
            secret = json.loads(self.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
        except FAILURES as error:
            cure = "Put its value there first: make create-warehouse-secret."
            raise ConfigurationError(f"The secret {name} cannot be read ({error}). {cure}") from error
        return Database.from_secret("warehouse", secret)


def read_deployment() -> Deployment:
    """What Terraform's state says. ConfigurationError where there is no Terraform, no state, or nothing in it."""
    if not terraform.installed():
        raise ConfigurationError(f"{terraform.MISSING}.")
    command = ["terraform", "output", "-json", "-no-color"]
    environment = terraform.environment()
    done = subprocess.run(command, cwd=terraform.FOLDER, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigurationError(
            f"Terraform has no state at hand: make plan first, which connects to it. {done.stderr.strip()}"
        )
    return from_outputs({name: output["value"] for name, output in json.loads(done.stdout).items()})


def from_outputs(outputs: dict[str, Any]) -> Deployment:
    """The deployment that these outputs, name → value, describe."""
    missing = sorted(Deployment.__dataclass_fields__.keys() - outputs.keys())
    if missing:
        raise ConfigurationError(f"Terraform's state has no output {', '.join(missing)}: make deploy first.")
    found = Deployment(**{name: outputs[name] for name in Deployment.__dataclass_fields__})
    os.environ.setdefault("AWS_DEFAULT_REGION", found.region)  # for the library, which takes it from there
    return found
