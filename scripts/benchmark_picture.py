#!/usr/bin/env python
"""Where the seconds of a run go, as a picture: docs/performance/*.json → docs/images/profile.svg.

Each file is what `run --json` printed, or what `make benchmark` kept; `label` says of what.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lib")]

from scripts.generated import main  # noqa: E402

FILES = ROOT / "docs" / "performance"
PICTURE = ROOT / "docs" / "images" / "profile.svg"

_COLOURS = {
    "detect": "#7f7f7f",
    "extract": "#2563a8",
    "quality_gate_raw": "#d17a1f",
    "transform": "#2a8f6d",
    "quality_gate_star": "#e0a458",
    "load": "#7b519c",
}
_WIDTH, _LEFT, _BAR, _GAP, _TOP = 960, 150, 40, 34, 56
_NARROWEST = 34
"""A stage that is drawn narrower than so many pixels has no place for its seconds."""


@dataclass(frozen=True)
class Run:
    """A run's stages in their order, with their seconds."""

    label: str
    stages: dict[str, float]

    @property
    def seconds(self) -> float:
        """All stages together."""
        return sum(self.stages.values())


def read(file: Path) -> Run:
    """A run from its file. KeyError where the file is of another kind."""
    kept = json.loads(file.read_text(encoding="utf-8"))
    if "parts" in kept:
        (kept_run,) = (part for part in kept["parts"] if part["name"] == "first run")
    else:
        kept_run = kept
    return Run(kept["label"], {stage["name"]: stage["seconds"] for stage in kept_run["stages"]})


def draw(runs: list[Run]) -> str:
    """Bars below one another, in the same scale, a colour for each stage."""
    scale = (_WIDTH - _LEFT - 70) / max(run.seconds for run in runs)
    height = _TOP + len(runs) * (_BAR + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="14">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        *_legend([name for name in _COLOURS if any(name in run.stages for run in runs)]),
    ]
    for place, run in enumerate(runs):
        parts += _bar(run, _TOP + place * (_BAR + _GAP), scale)
    return "\n".join([*parts, "</svg>\n"])


def _legend(names: list[str]) -> list[str]:
    parts, left = [], _LEFT
    for name in names:
        words = name.replace("_", " ")
        parts.append(f'<rect x="{left}" y="16" width="14" height="14" fill="{_COLOURS[name]}"/>')
        parts.append(f'<text x="{left + 20}" y="28">{escape(words)}</text>')
        left += 40 + 8 * len(words)
    return parts


def _bar(run: Run, top: int, scale: float) -> list[str]:
    middle = top + _BAR / 2 + 5
    parts, left = [f'<text x="{_LEFT - 12}" y="{middle}" text-anchor="end">{escape(run.label)}</text>'], float(_LEFT)
    for name, seconds in run.stages.items():
        width = seconds * scale
        parts.append(
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{_COLOURS[name]}">'
            f"<title>{escape(name)}: {seconds:.1f} s</title></rect>"
        )
        if width >= _NARROWEST:
            centre = left + width / 2
            parts.append(f'<text x="{centre:.1f}" y="{middle}" text-anchor="middle" fill="#fff">{seconds:.0f}</text>')
        left += width
    parts.append(f'<text x="{left + 8:.1f}" y="{middle}">{run.seconds:.0f} s</text>')
    return parts


def picture() -> str:
    """The picture of all files, in the order of their names."""
    return draw([read(file) for file in sorted(FILES.glob("*.json"))])


if __name__ == "__main__":
    sys.exit(main(PICTURE, picture(), "docs/performance; make performance-picture draws it anew", sys.argv[1:]))
