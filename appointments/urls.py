"""Addresses of searching, booking, and a person's visits."""

from __future__ import annotations

from django.urls import path

from appointments import (
    views_book,
    views_calendar,
    views_find,
    views_move,
    views_reminders,
    views_visits,
    views_waitlist,
)

urlpatterns = [
    path("", views_find.home, name="home"),
    path("doctors/", views_find.doctors, name="doctors"),
    path("doctors/<slug:slug>/", views_find.doctor, name="doctor"),
    path("doctors/<slug:slug>/book/", views_book.book, name="book"),
    path("appointments/", views_visits.appointments, name="appointments"),
    path("appointments/calendar/", views_calendar.feed_settings, name="feed_settings"),
    path("appointments/reminders/", views_reminders.reminder_settings, name="reminder_settings"),
    path("appointments/waitlist/", views_waitlist.waitlist, name="waitlist"),
    path("appointments/waitlist/add/", views_waitlist.waitlist_add, name="waitlist_add"),
    path(
        "appointments/waitlist/<uuid:public_id>/remove/",
        views_waitlist.waitlist_remove,
        name="waitlist_remove",
    ),
    path(
        "appointments/waitlist/offers/<str:token>/",
        views_waitlist.waitlist_offer,
        name="waitlist_offer",
    ),
    path("appointments/<uuid:public_id>/", views_visits.appointment, name="appointment"),
    path(
        "appointments/<uuid:public_id>/move/", views_move.appointment_move, name="appointment_move"
    ),
    path(
        "appointments/<uuid:public_id>/cancel/",
        views_visits.appointment_cancel,
        name="appointment_cancel",
    ),
    path(
        "appointments/<uuid:public_id>/calendar.ics",
        views_calendar.appointment_ics,
        name="appointment_ics",
    ),
    path("calendar/<str:secret>.ics", views_calendar.feed, name="feed"),
]
