"""What a lost signal costs: two seconds. Each process reads the durable ones that it was not sent.

A cache that is asked before the database is would otherwise keep what a change has ended until its
entries expire. The carriers of :mod:`backend.core.signals` bring the news within milliseconds; what
they lose is read from the table, by one look through an index every two seconds.

A record becomes visible when its transaction commits, which may be after one with a later time. It
is written as the last thing before its commit, so looks overlap by more than a commit takes; what a
process has been told of is not told again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final

import sqlalchemy as sa

from backend.core.clock import monotonic as system_monotonic
from backend.core.columns import db_now, tables_of
from backend.core.context import Errand, SystemScope
from backend.core.database import Database, Tx
from backend.core.errors import UnavailableError
from backend.core.signals import SignalRecord

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
_OVERLAP_SECONDS: Final = 15.0
_KEPT_SECONDS: Final = 600.0
_MOST_RECORDS: Final = 5000

SIGNALS: Final = Errand("core.signals", tables_of(SignalRecord))
"""Reading the signals of all tenants, and forgetting them."""


class SignalLog:
    """Tells this process what no carrier has told it.

    Args:
        database: Whose signals; its :class:`~backend.core.signals.Signals` are told.
        topics: The durable ones.
        monotonic: Seconds that only pass.
    """

    def __init__(
        self,
        database: Database,
        topics: Collection[str],
        *,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._database = database
        self._topics = topics
        self._monotonic = monotonic
        # What is cached from now on is newer than what was committed before.
        self._looked_at = monotonic()

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Look every two seconds while the block lasts."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except UnavailableError:
                logger.warning("signals_wait_for_the_database")
            except Exception:
                logger.exception("signals_not_read")

    async def look(self) -> None:
        """Deliver what was committed since the last look and has not been heard of.

        After so long a silence that records may have gone, or with more of them than are worth
        reading, everything of every durable topic may have changed, and that is what is said.

        Raises:
            DatabaseUnavailableError: The next look reads back as far as this one would have.
        """
        now = self._monotonic()
        since = now - self._looked_at + _OVERLAP_SECONDS
        rows: list[tuple[str, str, str]] = []
        if since < _KEPT_SECONDS:
            async with self._database.read(SystemScope(SIGNALS)) as view:
                found = await view.execute(
                    sa.select(SignalRecord.id, SignalRecord.topic, SignalRecord.payload)
                    .where(SignalRecord.at > db_now(-since))
                    .order_by(SignalRecord.at)
                    .limit(_MOST_RECORDS)
                )
                rows = [(row.id, row.topic, row.payload) for row in found]
        if since >= _KEPT_SECONDS or len(rows) == _MOST_RECORDS:
            for topic in self._topics:
                self._database.signals.deliver(topic, "")
        for record, topic, payload in rows:
            self._database.signals.deliver(topic, payload, record)
        self._looked_at = now


async def sweep_signals(tx: Tx) -> int:
    """Forget up to 1000 signals that every process has read; needs the errand."""
    # Twice as long as anybody looks back.
    old = SignalRecord.at < db_now(-2 * _KEPT_SECONDS)
    return await tx.delete_some(SignalRecord, old, limit=1000)
