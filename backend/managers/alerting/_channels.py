"""Ways to people and programs: mail, who is on call, signed webhooks, what chat rooms take."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa

from backend.core.database import Integrity, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.loading import Loader
from backend.core.paging import newest
from backend.core.subject import Bite, Subject
from backend.kit import signing
from backend.kit.outbound import is_web_address, trusting
from backend.managers.alerting.errors import (
    ChannelChangedError,
    ChannelExistsError,
    ChannelInUseError,
    ChannelInvalidError,
    ChannelNotFoundError,
    TooManyChannelsError,
)
from backend.managers.alerting.models import ChannelRow, PolicyRow, ScheduleRow
from backend.managers.security import Keyring, SecurityManager

_load: Final = Loader(ChannelRow, ChannelNotFoundError, ChannelChangedError)

ChannelKind = Literal["email", "on_call", "webhook", "n8n", "slack", "teams", "syslog"]
MAX_CHANNELS: Final = 100
_SYSLOG_PORT: Final = 6514
_SIGNED: Final = frozenset({"webhook", "n8n"})


def target_place(channel_id: str) -> str:
    """Where a channel's target stands: sealed for one, it opens for no other."""
    return f"alert_channel:{channel_id}:target"


class Target(msgspec.Struct, frozen=True):
    """Where a channel leads: people's addresses, or an address that lets one in."""

    to: tuple[str, ...] = ()
    url: str = ""
    secret: bytes = b""
    token: str = ""
    ca_certificate: str | None = None

    @property
    def host(self) -> str:
        """What is told of the address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Of a syslog receiver."""
        return urlsplit(self.url).port or _SYSLOG_PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelDraft:
    """A way to somebody.

    Attributes:
        name: Unique in the tenant.
        kind: How it goes.
        to: Of mail: whom to.
        schedule_id: Of ``on_call``: by which schedule; mail goes to who it is at that moment.
        url: Of all else: where to; None: as it was. ``syslog://host:port`` is by TLS, always.
        token: Of ``n8n``: what its Webhook node asks for as a bearer token; None: as it was.
        ca_certificate: Of ``syslog``: the authority to trust, PEM; None: the system's.
        per_minute: How many messages go by it in a minute; what is more waits, and goes together.
        send_resolved: Whether who was told that an alert fires is told that it is over.
        fallback_id: By which other channel what this one cannot take goes; None: by none.
    """

    name: str
    kind: ChannelKind
    to: Sequence[str] = ()
    schedule_id: str | None = None
    url: str | None = None
    token: str | None = None
    ca_certificate: str | None = None
    per_minute: int = 30
    send_resolved: bool = True
    fallback_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel, as it is kept; of an address of the web the host alone is told.

    Attributes:
        version: Changes with every change; for ``If-Match``.
    """

    id: str
    name: str
    kind: ChannelKind
    host: str
    schedule_id: str | None
    per_minute: int
    send_resolved: bool
    fallback_id: str | None
    version: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class Channels:
    """A tenant's channels."""

    def __init__(self, security: SecurityManager, *, plain: bool) -> None:
        """``plain``: whether they may lead to addresses without TLS."""
        self._security = security
        self._plain = plain

    async def create(self, tx: Tx, draft: ChannelDraft) -> tuple[Channel, str | None]:
        """Make a way to somebody; and of a webhook the secret of its signatures, shown once.

        Raises:
            ChannelExistsError: The name is taken.
            ChannelInvalidError: It leads nowhere.
            TooManyChannelsError: There are a hundred.
        """
        count = sa.select(sa.func.count()).select_from(ChannelRow)
        if await tx.scalar(count.where(ChannelRow.tenant_id == tx.tenant_id)) >= MAX_CHANNELS:
            raise TooManyChannelsError(f"They are {MAX_CHANNELS}: delete one")
        secret = secrets.token_bytes(32) if draft.kind in _SIGNED else b""
        target = self._target(draft, Target(secret=secret))
        await _refuse_schedule(tx, draft)
        await self._refuse_fallback(tx, draft, None)
        keyring = await self._security.keyring(tx)
        channel_id = uuid7()
        row = {
            **_columns(tx, channel_id, draft, target, keyring),
            "tenant_id": tx.tenant_id,
            "id": channel_id,
            "revision": 1,
            "created_at": tx.now(),
            "created_by": tx.scope.actor,
        }
        if not await tx.insert_new(ChannelRow, row, conflict=["tenant_id", "name"]):
            raise ChannelExistsError().at("name")
        tx.audit("alert_channel.created", f"alert_channel:{channel_id}", name=draft.name)
        made = await self.get(tx, channel_id)
        return made, signing.shown(secret) if secret else None

    async def get(self, tx: ReadTx, channel_id: str) -> Channel:
        """One of them.

        Raises:
            ChannelNotFoundError: No such one in this tenant.
        """
        return _value(await _load(tx, channel_id))

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> Sequence[Channel]:
        """The newest first, one more than ``limit``."""
        query = sa.select(ChannelRow).where(ChannelRow.tenant_id == tx.tenant_id)
        return [
            _value(row) for row in await tx.scalars(newest(query, ChannelRow.id, limit, before_id))
        ]

    async def replace(
        self, tx: Tx, channel_id: str, draft: ChannelDraft, *, expected_version: str | None
    ) -> Channel:
        """Have it lead elsewhere, or otherwise; the secret of signatures stays.

        Raises:
            ChannelNotFoundError: No such one in this tenant.
            ChannelChangedError: Somebody changed it meanwhile.
            ChannelExistsError: Another one has the name.
            ChannelInvalidError: It leads nowhere, or is of another kind.
        """
        row = await _load(tx, channel_id, expected_version=expected_version, lock=True)
        if row.kind != draft.kind:
            raise ChannelInvalidError(f"It is of kind {row.kind}: make another one").at("kind")
        keyring = await self._security.keyring(tx)
        target = self._target(draft, _opened(row, keyring))
        await _refuse_schedule(tx, draft)
        await self._refuse_fallback(tx, draft, channel_id)
        try:
            async with tx.savepoint():
                for name, value in _columns(tx, channel_id, draft, target, keyring).items():
                    setattr(row, name, value)
                row.revision += 1
        except Integrity as exc:
            raise ChannelExistsError().at("name") from exc
        tx.audit("alert_channel.changed", f"alert_channel:{channel_id}", name=draft.name)
        return _value(row)

    async def remove(self, tx: Tx, channel_id: str, *, expected_version: str | None) -> None:
        """Have nobody told by it any more.

        Raises:
            ChannelNotFoundError: No such one in this tenant.
            ChannelChangedError: Somebody changed it meanwhile.
            ChannelInUseError: A policy or another channel leads to it.
        """
        row = await _load(tx, channel_id, expected_version=expected_version, lock=True)
        policies = await tx.scalars(sa.select(PolicyRow).where(PolicyRow.tenant_id == tx.tenant_id))
        using = [
            one.name
            for one in policies
            if any(channel_id in step["channels"] for step in one.steps)
        ]
        using += await tx.scalars(
            sa.select(ChannelRow.name).where(
                ChannelRow.tenant_id == tx.tenant_id, ChannelRow.fallback_id == channel_id
            )
        )
        if using:
            raise ChannelInUseError(f"By {', '.join(sorted(using))}")
        tx.audit("alert_channel.deleted", f"alert_channel:{channel_id}", name=row.name)
        await tx.session.delete(row)

    async def tested(self, tx: Tx, channel_id: str) -> None:
        """Write down that a test was sent by it.

        Raises:
            ChannelNotFoundError: No such one in this tenant.
        """
        row = await _load(tx, channel_id)
        tx.audit("alert_channel.tested", f"alert_channel:{channel_id}", name=row.name)

    async def open(self, tx: ReadTx, channel_id: str) -> tuple[Channel, Target] | None:
        """A channel and where it leads; None: it is gone."""
        row: ChannelRow | None = await tx.scalar(_load.one(tx, channel_id))
        if row is None:
            return None
        return _value(row), _opened(row, await self._security.keyring(tx))

    async def erase(self, tx: Tx, who: Subject) -> Bite:
        """A person is told by no channel any more."""
        if who.address is None:
            return Bite(0, {})
        rows: Sequence[ChannelRow] = await tx.scalars(
            sa.select(ChannelRow)
            .where(ChannelRow.tenant_id == tx.tenant_id, ChannelRow.kind == "email")
            .with_for_update()
        )
        keyring = await self._security.keyring(tx)
        changed = 0
        for row in rows:
            target = _opened(row, keyring)
            left = tuple(one for one in target.to if one.lower() != who.address.lower())
            if left != target.to:
                kept = msgspec.json.encode(msgspec.structs.replace(target, to=left))
                row.sealed_target = keyring.seal(target_place(row.id), kept)
                row.revision, changed = row.revision + 1, changed + 1
        return Bite(len(rows), {ChannelRow.__tablename__: changed})

    def _target(self, draft: ChannelDraft, before: Target) -> Target:
        if draft.kind == "on_call":
            return Target()
        if draft.kind == "email":
            if not draft.to:
                raise ChannelInvalidError("Say whom to").at("to")
            return Target(to=tuple(draft.to))
        url = before.url if draft.url is None else draft.url
        wanted = "syslog" if draft.kind == "syslog" else "https"
        plain = self._plain and wanted == "https"
        if not is_web_address(url, plain=plain, scheme=wanted):
            raise ChannelInvalidError(f"It is an {wanted} address without credentials").at("url")
        if draft.kind == "syslog":
            _check_certificate(draft.ca_certificate)
            return Target(url=url, ca_certificate=draft.ca_certificate)
        token = before.token if draft.token is None else draft.token
        return Target(url=url, secret=before.secret, token=token if draft.kind == "n8n" else "")

    async def _refuse_fallback(self, tx: ReadTx, draft: ChannelDraft, own_id: str | None) -> None:
        if draft.fallback_id is None:
            return
        other: ChannelRow | None = await tx.scalar(_load.one(tx, draft.fallback_id))
        if other is None or other.id == own_id:
            raise ChannelInvalidError("There is no such other channel").at("fallback_id")
        if other.fallback_id is not None:
            raise ChannelInvalidError("That channel has one itself").at("fallback_id")


