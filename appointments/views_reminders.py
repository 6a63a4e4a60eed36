"""The page on which an account says when it is reminded of visits."""

from __future__ import annotations

from http import HTTPStatus
from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.models import User
from appointments.forms_waitlist import RemindersForm
from appointments.reminders import choice_of, choose


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def reminder_settings(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    if request.method == "POST":
        form = RemindersForm(request.POST)
        if form.is_valid():
            choose(user=user, hours=form.cleaned_data["hours"])
            messages.success(request, _("Your choice is saved. It holds for all visits ahead."))
            return redirect("reminder_settings")
    else:
        form = RemindersForm(initial={"hours": str(choice_of(user).value)})
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    context = {"form": form, "email": user.email}
    return render(request, "appointments/reminder_settings.html", context, status=status)
