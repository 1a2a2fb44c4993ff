"""Yelp's businesses: attributes that are texts, literals and dirt, told in sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tastebench.data.sources.yelp import read_businesses, sentences


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("BikeParking", "True", ["Has BikeParking."]),
        ("Good_For", True, ["Has Good For."]),
        ("BikeParking", "False", []),
        ("Alcohol", "None", []),
        ("Alcohol", None, []),
        ("WiFi", "u'free'", ["WiFi is u'free'."]),
        ("RestaurantsPriceRange2", "2", ["RestaurantsPriceRange2: $$."]),
        ("RestaurantsPriceRange2", "7", ["RestaurantsPriceRange2 is 7."]),
        ("NoiseLevel", "2", ["NoiseLevel is 2."]),
        (
            "BusinessParking",
            "{'garage': False, 'street': True, u'valet_lot': True, 'lot': True}",
            ["BusinessParking has street, valet lot, and lot."],
        ),
        ("Music", {"dj": True, "live": False}, ["Music has dj."]),
        ("Good", "{'lunch': True, 'brunch': True}", ["Good has lunch, and brunch."]),
        ("Dress", "{'code': 'casual', 'note': None, 'kept': True}",
         ["Dress code is casual.", "Dress has kept."]),
        ("Music", "{}", []),
        ("Music", "{'dj': ", ["Music is {'dj': ."]),
        ("Music", "{'dj': broken}", ["Music is {'dj': broken}."]),
        ("Music", "{'a', 'b'}", ["Music is {'a', 'b'}."]),
    ],
)  # fmt: skip
def test_an_attribute_in_sentences(name: str, value: object, told: list[str]) -> None:
    assert list(sentences(name, value)) == told


def test_a_literal_is_parsed_and_never_run(tmp_path: Path) -> None:
    target = tmp_path / "made"
    value = f"{{'a': open({str(target)!r}, 'w')}}"
    assert list(sentences("Music", value)) == [f"Music is {value}."]
    assert not target.exists()


def test_businesses_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "business.json"
    records = [
        {
            "business_id": "b1",
            "name": "Café Uno",
            "city": "Phoenix",
            "state": "AZ",
            "stars": 3.5,
            "review_count": 8,
            "is_open": 0,
            "categories": "Coffee & Tea, Food",
            "attributes": {"BikeParking": "True", "WiFi": "u'no'"},
            "hours": {"Monday": "8:0-0:30", "Sunday": "0:0-0:0", "Friday": "closed"},
        },
        # Older releases have lists, and anything may be null.
        {"business_id": "b2", "name": "", "categories": ["Bars"], "attributes": None},
        {"business_id": "b3", "name": "Tres", "categories": None, "hours": None, "stars": 4},
    ]
    path.write_text("\n".join(map(json.dumps, records)) + "\n\n", encoding="utf-8")
    assert read_businesses(path).rows() == [
        (
            "b1",
            "Café Uno",
            ["Coffee & Tea", "Food"],
            3.5,
            8,
            "Phoenix",
            "AZ",
            ["Has BikeParking.", "WiFi is u'no'."],
            ["Monday: 8:00am-12:30am", "Friday: closed"],
        ),
        ("b2", None, ["Bars"], None, None, None, None, [], []),
        ("b3", "Tres", [], 4.0, None, None, None, [], []),
    ]
