"""What the typed words mean: names of doctors, specialties, everyday words for what they treat.

Words are compared folded (`clinic.directory.text.fold`): without case, accents and punctuation.
A word that nothing knows gets a second chance with small typing errors put right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from rapidfuzz import process
from rapidfuzz.distance import OSA

from clinic.directory.text import fold

MAX_WORDS = 8  # more than a name and two complaints; bounds the work of one search
PREFIX_LETTERS = 3  # "der" may stand for dermatology, "de" for half of the alphabet
SHARED_LETTERS = 5  # of "cardiologist" and "cardiology", "surgeon" and "surgery"
ENDING_LETTERS = 4  # how much behind them may differ
NEAR_WORDS = 4  # respellings that are equally near, tried together

# Words that say nothing about which doctor.
_TITLES = {"doc", "doctor", "doctors", "dr", "md", "physician", "specialist"}
_FILLER_TEXT = """
a an and at be by can clinic do for from good help i in is it me my near need of on or problem
problems the to want who with
"""
_FILLERS = _TITLES | frozenset(_FILLER_TEXT.split())

Spellings = tuple[str, ...]  # one typed word: as typed, or what it may have been meant to be


@dataclass(frozen=True)
class Subject:
    """A specialty as the search sees it; ``phrases`` are its name and its everyday words."""

    pk: int
    slug: str
    name: str
    phrases: tuple[frozenset[str], ...]

    # Folding the words of all specialties takes longer than the rest of a search.
    @classmethod
    @lru_cache(maxsize=1024)
    def read(cls, pk: int, slug: str, name: str, everyday_words: str) -> Subject:
        lines = [name, *everyday_words.replace(",", "\n").splitlines()]
        phrases = (frozenset(content_words(fold(line))) for line in lines)
        return cls(pk, slug, name, tuple(phrase for phrase in phrases if phrase))

    def words(self) -> set[str]:
        return set().union(*self.phrases)


@dataclass(frozen=True)
class Reading:
    """How a query is understood: doctors whose name has all ``words``, or doctors of
    ``specialties`` whose name has the ``rest``."""

    words: tuple[Spellings, ...]
    specialties: frozenset[int]
    rest: tuple[Spellings, ...]


def content_words(folded: str) -> list[str]:
    """The words that say something. "Do" is a name as well as a degree, so words that usually say
    nothing count when there are no others; "doctor" alone means any doctor."""
    words = folded.split()
    return [word for word in words if word not in _FILLERS] or [
        word for word in words if word not in _TITLES
    ]


def words_of(query: str) -> tuple[Spellings, ...]:
    """The words to look for, without repetitions, at most ``MAX_WORDS``."""
    unique = dict.fromkeys(content_words(fold(query)))
    return tuple((word,) for word in list(unique)[:MAX_WORDS])


def akin(one: str, other: str) -> bool:
    """Whether two words are forms of one: "rash" and "rashes", "cardiologist" and "cardiology"."""
    if one == other:
        return True
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) >= PREFIX_LETTERS and longer in (shorter + "s", shorter + "es"):
        return True
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other)))  # noqa: B905
    return shared >= SHARED_LETTERS and len(longer) - shared <= ENDING_LETTERS


def means(typed: Spellings, word: str) -> bool:
    """Whether what was typed is a form of ``word`` or the beginning of it."""
    return any(
        # Forms of a word begin alike; most pairs are told apart by that without a look further.
        spelling[0] == word[0]
        and (
            akin(spelling, word) or (len(spelling) >= PREFIX_LETTERS and word.startswith(spelling))
        )
        for spelling in typed
    )


def read_query(words: Sequence[Spellings], subjects: Iterable[Subject]) -> Reading:
    """Finds the specialties that explain most of the words; the others belong to a name.

    A phrase explains the words it shares with the query; explaining more words wins, then having
    been typed completely ("back pain" before a longer phrase of which these are two words).
    """
    best: tuple[int, bool] = (0, False)
    specialties: set[int] = set()
    explained: set[Spellings] = set()
    for subject in subjects:
        for phrase in subject.phrases:
            covered = {typed for typed in words if any(means(typed, word) for word in phrase)}
            whole = all(any(means(typed, word) for typed in words) for word in phrase)
            score = (len(covered), whole)
            if not covered or score < best:
                continue
            if score > best:
                best, specialties, explained = score, set(), set()
            specialties.add(subject.pk)
            explained |= covered
    return Reading(
        words=tuple(words),
        specialties=frozenset(specialties),
        rest=tuple(typed for typed in words if typed not in explained),
    )


def respell(
    words: Sequence[Spellings], names: Mapping[str, int], terms: Set[str]
) -> tuple[Spellings, ...] | None:
    """The words with small typing errors put right, or None when that changes nothing.

    ``names``: every word of doctors' names with how often it occurs; ``terms``: every word of the
    specialties. Up to 3 letters must be right, 4 or 5 may have one error, longer words two (a swap
    of neighbours is one error).
    """
    choices = [*names, *(term for term in terms if term not in names)]
    changed = False
    respelled: list[Spellings] = []
    for typed in words:
        word = typed[0]
        errors = 0 if len(word) < 4 else 1 if len(word) < 6 else 2
        is_known = any(name.startswith(word) for name in names) or any(
            means(typed, term) for term in terms
        )
        near = (
            []
            if is_known or not errors
            else process.extract(word, choices, scorer=OSA.distance, score_cutoff=errors, limit=50)
        )
        if not near:
            respelled.append(typed)
            continue
        nearest = min(distance for _, distance, _ in near)
        spellings = sorted(
            (other for other, distance, _ in near if distance == nearest),
            key=lambda other: (other[0] != word[0], -names.get(other, 0), other),
        )
        respelled.append(tuple(spellings[:NEAR_WORDS]))
        changed = True
    return tuple(respelled) if changed else None


def words_of_names(search_texts: Iterable[str]) -> Counter[str]:
    """Every word that a doctor's name has, with how often it occurs."""
    known: Counter[str] = Counter()
    for text in search_texts:
        known.update(text.split())
    return known


def as_typed(words: Sequence[Spellings]) -> str:
    """The respelled query in words: the likeliest spelling of each."""
    return " ".join(typed[0] for typed in words)
