"""What the report shows of the pipeline besides answers to queries: read from manifests alone, no rows."""

from typing import Any

from retail_etl.manifests import STAGES, Manifest, Manifests
from scripts.health import PROMISED_MINUTES, Look, Places, assess
from scripts.lake_status import read_status

BATCHES = 30

State = dict[str, Any]


def read_pipeline_state(zone: Manifests, look: Look | None) -> State:
    """Freshness, the last batches (the oldest first) with the seconds of each stage, the certificate, what is wrong."""
    status = read_status(zone, BATCHES)
    return {
        "lake": zone.location,
        "promised_minutes": PROMISED_MINUTES,
        "stages": STAGES,
        "published": status["published"],
        "certificate": _certificate(status["certificate"]),
        "health": assess(status, look, Places.of(zone.location)),
        "batches": [_shown(batch) for batch in reversed(status["batches"])],
    }


def _certificate(found: Manifest | None) -> State | None:
    if found is None:
        return None
    tables = [
        {"table": name, "rows": entry["rows"], "agrees": entry["agrees"]} for name, entry in found["tables"].items()
    ]
    return {"verified_through": found["verified_through"], "time_zone": found["time_zone"], "tables": tables}


def _shown(batch: State) -> State:
    names = ("batch_id", "started_at", "rows", "state", "set_aside", "rejected_because", "seconds")
    return {name: batch[name] for name in names}
