"""Time that stands still for the limiter, and a trail that holds all that was refused."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from backend.managers.gateway import GatewayManager
from tests.support.platform import App


@pytest.fixture
def stopped(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that does not pass for the limiter."""
    monkeypatch.setattr(app.platform.of(GatewayManager)._limiter, "_now", lambda: 10**12)


@pytest.fixture
def settled(app: App) -> Callable[[], Awaitable[None]]:
    """Waits until what the answers so far left behind has reached the database."""

    async def settle() -> None:
        app.asgi._telemetry.drain()
        await asyncio.gather(*app.platform.of(GatewayManager)._noting)

    return settle
