"""Two API processes: what ends at one is refused by the other, with and without signals."""

import asyncio
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from backend.app import compose
from backend.core.context import Scope, SystemScope
from backend.managers.gateway import GatewayManager
from backend.managers.identity import IdentityManager
from backend.managers.identity.models import OauthClient
from backend.managers.tenant import PLATFORM, PRINCIPALS, TenantManager
from backend.managers.tenant.models import TenantRow
from backend.settings import DatabaseSettings, Settings
from tests.support.errands import EVERYTHING

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[3]
HEARD_SECONDS, UNHEARD_SECONDS = 1.0, 5.0
"""How long a change may take to reach another process."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def api_process(data_dir: Path, database_url: str, *flags: str, end=signal.SIGTERM):
    """The base URL of a process that answers; at the end it gets this signal."""
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EMAIL_SENDER__")}
    clean |= {
        "EMAIL_SENDER__DATA_DIR": str(data_dir),
        "EMAIL_SENDER__DATABASE__URL": database_url,
        "EMAIL_SENDER__TELEMETRY__ACCESS_LOG": "false",
    }
    command = [sys.executable, "-m", "tests.support.api_process", str(port), *flags]
    with (data_dir / f"{port}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=clean, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 300
        while time.monotonic() < until:
            try:
                httpx.get(f"{url}/livez")
                break
            except httpx.TransportError:
                assert process.poll() is None, (data_dir / f"{port}.log").read_text()
                time.sleep(0.05)
        yield url
    finally:
        process.send_signal(end)
        process.wait(120)


class Fleet:
    """What tests make and end, from a third process: this one."""

    def __init__(self, platform, url):
        self.platform = platform
        self.url = url
        self.clients = platform.of(IdentityManager).clients

    async def tenant(self):
        async with self.platform.database.transaction(SystemScope(PLATFORM)) as tx:
            slug = f"t-{secrets.token_hex(4)}"
            return await self.platform.of(TenantManager).create_tenant(tx, slug=slug, name=slug)

    async def client(self, tenant, role="admin"):
        async with self.platform.database.transaction(Scope("test", tenant.id)) as tx:
            client, secret = await self.clients.create_client(tx, name="c", role=role, granter=None)
        async with httpx.AsyncClient(base_url=self.url) as http:
            answer = await http.post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(client.client_id, secret),
            )
        assert answer.status_code == 200, answer.text
        return client, answer.json()["access_token"]

    async def status(self, credential, path="/api/v1/me"):
        async with httpx.AsyncClient(base_url=self.url) as http:
            answer = await http.get(path, headers={"Authorization": f"Bearer {credential}"})
        return answer.status_code

    async def admitted(self, credential, most):
        """How many of up to so many requests are admitted, eight at a time, until one is not."""
        left, admitted = iter(range(most)), 0
        async with httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {credential}"}
        ) as http:

            async def ask():
                nonlocal admitted
                for _ in left:
                    answer = await http.get("/api/v1/me")
                    if answer.status_code == 429:
                        assert answer.json()["code"] == "tenant.quota_reached"
                        return
                    assert answer.status_code == 200, answer.text
                    admitted += 1

            await asyncio.gather(*(ask() for _ in range(8)))
        return admitted

    async def refused_after(self, credential, path="/api/v1/me"):
        """Seconds until the process refuses, asked every few milliseconds."""
        began = time.monotonic()
        async with asyncio.timeout(60):
            while await self.status(credential, path) == 200:
                await asyncio.sleep(0.02)
        return time.monotonic() - began


async def end(fleet: Fleet, how: str):
    """A credential that has just been ended, and a path that it opened."""
    tenant = await fleet.tenant()
    path = "/api/v1/me"
    client, credential = await fleet.client(tenant)
    keys, key_id = fleet.platform.of(GatewayManager).api_keys, ""
    if how == "key revoked":
        async with fleet.platform.database.transaction(Scope("test", tenant.id)) as tx:
            made, credential = await keys.create_api_key(tx, name="k", role="admin", granter=None)
            key_id = made.id
    if how == "role changed":
        path = "/api/v1/clients"
    assert await fleet.status(credential, path) == 200
    scope = Scope("test", tenant.id)
    async with fleet.platform.database.transaction(
        SystemScope(EVERYTHING) if how in {"suspended", "disabled", "role changed"} else scope
    ) as tx:
        if how == "key revoked":
            await keys.revoke_api_key(tx, key_id, remover=None)
        elif how == "client deleted":
            await fleet.clients.delete_client(tx, client.id, remover=None)
        elif how == "suspended":
            await tx.execute(
                sa.update(TenantRow).where(TenantRow.id == tenant.id).values(state="suspended")
            )
            tx.signal(PRINCIPALS, f"tenant:{tenant.id}")
        else:
            change = {"disabled": True} if how == "disabled" else {"role": "viewer"}
            await tx.execute(
                sa.update(OauthClient).where(OauthClient.id == client.id).values(**change)
            )
            tx.signal(PRINCIPALS, f"client:{client.client_id}")
    return credential, path


async def quickest(fleet: Fleet, how: str, bound: float):
    """Seconds until the process refuses, at its best: neighbours only make it later."""
    took = bound
    for _ in range(4):
        took = min(took, await fleet.refused_after(*await end(fleet, how)))
        if took < bound:
            break
    return took


HOW = ["key revoked", "client deleted", "suspended", "disabled", "role changed"]


class TestTwoProcesses:
    async def test_what_ends_here_is_refused_there(self, database_url, tmp_path):
        settings = Settings(
            data_dir=tmp_path, database=DatabaseSettings(url=SecretStr(database_url))
        )
        platform = compose(settings)
        async with platform.running():
            with (
                api_process(tmp_path, database_url) as hears,
                api_process(tmp_path, database_url, "deaf") as deaf,
            ):
                for url, bound in ((hears, HEARD_SECONDS), (deaf, UNHEARD_SECONDS)):
                    fleet = Fleet(platform, url)
                    _, bystander = await fleet.client(await fleet.tenant())
                    assert await fleet.status(bystander) == 200
                    took = {how: await quickest(fleet, how, bound) for how in HOW}
                    logger.warning("bound %s s: %s", bound, took)
                    assert max(took.values()) < bound, took
                    assert await fleet.status(bystander) == 200

    async def test_admit_exactly_a_tenants_requests_of_the_day(self, database_url, tmp_path):
        """Both together; what one gives back at its end is the other's, a killed one's nobody's."""
        settings = Settings(
            data_dir=tmp_path, database=DatabaseSettings(url=SecretStr(database_url))
        )
        platform = compose(settings)
        plans = platform.of(TenantManager).plans

        async def allowed(fleet, requests):
            tenant = await fleet.tenant()
            async with platform.database.transaction(SystemScope(PLATFORM)) as tx:
                await plans.set_quotas(tx, tenant.id, overrides={"requests_a_day": requests})
            return (await fleet.client(tenant))[1]

        async with platform.running():
            with api_process(tmp_path, database_url) as one:
                stays = Fleet(platform, one)
                with api_process(tmp_path, database_url) as another:
                    other = Fleet(platform, another)
                    together, handed = await allowed(stays, 250), await allowed(stays, 80)
                    admitted = await asyncio.gather(
                        stays.admitted(together, 400), other.admitted(together, 400)
                    )
                    logger.warning("of 250 requests the two admitted %s", admitted)
                    assert sum(admitted) == 250
                    assert min(admitted) > 0
                    assert await other.admitted(handed, 4) == 4
                assert await stays.admitted(handed, 400) == 76
                with api_process(tmp_path, database_url, end=signal.SIGKILL) as third:
                    killed = Fleet(platform, third)
                    lost = await allowed(stays, 80)
                    assert await killed.admitted(lost, 4) == 4
                # Of its block of five.
                assert await stays.admitted(lost, 400) == 75
