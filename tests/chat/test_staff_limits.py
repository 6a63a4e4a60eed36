"""SECURITY 4, 10, 11 and 14 for sockets: they end with the sign-in, and frames prolong nothing."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts import sessions
from accounts.models import SignIn, User
from appointments.care import has_care_of
from appointments.models import CareRelation
from chat.models import Conversation
from chat.opening import close, open_conversation, reopen
from chat.refusals import NobodyAnswers, NotInCare
from chat.sight import identify, still_valid
from clinic.directory.models import Doctor
from tests.chat.wire import ChatServer, Wire, session_of

pytestmark = pytest.mark.django_db(transaction=True)

IDLE = timedelta(minutes=15)


def test_s10_an_open_socket_of_staff_closes_when_the_session_was_idle_too_long(
    chat_server: ChatServer, talk: Conversation, amara: User, alice: User
) -> None:
    with Wire(chat_server, amara) as doctor, Wire(chat_server, alice) as patient:
        doctor.welcome()
        patient.welcome()
        # What a page says by itself is no activity: the moment stored stays where it is.
        before = SignIn.objects.get(user=amara).seen_at
        doctor.send("ping")
        doctor.expect("pong")
        assert SignIn.objects.get(user=amara).seen_at == before
        SignIn.objects.update(seen_at=timezone.now() - IDLE)
        assert doctor.closed_with(5) == 4401
        patient.send("ping")  # patients have no such limit
        patient.expect("pong")


def test_s10_who_writes_over_a_socket_is_not_idle(
    chat_server: ChatServer, talk: Conversation, amara: User
) -> None:
    with Wire(chat_server, amara) as doctor:
        doctor.welcome()
        long_ago = timezone.now() - timedelta(minutes=10)
        SignIn.objects.update(seen_at=long_ago)
        doctor.send("ping")
        doctor.expect("pong")
        doctor.send("typing", conversation=str(talk.public_id))
        assert SignIn.objects.get(user=amara).seen_at == long_ago
        doctor.say(talk, "Good morning")
        doctor.expect("ack")
        for _ in range(100):
            if SignIn.objects.get(user=amara).seen_at > long_ago:
                break
            time.sleep(0.05)
        assert timezone.now() - SignIn.objects.get(user=amara).seen_at < timedelta(minutes=1)


def test_s10_eight_hours_end_an_active_one_too(
    chat_server: ChatServer, talk: Conversation, amara: User
) -> None:
    with Wire(chat_server, amara) as doctor:
        doctor.welcome()
        SignIn.objects.update(since=timezone.now() - timedelta(hours=8))
        assert doctor.closed_with(5) == 4401


def test_s10_no_socket_opens_with_a_session_that_is_over(
    chat_server: ChatServer, amara: User
) -> None:
    key = session_of(amara)
    SignIn.objects.update(seen_at=timezone.now() - IDLE)
    with Wire(chat_server, session=key) as wire:
        assert wire.closed_with() == 4401 and wire.seen == []


def test_s14_a_session_ended_elsewhere_closes_its_socket(
    chat_server: ChatServer, talk: Conversation, alice: User
) -> None:
    with Wire(chat_server, alice) as wire, Wire(chat_server, alice) as other:
        wire.welcome()
        other.welcome()
        first = SignIn.objects.filter(user=alice).earliest("pk")
        sessions.end(user=alice, public_id=first.public_id, now=timezone.now())
        assert wire.closed_with(5) == 4401
        other.send("ping")
        other.expect("pong")


def test_s11_a_doctor_who_left_is_out_of_the_conversation(
    chat_server: ChatServer, talk: Conversation, amara: User, alice: User
) -> None:
    with Wire(chat_server, amara) as doctor, Wire(chat_server, alice) as patient:
        doctor.welcome()
        patient.welcome()
        Doctor.objects.filter(user=amara).update(withdrawn_at=timezone.now())
        assert doctor.closed_with(5) == 4403
        patient.say(talk, "Are you there?")
        patient.expect("ack")
    with Wire(chat_server, amara) as doctor:
        assert doctor.welcome()["conversations"] == []
        doctor.send("sync", conversation=str(talk.public_id), after=0, limit=50)
        assert doctor.expect("error")["code"] == "not_found"
    assert not Conversation.objects.visible_to(amara).exists()
    now = timezone.now()
    assert talk.doctor is not None
    CareRelation.objects.create(
        doctor=talk.doctor, patient=talk.patient, why="visit", since=now, until=None
    )
    with pytest.raises(NobodyAnswers):
        open_conversation(
            patient=alice.chart,
            doctor=Doctor.objects.get(user=amara),
            hospital=talk.hospital,
            by=alice,
            now=timezone.now(),
        )


def test_s04_a_socket_needs_the_factor_that_is_demanded(
    amara: User, alice: User, settings: object
) -> None:
    key, patients = session_of(amara), session_of(alice)
    assert identify([key])[0] is not None
    settings.STAFF_MFA_REQUIRED = True  # type: ignore[attr-defined]
    assert identify([key, patients])[0] is None
    assert identify([key, patients])[1] is not None


def test_a_session_that_borrows_a_sign_in_is_nobodys(alice: User, bob: User) -> None:
    [who] = identify([session_of(alice)])
    assert who is not None
    other = identify([session_of(bob)])[0]
    assert other is not None
    borrowed = type(who)(
        who.user_id, who.public_id, who.session_key, who.role, who.password_digest, other.sign_in
    )
    invented = type(who)(
        who.user_id, who.public_id, who.session_key, who.role, who.password_digest, uuid4()
    )
    assert still_valid([who, borrowed, invented]) == {
        who: "",
        borrowed: "signed_out",
        invented: "signed_out",
    }


# --- A closed conversation gives no access ---------------------------------------------------
def reasons(talk: Conversation) -> list[str]:
    running = CareRelation.objects.running(timezone.now()).filter(
        doctor=talk.doctor, patient=talk.patient
    )
    return sorted(running.values_list("why", flat=True))


def test_closing_ends_the_access_it_gave_and_starting_again_brings_it_back(
    talk: Conversation, alice: User, amara: User
) -> None:
    now = timezone.now()
    assert talk.doctor is not None
    CareRelation.objects.all().delete()
    for why in ("visit", "conversation"):
        CareRelation.objects.create(
            doctor=Doctor.objects.get(user=amara),
            patient=talk.patient,
            why=why,
            since=now - timedelta(days=9),
            until=now + timedelta(days=9),
        )
    close(conversation=talk, by=amara, now=timezone.now())
    assert reasons(talk) == ["visit"]
    reopen(conversation=talk, by=alice, now=timezone.now())
    assert reasons(talk) == ["conversation", "visit"]
    latest = CareRelation.objects.filter(why="conversation").latest("pk")
    assert latest.until is not None and latest.until > now + timedelta(days=364)


def test_a_doctor_does_not_get_back_in_by_starting_again(
    talk: Conversation, alice: User, amara: User
) -> None:
    now = timezone.now()
    assert talk.doctor is not None
    CareRelation.objects.all().delete()
    CareRelation.objects.create(
        doctor=talk.doctor, patient=talk.patient, why="conversation", since=now, until=None
    )
    close(conversation=talk, by=amara, now=timezone.now())
    assert reasons(talk) == []
    with pytest.raises(NotInCare):
        reopen(conversation=talk, by=amara, now=timezone.now())
    assert not has_care_of(doctor_id=talk.doctor.pk, patient_id=talk.patient_id, now=timezone.now())
