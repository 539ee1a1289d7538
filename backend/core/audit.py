"""The audit trail: append-only rows, and the sequencer that links them into a chain per tenant.

A request only appends (its row commits with its change and takes no shared lock). Within a second
the sequencer gives committed rows a gap-free ``seq`` per tenant and the hash that links them:

* leaf bytes: the canonical JSON of :func:`leaf_bytes`, fixed from the first release;
* ``leaf_hash  = SHA-256(0x00 || leaf bytes)``, the leaf of RFC 6962 section 2.1, so that a
  Merkle tree can later stand over the same leaves;
* ``chain_hash = SHA-256(0x01 || previous chain_hash || seq as 8 bytes big-endian || leaf_hash)``,
  the first link following 32 zero bytes.

Triggers refuse every change of a row but the one that sets its seq for the first time, and every
insertion of one that has a place already.

What hashes cannot show is who wrote a row: anybody can compute them. So a record carries a MAC from
its insertion on, under a key that the database does not have (:class:`RecordMaker`), and so does
each head. The sequencer builds on nothing whose MAC does not hold: what was forged into the table
gets no number.

What a record says of a person is sealed under a key of that person's before it is hashed
(:class:`Personal`), so that it can be erased and every proof still holds.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.core.database import Base, Database, Id, LateRow, SystemScope, TenantOwned, Tx
from backend.core.events import EventHead, EventRecord, find_unnumbered, lock_heads, number
from backend.core.ids import uuid7
from backend.core.json_rows import BulkInsert, base_value

logger = logging.getLogger(__name__)

GENESIS: Final = bytes(32)
MAC_BYTES: Final = 32
_MAX_DATA_BYTES: Final = 8192
_SCALARS: Final = frozenset({str, int, bool, type(None)})
# Escapes what JSON requires and nothing else, as RFC 8785 does, and is far faster than json's own.
_CANONICAL: Final = msgspec.json.Encoder(order="sorted", enc_hook=base_value)
RUN: Final = "run"
"""Where a record's data says which run of which workflow asked for the act, if one said so."""
_LEAF: Final = ("id", "tenant_id", "at", "actor", "action", "target", "request_id", "data")
# What is forged waits for ever; so many are remembered, so that each is told of once.
_MAX_FORGED: Final = 1000
# As for events: SQLite takes an index without statistics for a large one.
_WAITING: Final = "INDEXED BY ix_audit_records_unsequenced"


def _named(name: str) -> sa.Computed:
    """What a record's data names of a run: who asked for the act, or else what it was about.

    In the words of both databases.
    """
    # Stored as far as SQLite is asked to make a table of it; a migration adds it as virtual there.
    return sa.Computed(f"coalesce(data -> '{RUN}' ->> '{name}', data ->> '{name}')", persisted=True)


def named_in(data: Mapping[str, Any], name: str) -> str | None:
    """The same of data that is at hand; ``name`` is ``workflow_id`` or ``execution_id``."""
    if not isinstance(data, dict):
        # Nobody of ours records such: the database may hold what somebody else made of it.
        return None
    run = data.get(RUN)
    found = run.get(name) if isinstance(run, dict) else None
    return found if found is not None else data.get(name)


SEALED: Final = "$sealed"
SUBJECT: Final = "$subject"
WITHHELD: Final = "$withheld"
"""Members of what stands in a record's data for something personal: the sealed value in base64, or
why there is none, and the subject whose key it is under. No room's own data has such names."""


@dataclass(frozen=True, slots=True)
class Personal:
    """A member of a record's data that tells of a person, and is sealed under that person's key.

    Attributes:
        subject: Whose: ``user:<id>``, or ``email:<address>`` of whom an address is all we know.
        value: What is told; readers see it until the subject is erased.
    """

    subject: str
    value: str

    @classmethod
    def address(cls, email: str) -> "Personal":
        """An e-mail address, which tells of whoever reads its mail."""
        return cls(f"email:{email}", email)

    @classmethod
    def about(cls, who: str, value: str) -> "Personal | str":
        """What tells of a person if ``who`` is one; of programs and strangers it is told openly.

        Where a program runs is no person's, and of who is not known nobody can ask to be forgotten.
        """
        return cls(who, value) if who.startswith("user:") else value


