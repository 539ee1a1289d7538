"""Rules for keys and sealed data."""

import base64
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.core.database import ReadTx, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.managers.security import _envelope
from backend.managers.security.errors import KeyUnavailableError, SealBrokenError
from backend.managers.security.models import DataKey
from backend.managers.security.settings import SecuritySettings

KEYS_GONE: Final = "data_keys"
"""The signal that a tenant's keys were destroyed; its payload is the tenant's id."""
_KEY_BYTES: Final = 32


class Keyring:
    """One tenant's unwrapped data keys: seals with the newest, opens with any."""

    __slots__ = ("_ciphers", "_newest")

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys}
        self._newest = keys[-1][0]

    def seal(self, context: str, plaintext: bytes) -> bytes:
        """Encrypt for the place ``context``, for example ``email.content:<id>``."""
        return _envelope.seal(self._ciphers[self._newest], self._newest, context, plaintext)

    def open(self, context: str, sealed: bytes) -> bytes:
        """Decrypt what was sealed for this tenant and this place.

        Raises:
            SealBrokenError: Another tenant's, another place's, or altered.
        """
        cipher = self._ciphers.get(_envelope.key_id_of(sealed))
        if cipher is None:
            raise SealBrokenError
        return _envelope.unseal(cipher, context, sealed)


class SecurityManager:
    """Data keys under one root key."""

    def __init__(self, root_key: bytes) -> None:
        if len(root_key) != _KEY_BYTES:
            msg = "the root key must have 32 bytes"
            raise ValueError(msg)
        self._root = AESGCM(root_key)
        self._keyrings: dict[str, Keyring] = {}

    async def keyring(self, tx: ReadTx) -> Keyring:
        """The keyring of the transaction's tenant; made at first need in a write transaction.

        Raises:
            KeyUnavailableError: The root key is not the one that wrapped it, or a read
                transaction asked before any write had made a key.
        """
        tenant_id = tx.tenant_id
        cached = self._keyrings.get(tenant_id)
        if cached is not None:
            return cached
        rows = await self._load(tx, tenant_id)
        if not rows:
            if not isinstance(tx, Tx):
                raise KeyUnavailableError
            await self._create(tx, tenant_id)
            rows = await self._load(tx, tenant_id)
        keyring = self._unwrapped(rows)

        def keep() -> None:
            self._keyrings[tenant_id] = keyring

        if isinstance(tx, Tx):
            # Not before the commit: another act of the same one may have made the key, and after
            # a rollback it would seal data nobody can open.
            tx.after_commit(keep)
        else:
            keep()
        return keyring

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
        self._keyrings.pop(tenant_id, None)

    async def check_keys(self, tx: ReadTx) -> int:
        """Try the root key on every tenant's data keys; how many it opens. Needs a system errand.

        Raises:
            KeyUnavailableError: It does not open one of them: it is another installation's.
        """
        rows: Sequence[DataKey] = await tx.scalars(sa.select(DataKey).order_by(DataKey.id))
        if rows:
            self._unwrapped(rows)
        return len(rows)

    async def _load(self, tx: ReadTx, tenant_id: str) -> Sequence[DataKey]:
        rows: Sequence[DataKey] = await tx.scalars(
            sa.select(DataKey).where(DataKey.tenant_id == tenant_id).order_by(DataKey.version)
        )
        return rows

    async def _create(self, tx: Tx, tenant_id: str) -> None:
        key_id = uuid7()
        plain = AESGCM.generate_key(bit_length=256)
        created = await tx.insert_new(
            DataKey,
            {
                "id": key_id,
                "tenant_id": tenant_id,
                "version": 1,
                "wrapped": _envelope.seal(self._root, key_id, _wrap_context(tenant_id), plain),
                "created_at": tx.now(),
            },
            conflict=["tenant_id", "version"],
        )
        if created:
            tx.audit("data_key.created", f"data_key:{key_id}", tenant_id=tenant_id, version=1)

    def _unwrapped(self, rows: Sequence[DataKey]) -> Keyring:
        try:
            return Keyring(
                [
                    (
                        row.id,
                        _envelope.unseal(self._root, _wrap_context(row.tenant_id), row.wrapped),
                    )
                    for row in rows
                ]
            )
        except SealBrokenError as exc:
            raise KeyUnavailableError from exc


def load_root_key(settings: SecuritySettings, default_file: Path) -> bytes:
    """The root key from the environment or a file; a missing file is made once, mode 0600.

    Raises:
        ValueError: What is configured is not 32 bytes of base64, or the file is open to others.
    """
    if settings.root_key is not None:
        return _decoded(settings.root_key.get_secret_value(), "EMAIL_SENDER__SECURITY__ROOT_KEY")
    path = settings.root_key_file or default_file
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    if path.stat().st_mode & 0o077:
        msg = f"{path} is readable by others: chmod 600"
        raise ValueError(msg)
    return _decoded(path.read_text().strip(), str(path))


def _decoded(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        msg = f"{source} does not hold 32 bytes in base64"
        raise ValueError(msg)
    return key


def _wrap_context(tenant_id: str) -> str:
    scope = "platform" if tenant_id == PLATFORM_TENANT else tenant_id
    return f"data_key:{scope}"
