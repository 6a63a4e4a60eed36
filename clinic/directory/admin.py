"""The directory in the admin: thin forms over the rules of `approval` and `hours`.

Who may do what is said by `accounts.roles`; which rows that reaches is decided here, in
`get_queryset`: a doctor has the own page, reception the own hospitals and the doctors there. Hours
and closed days have pages of their own, which ask about the visits that a change would hit.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.admin import ListedFilters
from accounts.audit import record
from accounts.models import User
from accounts.roles import Role
from clinic.directory.approval import WHAT_MAX, approve, change_account, withdraw
from clinic.directory.hours import bump_hospital, check_service
from clinic.directory.models import (
    Doctor,
    DoctorLanguage,
    Hospital,
    HospitalStaff,
    OpeningHours,
    Schedule,
    Service,
    Specialty,
    bump_schedules,
    hospital_search_text,
)
from clinic.directory.slugs import free_slug
from clinic.directory.staff import hospitals_of
from clinic.directory.text import fold

DIRECTORY_KEEPERS = frozenset({Role.DIRECTORY, Role.ADMINISTRATOR})


def role_of(request: HttpRequest) -> str:
    return getattr(request.user, "role", "")


def save_typed(obj: Any, form: forms.ModelForm, *further: str) -> None:
    """Stores what the form shows and ``further`` fields. The rest of the row was read before the
    form was typed: saved whole, it would take back an approval that was withdrawn meanwhile."""
    typed = {field.name for field in obj._meta.concrete_fields} & set(form.cleaned_data)
    obj.save(update_fields=[*typed, *further])


class StaffInline(admin.StackedInline):
    """Who answers the messages of this hospital. It lets people read what patients write, so only
    administrators decide it."""

    model = HospitalStaff
    extra = 0

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "user":
            # As a plain choice: accounts are made and changed on pages of their own.
            reception = User.objects.filter(role=Role.RECEPTION, is_active=True)
            return db_field.formfield(queryset=reception.order_by("name", "email"), **kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "user":
            for what in ("add", "change", "view", "delete"):
                setattr(field.widget, f"can_{what}_related", False)
        return field


@admin.register(Hospital)
class HospitalAdmin(ListedFilters, admin.ModelAdmin):
    list_display = [
        "name", "city", "state", "time_zone", "time_zone_confirmed", "is_listed", "is_sample",
    ]  # fmt: skip
    list_filter = ["time_zone_confirmed", "is_listed", "emergency_care", "is_sample", "state"]
    search_fields = ["search_text", "cms_id"]
    readonly_fields = ["slug", "cms_id", "rating", "is_sample", "closed_days"]
    inlines = [StaffInline]
    ordering = ["state", "city", "name"]
    actions = ["confirm_time_zone"]
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Hospital]:
        if role_of(request) in DIRECTORY_KEEPERS:
            return Hospital.objects.all()
        return hospitals_of(request.user)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Reception keeps how its hospital is reached. What decides about visits is asked about on
        pages of their own, and what decides about the zone is the directory's."""
        fixed = list(self.readonly_fields)
        if role_of(request) not in DIRECTORY_KEEPERS:
            fixed += [
                "name", "kind", "ownership", "city", "state", "county", "latitude", "longitude",
                "time_zone", "time_zone_confirmed", "emergency_care", "keeps_public_holidays",
                "is_listed",
            ]  # fmt: skip
        return fixed

    def has_confirm_permission(self, request: HttpRequest) -> bool:
        return role_of(request) in DIRECTORY_KEEPERS and self.has_change_permission(request)

    @admin.display(description=_("closed days"))
    def closed_days(self, hospital: Hospital) -> str:
        if not hospital.slug:
            return ""
        return format_html(
            '<a href="{}">{}</a>', reverse("hospital_days", args=[hospital.slug]), _("Change them")
        )

    @admin.action(description=_("Confirm the time zone shown"), permissions=["confirm"])
    def confirm_time_zone(self, request: HttpRequest, queryset: QuerySet[Hospital]) -> None:
        known = list(queryset.exclude(time_zone=""))
        confirmed = Hospital.objects.filter(pk__in=[each.pk for each in known]).update(
            time_zone_confirmed=True
        )
        for hospital in known:
            record("hospital.zone_confirmed", actor=request.user, subject=hospital)
        self.message_user(
            request,
            ngettext(
                "%(count)d time zone was confirmed.", "%(count)d time zones were confirmed.",
                confirmed,
            ) % {"count": confirmed},
        )  # fmt: skip

    def save_model(
        self, request: HttpRequest, obj: Hospital, form: forms.ModelForm, change: bool
    ) -> None:
        obj.search_text = hospital_search_text(obj)
        if change:
            save_typed(obj, form, "search_text")
        else:
            obj.slug = free_slug(Hospital, f"{obj.name} {obj.city}")
            obj.save()
        record("hospital.saved", actor=request.user, subject=obj)

    def save_related(
        self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        for formset in formsets:
            if formset.model is HospitalStaff:
                for post in formset.new_objects:
                    record("post.given", actor=request.user, subject=post.user)
                for post in formset.deleted_objects:
                    record("post.taken", actor=request.user, subject=post.user)
                for former, post in _handed_over(formset):
                    record("post.taken", actor=request.user, subject=former)
                    record("post.given", actor=request.user, subject=post.user)
        bump_hospital(form.instance)


def _handed_over(formset: Any) -> list[tuple[User, HospitalStaff]]:
    """Posts that were somebody else's before, with whose they were."""
    former = {each.instance.pk: each.initial.get("user") for each in formset.initial_forms}
    posts = [post for post, fields in formset.changed_objects if "user" in fields]
    return [(User.objects.get(pk=former[post.pk]), post) for post in posts]


class ServiceForm(forms.ModelForm):
    class Meta:
        model = Service
        fields = [
            "hospital", "name", "minutes", "buffer_minutes", "price_cents", "visit", "bring",
            "position", "is_active",
        ]  # fmt: skip

    def clean(self) -> dict[str, Any] | None:
        data = super().clean()
        if not self.errors:
            self.instance.minutes = self.cleaned_data["minutes"]
            self.instance.buffer_minutes = self.cleaned_data["buffer_minutes"]
            check_service(self.instance)
        return data


class ServiceInline(admin.StackedInline):
    """What a doctor offers. Reception sees and keeps what is offered at its own hospitals; a doctor
    adds services where they work already, since a new place is agreed on with its staff."""

    model = Service
    form = ServiceForm
    raw_id_fields = ["hospital"]
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Service]:
        services: QuerySet[Service] = super().get_queryset(request).select_related("hospital")
        if role_of(request) == Role.RECEPTION:
            services = services.filter(hospital__in=hospitals_of(request.user))
        return services.order_by("position", "pk")

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "hospital" and role_of(request) not in DIRECTORY_KEEPERS:
            kwargs["queryset"] = _places_of(request)
            return db_field.formfield(**kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


def _places_of(request: HttpRequest) -> QuerySet[Hospital]:
    """Hospitals where ``request.user`` may offer services of a doctor."""
    if role_of(request) != Role.DOCTOR:
        return hospitals_of(request.user).order_by("name", "pk")
    own: Any = {"doctor__user": request.user}
    services = Service.objects.filter(**own).values("hospital_id")
    hours = OpeningHours.objects.filter(**own).values("hospital_id")
    return Hospital.objects.filter(Q(pk__in=services) | Q(pk__in=hours)).order_by("name", "pk")


class LanguageInline(admin.StackedInline):
    model = DoctorLanguage
    extra = 0


class DoctorForm(forms.ModelForm):
    def clean_grid_minutes(self) -> int:
        step: int = self.cleaned_data["grid_minutes"]
        if step % 5:
            raise ValidationError(_("Enter a number of minutes that 5 divides."))
        return step

    def clean_user(self) -> User | None:
        user: User | None = self.cleaned_data["user"]
        if user is not None and user.role != Role.DOCTOR:
            raise ValidationError(_("This account is no doctor’s. Doctors sign up themselves."))
        return user

    def clean_npi(self) -> str | None:
        # Empty means unknown, and two unknown numbers are not the same one.
        return self.cleaned_data["npi"] or None


class ApprovalForm(forms.Form):
    what = forms.CharField(label=_("What did you check?"), max_length=WHAT_MAX)


class ApprovalFilter(admin.SimpleListFilter):
    title = _("approval")
    parameter_name = "approval"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("waiting", _("Waiting")),
            ("approved", _("Approved")),
            ("withdrawn", _("Withdrawn")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        doctors: Any = queryset
        if self.value() == "waiting":
            return doctors.waiting_for_approval()
        if self.value() == "approved":
            return doctors.public()
        if self.value() == "withdrawn":
            return doctors.filter(withdrawn_at__isnull=False)
        return queryset


class LacksFilter(admin.SimpleListFilter):
    """Doctors who cannot be booked for want of something."""

    title = _("lacks")
    parameter_name = "lacks"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("services", _("Services")), ("hours", _("Opening hours"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "services":
            services = Service.objects.filter(doctor=OuterRef("pk"), is_active=True)
            return queryset.filter(~Exists(services))
        if self.value() == "hours":
            return queryset.filter(~Exists(OpeningHours.objects.filter(doctor=OuterRef("pk"))))
        return queryset


@admin.register(Doctor)
class DoctorAdmin(ListedFilters, admin.ModelAdmin):
    form = DoctorForm
    list_display = ["display_name", "npi", "verified_at", "withdrawn_at", "accepts_new"]
    list_filter = [ApprovalFilter, LacksFilter, "accepts_new", "is_sample"]
    search_fields = ["search_text", "npi"]
    fields = [
        "name", "credentials", "specialties", "npi", "about", "practicing_since", "accepts_new",
        "grid_minutes", "lead_minutes", "horizon_days", "cancel_hours", "hours", "verified_at",
        "verified_by", "verified_what", "withdrawn_at", "user", "slug", "is_sample",
    ]  # fmt: skip
    readonly_fields = [
        "slug", "verified_at", "verified_by", "verified_what", "withdrawn_at", "is_sample", "hours",
    ]  # fmt: skip
    # Who a doctor is and what was checked about it is the directory's to say.
    of_the_directory = ["name", "credentials", "specialties", "npi", "user"]
    of_the_doctor = [
        "about", "practicing_since", "accepts_new", "grid_minutes", "lead_minutes", "horizon_days",
        "cancel_hours",
    ]  # fmt: skip
    raw_id_fields = ["user"]
    inlines = [LanguageInline, ServiceInline]
    ordering = ["search_text"]
    actions = ["approve_doctors", "withdraw_doctors"]
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Doctor]:
        doctors = Doctor.objects.all()
        role = role_of(request)
        if role in DIRECTORY_KEEPERS:
            return doctors
        if role == Role.DOCTOR:
            return doctors.filter(user=request.user.pk, withdrawn_at=None)
        here = list(hospitals_of(request.user).values_list("pk", flat=True))
        services = Service.objects.filter(hospital__in=here).values("doctor_id")
        hours = OpeningHours.objects.filter(hospital__in=here).values("doctor_id")
        return doctors.filter(Q(pk__in=services) | Q(pk__in=hours))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fixed = list(self.readonly_fields)
        role = role_of(request)
        if role not in DIRECTORY_KEEPERS:
            fixed += self.of_the_directory
        elif role != Role.ADMINISTRATOR:
            fixed.append("user")  # whose account this is opens records: an administrator's to say
        if role == Role.RECEPTION:
            fixed += self.of_the_doctor
        return fixed

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        kwargs["widget"] = forms.CheckboxSelectMultiple
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_approve_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.has_perm("directory.approve_doctor"))

    @admin.display(description=_("opening hours"))
    def hours(self, doctor: Doctor) -> str:
        if not doctor.slug:
            return ""
        return format_html(
            '<a href="{}">{}</a>', reverse("hours_doctor", args=[doctor.slug]), _("Change them")
        )

    @admin.action(description=_("Approve"), permissions=["approve"])
    def approve_doctors(
        self, request: HttpRequest, queryset: QuerySet[Doctor]
    ) -> HttpResponse | None:
        """Asks first what was checked, on a page of its own."""
        form = ApprovalForm(request.POST if "what" in request.POST else None)
        if form.is_valid():
            doctors = list(queryset)
            for doctor in doctors:
                approve(
                    doctor=doctor,
                    by=request.user,
                    what=form.cleaned_data["what"],
                    now=timezone.now(),
                )
            self.message_user(
                request,
                ngettext(
                    "%(count)d doctor was approved.", "%(count)d doctors were approved.",
                    len(doctors),
                ) % {"count": len(doctors)},
                messages.SUCCESS,
            )  # fmt: skip
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": _("Approve doctors"),
            "doctors": queryset,
            "form": form,
            "opts": self.opts,
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return render(
            request, "directory/admin_approve.html", context, status=422 if form.errors else 200
        )

    @admin.action(description=_("Withdraw from public pages"), permissions=["approve"])
    def withdraw_doctors(self, request: HttpRequest, queryset: QuerySet[Doctor]) -> None:
        for doctor in queryset:
            withdraw(doctor=doctor, by=request.user, now=timezone.now())

    def save_model(
        self, request: HttpRequest, obj: Doctor, form: forms.ModelForm, change: bool
    ) -> None:
        obj.search_text = fold(obj.name)[:200]
        if change:
            save_typed(obj, form, "search_text")
        else:
            obj.slug = free_slug(Doctor, obj.name)
            obj.save()
        Schedule.objects.get_or_create(doctor=obj)
        record("doctor.saved", actor=request.user, subject=obj)
        if "user" in form.changed_data:
            change_account(
                doctor=obj, before=form.initial.get("user"), by=request.user, now=timezone.now()
            )

    def save_related(
        self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        bump_schedules([form.instance.pk])


@admin.register(Specialty)
class SpecialtyAdmin(ListedFilters, admin.ModelAdmin):
    list_display = ["name"]
    search_fields = ["name", "everyday_words"]
    prepopulated_fields = {"slug": ["name"]}
    ordering = ["name"]
