"""What AWS runs is built the same each time, is named by its content, and needs nothing that is not in it."""

import json
import os
import subprocess
import sys
import sysconfig
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import package
from scripts.package import GLUES_OWN, bundled, glue_modules, python_shell, read_library, zipped


def test_two_builds_are_the_same_byte_for_byte(tmp_path):
    for name in ("one", "other"):
        package.package(tmp_path / name, library_only=True)
    one, other = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "other"))
    assert one == other
    assert len(one) == 2 + len(json.loads(one["package.json"])["scripts"])


def test_a_changed_file_changes_the_name_and_what_the_last_build_made_goes(tmp_path, monkeypatch):
    (tmp_path / "notes.txt").touch()
    before = package.package(tmp_path, library_only=True)
    changed = {**read_library(), "retail_etl/errors.py": b"# something else\n"}
    monkeypatch.setattr(package, "read_library", lambda: changed)
    after = package.package(tmp_path, library_only=True)
    assert before["library"]["file"] != after["library"]["file"]
    assert before["scripts"] == after["scripts"]
    assert sorted(path.suffix for path in tmp_path.iterdir() if "retail_etl" in path.name) == [".zip"]
    assert (tmp_path / "notes.txt").exists()


def test_the_library_is_imported_from_its_zip_alone(tmp_path):
    described = package.package(tmp_path, library_only=True)
    # -S: without the .pth file that makes lib/ importable here; then the packages that Glue has, but nothing of ours.
    program = (
        f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})\n"
        "import importlib, pkgutil, retail_etl\n"
        "for module in pkgutil.iter_modules(retail_etl.__path__):\n"
        "    print(importlib.import_module(f'retail_etl.{module.name}').__file__)\n"
    )
    archive = tmp_path / described["library"]["file"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(archive)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    found = done.stdout.split()
    assert len(found) == sum(name.endswith(".py") and "__init__" not in name for name in read_library())
    assert all(name.startswith(str(archive)) for name in found)


def test_the_bundle_has_all_that_its_packages_need_but_for_what_glue_has():
    there = {**glue_modules(), **bundled()}
    for name in bundled():
        needed = [Requirement(text) for text in requires(name) or ()]
        needed = [one for one in needed if not one.marker or one.marker.evaluate({"extra": ""})]
        unmet = [str(one) for one in needed if not one.specifier.contains(there.get(canonicalize_name(one.name), "0"))]
        assert not unmet, f"{name} needs {unmet}"


def test_what_glue_has_is_in_the_bundle_only_where_its_version_will_not_do(monkeypatch):
    assert bundled()["pg8000"] == "1.31.6"
    assert not bundled().keys() & {*GLUES_OWN, "boto3", "numpy", "pandas", "pyarrow", "pytest", "typer", "duckdb"}
    monkeypatch.setattr(package, "glue_modules", lambda: {**glue_modules(), "numpy": "1.0"})
    assert "numpy" in bundled()  # scipy needs a newer one


@pytest.fixture
def wheel_of_six():
    information = "six-1.17.0.dist-info"
    return zipped({"six.py": b"six = 6\n", f"{information}/METADATA": b"", f"{information}/LICENSE": b"MIT\n"})


def test_the_python_shells_wheel_holds_everything_and_pip_takes_it(tmp_path, wheel_of_six, monkeypatch):
    downloaded = tmp_path / "six-1.17.0-py2.py3-none-any.whl"
    downloaded.write_bytes(wheel_of_six)
    monkeypatch.setattr(package, "_download", lambda pins, folder, platform: [downloaded])
    made = python_shell(tmp_path, {"retail_etl/__init__.py": b""})
    (tmp_path / made.file).write_bytes(made.data)
    # Without an index and without --no-deps: it would fail if the wheel named a dependency.
    options = ("--quiet", "--no-index", f"--target={tmp_path / 'installed'}", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, tmp_path / made.file], check=True)
    assert {path.name for path in (tmp_path / "installed").glob("*") if path.name != "__pycache__"} == {
        "retail_etl",
        "retail_etl-0.1.0.dist-info",
        "six.py",
        "six-1.17.0.dist-info",
    }
    assert (tmp_path / "installed" / "six-1.17.0.dist-info" / "LICENSE").exists()
