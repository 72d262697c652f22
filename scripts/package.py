"""Build what AWS Glue runs: the library, the job scripts, and their dependencies as wheels, all named by content.

The same sources give the same bytes: entries are sorted, times and modes fixed, nothing is compressed (wheels are
already). `build/package.json` says what was built; Terraform reads it.
"""

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, requires
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent
GLUE_JOBS = ROOT / "glue_jobs"
BUILD = ROOT / "build"

GLUE_VERSION = "5.1"
# Amazon Linux 2023 has glibc 2.34; what was built for an older one runs there too. The best fit comes first.
GLUE_PLATFORM = (
    "--implementation=cp",
    "--python-version=3.11",
    "--abi=cp311",
    *(f"--platform=manylinux_2_{minor}_x86_64" for minor in range(34, 16, -1)),
    "--platform=manylinux2014_x86_64",
)
# A Python shell job takes wheels from S3 one by one and may look for their dependencies on the internet: it gets a
# single wheel, of pure Python, that names none.
PYTHON_SHELL_PLATFORM = ("--implementation=py", "--python-version=3.9", "--abi=none", "--platform=any")

GLUES_OWN = frozenset({"awsgluedataplanepython", "py4j", "pyspark"})
"""Never in the bundle: Glue's Spark comes with its own, and another version would not fit it."""


@dataclass(frozen=True)
class Artifact:
    """A file in `build/`, named by its content. `role`: how Glue is told of it."""

    file: str
    role: str
    data: bytes

    def as_json(self) -> dict[str, str | int]:
        """Its entry in package.json."""
        digest = sha256(self.data).hexdigest()
        return {"file": self.file, "role": self.role, "sha256": digest, "bytes": len(self.data)}


class PackagingError(Exception):
    """What cannot be packaged, and why."""


