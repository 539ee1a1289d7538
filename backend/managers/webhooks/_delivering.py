"""Telling programs of events: in order, at least once, and each as if the others were not there.

A webhook is its own reader of the tenant's events. What it is told of is told one after the other,
so that events of one subject come in their order; one that fails is tried again and holds up what
is behind it, of this webhook alone. A receiver that takes nothing for three days is stopped, and
told of nothing until somebody starts it again: nothing was lost for it as long as events are kept.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, cast

import msgspec
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram

from backend.core.clock import perf_counter
from backend.core.columns import db_now
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, Tx
from backend.core.errors import AppError, UnavailableError
from backend.core.events import Event, EventHead, read_events, read_span
from backend.core.ids import uuid7, uuid7_at
from backend.core.loose_scan import read_least
from backend.kit import signing
from backend.kit.outbound import HttpAnswer, NotAllowedError, Outbound
from backend.managers.security import SealedError, SecurityManager
from backend.managers.webhooks._endpoints import TEST, Target, due, opened, wants
from backend.managers.webhooks.errands import DELIVERING
from backend.managers.webhooks.errors import WebhookNotFoundError
from backend.managers.webhooks.models import DeliveryRow, WebhookRow

DELIVER_SECONDS: Final = 1.0
HORIZON: Final = timedelta(days=3)
"""How long a receiver may take nothing."""
KEPT: Final = timedelta(days=7)
_ACTOR: Final = "system:webhooks"
_READ: Final = 500
_BATCH: Final = 50
_SEND_SECONDS: Final = 10.0
_ENOUGH_SECONDS: Final = 20.0
"""Then it is others' turn."""
_LOOK_SECONDS: Final = 2.0
"""So often, between two events, a webhook is held on to, and its change or end is heeded."""
_LEASE_SECONDS: Final = 20.0
"""Longer than a look and a try take: whom a killed process held is told again after so long."""
_LATER_SECONDS: Final = 30.0
_MOST_AT_WORK: Final = 32
_SHARE: Final = 4
"""Of one tenant at a time: who has a hundred keeps nobody else waiting."""
_FOUND: Final = 8 * _MOST_AT_WORK
_ANSWER_BYTES: Final = 65_536
_FIRST_WAIT: Final = 5.0
_LONGEST_WAIT: Final = 3600.0
_MOST_DOUBLINGS: Final = 10
_REFUSALS: Final = 5
"""Tries of one event that a receiver refuses for what it is, before it is passed over."""
_GONE: Final = 410
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
# Refusals that say nothing of the event: too early, too many, not there for now, a log-in.
_OF_THE_RECEIVER: Final = frozenset({401, 403, 404, 407, 408, 409, 421, 423, 425, 429})
_WORDS: Final = 300
_ANSWER_WORDS: Final = 200
_SWEPT: Final = 1000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A webhook that is ours for a while, and what it is told next."""

    id: str
    signer: "_Signer"
    kinds: Sequence[str]
    subject: str
    seq: int
    fence: int
    failures: int
    failing_since: datetime | None
    oldest: int
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class _Signer:
    """Where a webhook leads, and which of its secrets sign."""

    target: Target
    key_version: int
    both: bool


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of one try.

    Attributes:
        status: What was answered; None: nothing.
        error: Why it was not taken; None: it was.
        milliseconds: How long that took.
        after_seconds: How long the receiver asks to be left alone.
        forbidden: It leads where it may not.
    """

    status: int | None
    error: str | None
    milliseconds: int
    after_seconds: float | None = None
    forbidden: bool = False

    @property
    def is_taken(self) -> bool:
        return self.error is None

    @property
    def is_refusal(self) -> bool:
        """It refuses the event, and not us for now."""
        status = self.status or 0
        return (
            _CLIENT_ERROR <= status < _SERVER_ERROR
            and status not in _OF_THE_RECEIVER
            and status != _GONE
        )


