"""Counts what the apps announce. Wiring: apps know nothing of this."""

from __future__ import annotations

from typing import Any

from appointments import signals
from clinic.metrics import VISITS


def booked(**_facts: Any) -> None:
    VISITS.labels("booked").inc()


def moved(**_facts: Any) -> None:
    VISITS.labels("moved").inc()


def cancelled(**_facts: Any) -> None:
    VISITS.labels("cancelled").inc()


def start() -> None:
    """Begins to count; called once per process."""
    signals.visit_booked.connect(booked, dispatch_uid="measuring")
    signals.visit_moved.connect(moved, dispatch_uid="measuring")
    signals.visit_cancelled.connect(cancelled, dispatch_uid="measuring")
