"""SECURITY 10: a draft sent without a script after the sign-in has ended keeps its text, for its
author alone, on the server, for an hour."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from accounts import kept_text
from accounts.models import SignIn, User
from records.models import Note
from records.notes import save_draft, sign
from tests.appointments.desk import NOW
from tests.cast import PASSWORD, signed_in
from tests.records.pages.test_notes import begun, signed
from tests.records.pages.ward import Ward

pytestmark = pytest.mark.django_db

TEXT = "canary-text typed after the time was over"
BACK = "You had been signed out when you sent this text"


def path_of(ward: Ward, note: Note, name: str = "chart_note") -> str:
    return ward.address(name, note.public_id)


def send(client: Client, path: str, **fields: Any) -> Any:
    return client.post(path, {"action": "save", "body": TEXT, "version": "1"} | fields)


def end_sign_ins(user: User) -> None:
    SignIn.objects.filter(user=user).delete()


def back_in(client: Client, answer: Any, email: str, password: str = PASSWORD) -> Any:
    """Signs in on the page that the answer leads to; the page that comes after."""
    assert answer.status_code == 302, answer.content.decode()
    login = answer.headers["Location"]
    page = client.get(login).content.decode()
    target = re.search(r'name="next" value="([^"]+)"', page)
    assert target is not None
    entered = client.post(login, {"login": email, "password": password, "next": target[1]})
    assert entered.status_code == 302, entered.content.decode()
    return client.get(entered.headers["Location"])


def shown(page: Any) -> str:
    """What stands in the field of the note."""
    found = re.search(r"<textarea[^>]*>\s*(.*?)</textarea>", page.content.decode(), re.S)
    assert found is not None, page.content.decode()
    return found[1]


@pytest.mark.parametrize("how", ["ended", "idle", "gone"])
@pytest.mark.parametrize("action", ["save", "review"])
def test_s10_the_text_is_in_the_draft_again_after_signing_in(
    ward: Ward, how: str, action: str
) -> None:
    note = begun(ward)
    path, client = path_of(ward, note), ward.client
    with time_machine.travel(NOW, tick=False) as clock:
        if how == "ended":
            end_sign_ins(ward.doctor)
        elif how == "idle":
            clock.shift(timedelta(minutes=settings.STAFF_IDLE_MINUTES, seconds=1))
        else:
            client.cookies.clear()
        answer = send(client, path, action=action)
        note.refresh_from_db()
        assert note.body == ""  # nobody was signed in: nothing is stored in the record
        page = back_in(client, answer, ward.doctor.email)
        assert page.request["PATH_INFO"] == path
        assert BACK in page.content.decode()
        assert shown(page) == TEXT
        assert shown(client.get(path)) == TEXT  # also when it is reloaded before saving
        kept = re.search(r'name="kept" value="1"', page.content.decode())
        assert kept is not None
        assert send(client, path, body=f"{TEXT}, and more", kept="1").status_code == 302
    note.refresh_from_db()
    assert note.body == f"{TEXT}, and more"
    again = client.get(path)
    assert BACK not in again.content.decode()
    assert shown(again) == f"{TEXT}, and more"


def test_s10_the_text_stands_in_no_address_and_in_no_cookie(ward: Ward) -> None:
    path = path_of(ward, begun(ward))
    end_sign_ins(ward.doctor)
    answer = send(ward.client, path)
    assert "canary" not in str(answer.headers) + str(answer.cookies) + answer.content.decode()
    assert answer.headers["Location"] == f"/accounts/login/?next={path.replace('/', '%2F')}"
    page = ward.client.get(answer.headers["Location"])
    assert "canary" not in page.content.decode()
    # On the server it is in a place of its own, which ends by itself, and not in the session.
    holders = [row for row in Session.objects.all() if "canary" in str(row.get_decoded())]
    assert len(holders) == 1
    assert holders[0].expire_date <= NOW + kept_text.LASTS
    assert holders[0].session_key != ward.client.cookies[settings.SESSION_COOKIE_NAME].value


def test_s10_nobody_else_gets_it(ward: Ward) -> None:
    note = begun(ward)
    path = path_of(ward, note)
    end_sign_ins(ward.doctor)
    answer = send(ward.client, path)
    # A colleague at the same computer: no such note, and afterwards nothing is kept.
    page = back_in(ward.client, answer, ward.colleague.email)
    assert page.status_code == 404
    assert "canary" not in page.content.decode()
    assert not any("canary" in str(row.get_decoded()) for row in Session.objects.all())
    # The author elsewhere sees what is stored.
    assert shown(signed_in(ward.doctor).get(path)) == ""


def test_s10_it_is_of_this_note_alone_and_stays_while_another_is_saved(ward: Ward) -> None:
    other = signed(ward)
    note = begun(ward)
    path = path_of(ward, note)
    end_sign_ins(ward.doctor)
    answer = send(ward.client, path)
    back_in(ward.client, answer, ward.doctor.email)
    page = ward.client.get(path_of(ward, other)).content.decode()
    assert "canary" not in page
    ward.post("chart_note_amend", other.public_id, body="One thing more")
    assert shown(ward.client.get(path)) == TEXT


def test_s10_after_an_hour_it_is_gone(ward: Ward) -> None:
    path = path_of(ward, begun(ward))
    end_sign_ins(ward.doctor)
    with time_machine.travel(NOW, tick=False) as clock:
        answer = send(ward.client, path)
        clock.shift(kept_text.LASTS + timedelta(seconds=1))
        assert shown(back_in(ward.client, answer, ward.doctor.email)) == ""


def test_s10_a_draft_saved_elsewhere_since_is_not_overwritten(ward: Ward) -> None:
    note = begun(ward)
    path = path_of(ward, note)
    end_sign_ins(ward.doctor)
    answer = send(ward.client, path)
    save_draft(note=note, body="From the other room", version=1, by=ward.doctor, now=NOW)
    page = back_in(ward.client, answer, ward.doctor.email)
    text = page.content.decode()
    assert "This draft was changed in another window" in text
    assert "From the other room" in text
    assert shown(page) == TEXT
    note.refresh_from_db()
    assert note.body == "From the other room"


def test_s10_a_note_signed_since_shows_the_text_beside_it(ward: Ward) -> None:
    note = begun(ward)
    end_sign_ins(ward.doctor)
    answer = send(ward.client, path_of(ward, note))
    sign(note=note, body="Signed elsewhere.", version=1, by=ward.doctor, now=NOW)
    text = back_in(ward.client, answer, ward.doctor.email).content.decode()
    assert "Signed elsewhere." in text and TEXT in text
    assert "Text that is not part of this note" in text


def test_s10_an_amendment_comes_back_too(ward: Ward) -> None:
    note = signed(ward)
    path = path_of(ward, note, "chart_note_amend")
    end_sign_ins(ward.doctor)
    page = back_in(ward.client, ward.client.post(path, {"body": TEXT}), ward.doctor.email)
    assert shown(page) == TEXT
    assert not note.amendments.exists()
    assert ward.client.post(path, {"body": TEXT}).status_code == 302
    assert note.amendments.get().body == TEXT
    assert shown(ward.client.get(path)) == ""


@pytest.mark.parametrize("case", ["unknown note", "another form", "a script", "empty"])
def test_s10_strangers_fill_no_place_with_words(ward: Ward, case: str) -> None:
    note = begun(ward)
    client, path = Client(), path_of(ward, note)
    headers: dict[str, str] = {}
    fields: dict[str, Any] = {}
    if case == "unknown note":
        path = ward.address("chart_note", "01890000-0000-7000-8000-000000000000")
    elif case == "another form":
        path = ward.address("chart_allergies")
    elif case == "a script":
        headers = {"X-Background-Request": "1"}
    else:
        fields = {"body": "", "version": ""}
    before = Session.objects.count()
    answer = client.post(path, {"body": TEXT, "version": "1"} | fields, headers=headers)
    assert answer.status_code == 302
    assert Session.objects.count() == before
    assert settings.SESSION_COOKIE_NAME not in answer.cookies


def test_s22_nothing_is_kept_of_a_form_of_another_site(ward: Ward) -> None:
    path = path_of(ward, begun(ward))
    for client in (Client(enforce_csrf_checks=True), signed_in(ward.doctor)):
        client.handler.enforce_csrf_checks = True
        end_sign_ins(ward.doctor)
        assert send(client, path).status_code == 403
        assert not any("canary" in str(row.get_decoded()) for row in Session.objects.all())
