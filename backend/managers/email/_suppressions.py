"""Suppressions: addresses that a tenant never mails again, or not before a day.

An address is on the list once, whatever the case of its letters. What was said last by a person
holds: adding an address again replaces reason, comment and expiry. An import and a bounce leave
alone what is there, so that neither shortens what a person decided.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, time
from typing import Any, Final, Literal, cast

import sqlalchemy as sa

from backend.core.audit import Personal
from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.core.database import ReadTx, Tx
from backend.core.errors import placed
from backend.core.ids import uuid7
from backend.core.paging import Side, hidden, matches, newest_of
from backend.core.subject import Bite, Subject
from backend.kit.csv_table import CsvError, read_rows
from backend.kit.mime import InvalidAddressError, Mailbox, email_identity, parse_address
from backend.kit.turns import Turns
from backend.managers.email.errors import (
    SuppressionExpiryError,
    SuppressionImportError,
    SuppressionNotFoundError,
)
from backend.managers.email.models import EmailSettingsRow, SuppressionRow

Reason = Literal["manual", "import", "hard_bounce"]
MAX_COMMENT: Final = 500
MAX_IMPORT_ROWS: Final = 20_000
MAX_IMPORT_BYTES: Final = 4 * 2**20
SUPPRESSIONS: Final = Errand("email.suppressions", tables_of(SuppressionRow))
"""Forgetting suppressions that hold no more."""
_MAX_ERRORS: Final = 50
_SWEPT: Final = 1000
_IMPORTED: Final = 500
"""Rows a transaction: on SQLite all other writers wait for it."""
_CONFLICT: Final = ("tenant_id", "address_key")

Alias = Callable[[str, str], str]
"""Of a tenant and an address, what stands for it on the list once its owner was erased."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """One address that is not mailed; ``expires_at`` None: for ever."""

    id: str
    address: str
    reason: Reason
    comment: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file to import."""

    number: int
    mailbox: Mailbox
    comment: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: addresses that are new, and those that were on the list."""

    added: int = 0
    known: int = 0

    def __add__(self, other: "Imported") -> "Imported":
        return Imported(self.added + other.added, self.known + other.known)


class SuppressionList:
    """A tenant's list; it says nothing of entries that have expired."""

    def __init__(self, turns: Turns, alias: Alias) -> None:
        self._turns = turns
        self._alias = alias

    async def add(
        self, tx: Tx, *, address: str, comment: str = "", expires_at: datetime | None = None
    ) -> tuple[Suppression, bool]:
        """Put an address on the list, or replace what is said of it; whether it is new there.

        Raises:
            InvalidAddressError: It is no mailbox.
            SuppressionExpiryError: The expiry is over already.
        """
        with placed("address"):
            mailbox = parse_address(address)
        if expires_at is not None and expires_at <= tx.now():
            raise SuppressionExpiryError().at("expires_at")
        said = {"reason": "manual", "comment": comment, "expires_at": expires_at}
        row = _row(tx, tx.tenant_id, mailbox, **said)
        await _forget_expired(tx, [tx.tenant_id], [mailbox.identity])
        await tx.execute(
            sa.delete(SuppressionRow).where(
                SuppressionRow.tenant_id == tx.tenant_id,
                SuppressionRow.address_key == self._alias(tx.tenant_id, mailbox.identity),
            )
        )
        await tx.upsert(SuppressionRow, row, conflict=_CONFLICT, update=said)
        found = await self._load(tx, SuppressionRow.address_key == mailbox.identity)
        _tell_added(tx, row | {"id": found.id})
        return found, found.id == row["id"]

    async def get(self, tx: ReadTx, suppression_id: str) -> Suppression:
        """One entry.

        Raises:
            SuppressionNotFoundError: No such entry in this tenant, or it has expired.
        """
        return await self._load(tx, SuppressionRow.id == suppression_id)

    async def list(
        self,
        tx: ReadTx,
        *,
        limit: int,
        before_id: str | None = None,
        address: str | None = None,
        reason: Reason | None = None,
    ) -> Sequence[Suppression]:
        """Newest first, one more than ``limit``; ``address`` is exact, or a prefix with ``*``."""
        own, key = SuppressionRow.tenant_id == tx.tenant_id, SuppressionRow.id
        sides = []
        if reason is not None:
            column = SuppressionRow.reason
            check = hidden(column) == reason
            sides.append(Side(key, sa.and_(own, column == reason), check, column, in_order=True))
        if address is not None and address.strip() != "*":
            column = SuppressionRow.address_key
            condition, _ = matches(tx, column, address.strip().lower())
            check, _ = matches(tx, hidden(column), address.strip().lower())
            sides.append(Side(key, sa.and_(own, condition), check, column, in_order=False))
        query = sa.select(SuppressionRow).where(_holds(tx))
        rows = await tx.scalars(await newest_of(tx, query, key, sides, limit, before_id))
        return [_value(row) for row in rows]

    async def remove(self, tx: Tx, suppression_id: str) -> None:
        """Let an address be mailed again.

        Raises:
            SuppressionNotFoundError: No such entry in this tenant, or it has expired.
        """
        found = await self.get(tx, suppression_id)
        await tx.execute(sa.delete(SuppressionRow).where(SuppressionRow.id == found.id))
        # Of who was erased there is none any more, and nothing is told of them again.
        erased = found.address == self._alias(tx.tenant_id, found.address)
        address = found.address if erased else Personal.address(found.address)
        tx.audit("suppression.removed", f"suppression:{found.id}", address=address)
        tx.emit("suppression.removed", f"suppression:{found.id}", address=found.address)

    async def remove_address(self, tx: Tx, address: str) -> None:
        """As :meth:`remove`, for who knows the address.

        Raises:
            InvalidAddressError: It is no mailbox.
            SuppressionNotFoundError: It is not on the list.
        """
        key = parse_address(address).identity
        either = SuppressionRow.address_key.in_([key, self._alias(tx.tenant_id, key)])
        await self.remove(tx, (await self._load(tx, either)).id)

    async def read_file(self, tenant_id: str, data: bytes) -> Sequence[Line]:
        """The lines of a CSV file with the columns address, comment, expires_at.

        Reading 20 000 takes a second: not in a transaction, and a file of a tenant at a time.

        Raises:
            SuppressionImportError: Lines that cannot be read, by their numbers.
        """
        return await self._turns.run(tenant_id, lambda: _read_file(data))

    def in_parts(self, lines: Sequence[Line], now: datetime) -> Sequence[Sequence[Line]]:
        """The lines, each address once, in parts of which each is to be imported by itself.

        At least one part, and in none so many lines that writing them keeps others waiting.

        Raises:
            SuppressionImportError: Lines whose expiry is over already, by their numbers.
        """
        over = [one.number for one in lines if one.expires_at and one.expires_at <= now]
        _refuse([(number, "the expiry is over already") for number in over])
        once = list({one.mailbox.identity: one for one in lines}.values())
        return [once[at : at + _IMPORTED] for at in range(0, max(len(once), 1), _IMPORTED)]

    async def import_part(self, tx: Tx, lines: Sequence[Line]) -> Imported:
        """Put the addresses of a part on the list; those that are there stay as they are."""
        rows = {
            one.mailbox.identity: _row(
                tx,
                tx.tenant_id,
                one.mailbox,
                reason="import",
                comment=one.comment,
                expires_at=one.expires_at,
            )
            for one in lines
        }
        await _forget_expired(tx, [tx.tenant_id], rows)
        known = await self.find(tx, rows)
        fresh = [row for key, row in rows.items() if key not in known]
        await tx.insert_missing(SuppressionRow, fresh, conflict=_CONFLICT)
        counts: dict[str, Any] = {"added": len(fresh), "known": len(known)}
        tx.audit("suppression.imported", f"tenant:{tx.tenant_id}", **counts)
        tx.emit("suppression.imported", f"tenant:{tx.tenant_id}", **counts)
        return Imported(**counts)

    async def find(self, tx: ReadTx, addresses: Iterable[str]) -> Mapping[str, Reason]:
        """Those of the addresses that are suppressed, in lower case, and why; one statement.

        Whoever was erased is on the list by what stands for their address, and is not mailed.
        """
        keys = {one.lower() for one in addresses}
        stands_for = {self._alias(tx.tenant_id, key): key for key in keys} | {
            key: key for key in keys
        }
        found = await tx.execute(
            sa.select(SuppressionRow.address_key, SuppressionRow.reason).where(
                SuppressionRow.address_key.in_(stands_for), _holds(tx)
            )
        )
        return {stands_for[key]: reason for key, reason in found.all()}

    async def erase(self, tx: Tx, who: Subject) -> Bite:
        """Leave an address that must not be mailed by what stands for it, and say no more of it."""
        done = await tx.execute(
            sa.update(SuppressionRow)
            .where(
                SuppressionRow.tenant_id == tx.tenant_id,
                SuppressionRow.address_key.in_(keys_of(who)),
            )
            .values(address=who.alias, address_key=who.alias, comment="")
            .execution_options(synchronize_session=False)
        )
        count = cast("sa.CursorResult[Any]", done).rowcount
        return Bite(count, {SuppressionRow.__tablename__: count})

    async def sweep(self, tx: Tx) -> int:
        """Delete up to 1000 expired entries of all tenants; returns how many."""
        return await tx.delete_some(
            SuppressionRow, SuppressionRow.expires_at <= tx.now(), limit=_SWEPT
        )

    async def _load(self, tx: ReadTx, which: sa.ColumnElement[bool]) -> Suppression:
        row = await tx.scalar(sa.select(SuppressionRow).where(which, _holds(tx)))
        if row is None:
            raise SuppressionNotFoundError
        return _value(row)


