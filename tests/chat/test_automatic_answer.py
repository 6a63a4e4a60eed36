"""Who writes over the socket while the office is closed is answered at once, by a notice."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from chat.models import Conversation
from clinic.directory.models import OpeningHours
from tests.chat.wire import ChatServer, Wire

pytestmark = pytest.mark.django_db(transaction=True)


def test_both_get_the_automatic_answer_over_the_socket(
    chat_server: ChatServer, talk: Conversation, alice: User, amara: User
) -> None:
    assert talk.doctor is not None
    today = timezone.now().date()
    OpeningHours.objects.create(  # in three days, so that it is closed now in every zone
        doctor=talk.doctor,
        hospital=talk.hospital,
        weekday=(today + timedelta(days=3)).weekday(),
        opens=time(9),
        closes=time(17),
        valid_from=today - timedelta(days=30),
    )
    with Wire(chat_server, alice) as patient, Wire(chat_server, amara) as doctor:
        patient.welcome()
        doctor.welcome()
        patient.say(talk, "Are you there?")
        for wire in (patient, doctor):
            assert wire.expect("message")["seq"] == 1
            notice = wire.expect("notice")
            assert notice["seq"] == 2
            assert notice["body"].startswith("Automatic answer: We are closed now")
        patient.say(talk, "Hello?")
        assert patient.expect("message", seq=3)["body"] == "Hello?"
        patient.nothing("notice", 0.5)
