"""Quotas at work: what a tenant may still use, counted where it is used.

Two forms. A rate (so many a day, so many a month, in UTC) is a row a window, to which one statement
adds as far as the limit allows: of several acts at once none passes it together with another, and
an act that fails takes its count back with itself. A stock (members, waiting jobs, bytes) is what
there is now; whoever adds to it waits for others who do, by a row that is locked, and looks then.

Who has no such quota pays a look into a dictionary, renewed by one read of a key every few seconds
and at once when the quotas change. A tenant that has used all is refused from memory until the
window ends: no row is written for it.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal, NoReturn, get_args

import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import UnavailableError
from backend.managers.tenant.errors import QuotaReachedError, StockReachedError
from backend.managers.tenant.models import CountRow, QuotaRow

logger = logging.getLogger(__name__)

Quota = Literal[
    "requests_a_day",
    "requests_a_month",
    "emails_a_day",
    "emails_a_month",
    "jobs_running",
    "jobs_waiting",
    "storage_bytes",
    "members",
    "secrets",
    "secret_bytes",
]
Rated = Literal["emails", "requests"]
"""What there are quotas of a day and of a month for."""
QUOTAS: Final[tuple[Quota, ...]] = get_args(Quota)
RATES: Final = frozenset(name for name in QUOTAS if name.endswith(("_a_day", "_a_month")))
QUOTAS_CHANGED: Final = "quotas"
"""The signal that a tenant's quotas changed; its payload is the tenant's id."""

_KNOWN_SECONDS: Final = 5.0
_NEARING: Final = 0.8
_REMEMBERED: Final = 10_000
_LOCKED: Final = 2**62
_NOTHING: Final[Mapping[tuple[str, str], int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Window:
    """A day or a month, in UTC, and when the next one begins."""

    name: str
    resets_at: datetime


def window_of(quota: str, now: datetime) -> Window:
    """The window of a rate that ``now`` lies in."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if quota.endswith("_a_day"):
        return Window(f"{day:%Y-%m-%d}", day + timedelta(days=1))
    return Window(f"{day:%Y-%m}", (day.replace(day=1) + timedelta(days=32)).replace(day=1))


@dataclass(frozen=True, slots=True)
class QuotaView:
    """One quota of a tenant as people see it.

    Attributes:
        limit: None: there is none.
        used: None: a rate without a limit, which nobody counts.
        resets_at: When the window of a rate ends.
    """

    quota: str
    limit: int | None
    used: int | None
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Known:
    limits: Mapping[str, int]
    until: float


@dataclass(frozen=True, slots=True)
class _Full:
    """All of a window is used; as long as that is believed, and until the window ends."""

    limit: int
    until: float
    ends: float
    resets_at: datetime


