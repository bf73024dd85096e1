"""Which names speak of a personal value: a guess, for drafts, that a person checks. Whole words count."""

from __future__ import annotations

import re

# Kind of personal value, by the words of a property's name; the first that matches counts.
_KINDS = {
    "email": "e_?mail|mail|emails|emailaddress",
    "phone": "phone|telephone|mobile|cellphone|phone_?number|tel|fax",
    "birth_date": "birth|birthday|birthdate|dob|born",
    "first_name": "(first|given|fore)_?name",
    "last_name": "(last|family)_?name|surname",
    "full_name": "(full|person|customer|client|contact|user|employee|member|patient|student|visitor|guest)_?name",
    "address": "address|addr|street",
    "postcode": "post_?code|postal_?code|zip|zip_?code",
    "city": "city|town",
}
_PATTERNS = {kind: re.compile(f"(^|_)({words})(_|$)") for kind, words in _KINDS.items()}
_WORD_END = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


def guess_personal(name: str, logical_type: str) -> str | None:
    """Return the kind of personal value that a property's name speaks of, or None. A plain "name" is a person's."""
    if logical_type not in ("string", "date"):
        return None
    words = _WORD_END.sub("_", name).lower().strip("_")
    if words == "name":
        return "full_name"
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.search(words)), None)
