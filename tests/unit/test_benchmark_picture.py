"""The picture of where the seconds go shows the seconds of its files, and is no older than they are."""

import json
from pathlib import Path

from scripts import benchmark_picture as picture


def test_the_picture_is_that_of_the_files() -> None:
    assert picture.PICTURE.read_text(encoding="utf-8") == picture.picture()


def test_a_bar_is_as_long_as_its_seconds_and_in_one_scale_with_the_others(tmp_path: Path) -> None:
    def run(label: str, **seconds: float) -> picture.Run:
        stages = [{"name": name, "status": "succeeded", "seconds": value, "rows": 1} for name, value in seconds.items()]
        file = tmp_path / f"{label}.json"
        file.write_text(json.dumps({"label": label, "stages": stages}))
        return picture.read(file)

    drawn = picture.draw([run("slow", extract=30, load=44), run("a < b", extract=7.4)])
    # 740 pixels are left for the longest run, of 74 seconds.
    assert [f'width="{width}" height="40"' in drawn for width in ("300.0", "440.0", "74.0")] == [True] * 3
    assert "<title>load: 44.0 s</title>" in drawn
    assert "a &lt; b" in drawn
