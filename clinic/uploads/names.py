"""File names as people gave them, made safe to show and to save under."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 120  # characters
LONGEST_EXTENSION = 10  # a longer one is no extension
# Separators of paths and what file systems do not allow in a name.
FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
# Names that Windows gives to devices, with any ending.
DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
# Control, format (also what turns the direction of text: "gpj.exe" read as "exe.jpg"), surrogate,
# private and unassigned characters, and the ends of lines.
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def extension_of(name: str) -> str:
    """What follows the last dot, in lower case; "" without one."""
    stem, dot, extension = name.rpartition(".")
    return extension.lower() if dot and stem else ""


def clean_name(name: str, *, fallback: str = "file") -> str:
    """``name`` without path, control and direction characters, at most `LONGEST` long.

    The extension stays, whatever else has to go.
    """
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    seen = "".join(part for part in name if unicodedata.category(part) not in UNSEEN)
    seen = FORBIDDEN.sub("_", " ".join(seen.split())).rstrip(". ")
    stem, dot, extension = seen.rpartition(".")
    if not dot or len(extension) > LONGEST_EXTENSION:
        stem, extension = seen, ""
    stem = stem.strip(". ") or fallback
    if DEVICES.fullmatch(stem.partition(".")[0].strip()):
        stem = f"{fallback}-{stem}"
    ending = f".{extension.strip().lower()}" if extension.strip() else ""
    return stem[: LONGEST - len(ending)].rstrip(". ") + ending
