"""Named keys: making, changing, rotating, deleting them. What they do is in ``_use.py``.

A key is known by its name, and for ever by its id: a name is free again once its key is purged,
and what the old one encrypted does not open with the new one.
"""

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, cast

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.errors import AppError
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.managers.security._format import VersionCipher
from backend.managers.security._material import (
    HARD_STOP,
    KeyType,
    make_material,
    public_key_of,
    version_from,
)
from backend.managers.security._openings import Opening, Openings
from backend.managers.security._ring import Keyring
from backend.managers.security.errors import (
    KeyChangedError,
    KeyDisabledError,
    KeyNameTakenError,
    KeyNotExportableError,
    KeyNotFoundError,
    KeyPolicyError,
    TooManyKeysError,
    VersionInUseError,
)
from backend.managers.security.models import KeyRow, KeyVersionRow

DEFAULT_BUDGET: Final = 2**31
HELD_DAYS: Final = 30
"""So long after somebody opened what a version made it counts as in use."""
KEY_NAME: Final = r"^[a-z][a-z0-9-]{0,62}[a-z0-9]$"
"""The pattern of names: small letters, digits and hyphens, 2 to 64 of them."""
MIN_BUDGET: Final = 1000
MIN_ROTATION_SECONDS: Final = 3600
MAX_KEYS: Final = 10_000
_SWEPT: Final = 20
_VERSIONS_GONE: Final = 500

Open = Callable[[ReadTx], Awaitable[Keyring]]


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be changed of a key.

    Attributes:
        rotate_after_seconds: Age of the newest version at which another takes its place; None:
            never by age.
        rotate_after_operations: Its operations at which that happens; None: never, and then a
            version that encrypts is refused at 2^32.
        min_decrypt_version: Ciphertexts, signatures and MACs of earlier versions do not hold.
        exportable: Whether its material may be asked for; not taken back once said.
        disabled: Whether it refuses everything that would use it.
    """

    rotate_after_seconds: int | None = None
    rotate_after_operations: int | None = DEFAULT_BUDGET
    min_decrypt_version: int = 1
    exportable: bool = False
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """A key as people see it; ``operations`` are those that its newest version may have done."""

    id: str
    name: str
    type: KeyType
    latest_version: int
    min_decrypt_version: int
    disabled: bool
    exportable: bool
    rotate_after_seconds: int | None
    rotate_after_operations: int | None
    operations: int
    created_at: datetime
    created_by: str
    rotated_at: datetime
    rotates_at: datetime | None
    delete_at: datetime | None
    revision: str


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """A version as people see it; no secret of it."""

    number: int
    operations: int
    created_at: datetime
    public_key: str | None
    usable: bool
    last_opened_at: datetime | None


@dataclass(frozen=True, slots=True)
class ExportedVersion:
    """A version's material, in base64: whoever has it needs the platform no more."""

    name: str
    type: KeyType
    number: int
    material: str
    public_key: str | None