@dataclass(frozen=True, slots=True)
class SubjectSeal:
    """What seals for one subject.

    Attributes:
        name: The subject as records name it: of an address, a keyed hash.
        seal: Seals a value for a place; None: nobody may use the tenant's keys now.
    """

    name: str
    seal: Callable[[str, str], str] | None


SubjectSeals = Callable[[Tx, Sequence[str]], Awaitable[Mapping[str, SubjectSeal]]]
"""Gives what seals for each of these subjects of the transaction's tenant."""


def personal_place(record_id: str, path: str) -> str:
    """What a personal value is sealed for: moved to another record or member it does not open."""
    return f"audit.personal:{record_id}:{path}"


class AuditRecord(TenantOwned, Base):
    """One act: who did what to which thing, when, in which request.

    ``mac`` is None only of what was numbered before records had any
    (:attr:`AuditHead.unsealed_seq`). ``workflow_id`` and ``execution_id`` are what the data says of
    them, to search by: the database makes them of it, so they say nothing that the MAC is not over.
    """

    __tablename__ = "audit_records"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    data: Mapped[dict[str, Any]]
    request_id: Mapped[str]
    seq: Mapped[int | None]
    chain_hash: Mapped[bytes | None]
    mac: Mapped[bytes | None]
    workflow_id: Mapped[str | None] = mapped_column(_named("workflow_id"), deferred=True)
    execution_id: Mapped[str | None] = mapped_column(_named("execution_id"), deferred=True)

    revealed: ClassVar[Mapping[str, Any] | None] = None
    """The data with what is personal in the clear; None: it was not asked for."""

    @property
    def shown(self) -> Mapping[str, Any]:
        """The data for whoever may read the trail."""
        return self.data if self.revealed is None else self.revealed

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "seq"),
        sa.CheckConstraint("seq >= 1", name="seq"),
        # What the trail is searched by, each with the order of its pages.
        *(
            sa.Index(
                f"ix_audit_records_{column}",
                "tenant_id",
                column,
                "id",
                postgresql_ops={column: "text_pattern_ops"},
            )
            for column in ("action", "actor", "target", "request_id")
        ),
        # Most records name neither.
        *(
            sa.Index(
                f"ix_audit_records_{column}",
                "tenant_id",
                column,
                "id",
                postgresql_ops={column: "text_pattern_ops"},
                sqlite_where=sa.text(f"{column} IS NOT NULL"),
                postgresql_where=sa.text(f"{column} IS NOT NULL"),
            )
            for column in ("workflow_id", "execution_id")
        ),
        sa.Index(
            "ix_audit_records_unsequenced",
            "id",
            sqlite_where=sa.text("seq IS NULL"),
            postgresql_where=sa.text("seq IS NULL"),
        ),
    )


# No place in the chain among them, not even an empty one: the role that serves on PostgreSQL may
# insert none.
_ADD: Final = BulkInsert(
    AuditRecord, ("id", "at", "actor", "action", "target", "data", "request_id", "mac")
)


