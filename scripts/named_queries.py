"""The queries of `terraform/queries/`: Athena's named queries, which `etl.py query --name` runs on any lake.

A file's first line is its title, the second its description; then a line for each `?` in it, in their order:
`-- name: type, what it is`. Types are `integer` and `text`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retail_etl.errors import ConfigurationError
from scripts.statements import did_you_mean

FOLDER = Path(__file__).resolve().parent.parent / "terraform" / "queries"
_PARAMETER = re.compile(r"(?P<name>\w+): (?P<type>integer|text), (?P<description>.+)")

Value = int | str


@dataclass(frozen=True)
class Parameter:
    """What stands for one `?`. `type`: integer or text."""

    name: str
    type: str
    description: str

    def read(self, text: str) -> Value:
        """The value as its type; ConfigurationError where it is none."""
        if self.type == "text":
            return text
        try:
            return int(text)
        except ValueError as error:
            raise ConfigurationError(f"--set {self.name}={text}: not an integer. It is {self.description}.") from error


@dataclass(frozen=True)
class NamedQuery:
    """A query with its name, which is its file's."""

    name: str
    title: str
    description: str
    parameters: tuple[Parameter, ...]
    sql: str

    def values(self, settings: Sequence[str]) -> list[Value]:
        """The values of its `?`, in order, from `name=value` for each of its parameters."""
        pairs = [setting.partition("=") for setting in settings]
        given = {name: value for name, _, value in pairs}
        known = [parameter.name for parameter in self.parameters]
        takes = ", ".join(f"--set {name}=…" for name in known) or "no --set"
        for name, equals, _ in pairs:
            if not equals or name not in known:
                hint = did_you_mean(name, known)
                raise ConfigurationError(f"--set {name}: {self.name} takes {takes}. {hint}".strip())
        if missing := [f"{one.name}, {one.description}" for one in self.parameters if one.name not in given]:
            raise ConfigurationError(f"{self.name} needs {'; '.join(missing)}: {takes}.")
        return [parameter.read(given[parameter.name]) for parameter in self.parameters]


def named_queries(folder: Path = FOLDER) -> dict[str, NamedQuery]:
    """All of them by name, in the order of the alphabet."""
    return {path.stem: _read(path) for path in sorted(folder.glob("*.sql"))}


def named_query(name: str) -> NamedQuery:
    """The one of that name; ConfigurationError where there is none."""
    queries = named_queries()
    if name not in queries:
        hint = did_you_mean(name, queries) or "etl.py query --list shows them."
        raise ConfigurationError(f"--name {name}: there is no such query. {hint}")
    return queries[name]


def _read(path: Path) -> NamedQuery:
    sql = path.read_text(encoding="utf-8")
    header: list[str] = []
    for line in sql.splitlines():
        if not line.startswith("-- "):
            break
        header.append(line.removeprefix("-- "))
    found = [_PARAMETER.fullmatch(line) for line in header[2:]]
    parameters = tuple(Parameter(**match.groupdict()) for match in found if match)
    if len(header) < 2 or len(parameters) != len(header) - 2:
        raise ConfigurationError(
            f"{path} must begin with '-- title' and '-- description', then '-- name: integer, what it is' for each ?."
        )
    return NamedQuery(path.stem, header[0], header[1], parameters, sql)
