"""Looking for lines: found by all that they say, and never by another tenant."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.managers.logging import _search
from backend.worker import sweep
from tests.support.platform import App, TenantClient

LOGS = "/api/v1/logs"
SETTINGS = "/api/v1/log-settings"


async def send(caller: TenantClient, *lines: dict[str, Any]) -> None:
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    answer = await caller.http.post(LOGS, content=body)
    assert (answer.status_code, answer.json()["accepted"]) == (200, len(lines)), answer.text


async def found(caller: TenantClient, **query: Any) -> list[str]:
    """The messages of all pages, oldest first."""
    messages: list[str] = []
    while True:
        answer = await caller.http.get(LOGS, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        messages += [one["message"] for one in page["items"]]
        if page["next_cursor"] is None:
            return messages[::-1]
        query["cursor"] = page["next_cursor"]


def ago(minutes: float) -> datetime:
    """Of now, and not of when the run began: an hour later its lines were of no last hour."""
    return datetime.now(UTC) - timedelta(minutes=minutes)


def said(minutes: float, message: str, **more: Any) -> dict[str, Any]:
    """A line of so many minutes ago."""
    at = ago(minutes).isoformat()
    return {"@timestamp": at, "message": message, **more}


async def shop(app: App) -> TenantClient:
    """A tenant with some lines, and another one with the same."""
    ada, eve = await app.caller("owner"), await app.caller("owner")
    lines = [
        said(50, "payment.failed for Größe 42", level="error", source="shop", trace_id="t1"),
        said(40, "payment retried", level="warn", source="shop", request_id="r1"),
        said(30, "mail sent", source="mail", execution_id="7"),
        said(20, "payment settled", level="debug", source="shop", trace_id="t1"),
        said(10, "failed to pay", level="fatal", source="bank"),
    ]
    await send(ada, *lines)
    await send(eve, *({**line, "message": f"eve {line['message']}"} for line in lines))
    return ada


@pytest.mark.parametrize("looked_at", [500, 2])
async def test_lines_are_found_by_all_that_they_say(
    app: App, looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the newest lines are not looked at one by one, but by the words' index."""
    monkeypatch.setattr(_search, "_LOOKED_AT", looked_at)
    monkeypatch.setattr(_search, "_STRETCH", looked_at)
    ada = await shop(app)
    first, second, third, fourth, fifth = everything = await found(ada)
    assert everything == await found(ada, limit=2)
    tries: list[tuple[dict[str, Any], list[str]]] = [
        ({"level": "error"}, [first, fifth]),
        ({"source": "shop"}, [first, second, fourth]),
        ({"source": "shop", "level": "warn"}, [first, second]),
        ({"trace_id": "t1"}, [first, fourth]),
        ({"request_id": "r1"}, [second]),
        ({"execution_id": "7"}, [third]),
        ({"trace_id": "t1", "words": "settled"}, [fourth]),
        ({"words": "payment"}, [first, second, fourth]),
        ({"words": "PAYMENT -retried"}, [first, fourth]),
        ({"words": "payment failed"}, [first]),
        ({"words": '"payment failed"'}, [first]),
        ({"words": '"failed payment"'}, []),
        ({"words": "pay*"}, [first, second, fourth, fifth]),
        ({"words": "größe"}, [first]),
        ({"words": "grosse"}, []),
        ({"words": "eve"}, []),
        ({"words": "payment", "level": "warn"}, [first, second]),
        ({"after": ago(35).isoformat()}, [third, fourth, fifth]),
        ({"before": ago(35).isoformat()}, [first, second]),
        ({"words": "pay*", "before": ago(15).isoformat(), "limit": 1},
         [first, second, fourth]),
    ]  # fmt: skip
    for query, wanted in tries:
        assert await found(ada, **query) == wanted, query


