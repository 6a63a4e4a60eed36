"""Addresses of searching, booking, and a person's visits."""

from __future__ import annotations

from django.urls import path

from appointments import views_book, views_calendar, views_find, views_move, views_visits

urlpatterns = [
    path("", views_find.home, name="home"),
    path("doctors/", views_find.doctors, name="doctors"),
    path("doctors/<slug:slug>/", views_find.doctor, name="doctor"),
    path("doctors/<slug:slug>/book/", views_book.book, name="book"),
    path("appointments/", views_visits.appointments, name="appointments"),
    path("appointments/calendar/", views_calendar.feed_settings, name="feed_settings"),
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