class AuditHead(TenantOwned, Base):
    """The last link of one tenant's chain; locked while the next ones are made.

    Attributes:
        unsealed_seq: Records up to this number are from before records had a MAC; None: nobody
            has numbered any since.
        mac: Over the three before it, under the tenant's key; None as long as ``unsealed_seq``.
        tree_size: So many records are leaves of the tree that stands over the chain.
        checkpoint_size: The tree's size when it was last signed.
    """

    __tablename__ = "audit_heads"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    seq: Mapped[int]
    chain_hash: Mapped[bytes]
    unsealed_seq: Mapped[int | None]
    mac: Mapped[bytes | None]
    tree_size: Mapped[int] = mapped_column(server_default="0")
    checkpoint_size: Mapped[int] = mapped_column(server_default="0")

    __table_args__ = (
        sa.CheckConstraint(
            "0 <= checkpoint_size AND checkpoint_size <= tree_size AND tree_size <= seq",
            name="order",
        ),
        # Whose tree is behind, and whose was not signed yet: a tick asks, across tenants.
        sa.Index(
            "ix_audit_heads_growing",
            "tenant_id",
            sqlite_where=sa.text("tree_size < seq"),
            postgresql_where=sa.text("tree_size < seq"),
        ),
        sa.Index(
            "ix_audit_heads_unsigned",
            "tenant_id",
            sqlite_where=sa.text("checkpoint_size < tree_size"),
            postgresql_where=sa.text("checkpoint_size < tree_size"),
        ),
    )


SEQUENCER: Final = Errand(
    "core.sequencer", tables_of(AuditRecord, AuditHead, EventRecord, EventHead)
)
"""Numbering and linking what all tenants' transactions left."""


@dataclass(frozen=True, slots=True)
class RecordMaker:
    """Makes the records of a process, and tells them from those that somebody else made.

    HMAC-SHA256 (RFC 2104) over the leaf's canonical bytes. A record is sealed when it is made, so
    who can write the database and has no key can neither alter one nor add one.

    Attributes:
        keys_of: A tenant's keys of 32 bytes; the first seals, any of them opens.
        subjects: What seals for people; None: records that tell of any cannot be made.
    """

    keys_of: Callable[[str], Sequence[bytes]]
    subjects: SubjectSeals | None = None
    _forged: set[str] = field(default_factory=set, init=False)
    _heads: set[str] = field(default_factory=set, init=False)

    def __call__(
        self, tx: Tx, action: str, target: str, tenant_id: str | None, data: dict[str, Any]
    ) -> tuple[Any, dict[str, Any] | LateRow]:
        """Build the row that :meth:`Tx.audit` appends to its transaction.

        One that tells of a person needs that person's key, which is looked up when the row is
        written: recording waits for nothing.

        Raises:
            TypeError, ValueError: The data has no one canonical form, or is over 8 KiB.
        """
        _refuse_uncanonical(data)
        # Most of what is recorded is flat, and tells of nobody.
        is_flat = all(value.__class__ in _SCALARS for value in data.values())
        subjects: frozenset[str] = frozenset() if is_flat else frozenset(_subjects_in(data))
        said = data
        if any(tx.scope.run):
            # Beside the bound: what is acceptable is so whoever asks.
            named = {f"{name}_id": text for name, text in tx.scope.run._asdict().items() if text}
            data = {**data, RUN: named}
        row: dict[str, Any] = {
            "id": uuid7(),
            "tenant_id": tenant_id or tx.tenant_id,
            "at": tx.now(),
            "actor": tx.scope.actor,
            "action": action,
            "target": target,
            "data": data,
            "request_id": tx.scope.request_id,
        }
        if subjects:
            _refuse_long(said)
            return _ADD, LateRow(row["tenant_id"], row, subjects, self._complete)
        return _ADD, self._finished(row, said)

    def _finished(self, row: dict[str, Any], said: Any = None) -> dict[str, Any]:
        key = self.keys_of(row["tenant_id"])[0]
        leaf = _canonical(row)
        # Escapes make six times of it at most, so few are written out to be measured.
        if said is not None and 6 * len(leaf) > _MAX_DATA_BYTES:
            _refuse_long(said)
        row["mac"] = _mac(key, _RECORD, leaf)
        return row

    async def _complete(self, tx: Tx, late: Sequence[LateRow]) -> list[dict[str, Any]]:
        """Seal what rows of the transaction's tenant tell of people, each with that one's key."""
        if self.subjects is None:
            raise RuntimeError("this database was given nothing that seals for people")
        wanted = sorted(frozenset().union(*(one.subjects for one in late)))
        seals = await self.subjects(tx, wanted)
        return [
            self._finished({**one.row, "data": _sealed(one.row["data"], one.row["id"], seals)})
            for one in late
        ]

    def holds(self, record: AuditRecord) -> bool:
        """Whether one of us made this record as it is."""
        return self._is_one(record.tenant_id, record.mac, _RECORD, leaf_bytes(record))

    def seal_head(self, head: AuditHead) -> None:
        """Put the MAC of what the head says now on it."""
        head.mac = _mac(self.keys_of(head.tenant_id)[0], _HEAD, _head_bytes(head))

    def holds_head(self, head: AuditHead) -> bool:
        """Whether one of us left the head as it is."""
        return self._is_one(head.tenant_id, head.mac, _HEAD, _head_bytes(head))

    def mac(self, tenant_id: str, use: str, data: bytes) -> bytes:
        """A MAC of something else about the tenant's trail; ``use`` says of what, in a word."""
        return _mac(self.keys_of(tenant_id)[0], _use(use), data)

    def holds_mac(self, tenant_id: str, use: str, data: bytes, mac: bytes) -> bool:
        """Whether :meth:`mac` gave this for the same arguments."""
        return self._is_one(tenant_id, mac, _use(use), data)

    def _is_one(self, tenant_id: str, mac: bytes | None, use: bytes, data: bytes) -> bool:
        return mac is not None and any(
            hmac.compare_digest(mac, _mac(key, use, data)) for key in self.keys_of(tenant_id)
        )

    @property
    def forged(self) -> frozenset[str]:
        """Ids of waiting records that were found to be none of ours."""
        return frozenset(self._forged)

    def put_aside(self, record: AuditRecord) -> None:
        """Remember a record that is none of ours, and tell the operator once."""
        if record.id not in self._forged and len(self._forged) < _MAX_FORGED:
            self._forged.add(record.id)
            logger.error(
                "audit_record_forged",
                extra={"tenant_id": record.tenant_id, "record": record.id},
            )

    def refuse_head(self, head: AuditHead) -> None:
        """Tell the operator once of a head that is none of ours."""
        if head.tenant_id not in self._heads:
            self._heads.add(head.tenant_id)
            logger.error(
                "audit_head_forged", extra={"tenant_id": head.tenant_id, "head_seq": head.seq}
            )


