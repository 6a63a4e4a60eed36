"""The page on which an administrator takes a second factor away."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

from allauth.account.decorators import reauthentication_required
from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import second_factor
from accounts.models import Role, User

# Seeds and keys on a page are seeds and keys in a screenshot.
admin.site.unregister(Authenticator)


class ResetForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("How do you know that it is this person?"),
        help_text=gettext_lazy("For example “came to my desk with the badge”. It is kept."),
        max_length=200,
        error_messages={"required": gettext_lazy("Type how you know who asks.")},
    )


def reset_page(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """For administrators; for everybody else there is no such page, whoever is asked for."""
    by = cast(User, request.user)
    if by.role != Role.ADMINISTRATOR:
        raise Http404
    user = User.objects.filter(public_id=public_id).first()
    if user is None:
        raise Http404
    return _reset(request, user, by)


@reauthentication_required
def _reset(request: HttpRequest, user: User, by: User) -> HttpResponse:
    form = ResetForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            second_factor.reset(
                user=user, by=by, reason=form.cleaned_data["reason"], now=timezone.now()
            )
        except second_factor.Refused as refusal:
            form.add_error(None, refusal.message)
        else:
            messages.success(
                request,
                _("The second factor of %(name)s is removed, and a mail says so.")
                % {"name": user.display_name},
            )
            return redirect("admin:index")
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": _("Remove a second factor"),
        "account": user,
        "form": form,
        "factors": Authenticator.objects.filter(user=user).count(),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "admin/accounts/second_factor_reset.html", context, status=status)
