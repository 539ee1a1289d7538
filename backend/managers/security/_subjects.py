"""Keys of people: what the audit trail tells of a person is under that person's own key.

A key is made when something is first told of its subject, wrapped by the tenant's data key like
anything that is sealed, and destroyed when the subject is erased. What it sealed is then unreadable
wherever it lies, and the bytes that were hashed and signed are the same as before.
"""

import base64
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.core.audit import SEALED, SUBJECT, SubjectSeal, personal_place, with_personal
from backend.core.database import ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.subject import ERASED
from backend.kit.mime import email_identity
from backend.managers.security import _envelope
from backend.managers.security._gcm import Gcm
from backend.managers.security._ring import Keyring
from backend.managers.security._root import RootKeys, label
from backend.managers.security.errors import SealedError
from backend.managers.security.models import SubjectKeyRow

CLOSED: Final = "sealed"
"""What they see while nobody may use the tenant's keys."""
_WITHHELD: Final = "withheld"
_EMAIL: Final = "email:"
_NAMED: Final = re.compile(r"email:[0-9a-f]{32}")
_NAME_DIGITS: Final = 32
_AT_ONCE: Final = 500
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A key that was destroyed: its id, and whose it was, as records name them."""

    id: str
    subject: str


class _Kept(NamedTuple):
    """A key as it is kept."""

    id: str
    subject: str
    wrapped: bytes


class Subjects:
    """The keys of one tenant's people, the transaction's.

    Args:
        keyring: Gives a tenant's data keys, which wrap these.
        root: What names of addresses are derived from.
    """

    def __init__(self, keyring: Callable[[ReadTx], Awaitable[Keyring]], root: RootKeys) -> None:
        self._keyring = keyring
        self._root = root

    def name(self, tenant_id: str, subject: str) -> str:
        """The subject as records name it: an address by HMAC-SHA256, 128 bits of it, in hex.

        Under a key that lies in no database, another for each tenant: who has a record can neither
        try addresses nor tell that two tenants know the same one. All spellings of an address
        have one name.
        """
        if not subject.startswith(_EMAIL) or _NAMED.fullmatch(subject):
            return subject
        key = self._root.derive(label("subject name", tenant_id))
        address = email_identity(subject.removeprefix(_EMAIL))
        return _EMAIL + hmac.digest(key, address.encode(), "sha256").hex()[:_NAME_DIGITS]

    async def seals(self, tx: Tx, subjects: Sequence[str]) -> Mapping[str, SubjectSeal]:
        """What seals for each of the subjects, whose keys are made if they have none.

        Of a sealed tenant nothing does: what would be told of a person is not recorded, and the
        act that it is told with is.
        """
        names = {subject: self.name(tx.tenant_id, subject) for subject in subjects}
        try:
            keyring = await self._keyring(tx)
        except SealedError:
            return {subject: SubjectSeal(name, None) for subject, name in names.items()}
        rows = await self._made(tx, keyring, sorted(set(names.values())))
        ciphers = {name: (_unwrapped(keyring, row), row.id) for name, row in rows.items()}
        return {
            subject: SubjectSeal(name, partial(_seal, *ciphers[name]))
            for subject, name in names.items()
        }

    async def reveal(
        self, tx: ReadTx, told: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> list[Mapping[str, Any]]:
        """The data of records, given with their ids, as whoever may read the trail sees it.

        Each personal value in the clear, or ``erased``, or ``sealed`` while the tenant is. One
        statement, and none if nobody is told of.
        """
        names: set[str] = set()

        def note(member: Mapping[str, Any], _: str) -> Mapping[str, Any]:
            names.add(str(member[SUBJECT]))
            return member

        for _, data in told:
            with_personal(data, note)
        if not names:
            return [data for _, data in told]
        rows = await _rows(tx, sorted(names))
        keys: dict[str, tuple[str, Gcm]] = {}
        closed = False
        if rows:
            try:
                keyring = await self._keyring(tx)
            except SealedError:
                closed = True
            else:
                keys = {name: (row.id, _unwrapped(keyring, row)) for name, row in rows.items()}

        def shown(record_id: str, member: Mapping[str, Any], path: str) -> str:
            if SEALED not in member:
                return _WITHHELD
            if closed:
                return CLOSED
            known = keys.get(str(member[SUBJECT]))
            if known is None:
                return ERASED
            key_id, cipher = known
            sealed = base64.b64decode(member[SEALED])
            # Who was erased and came back has another key, which is not asked.
            if _envelope.key_id_of(sealed) != key_id:
                return ERASED
            return _envelope.unseal(cipher, personal_place(record_id, path), sealed).decode()

        return [with_personal(data, partial(shown, record_id)) for record_id, data in told]

    async def erase(self, tx: Tx, names: Sequence[str]) -> list[SubjectKey]:
        """Destroy the keys of these subjects, by the names that records have; those there were.

        Whoever comes second waits, and finds none. A value that is being sealed at this moment, in
        a transaction that has read the key, is as unreadable as what was sealed before.
        """
        which = (SubjectKeyRow.tenant_id == tx.tenant_id, SubjectKeyRow.subject.in_(names))
        rows = await tx.scalars(
            sa.select(SubjectKeyRow)
            .where(*which)
            .order_by(SubjectKeyRow.subject)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        gone = [SubjectKey(row.id, row.subject) for row in rows]
        if gone:
            # SQLite writes over what it deletes: its connections say so.
            for row in rows:
                await tx.session.delete(row)
            await tx.session.flush()
        return gone

    async def _made(self, tx: Tx, keyring: Keyring, names: Sequence[str]) -> dict[str, _Kept]:
        """The keys, with those that were missing."""
        for _ in range(_TRIES):
            rows = await _rows(tx, names)
            missing = [name for name in names if name not in rows]
            if not missing:
                return rows
            # In order, so that two who make the same keys do not wait for each other.
            for name in missing:
                await tx.insert_new(
                    SubjectKeyRow,
                    {
                        "tenant_id": tx.tenant_id,
                        "subject": name,
                        "id": uuid7(),
                        "wrapped": keyring.seal(
                            subject_place(name), AESGCM.generate_key(bit_length=256)
                        ),
                        "created_at": tx.now(),
                    },
                    conflict=["tenant_id", "subject"],
                )
        raise RuntimeError("a subject's key is erased as often as it is made")


async def _rows(tx: ReadTx, names: Sequence[str]) -> dict[str, _Kept]:
    found: dict[str, _Kept] = {}
    for at in range(0, len(names), _AT_ONCE):
        # By columns: what a session remembers of a row may have been erased since.
        rows = await tx.execute(
            sa.select(SubjectKeyRow.id, SubjectKeyRow.subject, SubjectKeyRow.wrapped).where(
                SubjectKeyRow.tenant_id == tx.tenant_id,
                SubjectKeyRow.subject.in_(names[at : at + _AT_ONCE]),
            )
        )
        found |= {row.subject: _Kept(*row) for row in rows}
    return found


def subject_place(subject: str) -> str:
    """What a subject's key is sealed for."""
    return f"subject_key:{subject}"


def _unwrapped(keyring: Keyring, row: _Kept) -> Gcm:
    return Gcm(keyring.open(subject_place(row.subject), row.wrapped))


def _seal(cipher: Gcm, key_id: str, place: str, value: str) -> str:
    sealed = _envelope.seal(cipher, key_id, place, value.encode())
    return base64.b64encode(sealed).decode()
