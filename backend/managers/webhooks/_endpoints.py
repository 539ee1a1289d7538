"""A tenant's webhooks: where they lead, of what they tell, and how far they have come."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa

from backend.core.columns import db_now
from backend.core.database import Integrity, ReadTx, Tx
from backend.core.events import Event, find_seq_before, read_span
from backend.core.ids import uuid7
from backend.core.loading import Loader
from backend.core.paging import newest
from backend.kit import signing
from backend.kit.outbound import is_web_address
from backend.managers.security import Keyring, SecurityManager
from backend.managers.webhooks.errors import (
    DeliveryNotFoundError,
    TooManyWebhooksError,
    WebhookChangedError,
    WebhookExistsError,
    WebhookForbiddenError,
    WebhookInvalidError,
    WebhookNotFoundError,
)
from backend.managers.webhooks.models import DeliveryRow, WebhookRow

_load: Final = Loader(WebhookRow, WebhookNotFoundError, WebhookChangedError)

MAX_WEBHOOKS: Final = 100
MAX_KINDS: Final = 100
STATES: Final = ("delivering", "failing", "stopped", "disabled")
"""How webhooks stand."""
TEST: Final = "webhook.test"
"""The kind of an event that nothing is told by."""
_OF_ROW: Final = frozenset({"tenant_id", "webhook_id"})
OVERLAP: Final = timedelta(days=1)
"""How long the secret before counts as well, once there is another."""


class Target(msgspec.Struct, frozen=True):
    """Where a webhook leads, and what it is signed with; sealed."""

    url: str
    secret: bytes
    previous: bytes = b""


def target_place(webhook_id: str) -> str:
    """Where a webhook's target stands: sealed for one, it opens for no other."""
    return f"webhook:{webhook_id}:target"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDraft:
    """A program that is to be told of events.

    Attributes:
        name: Unique in the tenant.
        url: Where to; None: as it was.
        kinds: Of which events.
        subject: What they are about begins so: ``email:``, or all of one; empty: anything.
        enabled: Whether it is told.
        since_seq: Of a new one: events after this number; None: what comes from now on.
    """

    name: str
    url: str | None
    kinds: Sequence[str]
    subject: str = ""
    enabled: bool = True
    since_seq: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook, as it is kept.

    Attributes:
        host: Of its address this alone is told.
        stopped_why: Why it was stopped, if nobody has stopped it.
        key_version: Which of its secrets signs.
        seq: The number of the last event that it is past.
        behind: How many events there are after that, of all kinds.
        failing_since: When the try that failed first of those that failed last was.
        version: Changes with every change; for ``If-Match``.
    """

    id: str
    name: str
    host: str
    kinds: Sequence[str]
    subject: str
    enabled: bool
    stopped_why: str | None
    key_version: int
    seq: int
    behind: int
    failures: int
    failing_since: datetime | None
    last_error: str | None
    next_try_at: datetime | None
    delivered_at: datetime | None
    version: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One try to tell a program of one event.

    Attributes:
        outcome: ``delivered``, ``failed`` (it is tried again), ``refused`` (it is not).
        attempt: Which try, from 1.
        status: What was answered; None: nothing.
    """

    id: str
    seq: int
    event_id: str
    kind: str
    subject: str
    at: datetime
    outcome: str
    attempt: int
    status: int | None
    milliseconds: int
    error: str | None


