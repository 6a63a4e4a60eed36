"""The front page of everybody who works here: My day, the hospital's day, or the upkeep."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Role
from appointments.models import Appointment
from appointments.zones import date_words, local, zone_words
from clinic.directory.models import Doctor, Hospital
from clinic.directory.staff import hospitals_of
from clinic.workplace import day as of_day
from clinic.workplace.checklist import checklist
from clinic.workplace.upkeep import approvals_at, upkeep_of
from clinic.workplace.waiting import waiting_for_doctor, waiting_for_reception
from records.access import treated_by
from records.models import Note
from records.views_common import zone_of

DRAFTS_SHOWN = 8


def front_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """The page of the role; ``frame`` is what every page of the admin knows."""
    user, now = cast(User, request.user), timezone.now()
    if user.role == Role.DOCTOR:
        return my_day(request, user, now, frame)
    if user.role == Role.RECEPTION:
        return hospital_day(request, user, now, frame)
    context = {"title": _("Overview"), **upkeep_of(user, now)}
    return render(request, "workplace/upkeep.html", frame | context)


def my_day(request: HttpRequest, user: User, now: datetime, frame: dict[str, Any]) -> HttpResponse:
    doctor = Doctor.objects.filter(user=user, withdrawn_at=None).first()
    if doctor is None:
        return render(request, "workplace/no_day.html", frame | {"title": _("My day")})
    zone = zone_of(user)
    today = local(now, zone).date()
    day = _day_asked(request, today)
    visits = _visits(Appointment.objects.handled_by(user), day, zone)
    gaps = of_day.FreeGaps(day, doctor=doctor).of(doctor.pk)
    rows = [of_day.row_of(visit, now) for visit in visits]
    waiting, waiting_count = waiting_for_doctor(user, now)
    drafts = Note.objects.to_finish(user, now)
    charts = {visit.patient_id for visit in visits}
    treated = treated_by(user, now).filter(pk__in=charts)
    gap = of_day.next_gap(gaps, now) if day == today else None
    context: dict[str, Any] = {
        "title": _("My day") if day == today else date_words(_noon(day, zone), zone),
        "doctor": doctor,
        "items": of_day.with_gaps(rows, gaps, from_now=now if day == today else None),
        "visits": len(visits),
        "next_free": _free_words(gap, now) if gap else "",
        "waiting": waiting,
        "waiting_count": waiting_count,
        "drafts": drafts.select_related("patient", "encounter").order_by("saved_at")[:DRAFTS_SHOWN],
        "treated": set(treated.values_list("pk", flat=True)),
        "places": {visit.hospital_id for visit in visits},
        "checklist": checklist(doctor, today),
        **_date_context(day, today, zone),
    }
    return render(request, "workplace/my_day.html", frame | context)


def hospital_day(
    request: HttpRequest, user: User, now: datetime, frame: dict[str, Any]
) -> HttpResponse:
    hospitals = list(hospitals_of(user).order_by("name", "pk"))
    if not hospitals:
        return render(request, "workplace/no_day.html", frame | {"title": _("Today")})
    asked = request.GET.get("hospital", "")
    hospital = next((one for one in hospitals if one.slug == asked), None)
    hospital = hospital or _busiest(hospitals, request, now)
    zone = hospital.time_zone
    today = local(now, zone).date()
    day = _day_asked(request, today)
    visits = _visits(Appointment.objects.handled_by(user).filter(hospital=hospital), day, zone)
    gaps = of_day.FreeGaps(day, hospital=hospital)
    doctors = _doctors_of(visits, gaps, now if day == today else None)
    chosen = next((row for row in doctors if row["slug"] == request.GET.get("doctor")), None)
    shown = [visit for visit in visits if chosen is None or visit.doctor_id == chosen["key"]]
    items: list[Any] = [of_day.row_of(visit, now) for visit in shown]
    if chosen is not None:
        from_now = now if day == today else None
        items = of_day.with_gaps(items, gaps.of(chosen["key"]), from_now=from_now)
    waiting, waiting_count = waiting_for_reception(user, now)
    context: dict[str, Any] = {
        "title": _("Today") if day == today else date_words(_noon(day, zone), zone),
        "hospital": hospital,
        "hospitals": hospitals,
        "items": items,
        "visits": len(shown),
        "doctors": doctors,
        "chosen": chosen,
        "waiting": waiting,
        "waiting_count": waiting_count,
        **approvals_at(hospitals),
        **_date_context(
            day, today, zone, hospital=hospital.slug, doctor=chosen["slug"] if chosen else ""
        ),
    }
    return render(request, "workplace/hospital_day.html", frame | context)


def _busiest(hospitals: list[Hospital], request: HttpRequest, now: datetime) -> Hospital:
    """The hospital with most visits on the day: whoever works at several looks at that first."""
    zone = hospitals[0].time_zone
    start, end = of_day.day_bounds(_day_asked(request, local(now, zone).date()), zone)
    visits = Appointment.objects.active().filter(
        hospital__in=hospitals, starts_at__gte=start, starts_at__lt=end
    )
    counts = Counter(visits.values_list("hospital_id", flat=True))
    return max(hospitals, key=lambda one: counts[one.pk])


def _visits(visits: Any, day: date, zone: str) -> list[Appointment]:
    start, end = of_day.day_bounds(day, zone)
    return list(
        visits.active()
        .filter(starts_at__gte=start, starts_at__lt=end)
        .select_related("patient", "hospital", "doctor")
        .order_by("starts_at", "pk")
    )


def _doctors_of(
    visits: list[Appointment], gaps: of_day.FreeGaps, now: datetime | None
) -> list[dict[str, Any]]:
    """Who is at work on the day, with the number of visits and, today, the next free time."""
    doctors = gaps.doctors | {visit.doctor_id: visit.doctor for visit in visits}
    counts = Counter(visit.doctor_id for visit in visits)
    rows = []
    for key, doctor in doctors.items():
        free = gaps.of(key)
        gap = of_day.next_gap(free, now) if now else next(iter(free), None)
        rows.append(
            {
                "key": key,
                "slug": doctor.slug,
                "name": doctor.display_name,
                "visits": counts[key],
                "free": _free_words(gap, now),
            }
        )
    return sorted(rows, key=lambda row: (str(row["name"]), str(row["slug"])))


def _free_words(gap: of_day.Gap | None, now: datetime | None) -> str:
    if gap is None:
        return _("no free time")
    if now is not None and gap.starts_at <= now:
        return _("free now until %(time)s") % {"time": gap.until}
    return _("free from %(time)s") % {"time": gap.time}


def _day_asked(request: HttpRequest, today: date) -> date:
    try:
        asked = date.fromisoformat(request.GET.get("date", ""))
    except ValueError:
        return today
    # Beyond these years no zone can say what the day's bounds are.
    return asked if 1970 < asked.year < 2200 else today


def _noon(day: date, zone: str) -> datetime:
    return of_day.day_bounds(day, zone)[0] + timedelta(hours=12)


def _date_context(day: date, today: date, zone: str, **kept: str) -> dict[str, Any]:
    """What the navigation between days needs; ``kept`` is the rest of the address."""
    noon = _noon(day, zone)
    chosen = {name: value for name, value in kept.items() if value}
    return {
        "kept": chosen.items(),
        "kept_query": "".join(f"&{urlencode({name: value})}" for name, value in chosen.items()),
        "day": day,
        "is_today": day == today,
        "day_words": date_words(noon, zone),
        "zone_words": zone_words(noon, zone),
        "previous": (day - timedelta(days=1)).isoformat(),
        "following": (day + timedelta(days=1)).isoformat(),
        "zone": zone,
    }
