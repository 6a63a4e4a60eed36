"""How the search compares words: without case, accents and punctuation."""

import re
import unicodedata

_SEPARATORS = re.compile(r"[^a-z0-9]+")
# Letters that NFKD leaves whole although people type them with two plain ones or one.
_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "ı": "i"})


def fold(text: str) -> str:
    """``"Núñez-O'Hara"`` becomes ``"nunez o hara"``: lower case, plain letters, single spaces."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return _SEPARATORS.sub(" ", plain).strip()
