"""SECURITY 27: what people type is text on every page, whoever looks at it.

Names, reasons, notes, allergies, files, messages and what an import brought are made to run
scripts. Every address of the matrix is opened, and each of its forms sent, by everybody whom it
answers. `tests/browser/test_scripts.py` has some of the same pages in a real browser.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import cycle
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.db.models import Model

from accounts.models import Patient, User
from appointments.emergency import open_in_emergency
from appointments.models import Appointment
from appointments.referrals import refer
from chat.models import Attachment, Event
from clinic.directory.models import Doctor, Hospital, HospitalDay, Service, Specialty, TimeOff
from records.allergies import record_allergy
from records.conditions import add_condition
from records.deletion import ask
from records.documents import store
from records.encounters import begin
from records.entries import retract
from records.fhir.importing import import_bundle
from records.medications import add_medication, prescribe, stop_medication
from records.models import Allergy, Condition, Document, Encounter, Medication, Prescription
from records.notes import amend, save_draft, sign, start_note
from tests.appointments.desk import AT, NOW
from tests.corpus import CORPUS, MARK, what_would_run
from tests.records.bundles import bundle_of, fact
from tests.security.routes import ROWS
from tests.security.world import World, ended, photo

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.timeout(600)]

HOUR = timedelta(hours=1)
PAGES = {200, 400, 403, 404, 409, 410, 422}
LOOKING = ["alice", "bob", "doctor", "other", "reception", "administrator"]
# Where the texts have to turn up, or nothing was tried.
AREAS = ["admin/charts/", "record/", "admin/visits/", "admin/patients/", "admin/book/",
         "admin/emergencies/", "admin/deletions/", "admin/hours/", "admin/hospital-days/",
         "admin/accounts/", "admin/appointments/", "admin/directory/", "messages/",
         "appointments/", "accounts/", "doctors/", "hospitals/"]  # fmt: skip


def cut(text: str, model: type[Model], name: str) -> str:
    return text[: getattr(model._meta.get_field(name), "max_length", None) or 2_000]


def rename(turn: Any) -> None:
    """Everything that exists already gets a new name."""
    for model, names in (
        (Doctor, ("name", "credentials", "about", "verified_what")),
        (Hospital, ("name", "address", "city", "phone", "kind")),
        (Service, ("name", "bring")),
        (Patient, ("name", "phone")),
        (User, ("name", "phone")),
        (Appointment, ("reason", "cancel_reason", "service_name", "bring", "booked_despite")),
        (Attachment, ("name",)),
        (Specialty, ("everyday_words",)),
    ):
        for row in model._default_manager.all():
            fields = {name: cut(next(turn), model, name) for name in names}
            model._default_manager.filter(pk=row.pk).update(**fields)
    for event in Event.objects.filter(kind="message"):
        Event.objects.filter(pk=event.pk).update(body=next(turn))


def imported(chart: Patient) -> None:
    """A bundle of Alice's whose every text is hostile."""
    resources = []
    for number, text in enumerate(CORPUS):
        words = {"text": text}
        resources += [
            fact("Condition", f"c{number}", code=words),
            fact("AllergyIntolerance", f"a{number}", code=words),
            fact("MedicationRequest", f"m{number}", medicationCodeableConcept=words),
            fact("Immunization", f"i{number}", vaccineCode=words),
            fact("Procedure", f"p{number}", code=words),
            fact("Encounter", f"e{number}", type=[words], serviceProvider={"display": text}),
        ]
        glucose = fact("Observation", f"o{number}", code=words, valueString=text)
        del glucose["valueQuantity"]
        resources.append(glucose)
    bundle = bundle_of(*resources)
    who = bundle["entry"][0]["resource"]
    given, family = chart.name.split()
    who |= {
        "name": [{"given": [given], "family": family}],
        "birthDate": str(chart.birth_date),
    }
    report = import_bundle(bundle=bundle, patient=chart, by=None, now=NOW)
    assert report.created.total() == len(resources), report.left_out


