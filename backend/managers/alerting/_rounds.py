"""Rounds of the clock's work: some of the tenants that have something due, a few at a time.

All rooms' clocks here go around the same way, so that the same holds of each: nobody waits longer
than it takes to go around once, and a fault in one tenant's work keeps nobody else waiting.
"""

import asyncio
import logging
import random
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from backend.core.context import Errand, Scope, SystemScope
from backend.core.database import Database, DatabaseUnavailableError
from backend.core.loose_scan import read_least
from backend.managers.alerting.errands import ACTOR

TENANTS: Final = 20
"""Most of them in one round."""
_AT_ONCE: Final = 4

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class Rounds:
    """Goes around the tenants in the order of their ids, from where the round before ended."""

    def __init__(self, errand: Errand, due: Any) -> None:
        """Begin nowhere yet.

        Args:
            errand: That finds whose turn it is.
            due: When a row is due, or never: an attribute of its model, next to the tenant in a
                key.
        """
        self._errand = errand
        self._due = due
        self._last: str | None = None

    async def run(self, database: Database, act: Callable[[Scope], Awaitable[_T]]) -> Sequence[_T]:
        """Act for up to twenty tenants; what came of it, but for those that failed or were late.

        Of ``n`` tenants that stay due each has its turn within ``n / 20`` rounds, rounded up.

        Raises:
            DatabaseUnavailableError: It is away, for everybody.
        """
        some = await self._next(database)
        places = asyncio.Semaphore(_AT_ONCE)
        done: list[_T] = []
        away: list[DatabaseUnavailableError] = []

        async def one(tenant_id: str) -> None:
            said = {"errand": self._errand.name, "tenant_id": tenant_id}
            async with places:
                if away:
                    return
                try:
                    done.append(await act(Scope(ACTOR, tenant_id)))
                except TimeoutError:
                    logger.warning("alerting_late", extra=said)
                except DatabaseUnavailableError as exc:
                    away.append(exc)
                except Exception:
                    # A fault of ours: this tenant's work stays due, and others' is done now.
                    logger.exception("alerting_failed", extra=said)

        await asyncio.gather(*map(one, some))
        if away:
            raise away[0]
        return done

    async def _next(self, database: Database) -> Sequence[str]:
        async with database.read(SystemScope(self._errand)) as view:
            now = view.now()
            least = await read_least(view, self._due.class_, self._due)
        # A tenant whose rows are all without a time has nothing due.
        due = sorted(
            tenant_id for tenant_id, due_at in least if due_at is not None and due_at <= now
        )
        if not due:
            return ()
        if self._last is None:
            # Processes that begin together have others first.
            self._last = random.choice(due)  # noqa: S311 - who comes first is no secret
        at = bisect_right(due, self._last)
        some = (due[at:] + due[:at])[:TENANTS]
        self._last = some[-1]
        return some