@dataclass(frozen=True, slots=True)
class _Told:
    """What came of a turn: how far it came, each try, and the last one unless it was taken."""

    seq: int
    rows: Sequence[dict[str, Any]]
    failed: _Tried | None
    failures: int


class Delivering:
    """What this process tells, of all tenants."""

    def __init__(
        self,
        security: SecurityManager,
        outbound: Outbound,
        *,
        public_only: bool,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._security = security
        self._outbound = outbound
        self._public_only = public_only
        self._rng = random.Random()  # noqa: S311 - when somebody tries again is no secret
        self._at_work: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._ending = False
        self._tries = Counter(
            "email_sender_webhooks_deliveries",
            "Tries to tell a program of an event, by what came of them.",
            ["outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "email_sender_webhooks_delivery_seconds",
            "How long a program took to answer, or was waited for.",
            registry=registry,
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """At the end write down what was told: nothing more is told by this process."""
        try:
            yield
        finally:
            self._ending = True
            await self.settle()

    async def deliver_due(self, database: Database) -> int:
        """Begin to tell the webhooks that are due, each in a task of its own; how many it began."""
        room = _MOST_AT_WORK - len(self._at_work)
        if room <= 0 or self._ending:
            return 0
        async with database.read(SystemScope(DELIVERING)) as view:
            # Of each tenant those that wait longest; whoever had a turn waits behind the others.
            place = sa.func.row_number().over(
                partition_by=WebhookRow.tenant_id, order_by=WebhookRow.next_try_at
            )
            mine = (
                sa.select(
                    WebhookRow.tenant_id,
                    WebhookRow.id,
                    WebhookRow.next_try_at,
                    place.label("place"),
                )
                .join(EventHead, EventHead.tenant_id == WebhookRow.tenant_id)
                .where(due(), EventHead.seq > WebhookRow.seq)
                .subquery("mine")
            )
            found = await view.execute(
                sa.select(mine.c.tenant_id, mine.c.id)
                .where(mine.c.place <= _SHARE)
                .order_by(mine.c.place, mine.c.next_try_at)
                .limit(_FOUND)
            )
            waiting = [(row.tenant_id, row.id) for row in found]
        begun = 0
        for key in waiting:
            tenant_id = key[0]
            of_tenant = sum(1 for other, _ in self._at_work if other == tenant_id)
            if key in self._at_work or of_tenant >= _SHARE:
                continue
            task = asyncio.create_task(self._deliver(database, *key))
            self._at_work[key] = task
            task.add_done_callback(partial(self._done, key))
            begun += 1
            if begun == room:
                break
        return begun

    def _done(self, key: tuple[str, str], _: asyncio.Task[None]) -> None:
        self._at_work.pop(key, None)

    async def settle(self) -> None:
        """Wait until nothing is being told."""
        await asyncio.gather(*self._at_work.values(), return_exceptions=True)

    async def test(self, database: Database, scope: Scope, webhook_id: str) -> dict[str, Any]:
        """Send an event that says that it is a test, and say what came of it, as a delivery's row.

        Raises:
            WebhookNotFoundError: No such one in this tenant.
        """
        async with database.read(scope) as view:
            row = await view.scalar(
                sa.select(WebhookRow).where(
                    WebhookRow.tenant_id == scope.tenant_id, WebhookRow.id == webhook_id
                )
            )
            if row is None:
                raise WebhookNotFoundError
            target = opened(row, await self._security.keyring(view))
            signer = _Signer(target, row.key_version, _is_both(row, view.now()))
            subject = f"webhook:{webhook_id}"
            event = Event(0, uuid7(), view.now(), TEST, subject, scope.actor, {})
        tried = await self._try(database, scope.tenant_id, signer, event)
        outcome = "delivered" if tried.is_taken else "refused"
        return _row((scope.tenant_id, webhook_id), event, tried, outcome, 1, database.clock())

    async def sweep(self, tx: Tx) -> int:
        """Forget deliveries of more than a week ago, some of each tenant; how many."""
        gone = 0
        before = uuid7_at(tx.now() - KEPT)
        for tenant_id, oldest in await read_least(tx, DeliveryRow, DeliveryRow.id):
            if oldest >= before:
                continue
            ids = await tx.scalars(
                sa.select(DeliveryRow.id)
                .where(DeliveryRow.tenant_id == tenant_id, DeliveryRow.id < before)
                .order_by(DeliveryRow.id)
                .limit(_SWEPT)
            )
            if not ids:
                continue
            await tx.execute(
                sa.delete(DeliveryRow)
                .where(
                    DeliveryRow.tenant_id == tenant_id,
                    DeliveryRow.id.between(min(ids), max(ids)),
                    DeliveryRow.id.in_(ids),
                )
                .execution_options(synchronize_session=False)
            )
            gone += len(ids)
        return gone

    async def _deliver(self, database: Database, tenant_id: str, webhook_id: str) -> None:
        scope = Scope(_ACTOR, tenant_id)
        began = perf_counter()
        try:
            while not self._ending and perf_counter() - began < _ENOUGH_SECONDS:
                async with database.transaction(scope) as tx:
                    turn = await self._take(tx, webhook_id)
                if turn is None or not await self._tell(database, scope, turn):
                    return
        except SealedError:
            logger.info("webhook_sealed", extra={"tenant_id": tenant_id})
            await _put_off(database, scope, webhook_id)
        except UnavailableError:
            # What was told and not written down is told again, when the lease is over.
            logger.warning("webhook_waits_for_the_database", extra={"tenant_id": tenant_id})
        except Exception:
            logger.exception(
                "webhook_failed", extra={"tenant_id": tenant_id, "webhook_id": webhook_id}
            )
            with contextlib.suppress(AppError):
                await _put_off(database, scope, webhook_id)

    async def _take(self, tx: Tx, webhook_id: str) -> _Turn | None:
        """Make it ours until the lease is over, unless it is somebody's or nothing is behind it."""
        row: WebhookRow | None = await tx.scalar(
            sa.select(WebhookRow)
            .where(WebhookRow.tenant_id == tx.tenant_id, WebhookRow.id == webhook_id, due())
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return None
        events = await read_events(tx, after=row.seq, limit=_READ)
        oldest, _ = await read_span(tx)
        if not events and oldest <= row.seq + 1:
            return None
        row.fence += 1
        target = opened(row, await self._security.keyring(tx))
        turn = _Turn(
            id=row.id,
            signer=_Signer(target, row.key_version, _is_both(row, tx.now())),
            kinds=row.kinds,
            subject=row.subject,
            seq=row.seq,
            fence=row.fence,
            failures=row.failures,
            failing_since=row.failing_since,
            oldest=oldest,
            events=events,
        )
        await tx.session.flush()
        await tx.execute(_ours(tx, turn).values(held_until=db_now(_LEASE_SECONDS)))
        return turn

    async def _tell(self, database: Database, scope: Scope, turn: _Turn) -> bool:
        """Tell one after the other; whether there may be more to tell now."""
        began, seq, rows = perf_counter(), turn.seq, list[dict[str, Any]]()
        failures, last = turn.failures, None
        whole, looked = True, began
        if turn.oldest > seq + 1:
            # It stood still for longer than events are kept: that is written down, once.
            rows.append(_missed(scope.tenant_id, turn, database.clock()))
            seq = turn.oldest - 1
        for event in turn.events:
            if not wants(turn.kinds, turn.subject, event):
                seq = event.seq
                continue
            now = perf_counter()
            if len(rows) >= _BATCH or now - began > _ENOUGH_SECONDS or self._ending:
                whole = False
                break
            if now - looked > _LOOK_SECONDS:
                looked = now
                if not await _hold_on(database, scope, turn):
                    whole = False
                    break
            last = await self._try(database, scope.tenant_id, turn.signer, event)
            is_over = last.is_refusal and failures + 1 >= _REFUSALS
            outcome = "delivered" if last.is_taken else "refused" if is_over else "failed"
            self._tries.labels(outcome).inc()
            self._seconds.observe(last.milliseconds / 1000)
            key = (scope.tenant_id, turn.id)
            rows.append(_row(key, event, last, outcome, failures + 1, database.clock()))
            if outcome == "failed":
                failures += 1
                whole = False
                break
            failures, seq = 0, event.seq
        failed = bool(rows) and rows[-1]["outcome"] == "failed"
        async with database.transaction(scope) as tx:
            told = _Told(seq, rows, None if last is None or last.is_taken else last, failures)
            await self._keep(tx, turn, told)
        return not failed and (not whole or len(turn.events) == _READ)

    async def _try(
        self, database: Database, tenant_id: str, signer: _Signer, event: Event
    ) -> _Tried:
        began = perf_counter()

        def took() -> int:
            return int((perf_counter() - began) * 1000)

        try:
            answer = await self._post(database, tenant_id, signer, event)
        except NotAllowedError as exc:
            return _Tried(None, (exc.detail or exc.title)[:_WORDS], took(), forbidden=True)
        except AppError as exc:
            return _Tried(None, (exc.detail or exc.title)[:_WORDS], took())
        if answer.is_success:
            return _Tried(answer.status, None, took())
        after = answer.retry_after(database.clock())
        return _Tried(answer.status, self._answered(answer), took(), after)

    def _answered(self, answer: HttpAnswer) -> str:
        # What stands in the platform's own network tells a tenant nothing by its answers.
        return answered(answer.status, answer.body if self._public_only else b"")

    async def _post(
        self, database: Database, tenant_id: str, signer: _Signer, event: Event
    ) -> HttpAnswer:
        target = signer.target
        content = said(event)
        now = database.clock()
        headers = signing.signed(target.secret, event.id, now, content)
        if signer.both and target.previous:
            before = signing.signed(target.previous, event.id, now, content)
            headers["webhook-signature"] += f" {before['webhook-signature']}"
        return await self._outbound.request(
            "POST",
            target.url,
            tenant_id=tenant_id,
            public_only=self._public_only,
            headers={
                "Content-Type": "application/json",
                "Webhook-Key-Id": str(signer.key_version),
                **headers,
            },
            content=content,
            timeout_seconds=_SEND_SECONDS,
            max_bytes=_ANSWER_BYTES,
        )

    async def _keep(self, tx: Tx, turn: _Turn, told: _Told) -> None:
        """Write down what was told, and go on from there; unless somebody else has it by now."""
        row: WebhookRow | None = await tx.scalar(
            sa.select(WebhookRow)
            .where(
                WebhookRow.tenant_id == tx.tenant_id,
                WebhookRow.id == turn.id,
                WebhookRow.fence == turn.fence,
            )
            .with_for_update()
        )
        # Whoever lost it has told it all the same, unless it is no more.
        if told.rows and (row is not None or await _is_there(tx, turn.id)):
            await tx.insert(DeliveryRow, told.rows)
        if row is None:
            return
        row.seq, row.held_until = told.seq, None
        if any(one["outcome"] == "delivered" for one in told.rows):
            row.delivered_at = tx.now()
            row.failing_since, row.last_error = None, None
        row.failures, failed = told.failures, told.failed
        wait = 0.0 if failed is None or not told.failures else self._wait(failed, told.failures)
        row.next_try_at = db_now(wait)
        if failed is None:
            return
        # Also of one that was passed over: who refuses everything is stopped like who is not there.
        row.last_error = failed.error
        row.failing_since = row.failing_since or tx.now()
        why = _stops(row, failed, tx.now())
        if why is not None:
            row.enabled, row.stopped_why = False, why
            logger.warning(
                "webhook_stopped", extra={"tenant_id": tx.tenant_id, "webhook_id": row.id}
            )
            tx.audit("webhook.stopped", f"webhook:{row.id}", name=row.name, why=why)
            tx.emit("webhook.stopped", f"webhook:{row.id}", name=row.name, why=why)

    def _wait(self, failed: _Tried, failures: int) -> float:
        doublings = min(max(failures - 1, 0), _MOST_DOUBLINGS)
        own = min(_FIRST_WAIT * 2**doublings, _LONGEST_WAIT) * self._rng.uniform(0.75, 1.25)
        asked = failed.after_seconds
        return own if asked is None else min(max(asked, 1.0), _LONGEST_WAIT)


def _is_both(row: WebhookRow, now: datetime) -> bool:
    return row.previous_until is not None and row.previous_until > now


def said(event: Event) -> bytes:
    """An event as it is told, the same at each try."""
    return msgspec.json.encode(
        {
            "id": event.id,
            "seq": event.seq,
            "kind": event.kind,
            "subject": event.subject,
            "at": event.at.isoformat(),
            "actor": event.actor,
            "data": dict(event.data),
        }
    )


def answered(status: int, body: bytes) -> str:
    """What was answered, in words: the status, and how what was said with it begins."""
    text = body[: 4 * _ANSWER_WORDS].decode("utf-8", "replace")
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    said_so = f"It answered {status}"
    return f"{said_so}: {words[:_ANSWER_WORDS]}" if words else said_so


def _stops(row: WebhookRow, failed: _Tried, now: datetime) -> str | None:
    """Why it is told of nothing more until somebody starts it again; None: it goes on."""
    if failed.status == _GONE:
        return "It answered 410 Gone"
    if failed.forbidden:
        return f"It leads where it may not: {failed.error}"[:_WORDS]
    if row.failing_since is not None and now - row.failing_since > HORIZON:
        return f"It has taken nothing for {HORIZON.days} days"
    return None


def _row(  # noqa: PLR0917 - a row's columns, in their order
    key: tuple[str, str], event: Event, tried: _Tried, outcome: str, attempt: int, now: datetime
) -> dict[str, Any]:
    tenant_id, webhook_id = key
    return {
        "tenant_id": tenant_id,
        "webhook_id": webhook_id,
        "id": uuid7(),
        "seq": event.seq,
        "event_id": event.id,
        "kind": event.kind,
        "subject": event.subject,
        "at": now,
        "outcome": outcome,
        "attempt": attempt,
        "status": tried.status,
        "milliseconds": tried.milliseconds,
        "error": tried.error,
    }


def _missed(tenant_id: str, turn: _Turn, now: datetime) -> dict[str, Any]:
    last = turn.oldest - 1
    none = Event(last, uuid7(), now, "", "", _ACTOR, {})
    why = _Tried(None, f"Events {turn.seq + 1} to {last} are no longer kept", 0)
    return _row((tenant_id, turn.id), none, why, "missed", 0, now)


async def _is_there(tx: Tx, webhook_id: str) -> bool:
    found = sa.select(WebhookRow.id).where(
        WebhookRow.tenant_id == tx.tenant_id, WebhookRow.id == webhook_id
    )
    return await tx.scalar(found) is not None


def _ours(tx: Tx, turn: _Turn) -> sa.Update:
    return (
        sa.update(WebhookRow)
        .where(
            WebhookRow.tenant_id == tx.tenant_id,
            WebhookRow.id == turn.id,
            WebhookRow.fence == turn.fence,
        )
        .execution_options(synchronize_session=False)
    )


async def _hold_on(database: Database, scope: Scope, turn: _Turn) -> bool:
    """Hold it for longer; whether nobody has changed, deleted or taken it meanwhile."""
    async with database.transaction(scope) as tx:
        held = await tx.execute(_ours(tx, turn).values(held_until=db_now(_LEASE_SECONDS)))
    return bool(cast("sa.CursorResult[Any]", held).rowcount)


async def _put_off(database: Database, scope: Scope, webhook_id: str) -> None:
    """Have it wait, so that it does not stand before others that can be told."""
    async with database.transaction(scope) as tx:
        await tx.execute(
            sa.update(WebhookRow)
            .where(WebhookRow.tenant_id == tx.tenant_id, WebhookRow.id == webhook_id)
            .values(next_try_at=db_now(_LATER_SECONDS))
            .execution_options(synchronize_session=False)
        )
