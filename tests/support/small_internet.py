"""An Internet of one process, and the platform in it: ``small_internet.py FOLDER``.

In a network of its own (``unshare --net --mount``) this process has public addresses and those of
a network inside, a web server on all of them and the name server that ``resolv.conf`` names. So
what is allowed really arrives, and what is not would: nothing stands in for anything.

``asked.json`` of the folder says what a tenant asks for. Each of it is asked by a job of the kind
``http.request``, by a webhook and by the way out itself, which alone follows redirects; to
``found.json`` goes what came of it. The web server answers with the address that it was reached at,
or sends on to where ``/to/STATUS/ADDRESS`` says.
"""

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain, count, repeat
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
from pydantic import SecretStr

from backend.api import create_app
from backend.app import compose
from backend.core.errors import AppError
from backend.kit.outbound import Outbound, OutboundSettings
from backend.managers.orchestrator import OrchestratorManager, Worker
from backend.settings import DatabaseSettings, Settings, TelemetrySettings
from tests.support.names import name_server
from tests.support.platform import App, TenantClient

PUBLIC = ("93.184.215.14", "2606:2800:21f:cb07::1")
INSIDE = (
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.0.1",
    # Forms of IPv6 that stand for an IPv4 address; none may be its way in.
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "fd00:ec2::254",
    "fec0::1",
)
NAMES: dict[str, Any] = {
    "public.test": [PUBLIC[0]],
    "six.test": [PUBLIC[1]],
    "long.test": [PUBLIC[0]],
    "loop.test": ["127.0.0.1"],
    "loop6.test": ["::1"],
    "meta.test": ["169.254.169.254"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data.ec2.internal": ["169.254.169.254"],
    "metadata.internal": ["169.254.169.254"],
    "mixed.test": [PUBLIC[0], "10.0.0.1"],
    "mixed6.test": [PUBLIC[0], "fd00:ec2::254"],
    "zero.test": ["0.0.0.0"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "translated.test": ["64:ff9b::7f00:1"],
    "longin.test": ["10.0.0.1"],
}
ALIASES = {
    "alias.test": "public.test",
    "inner.test": "loop.test",
    "first.test": "second.test",
    "second.test": "meta.test",
}
CERTIFIED = (*NAMES, *ALIASES, "rebound.test", "turning.test")


async def main(folder: Path) -> None:
    """Ask all, and write down what came of it."""
    _settle(folder)
    names = dict(NAMES)
    # As an answer that holds for no time lets its owner do.
    for name, turns in {
        "rebound.test": chain([PUBLIC[0]], repeat("127.0.0.1")),
        "turning.test": (PUBLIC[0] if n % 2 else "10.0.0.1" for n in count(1)),
    }.items():
        names[name] = lambda turns=turns: [next(turns)]
    heard: list[str] = []
    async with (
        name_server(
            port=53,
            records=names,
            aliases=ALIASES,
            long=frozenset({"long.test", "longin.test"}),
            ttl=0,
        ),
        _web_server(folder, heard),
        _platform(folder) as (app, who),
    ):
        ways: dict[str, Callable[[str], Awaitable[str]]] = {
            "job": _Job(who),
            "webhook": _Webhook(who),
            "way out": _WayOut(),
        }
        found: dict[str, Any] = {}
        for name, asked in json.loads((folder / "asked.json").read_text()).items():
            for way, ask in ways.items():
                heard.clear()
                said = [
                    await ask(
                        asked["url"].replace("{web}", "https" if way == "webhook" else "http")
                    )
                    for _ in range(asked.get("times", 1))
                ]
                found[f"{name} by {way}"] = {"said": said, "heard": list(heard)}
        await app.aclose()
    (folder / "found.json").write_text(json.dumps(found))


def _settle(folder: Path) -> None:
    """Addresses, and a configuration of names, of this network alone."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\nsearch test internal\n")
    (folder / "hosts").write_text("127.0.0.1 localhost thismachine\n")
    commands = [f"mount --bind {folder / name} /etc/{name}" for name in ("resolv.conf", "hosts")]
    commands += ["ip link set lo up"]
    for address in (*PUBLIC, *INSIDE):
        commands += [
            f"ip addr add {address}/128 dev lo nodad"
            if ":" in address
            else f"ip addr add {address}/32 dev lo"
        ]
    for command in commands:
        subprocess.run(command.split(), check=True)


@asynccontextmanager
async def _web_server(folder: Path, heard: list[str]) -> AsyncIterator[None]:
    """By HTTP and TLS on every address; who came to which is heard before anything is said."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "front.pem")

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port = writer.get_extra_info("sockname")[:2]
        heard.append(address)
        try:
            if port == 443:
                await writer.start_tls(context)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            to = ""
            status = "200"
            if path.startswith("/to/"):
                _, _, status, target = path.split("/", 3)
                to = f"Location: {unquote(target)}\r\n"
            writer.write(
                f"HTTP/1.1 {status} Said\r\n{to}Content-Length: {len(address)}\r\n"
                f"Connection: close\r\n\r\n{address}".encode()
            )
            await writer.drain()
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with AsyncExitStack() as stack:
        for host in ("0.0.0.0", "::"):
            for port in (80, 443):
                server = await asyncio.start_server(take, host, port)
                await stack.enter_async_context(server)
        yield


@asynccontextmanager
async def _platform(folder: Path) -> AsyncIterator[tuple[App, TenantClient]]:
    (folder / "data").mkdir()
    platform = compose(
        Settings(
            data_dir=folder / "data",
            database=DatabaseSettings(url=SecretStr(f"sqlite:///{folder / 'test.db'}")),
            telemetry=TelemetrySettings(access_log=False),
            # One name leads astray after the other: each is to be judged, and none left alone.
            outbound=OutboundSettings(breaker_failures=10_000),
        )
    )
    asgi = create_app(platform)
    app = App(platform, asgi)
    worker = Worker(
        platform.database,
        platform.of(OrchestratorManager),
        beat_seconds=1.0,
        ttl_seconds=60.0,
        poll_seconds=0.05,
    )
    async with asgi.control_plane.router.lifespan_context(asgi.control_plane):
        working = asyncio.create_task(worker.run())
        try:
            yield app, await app.caller("owner")
        finally:
            worker.stop()
            await working


class _Job:
    """By a job of the kind ``http.request``."""

    def __init__(self, who: TenantClient) -> None:
        self._http = who.http

    async def __call__(self, url: str) -> str:
        task = {"name": "ask", "kind": "http.request", "args": {"url": url}, "max_attempts": 1}
        graph = {"name": "Asks", "tasks": [task]}
        made = await self._http.post("/api/v1/job-graphs", json=graph)
        if made.status_code == 422:
            return _refusal(made, "/body/tasks/0/args")
        made.raise_for_status()
        while True:
            answer = await self._http.get(f"/api/v1/job-graphs/{made.json()['id']}/tasks")
            (job,) = answer.raise_for_status().json()["items"]
            if job["finished_at"] is not None:
                break
            await asyncio.sleep(0.02)
        whole = (await self._http.get(f"/api/v1/jobs/{job['id']}")).raise_for_status().json()
        return str(whole["error"] or whole["result"]["body"])


class _Webhook:
    """By a webhook that is tried out."""

    def __init__(self, who: TenantClient) -> None:
        self._http = who.http
        self._made = 0

    async def __call__(self, url: str) -> str:
        self._made += 1
        body = {"name": f"hook {self._made}", "url": url, "kinds": ["alert.fired"]}
        made = await self._http.post("/api/v1/webhooks", json=body)
        if made.status_code == 422:
            return _refusal(made, "/body/url")
        made.raise_for_status()
        path = f"/api/v1/webhooks/{made.json()['id']}"
        tried = (await self._http.post(f"{path}/test")).raise_for_status().json()
        gone = await self._http.delete(path, headers={"If-Match": made.headers["ETag"]})
        gone.raise_for_status()
        return str(tried["error"] or tried["outcome"])


def _refusal(answer: httpx.Response, pointer: str) -> str:
    """Why it was refused at once; for anything but the address nothing is shown."""
    (error,) = answer.json()["errors"]
    # A character that no text may have is refused before anybody asks where it stands.
    assert error["pointer"] == pointer or "U+0000" in error["detail"], answer.text
    return f"refused: {error['detail']}"


class _WayOut:
    """By the way out, which follows redirects."""

    def __init__(self) -> None:
        self._outbound = Outbound(OutboundSettings(breaker_failures=10_000))

    async def __call__(self, url: str) -> str:
        try:
            answer = await self._outbound.request(
                "GET", url, tenant_id="t", public_only=True, redirects=3
            )
        except AppError as error:
            return f"{error.code}: {error.detail}"
        return answer.body.decode()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
