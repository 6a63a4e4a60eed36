"""What has happened, announced to apps above this one: after the commit, if not said otherwise.

No rule lives in here."""

from django.dispatch import Signal

visit_booked = Signal()  # appointment
visit_moved = Signal()  # appointment, previous (datetime)
visit_cancelled = Signal()  # appointment
# Inside the transaction that moves a visit, with its doctors' schedules and its patient locked:
# what else names the visit's time is stored together with it.
visit_moving = Signal()  # appointment
# Inside the transaction that makes the sample data: all of it is stored, or nothing.
# patients (charts with an account), doctors, hospitals, homes (each doctor's hospital), reception,
# seed, now
sample_data_made = Signal()