@pytest.mark.parametrize(("hits", "strays"), [(2000, 20_000), (8, 20_000), (8, 5), (60, 20_000)])
@pytest.mark.parametrize("disorder", [0, 0.05, 1])
async def test_lines_that_came_late_stand_where_they_happened(
    app: App, hits: int, strays: int, disorder: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few of an index's newest are looked at: what came before them may be newer."""
    monkeypatch.setattr(_search, "_HITS", hits)
    monkeypatch.setattr(_search, "_STRAYS", strays)
    monkeypatch.setattr(_search, "_LOOKED_AT", 10)
    rng = random.Random(11)
    minutes = [300.0 - number for number in range(120)]
    for place in range(len(minutes)):
        if rng.random() < disorder:
            other = rng.randrange(len(minutes))
            minutes[place], minutes[other] = minutes[other], minutes[place]
    lines = [
        said(when, f"{when:.0f} {'even' if when % 2 == 0 else 'odd'}", level=level)
        for when in minutes
        for level in [rng.choice(["info", "error"])]
    ]
    ada, eve = await app.caller("owner"), await app.caller("owner")
    await send(ada, *lines)
    await send(eve, *lines[::-1])
    for words in ("even", "even -180", "ev*", "odd"):
        for query in (
            {},
            {"level": "error"},
            {"before": ago(205.5).isoformat()},
            {"before": ago(205.5).isoformat(), "after": ago(250.5).isoformat(), "level": "error"},
        ):
            wanted = [
                line["message"]
                for line in sorted(lines, key=lambda line: line["@timestamp"])
                if words.split()[0].strip("*") in line["message"]
                and not ("-" in words and line["message"].startswith("180 "))
                and line["level"] == query.get("level", line["level"])
                and query.get("after", "") <= line["@timestamp"] < query.get("before", "3")
            ]
            said_so = {**query, "words": words}
            assert await found(ada, **said_so, limit=7) == wanted, said_so
            assert await found(eve, **said_so, limit=30) == wanted, said_so


async def test_hostile_words_find_nothing_of_others(app: App) -> None:
    ada = await shop(app)
    for words in (
        "eve OR payment", "* eve", '"eve" OR "1"', "message:eve", "{message}: eve", "eve NOT x",
        "NEAR(eve payment)", "^eve", "eve' OR '1'='1", "'eve':*", "tenant:*", "eve | payment",
    ):  # fmt: skip
        answer = await ada.http.get(LOGS, params={"words": words})
        assert answer.status_code in {200, 422}, words
        for one in answer.json().get("items", []):
            assert not one["message"].startswith("eve"), words
    answer = await ada.http.get(LOGS, params={"words": "-eve"})
    assert answer.json()["code"] == "logging.search_invalid"


async def test_lines_are_summed_up_by_time_level_and_source(app: App) -> None:
    ada = await shop(app)
    until = {"before": ago(-1).isoformat()}
    made = (await ada.http.get(f"{LOGS}/summary", params=until)).json()
    assert (made["count"], made["step_seconds"], made["complete"]) == (5, 60, True)
    assert made["levels"] == [
        {"value": name, "count": 1} for name in ("fatal", "error", "warn", "info", "debug")
    ]
    assert made["sources"][0] == {"value": "shop", "count": 3}
    assert [one["levels"] for one in made["steps"]] == [
        {"error": 1}, {"warn": 1}, {"info": 1}, {"debug": 1}, {"fatal": 1},
    ]  # fmt: skip
    at = datetime.fromisoformat(made["steps"][0]["at"])
    oldest = (await ada.http.get(LOGS)).json()["items"][-1]
    assert at <= datetime.fromisoformat(oldest["at"]) < at + timedelta(minutes=1)
    made = (await ada.http.get(f"{LOGS}/summary", params=until | {"words": "payment"})).json()
    assert made["count"] == 3
    for after, before in [("2026-01-02", "2026-01-01"), ("0001-01-01", "0001-01-02")]:
        wrong = {"after": f"{after}T00:00:00Z", "before": f"{before}T00:00:00Z"}
        answer = await ada.http.get(f"{LOGS}/summary", params=wrong)
        assert answer.json()["code"] == "logging.search_invalid"
    for one in ({"before": "0001-01-01T00:00:00Z"}, {"after": "9998-01-01T00:00:00Z"}):
        answer = await ada.http.get(f"{LOGS}/summary", params=one)
        assert answer.status_code in {200, 422}, answer.text
        assert (await ada.http.get(LOGS, params=one)).json()["items"] == []


async def test_a_line_is_shown_among_those_of_its_source(app: App) -> None:
    ada, eve = await shop(app), await app.caller("owner")
    (line,) = (await ada.http.get(LOGS, params={"words": "retried"})).json()["items"]
    assert (await ada.http.get(f"{LOGS}/{line['id']}")).json() == line
    around = (await ada.http.get(f"{LOGS}/{line['id']}/context", params={"lines": 1})).json()
    assert [one["message"] for one in around["items"]] == [
        "payment.failed for Größe 42", "payment retried", "payment settled",
    ]  # fmt: skip
    for path in (line["id"], f"{line['id']}/context"):
        answer = await eve.http.get(f"{LOGS}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "logging.record_not_found")


async def test_a_tail_gives_each_line_once_as_it_comes(app: App) -> None:
    ada = await app.caller("owner")
    assert (await ada.http.get(f"{LOGS}/tail")).json() == {"items": [], "seq": 0}
    await send(ada, said(1, "a"), said(9, "late"), said(0, "b", level="error"))
    seen = (await ada.http.get(f"{LOGS}/tail", params={"limit": 2})).json()
    assert [one["message"] for one in seen["items"]] == ["late", "b"]
    await send(ada, said(5, "c"), said(5, "d", level="error"))
    more = {"after_seq": seen["seq"]}
    items = (await ada.http.get(f"{LOGS}/tail", params=more)).json()["items"]
    assert [(one["seq"], one["message"]) for one in items] == [(4, "c"), (5, "d")]
    found = (await ada.http.get(f"{LOGS}/tail", params={**more, "level": "error"})).json()
    assert ([one["message"] for one in found["items"]], found["seq"]) == (["d"], 5)
    found = (await ada.http.get(f"{LOGS}/tail", params={**more, "limit": 1})).json()
    assert ([one["message"] for one in found["items"]], found["seq"]) == (["c"], 4)


class TestSettings:
    async def test_take_out_what_they_say_from_the_next_line_on(self, app: App) -> None:
        ada = await app.caller("owner")
        line = said(1, "C-1 password=hunter2 ada@example.test", user={"token": "x"})
        await send(ada, line)
        put = {
            "keep_days": 7,
            "hidden": ["email_address"],
            "patterns": [{"name": "customer", "expression": r"C-\d"}],
        }
        answer = await ada.http.put(SETTINGS, json=put)
        assert answer.status_code == 200, answer.text
        assert (await ada.http.get(SETTINGS)).json() == answer.json()
        await send(ada, line)
        # Of one moment, and of two batches: which of them stands first is chance.
        assert sorted(await found(ada)) == [
            "C-1 password=[credential] ada@example.test",
            "[customer] password=hunter2 [email_address]",
        ]
        (entry,) = await ada.audit(app.platform, "log_settings.changed")
        assert entry.data["keep_days"] == 7
        assert entry.data["patterns"] == ["customer"]
        assert r"C-\d" not in json.dumps(entry.data)

    async def test_are_refused_where_they_cannot_be_kept(self, app: App) -> None:
        ada, eve = await app.caller("owner"), await app.caller("operator")
        assert (await eve.http.put(SETTINGS, json={"keep_days": 7})).status_code == 403
        for put, place in [
            ({"keep_days": 401}, "/body/keep_days"),
            ({"keep_days": 7, "retention": [{"days": 9}]}, "/body/retention/0"),
            ({"keep_days": 7, "retention": [{"days": 999, "levels": ["debug"]}]},
             "/body/retention/0/days"),
            ({"keep_days": 7, "patterns": [{"name": "x", "expression": "("}]},
             "/body/patterns/0/expression"),
        ]:  # fmt: skip
            answer = await ada.http.put(SETTINGS, json=put)
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["pointer"] == place, answer.text
        tag = (await ada.http.get(SETTINGS)).headers["ETag"]
        await ada.http.put(SETTINGS, json={"keep_days": 7}, headers={"If-Match": tag})
        late = await ada.http.put(SETTINGS, json={"keep_days": 8}, headers={"If-Match": tag})
        assert (late.status_code, late.json()["code"]) == (412, "logging.settings_changed")

    async def test_say_how_long_lines_are_kept(self, app: App) -> None:
        ada, eve = await app.caller("owner"), await app.caller("owner")
        day = 24 * 60
        lines = [
            said(40 * day, "old"),
            said(20 * day, "young"),
            said(20 * day, "chatter", level="debug"),
            said(20 * day, "kept chatter", level="debug", source="audited"),
            said(300 * day, "grave", level="fatal"),
            said(0, "chatter of today", level="debug"),
        ]
        await send(ada, *lines)
        await send(eve, *lines)
        rules = [
            {"days": 365, "source": "audited"},
            {"days": 365, "levels": ["error", "fatal"]},
            {"days": 7, "levels": ["trace", "debug"]},
        ]
        put = {"keep_days": 30, "retention": rules}
        assert (await ada.http.put(SETTINGS, json=put)).status_code == 200
        await sweep(app.platform, "test")
        assert sorted(await found(ada)) == ["chatter of today", "grave", "kept chatter", "young"]
        assert sorted(await found(ada, words="chatter")) == ["chatter of today", "kept chatter"]
        assert sorted(await found(eve)) == ["chatter", "chatter of today", "kept chatter", "young"]
        assert await found(eve, words="old") == []
