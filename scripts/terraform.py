"""Run Terraform on `terraform/`: with the machine's provider mirror where it has one, so that nothing is downloaded.

    python scripts/terraform.py [-C FOLDER] ARGUMENTS…

Without Terraform it says so and ends with 0; under CI=true, or for anything but checks, with 1.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "terraform"
CHECKS = ("fmt", "test", "validate")

_REGISTRY = "registry.terraform.io"
_MIRRORS = (
    *(Path(name) for name in ("/opt", "/usr/share/terraform", "/usr/local/share/terraform", "/usr/lib/terraform")),
    Path.home() / ".terraform.d",
    Path.home() / ".local/share/terraform",
)
_DEPTH = 3  # plugins/<registry>, providers/mirror/<registry>

MISSING = "Terraform is not installed (https://developer.hashicorp.com/terraform/install, 1.10 or later)"


def installed() -> bool:
    """Whether there is a Terraform."""
    return shutil.which("terraform") is not None


def is_ci() -> bool:
    """Whether nothing may be left out."""
    return os.environ.get("CI", "").lower() in ("1", "true")


@cache
def provider_mirror(roots: Iterable[Path] = _MIRRORS) -> Path | None:
    """The folder that holds `registry.terraform.io`; None where the machine has none."""
    for root in roots:
        for depth in range(1, _DEPTH + 1):
            found = next(
                (path for path in root.glob("/".join(["*"] * (depth - 1) + [_REGISTRY])) if path.is_dir()), None
            )
            if found:
                return found.parent
    return None


def environment() -> dict[str, str]:
    """The environment for Terraform: the mirror for `init`, and no configuration file that is not there."""
    found = dict(os.environ)
    configuration = found.get("TF_CLI_CONFIG_FILE")
    if configuration and not Path(configuration).exists():
        del found["TF_CLI_CONFIG_FILE"]
    mirror = provider_mirror()
    if mirror and "TF_CLI_ARGS_init" not in found and "TF_CLI_CONFIG_FILE" not in found:
        found["TF_CLI_ARGS_init"] = f"-plugin-dir={mirror}"
    found["TF_IN_AUTOMATION"] = found["CHECKPOINT_DISABLE"] = "1"
    return found


def main(arguments: Sequence[str]) -> int:
    """Terraform's own exit code."""
    folder = FOLDER
    if arguments[:1] == ["-C"]:
        folder, arguments = Path(arguments[1]), arguments[2:]
    if not installed():
        may_be_left_out = bool(arguments) and arguments[0] in CHECKS and not is_ci()
        print(f"{MISSING}{': not checked.' if may_be_left_out else '.'}", file=sys.stderr)
        return 0 if may_be_left_out else 1
    return subprocess.run(["terraform", *arguments], cwd=folder, env=environment(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
