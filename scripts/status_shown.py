"""The status on one screen of 80 columns and 24 lines: the verdict first, then as many batches as there is room for."""

from collections.abc import Iterator

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from scripts.health import NEVER_COMPARED, PROMISED_MINUTES, Health, differing, duration
from scripts.lake_status import Status

SCREEN_LINES = 23
"""With the line in which the shell asks for the next command: 24."""
FINDINGS_SHOWN, FINDING_LENGTH = 4, 200

_ANSWERS = {True: Text("yes", style="green"), False: Text("no", style="bold red"), None: Text("?", style="yellow")}
_STYLES = {"wrong": "red", "waits": "yellow", "advice": ""}


def show_status(console: Console, status: Status, health: Health, *, everything: bool = False) -> None:
    """The status; `everything`: whatever there is, however long."""
    head = _head(status, health, everything)
    console.print(head)
    if not status["batches"]:
        return
    console.print()
    room = SCREEN_LINES - len(console.render_lines(head)) - 2
    console.print(_batches(status["batches"] if everything else status["batches"][: max(room, 1)]))
    if everything:
        console.print(*_rejections(status["batches"]), Text(), *_watermarks(status), sep="\n")


def _head(status: Status, health: Health, everything: bool) -> Group:
    answers = Table.grid(padding=(0, 2))
    answers.add_column(no_wrap=True)
    answers.add_column(no_wrap=True)
    answers.add_column(overflow="fold")
    answers.add_row("fresh", _ANSWERS[health["fresh"]], _freshness(status))
    answers.add_row("complete", _ANSWERS[health["complete"]], _completeness(status))
    told = [one for one in health["findings"] if one["what"] != NEVER_COMPARED]  # the line above says it
    findings = told if everything else told[:FINDINGS_SHOWN]
    for finding in findings:
        style = _STYLES[finding["severity"]]
        what = finding["what"] if everything else _cut(finding["what"])
        answers.add_row(Text(finding["severity"], style=style), "", Text(what, style=style))
        if finding["do"] and finding["do"] != health["next"]:
            answers.add_row("", "", Text(finding["do"], style="bold"))
    if hidden := len(told) - len(findings):
        answers.add_row("", "", Text(f"and {hidden} more: --all", style="dim"))
    for line in status["batches"][0]["reported"] if everything and status["batches"] else ():
        answers.add_row(Text("reported", style="dim"), "", Text(line, style="dim"))
    answers.add_row(
        "next", "", Text(health["next"] or "nothing: all is well", style="bold" if health["next"] else "green")
    )
    return Group(answers)


def _cut(text: str) -> str:
    return text if len(text) <= FINDING_LENGTH else f"{text[: FINDING_LENGTH - 10]}… (--all)"


def _freshness(status: Status) -> str:
    published = status["published"]
    if published is None:
        return "nothing is published yet"
    who = "lake and warehouse show" if published["loaded"] else "the lake shows, and the warehouse not yet,"
    age = duration(published["age_seconds"])
    return f"{who} batch {published['batch_id']}, the source as of {age} ago ({PROMISED_MINUTES} minutes are promised)"


def _completeness(status: Status) -> str:
    certificate = status["certificate"]
    if certificate is None:
        return NEVER_COMPARED
    through = f"{certificate['verified_through'][:19]} ({certificate['time_zone']})"
    if names := differing(status):
        return f"not equal, verified through {through}: {', '.join(names)}"
    rows = sum(entry["rows"] for entry in certificate["tables"].values())
    return f"source = lake = warehouse, verified through {through}: {rows:,} rows"


def _batches(batches: list[Status]) -> Table:
    table = Table("batch", "started (UTC)", "last stage", box=None, pad_edge=False)
    for name in ("rows", "set aside", "seconds", "rules met"):
        table.add_column(name, justify="right")
    for batch in batches:
        table.add_row(
            str(batch["batch_id"]),
            (batch["started_at"] or "")[:19].replace("T", " "),
            Text(batch["state"], style="red" if batch["rejected_because"] else ""),
            f"{batch['rows']:,}",
            f"{batch['set_aside']:,}" if batch["set_aside"] else "",
            f"{sum(batch['seconds'].values()):.1f}",
            " + ".join(str(met) for met in batch["expectations"].values()),
        )
    return table


def _rejections(batches: list[Status]) -> Iterator[Text]:
    for batch in batches:
        if batch["rejected_because"]:
            yield Text(f"Batch {batch['batch_id']} was rejected: {batch['rejected_because']}", style="red")


def _watermarks(status: Status) -> Iterator[Table | Text]:
    table = Table("table", "greatest last_updated", "next read from", box=None, pad_edge=False)
    yield table
    for mark in status["watermarks"]:
        if mark["extract"] == "incremental":
            table.add_row(mark["table"], mark["greatest_last_updated"] or "", mark["next_fence"] or "the beginning")
    copies = [
        f"{mark['table']} {mark['full_copy_batch_id']}" for mark in status["watermarks"] if mark["full_copy_batch_id"]
    ]
    if copies:
        yield Text(f"Read whole when they change, last in batch: {', '.join(copies)}.")
