"""Searches in a real Elasticsearch 8.19: the same answers as from here, and walls that hold."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from backend.managers.logging import LoggingManager, _index
from backend.settings import Settings
from tests.integration.logging.test_export import logging_settings, push
from tests.integration.logging.test_index import ASKED, SUMMARY, agree_on, ask, messages
from tests.integration.logging.test_search import LOGS, found, said, send, shop
from tests.support.elasticsearch import (
    MISSING,
    Elasticsearch,
    find_elasticsearch,
    real_elasticsearch,
)
from tests.support.platform import App

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Words that would say something else to a query's language, or break out of ours.
HOSTILE_WORDS = (
    "*",
    "hers OR *:*",
    "hers*",
    '") OR (message:*',
    "organization.id:*",
    "_exists_:organization.id",
    "message:hers OR organization.id:{eve}",
    "NOT {eve}",
    "-mine",
    '"hers" -mine',
    "hers} }, {match_all: {} }",
    '{"match_all":{}}',
    '"}]},"must_not":[],"should":[{"match_all":{}}]',
    "/.*/",
    "hers~2",
    "hers^9",
    "[* TO *]",
    ">0 hers",
    "hers\\u0022\\u007d",
    "hers && *",
    "+hers +*",
    "<script>hers</script>",
    "{{query}} hers",
    "\uff48\uff45\uff52\uff53",
    "%22%7D hers",
    "{eve}",
)
HOSTILE_FILTERS: tuple[dict[str, str], ...] = (
    {"source": "*"},
    {"source": "hers"},
    {"source": '"},{"match_all":{}'},
    {"trace_id": "*"},
    {"trace_id": "hers"},
    {"request_id": "hers"},
    {"execution_id": "hers"},
    {"execution_id": "her?"},
    {"trace_id": "hers", "words": "hers"},
    {"level": "trace", "after": "1970-01-01T00:00:00Z", "before": "8999-12-31T00:00:00Z"},
    # Nobody asks for these: they are as if they were not there.
    {"organization.id": "{eve}"},
    {"tenant_id": "{eve}"},
    {"index": "*"},
    {"q": "*:*"},
)


@pytest.fixture(scope="module")
def server() -> Iterator[Elasticsearch]:
    source = find_elasticsearch()
    if source is None:
        pytest.skip(MISSING)
    with real_elasticsearch(source) as made:
        yield made


@pytest.fixture(params=["shared", "tenant"])
def app_settings(
    app_settings: Settings, server: Elasticsearch, request: pytest.FixtureRequest
) -> Settings:
    made = logging_settings(
        server.url,
        elasticsearch_prefix=f"logs-{secrets.token_hex(4)}",
        elasticsearch_timeout_seconds=60,
        elasticsearch_search_seconds=60,
        elasticsearch_streams=request.param,
    )
    return app_settings.model_copy(update={"logging": made})


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each search finds what was sent just before it; a second between them is told elsewhere."""
    monkeypatch.setattr(_index, "_REFRESH_SECONDS", 0.0)


class TestARealServer:
    async def test_answers_as_the_database_does(self, app: App) -> None:
        ada = await shop(app)
        await push(app)
        for asked in ASKED:
            await agree_on(app, ada, asked)
        one_a_page = await found(ada, limit=1)
        assert one_a_page == await found(ada)
        assert len(one_a_page) == 5

    async def test_goes_on_over_its_next_index_and_with_lines_that_are_not_there(
        self, app: App, server: Elasticsearch
    ) -> None:
        ada = await app.caller()
        await send(ada, *(said(minutes, f"line_{minutes}") for minutes in range(1, 31, 3)))
        await push(app)
        stream = (await ada.http.get("/api/v1/log-export")).json()["stream"]
        server.ask("POST", f"/{stream}/_rollover")
        await send(ada, *(said(minutes, f"line_{minutes}") for minutes in range(2, 31, 3)))
        await push(app)
        await send(ada, *(said(minutes, f"line_{minutes}") for minutes in range(3, 31, 3)))
        wanted = [f"line_{minutes}" for minutes in range(30, 0, -1)]
        for limit in (1, 7, 50):
            assert await found(ada, limit=limit, words="line") == wanted
        page = await ask(ada)
        assert (page["store"]["name"], page["store"]["behind_records"]) == ("elasticsearch", 10)
        assert (await ask(ada, SUMMARY, words="line"))["count"] == 30

    async def test_gives_nobody_anothers_lines_whatever_they_ask(self, app: App) -> None:
        ada, eve = await app.caller(), await app.caller()
        named = ("service.name", "trace.id", "http.request.id", "execution.id")
        mine: dict[str, Any] = dict.fromkeys(named, "mine")
        hers: dict[str, Any] = dict.fromkeys(named, "hers")
        await send(ada, *(said(number, f"mine {number}", **mine) for number in range(1, 4)))
        await send(
            eve,
            *(said(number + 0.5, f"hers {number} {eve.tenant.id}", **hers) for number in range(9)),
        )
        await push(app)
        index = app.platform.of(LoggingManager).index
        asked = (*({"words": one} for one in HOSTILE_WORDS), *HOSTILE_FILTERS)
        queries = [
            {name: value.replace("{eve}", eve.tenant.id) for name, value in one.items()}
            for one in asked
        ]
        for query in queries:
            for path in (LOGS, SUMMARY):
                answer = await ada.http.get(path, params=query)
                assert answer.status_code in {200, 422}, (query, answer.text)
                assert "hers" not in answer.text.replace(eve.tenant.id, ""), query
                if answer.status_code == 422:
                    continue
                told = answer.json()
                assert told["store"]["name"] == "elasticsearch", (query, told["store"])
                assert not index._resting, "no question makes it fail"
                if path == LOGS:
                    assert all(one.startswith("mine") for one in messages(told)), query
                else:
                    assert told["count"] <= 3, query
        # Her cursors lead through mine alone.
        page = await ask(eve, limit=1)
        while page["next_cursor"]:
            own = await ask(ada, cursor=page["next_cursor"])
            assert all(one.startswith("mine") for one in messages(own))
            page = await ask(eve, limit=1, cursor=page["next_cursor"])
        for cursor in ("x", "*", '{"pit":{"id":"a"}}', "A" * 22, "_" * 21 + "w"):
            answer = await ada.http.get(LOGS, params={"cursor": cursor})
            assert answer.status_code in {200, 422}, cursor
            assert "hers" not in answer.text
