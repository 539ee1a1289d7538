"""The trail pushed to where a tenant's security people look: a webhook, or syslog over TLS.

A stream is a cursor on the trail's numbers. It advances in a transaction of its own once the other
side has taken a batch, guarded by a fence: whoever is killed in between has the batch sent again,
and nothing is left out. What fails is tried again after a wait that doubles, for that tenant alone,
and what is behind is seen: in the stream, in a series, in the readiness check.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import sqlalchemy as sa

from backend.core.audit import AuditHead, AuditRecord
from backend.core.columns import db_now, tables_of
from backend.core.context import Errand, Scope, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import AppError
from backend.kit import signing
from backend.kit.outbound import (
    Outbound,
    UnreachableError,
    is_web_address,
    syslog_message,
    trusting,
)
from backend.managers.audit._formats import FORMATS, is_failure
from backend.managers.audit._search import revealed
from backend.managers.audit.errors import StreamInvalidError, StreamNotFoundError
from backend.managers.audit.models import RetentionRow, StreamRow
from backend.managers.audit.settings import AuditSettings
from backend.managers.security import SecurityManager

logger = logging.getLogger(__name__)

Kind = Literal["webhook", "syslog"]
PUSH: Final = Errand("audit.push", tables_of(StreamRow, AuditHead))
"""Finding the streams that are due: those with something behind them."""
WATCH_STREAMS: Final = Errand("audit.watch_streams", tables_of(StreamRow, AuditHead))
"""Counting what streams are behind."""
_BATCH: Final = 200
_SEND_SECONDS: Final = 10.0
_LEASE_SECONDS: Final = 30.0
_MOST_AT_WORK: Final = 32
_TURN_BATCHES: Final = 20
_LONGEST_WAIT_SECONDS: Final = 300.0
_MOST_DOUBLINGS: Final = 9
_SYSLOG_PORT: Final = 6514
_INFO, _WARNING = 6, 4
_WORDS: Final = 300
FAILING: Final = 3
"""After so many failures in a row it is told of; and then that it goes on."""
SECRET_PLACE: Final = "audit_stream.secret"


@dataclass(frozen=True, slots=True)
class Stream:
    """Where a tenant's trail goes, and how far it has come.

    Attributes:
        kind: How it goes.
        target: An ``https`` address, or ``host:port`` of a syslog receiver.
        format: How each record is written.
        ca_certificate: The authority of a syslog receiver's certificate, PEM; None: the system's.
        paused: Whether somebody has stopped it.
        seq: The number of the last record that was taken.
        behind: How many there are after it.
        failures: How often in a row it has failed.
        last_error: Why, the last time.
        next_try_at: When it is tried again, while it fails.
        delivered_at: When the last record was taken.
        updated_at: When somebody changed it.
        updated_by: Who did.
    """

    kind: Kind
    target: str
    format: str
    ca_certificate: str | None
    paused: bool
    seq: int
    behind: int
    failures: int
    last_error: str | None
    next_try_at: datetime | None
    delivered_at: datetime | None
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True)
class _Turn:
    """A stream that is ours for a while: what is sent where."""

    kind: str
    target: str
    format: str
    ca_certificate: str | None
    secret: bytes
    seq: int
    fence: int
    failures: int


class Streams:
    """The streams of all tenants: set up by each, pushed by this process."""

    def __init__(
        self, security: SecurityManager, outbound: Outbound, settings: AuditSettings
    ) -> None:
        self._security = security
        self._outbound = outbound
        self._settings = settings
        self._at_work: dict[str, asyncio.Task[None]] = {}

    # --- what a tenant sets up -------------------------------------------------------------------

    async def get(self, tx: ReadTx) -> Stream:
        """The tenant's stream.

        Raises:
            StreamNotFoundError: It has none.
        """
        return await self._view(tx, await _load(tx))

    async def put(
        self,
        tx: Tx,
        *,
        kind: Kind,
        target: str,
        format_name: str,
        ca_certificate: str | None,
        paused: bool,
        from_beginning: bool,
    ) -> tuple[Stream, str | None]:
        """Set up the stream, or change it; a changed one goes on where it was.

        Args:
            kind: How it goes.
            target: Where to.
            format_name: How records are written.
            ca_certificate: Whom to trust beside the system's authorities; of syslog alone.
            paused: Whether it stands still.
            from_beginning: Whether a new one begins with the first record and not with the next.

        Returns:
            The stream; and of a new one the secret that its requests are signed with, shown once.

        Raises:
            StreamInvalidError: The target is none of its kind.
        """
        row = await _find(tx, lock=True)
        if kind == "webhook":
            _check_address(target, plain=self._settings.allow_private_streams)
            if ca_certificate is not None:
                raise StreamInvalidError("A webhook goes by the system's authorities").at(
                    "ca_certificate"
                )
        else:
            _host_and_port(target)
            _check_certificate(ca_certificate)
        values: dict[str, Any] = {
            "kind": kind,
            "target": target,
            "format": format_name,
            "ca_certificate": ca_certificate,
            "paused": paused,
            # What is changed is tried at once: whoever changed it looks on.
            "failures": 0,
            "last_error": None,
            "next_try_at": db_now(),
            "updated_at": tx.now(),
            "updated_by": tx.scope.actor,
        }
        shown: str | None = None
        if row is None:
            secret = secrets.token_bytes(32)
            shown = signing.shown(secret)
            keyring = await self._security.keyring(tx)
            row = StreamRow(
                tenant_id=tx.tenant_id,
                sealed_secret=keyring.seal(SECRET_PLACE, secret),
                seq=await (_removed(tx) if from_beginning else _head(tx)),
                fence=0,
                held_until=None,
                delivered_at=None,
                **values,
            )
            tx.session.add(row)
        else:
            for name, value in values.items():
                setattr(row, name, value)
            # Whoever is sending to where it went before has not the last word.
            row.fence += 1
        # Of an address the host alone: the rest of it is often what lets one in.
        host = urlsplit(target).hostname if kind == "webhook" else _host_and_port(target)[0]
        facts: dict[str, Any] = {"kind": kind, "host": host, "format": format_name}
        facts["paused"] = paused
        tx.audit("audit_stream.saved", f"tenant:{tx.tenant_id}", **facts)
        tx.emit("audit_stream.saved", f"tenant:{tx.tenant_id}", **facts)
        await tx.session.flush()
        await tx.session.refresh(row)
        return await self._view(tx, row), shown

    async def delete(self, tx: Tx) -> None:
        """End the stream; its place is forgotten with it.

        Raises:
            StreamNotFoundError: It has none.
        """
        row = await _load(tx, lock=True)
        await tx.session.delete(row)
        tx.audit("audit_stream.deleted", f"tenant:{tx.tenant_id}", seq=row.seq)
        tx.emit("audit_stream.deleted", f"tenant:{tx.tenant_id}", seq=row.seq)

    async def _view(self, tx: ReadTx, row: StreamRow) -> Stream:
        kind: Any = row.kind
        return Stream(
            kind=kind,
            target=row.target,
            format=row.format,
            ca_certificate=row.ca_certificate,
            paused=row.paused,
            seq=row.seq,
            behind=max(0, await _head(tx) - row.seq),
            failures=row.failures,
            last_error=row.last_error,
            next_try_at=row.next_try_at if row.failures else None,
            delivered_at=row.delivered_at,
            updated_at=row.updated_at,
            updated_by=row.updated_by,
        )

    # --- what a worker does ----------------------------------------------------------------------

    async def push_due(self, database: Database) -> int:
        """Begin to push the streams that are due, each in a task of its own; how many it began.

        One that hangs holds up nobody: neither this call nor another tenant's.
        """
        room = _MOST_AT_WORK - len(self._at_work)
        if room <= 0:
            return 0
        async with database.read(SystemScope(PUSH)) as tx:
            due = await tx.scalars(
                sa.select(StreamRow.tenant_id)
                .join(AuditHead, AuditHead.tenant_id == StreamRow.tenant_id)
                .where(
                    StreamRow.paused.is_(False),
                    StreamRow.next_try_at <= db_now(),
                    AuditHead.seq > StreamRow.seq,
                )
                .order_by(StreamRow.next_try_at)
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
        """Wait until nothing is being pushed."""
        await asyncio.gather(*self._at_work.values(), return_exceptions=True)

    async def _push(self, database: Database, tenant_id: str) -> None:
        """Send what is behind, a batch at a time, until nothing is, or it fails."""
        scope = Scope("system:audit_stream", tenant_id)
        try:
            for _ in range(_TURN_BATCHES):
                async with database.transaction(scope) as tx:
                    turn = await self._take(tx)
                    records = [] if turn is None else await _after(tx, turn.seq)
                    records = await revealed(tx, records, self._security.subjects.reveal)
                if turn is None:
                    return
                if not records:
                    async with database.transaction(scope) as tx:
                        await _let_go(tx, turn)
                    return
                try:
                    await self._send(tenant_id, turn, records, database.clock())
                except AppError as error:
                    async with database.transaction(scope) as tx:
                        await _put_off(tx, turn, error)
                    return
                async with database.transaction(scope) as tx:
                    await _advance(tx, turn, records)
        except Exception:
            # The lease runs out, and then it is tried again: by whoever is better off.
            logger.exception("audit_stream_failed", extra={"tenant_id": tenant_id})

    async def _take(self, tx: Tx) -> _Turn | None:
        """Make the stream ours until the lease is over, unless it is somebody's or stands still."""
        row = await tx.scalar(
            sa.select(StreamRow)
            .where(
                StreamRow.tenant_id == tx.tenant_id,
                StreamRow.paused.is_(False),
                StreamRow.next_try_at <= db_now(),
                sa.or_(StreamRow.held_until.is_(None), StreamRow.held_until <= db_now()),
            )
            .with_for_update()
        )
        if row is None:
            return None
        row.fence += 1
        keyring = await self._security.keyring(tx)
        turn = _Turn(
            kind=row.kind,
            target=row.target,
            format=row.format,
            ca_certificate=row.ca_certificate,
            secret=keyring.open(SECRET_PLACE, row.sealed_secret),
            seq=row.seq,
            fence=row.fence,
            failures=row.failures,
        )
        await tx.execute(_ours(tx, row.fence).values(held_until=db_now(_LEASE_SECONDS)))
        return turn

    async def _send(
        self, tenant_id: str, turn: _Turn, records: Sequence[AuditRecord], now: datetime
    ) -> None:
        public_only = not self._settings.allow_private_streams
        line = FORMATS[turn.format].line
        if turn.kind == "syslog":
            host, port = _host_and_port(turn.target)
            await self._outbound.send_syslog(
                host,
                port,
                [
                    syslog_message(
                        severity=_WARNING if is_failure(record) else _INFO,
                        at=record.at,
                        process=tenant_id,
                        message_id=record.action,
                        sequence=record.seq or 0,
                        text=line(record).rstrip(b"\r\n"),
                    )
                    for record in records
                ],
                tenant_id=tenant_id,
                public_only=public_only,
                ca_certificate=turn.ca_certificate,
                timeout_seconds=_SEND_SECONDS,
            )
            return
        form = FORMATS[turn.format]
        name = f"{tenant_id}.{records[0].seq}-{records[-1].seq}"
        content = form.head + b"".join(line(record) for record in records)
        answer = await self._outbound.request(
            "POST",
            turn.target,
            tenant_id=tenant_id,
            public_only=public_only,
            headers={
                "Content-Type": form.media_type,
                **signing.signed(turn.secret, name, now, content),
            },
            content=content,
            timeout_seconds=_SEND_SECONDS,
            max_bytes=2**16,
        )
        if not answer.is_success:
            raise UnreachableError(f"It answered {answer.status}")


