"""Whether a medication may be what a patient is allergic to: by code, by words, by common classes.

It compares names, and knows a small list of classes (data/README.md says what it does not know). It
is a reminder that asks for a typed reason, never the reason to think that something is safe.
"""

from __future__ import annotations

from collections.abc import Iterable

from clinic.directory.text import fold
from records.models import Allergy
from records.reference import drug_classes

SHORTEST = 4  # letters of a word that says something
# Words of names and forms of drugs that no two substances share on purpose.
_COMMON = """
acid adhesive allergy allergic anhydrous besylate calcium capsule capsules citrate cream drops drug
drugs extended extract gel hydrate hydrobromide hydrochloride inhaler inject injectable injection
intolerance lotion magnesium maleate medication medications mesylate monohydrate nasal ointment once
oral patch phosphate potassium powder release sodium solution spray substance succinate sulfate
suspension syrup tablet tablets tartrate therapy trihydrate twice unit units vial with
"""
COMMON = frozenset(_COMMON.split())


def significant(text: str) -> frozenset[str]:
    """Words that say which substance it is: no doses, forms or salts."""
    return frozenset(
        word
        for word in fold(text).split()
        if len(word) >= SHORTEST and word not in COMMON and not word[0].isdigit()
    )


def matching(name: str, allergies: Iterable[Allergy], *, code: str = "") -> list[Allergy]:
    """Those of ``allergies`` that the medication ``name`` may be about."""
    drug = significant(name)
    return [
        allergy
        for allergy in allergies
        if (code and code == allergy.code) or _alike(drug, significant(allergy.name))
    ]


def _alike(drug: frozenset[str], allergen: frozenset[str]) -> bool:
    if drug & allergen:
        return True
    return any(drug & words and allergen & words for words in drug_classes())
