"""The rules of booking, moving and cancelling: what they write, and what a refusal leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from accounts.audit import verify_chain
from accounts.models import AuditEvent, Patient, User
from appointments import signals
from appointments.booking import book, cancel, cancel_deadline, reschedule
from appointments.care import AFTER_VISIT
from appointments.free_times import free_times
from appointments.holding import current_hold, hold
from appointments.models import (
    Appointment,
    BookingRequest,
    CareRelation,
    DoctorHold,
    PatientHold,
    SlotHold,
    Status,
)
from appointments.refusals import (
    NotMovable,
    NotNewPatients,
    NotOffered,
    PatientBusy,
    Refusal,
    SecondVisit,
    SlotTaken,
    TooManyOpen,
)
from appointments.slots import grain_at
from clinic.directory.models import Schedule, Service
from clinic.jobs.models import OutgoingMail
from tests.appointments.desk import AT, NOW, Desk, open_desk
from tests.cast import make_patient_user

pytestmark = pytest.mark.django_db

QUARTER = timedelta(minutes=15)
HALF_HOUR = timedelta(minutes=30)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)


@pytest.fixture
def desk() -> Desk:
    return open_desk()


@pytest.fixture
def other() -> Desk:
    return open_desk(name="Ben Osei")


def make(desk: Desk, user: User, at: Any = AT, **more: Any) -> Appointment:
    facts = {
        "service": desk.service,
        "patient": user.chart,
        "starts_at": at,
        "by": user,
        "key": f"{desk.service.pk}-{at}",
        "now": NOW,
    }
    return book(**(facts | more))


def move(visit: Appointment, to: Any, by: User, **more: Any) -> Appointment:
    return reschedule(
        **({"appointment": visit, "starts_at": to, "by": by, "key": f"m-{to}", "now": NOW} | more)
    )


def kinds_of_mail() -> list[str]:
    return [key.partition(":")[0] for key in mail_keys()]


def mail_keys() -> list[str]:
    return list(OutgoingMail.objects.order_by("pk").values_list("key", flat=True))


def trail(patient: Patient) -> list[tuple[str, str]]:
    assert verify_chain(patient) == []
    return list(
        AuditEvent.objects.filter(patient=patient)
        .order_by("number")
        .values_list("action", "detail")
    )


def rows() -> dict[str, list[Any]]:
    """Everything that booking writes, apart from the trail, to compare before and after."""
    models = (
        *(Appointment, DoctorHold, PatientHold, SlotHold, BookingRequest),
        *(CareRelation, OutgoingMail, Schedule),
    )
    return {
        model.__name__: sorted(model._default_manager.values_list(), key=repr) for model in models
    }


def refused(kind: type[Refusal], call: Callable[[], Any]) -> Any:
    """The refusal; asserts that it left nothing but one row in the trail."""
    before, heard = rows(), AuditEvent.objects.count()
    with pytest.raises(kind) as caught:
        call()
    assert rows() == before, "a refusal left something behind"
    assert AuditEvent.objects.count() == heard + 1
    event = AuditEvent.objects.latest("pk")
    assert event.action.endswith(".refused") and event.detail == caught.value.code
    assert event.patient is not None and verify_chain(event.patient) == []
    assert caught.value.message
    return caught.value


# --- Booking --------------------------------------------------------------------------------
def test_a_booking_writes_everything_together(desk: Desk, alice: User) -> None:
    Service.objects.filter(pk=desk.service.pk).update(buffer_minutes=10)
    desk.service.refresh_from_db(fields=["buffer_minutes"])
    version = Schedule.objects.get(doctor=desk.doctor).version
    visit = make(desk, alice, reason="Back pain")
    visit.refresh_from_db()
    assert (visit.starts_at, visit.ends_at) == (AT, AT + HALF_HOUR)
    assert visit.occupied_until == AT + timedelta(minutes=40)
    assert (visit.status, visit.booked_by, visit.patient) == (Status.BOOKED, alice, alice.chart)
    assert (visit.service_name, visit.minutes, visit.price_cents) == ("First visit", 30, 12_000)
    assert (visit.reason, visit.created_at) == ("Back pain", NOW)
    start = grain_at(AT)
    taken = DoctorHold.objects.filter(appointment=visit, doctor=desk.doctor, held_until=None)
    assert sorted(taken.values_list("grain", flat=True)) == list(range(start, start + 8))
    own = PatientHold.objects.filter(appointment=visit, patient=alice.chart)
    assert sorted(own.values_list("grain", flat=True)) == list(range(start, start + 6))
    relation = CareRelation.objects.get()
    assert (relation.doctor, relation.patient, relation.why) == (desk.doctor, alice.chart, "visit")
    assert (relation.since, relation.until) == (NOW, AT + HALF_HOUR + AFTER_VISIT)
    assert trail(alice.chart) == [("visit.book", "")]
    assert kinds_of_mail() == ["visit-booked"]
    assert "Back pain" not in OutgoingMail.objects.get().text
    assert Schedule.objects.get(doctor=desk.doctor).version == version + 1


def test_what_happened_is_announced_after_the_commit(
    desk: Desk, alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    heard: list[tuple[str, Any]] = []

    def hear(signal: Any, **what: Any) -> None:
        names = {
            signals.visit_booked: "booked",
            signals.visit_moved: "moved",
            signals.visit_cancelled: "cancelled",
        }
        heard.append((names[signal], what.get("previous")))

    for signal in (signals.visit_booked, signals.visit_moved, signals.visit_cancelled):
        signal.connect(hear)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            visit = make(desk, alice)
            assert heard == []
        with django_capture_on_commit_callbacks(execute=True):
            moved = move(visit, AT + DAY, alice)
        with django_capture_on_commit_callbacks(execute=True):
            cancel(appointment=moved, by=alice, now=NOW)
        with django_capture_on_commit_callbacks(execute=True), pytest.raises(NotOffered):
            make(desk, alice, AT - WEEK - DAY)
    finally:
        for signal in (signals.visit_booked, signals.visit_moved, signals.visit_cancelled):
            signal.disconnect(hear)
    assert heard == [("booked", None), ("moved", AT), ("cancelled", None)]


def test_a_taken_time_is_refused_with_the_three_nearest(
    desk: Desk, alice: User, charlie: User
) -> None:
    make(desk, alice)
    found = refused(SlotTaken, lambda: make(desk, charlie, AT + QUARTER))
    assert (found.code, found.status) == ("taken", 409)
    assert found.nearest == [AT + HALF_HOUR, AT + 3 * QUARTER, AT + 4 * QUARTER]
    assert kinds_of_mail() == ["visit-booked"]  # Alice's


def test_the_pause_of_a_visit_is_taken_too(desk: Desk, alice: User, charlie: User) -> None:
    desk.service.buffer_minutes = 15
    make(desk, alice)
    refused(SlotTaken, lambda: make(desk, charlie, AT + HALF_HOUR))
    assert make(desk, charlie, AT + 3 * QUARTER)


def test_a_time_that_ends_when_the_other_begins_is_free(
    desk: Desk, alice: User, charlie: User
) -> None:
    make(desk, alice)
    assert make(desk, charlie, AT + HALF_HOUR)


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (NOW - DAY, "past"),
        (NOW + QUARTER, "too_soon"),
        (AT + timedelta(days=120), "too_far"),
        (AT + timedelta(minutes=5), "off_grid"),
        (AT - timedelta(hours=2), "closed"),
    ],
)
def test_a_time_that_is_not_offered_writes_nothing(
    desk: Desk, alice: User, at: Any, code: str
) -> None:
    found = refused(NotOffered, lambda: make(desk, alice, at))
    assert (found.code, found.status) == (code, 422)
    assert len(found.nearest) == 3
    assert OutgoingMail.objects.count() == 0


def test_a_doctor_may_take_no_new_patients(desk: Desk, alice: User, charlie: User) -> None:
    make(desk, alice)
    desk.doctor.accepts_new = False
    refused(NotNewPatients, lambda: make(desk, charlie, AT + DAY))
    assert make(desk, alice, AT + WEEK)  # no new patient


def test_the_same_key_gives_the_same_visit(desk: Desk, alice: User) -> None:
    visit = make(desk, alice, key="k")
    before = rows()
    assert make(desk, alice, key="k") == visit
    assert make(desk, alice, AT + WEEK, key="k") == visit, "a key answers as it did"
    assert rows() == before
    assert trail(alice.chart) == [("visit.book", "")]


def test_a_key_is_answered_also_after_the_visit_was_cancelled_or_has_begun(
    desk: Desk, alice: User
) -> None:
    visit = make(desk, alice, key="k")
    cancel(appointment=visit, by=alice, now=NOW)
    assert make(desk, alice, key="k", now=AT + QUARTER) == visit


def test_keys_of_different_accounts_have_nothing_in_common(
    desk: Desk, alice: User, charlie: User
) -> None:
    first = make(desk, alice, key="k")
    assert make(desk, charlie, AT + HALF_HOUR, key="k") != first


def test_a_carer_books_for_somebody(desk: Desk, alice: User, bob: User) -> None:
    visit = make(desk, bob, patient=alice.chart)
    assert (visit.patient, visit.booked_by) == (alice.chart, bob)
    assert OutgoingMail.objects.get().to == bob.email
    assert PatientHold.objects.filter(patient=alice.chart).count() == 6
    assert not PatientHold.objects.filter(patient=bob.chart).exists()


# --- The patient's own clashes --------------------------------------------------------------
def test_nobody_is_in_two_places(desk: Desk, other: Desk, alice: User) -> None:
    first = make(desk, alice)
    found = refused(PatientBusy, lambda: make(other, alice, AT + QUARTER))
    assert (found.code, found.status, found.clashing) == ("patient_busy", 409, first)
    assert len(found.nearest) == 3
    refused(PatientBusy, lambda: make(other, alice, AT + QUARTER, clash="both"))
    assert make(other, alice, AT + HALF_HOUR)


def test_a_clashing_visit_can_be_replaced(desk: Desk, other: Desk, alice: User) -> None:
    first = make(desk, alice)
    second = make(other, alice, AT + QUARTER, clash="replace")
    first.refresh_from_db()
    assert first.is_cancelled and first.cancel_reason == "Replaced by another visit."
    assert (first.cancelled_by, first.cancelled_at) == (alice, NOW)
    assert list(Appointment.objects.active()) == [second]
    assert kinds_of_mail() == ["visit-booked", "visit-cancelled", "visit-booked"]
    assert [action for action, _ in trail(alice.chart)] == [
        *("visit.book", "visit.cancel", "visit.book")
    ]
    assert set(DoctorHold.objects.values_list("appointment", flat=True)) == {second.pk}
    assert set(PatientHold.objects.values_list("appointment", flat=True)) == {second.pk}


def test_several_clashing_visits_are_replaced_together(
    desk: Desk, other: Desk, alice: User
) -> None:
    make(desk, alice)
    make(desk, alice, AT + HALF_HOUR, clash="both")
    other.service.minutes = 60
    long_one = make(other, alice, clash="replace")
    assert list(Appointment.objects.active()) == [long_one]


def test_a_replacement_that_fails_keeps_the_old_visit(
    desk: Desk, other: Desk, alice: User, charlie: User
) -> None:
    first = make(desk, alice)
    make(other, charlie)
    refused(SlotTaken, lambda: make(other, alice, clash="replace"))
    first.refresh_from_db()
    assert not first.is_cancelled
    assert kinds_of_mail() == ["visit-booked", "visit-booked"]


def test_a_visit_that_has_begun_is_not_replaced(desk: Desk, other: Desk, alice: User) -> None:
    desk.service.minutes = 120
    first = make(desk, alice)
    other.doctor.lead_minutes = 0
    during = AT + HALF_HOUR
    found = refused(
        NotMovable,
        lambda: make(other, alice, AT + timedelta(hours=1), clash="replace", now=during),
    )
    assert "has begun" in found.message
    first.refresh_from_db()
    assert not first.is_cancelled


@pytest.mark.parametrize("days", [-5, -1, 1, 5])
def test_a_second_visit_in_the_same_week_is_asked_about(desk: Desk, alice: User, days: int) -> None:
    first = make(desk, alice)
    at = AT + days * DAY
    found = refused(SecondVisit, lambda: make(desk, alice, at))
    assert (found.code, found.status, found.existing) == ("second_visit", 409, first)


@pytest.mark.parametrize("days", [-6, 6])
def test_six_days_apart_nobody_asks(desk: Desk, alice: User, days: int) -> None:
    make(desk, alice)
    assert make(desk, alice, AT + days * DAY)


def test_the_same_week_at_another_doctor_is_no_question(
    desk: Desk, other: Desk, alice: User
) -> None:
    make(desk, alice)
    assert make(other, alice, AT + DAY)


def test_both_visits_can_be_had(desk: Desk, alice: User) -> None:
    make(desk, alice)
    make(desk, alice, AT + DAY, clash="both")
    assert Appointment.objects.active().count() == 2


def test_the_nearest_visit_of_the_week_is_replaced(desk: Desk, alice: User) -> None:
    near = make(desk, alice, AT + 2 * DAY)
    far = make(desk, alice, AT + 5 * DAY, clash="both")
    new = make(desk, alice, AT, clash="replace")
    assert list(Appointment.objects.active().order_by("pk")) == [far, new]
    near.refresh_from_db()
    assert near.is_cancelled


def test_during_a_visit_the_next_one_is_booked_without_a_question(desk: Desk, alice: User) -> None:
    make(desk, alice)
    assert make(desk, alice, AT + DAY, now=AT + QUARTER)
    assert Appointment.objects.active().count() == 2


# --- The limit of open bookings -------------------------------------------------------------
def test_open_bookings_are_limited_per_patient(
    desk: Desk, alice: User, charlie: User, settings: Any
) -> None:
    settings.OPEN_BOOKINGS_PER_PATIENT = 2
    first = make(desk, alice)
    make(desk, alice, AT + WEEK)
    found = refused(TooManyOpen, lambda: make(desk, alice, AT + 2 * WEEK))
    assert found.code == "too_many_open" and "2 visits booked" in found.message
    assert make(desk, charlie, AT + 2 * WEEK)  # another patient's are not counted
    make(desk, alice, AT + DAY, clash="replace")  # one for another is no third
    first.refresh_from_db()
    assert first.is_cancelled
    # A visit that is over is not open any more.
    assert make(desk, alice, AT + 3 * WEEK, now=AT + 3 * DAY)


# --- A provisional hold of one's own --------------------------------------------------------
def test_ones_own_hold_is_used_up(desk: Desk, alice: User) -> None:
    kept = hold(service=desk.service, starts_at=AT, now=NOW)
    visit = make(desk, alice, hold_token=kept.token)
    assert current_hold(kept.token) is None
    assert set(DoctorHold.objects.values_list("appointment", flat=True)) == {visit.pk}


def test_a_hold_of_somebody_else_is_in_the_way(desk: Desk, alice: User) -> None:
    hold(service=desk.service, starts_at=AT, now=NOW)
    refused(SlotTaken, lambda: make(desk, alice, AT + QUARTER))


def test_an_expired_hold_of_somebody_else_is_not(desk: Desk, alice: User, settings: Any) -> None:
    kept = hold(service=desk.service, starts_at=AT, now=NOW)
    just_before = kept.held_until - timedelta(seconds=1)
    refused(SlotTaken, lambda: make(desk, alice, now=just_before))
    visit = make(desk, alice, now=kept.held_until)
    assert set(DoctorHold.objects.values_list("appointment", flat=True)) == {visit.pk}


def test_a_hold_at_another_doctor_is_given_back_for_everybody_to_see(
    desk: Desk, other: Desk, alice: User
) -> None:
    kept = hold(service=other.service, starts_at=AT, now=NOW)

    def free() -> list[Any]:
        return free_times([other.service], first=AT.date(), days=1, now=NOW)[other.service.pk]

    assert AT not in free()
    make(desk, alice, hold_token=kept.token)
    assert AT in free()
    assert not SlotHold.objects.exists()


def test_a_hold_stays_when_the_booking_is_refused(desk: Desk, other: Desk, alice: User) -> None:
    first = make(desk, alice)
    kept = hold(service=other.service, starts_at=AT, now=NOW)
    found = refused(PatientBusy, lambda: make(other, alice, hold_token=kept.token))
    assert found.clashing == first
    assert current_hold(kept.token) == kept


def test_a_visit_that_runs_is_named_and_not_ones_own_hold(
    desk: Desk, other: Desk, alice: User
) -> None:
    """Only the patient's unique key sees a visit that is no longer "booked"."""
    first = make(desk, alice)
    Appointment.objects.filter(pk=first.pk).update(status=Status.ARRIVED)
    kept = hold(service=other.service, starts_at=AT, now=NOW)
    found = refused(PatientBusy, lambda: make(other, alice, hold_token=kept.token))
    assert found.clashing == first


