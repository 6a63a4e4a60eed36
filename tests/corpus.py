"""Texts made to run in a browser, and a reader that finds what would run in a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

CORPUS = [
    "<script>window.ran=1;alert(1)</script>",
    '"><script>window.ran=1</script>',
    "'><img src=x onerror=window.ran=1>",
    '" onmouseover="window.ran=1" autofocus onfocus="window.ran=1" x="',
    "<svg/onload=window.ran=1>",
    "</title><script>window.ran=1</script>",
    "</script><script>window.ran=1</script>",
    "</textarea><script>window.ran=1</script>",
    "<iframe srcdoc='<script>top.ran=1</script>'>",
    "<body style='background:url(javascript:window.ran=1)'>",
    "<a href=javascript:window.ran=1>click</a>",
    "{{ 7|add:7 }}{% debug %}${window.ran=1}",
    "&lt;script&gt;window.ran=1&lt;/script&gt;",
    "<<script>window.ran=1//<</script>",
    "<details open ontoggle=window.ran=1>",
    "<math><mtext><style><img src=x onerror=window.ran=1></style>",
    "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=window.ran=1 )//</stYle/</titLe/--!>\\x3csVg/>",
    "<p hx-get='/' hx-trigger='load' hx-on:click='window.ran=1'>",
]
MARK = "ran=1"  # in each of them
ADDRESSES = {"href", "src", "action", "formaction", "data", "xlink:href", "poster"}
RUNS = re.compile(r"(?:javascript|data|vbscript):")
# Elements that no template of ours has.
FOREIGN = {"iframe", "object", "embed", "base", "math", "style", "foreignobject", "frame"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        here = self.get_starttag_text() or tag
        if tag in FOREIGN:
            self.found.append(here)
        for name, value in attrs:
            plain = re.sub(r"[\x00-\x20]", "", value or "").lower()
            if (
                name.startswith(("on", "hx-on", "data-hx-on"))
                or name in {"srcdoc", "style"}
                or (name == "hx-trigger" and plain == "load")
                or (name in ADDRESSES and RUNS.match(plain))
            ):
                self.found.append(here)
        kind = dict(attrs).get("type") or ""
        self._in_script = tag == "script" and "json" not in kind

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.found.append(f"a script in the page: {data[:80]}")


def what_would_run(page: str) -> list[str]:
    """Every piece of ``page`` that a browser would run or follow; none in a page of ours."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.found
