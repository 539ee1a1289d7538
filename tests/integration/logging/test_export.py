"""Lines go to Elasticsearch once each, whatever fails on the way, and what does not is told."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from backend.core.context import Scope, SystemScope
from backend.core.subject import ERASED, Subject
from backend.managers.logging import (
    FORGET_LETTERS,
    RETENTION,
    WATCH_EXPORT,
    LogExport,
    LogExportBehindError,
    LoggingManager,
    LoggingSettings,
)
from backend.managers.logging.models import LogDeadLetter, LogExportRow, LogRecord
from backend.settings import Settings
from tests.support.elasticsearch import FakeElasticsearch, fake_elasticsearch
from tests.support.platform import App, TenantClient

STATE = "/api/v1/log-export"
LETTERS = f"{STATE}/dead-letters"
SHARED = "logs-email_sender-shared"
BUSY = {"type": "es_rejected_execution_exception", "reason": "queue is full"}
CONFLICT = {"type": "document_parsing_exception", "reason": "failed to parse [a]"}


@pytest.fixture
async def server() -> AsyncIterator[FakeElasticsearch]:
    async with fake_elasticsearch() as made:
        yield made


def logging_settings(url: str, **more: Any) -> LoggingSettings:
    usual: dict[str, Any] = {
        "elasticsearch_bulk_documents": 20,
        "elasticsearch_longest_wait_seconds": 0.01,
        "elasticsearch_timeout_seconds": 5,
    }
    return LoggingSettings(elasticsearch_url=url, **{**usual, **more})


@pytest.fixture
def app_settings(app_settings: Settings, server: FakeElasticsearch) -> Settings:
    return app_settings.model_copy(update={"logging": logging_settings(server.url)})


async def write(caller: TenantClient, count: int, **more: Any) -> None:
    lines = b"".join(
        json.dumps({"message": f"line {number}", **more}).encode() + b"\n"
        for number in range(count)
    )
    answer = await caller.http.post("/api/v1/logs", content=lines)
    assert answer.json()["accepted"] == count


def export_of(app: App) -> LogExport:
    return app.platform.of(LoggingManager).export


def another(app: App, url: str, **more: Any) -> LogExport:
    """As another process has it."""
    return LogExport(logging_settings(url, **more), app.platform.outbound)


async def push(app: App, export: LogExport | None = None, *, rounds: int = 1) -> None:
    """As the tick does, and to the end; no wait of an earlier turn holds it up."""
    export = export or export_of(app)
    for _ in range(rounds):
        async with app.platform.database.transaction(SystemScope(WATCH_EXPORT)) as tx:
            await tx.execute(
                sa.update(LogExportRow).values(next_try_at=tx.now() - timedelta(days=9))
            )
        export._rests_until = 0.0
        await export.push_due(app.platform.database)
        await export.settle()


async def state(caller: TenantClient) -> dict[str, Any]:
    answer = await caller.http.get(STATE)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def letters(caller: TenantClient) -> list[dict[str, Any]]:
    answer = await caller.http.get(LETTERS)
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def numbers(server: FakeElasticsearch, stream: str = SHARED) -> list[int]:
    """The numbers of all documents, each as often as it is there."""
    indices = server.streams.get(stream, [])
    return sorted(one["event"]["sequence"] for index in indices for one in index.values())


async def row_of(app: App, caller: TenantClient) -> LogExportRow:
    async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        found: LogExportRow = await tx.scalar(sa.select(LogExportRow))
        return found


async def end_lease(app: App, caller: TenantClient) -> None:
    """As time does after its holder is dead."""
    async with app.platform.database.transaction(Scope("test", caller.tenant.id)) as tx:
        await tx.execute(
            sa.update(LogExportRow)
            .where(LogExportRow.tenant_id == caller.tenant.id)
            .values(held_until=tx.now() - timedelta(days=1))
        )


class TestLines:
    async def test_arrive_once_each_with_ids_that_say_whose(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada, eve = await app.caller(), await app.caller()
        await write(ada, 45, **{"service.name": "shop"})
        await write(eve, 3)
        await push(app)
        assert numbers(server) == sorted([*range(1, 46), 1, 2, 3])
        assert set(server.created.values()) == {1}
        assert server.templates.keys() == {"logs-email_sender"}
        mine = [one for one in server.ids() if one.startswith(ada.tenant.id.replace("-", ""))]
        assert len(mine) == 45
        now = await state(ada)
        delivered = now.pop("delivered_at")
        assert datetime.now(UTC) - datetime.fromisoformat(delivered) < timedelta(minutes=5)
        assert now == {
            "state": "current",
            "stream": SHARED,
            "seq": 45,
            "behind_records": 0,
            "behind_seconds": 0,
            "exported": 45,
            "dead": 0,
            "forgotten": 0,
            "lost": 0,
            "failures": 0,
            "last_error": None,
            "next_try_at": None,
        }

    async def test_are_told_while_they_wait(self, app: App, server: FakeElasticsearch) -> None:
        ada = await app.caller()
        await write(ada, 5)
        now = await state(ada)
        assert (now["state"], now["behind_records"]) == ("behind", 5)
        assert now["behind_seconds"] > 0
        assert server.requests == []

    async def test_of_each_tenant_go_to_its_own_stream_where_that_is_said(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada, eve = await app.caller(), await app.caller()
        await write(ada, 2)
        await write(eve, 1)
        await push(app, another(app, server.url, elasticsearch_streams="tenant"))
        own = {one.tenant.id.replace("-", ""): count for one, count in ((ada, 2), (eve, 1))}
        found = {name: len(indices[0]) for name, indices in server.streams.items()}
        assert found == {f"logs-email_sender-{name}": count for name, count in own.items()}

    async def test_are_sent_in_bulks_of_bounded_bytes(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await write(ada, 20, text="x" * 300)
        await push(app, another(app, server.url, elasticsearch_bulk_bytes=2048))
        assert len(server.bodies) > 4
        assert max(server.bodies) <= 2048
        assert numbers(server) == [*range(1, 21)]

    async def test_carry_the_credential_that_is_configured(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await write(ada, 1)
        encoded = b64encode(b"id:key").decode()
        await push(app, another(app, server.url, elasticsearch_api_key=encoded))
        assert server.authorization == f"ApiKey {encoded}"
        await write(ada, 1)
        user = {f"elasticsearch_{name}": name[0] for name in ("user", "password")}
        await push(app, another(app, server.url, **user))
        assert server.authorization == "Basic dTpw"
        with pytest.raises(ValidationError, match="one of them"):
            logging_settings(server.url, elasticsearch_api_key="a", elasticsearch_user="u")


class TestFaults:
    @pytest.mark.parametrize(
        "fault",
        [
            (429, {"error": BUSY}, {}),
            (429, "slow down", {"retry-after": "0"}),
            (502, "<html>", {}),
            (503, {"error": {"type": "unavailable", "reason": "not yet"}}, {}),
            (504, "", {}),
            (200, "{", {}),
            None,
        ],
    )
    async def test_of_whole_requests_lose_and_double_nothing(
        self, app: App, server: FakeElasticsearch, fault: Any
    ) -> None:
        ada = await app.caller()
        await write(ada, 30)
        # Each second one fails before it is done, each third one after.
        server.before = lambda count: fault if count % 2 else ...
        server.after = lambda count: fault if count % 3 == 0 else ...
        await push(app, rounds=3)
        assert numbers(server) == [*range(1, 31)]
        assert set(server.created.values()) == {1}
        now = await state(ada)
        assert (now["exported"], now["behind_records"], now["failures"]) == (30, 0, 0)

    async def test_of_one_document_send_it_again_alone(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await write(ada, 9)
        refused: list[int] = []

        def refuse(document: dict[str, Any]) -> Any:
            seq = document["event"]["sequence"]
            if seq in {3, 7} and refused.count(seq) < 2:
                refused.append(seq)
                return 429, BUSY
            return None

        server.refuse = refuse
        await push(app)
        assert numbers(server) == [*range(1, 10)]
        assert refused == [3, 7, 3, 7]
        assert len(server.bodies) == 3
        assert server.bodies[1] < server.bodies[0] / 3

    async def test_that_outlast_a_turn_are_told_and_are_no_loss(
        self, app: App, server: FakeElasticsearch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.logging._export._ROUND_SECONDS", 0.05)
        ada = await app.caller()
        await write(ada, 5)
        server.before = lambda _: (503, {"error": {"type": "t", "reason": "not yet"}}, {})
        await push(app, rounds=3)
        now = await state(ada)
        assert (now["state"], now["failures"], now["behind_records"]) == ("failing", 3, 5)
        assert now["last_error"] == "Elasticsearch answered 503 t: not yet"
        assert now["next_try_at"]
        server.before = lambda _: ...
        await push(app)
        now = await state(ada)
        assert (now["state"], now["exported"], now["last_error"]) == ("current", 5, None)

    async def test_of_the_network_name_no_address(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.logging._export._ROUND_SECONDS", 0.05)
        ada = await app.caller()
        await write(ada, 1)
        await push(app, another(app, "http://127.0.0.1:9"))
        now = await state(ada)
        assert now["last_error"] == "Elasticsearch: nobody takes the connection"

    async def test_keep_this_process_from_asking_for_a_while(
        self, app: App, server: FakeElasticsearch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.logging._export._ROUND_SECONDS", 0.05)
        ada, eve = await app.caller(), await app.caller()
        await write(ada, 1)
        server.before = lambda _: (429, "", {"retry-after": "200"})
        export = export_of(app)
        await push(app, export)
        await write(eve, 1)
        asked = len(server.requests)
        assert await export.push_due(app.platform.database) == 0
        assert len(server.requests) == asked

    async def test_of_size_split_the_bulk_and_kill_only_what_is_too_large_alone(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await write(ada, 16, text="x" * 200)
        await write(ada, 1, text="x" * 5000)
        await write(ada, 3)
        server.most_bytes = 3000
        await push(app)
        assert numbers(server) == [*range(1, 17), 18, 19, 20]
        (letter,) = await letters(ada)
        assert (letter["seq"], letter["status"]) == (17, 413)
        await write(ada, 10, text="x" * 200)
        tries = len(server.bodies)
        await push(app)
        # It is remembered: not each bulk is found too large anew.
        assert max(server.bodies[tries:]) <= 3000

    async def test_of_a_line_that_is_refused_for_too_long_do_not_hold_up_the_others(
        self, app: App, server: FakeElasticsearch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.logging._export._ROUND_SECONDS", 0.05)
        ada = await app.caller()
        await write(ada, 4)
        server.refuse = lambda one: (429, BUSY) if one["event"]["sequence"] == 2 else None
        patient = another(app, server.url, elasticsearch_patience_seconds=3600)
        await push(app, patient, rounds=3)
        now = await state(ada)
        assert (now["seq"], now["exported"], now["dead"]) == (1, 1, 0)
        assert "429 es_rejected_execution_exception" in now["last_error"]
        await push(app, another(app, server.url, elasticsearch_patience_seconds=0))
        now = await state(ada)
        assert (now["seq"], now["exported"], now["dead"]) == (4, 3, 1)
        assert set(server.created.values()) == {1}
        assert [one["seq"] for one in await letters(ada)] == [2]


class TestAKilledExporter:
    async def test_loses_and_doubles_nothing(self, app: App, server: FakeElasticsearch) -> None:
        ada = await app.caller()
        await write(ada, 30)
        dying = another(app, server.url)
        ended = asyncio.Event()

        def die(_: int) -> Any:
            # All of it is taken, and nobody is there any more to hear of it.
            for task in dying._at_work.values():
                task.cancel()
            ended.set()
            return ...

        server.after = die
        await dying.push_due(app.platform.database)
        await asyncio.wait_for(ended.wait(), 30)
        await dying.settle()
        assert numbers(server) == [*range(1, 21)]
        # Meanwhile the stream goes over to its next index, where no id of before is known.
        server.roll_over(SHARED)
        server.after = lambda _: ...
        await push(app)
        assert numbers(server) == [*range(1, 21)], "the lease of the dead one still holds"
        await end_lease(app, ada)
        await push(app)
        assert numbers(server) == [*range(1, 31)]
        assert set(server.created.values()) == {1}
        now = await state(ada)
        assert (now["exported"], now["behind_records"]) == (30, 0)

    async def test_that_comes_back_late_has_not_the_last_word(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await write(ada, 3)
        database, late = app.platform.database, another(app, server.url)
        scope = Scope("test", ada.tenant.id)
        async with database.transaction(scope) as tx:
            turn = await late._take(tx)
        assert turn is not None
        await end_lease(app, ada)
        await push(app)
        done = await late._deliver(turn.stream, turn.documents, unsure=False)
        assert done.found.done == {1, 2, 3}
        async with database.transaction(scope) as tx:
            await late._apply(tx, turn, done, await late._deliver(turn.stream, (), unsure=True))
        assert (await state(ada))["exported"] == 3
        assert numbers(server) == [1, 2, 3]


class TestDeadLetters:
    @pytest.fixture
    async def ada(self, app: App, server: FakeElasticsearch) -> TenantClient:
        """Somebody of whose six lines two are refused."""
        made = await app.caller()
        await write(made, 6)
        server.refuse = lambda one: (400, CONFLICT) if one["event"]["sequence"] in {2, 5} else None
        await push(app)
        return made

    async def test_have_their_reason_and_hold_up_nobody(
        self, app: App, server: FakeElasticsearch, ada: TenantClient
    ) -> None:
        assert numbers(server) == [1, 3, 4, 6]
        now = await state(ada)
        assert (now["state"], now["seq"], now["exported"], now["dead"]) == ("current", 6, 4, 2)
        first, second = await letters(ada)
        assert {first["seq"], second["seq"]} == {2, 5}
        assert (first["status"], first["kind"], first["reason"]) == (400, *CONFLICT.values())
        assert first["document_id"].startswith(ada.tenant.id.replace("-", ""))
        assert (first["stream"], first["retrying"]) == (SHARED, False)
        page = (await ada.http.get(LETTERS, params={"limit": 1})).json()
        more = (await ada.http.get(LETTERS, params={"cursor": page["next_cursor"]})).json()
        assert [one["id"] for one in (*page["items"], *more["items"])] == [
            first["id"],
            second["id"],
        ]
        eve = await app.caller()
        assert await letters(eve) == []
        assert (await eve.http.post(f"{LETTERS}/forget", json={})).json() == {"count": 0}
        assert len(await letters(ada)) == 2

    async def test_are_tried_once_more_and_are_then_done_or_dead_again(
        self, app: App, server: FakeElasticsearch, ada: TenantClient
    ) -> None:
        other = {"type": "strict_dynamic_mapping_exception", "reason": "not allowed"}
        server.refuse = lambda one: (400, other) if one["event"]["sequence"] == 5 else None
        answer = await ada.http.post(f"{LETTERS}/retry", json={})
        assert answer.json() == {"count": 2}
        assert (await ada.http.post(f"{LETTERS}/retry", json={})).json() == {"count": 0}
        assert all(one["retrying"] for one in await letters(ada))
        await push(app)
        assert numbers(server) == [1, 2, 3, 4, 6]
        (letter,) = await letters(ada)
        assert (letter["seq"], letter["kind"]) == (5, other["type"])
        assert letter["retrying"] is False
        now = await state(ada)
        assert (now["exported"], now["dead"]) == (5, 1)
        assert not (await row_of(app, ada)).retrying
        assert len(await ada.audit(app.platform, "log_dead_letters.retried")) == 2

    async def test_wait_while_they_are_refused_for_now(
        self, app: App, server: FakeElasticsearch, ada: TenantClient, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("backend.managers.logging._export._ROUND_SECONDS", 0.05)
        server.refuse = lambda _: (429, BUSY)
        chosen = next(one["id"] for one in await letters(ada) if one["seq"] == 2)
        answer = await ada.http.post(f"{LETTERS}/retry", json={"ids": [chosen]})
        assert answer.json() == {"count": 1}
        await push(app)
        assert [one["retrying"] for one in await letters(ada) if one["seq"] == 2] == [True]
        server.refuse = lambda _: None
        await push(app)
        assert numbers(server) == [1, 2, 3, 4, 6]

    async def test_whose_lines_are_gone_are_lost(
        self, app: App, ada: TenantClient, server: FakeElasticsearch
    ) -> None:
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            await tx.delete_some(LogRecord, LogRecord.seq == 2, limit=1)
        server.refuse = lambda _: None
        await ada.http.post(f"{LETTERS}/retry", json={})
        await push(app)
        now = await state(ada)
        assert (now["exported"], now["dead"], now["lost"]) == (5, 0, 1)
        assert await letters(ada) == []

    async def test_are_given_up_by_who_may(
        self, app: App, ada: TenantClient, server: FakeElasticsearch
    ) -> None:
        viewer = await app.caller("viewer", ada.tenant)
        assert len(await letters(viewer)) == 2
        assert (await viewer.http.post(f"{LETTERS}/forget", json={})).status_code == 403
        chosen = next(one["id"] for one in await letters(ada) if one["seq"] == 2)
        answer = await ada.http.post(f"{LETTERS}/forget", json={"ids": [chosen]})
        assert answer.json() == {"count": 1}
        now = await state(ada)
        assert (now["dead"], now["forgotten"]) == (1, 1)
        (record,) = await ada.audit(app.platform, "log_dead_letters.discarded")
        assert record.data == {"count": 1}
        bad = await ada.http.post(f"{LETTERS}/forget", json={"ids": ["x"]})
        assert bad.status_code == 422

    async def test_go_when_nobody_has_looked_for_long(self, app: App, ada: TenantClient) -> None:
        database, export = app.platform.database, export_of(app)
        async with database.transaction(SystemScope(FORGET_LETTERS)) as tx:
            assert await export.sweep(tx) == 0
        early = "01900000-0000-7000-8000-000000000001"
        async with database.transaction(Scope("test", ada.tenant.id)) as tx:
            await tx.execute(
                sa.update(LogDeadLetter)
                .where(LogDeadLetter.tenant_id == ada.tenant.id, LogDeadLetter.seq == 2)
                .values(id=early)
                .execution_options(synchronize_session=False)
            )
        async with database.transaction(SystemScope(FORGET_LETTERS)) as tx:
            assert await export.sweep(tx) == 1
        now = await state(ada)
        assert (now["dead"], now["forgotten"]) == (1, 1)

    async def test_tell_nothing_of_a_person_who_was_erased(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await write(ada, 1)
        shown = {"type": "document_parsing_exception", "reason": "value: 'eve@example.com'"}
        server.refuse = lambda _: (400, shown)
        await push(app)
        who = Subject(None, "eve@example.com", "erased", datetime.now(UTC))
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            bite = await export_of(app).erase(tx, who, "")
        assert bite.after is None
        (letter,) = await letters(ada)
        assert letter["reason"] == ERASED


class TestAnErasure:
    async def test_waits_for_turns_that_have_read_lines_before(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await write(ada, 1)
        export, scope = export_of(app), Scope("test", ada.tenant.id)
        async with app.platform.database.transaction(scope) as tx:
            assert await export._take(tx) is not None
        now = datetime.now(UTC)
        async with app.platform.database.transaction(scope) as tx:
            said = await export.tell_running_since(tx, now + timedelta(seconds=5))
            assert said == "An export of log lines that began before is not over"
            assert await export.tell_running_since(tx, now - timedelta(seconds=60)) is None
        await end_lease(app, ada)
        async with app.platform.database.transaction(scope) as tx:
            assert await export.tell_running_since(tx, now + timedelta(seconds=5)) is None


class TestRetention:
    async def _age(self, app: App, caller: TenantClient, seqs: list[int], days: int) -> None:
        """Have lines happened so long ago."""
        stamp = int((datetime.now(UTC) - timedelta(days=days)).timestamp() * 1000)
        text = f"{stamp:012x}"
        async with app.platform.database.transaction(Scope("test", caller.tenant.id)) as tx:
            for seq in seqs:
                await tx.execute(
                    sa.update(LogRecord)
                    .where(LogRecord.tenant_id == caller.tenant.id, LogRecord.seq == seq)
                    .values(id=f"{text[:8]}-{text[8:]}-7000-8000-{seq:012x}")
                    .execution_options(synchronize_session=False)
                )

    async def _sweep(self, app: App) -> int:
        logs = app.platform.of(LoggingManager)
        async with app.platform.database.transaction(SystemScope(RETENTION)) as tx:
            return await logs.sweep(tx)

    async def test_waits_for_lines_that_are_not_exported_but_not_for_ever(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await write(ada, 6)
        # Kept for 30 days, and held for 7 more.
        await self._age(app, ada, [2, 3], 33)
        await self._age(app, ada, [5], 40)
        assert await self._sweep(app) == 1
        await push(app)
        assert numbers(server) == [1, 2, 3, 4, 6]
        now = await state(ada)
        assert (now["seq"], now["exported"], now["lost"]) == (6, 5, 1)
        assert await self._sweep(app) == 2
        assert await self._sweep(app) == 0

    async def test_that_has_taken_all_that_was_left_is_counted(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await write(ada, 2)
        await push(app)
        await write(ada, 3)
        await self._age(app, ada, [3, 4, 5], 90)
        assert await self._sweep(app) == 3
        await push(app)
        now = await state(ada)
        assert (now["state"], now["seq"], now["lost"]) == ("current", 5, 3)

    async def test_of_before_the_export_was_switched_on_is_no_loss(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada = await app.caller()
        await write(ada, 5)
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            await tx.delete_some(LogRecord, LogRecord.seq <= 3, limit=9)
        await push(app)
        now = await state(ada)
        assert (now["seq"], now["exported"], now["lost"]) == (5, 2, 0)
        assert (await row_of(app, ada)).started_seq == 3


class TestWatching:
    async def test_counts_and_checks_what_is_behind(
        self, app: App, server: FakeElasticsearch
    ) -> None:
        ada, eve = await app.caller(), await app.caller()
        await write(ada, 5)
        await write(eve, 2)
        server.refuse = lambda one: (400, CONFLICT) if one["event"]["sequence"] == 2 else None
        export = export_of(app)
        strict = another(app, server.url, elasticsearch_behind_seconds=0.000001)
        database = app.platform.database
        async with database.read(SystemScope(WATCH_EXPORT)) as tx:
            assert await export.count_behind(tx) == {"": 7}
            assert (await export.check(tx)).startswith("7 lines wait")
            with pytest.raises(LogExportBehindError, match="7 lines wait"):
                await strict.check(tx)
        await push(app)
        async with database.read(SystemScope(WATCH_EXPORT)) as tx:
            assert await export.count_behind(tx) == {"": 0}
            assert await export.count_seconds(tx) == {"": 0}
            assert await strict.check(tx) == "0 lines wait, the first for 0 s"
            counts = {"exported": 5, "dead": 2, "forgotten": 0, "lost": 0}
            assert await export.count_lines(tx) == counts
        shown = (await app.client().get("/metrics")).text
        assert 'email_sender_logging_export_lines{outcome="dead"} 2' in shown
        assert "email_sender_logging_export_lag_records 0" in shown
        ready = (await app.client().get("/readyz")).json()
        assert "log_export" in json.dumps(ready)

    async def test_says_off_where_no_server_is_named(self, app: App) -> None:
        ada = await app.caller()
        await write(ada, 1)
        off = LogExport(LoggingSettings(), app.platform.outbound)
        assert await off.push_due(app.platform.database) == 0
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
            now = await off.get(tx)
        assert (now.state, now.stream, now.behind_records) == ("off", None, 1)
        async with app.platform.database.read(SystemScope(WATCH_EXPORT)) as tx:
            assert await off.count_behind(tx) == {"": 0}
            assert await off.check(tx) == "not configured"
