"""Data Docs: what the quality gates found, as a static site that needs no network.

The gates store Great Expectations' own results; its renderers make the tables. The pages around them are ours
(`templates/`): those of Great Expectations load styles, icons and scripts from seven hosts, and are bare without them.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from retail_etl.errors import StateError
from retail_etl.raw import Manifest, RawZone
from scripts.site import INDEX, write_site

LAYERS = ("raw", "star")
SEVERITIES = ("critical", "warning", "info")
PAGES = "validations/"
_TEMPLATES = Path(__file__).resolve().parent / "templates"
_ROW_COUNT = "expect_table_row_count_to_equal"
# A lake from before the gates kept their results may have very many batches without any.
_LOOKED_AT = 500


def build(zone: RawZone, output: str, batches: int = 20) -> str:
    """Build the site of the last `batches` batches that a gate looked at, in a folder or at `s3://bucket/prefix`.

    Gives the index's address. An older site in that place is overwritten. StateError where no batch was validated.
    """
    checked = _checked(zone, batches)
    if not checked:
        raise StateError(f"No gate has looked at a batch of {zone.location} yet: run the workflow first (etl.py run).")
    view = _view()
    pages = {table.page: _table_page(view, batch, table) for batch in checked for table in batch.tables}
    pages[INDEX] = view.env.get_template("data_docs_index.html").render(
        batches=checked, lake=zone.location, layers=LAYERS, severities=SEVERITIES
    )
    return write_site(output, pages, PAGES)


# ---------------------------------------------------------------------------- what the gates stored


@dataclass(frozen=True)
class Table:
    """Great Expectations' result for one table of a batch, as a gate stored it."""

    batch_id: int
    layer: str
    result: Manifest

    @property
    def name(self) -> str:
        """The table, which is the suite's name."""
        return str(self.result["suite_name"])

    @property
    def page(self) -> str:
        """Where the table's page stands, from the index."""
        return f"{PAGES}batch_{self.batch_id:06}/{self.layer}/{re.sub(r'[^0-9A-Za-z_-]', '_', self.name)}.html"

    @property
    def rules(self) -> list[Manifest]:
        """The result of each expectation: those that rows break first, the most severe ones at the top."""
        return sorted(
            self.result["results"],
            key=lambda rule: (bool(rule["success"]), SEVERITIES.index(_severity(rule))),
        )

    @cached_property
    def broken(self) -> Counter[str]:
        """Severity → how many expectations rows break."""
        return Counter(_severity(rule) for rule in self.result["results"] if not rule["success"])

    @property
    def worst(self) -> str:
        """The gravest severity of what is broken; `success` where nothing is."""
        return next((severity for severity in SEVERITIES if self.broken[severity]), "success")

    @property
    def checked_at(self) -> str:
        """When the gate looked at it, in UTC; empty where the result does not say."""
        loaded = (self.result.get("meta") or {}).get("batch_markers", {}).get("ge_load_time")
        if not loaded:
            return ""
        return f"{datetime.strptime(loaded, '%Y%m%dT%H%M%S.%fZ').replace(tzinfo=UTC):%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True)
class Batch:
    """A batch that a gate looked at. `rejected_because`: what was said when it was refused, if it was."""

    batch_id: int
    tables: tuple[Table, ...]
    rejected_because: str | None

    @property
    def checked_at(self) -> str:
        """When the last table was looked at, in UTC."""
        return max(table.checked_at for table in self.tables)

    def layer(self, name: str) -> list[Table]:
        """Its tables in a layer: those with broken expectations first."""
        found = [table for table in self.tables if table.layer == name]
        return sorted(found, key=lambda table: (not table.broken.total(), table.name))

    def rules(self, layer: str) -> int:
        """How many expectations the layer's gate looked at."""
        return sum(len(table.result["results"]) for table in self.layer(layer))

    def broken(self, layer: str) -> Counter[str]:
        """Severity → how many expectations of the layer rows break."""
        return sum((table.broken for table in self.layer(layer)), Counter[str]())


def _checked(zone: RawZone, most: int) -> list[Batch]:
    found: list[Batch] = []
    latest = zone.latest()
    for batch_id in range(latest, max(0, latest - _LOOKED_AT), -1):
        if len(found) == most:
            break
        if tables := tuple(_tables(zone, batch_id)):
            rejection = zone.rejection(batch_id) or {}
            found.append(Batch(batch_id, tables, rejection.get("reason")))
    return found


