"""What `etl.py status` shows of a lake, all of it read from its manifests."""

from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from retail_etl import model
from retail_etl.mass_deletions import describe
from retail_etl.raw import STAGES, Manifest, RawZone

BATCHES_SHOWN = 10

Status = dict[str, Any]


def read_status(zone: RawZone) -> Status:
    """The last batches, the newest first, the watermark of every table, how fresh the lake is, and what gates said."""
    latest = zone.latest()
    batches = [_batch(zone, batch_id) for batch_id in range(latest, max(0, latest - BATCHES_SHOWN), -1)]
    tables = (zone.last_extract() or {}).get("tables", {})
    return {
        "lake": zone.location,
        "published": _published(zone),
        "certificate": zone.last_certificate(),
        "withheld_deletions": zone.withheld_deletions(),
        "quarantine": zone.held(),
        "batches": batches,
        "watermarks": [_watermark(name, tables[name]) for name in model.SOURCE if name in tables],
    }


def _batch(zone: RawZone, batch_id: int) -> Status:
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
        "expectations": {
            layer: manifests[stage]["expectations"]
            for layer, stage in (("raw", "quality_raw"), ("star", "publish"))
            if stage in manifests
        },
    }


def _published(zone: RawZone) -> Status | None:
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


# ---------------------------------------------------------------------------- for people


def show_status(console: Console, status: Status) -> None:
    """The status on one screen."""
    console.print(
        _freshness(status),
        *_completeness(status),
        *_quarantine(status),
        Text(),
        *_batches(status),
        Text(),
        *_watermarks(status),
        sep="\n",
    )


def _freshness(status: Status) -> Text:
    published = status["published"]
    if published is None:
        return Text("Nothing is published yet.", style="yellow")
    who = "lake and warehouse show" if published["loaded"] else "the lake shows, and the warehouse not yet,"
    age = _duration(published["age_seconds"])
    return Text(f"{who} batch {published['batch_id']}: the source as of {age} ago.")


def _completeness(status: Status) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(line, style="yellow") for line in describe(status["withheld_deletions"])]
    certificate = status["certificate"]
    if certificate is None:
        return [*lines, Text("source, lake and warehouse were never compared: etl.py reconcile.", style="yellow")]
    through = f"{certificate['verified_through'][:19]} ({certificate['time_zone']})"
    differing = [name for name, entry in certificate["tables"].items() if not entry["agrees"]]
    if differing:
        return [*lines, Text(f"not equal at {through}: {', '.join(differing)}. etl.py reconcile --heal.", style="red")]
    rows = sum(entry["rows"] for entry in certificate["tables"].values())
    return [
        *lines,
        Text(f"source = lake = warehouse at {through}: {rows:,} rows of {len(certificate['tables'])} tables"),
    ]


def _quarantine(status: Status) -> list[RenderableType]:
    held = status["quarantine"]
    lines: list[RenderableType] = [Text("Nothing is in quarantine.")]
    if held:
        rows = ", ".join(f"{count:,} of {table}" for table, count in held.items())
        lines = [Text(f"in quarantine: {rows}. etl.py quarantine list says why.", style="yellow")]
    reported = status["batches"][0]["reported"] if status["batches"] else []
    return [*lines, *(Text(f"reported: {line}", style="dim") for line in reported)]


def _batches(status: Status) -> list[RenderableType]:
    table = Table(
        "batch", "started (UTC)", "rows", "last stage", "raw gate", "set aside", "star gate", box=None, pad_edge=False
    )
    reasons: list[RenderableType] = []
    for batch in status["batches"]:
        met = batch["expectations"]
        table.add_row(
            str(batch["batch_id"]),
            (batch["started_at"] or "")[:19].replace("T", " "),
            f"{batch['rows']:,}",
            Text(batch["state"], style="red" if batch["rejected_because"] else ""),
            f"{met['raw']} met" if "raw" in met else "",
            f"{batch['set_aside']:,}" if batch["set_aside"] else "",
            f"{met['star']} met" if "star" in met else "",
        )
        if batch["rejected_because"]:
            reasons.append(Text(f"Batch {batch['batch_id']} was rejected: {batch['rejected_because']}", style="red"))
    return [table, *reasons]


def _watermarks(status: Status) -> list[RenderableType]:
    table = Table("table", "greatest last_updated", "next read from", box=None, pad_edge=False)
    lines: list[RenderableType] = [table]
    for mark in status["watermarks"]:
        if mark["extract"] == "incremental":
            table.add_row(mark["table"], mark["greatest_last_updated"] or "", mark["next_fence"] or "the beginning")
    copies = [
        f"{mark['table']} {mark['full_copy_batch_id']}" for mark in status["watermarks"] if mark["full_copy_batch_id"]
    ]
    if copies:
        lines.append(Text(f"Read whole when they change, last in batch: {', '.join(copies)}."))
    lines += [
        Text(f"{mark['table']} has columns that the model does not know: {', '.join(mark['unknown_columns'])}.")
        for mark in status["watermarks"]
        if mark["unknown_columns"]
    ]
    return lines


def _duration(seconds: int) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
