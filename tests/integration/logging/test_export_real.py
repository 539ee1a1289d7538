"""The export into a real Elasticsearch 8.19: what it keeps, refuses, and pushes back."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from backend.core.context import Scope
from backend.managers.logging import LogExport, LoggingManager, LoggingSettings
from backend.settings import Settings
from tests.integration.logging.test_export import (
    LETTERS,
    end_lease,
    letters,
    logging_settings,
    push,
    state,
    write,
)
from tests.support.elasticsearch import (
    MISSING,
    Elasticsearch,
    find_elasticsearch,
    real_elasticsearch,
)
from tests.support.platform import App

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def server() -> Iterator[Elasticsearch]:
    source = find_elasticsearch()
    if source is None:
        pytest.skip(MISSING)
    # As little as it takes for a test to reach: bulks of more than 40 KiB are too large.
    with real_elasticsearch(source, **{"http.max_content_length": "40kb"}) as made:
        yield made


@pytest.fixture
def shared() -> str:
    """A data stream of the test's own: this distribution has no way to take one away."""
    return f"logs-{secrets.token_hex(4)}-shared"


@pytest.fixture
def app_settings(app_settings: Settings, server: Elasticsearch, shared: str) -> Settings:
    return app_settings.model_copy(update={"logging": settings_of(server, shared)})


def settings_of(server: Elasticsearch, shared: str) -> LoggingSettings:
    return logging_settings(
        server.url,
        elasticsearch_prefix=shared.removesuffix("-shared"),
        elasticsearch_bulk_documents=200,
        elasticsearch_timeout_seconds=60,
    )


class TestARealServer:
    async def test_keeps_each_line_once_as_ecs_has_it(
        self, app: App, server: Elasticsearch, shared: str
    ) -> None:
        ada = await app.caller()
        strange = {
            "labels": {"tries": 3, "ok": True, "rate": 1.5, "none": None, "list": [1, "a", {}]},
            "a.b..c": "dots",
            " ": "blank",
            "": "empty",
            "deep": {"a": {"b": {"c": {"d": {"e": {"f": "g"}}}}}},
            "long": "x" * 20_000,
        }
        at = "2026-01-31T08:00:00.123456Z"
        named = {"@timestamp": at, "service.name": "shop", "trace.id": "t", "execution.id": "9"}
        await write(ada, 3, **named, **strange)
        # The same name with another type: one field for all of them has no types to conflict.
        await write(ada, 2, labels="a text")
        await push(app)
        assert await letters(ada) == []
        found = server.documents(shared)
        assert [one["event"]["sequence"] for one in found] == [1, 2, 3, 4, 5]
        assert found[0]["@timestamp"] == at
        assert found[0]["fields"] == strange
        assert found[0]["organization"] == {"id": ada.tenant.id}
        for query in (
            {"term": {"service.name": "shop"}},
            {"term": {"trace.id": "t"}},
            {"term": {"fields.labels.tries": "3"}},
            {"range": {"@timestamp": {"gte": at, "lte": at}}},
        ):
            counted = server.ask("POST", f"/{shared}/_count", {"query": query})
            assert counted["count"] == 3, query
        counted = server.ask("POST", f"/{shared}/_count", {"query": {"match": {"message": "LINE"}}})
        assert counted["count"] == 5

    async def test_takes_nothing_twice_even_in_its_next_index(
        self, app: App, server: Elasticsearch, shared: str
    ) -> None:
        ada = await app.caller()
        await write(ada, 150)
        database, export = (
            app.platform.database,
            LogExport(settings_of(server, shared), app.platform.outbound),
        )
        from_before = app.platform.of(LoggingManager).export
        async with database.transaction(Scope("test", ada.tenant.id)) as tx:
            turn = await from_before._take(tx)
        assert turn is not None
        sent = await from_before._deliver(turn.stream, turn.documents[:100], unsure=False)
        assert len(sent.found.done) == 100
        again = await from_before._deliver(turn.stream, turn.documents[:100], unsure=False)
        assert len(again.found.done) == 100, "409 is as good as 201"
        # It dies; the stream goes over to its next index; somebody else goes on.
        server.ask("POST", f"/{shared}/_rollover")
        await end_lease(app, ada)
        await push(app, export, rounds=2)
        found = server.documents(shared)
        assert [one["event"]["sequence"] for one in found] == [*range(1, 151)]
        now = await state(ada)
        assert (now["state"], now["exported"], now["dead"]) == ("current", 150, 0)

    async def test_that_finds_a_bulk_too_large_gets_it_in_parts(
        self, app: App, server: Elasticsearch, shared: str
    ) -> None:
        ada = await app.caller()
        await write(ada, 100, text="x" * 1000)
        await push(app)
        assert len(server.documents(shared)) == 100
        assert (await state(ada))["exported"] == 100

    async def test_whose_mapping_conflicts_says_why_and_takes_the_others(
        self, app: App, server: Elasticsearch, shared: str
    ) -> None:
        template: dict[str, Any] = {
            "index_patterns": [f"{shared}*"],
            "data_stream": {},
            "priority": 900,
            "template": {
                "mappings": {
                    "dynamic": False,
                    "properties": {"fields": {"properties": {"code": {"type": "long"}}}},
                }
            },
        }
        server.ask("PUT", f"/_index_template/other-{shared}", template)
        ada = await app.caller()
        await write(ada, 2, code=5)
        await write(ada, 1, code="not a number")
        await write(ada, 2, code=6)
        await push(app)
        found = server.documents(shared)
        assert [one["event"]["sequence"] for one in found] == [1, 2, 4, 5]
        (letter,) = await letters(ada)
        assert (letter["seq"], letter["status"]) == (3, 400)
        assert letter["kind"] == "document_parsing_exception"
        assert "fields.code" in letter["reason"]
        # Somebody mends the mapping; the stream's next index has it.
        template["template"]["mappings"]["properties"] = {"fields": {"type": "flattened"}}
        server.ask("PUT", f"/_index_template/other-{shared}", template)
        server.ask("POST", f"/{shared}/_rollover")
        assert (await ada.http.post(f"{LETTERS}/retry", json={})).json() == {"count": 1}
        await push(app)
        assert await letters(ada) == []
        found = server.documents(shared)
        assert [one["event"]["sequence"] for one in found] == [1, 2, 3, 4, 5]

    async def test_whose_disk_is_full_loses_nothing(
        self, app: App, server: Elasticsearch, shared: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.logging._export._ROUND_SECONDS", 1.0)
        ada = await app.caller()
        await write(ada, 1)
        await push(app)
        full = "index.blocks.read_only_allow_delete"
        server.ask("PUT", f"/{shared}/_settings", {full: True})
        await write(ada, 5)
        await push(app)
        now = await state(ada)
        assert (now["state"], now["behind_records"], now["dead"]) == ("failing", 5, 0)
        assert "429 cluster_block_exception" in now["last_error"]
        server.ask("PUT", f"/{shared}/_settings", {full: None})
        await push(app)
        assert len(server.documents(shared)) == 6
        assert (await state(ada))["state"] == "current"
