"""For the clinic's side: questions that wait too long, and a doctor's choices about messages."""

from __future__ import annotations

from http import HTTPStatus

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Role
from chat.edges import person
from chat.forms import ChatSettingsForm
from chat.models import ChatSettings
from chat.office import set_chat_settings, waiting_too_long
from clinic.directory.models import Doctor

PER_PAGE = 50


@require_safe
@login_required
@cache_control(no_store=True, private=True)
def waiting(request: HttpRequest) -> HttpResponse:
    """Reception's page. Of a doctor's conversation it says that somebody waits, not what for."""
    now, user = timezone.now(), person(request)
    if user.role != Role.RECEPTION:
        raise Http404
    page = Paginator(waiting_too_long(user, now), PER_PAGE).get_page(request.GET.get("page"))
    context = {"page_obj": page, "hours": settings.CHAT_WAITS_TOO_LONG_HOURS, "now": now}
    return render(request, "chat/waiting.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@cache_control(no_store=True, private=True)
def chat_settings(request: HttpRequest) -> HttpResponse:
    now, user = timezone.now(), person(request)
    if user.role != Role.DOCTOR:
        raise Http404
    chosen = ChatSettings.objects.filter(user=user).first() or ChatSettings(user=user)
    places = Doctor.objects.filter(user=user).values("services__hospital")
    colleagues = (
        Doctor.objects.public()
        .filter(user__is_active=True, services__hospital__in=places)
        .exclude(user=user)
        .distinct()
        .order_by("name", "pk")
    )
    initial = {
        "show_seen": chosen.show_seen,
        "reply_days": chosen.reply_days,
        "away_from": chosen.away_from,
        "away_until": chosen.away_until,
        "cover": chosen.cover.slug if chosen.cover else None,
    }
    posted = request.POST if request.method == "POST" else None
    form = ChatSettingsForm(colleagues, posted, initial=initial)
    status = HTTPStatus.OK
    if request.method == "POST":
        if form.is_valid():
            set_chat_settings(user=user, now=now, **form.cleaned_data)
            messages.success(request, _("Your choices about messages are saved."))
            return redirect("chat_settings")
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    return render(request, "chat/settings.html", {"form": form}, status=status)
