"""Accounts and charts in the admin: administrators see accounts, reception sees charts.

Nothing is typed in here. Accounts come from signing up; charts come from signing up, from people
in care, and from the views of reception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from allauth.account.models import EmailAddress
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts import people
from accounts.audit import record
from accounts.models import LinkCode, Patient, Role, User

page_or_form = require_http_methods(["GET", "HEAD", "POST"])


@page_or_form
def sign_in(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """The admin's sign-in page: the site's own, which counts failures and asks second factors.

    The admin's own form would let staff in around both. Who is signed in and is no staff sees
    nothing here.
    """
    target = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        target = reverse("admin:index")
    if admin.site.has_permission(request):
        return HttpResponseRedirect(target)
    if request.user.is_authenticated:
        raise Http404
    return HttpResponseRedirect(reverse("account_login") + "?" + urlencode({"next": target}))


def change_password(
    request: HttpRequest, extra_context: dict[str, Any] | None = None
) -> HttpResponse:
    """The site's own page, which counts wrong guesses, writes the audit row and mails the owner."""
    return redirect("account_change_password")


guarded = admin.site.admin_view


def pages_and_forms(view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
    """The admin takes any method it does not know for a GET; elsewhere on this site it is 405."""
    checked: Callable[..., Any] = page_or_form(guarded(view, cacheable))
    return checked


admin.site.login = sign_in  # type: ignore[method-assign]
admin.site.password_change = change_password  # type: ignore[method-assign,assignment]
admin.site.admin_view = pages_and_forms  # type: ignore[method-assign,assignment]
admin.site.unregister(Group)  # rights follow from roles, not from groups
# An address typed in here would be confirmed by nobody, and its owner would never hear of it.
admin.site.unregister(EmailAddress)


class ListedFilters:
    """Only what ``list_filter`` names can be filtered by.

    Django lets an address filter by every field of the model, also by one that no page shows:
    ``?password__startswith=`` and ``?reason__contains=`` would read them letter by letter.
    """

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        listed: Any = getattr(self, "list_filter", ())
        # An entry may also be a pair: the field and the filter's class.
        shown = {entry if isinstance(entry, str) else entry[0] for entry in listed}
        return lookup.partition("__")[0] in shown


class ReadOnlyAdmin(ListedFilters, admin.ModelAdmin):
    """Shows rows to the roles in ``seen_by`` and changes none."""

    seen_by: frozenset[Role] = frozenset({Role.ADMINISTRATOR})

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user = request.user
        return bool(user.is_active and user.is_staff and getattr(user, "role", "") in self.seen_by)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    # Never the password: a hash on a page is a hash in a screenshot.
    fields = ["email", "name", "phone", "role", "is_active", "is_staff", "date_joined"]
    list_display = ["email", "name", "role", "is_active", "date_joined"]
    list_filter = ["role", "is_active", "is_staff"]
    search_fields = ["email", "name"]
    ordering = ["email"]


@admin.register(Patient)
class PatientAdmin(ReadOnlyAdmin):
    seen_by = frozenset({Role.RECEPTION, Role.ADMINISTRATOR})
    fields = ["name", "birth_date", "sex", "phone", "email", "account"]
    list_display = ["name", "birth_date", "phone", "has_account"]
    search_fields = ["name", "phone"]
    ordering = ["name", "pk"]
    list_per_page = 50
    actions = ["give_code_to_patient", "give_code_to_carer"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Patient]:
        return Patient.objects.current()

    @admin.display(boolean=True, description=gettext_lazy("has an account"))
    def has_account(self, patient: Patient) -> bool:
        return patient.account_id is not None

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kw: Any) -> Any:
        response = super().change_view(request, object_id, *args, **kw)
        patient = self.get_object(request, object_id)
        if patient is not None and response.status_code == 200:
            record("chart.viewed", actor=request.user, patient=patient)
        return response

    @admin.action(
        description=gettext_lazy("Give a one-time code for the patient's own account"),
        permissions=["view"],
    )
    def give_code_to_patient(
        self, request: HttpRequest, charts: QuerySet[Patient]
    ) -> HttpResponse | None:
        return self._give_code(request, charts, LinkCode.Purpose.SELF)

    @admin.action(
        description=gettext_lazy("Give a one-time code for a carer's account"),
        permissions=["view"],
    )
    def give_code_to_carer(
        self, request: HttpRequest, charts: QuerySet[Patient]
    ) -> HttpResponse | None:
        return self._give_code(request, charts, LinkCode.Purpose.CARER)

    def _give_code(
        self, request: HttpRequest, charts: QuerySet[Patient], purpose: LinkCode.Purpose
    ) -> HttpResponse | None:
        """Answers with the code itself: in a message it would lie in a cookie."""
        chosen = list(charts[:2])
        if len(chosen) != 1:
            self.message_user(request, _("Choose exactly one patient."), messages.ERROR)
            return None
        now = timezone.now()
        try:
            code = people.issue_link_code(
                patient=chosen[0], purpose=purpose, by=cast(User, request.user), now=now
            )
        except people.Refused as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return None
        return TemplateResponse(
            request,
            "admin/accounts/link_code.html",
            {
                **self.admin_site.each_context(request),
                "title": _("One-time code"),
                "patient": chosen[0],
                "purpose": purpose.label,
                "code": f"{code[:5]} {code[5:]}",
                "expires": now + people.CODE_LIVES,
            },
        )
