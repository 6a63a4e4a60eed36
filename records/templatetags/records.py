"""How the facts of a record are said: dates, ages, who did what when."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from django import template
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext, pgettext

from appointments import visit_page, zones
from records.models import Entry, Observation
from records.observations import VITAL_SIGNS, plain, unit_words

register = template.Library()


@register.filter
def birth(day: date) -> str:
    """``"Mar 31, 1980"`` of a calendar date."""
    return date_format(day, pgettext("medium date", "M j, Y"))


@register.filter
def day_at(moment: datetime, zone: str) -> str:
    """``"Mar 31, 1980"``: the day of a moment on the clinic's clock."""
    return birth(zones.local(moment, zone).date())


@register.filter
def moment_at(moment: datetime, zone: str) -> str:
    """``"Nov 3, 2026, 10:24 am"``."""
    return _("%(day)s, %(time)s") % {
        "day": day_at(moment, zone),
        "time": zones.time_words(moment, zone),
    }


@register.filter
def years_old(age: int | None) -> str:
    """``"46 years"``."""
    if age is None:
        return _("age not known")
    return ngettext("%(age)d year", "%(age)d years", age) % {"age": age}


@register.filter
def dialed(phone: str) -> str:
    """A number as a ``tel:`` address takes it."""
    return visit_page.dialed(phone)


_LABELS = {kind.code: kind.label for kind in VITAL_SIGNS.values()}
_KINDS = {
    "allergy": _lazy("Allergy"),
    "condition": _lazy("Condition"),
    "medication": _lazy("Medication"),
    "prescription": _lazy("Prescribed"),
    "observation": _lazy("Measured"),
    "immunization": _lazy("Vaccination"),
    "procedure": _lazy("Procedure"),
    "document": _lazy("Document"),
}


@register.filter
def kind_of(entry: Entry) -> str:
    """The word for rules and templates: ``"allergy"``, ``"document"``."""
    return entry._meta.model_name or ""


@register.filter
def kind_words(entry: Entry) -> str:
    """What an entry of a timeline is, in front of its name."""
    return str(_KINDS.get(kind_of(entry), entry._meta.verbose_name))


@register.filter
def measure_name(observation: Observation) -> str:
    """``"Pulse"``: our own word for a vital sign, the given name for anything else."""
    return str(_LABELS.get(observation.code) or observation.name)


@register.filter
def measured(observation: Observation) -> str:
    """``"128/82 mmHg"``, ``"98.6 °F"``, or what was found in words."""
    parts = [part for part in observation.components if part.get("value") not in (None, "")]
    if len(parts) == 2 and observation.code == VITAL_SIGNS["blood_pressure"].code:
        upper, lower = (plain(Decimal(str(part["value"]))) for part in parts)
        return f"{upper}/{lower} {unit_words(parts[0].get('unit', ''))}"
    if parts:
        return "; ".join(
            f"{part.get('name', '')} {part['value']} {unit_words(part.get('unit', ''))}".strip()
            for part in parts
        )
    if observation.value is not None:
        unit = "" if observation.unit == "1" else unit_words(observation.unit)
        return f"{plain(observation.value)} {unit}".strip()
    return observation.value_text


@register.filter
def utc_exact(moment: datetime) -> str:
    """A moment to the microsecond, as ``?before=`` takes it."""
    return moment.astimezone(UTC).isoformat()
