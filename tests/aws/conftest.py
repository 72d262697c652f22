"""What tests of the deployment share: an AWS that answers on this machine, and all of `terraform/` applied to it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import pytest

from scripts import package, terraform
from tests.integration.conftest import connect, database, postgres, world

__all__ = ["connect", "database", "postgres", "world"]

ROOT = Path(__file__).resolve().parents[2]
REGION = "eu-west-2"
ENVIRONMENT = "test"

# What moto does not do: tags of an Athena workgroup, and conditions of a bucket's policy (what is denied under one is
# denied). Its S3 has no host name for each bucket.
_OVERRIDE = """
terraform {
  backend "local" {}
}

provider "aws" {
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}

resource "aws_s3_bucket_policy" "this" {
  for_each = {}
}
"""


@dataclass(frozen=True)
class Aws:
    """An AWS on this machine: where it answers, and what a process needs to use it and no other."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for boto3, Terraform and jobs."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """A boto3 client for it."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@dataclass(frozen=True)
class Deployment:
    """`terraform/` as it was applied: its outputs, and everything in it as `terraform show -json` tells it."""

    aws: Aws
    outputs: dict[str, Any]
    resources: list[dict[str, Any]]
    seconds: float

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Address → values of all resources of a type."""
        return {found["address"]: found["values"] for found in self.resources if found["type"] == kind}


def need_terraform() -> None:
    """Skip the test where there is no Terraform, but under CI."""
    if not terraform.installed() and not terraform.is_ci():
        pytest.skip(f"{terraform.MISSING}.")


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    """What TEST_AWS_ENDPOINT names; else a process of its own, for all servers of one process share what they hold."""
    if endpoint := os.environ.get("TEST_AWS_ENDPOINT"):
        yield Aws(endpoint)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        found = Aws(f"http://127.0.0.1:{port}")
        _await(server, f"{found.endpoint}/moto-api/data.json")
        yield found
    finally:
        server.terminate()
        server.wait()


def _await(server: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(150):
        assert server.poll() is None, "moto ended as soon as it was started"
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("moto does not answer")


@pytest.fixture(scope="session")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `terraform/` beside what it reads, with a package; initialised."""
    need_terraform()
    root = tmp_path_factory.mktemp("deployed")
    folder = root / "terraform"
    shutil.copytree(ROOT / "terraform", folder, ignore=shutil.ignore_patterns(".terraform", "*.tfvars", "*.tfstate*"))
    for name in ("glue_jobs", "lib"):
        (root / name).symlink_to(ROOT / name)
    _package(root / "build")
    (folder / "test_override.tf").write_text(_OVERRIDE, encoding="utf-8")
    run_terraform(folder, "init", "-input=false", "-no-color")
    return folder


def _package(build: Path) -> None:
    """The library as `make package` builds it. What else it builds comes from the internet, and is not needed here."""
    build.mkdir()
    archive = build / "retail_etl.zip"
    archive.write_bytes(package.zipped(package.read_library()))
    entry = {"file": archive.name, "sha256": sha256(archive.read_bytes()).hexdigest()}
    described = {"library": entry, "dependencies": None, "python_shell": entry}
    (build / "package.json").write_text(json.dumps(described), encoding="utf-8")


def run_terraform(folder: Path, *arguments: str, **environment: str) -> str:
    """Terraform's standard output; its error is the test's."""
    done = subprocess.run(
        ["terraform", *arguments],
        cwd=folder,
        env=terraform.environment() | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _network(aws: Aws) -> dict[str, Any]:
    """The VPC of somebody who deploys: a private subnet, its route table, and the group of a database."""
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    zone = f"{REGION}a"
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    database = ec2.create_security_group(VpcId=vpc, GroupName="database", Description="PostgreSQL")["GroupId"]
    return {
        "vpc_id": vpc,
        "subnet_id": subnet,
        "availability_zone": zone,
        "route_table_ids": [table],
        "database_security_group_ids": [database],
    }


@pytest.fixture(scope="session")
def deployment(aws: Aws, configuration: Path) -> Deployment:
    """All of it, applied."""
    since = time.monotonic()
    given = json.dumps({"environment": ENVIRONMENT, **_network(aws)})
    (configuration / "test.auto.tfvars.json").write_text(given, encoding="utf-8")
    run_terraform(configuration, "apply", "-auto-approve", "-input=false", "-no-color", **aws.environment)
    seconds = time.monotonic() - since
    shown = json.loads(run_terraform(configuration, "show", "-json", **aws.environment))["values"]
    outputs = {name: output["value"] for name, output in shown["outputs"].items()}
    return Deployment(aws, outputs, shown["root_module"]["resources"], seconds)
