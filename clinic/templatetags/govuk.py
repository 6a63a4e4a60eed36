"""What the components need to know about forms, navigation and addresses. No rules live here."""

from __future__ import annotations

from typing import Any

from django import forms, template
from django.core.paginator import Page
from django.template import Context
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from clinic.forms import DateInput3, problems_of, sentences

register = template.Library()

KINDS: tuple[tuple[type[forms.Widget], str, str], ...] = (
    # Widget, kind of markup, class of the control. The first that fits is taken.
    (DateInput3, "group", ""),
    (forms.CheckboxSelectMultiple, "checkboxes", "govuk-checkboxes__input"),
    (forms.RadioSelect, "radios", "govuk-radios__input"),
    (forms.MultiWidget, "group", ""),
    (forms.CheckboxInput, "checkbox", "govuk-checkboxes__input"),
    (forms.Textarea, "textarea", "govuk-textarea"),
    (forms.Select, "select", "govuk-select"),
    (forms.FileInput, "file", "govuk-file-upload"),
    (
        forms.PasswordInput,
        "password",
        "govuk-input govuk-password-input__input govuk-js-password-input-input",
    ),
    (forms.Widget, "input", "govuk-input"),
)


@register.simple_tag
def parts_of(field: forms.BoundField) -> dict[str, Any]:
    """A field taken apart for its template: kind, ids, and the control with classes and ARIA."""
    widget = field.field.widget
    kind, css = next((kind, css) for fits, kind, css in KINDS if isinstance(widget, fits))
    own_id = widget.attrs.get("id") or field.auto_id
    counted = getattr(field.field, "max_length", None) if kind == "textarea" else None
    described_by = " ".join(
        name
        for name, there in (
            (f"{own_id}_helptext", field.help_text),
            (f"{own_id}_error", field.errors),
            (f"{own_id}-info", counted),
        )
        if there
    )
    attrs: dict[str, Any] = {"placeholder": False}  # hints stay readable, placeholders vanish
    if css:
        attrs["class"] = " ".join(filter(None, (css, str(widget.attrs.get("class", "")))))
    if field.errors and kind in {"textarea", "select", "file", "password", "input"}:
        attrs["class"] += f" {css.split()[0]}--error"
    if kind == "password":
        attrs.update(spellcheck="false", autocapitalize="none")
    if counted:
        attrs["maxlength"] = False  # a browser would cut pasted text without a word
        attrs["class"] += " govuk-js-character-count"
    if kind not in {"radios", "checkboxes", "group"} and described_by:
        attrs["aria-describedby"] = described_by
    return {
        "kind": kind,
        "id": own_id,
        "described_by": described_by,
        "counted": counted,
        "errors": sentences(field),
        # Radio buttons with one chosen beforehand cannot be left without an answer.
        "optional": not field.field.required
        and kind != "checkbox"
        and not (kind == "radios" and field.value()),
        "label_class": getattr(field.field, "label_class", ""),
        "options": _options(field) if kind in {"radios", "checkboxes"} else [],
        "control": "" if kind in {"radios", "checkboxes"} else field.as_widget(attrs=attrs),
    }


def _options(field: forms.BoundField) -> list[dict[str, Any]]:
    """Radio buttons or boxes. ARIA knows "invalid" for a group of them, not for a single one."""
    dropped = {"aria-invalid", "aria-describedby", "class"}
    return [
        {
            "type": option.data["type"],
            "name": option.data["name"],
            "value": option.data["value"],
            "attrs": {k: v for k, v in option.data["attrs"].items() if k not in dropped},
            "id": option.id_for_label,
            "label": option.choice_label,
        }
        for option in field
    ]


@register.simple_tag
def problems(
    form: forms.BaseForm | None = None,
    more_forms: list[forms.BaseForm] | None = None,
    extra: list[tuple[str, str]] | None = None,
) -> list[tuple[str, str]]:
    """What an error summary lists: (sentence, address to jump to or "")."""
    found = [(str(text), href) for text, href in extra or []]
    for each in (form, *(more_forms or [])):
        if isinstance(each, forms.BaseForm):
            found += [(text, f"#{id_}" if id_ else "") for text, id_ in problems_of(each)]
    return found


@register.simple_tag(takes_context=True)
def navigation(context: Context) -> list[dict[str, Any]]:
    """The links of the header for this visitor, the current one marked.

    A page whose address does not exist in a deployment is left out rather than breaking every page.
    """
    user = context.get("user")
    signed_in = bool(user and user.is_authenticated)
    entries: list[tuple[str, str, set[str]]] = [
        ("doctors", _("Find a doctor"), {"doctors", "doctor", "book"}),
        ("hospitals", _("Hospitals"), {"hospitals", "hospital"}),
    ]
    if signed_in:
        visits = {"appointments", "appointment", "appointment_move", "appointment_cancel"}
        entries.append(("appointments", _("Visits"), visits))
        talks = {"conversation", "conversation_new", "conversation_transcript", "messages_waiting"}
        entries.append(("messages", _("Messages"), talks | {"chat_settings"}))
        mine = {"record_who", "record_download", "record_summary", "record_deletion"}
        if getattr(user, "role", "") == "patient":
            entries.append(("record", _("Record"), mine | {"record_upload"}))
        account = {"profile", "people", "carers", "person_add", "person_end", "link_chart"}
        entries.append(("profile", _("Account"), account))
        if getattr(user, "is_staff", False):
            entries.append(("admin:index", _("Staff"), set()))
    else:
        entries.append(("account_login", _("Sign in"), {"account_login"}))
    match = getattr(context.get("request"), "resolver_match", None)
    here = getattr(match, "url_name", None)
    links = []
    for name, text, pages in entries:
        try:
            href = reverse(name)
        except NoReverseMatch:
            continue
        current = "page" if here == name else "true" if here in pages else ""
        links.append({"href": href, "text": text, "current": current, "name": name})
    return links


@register.simple_tag(takes_context=True)
def page_address(context: Context, number: int) -> str:
    """This page's address with another page number; everything else in the query stays."""
    request = context.get("request")
    query = request.GET.copy() if request is not None else None
    if query is None:
        return f"?page={number}"
    query["page"] = str(number)
    return f"?{query.urlencode()}"


@register.filter
def is_page(value: object) -> bool:
    return isinstance(value, Page) and value.paginator.num_pages > 1


@register.filter
def initials(name: str) -> str:
    """The letters in a doctor's circle: "Dr. Amara Okafor, MD" gives AO."""
    words = [
        word
        for word in str(name).partition(",")[0].replace(".", " ").split()
        if word.casefold() != "dr" and word[0].isalpha()
    ]
    if not words:
        return ""
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()
