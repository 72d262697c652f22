"""Whether a lake is well: fresh, complete, nothing that waits for somebody; and what to do next where it is not.

It is told from `lake_status.read_status`, and, where the source could be asked, from whether that has anything newer.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from retail_etl import detection, mass_deletions
from retail_etl.errors import RetailEtlError
from retail_etl.manifests import Manifests
from retail_etl.postgres import Database
from scripts.lake_status import Status
from scripts.local import LocalPair

PROMISED_MINUTES = 30
"""A change that is committed in the source is in the warehouse by then."""
VERIFIED_EVERY_HOURS = 30
"""So long after the last comparison it is time for the next one; the alarm on AWS waits as long."""

NEVER_COMPARED = "Source, lake and warehouse were never compared."

Severity = Literal["wrong", "waits", "advice"]
Health = dict[str, Any]

EXIT_CODES = {"well": 0, "never_run": 1, "wrong": 2, "waits": 3}
"""Verdict → the exit code of `etl.py status`."""


@dataclass(frozen=True)
class Look:
    """What the source said when it was asked. `news`: what it has that no batch has; `error`: why it could not say."""

    news: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Places:
    """What a command needs besides its name, so that it works on this lake. `lake`: None where it is the usual one."""

    lake: str | None = None

    @classmethod
    def of(cls, location: str) -> "Places":
        """The places that belong to a lake."""
        return cls(None if location == str(LocalPair().lake) else location)

    def run(self, command: str = "run") -> str:
        """A command that reads and writes all three: `run`, `reconcile`."""
        if self.lake and self.lake.startswith("s3://") and " " not in command:
            return "make trigger" if command == "run" else f"make trigger NAME={command}"
        return self.read(f"{command} --source URL --warehouse URL" if self.lake else command)

    def ask(self) -> str:
        """The command that asks the source."""
        return self.read("status --source URL") if self.lake else "etl.py up && etl.py status"

    def read(self, command: str) -> str:
        """A command that looks at the lake alone."""
        return f"etl.py {command}" + (f" --lake {shlex.quote(self.lake)}" if self.lake else "")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, and the command that is next; `do` is None where waiting is."""

    severity: Severity
    what: str
    do: str | None


def look_at(zone: Manifests, source: Database, time_zone: str | None = None) -> Look:
    """Ask the source whether it has anything that no batch has: what `detect` does, and as cheap."""
    try:
        return Look(news=detection.news(zone, source, time_zone))
    except RetailEtlError as error:
        return Look(error=str(error))


def assess(status: Status, look: Look | None = None, places: Places | None = None) -> Health:
    """The verdict (`well`, `waits`, `wrong`, `never_run`), `fresh` and `complete` (None: nobody can tell), findings,
    the gravest first, and the next command. `look`: None where the source was not asked.
    """
    places = places or Places()
    if not status["batches"]:
        what = f"Nothing was extracted into {status['lake']} yet."
        found = [Finding("wrong", what, places.run())]
        return _told("never_run", None, None, found)
    found = sorted(_findings(status, look, places), key=lambda one: ("wrong", "waits", "advice").index(one.severity))
    verdict = next((one.severity for one in found if one.severity != "advice"), "well")
    return _told(verdict, _is_fresh(status, look), _is_complete(status), found)


def _told(verdict: str, fresh: bool | None, complete: bool | None, found: list[Finding]) -> Health:
    return {
        "verdict": verdict,
        "fresh": fresh,
        "complete": complete,
        "findings": [vars(one) for one in found],
        "next": next((one.do for one in found if one.do), None),
    }


def _is_fresh(status: Status, look: Look | None) -> bool | None:
    published = status["published"]
    if published is None or not published["loaded"]:
        return False
    if published["age_seconds"] <= PROMISED_MINUTES * 60:
        return True
    return None if look is None or look.error else look.news is None


def _is_complete(status: Status) -> bool | None:
    certificate = status["certificate"]
    return None if certificate is None else not differing(status)


def differing(status: Status) -> list[str]:
    """The tables that the last certificate found not to be equal."""
    tables = (status["certificate"] or {}).get("tables", {})
    return [name for name, entry in tables.items() if not entry["agrees"]]


def _findings(status: Status, look: Look | None, places: Places) -> Iterator[Finding]:
    last = status["batches"][0]
    if last["rejected_because"]:
        yield Finding(
            "wrong",
            f"Batch {last['batch_id']} was rejected: {last['rejected_because']}",
            places.read("query --name quality_failures"),
        )
    elif last["state"] != "load":
        yield _unfinished(status, last, places)
    yield from _staleness(status, look, places)
    if names := differing(status):
        what = f"Source, lake and warehouse were not equal at the last comparison: {', '.join(names)}."
        yield Finding("wrong", what, places.run("reconcile --heal"))
    for table, gone in status["withheld_deletions"].items():
        what = f"{table}: {gone['missed']:,} of {gone['alive']:,} rows are gone from the source; are they deleted?"
        command = f"{mass_deletions.accepting(table)} --accept-deletions {table}"
        yield Finding("waits", what, places.run(command))
    if held := status["quarantine"]:
        rows = ", ".join(f"{count:,} of {table}" for table, count in held.items())
        yield Finding("waits", f"In quarantine: {rows}.", places.read("quarantine list"))
    yield from _advice(status, places)


def _unfinished(status: Status, last: Status, places: Places) -> Finding:
    if status["worked_on_by"]:
        return Finding("advice", f"Batch {last['batch_id']} is on its way: {status['worked_on_by']}.", None)
    reached = "was begun" if last["state"] == "not extracted" else f"got as far as {last['state']}"
    return Finding("wrong", f"Batch {last['batch_id']} {reached}, and then its run ended.", places.run())


def _staleness(status: Status, look: Look | None, places: Places) -> Iterator[Finding]:
    published, fresh = status["published"], _is_fresh(status, look)
    if published is None or not published["loaded"]:
        return  # the batch that is unfinished says so
    behind = duration(published["age_seconds"])
    if look and look.error:
        yield Finding("wrong", f"The next run would fail: {look.error}", None)
    elif fresh is None:
        what = f"Batch {published['batch_id']} is {behind} old; the source was not asked whether it has anything newer."
        yield Finding("waits", what, places.ask())
    elif not fresh and not status["worked_on_by"]:
        what = f"The source has news ({look.news if look else ''}), and the warehouse is {behind} behind."
        yield Finding("wrong", what, places.run())


def _advice(status: Status, places: Places) -> Iterator[Finding]:
    certificate = status["certificate"]
    if certificate is None:
        yield Finding("advice", NEVER_COMPARED, places.run("reconcile"))
    else:
        age = (datetime.now(UTC) - datetime.fromisoformat(certificate["compared_at"])).total_seconds()
        if age > VERIFIED_EVERY_HOURS * 3600:
            what = f"Source, lake and warehouse were compared {duration(round(age))} ago, and not since."
            yield Finding("advice", what, places.run("reconcile"))
    for mark in status["watermarks"]:
        if mark["unknown_columns"]:
            what = f"{mark['table']} has columns that the model does not know: {', '.join(mark['unknown_columns'])}."
            yield Finding("advice", what, None)


def duration(seconds: int) -> str:
    """As people say it."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
