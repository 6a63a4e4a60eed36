"""Who works where, when, and what can be booked: hospitals, doctors, services, opening hours.

Times of day are wall-clock in the hospital's zone; moments are UTC; periods are half-open.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.ids import readable_code
from accounts.languages import SPOKEN_LANGUAGES
from accounts.models import validate_time_zone
from clinic.directory.text import fold


class HospitalQuerySet(models.QuerySet["Hospital"]):
    def listed(self) -> HospitalQuerySet:
        return self.filter(is_listed=True)


class ReplyTime(models.IntegerChoices):
    """How soon patients who write can expect an answer, in working days."""

    SAME_DAY = 0, _("the same working day")
    ONE = 1, _("one working day")
    TWO = 2, _("two working days")
    THREE = 3, _("three working days")
    FIVE = 5, _("five working days")


class Hospital(models.Model):
    """A place where visits happen: a hospital, clinic or practice, with one IANA time zone."""

    cms_id = models.CharField(
        _("CMS facility ID"), max_length=10, null=True, blank=True, unique=True
    )
    name = models.CharField(_("name"), max_length=200)
    slug = models.SlugField(max_length=120, unique=True)
    kind = models.CharField(_("kind"), max_length=60, blank=True)
    ownership = models.CharField(_("ownership"), max_length=60, blank=True)
    address = models.CharField(_("address"), max_length=200)
    city = models.CharField(_("town"), max_length=80)
    state = models.CharField(_("state"), max_length=2)
    zip_code = models.CharField(_("ZIP code"), max_length=5)
    county = models.CharField(_("county"), max_length=60, blank=True)
    phone = models.CharField(_("phone number"), max_length=32, blank=True)
    latitude = models.FloatField(null=True, blank=True)
    longitude = models.FloatField(null=True, blank=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, blank=True, validators=[validate_time_zone]
    )
    # Derived from coordinates at an import; opening hours are accepted once staff confirmed it.
    time_zone_confirmed = models.BooleanField(_("time zone confirmed"), default=False)
    emergency_care = models.BooleanField(_("emergency care"), default=False)
    rating = models.PositiveSmallIntegerField(_("CMS overall rating"), null=True, blank=True)
    keeps_public_holidays = models.BooleanField(_("closed on public holidays"), default=True)
    # The database's own default, too: during an update the version before still adds hospitals.
    reply_days = models.PositiveSmallIntegerField(
        _("messages are answered within"),
        choices=ReplyTime,
        default=ReplyTime.ONE,
        db_default=ReplyTime.ONE,
        help_text=_("Patients read it beside the box in which they write."),
    )
    is_listed = models.BooleanField(_("shown to the public"), default=True)
    is_sample = models.BooleanField(_("sample data"), default=False)
    search_text = models.CharField(max_length=300, editable=False, blank=True)

    objects = HospitalQuerySet.as_manager()

    class Meta:
        verbose_name = _("hospital")
        verbose_name_plural = _("hospitals")
        indexes = [
            # Serves "hospitals within a distance": a bounding box, then the exact distance.
            models.Index(fields=["latitude", "longitude"], name="hospital_by_position"),
            # Serves the hospitals page, which lists by state and town.
            models.Index(fields=["state", "city", "name"], name="hospital_by_town"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def town(self) -> str:
        return f"{self.city}, {self.state}"

    @property
    def full_address(self) -> str:
        return f"{self.address}, {self.city}, {self.state} {self.zip_code}"


def hospital_search_text(hospital: Hospital) -> str:
    """What the search compares: name and town without accents and case."""
    return fold(f"{hospital.name} {hospital.city} {hospital.state} {hospital.zip_code}")[:300]


class HospitalStaff(models.Model):
    """Somebody of reception who works at this hospital, and so answers its messages."""

    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="staff")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="posts"
    )

    class Meta:
        verbose_name = _("member of reception")
        verbose_name_plural = _("members of reception")
        constraints = [
            models.UniqueConstraint(fields=["hospital", "user"], name="one_post_per_hospital")
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.hospital}"


class HospitalDay(models.Model):
    """A day on which a hospital differs from its rule: closed, or open on a public holiday."""

    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="special_days")
    date = models.DateField(_("date"))
    is_open = models.BooleanField(_("open"), default=False)
    name = models.CharField(_("reason"), max_length=80, blank=True)

    class Meta:
        verbose_name = _("special day")
        verbose_name_plural = _("special days")
        constraints = [
            models.UniqueConstraint(fields=["hospital", "date"], name="one_special_day_per_date")
        ]

    def __str__(self) -> str:
        return f"{self.hospital} {self.date}"


class Specialty(models.Model):
    """A medical specialty, with the everyday words people use for what it treats."""

    name = models.CharField(_("name"), max_length=80, unique=True)
    slug = models.SlugField(max_length=80, unique=True)
    # One per line; staff edit them. "back pain" finds an orthopedic surgeon.
    everyday_words = models.TextField(_("everyday words"), blank=True)

    class Meta:
        verbose_name = _("specialty")
        verbose_name_plural = _("specialties")

    def __str__(self) -> str:
        return self.name


class DoctorQuerySet(models.QuerySet["Doctor"]):
    def public(self) -> DoctorQuerySet:
        """Approved by staff and not withdrawn: the only doctors that visitors may see or book."""
        return self.filter(verified_at__isnull=False, withdrawn_at__isnull=True)

    def waiting_for_approval(self) -> DoctorQuerySet:
        return self.filter(verified_at__isnull=True, withdrawn_at__isnull=True)


class Doctor(models.Model):
    """A clinician who can be found and booked once staff have approved the sign-up."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="doctor",
    )
    name = models.CharField(_("name"), max_length=150)
    slug = models.SlugField(max_length=120, unique=True)
    credentials = models.CharField(_("credentials"), max_length=40, blank=True)
    specialties = models.ManyToManyField(Specialty, related_name="doctors", blank=True)
    npi = models.CharField(_("NPI"), max_length=10, null=True, blank=True, unique=True)
    about = models.TextField(_("about"), blank=True, max_length=2000)
    practicing_since = models.PositiveSmallIntegerField(
        _("in practice since"), null=True, blank=True
    )
    accepts_new = models.BooleanField(_("takes new patients"), default=True)
    verified_at = models.DateTimeField(_("approved"), null=True, blank=True)
    verified_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # What staff looked at, in their own words; shown with date and name of the hospital's staff.
    verified_what = models.CharField(_("what was checked"), max_length=120, blank=True)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)
    grid_minutes = models.PositiveSmallIntegerField(
        _("start a visit every … minutes"),
        default=15,
        validators=[MinValueValidator(5), MaxValueValidator(240)],
    )
    lead_minutes = models.PositiveIntegerField(_("book at least … minutes ahead"), default=60)
    horizon_days = models.PositiveSmallIntegerField(_("book at most … days ahead"), default=90)
    cancel_hours = models.PositiveSmallIntegerField(
        _("cancel free until … hours before"), default=24
    )
    is_sample = models.BooleanField(_("sample data"), default=False)
    search_text = models.CharField(max_length=200, editable=False, blank=True)

    objects = DoctorQuerySet.as_manager()

    class Meta:
        verbose_name = _("doctor")
        verbose_name_plural = _("doctors")
        constraints = [
            models.CheckConstraint(
                condition=Q(grid_minutes__gte=5) & Q(grid_minutes__lte=240), name="grid_in_range"
            ),
        ]

    def __str__(self) -> str:
        return self.display_name

    @property
    def display_name(self) -> str:
        return f"Dr. {self.name}"

    @property
    def is_public(self) -> bool:
        return self.verified_at is not None and self.withdrawn_at is None