def _use(name: str) -> bytes:
    """Each use of a tenant's key says what it is for: no MAC of one thing is one of another."""
    return f"email-sender audit {name} v1\n".encode()


_RECORD: Final = _use("record")
_HEAD: Final = _use("head")


def _mac(key: bytes, use: bytes, data: bytes) -> bytes:
    return hmac.digest(key, use + data, "sha256")


def _head_bytes(head: AuditHead) -> bytes:
    unsealed = head.unsealed_seq if head.unsealed_seq is not None else 0
    return b"".join(
        (
            str(head.tenant_id).encode(),
            b"\n",
            head.seq.to_bytes(8, "big", signed=True),
            unsealed.to_bytes(8, "big", signed=True),
            head.chain_hash,
        )
    )


def _subjects_in(data: Any) -> list[str]:
    """Of whom the data tells; mostly of nobody."""
    if isinstance(data, Personal):
        return [data.subject]
    if isinstance(data, dict):
        return [found for value in data.values() for found in _subjects_in(value)]
    if isinstance(data, list | tuple):
        return [found for value in data for found in _subjects_in(value)]
    return []


def _sealed(data: Any, record_id: str, seals: Mapping[str, SubjectSeal], path: str = "") -> Any:
    """The data as it is recorded: what is personal, sealed for its place in this record."""
    if isinstance(data, Personal):
        who = seals[data.subject]
        if who.seal is None:
            return {SUBJECT: who.name, WITHHELD: "sealed"}
        return {SUBJECT: who.name, SEALED: who.seal(personal_place(record_id, path), data.value)}
    if isinstance(data, dict):
        return {
            key: _sealed(value, record_id, seals, f"{path}/{key}") for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [_sealed(one, record_id, seals, f"{path}/{at}") for at, one in enumerate(data)]
    return data


def with_personal(
    data: Any, replace: Callable[[Mapping[str, Any], str], Any], path: str = ""
) -> Any:
    """The data with each member that is sealed for a person replaced by what ``replace`` gives.

    It is given the member and its path in the data (a JSON pointer without escapes). Data that
    tells of nobody is returned as it is.
    """
    if isinstance(data, dict):
        if SUBJECT in data:
            return replace(data, path)
        made = {key: with_personal(value, replace, f"{path}/{key}") for key, value in data.items()}
        return made if any(made[key] is not data[key] for key in data) else data
    if isinstance(data, list | tuple):
        each = [with_personal(one, replace, f"{path}/{at}") for at, one in enumerate(data)]
        return each if any(new is not old for new, old in zip(each, data, strict=True)) else data
    return data


def _refuse_uncanonical(data: Any) -> None:
    """Only values with one canonical JSON form: floats have several, so they are refused."""
    if isinstance(data, dict):
        for key, value in data.items():
            if not (isinstance(key, str) and key.isascii()):
                msg = f"audit data key {key!r} is not ASCII text"
                raise TypeError(msg)
            if key.startswith("$"):
                msg = f"audit data key {key!r}: such names say what is sealed for whom"
                raise TypeError(msg)
            # Most of what is recorded is flat: no call for each of its values.
            if value.__class__ not in _SCALARS:
                _refuse_uncanonical(value)
    elif isinstance(data, list | tuple):
        for value in data:
            _refuse_uncanonical(value)
    elif not (data is None or isinstance(data, str | int | bool | Personal)):
        msg = f"audit data may not hold {type(data).__name__}"
        raise TypeError(msg)


def _refuse_long(data: Any) -> None:
    if len(json.dumps(data, default=_plain)) > _MAX_DATA_BYTES:
        msg = "audit data over 8 KiB"
        raise ValueError(msg)


def _plain(value: Personal) -> str:
    return value.value


def leaf_bytes(record: AuditRecord) -> bytes:
    """The canonical bytes of a record, version 1: the JSON canonicalisation of RFC 8785.

    Members: ``v`` (1), ``id``, ``tenant``, ``at`` (RFC 3339 UTC, six decimals, ``Z``), ``actor``,
    ``action``, ``target``, ``request_id``, ``data``. Sorted keys, no white space, UTF-8. Data holds
    no floats and ASCII keys only, so Python's encoder and RFC 8785 agree byte for byte.
    """
    return _canonical({name: getattr(record, name) for name in _LEAF})


def _canonical(row: Mapping[str, Any]) -> bytes:
    at: datetime = row["at"]
    leaf = {
        "v": 1,
        "id": str(row["id"]),
        "tenant": str(row["tenant_id"]),
        "at": at.astimezone(UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z",
        "actor": row["actor"],
        "action": row["action"],
        "target": row["target"],
        "request_id": row["request_id"],
        "data": row["data"],
    }
    return _CANONICAL.encode(leaf)


def leaf_hash(record: AuditRecord) -> bytes:
    """The record's leaf hash (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x00" + leaf_bytes(record)).digest()


def link(previous: bytes, seq: int, record: AuditRecord) -> bytes:
    """The chain hash of ``record`` as number ``seq`` after the link ``previous``."""
    return link_leaf(previous, seq, leaf_hash(record))


def link_leaf(previous: bytes, seq: int, leaf: bytes) -> bytes:
    """The chain hash of the record with this leaf hash as number ``seq``."""
    return hashlib.sha256(b"\x01" + previous + seq.to_bytes(8, "big") + leaf).digest()


async def sequence(database: Database, limit: int = 500, events: int = 2000) -> int:
    """Number up to ``limit`` committed audit records and ``events`` events; returns how many.

    On SQLite all other writers wait for a pass: larger ones would be felt. A record is hashed and
    changed by itself, events are numbered by one statement.

    One pass and one commit for both. Safe to run in several processes: the heads are locked before
    the rows are read again, so a second sequencer finds nothing left. A row that commits late is
    numbered late; order within a chain is the order of sequencing, and ``at`` keeps the order of
    acting. What is none of ours waits for ever, and so does a tenant whose head is none: it is told
    of in the log and by the gauge of what waits.
    """
    scope = SystemScope(SEQUENCER)
    maker = database.audit_row
    if not isinstance(maker, RecordMaker):
        raise TypeError("this database was given nothing that tells our records from forged ones")
    async with database.read(scope) as view:
        waiting = await view.scalars(
            sa.select(AuditRecord.tenant_id)
            .with_hint(AuditRecord, _WAITING, "sqlite")
            .where(*_waits(maker))
            .order_by(AuditRecord.id)
            .limit(limit)
        )
        unnumbered = await find_unnumbered(view, events)
    if not waiting and not unnumbered:
        return 0
    async with database.transaction(scope) as tx:
        linked = await _link_waiting(tx, maker, sorted(set(waiting)), limit) if waiting else 0
        return linked + (await number(tx, unnumbered, events) if unnumbered else 0)


async def sequence_own(tx: Tx, maker: RecordMaker, limit: int = 500) -> int:
    """Number what waits of the transaction's tenant now, for who cannot wait for the tick."""
    return await _link_waiting(tx, maker, [tx.tenant_id], limit)


def _waits(maker: RecordMaker) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [AuditRecord.seq.is_(None)]
    if maker.forged:
        conditions.append(AuditRecord.id.not_in(sorted(maker.forged)))
    return conditions


async def _link_waiting(tx: Tx, maker: RecordMaker, tenants: list[str], limit: int) -> int:
    heads = await lock_heads(tx, AuditHead, tenants, {"seq": 0, "chain_hash": GENESIS})
    sound = {tenant: head for tenant, head in heads.items() if await _can_build_on(tx, maker, head)}
    # Read after the heads are locked: what another sequencer linked meanwhile is gone from here.
    records = await tx.scalars(
        sa.select(AuditRecord)
        .with_hint(AuditRecord, _WAITING, "sqlite")
        .where(*_waits(maker), AuditRecord.tenant_id.in_(sound))
        .order_by(AuditRecord.id)
        .limit(limit)
    )
    ours = []
    for record in records:
        if maker.holds(record):
            ours.append(record)
        else:
            maker.put_aside(record)
    touched = {record.tenant_id for record in ours}
    for record in ours:
        head = sound[record.tenant_id]
        record.chain_hash = head.chain_hash = link(head.chain_hash, head.seq + 1, record)
        record.seq = head.seq = head.seq + 1
    for tenant in touched:
        maker.seal_head(sound[tenant])
    return len(ours)


async def _can_build_on(tx: Tx, maker: RecordMaker, head: AuditHead) -> bool:
    """Whether a head is what a sequencer of ours left, or the first that has no record at all."""
    if head.mac is not None:
        sound = maker.holds_head(head)
    else:
        # New: then nothing is numbered. Or from before there were MACs: then no record has one, of
        # which the two ends are looked at. Who took all of them away is found by the tree alone.
        numbered = [AuditRecord.tenant_id == head.tenant_id]
        if head.seq:
            numbered += [AuditRecord.seq.in_([1, head.seq]), AuditRecord.mac.is_not(None)]
        else:
            numbered.append(AuditRecord.seq >= 1)
        known = await tx.scalar(sa.select(AuditRecord.id).where(*numbered).limit(1))
        sound = known is None and (head.seq > 0 or head.chain_hash == GENESIS)
        if sound:
            head.unsealed_seq = head.seq
            maker.seal_head(head)
    if not sound:
        maker.refuse_head(head)
    return sound
