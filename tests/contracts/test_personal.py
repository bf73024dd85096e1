"""Names that speak of a personal value are found by whole words, and names of things are left alone."""

from __future__ import annotations

import pytest

from include.contracts.personal import guess_personal

OF_THINGS = [
    *("capacity", "velocity", "electricity", "ethnicity", "product_category_name", "country_name"),
    *("dest_country_name", "origin_city", "dest_city", "airport_city", "screen_name", "file_name"),
    *("filename", "mail_class", "mobile_os", "emailed", "birth_rate", "birthplace"),
    *("zipper", "ip_address", "mac_address", "web_address", "store_address", "wallet_address"),
    *("street_type", "town_hall", "cityscape", "username_hash", "surnames_count", "telemetry"),
    *("faxed_at", "capital_city", "hotel_address", "streetcar", "addressable", "first_name_count"),
]
OF_PEOPLE = {
    "visitor_email": "email",
    "eMail": "email",
    "e-mail address": "email",
    "email_2": "email",
    "Phone Number": "phone",
    "mobile": "phone",
    "home_phone_2": "phone",
    "dateOfBirth": "birth_date",
    "birth_date": "birth_date",
    "firstName": "first_name",
    "middle_name": "first_name",
    "last-name": "last_name",
    "MaidenName": "last_name",
    "customer_name": "full_name",
    "name_of_patient": "full_name",
    "Player Name": "full_name",
    "invoice_address": "address",
    "address_line_1": "address",
    "address_1": "address",
    "street": "address",
    "store_owner_address": "address",
    "shop_owner_email": "email",
    "ZIP": "postcode",
    "home_city": "city",
}


@pytest.mark.parametrize("name", OF_THINGS)
def test_no_personal_value_is_guessed_from_the_name_of_a_thing(name: str) -> None:
    assert guess_personal(name, "string", ["customers", "email"]) is None
    assert guess_personal(name.upper(), "string") is None


@pytest.mark.parametrize("name", OF_PEOPLE)
def test_personal_values_are_guessed_from_whole_words(name: str) -> None:
    assert guess_personal(name, "string") == OF_PEOPLE[name]
    assert guess_personal(name, "integer") is None
    assert guess_personal(name, "date") == ("birth_date" if OF_PEOPLE[name] == "birth_date" else None)


@pytest.mark.parametrize(
    ("about", "kind"),
    [
        (["airlines", "iata", "country"], None),
        (["products", "price", "city"], None),
        ([], None),
        (["customers", "id"], "full_name"),
        (["VIP Customer", "id"], "full_name"),
        (["x", "name", "email"], "full_name"),
        (["x", "birthDate"], "full_name"),
        (["x", "gender"], "full_name"),
    ],
)
def test_a_plain_name_is_a_persons_where_something_around_it_is(about: list[str], kind: str | None) -> None:
    assert guess_personal("name", "string", about) == kind
    assert guess_personal("Name", "string", about) == kind