class DoctorLanguage(models.Model):
    """A language a doctor speaks with patients (a row, so that the search can use an index)."""

    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="languages")
    code = models.CharField(_("language"), max_length=8, choices=SPOKEN_LANGUAGES)

    class Meta:
        verbose_name = _("language")
        verbose_name_plural = _("languages")
        constraints = [
            models.UniqueConstraint(fields=["doctor", "code"], name="one_row_per_language"),
        ]
        indexes = [models.Index(fields=["code", "doctor"], name="doctors_by_language")]

    def __str__(self) -> str:
        return self.get_code_display()


class Visit(models.TextChoices):
    IN_PERSON = "in_person", _("In person")
    VIDEO = "video", _("Video")


def service_code() -> str:
    return readable_code(10)


class Service(models.Model):
    """Something a doctor offers at one hospital: a length, a buffer after it, a price.

    ``minutes`` and ``buffer_minutes`` are multiples of 5, the grain of all holds.
    """

    code = models.CharField(max_length=12, unique=True, default=service_code, editable=False)
    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="services")
    hospital = models.ForeignKey(Hospital, on_delete=models.PROTECT, related_name="services")
    name = models.CharField(_("name"), max_length=80)
    minutes = models.PositiveSmallIntegerField(_("length in minutes"), default=30)
    buffer_minutes = models.PositiveSmallIntegerField(_("pause after it in minutes"), default=0)
    price_cents = models.PositiveIntegerField(_("price in cents"), null=True, blank=True)
    visit = models.CharField(
        _("visit type"), max_length=10, choices=Visit.choices, default=Visit.IN_PERSON
    )
    bring = models.CharField(_("what to bring"), max_length=200, blank=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    is_active = models.BooleanField(_("can be booked"), default=True)

    class Meta:
        verbose_name = _("service")
        verbose_name_plural = _("services")
        constraints = [
            models.CheckConstraint(
                condition=Q(minutes__gte=5) & Q(minutes__lte=480), name="service_length_in_range"
            ),
            models.CheckConstraint(
                condition=Q(buffer_minutes__lte=240), name="service_buffer_in_range"
            ),
        ]
        indexes = [
            # Serves "doctors at these hospitals who offer video".
            models.Index(
                fields=["hospital", "is_active", "visit", "doctor"], name="services_by_hospital"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class OpeningHours(models.Model):
    """Weekly hours of a doctor at a hospital, wall-clock; ``valid_from <= day < valid_until``.

    ``closes`` 00:00 means midnight at the end of the day.
    """

    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="opening_hours")
    hospital = models.ForeignKey(Hospital, on_delete=models.PROTECT, related_name="opening_hours")
    weekday = models.PositiveSmallIntegerField(
        _("weekday"),
        choices=[
            (0, _("Monday")),
            (1, _("Tuesday")),
            (2, _("Wednesday")),
            (3, _("Thursday")),
            (4, _("Friday")),
            (5, _("Saturday")),
            (6, _("Sunday")),
        ],
    )
    opens = models.TimeField(_("from"))
    closes = models.TimeField(_("until"))
    valid_from = models.DateField(_("valid from"))
    valid_until = models.DateField(_("first day no longer valid"), null=True, blank=True)

    class Meta:
        verbose_name = _("opening hours")
        verbose_name_plural = _("opening hours")
        constraints = [
            models.CheckConstraint(condition=Q(weekday__lte=6), name="weekday_in_range"),
            models.CheckConstraint(
                condition=Q(closes__gt=F("opens")) | Q(closes="00:00"),
                name="hours_close_after_they_open",
            ),
            models.CheckConstraint(
                condition=Q(valid_until=None) | Q(valid_until__gt=F("valid_from")),
                name="hours_valid_for_a_day_at_least",
            ),
        ]
        indexes = [
            # Serves the free times of the doctors on a page.
            models.Index(fields=["doctor", "valid_from"], name="hours_by_doctor"),
        ]

    def __str__(self) -> str:
        return f"{self.get_weekday_display()} {self.opens:%H:%M}–{self.closes:%H:%M}"


class TimeOff(models.Model):
    """A period in which a doctor sees nobody, at any hospital."""

    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="time_off")
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    why = models.CharField(_("note for staff"), max_length=80, blank=True)

    class Meta:
        verbose_name = _("time off")
        verbose_name_plural = _("time off")
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="time_off_ends_after_it_starts"
            )
        ]
        # Serves the free times of the doctors on a page: periods not over at the first day shown.
        indexes = [models.Index(fields=["doctor", "ends_at"], name="time_off_by_doctor")]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M} – {self.ends_at:%Y-%m-%d %H:%M}"