async def _refuse_schedule(tx: ReadTx, draft: ChannelDraft) -> None:
    if draft.kind != "on_call":
        return
    known = sa.select(ScheduleRow.id).where(
        ScheduleRow.tenant_id == tx.tenant_id, ScheduleRow.id == draft.schedule_id
    )
    if await tx.scalar(known) is None:
        raise ChannelInvalidError("There is no such on-call schedule").at("schedule_id")


def _columns(
    tx: Tx, channel_id: str, draft: ChannelDraft, target: Target, keyring: Keyring
) -> dict[str, Any]:
    return {
        "name": draft.name,
        "kind": draft.kind,
        # Of an address the host alone: the rest of it is often what lets one in.
        "host": target.host,
        "sealed_target": keyring.seal(target_place(channel_id), msgspec.json.encode(target)),
        "per_minute": draft.per_minute,
        "send_resolved": draft.send_resolved,
        "fallback_id": draft.fallback_id,
        "schedule_id": draft.schedule_id if draft.kind == "on_call" else None,
        "updated_at": tx.now(),
        "updated_by": tx.scope.actor,
    }


def _check_certificate(pem: str | None) -> None:
    if pem is None:
        return
    try:
        trusting(pem)
    except ValueError:
        raise ChannelInvalidError("This is no certificate in PEM").at("ca_certificate") from None


def _opened(row: ChannelRow, keyring: Keyring) -> Target:
    return msgspec.json.decode(keyring.open(target_place(row.id), row.sealed_target), type=Target)


def _value(row: ChannelRow) -> Channel:
    return Channel(
        id=row.id,
        name=row.name,
        kind=row.kind,  # type: ignore[arg-type]  # drafts have no others
        host=row.host,
        per_minute=row.per_minute,
        send_resolved=row.send_resolved,
        fallback_id=row.fallback_id,
        schedule_id=row.schedule_id,
        version=str(row.revision),
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )
