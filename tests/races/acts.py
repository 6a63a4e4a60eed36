"""What one writer does with one job: calls a rule, and says what came of it in plain words."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import OperationalError, close_old_connections

from accounts.models import Patient, User
from appointments.booking import book, cancel, reschedule
from appointments.holding import hold, release
from appointments.models import Appointment
from appointments.refusals import Refusal
from clinic.directory.models import Service
from tests.races import naive, remind, waiting

Job = dict[str, Any]
Outcome = dict[str, Any]

RETRY_SECONDS = 0.2


def perform(job: Job, now: datetime) -> Outcome:
    """The outcome: ``result`` is "visit" or "held", a refusal's code, or "error".

    ``patience`` (seconds) repeats the same job, with the same key, after an error of the
    connection, as somebody does who presses the button again; ``errors`` lists those.
    """
    deadline = time.monotonic() + float(job.get("patience", 0))
    errors: list[str] = []
    while True:
        close_old_connections()  # as between two requests
        try:
            return ACTS[job["act"]](job, now) | {"errors": errors, "process": os.getpid()}
        except Refusal as refusal:
            return {"result": refusal.code, "errors": errors}
        except OperationalError as error:
            errors.append(f"OperationalError {error.args[0] if error.args else ''}")
            if time.monotonic() > deadline:
                return {"result": "error", "errors": errors, "trace": traceback.format_exc()}
            time.sleep(RETRY_SECONDS)
        except Exception:
            return {"result": "error", "errors": errors, "trace": traceback.format_exc()}


def _offer(job: Job) -> tuple[Service, Patient, User]:
    service = Service.objects.select_related("doctor", "hospital").get(pk=job["service"])
    return service, Patient.objects.get(pk=job["patient"]), User.objects.get(pk=job["by"])


def _visit(visit: Appointment) -> Outcome:
    return {"result": "visit", "visit": visit.pk, "at": visit.starts_at.isoformat()}


def _book(job: Job, now: datetime, token: str = "") -> Outcome:
    service, patient, by = _offer(job)
    return _visit(
        book(
            service=service,
            patient=patient,
            starts_at=datetime.fromisoformat(job["at"]),
            by=by,
            key=job["key"],
            now=now,
            clash=job.get("clash", ""),
            hold_token=token,
        )
    )


def _hold(job: Job, now: datetime) -> Outcome:
    service = Service.objects.select_related("doctor", "hospital").get(pk=job["service"])
    kept = hold(service=service, starts_at=datetime.fromisoformat(job["at"]), now=now)
    return {"result": "held", "token": kept.token}


def _hold_and_book(job: Job, now: datetime) -> Outcome:
    """Keeps the time, then confirms; whoever kept it must get it."""
    outcome = _book(job, now, token=_hold(job, now)["token"])
    return outcome | {"kept": True}


def _hold_and_release(job: Job, now: datetime) -> Outcome:
    kept = _hold(job, now)
    release(kept["token"])
    return {"result": "released"}


def _loaded(job: Job) -> Appointment:
    return Appointment.objects.with_parts().get(pk=job["visit"])


def _move(job: Job, now: datetime) -> Outcome:
    return _visit(
        reschedule(
            appointment=_loaded(job),
            starts_at=datetime.fromisoformat(job["at"]),
            by=User.objects.get(pk=job["by"]),
            key=job["key"],
            now=now,
        )
    )


def _cancel(job: Job, now: datetime) -> Outcome:
    cancel(appointment=_loaded(job), by=User.objects.get(pk=job["by"]), now=now)
    return {"result": "cancelled"}


def _naive(writer: Callable[..., Appointment | None]) -> Callable[[Job, datetime], Outcome]:
    def act(job: Job, now: datetime) -> Outcome:
        service, patient, _by = _offer(job)
        visit = writer(service, patient, datetime.fromisoformat(job["at"]), now)
        return {"result": "taken"} if visit is None else _visit(visit)

    return act


ACTS: dict[str, Callable[[Job, datetime], Outcome]] = {
    "book": _book,
    "hold": _hold,
    "hold_and_book": _hold_and_book,
    "hold_and_release": _hold_and_release,
    "move": _move,
    "cancel": _cancel,
    "offer": lambda job, now: waiting.offer(datetime.fromisoformat(job["at"])),
    "remind": lambda job, now: remind.send(datetime.fromisoformat(job["at"])),
    "remind_without_claim": lambda job, now: remind.send_without_claim(
        datetime.fromisoformat(job["at"])
    ),
    "check_then_insert": _naive(naive.check_then_insert),
    "lock_after_read": _naive(naive.lock_after_read),
    "check_apart": _naive(naive.check_apart),
}