class Keys:
    """A tenant's named keys.

    Args:
        open_keyring: The keyring of the transaction's tenant, which seals the material.
        openings: Who opens what keys made.
    """

    def __init__(self, open_keyring: Open, openings: Openings) -> None:
        self._open = open_keyring
        self._openings = openings

    async def create(self, tx: Tx, *, name: str, key_type: KeyType, policy: Policy) -> Key:
        """Make a key with its first version.

        Raises:
            KeyPolicyError: The policy is none for such a key.
            KeyNameTakenError: There is a key of this name.
            TooManyKeysError: The tenant has 10 000.
            SealedError: The tenant is sealed.
        """
        keyring = await self._open(tx)
        _refuse_policy(policy, key_type, latest=1)
        # Two that are made at once may pass the bound together by one; it bounds a list.
        if await tx.scalar(sa.select(sa.func.count(KeyRow.id))) >= MAX_KEYS:
            raise TooManyKeysError(f"A tenant may have {MAX_KEYS}.", limit=MAX_KEYS)
        now = tx.now()
        row = {
            "tenant_id": tx.tenant_id,
            "id": uuid7(),
            "name": name,
            "type": key_type,
            "latest_version": 1,
            **{one.name: getattr(policy, one.name) for one in fields(Policy)},
            "created_at": now,
            "created_by": tx.scope.actor,
            "rotated_at": now,
            "rotates_at": _rotates_at(now, policy.rotate_after_seconds),
            "delete_at": None,
            "revision": uuid7(),
        }
        if not await tx.insert_new(KeyRow, row, conflict=["tenant_id", "name"]):
            raise KeyNameTakenError(f"There is a key {name!r} already")
        await _add_version(tx, keyring, row["id"], key_type, 1)
        tx.audit("key.created", f"key:{row['id']}", name=name, type=key_type)
        tx.emit("key.created", f"key:{row['id']}", name=name, type=key_type)
        return await self.get(tx, name)

    async def list(self, tx: ReadTx, *, limit: int, before_id: str | None = None) -> Sequence[Key]:
        """Newest first, one more than ``limit``."""
        found = await tx.execute(newest(_with_operations(), KeyRow.id, limit, before_id))
        return [_value(row, operations) for row, operations in found.all()]

    async def get(self, tx: ReadTx, name: str) -> Key:
        """One key.

        Raises:
            KeyNotFoundError: No key of this name in this tenant.
        """
        found = (await tx.execute(_with_operations().where(KeyRow.name == name))).first()
        if found is None:
            raise KeyNotFoundError
        return _value(*found)

    async def versions(
        self, tx: ReadTx, name: str, *, limit: int, below: int | None = None
    ) -> Sequence[KeyVersion]:
        """Newest first, at most ``limit``.

        Raises:
            KeyNotFoundError: No key of this name in this tenant.
        """
        row = await load(tx, name)
        query = sa.select(KeyVersionRow).where(KeyVersionRow.key_id == row.id)
        if below is not None:
            query = query.where(KeyVersionRow.number < below)
        rows = await tx.scalars(query.order_by(KeyVersionRow.number.desc()).limit(limit))
        opened = await self._openings.last_by_version(tx, row.id, [one.number for one in rows])
        return [
            KeyVersion(
                one.number,
                one.operations,
                one.created_at,
                one.public_key,
                usable=one.number >= row.min_decrypt_version,
                last_opened_at=opened.get(one.number),
            )
            for one in rows
        ]

    async def openings(
        self, tx: ReadTx, name: str, *, limit: int, before_id: str | None = None
    ) -> Sequence[Opening]:
        """Who opens what the key made, one more than ``limit``.

        Raises:
            KeyNotFoundError: No key of this name in this tenant.
        """
        row = await load(tx, name)
        return await self._openings.list(tx, row.id, limit=limit, before_id=before_id)

    async def change(
        self,
        tx: Tx,
        name: str,
        policy: Policy,
        *,
        expected_revision: str | None = None,
        even_if_used: bool = False,
    ) -> Key:
        """Give a key another policy; it holds for what is done from then on, in every process.

        ``even_if_used`` raises the floor over what somebody opened in the last
        :data:`HELD_DAYS` days.

        Raises:
            KeyNotFoundError: No key of this name in this tenant.
            KeyChangedError: The revision is not the current one any more.
            KeyPolicyError: The key cannot have it, or it takes back that it may be exported.
            VersionInUseError: It raises the floor over what somebody opened lately.
        """
        row = await load(tx, name, locked=True)
        if expected_revision is not None and row.revision != expected_revision:
            raise KeyChangedError
        _refuse_policy(policy, row.type, latest=row.latest_version)
        if row.exportable and not policy.exportable:
            raise KeyPolicyError("Its material may have left: this is not taken back").at(
                "exportable"
            )
        if policy.min_decrypt_version > row.min_decrypt_version and not even_if_used:
            await self._refuse_used(tx, row, policy.min_decrypt_version)
        before = {one.name: getattr(row, one.name) for one in fields(Policy)}
        after = {one.name: getattr(policy, one.name) for one in fields(Policy)}
        if before != after:
            for field, value in after.items():
                setattr(row, field, value)
            row.rotates_at = _rotates_at(row.rotated_at, policy.rotate_after_seconds)
            row.revision = uuid7()
            changed = {field: after[field] for field in after if after[field] != before[field]}
            tx.audit("key.changed", f"key:{row.id}", name=name, changed=changed)
            tx.emit("key.changed", f"key:{row.id}", name=name, changed=sorted(changed))
        await tx.session.flush()
        return await self.get(tx, name)

    async def _refuse_used(self, tx: Tx, row: KeyRow, floor: int) -> None:
        callers = await self._openings.count_below(tx, row.id, floor, days=HELD_DAYS)
        if callers:
            raise VersionInUseError(
                f"In the last {HELD_DAYS} days {callers} opened what versions below {floor} made",
                callers=callers,
            )

    async def rotate(self, tx: Tx, name: str) -> Key:
        """Make a new version, which does all that is done from then on; earlier ones still open.

        Raises:
            KeyNotFoundError: No key of this name in this tenant.
            KeyDisabledError: It is to be deleted.
            SealedError: The tenant is sealed.
        """
        row = await load(tx, name, locked=True)
        if row.delete_at is not None:
            raise KeyDisabledError("The key is to be deleted")
        await self.add_version(tx, row, because="asked")
        return await self.get(tx, name)

    async def rotate_due(self, tx: Tx, key_id: str) -> bool:
        """Rotate a key whose newest version has come of age; whether it had.

        Raises:
            SealedError: The tenant is sealed: the key comes of age again when it is not.
        """
        row = await tx.scalar(sa.select(KeyRow).where(KeyRow.id == key_id).with_for_update())
        # Looked at again under the lock: another process, or a person, may have been here.
        if row is None or not is_due(row, tx.now()):
            return False
        await self.add_version(tx, row, because="age")
        return True

    async def add_version(self, tx: Tx, row: KeyRow, *, because: str) -> None:
        """Make the next version of a key whose row is locked.

        Raises:
            SealedError: The tenant is sealed.
        """
        keyring = await self._open(tx)
        number = row.latest_version + 1
        await _add_version(tx, keyring, row.id, cast("KeyType", row.type), number)
        row.latest_version, row.rotated_at = number, tx.now()
        if because != "operations":
            # Whoever has counted an operation of the version before may still do that one: under
            # load all that was computed would else be thrown away at each rotation, and again.
            row.revision = uuid7()
        row.rotates_at = _rotates_at(row.rotated_at, row.rotate_after_seconds)
        await tx.session.flush()
        told: dict[str, Any] = {"name": row.name, "version": number, "because": because}
        tx.audit("key.rotated", f"key:{row.id}", **told)
        tx.emit("key.rotated", f"key:{row.id}", **told)

    async def delete(self, tx: Tx, name: str, *, wait_days: int) -> Key:
        """Refuse every use of a key from now on, and destroy it once the days are over.

        Raises:
            KeyNotFoundError: No key of this name in this tenant.
            KeyDisabledError: It is to be deleted already.
        """
        row = await load(tx, name, locked=True)
        if row.delete_at is not None:
            raise KeyDisabledError("The key is to be deleted already")
        row.delete_at, row.revision = tx.now() + timedelta(days=wait_days), uuid7()
        told = {"name": name, "delete_at": row.delete_at.isoformat()}
        tx.audit("key.deleted", f"key:{row.id}", **told)
        tx.emit("key.deleted", f"key:{row.id}", **told)
        await tx.session.flush()
        return await self.get(tx, name)

    async def restore(self, tx: Tx, name: str) -> Key:
        """Call back a key that waits for its deletion.

        Raises:
            KeyNotFoundError: No key of this name in this tenant, or its days are over: some of its
                versions may be destroyed.
        """
        row = await load(tx, name, locked=True)
        if row.delete_at is not None and row.delete_at <= tx.now():
            raise KeyNotFoundError("Its days are over")
        if row.delete_at is not None:
            row.delete_at, row.revision = None, uuid7()
            tx.audit("key.restored", f"key:{row.id}", name=name)
            tx.emit("key.restored", f"key:{row.id}", name=name)
        await tx.session.flush()
        return await self.get(tx, name)

    async def export(self, tx: Tx, name: str, version: int | None = None) -> ExportedVersion:
        """The material of a version, the newest unless another is named.

        Raises:
            KeyNotFoundError: No key of this name, or it has no such version.
            KeyNotExportableError: It does not leave the platform.
            KeyDisabledError: It is disabled or to be deleted.
            SealedError: The tenant is sealed.
        """
        row = await load(tx, name)
        refuse_unused(row)
        if not row.exportable:
            raise KeyNotExportableError
        number = row.latest_version if version is None else version
        found = await tx.scalar(
            sa.select(KeyVersionRow).where(
                KeyVersionRow.key_id == row.id, KeyVersionRow.number == number
            )
        )
        if found is None:
            raise KeyNotFoundError(f"The key has no version {number}")
        material = (await self._open(tx)).open(context_of(row.id, number), found.wrapped)
        tx.audit("key.exported", f"key:{row.id}", name=name, version=number)
        tx.emit("key.exported", f"key:{row.id}", name=name, version=number)
        key_type = cast("KeyType", row.type)
        text = base64.b64encode(material).decode()
        return ExportedVersion(name, key_type, number, text, found.public_key)

    async def record_refusal(self, tx: Tx, name: str, operation: str, why: AppError) -> None:
        """Have the trail keep that a use of a key was refused: what was asked, and the code."""
        row = await tx.scalar(sa.select(KeyRow).where(KeyRow.name == name))
        if row is not None:
            tx.audit("key.refused", f"key:{row.id}", name=name, operation=operation, why=why.code)

    async def sweep(self, tx: Tx) -> int:
        """Destroy keys of all tenants whose waiting time is over, a bite of them.

        What they encrypted opens nowhere any more, but in a backup that has them as well.
        """
        rows: Sequence[KeyRow] = await tx.scalars(
            sa.select(KeyRow)
            .where(KeyRow.delete_at <= tx.now())
            .order_by(KeyRow.delete_at)
            .limit(_SWEPT)
            .with_for_update(skip_locked=True)
        )
        gone = 0
        for row in rows:
            bite = await tx.delete_some(
                KeyVersionRow,
                KeyVersionRow.tenant_id == row.tenant_id,
                KeyVersionRow.key_id == row.id,
                limit=_VERSIONS_GONE,
            )
            bite += await self._openings.drop(tx, row.tenant_id, row.id, limit=_VERSIONS_GONE)
            gone += bite
            if bite >= _VERSIONS_GONE:
                continue
            await tx.session.delete(row)
            gone += 1
            told = {"name": row.name, "versions": row.latest_version}
            tx.audit("key.purged", f"key:{row.id}", tenant_id=row.tenant_id, **told)
            tx.emit("key.purged", f"key:{row.id}", tenant_id=row.tenant_id, **told)
        return gone


