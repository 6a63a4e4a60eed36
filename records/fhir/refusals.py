"""Why a bundle is not taken, or a resource of one is left out."""

from __future__ import annotations

from django.utils.translation import gettext as _

from records.refusals import RecordRefused


class BundleRefused(RecordRefused):
    """Nothing of the bundle was stored."""


class NotABundle(BundleRefused):
    code = "not_a_bundle"

    def __init__(self) -> None:
        super().__init__(
            _("This is no FHIR bundle: its resourceType is not “Bundle”. Choose another file.")
        )


class NotR4(BundleRefused):
    """``problems`` are places and what is wrong there, never the values."""

    code = "not_r4"

    def __init__(self, problems: list[str], count: int) -> None:
        super().__init__(
            _("This bundle is not valid FHIR R4 (%(count)d problems): %(problems)s. Ask its sender "
              "for a corrected one.") % {"count": count, "problems": "; ".join(problems)}
        )  # fmt: skip


class NoOnePatient(BundleRefused):
    code = "no_one_patient"

    def __init__(self, count: int) -> None:
        super().__init__(
            _("A bundle has to be about one patient; this one has %(count)d.") % {"count": count}
        )


class OtherPatient(BundleRefused):
    code = "other_patient"

    def __init__(self) -> None:
        super().__init__(
            _("This bundle is about somebody else: name and date of birth have to be those of the "
              "chart. Choose the right patient, or correct the chart first.")
        )  # fmt: skip


class BrokenReference(BundleRefused):
    code = "broken_reference"

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            _("%(where)s refers to something that is not in the bundle (%(what)s). Ask its sender "
              "for a complete one.") % {"where": where, "what": what}
        )  # fmt: skip


class TwiceInBundle(BundleRefused):
    code = "twice"

    def __init__(self, what: str) -> None:
        super().__init__(_("%(what)s is in the bundle twice.") % {"what": what})


class LeftOut(Exception):
    """A resource that is not taken; ``reason`` says why, and the report counts it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
