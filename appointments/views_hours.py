"""Pages on which hours are changed: a week, one day, time off, a hospital's own days.

Each form is read, then the visits that the change would hit are listed with the question what
becomes of them, and only then is anything stored (`hours_changes`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Role, User
from appointments.desk import NotAtYourDesk, clocks_for, handled
from appointments.desk_pages import hit_visits
from appointments.forms_hours import (
    HospitalDayForm,
    OneDayForm,
    TimeOffForm,
    WeekForm,
    WhatForm,
    refuse,
    week_initial,
)
from appointments.hours_changes import (
    Changed,
    HitsChanged,
    change_day,
    change_hours,
    end_time_off,
    hit_by_closing,
    hit_by_hours,
    hit_by_time_off,
    look_of,
    may_change,
    take_time_off,
)
from appointments.models import Appointment
from appointments.zones import local
from clinic.directory.holidays import public_holidays
from clinic.directory.models import Doctor, Hospital, HospitalDay, OpeningHours, TimeOff
from clinic.directory.staff import hospitals_of, works_at
from clinic.directory.text import fold

KEEPERS = {Role.DOCTOR, Role.RECEPTION, Role.DIRECTORY, Role.ADMINISTRATOR}
PER_PAGE = 50


def _user_or_404(request: HttpRequest) -> User:
    user = request.user
    if not (isinstance(user, User) and user.is_active and user.role in KEEPERS):
        raise Http404
    return user


def _doctors(user: User) -> QuerySet[Doctor]:
    """Doctors whose hours ``user`` keeps."""
    doctors = Doctor.objects.filter(withdrawn_at=None)
    if user.role == Role.DOCTOR:
        return doctors.filter(user=user)
    if user.role == Role.RECEPTION:
        return doctors.filter(works_at(hospitals_of(user)))
    return doctors


def _doctor_or_404(request: HttpRequest, slug: str) -> tuple[User, Doctor]:
    user = _user_or_404(request)
    doctor = Doctor.objects.filter(slug=slug, withdrawn_at=None).first()
    if doctor is None or not may_change(user, doctor):
        raise Http404
    return user, doctor


def hours(request: HttpRequest) -> HttpResponse:
    """A doctor's own hours; for others the doctors whose hours they keep, by name."""
    user = _user_or_404(request)
    if user.role == Role.DOCTOR:
        own = _doctors(user).first()
        if own is None:
            raise Http404
        return redirect("hours_doctor", slug=own.slug)
    words = fold(request.GET.get("q", "")[:100])
    found = _doctors(user).order_by("search_text", "pk")
    for word in words.split():
        found = found.filter(search_text__contains=word)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    return _page(
        request,
        "hours/doctors.html",
        title=_("Opening hours"),
        page_obj=page,
        q=request.GET.get("q", ""),
        hospitals=_hospitals_with_days(user)[:20],
    )


def _hospitals_with_days(user: User) -> QuerySet[Hospital]:
    if user.role == Role.RECEPTION:
        return hospitals_of(user).order_by("name")
    if user.role in {Role.DIRECTORY, Role.ADMINISTRATOR}:
        at_work = OpeningHours.objects.values("hospital_id")
        return Hospital.objects.filter(pk__in=at_work).order_by("name", "pk")
    return Hospital.objects.none()


def hours_doctor(request: HttpRequest, slug: str) -> HttpResponse:
    """A doctor's hours as they stand and as they will be, and the time off to come."""
    user, doctor = _doctor_or_404(request, slug)
    now = timezone.now()
    hospitals = _hospitals(doctor, user)
    zone = _zone(hospitals)
    today = local(now, zone).date()
    lines = list(
        OpeningHours.objects.filter(doctor=doctor)
        .filter(Q(valid_until=None) | Q(valid_until__gt=today))
        .select_related("hospital")
        .order_by("hospital__name", "valid_from", "weekday", "opens")
    )
    weeks: dict[tuple[str, date, date | None], list[OpeningHours]] = {}
    for line in lines:
        weeks.setdefault((line.hospital.slug, line.valid_from, line.valid_until), []).append(line)
    off = TimeOff.objects.filter(doctor=doctor, ends_at__gt=now).order_by("starts_at")
    return _page(
        request,
        "hours/doctor.html",
        title=_("Opening hours of %(name)s") % {"name": doctor.display_name},
        doctor=doctor,
        is_own=doctor.user_id == user.pk,
        today=today,
        weeks=[
            {"hospital": rows[0].hospital, "from": key[1], "until": key[2], "lines": rows}
            for key, rows in weeks.items()
        ],
        time_off=off,
        zone=zone,
        has_hospitals=bool(hospitals),
    )


