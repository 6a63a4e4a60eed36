"""Rows of the doctor's charts: Alice's is the doctor's, and nobody else's of the staff.

What a row is about is made when its address is asked for, by the doctor and through the rules.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from accounts.models import Patient, User
from appointments.models import Referral
from appointments.referrals import refer
from records.allergies import record_allergy
from records.conditions import add_condition
from records.documents import store
from records.encounters import begin, encounter_for
from records.medications import add_medication, prescribe
from records.models import (
    Allergy,
    Condition,
    Document,
    Entry,
    Medication,
    Note,
    Observation,
    Prescription,
)
from records.notes import save_draft, sign, start_note
from records.observations import record_observation
from tests.appointments.desk import NOW
from tests.security.row import NOBODY, Row
from tests.security.world import World, photo

# Who is no staff is sent to the sign-in of the admin, whatever the address.
SEEN = "302 302 302 302 200 404 404 404"
SENT = "302 302 302 302 302 404 404 404"
NO_METHOD = "302 302 302 302 405 405 405 405"
STAFF = "doctor other reception administrator"


def _chart(world: World) -> Patient:
    patient: Patient = world.users["alice"].chart
    return patient


def _facts(world: World) -> dict[str, Any]:
    return {"patient": _chart(world), "by": world.users["doctor"], "now": NOW}


def draft(world: World) -> Note:
    by: dict[str, Any] = {"by": world.users["doctor"], "now": NOW}
    note = start_note(encounter=encounter_for(appointment=world.visit, **by), **by)
    return note if note.body else save_draft(note=note, body="A text", version=1, **by)


def signed(world: World) -> Note:
    found = Note.objects.signed().first()
    if found is not None:
        return found
    doctor = world.users["doctor"]
    encounter = begin(kind="phone", title="Results", **_facts(world))
    note = start_note(encounter=encounter, by=doctor, now=NOW)
    return sign(note=note, body="All is well.", version=note.version, by=doctor, now=NOW)


MAKE: dict[type[Entry], Callable[[dict[str, Any]], Entry]] = {
    Allergy: lambda facts: record_allergy(
        name="Latex", reaction="Rash", criticality="low", **facts
    ),
    Condition: lambda facts: add_condition(
        category=None, text="Snores", onset_at=None, encounter=None, **facts
    ),
    Medication: lambda facts: add_medication(name="Vitamin D", **facts),
    Prescription: lambda facts: prescribe(
        name="Lisinopril 10 mg", dose="1 a day", quantity="90", refills=0, **facts
    ),
    Observation: lambda facts: record_observation(
        kind="pulse", value=Decimal(72), observed_at=NOW, **facts
    ),
    Document: lambda facts: store(upload=photo(), title="Photo", **facts),
}


def entry(model: type[Entry], world: World) -> Entry:
    found: Entry | None = model.objects.filter(patient=_chart(world)).first()
    return found or MAKE[model](_facts(world))


def referral(world: World) -> Referral:
    found = Referral.objects.first()
    return found or refer(
        to_doctor=world.other_desk.doctor, reason="Second opinion", **_facts(world)
    )


def on(part: str, of: Callable[[World], Any] | None = None, after: str = "") -> Any:
    """An address of Alice's chart, with the id of what ``of`` makes."""

    def address(world: World, chart: Any = None) -> str:
        middle = f"{of(world).public_id}/" if of is not None else ""
        return f"/admin/charts/{chart or _chart(world).public_id}/{part}{middle}{after}"

    return address


def row(
    part: str,
    get: str,
    post: str,
    *,
    of: Callable[[World], Any] | None = None,
    named: str = "",
    at: str | None = None,
    after: str = "",
    audited: str = STAFF,
    **more: Any,
) -> Row:
    """``named``: the part of the route that stands for what ``of`` makes."""
    address = on(part if at is None else at, of, after)
    middle = f"<uuid:{named}>/" if named else ""
    return Row(
        f"admin/charts/<uuid:public_id>/{part}{middle}{after}",
        get,
        post,
        address=address,
        unknown=lambda world: address(world, NOBODY),
        audited=audited if get != NO_METHOD else "",
        **more,
    )


