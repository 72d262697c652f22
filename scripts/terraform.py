"""Run Terraform on `terraform/`, with the machine's provider mirror where it has one, so that nothing is downloaded.

    python scripts/terraform.py check            format, validity, terraform test
    python scripts/terraform.py ARGUMENTS…       terraform ARGUMENTS…

A machine without Terraform cannot check: it says so and ends with 0, under CI=true with 1.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "terraform"
MISSING = "Terraform is not installed (1.11 or later: https://developer.hashicorp.com/terraform/install)"

_REGISTRY = "registry.terraform.io"
_ROOTS = (
    Path.home() / ".terraform.d",
    Path.home() / ".local/share/terraform",
    *(Path(name) for name in ("/usr/local/share/terraform", "/usr/share/terraform", "/usr/lib/terraform", "/opt")),
)
_PATTERNS = (_REGISTRY, f"*/{_REGISTRY}", f"*/*/{_REGISTRY}")

_CHECKS = (
    ("fmt", "-check", "-diff", "-recursive"),
    ("init", "-backend=false", "-input=false", "-no-color"),
    ("validate", "-no-color"),
    ("test", "-no-color"),
)


def installed() -> bool:
    """Whether there is a Terraform."""
    return shutil.which("terraform") is not None


def is_ci() -> bool:
    """Whether nothing may be left out."""
    return os.environ.get("CI", "").lower() in ("1", "true")


@cache
def provider_mirror(roots: Iterable[Path] = _ROOTS) -> Path | None:
    """The folder that holds `registry.terraform.io`; None where the machine has none."""
    found = chain.from_iterable(root.glob(pattern) for root in roots for pattern in _PATTERNS)
    return next((registry.parent for registry in found if registry.is_dir()), None)


def environment() -> dict[str, str]:
    """The environment for Terraform: the mirror for `init`, and no configuration file that is not there."""
    found = dict(os.environ)
    configuration = found.get("TF_CLI_CONFIG_FILE")
    if configuration and not Path(configuration).exists():
        del found["TF_CLI_CONFIG_FILE"]
    mirror = provider_mirror()
    if mirror and not found.keys() & {"TF_CLI_ARGS_init", "TF_CLI_CONFIG_FILE"}:
        found["TF_CLI_ARGS_init"] = f"-plugin-dir={mirror}"
    found["TF_IN_AUTOMATION"] = found["CHECKPOINT_DISABLE"] = "1"
    return found


def check() -> int:
    """0 where all checks pass. What `init` leaves is kept apart from a deployment's."""
    if not installed():
        print(f"{MISSING}: terraform/ is not checked.", file=sys.stderr)
        return int(is_ci())
    apart = environment() | {"TF_DATA_DIR": str(ROOT / ".local" / "terraform")}
    for arguments in _CHECKS:
        done = subprocess.run(["terraform", *arguments], cwd=FOLDER, env=apart, check=False)
        if done.returncode:
            return done.returncode
    return 0


def main(arguments: Sequence[str]) -> int:
    """The exit code of Terraform, or of the checks."""
    if arguments == ["check"]:
        return check()
    if not installed():
        print(f"{MISSING}.", file=sys.stderr)
        return 1
    return subprocess.run(["terraform", *arguments], cwd=FOLDER, env=environment(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
