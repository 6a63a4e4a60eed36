"""Structured data (schema.org) for search engines."""

from __future__ import annotations

import json
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from clinic.directory.models import Hospital

# As Django's json_script: no text can end the script element or start another one.
_ESCAPES = {ord(">"): "\\u003E", ord("<"): "\\u003C", ord("&"): "\\u0026"}


def json_ld(data: dict[str, Any]) -> SafeString:
    """``data`` as the content of a ``<script type="application/ld+json">`` element."""
    return mark_safe(json.dumps(data, ensure_ascii=False).translate(_ESCAPES))  # noqa: S308


def hospital_data(hospital: Hospital, *, url: str) -> dict[str, Any]:
    """https://schema.org/Hospital"""
    data: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "Hospital" if hospital.cms_id else "MedicalClinic",
        "name": hospital.name,
        "url": url,
        "address": {
            "@type": "PostalAddress",
            "streetAddress": hospital.address,
            "addressLocality": hospital.city,
            "addressRegion": hospital.state,
            "postalCode": hospital.zip_code,
            "addressCountry": "US",
        },
    }
    if hospital.phone:
        data["telephone"] = hospital.phone
    if hospital.latitude is not None and hospital.longitude is not None:
        data["geo"] = {
            "@type": "GeoCoordinates",
            "latitude": hospital.latitude,
            "longitude": hospital.longitude,
        }
    if hospital.emergency_care:
        data["availableService"] = {"@type": "MedicalProcedure", "name": "Emergency care"}
    return data