def hours_week(request: HttpRequest, slug: str) -> HttpResponse:
    """A new week at one hospital, beginning with the one that is valid tomorrow."""
    return _new_hours(
        request, slug, WeekForm, template="hours/week.html", title=_("New week"),
        done=_("The new hours are stored."), as_it_is=_week_as_it_is,
    )  # fmt: skip


def hours_day(request: HttpRequest, slug: str) -> HttpResponse:
    """Other hours on one day; the days around it keep theirs."""
    return _new_hours(
        request, slug, OneDayForm, template="hours/form.html", title=_("Other hours on one day"),
        done=_("The hours of that day are stored."),
    )  # fmt: skip


def _new_hours(
    request: HttpRequest,
    slug: str,
    form_class: type[WeekForm | OneDayForm],
    *,
    template: str,
    title: str,
    done: str,
    as_it_is: Callable[[HttpRequest, Doctor, Sequence[Hospital]], dict[str, Any]] | None = None,
) -> HttpResponse:
    """The form of new hours; both kinds say from when until before when they are valid."""
    user, doctor = _doctor_or_404(request, slug)
    hospitals = _hospitals(doctor, user)
    if request.method != "POST":
        initial = as_it_is(request, doctor, hospitals) if as_it_is else {}
        form = form_class(hospitals=hospitals, initial=initial)
        return _form_page(request, template, form, doctor, title)

    def change(facts: dict[str, Any]) -> tuple[dict[str, Any], Callable[..., Changed], Any]:
        what = {
            "doctor": doctor,
            "hospital": _chosen(hospitals, facts["hospital"]),
            "spans": facts["spans"],
            "valid_from": facts["valid_from"],
            "valid_until": facts["valid_until"],
        }
        return what, change_hours, hit_by_hours

    form = form_class(request.POST, hospitals=hospitals)
    return _ask_then_store(
        request, form, change, user=user, now=timezone.now(), doctor=doctor, template=template,
        title=title, done=done,
    )  # fmt: skip


def hours_off(request: HttpRequest, slug: str) -> HttpResponse:
    user, doctor = _doctor_or_404(request, slug)
    now = timezone.now()
    hospitals = clocks_for(user, doctor)
    if request.method != "POST":
        form = TimeOffForm(hospitals=hospitals)
        return _form_page(request, "hours/form.html", form, doctor, _("Time off"))
    form = TimeOffForm(request.POST, hospitals=hospitals)

    def change(facts: dict[str, Any]) -> tuple[dict[str, Any], Callable[..., Changed], Any]:
        what = {
            "doctor": doctor,
            "starts_at": facts["starts_at"],
            "ends_at": facts["ends_at"],
            "why": facts["why"],
        }
        return what, take_time_off, hit_by_time_off

    return _ask_then_store(
        request, form, change, user=user, now=now, doctor=doctor, template="hours/form.html",
        title=_("Time off"), done=_("The time off is stored."),
    )  # fmt: skip


def hours_off_end(request: HttpRequest, slug: str) -> HttpResponse:
    """Takes a period off back; visits that were cancelled for it stay cancelled."""
    user, doctor = _doctor_or_404(request, slug)
    number = request.POST.get("period", "")
    period = (
        TimeOff.objects.filter(doctor=doctor, pk=int(number)).select_related("doctor").first()
        if number.isascii() and number.isdecimal() and len(number) < 19
        else None
    )
    if period is None:
        raise Http404
    end_time_off(period=period, by=user, now=timezone.now())
    messages.success(request, _("The time off is removed. Its times can be booked again."))
    return redirect("hours_doctor", slug=slug)


