"""Usage by day: a read model, fed after the fact, that no hot path waits for.

Requests come from the telemetry queue and are written every few seconds; what became of mail and
jobs from the outbox, each event once, by its number; what a tenant has at all is looked up now and
then. So a day's figures are some seconds behind, and stocks ten minutes.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import UnavailableError
from backend.core.events import Event
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.telemetry import RequestRecord
from backend.managers.tenant._quotas import Quotas
from backend.managers.tenant.errands import PLATFORM
from backend.managers.tenant.errors import SpanTooLongError
from backend.managers.tenant.models import CountRow, TenantRow, UsageHeadRow, UsageRow

FIGURES: Final = ("requests", "emails_accepted", "emails_bounced", "jobs_ended")
_MEASURED: Final = "storage_bytes"
_STOCKS: Final = ("members", _MEASURED)
_KEPT: Final = timedelta(days=400)
_SWEPT: Final = 1000
_MAX_GONE: Final = 100
_PART: Final = 200
_DAY_SECONDS: Final = 86_400
_DAY_NS: Final = _DAY_SECONDS * 1_000_000_000
_MEASURE_SECONDS: Final = 600.0

Stock = Callable[[ReadTx], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant did on one day, in UTC, and what it had when that was looked up last."""

    day: str
    requests: int
    emails_accepted: int
    emails_bounced: int
    jobs_ended: int
    members: int
    storage_bytes: int


@dataclass(frozen=True, slots=True)
class UsageView:
    """Days with any figures, in order, and how much of everything there is now."""

    days: Sequence[Usage]
    now: Mapping[str, int]