class Webhooks:
    """Each tenant's."""

    def __init__(self, security: SecurityManager, kinds: Mapping[str, str], *, plain: bool) -> None:
        """``kinds``: the permission that reading an event takes; ``plain``: whether by http too."""
        self._security = security
        self._kinds = kinds
        self._plain = plain

    async def create(
        self, tx: Tx, draft: WebhookDraft, *, permissions: frozenset[str]
    ) -> tuple[Webhook, str]:
        """Have a program told of events; and the secret of the signatures, shown once.

        Args:
            tx: The tenant's.
            draft: What is wanted.
            permissions: Whoever asks may have told what they may read.

        Raises:
            WebhookExistsError: The name is taken.
            WebhookForbiddenError: It tells of what whoever asks may not read.
            WebhookInvalidError: It leads nowhere, or tells of what there is not.
            TooManyWebhooksError: There are a hundred.
        """
        count = sa.select(sa.func.count()).select_from(WebhookRow)
        if await tx.scalar(count.where(WebhookRow.tenant_id == tx.tenant_id)) >= MAX_WEBHOOKS:
            raise TooManyWebhooksError(f"They are {MAX_WEBHOOKS}: delete one")
        self._refuse_kinds(tx, draft.kinds, permissions)
        target = Target(self._address(draft.url), secrets.token_bytes(32))
        _, last = await read_span(tx)
        since = last if draft.since_seq is None else min(draft.since_seq, last)
        webhook_id = uuid7()
        row = {
            "tenant_id": tx.tenant_id,
            "id": webhook_id,
            **self._columns(tx, draft),
            **_sealed(webhook_id, target, await self._security.keyring(tx)),
            "stopped_why": None,
            "key_version": 1,
            "previous_until": None,
            "seq": since,
            "fence": 0,
            "held_until": None,
            "failures": 0,
            "failing_since": None,
            "last_error": None,
            "next_try_at": db_now(),
            "delivered_at": None,
            "revision": 1,
            "created_at": tx.now(),
            "created_by": tx.scope.actor,
        }
        if not await tx.insert_new(WebhookRow, row, conflict=["tenant_id", "name"]):
            raise WebhookExistsError().at("name")
        tx.audit("webhook.created", f"webhook:{webhook_id}", name=draft.name, host=row["host"])
        return await self.get(tx, webhook_id), signing.shown(target.secret)

    async def get(self, tx: ReadTx, webhook_id: str) -> Webhook:
        """One of them.

        Raises:
            WebhookNotFoundError: No such one in this tenant.
        """
        _, last = await read_span(tx)
        return _value(await _load(tx, webhook_id), last)

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> Sequence[Webhook]:
        """The newest first, one more than ``limit``."""
        _, last = await read_span(tx)
        query = sa.select(WebhookRow).where(WebhookRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, WebhookRow.id, limit, before_id))
        return [_value(row, last) for row in rows]

    async def replace(
        self,
        tx: Tx,
        webhook_id: str,
        draft: WebhookDraft,
        *,
        permissions: frozenset[str],
        expected_version: str | None,
    ) -> Webhook:
        """Have it told of others, or elsewhere; it goes on where it was, and is tried at once.

        Raises:
            WebhookNotFoundError: No such one in this tenant.
            WebhookChangedError: Somebody changed it meanwhile.
            WebhookExistsError: Another one has the name.
            WebhookForbiddenError: It tells of what whoever asks may not read, or did so.
            WebhookInvalidError: It leads nowhere, or tells of what there is not.
        """
        row = await _load(tx, webhook_id, expected_version=expected_version, lock=True)
        self._refuse_kinds(tx, draft.kinds, permissions)
        self._refuse_higher(tx, row.kinds, permissions)
        keyring = await self._security.keyring(tx)
        values = self._columns(tx, draft)
        if draft.url is not None:
            target = msgspec.structs.replace(opened(row, keyring), url=self._address(draft.url))
            values |= _sealed(webhook_id, target, keyring)
        try:
            async with tx.savepoint():
                for name, value in values.items():
                    setattr(row, name, value)
                row.stopped_why = None
                row.failures, row.failing_since, row.last_error = 0, None, None
                row.next_try_at = db_now()
                row.revision += 1
                # Whoever is telling it what it was told of before has not the last word.
                row.fence += 1
                row.held_until = None
        except Integrity as exc:
            raise WebhookExistsError().at("name") from exc
        tx.audit("webhook.changed", f"webhook:{webhook_id}", name=draft.name, host=row.host)
        return await self.get(tx, webhook_id)

    async def remove(self, tx: Tx, webhook_id: str, *, expected_version: str | None) -> None:
        """Tell it nothing more. Its deliveries are found no longer, and forgotten with their week.

        Raises:
            WebhookNotFoundError: No such one in this tenant.
            WebhookChangedError: Somebody changed it meanwhile.
        """
        row = await _load(tx, webhook_id, expected_version=expected_version, lock=True)
        tx.audit("webhook.deleted", f"webhook:{webhook_id}", name=row.name)
        await tx.session.delete(row)

    async def rotate(
        self, tx: Tx, webhook_id: str, *, permissions: frozenset[str]
    ) -> tuple[Webhook, str]:
        """Sign with another secret, shown once; for a day the one before signs as well.

        Raises:
            WebhookNotFoundError: No such one in this tenant.
            WebhookForbiddenError: It tells of what whoever asks may not read.
        """
        row = await _load(tx, webhook_id, lock=True)
        self._refuse_higher(tx, row.kinds, permissions)
        keyring = await self._security.keyring(tx)
        before = opened(row, keyring)
        target = Target(before.url, secrets.token_bytes(32), before.secret)
        for name, value in _sealed(webhook_id, target, keyring).items():
            setattr(row, name, value)
        row.key_version += 1
        row.previous_until = tx.now() + OVERLAP
        row.revision += 1
        tx.audit("webhook.rotated", f"webhook:{webhook_id}", key_version=row.key_version)
        return await self.get(tx, webhook_id), signing.shown(target.secret)

    async def replay(
        self,
        tx: Tx,
        webhook_id: str,
        *,
        after_seq: int | None,
        since: datetime | None,
        permissions: frozenset[str],
    ) -> Webhook:
        """Tell it again of all after a number or since a time, or, of later ones, of less.

        Raises:
            WebhookNotFoundError: No such one in this tenant.
            WebhookForbiddenError: It tells of what whoever asks may not read.
            WebhookInvalidError: Not exactly one of number and time is given.
        """
        row = await _load(tx, webhook_id, lock=True)
        self._refuse_higher(tx, row.kinds, permissions)
        if (after_seq is None) == (since is None):
            raise WebhookInvalidError("Say a number or a time, and not both").at("after_seq")
        if since is not None:
            after_seq = await find_seq_before(tx, since)
        _, last = await read_span(tx)
        row.seq = min(after_seq or 0, last)
        row.fence += 1
        row.held_until = None
        row.failures, row.failing_since, row.last_error = 0, None, None
        row.next_try_at = db_now()
        tx.audit("webhook.replayed", f"webhook:{webhook_id}", after_seq=row.seq)
        return await self.get(tx, webhook_id)

    async def tested(self, tx: Tx, webhook_id: str, tried: Mapping[str, Any]) -> Delivery:
        """Write down that a test was sent to it, and what came of it.

        Raises:
            WebhookNotFoundError: No such one in this tenant.
        """
        row = await _load(tx, webhook_id)
        await tx.insert(DeliveryRow, [tried])
        taken = tried["error"] is None
        tx.audit("webhook.tested", f"webhook:{webhook_id}", name=row.name, taken=taken)
        fields = {name: value for name, value in tried.items() if name not in _OF_ROW}
        return Delivery(**fields)

    async def deliveries(
        self,
        tx: ReadTx,
        webhook_id: str,
        *,
        permissions: frozenset[str],
        failed: bool = False,
        limit: int,
        before_id: str | None = None,
    ) -> Sequence[Delivery]:
        """What was tried in the last seven days, the newest first, one more than ``limit``.

        Args:
            tx: The tenant's.
            webhook_id: Of which webhook.
            permissions: Whoever asks is told of events that they may read.
            failed: Only what was not taken.
            limit: How many.
            before_id: Older than this one.

        Raises:
            WebhookNotFoundError: No such one in this tenant.
        """
        await _load(tx, webhook_id)
        query = sa.select(DeliveryRow).where(
            DeliveryRow.tenant_id == tx.tenant_id,
            DeliveryRow.webhook_id == webhook_id,
            self._readable(permissions),
        )
        if failed:
            query = query.where(DeliveryRow.error.is_not(None))
        rows = await tx.scalars(newest(query, DeliveryRow.id, limit, before_id))
        return [_delivery(row) for row in rows]

    async def delivery(
        self, tx: ReadTx, webhook_id: str, delivery_id: str, *, permissions: frozenset[str]
    ) -> Delivery:
        """One of them.

        Raises:
            WebhookNotFoundError: No such one in this tenant.
            DeliveryNotFoundError: The webhook has no such one that whoever asks may read.
        """
        await _load(tx, webhook_id)
        row: DeliveryRow | None = await tx.scalar(
            sa.select(DeliveryRow).where(
                DeliveryRow.tenant_id == tx.tenant_id,
                DeliveryRow.webhook_id == webhook_id,
                DeliveryRow.id == delivery_id,
                self._readable(permissions),
            )
        )
        if row is None:
            raise DeliveryNotFoundError
        return _delivery(row)

    @staticmethod
    async def count_by_state(view: ReadTx) -> Mapping[str, int]:
        """How many webhooks of all tenants stand how: an errand's."""
        state = sa.case(
            (WebhookRow.stopped_why.is_not(None), "stopped"),
            (sa.not_(WebhookRow.enabled), "disabled"),
            (WebhookRow.failing_since.is_not(None), "failing"),
            else_="delivering",
        ).label("state")
        counted = sa.select(state, sa.func.count().label("number")).group_by(state)
        return {row.state: row.number for row in await view.execute(counted)}

    def _refuse_kinds(self, tx: Tx, kinds: Sequence[str], permissions: frozenset[str]) -> None:
        for kind in kinds:
            if kind not in self._kinds:
                raise WebhookInvalidError(f"There is no event {kind}").at("kinds")
        self._refuse_higher(tx, kinds, permissions)

    def _refuse_higher(self, tx: Tx, kinds: Sequence[str], permissions: frozenset[str]) -> None:
        """Nobody has told, or takes over, what they may not read."""
        needed = {kind: self._kinds[kind] for kind in kinds if kind in self._kinds}
        for kind, permission in needed.items():
            if permission not in permissions:
                raise WebhookForbiddenError(f"{kind} takes the permission {permission}")
        tx.demand(frozenset(needed.values()))

    def _readable(self, permissions: frozenset[str]) -> sa.ColumnElement[bool]:
        readable = [kind for kind, needed in self._kinds.items() if needed in permissions]
        if len(readable) == len(self._kinds):
            return sa.true()
        # Events that were missed have no kind.
        return DeliveryRow.kind.in_(["", TEST, *sorted(readable)])

    def _address(self, url: str | None) -> str:
        if url is None or not is_web_address(url, plain=self._plain):
            raise WebhookInvalidError("It is an https address without credentials").at("url")
        return url

    @staticmethod
    def _columns(tx: Tx, draft: WebhookDraft) -> dict[str, Any]:
        return {
            "name": draft.name,
            "kinds": sorted(set(draft.kinds)),
            "subject": draft.subject,
            "enabled": draft.enabled,
            "updated_at": tx.now(),
            "updated_by": tx.scope.actor,
        }


