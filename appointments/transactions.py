"""How every change of a doctor's time is run: one durable transaction, the lock first, retried.

The first statement locks the schedule rows, in the order of their keys, so that two changes never
wait for each other crosswise; then the patient's row. Plain reads come after the locks, so they see
what the previous holder committed at READ COMMITTED and at REPEATABLE READ alike.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from django.db import OperationalError, connection, transaction

from accounts.models import Patient
from clinic.directory.models import Schedule
from clinic.outage import tls_cut_off

T = TypeVar("T")

# Deadlock, lock wait timeout, record changed (MariaDB), server has gone away, connection lost.
TRANSIENT_MYSQL_ERRORS = {1213, 1205, 1020, 2006, 2013}
ATTEMPTS = 5


def is_transient(error: OperationalError) -> bool:
    code = error.args[0] if error.args else None
    return code in TRANSIENT_MYSQL_ERRORS or code == "database is locked" or tls_cut_off(error)


def in_one_transaction(work: Callable[[], T]) -> T:
    """Runs ``work`` in an outermost transaction, again from the start when the database says so.

    ``work`` must be safe to repeat: whoever lost the answer to a COMMIT finds its result by its
    idempotency key. Refusals and other errors are not retried.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with transaction.atomic(durable=True):
                return work()
        except OperationalError as error:
            if attempt == ATTEMPTS or not is_transient(error):
                raise
            connection.close_if_unusable_or_obsolete()
            time.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311  (spreads retries)
    raise AssertionError("unreachable")


def lock_schedules(doctors: Iterable[int]) -> None:
    """Takes the doctors' lock rows until the transaction ends. Must be its first statement."""
    wanted = sorted(set(doctors))
    locked = list(
        Schedule.objects.select_for_update().filter(doctor__in=wanted).order_by("doctor_id")
    )
    if len(locked) != len(wanted):
        raise LookupError("A doctor has no schedule row; doctors are made by add_doctor.")


def lock_patient(patient: int) -> None:
    """Serializes what is counted per patient: open bookings, clashes, the audit chain."""
    Patient.objects.select_for_update().values_list("pk", flat=True).get(pk=patient)
