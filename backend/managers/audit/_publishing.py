"""Handing outside what was signed: each place by itself, at least once, in nobody's way.

What a place has is a bit of the checkpoint's row, set after the place has taken it: one that fails
is asked again, and no other place hears anything twice because of it. A checkpoint that all places
have is published. Nothing here is waited for by who signs.
"""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from backend.core.clock import system_clock
from backend.core.columns import tables_of
from backend.core.context import Errand, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import AppError, UnavailableError
from backend.core.ids import uuid7
from backend.kit.outbound import Outbound
from backend.managers.audit._objects import object_url, sign_put
from backend.managers.audit.errands import GROW
from backend.managers.audit.errors import CheckpointsWaitingError
from backend.managers.audit.models import AuditCheckpoint
from backend.managers.audit.settings import AuditSettings

logger = logging.getLogger(__name__)

WATCH_CHECKPOINTS: Final = Errand("audit.watch_checkpoints", tables_of(AuditCheckpoint))
"""Counting what was not handed outside yet."""
SendMail = Callable[[Tx, str, str, str], Awaitable[None]]
"""Queues a mail of the platform's own in a transaction: to, subject, text."""
# In the rows for ever: a bit is never given to another place.
BITS: Final[Mapping[str, int]] = {"file": 1, "url": 2, "mail": 4, "object": 8}
_COMBINATIONS: Final = range(2 ** len(BITS))
_HANDED_AT_ONCE: Final = 200
_LATE: Final = timedelta(minutes=10)
_MAIL_LEASE: Final = "audit.checkpoints_mailed"
_UNPUBLISHED: Final = AuditCheckpoint.published_at.is_(None)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where checkpoints go: ``take`` before the transaction that marks them, ``queue`` within."""

    bit: int
    late: timedelta
    take: Callable[[Sequence[AuditCheckpoint]], Awaitable[None]] | None = None
    queue: Callable[[Tx, Sequence[AuditCheckpoint]], Awaitable[bool]] | None = None


class Publishing:
    """The places of this installation."""

    def __init__(self, outbound: Outbound, settings: AuditSettings) -> None:
        self._outbound = outbound
        self._settings = settings
        self._send_mail: SendMail | None = None
        self._places: dict[str, _Place] = {}
        if settings.checkpoint_file is not None:
            self._places["file"] = _Place(BITS["file"], _LATE, take=self._append)
        if settings.checkpoint_url is not None:
            self._places["url"] = _Place(BITS["url"], _LATE, take=self._post)
        if settings.checkpoint_mail_to is not None:
            every = timedelta(seconds=settings.checkpoint_mail_seconds)
            self._places["mail"] = _Place(BITS["mail"], every + _LATE, queue=self._mail)
        if settings.checkpoint_object_url is not None:
            self._places["object"] = _Place(BITS["object"], _LATE, take=self._put)
        self._all = sum(place.bit for place in self._places.values())

    def mail_by(self, send_mail: SendMail) -> None:
        """Say how mail of the platform's own is queued, once that is known."""
        self._send_mail = send_mail

    @property
    def is_on(self) -> bool:
        """Whether there is any place outside."""
        return bool(self._places)

    async def publish(self, database: Database) -> int:
        """Hand each place what it does not have; returns how many checkpoints all places have now.

        At least once, in the order of signing: what a place took and was not yet marked so is
        handed to it again. A place that fails holds up no other one.
        """
        if not self._places:
            return 0
        await asyncio.gather(
            *(self._hand_out(database, name, place) for name, place in self._places.items())
        )
        async with database.transaction(SystemScope(GROW)) as tx:
            rows = await tx.scalars(_unpublished(self._all, has=True))
            for row in rows:
                row.published_at = tx.now()
        return len(rows)

    async def _hand_out(self, database: Database, name: str, place: _Place) -> None:
        try:
            async with database.read(SystemScope(GROW)) as view:
                rows = await view.scalars(_unpublished(place.bit, has=False))
            if not rows:
                return
            if place.take is not None:
                await place.take(rows)
            async with database.transaction(SystemScope(GROW)) as tx:
                if place.queue is not None and not await place.queue(tx, rows):
                    return
                for row in rows:
                    await tx.execute(
                        sa.update(AuditCheckpoint)
                        .where(
                            AuditCheckpoint.tenant_id == row.tenant_id,
                            AuditCheckpoint.size == row.size,
                            # Another place's mark that came in between is not undone: once more.
                            AuditCheckpoint.handed == row.handed,
                            AuditCheckpoint.published_at.is_(None),
                        )
                        .values(handed=row.handed | place.bit)
                        .execution_options(synchronize_session=False)
                    )
        except (AppError, OSError) as exc:
            # The reason alone: an address may hold a token.
            logger.warning(
                "audit_checkpoints_not_published",
                extra={"place": name, "reason": type(exc).__name__},
            )

    # --- places --------------------------------------------------------------------------------

    async def _append(self, rows: Sequence[AuditCheckpoint]) -> None:
        path = self._settings.checkpoint_file
        assert path is not None  # noqa: S101 - else it is no place
        await asyncio.to_thread(_append_lines, path, _lines(rows))

    async def _post(self, rows: Sequence[AuditCheckpoint]) -> None:
        url = self._settings.checkpoint_url
        assert url is not None  # noqa: S101 - else it is no place
        answer = await self._outbound.request(
            "POST",
            url.get_secret_value(),
            tenant_id=None,
            public_only=False,
            headers={"Content-Type": "application/json"},
            content=json.dumps({"checkpoints": _lines(rows)}).encode(),
        )
        if answer.status >= 300:
            raise UnavailableError(f"answered {answer.status}")

    async def _put(self, rows: Sequence[AuditCheckpoint]) -> None:
        """Put each as an object of its own; one that is put again is the same."""
        settings = self._settings
        assert settings.checkpoint_object_url is not None  # noqa: S101 - else it is no place
        for row in rows:
            content = row.note.encode()
            url = object_url(
                settings.checkpoint_object_url, row.tenant_id, f"{row.size:019d}.checkpoint"
            )
            headers = await sign_put(
                url,
                content,
                region=settings.checkpoint_object_region,
                access_key=settings.checkpoint_object_access_key,
                secret_key=settings.checkpoint_object_secret_key.get_secret_value(),
                now=system_clock(),
            )
            answer = await self._outbound.request(
                "PUT", url, tenant_id=None, public_only=False, headers=headers, content=content
            )
            if answer.status >= 300:
                raise UnavailableError(f"answered {answer.status}")

    async def _mail(self, tx: Tx, rows: Sequence[AuditCheckpoint]) -> bool:
        """Queue one mail with all of them, once a period over all processes.

        Queueing is an act on record, and its record the reason for the next checkpoint: without a
        period there would be no end to it.
        """
        to = self._settings.checkpoint_mail_to
        assert to is not None  # noqa: S101 - else it is no place
        if self._send_mail is None:
            raise UnavailableError("the platform has no mail server")
        period = 0.95 * self._settings.checkpoint_mail_seconds
        # Nobody renews it: who comes first in a period has it.
        if not await tx.take_lease(_MAIL_LEASE, uuid7(), period):
            return False
        subject = f"Audit checkpoints: {len(rows)}, of {self._settings.origin}"
        text = "".join(json.dumps(line) + "\n" for line in _lines(rows))
        await self._send_mail(tx, to, subject, text)
        return True

    # --- being watched -------------------------------------------------------------------------

    async def count_waiting(self, tx: ReadTx) -> Mapping[str, int]:
        """Checkpoints of all tenants that a place does not have yet, by place; needs an errand."""
        found = {}
        for name, place in self._places.items():
            query = sa.select(sa.func.count(AuditCheckpoint.created_at)).where(
                _UNPUBLISHED, _handed(place.bit, has=False)
            )
            found[name] = int(await tx.scalar(query))
        return found

    async def check(self, tx: ReadTx) -> str:
        """Say where checkpoints go; needs a system errand.

        Raises:
            CheckpointsWaitingError: A place lacks some that are ten minutes old; of mail, when the
                next one was due as long ago.
        """
        late = []
        for name, place in self._places.items():
            query = sa.select(AuditCheckpoint.created_at).where(
                _UNPUBLISHED,
                _handed(place.bit, has=False),
                AuditCheckpoint.created_at < tx.now() - place.late,
            )
            if await tx.scalar(query.limit(1)) is not None:
                late.append(name)
        if late:
            raise CheckpointsWaitingError(f"not handed out for minutes: {', '.join(late)}")
        return f"handed to {', '.join(self._places)}" if self._places else "handed nowhere"


def _handed(bits: int, *, has: bool) -> Any:
    return AuditCheckpoint.handed.in_(
        [each for each in _COMBINATIONS if (each & bits == bits) == has]
    )


def _unpublished(bits: int, *, has: bool) -> Any:
    """The oldest of those that are not published and that these places all have, or lack."""
    return (
        sa.select(AuditCheckpoint)
        .where(_UNPUBLISHED, _handed(bits, has=has))
        .order_by(AuditCheckpoint.created_at, AuditCheckpoint.id)
        .limit(_HANDED_AT_ONCE)
    )


def _lines(rows: Sequence[AuditCheckpoint]) -> list[dict[str, Any]]:
    return [
        {
            "tenant": row.tenant_id,
            "size": row.size,
            "created_at": row.created_at.isoformat(),
            "checkpoint": row.note,
        }
        for row in rows
    ]


def _append_lines(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Append lines so that they are on the disk before they count as handed out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
