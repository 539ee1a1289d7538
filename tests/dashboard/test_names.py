"""Names behind references: those of now, and those that have come since."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dashboard import client
from dashboard.names import Names

_NOBODY = dict.fromkeys(
    f"list_{what}"
    for what in (
        "members", "clients", "api_keys", "tenants", "users", "platform_clients",
        "platform_api_keys", "keys",
    )
)  # fmt: skip


def names_of(people: dict[str, str], clock: list[float]) -> tuple[Names, list[float]]:
    asked: list[float] = []

    def fetch(**_):
        asked.append(clock[0])
        items = [
            SimpleNamespace(id=key, name=name, email=f"{key}@acme.example")
            for key, name in people.items()
        ]
        return SimpleNamespace(items=items, next_cursor=None)

    api: Any = SimpleNamespace(**_NOBODY | {"list_members": fetch})
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

    def test_reads_a_long_list_to_its_bound(self):
        pages_asked = []

        def fetch(*, cursor, limit):
            pages_asked.append(cursor)
            items = [SimpleNamespace(id="1", name="Ada")] * limit
            return SimpleNamespace(items=items, next_cursor="more")

        api: Any = SimpleNamespace(**_NOBODY | {"list_members": fetch})
        assert Names(api, frozenset({"member:read"})).of("user:9") == "user:9"
        assert len(pages_asked) == 1000 // client.EXPORT_LIMIT

    def test_leaves_what_it_may_not_know(self):
        names, _ = names_of({}, [0.0])
        assert names.of("system") == "the platform"
        assert names.of("client:1") == "client:1"


class TestWhose:
    def test_tells_two_of_one_name_apart(self):
        names, _ = names_of({"1": "Ada", "2": "Ada"}, [0.0])
        assert names.of("user:1") == names.of("user:2") == "Ada"
        assert names.whose("user:1") == "1@acme.example"
        assert names.whose("user:2") == "2@acme.example"

    def test_says_what_it_is_where_there_is_no_address(self):
        names, _ = names_of({}, [0.0])
        found = [names.whose(one) for one in ("user:9", "client:es_1", "api_key:1", "system")]
        assert found == ["Person", "API client", "API key", "system"]

    def test_knows_people_of_the_platform_behind_those_of_the_tenant(self):
        asked: list[str] = []

        def fetch(noun: str, *items: SimpleNamespace):
            def read(**_):
                asked.append(noun)
                return SimpleNamespace(items=items, next_cursor=None)

            return read

        ada, eve = (
            SimpleNamespace(id=name, name=name, email=f"{name}@acme.example")
            for name in ("ada", "eve")
        )
        api: Any = SimpleNamespace(**_NOBODY)
        api.list_members, api.list_users = fetch("member", ada), fetch("user", eve, ada)
        names = Names(api, frozenset({"member:read", "platform:read"}))
        assert (names.of("user:ada"), asked) == ("ada", ["member"])
        assert (names.of("user:eve"), asked) == ("eve", ["member", "user"])
        assert names.whose("user:eve") == "eve@acme.example"
