"""What `etl.py status` and the report know of a lake, all of it read from its manifests."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from retail_etl import lease, model
from retail_etl.manifests import STAGES, Manifest, Manifests

BATCHES_SHOWN = 10

Status = dict[str, Any]


def read_status(zone: Manifests, shown: int = BATCHES_SHOWN) -> Status:
    """The last batches, the newest first, the watermark of every table, how fresh the lake is, and what gates said."""
    latest = zone.latest()
    batches = [_batch(zone, batch_id) for batch_id in range(latest, max(0, latest - shown), -1)]
    tables = (zone.last_extract() or {}).get("tables", {})
    return {
        "lake": zone.location,
        "worked_on_by": lease.holder(zone.storage, zone.location),
        "published": _published(zone),
        "certificate": zone.last_certificate(),
        "withheld_deletions": zone.withheld_deletions(),
        "quarantine": zone.held(),
        "batches": batches,
        "watermarks": [_watermark(name, tables[name]) for name in model.SOURCE if name in tables],
    }


def _batch(zone: Manifests, batch_id: int) -> Status:
    manifests = {stage: found for stage in STAGES if (found := zone.manifest(batch_id, stage))}
    rejection = zone.rejection(batch_id)
    done = list(manifests)
    extract = manifests.get("extract", {})
    return {
        "batch_id": batch_id,
        "started_at": extract.get("started_at"),
        "rows": sum(entry["rows"] or 0 for entry in extract.get("tables", {}).values()),
        "state": "rejected" if rejection else done[-1] if done else "not extracted",
        "set_aside": sum(manifests.get("quality_raw", {}).get("set_aside", {}).values()),
        "reported": [
            line for stage in ("quality_raw", "publish") for line in manifests.get(stage, {}).get("reported") or []
        ],
        "rejected_because": rejection["reason"] if rejection else None,
        "stages": done,
        "seconds": dict(_seconds(manifests)),
        "expectations": {
            layer: manifests[stage]["expectations"]
            for layer, stage in (("raw", "quality_raw"), ("star", "publish"))
            if stage in manifests
        },
    }


def _seconds(manifests: Mapping[str, Manifest]) -> Iterator[tuple[str, float]]:
    """Stage → how long it worked on the batch: as its manifest says, else since the stage before had ended."""
    since = manifests.get("extract", {}).get("started_at")
    for stage, manifest in manifests.items():
        spent = manifest.get("seconds")
        if spent is None and since:
            spent = (datetime.fromisoformat(manifest["finished_at"]) - datetime.fromisoformat(since)).total_seconds()
        if spent is not None:
            yield stage, round(spent, 3)
        since = manifest["finished_at"]


def _published(zone: Manifests) -> Status | None:
    """The newest batch that readers see; `age_seconds`: since the moment of the source that it shows."""
    for batch_id in zone.standing():
        if zone.manifest(batch_id, "publish"):
            started = zone.expect_manifest(batch_id, "extract")["started_at"]
            loaded = zone.manifest(batch_id, "load") is not None
            return {
                "batch_id": batch_id,
                "as_of": started,
                "age_seconds": round(zone.age_seconds(batch_id)),
                "loaded": loaded,
            }
    return None


def _watermark(name: str, entry: Manifest) -> Status:
    return {
        "table": name,
        "extract": model.SOURCE[name].extract,
        "greatest_last_updated": entry.get("greatest_last_updated"),
        "next_fence": entry.get("next_fence"),
        "full_copy_batch_id": entry.get("full_copy_batch_id"),
        "unknown_columns": entry["unknown_columns"],
    }
