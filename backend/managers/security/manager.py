"""Rules for keys and sealed data."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.core.clock import monotonic as system_monotonic
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, DatabaseUnavailableError, ReadTx, Tx
from backend.core.errors import AppError
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.kit.turns import Turns
from backend.managers.security._keys import Keys
from backend.managers.security._openings import Openings
from backend.managers.security._retirement import SINK, RetirementSigner
from backend.managers.security._rewrap import ACTOR, Rewrap, Rewraps
from backend.managers.security._ring import Keyring
from backend.managers.security._root import RootKeys, label
from backend.managers.security._rotation import KEYS_GONE, KeyVersion, Rotation, keys_of, sealing
from backend.managers.security._seals import Seals, pause
from backend.managers.security._subjects import Subjects
from backend.managers.security._use import KeyUse
from backend.managers.security.errands import DUE, KEYS_DUE
from backend.managers.security.errors import KeyUnavailableError
from backend.managers.security.models import DataKey, KeyRow, RewrapRow, SealRow
from backend.managers.security.settings import SecuritySettings

logger = logging.getLogger(__name__)

ROOT_CHANGED: Final = "root_key"
"""The signal that the root key's source says something else."""
_REWRAPPED: Final = 200
_DUE_AT_ONCE: Final = 200
_PATIENCE_SECONDS: Final = 5.0
_READ_AGAIN_SECONDS: Final = 5.0


class _Cached(NamedTuple):
    """A keyring, and the moment from which on it may be another."""

    keyring: Keyring
    good_until: datetime


