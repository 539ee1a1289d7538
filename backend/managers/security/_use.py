"""What named keys do: their versions in memory, what they may still do, and what is recorded.

The key's row is asked for its revision in the transaction that records a use, so what a process
has in memory is used only while it is what the database says: a disabled key, a sealed tenant, a
raised floor holds for every process with the commit that says so, and not when a hint arrives.

Operations are counted in blocks. A process reserves a block of a version's budget by a row that is
committed, and then counts down in memory; of one key it reserves one block at a time, whatever the
number of callers. What it has not used when it ends is lost to the budget: the count may say more
than was done, never less.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, Final
from weakref import WeakValueDictionary

import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, ReadTx, Tx
from backend.managers.security._format import VersionCipher
from backend.managers.security._keys import Keys, context_of, load, refuse_unused
from backend.managers.security._material import (
    HARD_STOP,
    Signer,
    Version,
    version_from,
)
from backend.managers.security._ring import Keyring
from backend.managers.security.errors import (
    KeyExhaustedError,
    KeyTypeError,
    SealBrokenError,
    SealedError,
)
from backend.managers.security.models import KeyRow, KeyVersionRow, SealRow

_MOST_KEYS: Final = 4096
_MOST_VERSIONS: Final = 2048
_BLOCK: Final = 2**16
# Of a small budget a smaller part: what processes lose when they end must not use it up.
_BLOCKS_A_BUDGET: Final = 256

Open = Callable[[ReadTx], Awaitable[Keyring]]


@dataclass(slots=True)
class HeldKey:
    """What a process knows of a key, as of one revision of it."""

    tenant_id: str
    id: str
    name: str
    type: str
    revision: str
    latest_version: int
    min_decrypt_version: int
    versions: dict[int, Version] = field(default_factory=dict)
    left: int = 0

    def cipher(self, version: int | None = None) -> VersionCipher:
        """A version that encrypts: the newest, or one that a ciphertext names.

        Raises:
            KeyTypeError: The key is for something else.
            SealBrokenError: It has no such version, or not any more.
        """
        found = self.versions.get(self.latest_version if version is None else version)
        if found is None:
            raise SealBrokenError
        if not isinstance(found, VersionCipher):
            raise KeyTypeError(f"A key of the type {self.type} does not encrypt", type=self.type)
        return found

    def signer(self, types: Collection[str], version: int | None = None) -> Signer | None:
        """A version that signs, if there is such a one.

        Raises:
            KeyTypeError: The key is for something else.
        """
        if self.type not in types:
            raise KeyTypeError(f"A key of the type {self.type} does not do this", type=self.type)
        found = self.versions.get(self.latest_version if version is None else version)
        return None if isinstance(found, VersionCipher) else found

    def lacking(self, wanted: Collection[int]) -> set[int]:
        """Those of the versions that may be used, if there are such, and that are not at hand.

        Newer ones than the newest that is known as well: another process makes one without a
        word, when it has used up the budget of the one before.
        """
        floor = self.min_decrypt_version
        return {one for one in wanted if one >= floor and one not in self.versions}


class KeyUse:
    """This process's keys in memory.

    Args:
        keys: Where keys are made and rotated.
        open_keyring: The keyring of the transaction's tenant.
    """

    def __init__(self, keys: Keys, open_keyring: Open) -> None:
        self._keys = keys
        self._open = open_keyring
        self._held: OrderedDict[tuple[str, str], HeldKey] = OrderedDict()

        # A lock lives as long as somebody holds it or waits for it.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def find(self, tenant_id: str, name: str) -> HeldKey | None:
        """What is in memory; whether it still holds is asked by :meth:`record`."""
        return self._held.get((tenant_id, name))

    def forget(self, tenant_id: str, name: str) -> None:
        """Drop a key from memory."""
        self._held.pop((tenant_id, name), None)

    def forget_all(self) -> None:
        """Drop every key."""
        self._held.clear()

    def forget_tenants(self, tenant_ids: Collection[str]) -> None:
        """Drop all keys of these tenants from memory."""
        for place in [one for one in self._held if one[0] in tenant_ids]:
            del self._held[place]

    async def load(self, tx: ReadTx, name: str, wanted: Collection[int] = ()) -> HeldKey:
        """A key with its newest version and those that are wanted, kept in memory from then on.

        Of those that are wanted it has the ones that there are and that may be used.

        Raises:
            KeyNotFoundError: No key of this name in this tenant.
            KeyDisabledError: It is disabled, or to be deleted.
            SealedError: The tenant is sealed.
        """
        row = await load(tx, name)
        refuse_unused(row)
        keyring = await self._open(tx)
        place = (tx.tenant_id, name)
        held = self._held.get(place)
        if (
            held is None
            or held.revision != row.revision
            or held.latest_version != row.latest_version
        ):
            held = HeldKey(
                tx.tenant_id,
                row.id,
                name,
                row.type,
                row.revision,
                row.latest_version,
                row.min_decrypt_version,
            )
        elif len(held.versions) > _MOST_VERSIONS:
            # A key of a small budget has versions without number. Another object: what somebody
            # is opening with right now, in a thread perhaps, is left to them.
            held, before = replace(held, versions={}), held
            before.left = 0
        lacking = held.lacking({*wanted, row.latest_version})
        # What a header says fits into no column of the database, at worst.
        lacking = {one for one in lacking if one <= row.latest_version}
        found = await tx.execute(
            sa.select(KeyVersionRow.number, KeyVersionRow.wrapped).where(
                KeyVersionRow.key_id == row.id, KeyVersionRow.number.in_(lacking)
            )
        )
        for number, wrapped in found.all():
            material = keyring.open(context_of(row.id, number), wrapped)
            held.versions[number] = version_from(row.type, tx.tenant_id, row.id, number, material)
        self._held[place] = held
        self._held.move_to_end(place)
        if len(self._held) > _MOST_KEYS:
            self._held.popitem(last=False)
        return held

    @staticmethod
    def take(held: HeldKey, operations: int) -> bool:
        """Count operations down, if that many have been reserved; nothing waits in between."""
        if held.left < operations:
            return False
        held.left -= operations
        return True

    async def refill(
        self, database: Database, scope: Scope, held: HeldKey, operations: int
    ) -> None:
        """Have that many reserved, by one transaction at a time of a key: whoever waits shares.

        So what a process loses when it ends is a block, and less than what one asked for besides.
        Afterwards the operations may be there to be taken, unless others were faster, or the key
        has to be loaded anew.

        Raises:
            KeyNotFoundError, KeyDisabledError, KeyExhaustedError, SealedError: As
                :meth:`_reserve`.
        """
        async with self._turns.setdefault(held.id, asyncio.Lock()):
            is_known = self.find(held.tenant_id, held.name) is held
            if is_known and held.left < operations:
                async with database.transaction(scope) as tx:
                    await self._reserve(tx, held, operations)

    async def _reserve(self, tx: Tx, held: HeldKey, operations: int) -> None:
        """Reserve a block of the newest version's budget; when it is used up, rotate the key.

        What was reserved may be taken once this is committed. After a rotation, or another change
        of the key, nothing was: it has to be loaded anew.

        Raises:
            KeyNotFoundError: The key is gone.
            KeyDisabledError: It is disabled, or to be deleted.
            KeyExhaustedError: It may not rotate by itself, and has encrypted 2^32 messages.
            SealedError: The tenant is sealed.
        """
        row = await load(tx, held.name, locked=True)
        refuse_unused(row)
        if (row.revision, row.latest_version) != (held.revision, held.latest_version):
            tx.after_commit(lambda: self._drop(held))
            return
        version: KeyVersionRow = await tx.scalar(
            sa.select(KeyVersionRow)
            .where(KeyVersionRow.key_id == row.id, KeyVersionRow.number == row.latest_version)
            .with_for_update()
        )
        limit = _limit(row)
        if limit is not None and version.operations + operations > limit:
            if row.rotate_after_operations is None:
                raise KeyExhaustedError(f"Its version {row.latest_version} has encrypted {limit}")
            await self._keys.add_version(tx, row, because="operations")
            tx.after_commit(lambda: self._drop(held))
            return
        block = max(operations, _BLOCK)
        if limit is not None:
            share = max(operations, min(_BLOCK, limit // _BLOCKS_A_BUDGET))
            block = min(share, limit - version.operations)
        version.operations += block
        await tx.session.flush()

        def give() -> None:
            held.left += block

        tx.after_commit(give)

    async def record(self, tx: Tx, held: HeldKey, operation: str, **data: Any) -> bool:
        """Record a use in the trail, unless the key is not what it was: then nothing is, and False.

        For a transaction that is shared with others: each key is looked at once.

        Raises:
            SealedError: The tenant is sealed.
        """

        async def look() -> tuple[str | None, int, bool]:
            seal = sa.select(SealRow.tenant_id).where(SealRow.tenant_id == tx.tenant_id).exists()
            found = (
                await tx.execute(
                    sa.select(KeyRow.revision, KeyRow.latest_version, seal).where(
                        KeyRow.id == held.id
                    )
                )
            ).first()
            return (None, 0, False) if found is None else (found[0], found[1], bool(found[2]))

        revision, latest, sealed = await tx.once(f"security.key:{held.id}", look)
        if sealed:
            raise SealedError
        if revision != held.revision:
            return False
        if latest != held.latest_version:
            # The budget of its version was used up meanwhile, this operation included.
            self._drop(held)
        tx.audit("key.used", f"key:{held.id}", name=held.name, operation=operation, **data)
        return True

    def _drop(self, held: HeldKey) -> None:
        if self._held.get((held.tenant_id, held.name)) is held:
            self.forget(held.tenant_id, held.name)


def _limit(row: KeyRow) -> int | None:
    """How many operations a version may do at most: its budget, and for nonces a hard stop."""
    limits = [row.rotate_after_operations, HARD_STOP if row.type == "aes256-gcm" else None]
    return min((one for one in limits if one is not None), default=None)
