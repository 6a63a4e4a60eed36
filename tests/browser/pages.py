"""Every page type, each with how to get there. A route without an entry fails the tests.

``PAGES`` has one entry for each way a page can look: `test_pages.py` opens them all.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

from django.urls import URLPattern, URLResolver, get_resolver

from tests.browser import factors, steps
from tests.browser.factors import app_is_set_up
from tests.browser.page_type import Opened, PageType, Visitor, at, sent_empty
from tests.browser.pages_charts import CHART_PAGES, NO_CHART_PAGE
from tests.browser.pages_desk import DESK_PAGES, NO_DESK_PAGE
from tests.browser.pages_waitlist import NO_WAITLIST_PAGE, WAITLIST_PAGES
from tests.browser.people import run, visits
from tests.browser.steps import button, times_of
from tests.site import PASSWORD

# Routes that show no page of their own, and why.
NO_PAGE = {
    "livez": "for probes",
    "readyz": "for probes",
    "appointment_ics": "a file for calendar programs",
    "feed": "a file for calendar programs",
    "attachment": "a file that was sent",
    "conversation_attachments": "JSON for the script",
    "conversation_events": "JSON for the script",
    "messages_unread": "JSON for the script",
    "messages_heads": "JSON for the script",
    "conversation_edit": "takes a form; tests/browser/test_chat.py walks it",
    "conversation_delete": "takes a form; tests/browser/test_chat.py walks it",
    "conversation_marks": "takes a form",
    "conversation_close": "takes a form",
    "conversation_reopen": "takes a form",
    "conversation_colleagues": "takes a form",
    "visit_status": "takes a form; tests/browser/test_workplace.py walks it",
    **NO_CHART_PAGE,
    **NO_DESK_PAGE,
    **NO_WAITLIST_PAGE,
    "session_end": "takes a form; tests/browser/test_second_factor.py walks it",
    "mfa_download_recovery_codes": "a text file",
    "mfa_reauthenticate_webauthn": "the button of passkey-add, asked again",
    "second_factor_reset": "of the admin; tests/browser/test_workplace.py has those",
    "account_set_password": "every account has a password; leads to changing it",
    "account_confirm_login_code": "signing in by code is off; leads to signing in",
}


def hospital(visitor: Visitor) -> Opened:
    (row,) = run(visitor.site, "SELECT slug FROM directory_hospital WHERE is_sample ORDER BY id")[
        :1
    ]
    return visitor.to(f"/hospitals/{row[0]}/")


def signing_in_fails(visitor: Visitor) -> Opened:
    visitor.to("/accounts/login/")
    visitor.page.get_by_label("E-mail address").fill("nobody@example.org")
    visitor.page.get_by_label("Password", exact=True).fill("not the password")
    return visitor.posted("Sign in")


def code_is_asked(visitor: Visitor) -> Opened:
    visitor.to("/accounts/signup/")
    steps.fill_sign_up(
        visitor.page, name="Noa Castell", email=f"page-{uuid.uuid4().hex}@example.org"
    )
    visitor.posted("Create account")
    return visitor.page.reload()


def wrong_code(visitor: Visitor) -> Opened:
    code_is_asked(visitor)
    visitor.page.get_by_label("code").fill("AAAAAA")
    return visitor.posted("Continue")


def reset_code_is_asked(visitor: Visitor) -> Opened:
    person = visitor.people.fresh()
    visitor.to("/accounts/password/reset/")
    visitor.page.get_by_label("E-mail address").fill(person.email)
    button(visitor.page, "Send the code").click()
    visitor.page.wait_for_url("**/reset/confirm/")
    visitor.person = person
    return visitor.page.reload()


def new_password_is_asked(visitor: Visitor) -> Opened:
    reset_code_is_asked(visitor)
    assert visitor.person is not None
    code = steps.mailed_code(visitor.site, visitor.person.email)
    visitor.page.get_by_label("code").fill(code)
    button(visitor.page, "Continue").click()
    visitor.page.wait_for_url("**/reset/complete/")
    return visitor.page.reload()


def address_change(visitor: Visitor) -> Opened:
    visitor.to("/accounts/reauthenticate/?next=/accounts/email/")
    visitor.page.get_by_label("Password", exact=True).fill(PASSWORD)
    visitor.page.get_by_role("main").get_by_role("button").last.click()
    visitor.page.wait_for_url("**/accounts/email/")
    return visitor.page.reload()


def old_terms(visitor: Visitor) -> Opened:
    run(
        visitor.site,
        "UPDATE accounts_user SET terms_version = '2020-01-01' WHERE email = ?",
        visitor.person,
    )
    return visitor.to("/accounts/terms/accept/")


def ending_care(visitor: Visitor) -> Opened:
    visitor.to("/accounts/people/")
    ends = visitor.page.locator("main a[href$='/end/']").first
    return visitor.to(ends.get_attribute("href") or "")


def booking(visitor: Visitor) -> Opened:
    return visitor.to(times_of(visitor.page, "amara-okafor", days=16)[0])


def held(visitor: Visitor) -> Opened:
    visitor.to(times_of(visitor.page, "amara-okafor", days=17)[0])
    button(visitor.page, "Keep this time for 10 minutes").click()
    visitor.page.locator(".hold").wait_for()
    return visitor.page.reload()


def too_long_reason(visitor: Visitor) -> Opened:
    visitor.to(times_of(visitor.page, "amara-okafor", days=16)[0])
    visitor.page.get_by_label("Reason for visit").fill("ache " * 200)
    return visitor.posted("Confirm booking")


def taken(visitor: Visitor) -> Opened:
    """The booking page of a time that somebody else has."""
    rows = run(
        visitor.site,
        "SELECT s.code, a.starts_at FROM appointments_appointment a "
        "JOIN directory_service s ON s.id = a.service_id "
        "JOIN directory_doctor d ON d.id = a.doctor_id "
        "WHERE d.slug = 'lucia-nunez' AND a.status = 'booked' "
        "AND a.starts_at > datetime('now', '+1 day') ORDER BY a.starts_at",
    )
    code, starts_at = rows[0]
    moment = starts_at[:19].replace(" ", "T")
    return visitor.to(f"/doctors/lucia-nunez/book/?service={code}&at={moment}Z")


def second_visit(visitor: Visitor) -> Opened:
    times = times_of(visitor.page, "mei-ling-chen", days=12)
    steps.book(visitor.page, times[0])
    visitor.to(times[-1])
    return visitor.posted("Confirm booking")


def to_a_visit(status: str, path: str = "") -> Callable[[Visitor], Opened]:
    return lambda visitor: visitor.to(visitor.visit(status) + path)


def comparing(visitor: Visitor) -> Opened:
    visitor.to(visitor.visit("booked") + "move/")
    new = visitor.page.locator("#times a.time").last
    return visitor.to(new.get_attribute("href") or "")


def cancelled(visitor: Visitor) -> Opened:
    visit = steps.book(visitor.page, times_of(visitor.page, "mei-ling-chen", days=20)[0])
    visitor.to(f"{visit}cancel/")
    visitor.posted("Cancel visit")
    return visitor.page.reload()


def late(visitor: Visitor) -> Opened:
    """Cancelling a visit that begins too soon to cancel it free of charge."""
    assert visitor.person is not None
    visit = steps.book(visitor.page, times_of(visitor.page, "mei-ling-chen", days=24)[0])
    run(
        visitor.site,
        "UPDATE appointments_appointment SET starts_at = datetime('now', '+3 hours'), "
        "ends_at = datetime('now', '+4 hours') WHERE public_id = ?",
        visits(visitor.site, visitor.person)[0]["id"].replace("-", ""),
    )
    return visitor.to(f"{visit}cancel/")


def feed_is_on(visitor: Visitor) -> Opened:
    visitor.to("/appointments/calendar/")
    visitor.posted("Make an address")
    return visitor.page.reload()


def without_token(visitor: Visitor) -> Opened:
    """A form whose secret token is gone, as after deleting cookies."""
    visitor.to("/accounts/login/")
    visitor.page.context.clear_cookies()
    return visitor.posted("Sign in")


def talk(path: str = "") -> Callable[[Visitor], Opened]:
    """The conversation that the sample's first patient and first doctor have."""

    def open_it(visitor: Visitor) -> Opened:
        rows = run(
            visitor.site,
            "SELECT c.public_id FROM chat_conversation c "
            "JOIN accounts_patient p ON p.id = c.patient_id "
            "JOIN accounts_user u ON u.id = p.account_id "
            "WHERE u.email = ? AND c.doctor_id IS NOT NULL ORDER BY c.id",
            PATIENT,
        )
        return visitor.to(f"/messages/{steps.dashed(rows[0][0])}/{path}")

    return open_it


