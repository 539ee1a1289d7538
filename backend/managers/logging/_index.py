"""Looking for lines where they are exported to, so that the answer is the same as from here.

Elasticsearch says which lines there are, in a view of one moment (a point in time); the lines are
then read from the tenant's own rows, inside its scope: a line of somebody else's is not among them
whatever Elasticsearch says, nor is one that was let go or erased here and not there. What is not
exported yet, and what Elasticsearch does not take, is looked for here and put between. When it
fails, or is too far behind, all is looked for here, and the answer says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from prometheus_client import Counter

from backend.core.context import Scope
from backend.core.database import Database, ReadTx
from backend.kit.outbound import Outbound
from backend.managers.logging._cluster import Cluster, ClusterError
from backend.managers.logging._export import LogExport
from backend.managers.logging._lines import KeepRule
from backend.managers.logging._query import (
    Clause,
    add_counts,
    counts_of,
    ids_in,
    page_of,
    query_of,
)
from backend.managers.logging._search import (
    Counts,
    Found,
    Line,
    Store,
    Summary,
    Wanted,
    count_beyond,
    find_beyond,
    find_lines,
    load_lines,
    stretch_of,
    sum_up,
)
from backend.managers.logging.models import LogDeadLetter
from backend.managers.logging.settings import LoggingSettings

_MOST_BEYOND: Final = 10_000
_MOST_DEAD: Final = 1000
_ROUNDS: Final = 5
_REFRESH_SECONDS: Final = 1.0
_SEEN_AFTER: Final = timedelta(seconds=60)
_REST_SECONDS: Final = 10.0
_MOST_KNOWN: Final = 10_000
_STRANGE: Final = (KeyError, TypeError, ValueError, IndexError, AttributeError)


@dataclass(frozen=True, slots=True)
class _Sight:
    """What is known here before Elasticsearch is asked.

    Attributes:
        stream: What is asked.
        query: For all that it has of what is wanted.
        store: What the answer will say of where it comes from.
        seq: It has the lines up to here.
        dead: But for these.
        is_fresh: Whether it has taken some so lately that searches may not see them.
    """

    stream: str
    query: Clause
    store: Store
    seq: int
    dead: Sequence[int]
    is_fresh: bool


class LogIndex:
    """Searches of one process, in Elasticsearch where it is configured."""

    def __init__(
        self,
        settings: LoggingSettings,
        export: LogExport,
        outbound: Outbound,
        rules: Callable[[ReadTx], Awaitable[Sequence[KeepRule]]],
    ) -> None:
        """Ask nothing yet.

        Args:
            settings: Of the installation.
            export: How far lines have come.
            outbound: The way to Elasticsearch.
            rules: A tenant's retention, of which the last rule is about all lines.
        """
        self._settings = settings
        self._rules = rules
        self._export = export
        self._cluster = Cluster(settings, outbound)
        self._resting: dict[str, tuple[float, str]] = {}
        self._refreshing: dict[str, asyncio.Task[bool]] = {}
        self._refreshed: dict[str, float] = {}
        self.searches = Counter(
            "email_sender_logging_searches",
            "Searches of log lines while Elasticsearch is configured, by the store that answered.",
            ["store"],
            registry=None,
        )

    async def find(
        self,
        database: Database,
        scope: Scope,
        wanted: Wanted,
        *,
        limit: int,
        before_id: str | None,
    ) -> Found:
        """A page of what is wanted, as :func:`find_lines` gives it, from either store.

        Raises:
            LogSearchError: There is no word to look for.
        """
        async with database.read(scope) as tx:
            sight = await self._look(tx, wanted)
            if isinstance(sight, Store):
                found = await find_lines(tx, wanted, limit=limit, before_id=before_id)
                return replace(found, store=sight)
            beyond = await find_beyond(
                tx, wanted, seq=sight.seq, dead=sight.dead, before_id=before_id
            )
        try:
            found = await self._pages(
                database, scope, wanted, sight, beyond, limit=limit, before_id=before_id
            )
            self.searches.labels("elasticsearch").inc()
            return found
        except ClusterError as error:
            store = self._fail(scope.tenant_id, sight.store, error)
        async with database.read(scope) as tx:
            found = await find_lines(tx, wanted, limit=limit, before_id=before_id)
        return replace(found, store=store)

    async def sum_up(self, database: Database, scope: Scope, wanted: Wanted) -> Summary:
        """What is wanted summed up, as :func:`sum_up` does, by either store.

        Raises:
            LogSearchError: There is no word to look for, or the stretch of time is empty.
        """
        async with database.read(scope) as tx:
            spanned, step = stretch_of(wanted, tx.now())
            sight = await self._look(tx, spanned)
            if isinstance(sight, Store):
                return replace(await sum_up(tx, spanned), store=sight)
            counts = await count_beyond(tx, spanned, step, seq=sight.seq, dead=sight.dead)
        try:
            await self._add_counts(scope.tenant_id, sight, counts, step)
            self.searches.labels("elasticsearch").inc()
            return counts.summary(step, complete=True, store=sight.store)
        except ClusterError as error:
            store = self._fail(scope.tenant_id, sight.store, error)
        async with database.read(scope) as tx:
            return replace(await sum_up(tx, spanned), store=store)

    async def _look(self, tx: ReadTx, wanted: Wanted) -> _Sight | Store:
        """What to ask Elasticsearch; or why it is not asked."""
        if not (self._export.is_on and self._settings.elasticsearch_search):
            return Store()
        now = await self._export.get(tx)
        store = Store("elasticsearch", now.behind_records, now.behind_seconds, now.forgotten)
        if not now.exported:
            return self._instead(store, "Nothing is exported yet")
        if now.behind_records > _MOST_BEYOND:
            return self._instead(store, "Too many lines are not exported")
        until, said = self._resting.get(tx.tenant_id, (0.0, ""))
        if asyncio.get_running_loop().time() < until:
            return self._instead(store, said)
        dead = await tx.scalars(
            sa.select(LogDeadLetter.seq)
            .where(LogDeadLetter.tenant_id == tx.tenant_id)
            .order_by(LogDeadLetter.seq)
            .limit(_MOST_DEAD + 1)
        )
        if len(dead) > _MOST_DEAD:
            return self._instead(store, "Elasticsearch refuses too many lines")
        rules = await self._rules(tx)
        return _Sight(
            stream=now.stream or "",
            query=query_of(tx.tenant_id, wanted, seq=now.seq, dead=dead, rules=rules, now=tx.now()),
            store=store,
            seq=now.seq,
            dead=dead,
            is_fresh=now.delivered_at is None or now.delivered_at > tx.now() - _SEEN_AFTER,
        )

    def _ends(self) -> float:
        return asyncio.get_running_loop().time() + self._settings.elasticsearch_search_seconds

    def _left(self, ends: float) -> float:
        return ends - asyncio.get_running_loop().time()

    async def _pages(
        self,
        database: Database,
        scope: Scope,
        wanted: Wanted,
        sight: _Sight,
        beyond: Sequence[str],
        *,
        limit: int,
        before_id: str | None,
    ) -> Found:
        """Lines that both stores agree on, until a page is full or there are no more."""
        ends, tenant_id = self._ends(), scope.tenant_id
        await self._see(sight, ends)
        lines: list[Line] = []
        view = await self._cluster.open_view(sight.stream, tenant_id, self._left(ends))
        try:
            for _ in range(_ROUNDS):
                size = limit + 1 - len(lines)
                asked = page_of(sight.query, view, size=size, before_id=before_id)
                answer = await self._cluster.search(None, asked, tenant_id, self._left(ends))
                try:
                    ids = ids_in(answer)
                except _STRANGE:
                    raise ClusterError("This is no answer of the search API", unsure=True) from None
                between = [one for one in beyond if before_id is None or one < before_id]
                merged = sorted({*ids, *between}, reverse=True)[:size]
                if merged:
                    async with database.read(scope) as tx:
                        lines += await load_lines(tx, wanted, merged)
                    before_id = merged[-1]
                if len(merged) < size:
                    return Found(lines, None, sight.store)
                if len(lines) > limit:
                    return Found(lines[:limit], lines[limit - 1].id, sight.store)
        finally:
            await self._cluster.close_view(view, tenant_id, 1.0)
        return Found(lines, before_id, sight.store)

    async def _add_counts(self, tenant_id: str, sight: _Sight, counts: Counts, step: int) -> None:
        ends = self._ends()
        await self._see(sight, ends)
        asked = counts_of(sight.query, step)
        answer = await self._cluster.search(sight.stream, asked, tenant_id, self._left(ends))
        try:
            add_counts(counts, answer, step)
        except _STRANGE:
            raise ClusterError("This is no answer of the search API", unsure=True) from None

    def _fail(self, tenant_id: str, store: Store, error: ClusterError) -> Store:
        """Leave it alone for a while for this tenant, whose search alone may be at fault."""
        if len(self._resting) >= _MOST_KNOWN:
            self._resting.clear()
        until = asyncio.get_running_loop().time() + _REST_SECONDS
        self._resting[tenant_id] = until, str(error)
        return self._instead(store, str(error))

    def _instead(self, store: Store, reason: str) -> Store:
        self.searches.labels("database").inc()
        return replace(store, name="database", given_up_records=0, reason=reason)

    async def _see(self, sight: _Sight, ends: float) -> None:
        """Have the stream show what it has taken, once a second at most for all who ask.

        Raises:
            ClusterError: It does not.
        """
        if not sight.is_fresh:
            return
        waiting = self._refreshing.get(sight.stream)
        if waiting is None:
            waiting = asyncio.create_task(self._refresh(sight.stream))
            waiting.add_done_callback(_heard)
            self._refreshing[sight.stream] = waiting
        try:
            async with asyncio.timeout_at(ends):
                is_there = await asyncio.shield(waiting)
        except TimeoutError:
            raise ClusterError("Elasticsearch takes too long", unsure=True) from None
        if not is_there:
            raise ClusterError("Elasticsearch has not got the data stream", unsure=False)

    async def _refresh(self, stream: str) -> bool:
        loop = asyncio.get_running_loop()
        if len(self._refreshed) >= _MOST_KNOWN:
            self._refreshed.clear()
        await asyncio.sleep(self._refreshed.get(stream, 0.0) + _REFRESH_SECONDS - loop.time())
        # Who comes from here on may want to see what this one does not show.
        self._refreshing.pop(stream, None)
        self._refreshed[stream] = loop.time()
        return await self._cluster.refresh(stream)


def _heard(done: asyncio.Task[bool]) -> None:
    """Whoever asked for it may be gone by now."""
    if not done.cancelled():
        done.exception()
