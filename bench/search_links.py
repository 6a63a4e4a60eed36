"""Reading a search page as a visitor does: the link of its first free time."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

_LINK = re.compile(r'href="(/doctors/[^/"]+/book/\?[^"]+)"')


@dataclass(frozen=True)
class Slot:
    link: str  # as the page writes it
    fields: dict[str, str]  # slug, service, at


def first_free(page: str) -> Slot:
    found = _LINK.search(page)
    if found is None:
        raise RuntimeError("The search page shows no free time.")
    address = urlsplit(html.unescape(found[1]))
    query = parse_qs(address.query)
    slug = address.path.split("/")[2]
    return Slot(found[1], {"slug": slug, "service": query["service"][0], "at": query["at"][0]})
