"""The options that several commands of `etl.py` share, and their exit codes."""

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

DIFFERS = 2
NEEDS_ATTENTION = 3

Tables = list[str] | None
Format = Literal["table", "csv", "json", "parquet"]


def _tables(name: str, text: str) -> typer.models.OptionInfo:
    return typer.Option(name, metavar="TABLE", help=text)


Source = Annotated[str, typer.Option(envvar="SOURCE_URL", help="postgresql://user:password@host:port/database")]
Warehouse = Annotated[str, typer.Option(envvar="WAREHOUSE_URL", help="postgresql://user:password@host:port/database")]
Lake = Annotated[str, typer.Option(envvar="LAKE", help="A folder, or s3://bucket/prefix.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, all else on standard error.")]
Deployed = Annotated[
    str, typer.Option("--deployed", metavar="WORKFLOW", help="This workflow of AWS Glue, as it is deployed.")
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Do not ask.")]

AcceptDeletions = Annotated[
    Tables, _tables("--accept-deletions", "Believe that so many rows of this source table are gone.")
]
AcceptContract = Annotated[
    Tables,
    _tables(
        "--accept-contract",
        "Go on although this source table's columns hold less than they did; it is read whole, once.",
    ),
]
AcceptQuarantine = Annotated[
    Tables, _tables("--accept-quarantine", "Set aside as many rows of this source table as break a rule.")
]
AcceptVolume = Annotated[
    Tables, _tables("--accept-volume", "Believe that a batch of this source table is so much larger than usual.")
]
AcceptSource = Annotated[
    bool, typer.Option("--accept-source", help="Go on although the lake was fed by another database: it was moved.")
]


def accepted(deletions: Tables, contract: Tables, quarantine: Tables, volume: Tables, source: bool) -> dict[str, str]:
    """What somebody gave his word for, as variables of the workflow."""
    return {
        "accept_deletions": named(deletions),
        "accept_contract": named(contract),
        "accept_quarantine": named(quarantine),
        "accept_volume": named(volume),
        "accept_source": str(source).lower(),
    }


def named(tables: Sequence[str] | None) -> str:
    """Tables as a job's option takes them."""
    return ",".join(tables or ())
