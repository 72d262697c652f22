"""Files that are made from others, as commands: written anew, or checked to be no older than their origin."""

import sys
from collections.abc import Sequence
from pathlib import Path


def main(target: Path, text: str, cure: str, arguments: Sequence[str]) -> int:
    """Write the text there; with `--check`, 1 where another one stands there, and `cure` is said."""
    name = target.relative_to(target.parent.parent)
    if arguments == ["--check"]:
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            print(f"{name} is older than {cure}.", file=sys.stderr)
            return 1
        return 0
    target.write_text(text, encoding="utf-8")
    print(f"{name} is written.")
    return 0
