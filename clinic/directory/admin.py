"""The directory in the admin: thin forms over the rules of `approval` and `hours`."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.audit import record
from accounts.models import Role, User
from clinic.directory.approval import WHAT_MAX, approve, withdraw
from clinic.directory.hours import (
    bump_hospital,
    check_no_overlap,
    check_service,
    check_span,
    check_zone,
)
from clinic.directory.models import (
    Doctor,
    DoctorLanguage,
    Hospital,
    HospitalDay,
    HospitalStaff,
    OpeningHours,
    Schedule,
    Service,
    Specialty,
    TimeOff,
    bump_schedules,
    hospital_search_text,
)
from clinic.directory.slugs import free_slug
from clinic.directory.text import fold


class HospitalDayInline(admin.TabularInline):
    model = HospitalDay
    extra = 0


class StaffInline(admin.TabularInline):
    """Who answers the messages of this hospital. It lets people read what patients write, so only
    administrators decide it."""

    model = HospitalStaff
    extra = 0

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "user":
            kwargs["queryset"] = User.objects.filter(role=Role.RECEPTION, is_active=True)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def _may(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.is_active and user.is_staff and user.role == Role.ADMINISTRATOR)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)


@admin.register(Hospital)
class HospitalAdmin(admin.ModelAdmin):
    list_display = [
        "name", "city", "state", "time_zone", "time_zone_confirmed", "is_listed", "is_sample",
    ]  # fmt: skip
    list_filter = ["time_zone_confirmed", "is_listed", "emergency_care", "is_sample", "state"]
    search_fields = ["search_text", "cms_id"]
    readonly_fields = ["slug", "cms_id", "rating", "is_sample"]
    inlines = [HospitalDayInline, StaffInline]
    ordering = ["state", "city", "name"]
    actions = ["confirm_time_zone"]

    @admin.action(description=_("Confirm the time zone shown"), permissions=["change"])
    def confirm_time_zone(self, request: HttpRequest, queryset: QuerySet[Hospital]) -> None:
        known = queryset.exclude(time_zone="")
        confirmed = known.update(time_zone_confirmed=True)
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
        if not obj.slug:
            obj.slug = free_slug(Hospital, f"{obj.name} {obj.city}")
        super().save_model(request, obj, form, change)
        record("hospital.saved", actor=request.user, subject=obj)

    def save_related(
        self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        bump_hospital(form.instance)


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


class ServiceInline(admin.TabularInline):
    model = Service
    form = ServiceForm
    raw_id_fields = ["hospital"]
    extra = 0


class HoursForm(forms.ModelForm):
    class Meta:
        model = OpeningHours
        fields = ["hospital", "weekday", "opens", "closes", "valid_from", "valid_until"]

    def clean(self) -> dict[str, Any] | None:
        data = super().clean()
        if not self.errors:
            for name in ("weekday", "opens", "closes"):
                setattr(self.instance, name, self.cleaned_data[name])
            check_span(self.instance)
            check_zone(self.cleaned_data["hospital"])
        return data


class HoursFormSet(BaseInlineFormSet):
    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        check_no_overlap(
            [
                form.instance
                for form in self.forms
                if form.cleaned_data and not form.cleaned_data.get("DELETE")
            ]
        )


class HoursInline(admin.TabularInline):
    model = OpeningHours
    form = HoursForm
    formset = HoursFormSet
    raw_id_fields = ["hospital"]
    extra = 0


class TimeOffInline(admin.TabularInline):
    model = TimeOff
    extra = 0


class LanguageInline(admin.TabularInline):
    model = DoctorLanguage
    extra = 0


class DoctorForm(forms.ModelForm):
    def clean_grid_minutes(self) -> int:
        step: int = self.cleaned_data["grid_minutes"]
        if step % 5:
            raise ValidationError(_("Enter a number of minutes that 5 divides."))
        return step

    def clean_npi(self) -> str | None:
        # Empty means unknown, and two unknown numbers are not the same one.
        return self.cleaned_data["npi"] or None


class ApprovalForm(forms.Form):
    what = forms.CharField(label=_("What did you check?"), max_length=WHAT_MAX)


@admin.register(Doctor)
class DoctorAdmin(admin.ModelAdmin):
    form = DoctorForm
    list_display = ["display_name", "npi", "verified_at", "withdrawn_at", "accepts_new"]
    list_filter = [
        ("verified_at", admin.EmptyFieldListFilter),
        ("withdrawn_at", admin.EmptyFieldListFilter),
        "accepts_new",
        "is_sample",
    ]
    search_fields = ["search_text", "npi"]
    readonly_fields = [
        "slug", "verified_at", "verified_by", "verified_what", "withdrawn_at", "is_sample",
    ]  # fmt: skip
    raw_id_fields = ["user"]
    filter_horizontal = ["specialties"]
    inlines = [LanguageInline, ServiceInline, HoursInline, TimeOffInline]
    ordering = ["search_text"]
    actions = ["approve_doctors", "withdraw_doctors"]

    @admin.action(description=_("Approve"), permissions=["change"])
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

    @admin.action(description=_("Withdraw from public pages"), permissions=["change"])
    def withdraw_doctors(self, request: HttpRequest, queryset: QuerySet[Doctor]) -> None:
        for doctor in queryset:
            withdraw(doctor=doctor, by=request.user, now=timezone.now())

    def save_model(
        self, request: HttpRequest, obj: Doctor, form: forms.ModelForm, change: bool
    ) -> None:
        obj.search_text = fold(obj.name)[:200]
        if not obj.slug:
            obj.slug = free_slug(Doctor, obj.name)
        super().save_model(request, obj, form, change)
        Schedule.objects.get_or_create(doctor=obj)
        record("doctor.saved", actor=request.user, subject=obj)

    def save_related(
        self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        bump_schedules([form.instance.pk])


@admin.register(Specialty)
class SpecialtyAdmin(admin.ModelAdmin):
    list_display = ["name"]
    search_fields = ["name", "everyday_words"]
    prepopulated_fields = {"slug": ["name"]}
    ordering = ["name"]
