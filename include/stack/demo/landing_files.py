"""The demo's landing files: a shop and a marketplace of made-up people, with rows of every kind that must be rejected.

The same seed and the same day give the same bytes. A day's files do not depend on other days, so two runs with
overlapping days write the same files for them. Names are common names in random combinations. Addresses do not exist.
E-mail addresses are in the domains reserved for examples (RFC 2606), phone numbers in the range reserved for drama.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

_FIRST = [
    "Ada",
    "Amir",
    "Anna",
    "Ben",
    "Chloe",
    "Dana",
    "Elif",
    "Emma",
    "Femi",
    "Grace",
    "Hana",
    "Ivan",
    "Jack",
    "Jonas",
    "Kira",
    "Leo",
    "Lina",
    "Maya",
    "Noor",
    "Omar",
]
_LAST = [
    "Adams",
    "Baker",
    "Chen",
    "Diaz",
    "Evans",
    "Fischer",
    "Garcia",
    "Hughes",
    "Ito",
    "Jansen",
    "Khan",
    "Lopez",
    "Moore",
    "Novak",
    "Okafor",
    "Price",
]
_STREETS = [
    "Acorn",
    "Beech",
    "Cedar",
    "Dove",
    "Elm",
    "Fern",
    "Grove",
    "Heath",
    "Iris",
    "Juniper",
    "Kestrel",
    "Larch",
    "Maple",
    "Nettle",
]
_KINDS = ("road", "street", "lane", "avenue", "close")
_TOWNS = ["Ashbury", "Brookton", "Claywell", "Dunmere", "Eastholm", "Fairlow", "Glenport", "Harwick"]
_COUNTRIES = ("United Kingdom", "United Kingdom", "United Kingdom", "Republic of Ireland", "Belgium", "Netherlands")
_SEGMENTS = (None, None, "health", "sports", "beauty")
_CATEGORIES = ("vitamin", "sports", "beauty", "misc")
_SERVICES = (
    (12, "dakwerken", "roof-works"),
    (24, "tuinonderhoud", "maintain-garden"),
    (38, "badkamer-renovatie", "bathroom-renovation"),
    (51, "ramen-plaatsen", "install-windows"),
)
_RETURNING = 60  # customers who buy every day
_CATALOGUE = 40  # products that are offered every day; the last ten change their price daily


@dataclass
class Expected:
    """What landing must make of a dataset's files in an empty database: loaded = rows - rejected - duplicates."""

    files: int = 0
    rows: int = 0
    rejected: int = 0
    duplicates: int = 0

    @property
    def loaded(self) -> int:
        return self.rows - self.rejected - self.duplicates


def make_landing_files(
    root: Path | str, *, days: int = 3, seed: int = 1, until: date | None = None
) -> dict[str, Expected]:
    """Write the files of `days` days below the root. The last day is the one before `until`, by default today in UTC.

    Returns what landing must make of each dataset, by <source>.<dataset>. Writing the same days again changes nothing.
    """
    end = until or datetime.now(UTC).date()
    writer = _Writer(Path(root))
    for back in range(days, 0, -1):
        day = end - timedelta(days=back)
        _write_shop(writer, day, seed)
    _write_events(writer, end - timedelta(days=max(days, 30)), end, seed)
    return dict(writer.expected)


