"""New charts at reception, without making a second one of somebody who has one.

Guarantee: before a new chart is made, reception sees the charts that are likely the same person,
with as much of each as it takes to recognize somebody on the phone, and no more: name, date of
birth and the last digits of the phone number. Taking over a chart of another hospital makes it
known here; both are audited.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import date, datetime
from difflib import SequenceMatcher
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.audit import record, record_refusal
from accounts.models import Patient, Sex, User
from appointments.care import known_to_reception
from appointments.models import Registration
from appointments.refusals import Refusal
from clinic.directory.models import Hospital
from clinic.directory.staff import hospitals_of
from clinic.directory.text import fold

ALIKE = 0.8  # of `SequenceMatcher.ratio`: one letter in five may differ ("Jon Smith", "John Smyth")
SHOWN = 10
PHONE_DIGITS = 7  # compared from the end, so that a country or area code does not matter


class LikelyDuplicates(Refusal):
    """There are charts that may be the same person; reception looks before a new one is made."""

    code = "likely_duplicates"
    status = 409

    def __init__(self, charts: list[Patient]) -> None:
        super().__init__(
            _("There may be a chart of this person already. Compare the date of birth and phone "
              "number, then use that chart or make a new one.")
        )  # fmt: skip
        self.charts = charts


class ChangedMeanwhile(Refusal):
    """Somebody else changed what is corrected here since it was shown; nothing is stored."""

    code = "changed_meanwhile"
    status = 409

    def __init__(self, chart: Patient, fields: list[str]) -> None:
        super().__init__(
            _("Somebody else has just changed this too. Look at what they stored, then save again.")
        )
        self.chart, self.fields = chart, fields


class NotYourHospital(Refusal):
    code = "not_your_hospital"
    status = 404

    def __init__(self) -> None:
        super().__init__(_("This hospital has another reception."))


def likely_same(*, name: str, birth_date: date | None, phone: str = "") -> list[Patient]:
    """Charts that may be this person's, most likely first, at most ten.

    Alike are: names that sound alike with the same date of birth, the same name where a date is
    missing or mistyped by one digit, and the same phone number with the same last name.
    """
    words = fold(name).split()
    if not words:
        return []
    wanted = Q(name__iexact=name.strip())
    if birth_date is not None:
        wanted |= Q(birth_date=birth_date)
    digits = _digits(phone)
    if len(digits) >= PHONE_DIGITS:
        wanted |= Q(phone__endswith=digits[-4:])
    found = []
    for chart in Patient.objects.current().filter(wanted).order_by("pk")[:500]:
        likeness = _likeness(chart, words, birth_date, digits)
        if likeness:
            found.append((likeness, chart))
    found.sort(key=lambda pair: (-pair[0], pair[1].pk))
    return [chart for _likeness_, chart in found[:SHOWN]]


def register(
    *,
    name: str,
    birth_date: date | None,
    sex: str = Sex.UNKNOWN,
    phone: str = "",
    email: str = "",
    hospital: Hospital,
    by: User,
    now: datetime,
    looked: Iterable[Any] = (),
) -> Patient:
    """Makes a new chart, known at ``hospital``.

    ``looked`` are the public ids of the likely duplicates that ``by`` has seen; another one that
    turned up since then is shown first. Raises `LikelyDuplicates`, `NotYourHospital`.
    """
    _check(hospital, by, now, "chart.made")
    seen = {str(public_id) for public_id in looked}
    with transaction.atomic():
        # Two colleagues who take the same call wait for each other here.
        Hospital.objects.select_for_update().get(pk=hospital.pk)
        charts = likely_same(name=name, birth_date=birth_date, phone=phone)
        if any(str(chart.public_id) not in seen for chart in charts):
            raise LikelyDuplicates(charts)
        patient = Patient.objects.create(
            name=name, birth_date=birth_date, sex=sex, phone=phone, email=email, created_at=now
        )
        Registration.objects.create(hospital=hospital, patient=patient, since=now, by=by)
        record("chart.made", actor=by, patient=patient, detail=hospital.slug, now=now)
    return patient


def take_over(
    *,
    public_id: Any,
    name: str,
    birth_date: date | None,
    phone: str = "",
    hospital: Hospital,
    by: User,
    now: datetime,
) -> Patient:
    """Makes a chart known at ``hospital`` whose owner reception has recognized there.

    The same entries must find it as a likely duplicate, so a chart is never had by its id alone.
    Raises `NotYourHospital`, also for a chart that is somebody else's.
    """
    _check(hospital, by, now, "chart.registered")
    charts = likely_same(name=name, birth_date=birth_date, phone=phone)
    patient = next((chart for chart in charts if chart.public_id == public_id), None)
    if patient is None:
        refusal = NotYourHospital()
        record_refusal("chart.registered", actor=by, reason=refusal.code, now=now)
        raise refusal
    with transaction.atomic():
        _row, made = Registration.objects.get_or_create(
            hospital=hospital, patient=patient, defaults={"since": now, "by": by}
        )
        if made:
            record("chart.registered", actor=by, patient=patient, detail=hospital.slug, now=now)
    return patient


def correct(
    *,
    patient: Patient,
    name: str,
    birth_date: date | None,
    sex: str,
    phone: str,
    email: str,
    by: User,
    now: datetime,
    shown: str = "",
) -> None:
    """Corrects who a patient is and how to reach them; what is unchanged leaves no row.

    ``shown`` is the `marks_of` the chart that ``by`` looked at. Only what was corrected there is
    stored, so what the patient changed meanwhile stays. Raises `ChangedMeanwhile` when both changed
    the same, `NotYourHospital` for a chart that ``by`` does not know at reception.
    """
    if not known_to_reception(by).filter(pk=patient.pk).exists():
        refusal = NotYourHospital()
        record_refusal("chart.changed", actor=by, patient=patient, reason=refusal.code, now=now)
        raise refusal
    given = {"name": name, "birth_date": birth_date, "sex": sex, "phone": phone, "email": email}
    with transaction.atomic():
        chart = Patient.objects.select_for_update().get(pk=patient.pk)
        changed, both = _corrected(chart, given, shown or marks_of(chart))
        if both:
            raise ChangedMeanwhile(chart, both)
        for field in changed:
            setattr(chart, field, given[field])
        if changed:
            chart.save(update_fields=changed)
            record("chart.changed", actor=by, patient=chart, detail=", ".join(changed), now=now)


CONTACT = ("name", "birth_date", "sex", "phone", "email")


def marks_of(chart: Patient) -> str:
    """What stands for the contact data as somebody sees it: a mark for each field of `CONTACT`."""
    return " ".join(_mark(getattr(chart, field)) for field in CONTACT)


def _mark(value: Any) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()[:16]


def _corrected(chart: Patient, given: dict[str, Any], shown: str) -> tuple[list[str], list[str]]:
    """Fields to store, and those that were also changed by somebody else since they were shown."""
    marks = dict(zip(CONTACT, shown.split(), strict=False))
    differ = [
        field
        for field, value in given.items()
        if getattr(chart, field) != value and _mark(value) != marks.get(field)
    ]
    return differ, [field for field in differ if _mark(getattr(chart, field)) != marks.get(field)]


def last_digits(phone: str) -> str:
    """What of a phone number is shown to recognize somebody: "•••• 0142"."""
    digits = _digits(phone)
    return f"•••• {digits[-4:]}" if len(digits) >= PHONE_DIGITS else ""


def _digits(phone: str) -> str:
    return re.sub(r"\D", "", phone)


def _likeness(chart: Patient, words: list[str], birth_date: date | None, digits: str) -> float:
    """0 for somebody else, else how alike, up to 3."""
    theirs = fold(chart.name).split()
    ratio = SequenceMatcher(None, " ".join(sorted(words)), " ".join(sorted(theirs))).ratio()
    same_birth = birth_date is not None and chart.birth_date == birth_date
    their_digits = _digits(chart.phone)
    same_phone = (
        len(digits) >= PHONE_DIGITS and their_digits[-PHONE_DIGITS:] == digits[-PHONE_DIGITS:]
    )
    same_last = bool(theirs) and theirs[-1] == words[-1]
    born_alike = same_birth or _one_digit_apart(chart.birth_date, birth_date)
    if ratio >= ALIKE and (born_alike or same_phone):
        return 1 + ratio + same_birth
    if same_birth and (same_last or theirs[:1] == words[:1]):
        return 1 + ratio
    return ratio if same_phone and same_last else 0


def _one_digit_apart(one: date | None, other: date | None) -> bool:
    """Also true where a date is missing: then it cannot tell two people apart."""
    if one is None or other is None:
        return True
    pairs = zip(one.isoformat(), other.isoformat(), strict=True)
    return sum(a != b for a, b in pairs) <= 1


def _check(hospital: Hospital, by: User, now: datetime, action: str) -> None:
    if by.is_staff and hospitals_of(by).filter(pk=hospital.pk).exists():
        return
    refusal = NotYourHospital()
    record_refusal(action, actor=by, subject=hospital, reason=refusal.code, now=now)
    raise refusal
