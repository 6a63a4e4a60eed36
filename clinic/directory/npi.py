"""The National Provider Identifier: ten digits, the last one a check digit."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# An NPI is the end of a health card number that begins with 80840 (ISO/IEC 7812); the check digit
# is the Luhn one of all 15. https://www.cms.gov/regulations-and-guidance/administrative-simplification/
# nationalprovidentstand/downloads/npicheckdigit.pdf
PREFIX = "80840"


def luhn_sum(digits: str) -> int:
    """Sum of the digits with every second one from the right doubled, 0 modulo 10 when valid."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total


def clean_npi(text: str) -> str:
    """Ten digits without the spaces and dashes people type; raises ValidationError."""
    digits = re.sub(r"[\s\-]", "", text)
    if not re.fullmatch(r"[12][0-9]{9}", digits):
        raise ValidationError(
            _("Enter the 10 digits of your NPI. It begins with 1 or 2."), code="invalid_npi"
        )
    if luhn_sum(PREFIX + digits) % 10:
        raise ValidationError(
            _("That is not an NPI: its last digit does not fit the others. Check for a typo."),
            code="invalid_npi",
        )
    return digits
