"""What the pages of messages need beyond Django's own tags: links in what people wrote."""

from __future__ import annotations

import re

from django import template
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

# Web addresses alone, and only where the scheme was written out: nothing else becomes a link. An
# address ends at a character that turns the direction of text, which could make it look like
# another. `static/js/chat/text.js` does the same.
_ADDRESS = re.compile(r"https?://[^\s<>\"'`\u200e\u200f\u202a-\u202e\u2066-\u2069]+", re.IGNORECASE)
_LINK = (
    '<a class="govuk-link" href="{0}" rel="noopener noreferrer nofollow" target="_blank">{0}</a>'
)
_SENTENCE_END = ".,;:!?)]}»”’"


@register.filter
def linked(text: str) -> SafeString:
    """``text`` escaped, its web addresses as links that pass nothing on."""
    parts: list[tuple[str]] = []
    end = 0
    for match in _ADDRESS.finditer(text):
        address = match.group().rstrip(_SENTENCE_END)
        if not address.partition("://")[2]:
            continue
        parts.append((conditional_escape(text[end : match.start()]),))
        parts.append((format_html(_LINK, address),))
        end = match.start() + len(address)
    parts.append((conditional_escape(text[end:]),))
    return format_html_join("", "{}", parts)


@register.filter
def file_size(size: int) -> str:
    """``"1.2 MB"``."""
    if size < 1_000_000:
        return f"{max(1, round(size / 1_000))} KB"
    return f"{size / 1_000_000:.1f} MB"
