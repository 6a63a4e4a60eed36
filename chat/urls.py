"""Addresses of messages: the list, one conversation, and what can be done in it."""

from __future__ import annotations

from django.urls import path

from chat import views, views_acts, views_attachments, views_begin, views_desk

urlpatterns = [
    path("", views.messages_page, name="messages"),
    path("new/", views_begin.conversation_new, name="conversation_new"),
    path("waiting/", views_desk.waiting, name="messages_waiting"),
    path("settings/", views_desk.chat_settings, name="chat_settings"),
    path("unread", views.unread, name="messages_unread"),
    path("heads", views.heads, name="messages_heads"),
    path("attachments/<uuid:public_id>/", views_attachments.attachment, name="attachment"),
    path("<uuid:public_id>/", views.conversation, name="conversation"),
    path(
        "<uuid:public_id>/attachments/",
        views_attachments.attachments,
        name="conversation_attachments",
    ),
    path("<uuid:public_id>/events", views.events, name="conversation_events"),
    path("<uuid:public_id>/transcript/", views.transcript, name="conversation_transcript"),
    path("<uuid:public_id>/edit/", views_acts.edit, name="conversation_edit"),
    path("<uuid:public_id>/delete/", views_acts.delete, name="conversation_delete"),
    path("<uuid:public_id>/marks/", views_acts.marks, name="conversation_marks"),
    path("<uuid:public_id>/close/", views_acts.close_it, name="conversation_close"),
    path("<uuid:public_id>/reopen/", views_acts.reopen_it, name="conversation_reopen"),
    path("<uuid:public_id>/colleagues/", views_acts.colleagues, name="conversation_colleagues"),
]