def plant(world: World, settings: Any) -> None:
    settings.UPLOADS_PER_MINUTE = settings.UPLOADS_PER_DAY = 1_000
    chart, doctor, alice = world.users["alice"].chart, world.users["doctor"], world.users["alice"]
    imported(chart)
    facts: dict[str, Any] = {"patient": chart, "by": doctor, "now": NOW}
    for number, said in enumerate(CORPUS):
        text = f"{said} {number}"  # some are the same to the rule that looks for doubles
        record_allergy(
            name=cut(text, Allergy, "name"), reaction=cut(text, Allergy, "reaction"),
            criticality="low", **facts,
        )  # fmt: skip
        add_condition(
            category=None, text=cut(text, Condition, "name"), onset_at=None, encounter=None, **facts
        )
        taken = add_medication(
            name=cut(text, Medication, "name"), dose=cut(text, Medication, "dose"), **facts
        )
        if number % 2:
            stop_medication(medication=taken, why=text[:100], by=doctor, now=NOW)
        prescribe(
            name=cut(text, Prescription, "name"), dose=cut(text, Prescription, "dose"),
            quantity=cut(text, Prescription, "quantity"), refills=0,
            despite_allergy=text[:100], **facts,
        )  # fmt: skip
        encounter = begin(kind="phone", title=cut(text, Encounter, "title"), **facts)
        note = start_note(encounter=encounter, by=doctor, now=NOW)
        sign(note=note, body=text, version=note.version, by=doctor, now=NOW)
        amend(note=note, body=f"{text} amended", by=doctor, now=NOW)
    draft = start_note(encounter=encounter, by=doctor, now=NOW)
    save_draft(note=draft, body="\n".join(CORPUS), version=draft.version, by=doctor, now=NOW)
    retract(entry=Allergy.objects.filter(patient=chart)[0], why=CORPUS[0], by=doctor, now=NOW)
    for text, by_patient in ((CORPUS[1], False), (CORPUS[2], True), (CORPUS[4], False)):
        by = alice if by_patient else doctor
        store(
            patient=chart, upload=photo(f"{text}.jpg"), title=text[:120], by=by, now=NOW,
            by_patient=by_patient,
        )  # fmt: skip
    for file, text in zip(Document.objects.all(), CORPUS, strict=False):
        Document.objects.filter(pk=file.pk).update(name=text[:80])
    refer(to_doctor=world.other_desk.doctor, reason=CORPUS[6], **facts)
    open_in_emergency(
        doctor=world.other_desk.doctor, patient=world.users["charlie"].chart, reason=CORPUS[5],
        by=world.users["other"], now=NOW,
    )  # fmt: skip
    ask(patient=chart, what="\n".join(CORPUS), by=alice, now=NOW)
    TimeOff.objects.create(
        doctor=world.desk.doctor, starts_at=AT, ends_at=AT + HOUR, why=CORPUS[0][:80]
    )
    HospitalDay.objects.create(
        hospital=world.desk.hospital, date=AT.date(), is_open=False, name=CORPUS[3][:80]
    )
    rename(cycle(CORPUS))


@pytest.fixture
def hostile(world: World, settings: Any) -> World:
    plant(world, settings)
    return world


class Seen:
    """How often the texts stood on pages of each area, and what would have run."""

    def __init__(self) -> None:
        self.shown: Counter[str] = Counter()
        self.found: list[tuple[str, str, str]] = []

    def look(self, row_name: str, role: str, answer: Any) -> None:
        ended(answer)
        is_page = answer.headers.get("Content-Type", "").startswith("text/html")
        if answer.streaming or not is_page or answer.status_code not in PAGES:
            return
        page = answer.content.decode()
        self.shown[row_name] += page.count(MARK)
        self.found += [(row_name, role, what) for what in what_would_run(page)]

    def in_area(self, area: str) -> int:
        return sum(count for name, count in self.shown.items() if name.startswith(area))


@pytest.mark.parametrize("text", CORPUS)
def test_the_reader_finds_what_would_run(text: str) -> None:
    """The control: each text that a browser runs is found where it is not escaped."""
    harmless = {CORPUS[11], CORPUS[12], CORPUS[16]}  # nothing by themselves
    places = [f"<p>{text}</p>", f'<input value="{text}">', f"<input value='{text}'>"]
    places += [f"<title>{text}</title>", f"<textarea>{text}</textarea>", f"<p {text}>"]
    places += [f'<a href="{text}">x</a>']
    if text not in harmless:
        assert any(what_would_run(place) for place in places), text
    assert what_would_run('<p class="x">&lt;script&gt;</p><script src="/s.js"></script>') == []


def test_s27_no_text_runs_on_any_page(hostile: World) -> None:
    seen = Seen()
    for row in ROWS.values():
        path = row.path(hostile)
        for role in LOOKING:
            if row.statuses("get")[role] == 200:
                seen.look(row.route, role, hostile.client(role).get(path))
    assert seen.found == []
    missing = [area for area in AREAS if not seen.in_area(area)]
    assert missing == [], "the texts are not there, so nothing was tried"
    assert seen.in_area("admin/charts/") > 300 and seen.in_area("record/") > 100


def test_s27_no_text_runs_on_the_page_that_answers_a_form(hostile: World) -> None:
    """Accepted or not: the page with the fields as typed, and the page that says it is done."""
    seen = Seen()
    for row in ROWS.values():
        for role in LOOKING:
            takes = role in row.changes.split()
            if row.post == "405" or (row.statuses("post")[role] in {302, 404, 405} and not takes):
                continue
            path = row.path(hostile)
            typed = dict.fromkeys(row.sent(hostile), CORPUS[1])
            for form in (row.sent(hostile), typed):
                cache.clear()
                client = hostile.client(role)
                point = transaction.savepoint()
                seen.look(row.route, role, client.post(path, form, follow=True))
                transaction.savepoint_rollback(point)
    assert seen.found == []
    assert sum(seen.shown.values()) > 500
