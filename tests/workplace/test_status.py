"""The operator's status page: each line dated, in words, with what to do and where more is said."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from clinic.jobs.checks_log import note
from clinic.jobs.models import OutgoingMail, RegularJob
from clinic.workplace.status import STUCK_AFTER, WATCHED, Line, lines, unwell
from tests.cast import signed_in
from tests.workplace.conftest import text_of

pytestmark = pytest.mark.django_db

PAGE = "/admin/status/"
ROOT = Path(__file__).resolve().parents[2]
LIMITS = {name: watched.most for name, watched in WATCHED.items() if watched.most is not None}


def line(title: str, now: datetime) -> Line:
    return next(one for one in lines(now) if one.title == title)


def all_well(now: datetime) -> None:
    for name in WATCHED:
        note(name, is_ok=True, detail="looked at 12", now=now - timedelta(minutes=3))


def mail(key: str, now: datetime, **more: datetime) -> OutgoingMail:
    return OutgoingMail.objects.create(
        key=key, to="a@example.org", subject="s", text="t",
        **{"created_at": now, "next_attempt_at": now, **more},
    )  # fmt: skip


@pytest.fixture
def ada(administrator: User) -> Client:
    return signed_in(administrator)


def test_all_is_well_and_says_when(ada: Client) -> None:
    all_well(timezone.now())
    page = text_of(ada, PAGE).replace("\xa0", " ")
    assert "Everything that is watched is well." in page
    assert page.count("Ended well.") == len(WATCHED)
    assert page.count("(3 minutes ago)") == page.count("looked at 12") == len(WATCHED)
    assert "Nothing waits." in page and "None was given up." in page
    assert "operations guide" not in page


def test_what_never_ran_needs_somebody(ada: Client) -> None:
    page = text_of(ada, PAGE)
    assert f"{len(WATCHED)} lines need you." in page
    for watched in WATCHED.values():
        assert str(watched.todo) in page and f"under “{watched.heading}”" in page


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_what_ended_well_grows_old(name: str) -> None:
    now = timezone.now()
    all_well(now)
    title, limit = str(WATCHED[name].title), LIMITS[name]
    note(name, is_ok=True, now=now - limit)
    assert line(title, now).is_well and unwell(now) == 0
    note(name, is_ok=True, now=now - limit - timedelta(seconds=1))
    old = line(title, now)
    assert not old.is_well and old.words.startswith("Too old") and old.todo
    assert unwell(now) == 1


def test_a_failure_says_how_long_all_was_well() -> None:
    now = timezone.now()
    note("audit", is_ok=True, now=now - timedelta(days=3))
    note("audit", is_ok=False, detail="2 faults", now=now - timedelta(hours=4))
    failed = line("Check of the audit trail", now)
    assert not failed.is_well and failed.detail == "2 faults"
    assert failed.ago.replace("\xa0", " ") == "4 hours"
    assert failed.words.replace("\xa0", " ") == "Failed. It last ended well 3 days ago."
    note("bookings", is_ok=False, now=now)
    assert line("Check of the visits", now).words == "Failed."


def test_what_a_script_notes_is_a_line_too() -> None:
    now = timezone.now()
    note("copy_off_site", is_ok=False, detail="no route", now=now)
    own = line("Copy off site", now)
    assert not own.is_well and own.detail == "no route" and own.heading == "Check failed"
    note("copy_off_site", is_ok=True, now=now - timedelta(days=400))
    assert line("Copy off site", now).is_well  # nobody said how often it must run


def test_the_queue_is_stuck_after_five_minutes() -> None:
    now = timezone.now()
    assert line("Queue", now).words == "Nothing waits."
    job = RegularJob.objects.create(name="late", due_at=now - STUCK_AFTER)
    assert line("Queue", now).is_well
    job.due_at -= timedelta(seconds=1)
    job.save()
    mail("waits", now)
    stuck = line("Queue", now)
    assert not stuck.is_well and stuck.heading == "Queue stuck"
    words = stuck.words.replace("\xa0", " ")
    assert words == "2 things are due, the oldest since 5 minutes."


def test_a_mail_that_was_given_up_needs_somebody_for_a_day() -> None:
    now = timezone.now()
    lost = mail("lost", now, failed_at=now - timedelta(hours=23))
    assert not line("Mails", now).is_well
    lost.failed_at = now - timedelta(hours=25)
    lost.save()
    assert line("Mails", now).is_well and line("Mails", now).words == "1 mail was given up."


def test_no_address_and_no_text_of_a_mail_is_shown(ada: Client) -> None:
    mail("lost", timezone.now(), failed_at=timezone.now())
    page = text_of(ada, PAGE)
    assert "1 mail was given up." in page and "a@example.org" not in page


def test_the_limits_are_those_of_the_alerts() -> None:
    """Seconds, or days × 86400, as deploy/monitoring/alerts.yml has them."""
    text = (ROOT / "deploy" / "monitoring" / "alerts.yml").read_text()
    found: dict[str, timedelta] = {}
    for names, limit in re.findall(r'age_seconds\{name=~?"([^"]+)"\}\) > ([\d *]+\d)', text):
        seconds = 1
        for part in limit.split("*"):
            seconds *= int(part)
        found |= {name: timedelta(seconds=seconds) for name in names.split("|")}
    assert found == LIMITS
    stuck = re.search(r"clinic_queue_age_seconds\) > (\d+)", text)
    assert stuck and timedelta(seconds=int(stuck[1])) == STUCK_AFTER


def test_every_line_leads_to_a_part_of_the_operations_guide() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    now = timezone.now()
    RegularJob.objects.create(name="late", due_at=now - timedelta(hours=1))
    mail("lost", now, failed_at=now)
    note("own", is_ok=False, now=now)
    headings = {one.heading for one in lines(now)}
    assert "" not in headings and len(headings) >= 5
    for heading in headings:
        assert f"\n### {heading}\n" in guide, heading


def test_the_page_takes_five_queries_whatever_there_is(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    now = timezone.now()
    with django_assert_num_queries(5):
        lines(now)
    for number in range(20):
        note(f"own_{'abcdefghijklmnopqrst'[number]}", is_ok=True, now=now)
        mail(str(number), now, failed_at=now)
    with django_assert_num_queries(5):
        lines(now)


def test_the_front_page_counts_what_needs_somebody(ada: Client) -> None:
    page = text_of(ada, "/admin/")
    words, count = "Backups and nightly checks that need you: ", '<span class="task-count">'
    assert f"{words}{count}{len(WATCHED)}</span>" in page
    all_well(timezone.now())
    assert f"{words}none" in text_of(ada, "/admin/")
    assert f'href="{PAGE}"' in ada.get("/admin/").content.decode()


def test_others_find_no_such_page(directory: User, reception: User) -> None:
    for user in (directory, reception):
        assert signed_in(user).get(PAGE).status_code == 404
    assert Client().get(PAGE).status_code == 302
