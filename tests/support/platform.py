"""A whole application in this process: real pipeline, managers and database, no sockets."""

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from backend.api import create_app
from backend.app import Platform, compose
from backend.core.audit import sequence
from backend.core.context import Scope, SystemScope
from backend.http.pipeline import Pipeline
from backend.kit.outbound import OutboundSettings
from backend.managers.audit import AuditManager
from backend.managers.email import EmailSettings
from backend.managers.gateway import GatewaySettings
from backend.managers.identity import IdentityManager
from backend.managers.tenant import PLATFORM, Tenant, TenantManager
from backend.managers.tracing import TracingManager, TracingSettings
from backend.settings import DatabaseSettings, Settings, TelemetrySettings
from tests.support.fleet import add_worker


@dataclass(frozen=True, slots=True)
class TenantClient:
    """A client of one tenant, with a token."""

    tenant: Tenant
    client_id: str
    client_secret: str
    http: httpx.AsyncClient

    async def audit(self, platform: Platform, action: str | None = None) -> list[Any]:
        """The tenant's audit entries, newest first."""
        async with platform.database.read(Scope("test", self.tenant.id)) as tx:
            return await platform.of(AuditManager).list_records(tx, limit=200, action=action)


class App:
    """The application and ways to call it."""

    def __init__(self, platform: Platform, asgi: Pipeline) -> None:
        self.platform = platform
        self.asgi = asgi
        self._open: list[httpx.AsyncClient] = []

    def client(self, **headers: str) -> httpx.AsyncClient:
        """An HTTP client without credentials, whose server errors are answers, not exceptions."""
        made = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.asgi, raise_app_exceptions=False),
            base_url="http://localhost:8400",
            headers=headers,
        )
        self._open.append(made)
        return made

    async def caller(self, role: str = "owner", tenant: Tenant | None = None) -> TenantClient:
        """A new client with this role; in a new tenant unless one is given."""
        platform = self.platform
        if tenant is None:
            async with platform.database.transaction(SystemScope(PLATFORM)) as tx:
                slug = f"t-{secrets.token_hex(4)}"
                tenant = await platform.of(TenantManager).create_tenant(tx, slug=slug, name=slug)
        async with platform.database.transaction(Scope("test", tenant.id)) as tx:
            client, secret = await platform.of(IdentityManager).clients.create_client(
                tx, name="test", role=role, granter=None
            )
        http = self.client()
        answer = await http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(client.client_id, secret),
        )
        assert answer.status_code == 200, answer.text
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return TenantClient(tenant, client.client_id, secret, http)

    async def sequence(self) -> None:
        """Number all committed audit records, as the worker's tick does."""
        while await sequence(self.platform.database):
            pass

    async def keep_spans(self) -> None:
        """Decide on all spans of this process, its requests' too, and write them, as ticks do."""
        self.asgi._telemetry.drain()
        await self.platform.of(TracingManager).store.flush(self.platform.database, everything=True)

    async def add_worker(self) -> str:
        """Have a worker be heard; its id."""
        return await add_worker(self.platform.database)

    async def aclose(self) -> None:
        """Close every client."""
        for client in self._open:
            await client.aclose()


@pytest.fixture(scope="session", autouse=True)
def _turns_outlast_the_machine() -> Iterator[None]:
    """Have a turn of a walk end with its work and not with its seconds: tests look at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.core.walks._TURN_SECONDS", 600.0)
        yield


@pytest.fixture
def app_settings(database_url: str, tmp_path: Path) -> Settings:
    """Of the application under test; a module that needs others overrides it."""
    return Settings(
        data_dir=tmp_path / "data",
        database=DatabaseSettings(url=SecretStr(database_url), pool_size=5),
        telemetry=TelemetrySettings(access_log=False),
        gateway=GatewaySettings(
            other_requests_per_second=20,
            other_burst_requests=200,
        ),
        # There may be no name server here: nobody waits for one.
        outbound=OutboundSettings(lookup_seconds=0.5),
        # Nobody waits for the rest of a trace, which no test sends late.
        tracing=TracingSettings(settle_seconds=0),
        email=EmailSettings(
            smtp_url=SecretStr("smtp://127.0.0.1:9"), sink_directory=tmp_path / "sink"
        ),
    )


@pytest_asyncio.fixture
async def app(app_settings: Settings) -> AsyncIterator[App]:
    """The application on a migrated, empty database of either kind."""
    app_settings.data_dir.mkdir()
    platform = compose(app_settings)
    asgi = create_app(platform)
    control = asgi.control_plane
    made = App(platform, asgi)
    async with control.router.lifespan_context(control):
        yield made
        await made.aclose()