def wants(kinds: Sequence[str], subject: str, event: Event) -> bool:
    """Whether a webhook is told of an event."""
    return event.kind in kinds and event.subject.startswith(subject)


def opened(row: WebhookRow, keyring: Keyring) -> Target:
    """Where a webhook leads."""
    sealed = keyring.open(target_place(row.id), row.sealed_target)
    return msgspec.json.decode(sealed, type=Target)


def due() -> sa.ColumnElement[bool]:
    """Whether a webhook may be told of something now, by whoever holds it not."""
    return sa.and_(
        WebhookRow.enabled,
        WebhookRow.next_try_at <= db_now(),
        sa.or_(WebhookRow.held_until.is_(None), WebhookRow.held_until <= db_now()),
    )


def _sealed(webhook_id: str, target: Target, keyring: Keyring) -> dict[str, Any]:
    return {
        # Of an address the host alone: the rest of it is often what lets one in.
        "host": urlsplit(target.url).hostname or "",
        "sealed_target": keyring.seal(target_place(webhook_id), msgspec.json.encode(target)),
    }


def _value(row: WebhookRow, last: int) -> Webhook:
    return Webhook(
        id=row.id,
        name=row.name,
        host=row.host,
        kinds=row.kinds,
        subject=row.subject,
        enabled=row.enabled,
        stopped_why=row.stopped_why,
        key_version=row.key_version,
        seq=row.seq,
        behind=max(0, last - row.seq),
        failures=row.failures,
        failing_since=row.failing_since,
        last_error=row.last_error,
        next_try_at=row.next_try_at if row.failures else None,
        delivered_at=row.delivered_at,
        version=str(row.revision),
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )


def _delivery(row: DeliveryRow) -> Delivery:
    return Delivery(
        id=row.id,
        seq=row.seq,
        event_id=row.event_id,
        kind=row.kind,
        subject=row.subject,
        at=row.at,
        outcome=row.outcome,
        attempt=row.attempt,
        status=row.status,
        milliseconds=row.milliseconds,
        error=row.error,
    )
