"""What the results page says in sentences: heading, what was understood, what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.utils.translation import gettext as _

from accounts.languages import SPOKEN_LANGUAGES
from appointments.cards import Found
from appointments.forms_find import address_of
from appointments.search import Results
from appointments.zones import zone_words
from clinic.directory.models import Visit


class Link(NamedTuple):
    """A step that leads on: the text of the link, its address, and how many doctors it finds."""

    text: str
    href: str
    doctors: int


def heading(results: Results) -> str:
    if results.specialty is not None:
        who = results.specialty.name
    elif results.criteria.q:
        who = _("Doctors for “%(query)s”") % {"query": results.respelled or results.criteria.q}
    else:
        who = _("Doctors")
    if results.hospital is not None:
        return _("%(who)s at %(hospital)s") % {"who": who, "hospital": results.hospital.name}
    place = results.place
    if place is None:
        return who
    if place.has_position:
        return _("%(who)s near %(place)s") % {"who": who, "place": place.label}
    return _("%(who)s in %(place)s") % {"who": who, "place": place.label}


def sentences(results: Results) -> list[str]:
    """How the criteria were understood, where that is not what was typed."""
    criteria, place = results.criteria, results.place
    said: list[str] = []
    if results.respelled:
        said.append(
            _("Nothing was found for “%(typed)s”. Showing doctors for “%(meant)s”.")
            % {"typed": criteria.q, "meant": results.respelled}
        )
    if "place" in results.unknown:
        said.append(
            _(
                "We do not know the place “%(typed)s”. Try a 5-digit ZIP code or a town with its "
                "state. Showing doctors everywhere."
            )
            % {"typed": criteria.place}
        )
    if "specialty" in results.unknown:
        said.append(_("We do not know that specialty. Showing all specialties."))
    if "hospital" in results.unknown:
        said.append(_("We do not know that hospital. Showing all hospitals."))
    if place is not None and not place.exact:
        said.append(
            _("We do not know “%(typed)s”. Distances are from %(place)s, the nearest we know.")
            % {"typed": criteria.place, "place": place.label}
        )
    return said


def asked_for(results: Results) -> list[str]:
    """The criteria in words, for saying why nobody fits them."""
    criteria, place = results.criteria, results.place
    said: list[str] = []
    if results.specialty is not None:
        said.append(results.specialty.name)
    if criteria.q:
        said.append(_("“%(query)s”") % {"query": results.respelled or criteria.q})
    if results.hospital is not None:
        said.append(_("at %(hospital)s") % {"hospital": results.hospital.name})
    if place is not None and place.has_position:
        said.append(
            _("within %(miles)d miles of %(place)s")
            % {"miles": criteria.miles, "place": place.label}
        )
    elif place is not None:
        said.append(_("in %(place)s") % {"place": place.label})
    if criteria.language:
        said.append(
            _("speaks %(language)s") % {"language": dict(SPOKEN_LANGUAGES)[criteria.language]}
        )
    if criteria.visit:
        said.append(_("by video") if criteria.visit == Visit.VIDEO else _("in person"))
    if criteria.new:
        said.append(_("takes new patients"))
    return said


def ways_on(results: Results) -> list[Link]:
    """What to try when nobody was found."""
    miles = {way.what: way.criteria.miles for way in results.ways_on}
    place = results.place.label if results.place else ""
    texts = {
        "within": _("Look within %(miles)s miles of %(place)s")
        % {"miles": miles.get("within", ""), "place": place},
        "video": _("See a doctor by video"),
        "language": _("Any language"),
        "new": _("Also doctors who take no new patients"),
        "visit": _("In person or by video"),
        "hospital": _("All hospitals"),
        "specialty": _("All specialties"),
        "place": _("Everywhere, not only near %(place)s") % {"place": place},
        "filters": _("Without any filters"),
        "everything": _("Everywhere, without any filters"),
        "q": _("All doctors, without “%(query)s”") % {"query": results.criteria.q},
    }
    return [Link(texts[way.what], address_of(way.criteria), way.count) for way in results.ways_on]


def zone_of(item: Found) -> str:
    """The zone of the clinic's clock in words, for one card."""
    if item.service is None or not item.times:
        return ""
    names = zone_names(item.times, item.service.hospital.time_zone)
    return _("Times are in %(zone)s, the time zone of the clinic.") % {"zone": names}


def zone_sentence(found: Iterable[Found]) -> str:
    """The same sentence for a whole page, or nothing when its clinics are in several zones."""
    said = {zone_of(item) for item in found} - {""}
    if len(said) > 1:
        # Times before and after a change of the clocks: one zone, two names.
        shown = [item for item in found if item.service is not None and item.times]
        zones = {item.service.hospital.time_zone for item in shown if item.service is not None}
        if len(zones) == 1:
            moments = sorted(moment for item in shown for moment in item.times)
            return _("Times are in %(zone)s, the time zone of the clinic.") % {
                "zone": zone_names(moments, zones.pop())
            }
        return ""
    return said.pop() if said else ""


def zone_names(times: list[datetime], zone: str) -> str:
    """``"Eastern Time (EST)"``; both names when the clocks change between the times."""
    before, after = zone_words(times[0], zone), zone_words(times[-1], zone)
    if before == after:
        return before
    return _("%(before)s until the clocks change, then %(after)s") % {
        "before": before,
        "after": after,
    }
