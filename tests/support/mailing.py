"""A whole application with a worker in this process, whose mail server the caller chooses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from backend.api import create_app
from backend.app import compose
from backend.managers.email import EmailSettings
from backend.managers.identity import IdentitySettings
from backend.managers.orchestrator import OrchestratorManager, Worker
from backend.settings import DatabaseSettings, Settings, TelemetrySettings
from backend.worker import observer_of
from tests.support.platform import App, TenantClient


class Mailing(App):
    """The application, its worker and what its mail server wrote, all in this process."""

    def __init__(self, app: App, directory: Path) -> None:
        super().__init__(app.platform, app.asgi)
        self.directory = directory
        self.port = 0
        self.worker = Worker(
            self.platform.database,
            self.platform.of(OrchestratorManager),
            poll_seconds=0.05,
            on_event=observer_of(self.platform),
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


@asynccontextmanager
async def open_mailing(
    database_url: str, directory: Path, smtp_url: str, **email: Any
) -> AsyncIterator[Mailing]:
    """Application and worker on a migrated, empty database, and a mail server that is there."""
    data = directory / "data"
    data.mkdir()
    settings = Settings(
        data_dir=data,
        database=DatabaseSettings(url=SecretStr(database_url), pool_size=5),
        telemetry=TelemetrySettings(access_log=False),
        identity=IdentitySettings(issuer="http://localhost:8400"),
        email=EmailSettings(smtp_url=SecretStr(smtp_url), **{"backoff_seconds": 0.1, **email}),
    )
    platform = compose(settings)
    asgi = create_app(platform)
    made = Mailing(App(platform, asgi), directory / "sink")
    control = asgi.control_plane
    async with control.router.lifespan_context(control):
        task = asyncio.create_task(made.worker.run())
        try:
            yield made
        finally:
            await made.aclose()
            made.worker.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await task