def package(build: Path = BUILD, *, library_only: bool = False) -> dict[str, Any]:
    """Build everything into the folder; the content of its package.json. With `library_only` nothing is downloaded,
    and the entries `dependencies` and `python_shell` are null.
    """
    library = read_library()
    scripts = {path.stem: path.read_bytes() for path in sorted(GLUE_JOBS.glob("[a-z]*.py"))}
    made = {
        "library": _named(f"retail_etl-{version()}", "zip", "--extra-py-files", zipped(library)),
        **{f"scripts/{name}": _named(name, "py", "ScriptLocation", data) for name, data in scripts.items()},
    }
    if not library_only:
        made["dependencies"] = dependencies(build)
        made["python_shell"] = python_shell(build, library)
    build.mkdir(parents=True, exist_ok=True)
    _remove_last(build)
    for artifact in made.values():
        (build / artifact.file).write_bytes(artifact.data)
    described = {
        "version": version(),
        "glue_version": GLUE_VERSION,
        **{key: made[key].as_json() if key in made else None for key in ("library", "dependencies", "python_shell")},
        "scripts": {name: made[f"scripts/{name}"].as_json() for name in scripts},
    }
    (build / "package.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return described


def _remove_last(build: Path) -> None:
    """What the last build made; nothing else that stands there."""
    description = build / "package.json"
    if description.exists():
        last = json.loads(description.read_text(encoding="utf-8"))
        for entry in (last["library"], last["dependencies"], last["python_shell"], *last["scripts"].values()):
            if entry:
                (build / entry["file"]).unlink(missing_ok=True)


def version() -> str:
    """The project's version."""
    return str(_project()["version"])


def read_library() -> dict[str, bytes]:
    """Name → content of every file of the library; `retail_etl/` is at the top, as Glue wants it."""
    lib = ROOT / "lib"
    return {
        path.relative_to(lib).as_posix(): path.read_bytes()
        for path in sorted((lib / "retail_etl").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def dependencies(build: Path) -> Artifact:
    """The bundle for `--additional-python-modules`, to be installed with `--no-index`: `wheels/` with its
    requirements.txt, as AWS documents it for Glue 5.0 and later.
    """
    pins = [f"{name}=={locked}" for name, locked in bundled().items()]
    wheels = _download(pins, build / "wheels", GLUE_PLATFORM)
    entries = {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
    entries["wheels/requirements.txt"] = "".join(f"{pin}\n" for pin in pins).encode()
    return _named(f"retail_etl-{version()}", "gluewheels.zip", "--additional-python-modules", zipped(entries))


def bundled() -> dict[str, str]:
    """Name → version of what Glue has to install for a Spark job: everything that `[project.dependencies]` needs, as
    requirements.txt locks it, but for what Glue's image brings in a version that will do.
    """
    lock, image = dict(_pins(ROOT / "requirements.txt")), glue_modules()
    # Of the direct dependencies themselves any version will do: they are pinned for our own machines.
    needs = [Requirement(Requirement(entry).name) for entry in _project()["dependencies"]]
    bundle: dict[str, str] = {}
    while needs:
        need = needs.pop()
        name = canonicalize_name(need.name)
        if name in GLUES_OWN or name in bundle or (name in image and need.specifier.contains(image[name])):
            continue
        if name not in lock:
            raise PackagingError(f"requirements.txt does not lock {name}: run make requirements.")
        bundle[name] = lock[name]
        needs += _needs(name)
    return dict(sorted(bundle.items()))


def _needs(name: str) -> list[Requirement]:
    """What the installed package needs on Linux, extras aside."""
    try:
        needs = [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError as error:
        raise PackagingError(f"{name} is not installed here: run make setup.") from error
    linux = {"extra": "", "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    return [need for need in needs if not need.marker or need.marker.evaluate(linux)]


def glue_modules() -> dict[str, str]:
    """Name → version of the Python modules that Glue's image brings. What Spark, boto3 and s3fs work with there is
    left as AWS tested it; `make docker-test` runs our tests on them.
    """
    return dict(_pins(GLUE_JOBS / f"glue-{GLUE_VERSION}-modules.txt"))


def python_shell(build: Path, library: Mapping[str, bytes]) -> Artifact:
    """One wheel for Python 3.9 with the library and all that it needs there; for `--extra-py-files`."""
    pins = [f"{name}=={pinned}" for name, pinned in _pins(GLUE_JOBS / "python-shell-requirements.txt")]
    information, data_folder = (f"retail_etl-{version()}.{suffix}" for suffix in ("dist-info", "data/purelib"))
    entries = dict(library)
    for wheel in _download(pins, build / "wheels-python-shell", PYTHON_SHELL_PLATFORM):
        for name, data in _unzipped(wheel.read_bytes()):
            if not name.endswith((".dist-info/RECORD", ".dist-info/WHEEL")):
                # A wheel has one dist-info of its own; those of others (scramp reads its version there) are data in it.
                entries[f"{data_folder}/{name}" if ".dist-info/" in name else name] = data
    name = f"Metadata-Version: 2.1\nName: retail-etl\nVersion: {version()}\nRequires-Python: >=3.9\n"
    digest = sha256(zipped(entries)).hexdigest()[:12]
    entries[f"{information}/METADATA"] = name.encode()
    # A build tag starts with a digit; it is the one place in a wheel's name that can tell one content from another.
    tag = f"Wheel-Version: 1.0\nGenerator: retail-etl\nRoot-Is-Purelib: true\nTag: py3-none-any\nBuild: 0{digest}\n"
    entries[f"{information}/WHEEL"] = tag.encode()
    entries[f"{information}/RECORD"] = _record(entries, f"{information}/RECORD")
    file = f"retail_etl-{version()}-0{digest}-py3-none-any.whl"
    return Artifact(file, "--extra-py-files", zipped(entries))


def _record(entries: Mapping[str, bytes], own_name: str) -> bytes:
    lines = [
        f"{name},sha256={urlsafe_b64encode(sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for name, data in sorted(entries.items())
    ]
    return "".join([*lines, f"{own_name},,\n"]).encode()


def zipped(entries: Mapping[str, bytes]) -> bytes:
    """A zip of name → content that depends on nothing else: no clock, no umask, no compressor's version."""
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, entries[name])
    return target.getvalue()


def _unzipped(data: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        yield from ((name, archive.read(name)) for name in archive.namelist() if not name.endswith("/"))


def _download(pins: list[str], folder: Path, platform: tuple[str, ...]) -> list[Path]:
    """The wheels of the pins, in the order of their names; those in the folder already are not fetched again."""
    folder.mkdir(parents=True, exist_ok=True)
    present = {f"{name}=={pinned}" for name, pinned in (_name_and_version(path) for path in folder.glob("*.whl"))}
    if present != set(pins):
        shutil.rmtree(folder)
        options = ("--quiet", "--no-deps", "--only-binary=:all:", f"--dest={folder}", *platform)
        done = subprocess.run([sys.executable, "-m", "pip", "download", *options, *pins], check=False)
        if done.returncode != 0:
            raise PackagingError("A wheel could not be downloaded: see what pip said above.")
    return sorted(folder.glob("*.whl"))


def _name_and_version(wheel: Path) -> tuple[str, str]:
    name, pinned, _, _ = parse_wheel_filename(wheel.name)
    return str(name), str(pinned)


def _named(stem: str, suffix: str, role: str, data: bytes) -> Artifact:
    return Artifact(f"{stem}-{sha256(data).hexdigest()[:12]}.{suffix}", role, data)


def _pins(path: Path) -> list[tuple[str, str]]:
    """Name and version of every `name==version` that starts a line."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "==" in line and line[0] not in "# "]
    return [(canonicalize_name(name), pinned) for name, _, pinned in (line.partition("==") for line in lines)]


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def main(
    build: Annotated[Path, typer.Option("--output", help="The folder that gets it.")] = BUILD,
    library_only: Annotated[bool, typer.Option("--library-only", help="Without dependencies: no download.")] = False,
) -> None:
    """Package the library, the job scripts and their dependencies for AWS Glue."""
    try:
        described = package(build, library_only=library_only)
    except PackagingError as error:
        print(f"Nothing was packaged. {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    print(json.dumps(described, indent=2))


if __name__ == "__main__":
    typer.run(main)