def context_of(key_id: str, number: int) -> str:
    """The place of a version's material, for the tenant's keyring."""
    return f"key_version:{key_id}:{number}"


def is_due(row: KeyRow, now: datetime) -> bool:
    """Whether a key's newest version is to give its place to another by age."""
    return (
        row.rotates_at is not None
        and row.rotates_at <= now
        and not row.disabled
        and row.delete_at is None
    )


def refuse_unused(row: KeyRow) -> None:
    """Refuse what is disabled or on its way out.

    Raises:
        KeyDisabledError: It is.
    """
    if row.delete_at is not None:
        raise KeyDisabledError("The key is to be deleted")
    if row.disabled:
        raise KeyDisabledError("The key is disabled")


async def load(tx: ReadTx, name: str, *, locked: bool = False) -> KeyRow:
    """A key's row.

    Raises:
        KeyNotFoundError: No key of this name in this tenant.
    """
    query = sa.select(KeyRow).where(KeyRow.name == name)
    row: KeyRow | None = await tx.scalar(query.with_for_update() if locked else query)
    if row is None:
        raise KeyNotFoundError
    return row


async def _add_version(
    tx: Tx, keyring: Keyring, key_id: str, key_type: KeyType, number: int
) -> None:
    material = make_material(key_type)
    # Also that it can be used at all, before anything is encrypted with it.
    made = version_from(key_type, tx.tenant_id, key_id, number, material)
    if isinstance(made, VersionCipher):
        made.decrypt(bytes(made.encrypt(b"", b"")), b"")
    row = {
        "tenant_id": tx.tenant_id,
        "key_id": key_id,
        "number": number,
        "wrapped": keyring.seal(context_of(key_id, number), material),
        "public_key": public_key_of(key_type, material),
        "operations": 0,
        "created_at": tx.now(),
    }
    await tx.insert(KeyVersionRow, [row])