def hospital_days(request: HttpRequest, slug: str) -> HttpResponse:
    """A hospital's holidays and its own closed and open days, and the form for one more."""
    user = _user_or_404(request)
    hospital = _hospitals_with_days(user).filter(slug=slug).first()
    if hospital is None:
        raise Http404
    now = timezone.now()
    if request.method != "POST":
        return _days_page(request, hospital, HospitalDayForm(), now)
    form = HospitalDayForm(request.POST)
    if not form.is_valid():
        return _days_page(request, hospital, form, now)

    def change(facts: dict[str, Any]) -> tuple[dict[str, Any], Callable[..., Changed], Any]:
        is_open = facts["state"] == "open"
        what = {
            "hospital": hospital, "day": facts["day"], "is_open": is_open, "name": facts["name"],
        }  # fmt: skip
        return what, change_day, (lambda **_more: []) if is_open else hit_by_closing

    return _ask_then_store(
        request, form, change, user=user, now=now, hospital=hospital, template="hours/days.html",
        title=_("Holidays and closed days"), done=_("The day is stored."),
    )  # fmt: skip


def _days_page(
    request: HttpRequest, hospital: Hospital, form: HospitalDayForm, now: datetime
) -> HttpResponse:
    today = local(now, hospital.time_zone or "UTC").date()
    until = today + timedelta(days=366)
    own = {
        day.date: day
        for day in HospitalDay.objects.filter(hospital=hospital, date__gte=today, date__lt=until)
    }
    public: dict[date, str] = {}
    if hospital.keeps_public_holidays:
        for year in {today.year, until.year}:
            public |= public_holidays(hospital.state, year)
    days = sorted({day for day in public if today <= day < until} | set(own))
    return _page(
        request,
        "hours/days.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK,
        title=_("Holidays and closed days"),
        hospital=hospital,
        form=form,
        days=[
            {
                "date": day,
                "name": (own[day].name if day in own else "") or public.get(day, ""),
                "is_open": day in own and own[day].is_open,
                "is_own": day in own,
            }
            for day in days
        ],
    )


def _ask_then_store(
    request: HttpRequest,
    form: Any,
    change: Callable[[dict[str, Any]], tuple[dict[str, Any], Callable[..., Changed], Any]],
    *,
    user: User,
    now: datetime,
    template: str,
    title: str,
    done: str,
    doctor: Doctor | None = None,
    hospital: Hospital | None = None,
) -> HttpResponse:
    """Stores a change that hits nobody at once; otherwise asks about the visits it hits first.

    The question's page sends the form again, with the visits that were shown and the answer.
    """
    if not form.is_valid():
        return _form_page(request, template, form, doctor, title)
    facts, store, look = change(form.cleaned_data)
    names = {"doctor", "hospital", "spans", "valid_from", "valid_until"}
    names |= {"starts_at", "ends_at", "day"}
    hits = look(**{name: fact for name, fact in facts.items() if name in names}, now=now)
    answer = WhatForm(request.POST if "seen" in request.POST or "asked" in request.POST else None)
    if hits and not answer.is_valid():
        return _question(request, form, answer, hits, user, title, doctor=doctor, hospital=hospital)
    try:
        changed = store(
            **facts,
            what=answer.cleaned_data["what"] if hits else "keep",
            seen=request.POST.get("seen", "") if hits else look_of([]),
            by=user,
            now=now,
        )
    except HitsChanged as refusal:
        again = WhatForm()
        return _question(
            request, form, again, refusal.visits, user, title,
            problem=refusal.message, doctor=doctor, hospital=hospital,
        )  # fmt: skip
    except NotAtYourDesk as error:
        raise Http404 from error
    except ValidationError as error:
        refuse(form, error)
        if hospital is not None:
            return _days_page(request, hospital, form, now)
        return _form_page(request, template, form, doctor, title)
    messages.success(request, done)
    if changed.is_under_way:
        messages.info(request, _("The patients are told one after the other, within minutes."))
    if changed.to_phone:
        count = len(changed.to_phone)
        messages.warning(
            request,
            ngettext(
                "%(count)d patient has no e-mail address. Call: %(names)s.",
                "%(count)d patients have no e-mail address. Call: %(names)s.",
                count,
            ) % {"count": count, "names": _callable(changed.to_phone, user)},
        )  # fmt: skip
    if hospital is not None:
        return redirect("hospital_days", slug=hospital.slug)
    return redirect("hours_doctor", slug=doctor.slug if doctor else "")


