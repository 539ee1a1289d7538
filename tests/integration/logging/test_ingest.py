"""Taking lines in: each is kept whole and numbered, refused alone, or never was."""

import asyncio
import gzip
import json
import os
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.ids import uuid7
from backend.managers.logging import LoggingManager, LoggingSettings
from backend.managers.logging.models import LogRecord
from backend.settings import Settings
from tests.support.platform import App, TenantClient

LOGS = "/api/v1/logs"


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    small = LoggingSettings(
        max_lines=1000, max_unpacked_bytes=300_000, max_line_bytes=2000, day_bytes=400_000
    )
    return app_settings.model_copy(update={"logging": small})


def batch(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def send(caller: TenantClient, *lines: Any) -> dict[str, Any]:
    answer = await caller.http.post(LOGS, content=batch(*lines))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert (found.pop("first_id") is None) == (not found["accepted"])
    return found


async def kept(app: App, caller: TenantClient) -> list[Any]:
    async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        return list(await tx.scalars(sa.select(LogRecord).order_by(LogRecord.seq)))


class TestALine:
    async def test_is_kept_with_all_that_it_says(self, app: App) -> None:
        ada = await app.caller("workflow")
        at = datetime.now(UTC).replace(microsecond=123456) - timedelta(hours=1)
        line = {
            "@timestamp": at.isoformat(),
            "log.level": "ERROR",
            "message": "payment failed",
            "service": {"name": "shop", "version": "7"},
            "trace.id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "span.id": "00f067aa0ba902b7",
            "http.request.id": "r-1",
            "workflow.id": "w",
            "execution.id": 12,
            "labels": {"tries": 3},
        }
        assert await send(ada, line) == {"accepted": 1, "refused": []}
        (row,) = await kept(app, ada)
        assert (row.seq, row.at, row.severity, row.source) == (1, at, 17, "shop")
        assert row.message == "payment failed"
        assert row.fields == {"service": {"version": "7"}, "labels": {"tries": 3}}
        assert (row.trace_id, row.span_id) == (line["trace.id"], line["span.id"])
        assert (row.request_id, row.workflow_id, row.execution_id) == ("r-1", "w", "12")

    async def test_without_a_trace_is_of_the_one_that_it_was_sent_in(self, app: App) -> None:
        ada = await app.caller("workflow")
        sent_in, named = "4bf92f35" * 4, "0af76519" * 4
        for header in (f"00-{sent_in}-00f067aa0ba902b7-01", "00-nonsense", ""):
            body = batch({"message": "a"}, {"message": "b", "trace": {"id": named}})
            answer = await ada.http.post(LOGS, content=body, headers={"traceparent": header})
            assert answer.status_code == 200, answer.text
        found = [row.trace_id for row in await kept(app, ada)]
        assert found == [sent_in, named, None, named, None, named]

    async def test_needs_no_more_than_a_message(self, app: App) -> None:
        ada = await app.caller("operator")
        await send(ada, {"message": "hello"})
        (row,) = await kept(app, ada)
        assert (row.severity, row.source, row.trace_id) == (9, "", None)
        assert row.at == row.received_at

    async def test_is_refused_alone_and_by_its_number(self, app: App) -> None:
        ada = await app.caller("operator")
        soon = (datetime.now(UTC) + timedelta(days=2)).isoformat()
        deep: Any = "x"
        for _ in range(20):
            deep = {"in": deep}
        lines = [
            (b'{"message": "one"}', ""),
            (b"{", "not_json"),
            (b"[1]", "not_an_object"),
            (b"", ""),
            (b'{"message": " "}', "no_message"),
            (b'{"message": 7}', "no_message"),
            (b'{"message": "x", "level": "loud"}', "unknown_level"),
            (b'{"message": "x", "level": true}', "unknown_level"),
            (b'{"message": "x", "@timestamp": 1700000000}', "invalid_time"),
            (b'{"message": "x", "@timestamp": "2026-01-01T00:00:00"}', "invalid_time"),
            (b'{"message": "x", "@timestamp": "2026-13-01T00:00:00Z"}', "invalid_time"),
            (json.dumps({"message": "x", "@timestamp": soon}).encode(), "time_out_of_range"),
            (b'{"message": "x", "trace.id": {}}', "invalid_name"),
            (json.dumps({"message": "x", "source": "s" * 201}).encode(), "invalid_name"),
            (b'{"message": "\\u0000"}', "unsound_text"),
            (b'{"message": "\\ud800"}', "not_json"),
            (json.dumps({"message": "x", "deep": deep}).encode(), "too_deep"),
            (json.dumps({"message": "x" * 2000}).encode(), "too_long"),
            (b'{"message": "two"}', ""),
        ]
        answer = await ada.http.post(LOGS, content=b"\n".join(line for line, _ in lines))
        assert answer.json() == {
            "accepted": 2,
            "first_id": (await kept(app, ada))[0].id,
            "refused": [
                {"line": number, "code": code} for number, (_, code) in enumerate(lines, 1) if code
            ],
        }
        assert [row.message for row in await kept(app, ada)] == ["one", "two"]

    async def test_that_would_grow_by_what_is_taken_out_is_refused_alone(self, app: App) -> None:
        ada = await app.caller("owner")
        patterns = [{"name": "b" * 40, "expression": "a"}, {"name": "c" * 40, "expression": "b"}]
        said = {"keep_days": 30, "patterns": patterns}
        assert (await ada.http.put("/api/v1/log-settings", json=said)).status_code == 200
        answer = await send(ada, {"message": "x" * 500 + "a"}, {"message": "a" * 500})
        assert answer == {"accepted": 1, "refused": [{"line": 2, "code": "too_long"}]}

    async def test_is_in_the_order_of_its_batch_where_times_are_the_same(self, app: App) -> None:
        ada = await app.caller("operator")
        at = "2026-01-31T08:00:00Z"
        await send(ada, *({"message": f"{n}", "@timestamp": at} for n in range(500)))
        rows = sorted(await kept(app, ada), key=lambda row: row.id)
        assert [row.message for row in rows] == [f"{n}" for n in range(500)]


class TestNumbers:
    async def test_have_no_gaps_whoever_sends_at_once(self, app: App) -> None:
        ada = await app.caller("operator")
        eve = await app.caller("operator")
        sent = [
            send(one, *({"message": f"{n} {m}"} for m in range(3)))
            for n in range(20)
            for one in (ada, eve)
        ]
        await asyncio.gather(*sent)
        for one in (ada, eve):
            rows = await kept(app, one)
            assert [row.seq for row in rows] == list(range(1, 61))
            assert len({row.message for row in rows}) == 60

    async def test_of_a_batch_that_was_rolled_back_are_given_again(self, app: App) -> None:
        ada = await app.caller("operator")
        logs = app.platform.of(LoggingManager)
        scope = Scope("test", ada.tenant.id)
        read = await logs.read(app.platform.database, scope, batch({"message": "x"}))
        with pytest.raises(ZeroDivisionError):
            async with app.platform.database.transaction(scope) as tx:
                await logs.add(tx, read)
                raise ZeroDivisionError
        await send(ada, {"message": "y"})
        assert [(row.seq, row.message) for row in await kept(app, ada)] == [(1, "y")]


class TestABatch:
    async def test_may_be_packed_in_several_parts(self, app: App) -> None:
        ada = await app.caller("operator")
        packed = gzip.compress(batch({"message": "a"})) + gzip.compress(batch({"message": "b"}))
        answer = await ada.http.post(LOGS, content=packed, headers={"Content-Encoding": "gzip"})
        assert answer.json()["accepted"] == 2

    async def test_that_is_a_bomb_is_refused_before_it_is_unpacked(self, app: App) -> None:
        ada = await app.caller("operator")
        bomb = gzip.compress(b"\n" * 50_000_000)
        for body in (bomb, gzip.compress(b" " * 200_000) * 2):
            answer = await ada.http.post(LOGS, content=body)
            assert answer.status_code == 413
            assert answer.json()["code"] == "logging.batch_too_large"
        assert await kept(app, ada) == []

    async def test_that_is_cut_short_keeps_nothing(self, app: App) -> None:
        ada = await app.caller("operator")
        packed = gzip.compress(os.urandom(1000).hex().encode())
        for body in (packed[:-9], packed[:12] + b"\x00" * 50, b"\x1f\x8b", b"\x1f\x8bxx"):
            answer = await ada.http.post(LOGS, content=body)
            assert answer.json()["code"] == "logging.batch_damaged", body
        wrong_sum = packed[:-8] + zlib.crc32(b"").to_bytes(4, "little") + packed[-4:]
        answer = await ada.http.post(LOGS, content=wrong_sum)
        assert answer.json()["code"] == "logging.batch_damaged"

    async def test_of_too_many_lines_is_refused(self, app: App) -> None:
        ada = await app.caller("operator")
        answer = await ada.http.post(LOGS, content=b"{}\n" * 1001)
        assert answer.json()["code"] == "logging.batch_too_large"

    async def test_is_kept_once_under_one_idempotency_key(self, app: App) -> None:
        ada = await app.caller("operator")
        headers = {"Idempotency-Key": uuid7()}
        first = await ada.http.post(LOGS, content=batch({"message": "x"}), headers=headers)
        again = await ada.http.post(LOGS, content=batch({"message": "x"}), headers=headers)
        (row,) = await kept(app, ada)
        assert first.json() == again.json()
        assert first.json() == {"accepted": 1, "refused": [], "first_id": row.id}

    async def test_over_the_days_budget_is_refused_whole_and_others_go_on(self, app: App) -> None:
        ada, eve = await app.caller("operator"), await app.caller("operator")
        body = batch(*({"message": "x" * 1000} for _ in range(250)))
        assert (await ada.http.post(LOGS, content=body)).status_code == 200
        answer = await ada.http.post(LOGS, content=body)
        assert (answer.status_code, answer.json()["code"]) == (429, "logging.budget_used")
        assert 0 < int(answer.headers["Retry-After"]) <= 86_400
        assert len(await kept(app, ada)) == 250
        assert (await eve.http.post(LOGS, content=body)).status_code == 200

    async def test_takes_the_permission(self, app: App) -> None:
        eve = await app.caller("viewer")
        assert (await eve.http.post(LOGS, content=b"")).status_code == 403
