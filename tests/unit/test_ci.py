"""Workflows pin what they run, ask for no more than they need, and call targets that there are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: (\./\.github/workflows/\S+|[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)")


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_pins_its_actions_by_commit_and_may_only_read(path: Path):
    uses = [line.strip(" -") for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if not PINNED.fullmatch(line)] == []
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job.get("permissions", {"contents": "read"}).items() <= {"contents": "read", "id-token": "write"}.items()
        assert "uses" in job or job["timeout-minutes"]


def test_one_pin_for_each_action():
    found = {
        tuple(line.split("uses: ")[1].split("@", 1))
        for path in WORKFLOWS
        for line in path.read_text(encoding="utf-8").splitlines()
        if "@" in line and "uses:" in line
    }
    assert len(found) == len({action for action, _ in found})


def test_only_pull_requests_of_this_repository_and_main_get_a_role_on_aws():
    assert read(ROOT / ".github/workflows/plan.yml")["jobs"]["plan"]["if"].endswith("== github.repository")
    deploy = read(ROOT / ".github/workflows/deploy.yml")
    assert deploy[True]["push"] == {"branches": ["main"]}  # YAML 1.1 reads `on` as true
    assert deploy["jobs"]["deploy"]["environment"] == "production"
    assert deploy["jobs"]["deploy"]["needs"] == "ci"
    assert deploy["concurrency"]["cancel-in-progress"] is False
    assert "id-token" not in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")


def test_every_target_that_a_workflow_makes_is_in_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    called = set(read(ROOT / ".github/workflows/ci.yml")["jobs"]["check"]["strategy"]["matrix"]["target"])
    for path in WORKFLOWS:
        called |= set(re.findall(r"run: make ([a-z-]+)", path.read_text(encoding="utf-8")))
    assert called - targets == set()
