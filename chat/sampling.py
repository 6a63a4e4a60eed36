"""Invented conversations for the sample data: `patientN` with `doctorN`, some with reception."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from accounts.models import Patient, User
from chat.models import Conversation, Event, Kind, Participant
from clinic.directory.models import Doctor, Hospital

ROWS_AT_ONCE = 2_000
CLINIC_EVERY = 5  # every fifth patient has also written to reception
LONG_REPEATS = 9  # the first conversation is long enough to scroll through

PATIENT, CLINIC = "patient", "clinic"
Line = tuple[str, str]  # who, what

TALKS: list[list[Line]] = [
    [
        (CLINIC, "Good morning. I have looked at the blood pressure readings you sent. They are "
                 "higher in the evening than I would like."),
        (PATIENT, "Thank you. Should I take the tablet at night instead?"),
        (CLINIC, "Not yet. Please keep to the morning for one more week and send me readings on "
                 "three evenings. If you get chest pain, call 911, do not wait for a reply here."),
        (PATIENT, "OK, I will. Here is last night’s: 148/92."),
    ],
    [
        (PATIENT, "Hello, do I need to come in fasting for the blood test?"),
        (CLINIC, "Yes, nothing but water for eight hours before, please."),
        (PATIENT, "Thanks, that helps."),
    ],
    [
        (PATIENT, "The rash on my arm is almost gone. Do I keep using the cream?"),
        (CLINIC, "Good to hear. Use it for three more days, then stop."),
        (PATIENT, "Will do."),
        (CLINIC, "Write again if it comes back."),
    ],
    [
        (CLINIC, "Your results are in and look fine. We can talk about them at your visit."),
        (PATIENT, "That is a relief, thank you!"),
    ],
    [
        (PATIENT, "My knee is still stiff in the morning. Is that normal after two weeks?"),
        (CLINIC, "It can take four to six weeks. Keep doing the exercises, twice a day."),
        (PATIENT, "And swimming?"),
    ],
]  # fmt: skip
FOR_RECEPTION: list[list[Line]] = [
    [
        (PATIENT, "Where do I park for a morning visit?"),
        (CLINIC, "Behind the building, the first two hours are free. Tell the desk your plate."),
        (PATIENT, "Great, thank you."),
    ],
    [(PATIENT, "Could you send me a copy of my last bill, please?")],
]


@dataclass
class _Rows:
    conversations: list[Conversation] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    marks: list[Participant] = field(default_factory=list)


def add_conversations(
    *,
    patients: Sequence[Patient],
    doctors: Sequence[Doctor],
    hospitals: Sequence[Hospital],
    homes: Sequence[Hospital],
    reception: User,
    seed: int,
    now: datetime,
    **_more: Any,
) -> None:
    """Receives `sample_data_made`. ``homes``: each doctor's hospital, in the order of doctors."""
    rng = Random(f"{seed}:conversations")  # noqa: S311  (repeatable, not secret)
    rows = _Rows()
    first = (Conversation.objects.order_by("-pk").values_list("pk", flat=True).first() or 0) + 1
    for number, (patient, doctor) in enumerate(zip(patients, doctors, strict=False)):
        talk = TALKS[number % len(TALKS)]
        if number == 0:
            talk = [*_long_talk(), *talk]
        _add(rows, first, rng, now, patient=patient, doctor=doctor, hospital=homes[number],
             clinic=doctor.user_id, talk=talk)  # fmt: skip
        if number % CLINIC_EVERY == 0:
            talk = FOR_RECEPTION[(number // CLINIC_EVERY) % len(FOR_RECEPTION)]
            _add(rows, first, rng, now, patient=patient, doctor=None, hospital=homes[number],
                 clinic=reception.pk, talk=talk)  # fmt: skip
    Conversation.objects.bulk_create(rows.conversations, batch_size=ROWS_AT_ONCE)
    Event.objects.bulk_create(rows.events, batch_size=ROWS_AT_ONCE)
    Participant.objects.bulk_create(rows.marks, batch_size=ROWS_AT_ONCE)


def _long_talk() -> Iterator[Line]:
    for week in range(LONG_REPEATS, 0, -1):
        yield PATIENT, f"Readings of {week} weeks ago: 14{week}/9{week % 4} in the evening."
        yield CLINIC, "Thank you, noted."
        yield PATIENT, "The new tablets agree with me better than the old ones."
        yield CLINIC, "Good. Please go on like this."
        yield PATIENT, "I will."
        yield CLINIC, "See you at the next check."


def _add(
    rows: _Rows,
    first: int,
    rng: Random,
    now: datetime,
    *,
    patient: Patient,
    doctor: Doctor | None,
    hospital: Hospital,
    clinic: int | None,
    talk: Sequence[Line],
) -> None:
    """One conversation that ended within the last days; its patient has read all but the end."""
    pair = f"d{doctor.pk}" if doctor else f"h{hospital.pk}"
    pk = first + len(rows.conversations)
    at = now - timedelta(hours=rng.randrange(2, 60), minutes=rng.randrange(60))
    times = []
    for index in range(len(talk)):
        times.append(at)
        # The last lines follow each other within minutes, what is older within hours.
        at -= timedelta(minutes=rng.randrange(1, 9) if index < 4 else rng.randrange(60, 1_500))
    times.reverse()
    waiting = times[-1] if talk[-1][0] == PATIENT and talk[-1][1].endswith("?") else None
    if talk[-1][0] == PATIENT and len(talk) == 1:
        waiting = times[-1]
    rows.conversations.append(
        Conversation(
            pk=pk,
            public_id=uuid.UUID(int=rng.getrandbits(128), version=4),
            patient=patient,
            doctor=doctor,
            hospital=hospital,
            pair=f"{pair}.{patient.pk}",
            last_seq=len(talk),
            last_event_at=times[-1],
            waiting_since=waiting,
            created_at=times[0],
        )
    )
    senders = {PATIENT: patient.account_id, CLINIC: clinic}
    for seq, ((who, body), moment) in enumerate(zip(talk, times, strict=True), start=1):
        rows.events.append(
            Event(
                conversation_id=pk,
                seq=seq,
                kind=Kind.MESSAGE,
                sender_id=senders[who],
                client_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                body=body,
                at=moment,
            )
        )
    last = len(talk)
    for who, user in senders.items():
        if user is None:
            continue
        # Each has read what the other wrote before their own last line.
        own = max((seq for seq, line in enumerate(talk, start=1) if line[0] == who), default=0)
        rows.marks.append(
            Participant(
                conversation_id=pk,
                user_id=user,
                delivered_seq=max(own, 0 if who == CLINIC else last - 1),
                read_seq=own,
                read_at=times[own - 1] if own else None,
                mailed_seq=last,  # nobody is mailed about what was made up
            )
        )
