"""A new SECRET_KEY signs nobody out, also not those who ask for two things at once."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as used
from django.test import Client
from django.urls import reverse

from tests.cast import make_patient_user

NEW_KEY = "another-key-for-tests-only-that-is-long-enough-to-be-accepted"


def under_one_cookie(first: Client) -> Client:
    """A second tab: the same cookie as the first had until now."""
    other = Client()
    other.cookies[used.SESSION_COOKIE_NAME] = first.cookies[used.SESSION_COOKIE_NAME].value
    return other


@pytest.mark.django_db
def test_s39_a_page_and_what_it_fetches_stay_signed_in_under_a_new_secret_key(
    settings: Any,
) -> None:
    page = Client()
    page.force_login(make_patient_user())
    assert page.get(reverse("appointments")).status_code == 200
    fetched = under_one_cookie(page)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = NEW_KEY

    assert page.get(reverse("appointments")).status_code == 200
    assert fetched.get(reverse("appointments")).status_code == 200

    # The session is vouched for by the new key alone now, so the former one can go.
    settings.SECRET_KEY_FALLBACKS = []
    assert page.get(reverse("appointments")).status_code == 200


@pytest.mark.django_db
def test_s39_without_the_former_key_sessions_are_over(settings: Any) -> None:
    page = Client()
    page.force_login(make_patient_user())
    settings.SECRET_KEY = NEW_KEY
    assert page.get(reverse("appointments")).status_code == 302
