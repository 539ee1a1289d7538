"""Names behind references: those of now, and those that have come since."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dashboard.names import Names, kind_of


def names_of(people: dict[str, str], clock: list[float]) -> tuple[Names, list[float]]:
    asked: list[float] = []

    def fetch(**_):
        asked.append(clock[0])
        items = [SimpleNamespace(id=key, name=name) for key, name in people.items()]
        return SimpleNamespace(items=items, next_cursor=None)

    api: Any = SimpleNamespace(
        list_members=fetch, list_clients=None, list_api_keys=None, list_tenants=None
    )
    return Names(api, frozenset({"member:read"}), lambda: clock[0]), asked


class TestNamesOf:
    def test_knows_who_came_since_within_seconds(self):
        people, clock = {"1": "Ada"}, [0.0]
        names, _ = names_of(people, clock)
        assert names.of("user:1") == "Ada"
        people["2"] = "Max"
        clock[0] += 6
        assert names.of("user:2") == "Max"

    def test_knows_another_name_within_a_minute(self):
        people, clock = {"1": "Ada"}, [0.0]
        names, _ = names_of(people, clock)
        assert names.of("user:1") == "Ada"
        people["1"] = "Ada Lovelace"
        clock[0] += 61
        assert names.of("user:1") == "Ada Lovelace"

    def test_asks_once_for_many_who_have_left(self):
        clock = [0.0]
        names, asked = names_of({"1": "Ada"}, clock)
        assert [names.of(f"user:{n}") for n in range(2, 9)] == [f"user:{n}" for n in range(2, 9)]
        assert asked == [0.0]


class TestKindOf:
    def test_tells_two_of_one_name_apart(self):
        assert kind_of("user:0199c0de-0000-7000-8000-0000000abcde") == "Person …0abcde"
        assert kind_of("client:es_123456") == "API client …123456"
        assert kind_of("system") == "system"
