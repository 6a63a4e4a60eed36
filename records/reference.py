"""Reference data shipped with the app (data/README.md says where it comes from)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from clinic.directory.text import fold
from records.models import IcdCategory

DATA = Path(__file__).parent / "data"


def categories() -> Iterator[tuple[str, str]]:
    """Code and name of each three-character category of ICD-10-CM."""
    with (DATA / "icd10cm_categories.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            yield row["code"], row["name"]


def load_categories(model: Any = IcdCategory) -> int:
    """Adds the categories that are missing; returns how many. A migration calls it."""
    known = set(model.objects.values_list("code", flat=True))
    missing = [
        model(code=code, name=name, search_text=f"{code.lower()} {fold(name)}"[:270])
        for code, name in categories()
        if code not in known
    ]
    model.objects.bulk_create(missing, batch_size=500)
    return len(missing)


@lru_cache(maxsize=1)
def drug_classes() -> tuple[frozenset[str], ...]:
    """Sets of words that name drugs of one class."""
    with (DATA / "drug_classes.csv").open(encoding="utf-8", newline="") as file:
        return tuple(frozenset(row["words"].split()) for row in csv.DictReader(file))