PATIENT, DOCTOR, ADMIN = "patient1@example.org", "doctor1@example.org", "admin@example.org"
RECEPTION = "reception@example.org"

PAGES = [
    PageType("home", "home", at("/")),
    PageType("search", "doctors", at("/doctors/?q=check-up&place=Portland")),
    PageType("search-all", "doctors", at("/doctors/"), who=PATIENT),
    PageType("search-nobody", "doctors", at("/doctors/?q=zzzzzz")),
    PageType("doctor", "doctor", at("/doctors/amara-okafor/")),
    PageType("hospitals", "hospitals", at("/hospitals/")),
    PageType("hospitals-none", "hospitals", at("/hospitals/?q=zzzzzz")),
    PageType("hospital", "hospital", hospital),
    PageType("privacy", "privacy", at("/privacy/")),
    PageType("terms", "terms", at("/terms/")),
    PageType("sign-in", "account_login", at("/accounts/login/")),
    PageType("sign-in-wrong", "account_login", signing_in_fails, status=422, problem=True),
    PageType("sign-up", "account_signup", at("/accounts/signup/")),
    PageType(
        "sign-up-empty",
        "account_signup",
        sent_empty("/accounts/signup/", "Create account"),
        status=422,
        problem=True,
    ),
    PageType("sign-up-doctor", "doctor_signup", at("/accounts/signup/doctor/")),
    PageType(
        "sign-up-doctor-empty",
        "doctor_signup",
        sent_empty("/accounts/signup/doctor/", "Send my sign-up"),
        status=422,
        problem=True,
    ),
    PageType("own-sign-up", "my_sign_up", at("/accounts/doctor/"), who=DOCTOR),
    PageType("code", "account_email_verification_sent", code_is_asked),
    PageType("code-wrong", "account_email_verification_sent", wrong_code, status=422, problem=True),
    PageType("sign-out", "account_logout", at("/accounts/logout/"), who=PATIENT),
    PageType("inactive", "account_inactive", at("/accounts/inactive/")),
    PageType("reset", "account_reset_password", at("/accounts/password/reset/")),
    PageType("reset-code", "account_confirm_password_reset_code", reset_code_is_asked),
    PageType("reset-new", "account_complete_password_reset", new_password_is_asked),
    PageType(
        "reset-done", "account_password_reset_completed", at("/accounts/password/reset/done/")
    ),
    PageType("password", "account_change_password", at("/accounts/password/change/"), who=PATIENT),
    PageType(
        "password-empty",
        "account_change_password",
        sent_empty("/accounts/password/change/", "Save the new password"),
        who=PATIENT,
        status=422,
        problem=True,
    ),
    PageType(
        "again", "account_reauthenticate", at("/accounts/reauthenticate/?next=/"), who=PATIENT
    ),
    PageType("address", "account_email", address_change, who=PATIENT),
    PageType("profile", "profile", at("/accounts/profile/"), who=PATIENT),
    PageType("people", "people", at("/accounts/people/"), who=PATIENT),
    PageType("person-add", "person_add", at("/accounts/people/add/"), who=PATIENT),
    PageType("person-end", "person_end", ending_care, who=PATIENT),
    PageType("link", "link_chart", at("/accounts/people/link/"), who=PATIENT),
    PageType("terms-accept", "terms_accept", old_terms, who="fresh"),
    PageType("sessions", "usersessions_list", at("/accounts/sessions/"), who=PATIENT),
    PageType("factors", "mfa_index", at("/accounts/2fa/"), who=PATIENT),
    PageType("factors-set-up", "mfa_index", app_is_set_up("/accounts/2fa/"), who="fresh"),
    PageType("factor-app", "mfa_activate_totp", factors.adding_app, who="fresh"),
    PageType(
        "factor-app-wrong",
        "mfa_activate_totp",
        factors.wrong_app_code,
        who="fresh",
        status=422,
        problem=True,
    ),
    PageType(
        "factor-app-remove",
        "mfa_deactivate_totp",
        app_is_set_up("/accounts/2fa/totp/deactivate/"),
        who="fresh",
    ),
    PageType(
        "factor-codes",
        "mfa_view_recovery_codes",
        app_is_set_up("/accounts/2fa/recovery-codes/"),
        who="fresh",
    ),
    PageType(
        "factor-codes-new",
        "mfa_generate_recovery_codes",
        app_is_set_up("/accounts/2fa/recovery-codes/generate/"),
        who="fresh",
    ),
    PageType("factor", "mfa_authenticate", factors.factor_is_asked, who="fresh"),
    PageType(
        "factor-wrong",
        "mfa_authenticate",
        factors.factor_is_wrong,
        who="fresh",
        status=422,
        problem=True,
    ),
    PageType(
        "factor-again",
        "mfa_reauthenticate",
        app_is_set_up("/accounts/2fa/reauthenticate/?next=/"),
        who="fresh",
    ),
    PageType("passkey-add", "mfa_add_webauthn", factors.adding_passkey, who="fresh"),
    PageType("passkeys", "mfa_list_webauthn", factors.has_passkey(), who="fresh"),
    PageType("passkey-name", "mfa_edit_webauthn", factors.has_passkey("Rename"), who="fresh"),
    PageType("passkey-remove", "mfa_remove_webauthn", factors.has_passkey("Remove"), who="fresh"),
    PageType("check", "book", booking),
    PageType("check-family", "book", booking, who=PATIENT),
    PageType("check-held", "book", held, who="fresh"),
    PageType("check-too-long", "book", too_long_reason, who="fresh", status=422, problem=True),
    PageType("check-taken", "book", taken, who="fresh", status=409, problem=True),
    PageType("check-second", "book", second_visit, who="fresh", status=409, problem=True),
    PageType(
        "check-unreadable",
        "book",
        at("/doctors/amara-okafor/book/?at=soon"),
        status=400,
        problem=True,
    ),
    PageType("visits", "appointments", at("/appointments/"), who=PATIENT),
    PageType("visits-none", "appointments", at("/appointments/"), who="fresh"),
    PageType("visit", "appointment", to_a_visit("booked"), who=PATIENT),
    PageType("visit-past", "appointment", to_a_visit("done"), who=PATIENT),
    PageType("visit-cancelled", "appointment", cancelled, who="fresh"),
    PageType("move", "appointment_move", to_a_visit("booked", "move/"), who=PATIENT),
    PageType("move-confirm", "appointment_move", comparing, who=PATIENT),
    PageType(
        "move-closed",
        "appointment_move",
        to_a_visit("done", "move/"),
        who=PATIENT,
        status=422,
        problem=True,
    ),
    PageType("cancel", "appointment_cancel", to_a_visit("booked", "cancel/"), who=PATIENT),
    PageType("cancel-late", "appointment_cancel", late, who="fresh"),
    PageType("feed-off", "feed_settings", at("/appointments/calendar/"), who="fresh"),
    PageType("feed-on", "feed_settings", feed_is_on, who="fresh"),
    PageType("messages", "messages", at("/messages/"), who=PATIENT),
    PageType("messages-none", "messages", at("/messages/"), who="fresh"),
    PageType("message-new", "conversation_new", at("/messages/new/"), who=PATIENT),
    PageType("talk", "conversation", talk(), who=PATIENT),
    PageType("talk-doctor", "conversation", talk(), who=DOCTOR),
    PageType("transcript", "conversation_transcript", talk("transcript/"), who=PATIENT),
    PageType("messages-waiting", "messages_waiting", at("/messages/waiting/"), who=RECEPTION),
    PageType("messages-settings", "chat_settings", at("/messages/settings/"), who=DOCTOR),
    *CHART_PAGES,
    *DESK_PAGES,
    *WAITLIST_PAGES,
    PageType("not-found", "", at("/nowhere/"), status=404),
    PageType("no-token", "", without_token, status=403),
]


def named_routes() -> set[str]:
    """Names of all addresses outside the admin."""

    def walk(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
        for pattern in patterns:
            if isinstance(pattern, URLPattern):
                yield pattern.name or str(pattern.pattern)
            elif pattern.namespace != "admin":
                yield from walk(pattern.url_patterns)

    return set(walk(get_resolver().url_patterns))
