"""Secrets by the API, and the clock of the application they are kept by."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from backend.app import Platform, compose
from backend.core.context import Scope
from backend.core.events import Event, read_events
from tests.support.platform import App, TenantClient

SECRETS = "/api/v1/secrets"
TOKENS = f"{SECRETS}/tokens"
GRANTS = f"{SECRETS}/grants"


async def write(caller: TenantClient, path: str, value: Any, **more: Any) -> dict[str, Any]:
    """Write a version; the API's answer."""
    answer = await caller.http.post(SECRETS, json={"path": path, "value": value, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def read(caller: TenantClient, path: str, **more: Any) -> Any:
    """The answer to reading it."""
    return await caller.http.get(f"{SECRETS}/by-path/value", params={"path": path, **more})


async def value_of(caller: TenantClient, path: str, **more: Any) -> Any:
    """Its value."""
    answer = await read(caller, path, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()["value"]


def refused(answer: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["code"]


async def events(app: App, caller: TenantClient, prefix: str = "secret") -> list[Event]:
    """The tenant's events of this room, oldest first."""
    await app.sequence()
    async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        found = await read_events(tx, after=0, limit=1000)
    return [event for event in found if event.kind.startswith(prefix)]


@pytest.fixture
def later(app: App) -> Callable[[float], AbstractContextManager[None]]:
    """The same application so many seconds later."""

    @contextmanager
    def moved(seconds: float) -> Iterator[None]:
        database = app.platform.database
        usual = database.clock
        database.clock = lambda: usual() + timedelta(seconds=seconds)
        try:
            yield
        finally:
            database.clock = usual

    return moved


@pytest_asyncio.fixture
async def other(app: App) -> AsyncIterator[Platform]:
    """Another process on the same database."""
    made = compose(app.platform.settings)
    yield made
    await made.database.aclose()
