"""Add a package to pyproject.toml, pinned, and lock it: `make add-requirements PKG=name[==version] [GROUP=people|dev]`.

Without a version it takes the newest that fits the others. What is there already gets the new version. Where the
package cannot be found, or fits nothing, both files stay as they were.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tomlkit
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from tomlkit.items import Array

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"
LOCK = ROOT / "requirements.txt"
GROUPS = ("glue", "people", "dev")


class RequirementError(Exception):
    """What cannot be added, and why."""


def main() -> int:
    """Add what the command line names; 1 where it cannot be added."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", help="name, name[extra] or name==version")
    parser.add_argument("--group", choices=GROUPS, default="glue", help="who needs it (default: the Glue jobs)")
    arguments = parser.parse_args()
    try:
        with _all_or_nothing(PYPROJECT, LOCK):
            pin = add(arguments.package, arguments.group)
    except RequirementError as error:
        print(f"Nothing was added: {error}", file=sys.stderr)
        return 1
    print(f"{pin} is in group {arguments.group} of pyproject.toml, and locked in requirements.txt.")
    return 0


def add(package: str, group: str) -> str:
    """Pin the package in the group and lock it; the pin, as it stands in pyproject.toml."""
    requirement = _parse(package)
    _put(requirement, group)
    if requirement.specifier:
        _lock()
    else:
        # The resolver chooses, then its choice is the pin.
        _lock("--upgrade-package", requirement.name)
        requirement = Requirement(f"{requirement}=={_locked_version(requirement.name)}")
        _put(requirement, group)
    return str(requirement)


def edit(pyproject: str, requirement: Requirement, group: str) -> str:
    """The text of pyproject.toml with the requirement in its group, by name, and all else as it was."""
    document = tomlkit.parse(pyproject)
    project = document["project"]
    lists: dict[str, Array] = {"glue": project["dependencies"], **project["optional-dependencies"]}
    for other, entries in lists.items():
        names = [canonicalize_name(Requirement(entry).name) for entry in entries]
        name = canonicalize_name(requirement.name)
        if name not in names and other == group:
            entries.insert(sum(known < name for known in names), str(requirement))
        elif name in names and other == group:
            entries[names.index(name)] = str(requirement)
        elif name in names:
            raise RequirementError(
                f"{requirement.name} is in group {other} already. Take it out there, or change it there."
            )
    return tomlkit.dumps(document)


def _parse(package: str) -> Requirement:
    try:
        requirement = Requirement(package)
    except InvalidRequirement as error:
        raise RequirementError(f"{package!r} names no package. Write name, name[extra] or name==version.") from error
    pins = [pin for pin in requirement.specifier if pin.operator == "==" and not pin.version.endswith("*")]
    if len(pins) != len(requirement.specifier) or len(pins) > 1 or requirement.marker or requirement.url:
        raise RequirementError(f"{package!r} is no exact pin. Write name, name[extra] or name==version.")
    return requirement


def _put(requirement: Requirement, group: str) -> None:
    PYPROJECT.write_text(edit(PYPROJECT.read_text(), requirement, group))


def _lock(*options: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "piptools", "compile", "--output-file", LOCK.name, *options, PYPROJECT.name],
        cwd=ROOT,
        env={**os.environ, "CUSTOM_COMPILE_COMMAND": "make requirements"},
        check=False,
    )
    if done.returncode:
        raise RequirementError("pip-compile could not lock it, for the reason above.")


def _locked_version(name: str) -> str:
    for line in LOCK.read_text().splitlines():
        found, separator, version = line.partition("==")
        if separator and canonicalize_name(found) == canonicalize_name(name):
            return version
    raise RequirementError(f"{name} is not in {LOCK.name} after it was locked.")


@contextmanager
def _all_or_nothing(*files: Path) -> Iterator[None]:
    before = {file: file.read_text() for file in files}
    try:
        yield
    except BaseException:
        for file, text in before.items():
            file.write_text(text)
        raise


if __name__ == "__main__":
    sys.exit(main())
