"""The edge: what strangers may send, what is believed of it, and what it leaves behind."""

import asyncio
import contextlib
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from starlette.types import Message

from backend.core.audit import SEQUENCER, AuditRecord
from backend.core.context import SystemScope
from backend.http.server import MAX_HEAD_BYTES, MAX_UNWANTED_BYTES, OPTIONS, BoundedProtocol
from backend.managers.gateway import GatewayManager
from tests.security.conftest import REDIRECT
from tests.support.platform import App

pytestmark = pytest.mark.attack

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
JSON = {"Content-Type": "application/json"}
ODD_BODIES = [
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'{"to":' + b"9" * 10_000 + b"}",
    b'{"to":[NaN]}',
    b'{"to":["a@b.c"],"subject":"\\ud800","text":"t"}',
    b'{"to":["a@b.c"],"subject":"\\u0000","text":"t"}',
    b"\xff\xfe",
    b'{"to":["a@b.c"],"subject":"s","text":"t","variables":{"a":NaN},"template":"t"}',
    b'{"to":["a@b.c"],"subject":"s","text":1e999}',
    b"null",
    b'"x"',
    b"",
]


class Body:
    """A request body that counts how much of it was taken."""

    def __init__(self, chunks: int, size: int = 65_536) -> None:
        self.taken = 0
        self._chunks = chunks
        self._chunk = b"[" + b"{}," * (size // 3)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._chunks):
            self.taken += len(self._chunk)
            yield self._chunk


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back, and how often the application had asked for the body by then."""

    status: int
    headers: dict[str, str]
    problem: dict[str, Any]
    taken: int


async def offer(app: App, method: str, path: str, headers: dict[str, str]) -> Answered:
    """Offer a body without end to the bare application."""
    sent: list[Message] = []
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": "1.1",
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {"host": "localhost", **headers}.items()
        ],
        "client": ("192.0.2.1", 1),
        "server": ("localhost", 8400),
        "scheme": "http",
    }
    await app.asgi(scope, receive, send)
    start, *parts = sent
    body = b"".join(part["body"] for part in parts)
    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answered(start["status"], answered, json.loads(body), taken)


class TestStrangers:
    """Who has shown no credential is answered before anything of theirs is read or parsed."""

    @pytest.mark.parametrize("path", ["/api/v1/emails", "/api/v1/emails/batch", "/api/v1/clients"])
    async def test_a_body_without_a_token_is_not_parsed(self, app, monkeypatch, path):
        parsed = []
        monkeypatch.setattr(json, "loads", lambda text, **_: parsed.append(len(text)))
        http = app.client()
        answer = await http.post(path, content=b"[" + b"{}," * 100_000 + b"{}]", headers=JSON)
        assert answer.status_code == 401
        assert parsed == []

    async def test_a_chunked_body_without_a_token_is_not_read(self, app):
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            body = Body(100)
            answer = await app.client().post("/api/v1/emails", content=body, headers=headers)
            assert answer.status_code == 401
        for path in ("/api/v1/emails", "/oauth/introspect"):
            answer = await offer(app, "POST", path, {"transfer-encoding": "chunked"})
            assert (answer.status, answer.taken) == (401, 0), path

    @pytest.mark.parametrize("path", ["/oauth/token", "/oauth/login"])
    async def test_forms_of_strangers_are_small(self, app, path):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await app.client().post(path, content=b"a=" + b"x" * 70_000, headers=form)
        assert answer.status_code == 413
        body = Body(100)
        answer = await app.client().post(path, content=body, headers=form)
        assert answer.status_code == 413

    async def test_what_does_not_exist_is_not_told(self, app):
        for path in ("/api/v1/emails/1", "/api/v1/nothing", "/api/v2", "/api/v1/platform/tenants"):
            for method in ("GET", "PUT", "OPTIONS", "TRACE"):
                answer = await app.client().request(method, path)
                assert answer.status_code == 401, (method, path)

    async def test_no_answer_invites_another_origin(self, app):
        ada = await app.caller()
        for http in (app.client(Origin="https://evil.example"), ada.http):
            for method, path in (
                ("OPTIONS", "/api/v1/me"),
                ("GET", "/api/v1/me"),
                ("GET", "/livez"),
                ("GET", "/oauth/jwks"),
                ("POST", "/oauth/token"),
            ):
                answer = await http.request(
                    method,
                    path,
                    headers={
                        "Origin": "https://evil.example",
                        "Access-Control-Request-Method": "POST",
                    },
                )
                assert not [name for name in answer.headers if name.startswith("access-control")]

    async def test_a_host_header_leads_nowhere(self, app):
        ada = await app.caller()
        for path in ("/api/v1/emails/", "/oauth/authorize/", "//evil.example/", "/livez/"):
            answer = await ada.http.get(path, headers={"Host": "evil.example"})
            assert "evil.example" not in answer.headers.get("location", ""), path
            assert answer.status_code != 307, path


LARGE = 30 * 2**20
HOWEVER = [{"Content-Length": str(LARGE)}, {"Transfer-Encoding": "chunked"}]


class TestRefusedByTheHead:
    """Thirty megabytes of somebody who may not send them must not cost the time of the others."""

    async def test_nothing_is_received_of_callers_who_may_not(self, app):
        for viewer in [await app.caller("viewer") for _ in range(3)]:
            token = {"Authorization": viewer.http.headers["Authorization"]}
            for path, permission in (
                ("/api/v1/emails", "email:send"),
                ("/api/v1/emails/batch", "email:send"),
                ("/api/v1/clients", "client:write"),
                ("/oauth/introspect", "token:introspect"),
            ):
                for however in HOWEVER:
                    for more in ({}, {"Idempotency-Key": "k"}):
                        answer = await offer(app, "POST", path, {**token, **however, **more})
                        assert (answer.status, answer.taken) == (403, 0), (path, however)
                        assert answer.problem["permission"] == permission
                        assert f'scope="{permission}"' in answer.headers["www-authenticate"]
                        assert "ratelimit" in answer.headers

    async def test_nothing_is_received_for_what_is_not_there(self, app):
        owner = await app.caller()
        token = {"Authorization": owner.http.headers["Authorization"]}
        for method, path, status in (
            ("POST", "/api/v1/nothing", 404),
            ("DELETE", "/api/v1/emails", 405),
            ("POST", "/livez", 405),
            ("PUT", "/oauth/introspect", 405),
            ("PUT", "/oauth/token", 405),
        ):
            for however in HOWEVER:
                answer = await offer(app, method, path, {**token, **however})
                assert (answer.status, answer.taken) == (status, 0), path

    async def test_nothing_is_received_over_a_limit(self, app, monkeypatch):
        monkeypatch.setattr(app.platform.of(GatewayManager)._limiter, "_now", lambda: 10**12)
        owner = await app.caller()
        token = {"Authorization": owner.http.headers["Authorization"]}
        while (await owner.http.get("/api/v1/me")).status_code == 200:
            pass
        for path in ("/api/v1/clients", "/api/v1/platform/tenants", "/nothing"):
            for however in HOWEVER:
                answer = await offer(app, "POST", path, {**token, **however})
                assert (answer.status, answer.taken) == (429, 0), path

    async def test_nothing_is_received_of_what_is_announced_too_large(self, app):
        owner = await app.caller()
        token = {"Authorization": owner.http.headers["Authorization"]}
        for path in ("/api/v1/clients", "/oauth/introspect", "/oauth/token"):
            answer = await offer(app, "POST", path, {**token, **HOWEVER[0]})
            assert (answer.status, answer.taken) == (413, 0), path
            answer = await offer(app, "POST", path, {**token, **HOWEVER[1]})
            assert (answer.status, answer.problem["limit_bytes"]) == (413, 2**20), path
            assert answer.taken == 2**20 // 65_536 + 1

    async def test_a_real_server_takes_no_more_than_it_throws_away(self, app):
        viewer = await app.caller("viewer")
        head = (
            f"POST /api/v1/emails HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGE}\r\n"
            f"Content-Type: application/json\r\n"
            f"Authorization: {viewer.http.headers['Authorization']}\r\n\r\n"
        ).encode()
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            config = uvicorn.Config(app.asgi, lifespan="off", **OPTIONS)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve([listener]))
            answers = await asyncio.gather(
                *(asyncio.to_thread(push, port, head, LARGE) for _ in range(3))
            )
            server.should_exit = True
            await serving
        for answer, pushed in answers:
            assert answer.startswith(b"HTTP/1.1 403 ")
            assert b'"permission":"email:send"' in answer
            # Besides what the server threw away: what both ends of the connection keep.
            assert pushed < LARGE


def push(port: int, head: bytes, size: int, piece: bytes = b"x" * 65_536) -> tuple[bytes, int]:
    """Send a head, wait for its answer and send a body; the answer, and what was taken of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head)
        answer = connection.recv(65_536)
        while answer.startswith(b"HTTP/1.1 403 ") and not answer.endswith(b"}"):
            answer += connection.recv(65_536)
        pushed = 0
        with contextlib.suppress(ConnectionError):
            while pushed < size:
                connection.sendall(piece)
                pushed += len(piece)
        return answer, pushed


