"""Forms and components as people and screen readers get them."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django import forms
from django.core.paginator import Paginator
from django.template import engines
from django.template.loader import render_to_string
from django.test import RequestFactory

from clinic.forms import DateField3, problems_of
from clinic.templatetags.govuk import initials


class VisitForm(forms.Form):
    name = forms.CharField(
        label="Full name",
        help_text="As on your insurance card.",
        widget=forms.TextInput(
            attrs={"autocomplete": "name", "class": "govuk-input--width-20", "placeholder": "You"}
        ),
    )
    patient = forms.ChoiceField(
        label="Who is the visit for?",
        choices=[("1", "Me"), ("2", "Ben")],
        widget=forms.RadioSelect,
    )
    born = DateField3(label="Date of birth", birth=True, latest=lambda: dt.date(2026, 11, 23))
    reason = forms.CharField(label="Reason", max_length=500, widget=forms.Textarea)
    language = forms.ChoiceField(label="Language", choices=[("en", "English")], required=False)
    needs = forms.MultipleChoiceField(
        label="I need",
        choices=[("w", "A wheelchair")],
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )
    secret = forms.CharField(label="Password", widget=forms.PasswordInput)
    terms = forms.BooleanField(label="I accept the terms")
    key = forms.CharField(widget=forms.HiddenInput)


GOOD = {
    "name": "Alice",
    "patient": "1",
    "born_month": "3",
    "born_day": "27",
    "born_year": "1985",
    "reason": "Cough",
    "secret": "x",
    "terms": "on",
    "key": "k",
}


def group(html: str, control_id: str) -> str:
    """The form group that holds a control."""
    groups = re.split(r'(?=<div class="govuk-form-group)', html)
    return next(each for each in groups if f'id="{control_id}"' in each)


def tag(html: str, control_id: str) -> str:
    found = re.search(rf'<\w+[^>]*\bid="{control_id}"[^>]*>', html)
    assert found, control_id
    return found.group()


def refused(**changes: str) -> VisitForm:
    form = VisitForm({**GOOD, **changes})
    assert not form.is_valid()
    return form


# --- Fields ---------------------------------------------------------------------------------
def test_a_text_field_has_label_hint_and_merged_classes() -> None:
    html = str(VisitForm())
    text = tag(html, "id_name")
    assert 'class="govuk-input govuk-input--width-20"' in text
    assert 'autocomplete="name"' in text and 'aria-describedby="id_name_helptext"' in text
    assert "placeholder" not in text
    part = group(html, "id_name")
    assert '<label class="govuk-label govuk-label--s" for="id_name">Full name</label>' in part
    assert 'id="id_name_helptext">As on your insurance card.' in part
    assert "govuk-error-message" not in html


def test_a_refused_field_is_tied_to_its_message() -> None:
    html = str(refused(name=""))
    text = tag(html, "id_name")
    assert 'aria-invalid="true"' in text and "govuk-input--error" in text
    assert 'aria-describedby="id_name_helptext id_name_error"' in text
    part = group(html, "id_name")
    assert "govuk-form-group--error" in part
    assert re.search(
        r'id="id_name_error">\s*<p class="govuk-error-message"><span class="govuk-visually-hidden">'
        r"Error:</span> Fill in “Full name”.</p>",
        part,
    )


def test_every_described_by_points_to_something_on_the_page() -> None:
    for form in (VisitForm(), VisitForm({})):
        html = str(form)
        ids = re.findall(r'\sid="([^"]+)"', html)
        assert len(ids) == len(set(ids))
        for names in re.findall(r'aria-describedby="([^"]*)"', html):
            assert names and set(names.split()) <= set(ids)


def test_radios_are_a_group_with_a_legend() -> None:
    html = group(str(refused(patient="")), "id_patient_0")
    assert '<fieldset class="govuk-fieldset" aria-describedby="id_patient_error">' in html
    assert re.search(r"<legend[^>]*>Who is the visit for\?</legend>", html)
    assert 'for="id_patient_1">Ben</label>' in html
    assert "aria-invalid" not in html  # ARIA has no such state for a single radio button
    chosen = group(str(VisitForm(GOOD)), "id_patient_0")
    assert "checked" in tag(chosen, "id_patient_0")
    assert "checked" not in tag(chosen, "id_patient_1")


def test_a_date_is_three_boxes_in_the_us_order_and_keeps_what_was_typed() -> None:
    html = str(refused(born_month="Sept", born_day="31", born_year="85"))
    part = group(html, "id_born_0")
    assert re.findall(r'name="(born_\w+)"', part) == ["born_month", "born_day", "born_year"]
    assert re.findall(r'value="([^"]*)"', part) == ["Sept", "31", "85"]
    assert re.findall(r'autocomplete="([^"]*)"', part) == ["bday-month", "bday-day", "bday-year"]
    assert 'role="group" aria-describedby="id_born_error"' in part
    assert "govuk-input--error" in tag(part, "id_born_2")


def test_a_long_text_is_counted_but_never_cut() -> None:
    part = group(str(VisitForm()), "id_reason")
    assert 'data-module="govuk-character-count" data-maxlength="500"' in part
    assert "maxlength=" not in tag(part, "id_reason")
    assert 'aria-describedby="id_reason-info"' in tag(part, "id_reason")
    assert "You can enter up to 500 characters" in part


def test_optional_fields_say_so_and_a_single_box_stands_before_its_label() -> None:
    html = str(VisitForm())
    assert "(optional)" in group(html, "id_language") and "(optional)" in group(html, "id_needs_0")
    assert "(optional)" not in group(html, "id_name")
    terms = group(html, "id_terms")
    assert terms.index('id="id_terms"') < terms.index('for="id_terms"')


def test_a_password_field_can_be_shown_and_pasted_into() -> None:
    part = group(str(VisitForm()), "id_secret")
    assert 'aria-controls="id_secret"' in part and "govuk-js-password-input-input" in part
    assert "onpaste" not in part


def test_what_people_typed_is_escaped() -> None:
    attack = '"><img src=x onerror=alert(1)>'
    form = VisitForm({**GOOD, "name": attack, "reason": "</textarea>" + attack, "terms": ""})
    html = str(form) + render_to_string("components/error_summary.html", {"form": form})
    assert "<img" not in html


# --- Dates ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (("3", "27", "1985"), dt.date(1985, 3, 27)),
        (("03", " 7 ", "2000"), dt.date(2000, 3, 7)),
        (("Nov", "1", "1999"), dt.date(1999, 11, 1)),
        (("february", "29", "2024"), dt.date(2024, 2, 29)),
    ],
)
def test_dates_as_people_write_them(typed: tuple[str, str, str], expected: dt.date) -> None:
    assert DateField3().clean(list(typed)) == expected


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (("", "", ""), "Enter the date as month, day and year"),
        (("3", "", "1985"), "must also have a day"),
        (("13", "1", "1985"), "The month must be"),
        (("x", "1", "1985"), "The month must be"),
        (("3", "32", "1985"), "The day must be"),
        (("3", "-1", "1985"), "The day must be"),
        (("3", "27", "85"), "The year must have 4 digits"),
        (("3", "27", "19850"), "The year must have 4 digits"),
        (("3", "27", "١٩٨٥"), "The year must have 4 digits"),
        (("2", "29", "2025"), "There is no such date"),
        (("11", "24", "2026"), "must not be in the future"),
        (("1", "1", "1850"), "too long ago"),
    ],
)
def test_a_refused_date_says_which_part_is_wrong(typed: tuple[str, ...], sentence: str) -> None:
    field = DateField3(latest=lambda: dt.date(2026, 11, 23), earliest=lambda: dt.date(1900, 1, 1))
    with pytest.raises(forms.ValidationError, match=sentence):
        field.clean(list(typed))


def test_an_optional_date_may_stay_empty_and_an_initial_one_is_shown() -> None:
    assert DateField3(required=False).clean(["", "", ""]) is None

    class Form(forms.Form):
        born = DateField3()

    html = str(Form(initial={"born": dt.date(1985, 3, 27)}))
    assert re.findall(r'value="([^"]*)"', html) == ["3", "27", "1985"]


# --- Error summary --------------------------------------------------------------------------
def test_the_summary_comes_in_the_order_of_the_page_and_links_to_the_first_control() -> None:
    form = refused(name="", patient="", born_month="", terms="")
    form.add_error(None, "That time has just been taken.")
    html = render_to_string("components/error_summary.html", {"form": form})
    assert 'role="alert"' in html and "There is a problem" in html and 'tabindex="-1"' in html
    assert "<span" in html and "That time has just been taken." in html
    assert re.findall(r'<a href="#([^"]+)">', html) == [
        "id_name",
        "id_patient_0",
        "id_born_0",
        "id_terms",
    ]
    page = str(form)
    for target in re.findall(r'<a href="#([^"]+)">', html):
        assert f'id="{target}"' in page


def test_no_errors_no_summary() -> None:
    for form in (VisitForm(), VisitForm(GOOD)):
        assert render_to_string("components/error_summary.html", {"form": form}).strip() == ""


def test_an_error_of_a_hidden_field_is_said_without_a_link() -> None:
    assert problems_of(refused(key="")) == [("Fill in “Key”.", "")]


# --- Components -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Dr. Amara Okafor, MD", "AO"),
        ("Dr Zoë de la Cruz", "ZC"),
        ("Łukasz", "Ł"),
        ("", ""),
        ("dr.", ""),
    ],
)
def test_initials(name: str, letters: str) -> None:
    assert initials(name) == letters


def test_pagination_keeps_the_query_and_says_where_one_is(rf: RequestFactory) -> None:
    request = rf.get("/doctors/?q=back+pain&page=2")
    page = Paginator(range(60), 20).page(2)
    html = render_to_string("components/pagination.html", {"page_obj": page}, request)
    assert "Page 2 of 3" in html
    assert 'href="?q=back+pain&amp;page=1"' in html and 'href="?q=back+pain&amp;page=3"' in html
    single = Paginator(range(3), 20).page(1)
    assert (
        render_to_string("components/pagination.html", {"page_obj": single}, request).strip() == ""
    )


def test_the_hold_notice_states_a_clock_time_and_hides_its_warnings_until_due() -> None:
    until = dt.datetime(2026, 11, 23, 15, 24, tzinfo=dt.UTC)
    html = render_to_string(
        "components/hold_notice.html",
        {"until": until, "until_text": "10:24 am EST", "form_id": "booking"},
    )
    assert 'data-hold-until="2026-11-23T15:24:00+00:00"' in html
    assert "until <strong>10:24 am EST</strong>" in html
    assert len(re.findall(r"data-hold-\w+ hidden", html)) == 2
    assert 'name="action" value="hold" form="booking"' in html


def render(source: str, **context: Any) -> str:
    return str(engines["django"].from_string(source).render(context))


def test_the_title_of_a_page_with_errors_starts_with_error() -> None:
    page = "{% extends 'base.html' %}{% block title %}Your details{% endblock %}"
    clean = render(page, clinic_name="Harbour Health", form=VisitForm())
    wrong = render(page, clinic_name="Harbour Health", form=refused(name=""))
    told = render(page, clinic_name="Harbour Health", has_errors=True)
    assert "<title>Your details – Harbour Health</title>" in clean
    assert "<title>Error: Your details – Harbour Health</title>" in wrong
    assert "<title>Error: Your details – Harbour Health</title>" in told


def test_the_frame_has_its_landmarks_and_the_emergency_number() -> None:
    html = render("{% extends 'base.html' %}", clinic_name="Harbour Health", emergency_number="911")
    assert '<html lang="en' in html
    assert '<a href="#main" class="govuk-skip-link">' in html and 'id="main"' in html
    assert 'href="tel:911"' in html
    assert "Sample data" not in html
    labelled = render("{% extends 'base.html' %}", clinic_name="x", sample_data=lambda: True)
    assert "Sample data" in labelled


def test_an_error_page_needs_no_request_and_no_known_visitor() -> None:
    html = render_to_string(
        "error.html", {"title": "Page not found", "text": "Check it.", "clinic_name": "x"}
    )
    assert "<h1" in html and "Page not found" in html
    assert "Sign in" not in html and "Sign out" not in html
