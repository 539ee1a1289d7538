"""Group commit: who goes with whom, and what becomes of those whose group failed.

Opens no transaction itself: :class:`backend.core.database.Database` gives it a way to attempt a
group, and its turn at writing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

_MOST_ACTS: Final = 256
_MOST_BYTES: Final = 1024 * 1024


class Act:
    """One caller's part of a shared commit."""

    __slots__ = ("answer", "run", "scope", "size_bytes")

    def __init__(self, scope: Any, run: Callable[[Any], Awaitable[Any]], size_bytes: int) -> None:
        self.scope = scope
        self.run = run
        self.size_bytes = size_bytes
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def give(self, result: Any) -> None:
        """Answer the caller, if there still is one."""
        if not self.answer.done():
            self.answer.set_result(result)

    def fail(self, error: Exception) -> None:
        """Let the caller know, if there still is one."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a group: a result for each act, or the error for which nothing was kept.

    ``culprit`` is the act that raised it, or None when the commit did. ``final``: trying again
    would not help, or must not be, because the commit may have happened.
    """

    results: list[Any] = field(default_factory=list)
    error: Exception | None = None
    culprit: Act | None = None
    final: bool = False


class Groups:
    """Acts that wait for company: one group a tenant is on its way at a time.

    Args:
        turn: Held while a group is attempted.
        attempt: Runs all acts of a group in one transaction; never raises but for cancellation.
        publish: Called with the results of each commit, before its acts are answered.
        closing: What callers get whose group was cancelled with its process.
    """

    def __init__(
        self,
        turn: AbstractAsyncContextManager[Any],
        attempt: Callable[[Sequence[Act]], Awaitable[Attempt]],
        publish: Callable[[Sequence[Any]], None],
        closing: Callable[[], Exception],
    ) -> None:
        self._turn = turn
        self._attempt = attempt
        self._publish = publish
        self._closing = closing
        self._waiting: dict[str, list[Act]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self, tenant_id: str, act: Act) -> Any:
        """Wait until the act's own group is committed; its result."""
        waiting = self._waiting.get(tenant_id)
        if waiting is None:
            self._waiting[tenant_id] = [act]
            # A task of its own: the caller who came first may leave, the others still wait.
            task = asyncio.create_task(self._serve(tenant_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            waiting.append(act)
        return await act.answer

    async def drain(self) -> None:
        """Wait until nobody waits."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, tenant_id: str) -> None:
        waiting = self._waiting[tenant_id]
        group: list[Act] = []
        try:
            while waiting:
                async with self._turn:
                    # Only now: the longer the turn was awaited, the more go along.
                    group = _next(waiting)
                    attempt = await self._attempt(group)
                await self._settle(group, attempt)
        finally:
            # Nobody waits for ever, also when this task is cancelled.
            for act in [*group, *self._waiting.pop(tenant_id)]:
                act.fail(self._closing())

    async def _settle(self, group: Sequence[Act], attempt: Attempt, *, again: bool = False) -> None:
        if attempt.error is None:
            self._publish(attempt.results)
            for act, result in zip(group, attempt.results, strict=True):
                act.give(result)
        elif len(group) == 1 or attempt.final:
            for act in group:
                act.fail(attempt.error)
        else:
            if attempt.culprit is None or again:
                parts = [[act] for act in group]
            else:
                # One refusal must not cost the others what they share.
                parts = [[attempt.culprit], [act for act in group if act is not attempt.culprit]]
            for part in parts:
                # Nothing of it was kept, so who left meanwhile need not be served.
                if left := [act for act in part if not act.answer.done()]:
                    async with self._turn:
                        attempt = await self._attempt(left)
                    await self._settle(left, attempt, again=True)


def _next(waiting: list[Act]) -> list[Act]:
    """Take the next group off the list: bounded in acts, and in what it holds in memory."""
    group: list[Act] = []
    size = 0
    while waiting and len(group) < _MOST_ACTS:
        act = waiting[0]
        if group and size + act.size_bytes > _MOST_BYTES:
            break
        del waiting[0]
        if not act.answer.done():
            group.append(act)
            size += act.size_bytes
    return group
