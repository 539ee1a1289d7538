"""The API behind a real socket, with the token of a person who may do everything.

For tools that speak HTTP themselves. Server and managers live in this process, so a test sees what
the server logged; the requests go through the parser of a deployed server.
"""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn
from pydantic import SecretStr

from backend.api import create_app
from backend.app import Platform, compose
from backend.cli.installation import bootstrap
from backend.core.clock import Clock, system_clock
from backend.http.server import OPTIONS
from backend.kit.outbound import OutboundSettings
from backend.managers.email import EmailSettings
from backend.managers.gateway import GatewaySettings
from backend.managers.identity import IdentitySettings
from backend.managers.logging import LoggingSettings
from backend.managers.monitoring import MonitoringSettings
from backend.managers.tracing import TracingManager, TracingSettings
from backend.settings import DatabaseSettings, EventSettings, Settings, TelemetrySettings
from tests.support.fleet import add_worker
from tests.support.login import person_token
from tests.support.prometheus import Reply, nothing, stand_in

CONSOLE_URL = "http://localhost:8401"
_MUCH = 1_000_000
T = TypeVar("T")


@dataclass(frozen=True)
class Served:
    """A server that answers, and who may talk to it."""

    base_url: str
    tenant_id: str
    client_id: str
    client_secret: str
    console_url: str
    console_secret: str
    email: str
    password: str
    keep_spans: Callable[[], Awaitable[None]]
    add_worker: Callable[[], Awaitable[str]]

    def token(self, tenant_id: str | None = None) -> str:
        """An access token of the first admin: owner of the tenant and admin of the platform."""
        with httpx.Client(base_url=self.base_url) as http:
            return person_token(
                http,
                console_url=self.console_url,
                console_secret=self.console_secret,
                email=self.email,
                password=self.password,
                tenant_id=tenant_id or self.tenant_id,
            )

    def foreign_client(self) -> tuple[str, str]:
        """Id and secret of a client in another tenant, out of reach for callers in this one."""
        with httpx.Client(base_url=f"{self.base_url}/api/v1/") as http:
            tenant = http.post(
                "platform/tenants",
                json={"slug": "another", "name": "Another"},
                headers={"Authorization": f"Bearer {self.token()}"},
            ).raise_for_status()
            client = http.post(
                "clients",
                json={"name": "apart", "role": "workflow"},
                headers={"Authorization": f"Bearer {self.token(tenant.json()['id'])}"},
            ).raise_for_status()
        return client.json()["client_id"], client.json()["client_secret"]


def patient_settings(
    data_dir: Path, database_url: str, port: int, *, prometheus_url: str | None = None
) -> Settings:
    """Settings under which a fuzzer meets its inputs' limits, not the clock's."""
    return Settings(
        data_dir=data_dir,
        database=DatabaseSettings(url=SecretStr(database_url), pool_size=5),
        telemetry=TelemetrySettings(access_log=False),
        identity=IdentitySettings(
            issuer=f"http://localhost:{port}",
            user_token_seconds=3600,
            step_up_seconds=7200,
            account_failures_per_minute=6000,
            account_burst_failures=10_000,
            address_failures_per_minute=60_000,
            address_burst_failures=100_000,
        ),
        gateway=GatewaySettings(
            coarse_requests_per_second=_MUCH,
            coarse_burst_requests=_MUCH,
            tenant_requests_per_second=_MUCH,
            tenant_burst_requests=_MUCH,
            client_requests_per_second=_MUCH,
            client_burst_requests=_MUCH,
            introspect_requests_per_second=_MUCH,
            introspect_burst_requests=_MUCH,
            other_requests_per_second=_MUCH,
            other_burst_requests=_MUCH,
        ),
        # There may be no name server here: nobody waits for one.
        outbound=OutboundSettings(lookup_seconds=0.5),
        email=EmailSettings(
            sink_directory=data_dir / "sink",
            requests_per_second=_MUCH,
            burst_requests=_MUCH,
            tests_requests_per_second=_MUCH,
            tests_burst_requests=_MUCH,
        ),
        logging=LoggingSettings(requests_per_second=_MUCH, burst_requests=10 * _MUCH),
        tracing=TracingSettings(requests_per_second=_MUCH, burst_requests=10 * _MUCH),
        monitoring=MonitoringSettings(prometheus_url=prometheus_url),
        # Streams end by themselves only after this.
        events=EventSettings(stream_seconds=0.05, streams_per_tenant=1000, streams=1000),
    )


class _Located:
    """An application that knows its event loop, for what is done in it besides requests."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._loop = asyncio.get_running_loop()
        await self._app(scope, receive, send)

    async def perform(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do it there, and wait for it here."""
        assert self._loop is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self._loop))


async def _keep_spans(platform: Platform) -> None:
    await platform.of(TracingManager).store.flush(platform.database, everything=True)


@contextmanager
def serving(
    data_dir: Path,
    database_url: str,
    *,
    console_url: str = CONSOLE_URL,
    clock: Clock = system_clock,
    around: Callable[[Any], Any] = lambda app: app,
    prometheus: Reply = nothing,
) -> Iterator[Served]:
    """Serve a bootstrapped installation over a migrated database.

    Args:
        data_dir: Its data folder, empty or of an earlier start.
        database_url: The run-time DSN.
        console_url: Where a console may be that people log in by.
        clock: What the served application takes for the time.
        around: Wraps the application, to see or hold what it is asked.
        prometheus: What a Prometheus behind it answers.
    """
    with socket.socket() as listener, stand_in(prometheus) as prometheus_url:
        listener.bind(("127.0.0.1", 0))
        # From here on a request waits for the server instead of being refused.
        listener.listen()
        port = listener.getsockname()[1]
        settings = patient_settings(data_dir, database_url, port, prometheus_url=prometheus_url)
        asyncio.run(bootstrap(compose(settings), "ada@example.test", console_url))
        # A folder of an earlier start: what was shown once is in its file alone.
        made = json.loads((data_dir / "first-run.json").read_text())
        console = (data_dir / "console.json").read_text()
        secret = re.search(r'"client_secret": "([^"]+)"', console)
        assert secret is not None
        platform = compose(settings, clock=clock)
        app = _Located(around(create_app(platform)))
        server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=5, **OPTIONS))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        base_url = f"http://127.0.0.1:{port}"
        httpx.get(f"{base_url}/livez", timeout=30).raise_for_status()
        try:
            yield Served(
                base_url=base_url,
                tenant_id=made["tenant_id"],
                client_id=made["client_id"],
                client_secret=made["client_secret"],
                console_url=console_url,
                console_secret=secret[1],
                email=made["admin_email"],
                password=made["admin_password"],
                keep_spans=partial(app.perform, partial(_keep_spans, platform)),
                add_worker=partial(app.perform, partial(add_worker, platform.database)),
            )
        finally:
            server.should_exit = True
            thread.join(timeout=30)