class _Writer:
    """Writes files and counts what landing must make of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.expected: dict[str, Expected] = defaultdict(Expected)
        self._newest: dict[tuple[str, Any], str] = {}

    def json(self, dataset: str, day: date, hour: int, rows: list[Any], invalid: list[str], *, gz: bool) -> None:
        """Write one file: the valid rows, with the lines to reject at random places among them."""
        if not rows and not invalid:
            return
        key = _KEYS[dataset]
        lines = [json.dumps(row) for row in rows]
        for row, line in zip(rows, lines, strict=True):
            self._count(f"retail.{dataset}", key(row), line)
        place = random.Random(f"{dataset} {day} {hour}")  # noqa: S311
        for line in invalid:
            lines.insert(place.randint(0, len(lines)), line)
            self._count_rejected(f"retail.{dataset}")
        content = "".join(f"{line}\n" for line in lines).encode()
        name = f"retail/date={day}/hour={hour:02}/{dataset}.json" + (".gz" if gz else "")
        self.write(f"retail.{dataset}", name, gzip.compress(content, mtime=0) if gz else content)

    def csv(self, dataset: str, name: str, header: list[str], rows: list[list[Any]], invalid: list[list[Any]]) -> None:
        for row in rows:
            self._count(dataset, row[0], repr(row))
        for _ in invalid:
            self._count_rejected(dataset)
        text = io.StringIO()
        out = csv.writer(text, delimiter=";", lineterminator="\r\n")
        out.writerows([header, *rows[: len(rows) // 2], *invalid, *rows[len(rows) // 2 :]])
        self.write(dataset, name, text.getvalue().encode())

    def write(self, dataset: str, name: str, content: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.write_bytes(content)
        unfinished.replace(path)
        self.expected[dataset].files += 1

    def _count(self, dataset: str, key: Any, row: str) -> None:
        counted = self.expected[dataset]
        counted.rows += 1
        counted.duplicates += self._newest.get((dataset, key)) == row
        self._newest[dataset, key] = row

    def _count_rejected(self, dataset: str) -> None:
        self.expected[dataset].rows += 1
        self.expected[dataset].rejected += 1


_KEYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "customers": lambda row: row["id"],
    "products": lambda row: row["sku"],
    "transactions": lambda row: row["transaction_id"],
    "erasure-requests": lambda row: (row.get("customer-id"), row.get("email")),
}


def _chance(*parts: Any) -> random.Random:
    return random.Random(" ".join(map(str, parts)))  # noqa: S311  # made-up rows, no secrets


def _customer(number: int, changed: date, chance: random.Random) -> dict[str, Any]:
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    born = date(1950, 1, 1) + timedelta(days=chance.randrange(20000))
    return {
        "id": str(number),
        "first_name": first,
        "last_name": last,
        "date_of_birth": chance.choice([None, born.isoformat()]),
        "email": f"{first}.{last}.{number}@example.{chance.choice(['com', 'net', 'org'])}".lower(),
        "phone_number": chance.choice([None, f"0117 496 0{chance.randrange(1000):03}"]),
        **_address(chance),
        "last_change": changed.isoformat(),
        "segment": chance.choice(_SEGMENTS),
    }


def _address(chance: random.Random) -> dict[str, str]:
    street = f"{chance.randrange(1, 200)} {chance.choice(_STREETS)} {chance.choice(_KINDS)}"
    return {
        "address": chance.choice([street, street, f"Flat {chance.randrange(1, 40)}\n{street}"]),
        "city": chance.choice(_TOWNS),
        "country": chance.choice(_COUNTRIES),
        "postcode": f"{chance.choice('ABDEGKLMNS')}{chance.randrange(1, 99)} {chance.randrange(1, 9)}ZZ",
    }


def _product(sku: int, chance: random.Random) -> dict[str, Any]:
    return {
        "sku": sku,
        "name": "".join(chance.choice("abdefgiklmnoprstuvz") for _ in range(chance.randrange(4, 12))).title(),
        "price": f"{chance.randrange(50, 9000) / 100:.2f}",
        "category": chance.choice(_CATEGORIES),
        "popularity": round(chance.uniform(0.01, 1), 6),
    }


def _write_shop(writer: _Writer, day: date, seed: int) -> None:
    chance = _chance("shop", seed, day)
    opened = date(2020, 1, 1)
    returning = [_customer(1000 + n, opened, _chance("customer", seed, n)) for n in range(_RETURNING)]
    fresh = [_customer(day.toordinal() * 1000 + n, day, chance) for n in range(90)]
    catalogue = [_product(10000 + n, _chance("product", seed, n)) for n in range(_CATALOGUE)]
    for product in catalogue[-10:]:
        product["price"] = f"{chance.randrange(50, 9000) / 100:.2f}"
    products = [*catalogue, *(_product(day.toordinal() % 10000 * 100 + 1_000_000 + n, chance) for n in range(10))]

    writer.json("products", day, 0, products, _invalid_products(chance), gz=True)
    for hour in range(24):
        arrived = fresh[hour * 90 // 24 : (hour + 1) * 90 // 24]
        customers = [*returning, *arrived] if hour == 0 else list(arrived)
        if hour == 20:  # some rows change, and some are sent again unchanged
            customers += [{**c, "city": "Newtown", "segment": "sports"} for c in fresh[:8]] + fresh[8:12]
        invalid = _invalid_customers(fresh[0], chance) if hour == 9 else []
        orders = [_transaction(day, hour, returning + fresh, products, chance) for _ in range(chance.randrange(8, 24))]
        invalid_orders = _invalid_transactions(orders[0], chance) if hour == 11 else []
        if hour == 15:  # an order of a customer whom no file holds
            orders.append({**_transaction(day, hour, returning, products, chance), "customer_id": "999999999"})
        half = len(orders) // 2 if hour % 6 == 3 else 0  # in some hours there is a .json file and a .json.gz file
        writer.json("customers", day, hour, customers, invalid, gz=hour % 2 == 0)
        writer.json("transactions", day, hour, orders[half:], invalid_orders, gz=True)
        writer.json("transactions", day, hour, orders[:half], [], gz=False)
    erased = [{"customer-id": fresh[20]["id"], "email": fresh[20]["email"]}, {"email": fresh[21]["email"]}]
    invalid_requests = ['{"customer-id": null, "email": null}', '{"customer-id": "1", "email": "not an address"}']
    writer.json("erasure-requests", day, 1, erased, invalid_requests, gz=day.day % 2 == 0)


def _transaction(
    day: date, hour: int, customers: list[dict[str, Any]], products: list[dict[str, Any]], chance: random.Random
) -> dict[str, Any]:
    customer = chance.choice(customers)
    at = datetime(day.year, day.month, day.day, hour, chance.randrange(60), chance.randrange(60), 1)
    cents = 0
    lines = []
    for product in chance.sample(products, chance.randrange(1, 4)):
        quantity = chance.randrange(1, 4)
        price = round(float(product["price"]) * 100)
        cents += price * quantity
        total = f"{price * quantity / 100:.2f}"
        lines.append({"sku": product["sku"], "quanitity": quantity, "price": product["price"], "total": total})
    return {
        "transaction_id": f"{chance.getrandbits(128):032x}",
        "transaction_time": at.isoformat(),
        "customer_id": customer["id"],
        "delivery_address": {k: customer[k] for k in ("address", "postcode", "city", "country")},
        "purchases": {"products": lines, "total_cost": f"{cents / 100:.2f}"},
    }


def _invalid_customers(good: dict[str, Any], chance: random.Random) -> list[str]:
    number = f"8{chance.randrange(10**6):06}"
    rows = [
        {**good, "id": number, "first_name": None},
        {**good, "id": number, "email": "nobody at example.com"},
        {**good, "id": number, "last_change": "2020-02-30"},
        {**good, "id": number, "shoe_size": 42},
        {**good, "id": int(number)},
        {k: v for k, v in good.items() if k != "country"},
    ]
    return [*map(json.dumps, rows), '{"id": "cut off in the mid']


def _invalid_products(chance: random.Random) -> list[str]:
    good = _product(chance.randrange(5000, 6000), chance)
    rows = [
        {**good, "price": "0.00"},
        {**good, "price": "twelve"},
        {**good, "popularity": 0.0},
        {**good, "name": None},
        {**good, "sku": str(good["sku"])},
    ]
    return [json.dumps(row) for row in rows]


def _invalid_transactions(good: dict[str, Any], chance: random.Random) -> list[str]:
    number = f"{chance.getrandbits(128):032x}"
    purchases = good["purchases"]
    rows = [
        {**good, "transaction_id": number, "purchases": {**purchases, "total_cost": "0.01"}},
        {**good, "transaction_id": number, "purchases": {**purchases, "products": []}},
        {**good, "transaction_id": number, "transaction_time": "yesterday"},
        {**good, "transaction_id": number, "delivery_address": {**good["delivery_address"], "city": None}},
        {k: v for k, v in good.items() if k != "customer_id"},
    ]
    return [json.dumps(row) for row in rows]


def _write_events(writer: _Writer, first: date, end: date, seed: int) -> None:
    header = ["event_id", "event_type", "professional_id_anonymized", "created_at", "meta_data"]
    rows = [[n, *event] for n, event in enumerate(sorted(_events(first, end, seed), key=lambda e: (e[2], e[1])), 1)]
    good = rows[-1]
    invalid = [
        [900001, "retired", good[2], good[3], ""],
        [900002, "proposed", good[2], good[3], ""],
        [900003, "created_account", good[2], good[3], "12_dakwerken_roof-works_3.10"],
        [900004, "proposed", good[2], good[3], "dakwerken_roof-works_3.10"],
        [900005, "created_account", good[2], "2020-13-01 00:00:00", ""],
        [900006, "created_account", "one", good[3], ""],
        [900007, "created_account", good[2]],
    ]
    writer.csv("services.events", "services/event_log.csv", header, rows, invalid)


def make_schools_file(file: Path | str, *, districts: int = 200, weeks: int = 10, seed: int = 1) -> Expected:
    """Write the CSV file of learning modalities that the demo serves over http. Same arguments, same bytes."""
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = (
        "district_nces_id district_name week learning_modality operational_schools student_count city state zip_code"
    )
    first = datetime(2021, 8, 1)
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerow(header.split())
        for number in range(districts):
            chance = _chance("district", seed, number)
            town, state = chance.choice(_TOWNS), chance.choice(["AL", "CA", "IL", "NY", "TX", "WA"])
            schools, pupils = chance.randrange(1, 40), chance.randrange(100, 20000)
            fixed = [schools, pupils, town, state, f"{chance.randrange(10000, 99999)}"]
            for week in range(weeks):
                modality = chance.choice(["In Person", "In Person", "Hybrid", "Remote"])
                start = (first + timedelta(weeks=week)).isoformat(timespec="milliseconds")
                name = f'{town} "{number}" School District, {state}'
                writer.writerow([f"{number + 100000:07}", name, start, modality, *fixed])
        invalid = [
            ["0999991", "Nowhere", "2021-08-01T00:00:00.000", "Asleep", 1, 1, "Nowhere", "AL", "10000"],
            ["0999992", "Nowhere", "2021-08-32T00:00:00.000", "Remote", 1, 1, "Nowhere", "AL", "10000"],
            ["0999993", "Nowhere", "2021-08-01T00:00:00.000", "Remote", -1, 1, "Nowhere", "AL", "10000"],
        ]
        writer.writerows(invalid)
    return Expected(files=1, rows=districts * weeks + len(invalid), rejected=len(invalid))


def _events(first: date, end: date, seed: int) -> Iterator[tuple[str, int, str, str]]:
    begin, finish = (datetime(d.year, d.month, d.day) for d in (first, end))
    for professional in range(1, 81):
        chance = _chance("professional", seed, professional)
        at = begin + (finish - begin) * chance.random() * 0.5
        yield "created_account", professional, str(at.replace(microsecond=0)), ""
        is_able = False
        while True:
            at += timedelta(hours=chance.expovariate(1 / 30), minutes=1)
            if at >= finish:
                break
            stamp = str(at.replace(microsecond=0))
            if not is_able or chance.random() < 0.06:
                is_able = not is_able
                yield f"became_{'able' if is_able else 'unable'}_to_propose", professional, stamp, ""
            else:
                number, dutch, english = chance.choice(_SERVICES)
                fee = f"{chance.uniform(0.5, 9):.2f}"
                yield "proposed", professional, stamp, f"{number}_{dutch}_{english}_{fee}"


def as_json(expected: dict[str, Expected]) -> dict[str, dict[str, int]]:
    """Return the expectations as plain dicts, with `loaded` beside the counts."""
    return {name: {**asdict(counts), "loaded": counts.loaded} for name, counts in sorted(expected.items())}
