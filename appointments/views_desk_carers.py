"""Who acts for a patient, as reception notes it for somebody in front of them."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import carers as rules
from accounts.models import Relation, Role
from accounts.people import Refused
from appointments.desk_pages import patient_or_404, staff_or_404

# The relations as the patient's side says them; an account's own list says "My child".
RELATIONS = {
    Relation.CHILD: gettext_lazy("Parent or guardian"),
    Relation.PARENT: gettext_lazy("Son or daughter"),
    Relation.PARTNER: gettext_lazy("Partner"),
    Relation.OTHER: gettext_lazy("Somebody else"),
}


def desk_carer(request: HttpRequest, public_id: uuid.UUID, user_id: uuid.UUID) -> HttpResponse:
    """Stores who a carer is and whether the record is shared, or ends it (``action=end``)."""
    user, now = staff_or_404(request, Role.RECEPTION), timezone.now()
    patient = patient_or_404(user, public_id)
    carer = rules.carers_of(patient, now).filter(user__public_id=user_id).first()
    relation = request.POST.get("relation", "")
    ends = request.POST.get("action") == "end"
    if carer is None or not (ends or relation in Relation.values):
        raise Http404
    name = {"name": carer.user.display_name}
    try:
        if ends:
            rules.end_carer(carer=carer, by=user, now=now)
            messages.success(request, _("%(name)s no longer acts for the patient.") % name)
        else:
            rules.share_at_reception(
                carer=carer,
                relation=relation,
                may_read_record="may_read_record" in request.POST,
                by=user,
                now=now,
            )
            messages.success(request, _("What %(name)s may do is stored.") % name)
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("desk_patient", public_id=public_id)


def relations() -> list[tuple[str, Any]]:
    return [(str(value), words) for value, words in RELATIONS.items()]
