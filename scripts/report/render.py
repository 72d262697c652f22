"""The report's file: template, styles, scripts, Plotly and data in one page, which loads nothing and sends nothing.

The page's policy names the three scripts in it by their hashes: whatever else got in would not run.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import Any

PAGE = Path(__file__).with_name("page")
SCRIPTS = ("data.js", "charts.js", "parts.js", "pipeline.js", "business.js", "order.js", "page.js")
"""The page's own scripts, in the order in which they build on one another."""

# What ends a script element, or begins a comment in it, and what JavaScript does not allow in its strings.
_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def render(figures: Mapping[str, Any]) -> str:
    """The whole page."""
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    plotly = _in_script(get_plotlyjs())
    own = _in_script("\n".join(_read(name) for name in SCRIPTS))
    policy = (
        f"default-src 'none'; script-src {_hash(plotly)} {_hash(own)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    template = Template(_read("page.html"))
    return template.substitute(policy=policy, styles=_read("page.css"), data=as_json(figures), plotly=plotly, own=own)


def as_json(value: Mapping[str, Any]) -> str:
    """JSON that may stand in a script element: no text of it, whatever it says, ends the element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_ESCAPED)


def _in_script(text: str) -> str:
    """A script as it will be read: HTML knows no carriage returns."""
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError("this script cannot stand in a page: it holds </script or <!--")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _hash(script: str) -> str:
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")