def kind(model: type[Entry]) -> Callable[[World], Entry]:
    return lambda world: entry(model, world)


def _colleague(world: World) -> dict[str, Any]:
    return {
        "action": "ask",
        "colleague": "Ito",
        "to": world.other_desk.doctor.slug,
        "reason": "Second opinion",
    }


def _charlie(world: World) -> dict[str, Any]:
    charlie: User = world.users["charlie"]
    born = charlie.chart.birth_date
    assert born is not None
    return {
        "name": charlie.chart.name,
        "birth_date_month": born.month,
        "birth_date_day": born.day,
        "birth_date_year": born.year,
        "reason": "Found unconscious on the ward",
    }


PHONE = {"kind": "phone", "title": "Results"}
NEW_TEXT = {"action": "save", "body": "New text", "version": "2"}
DOSE = {"name": "Ibuprofen 400 mg", "dose": "1 a day", "quantity": "20", "refills": "0"}
PULSE = {"action": "vitals", "at": NOW.isoformat(), "pulse": "80"}

CHARTS = [
    Row("admin/charts/", "302 302 302 302 200 200 404 404", "302 302 302 302 200 200 404 404",
        form={"name": "Alice"}),
    Row("admin/charts/emergency/", "302 302 302 302 200 200 404 404",
        "302 302 302 302 302 302 404 404", form=_charlie, changes="doctor other"),
    row("", SEEN, NO_METHOD),
    row("encounters/new/", SEEN, SENT, form=PHONE, changes="doctor"),
    row("notes/", NO_METHOD, SENT, changes="doctor",
        form=lambda world: {"appointment": world.visit.public_id}),
    row("notes/", SEEN, SENT, of=draft, named="note_id", form=NEW_TEXT, changes="doctor"),
    row("notes/", SEEN, SENT, of=draft, named="note_id", after="sign/",
        form=NEW_TEXT, changes="doctor"),
    row("notes/", SEEN, SENT, of=signed, named="note_id", after="amend/",
        form={"body": "One thing more"}, changes="doctor"),
    row("allergies/", SEEN, SENT, changes="doctor",
        form={"action": "add", "name": "Nuts", "reaction": "", "criticality": "low"}),
    row("allergies/", NO_METHOD, SENT, of=kind(Allergy), named="entry_id", after="end/",
        changes="doctor"),
    row("conditions/", SEEN, SENT, form={"action": "add", "text": "Asthma"}, changes="doctor"),
    row("conditions/", NO_METHOD, SENT, of=kind(Condition), named="entry_id", after="resolve/",
        changes="doctor"),
    row("medications/", SEEN, SENT, form={"name": "Zinc", "dose": ""}, changes="doctor"),
    row("medications/", SEEN, SENT, of=kind(Medication), named="entry_id", after="stop/",
        form={"why": "Course finished"}, changes="doctor"),
    row("prescriptions/new/", SEEN, SENT, form=DOSE, changes="doctor"),
    row("prescriptions/", SEEN, NO_METHOD, of=kind(Prescription), named="entry_id"),
    row("prescriptions/", SEEN, SENT, of=kind(Prescription), named="entry_id", after="stop/",
        form={"why": "Side effects"}, changes="doctor"),
    row("measurements/", SEEN, SENT, form=PULSE, changes="doctor"),
    row("documents/", SEEN, SENT, changes="doctor",
        form=lambda world: {"title": "Letter", "file": photo("letter.jpg")}),
    row("documents/", SEEN, NO_METHOD, of=kind(Document), named="entry_id"),
    # Asked for without its page, a small picture has a row of its own.
    row("documents/", SEEN, NO_METHOD, of=kind(Document), named="entry_id", after="thumbnail/"),
    row("retract/<str:kind>/", SEEN, SENT, of=kind(Observation), named="entry_id",
        at="retract/observation/", form={"why": "Wrong patient"}, changes="doctor"),
    row("referrals/", SEEN, SENT, form=_colleague, changes="doctor"),
    row("referrals/", NO_METHOD, SENT, of=referral, named="referral_id", after="withdraw/",
        changes="doctor"),
]  # fmt: skip
