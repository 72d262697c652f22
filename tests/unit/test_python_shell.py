"""What a Python shell job of Glue imports runs on its Python 3.9, and needs none of what only Spark jobs have."""

import subprocess
import sys
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "glue_jobs/detect.py"


def _imported() -> set[str]:
    """The script, and all modules of ours that it imports, or that those import: as paths."""
    modules = grimp.build_graph("retail_etl", "glue_jobs").find_upstream_modules("glue_jobs.detect")
    files = {f"lib/{name.replace('.', '/')}.py" for name in modules if name != "retail_etl"}
    return files | {SCRIPT}


def _declared() -> set[str]:
    """Those that ruff checks for Python 3.9."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {name for name, version in settings["tool"]["ruff"]["per-file-target-version"].items() if version == "py39"}


def test_ruff_checks_for_python_39_whatever_detect_imports() -> None:
    assert _imported() == _declared()


def test_neither_syntax_nor_standard_library_of_a_later_python_is_used() -> None:
    files = [str(ROOT / name) for name in sorted(_imported())]
    checked = subprocess.run(
        [str(Path(sys.executable).with_name("vermin")), "--target=3.9-", "--violations", "--no-tips", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
