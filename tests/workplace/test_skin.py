"""The workplace's style sheet says the same colours as the site's."""

from __future__ import annotations

import re
from pathlib import Path

CSS = Path(__file__).resolve().parents[2] / "static" / "css"


def tokens(name: str) -> list[dict[str, str]]:
    """The custom properties of the first two `:root` blocks: light, then dark."""
    blocks = re.findall(r":root \{(.*?)\}", (CSS / name).read_text(), re.S)[:2]
    return [dict(re.findall(r"--([\w-]+): ([^;]+);", block)) for block in blocks]


def test_the_colours_are_those_of_the_site() -> None:
    for ours, site in zip(tokens("admin.css"), tokens("site.css"), strict=True):
        shared = {name: value for name, value in site.items() if not name.startswith("govuk-")}
        assert len(shared) > 15
        assert {name: ours.get(name) for name in shared} == shared
