"""docs/operations.md has a section for each alarm that was deployed, and for none that was not."""

import re

import pytest

from retail_etl import model
from tests.aws.conftest import ROOT, Deployment

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AFTER_THE_ALARMS = "## What has no alarm"


@pytest.fixture(scope="module")
def alarms(deployment: Deployment) -> set[str]:
    metric = deployment.aws.client("cloudwatch").get_paginator("describe_alarms").paginate()
    rules = deployment.aws.client("events").list_rules()["Rules"]
    names = [alarm["AlarmName"] for page in metric for alarm in page["MetricAlarms"]] + [rule["Name"] for rule in rules]
    prefix = f"{deployment.outputs['name']}-"
    assert all(name.startswith(prefix) for name in names)
    return {name.removeprefix(prefix) for name in names}


def test_each_alarm_has_its_section_and_each_section_its_alarm(deployment: Deployment, alarms: set[str]) -> None:
    text, _, others = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition(AFTER_THE_ALARMS)
    assert others
    sections = set(re.findall(r"^## (.+)$", text, re.MULTILINE))
    names = {"<table>": list(model.SOURCE), "<job>": list(deployment.outputs["log_groups"])}
    expected = {
        section.replace(kind, name)
        for section in sections
        for kind in [next((kind for kind in names if kind in section), "")]
        for name in names.get(kind, [""])
    }
    assert alarms == expected


def test_each_alarm_says_where_to_read(deployment: Deployment) -> None:
    for page in deployment.aws.client("cloudwatch").get_paginator("describe_alarms").paginate():
        for alarm in page["MetricAlarms"]:
            assert "docs/operations.md" in alarm["AlarmDescription"]
            assert alarm["AlarmActions"] == [deployment.outputs["alarm_topic"]]