async def suppress_bounced(tx: Tx, bounced: Sequence[tuple[str, str, str]]) -> None:
    """Put addresses that do not exist on the lists of those tenants that asked for it.

    Args:
        tx: Of the worker, across tenants.
        bounced: Tenant, address and the mail server's words.
    """
    tenants = {tenant_id for tenant_id, _, _ in bounced}
    asked = await tx.scalars(
        sa.select(EmailSettingsRow.tenant_id).where(
            EmailSettingsRow.tenant_id.in_(tenants), EmailSettingsRow.suppress_hard_bounces
        )
    )
    if not asked:
        return
    await _forget_expired(tx, asked, [address.lower() for _, address, _ in bounced])
    for tenant_id, address, words in bounced:
        if tenant_id in asked:
            row = _row(
                tx,
                tenant_id,
                Mailbox("", address),
                reason="hard_bounce",
                comment=words[:MAX_COMMENT],
                expires_at=None,
            )
            if await tx.insert_new(SuppressionRow, row, conflict=_CONFLICT):
                _tell_added(tx, row)


def keys_of(who: Subject) -> list[str]:
    """Under which an address may be kept: as it was given, and as log-ins fold it."""
    return [] if who.address is None else sorted({who.address.lower(), email_identity(who.address)})


def _row(tx: Tx, tenant_id: str, mailbox: Mailbox, **said: Any) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "id": uuid7(),
        "address": mailbox.address,
        "address_key": mailbox.identity,
        "created_at": tx.now(),
        "created_by": tx.scope.actor,
        **said,
    }


