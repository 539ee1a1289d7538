"""Lines on their way to Elasticsearch: each arrives once, or it is told what became of it.

The outbox is the tenant's lines themselves, beyond a cursor on their numbers (record 0040). A turn
takes the cursor by a lease with a fence, reads lines, sends them outside of any transaction, and
advances in another. Whoever is killed in between leaves lines that may have been sent: the next one
looks which of them are there, and sends the others.
"""

import asyncio
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Literal, cast

import sqlalchemy as sa

from backend.core.columns import db_now
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.ids import uuid7, uuid7_at
from backend.core.subject import ERASED, ROWS_AT_ONCE, Bite, Subject
from backend.kit.outbound import Outbound
from backend.managers.logging._bulk import Reason, wait_seconds
from backend.managers.logging._cluster import Cluster
from backend.managers.logging._delivery import Courier, Delivery
from backend.managers.logging._ecs import Document, document_of, stream_of
from backend.managers.logging.errands import EXPORT
from backend.managers.logging.errors import LogExportBehindError
from backend.managers.logging.models import LogDeadLetter, LogExportRow, LogHead, LogRecord
from backend.managers.logging.settings import LoggingSettings

logger = logging.getLogger(__name__)

State = Literal["off", "current", "behind", "failing"]
_MOST_AT_WORK: Final = 4
_TURN_ROUNDS: Final = 20
_ROUND_SECONDS: Final = 20.0
_FAILING: Final = 3
_WORDS: Final = 500
_LETTERS_AT_ONCE: Final = 1000
_LETTERS_A_STATEMENT: Final = 100
_SWEPT: Final = 500
_draw: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class ExportState:
    """How far a tenant's lines have come.

    Attributes:
        state: Whether they go anywhere, and whether that works.
        stream: The data stream that they go to.
        seq: What became of the lines up to here is known.
        behind_records: Lines that came after them.
        behind_seconds: How long the first of these has waited, 0 when there is none.
        exported: Lines that Elasticsearch has.
        dead: Lines that it does not take, and that nobody has decided on.
        forgotten: Lines of these that were given up.
        lost: Lines that retention had let go before they were exported.
        failures: Turns in a row that ended with lines left.
        last_error: Why, the last time.
        next_try_at: When the next one is, while they fail.
        delivered_at: When Elasticsearch last took some.
    """

    state: State
    stream: str | None
    seq: int
    behind_records: int
    behind_seconds: float
    exported: int
    dead: int
    forgotten: int
    lost: int
    failures: int
    last_error: str | None
    next_try_at: datetime | None
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line that Elasticsearch does not take.

    Attributes:
        id: Of the letter.
        seq: The line's number.
        document_id: The ``_id`` that the line has, or would have, there.
        stream: The data stream that refused it.
        status: As HTTP has it, of the document alone.
        kind: The kind of error, in Elasticsearch's words.
        reason: Why, in its words.
        at: When it was refused.
        retrying: Whether it is about to be tried once more.
    """

    id: str
    seq: int
    document_id: str
    stream: str
    status: int
    kind: str
    reason: str
    at: datetime
    retrying: bool


@dataclass(frozen=True, slots=True)
class _Turn:
    """A tenant's cursor that is ours for a while, and what lies beyond it.

    Attributes:
        stream: Where lines go.
        seq: Where the cursor stands.
        fence: Ours.
        failures: So far, in a row.
        refused_seq: The line that was refused alone before.
        refused_since: Since when.
        unsure: Whether what lies beyond may have been sent already.
        documents: What lies beyond, in order.
        letters: Dead letters that are wanted once more, by line.
        retried: Their documents: fewer, where retention has let lines go.
    """

    stream: str
    seq: int
    fence: int
    failures: int
    refused_seq: int | None
    refused_since: datetime | None
    unsure: bool
    documents: tuple[Document, ...]
    letters: Mapping[int, str]
    retried: tuple[Document, ...]


@dataclass(slots=True)
class _Sums:
    """What a turn changes of its row."""

    seq: int
    exported: int = 0
    dead: int = 0
    lost: int = 0
    refused_seq: int | None = None
    refused_since: datetime | None = None


class LogExport:
    """The export of all tenants' lines, as far as this process has a part in it."""

    def __init__(self, settings: LoggingSettings, outbound: Outbound) -> None:
        """Send nothing yet."""
        self._settings = settings
        self._courier = Courier(settings, Cluster(settings, outbound))
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._outages = 0
        self._rests_until = 0.0

    @property
    def is_on(self) -> bool:
        """Whether lines are exported at all."""
        return self._settings.elasticsearch_url is not None

    @property
    def _lease_seconds(self) -> float:
        """For how long a turn may be at work: the last answers come late, and commits may."""
        return _ROUND_SECONDS + 4 * self._settings.elasticsearch_timeout_seconds + 10

    # --- what a worker does ----------------------------------------------------------------------

    async def push_due(self, database: Database) -> int:
        """Begin to export the lines of tenants that have some; of how many it began.

        Each in a task of its own, so that a tenant with much holds up nobody. After an outage this
        process asks for nobody for a while: the server is everybody's.
        """
        room = _MOST_AT_WORK - len(self._at_work)
        if not self.is_on or room <= 0 or asyncio.get_running_loop().time() < self._rests_until:
            return 0
        async with database.read(SystemScope(EXPORT)) as tx:
            due = await tx.scalars(
                sa.select(LogHead.tenant_id)
                .outerjoin(LogExportRow, LogExportRow.tenant_id == LogHead.tenant_id)
                .where(
                    sa.or_(
                        LogExportRow.tenant_id.is_(None),
                        sa.and_(
                            sa.or_(LogHead.seq > LogExportRow.seq, LogExportRow.retrying),
                            LogExportRow.next_try_at <= db_now(),
                            sa.or_(
                                LogExportRow.held_until.is_(None),
                                LogExportRow.held_until <= db_now(),
                            ),
                        ),
                    )
                )
                # In turns: who was served last comes last.
                .order_by(LogExportRow.next_try_at, LogHead.tenant_id)
                .limit(room + len(self._at_work))
            )
        begun = [one for one in due if one not in self._at_work][:room]
        for tenant_id in begun:
            task = asyncio.create_task(self._push(database, tenant_id))
            self._at_work[tenant_id] = task
            task.add_done_callback(partial(self._done, tenant_id))
        return len(begun)

    def _done(self, tenant_id: str, _: asyncio.Task[None]) -> None:
        self._at_work.pop(tenant_id, None)

    async def settle(self) -> None:
        """Wait until nothing is being exported."""
        await asyncio.gather(*self._at_work.values(), return_exceptions=True)

    async def _push(self, database: Database, tenant_id: str) -> None:
        """Export what a tenant has, a bulk at a time, until nothing is left, or it fails."""
        scope = Scope("system:log_export", tenant_id)
        try:
            for _ in range(_TURN_ROUNDS):
                async with database.transaction(scope) as tx:
                    turn = await self._take(tx)
                if turn is None:
                    return
                again = await self._deliver(turn.stream, turn.retried, unsure=True)
                fresh = await self._deliver(turn.stream, turn.documents, unsure=turn.unsure)
                async with database.transaction(scope) as tx:
                    await self._apply(tx, turn, fresh, again)
                if fresh.error is not None or again.error is not None:
                    return
        except Exception:
            # The lease runs out, and then it is tried again: by whoever is better off.
            logger.exception("log_export_failed", extra={"tenant_id": tenant_id})

    async def _deliver(
        self, stream: str, documents: Sequence[Document], *, unsure: bool
    ) -> Delivery:
        if not documents:
            return Delivery()
        done = await self._courier.deliver(
            stream, documents, unsure=unsure, seconds=_ROUND_SECONDS / 2
        )
        if done.outage is None:
            self._outages = 0
        else:
            self._outages += 1
            wait = max(done.wait_seconds, self._wait(self._outages))
            self._rests_until = asyncio.get_running_loop().time() + wait
        return done

    def _wait(self, failures: int) -> float:
        return wait_seconds(failures, self._settings.elasticsearch_longest_wait_seconds, _draw)

    async def _take(self, tx: Tx) -> _Turn | None:
        """Make a tenant's cursor ours until the lease is over; None: there is nothing to do."""
        head = int(await tx.scalar(_head(tx)) or 0)
        row = await _locked(tx)
        if row is None:
            await self._begin(tx, head)
            row = await _locked(tx)
        now_due = await tx.scalar(
            sa.select(LogExportRow.seq).where(
                LogExportRow.tenant_id == tx.tenant_id,
                LogExportRow.next_try_at <= db_now(),
                sa.or_(LogExportRow.held_until.is_(None), LogExportRow.held_until <= db_now()),
            )
        )
        if row is None or now_due is None:
            return None
        most = self._settings.elasticsearch_bulk_documents
        letters: dict[int, str] = {}
        retried: Sequence[LogRecord] = ()
        if row.retrying:
            letters = {
                one.seq: one.id
                for one in await tx.scalars(
                    sa.select(LogDeadLetter)
                    .where(
                        LogDeadLetter.tenant_id == tx.tenant_id, LogDeadLetter.retrying.is_(True)
                    )
                    .order_by(LogDeadLetter.seq)
                    .limit(most)
                )
            }
        if letters:
            retried = await tx.scalars(
                sa.select(LogRecord)
                .where(LogRecord.tenant_id == tx.tenant_id, LogRecord.seq.in_(list(letters)))
                .order_by(LogRecord.seq)
            )
        fresh: Sequence[LogRecord] = await tx.scalars(
            sa.select(LogRecord)
            .where(
                LogRecord.tenant_id == tx.tenant_id, LogRecord.seq > row.seq, LogRecord.seq <= head
            )
            .order_by(LogRecord.seq)
            .limit(most)
        )
        values: dict[str, Any] = {"fence": row.fence + 1, "retrying": bool(letters)}
        turn = None
        if fresh or letters:
            values["held_until"] = db_now(self._lease_seconds)
            values["sent_seq"] = max([row.sent_seq, *(one.seq for one in fresh[-1:])])
            turn = _Turn(
                stream=self._stream(tx.tenant_id),
                seq=row.seq,
                fence=row.fence + 1,
                failures=row.failures,
                refused_seq=row.refused_seq,
                refused_since=row.refused_since,
                unsure=row.sent_seq > row.seq,
                documents=tuple(document_of(one) for one in fresh),
                letters=letters,
                retried=tuple(document_of(one) for one in retried),
            )
        else:
            # Retention has let go all that was left: numbers have no other gaps.
            lost = max(0, head - row.seq)
            values |= {"seq": row.seq + lost, "lost": row.lost + lost, "next_try_at": db_now()}
            tx.after_commit(partial(_tell_lost, tx.tenant_id, lost))
        await tx.execute(_ours(tx, row.fence).values(**values))
        return turn

    async def _begin(self, tx: Tx, head: int) -> None:
        """Begin with the first line that is there."""
        first = await tx.scalar(
            sa.select(sa.func.min(LogRecord.seq)).where(LogRecord.tenant_id == tx.tenant_id)
        )
        start = head if first is None else int(first) - 1
        counts = dict.fromkeys(("exported", "dead", "forgotten", "lost", "fence", "failures"), 0)
        await tx.insert_new(
            LogExportRow,
            {
                "tenant_id": tx.tenant_id,
                **counts,
                **dict.fromkeys(("started_seq", "seq", "sent_seq"), start),
                "retrying": False,
                "next_try_at": db_now(),
            },
            conflict=["tenant_id"],
        )

    def _stream(self, tenant_id: str) -> str:
        return stream_of(
            self._settings.elasticsearch_prefix,
            tenant_id,
            shared=self._settings.elasticsearch_streams == "shared",
        )

    async def _apply(self, tx: Tx, turn: _Turn, fresh: Delivery, again: Delivery) -> None:
        """Write down what became of lines, unless somebody else has the cursor by now."""
        sums, dead = self._advance(turn, fresh, tx.now())
        outcome = again.found
        missing = turn.letters.keys() - {one.seq for one in turn.retried}
        gone = outcome.done | missing
        sums.exported += len(outcome.done)
        sums.lost += len(missing)
        sums.dead -= len(gone)
        error = fresh.error or again.error
        failures = 0 if error is None else turn.failures + 1
        wait = 0.0 if error is None else max(fresh.wait_seconds, self._wait(failures))
        values: dict[str, Any] = {
            "seq": sums.seq,
            "sent_seq": turn.documents[-1].seq if fresh.unsure and turn.documents else sums.seq,
            "exported": LogExportRow.exported + sums.exported,
            "dead": LogExportRow.dead + sums.dead,
            "lost": LogExportRow.lost + sums.lost,
            "refused_seq": sums.refused_seq,
            "refused_since": sums.refused_since,
            "held_until": None,
            "failures": failures,
            "last_error": None if error is None else error[:_WORDS],
            "next_try_at": db_now(wait),
        }
        if sums.exported:
            values["delivered_at"] = tx.now()
        done = await tx.execute(_ours(tx, turn.fence).values(**values))
        if not cast("sa.CursorResult[Any]", done).rowcount:
            return
        await tx.insert_missing(
            LogDeadLetter,
            [
                {
                    "tenant_id": tx.tenant_id,
                    "id": uuid7(),
                    "seq": one.seq,
                    "document_id": one.id,
                    "stream": turn.stream,
                    "status": reason.status,
                    "kind": reason.kind,
                    "reason": reason.text,
                    "at": tx.now(),
                    "retrying": False,
                }
                for one, reason in dead
            ],
            conflict=["tenant_id", "seq"],
        )
        if turn.letters:
            await _settle_letters(tx, turn, gone, outcome.dead)
        tx.after_commit(partial(_tell, tx.tenant_id, turn, sums, dead, error))

    def _advance(
        self, turn: _Turn, fresh: Delivery, now: datetime
    ) -> tuple[_Sums, list[tuple[Document, Reason]]]:
        """How far the cursor goes: to the first line of which nothing final is known."""
        sums = _Sums(turn.seq)
        dead: list[tuple[Document, Reason]] = []
        worn_out = now - timedelta(seconds=self._settings.elasticsearch_patience_seconds)
        for one in turn.documents:
            reason = fresh.found.dead.get(one.seq)
            if reason is None and one.seq not in fresh.found.done:
                refused = fresh.found.again.get(one.seq)
                if refused is None:
                    break
                known = turn.refused_seq == one.seq and turn.refused_since is not None
                since = turn.refused_since if known and turn.refused_since else now
                # Where others are taken it is the line's own fault, and they wait behind it.
                if not (known and fresh.found.done and since <= worn_out):
                    sums.refused_seq, sums.refused_since = one.seq, since
                    break
                reason = refused
            if reason is None:
                sums.exported += 1
            else:
                sums.dead += 1
                dead.append((one, reason))
            sums.lost += one.seq - sums.seq - 1
            sums.seq = one.seq
        return sums, dead

    # --- what a tenant sees and does -------------------------------------------------------------

    async def get(self, tx: ReadTx) -> ExportState:
        """How far the tenant's lines have come."""
        row = await tx.scalar(sa.select(LogExportRow).where(LogExportRow.tenant_id == tx.tenant_id))
        head = int(await tx.scalar(_head(tx)) or 0)
        seq = 0 if row is None else row.seq
        behind = max(0, head - seq)
        first = None
        if behind:
            first = await tx.scalar(
                sa.select(LogRecord.received_at)
                .where(LogRecord.tenant_id == tx.tenant_id, LogRecord.seq > seq)
                .order_by(LogRecord.seq)
                .limit(1)
            )
        state: State = "behind" if behind else "current"
        failures = 0 if row is None else row.failures
        if failures:
            state = "failing"
        if not self.is_on:
            state = "off"
        return ExportState(
            state=state,
            stream=self._stream(tx.tenant_id) if self.is_on else None,
            seq=seq,
            behind_records=behind,
            behind_seconds=0.0 if first is None else max(0.0, (tx.now() - first).total_seconds()),
            exported=0 if row is None else row.exported,
            dead=0 if row is None else row.dead,
            forgotten=0 if row is None else row.forgotten,
            lost=0 if row is None else row.lost,
            failures=failures,
            last_error=None if row is None else row.last_error,
            next_try_at=row.next_try_at if row is not None and failures else None,
            delivered_at=None if row is None else row.delivered_at,
        )

    async def list_letters(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[DeadLetter]:
        """The lines that Elasticsearch does not take, newest first, at most ``limit + 1``."""
        query = sa.select(LogDeadLetter).where(LogDeadLetter.tenant_id == tx.tenant_id)
        if before_id is not None:
            query = query.where(LogDeadLetter.id < before_id)
        rows = await tx.scalars(query.order_by(LogDeadLetter.id.desc()).limit(limit + 1))
        return [
            DeadLetter(
                id=row.id,
                seq=row.seq,
                document_id=row.document_id,
                stream=row.stream,
                status=row.status,
                kind=row.kind,
                reason=row.reason,
                at=row.at,
                retrying=row.retrying,
            )
            for row in rows
        ]

    async def retry_letters(self, tx: Tx, ids: Sequence[str] | None) -> int:
        """Have dead letters tried once more: these, or the oldest thousand; of how many it is so.

        What is not there, or is about to be tried, does not count.
        """
        wanted = await self._some(tx, ids, LogDeadLetter.retrying.is_(False))
        for own in _bites(tx, wanted):
            await tx.execute(
                sa.update(LogDeadLetter)
                .where(*own)
                .values(retrying=True)
                .execution_options(synchronize_session=False)
            )
        if wanted:
            await tx.execute(
                sa.update(LogExportRow)
                .where(LogExportRow.tenant_id == tx.tenant_id)
                # Whoever asks looks on: it is tried at once.
                .values(retrying=True, next_try_at=db_now())
                .execution_options(synchronize_session=False)
            )
        tx.audit("log_dead_letters.retried", f"tenant:{tx.tenant_id}", count=len(wanted))
        return len(wanted)

    async def forget_letters(self, tx: Tx, ids: Sequence[str] | None) -> int:
        """Give up dead letters: these, or the oldest thousand; how many there were.

        Their lines stay as long as they would have, and never come to Elasticsearch.
        """
        await _locked(tx)
        wanted = await self._some(tx, ids)
        await self._forget(tx, wanted)
        tx.audit("log_dead_letters.discarded", f"tenant:{tx.tenant_id}", count=len(wanted))
        return len(wanted)

    async def _some(
        self, tx: Tx, ids: Sequence[str] | None, *conditions: sa.ColumnElement[bool]
    ) -> list[str]:
        query = sa.select(LogDeadLetter.id).where(
            LogDeadLetter.tenant_id == tx.tenant_id, *conditions
        )
        if ids is not None:
            query = query.where(LogDeadLetter.id.in_(list(ids)))
        return list(await tx.scalars(query.order_by(LogDeadLetter.id).limit(_LETTERS_AT_ONCE)))

    async def _forget(self, tx: Tx, ids: Sequence[str]) -> None:
        if not ids:
            return
        await _delete(tx, ids)
        await tx.execute(
            sa.update(LogExportRow)
            .where(LogExportRow.tenant_id == tx.tenant_id)
            .values(dead=LogExportRow.dead - len(ids), forgotten=LogExportRow.forgotten + len(ids))
            .execution_options(synchronize_session=False)
        )

    # --- retention -------------------------------------------------------------------------------

    async def may_go(self, tx: Tx, days: int) -> tuple[sa.ColumnElement[bool], ...]:
        """Which lines older than ``days`` retention may let go: not those that wait to be exported.

        But for what has waited too long: what a tenant says of its lines holds in the end.
        """
        if not self.is_on:
            return ()
        seq = await tx.scalar(
            sa.select(LogExportRow.seq).where(LogExportRow.tenant_id == tx.tenant_id)
        )
        longest = timedelta(days=days + self._settings.elasticsearch_hold_days)
        return (sa.or_(LogRecord.seq <= (seq or 0), LogRecord.id < uuid7_at(tx.now() - longest)),)

    async def sweep(self, tx: Tx) -> int:
        """Give up what is too old of one tenant's dead letters, at most 500; returns how many."""
        ended = uuid7_at(tx.now() - timedelta(days=self._settings.elasticsearch_keep_letters_days))
        # The first of each tenant, which the index has first: to ask whether one is older is a walk
        # where PostgreSQL believes that most are.
        first = (
            sa.select(LogDeadLetter.id)
            .where(LogDeadLetter.tenant_id == LogExportRow.tenant_id)
            .order_by(LogDeadLetter.id)
            .limit(1)
            .scalar_subquery()
        )
        tenant_id = await tx.scalar(
            sa.select(LogExportRow.tenant_id).where(LogExportRow.dead > 0, first < ended).limit(1)
        )
        if tenant_id is None:
            return 0
        async with tx.within(tenant_id) as part:
            await _locked(part)
            ids = await part.scalars(
                sa.select(LogDeadLetter.id)
                .where(LogDeadLetter.tenant_id == tenant_id, LogDeadLetter.id < ended)
                .order_by(LogDeadLetter.id)
                .limit(_SWEPT)
            )
            await self._forget(part, ids)
        return len(ids)

    async def erase(self, tx: Tx, who: Subject, after: str) -> Bite:
        """A reason may show what the line said: it goes, and that the line was refused stays."""
        told = sa.and_(LogDeadLetter.reason != ERASED, who.is_told_in(LogDeadLetter.reason))
        done = await tx.rewrite_some(
            LogDeadLetter, told, {"reason": ERASED}, after=after, limit=ROWS_AT_ONCE
        )
        return Bite(done.looked_at, {LogDeadLetter.__tablename__: done.changed}, after=done.after)

    async def tell_running_since(self, tx: Tx, at: datetime) -> str | None:
        """What turn has read lines before ``at``: Elasticsearch may quote one to it yet."""
        held = await tx.scalar(
            sa.select(LogExportRow.held_until).where(
                LogExportRow.tenant_id == tx.tenant_id, LogExportRow.held_until > db_now()
            )
        )
        if held is None or held - timedelta(seconds=self._lease_seconds) >= at:
            return None
        return "An export of log lines that began before is not over"

    # --- counting --------------------------------------------------------------------------------

    async def count_behind(self, tx: ReadTx) -> Mapping[str, int]:
        """Lines of all tenants that are not exported yet; needs a system errand."""
        return {"": (await self._behind(tx))[0]}

    async def count_seconds(self, tx: ReadTx) -> Mapping[str, int]:
        """Seconds for which the first of them has waited; needs a system errand."""
        return {"": int((await self._behind(tx))[1])}

    async def count_lines(self, tx: ReadTx) -> Mapping[str, int]:
        """What became of lines of all tenants that are there; needs a system errand."""
        names = ("exported", "dead", "forgotten", "lost")
        sums = await tx.execute(
            sa.select(*(sa.func.sum(getattr(LogExportRow, name)) for name in names))
        )
        return {name: int(value or 0) for name, value in zip(names, sums.one(), strict=True)}

    async def _behind(self, tx: ReadTx) -> tuple[int, float]:
        if not self.is_on:
            return 0, 0.0
        known = sa.func.coalesce(LogExportRow.seq, 0)
        first = (
            sa.select(LogRecord.received_at)
            .where(LogRecord.tenant_id == LogHead.tenant_id, LogRecord.seq > known)
            .order_by(LogRecord.seq)
            .limit(1)
            .correlate(LogHead, LogExportRow)
            .scalar_subquery()
        )
        found = await tx.execute(
            sa.select(sa.func.sum(LogHead.seq - known), sa.func.min(first))
            .outerjoin(LogExportRow, LogExportRow.tenant_id == LogHead.tenant_id)
            .where(LogHead.seq > known)
        )
        records, since = found.one()
        waited = 0.0 if since is None else max(0.0, (tx.now() - since).total_seconds())
        return int(records or 0), waited

    async def check(self, tx: ReadTx) -> str:
        """Say how far the export is behind; needs a system errand.

        Raises:
            LogExportBehindError: A line has waited too long.
        """
        if not self.is_on:
            return "not configured"
        records, waited = await self._behind(tx)
        said = f"{records} lines wait, the first for {waited:.0f} s"
        if waited > self._settings.elasticsearch_behind_seconds:
            raise LogExportBehindError(said)
        return said


def _head(tx: ReadTx) -> sa.Select[int]:
    return sa.select(LogHead.seq).where(LogHead.tenant_id == tx.tenant_id)


async def _locked(tx: Tx) -> LogExportRow | None:
    found: LogExportRow | None = await tx.scalar(
        sa.select(LogExportRow).where(LogExportRow.tenant_id == tx.tenant_id).with_for_update()
    )
    return found


def _ours(tx: Tx, fence: int) -> Any:
    """An update of the row, as long as nobody has taken it since."""
    return (
        sa.update(LogExportRow)
        .where(LogExportRow.tenant_id == tx.tenant_id, LogExportRow.fence == fence)
        .execution_options(synchronize_session=False)
    )


def _bites(tx: Tx, ids: Sequence[str]) -> Iterator[tuple[sa.ColumnElement[bool], ...]]:
    """Conditions for these letters, in turn: for a thousand at once PostgreSQL reads the table."""
    for first in range(0, len(ids), _LETTERS_A_STATEMENT):
        some = LogDeadLetter.id.in_(ids[first : first + _LETTERS_A_STATEMENT])
        yield LogDeadLetter.tenant_id == tx.tenant_id, some


async def _delete(tx: Tx, ids: Sequence[str]) -> None:
    for own in _bites(tx, ids):
        await tx.execute(
            sa.delete(LogDeadLetter).where(*own).execution_options(synchronize_session=False)
        )


async def _settle_letters(tx: Tx, turn: _Turn, gone: set[int], dead: Mapping[int, Reason]) -> None:
    """What became of dead letters that were tried once more."""
    await _delete(tx, [turn.letters[seq] for seq in gone])
    await tx.update_each(
        LogDeadLetter,
        [
            {
                "key_tenant_id": tx.tenant_id,
                "key_id": turn.letters[seq],
                "status": reason.status,
                "kind": reason.kind,
                "reason": reason.text,
                "at": tx.now(),
                "retrying": False,
            }
            for seq, reason in dead.items()
        ],
        unchanged=lambda _: (),
    )
    left = await tx.scalar(
        sa.select(LogDeadLetter.seq)
        .where(LogDeadLetter.tenant_id == tx.tenant_id, LogDeadLetter.retrying.is_(True))
        .limit(1)
    )
    if left is None:
        await tx.execute(_ours(tx, turn.fence).values(retrying=False))


def _tell(
    tenant_id: str,
    turn: _Turn,
    sums: _Sums,
    dead: Sequence[tuple[Document, Reason]],
    error: str | None,
) -> None:
    """What operators should read of a turn, once for each thing."""
    told = {"tenant_id": tenant_id, "seq": sums.seq}
    if error is not None and turn.failures + 1 == _FAILING:
        logger.warning("log_export_failing", extra={**told, "error": error[:_WORDS]})
    if error is None and turn.failures >= _FAILING:
        logger.info("log_export_resumed", extra=told)
    if dead:
        # Not its words: they may show what the line says.
        facts = {"count": len(dead), "status": dead[0][1].status, "kind": dead[0][1].kind}
        logger.warning("log_export_dead_letters", extra={**told, **facts})
    _tell_lost(tenant_id, sums.lost)


def _tell_lost(tenant_id: str, count: int) -> None:
    if count > 0:
        logger.warning("log_export_lost", extra={"tenant_id": tenant_id, "count": count})