# --- Moving ---------------------------------------------------------------------------------
def test_a_move_keeps_the_visit_and_swaps_the_time(desk: Desk, alice: User, charlie: User) -> None:
    visit = make(desk, alice)
    public_id, reference = visit.public_id, visit.reference
    later = AT + 10 * DAY
    moved = move(visit, later, alice)
    moved.refresh_from_db()
    assert (moved.pk, moved.public_id, moved.reference) == (visit.pk, public_id, reference)
    assert (moved.starts_at, moved.ends_at) == (later, later + HALF_HOUR)
    assert moved.occupied_until == later + HALF_HOUR
    assert moved.calendar_sequence == 1
    assert set(DoctorHold.objects.values_list("grain", flat=True)) == set(
        range(grain_at(later), grain_at(later) + 6)
    )
    assert PatientHold.objects.count() == 6
    assert CareRelation.objects.get().until == later + HALF_HOUR + AFTER_VISIT
    assert kinds_of_mail() == ["visit-booked", "visit-moved"]
    assert [action for action, _ in trail(alice.chart)] == ["visit.book", "visit.move"]
    assert make(desk, charlie)  # the old time is free at once


def test_a_move_may_overlap_the_old_time(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    assert move(visit, AT + QUARTER, alice).starts_at == AT + QUARTER
    assert DoctorHold.objects.count() == PatientHold.objects.count() == 6


def test_a_move_to_the_same_time_changes_nothing(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    before = rows()
    assert move(visit, AT, alice) == visit
    assert rows() == before


def test_a_move_sent_twice_moves_once(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    move(visit, AT + DAY, alice, key="m")
    before = rows()
    assert move(visit, AT + DAY, alice, key="m").starts_at == AT + DAY
    assert rows() == before
    assert kinds_of_mail() == ["visit-booked", "visit-moved"]


def test_a_move_to_a_taken_time_leaves_everything(desk: Desk, alice: User, charlie: User) -> None:
    visit = make(desk, alice)
    make(desk, charlie, AT + DAY)
    found = refused(SlotTaken, lambda: move(visit, AT + DAY + QUARTER, alice))
    assert len(found.nearest) == 3
    visit.refresh_from_db()
    assert (visit.starts_at, visit.calendar_sequence) == (AT, 0)


def test_a_move_into_another_visit_of_the_patient_is_refused(
    desk: Desk, other: Desk, alice: User
) -> None:
    visit = make(desk, alice)
    second = make(other, alice, AT + DAY)
    found = refused(PatientBusy, lambda: move(visit, AT + DAY, alice))
    assert found.clashing == second


@pytest.mark.parametrize(
    ("to", "code"),
    [
        (NOW - DAY, "past"),
        (NOW + QUARTER, "too_soon"),
        (AT + timedelta(days=120), "too_far"),
        (AT + timedelta(minutes=5), "off_grid"),
        (AT - timedelta(hours=2), "closed"),
    ],
)
def test_a_move_to_a_time_that_is_not_offered(desk: Desk, alice: User, to: Any, code: str) -> None:
    visit = make(desk, alice)
    assert refused(NotOffered, lambda: move(visit, to, alice)).code == code


def test_what_is_cancelled_or_has_begun_is_not_moved(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    begun = refused(NotMovable, lambda: move(visit, AT + DAY, alice, now=AT))
    assert "has begun" in begun.message
    cancel(appointment=visit, by=alice, now=NOW)
    gone = refused(NotMovable, lambda: move(visit, AT + DAY, alice))
    assert "was cancelled" in gone.message


def test_a_stale_copy_of_the_visit_decides_nothing(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    stale = Appointment.objects.with_parts().get(pk=visit.pk)
    cancel(appointment=visit, by=alice, now=NOW)
    assert not stale.is_cancelled
    refused(NotMovable, lambda: move(stale, AT + DAY, alice))
    before = rows()
    assert cancel(appointment=stale, by=alice, now=NOW).is_cancelled
    assert rows() == before


# --- Cancelling -----------------------------------------------------------------------------
def test_a_cancelled_time_can_be_booked_again_at_once(
    desk: Desk, alice: User, charlie: User
) -> None:
    visit = make(desk, alice)
    gone = cancel(appointment=visit, by=alice, now=NOW, reason="Well again")
    gone.refresh_from_db()
    assert (gone.status, gone.cancelled_at, gone.cancelled_by) == (Status.CANCELLED, NOW, alice)
    assert (gone.cancel_reason, gone.cancelled_late) == ("Well again", False)
    assert not DoctorHold.objects.exists() and not PatientHold.objects.exists()
    assert kinds_of_mail() == ["visit-booked", "visit-cancelled"]
    assert [action for action, _ in trail(alice.chart)] == ["visit.book", "visit.cancel"]
    assert make(desk, charlie).starts_at == AT
    assert make(desk, alice, AT + HALF_HOUR)  # nor does it stand in the patient's own way


def test_cancelling_ends_the_doctors_reason_to_know(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    assert CareRelation.objects.running(NOW).count() == 1
    later = NOW + timedelta(hours=1)
    cancel(appointment=visit, by=alice, now=later)
    assert CareRelation.objects.get().until == later
    assert not CareRelation.objects.running(later).exists()


def test_cancelling_one_visit_leaves_the_relation_of_another(desk: Desk, alice: User) -> None:
    first, second = make(desk, alice), make(desk, alice, AT + WEEK)
    cancel(appointment=first, by=alice, now=NOW)
    running = CareRelation.objects.running(NOW + DAY)
    assert list(running.values_list("appointment", flat=True)) == [second.pk]


def test_cancelling_again_changes_nothing_and_mails_nobody(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    cancel(appointment=visit, by=alice, now=NOW)
    before, heard = rows(), trail(alice.chart)
    assert cancel(appointment=visit, by=alice, now=NOW + DAY).cancelled_at == NOW
    assert (rows(), trail(alice.chart)) == (before, heard)


def test_the_deadline_decides_what_is_late(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    deadline = cancel_deadline(visit)
    assert deadline == AT - DAY
    assert not cancel(appointment=visit, by=alice, now=deadline).cancelled_late
    again = make(desk, alice, key="again")
    late = deadline + timedelta(seconds=1)
    assert cancel(appointment=again, by=alice, now=late).cancelled_late
    again.refresh_from_db()
    assert again.cancelled_late and again.is_cancelled


def test_a_visit_that_has_begun_is_not_cancelled(desk: Desk, alice: User) -> None:
    visit = make(desk, alice)
    found = refused(NotMovable, lambda: cancel(appointment=visit, by=alice, now=AT))
    assert "Call the clinic" in found.message


@pytest.mark.parametrize("status", [Status.ARRIVED, Status.DONE, Status.NO_SHOW])
def test_what_became_of_a_visit_is_not_undone(desk: Desk, alice: User, status: Status) -> None:
    visit = make(desk, alice)
    Appointment.objects.filter(pk=visit.pk).update(status=status)
    refused(NotMovable, lambda: cancel(appointment=visit, by=alice, now=NOW))
    refused(NotMovable, lambda: move(visit, AT + DAY, alice))


# --- What the numbers say about the rest ----------------------------------------------------
def test_every_change_tells_the_caches_of_free_times(desk: Desk, alice: User) -> None:
    def free() -> bool:
        found = free_times([desk.service], first=AT.date(), days=1, now=NOW)
        return AT in found[desk.service.pk]

    assert free()
    visit = make(desk, alice)
    assert not free()
    moved = move(visit, AT + DAY, alice)
    assert free()
    move(moved, AT, alice)
    assert not free()
    cancel(appointment=visit, by=alice, now=NOW)
    assert free()


def test_holds_always_cover_just_the_visit(desk: Desk, alice: User) -> None:
    desk.service.minutes, desk.service.buffer_minutes = 45, 20
    visit = move(make(desk, alice), AT + DAY, alice)
    held = DoctorHold.objects.filter(appointment=visit, doctor=F("appointment__doctor"))
    assert held.count() == 13
    assert PatientHold.objects.filter(appointment=visit).count() == 9


def test_a_booking_refused_for_one_is_open_to_another(desk: Desk, other: Desk) -> None:
    alice, dan = make_patient_user(), make_patient_user("dan@example.org", name="Dan Ito")
    make(desk, alice)
    refused(PatientBusy, lambda: make(other, alice))
    assert make(other, dan)
