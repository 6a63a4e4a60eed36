"""Reminders of visits, and the waiting list: tables alone, so that the release before runs on.

Visits that are booked already get a reminder too, as if they had been booked by the new release.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import CASCADE, F, Q
from django.utils import timezone

import accounts.ids

AT_ONCE = 2_000


def remind_of_what_is_booked(apps: Any, editor: Any) -> None:
    Appointment = apps.get_model("appointments", "Appointment")
    Reminder = apps.get_model("appointments", "Reminder")
    now = timezone.now()
    ahead = Appointment.objects.filter(
        status="booked", starts_at__gt=now + timedelta(hours=24), reminder=None
    )
    rows = []
    for pk, starts_at, created_at in ahead.values_list("pk", "starts_at", "created_at").iterator():
        first = starts_at - timedelta(hours=48)
        due_at = first if first > now else starts_at - timedelta(hours=24)
        rows.append(Reminder(appointment_id=pk, asked_at=created_at, due_at=due_at))
    Reminder.objects.bulk_create(rows, batch_size=AT_ONCE)


def of(model: str) -> Any:
    return models.ForeignKey(on_delete=CASCADE, related_name="+", to=model)


def maybe(model: str) -> Any:
    return models.ForeignKey(null=True, on_delete=CASCADE, related_name="+", to=model)


def key() -> Any:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_sign_ins_and_anchors"),
        ("appointments", "0002_workplace"),
        ("directory", "0002_hospitalstaff"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ReminderChoice",
            fields=[
                ("id", key()),
                (
                    "hours",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (0, "No reminders"),
                            (24, "24 hours before"),
                            (48, "48 hours before"),
                        ],
                        default=24,
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=CASCADE,
                        related_name="reminder_choice",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(("hours__in", [0, 24, 48])), name="known_reminder_hours"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Reminder",
            fields=[
                ("id", key()),
                ("asked_at", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "how",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("mailed", "Mailed"),
                            ("off", "No reminder wanted"),
                            ("near", "Booked when the visit was near"),
                            ("late", "The visit had begun"),
                            ("nobody", "No address"),
                            ("gone", "The visit is cancelled"),
                            ("failed", "Could not be written"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "appointment",
                    models.OneToOneField(
                        on_delete=CASCADE, related_name="reminder", to="appointments.appointment"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["closed_at", "due_at"], name="reminders_due")],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(("closed_at", None), ("how", ""))
                        | (Q(("closed_at__isnull", False)) & ~Q(("how", ""))),
                        name="closed_reminders_say_how",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="WaitlistEntry",
            fields=[
                ("id", key()),
                (
                    "public_id",
                    models.UUIDField(default=accounts.ids.uuid7, editable=False, unique=True),
                ),
                (
                    "visit",
                    models.CharField(
                        blank=True,
                        choices=[("in_person", "In person"), ("video", "Video")],
                        max_length=10,
                        verbose_name="visit type",
                    ),
                ),
                ("before", models.DateTimeField(null=True)),
                ("earliest", models.DateField(verbose_name="first day")),
                ("latest", models.DateField(verbose_name="last day")),
                ("mornings", models.BooleanField(default=True)),
                ("afternoons", models.BooleanField(default=True)),
                ("evenings", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField()),
                (
                    "by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("doctor", maybe("directory.doctor")),
                ("earlier_than", maybe("appointments.appointment")),
                ("hospital", of("directory.hospital")),
                (
                    "patient",
                    models.ForeignKey(
                        on_delete=CASCADE, related_name="waits_for", to="accounts.patient"
                    ),
                ),
                ("service", maybe("directory.service")),
                ("specialty", maybe("directory.specialty")),
            ],
            options={
                "indexes": [
                    models.Index(fields=["doctor", "latest"], name="waits_by_doctor"),
                    models.Index(
                        fields=["hospital", "specialty", "latest"], name="waits_by_specialty"
                    ),
                    models.Index(fields=["latest"], name="waits_by_end"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(("latest__gte", F("earliest"))), name="waits_for_a_day"
                    ),
                    models.CheckConstraint(
                        condition=Q(
                            ("doctor__isnull", False),
                            ("service__isnull", False),
                            ("specialty", None),
                        )
                        | Q(("doctor", None), ("service", None), ("specialty__isnull", False)),
                        name="waits_for_a_doctor_or_a_specialty",
                    ),
                    models.CheckConstraint(
                        condition=Q(("before", None), ("earlier_than", None))
                        | Q(("before__isnull", False), ("earlier_than__isnull", False)),
                        name="waits_for_earlier_than_a_moment",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="FreedTime",
            fields=[
                ("id", key()),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("created_at", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                ("doctor", of("directory.doctor")),
                ("given_up_by", maybe("accounts.patient")),
            ],
            options={
                "indexes": [models.Index(fields=["due_at"], name="freed_times_due")],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(("ends_at__gt", F("starts_at"))),
                        name="freed_time_ends_after_it_starts",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="WaitlistOffer",
            fields=[
                ("id", key()),
                ("starts_at", models.DateTimeField()),
                ("mailed_at", models.DateTimeField()),
                ("doctor", of("directory.doctor")),
                (
                    "entry",
                    models.ForeignKey(
                        on_delete=CASCADE,
                        related_name="offers",
                        to="appointments.waitlistentry",
                    ),
                ),
                ("service", of("directory.service")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("entry", "doctor", "starts_at"), name="a_time_is_offered_once"
                    )
                ],
            },
        ),
        migrations.RunPython(remind_of_what_is_booked, migrations.RunPython.noop, elidable=True),
    ]