class SecurityManager:
    """Data keys under a root key, and named keys under those.

    Args:
        root_key: 32 bytes, or the root keys with their source.
        settings: How long keys are used.
        turns: Where costly work on many values is done; None: at once.
        monotonic: Seconds that only pass.

    Attributes:
        keys: Named keys, as they are made and changed.
        use: What they do, in this process.
        openings: Who opens what they made.
        seals: Tenants whose keys nobody uses.
        rotation: Replaces data keys.
        rewraps: Seals anew what older ones sealed.
        subjects: Keys of people.

    Raises:
        ValueError: The root key has another size.
    """

    def __init__(
        self,
        root_key: bytes | RootKeys,
        settings: SecuritySettings | None = None,
        *,
        turns: Turns | None = None,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self.root = root_key if isinstance(root_key, RootKeys) else RootKeys([root_key])
        self.turns = turns
        self._settings = settings or SecuritySettings()
        self._keyrings: dict[str, _Cached] = {}
        self.seals = Seals(self._forget_all, monotonic=monotonic)
        self.openings = Openings()
        self.keys = Keys(self.keyring, self.openings)
        self.use = KeyUse(self.keys, self.keyring)
        self.subjects = Subjects(self.keyring, self.root)
        self.rotation = Rotation(self._settings, self._new_key)
        self.rewraps = Rewraps(self, self._settings, RetirementSigner(self.root))

    def audit_keys(self, tenant_id: str) -> tuple[bytes, ...]:
        """The keys under which a tenant's audit records are sealed, 32 bytes each, newest first.

        They are stored nowhere: who has the database has none of them.
        """
        return (self.root.derive(label("audit record", tenant_id)),)

    def audit_signing_seed(self, tenant_id: str) -> bytes:
        """The Ed25519 seed (RFC 8032) that signs checkpoints of a tenant's audit trail."""
        return self.root.derive(label("audit checkpoint", tenant_id))

    @property
    def sink_key(self) -> bytes:
        """What seals the copies of the local mail sink."""
        return self.root.derive(SINK)

    @property
    def callback_key(self) -> bytes:
        """What signs the addresses at which jobs are answered from elsewhere."""
        return self.root.derive(label("job callback", PLATFORM_TENANT))

    async def keyring(self, tx: ReadTx) -> Keyring:
        """The keyring of the transaction's tenant; made at first need in a write transaction.

        Raises:
            SealedError: The tenant is sealed.
            KeyUnavailableError: The root key is not the one that wrapped it, or a read
                transaction asked before any write had made a key.
        """
        tenant_id = tx.tenant_id
        await self.seals.refuse(tx)
        cached = self._keyrings.get(tenant_id)
        if cached is not None and tx.now() < cached.good_until:
            return cached.keyring
        rows = await keys_of(tx)
        if not rows:
            if not isinstance(tx, Tx):
                raise KeyUnavailableError
            await self._create(tx, tenant_id)
            rows = await keys_of(tx)
        keyring, good_until = self._cacheable(rows, tx.now())

        def keep() -> None:
            self._keyrings[tenant_id] = _Cached(keyring, good_until)

        if isinstance(tx, Tx):
            # Not before the commit: another act of the same one may have made the key, and after
            # a rollback it would seal data nobody can open.
            tx.after_commit(keep)
        else:
            keep()
        return keyring

    async def rotate_data_key(self, tx: Tx) -> KeyVersion:
        """Make the next version of the tenant's data key, and seal everything anew with it.

        It opens at once and seals after twice ``keyring_seconds``; until then it is the next one
        for whoever asks again. A walk that is paused stays so.
        """
        if not await keys_of(tx):
            await self._create(tx, tx.tenant_id)
        made, is_new = await self.rotation.rotate(tx)
        if is_new:
            await self.rewraps.follow(tx)
        return made

    async def start_rewrap(self, tx: Tx) -> Rewrap:
        """Seal everything anew that is not under the newest version, from the beginning."""
        if not await keys_of(tx):
            await self._create(tx, tx.tenant_id)
        return await self.rewraps.start(tx)

    async def rotate_data_keys_due(self, database: Database) -> None:
        """Replace data keys that are old enough, and begin the walks that are missing.

        Those are of tenants that never had one, with what may stand in the clear from before, and
        those whose old versions could not go when the last one ended. Idempotent.
        """
        async with database.read(SystemScope(KEYS_DUE, actor=ACTOR)) as view:
            keys = await view.scalars(
                sa.select(DataKey).order_by(DataKey.tenant_id, DataKey.version)
            )
            walks = await view.execute(sa.select(RewrapRow.tenant_id, RewrapRow.state))
            states: dict[str, str] = dict(walks.all())
            now = view.now()
        by_tenant: dict[str, list[DataKey]] = {}
        for key in keys:
            by_tenant.setdefault(key.tenant_id, []).append(key)
        act: Callable[[Tx], Awaitable[object]]
        for tenant_id, rows in by_tenant.items():
            state = states.get(tenant_id)
            if self.rotation.is_due(rows[-1], now):
                act = self.rotate_data_key
            elif state is None or (
                state == "finished" and self.rewraps.has_retirable(tenant_id, rows, now)
            ):
                act = self.start_rewrap
            else:
                continue
            try:
                async with database.transaction(Scope(ACTOR, tenant_id)) as tx:
                    if await keys_of(tx):  # its tenant may have left since
                        await act(tx)
            except DatabaseUnavailableError:
                raise
            except AppError as exc:
                # One tenant's trouble is not the others'.
                told = {"tenant_id": tenant_id, "cause": exc.code}
                logger.warning("data_key_not_rotated", extra=told)

    async def purge_keys(self, tx: Tx) -> int:
        """Destroy all keys of the transaction's tenant, which leaves; returns how many there were.

        What they sealed cannot be opened any more, wherever a copy of it lies, but in a backup
        that has the keys as well. Every process drops them from its memory.
        """
        gone = await tx.delete_some(DataKey, DataKey.tenant_id == tx.tenant_id, limit=1000)
        if gone:
            tx.signal(KEYS_GONE, tx.tenant_id)
        return gone

    def forget(self, tenant_id: str) -> None:
        """Drop a tenant's keys from memory: whoever needs one asks the database."""
        self._forget_all((tenant_id,))

    def _forget_all(self, tenant_ids: Collection[str]) -> None:
        for tenant_id in tenant_ids:
            self._keyrings.pop(tenant_id, None)
        self.use.forget_tenants(tenant_ids)

    async def check_keys(self, tx: ReadTx) -> int:
        """Try the root key on every tenant's data keys; how many it opens. Needs a system errand.

        Raises:
            KeyUnavailableError: It does not open one of them: it is another installation's.
        """
        rows: Sequence[DataKey] = await tx.scalars(sa.select(DataKey).order_by(DataKey.id))
        if rows:
            self._unwrapped(rows)
        return len(rows)

    async def rewrap_data_keys(self, tx: Tx) -> int:
        """Wrap up to 200 data keys with the current root key that another one has wrapped.

        Needs the errand of rotating it; repeated until it returns 0. A crash in between loses
        nothing, as long as both root keys are configured.

        Raises:
            KeyUnavailableError: One of them opens with no root key that is configured.
        """
        rows: Sequence[DataKey] = await tx.scalars(
            sa.select(DataKey)
            .where(self._is_old())
            .order_by(DataKey.id)
            .limit(_REWRAPPED)
            .with_for_update()
        )
        for row in rows:
            context = _wrap_context(row.tenant_id)
            row.wrapped = self.root.wrap(row.id, context, self.root.unwrap(context, row.wrapped))
            row.root_id = self.root.current_id
            tx.audit(
                "data_key.rewrapped",
                f"data_key:{row.id}",
                tenant_id=row.tenant_id,
                root_key=row.root_id,
            )
        return len(rows)

    async def count_old_data_keys(self, tx: ReadTx) -> int:
        """How many data keys are not wrapped with the current root key; needs the errand."""
        count: int = await tx.scalar(sa.select(sa.func.count(DataKey.id)).where(self._is_old()))
        return count

    def announce_root(self, tx: Tx) -> None:
        """Have every process read the root key's source again."""
        tx.signal(ROOT_CHANGED)

    async def rotate_due(self, database: Database) -> int:
        """Rotate keys that have come of age, each in a transaction of its own; how many were.

        Of sealed tenants none: they come of age when their tenants are unsealed.
        """
        rotated = 0
        async with database.read(SystemScope(DUE)) as view:
            due = await view.execute(
                sa.select(KeyRow.tenant_id, KeyRow.id)
                .where(*_overdue(view))
                .order_by(KeyRow.rotates_at)
                .limit(_DUE_AT_ONCE)
            )
        for tenant_id, key_id in due.all():
            try:
                async with database.transaction(Scope("system", tenant_id)) as tx:
                    rotated += await self.keys.rotate_due(tx, key_id)
            except DatabaseUnavailableError:
                raise
            except AppError as exc:
                # One tenant's trouble is not the others'.
                logger.warning("key_not_rotated", extra={"key": key_id, "cause": exc.code})
        return rotated

    async def count_overdue(self, tx: ReadTx) -> Mapping[str, int]:
        """Keys that have come of age and were not rotated; needs the errand."""
        count = await tx.scalar(sa.select(sa.func.count(KeyRow.id)).where(*_overdue(tx)))
        return {"": count}

    async def count_sealed(self, tx: ReadTx) -> Mapping[str, int]:
        """Tenants that are sealed; needs the errand."""
        return {"": await tx.scalar(sa.select(sa.func.count(SealRow.tenant_id)))}

    async def sweep_keys(self, tx: Tx) -> int:
        """Destroy keys whose waiting time is over; needs the errand."""
        return await self.keys.sweep(tx)

    @asynccontextmanager
    async def serving(self, database: Database) -> AsyncIterator[None]:
        """Know of seals, and of another root key, while the block lasts."""
        stopping = asyncio.Event()
        tasks = [
            asyncio.create_task(self.seals.watch(database, stopping)),
            asyncio.create_task(self._watch_root(stopping)),
            asyncio.create_task(self.openings.keep_writing(database, stopping)),
        ]
        try:
            yield
        finally:
            # A look that is cancelled in the middle may leave its connection to nobody.
            stopping.set()
            await asyncio.wait(tasks, timeout=_PATIENCE_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_root(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await pause(stopping)
            # It may be a command that takes its time.
            if self.root.is_stale and not await asyncio.to_thread(self.root.refresh):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), _READ_AGAIN_SECONDS)

    async def _create(self, tx: Tx, tenant_id: str) -> None:
        row = self._new_key(tenant_id, 1, tx.now())
        if await tx.insert_new(DataKey, row, conflict=["tenant_id", "version"]):
            tx.audit("data_key.created", f"data_key:{row['id']}", tenant_id=tenant_id, version=1)

    def _new_key(self, tenant_id: str, version: int, now: datetime) -> dict[str, Any]:
        """The row of a fresh key, which seals from its making on."""
        key_id = uuid7()
        plain = AESGCM.generate_key(bit_length=256)
        return {
            "id": key_id,
            "tenant_id": tenant_id,
            "version": version,
            "wrapped": self.root.wrap(key_id, _wrap_context(tenant_id), plain),
            "root_id": self.root.current_id,
            "created_at": now,
            "seals_from": None,
        }

    def _cacheable(self, rows: Sequence[DataKey], now: datetime) -> tuple[Keyring, datetime]:
        """The keyring of these rows as it is now, and until when it may be used.

        A version that does not seal yet is opened by: other processes seal with it before this one
        has looked again.
        """
        good_until = now + timedelta(seconds=self._settings.keyring_seconds)
        coming = [row.seals_from for row in rows if row.seals_from and row.seals_from > now]
        return self._unwrapped(rows, seals_with=sealing(rows, now).id), min([good_until, *coming])

    def _unwrapped(self, rows: Sequence[DataKey], *, seals_with: str | None = None) -> Keyring:
        return Keyring(
            [(row.id, self.root.unwrap(_wrap_context(row.tenant_id), row.wrapped)) for row in rows],
            seals_with=seals_with,
        )

    def _is_old(self) -> sa.ColumnElement[bool]:
        return sa.or_(DataKey.root_id.is_(None), DataKey.root_id != self.root.current_id)


def _overdue(tx: ReadTx) -> tuple[sa.ColumnElement[bool], ...]:
    sealed: Any = sa.select(SealRow.tenant_id).where(SealRow.tenant_id == KeyRow.tenant_id)
    return (
        KeyRow.rotates_at <= tx.now(),
        sa.not_(KeyRow.disabled),
        KeyRow.delete_at.is_(None),
        sa.not_(sealed.exists()),
    )


def _wrap_context(tenant_id: str) -> str:
    scope = "platform" if tenant_id == PLATFORM_TENANT else tenant_id
    return f"data_key:{scope}"
