"""``ST MARY'S OF MCKINNEY`` in letters that do not shout: ``St Mary's of McKinney``."""

from __future__ import annotations

import re

_SMALL = {
    "a", "an", "and", "at", "by", "del", "du", "for", "in", "of", "on", "or", "the", "to", "with",
}  # fmt: skip
_UPPER = {
    # Owners and systems that call themselves so.
    "ahmc", "ahn", "arh", "bhc", "bmh", "camc", "cgh", "chi", "cjw", "dch", "dlp", "ecu", "fhn",
    "hca", "hmhp", "hshs", "jfk", "jps", "lbj", "lds", "lij", "lmh", "lmhs", "lsu", "mcg", "mmc",
    "musc", "ncbh", "ngmc", "nnmh", "nyu", "osf", "phs", "pih", "rmh", "rtc", "sgmc", "slhs",
    "smp", "ssm", "suny", "tlc", "tmc", "trmc", "uab", "uci", "ucla", "ucsd", "ucsf", "uf", "uh",
    "umd", "unc", "upmc", "us", "usa", "usc", "ut", "uva", "uw", "va", "vhs",
    # Kinds, degrees, legal forms and numbers.
    "ach", "afb", "amc", "cah", "er", "icu", "ii", "iii", "iv", "llc", "llp", "lp", "lv", "md",
    "nh", "nmc", "pc", "po", "dba",
}  # fmt: skip
_COMPASS = {"n", "s", "e", "w", "ne", "nw", "se", "sw"}
_SPECIAL = {
    "dekalb": "DeKalb",
    "desoto": "DeSoto",
    "dupage": "DuPage",
    "lagrange": "LaGrange",
    "laporte": "LaPorte",
    "lasalle": "LaSalle",
    "leconte": "LeConte",
    "macneal": "MacNeal",
    "mainehealth": "MaineHealth",
    "unitypoint": "UnityPoint",
    "uofl": "UofL",
}
_WORD = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ0-9]+(?:['’][A-Za-zÀ-ÖØ-öø-ÿ]+)*['’]?")


def title_case(text: str) -> str:
    """A name or address in upper case, as people write it; other text only loses extra spaces."""
    text = " ".join(text.split()).rstrip(",")
    if text != text.upper():
        return text
    return _WORD.sub(lambda match: _word(match, text), text)


def _word(match: re.Match[str], text: str) -> str:
    word = match.group().lower()
    starts = match.start() == 0 or text[match.start() - 1] in "(-/:"
    before = text[: match.start()].rstrip()
    starts = starts or before.endswith(("-", "(", "/", ":"))
    # "ST. JOSEPH HOSPITAL, THE" and "Washington Hospital, The": a trailing article is capital.
    ends = match.end() == len(text) and before.endswith(",")
    if word in _SPECIAL:
        return _SPECIAL[word]
    if word in _UPPER or word in _COMPASS:
        return word.upper()
    if word in _SMALL and not starts and not ends:
        return word
    if word[0].isdigit():
        return word  # 1st, 42nd
    if word.startswith("mc") and len(word) > 3:
        return "Mc" + word[2:].capitalize()
    first, mark, rest = word.partition("'")
    if mark and len(first) == 1 and len(rest) > 1:
        return f"{first.upper()}'{rest.capitalize()}"  # O'Connor, D'Alene
    return word[0].upper() + word[1:]
