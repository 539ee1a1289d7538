"""Lines are looked for where they were exported to, and the answer is the same as from here."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.subject import Subject
from backend.managers.logging import LoggingManager
from backend.managers.logging.models import LogExportRow, LogRecord
from backend.settings import Settings
from tests.integration.logging.test_export import (
    CONFLICT,
    LETTERS,
    SHARED,
    logging_settings,
    push,
)
from tests.integration.logging.test_search import LOGS, SETTINGS, found, said, send, shop
from tests.support.elasticsearch import FakeElasticsearch, answer_search, fake_elasticsearch
from tests.support.platform import App, TenantClient

SUMMARY = f"{LOGS}/summary"
# What lines are asked for by, of `shop`, alone and together.
ASKED: tuple[dict[str, str], ...] = (
    {},
    {"level": "warn"},
    {"source": "shop"},
    {"source": ""},
    {"trace_id": "t1"},
    {"request_id": "r1"},
    {"execution_id": "7"},
    {"words": "payment"},
    {"words": "failed"},
    {"words": '"payment failed"'},
    {"words": '"failed payment"'},
    {"words": "pay*"},
    {"words": '"payment fail"*'},
    {"words": "payment -retried"},
    {"words": "GRÖSSE"},
    {"words": "größe 42"},
    {"words": "nothing"},
    {"words": "payment", "level": "error", "source": "shop"},
)


@pytest.fixture
async def server() -> AsyncIterator[FakeElasticsearch]:
    async with fake_elasticsearch() as made:
        yield made


@pytest.fixture
def app_settings(app_settings: Settings, server: FakeElasticsearch) -> Settings:
    # Patient: a machine that has much to do is no cluster that fails.
    patient = dict.fromkeys(("elasticsearch_timeout_seconds", "elasticsearch_search_seconds"), 60)
    return app_settings.model_copy(update={"logging": logging_settings(server.url, **patient)})


async def ask(caller: TenantClient, path: str = LOGS, **query: Any) -> dict[str, Any]:
    answer = await caller.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def messages(page: dict[str, Any]) -> list[str]:
    return [one["message"] for one in page["items"]]


async def agree_on(app: App, caller: TenantClient, asked: dict[str, str]) -> None:
    """Whether both stores give the same lines and counts to a question."""
    now = datetime.now(UTC)
    since, until = (now - timedelta(hours=2)).isoformat(), now.isoformat()
    index = app.platform.of(LoggingManager).index
    there = (
        await ask(caller, **asked),
        await ask(caller, SUMMARY, **asked, after=since, before=until),
    )
    index._settings = index._settings.model_copy(update={"elasticsearch_search": False})
    here = (
        await ask(caller, **asked),
        await ask(caller, SUMMARY, **asked, after=since, before=until),
    )
    index._settings = index._settings.model_copy(update={"elasticsearch_search": True})
    for mine, theirs in zip(here, there, strict=True):
        stores = mine.pop("store")["name"], theirs.pop("store")["name"]
        assert stores == ("database", "elasticsearch"), asked
        assert mine == theirs, asked


class TestAnswers:
    async def test_are_the_same_from_either_store(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await shop(app)
        await push(app)
        for asked in ASKED:
            await agree_on(app, ada, asked)
        assert server.searches
        assert not server.views, "each point in time was let go of"

    async def test_have_what_is_not_exported_yet_in_its_place(self, app: App) -> None:
        ada = await app.caller()
        await send(ada, *(said(minutes, f"line {minutes}") for minutes in range(1, 20, 2)))
        await push(app)
        await send(ada, *(said(minutes, f"line {minutes}") for minutes in range(2, 21, 2)))
        wanted = [f"line {minutes}" for minutes in range(20, 0, -1)]
        for limit in (3, 19, 20, 50):
            assert await found(ada, limit=limit) == wanted
        page = await ask(ada, limit=5)
        store = page["store"]
        assert (store["name"], store["behind_records"]) == ("elasticsearch", 10)
        assert store["behind_seconds"] >= 0
        summary = await ask(ada, SUMMARY)
        assert (summary["count"], summary["complete"]) == (20, True)
        assert summary["store"]["name"] == "elasticsearch"

    async def test_have_lines_that_elasticsearch_refuses_and_tell_of_those_given_up(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        server.refuse = lambda one: (400, CONFLICT) if one["event"]["sequence"] == 2 else None
        await send(ada, *(said(9 - number, f"line {number}") for number in range(1, 4)))
        await push(app)
        assert await found(ada) == ["line 1", "line 2", "line 3"]
        assert (await ask(ada, SUMMARY))["count"] == 3
        assert (await ada.http.post(f"{LETTERS}/forget", json={})).json() == {"count": 1}
        page = await ask(ada)
        assert messages(page) == ["line 3", "line 1"]
        assert page["store"]["given_up_records"] == 1

    async def test_have_nothing_that_was_let_go_or_erased_here(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await send(ada, *(said(9 - number, f"line {number}") for number in range(1, 4)))
        await send(ada, said(1, "mail to eve@example.com"))
        await push(app)
        scope = Scope("test", ada.tenant.id)
        async with app.platform.database.transaction(scope) as tx:
            await tx.delete_some(LogRecord, LogRecord.seq == 2, limit=1)
        who = Subject(None, "eve@example.com", "erased", datetime.now(UTC))
        async with app.platform.database.transaction(scope) as tx:
            await app.platform.of(LoggingManager).erase(tx, who, "")
        assert len(server.ids()) == 4
        assert await found(ada, words="line", limit=1) == ["line 1", "line 3"]
        assert await found(ada, words="eve") == []
        assert "eve@example.com" not in json.dumps(await ask(ada))

    async def test_count_nothing_that_retention_lets_go(self, app: App) -> None:
        ada = await app.caller("owner")
        old, days = 3 * 24 * 60, 24 * 60
        await send(
            ada,
            said(old, "old", level="debug"),
            said(old, "old", level="error"),
            said(old, "old", source="shop"),
            said(1, "new", level="debug"),
        )
        await push(app)
        rules = [{"days": 1, "levels": ["debug"]}, {"days": 2, "source": "shop"}]
        put = await ada.http.put(SETTINGS, json={"keep_days": 30, "retention": rules})
        assert put.status_code == 200
        since = (datetime.now(UTC) - timedelta(minutes=5 * days)).isoformat()
        summary = await ask(ada, SUMMARY, after=since)
        assert {one["value"]: one["count"] for one in summary["levels"]} == {
            "error": 1,
            "debug": 1,
        }

    async def test_are_no_lines_of_others_whatever_elasticsearch_says(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada, eve = await app.caller(), await app.caller()
        await send(ada, said(1, "mine"))
        await send(eve, said(2, "hers"))
        await push(app)
        every = [one for index in server.streams[SHARED] for one in index.values()]
        server.search = lambda _, told: answer_search(every, told)
        assert messages(await ask(ada)) == ["mine"]
        assert messages(await ask(eve)) == ["hers"]


class TestACluster:
    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ((503, {"error": {"type": "t", "reason": "not yet"}}, {}), "503 t: not yet"),
            ((200, "no JSON", {}), "no answer of the search API"),
            ((404, {"error": {"type": "index_not_found_exception"}}, {}), "404"),
            (None, "Elasticsearch: "),
        ],
    )
    async def test_that_fails_is_told_of_and_the_database_answers(
        self, app: App, server: FakeElasticsearch, answer: Any, reason: str
    ) -> None:
        ada = await app.caller()
        await send(ada, said(1, "line"))
        await push(app)
        server.no_search = answer
        page = await ask(ada)
        assert (messages(page), page["store"]["name"]) == (["line"], "database")
        assert reason in page["store"]["reason"]
        assert server.url.removeprefix("http://") not in page["store"]["reason"]
        asked = len(server.requests)
        summary = await ask(ada, SUMMARY)
        assert (summary["count"], summary["store"]["name"]) == (1, "database")
        assert len(server.requests) == asked, "it is left alone for a while"
        server.no_search = ...
        app.platform.of(LoggingManager).index._resting.clear()
        assert (await ask(ada))["store"]["name"] == "elasticsearch"

    async def test_that_takes_too_long_is_told_of(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await send(ada, said(1, "line"))
        await push(app)
        server.search = lambda _, __: {"timed_out": True, "hits": {"hits": []}}
        page = await ask(ada)
        assert (messages(page), page["store"]["name"]) == (["line"], "database")
        assert "too long" in page["store"]["reason"]

    async def test_that_is_far_behind_or_has_nothing_is_not_asked(
        self, app: App, server: FakeElasticsearch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada = await app.caller()
        await send(ada, said(3, "line"))
        page = await ask(ada)
        assert (messages(page), page["store"]["reason"]) == (["line"], "Nothing is exported yet")
        await push(app)
        monkeypatch.setattr("backend.managers.logging._index._MOST_BEYOND", 1)
        await send(ada, said(2, "line"), said(1, "line"))
        page = await ask(ada)
        assert len(page["items"]) == 3
        assert page["store"]["name"] == "database"
        assert page["store"]["reason"] == "Too many lines are not exported"
        assert not server.searches

    async def test_is_not_refreshed_for_lines_that_it_has_had_for_long(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await send(ada, said(1, "line"))
        await push(app)

        def refreshed() -> int:
            return sum(path.endswith("/_refresh") for _, path in server.requests)

        await ask(ada)
        assert refreshed() == 1
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            await tx.execute(
                sa.update(LogExportRow)
                .where(LogExportRow.tenant_id == ada.tenant.id)
                .values(delivered_at=tx.now() - timedelta(minutes=5))
            )
        await ask(ada)
        assert refreshed() == 1
