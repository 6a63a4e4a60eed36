"""A bundle as it came: valid R4, of the one patient, every reference within it resolved.

Raises refusals before anything is stored. The resources themselves stay plain dictionaries.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import Patient
from clinic.directory.text import fold
from records.fhir.codes import Resource
from records.fhir.refusals import (
    BrokenReference,
    NoOnePatient,
    NotABundle,
    NotR4,
    OtherPatient,
    TwiceInBundle,
)

SHOWN_PROBLEMS = 3
SOURCE_LENGTH = 200
URN = "urn:uuid:"
_DIGITS = re.compile(r"\d+")
_AT_SERVER = re.compile(r"(https?://.+)/([A-Za-z]+)/([A-Za-z0-9.-]{1,64})")


@dataclass(frozen=True)
class Entry:
    """A resource of the bundle, and the name under which an import finds it again."""

    resource: Resource
    source: str

    @property
    def kind(self) -> str:
        return str(self.resource["resourceType"])

    @property
    def digest(self) -> str:
        text = json.dumps(self.resource, sort_keys=True, default=str, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Parsed:
    """``known`` finds an entry by each way in which another one may refer to it."""

    patient: Entry
    entries: list[Entry] = field(default_factory=list)
    known: dict[str, Entry] = field(default_factory=dict)
    without_resource: int = 0

    def find(self, reference: Any, *, holder: Resource) -> Resource | None:
        """What a Reference means; None for nothing, or for something outside of the bundle.

        Raises `BrokenReference` for a name that has a meaning only inside of a bundle or resource.
        """
        target = str((reference or {}).get("reference", ""))
        if not target:
            return None
        if target.startswith("#"):
            for contained in holder.get("contained", ()):
                if contained.get("id") == target[1:]:
                    return dict(contained)
            raise BrokenReference(_named(holder), target)
        found = self.entry(reference)
        if found is None and target.startswith(URN):
            raise BrokenReference(_named(holder), target)
        return found.resource if found else None

    def entry(self, reference: Any) -> Entry | None:
        return self.known.get(str((reference or {}).get("reference", "")))

    def need(self, reference: Any, *, holder: Resource) -> Entry | None:
        """Like `find`, for what cannot be outside of the bundle: an encounter, a patient."""
        target = str((reference or {}).get("reference", ""))
        if not target:
            return None
        found = self.entry(reference)
        if found is None:
            raise BrokenReference(_named(holder), target)
        return found


def read(bundle: Any, chart: Patient) -> Parsed:
    """The bundle's parts, if it is one, valid, and about the patient of ``chart``."""
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise NotABundle
    _validate(bundle)
    entries = [part for part in bundle.get("entry", ()) if part.get("resource")]
    patients = [part for part in entries if part["resource"]["resourceType"] == "Patient"]
    if len(patients) != 1:
        raise NoOnePatient(len(patients))
    system = _system_of(bundle, patients[0]["resource"])
    made = [_entry(part, system) for part in entries]
    whose = made[entries.index(patients[0])]
    if not is_same_person(whose.resource, chart):
        raise OtherPatient
    parsed = Parsed(whose, made, without_resource=len(bundle.get("entry", ())) - len(entries))
    for part, entry in zip(entries, made, strict=True):
        _know(parsed, part, entry)
    for entry in made:
        _refuse_other_subject(parsed, entry)
    return parsed


def _validate(bundle: Resource) -> None:
    # Imported where it is used: the models take time and memory that no page needs.
    from fhir.resources.R4B.bundle import Bundle
    from pydantic import ValidationError

    try:
        Bundle.model_validate(bundle)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        places = [".".join(str(part) for part in problem["loc"]) for problem in found]
        shown = [
            _("%(place)s: %(problem)s") % {"place": place, "problem": problem["msg"].rstrip(".")}
            for place, problem in zip(places[:SHOWN_PROBLEMS], found, strict=False)
        ]
        raise NotR4(shown, len(found)) from error
    except (TypeError, AttributeError, LookupError, ValueError) as error:
        # A resource that is no object, or whose type FHIR does not know.
        raise NotR4([_("it has parts that FHIR does not know")], 1) from error


def _system_of(bundle: Resource, patient: Resource) -> str:
    """Where ids without an address are unique: the sender's, as the bundle or patient says."""
    named = (bundle.get("identifier") or {}).get("system")
    owners = (part.get("system") for part in patient.get("identifier", ()))
    return str(named or next((owner for owner in owners if owner), "") or "bundle")


def _entry(part: Resource, system: str) -> Entry:
    resource, url = part["resource"], str(part.get("fullUrl", ""))
    kind, name = resource["resourceType"], str(resource.get("id", ""))
    at_server = _AT_SERVER.fullmatch(url)
    if url.startswith(URN):
        source = f"urn:uuid|{kind}/{url.removeprefix(URN)}"
    elif at_server:
        source = f"{at_server[1]}|{kind}/{at_server[3]}"
    elif name:
        source = f"{system}|{kind}/{name}"
    else:
        source = ""  # cannot be found again, and is left out
    plain = source.replace(f"|{kind}/", "|")
    if plain != plain.lower() or not plain.isascii():
        # Databases may take ids for equal that differ in case or accents; FHIR does not.
        source += f"#{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    if len(source) > SOURCE_LENGTH:
        source = f"sha256|{kind}/{hashlib.sha256(source.encode()).hexdigest()}"
    return Entry(resource, source)


def _know(parsed: Parsed, part: Resource, entry: Entry) -> None:
    names = {str(part.get("fullUrl", ""))}
    if entry.resource.get("id"):
        names.add(f"{entry.kind}/{entry.resource['id']}")
    for name in filter(None, names):
        if name in parsed.known and parsed.known[name] is not entry:
            raise TwiceInBundle(name)
        parsed.known[name] = entry


def _refuse_other_subject(parsed: Parsed, entry: Entry) -> None:
    """Whatever says whose it is has to say that it is this patient's."""
    for name in ("subject", "patient", "beneficiary"):
        reference = entry.resource.get(name)
        if not isinstance(reference, dict) or not reference.get("reference"):
            continue
        found = parsed.entry(reference)
        if found is None:
            raise BrokenReference(_named(entry.resource), str(reference["reference"]))
        if found.kind == "Patient" and found is not parsed.patient:
            raise OtherPatient


def _named(resource: Resource) -> str:
    return f"{resource.get('resourceType', '')}/{resource.get('id', '')}".rstrip("/")


# --- Who it is about ----------------------------------------------------------------------------


def is_same_person(resource: Resource, chart: Patient) -> bool:
    """Whether name and date of birth are the chart's.

    The family name and the first given name have to be in the chart's name, and all of the chart's
    name in the bundle's: middle names may be missing in the chart. Case, accents and the order are
    ignored; so are digits, which Synthea adds to the names of its people and nobody else has.
    """
    if chart.birth_date is None or resource.get("birthDate", "") != chart.birth_date.isoformat():
        return False
    ours = name_words(chart.name)
    return bool(ours) and any(_fits(name, ours) for name in resource.get("name", ()))


def _fits(name: Resource, ours: set[str]) -> bool:
    given = [str(part) for part in name.get("given", ())]
    family = name_words(str(name.get("family", "")))
    everything = name_words(" ".join(given)) | family
    if not family:
        return ours == (everything or name_words(str(name.get("text", ""))))
    first = name_words(given[0]) if given else set()
    return (family | first) <= ours <= everything


def name_words(text: str) -> set[str]:
    return set(_DIGITS.sub("", fold(text)).split())