def _callable(visits: Sequence[Appointment], user: User) -> str:
    """Whom to call, for staff who know the patients; the others get references."""
    known = handled(user, visits)
    return ", ".join(
        f"{visit.patient.name} {visit.patient.phone}".strip()
        if visit.pk in known
        else visit.reference
        for visit in visits
    )


def _question(
    request: HttpRequest,
    form: Any,
    answer: WhatForm,
    hits: Sequence[Appointment],
    user: User,
    title: str,
    *,
    problem: str = "",
    doctor: Doctor | None = None,
    hospital: Hospital | None = None,
) -> HttpResponse:
    status = HTTPStatus.OK
    if answer.errors:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    if problem:
        status = HTTPStatus.CONFLICT
    skipped = {"seen", "what", "asked", "csrfmiddlewaretoken"}
    return _page(
        request,
        "hours/question.html",
        status=status,
        title=title,
        doctor=doctor,
        hospital=hospital,
        answer=answer,
        hits=hit_visits(user, hits),
        look=look_of(hits),
        entries=[(name, form.data[name]) for name in form.data if name not in skipped],
        problems=[(problem, "#hits")] if problem else [],
        has_errors=bool(problem or answer.errors),
        back=request.get_full_path(),
    )


def _form_page(
    request: HttpRequest, template: str, form: forms.Form, doctor: Doctor | None, title: str
) -> HttpResponse:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return _page(request, template, status=status, form=form, doctor=doctor, title=title)


def _page(
    request: HttpRequest, template: str, *, status: int = HTTPStatus.OK, **context: Any
) -> HttpResponse:
    return render(request, template, admin.site.each_context(request) | context, status=status)


def _hospitals(doctor: Doctor, user: User) -> list[Hospital]:
    """Where ``user`` keeps the doctor's hours: where the doctor works, worked or offers something,
    and the clock is known; for reception its own hospitals among them."""
    found = Hospital.objects.filter(
        Q(services__doctor=doctor) | Q(opening_hours__doctor=doctor), time_zone_confirmed=True
    )
    if user.role == Role.RECEPTION:
        found = found.filter(pk__in=hospitals_of(user))
    return list(found.distinct().order_by("name", "pk"))


def _chosen(hospitals: Sequence[Hospital], slug: str) -> Hospital:
    return next(hospital for hospital in hospitals if hospital.slug == slug)


def _zone(hospitals: Sequence[Hospital]) -> str:
    return hospitals[0].time_zone if hospitals else "UTC"


def _week_as_it_is(
    request: HttpRequest, doctor: Doctor, hospitals: Sequence[Hospital]
) -> dict[str, Any]:
    """The week that is valid tomorrow at the hospital asked for, as the form's first entries."""
    if not hospitals:
        return {}
    asked = request.GET.get("hospital", "")
    hospital = next((h for h in hospitals if h.slug == asked), hospitals[0])
    tomorrow = local(timezone.now(), hospital.time_zone).date() + timedelta(days=1)
    lines = list(
        OpeningHours.objects.filter(
            doctor=doctor, hospital=hospital, valid_from__lte=tomorrow
        ).filter(Q(valid_until=None) | Q(valid_until__gt=tomorrow))
    )
    return {"hospital": hospital.slug, "valid_from": tomorrow} | week_initial(lines)
