"""What programs log in with: a tenant's OAuth clients, and the console's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.paging import newest
from backend.kit import credentials
from backend.managers.identity._bounds import CredentialBounds
from backend.managers.identity._oauth import TOKEN_EXCHANGE
from backend.managers.identity.errors import ClientNotFoundError
from backend.managers.identity.models import OauthClient
from backend.managers.tenant import PRINCIPALS, Roles

CONSOLE: Final = "console"
"""The client id of the console: the one client that logs people in and exchanges their tokens."""
NO_BOUNDS: Final = CredentialBounds()


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth client as its tenant sees it; never carries the secret."""

    id: str
    client_id: str
    name: str
    role: str
    disabled: bool
    created_at: datetime
    scopes: Sequence[str] | None
    expires_at: datetime | None
    networks: Sequence[str]
    last_used_at: datetime | None


class Clients:
    """Making, renewing and deleting them; every change ends what was cached of the old."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    async def list_clients(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[Client]:
        """The tenant's clients, newest first, one more than ``limit``."""
        query = sa.select(OauthClient).where(
            OauthClient.tenant_id == tx.tenant_id, OauthClient.client_id != CONSOLE
        )
        rows = await tx.scalars(newest(query, OauthClient.id, limit, before_id))
        return [_client(row) for row in rows]

    async def find_client(self, tx: ReadTx, client_id: str) -> Client | None:
        """The tenant's client that logs in as this, if there is one."""
        row = await tx.scalar(
            sa.select(OauthClient).where(
                OauthClient.client_id == client_id,
                OauthClient.tenant_id == tx.tenant_id,
                OauthClient.client_id != CONSOLE,
            )
        )
        return _client(row) if row is not None else None

    async def count(self, tx: ReadTx) -> int:
        """How many clients the tenant has."""
        query = sa.select(sa.func.count(OauthClient.id))
        return int(await tx.scalar(query.where(OauthClient.tenant_id == tx.tenant_id)))

    async def find_next_end(self, tx: ReadTx, since: datetime) -> datetime | None:
        """When the first of the tenant's clients ends that does so after than ``since``."""
        query = sa.select(sa.func.min(OauthClient.expires_at)).where(
            OauthClient.tenant_id == tx.tenant_id,
            OauthClient.disabled.is_(sa.false()),
            OauthClient.expires_at > since,
        )
        found: datetime | None = await tx.scalar(query)
        return found

    async def create_client(
        self,
        tx: Tx,
        *,
        name: str,
        role: str,
        granter: frozenset[str] | None,
        bounds: CredentialBounds = NO_BOUNDS,
    ) -> tuple[Client, str]:
        """Create a client for programs; returns it with its secret, which is kept nowhere.

        Args:
            granter: The permissions of whoever creates it; None for the platform itself.
            bounds: What it is held to within its role.

        Raises:
            RoleUnknownError: The tenant has no such role.
            RoleTooHighError: The role has permissions the granter lacks.
            ScopeBeyondRoleError: The role lacks a scope.
            ExpiryInvalidError: It would be dead already.
        """
        await self._roles.refuse_higher(tx, role, granter)
        bounds.refuse_invalid(await self._roles.permissions_of(tx, role), tx.now())
        return self._add(tx, client_id=None, name=name, role=role, bounds=bounds)

    async def change_client(
        self,
        tx: Tx,
        client_id: str,
        *,
        name: str,
        role: str,
        granter: frozenset[str] | None,
        bounds: CredentialBounds,
    ) -> Client:
        """Give a client another name, role and bounds; running tokens are held to them at once.

        Raises:
            ClientNotFoundError: No such client in this tenant.
            RoleUnknownError: The tenant has no such role.
            RoleTooHighError: The old or the new role has permissions the granter lacks.
            ScopeBeyondRoleError: The role lacks a scope.
            ExpiryInvalidError: It would be dead already.
        """
        row = await self._locked_client(tx, client_id)
        await self._roles.refuse_higher(tx, row.role, granter, taken=True)
        await self._roles.refuse_higher(tx, role, granter)
        bounds.refuse_invalid(await self._roles.permissions_of(tx, role), tx.now())
        row.name, row.role = name, role
        for column, value in bounds.columns().items():
            setattr(row, column, value)
        facts = {"name": name, "role": role, **bounds.facts()}
        tx.audit("client.changed", f"client:{row.client_id}", **facts)
        tx.emit("client.changed", f"client:{row.client_id}", name=name, role=role)
        tx.signal(PRINCIPALS, f"client:{row.client_id}")
        return _client(row)

    def _add(
        self,
        tx: Tx,
        *,
        client_id: str | None,
        name: str,
        role: str,
        bounds: CredentialBounds = NO_BOUNDS,
    ) -> tuple[Client, str]:
        secret = credentials.mint(credentials.SECRET_TAG)
        row = OauthClient(
            id=(row_id := uuid7()),
            client_id=client_id or f"es_{row_id.replace('-', '')}",
            tenant_id=tx.tenant_id,
            name=name,
            role=role,
            secret_hash=credentials.digest_of(secret),
            redirect_uris=[],
            grant_types=["client_credentials"],
            disabled=False,
            created_at=tx.now(),
            last_used_at=None,
            **bounds.columns(),
        )
        tx.session.add(row)
        facts = {"name": name, "role": role, **bounds.facts()}
        tx.audit("client.created", f"client:{row.client_id}", **facts)
        tx.emit("client.created", f"client:{row.client_id}", name=name, role=role)
        return _client(row), secret

    async def rotate_client(
        self, tx: Tx, client_id: str, *, granter: frozenset[str] | None
    ) -> tuple[Client, str]:
        """Give a client a new secret; the old one is void at once.

        Access tokens made with the old secret run out within ten minutes: they prove nothing
        about the secret, and cutting them would stop every workflow that is just running.

        Raises:
            ClientNotFoundError: No such client in this tenant.
            RoleTooHighError: Knowing its secret would give the caller more than they have.
        """
        row = await self._locked_client(tx, client_id)
        await self._roles.refuse_higher(tx, row.role, granter, taken=True)
        secret = credentials.mint(credentials.SECRET_TAG)
        row.secret_hash = credentials.digest_of(secret)
        tx.audit("client.rotated", f"client:{row.client_id}")
        tx.emit("client.rotated", f"client:{row.client_id}", name=row.name)
        tx.signal(PRINCIPALS, f"client:{row.client_id}")
        return _client(row), secret

    async def renew_own_client(
        self, tx: Tx, client_id: str, *, name: str, role: str
    ) -> tuple[Client, str]:
        """Make a client that the platform itself uses be as given, with a secret of now.

        Whatever was done to it since: rotated, disabled, deleted.
        """
        row: OauthClient | None = await tx.scalar(
            sa.select(OauthClient)
            .where(OauthClient.client_id == client_id, OauthClient.tenant_id == tx.tenant_id)
            .with_for_update()
        )
        if row is None:
            return self._add(tx, client_id=client_id, name=name, role=role)
        secret = credentials.mint(credentials.SECRET_TAG)
        row.secret_hash = credentials.digest_of(secret)
        row.name, row.role, row.disabled = name, role, False
        tx.audit("client.rotated", f"client:{row.client_id}")
        tx.emit("client.rotated", f"client:{row.client_id}", name=row.name)
        tx.signal(PRINCIPALS, f"client:{row.client_id}")
        return _client(row), secret

    async def delete_client(
        self, tx: Tx, client_id: str, *, remover: frozenset[str] | None
    ) -> None:
        """Delete a client; its tokens stop working at once.

        Raises:
            ClientNotFoundError: No such client in this tenant.
            RoleTooHighError: The client has permissions the remover lacks.
        """
        row = await self._locked_client(tx, client_id)
        await self._roles.refuse_higher(tx, row.role, remover, taken=True)
        await tx.session.delete(row)
        tx.audit("client.deleted", f"client:{row.client_id}", name=row.name)
        tx.emit("client.deleted", f"client:{row.client_id}", name=row.name)
        tx.signal(PRINCIPALS, f"client:{row.client_id}")

    async def _locked_client(self, tx: Tx, client_id: str) -> OauthClient:
        row: OauthClient | None = await tx.scalar(
            sa.select(OauthClient)
            .where(
                OauthClient.id == client_id,
                OauthClient.tenant_id == tx.tenant_id,
                # Of the platform's tenant, and made by every start: nobody's to rotate or delete.
                OauthClient.client_id != CONSOLE,
            )
            .with_for_update()
        )
        if row is None:
            raise ClientNotFoundError
        return row

    async def put_console_client(
        self, tx: Tx, *, secret: str, redirect_uris: Sequence[str]
    ) -> None:
        """Make the console's client be as given: it logs people in and exchanges their tokens.

        Idempotent, for every start of the platform; needs the platform's own scope.

        Raises:
            ValueError: The secret has fewer than 32 characters.
        """
        if len(secret) < 32:
            raise ValueError("the console's secret needs 32 random characters at least")
        row: OauthClient | None = await tx.scalar(
            sa.select(OauthClient).where(OauthClient.client_id == CONSOLE)
        )
        wanted = (credentials.digest_of(secret), list(redirect_uris))
        if row is not None and (row.secret_hash, row.redirect_uris) == wanted:
            return
        if row is None:
            await tx.insert_new(
                OauthClient,
                {
                    "id": uuid7(),
                    "client_id": CONSOLE,
                    "tenant_id": PLATFORM_TENANT,
                    "name": "Console",
                    "role": "",
                    "secret_hash": wanted[0],
                    "redirect_uris": wanted[1],
                    "grant_types": ["authorization_code", TOKEN_EXCHANGE],
                    "disabled": False,
                    "created_at": tx.now(),
                },
                conflict=["client_id"],
            )
            tx.audit("client.created", f"client:{CONSOLE}", redirect_uris=wanted[1])
        else:
            row.secret_hash, row.redirect_uris = wanted
            tx.audit("client.rotated", f"client:{CONSOLE}", redirect_uris=wanted[1])
        tx.signal(PRINCIPALS, f"client:{CONSOLE}")


def _client(row: OauthClient) -> Client:
    return Client(
        row.id,
        row.client_id,
        row.name,
        row.role,
        row.disabled,
        row.created_at,
        row.scopes,
        row.expires_at,
        row.networks or (),
        row.last_used_at,
    )
