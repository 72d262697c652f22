"""Look for insecure code (bandit) and for known vulnerabilities in the pinned packages (pip-audit).

Exit code 1 where either finds something. A vulnerability service that cannot be reached, as behind a firewall,
is said plainly and is no failure; pip-audit itself answers "no known vulnerabilities" to some forms of that.
"""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CODE = ("lib", "glue_jobs", "scripts")
PIP_AUDIT = ("pip_audit", "--requirement", "requirements.txt", "--no-deps", "--disable-pip", "--progress-spinner=off")


@dataclass
class Audit:
    """What the vulnerability service said of the packages: how many it knows, and what it knows against them."""

    known: int = 0
    unknown: list[str] = field(default_factory=list)
    vulnerabilities: list[str] = field(default_factory=list)


def main() -> int:
    """Run both, also where the first finds something; 0 where neither does."""
    print("Insecure code (bandit)", flush=True)
    code_is_clean = _run("bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", *CODE).returncode == 0
    if code_is_clean:
        print("  nothing found")
    print("Known vulnerabilities in requirements.txt (pip-audit)", flush=True)
    packages_are_clean = _audit_packages()
    return 0 if code_is_clean and packages_are_clean else 1


def read_report(report: dict[str, Any]) -> Audit:
    """The JSON of `pip-audit --format json`, counted. A package that the service does not know is skipped in it."""
    audit = Audit()
    for package in report["dependencies"]:
        if "skip_reason" in package:
            audit.unknown.append(package["name"])
            continue
        audit.known += 1
        for found in package["vulns"]:
            cure = f"fixed in {', '.join(found['fix_versions'])}" if found["fix_versions"] else "no fixed version yet"
            audit.vulnerabilities.append(f"{package['name']} {package['version']}: {found['id']}, {cure}")
    return audit


def _audit_packages() -> bool:
    done = _run(*PIP_AUDIT, "--format=json", capture=True)
    if not done.stdout.strip():
        return _is_unreachable(done.stderr)
    audit = read_report(json.loads(done.stdout))
    for vulnerability in audit.vulnerabilities:
        print(f"  {vulnerability}")
    if not audit.known:
        print(f"  NOT CHECKED: the vulnerability service here knows none of the {len(audit.unknown)} packages")
    elif not audit.vulnerabilities:
        print(f"  none in {audit.known} packages")
    if audit.known and audit.unknown:
        print(f"  NOT CHECKED, the service does not know them: {', '.join(audit.unknown)}")
    return not audit.vulnerabilities


def _is_unreachable(stderr: str) -> bool:
    # No report: either the requirements cannot be read, which is our fault and fails without the service
    # too, or the service did not answer.
    if _run(*PIP_AUDIT, "--dry-run", capture=True).returncode != 0:
        print(f"  pip-audit failed:\n{stderr.rstrip()}")
        return False
    print(f"  NOT CHECKED: the vulnerability service cannot be reached ({stderr.rstrip().rpartition(chr(10))[2]})")
    return True


def _run(module: str, *arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, check=False, text=True, capture_output=capture
    )


if __name__ == "__main__":
    sys.exit(main())
