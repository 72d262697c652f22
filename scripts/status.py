"""`etl.py status`: whether all is well with a lake, in one screen, and the next command where it is not."""

import json
from typing import Annotated

import typer

from retail_etl.manifests import Manifests
from retail_etl.postgres import Database
from scripts.display import output
from scripts.health import EXIT_CODES, Look, Places, assess, look_at
from scripts.lake_status import read_status
from scripts.local import LocalPair
from scripts.options import AsJson, Lake, Source

EVERYTHING = 50


def status(
    source: Source = "",
    lake: Lake = "",
    everything: Annotated[
        bool,
        typer.Option("--all", help="More than a screen: 50 batches, what gates reported, from where tables are read."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Is the lake fresh (30 minutes are promised), is it complete, what is wrong, and what to do next.

    The source, where it is named or is the embedded one that runs, is asked whether it has anything newer: without
    that, an old batch may be all there is. docs/report.md has the shape of --json.

    Exit code 0: all is well. 1: nothing was extracted yet, or it cannot be told. 2: something is wrong: behind by more
    than is promised, a batch that was rejected or left half done, source, lake and warehouse not equal. 3: something
    waits for somebody: rows in quarantine, deletions that are not believed, a source that was not asked.
    """
    zone = Manifests(lake or str(LocalPair().lake))
    found = read_status(zone, EVERYTHING) if everything else read_status(zone)
    health = assess(found, look(zone, lake, source), Places.of(zone.location))
    if as_json:
        print(json.dumps(found | health))
    else:
        from scripts.status_shown import show_status

        show_status(output, found, health, everything=everything)
    raise typer.Exit(EXIT_CODES[health["verdict"]])


def look(zone: Manifests, lake: str, source: str) -> Look | None:
    """What the source says: the one that is named, else, for the usual lake, the embedded one if it runs; else None."""
    if source:
        return look_at(zone, Database.from_url("source", source))
    pair = LocalPair()
    if lake or not pair.is_up():
        return None
    return look_at(zone, Database.from_url("source", pair.source_url))
