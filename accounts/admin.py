"""The admin's door, what all its lists share, and accounts and the trail for administrators.

Charts are listed by `appointments.admin`, which knows whose they are.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts import staffing
from accounts.fields import refuse_unwritable
from accounts.models import AuditEvent, Patient, User

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

COUNTED_TO = 5_000  # rows of a list: whoever wants one beyond them searches or filters


class CappedPaginator(Paginator):
    """Numbers the first `COUNTED_TO` rows by reading their keys once, in order.

    So no list reads a whole table to count it, and only keys are sorted: whole rows, with what is
    joined to them, are read of one page.
    """

    @cached_property
    def _keys(self) -> list[Any]:
        rows: Any = self.object_list
        return list(rows.values_list("pk", flat=True)[:COUNTED_TO])

    @cached_property
    def count(self) -> int:
        return len(self._keys)

    def page(self, number: Any) -> Page:
        rows: Any = self.object_list
        first = (self.validate_number(number) - 1) * self.per_page
        keys = self._keys[first : first + self.per_page]
        return Page(rows.filter(pk__in=keys), int(number), self)


class ListedFilters:
    """A list with a plain title, filtered by what ``list_filter`` names and by nothing else.

    Django lets an address filter by every field of the model, also by one that no page shows:
    ``?password__startswith=`` and ``?reason__contains=`` would read them letter by letter.
    """

    show_facets = admin.ShowFacets.NEVER  # each count reads the whole table

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        title = capfirst(self.opts.verbose_name_plural)  # type: ignore[attr-defined]
        context = {"title": title} | (extra_context or {})
        return super().changelist_view(request, context)  # type: ignore[misc]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        shown: set[str] = set()
        for entry in self.get_list_filter(request):  # type: ignore[attr-defined]
            if isinstance(entry, str):
                shown.add(entry)
            elif isinstance(entry, tuple | list):  # the field and the filter's class
                shown.add(entry[0])
            elif entry.parameter_name == lookup:
                return True
        return lookup.partition("__")[0] in shown


class LargeList(ListedFilters):
    """For tables that grow for years: nothing is counted to its end."""

    show_full_result_count = False
    paginator: Any = CappedPaginator
    list_per_page = 50
    list_max_show_all = 50
    actions: Any = None


class UnnamedSearch(ChangeList):
    """What is searched for is in no address: not in links, histories or logs of servers."""

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        return str(super().get_query_string(new_params, [*(remove or []), SEARCH_VAR]))


class SearchedByForm:
    """A list of people. A search is sent as a form, because names, birth dates and e-mail addresses
    belong into no address; one in an address is no search."""

    change_list_template: Any = "admin/searched_by_form.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return UnnamedSearch

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        searched = ""
        asked = request.GET.copy()
        asked.pop(SEARCH_VAR, None)
        if request.method == "POST":
            searched = request.POST.get(SEARCH_VAR, "").strip()
            asked.setlist(SEARCH_VAR, [searched])
            request.method = "GET"  # for Django's own view, which knows a search by its address
        request.GET = asked  # type: ignore[assignment]
        answer: Any = super().changelist_view(request, extra_context)  # type: ignore[misc]
        if searched and hasattr(answer, "context_data"):
            found = answer.context_data["cl"].result_count
            self.note_search(request, min(found, self.list_per_page))  # type: ignore[attr-defined]
        page: HttpResponse = answer
        return page

    def note_search(self, request: HttpRequest, shown: int) -> None:
        """Called after a search that showed so many rows."""


class ShownOnly:
    """Rows are looked at by who may view them (`accounts.roles`); nobody changes any here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ColleagueForm(forms.ModelForm):
    """A new account of the office."""

    role = forms.ChoiceField(
        label=gettext_lazy("role"),
        choices=[(role.value, role.label) for role in staffing.OFFICE_ROLES],
    )

    class Meta:
        model = User
        fields = ["email", "name", "role"]

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).lower()
        refuse_unwritable(email)
        return email


class AccountForm(forms.ModelForm):
    """Role and access of an account; ``by`` is set by the admin for the request."""

    by: User

    class Meta:
        model = User
        fields = ["role", "is_active"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.changed_data and "role" in data:
            # The form has put the new values into the instance; the rule asks about the old ones.
            stored = User.objects.get(pk=self.instance.pk)
            try:
                staffing.refuse_change(user=stored, role=data["role"], by=self.by)
            except staffing.NotStaffed as refusal:
                raise ValidationError(refusal.message, code=refusal.code) from refusal
        return data


@admin.register(User)
class UserAdmin(SearchedByForm, LargeList, admin.ModelAdmin):
    """Never the password: a hash on a page is a hash in a screenshot."""

    list_display = ["email", "name", "role", "is_active", "date_joined"]
    list_filter = ["role", "is_active"]
    search_fields = ["email", "name"]
    ordering = ["email"]
    readonly_fields = ["email", "name", "phone", "date_joined", "second_factor"]

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return ["email", "name", "role"]
        return ["email", "name", "phone", "role", "is_active", "date_joined", "second_factor"]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        return list(self.readonly_fields) if obj else []

    def get_form(
        self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["form"] = AccountForm if obj else ColleagueForm
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.by = request.user
        return form

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=gettext_lazy("second factor"))
    def second_factor(self, user: User) -> str:
        return format_html(
            '<a href="{}">{}</a>',
            reverse("second_factor_reset", args=[user.public_id]),
            _("Reset it, after checking who asks"),
        )

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        by, now = cast(User, request.user), timezone.now()
        if change:
            if form.changed_data:
                staffing.change_colleague(
                    user=obj, role=obj.role, is_active=obj.is_active, by=by, now=now
                )
            return
        made = staffing.add_colleague(email=obj.email, name=obj.name, role=obj.role, by=by, now=now)
        obj.pk, obj.public_id = made.pk, made.public_id


@admin.register(AuditEvent)
class AuditEventAdmin(ShownOnly, LargeList, admin.ModelAdmin):
    """Who did what, when and from where. Whose data it was is said by the chart's random id:
    administrators know no patients. It is searched by an account's address or a chart's id."""

    list_display = ["at_utc", "actor", "action", "object_type", "chart", "detail", "address"]
    list_select_related = ["patient"]
    fields = (
        "at_utc", "actor", "action", "object_type", "object_id", "chart", "number", "detail",
        "address", "request_id", "hash",
    )  # fmt: skip
    readonly_fields = fields
    search_fields = ["actor"]  # shows the field; `get_search_results` says how it is searched
    search_help_text = gettext_lazy("An account’s e-mail address, or the id of a chart")
    ordering = ["-pk"]
    sortable_by = ()

    @admin.display(description=gettext_lazy("at (UTC)"))
    def at_utc(self, event: AuditEvent) -> str:
        return f"{event.at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description=gettext_lazy("chart"))
    def chart(self, event: AuditEvent) -> str:
        return str(event.patient.public_id) if event.patient else ""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        term = search_term.strip().lower()
        if not term:
            return queryset, False
        try:
            chart = Patient.objects.filter(public_id=uuid.UUID(term)).values_list("pk", flat=True)
        except ValueError:
            who = User.objects.filter(email=term).values_list("pk", flat=True)
            return queryset.filter(actor_id__in=list(who)), False
        return queryset.filter(patient__in=list(chart)), False
