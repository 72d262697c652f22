"""The state of a lake: which batches there are, and what is done with each. Without Spark, and for Python 3.9 as well.

    raw/<table>/batch_id=<id>/part-*.txt.lz4     the rows, one JSON object a line
    verdicts/batch_id=<id>/part-*.txt.lz4        which rows the raw gate set aside, and which came in again
    parsed/batch_id=<id>/<table>/*.parquet       many rows as the raw gate parsed them, until the transform is through
    batches/<id>/claim.json                      the id is taken
    batches/<id>/<stage>.json                    the manifest: this stage is done with the batch
    batches/<id>/rejected.json                   a gate refused it; later stages skip it
    batches/<id>/validation_<layer>.json         what Great Expectations found, for Data Docs
    certificates/<time>.json                     what reconcile found
    lake.json                                    which lake this is

All state is read from here. Nothing is ever rewritten, so whatever has no manifest did not happen.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import Any
from uuid import uuid4

from retail_etl import model
from retail_etl.errors import StateError
from retail_etl.schema import BATCH_ID, SourceTable
from retail_etl.storage import Storage, open_storage

STAGES = ("extract", "quality_raw", "transform", "publish", "load")
_EXPECTED = ".expected.json"

Manifest = dict[str, Any]


class Manifests:
    """The batches of one lake. Batch ids are dense and increase by one, each claimed exactly once."""

    def __init__(self, location: str) -> None:
        self.storage: Storage = open_storage(location)
        self.location = location

    # ------------------------------------------------------------------ the lake's identity

    def lake_id(self) -> str:
        """The id of this lake, made on first use; a warehouse's ledger names it."""
        if not self.storage.exists("lake.json"):
            self._create("lake.json", {"lake_id": str(uuid4()), "created_at": now()})
        return str(self._read("lake.json")["lake_id"])

    # ------------------------------------------------------------------ batches

    def latest(self) -> int:
        """The greatest id that was ever claimed; 0 where there is none. Takes about 2·log₂(id) look-ups."""
        if not self._claimed(1):
            return 0
        low, high = 1, 2
        while self._claimed(high):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._claimed(middle) else (low, middle)
        return low

    def claim(self) -> int:
        """A new batch id, ours alone."""
        batch_id = self.latest() + 1
        if not self._create(f"batches/{batch_id}/claim.json", {"batch_id": batch_id, "claimed_at": now()}):
            raise StateError(
                f"Batch {batch_id} of {self.location} was claimed by another run in this moment. "
                "One run at a time works on a lake: wait for the other one, then run again."
            )
        return batch_id

    def manifest(self, batch_id: int, stage: str) -> Manifest | None:
        """The manifest that the stage wrote for the batch; None where it is not done with it."""
        return self._find(f"batches/{batch_id}/{stage}.json")

    def expect_manifest(self, batch_id: int, stage: str) -> Manifest:
        """The same for a stage that must be done; StateError where it is not."""
        return self._read(f"batches/{batch_id}/{stage}.json")

    def finish(self, batch_id: int, stage: str, body: Manifest) -> None:
        """Write the manifest: the stage is done with the batch."""
        manifest = {"batch_id": batch_id, "stage": stage, "finished_at": now(), **body}
        if not self._create(f"batches/{batch_id}/{stage}.json", manifest):
            raise StateError(
                f"Batch {batch_id} has a manifest of stage {stage} already: two runs worked on it at once."
            )

    def note(self, batch_id: int, name: str, body: Manifest) -> Manifest:
        """Write something beside the manifests once, and give what stands there: ours, or an earlier run's."""
        self._create(f"batches/{batch_id}/{name}.json", body)
        return self._read(f"batches/{batch_id}/{name}.json")

    def reject(self, batch_id: int, reason: str) -> None:
        """Refuse the batch, and every later one: their fences begin where this one's end.

        The next extraction takes its fences from the last batch that was not rejected, so all changes come again.
        """
        for later in range(batch_id, self.latest() + 1):
            why = reason if later == batch_id else f"it follows batch {batch_id}, which was rejected"
            self._create(f"batches/{later}/rejected.json", {"batch_id": later, "rejected_at": now(), "reason": why})

    def rejection(self, batch_id: int) -> Manifest | None:
        """Why the batch was refused; None where it was not."""
        return self._find(f"batches/{batch_id}/rejected.json")

    def standing(self) -> Iterator[int]:
        """The ids of extracted batches that were not rejected, the newest first."""
        for batch_id in range(self.latest(), 0, -1):
            done = self.storage.exists(f"batches/{batch_id}/extract.json")
            if done and not self.storage.exists(f"batches/{batch_id}/rejected.json"):
                yield batch_id

    def last_extract(self) -> Manifest | None:
        """The manifest of the last extraction that stands: where the next one's fences come from."""
        batch_id = next(self.standing(), None)
        return None if batch_id is None else self.expect_manifest(batch_id, "extract")

    def to_build_on(self, anew: Collection[str] = ()) -> Manifest:
        """Source table → its entry in the last extraction, as far as the next one can go by it: not those of snapshot
        tables whose full copy is damaged, or is to be made `anew`.
        """
        tables: Manifest = (self.last_extract() or {}).get("tables", {})
        return {
            name: entry
            for name, entry in tables.items()
            if name in model.SOURCE
            and (model.SOURCE[name].extract == "incremental" or not (name in anew or self._is_damaged(name, entry)))
        }

    def withheld_deletions(self) -> Manifest:
        """Source table → the deletions that were not believed and not accepted so far (see `deletions`)."""
        for batch_id in self.standing():
            if done := self.manifest(batch_id, "transform"):
                withheld: Manifest = done["withheld_deletions"]
                return withheld
        return {}

    def held(self) -> dict[str, int]:
        """Source table → how many of its rows are in quarantine, after the last batch that the raw gate let through."""
        for batch_id in self.standing():
            if done := self.manifest(batch_id, "quality_raw"):
                return {name: rows for name, rows in done.get("held", {}).items() if rows}
        return {}

    def age_seconds(self, batch_id: int) -> float:
        """How long ago the source was as the batch shows it."""
        taken_at = datetime.fromisoformat(self.expect_manifest(batch_id, "extract")["started_at"])
        return (datetime.now(timezone.utc) - taken_at).total_seconds()

    def usual_rows(self, before: int, batches: int = 20, at_least: int = 5) -> dict[str, int]:
        """Source table → the most rows that it had in the last batches before this one, whole first readings and what
        was read by key left out; without the tables that had fewer than `at_least` such batches.
        """
        found: dict[str, list[int]] = {}
        for batch_id in islice((standing for standing in self.standing() if standing < before), batches):
            for name, entry in self.expect_manifest(batch_id, "extract")["tables"].items():
                is_first = entry["mode"] == "incremental" and entry.get("fence") is None
                if entry["rows"] is not None and not is_first:
                    found.setdefault(name, []).append(entry["rows"])
        return {name: max(rows) for name, rows in found.items() if len(rows) >= at_least}

    def waiting(self, stage: str) -> list[int]:
        """The batches that the stage before has finished and this one has not, in order."""
        before = STAGES[STAGES.index(stage) - 1]
        return [
            batch_id for batch_id in self.unfinished(stage) if self.storage.exists(f"batches/{batch_id}/{before}.json")
        ]

    def unfinished(self, stage: str) -> list[int]:
        """The extracted batches that the stage is not done with, in order, whatever the stages before it did.

        Every stage takes batches in order, so the walk back ends at the first that this stage is done with.
        """
        found: list[int] = []
        for batch_id in self.standing():
            if self.storage.exists(f"batches/{batch_id}/{stage}.json"):
                break
            found.insert(0, batch_id)
        return found

    def published_after(self, batch_id: int) -> list[int]:
        """The published batches above the id, in order."""
        found: list[int] = []
        for later in self.standing():
            if later <= batch_id:
                break
            if self.storage.exists(f"batches/{later}/publish.json"):
                found.insert(0, later)
        return found

    def has_published(self) -> bool:
        """Whether any batch is in the lake."""
        return any(self.storage.exists(f"batches/{batch_id}/publish.json") for batch_id in self.standing())

    # ------------------------------------------------------------------ certificates

    def certify(self, body: Manifest) -> None:
        """Write down that source, lake and warehouse were found equal, or where they were not."""
        compared_at = body.get("compared_at", now())
        self._create(f"certificates/{compared_at}.json", {"compared_at": compared_at, **body, "issued_at": now()})

    def last_certificate(self) -> Manifest | None:
        """The newest certificate; None where there is none."""
        names = [name for name in self.storage.sizes("certificates/") if not name.endswith(_EXPECTED)]
        return self._read(max(names)) if names else None

    def expect_verification(self, body: Manifest) -> None:
        """Write down what a comparison found, for `certify` to go by when the stages have taken what it extracted."""
        compared_at = now()
        self._create(f"certificates/{compared_at}{_EXPECTED}", {"compared_at": compared_at, **body})

    def expected_verification(self) -> Manifest | None:
        """The last comparison, where it is not certified yet."""
        names = [name for name in self.storage.sizes("certificates/") if name.endswith(_EXPECTED)]
        last = max(names, default=None)
        done = last is None or self.storage.exists(last.removesuffix(_EXPECTED) + ".json")
        return None if last is None or done else self._read(last)

    # ------------------------------------------------------------------ objects of the raw zone

    def damage(self, table: SourceTable, extract: Manifest) -> str | None:
        """What is wrong with the table's objects of a batch, by their sizes; None where nothing is."""
        found = self.storage.sizes(folder(table.name, extract["batch_id"]))
        for name, size in extract["tables"][table.name]["objects"].items():
            if found.get(name) != size:
                there = found.get(name, "none")
                return f"{name} of batch {extract['batch_id']} was written with {size} bytes, and now has {there}."
        return None

    def _is_damaged(self, name: str, entry: Manifest) -> bool:
        """Whether the full copy that a snapshot table's entry names is not there as it was written."""
        return self.damage(model.SOURCE[name], self.expect_manifest(entry["full_copy_batch_id"], "extract")) is not None

    # ------------------------------------------------------------------ plumbing

    def _claimed(self, batch_id: int) -> bool:
        return self.storage.exists(f"batches/{batch_id}/claim.json")

    def _create(self, name: str, body: Manifest) -> bool:
        return self.storage.create(name, json.dumps(body, indent=1, ensure_ascii=False).encode())

    def _find(self, name: str) -> Manifest | None:
        data = self.storage.read(name)
        if data is None:
            return None
        try:
            body: Manifest = json.loads(data)
        except json.JSONDecodeError as error:
            raise StateError(f"{name} in {self.location} is no JSON ({error}): restore it from a backup.") from error
        return body

    def _read(self, name: str) -> Manifest:
        body = self._find(name)
        if body is None:
            raise StateError(f"{name} is missing in {self.location}: restore it from a backup, or rebuild the lake.")
        return body


def parsed_folder(batch_id: int) -> str:
    """Where the raw gate leaves the rows of a batch as it parsed them."""
    return f"parsed/{BATCH_ID}={batch_id}/"


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def folder(table: str, batch_id: int) -> str:
    """Where a batch's rows of a source table lie."""
    return f"raw/{table}/{BATCH_ID}={batch_id}/"
