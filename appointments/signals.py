"""What has happened, announced after the commit to apps above this one. No rule lives in here."""

from django.dispatch import Signal

visit_booked = Signal()  # appointment
visit_moved = Signal()  # appointment, previous (datetime)
visit_cancelled = Signal()  # appointment