class Schedule(models.Model):
    """A doctor's lock row: whoever changes what is free holds it until the commit.

    ``version`` is bumped by every such change and keys the cache of free times; a column, because
    the caches of other processes cannot be reached.
    """

    doctor = models.OneToOneField(
        Doctor, primary_key=True, on_delete=models.CASCADE, related_name="schedule"
    )
    version = models.PositiveBigIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.doctor_id}: {self.version}"


class ZipCode(models.Model):
    """The centroid of a US ZIP code area, for distances and for a hospital without coordinates."""

    code = models.CharField(max_length=5, primary_key=True)
    latitude = models.FloatField()
    longitude = models.FloatField()

    def __str__(self) -> str:
        return self.code


def bump_schedules(doctors: Any) -> None:
    """Tells every cache of free times that these doctors' times changed.

    ``doctors``: anything ``doctor__in`` takes. Call it inside the transaction of the change.
    """
    Schedule.objects.filter(doctor__in=doctors).update(version=F("version") + 1)


def add_doctor(**fields: Any) -> Doctor:
    """Creates a doctor with the lock row that every booking of the doctor needs."""
    fields.setdefault("search_text", fold(fields["name"])[:200])
    doctor = Doctor.objects.create(**fields)
    Schedule.objects.create(doctor=doctor)
    return doctor
