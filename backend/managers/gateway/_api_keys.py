"""API keys: long-lived credentials for tools that cannot speak OAuth."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from backend.core.context import Principal, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.core.telemetry import RequestRecord
from backend.kit import credentials
from backend.managers.gateway.errands import API_KEYS
from backend.managers.gateway.errors import ApiKeyNotFoundError, ExpiryInvalidError
from backend.managers.gateway.models import ApiKey
from backend.managers.identity import CredentialInvalidError
from backend.managers.tenant import PRINCIPALS, TenantManager

_USED_SECONDS: Final = 60.0
_KIND: Final = "api_key"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as its tenant sees it: the prefix, never the key."""

    id: str
    name: str
    role: str
    prefix: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class ApiKeys:
    """Making, finding and revoking them; every change ends what was cached of the old."""

    def __init__(
        self, database: Database, tenants: TenantManager, monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._monotonic = monotonic
        self._used: dict[tuple[str, str], int] = {}
        self._used_written_at = -math.inf

    async def list_api_keys(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[Key]:
        """The tenant's API keys, newest first, one more than ``limit``."""
        query = sa.select(ApiKey).where(ApiKey.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, ApiKey.id, limit, before_id))
        return [_key(row) for row in rows]

    async def count(self, tx: ReadTx) -> int:
        """How many API keys the tenant has."""
        query = sa.select(sa.func.count(ApiKey.id))
        return int(await tx.scalar(query.where(ApiKey.tenant_id == tx.tenant_id)))

    async def create_api_key(
        self,
        tx: Tx,
        *,
        name: str,
        role: str,
        expires_at: datetime | None,
        granter: frozenset[str] | None,
    ) -> tuple[Key, str]:
        """Create an API key; returns it with the key itself, which is kept nowhere.

        Raises:
            RoleTooHighError: The role has permissions the granter lacks.
            ExpiryInvalidError: It would be dead already.
        """
        self._tenants.roles.refuse_higher(tx, role, granter)
        if expires_at is not None and expires_at <= tx.now():
            raise ExpiryInvalidError().at("expires_at")
        key = credentials.mint(credentials.API_KEY_TAG)
        row = ApiKey(
            id=uuid7(),
            tenant_id=tx.tenant_id,
            name=name,
            role=role,
            prefix=credentials.shown_prefix(key),
            key_hash=credentials.digest_of(key),
            created_by=tx.scope.actor,
            created_at=tx.now(),
            expires_at=expires_at,
            last_used_at=None,
        )
        tx.session.add(row)
        tx.audit("api_key.created", f"api_key:{row.id}", name=name, role=role, prefix=row.prefix)
        tx.emit("api_key.created", f"api_key:{row.id}", name=name, role=role)
        return _key(row), key

    async def revoke_api_key(self, tx: Tx, key_id: str, *, remover: frozenset[str] | None) -> None:
        """Delete an API key; it stops working at once.

        Raises:
            ApiKeyNotFoundError: No such key in this tenant.
            RoleTooHighError: The key has permissions the remover lacks.
        """
        row: ApiKey | None = await tx.scalar(
            sa.select(ApiKey)
            .where(ApiKey.id == key_id, ApiKey.tenant_id == tx.tenant_id)
            .with_for_update()
        )
        if row is None:
            raise ApiKeyNotFoundError
        self._tenants.roles.refuse_higher(tx, row.role, remover)
        await tx.session.delete(row)
        tx.audit("api_key.revoked", f"api_key:{row.id}", name=row.name, prefix=row.prefix)
        tx.emit("api_key.revoked", f"api_key:{row.id}", name=row.name)
        tx.signal(PRINCIPALS)

    async def find_principal(self, digest: bytes) -> Principal:
        """Whom the key with this SHA-256 stands for.

        Raises:
            CredentialInvalidError: There is none, it has expired, or its tenant is gone.
            TenantSuspendedError: It holds, and its tenant is not active.
        """
        async with self._database.read(SystemScope(API_KEYS)) as view:
            row = await view.scalar(sa.select(ApiKey).where(ApiKey.key_hash == digest))
            now = view.now()
            if row is None or (row.expires_at is not None and row.expires_at <= now):
                raise CredentialInvalidError
            if not await self._tenants.lifecycle.admits(view, row.tenant_id):
                raise CredentialInvalidError
        return Principal(
            subject=f"{_KIND}:{row.id}",
            kind=_KIND,
            tenant_id=row.tenant_id,
            permissions=self._tenants.roles.permissions_of(row.role),
            name=row.name,
            role=row.role,
            expires_at=row.expires_at.timestamp() if row.expires_at is not None else 0.0,
        )

    def note_use(self, record: RequestRecord) -> None:
        """Remember, if a key made this request, when."""
        kind, _, key_id = record.actor.partition(":")
        if kind == _KIND:
            self._used[record.tenant_id, key_id] = record.started_ns

    async def flush(self, *, everything: bool = False) -> None:
        """Write when keys were last used, once a minute."""
        now = self._monotonic()
        if not self._used or (now < self._used_written_at + _USED_SECONDS and not everything):
            return
        self._used_written_at = now
        used, self._used = self._used, {}
        async with self._database.transaction(SystemScope(API_KEYS)) as tx:
            for (tenant_id, key_id), started_ns in sorted(used.items()):
                at = datetime.fromtimestamp(started_ns / 1e9, UTC)
                await tx.execute(
                    sa.update(ApiKey)
                    .where(
                        ApiKey.tenant_id == tenant_id,
                        ApiKey.id == key_id,
                        sa.or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < at),
                    )
                    .values(last_used_at=at)
                    .execution_options(synchronize_session=False)
                )


def _key(row: ApiKey) -> Key:
    return Key(
        row.id,
        row.name,
        row.role,
        row.prefix,
        row.created_by,
        row.created_at,
        row.expires_at,
        row.last_used_at,
    )
