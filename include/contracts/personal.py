"""Which names speak of a personal value: a guess, for drafts, that a person checks. Whole words count."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PERSON = (
    "account_holder|applicant|buyer|candidate|cardholder|client|contact|customer|employee|guest|member|owner|passenger"
    "|patient|payer|people|person|player|recipient|sender|staff|student|subscriber|teacher|tenant|user|visitor|voter"
)
# Kind of personal value, by the words of a property's name; the first that matches counts.
_KINDS = {
    "email": r"(^|_)(e_?mail|mail|emails|emailaddress)(_address(es)?|_?\d)?$",
    "phone": r"(^|_)((tele|cell)?phone|telephone|mobile|cell|tel|fax)(_?(number|no|nr)|_?\d)?$",
    "birth_date": r"(^|_)(birth_?(date|day)|date_of_birth|birth|dob|born)$",
    "first_name": r"(^|_)(first|given|fore|middle)_?name$",
    "last_name": r"(^|_)((last|family|maiden)_?name|surname)$",
    "full_name": rf"(^|_)((full|{_PERSON})_?name|name_of_({_PERSON}))$",
    "address": r"(^|_)(address|addr|street)(_?(line|name|number|no))?(_?\d)?$",
    "postcode": r"(^|_)(post_?code|postal_?code|zip|zip_?code)$",
    "city": r"(^|_)(city|town)$",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _KINDS.items()}
_PLACES = ("address", "postcode", "city")  # of which shops and machines have some too
_OF_NO_PERSON = re.compile(
    r"(^|_)(ip|mac|web|url|memory|wallet|contract|token|bus|server|network|dest|destination|origin|airport|capital"
    r"|departure|arrival|airline|store|shop|branch|company|hotel|venue|team|stadium)_"
)
_ABOUT_PEOPLE = re.compile(rf"(^|_)({_PERSON}|individual|profile|personnel|persons|staff_members)s?(_|$)")
_WORD_END = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


def guess_personal(name: str, logical_type: str, about: Iterable[str] = ()) -> str | None:
    """Return the kind of personal value that a property's name speaks of, or None.

    `about` are the names around it: of its table, of the object that it is in, and of its neighbours. A plain "name" is
    a person's where one of those speaks of a person.
    """
    if logical_type not in ("string", "date"):
        return None
    words = _words(name)
    if words == "name":
        return "full_name" if any(map(_is_about_people, about)) else None
    kind = next((kind for kind, pattern in _PATTERNS.items() if pattern.search(words)), None)
    if kind in _PLACES and _OF_NO_PERSON.search(words) and not _ABOUT_PEOPLE.search(words):
        return None
    return kind if kind == "birth_date" or logical_type == "string" else None


def _is_about_people(name: str) -> bool:
    words = _words(name)
    if _ABOUT_PEOPLE.search(words):
        return True
    kinds = ("email", "phone", "birth_date", "first_name", "last_name")
    return words in ("gender", "sex", "salary") or any(_PATTERNS[kind].search(words) for kind in kinds)


def _words(name: str) -> str:
    return _WORD_END.sub("_", name).lower().strip("_")