class UsageBook:
    """Writes and reads the days."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._holder = uuid7()
        self._figures: Mapping[str, Sequence[str]] = {}
        self._stocks: Mapping[str, Stock] = {}
        self._requests: Counter[tuple[str, str]] = Counter()
        self._gone: deque[str] = deque(maxlen=_MAX_GONE)

    def connect(self, figures: Mapping[str, Sequence[str]], stocks: Mapping[str, Stock]) -> None:
        """Tell of the rooms: which events count as what, and how much of something there is."""
        self._figures, self._stocks = figures, stocks

    # --- what feeds it ---------------------------------------------------------------------------

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Count finished requests; what the console reads to show it is nobody's."""
        counted = Counter(
            (record.tenant_id, record.started_ns // _DAY_NS)
            for record in records
            if not record.looks_on
        )
        for (tenant_id, day), count in counted.items():
            if tenant_id and tenant_id != PLATFORM_TENANT and tenant_id not in self._gone:
                date = datetime.fromtimestamp(day * _DAY_SECONDS, UTC).date().isoformat()
                self._requests[tenant_id, date] += count

    def leave(self, tenant_id: str) -> None:
        """Count nothing of a tenant whose data goes: a day written later would outlive it."""
        self._gone.append(tenant_id)
        for key in [key for key in self._requests if key[0] == tenant_id]:
            del self._requests[key]

    async def flush(self, database: Database) -> None:
        """Write the requests counted since the last time."""
        counted, self._requests = self._requests, Counter()
        for (tenant_id, day), count in sorted(counted.items()):
            try:
                async with database.transaction(_scope(tenant_id)) as tx:
                    await _add(tx, day, {"requests": count})
            except UnavailableError:
                # They wait for the database as long as this process lives.
                self._requests[tenant_id, day] += count

    async def take(self, database: Database, tenant_id: str, events: Sequence[Event]) -> None:
        """Count what events tell of, each once however often it is handed over."""
        if tenant_id == PLATFORM_TENANT or not any(e.kind in self._figures for e in events):
            return
        if tenant_id in self._gone:
            return
        async with database.transaction(_scope(tenant_id)) as tx:
            await tx.insert_missing(
                UsageHeadRow, [{"tenant_id": tenant_id, "seq": 0}], conflict=["tenant_id"]
            )
            seen = await tx.scalar(
                sa.select(UsageHeadRow.seq)
                .where(UsageHeadRow.tenant_id == tenant_id)
                .with_for_update()
            )
            days: dict[str, Counter[str]] = {}
            for event in events:
                if event.seq > seen:
                    day = event.at.astimezone(UTC).date().isoformat()
                    days.setdefault(day, Counter()).update(self._figures.get(event.kind, ()))
            for day, figures in sorted(days.items()):
                await _add(tx, day, figures)
            await tx.execute(
                sa.update(UsageHeadRow)
                .where(UsageHeadRow.tenant_id == tenant_id)
                .values(seq=max(seen, events[-1].seq))
                .execution_options(synchronize_session=False)
            )

    async def measure(self, database: Database) -> None:
        """Look up what every tenant has; one process of the fleet at a time."""
        async with database.transaction(SystemScope(PLATFORM)) as tx:
            seconds = 0.9 * _MEASURE_SECONDS
            if not await tx.take_lease("tenant.usage", self._holder, seconds):
                return
        after = PLATFORM_TENANT
        while after:
            async with database.read(SystemScope(PLATFORM)) as view:
                found = await view.scalars(
                    sa.select(TenantRow.id)
                    .where(TenantRow.id > after, TenantRow.state != "deleting")
                    .order_by(TenantRow.id)
                    .limit(_PART)
                )
            for tenant_id in found:
                await self._measure(database, tenant_id)
            after = found[-1] if len(found) == _PART else ""

    async def _measure(self, database: Database, tenant_id: str) -> None:
        async with database.read(_scope(tenant_id)) as view:
            had = {name: await self._stocks[name](view) for name in _STOCKS}
            counted = await view.scalar(
                sa.select(CountRow.used).where(
                    CountRow.tenant_id == tenant_id,
                    CountRow.quota == "storage_bytes",
                    CountRow.window == "",
                )
            )
        async with database.transaction(_scope(tenant_id)) as tx:
            day = tx.now().astimezone(UTC).date().isoformat()
            await tx.upsert(
                UsageRow,
                {"tenant_id": tenant_id, "day": day, **dict.fromkeys(FIGURES, 0), **had},
                conflict=["tenant_id", "day"],
                update=had,
            )
            if counted is not None and counted != had["storage_bytes"]:
                # By the difference: what was added since both were read, of one moment, stays.
                difference = had["storage_bytes"] - counted
                await self._quotas.correct(tx, "storage_bytes", difference)

    # --- what is told of it ----------------------------------------------------------------------

    async def read_stocks(self, tx: ReadTx) -> Mapping[str, int]:
        """How much the transaction's tenant has now of everything that rooms count.

        Stored bytes are dear to count, and told as they were measured last.
        """
        measured = await tx.scalar(
            sa.select(UsageRow.storage_bytes)
            .where(UsageRow.tenant_id == tx.tenant_id)
            .order_by(UsageRow.day.desc())
            .limit(1)
        )
        found = {name: await count(tx) for name, count in self._stocks.items() if name != _MEASURED}
        return dict(sorted({**found, _MEASURED: measured or 0}.items()))

    async def describe(self, tx: ReadTx, first: str | None, last: str | None) -> UsageView:
        """The transaction's tenant's days, and what it has now.

        Args:
            tx: In the tenant's own scope.
            first: The first day, as 2026-11-26; None: 29 days before the last.
            last: The last day; None: today.

        Raises:
            SpanTooLongError: They are no days, are in the wrong order, or are more than are kept.
        """
        try:
            end = date.fromisoformat(last) if last else tx.now().astimezone(UTC).date()
            begin = date.fromisoformat(first) if first else end - timedelta(days=29)
        except (ValueError, OverflowError) as exc:
            raise SpanTooLongError("A day is written like 2026-11-26.") from exc
        if not timedelta(0) <= end - begin <= _KEPT:
            raise SpanTooLongError(f"Ask for 1 to {_KEPT.days} days.")
        return UsageView(await self._days(tx, begin, end), await self.read_stocks(tx))

    async def _days(self, tx: ReadTx, first: date, last: date) -> list[Usage]:
        rows = await tx.scalars(
            sa.select(UsageRow)
            .where(
                UsageRow.tenant_id == tx.tenant_id,
                UsageRow.day.between(first.isoformat(), last.isoformat()),
            )
            .order_by(UsageRow.day)
        )
        return [
            Usage(
                row.day,
                row.requests,
                row.emails_accepted,
                row.emails_bounced,
                row.jobs_ended,
                row.members,
                row.storage_bytes,
            )
            for row in rows
        ]

    async def sweep(self, tx: Tx) -> int:
        """Forget up to 1000 days and windows that are older than 400 days; needs the errand."""
        before = (tx.now() - _KEPT).astimezone(UTC).date().isoformat()
        gone = await tx.delete_some(UsageRow, UsageRow.day < before, limit=_SWEPT)
        return gone + await tx.delete_some(
            CountRow, CountRow.window != "", CountRow.window < before[:7], limit=_SWEPT
        )


def _scope(tenant_id: str) -> Scope:
    return Scope(actor="system:tenant", tenant_id=tenant_id)


async def _add(tx: Tx, day: str, figures: Mapping[str, Any]) -> None:
    row: dict[str, Any] = {"tenant_id": tx.tenant_id, "day": day}
    row |= dict.fromkeys((*FIGURES, *_STOCKS), 0) | dict(figures)
    await tx.add_up(UsageRow, row, amounts=FIGURES)
