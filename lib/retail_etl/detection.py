"""Whether a run of the workflow would find anything to do. Without Spark, and for Python 3.9 as well.

The answer is made of what the stages themselves go by: the extraction's check and fingerprints, the manifests, the
warehouse's ledger. What commits after its snapshot, the next look finds.
"""

from __future__ import annotations

from collections.abc import Collection

from retail_etl import ledger, mass_deletions, model
from retail_etl.contract import Declared
from retail_etl.errors import StateError
from retail_etl.job import BareJob, Result
from retail_etl.manifests import STAGES, Manifest, Manifests
from retail_etl.postgres import Database
from retail_etl.source import Snapshot, open_snapshot

WISHES = ("accept_deletions", "accept_source", "accept_contract", "redrive", "rebuild")
"""Options with which a run does something although nothing has changed."""


def look(job: BareJob, zone: Manifests) -> tuple[str | None, Result]:
    """Why a run is needed, None where it would find nothing; and the result that it would have then.

    The errors are those that the run would end with: of a source that cannot be read, or is not as it was.
    """
    needed = Result("succeeded")
    if reason := _wished(job) or _waiting(zone) or _not_loaded(job, zone):
        return reason, needed
    with open_snapshot(job.database("source"), job.options.get("source_time_zone")) as snapshot:
        check_source(zone, snapshot, job)
        if name := _changed(zone, snapshot):
            return f"{name} has changed", needed
        return None, nothing_new(zone, snapshot)


def _wished(job: BareJob) -> str | None:
    given = [name for name in WISHES if job.options.get(name) not in (None, "", "false")]
    return f"--{given[0]} is given" if given else None


def _waiting(zone: Manifests) -> str | None:
    if zone.last_extract() is None:
        return "nothing was extracted yet"
    # Of every stage: a lake that was emptied has no manifests of its own any more, and those of the load stay.
    waiting = next(filter(None, map(zone.unfinished, STAGES[1:])), None)
    return f"batch {waiting[0]} waits for a later stage" if waiting else None


def _not_loaded(job: BareJob, zone: Manifests) -> str | None:
    """A warehouse that was made anew, or restored from a backup, does not hold what the manifests say."""
    warehouse = job.database("warehouse")
    if not ledger.is_kept(warehouse.query):
        return "the warehouse is empty"
    published = zone.published_after(ledger.loaded_until(warehouse.query, warehouse, zone.lake_id()))
    return f"the warehouse does not hold batch {published[0]}" if published else None


def news(zone: Manifests, source: Database, time_zone: str | None = None) -> str | None:
    """What the source has that no batch has, in a sentence's words; None where it has nothing.

    The errors are those that the next run would end with.
    """
    with open_snapshot(source, time_zone) as snapshot:
        check_source(zone, snapshot, BareJob("look", {}))
        name = _changed(zone, snapshot)
        return f"{name} has changed" if name else None


def _changed(zone: Manifests, snapshot: Snapshot) -> str | None:
    """The first table that has anything that the last extraction did not see."""
    previous = zone.to_build_on()
    changed = (name for name, table in model.SOURCE.items() if snapshot.has_changed(table, previous.get(name)))
    return next(changed, None)


# ---------------------------------------------------------------------------- what the extraction shares


def check_source(zone: Manifests, snapshot: Snapshot, job: BareJob) -> None:
    """StateError where the lake was fed by another database so far, unless the option `accept_source` allows it.

    ContractError where the source is not as the model says; or where a column is narrower than the last extraction saw
    it, unless the option `accept_contract` names its table.
    """
    last, now_fed_by = zone.last_extract() or {}, snapshot.identity
    fed_by = last.get("snapshot", {}).get("source", now_fed_by)
    if fed_by != now_fed_by and job.options.get("accept_source") != "true":
        raise StateError(
            f"{zone.location} was fed by the database '{fed_by['database']}' of system {fed_by['system_identifier']}, "
            f"and this is '{now_fed_by['database']}' of system {now_fed_by['system_identifier']}: rows of two sources "
            "must not mix. Give another lake; or, where it is the same data that was moved, --accept-source."
        )
    accepted = job.tables("accept_contract")
    seen = {name: entry for name, entry in last.get("tables", {}).items() if name not in accepted}
    snapshot.check_contract(model.SOURCE, declared(seen))


def declared(tables: Manifest) -> dict[str, Declared]:
    """Source table → the types that its entry in a manifest names; none in the manifests of the first versions."""
    return {name: entry.get("declared", {}) for name, entry in tables.items()}


def nothing_new(zone: Manifests, snapshot: Snapshot, accepted: Collection[str] = ()) -> Result:
    """The result of a run for which the source has nothing new: deletions may wait for somebody's word, unless it is
    `accepted`.
    """
    withheld = {name: found for name, found in zone.withheld_deletions().items() if name not in accepted}
    warnings = (*snapshot.warnings, *mass_deletions.describe(withheld))
    return Result("nothing_to_do", warnings=warnings, needs_attention=bool(withheld))
