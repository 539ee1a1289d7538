"""The whole application in this process for callers that are not asynchronous: no socket.

An event loop runs in a thread of its own; a synchronous ``httpx`` transport hands each request to
the application there and waits for the answer.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from backend.api import create_app
from backend.app import Platform, compose
from backend.settings import Settings

_T = TypeVar("_T")


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        # Measuring its lines takes as long as running them, and whoever asks is the one under test.
        sys.settrace(None)
        self._loop.run_forever()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run to the end in the loop's thread, and return what came of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=120)

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Begin something that goes on in the loop's thread."""

        async def begin() -> asyncio.Task[_T]:
            return asyncio.create_task(work)

        return self.run(begin())

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Bridge(httpx.BaseTransport):
    """Carries requests into the loop of an ASGI application."""

    def __init__(self, loop: Loop, app: Any) -> None:
        self._loop = loop
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask, and read the whole answer."""
        request.read()
        return self._loop.run(self._ask(request))

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        content = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)


@contextmanager
def in_process(loop: Loop, settings: Settings) -> Iterator[tuple[Platform, Bridge]]:
    """Run the application over a migrated database while the block lasts."""
    platform = compose(settings)
    app = create_app(platform)
    control = app.control_plane
    context = control.router.lifespan_context(control)
    loop.run(_enter(context))
    try:
        yield platform, Bridge(loop, app)
    finally:
        loop.run(_leave(context))


async def _enter(context: Any) -> None:
    await context.__aenter__()


async def _leave(context: Any) -> None:
    await context.__aexit__(None, None, None)