def _tables(zone: RawZone, batch_id: int) -> Iterator[Table]:
    for layer in LAYERS:
        stored = zone.manifest(batch_id, f"validation_{layer}") or {}
        yield from (Table(batch_id, layer, result) for result in stored.get("results", []))


def _meta(rule: Manifest) -> Manifest:
    return rule["expectation_config"].get("meta") or {}


def _severity(rule: Manifest) -> str:
    said = str(_meta(rule).get("severity"))
    return said if said in SEVERITIES else SEVERITIES[0]


# ---------------------------------------------------------------------------- pages


def _view() -> Any:
    """Great Expectations' templates with ours beside them."""
    # It would call home when it is imported.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    from great_expectations.render.view import DefaultJinjaPageView

    return DefaultJinjaPageView(custom_views_directory=str(_TEMPLATES))


def _table_page(view: Any, batch: Batch, table: Table) -> str:
    from great_expectations.render import RenderedDocumentContent, RenderedSectionContent

    rules = {
        "Broken expectations": [rule for rule in table.rules if not rule["success"]],
        "Expectations that hold": [rule for rule in table.rules if rule["success"]],
    }
    document = RenderedDocumentContent(
        renderer_type="ValidationResultsPageRenderer",
        page_title=f"{table.name}, {table.layer}, batch {table.batch_id}",
        expectation_suite_name=table.name,
        sections=[
            RenderedSectionContent(section_name=name, content_blocks=[_block(table, shown)])
            for name, shown in rules.items()
            if shown
        ],
    )
    root = "../" * table.page.count("/")
    return view.render(document, "data_docs_table.html", batch=batch, table=table, home=f"{root}{INDEX}")


def _block(table: Table, rules: list[Manifest]) -> Any:
    """Great Expectations' table of some results."""
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
    from great_expectations.render.renderer.content_block import ValidationResultsTableContentBlockRenderer

    told = {**table.result, "results": [_in_our_words(rule) for rule in rules]}
    results = expectationSuiteValidationResultSchema.load(told).results
    block: Any = ValidationResultsTableContentBlockRenderer.render(results)
    for rule, row in zip(rules, block.table, strict=True):
        row[-1] = _observed(rule)
        for part in row[1] if isinstance(row[1], list) else []:
            _say_rows(part, rule)
    if all(rule["success"] for rule in rules):
        # Where nothing is broken, nothing was counted.
        block.header_row, block.table = block.header_row[:-1], [row[:-1] for row in block.table]
    return block


def _say_rows(part: Any, rule: Manifest) -> None:
    """Great Expectations counts and shows values; ours are rows and their keys."""
    if part.content_block_type == "table":
        part.header_row = ["Keys of some of them"]
    elif part.content_block_type == "string_template" and "unexpected_count" in part.string_template.get("params", {}):
        counts = rule["result"]
        told = f"{counts['unexpected_count']:,} of {counts['element_count']:,} rows break it."
        part.string_template |= {"template": told, "tag": "div"}


def _in_our_words(rule: Manifest) -> Manifest:
    """The result with our rule as its description, which Data Docs show in the place of column and arguments.

    Descriptions, values and what was raised are put on the page as they are: they are escaped here.
    """
    told = deepcopy(rule)
    config, meta, severity = told["expectation_config"], _meta(rule), _severity(rule)
    if requirement := meta.get("requirement"):
        subject = str(meta.get("expectation", "")).rpartition(":")[0]
        config["description"] = (
            f"<code>{escape(subject)}</code> {escape(str(requirement))} "
            f'<span class="badge {severity}">{severity}</span>'
        )
    result = _escaped(rule.get("result") or {})
    if keys := (rule.get("result") or {}).get("partial_unexpected_list"):
        result["partial_unexpected_list"] = [escape(str(key)) for key in keys]
    # No row breaks a row count: some are too many, or not there.
    told["result"] = {} if config["type"] == _ROW_COUNT else result
    told["exception_info"] = _escaped(rule.get("exception_info") or {})
    return told


def _observed(rule: Manifest) -> str:
    result, config = rule.get("result") or {}, rule["expectation_config"]
    if config["type"] == _ROW_COUNT and "element_count" in result:
        return f"{result['element_count']:,} rows, not {config['kwargs']['value']:,}"
    if "unexpected_percent" in result:
        return f"{result['unexpected_percent']:.3g}% of the rows"
    return ""


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return escape(value) if isinstance(value, str) else value