class TestAddress:
    """Limits and the audit trail go by the address that the proxy saw."""

    @pytest.fixture
    def addresses(self, app, monkeypatch):
        seen = []
        charged = app.platform.of(GatewayManager).coarse_limit

        def charge(key):
            seen.append(key)
            return charged(key)

        monkeypatch.setattr(app.platform.of(GatewayManager), "coarse_limit", charge)
        return seen

    async def test_of_two_header_lines_the_proxys_counts(self, app, addresses):
        """HAProxy appends a line of its own and leaves the client's where it was."""
        app.asgi._proxies = frozenset({"127.0.0.1"})
        for lines in (
            ["203.0.113.9"],
            ["198.51.100.1", "203.0.113.9"],
            ["198.51.100.1, 198.51.100.2", "203.0.113.9"],
            ["198.51.100.1", "198.51.100.2, 203.0.113.9"],
        ):
            headers = [("X-Forwarded-For", line) for line in lines]
            await app.client().get("/api/v1/me", headers=headers)
        assert set(addresses) == {"203.0.113.9"}

    async def test_an_address_is_the_same_in_all_its_spellings(self, app, addresses):
        """A listener for both families shows IPv4 as IPv6, and some proxies add the port."""
        app.asgi._proxies = frozenset({"127.0.0.1"})
        mapped = "::ffff:203.0.113.9"
        for peer in ("127.0.0.1", "::ffff:127.0.0.1"):
            for said in ("203.0.113.9", mapped, "203.0.113.9:4711", f"[{mapped}]:4711"):
                http = from_address(app, peer)
                await http.get("/api/v1/me", headers={"X-Forwarded-For": said})
        assert set(addresses) == {"203.0.113.9"}

    async def test_nobody_but_a_proxy_is_believed(self, app, addresses):
        await app.client().get("/api/v1/me", headers={"X-Forwarded-For": "203.0.113.9"})
        assert addresses == ["127.0.0.1"]

    async def test_the_addresses_of_a_network_fail_together(self, app, people):
        """One host has a /64 to itself: eighty of its addresses are one who guesses."""
        await people.person()
        for network, act in enumerate((guess_a_secret, guess_a_password)):
            there = f"2001:db8:{network}:7"
            answers = [await act(app, f"{there}::{number:x}") for number in range(80)]
            assert answers[0] == 401
            assert answers[-1] == 429, act
            assert await act(app, "2001:db8:0:8::1") == 401, act

    async def test_an_ipv4_address_fails_as_itself_in_ipv6(self, app):
        spellings = ("198.51.100.7", "::ffff:198.51.100.7", "::ffff:c633:6407")
        answers = [await guess_a_secret(app, spellings[number % 3]) for number in range(80)]
        assert (answers[0], answers[-1]) == (401, 429)

    async def test_the_addresses_of_a_network_share_their_records(self, app, people):
        await people.person()
        for number in range(20):
            await from_address(app, f"2001:db8:0:9::{number:x}").get("/api/v1/me")
            await guess_a_secret(app, f"2001:db8:0:9::{number:x}")
            await guess_a_password(app, f"2001:db8:0:9::{number:x}")
        app.asgi._telemetry.drain()
        await asyncio.gather(*app.platform.of(GatewayManager)._noting)
        async with app.platform.database.read(SystemScope(SEQUENCER)) as tx:
            rows = await tx.scalars(sa.select(AuditRecord).order_by(AuditRecord.id))
        rows = [row for row in rows if row.target.startswith("address:")]
        assert sorted((row.action, row.target) for row in rows) == [
            ("access.denied", "address:2001:db8:0:9::/64"),
            ("client.authentication_failed", "address:2001:db8:0:9::/64"),
            ("login.failed", "address:2001:db8:0:9::/64"),
        ]
        assert {row.data["address"] for row in rows} == {"2001:db8:0:9::"}


