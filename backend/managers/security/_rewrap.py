"""Sealing anew: a walk over everything that a tenant's keys seal, until the old ones can go.

A walk is a row, and a worker takes it a step at a time: read a page of one column by its table's
key, open and seal outside any transaction, write what nobody changed meanwhile together with how
far the walk is. Whatever kills the worker, the next one goes on from the last commit.

What ends a walk is a whole round that meets nothing under an older version, begun when nobody could
write any more such. Three clocks make that true, and none of them is a guess about a cache:

* A version begins to seal when every process has read it (``_rotation``); the walk waits for that,
  or it would write what some process cannot open yet.
* A process seals with what it read at most ``keyring_seconds`` ago, and a write takes at most
  ``settle_seconds``. Only a round that begins after both, counted from the new version's beginning,
  may find "nothing left".
* After that round the old key is kept for ``keyring_seconds``: whoever read a row before it was
  sealed anew has the old key in a keyring of the same age.

Then the old versions are destroyed, each with a signed record.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, Integrity, ReadTx, TenantOwned, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.room import SealedColumn
from backend.core.walks import Walker
from backend.managers.security._pages import (
    IN_CLEAR,
    Page,
    Place,
    count_rows,
    read_page,
    replace_values,
    seal_anew,
)
from backend.managers.security._retirement import RetirementSigner
from backend.managers.security._rotation import KEYS_GONE, begins, keys_of, sealing
from backend.managers.security.errands import KEYS_DUE
from backend.managers.security.errors import (
    RewrapNotFoundError,
    RewrapStateError,
)
from backend.managers.security.models import DataKey, RetirementRow, RewrapRow
from backend.managers.security.settings import SecuritySettings

if TYPE_CHECKING:
    from backend.managers.security.manager import SecurityManager

logger = logging.getLogger(__name__)

ACTOR: Final = "system:security"
_WALKS_AT_ONCE: Final = 100
_FAILED_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Rewrap:
    """A walk over what a tenant's keys seal.

    Attributes:
        id: Of the walk.
        state: ``running``, ``paused``, ``cancelled``, ``finished`` (nothing is left under older
            versions), or ``blocked``: what is left does not open.
        version: That everything is sealed with.
        round: From 1; another begins while one has met something.
        column: ``<table>.<column>`` where it is; None between rounds.
        seen: Rows looked at in this round.
        total: Rows that there were when the round began; None: not counted yet.
        written: Values sealed anew, in all rounds.
        left: By version, what the last whole round met and could not seal anew; 0 is what stands
            in the clear. None before one has ended.
        broken: Values of this round that do not open.
        waits_until: It does nothing before.
        seconds_left: An estimate for this round, by its rate so far; None: nothing to tell by.
        started_by: Whose act it was.
        started_at: When.
        updated_at: When it last did something.
        finished_at: When it ended; None: it has not.
    """

    id: str
    state: str
    version: int
    round: int
    column: str | None
    seen: int
    total: int | None
    written: int
    left: Mapping[str, int] | None
    broken: int
    waits_until: datetime | None
    seconds_left: float | None
    started_by: str
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class Rewraps:
    """Starting, pausing and performing the walks."""

    def __init__(
        self, security: "SecurityManager", settings: SecuritySettings, signer: RetirementSigner
    ) -> None:
        self._security = security
        self._settings = settings
        self.signer = signer
        self._columns: Sequence[SealedColumn] = ()
        self._elsewhere = timedelta()
        self.walker = Walker(
            self, KEYS_DUE, actor=ACTOR, rows_per_second=settings.rewrap_rows_per_second
        )

    def connect(self, sealed: Sequence[SealedColumn], elsewhere: Mapping[str, float]) -> None:
        """Tell what there is to walk over, and for how long what we do not keep may come back."""
        self._columns = tuple(sealed)
        self._elsewhere = timedelta(seconds=max(elsewhere.values(), default=0))

    # --- what people do -------------------------------------------------------------------------

    async def follow(self, tx: Tx) -> Rewrap:
        """Have everything under the newest version: by the walk that goes on, or by another.

        One that is paused stays so. The caller has seen to it that there is a key.
        """
        newest = (await keys_of(tx))[-1]
        row = await self._load(tx, lock=True)
        if row is None or row.state not in {"running", "paused"}:
            return await self.start(tx)
        row.version = newest.version
        self._begin_round(row, tx.now(), begins(newest))
        return self._shown(row, tx.now())

    async def start(self, tx: Tx) -> Rewrap:
        """Begin a walk to the newest version, in place of the one that goes on.

        The caller has seen to it that there is a key.
        """
        newest = (await keys_of(tx))[-1]
        row = await self._load(tx, lock=True)
        if row is not None:
            return self._set_out(tx, row, newest)
        try:
            async with tx.savepoint():
                row = RewrapRow(tenant_id=tx.tenant_id, left=None)
                shown = self._set_out(tx, row, newest)
                tx.session.add(row)
        except Integrity:
            # Somebody else began the tenant's first one since the look.
            return await self.follow(tx)
        return shown

    def _set_out(self, tx: Tx, row: RewrapRow, newest: DataKey) -> Rewrap:
        row.id, row.state, row.version, row.round = uuid7(), "running", newest.version, 0
        row.written, row.started_by, row.finished_at = 0, tx.scope.actor, None
        # Where an earlier walk found nothing left, that says nothing of the version it sealed with.
        row.left = row.left or None
        row.started_at = tx.now()
        self._begin_round(row, tx.now(), begins(newest))
        tx.audit("rewrap.started", f"rewrap:{row.id}", version=row.version)
        return self._shown(row, tx.now())

    async def pause(self, tx: Tx, rewrap_id: str) -> Rewrap:
        """Stop after the step that is being written.

        Raises:
            RewrapNotFoundError: It is not the tenant's walk.
            RewrapStateError: It does not run.
        """
        return await self._move(tx, rewrap_id, {"running"}, "paused", "rewrap.paused")

    async def resume(self, tx: Tx, rewrap_id: str) -> Rewrap:
        """Go on from where it was paused.

        Raises:
            RewrapNotFoundError: It is not the tenant's walk.
            RewrapStateError: It is not paused.
        """
        return await self._move(tx, rewrap_id, {"paused"}, "running", "rewrap.resumed")

    async def cancel(self, tx: Tx, rewrap_id: str) -> Rewrap:
        """End it; what is sealed anew stays so, and old versions stay for the rest.

        Raises:
            RewrapNotFoundError: It is not the tenant's walk.
            RewrapStateError: It has ended.
        """
        return await self._move(
            tx, rewrap_id, {"running", "paused"}, "cancelled", "rewrap.cancelled"
        )

    async def find(self, tx: ReadTx) -> Rewrap | None:
        """The tenant's walk, the last one if none goes on; None: there never was one."""
        row = await self._load(tx)
        return None if row is None else self._shown(row, tx.now())

    async def get(self, tx: ReadTx, rewrap_id: str) -> Rewrap:
        """The tenant's walk, if it has this id: an earlier one is only in the trail.

        Raises:
            RewrapNotFoundError: It is not the tenant's walk.
        """
        row = await self._load(tx)
        if row is None or row.id != rewrap_id:
            raise RewrapNotFoundError
        return self._shown(row, tx.now())

    async def count_left(self, tx: ReadTx) -> Mapping[str, int]:
        """Over all tenants: values in the clear, and such under old versions, at the last count."""
        rows = await tx.execute(sa.select(RewrapRow.version, RewrapRow.left))
        clear = old = 0
        for version, left in rows.all():
            for name, count in (left or {}).items():
                if int(name) == IN_CLEAR:
                    clear += count
                elif int(name) < version:
                    old += count
        return {"in_clear": clear, "old_version": old}

    async def _move(
        self, tx: Tx, rewrap_id: str, states: set[str], state: str, action: str
    ) -> Rewrap:
        row = await self._load(tx, lock=True)
        if row is None or row.id != rewrap_id:
            raise RewrapNotFoundError
        if row.state not in states:
            raise RewrapStateError(f"It is {row.state}.")
        row.state, row.updated_at = state, tx.now()
        if state == "cancelled":
            row.finished_at = tx.now()
        tx.audit(action, f"rewrap:{row.id}", version=row.version)
        return self._shown(row, tx.now())

    # --- what workers do ------------------------------------------------------------------------

    async def due(self, view: ReadTx) -> Sequence[str]:
        """Whose walk is due."""
        due: Sequence[str] = await view.scalars(
            sa.select(RewrapRow.tenant_id)
            .where(RewrapRow.state == "running", RewrapRow.not_before <= view.now())
            .order_by(RewrapRow.updated_at)
            .limit(_WALKS_AT_ONCE)
        )
        return due

    async def put_off(self, tx: Tx) -> None:
        """Have a walk wait whose step has failed: of a sealed tenant, as a rule."""
        row = await self._load(tx, lock=True)
        if row is not None and row.state == "running":
            row.not_before = tx.now() + timedelta(seconds=_FAILED_SECONDS)

    async def step(self, database: Database, tenant_id: str) -> int:
        """Take one tenant's walk a step further; how many rows were looked at."""
        scope = Scope(ACTOR, tenant_id)
        async with database.read(scope) as view:
            row = await self._load(view)
            if row is None or row.state != "running" or view.now() < row.not_before:
                return 0
            has_keys = bool(await keys_of(view))
        places = self._places(tenant_id)
        if not has_keys:
            async with database.transaction(scope) as tx:
                await self._give_up(tx, row)
            return 0
        if row.total < 0:
            await self._count(database, places, row)
            return 0
        if row.place >= len(places):
            async with database.transaction(scope) as tx:
                await self._end_round(tx, row)
            return 0
        place = places[row.place]
        async with database.read(place.scope) as view:
            keys = await keys_of(view)
            keyring = await self._security.keyring(view)
            if keyring.seals_with not in {k.id for k in keys if k.version == row.version}:
                # What this process has read is of before the rotation.
                self._security.forget(tenant_id)
                return 0
            page = await read_page(view, place, row.after, keys, keyring.seals_with)
        # Megabytes of it would hold up everybody on this loop.
        sealed = await asyncio.to_thread(seal_anew, keyring, place.column, page.found, tenant_id)
        async with database.transaction(place.scope) as tx:
            await self._write(tx, place, row, page, sealed)
        return page.seen

    def _places(self, tenant_id: str) -> list[Place]:
        """The columns in which the tenant's keys may have sealed something."""
        places = []
        for column in self._columns:
            if tenant_id == PLATFORM_TENANT and column.errand is not None:
                places.append(Place(column, SystemScope(column.errand, actor=ACTOR)))
            elif issubclass(column.model, TenantOwned):
                places.append(Place(column, Scope(ACTOR, tenant_id)))
        return places

    async def _count(self, database: Database, places: Sequence[Place], row: RewrapRow) -> None:
        """How many rows the round has before it: what its progress is told by."""
        total = 0
        for place in places:
            total += await count_rows(database, place)
        async with database.transaction(Scope(ACTOR, row.tenant_id)) as tx:
            now = await self._same(tx, row)
            if now is not None:
                now.total = total

    async def _write(
        self,
        tx: Tx,
        place: Place,
        row: RewrapRow,
        page: Page,
        sealed: Sequence[bytes | None],
    ) -> None:
        """Change what is still as it was read, and note how far the walk is."""
        now = await self._same(tx, row)
        if now is None:
            return
        fresh = [(one, new) for one, new in zip(page.found, sealed, strict=True) if new is not None]
        now.written += await replace_values(tx, place.column, fresh)
        # Whatever was met makes another round: what somebody changed meanwhile may be under the old
        # version again.
        now.found += len(fresh)
        counting = dict(now.counting)
        for one, new in zip(page.found, sealed, strict=True):
            if new is None:
                now.broken += 1
                counting[str(one.version)] = counting.get(str(one.version), 0) + 1
        now.counting = counting
        now.broken += page.broken
        now.seen += page.seen
        now.updated_at = tx.now()
        if page.after is None:
            now.place, now.after = now.place + 1, []
        else:
            now.after = page.after

    async def _end_round(self, tx: Tx, row: RewrapRow) -> None:
        """Begin another round, wait, or end the walk."""
        now = await self._same(tx, row)
        if now is None:
            return
        keys = await keys_of(tx, lock=True)
        target = next(key for key in keys if key.version == now.version)
        if now.verified_at is not None:
            await self._finish(tx, now, target, [key for key in keys if key.version < now.version])
            return
        now.left, now.updated_at = now.counting, tx.now()
        ready_at = begins(target) + timedelta(
            seconds=self._settings.keyring_seconds + self._settings.settle_seconds
        )
        if now.found or now.round_at < ready_at:
            # A round that met something may have been overtaken behind its back.
            self._begin_round(now, tx.now(), ready_at)
        elif now.broken:
            now.state, now.finished_at = "blocked", tx.now()
            tx.audit("rewrap.blocked", f"rewrap:{now.id}", version=now.version, broken=now.broken)
            tx.emit("rewrap.blocked", f"rewrap:{now.id}", version=now.version, broken=now.broken)
            logger.error("rewrap_blocked", extra={"tenant_id": tx.tenant_id, "broken": now.broken})
        else:
            now.verified_at = tx.now()
            now.not_before = tx.now() + timedelta(seconds=self._settings.keyring_seconds)

    async def _give_up(self, tx: Tx, row: RewrapRow) -> None:
        """The tenant leaves and its keys are gone: nobody opens what they sealed, we neither."""
        now = await self._same(tx, row)
        if now is not None:
            now.state, now.finished_at, now.updated_at = "cancelled", tx.now(), tx.now()
            tx.audit("rewrap.cancelled", f"rewrap:{now.id}", version=now.version)

    async def _finish(
        self, tx: Tx, row: RewrapRow, target: DataKey, old: Sequence[DataKey]
    ) -> None:
        """Destroy the old versions, but for those by which something may still come back to us."""
        followers = [*old, target][1:]
        gone = []
        for key, follower in zip(old, followers, strict=True):
            if tx.tenant_id == PLATFORM_TENANT and begins(follower) + self._elsewhere > tx.now():
                continue
            statement, signature = self.signer.sign(
                {
                    "act": "data_key.retired",
                    "tenant": tx.tenant_id,
                    "data_key": key.id,
                    "version": key.version,
                    "created_at": key.created_at.isoformat(),
                    "retired_at": tx.now().isoformat(),
                    "replaced_by": target.version,
                    "columns": [place.column.name for place in self._places(tx.tenant_id)],
                    "rows_looked_at": row.seen,
                    "left": 0,
                }
            )
            await tx.insert(
                RetirementRow,
                [
                    {
                        "tenant_id": tx.tenant_id,
                        "id": uuid7(),
                        "version": key.version,
                        "retired_at": tx.now(),
                        "statement": statement,
                        "signature": signature,
                        "key_id": self.signer.key_id,
                    }
                ],
            )
            await tx.session.delete(key)
            tx.audit("data_key.retired", f"data_key:{key.id}", version=key.version)
            tx.emit("data_key.retired", f"data_key:{key.id}", version=key.version)
            gone.append(key.version)
        if gone:
            tx.signal(KEYS_GONE, tx.tenant_id)
        row.state, row.finished_at, row.updated_at = "finished", tx.now(), tx.now()
        tx.audit("rewrap.finished", f"rewrap:{row.id}", version=row.version, retired=gone)
        tx.emit("rewrap.finished", f"rewrap:{row.id}", version=row.version, retired=gone)
        logger.info(
            "rewrap_finished",
            extra={"tenant_id": tx.tenant_id, "written": row.written, "retired": len(gone)},
        )

    def has_retirable(self, tenant_id: str, keys: Sequence[DataKey], now: datetime) -> bool:
        """Whether an old version could go by now, if nothing were left under it."""
        old = [key for key in keys if key.version < sealing(keys, now).version]
        if not old:
            return False
        elsewhere = self._elsewhere if tenant_id == PLATFORM_TENANT else timedelta()
        return begins(keys[1]) + elsewhere <= now

    async def _load(self, tx: ReadTx, *, lock: bool = False) -> RewrapRow | None:
        query = sa.select(RewrapRow).where(RewrapRow.tenant_id == tx.tenant_id)
        row: RewrapRow | None = await tx.scalar(query.with_for_update() if lock else query)
        return row

    async def _same(self, tx: Tx, read: RewrapRow) -> RewrapRow | None:
        """The walk, locked, if it is still where it was read; else somebody else was here."""
        row = await self._load(tx, lock=True)
        if row is None or row.state != "running":
            return None
        before = (read.id, read.version, read.round, read.place, read.after, read.verified_at)
        now = (row.id, row.version, row.round, row.place, row.after, row.verified_at)
        return row if before == now else None

    @staticmethod
    def _begin_round(row: RewrapRow, now: datetime, not_before: datetime) -> None:
        row.round += 1
        row.place, row.after, row.seen, row.total = 0, [], 0, -1
        row.found = row.broken = 0
        row.counting, row.verified_at = {}, None
        row.not_before = max(now, not_before)
        row.round_at, row.updated_at = row.not_before, now

    def _shown(self, row: RewrapRow, now: datetime) -> Rewrap:
        places = self._places(row.tenant_id)
        goes_on = row.state in {"running", "paused"}
        at = places[row.place].column.name if goes_on and row.place < len(places) else None
        spent = (row.updated_at - row.round_at).total_seconds()
        seconds_left = None
        if goes_on and row.seen and spent > 0:
            seconds_left = max(row.total - row.seen, 0) * spent / row.seen
        return Rewrap(
            id=row.id,
            state=row.state,
            version=row.version,
            round=row.round,
            column=at,
            seen=row.seen,
            total=None if row.total < 0 else row.total,
            written=row.written,
            left=None if row.left is None else {name: int(row.left[name]) for name in row.left},
            broken=row.broken,
            waits_until=row.not_before if goes_on and row.not_before > now else None,
            seconds_left=seconds_left,
            started_by=row.started_by,
            started_at=row.started_at,
            updated_at=row.updated_at,
            finished_at=row.finished_at,
        )
