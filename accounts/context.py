"""What every page may show: the clinic's name, the emergency number, the sample-data label."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts.models import User

SAMPLE_ADDRESS = "patient1@example.org"  # only `manage.py sample_data` makes this account
LOOK_AGAIN_AFTER = 300  # seconds until a process without sample data asks once more


class SampleDataLabel:
    """Whether this clinic holds sample data, asked once a process and not on each page."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._present = False
        self._asked_at: float | None = None

    def shown(self, now: float | None = None) -> bool:
        now = time.monotonic() if now is None else now
        if self._asked_at is None or (
            not self._present and now - self._asked_at >= LOOK_AGAIN_AFTER
        ):
            self._present = User.objects.filter(email=SAMPLE_ADDRESS).exists()
            self._asked_at = now
        return self._present


sample_data_label = SampleDataLabel()


def site(request: HttpRequest) -> dict[str, Any]:
    return {
        "clinic_name": settings.CLINIC_NAME,
        "emergency_number": settings.EMERGENCY_NUMBER,
        "sample_data": sample_data_label.shown,
        "terms_version": settings.TERMS_VERSION,
    }