def from_address(app: App, address: str) -> httpx.AsyncClient:
    """A client that calls from there."""
    transport = httpx.ASGITransport(app.asgi, client=(address, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8400")


async def guess_a_secret(app: App, address: str) -> int:
    """Try a client's secret; the status."""
    answer = await from_address(app, address).post(
        "/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(f"es_{secrets.token_hex(4)}", "guess"),
    )
    return answer.status_code


def return_to() -> str:
    """Where the log-in page goes on to: the console's request."""
    asked = {
        "response_type": "code",
        "client_id": "console",
        "redirect_uri": REDIRECT,
        "scope": "openid profile email",
        "state": "s",
        "nonce": "n",
        "code_challenge": "A" * 43,
        "code_challenge_method": "S256",
    }
    return f"/oauth/authorize?{urlencode(asked)}"


async def guess_a_password(app: App, address: str) -> int:
    """Try a log-in's password, each time another's: no account is to run out; the status."""
    http = from_address(app, address)
    page = await http.get("/oauth/login", params={"return_to": return_to()})
    csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert csrf is not None, page.text
    form = {
        "csrf": csrf[1],
        "return_to": return_to(),
        "email": f"{secrets.token_hex(4)}@example.test",
        "password": "guess",
    }
    return (await http.post("/oauth/login", data=form)).status_code


HOSTS = [
    b"",
    b" ",
    b"a b",
    b"a, b",
    b"a/b",
    b"http://a",
    b"user@a",
    b"a:port",
    b"a:80:80",
    b"a:-1",
    b"a%zz",
    b"a?b",
    b"a#b",
    b'"a"',
    b"[::1",
    b"::1",
    b"[]",
    b"[a]",
    b"[::1]x",
    b"[1:2:3]",
    b"m\xc3\xbcnchen.example",
    b"a\x00b",
    b"a\\b",
]
GOOD_HOSTS = [
    b"localhost",
    b"localhost:8400",
    b"a:",
    b"A.EXAMPLE.test.",
    b"192.0.2.1:80",
    b"[::1]",
    b"[2001:db8::1]:8400",
    b"[::ffff:192.0.2.1]",
    b"[v1.a:b]",
    b"xn--mnchen-3ya.example",
    b"service_name",
    b"a%20b",
]
PLACES = [
    ("GET", "/livez"),
    ("GET", "/api/v1/me"),
    ("POST", "/api/v1/emails"),
    ("POST", "/oauth/introspect"),
    ("POST", "/oauth/token"),
    ("GET", "/oauth/login"),
    ("GET", "/nothing"),
]


class TestHost:
    """RFC 9112, section 3.2: no Host, more than one, or none that is a host: 400."""

    async def asked(self, app, method, path, hosts, version="1.1", **more):
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"host", host) for host in hosts]
        headers += [(name.encode(), value.encode()) for name, value in more.items()]
        scope = {
            "type": "http",
            "http_version": version,
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("192.0.2.1", 1),
            "server": ("localhost", 8400),
            "scheme": "http",
        }
        await app.asgi(scope, receive, send)
        status = sent[0]["status"]
        body = b"".join(part["body"] for part in sent[1:])
        problem = dict(sent[0]["headers"]).get(b"content-type") == b"application/problem+json"
        return status, json.loads(body)["code"] if problem else ""

    async def test_none_or_two_are_refused_on_both_planes(self, app):
        owner = await app.caller()
        token = {"authorization": owner.http.headers["Authorization"]}
        for method, path in PLACES:
            for more in ({}, token):
                for hosts in ([], [b"a", b"a"], [b"a", b"b"], [b"a", b""], [b"a", b"b", b"c"]):
                    answer = await self.asked(app, method, path, hosts, **more)
                    assert answer == (400, "invalid_host"), (method, path, hosts)
                assert (await self.asked(app, method, path, [b"a"], **more))[1] != "invalid_host"

    async def test_what_names_no_host_is_refused(self, app):
        for host in HOSTS:
            answer = await self.asked(app, "GET", "/livez", [host])
            assert answer == (400, "invalid_host"), host

    async def test_what_names_one_is_served(self, app):
        for host in GOOD_HOSTS:
            assert await self.asked(app, "GET", "/livez", [host]) == (200, ""), host

    async def test_before_1_1_there_need_be_none(self, app):
        assert (await self.asked(app, "GET", "/livez", [], "1.0"))[0] == 200
        for hosts in ([b"a", b"b"], [b"a b"]):
            assert (await self.asked(app, "GET", "/livez", hosts, "1.0"))[0] == 400, hosts

    async def test_a_real_server_refuses_too(self, app):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            server = uvicorn.Server(uvicorn.Config(app.asgi, lifespan="off", **OPTIONS))
            serving = asyncio.create_task(server.serve([listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            for method, path in PLACES:
                for head in (b"", b"Host: a\r\nHost: b\r\n", b"Host:\r\n", b"Host: a b\r\n"):
                    line = f"{method} {path} HTTP/1.1\r\n".encode()
                    request = line + head + b"Content-Length: 0\r\n\r\n"
                    answer = await asyncio.to_thread(ask, port, request)
                    assert answer.startswith(b"HTTP/1.1 400 "), (method, path, head)
            good = b"GET http://a/livez HTTP/1.1\r\nHost: a\r\n\r\n"
            assert (await asyncio.to_thread(ask, port, good)).startswith(b"HTTP/1.1 200 ")
            old = b"GET /livez HTTP/1.0\r\n\r\n"
            assert (await asyncio.to_thread(ask, port, old)).startswith(b"HTTP/1.1 200 ")
            server.should_exit = True
            await serving


class TestBodies:
    """Small requests that would cost much: as many values, fields or errors as fit."""

    async def test_more_values_than_any_mail_has(self, app, monkeypatch):
        ada = await app.caller()
        parsed = []
        loads = json.loads

        def load(text, **more):
            parsed.append(len(text))
            return loads(text, **more)

        monkeypatch.setattr(json, "loads", load)
        bomb = b'{"messages":[' + b"{}," * 700_000 + b"{}]}"
        answer = await ada.http.post("/api/v1/emails/batch", content=bomb, headers=JSON)
        assert answer.status_code == 413, answer.text
        # The parts of a token, and what a row keeps of a role: not the bomb.
        assert max(parsed, default=0) < 10_000

    async def test_commas_within_texts_are_no_values(self, app):
        ada = await app.caller()
        body = {**EMAIL, "text": 'a,{[\\"' * 300_000}
        answer = await ada.http.post("/api/v1/emails", json=body)
        assert answer.status_code == 202, answer.text

    async def test_unknown_fields_are_one_error(self, app):
        ada = await app.caller()
        for body in (
            {**EMAIL, **{f"x{n}": 0 for n in range(20_000)}},
            {**EMAIL, "headers": {f"x{n}": 0 for n in range(20_000)}},
            {**EMAIL, "attachments": [{f"x{n}": 0 for n in range(20_000)}]},
        ):
            answer = await ada.http.post("/api/v1/emails", json=body)
            assert answer.status_code == 422
            assert len(answer.content) < 2000
        batch = {"messages": [{**EMAIL, "to": [1] * 900} for _ in range(100)]}
        answer = await ada.http.post("/api/v1/emails/batch", json=batch)
        assert answer.status_code == 422
        assert len(answer.content) < 20_000

    async def test_odd_json_is_refused_and_is_no_bug(self, app):
        ada = await app.caller()
        for body in ODD_BODIES:
            answer = await ada.http.post("/api/v1/emails", content=body, headers=JSON)
            assert 400 <= answer.status_code < 500, answer.text

    async def test_compressed_bodies_are_not_opened(self, app):
        ada = await app.caller()
        answer = await ada.http.post(
            "/api/v1/emails", content=b"\x1f\x8b\x08", headers={**JSON, "Content-Encoding": "gzip"}
        )
        assert answer.status_code in {400, 415}


class TestMethods:
    async def test_a_method_is_no_label_of_its_own(self, app):
        http = app.client()
        methods = ["PROPFIND", "M-SEARCH", "BREW", *(f"X{n}" for n in range(50))]
        for method in methods:
            await http.request(method, "/livez")
        await asyncio.sleep(0.6)
        text = (await http.get("/metrics")).text
        assert 'method="other"' in text
        assert not [method for method in methods if f'method="{method}"' in text]

    async def test_paths_are_no_labels(self, app):
        http = app.client()
        for n in range(50):
            await http.get(f"/unlisted-{n}")
            await http.get(f"/api/v1/emails/unlisted-{n}")
        await asyncio.sleep(0.6)
        assert "unlisted" not in (await http.get("/metrics")).text


@contextlib.contextmanager
def answering(**more: float) -> Iterator[int]:
    """A server of ours, in front of an application that answers 204."""

    class Protocol(BoundedProtocol):
        head_seconds = more.get("head_seconds", BoundedProtocol.head_seconds)

    async def reply(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(reply, http=Protocol, ws="none", lifespan="off", log_config=None)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(timeout=20)


def ask(port: int, *parts: bytes) -> bytes:
    """Send the parts; what came back until the server closed, or the first 64 KiB."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        with contextlib.suppress(OSError):
            for part in parts:
                connection.sendall(part)
        with contextlib.suppress(OSError):
            return connection.recv(65_536)
    return b""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server that stays up for all of its tests."""
    with answering() as made:
        yield made


def test_clients_and_proxies_give_up_an_idle_connection_first():
    assert OPTIONS["timeout_keep_alive"] > 60


class TestServer:
    """What an application never sees, because the server would have to keep it first."""

    def test_serves(self, port):
        request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        assert ask(port, request).startswith(b"HTTP/1.1 204")
        assert ask(port, request[:20], request[20:]).startswith(b"HTTP/1.1 204")
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"
        assert ask(port, head, b"x" * 300_000).startswith(b"HTTP/1.1 204")

    @pytest.mark.parametrize(
        "parts",
        [
            [b"GET / HTTP/1.1\r\n", *[b"X: " + b"a" * 60_000 + b"\r\n"] * 400],
            [b"GET / HTTP/1.1\r\nX: ", *[b"a" * 60_000] * 400],
            [b"GET /", *[b"a" * 60_000] * 400],
        ],
        ids=["many headers", "one header", "path"],
    )
    def test_an_endless_head_is_cut(self, port, parts):
        assert sum(map(len, parts)) > 100 * MAX_HEAD_BYTES
        answer = ask(port, *parts)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            sent = 0
            with contextlib.suppress(OSError):
                for part in parts:
                    connection.sendall(part)
                    sent += len(part)
            assert sent < sum(map(len, parts))

    def test_a_head_that_never_ends_is_closed(self):
        with answering(head_seconds=0.2) as port:
            for begun in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"):
                with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                    connection.sendall(begun)
                    assert connection.recv(100) == b""

    def test_a_body_that_was_answered_already_is_thrown_away_within_bounds(self, port):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            for _ in range(3):  # it counts anew for each request
                connection.sendall(head % (MAX_UNWANTED_BYTES - 70_000))
                assert connection.recv(65_536).startswith(b"HTTP/1.1 204")
                connection.sendall(b"x" * (MAX_UNWANTED_BYTES - 70_000))
        chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        for endless, piece in ((head % 10**12, chunk), (chunked, chunk)):
            answer, pushed = push(port, endless, 100 * MAX_UNWANTED_BYTES, piece)
            assert answer.startswith(b"HTTP/1.1 204")
            assert pushed < 100 * MAX_UNWANTED_BYTES

    @pytest.mark.parametrize(
        "request_",
        [
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
            b"GET / HTTP/1.1\r\nHost: x\r\nX: a\nb: c\r\n\r\n",
            b"GET / HTTP/1.1\nHost: x\n\n",
            b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX-\x00: y\r\n\r\n",
        ],
        ids=range(9),
    )
    def test_what_two_servers_could_read_differently_is_refused(self, port, request_):
        assert ask(port, request_).startswith(b"HTTP/1.1 400")
