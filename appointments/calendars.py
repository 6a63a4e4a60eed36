"""Visits as iCalendar (RFC 5545, 5546): one visit as an invitation or a file, many as a feed.

A calendar program finds the visit it already has by UID, and takes the newer one by SEQUENCE, so
neither the UID nor the order of SEQUENCE may ever change. What a visit is about is in none of
these: no reason, no service, no patient.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from icalendar import Calendar, Event, vCalAddress

from appointments.models import Appointment
from appointments.vtimezone import vtimezone_ics
from appointments.zones import is_repeated, local, zone_words
from clinic.directory.models import Visit
from clinic.links import absolute

METHODS = ("PUBLISH", "REQUEST", "CANCEL")
FEED_INTERVAL = timedelta(hours=1)  # how often a subscribed calendar may ask again
# Control characters, and the marks that turn the direction of the text around them.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """``text`` as one line, so that a name can start no header, property or line of its own."""
    return _UNSAFE.sub("", " ".join(text.split()))


def uid(appointment: Appointment) -> str:
    """The visit's identity in every calendar; not made of PUBLIC_URL, which may change."""
    return f"{appointment.public_id}@clinic"


def place(appointment: Appointment) -> str:
    """Where to be: the hospital with its address, or "Video visit"."""
    if appointment.visit == Visit.VIDEO:
        return _("Video visit")
    return one_line(f"{appointment.hospital.name}, {appointment.hospital.full_address}")


def page(appointment: Appointment) -> str:
    """The address of the visit's page, for mails and calendars."""
    return absolute(reverse("appointment", args=[appointment.public_id]))


def visit_ics(
    appointment: Appointment,
    *,
    method: str,
    now: datetime,
    attendee: str = "",
    viewer_id: int | None = None,
) -> bytes:
    """One visit as an iCalendar file.

    ``method``: REQUEST and CANCEL go by mail to the address ``attendee``, which they need; PUBLISH
    is a file to open, which answers to nobody. ``viewer_id``: the account that opens it, if any.
    """
    if method not in METHODS or (method != "PUBLISH" and not attendee):
        raise ValueError("an invitation is a REQUEST or CANCEL to an attendee, a file is a PUBLISH")
    calendar = new_calendar(method)
    event = new_event(appointment, now=now, viewer_id=viewer_id)
    if method == "CANCEL":
        event["STATUS"] = "CANCELLED"
    if method != "PUBLISH":
        # Accepted already: a program that asked for an answer would send it to nobody.
        event.add(
            "ATTENDEE",
            address_of(attendee),
            parameters={"ROLE": "REQ-PARTICIPANT", "PARTSTAT": "ACCEPTED", "RSVP": "FALSE"},
        )
    return finish(calendar, [event])


def feed_ics(
    appointments: Iterable[Appointment],
    *,
    name: str,
    now: datetime,
    viewer_id: int | None = None,
) -> bytes:
    """A subscribed calendar: the given visits without the cancelled ones, under ``name``."""
    calendar = new_calendar("PUBLISH")
    calendar.add("NAME", one_line(name))
    calendar.add("X-WR-CALNAME", one_line(name))
    calendar.add("REFRESH-INTERVAL", FEED_INTERVAL, parameters={"VALUE": "DURATION"})
    calendar.add("X-PUBLISHED-TTL", "PT1H")
    return finish(
        calendar,
        [
            new_event(appointment, now=now, viewer_id=viewer_id)
            for appointment in appointments
            if not appointment.is_cancelled
        ],
    )


def new_calendar(method: str) -> Calendar:
    calendar = Calendar()
    calendar.add("VERSION", "2.0")
    calendar.add("PRODID", "-//Clinic//Visits//EN")
    calendar.add("CALSCALE", "GREGORIAN")
    calendar.add("METHOD", method)
    return calendar


def new_event(appointment: Appointment, *, now: datetime, viewer_id: int | None) -> Event:
    starts_at, ends_at = clock_times(appointment)
    event = Event()
    event.add("UID", uid(appointment))
    event.add("SEQUENCE", appointment.calendar_sequence)
    event.add("DTSTAMP", now.astimezone(UTC))
    event.add("DTSTART", starts_at)
    event.add("DTEND", ends_at)
    event.add("SUMMARY", summary(appointment, viewer_id))
    event.add("LOCATION", place(appointment))
    event.add("DESCRIPTION", description(appointment))
    event.add("URL", page(appointment))
    event.add("STATUS", "CANCELLED" if appointment.is_cancelled else "CONFIRMED")
    event.add("CLASS", "PRIVATE")
    event.add("TRANSP", "OPAQUE")
    event.add("ORGANIZER", organizer())
    return event


def summary(appointment: Appointment, viewer_id: int | None) -> str:
    """Who the patient sees; nothing about whom the doctor sees."""
    doctor = appointment.doctor
    if viewer_id is not None and doctor.user_id == viewer_id:
        return _("Visit")
    return _("Visit with %(doctor)s") % {"doctor": one_line(doctor.display_name)}


def description(appointment: Appointment) -> str:
    zone = zone_words(appointment.starts_at, appointment.hospital.time_zone)
    lines = [
        _("Reference: %(reference)s") % {"reference": appointment.reference},
        _("Details, moving and cancelling: %(link)s") % {"link": page(appointment)},
        _("Times are in %(zone)s, the time zone of the clinic.") % {"zone": zone},
    ]
    if phone := one_line(appointment.hospital.phone):
        lines.append(_("The clinic's phone number: %(phone)s") % {"phone": phone})
    return "\n".join(lines)


def clock_times(appointment: Appointment) -> tuple[datetime, datetime]:
    """Start and end on the hospital's clock; in UTC if one lies in the hour that is shown twice.

    RFC 5545 §3.3.5 takes such a local time as its first occurrence: the second cannot be written,
    and programs disagree about the first.
    """
    zone = appointment.hospital.time_zone
    starts_at, ends_at = local(appointment.starts_at, zone), local(appointment.ends_at, zone)
    if is_repeated(starts_at) or is_repeated(ends_at):
        return appointment.starts_at.astimezone(UTC), appointment.ends_at.astimezone(UTC)
    return starts_at, ends_at


def address_of(email: str, name: str = "") -> vCalAddress:
    address = vCalAddress(f"mailto:{one_line(email)}")
    if name:
        address.params["CN"] = one_line(name)
    return address


def organizer() -> vCalAddress:
    return address_of(parseaddr(settings.DEFAULT_FROM_EMAIL)[1], settings.CLINIC_NAME)


def finish(calendar: Calendar, events: list[Event]) -> bytes:
    """Adds the zones that ``events`` name, then the events."""
    years: dict[str, list[int]] = {}
    for event in events:
        for moment in (event["DTSTART"].dt, event["DTEND"].dt):
            if str(moment.tzinfo) != "UTC":
                years.setdefault(moment.tzinfo.key, []).append(moment.year)
    zones = b"".join(
        vtimezone_ics(zone, min(years[zone]), max(years[zone])) for zone in sorted(years)
    )
    for event in events:
        calendar.add_component(event)
    # A line begins so only where a component does: values are escaped and folded.
    return bytes(calendar.to_ical()).replace(
        b"\r\nBEGIN:VEVENT", b"\r\n" + zones + b"BEGIN:VEVENT", 1
    )
