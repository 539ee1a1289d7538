"""Server-sent events over the real application: order, resuming, permissions, ends, bounds."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn

from backend.core.context import Scope, SystemScope
from backend.core.events import OUTBOX, Retention, read_span, sweep_events
from backend.core.ids import PLATFORM_TENANT
from backend.http import event_stream
from backend.http.event_stream import StreamLimits
from backend.http.server import OPTIONS
from backend.managers.gateway import GatewayManager
from backend.rooms import HOUSE
from tests.support.platform import App, TenantClient
from tests.support.roles import ROLES


class Stream:
    """One open stream, spoken to by ASGI: httpx would wait for an answer's end."""

    def __init__(self, app: App, headers: dict[str, str], target: str) -> None:
        path, _, query = target.partition("?")
        self.status = 0
        self.headers: dict[str, str] = {}
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()
        self._body = b""
        self.ended = False
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (k.lower().encode(), v.encode())
                for k, v in {"host": "localhost", **headers}.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 8400),
        }
        self.task = asyncio.create_task(app.asgi(self.scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if "streaming_since" not in self.scope:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            self._body += message.get("body", b"")
            self.ended = not message.get("more_body", False)
        self._arrived.set()

    @property
    def body(self) -> str:
        return self._body.decode()

    def frames(self) -> list[dict[str, str]]:
        found = []
        for block in self.body.split("\n\n"):
            fields = dict(
                line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":"
            )
            if "event" in fields:
                found.append(fields)
        return found

    def seqs(self) -> list[int]:
        return [int(frame["id"]) for frame in self.frames()]

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def leave(self) -> None:
        self._left.set()
        await self.task


@asynccontextmanager
async def stream(
    app: App, caller: TenantClient, target: str = "/api/v1/events", **headers: str
) -> AsyncIterator[Stream]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    made = Stream(app, {"Authorization": caller.http.headers["Authorization"], **named}, target)
    try:
        await made.until(lambda: made.status)
        if made.status == 200:
            await made.until(lambda: "connected" in made.body)
        yield made
    finally:
        await made.leave()


async def emit(app: App, tenant_id: str, kind: str = "job.dead", count: int = 1) -> None:
    async with app.platform.database.transaction(Scope("user:ada", tenant_id)) as tx:
        for number in range(count):
            tx.emit(kind, f"thing:{number}", number=number)
    await app.sequence()


@pytest.fixture
async def ada(app: App) -> TenantClient:
    """An owner in a tenant whose first events are numbered: they tell of its making."""
    made = await app.caller()
    await app.sequence()
    return made


async def newest(app: App, tenant_id: str) -> int:
    async with app.platform.database.read(Scope("test", tenant_id)) as tx:
        return (await read_span(tx))[1]


class TestFollow:
    async def test_sends_what_comes_as_it_comes(self, app: App, ada: TenantClient) -> None:
        before = await newest(app, ada.tenant.id)
        async with stream(app, ada) as open_:
            assert open_.headers["content-type"].startswith("text/event-stream")
            assert open_.headers["cache-control"] == "no-store"
            assert open_.headers["x-accel-buffering"] == "no"
            assert "content-length" not in open_.headers
            await emit(app, ada.tenant.id, count=2)
            await open_.until(lambda: len(open_.frames()) == 2)
            first = open_.frames()[0]
        assert (first["id"], first["event"]) == (str(before + 1), "job.dead")
        said = json.loads(first["data"])
        assert said["data"] == {"number": 0}
        assert (said["seq"], said["kind"], said["subject"], said["actor"]) == (
            before + 1,
            "job.dead",
            "thing:0",
            "user:ada",
        )

    async def test_resumes_after_the_last_id_which_goes_before_the_address(
        self, app: App, ada: TenantClient
    ) -> None:
        before = await newest(app, ada.tenant.id)
        await emit(app, ada.tenant.id, count=5)
        for target, headers, wanted in (
            (f"?after={before + 3}", {}, [4, 5]),
            ("?after=0", {"Last_Event_ID": str(before + 4)}, [5]),
        ):
            async with stream(app, ada, f"/api/v1/events{target}", **headers) as open_:
                await open_.until(lambda o=open_, w=wanted: len(o.frames()) == len(w))
                assert open_.seqs() == [before + each for each in wanted]

    async def test_pages_through_a_long_past(
        self, app: App, ada: TenantClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_stream, "_BATCH", 10)
        before = await newest(app, ada.tenant.id)
        await emit(app, ada.tenant.id, count=35)
        async with stream(app, ada, f"/api/v1/events?after={before}") as open_:
            await open_.until(lambda: len(open_.frames()) == 35)
            assert open_.seqs() == [before + 1 + n for n in range(35)]

    async def test_of_another_tenant_stays_there(self, app: App, ada: TenantClient) -> None:
        eve = await app.caller()
        async with stream(app, ada) as open_:
            await emit(app, eve.tenant.id)
            await emit(app, ada.tenant.id)
            await open_.until(lambda: bool(open_.frames()))
            assert json.loads(open_.frames()[0]["data"])["seq"] == open_.seqs()[0]
            assert len(open_.frames()) == 1

    async def test_takes_only_what_was_asked_for(self, app: App, ada: TenantClient) -> None:
        await emit(app, ada.tenant.id, "job.dead")
        start = await newest(app, ada.tenant.id)
        for kind in ("job.dead", "email.bounced", "email.accepted", "job.retried"):
            await emit(app, ada.tenant.id, kind)
        target = f"/api/v1/events?after={start}&kind=email.*&kind=job.dead"
        async with stream(app, ada, target) as open_:
            await open_.until(lambda: len(open_.frames()) == 3)
            kinds = [frame["event"] for frame in open_.frames()]
            assert kinds == ["job.dead", "email.bounced", "email.accepted"]

    async def test_moves_the_place_past_what_it_does_not_send(
        self, app: App, ada: TenantClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.05)
        async with stream(app, ada, "/api/v1/events?kind=email.bounced") as open_:
            await emit(app, ada.tenant.id, "job.dead", 3)
            last = await newest(app, ada.tenant.id)
            await open_.until(lambda: f"\nid: {last}\n\n" in open_.body)
            assert open_.frames() == []
            await open_.until(lambda: open_.body.count(": heartbeat") > 2)


class TestGap:
    async def test_is_told_first_and_is_so(self, app: App, ada: TenantClient) -> None:
        await emit(app, ada.tenant.id, count=6)
        last = await newest(app, ada.tenant.id)
        async with app.platform.database.transaction(SystemScope(OUTBOX)) as tx:
            await sweep_events(tx, Retention(rows=2))
        async with stream(app, ada, Last_Event_ID="1") as open_:
            await open_.until(lambda: len(open_.frames()) == 3)
            gap, *rest = open_.frames()
        assert (gap["event"], gap["id"]) == ("gap", str(last - 2))
        assert json.loads(gap["data"]) == {
            "reason": "forgotten",
            "after": 1,
            "oldest": last - 1,
            "missing": last - 3,
        }
        assert [int(frame["id"]) for frame in rest] == [last - 1, last]

    async def test_is_told_of_a_number_that_never_was(self, app: App, ada: TenantClient) -> None:
        last = await newest(app, ada.tenant.id)
        async with stream(app, ada, Last_Event_ID="99999") as open_:
            await open_.until(lambda: bool(open_.frames()))
            assert open_.seqs() == [last]
            assert json.loads(open_.frames()[0]["data"])["reason"] == "unknown"
            await emit(app, ada.tenant.id)
            await open_.until(lambda: open_.seqs() == [last, last + 1])

    async def test_is_none_where_nothing_is_missing(self, app: App, ada: TenantClient) -> None:
        last = await newest(app, ada.tenant.id)
        async with stream(app, ada, Last_Event_ID=str(last)) as open_:
            await emit(app, ada.tenant.id)
            await open_.until(lambda: bool(open_.frames()))
            assert [frame["event"] for frame in open_.frames()] == ["job.dead"]


class TestPermission:
    async def test_each_kind_has_one(self) -> None:
        held = frozenset().union(*ROLES.by_name.values()) | ROLES.of_platform
        assert set(HOUSE.events.values()) <= held

    async def test_hides_what_the_role_may_not_read(self, app: App, ada: TenantClient) -> None:
        viewer = await app.caller("viewer", ada.tenant)
        await app.sequence()
        async with stream(app, viewer) as open_:
            await emit(app, ada.tenant.id, "api_key.created")
            await emit(app, ada.tenant.id, "job.dead")
            await open_.until(lambda: bool(open_.frames()))
            assert [frame["event"] for frame in open_.frames()] == ["job.dead"]

    async def test_refuses_who_may_read_nothing_of_it(self, app: App, ada: TenantClient) -> None:
        viewer = await app.caller("viewer", ada.tenant)
        answer = await viewer.http.get("/api/v1/events", params={"kind": "api_key.*"})
        assert (answer.status_code, answer.json()["permission"]) == (403, "api_key:read")
        answer = await viewer.http.get("/api/v1/platform/events")
        assert (answer.status_code, answer.json()["permission"]) == (403, "platform:read")

    async def test_refuses_a_kind_that_nobody_emits(self, app: App, ada: TenantClient) -> None:
        for kind in ("email.bonced", "x*"):
            answer = await ada.http.get("/api/v1/events", params={"kind": kind})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")

    async def test_of_the_platform_reads_the_platforms(
        self, app: App, ada: TenantClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        principal = await app.platform.of(GatewayManager).authenticate(
            ada.http.headers["Authorization"].removeprefix("Bearer ")
        )
        more = type(principal)(
            "user:x",
            "user",
            principal.tenant_id,
            principal.permissions | ROLES.of_platform,
        )
        monkeypatch.setattr(app.platform.of(GatewayManager), "cached_principal", lambda _: more)
        async with stream(app, ada, "/api/v1/platform/events") as open_:
            await emit(app, ada.tenant.id)
            await emit(app, PLATFORM_TENANT, "login.failed")
            await open_.until(lambda: bool(open_.frames()))
            assert [frame["event"] for frame in open_.frames()] == ["login.failed"]


class TestEnd:
    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(event_stream, "CHECK_SECONDS", 0.02)

    async def test_comes_with_the_credentials(self, app: App, ada: TenantClient) -> None:
        made = await ada.http.post("/api/v1/api-keys", json={"name": "k", "role": "viewer"})
        key = Stream(app, {"X-API-Key": made.json()["key"]}, "/api/v1/events")
        await key.until(lambda: "connected" in key.body)
        await ada.http.delete(f"/api/v1/api-keys/{made.json()['id']}")
        await key.until(lambda: key.ended)
        await key.leave()

    async def test_comes_with_the_tokens_time(
        self, app: App, ada: TenantClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with stream(app, ada) as open_:
            now = app.platform.database.clock()
            monkeypatch.setattr(app.platform.database, "clock", lambda: now + timedelta(hours=2))
            app.platform.of(GatewayManager)._cache.drop("")
            await open_.until(lambda: open_.ended)

    async def test_comes_after_its_longest_time(self, app: App, ada: TenantClient) -> None:
        streams = app.asgi.control_plane.state.event_streams
        streams.limits = StreamLimits(longest_seconds=0.05)
        async with stream(app, ada) as open_:
            await open_.until(lambda: open_.ended)

    @pytest.mark.slow
    async def test_is_no_slow_request(self, app: App, ada: TenantClient) -> None:
        async with stream(app, ada):
            await asyncio.sleep(0.3)
        record = next(r for r in app.asgi._telemetry._records if r.route == "/api/v1/events")
        assert record.seconds < 0.3
        assert record.status == 200


class TestBounds:
    async def test_a_tenant_and_a_process_keep_so_many(self, app: App, ada: TenantClient) -> None:
        eve = await app.caller()
        streams = app.asgi.control_plane.state.event_streams
        streams.limits = StreamLimits(most=3, most_of_tenant=2)
        async with stream(app, ada), stream(app, ada):
            answer = await ada.http.get("/api/v1/events")
            assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
            assert answer.headers["retry-after"] == "5"
            async with stream(app, eve) as open_:
                assert open_.status == 200
                other = await (await app.caller()).http.get("/api/v1/events")
                assert (other.status_code, other.json()["code"]) == (503, "streams_exhausted")
        # Who left made room.
        async with stream(app, ada) as open_:
            assert open_.status == 200

    async def test_holds_no_connection_while_it_waits(self, app: App, ada: TenantClient) -> None:
        # The pool has five connections, or as many again on PostgreSQL.
        open_ = [Stream(app, dict(ada.http.headers), "/api/v1/events") for _ in range(12)]
        for each in open_:
            await each.until(lambda each=each: "connected" in each.body)
        assert (await ada.http.get("/api/v1/jobs")).status_code == 200
        pool: Any = app.platform.database.engine.pool
        # Each looks once when it begins; then none has one for seconds.
        async with asyncio.timeout(60):
            while pool.checkedout():
                await asyncio.sleep(0.001)
        for each in open_:
            await each.leave()


class TestServer:
    async def test_does_not_wait_for_streams_when_it_ends(
        self, app: App, ada: TenantClient
    ) -> None:
        # No limit of its own: a stream that it waited for would keep it here.
        server = uvicorn.Server(
            uvicorn.Config(
                app.asgi, **{**OPTIONS, "lifespan": "off"}, timeout_graceful_shutdown=None
            )
        )
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            serving = asyncio.create_task(server.serve([listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            token = ada.http.headers["Authorization"]
            head = f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
            writer.write(head.encode())
            async with asyncio.timeout(60):
                await reader.readuntil(b": connected")
                server.should_exit = True
                await serving
                assert await reader.read() is not None
            writer.close()


async def test_is_seen_in_the_document(openapi: dict[str, Any]) -> None:
    for path in ("/api/v1/events", "/api/v1/platform/events"):
        content = openapi["paths"][path]["get"]["responses"]["200"]["content"]
        assert list(content) == ["text/event-stream"]


async def test_is_refused_without_a_credential(app: App) -> None:
    answer: httpx.Response = await app.client().get("/api/v1/events")
    assert answer.status_code == 401