def _check_address(target: str, *, plain: bool) -> None:
    """Without TLS nothing leaves the platform's own network, and goes there only if it may."""
    if not is_web_address(target, plain=plain):
        raise StreamInvalidError("A webhook is an https address without credentials").at("target")


def _host_and_port(target: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{target}")
        host, port = parts.hostname, parts.port
        alone = parts.netloc == target and not parts.username
    except ValueError:
        host, port, alone = None, None, False
    if not host or not alone or port == 0:
        raise StreamInvalidError("A syslog receiver is host:port").at("target")
    return host, port or _SYSLOG_PORT


def _check_certificate(pem: str | None) -> None:
    if pem is None:
        return
    try:
        trusting(pem)
    except ValueError:
        raise StreamInvalidError("This is no certificate in PEM").at("ca_certificate") from None


async def _find(tx: ReadTx, *, lock: bool = False) -> StreamRow | None:
    query = sa.select(StreamRow).where(StreamRow.tenant_id == tx.tenant_id)
    found: StreamRow | None = await tx.scalar(query.with_for_update() if lock else query)
    return found


async def _load(tx: ReadTx, *, lock: bool = False) -> StreamRow:
    row = await _find(tx, lock=lock)
    if row is None:
        raise StreamNotFoundError
    return row


async def _head(tx: ReadTx) -> int:
    found = await tx.scalar(sa.select(AuditHead.seq).where(AuditHead.tenant_id == tx.tenant_id))
    return int(found or 0)


async def _removed(tx: ReadTx) -> int:
    """The number before the first record that is there: retention has let go what was before."""
    found = await tx.scalar(
        sa.select(RetentionRow.removed_seq).where(RetentionRow.tenant_id == tx.tenant_id)
    )
    return int(found or 0)


async def _after(tx: ReadTx, seq: int) -> Sequence[AuditRecord]:
    rows: Sequence[AuditRecord] = await tx.scalars(
        sa.select(AuditRecord)
        .where(AuditRecord.tenant_id == tx.tenant_id, AuditRecord.seq > seq)
        .order_by(AuditRecord.seq)
        .limit(_BATCH)
    )
    return rows


def _ours(tx: Tx, fence: int) -> Any:
    """An update of the stream, as long as nobody has taken or changed it since."""
    return (
        sa.update(StreamRow)
        .where(StreamRow.tenant_id == tx.tenant_id, StreamRow.fence == fence)
        .execution_options(synchronize_session=False)
    )


async def _let_go(tx: Tx, turn: _Turn) -> None:
    await tx.execute(_ours(tx, turn.fence).values(held_until=None))


async def _advance(tx: Tx, turn: _Turn, records: Sequence[AuditRecord]) -> None:
    await tx.execute(
        _ours(tx, turn.fence).values(
            seq=records[-1].seq,
            held_until=None,
            failures=0,
            last_error=None,
            next_try_at=db_now(),
            delivered_at=tx.now(),
        )
    )
    if turn.failures >= FAILING:
        tx.emit("audit_stream.resumed", f"tenant:{tx.tenant_id}", seq=records[-1].seq)


async def _put_off(tx: Tx, turn: _Turn, error: AppError) -> None:
    failures = turn.failures + 1
    wait = min(2.0 ** min(turn.failures, _MOST_DOUBLINGS), _LONGEST_WAIT_SECONDS)
    wait *= random.uniform(0.8, 1.2)  # noqa: S311 - not a secret
    said = (error.detail or error.title)[:_WORDS]
    await tx.execute(
        _ours(tx, turn.fence).values(
            held_until=None, failures=failures, last_error=said, next_try_at=db_now(wait)
        )
    )
    if failures == FAILING:
        tx.emit("audit_stream.failing", f"tenant:{tx.tenant_id}", error=said, seq=turn.seq)
