"""What has happened, announced after the commit to apps above this one. No rule lives in here."""

from django.dispatch import Signal

visit_booked = Signal()  # appointment
visit_moved = Signal()  # appointment, previous (datetime)
visit_cancelled = Signal()  # appointment
# Inside the transaction that makes the sample data: all of it is stored, or nothing.
# patients (charts with an account), doctors, hospitals, homes (each doctor's hospital), reception,
# seed, now
sample_data_made = Signal()
