"""A real mail server and a real worker beside the application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from pydantic import SecretStr

from backend.app import compose, create_app
from backend.managers.email import EmailSettings
from backend.managers.identity import IdentitySettings
from backend.managers.orchestrator import OrchestratorManager, Worker
from backend.settings import DatabaseSettings, Settings, TelemetrySettings
from backend.sink import SmtpSink
from tests.support.platform import App, TenantClient


class Mailing(App):
    """The application, its worker and its mail server, all in this process."""

    def __init__(self, app: App, sink: SmtpSink, directory: Path) -> None:
        super().__init__(app.platform, app.asgi)
        self.sink = sink
        self.directory = directory
        self.worker = Worker(
            self.platform.database, self.platform.of(OrchestratorManager), poll_seconds=0.05
        )

    async def settled(self, caller: TenantClient, email_id: str, state: str) -> dict[str, Any]:
        """The message once it is in this state."""
        email: dict[str, Any] = {}
        for _ in range(400):
            answer = await caller.http.get(f"/api/v1/emails/{email_id}")
            email = answer.json()
            if email["state"] == state:
                return email
            await asyncio.sleep(0.05)
        raise AssertionError(email)

    async def ended(self, caller: TenantClient, job_id: str) -> dict[str, Any]:
        """The job once it is neither waiting nor running."""
        job: dict[str, Any] = {}
        for _ in range(400):
            job = (await caller.http.get(f"/api/v1/jobs/{job_id}")).json()
            if job["state"] not in {"ready", "running"}:
                return job
            await asyncio.sleep(0.05)
        raise AssertionError(job)


@pytest_asyncio.fixture
async def mailing(database_url: str, tmp_path: Path) -> AsyncIterator[Mailing]:
    """Application, worker and sink on a migrated, empty database of either kind."""
    directory = tmp_path / "sink"
    sink = SmtpSink(directory, port=0)
    await sink.start()
    settings = Settings(
        data_dir=tmp_path / "data",
        database=DatabaseSettings(url=SecretStr(database_url), pool_size=5),
        telemetry=TelemetrySettings(access_log=False),
        identity=IdentitySettings(issuer="http://localhost:8400"),
        email=EmailSettings(
            smtp_url=SecretStr(f"smtp://127.0.0.1:{sink.port}"),
            sink_directory=directory,
            backoff_seconds=0.1,
            max_attempts=3,
        ),
    )
    (tmp_path / "data").mkdir()
    platform = compose(settings)
    asgi = create_app(platform)
    made = Mailing(App(platform, asgi), sink, directory)
    control = asgi.control_plane
    async with control.router.lifespan_context(control):
        task = asyncio.create_task(made.worker.run())
        yield made
        await made.aclose()
        made.worker.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await sink.stop()
