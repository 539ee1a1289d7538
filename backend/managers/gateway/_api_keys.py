"""API keys: long-lived credentials for tools that cannot speak OAuth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from backend.core.context import Principal, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.paging import newest
from backend.kit import credentials
from backend.managers.gateway.errands import API_KEYS
from backend.managers.gateway.errors import ApiKeyNotFoundError
from backend.managers.gateway.models import ApiKey
from backend.managers.identity import (
    NO_BOUNDS,
    CredentialBounds,
    CredentialInvalidError,
    LastUses,
    held_to,
    is_over,
)
from backend.managers.tenant import PRINCIPALS, TenantManager

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
    scopes: Sequence[str] | None
    networks: Sequence[str]


class ApiKeys:
    """Making, finding and revoking them; every change ends what was cached of the old.

    Attributes:
        uses: When they were used last.
    """

    def __init__(
        self, database: Database, tenants: TenantManager, monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._tenants = tenants
        self.uses = LastUses(
            database, API_KEYS, monotonic, kind=_KIND, model=ApiKey, named_by=ApiKey.id
        )

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

    async def find_next_end(self, tx: ReadTx, since: datetime) -> datetime | None:
        """When the first of the tenant's keys ends that does so after than ``since``."""
        query = sa.select(sa.func.min(ApiKey.expires_at)).where(
            ApiKey.tenant_id == tx.tenant_id, ApiKey.expires_at > since
        )
        found: datetime | None = await tx.scalar(query)
        return found

    async def create_api_key(
        self,
        tx: Tx,
        *,
        name: str,
        role: str,
        granter: frozenset[str] | None,
        bounds: CredentialBounds = NO_BOUNDS,
    ) -> tuple[Key, str]:
        """Create an API key; returns it with the key itself, which is kept nowhere.

        Raises:
            RoleUnknownError: The tenant has no such role.
            RoleTooHighError: The role has permissions the granter lacks.
            ScopeBeyondRoleError: The role lacks a scope.
            ExpiryInvalidError: It would be dead already.
        """
        await self._refuse(tx, role, granter, bounds)
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
            last_used_at=None,
            **bounds.columns(),
        )
        tx.session.add(row)
        facts = {"name": name, "role": role, "prefix": row.prefix, **bounds.facts()}
        tx.audit("api_key.created", f"api_key:{row.id}", **facts)
        tx.emit("api_key.created", f"api_key:{row.id}", name=name, role=role)
        return _key(row), key

    async def change_api_key(
        self,
        tx: Tx,
        key_id: str,
        *,
        name: str,
        role: str,
        granter: frozenset[str] | None,
        bounds: CredentialBounds,
    ) -> Key:
        """Give an API key another name, role and bounds, at once.

        Raises:
            ApiKeyNotFoundError: No such key in this tenant.
            RoleUnknownError: The tenant has no such role.
            RoleTooHighError: The old or the new role has permissions the granter lacks.
            ScopeBeyondRoleError: The role lacks a scope.
            ExpiryInvalidError: It would be dead already.
        """
        row = await self._locked(tx, key_id)
        await self._tenants.roles.refuse_higher(tx, row.role, granter, taken=True)
        await self._refuse(tx, role, granter, bounds)
        row.name, row.role = name, role
        for column, value in bounds.columns().items():
            setattr(row, column, value)
        facts = {"name": name, "role": role, **bounds.facts()}
        tx.audit("api_key.changed", f"api_key:{row.id}", **facts)
        tx.emit("api_key.changed", f"api_key:{row.id}", name=name, role=role)
        tx.signal(PRINCIPALS, f"api_key:{row.id}")
        return _key(row)

    async def _refuse(
        self, tx: Tx, role: str, granter: frozenset[str] | None, bounds: CredentialBounds
    ) -> None:
        roles = self._tenants.roles
        await roles.refuse_higher(tx, role, granter)
        bounds.refuse_invalid(await roles.permissions_of(tx, role), tx.now())

    async def find_api_key(self, tx: ReadTx, key_id: str) -> Key | None:
        """The tenant's key with this id, if there is one."""
        row = await tx.scalar(
            sa.select(ApiKey).where(ApiKey.id == key_id, ApiKey.tenant_id == tx.tenant_id)
        )
        return _key(row) if row is not None else None

    async def _locked(self, tx: Tx, key_id: str) -> ApiKey:
        row: ApiKey | None = await tx.scalar(
            sa.select(ApiKey)
            .where(ApiKey.id == key_id, ApiKey.tenant_id == tx.tenant_id)
            .with_for_update()
        )
        if row is None:
            raise ApiKeyNotFoundError
        return row

    async def revoke_api_key(self, tx: Tx, key_id: str, *, remover: frozenset[str] | None) -> None:
        """Delete an API key; it stops working at once.

        Raises:
            ApiKeyNotFoundError: No such key in this tenant.
            RoleTooHighError: The key has permissions the remover lacks.
        """
        row = await self._locked(tx, key_id)
        await self._tenants.roles.refuse_higher(tx, row.role, remover, taken=True)
        await tx.session.delete(row)
        tx.audit("api_key.revoked", f"api_key:{row.id}", name=row.name, prefix=row.prefix)
        tx.emit("api_key.revoked", f"api_key:{row.id}", name=row.name)
        tx.signal(PRINCIPALS, f"api_key:{row.id}")

    async def find_principal(self, digest: bytes) -> Principal:
        """Whom the key with this SHA-256 stands for.

        Raises:
            CredentialInvalidError: There is none, it has expired, or its tenant is gone.
            TenantSuspendedError: It holds, and its tenant is not active.
        """
        async with self._database.read(SystemScope(API_KEYS)) as view:
            row = await view.scalar(sa.select(ApiKey).where(ApiKey.key_hash == digest))
            now = view.now()
            if row is None or is_over(row.expires_at, now):
                raise CredentialInvalidError
            if not await self._tenants.lifecycle.admits(view, row.tenant_id):
                raise CredentialInvalidError
            permissions = await self._tenants.roles.permissions_of(
                view, row.role, tenant_id=row.tenant_id
            )
        return Principal(
            subject=f"{_KIND}:{row.id}",
            kind=_KIND,
            tenant_id=row.tenant_id,
            permissions=held_to(row.scopes, permissions),
            networks=tuple(row.networks or ()),
            name=row.name,
            role=row.role,
            platform_role=row.role if row.tenant_id == PLATFORM_TENANT else "",
            expires_at=row.expires_at.timestamp() if row.expires_at is not None else 0.0,
        )

    async def find_permissions(self, tx: ReadTx, key_id: str) -> frozenset[str] | None:
        """What a key of the transaction's tenant permits now; None: it is gone or has expired."""
        row = await tx.scalar(
            sa.select(ApiKey).where(ApiKey.tenant_id == tx.tenant_id, ApiKey.id == key_id)
        )
        if row is None or is_over(row.expires_at, tx.now()):
            return None
        return held_to(row.scopes, await self._tenants.roles.permissions_of(tx, row.role))


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
        row.scopes,
        row.networks or (),
    )
