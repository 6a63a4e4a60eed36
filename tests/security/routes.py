"""A row for every address of the site: what each role gets, and whose form changes something.

Statuses stand in the order of ROLES: anonymous, alice (the patient), bob (cares for her), charlie
(a stranger), doctor (of the visit), other (a doctor of somebody else), reception, administrator.
One status alone is everybody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from tests.accounts.helpers import signup_facts
from tests.appointments.desk import iso
from tests.cast import ALICE, PASSWORD
from tests.security.routes_charts import CHARTS
from tests.security.routes_desk import DESK_ROWS
from tests.security.routes_factors import FACTORS
from tests.security.routes_waitlist import WAITLIST_ROWS
from tests.security.routes_workplace import WORKPLACE
from tests.security.row import NOBODY, Row
from tests.security.world import LATER, World, photo

SIGNED_IN = "302 200 200 200 200 200 200 200"
OWN_VISIT = "302 200 200 404 404 404 404 404"
# That they tried is written into the patient's trail.
STRANGERS = "charlie other reception administrator"


def all_routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[str]:
    """Every address pattern of the site, the admin's and allauth's included."""
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            yield from all_routes(pattern, prefix + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            yield prefix + str(pattern.pattern)


def visit(part: str) -> Callable[[World], str]:
    return lambda world: f"/appointments/{world.visit.public_id}/{part}"


PERSON = {
    "name": "Mia Moreau",
    "birth_date_month": "5",
    "birth_date_day": "4",
    "birth_date_year": "2019",
    "relation": "child",
}
PROFILE = {"name": "Someone Else", "phone": "", "time_zone": "", "language": "en"}
EVERYBODY_IN = "alice bob charlie doctor other reception administrator"


def _booking(world: World) -> dict[str, Any]:
    # For Alice, whoever sends it.
    alice = str(world.users["alice"].chart.public_id)
    return world.desk.form(at=iso(LATER), key="a-new-key", patient=alice, clash="both")


PUBLIC = [
    Row("livez", "200"),
    Row("readyz", "200"),
    Row("", "200"),
    Row("doctors/", "200"),
    Row("doctors/<slug:slug>/", "200", address=lambda w: f"/doctors/{w.desk.doctor.slug}/"),
    Row("hospitals/", "200"),
    Row("hospitals/<slug:slug>/", "200", address=lambda w: f"/hospitals/{w.desk.hospital.slug}/"),
    Row("privacy/", "200"),
    Row("terms/", "200"),
]

BOOKING = [
    Row(
        "doctors/<slug:slug>/book/",
        "200",
        # Nobody books for Alice but Alice and who cares for her.
        "302 302 302 404 404 404 404 404",
        address=lambda w: w.desk.page(LATER),
        form=_booking,
        changes="alice bob",
    ),
    Row("appointments/", SIGNED_IN),
    Row(
        "appointments/calendar/",
        SIGNED_IN,
        "302",
        changes=EVERYBODY_IN,  # each makes an address of the own calendar
    ),
    Row(
        "appointments/<uuid:public_id>/",
        "302 200 200 404 200 404 404 404",
        address=visit(""),
        unknown=f"/appointments/{NOBODY}/",
        audited=f"doctor {STRANGERS}",
    ),
    Row(
        "appointments/<uuid:public_id>/move/",
        OWN_VISIT,
        "302 302 302 404 404 404 404 404",
        address=visit("move/"),
        form={"at": iso(LATER), "key": "k"},
        changes="alice bob",
        audited=f"doctor {STRANGERS}",
        unknown=f"/appointments/{NOBODY}/move/",
    ),
    Row(
        "appointments/<uuid:public_id>/cancel/",
        OWN_VISIT,
        "302 302 302 404 404 404 404 404",
        address=visit("cancel/"),
        form={"reason": "x"},
        changes="alice bob",
        audited=f"doctor {STRANGERS}",
        unknown=f"/appointments/{NOBODY}/cancel/",
    ),
    Row(
        "appointments/<uuid:public_id>/calendar.ics",
        "302 200 200 404 200 404 404 404",
        address=visit("calendar.ics"),
        unknown=f"/appointments/{NOBODY}/calendar.ics",
        audited=f"doctor {STRANGERS}",
    ),
    # Whoever knows the secret reads it; what it says is SECURITY 21.
    Row("calendar/<str:secret>.ics", "200", address=lambda w: f"/calendar/{w.feed.secret}.ics"),
]

# Alice, Bob and the doctor take part; that somebody else tried is written into Alice's trail.
TALK = "302 200 200 404 200 404 404 404"
IN_TALK = "302 302 302 404 302 404 404 404"
NO_PAGE = "405"
TRIED = "charlie other reception administrator"
# With reception: of the clinic's side only reception does, so no doctor.
DESK_TALK = "302 200 200 404 404 404 200 404"
TRIED_AT_DESK = "charlie doctor other administrator"


def talk(part: str, *, get: str = TALK, post: str = "405", **more: Any) -> Row:
    if get != NO_PAGE:
        more.setdefault("audited", TRIED)
    return Row(
        f"messages/<uuid:public_id>/{part}",
        get,
        post,
        address=lambda w: f"/messages/{w.talk.public_id}/{part}",
        unknown=f"/messages/{NOBODY}/{part}",
        **more,
    )


def desk_talk(
    part: str, which: str, *, get: str = DESK_TALK, post: str = "405", **more: Any
) -> Row:
    """``which``: the name of the conversation in `World`."""
    if get != NO_PAGE:
        more.setdefault("audited", TRIED_AT_DESK)
    return Row(
        f"messages/<uuid:public_id>/{part}",
        get,
        post,
        address=lambda w: f"/messages/{getattr(w, which).public_id}/{part}",
        case=which,
        **more,
    )


def words(**more: Any) -> dict[str, Any]:
    return {"client_id": "01890000-0000-7000-8000-0000000000aa", "body": "Hello", **more}


MESSAGES = [
    Row("messages/", SIGNED_IN),
    Row(
        "messages/new/",
        SIGNED_IN,
        "302 302 302 404 404 404 302 404",
        # With reception, about Alice's visit.
        form=lambda w: {"hospital": w.desk.hospital.slug, "appointment": w.visit.public_id},
        changes="alice bob reception",
    ),
    Row("messages/waiting/", "302 404 404 404 404 404 200 404"),
    Row(
        "messages/settings/",
        "302 404 404 404 200 200 404 404",
        "302 404 404 404 302 302 404 404",
        form={"show_seen": "on"},
        changes="doctor other",
    ),
    Row("messages/unread", SIGNED_IN),
    Row("messages/heads", SIGNED_IN),
    Row(
        "messages/attachments/<uuid:public_id>/",
        TALK,
        address=lambda w: f"/messages/attachments/{w.picture.public_id}/",
        unknown=f"/messages/attachments/{NOBODY}/",
        audited=f"bob doctor {TRIED}",
    ),
    talk("", post=IN_TALK, form=words(), changes="alice bob doctor"),
    talk("attachments/", post="302 201 201 404 201 404 404 404",
         form=lambda w: {"file": photo()}, changes="alice bob doctor"),
    talk("events"),
    talk("transcript/", audited=f"doctor {TRIED}"),
    # Only who wrote a message changes it.
    talk("edit/", get=NO_PAGE, post="302 302 403 404 403 404 404 404", form=words(target="1"),
         changes="alice"),
    talk("delete/", get=NO_PAGE, post="302 302 403 404 403 404 404 404", form=words(target="1"),
         changes="alice"),
    talk("marks/", get=NO_PAGE, post=IN_TALK, form={"read": "2", "delivered": "2"},
         changes="alice bob doctor"),
    talk("close/", get=NO_PAGE, post="302 403 403 404 302 404 404 404", changes="doctor"),
    talk("reopen/", get=NO_PAGE, post=IN_TALK),
    talk("colleagues/", get=NO_PAGE, post="302 403 403 404 302 404 404 404",
         form=lambda w: {"action": "add", "doctor": w.other_desk.doctor.slug}, changes="doctor"),
    desk_talk("", "desk_talk", post="302 302 302 404 404 404 302 404", form=words(),
              changes="alice bob reception"),
    desk_talk("events", "desk_talk"),
    desk_talk("transcript/", "desk_talk", audited=f"reception {TRIED_AT_DESK}"),
    desk_talk("close/", "desk_talk", get=NO_PAGE, post="302 403 403 404 404 404 302 404",
              changes="reception"),
    # A closed conversation is read, and written in again once somebody starts it anew. Reception
    # starts none with whom the hospital never saw, as Alice at the other one.
    desk_talk("", "ended_talk", post="302 409 409 404 404 404 409 404", form=words()),
    desk_talk("attachments/", "ended_talk", post="302 409 409 404 404 404 409 404",
              form=lambda w: {"file": photo()}),
    desk_talk("reopen/", "ended_talk", get=NO_PAGE, post="302 302 302 404 404 404 403 404",
              changes="alice bob"),
]  # fmt: skip

ACCOUNTS = [
    Row("accounts/signup/doctor/", "200 302 302 302 302 302 302 302",
        "422 302 302 302 302 302 302 302"),
    Row("accounts/doctor/", "302 404 404 404 200 200 404 404"),
    Row("accounts/login/", "200 302 302 302 302 302 302 302", "302",
        form={"login": ALICE, "password": PASSWORD}, changes="anonymous"),
    Row("accounts/signup/", "200 302 302 302 302 302 302 302", "302",
        form=signup_facts(), changes="anonymous"),
    Row("accounts/confirm-email/", "302", "302"),
    Row("accounts/password/change/", SIGNED_IN, "302 302 302 302 302 302 302 302",
        form={"oldpassword": PASSWORD, "password1": "another long password of mine"},
        changes=EVERYBODY_IN),
    Row("accounts/password/reset/", "200 200 200 200 200 200 200 200", "302",
        form={"email": ALICE}, changes=f"anonymous {EVERYBODY_IN}"),
    Row("accounts/password/reset/confirm/", "302", "302"),
    Row("accounts/password/reset/complete/", "302", "302"),
    Row("accounts/password/reset/done/", "200"),
    Row("accounts/password/set/", "302", "302"),
    Row("accounts/email/", SIGNED_IN, "302",
        form={"action_add": "", "email": "new@example.org"}),
    Row("accounts/reauthenticate/", SIGNED_IN, "302", form={"password": PASSWORD}),
    Row("accounts/login/code/confirm/", "302", "302"),
    Row("accounts/logout/", "302 200 200 200 200 200 200 200", "302", changes=EVERYBODY_IN),
    Row("accounts/inactive/", "200"),
    Row("accounts/profile/", SIGNED_IN, "302", form=PROFILE, changes=EVERYBODY_IN),
    Row("accounts/people/", SIGNED_IN),
    Row("accounts/people/add/", SIGNED_IN, "302", form=PERSON, changes=EVERYBODY_IN),
    Row("accounts/people/<uuid:public_id>/end/", "302 404 200 404 404 404 404 404",
        "302 404 302 404 404 404 404 404",
        address=lambda w: f"/accounts/people/{w.users['alice'].chart.public_id}/end/",
        unknown=f"/accounts/people/{NOBODY}/end/", changes="bob"),
    Row("accounts/people/link/", SIGNED_IN, "302 422 422 422 422 422 422 422",
        form={"code": "ACDEFGHJKM"}),
    Row("accounts/terms/accept/", "302", "302", form={"accept": "on"}),
]  # fmt: skip

ALL = [
    *PUBLIC, *BOOKING, *MESSAGES, *ACCOUNTS, *FACTORS, *CHARTS, *WORKPLACE, *DESK_ROWS,
    *WAITLIST_ROWS,
]  # fmt: skip
ROWS = {row.name: row for row in ALL}
ROUTES = {row.route for row in ALL}
