"""What the frame of the workplace needs: the links of the person who works here."""

from __future__ import annotations

from django import template
from django.template import Context

from clinic.workplace.links import Link, links_for

register = template.Library()


@register.simple_tag(takes_context=True)
def work_links(context: Context) -> list[Link]:
    return links_for(context.get("user"), context.get("request"))
