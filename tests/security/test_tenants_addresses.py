"""What a tenant may have us send to: whatever it writes, nothing of our own network is reached.

Alert channels and webhooks are made with addresses that lead inside by one trick each, and tried
out. Each is refused when it is made or when it is tried, and what listens inside hears nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import pytest
import pytest_asyncio

from backend.kit.outbound import OutboundSettings
from backend.settings import Settings
from tests.support.names import NameServer, name_server
from tests.support.platform import App

LITERALS = (
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7F.0x0.0x0.0x1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.0.0.1.",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[fe80::1%25lo]",
    "[fec0::1]",
    "[fd00::1]",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "\uff11\uff12\uff17.0.0.1",  # fullwidth digits
    "127\u30020\u30020\u30021",  # ideographic full stops
    "\u2460\u2461\u2466.0.0.1",  # circled digits
    "loc\u00adalhost",  # a soft hyphen, which IDNA leaves out
)
# Of the relays that RFC 7526 has taken away: public to whoever looks, and led nowhere.
PUBLIC = "192.88.99.9"
NAMES: dict[str, Any] = {
    "in.test": ["127.0.0.1"],
    "meta.test": ["169.254.169.254"],
    "both.test": [PUBLIC, "127.0.0.1"],
    "wide.test": ["0.0.0.0"],
}
WRITTEN = (
    "https://user:word@127.0.0.1:{port}/",  # pragma: allowlist secret
    "https://public.test@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}#@public.test/",
    "https://127.0.0.1:{port}" + "\\@public.test/",
    "https://public.test:{port}" + "@in.test/",
    "http://in.test:{port}/",
    "gopher://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "https:127.0.0.1:{port}/",
    "https:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\r\nHost: public.test/",
)


@pytest_asyncio.fixture
async def names() -> AsyncIterator[NameServer]:
    turns = cycle([[PUBLIC], ["127.0.0.1"]])
    records = {**NAMES, "turns.test": lambda: next(turns)}
    async with name_server(records=records, ttl=0) as server:
        yield server


@pytest.fixture
def app_settings(app_settings: Settings, names: NameServer) -> Settings:
    outbound = OutboundSettings(
        name_servers=(names.address,), lookup_seconds=0.5, breaker_failures=1000
    )
    return app_settings.model_copy(update={"outbound": outbound})


@asynccontextmanager
async def inside() -> AsyncIterator[tuple[int, list[str]]]:
    """Something that listens on every address of this host, and who came."""
    heard: list[str] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(str(writer.get_extra_info("peername")))
        writer.close()

    server = await asyncio.start_server(take, "0.0.0.0", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()
        await server.wait_closed()


def addresses(port: int) -> list[str]:
    hosts = [*LITERALS, *NAMES, "turns.test", "turns.test"]
    return [f"https://{host}:{port}/" for host in hosts] + [
        one.replace("{port}", str(port)) for one in WRITTEN
    ]


BODIES: dict[str, Any] = {
    "alert-channels": lambda name, url: {"name": name, "kind": "webhook", "url": url},
    "webhooks": lambda name, url: {"name": name, "url": url, "kinds": ["alert.fired"]},
}


@pytest.mark.parametrize("path", BODIES)
async def test_nothing_that_a_tenant_writes_leads_inside(app: App, path: str) -> None:
    who = await app.caller("admin")
    tried = refused = 0
    async with inside() as (port, heard):
        for number, url in enumerate(addresses(port)):
            made = await who.http.post(f"/api/v1/{path}", json=BODIES[path](f"n{number}", url))
            assert made.status_code in {201, 422}, (url, made.text)
            tried += 1
            if made.status_code == 422:
                assert [one["pointer"] for one in made.json()["errors"]] == ["/body/url"], made.text
                refused += 1
                continue
            done = await who.http.post(f"/api/v1/{path}/{made.json()['id']}/test")
            told = done.json()
            assert done.status_code >= 400 or told.get("outcome") != "delivered", (url, done.text)
            assert heard == [], url
            await who.http.delete(
                f"/api/v1/{path}/{made.json()['id']}", headers={"If-Match": made.headers["ETag"]}
            )
    assert tried >= 30
    assert refused, "none was refused when it was made"
    assert heard == []
