"""What holds for all tests, and for every process that they start."""

import os
from pathlib import Path

import pytest
from _pytest.nodeid import coerce_node_id

# Read when a Spark starts, here or in a subprocess. Set to nothing, it has the tests run Spark as production does.
os.environ.setdefault("SPARK_CONF_DIR", str(Path(__file__).with_name("spark")))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--dist loadgroup`, tests that share what takes long to make stay with one worker, and what takes long
    begins first, so that no worker is left alone with it.

    xdist 3.8 tells its scheduler of a group by the end of a test's id, and writes it where pytest 9.2 does not look any
    more: `xdist_group` alone is passed over in silence.
    """
    if not getattr(config.option, "loadgroup", False):
        return
    ranks: dict[str, int] = {}
    for item in items:
        if group := _group(item):
            item._id = coerce_node_id(f"{item.nodeid}@{group}")
        key = group or item.nodeid
        ranks[key] = min(ranks.get(key, _rank(item)), _rank(item))
    items.sort(key=lambda item: ranks[_group(item) or item.nodeid])


def _group(item: pytest.Item) -> str | None:
    """What its tests share: the deployment, or a fixture of their module."""
    definitions = item._fixtureinfo.name2fixturedefs
    if "deployment" in definitions:
        return "deployment"
    shared = any(found[-1].scope == "module" for found in definitions.values())
    return f"{item.path.parent.name}/{item.path.stem}" if shared else None


def _rank(item: pytest.Item) -> int:
    """The deployment, which takes longest, is 0; a test of a second or less is 3."""
    if "deployment" in item._fixtureinfo.name2fixturedefs:
        return 0
    return 1 if item.get_closest_marker("slow") else 2 if item.get_closest_marker("integration") else 3