def _tell_added(tx: Tx, row: Mapping[str, Any]) -> None:
    address, reason = row["address"], row["reason"]
    subject, tenant_id = f"suppression:{row['id']}", row["tenant_id"]
    tx.audit(
        "suppression.added",
        subject,
        tenant_id=tenant_id,
        address=Personal.address(address),
        reason=reason,
    )
    tx.emit("suppression.added", subject, tenant_id=tenant_id, address=address, reason=reason)


def _value(row: SuppressionRow) -> Suppression:
    return Suppression(**{one.name: getattr(row, one.name) for one in fields(Suppression)})


def _holds(tx: ReadTx) -> sa.ColumnElement[bool]:
    return sa.or_(SuppressionRow.expires_at.is_(None), SuppressionRow.expires_at > tx.now())


async def _forget_expired(tx: Tx, tenants: Collection[str], keys: Iterable[str]) -> None:
    """Make room where an entry that holds no more waits for the sweep."""
    await tx.execute(
        sa.delete(SuppressionRow)
        .where(
            SuppressionRow.tenant_id.in_(tenants),
            SuppressionRow.address_key.in_(list(keys)),
            SuppressionRow.expires_at <= tx.now(),
        )
        .execution_options(synchronize_session=False)
    )


def _read_file(data: bytes) -> list[Line]:
    lines: list[Line] = []
    wrong: list[tuple[int, str]] = []
    try:
        for number, cells in read_rows(data, ("address", "comment", "expires_at")):
            if len(lines) == MAX_IMPORT_ROWS:
                raise SuppressionImportError(f"A file may have {MAX_IMPORT_ROWS} addresses")
            try:
                lines.append(_read_line(number, *cells))
            except (InvalidAddressError, ValueError) as error:
                wrong.append((number, getattr(error, "detail", str(error))))
    except CsvError as error:
        raise SuppressionImportError(str(error)) from None
    _refuse(wrong)
    return lines


def _read_line(number: int, address: str, comment: str, expires_at: str) -> Line:
    if len(comment) > MAX_COMMENT or "\x00" in comment:
        raise ValueError(f"a comment may have {MAX_COMMENT} characters, and no U+0000")
    return Line(number, parse_address(address), comment, _read_expiry(expires_at))


def _read_expiry(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        if len(text) == len("2027-01-31"):  # a day holds until its end
            at = datetime.combine(at.date(), time(23, 59, 59), UTC)
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("a time is written like 2027-01-31T12:00:00Z, or 2027-01-31") from None


def _refuse(wrong: Sequence[tuple[int, str]]) -> None:
    if wrong:
        raise SuppressionImportError(
            f"{len(wrong)} line(s) cannot be imported, so none was",
            errors=[
                {"pointer": f"/{number}", "detail": f"Line {number}: {why}"}
                for number, why in wrong[:_MAX_ERRORS]
            ],
        )