def _refuse_policy(policy: Policy, key_type: str, *, latest: int) -> None:
    seconds, operations = policy.rotate_after_seconds, policy.rotate_after_operations
    if seconds is not None and seconds < MIN_ROTATION_SECONDS:
        raise KeyPolicyError(f"At least {MIN_ROTATION_SECONDS} seconds").at("rotate_after_seconds")
    if operations is not None and operations < MIN_BUDGET:
        raise KeyPolicyError(f"At least {MIN_BUDGET} operations").at("rotate_after_operations")
    if operations is not None and operations > HARD_STOP and key_type == "aes256-gcm":
        raise KeyPolicyError(f"At most {HARD_STOP} operations").at("rotate_after_operations")
    if not 1 <= policy.min_decrypt_version <= latest:
        raise KeyPolicyError(f"The versions are 1 to {latest}").at("min_decrypt_version")


def _rotates_at(since: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else since + timedelta(seconds=seconds)


def _with_operations() -> sa.Select[KeyRow, int]:
    return sa.select(KeyRow, KeyVersionRow.operations).join(
        KeyVersionRow,
        sa.and_(
            KeyVersionRow.tenant_id == KeyRow.tenant_id,
            KeyVersionRow.key_id == KeyRow.id,
            KeyVersionRow.number == KeyRow.latest_version,
        ),
    )


def _value(row: KeyRow, operations: int) -> Key:
    return Key(
        **{one.name: getattr(row, one.name) for one in fields(Key) if one.name != "operations"},
        operations=operations,
    )