class Quotas:
    """What tenants may, and the counting of what they use."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}
        self._generation = 0
        self._full: dict[tuple[str, str], _Full] = {}
        self._refused: dict[tuple[str, str, str], tuple[int, int]] = {}

    def forget(self, tenant_id: str) -> None:
        """Read a tenant's quotas anew: they changed; everybody's, if it is empty."""
        self._generation += 1
        if not tenant_id:
            self._known.clear()
            self._full.clear()
            return
        self._known.pop(tenant_id, None)
        for quota in QUOTAS:
            self._full.pop((tenant_id, quota), None)

    async def of(self, tx: ReadTx, tenant_id: str) -> Mapping[str, int]:
        """The limits that a tenant has; a quota that is not among them has none.

        As they were at most five seconds ago, and as they are when the signal came through.
        """
        known = self._known.get(tenant_id)
        if known is not None and known.until > self._monotonic():
            return known.limits
        generation = self._generation
        limits: Mapping[str, int] = (
            await tx.scalar(sa.select(QuotaRow.limits).where(QuotaRow.tenant_id == tenant_id)) or {}
        )
        if generation == self._generation:
            self._known.pop(tenant_id, None)
            self._known[tenant_id] = _Known(limits, self._monotonic() + _KNOWN_SECONDS)
            bound(self._known)
        return limits

    def refuse_full(self, tenant_id: str, what: Rated) -> None:
        """Refuse what a tenant has none left of, without any I/O; what is not refused may yet be.

        Args:
            tenant_id: Whose.
            what: As for :meth:`charge`.

        Raises:
            QuotaReachedError: The window's amount is used up.
        """
        for quota in (f"{what}_a_day", f"{what}_a_month"):
            full = self._full.get((tenant_id, quota))
            if full is not None and (now := self._monotonic()) < full.until:
                raise _reached(quota, full.limit, full.limit, full.resets_at, full.ends - now)

    async def _rates(self, tx: Tx, what: Rated) -> dict[str, tuple[int, Window]]:
        limits = await self.of(tx, tx.tenant_id)
        now = tx.now()
        return {
            quota: (limit, window_of(quota, now))
            for quota in (f"{what}_a_day", f"{what}_a_month")
            if (limit := limits.get(quota)) is not None
        }

    async def lock_left(self, tx: Tx, what: Rated) -> int:
        """How much the tenant has left of its day and month; others wait until the commit."""
        left = []
        for quota, (limit, window) in (await self._rates(tx, what)).items():
            row = _row(tx.tenant_id, quota, window.name, 0, _LOCKED)
            locked = await tx.add_up(CountRow, row, amounts=["used"], most="most")
            left.append(limit - locked.used)
        return max(0, min(left, default=0))

    async def charge(self, tx: Tx, what: Rated, amount: int) -> Mapping[str, Window]:
        """Count so many against the tenant's day and month, in the act's own transaction.

        Call it last: on PostgreSQL others of the tenant wait for the row until the commit.

        Returns:
            The windows that they are counted in, by quota.

        Raises:
            QuotaReachedError: It would be more than is left; nothing of it is counted.
        """
        wanted = await self._rates(tx, what)
        if not wanted or not amount:
            return {}
        counted: list[Any] = []
        for quota, (limit, window) in wanted.items():
            row = _row(tx.tenant_id, quota, window.name, amount, limit)
            after = await tx.add_up(CountRow, row, amounts=["used"], most="most")
            if after is None:
                await self._refuse(tx, quota, limit, window)
            counted.append(after)
        for one in counted:
            await self._tell(
                tx, one.quota, one.window, used=one.used, limit=one.most, told=one.told
            )
        return {quota: window for quota, (_, window) in wanted.items()}

    async def _refuse(self, tx: Tx, quota: str, limit: int, window: Window) -> NoReturn:
        used = await tx.scalar(_used(tx.tenant_id, quota, window.name)) or 0
        wait = (window.resets_at - tx.now()).total_seconds()
        if used >= limit:
            self._remember_full(tx.tenant_id, quota, limit, window.resets_at, wait)
        self._refused[tx.tenant_id, quota, window.name] = (used, limit)
        raise _reached(quota, limit, used, window.resets_at, wait)

    def _remember_full(
        self, tenant_id: str, quota: str, limit: int, resets_at: datetime, wait: float
    ) -> None:
        now = self._monotonic()
        # No longer than a limit is: it may be raised, and the signal of it be lost.
        until = now + min(wait, _KNOWN_SECONDS)
        self._full.pop((tenant_id, quota), None)
        self._full[tenant_id, quota] = _Full(limit, until, now + wait, resets_at)
        bound(self._full)

    async def hold(
        self,
        tx: Tx,
        quota: Quota,
        wanted: int,
        count: Callable[[], Awaitable[int]],
        *,
        tenant_id: str | None = None,
    ) -> None:
        """Refuse to add to a stock beyond its limit; others who add to it wait until the commit.

        Args:
            tx: The act's.
            quota: Of a stock.
            wanted: How much is to be added.
            count: How much there is, what this transaction added not among it.
            tenant_id: For errands that act for a tenant.

        Raises:
            StockReachedError: It would be more than the limit.
        """
        tenant_id = tenant_id or tx.tenant_id
        limit = (await self.of(tx, tenant_id)).get(quota)
        if limit is None or not wanted:
            return
        row = _row(tenant_id, quota, "", 0, _LOCKED)
        locked = await tx.add_up(CountRow, row, amounts=["used"], most="most")
        used = await count()
        if used + wanted > limit:
            self._refused[tenant_id, quota, ""] = (used, limit)
            raise _full_stock(quota, limit, used)
        # What it fell to in the meantime counts as well: it may be told of again.
        told = min(locked.told, _level(used, limit))
        await self._tell(
            tx, quota, "", used=used + wanted, limit=limit, told=told, tenant_id=tenant_id
        )

    async def store(
        self, tx: Tx, quota: Quota, amount: int, measure: Callable[[], Awaitable[int]]
    ) -> None:
        """As :meth:`hold`, for a stock that is dear to count: it is measured once, then added to.

        Args:
            tx: The act's, which has added to it already.
            quota: Of a stock.
            amount: How much it has added.
            measure: How much there is, what it has added among it.

        Raises:
            StockReachedError: It would be more than the limit.
        """
        limit = (await self.of(tx, tx.tenant_id)).get(quota)
        if limit is None or not amount:
            return
        used = _used(tx.tenant_id, quota, "")
        if await tx.scalar(used) is None:
            before = await measure() - amount
            await tx.insert_missing(
                CountRow,
                [_row(tx.tenant_id, quota, "", before, limit)],
                conflict=["tenant_id", "quota", "window"],
            )
        row = _row(tx.tenant_id, quota, "", amount, limit)
        counted = await tx.add_up(CountRow, row, amounts=["used"], most="most")
        if counted is None:
            kept = int(await tx.scalar(used))
            self._refused[tx.tenant_id, quota, ""] = (kept, limit)
            raise _full_stock(quota, limit, kept)
        after = counted.used
        told = min(counted.told, _level(after - amount, limit))
        await self._tell(tx, quota, "", used=after, limit=limit, told=told)

    async def correct(self, tx: Tx, quota: str, difference: int, *, window: str = "") -> None:
        """Add to a count what is missing, or take off what is too much; of a stock, or a window."""
        await tx.execute(
            sa.update(CountRow)
            .where(
                CountRow.tenant_id == tx.tenant_id,
                CountRow.quota == quota,
                CountRow.window == window,
            )
            .values(used=CountRow.used + difference)
            .execution_options(synchronize_session=False)
        )

    @staticmethod
    async def _tell(
        tx: Tx,
        quota: str,
        window: str,
        *,
        used: int,
        limit: int,
        told: int,
        tenant_id: str | None = None,
        level: int | None = None,
    ) -> None:
        """Emit what was not told of this window yet."""
        tenant_id = tenant_id or tx.tenant_id
        level = _level(used, limit) if level is None else level
        if level <= told:
            return
        await tx.execute(
            sa.update(CountRow)
            .where(
                CountRow.tenant_id == tenant_id,
                CountRow.quota == quota,
                CountRow.window == window,
            )
            .values(told=level)
            .execution_options(synchronize_session=False)
        )
        tx.emit(
            "quota.reached" if level == 2 else "quota.nearing",
            f"quota:{quota}",
            tenant_id=tenant_id,
            limit=limit,
            used=used,
            resets_at=window_of(quota, tx.now()).resets_at.isoformat() if window else None,
        )

    def leave(self, tenant_id: str) -> None:
        """Tell nothing more of a tenant whose data goes."""
        for key in [key for key in self._refused if key[0] == tenant_id]:
            del self._refused[key]

    async def flush(self, database: Database) -> None:
        """Tell of quotas that stopped an act: its own transaction is gone with what it would say.

        Once a window, whatever number of processes saw it.
        """
        refused, self._refused = self._refused, {}
        for (tenant_id, quota, window), (used, limit) in refused.items():
            scope = Scope(actor="system:tenant", tenant_id=tenant_id)
            try:
                async with database.transaction(scope) as tx:
                    lock = _row(tenant_id, quota, window, 0, _LOCKED)
                    row = await tx.add_up(CountRow, lock, amounts=["used"], most="most")
                    await self._tell(
                        tx, quota, window, used=used, limit=limit, told=row.told, level=2
                    )
            except UnavailableError:
                logger.warning("quota_not_told", extra={"quota": quota})

    async def counts(
        self, tx: ReadTx, tenant_id: str, unspent: Mapping[tuple[str, str], int] = _NOTHING
    ) -> Mapping[str, int]:
        """What is used of the present windows, by quota; what has no limit is not counted.

        Args:
            tx: Any that may read it.
            tenant_id: Whose.
            unspent: What is counted and not used, by quota and window.
        """
        now = tx.now()
        found = await tx.execute(
            sa.select(CountRow.quota, CountRow.window, CountRow.used).where(
                CountRow.tenant_id == tenant_id
            )
        )
        return {
            quota: used - unspent.get((quota, window), 0)
            for quota, window, used in found
            if window == (window_of(quota, now).name if quota in RATES else "")
        }


def bound(remembered: dict[Any, Any]) -> None:
    """Forget the oldest of what is remembered beyond ten thousand."""
    while len(remembered) > _REMEMBERED:
        del remembered[next(iter(remembered))]


def _level(used: int, limit: int) -> int:
    if used >= limit:
        return 2
    return 1 if used >= _NEARING * limit else 0


def _row(tenant_id: str, quota: str, window: str, used: int, most: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "quota": quota,
        "window": window,
        "used": used,
        "most": most,
        "told": 0,
    }


def _used(tenant_id: str, quota: str, window: str) -> Any:
    return sa.select(CountRow.used).where(
        CountRow.tenant_id == tenant_id, CountRow.quota == quota, CountRow.window == window
    )


def _reached(
    quota: str, limit: int, used: int, resets_at: datetime, wait: float
) -> QuotaReachedError:
    return QuotaReachedError(
        f"{used} of {limit} {quota} are used",
        headers={"Retry-After": str(max(1, int(wait + 0.999)))},
        quota=quota,
        limit=limit,
        used=used,
        resets_at=resets_at.isoformat(),
    )


def _full_stock(quota: str, limit: int, used: int) -> StockReachedError:
    return StockReachedError(
        f"{used} of {limit} {quota} are used", quota=quota, limit=limit, used=used
    )
