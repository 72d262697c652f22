"""`etl.py report`: the dashboard as one HTML file; with `--quality` the site of what the gates found."""

import os
import sys
import webbrowser
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer

from retail_etl.errors import ConfigurationError, StorageError
from retail_etl.lake import NAMESPACE
from retail_etl.postgres import Database
from retail_etl.raw import RawZone
from scripts.local import LocalPair
from scripts.options import Lake, Source, Warehouse
from scripts.query import Database as LakeDatabase
from scripts.query import Workgroup

FILE = "report.html"


def report(
    quality: Annotated[
        bool, typer.Option("--quality", help="Instead, what the quality gates found: a site of Data Docs.")
    ] = False,
    to: Annotated[
        str,
        typer.Option(
            "--output",
            metavar="FILE",
            help="The HTML file (default: .local/report.html). "
            "With --quality: a folder (default: .local/data_docs), or s3://bucket/prefix.",
        ),
    ] = "",
    read_from: Annotated[
        Literal["lake", "warehouse"],
        typer.Option("--from", help="Where the business's figures are read; the pipeline's are the lake's."),
    ] = "lake",
    order: Annotated[
        int | None, typer.Option(min=1, help="The sales order whose history is shown; default: with most versions.")
    ] = None,
    lake: Lake = "",
    warehouse: Warehouse = "",
    source: Source = "",
    database: LakeDatabase = NAMESPACE,
    workgroup: Workgroup = "primary",
    show: Annotated[bool, typer.Option("--open/--no-open", help="Show it in the browser, where there is one.")] = True,
) -> None:
    """Build a report as one HTML file that needs no network, and print the file's path.

    Sales, payments, purchases, one order's history, and the pipeline's state, with filters by date and currency;
    docs/report.md says what each chart means. The source, where it is named or is the embedded one that runs, is asked
    only whether it has anything newer.
    """
    if quality:
        from scripts.data_docs import build

        address = build(zone_of(lake), to or str(LocalPair().home / "data_docs"))
        print(address)
        is_local = address.startswith("file:")
    else:
        file = _build(
            Path(to or LocalPair().home / FILE), read_from, order, (lake, warehouse, source), database, workgroup
        )
        print(file)
        address, is_local = file.as_uri(), True
    if show and is_local and sys.stdout.isatty() and _has_screen():
        webbrowser.open(address)


def _build(
    file: Path, read_from: str, order: int | None, places: tuple[str, str, str], database: str, workgroup: str
) -> Path:
    from scripts.report import engines
    from scripts.report.figures import Asked, figures
    from scripts.report.render import render
    from scripts.status import look

    lake, warehouse, source = places
    zone = _known_zone(lake)
    told = engines.lake(zone.location, database, workgroup) if zone else engines.Nothing("lake")
    if read_from == "warehouse":
        stars: engines.Answers = engines.Warehouse(Database.from_url("warehouse", warehouse or _embedded_warehouse()))
    else:
        stars = told
    with closing(stars), closing(told):
        page = render(figures(Asked(stars, told, zone, order, look(zone, lake, source) if zone else None)))
    return _write(file, page)


def _write(file: Path, page: str) -> Path:
    file = file.absolute() / FILE if file.is_dir() else file.absolute()
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(
            f"The report cannot be written to {file} ({error.strerror or error}): name another file with --output."
        ) from error
    return file


def _known_zone(lake: str) -> RawZone | None:
    """The lake; None where nobody named one and there is none yet. One that is named and is not there is an error."""
    if lake:
        return zone_of(lake)
    default = LocalPair().lake
    return RawZone(str(default)) if default.is_dir() else None


def _embedded_warehouse() -> str:
    pair = LocalPair()
    if not pair.is_up():
        raise ConfigurationError("The embedded databases do not run: etl.py up, or name another one (--warehouse URL).")
    return pair.warehouse_url


def zone_of(lake: str) -> RawZone:
    """The lake that is named, else the one in `.local`; ConfigurationError where there is none."""
    place = lake or str(LocalPair().lake)
    if "://" not in place and not Path(place).is_dir():
        raise ConfigurationError(f"There is no lake in {place} yet: run the workflow first (etl.py run).")
    return RawZone(place)


def _has_screen() -> bool:
    """Whether a browser has somewhere to open: it would take the terminal where there is nothing else."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
