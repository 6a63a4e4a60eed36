"""People: accounts, the charts they may act for, and the trail of who did what to which chart."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import available_timezones

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.languages import SPOKEN_LANGUAGES
from accounts.roles import Role as Role
from accounts.roles import may, may_in_app


def validate_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(
            _("Enter a time zone such as America/New_York."), code="unknown_time_zone"
        )


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        fields |= {"is_staff": True, "is_superuser": True, "role": Role.ADMINISTRATOR}
        return self.create_user(email, password, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser, PermissionsMixin):
    """An account: somebody who signs in. What a person may see follows from charts and roles."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    email = models.EmailField(_("e-mail address"), unique=True)
    name = models.CharField(_("name"), max_length=150, blank=True)
    phone = models.CharField(_("phone number"), max_length=32, blank=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, blank=True, validators=[validate_time_zone]
    )
    language = models.CharField(_("language"), max_length=8, choices=SPOKEN_LANGUAGES, default="en")
    role = models.CharField(_("role"), max_length=16, choices=Role.choices, default=Role.PATIENT)
    is_staff = models.BooleanField(_("may open the admin"), default=False)
    is_active = models.BooleanField(_("may sign in"), default=True)
    date_joined = models.DateTimeField(_("joined"), default=timezone.now, editable=False)
    terms_version = models.CharField(_("accepted terms"), max_length=16, blank=True)
    terms_accepted_at = models.DateTimeField(_("terms accepted"), null=True, blank=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")

    def __str__(self) -> str:
        return self.display_name

    @property
    def display_name(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        return self.display_name

    def get_short_name(self) -> str:
        return self.name.split(" ")[0] if self.name else self.email

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """By role only (`accounts.roles`): being a superuser or in a group gives nothing."""
        return bool(self.is_active and self.is_staff and may(self.role, perm))

    def has_module_perms(self, app_label: str) -> bool:
        return bool(self.is_active and self.is_staff and may_in_app(self.role, app_label))


class PatientQuerySet(models.QuerySet["Patient"]):
    def current(self) -> PatientQuerySet:
        """Charts in use: without those set aside when their owner got an older chart back."""
        return self.filter(replaced_by=None)

    def in_care_of(self, user: Any, now: datetime | None = None) -> PatientQuerySet:
        """Charts ``user`` may book for: the own one, and those with a running `Carer` row."""
        return self._of(user, Carer.objects.running(now or timezone.now()))

    def messages_of(self, user: Any, now: datetime | None = None) -> PatientQuerySet:
        """Charts whose messages ``user`` reads and writes: own, and as a carer with that right."""
        return self._of(user, Carer.objects.running(now or timezone.now()).filter(may_message=True))

    def record_of(self, user: Any, now: datetime | None = None) -> PatientQuerySet:
        """Charts whose record ``user`` may read: the own one, and as a carer with that right."""
        return self._of(user, Carer.objects.reading(now or timezone.now()))

    def _of(self, user: Any, carers: CarerQuerySet) -> PatientQuerySet:
        if not user.is_authenticated or not user.is_active:
            return self.none()
        # Read at once: a subquery beside an OR makes MySQL and MariaDB read every chart there is.
        shared = list(carers.filter(user=user).values_list("patient_id", flat=True))
        return self.filter(Q(account=user) | Q(pk__in=shared))


OF_AGE = 18  # years; in two states of the US one is of age at 19


def of_age_since(today: date) -> date:
    """The latest date of birth of people who are of age on ``today``."""
    try:
        return today.replace(year=today.year - OF_AGE)
    except ValueError:  # February 29
        return today.replace(year=today.year - OF_AGE, day=28)


class Sex(models.TextChoices):
    FEMALE = "female", _("Female")
    MALE = "male", _("Male")
    OTHER = "other", _("Other")
    UNKNOWN = "unknown", _("Prefer not to say")


class Patient(models.Model):
    """A chart: the person that visits and records are about, with or without an account.

    ``audit_head`` and ``audit_count`` are the end of this patient's audit chain. The row is also
    the lock that serializes what must be counted per patient (open bookings, the chain). Save a
    chart with ``update_fields`` only: a stale copy saved whole would set the chain's end back.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    account = models.OneToOneField(
        User,
        verbose_name=_("own account"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="chart",
    )
    name = models.CharField(_("name"), max_length=150)
    birth_date = models.DateField(_("date of birth"), null=True, blank=True)
    sex = models.CharField(_("sex"), max_length=8, choices=Sex.choices, default=Sex.UNKNOWN)
    phone = models.CharField(_("phone number"), max_length=32, blank=True)
    email = models.EmailField(_("e-mail address"), blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    replaced_by = models.ForeignKey(
        "self",
        verbose_name=_("replaced by"),
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="replaces",
    )
    audit_head = models.CharField(max_length=64, blank=True, editable=False)
    audit_count = models.PositiveIntegerField(default=0, editable=False)

    objects = PatientQuerySet.as_manager()

    class Meta:
        verbose_name = _("patient")
        verbose_name_plural = _("patients")
        indexes = [
            # Serves the lists of patients, which are by name.
            models.Index(fields=["name", "birth_date"], name="patients_by_name"),
            # Serves the search for likely duplicates before a new chart is made.
            models.Index(fields=["birth_date", "name"], name="patients_by_birth_date"),
        ]

    def __str__(self) -> str:
        return self.name

    def age(self, today: date) -> int | None:
        """Completed years on ``today``; None when the birth date is not known."""
        born = self.birth_date
        if born is None:
            return None
        return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


class CarerQuerySet(models.QuerySet["Carer"]):
    def running(self, now: datetime) -> CarerQuerySet:
        return self.filter(Q(until=None) | Q(until__gt=now), since__lte=now)

    def reading(self, now: datetime) -> CarerQuerySet:
        """Those who may read the record; nothing else says who they are.

        What a parent or guardian has for a child ends on the day the child is of age.
        """
        grown_up = Q(agreed=Carer.Agreed.MINOR, patient__birth_date__lte=of_age_since(now.date()))
        return self.running(now).filter(~grown_up, may_read_record=True)

    def with_reads(self, now: datetime) -> Any:
        """Each with ``reads``: whether it is one of `reading`."""
        reads = models.Exists(Carer.objects.reading(now).filter(pk=models.OuterRef("pk")))
        return self.annotate(reads=reads)


class Relation(models.TextChoices):
    CHILD = "child", _("My child")
    PARENT = "parent", _("My parent")
    PARTNER = "partner", _("My partner")
    OTHER = "other", _("Somebody else in my care")


class Carer(models.Model):
    """An account that acts for somebody else's chart, for as long as the row runs.

    Each carer may book, move and cancel visits. Messages and the record are rights of their own,
    which the patient can take back; an adult's record is shared only after the adult agreed.
    """

    class Agreed(models.TextChoices):
        """Who agreed that the record is shared, and how we know."""

        NOT_ASKED = "", _("Not yet")
        MINOR = "minor", _("Parent or guardian of a child")
        ACCOUNT = "account", _("The patient, signed in")
        RECEPTION = "reception", _("The patient, at reception")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="cares_for")
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="carers")
    relation = models.CharField(
        _("relation"), max_length=8, choices=Relation.choices, default=Relation.OTHER
    )
    since = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(null=True, blank=True)
    may_message = models.BooleanField(_("may read and write messages"), default=True)
    may_read_record = models.BooleanField(_("may read the record"), default=False)
    agreed = models.CharField(max_length=10, choices=Agreed.choices, blank=True)
    agreed_at = models.DateTimeField(null=True, blank=True)

    objects = CarerQuerySet.as_manager()

    class Meta:
        verbose_name = _("carer")
        verbose_name_plural = _("carers")
        constraints = [
            models.UniqueConstraint(fields=["user", "patient"], name="one_carer_row_per_chart"),
            models.CheckConstraint(
                condition=Q(may_read_record=False) | Q(agreed_at__isnull=False),
                name="shared_records_were_agreed_to",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} → {self.patient}"


class LinkCode(models.Model):
    """A one-time code that reception gives so that an account is joined to an existing chart.

    Only a keyed hash of the code is kept. ``purpose`` says whether the account's owner *is* the
    patient or cares for the patient.
    """

    class Purpose(models.TextChoices):
        SELF = "self", _("The patient's own account")
        CARER = "carer", _("The account of a carer")

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="link_codes")
    purpose = models.CharField(max_length=8, choices=Purpose.choices, default=Purpose.SELF)
    code_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    used_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    def __str__(self) -> str:
        return f"{self.get_purpose_display()} · {self.created_at:%Y-%m-%d}"


class AuditEvent(models.Model):
    """One line of the append-only trail: who did what, to whose data, from where.

    Rows of one patient form a chain: ``hash`` covers the row and ``previous_hash``. Nothing here is
    ever updated or deleted, so references are plain values, not foreign keys that could cascade.
    """

    at = models.DateTimeField()
    actor_id = models.BigIntegerField(null=True)
    actor = models.CharField(max_length=254, blank=True)  # the e-mail address at that time
    patient = models.ForeignKey(
        Patient, null=True, on_delete=models.PROTECT, related_name="audit_events"
    )
    number = models.PositiveIntegerField(default=0)  # 1, 2, 3 … per patient
    action = models.CharField(max_length=32)
    object_type = models.CharField(max_length=32, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    detail = models.CharField(max_length=200, blank=True)  # never health data
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    class Meta:
        constraints = [
            # Serves "who opened my record", and two rows can never follow the same one.
            models.UniqueConstraint(fields=["patient", "number"], name="audit_chain_has_no_fork"),
        ]
        indexes = [models.Index(fields=["actor_id", "at"], name="audit_by_actor")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.action}"


class AuditAnchor(models.Model):
    """What the whole trail looked like on a day: a hash over the hashes of the rows since the
    anchor before. It also holds rows of no patient, which are in no chain, and the ends of chains
    that somebody could cut off. Written once a day, never changed or deleted.
    """

    at = models.DateTimeField()
    first_id = models.BigIntegerField()  # of the rows covered, both included
    last_id = models.BigIntegerField(unique=True)
    count = models.PositiveIntegerField()  # of rows
    previous_digest = models.CharField(max_length=64, blank=True, unique=True)  # no fork
    digest = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d} {self.first_id}–{self.last_id}"


class SignIn(models.Model):
    """One place where somebody is signed in. The session holds ``public_id``; without the row a
    session is over, whatever a cache still says.

    ``seen_at`` is the last thing the person did themselves, stored at most once a minute
    (`accounts.sessions`); ``role`` is what the account was when it signed in.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins")
    role = models.CharField(max_length=16)
    was_staff = models.BooleanField(default=False)
    since = models.DateTimeField()
    seen_at = models.DateTimeField()
    address = models.GenericIPAddressField(null=True)
    device = models.CharField(max_length=60, blank=True)  # "Firefox, Windows"

    class Meta:
        indexes = [
            # Serves removing those that nobody will use again.
            models.Index(fields=["seen_at"], name="sign_ins_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.since:%Y-%m-%d %H:%M}"
