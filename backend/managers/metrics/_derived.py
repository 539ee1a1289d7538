"""Series that are derived from events: what ended, mail, jobs, sign-ins, and whether well.

Rooms above say which of their events tell how something ended (:class:`backend.core.room.Ending`).
Each is an observation of the counter ``email_sender:<of>_total`` of the tenant whose event it is,
with the labels ``event`` and ``outcome`` (``well`` or ``badly``), at the event's own time. In one
transaction with it stands up to which event there is one, so that an event counts once however
often it is handed over.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from backend.core.context import Scope
from backend.core.database import Database, Tx
from backend.core.errors import AppError
from backend.core.events import Event
from backend.core.room import Ending
from backend.managers.metrics._budget import find_head, lock_head
from backend.managers.metrics._recording import DERIVED, MAX_ITEMS, OLDEST, Item, Recording

CURSOR: Final = "metrics.derived"
_ACTOR: Final = "system:metrics"
_STEP_SECONDS: Final = 10
_SERVER_ERROR: Final = 500
# What is about to be too old when it is looked at would be when it is written.
_MARGIN: Final = timedelta(minutes=1)


class Derived:
    """Records what events tell the end of."""

    def __init__(self, recording: Recording) -> None:
        """Know of no event yet."""
        self._recording = recording
        self._endings: Mapping[str, Ending] = {}

    def connect(self, endings: Mapping[str, Ending]) -> None:
        """Tell what the rooms' events tell of."""
        self._endings = dict(endings)

    async def take(self, database: Database, tenant_id: str, events: Sequence[Event]) -> None:
        """Record events, each once; those of more than a day ago are passed over.

        A tenant that has all the series that it may have gets no new ones of these either.

        Raises:
            RuntimeError: Somebody else has recorded some of them meanwhile.
        """
        if not any(event.kind in self._endings for event in events):
            return
        scope = Scope(_ACTOR, tenant_id)
        async with database.read(scope) as view:
            head = await find_head(view)
            seen = head.event_seq if head else 0
        items = self._items([one for one in events if one.seq > seen], database.clock())
        last = events[-1].seq

        async def advance(tx: Tx) -> None:
            row = await lock_head(tx)
            if row.event_seq != seen:
                raise RuntimeError("the events were recorded by somebody else")
            row.event_seq = max(seen, last)

        try:
            if items:
                await self._recording.record_derived(database, scope, items, advance)
                return
        except AppError as exc:
            # Not one can be recorded, and it will be no other the next time.
            if exc.status >= _SERVER_ERROR:
                raise
        async with database.transaction(scope) as tx:
            await advance(tx)

    def _items(self, events: Sequence[Event], now: datetime) -> list[Item]:
        """An item for each kind of event and ten seconds, however many they were."""
        counted: Counter[tuple[str, int]] = Counter()
        for event in events:
            if event.kind in self._endings and event.at > now - OLDEST + _MARGIN:
                second = int(event.at.timestamp())
                key = (event.kind, second - second % _STEP_SECONDS)
                counted[key] += int(event.data.get("count", 1))
        return [
            Item(
                name=f"{DERIVED}{self._endings[kind].of}_total",
                kind="counter",
                value=float(count),
                labels={
                    "event": kind,
                    "outcome": "well" if self._endings[kind].well else "badly",
                },
                at=datetime.fromtimestamp(second, now.tzinfo),
            )
            for (kind, second), count in sorted(counted.items())[:MAX_ITEMS]
        ]
