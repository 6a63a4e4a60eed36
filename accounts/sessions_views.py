"""Where one is signed in, and ending that."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from accounts import sessions
from accounts.models import User


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def session_list(request: HttpRequest) -> HttpResponse:
    """The list; its form signs out everywhere else."""
    user, now = cast(User, request.user), timezone.now()
    here = sessions.sign_in_id(request.session)
    if request.method == "POST":
        ended = sessions.end_all(
            user=user, keep=here, by=user, why="signed out everywhere else", now=now
        )
        messages.success(
            request,
            ngettext(
                "You were signed out in %(count)d other place.",
                "You were signed out in %(count)d other places.",
                ended,
            )
            % {"count": ended}
            if ended
            else _("You are signed in nowhere else."),
        )
        return redirect("usersessions_list")
    rows = sessions.running(user, now)
    return render(request, "usersessions/usersession_list.html", {"places": rows, "here": here})


@require_POST
@login_required
def session_end(request: HttpRequest, public_id: str) -> HttpResponse:
    user = cast(User, request.user)
    is_here = str(sessions.sign_in_id(request.session)) == str(public_id)
    if not sessions.end(user=user, public_id=public_id, now=timezone.now()):  # type: ignore[arg-type]
        raise Http404
    if is_here:
        logout(request)
        return redirect("account_login")
    messages.success(request, _("That device is signed out."))
    return redirect("usersessions_list")
