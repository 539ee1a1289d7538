"""Everybody who holds something in a tenant: people, clients and keys, looked at alike."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backend.core.database import ReadTx, Tx
from backend.core.errors import NotFoundError
from backend.managers.access.errors import HolderNotFoundError, TooManyHoldersError
from backend.managers.gateway import GatewayManager, Key
from backend.managers.identity import Client, IdentityManager
from backend.managers.tenant import Member, TenantManager

_PART: Final = 500
_MOST: Final = 10_000
_ONE_BY_ONE: Final = 20
_USER, _CLIENT, _KEY = "user", "client", "api_key"


@dataclass(frozen=True, slots=True)
class Holder:
    """A member, client or key of a tenant, and what it may do there now.

    Attributes:
        subject: As in the audit trail: ``user:<id>``, ``client:<client id>``, ``api_key:<id>``.
        id: By which its own operations know it.
        name: For people.
        role: What it holds.
        scopes: To which part of the role it is bound; None: to no part.
        active: Whether it is neither disabled nor expired.
        permissions: What it may do; nothing when it is not active.
        last_used_at: None for people, and for what was never used.
    """

    subject: str
    id: str
    name: str
    role: str
    scopes: frozenset[str] | None
    active: bool
    permissions: frozenset[str]
    last_used_at: datetime | None

    def of(self, role: frozenset[str]) -> frozenset[str]:
        """What it could do if its role permitted this."""
        if not self.active:
            return frozenset()
        return role if self.scopes is None else role & self.scopes


class Holders:
    """Finds them, and takes away what they hold, by the rules of whoever keeps it."""

    def __init__(
        self, tenants: TenantManager, identity: IdentityManager, gateway: GatewayManager
    ) -> None:
        self._tenants = tenants
        self._clients = identity.clients
        self._keys = gateway.api_keys

    async def list(self, tx: ReadTx, role: str | None = None) -> Sequence[Holder]:
        """Everybody who holds something in the tenant, or this role: people, clients, keys.

        Raises:
            TooManyHoldersError: More than ten thousand of a kind.
        """
        found: list[Holder] = []
        permitted: dict[str, frozenset[str]] = {}
        for list_them in (
            self._tenants.list_members,
            self._clients.list_clients,
            self._keys.list_api_keys,
        ):
            for one in await _all(tx, list_them):
                if role is None or one.role == role:
                    if one.role not in permitted:
                        permitted[one.role] = await self._tenants.roles.permissions_of(tx, one.role)
                    found.append(_holder(tx, one, permitted[one.role]))
        return found

    async def find(self, tx: ReadTx, subject: str) -> Holder:
        """Who this is, and what they may do; a person may be named by their e-mail too.

        Raises:
            HolderNotFoundError: Nobody of this tenant.
        """
        kind, _, identity = subject.partition(":")
        if kind == _KEY or (kind == _USER and "@" not in identity):
            try:
                identity = str(UUID(identity))
            except ValueError:
                raise HolderNotFoundError from None
        one: Member | Client | Key | None = None
        if kind == _USER:
            one = await self._find_member(tx, identity)
        elif kind == _CLIENT:
            one = await self._clients.find_client(tx, identity)
        elif kind == _KEY:
            one = await self._keys.find_api_key(tx, identity)
        if one is None:
            raise HolderNotFoundError
        return _holder(tx, one, await self._tenants.roles.permissions_of(tx, one.role))

    async def find_some(self, tx: ReadTx, subjects: Collection[str]) -> Sequence[Holder]:
        """Those of these who still hold something.

        Raises:
            TooManyHoldersError: Of many, as for :meth:`list`.
        """
        if len(subjects) > _ONE_BY_ONE:
            return [one for one in await self.list(tx) if one.subject in subjects]
        found = []
        for subject in subjects:
            with suppress(HolderNotFoundError):
                found.append(await self.find(tx, subject))
        return found

    async def _find_member(self, tx: ReadTx, identity: str) -> Member | None:
        if "@" in identity:
            login = await self._tenants.find_login(tx, identity)
            if login is None:
                return None
            identity = login[0].id
        return await self._tenants.find_member(tx, identity)

    async def revoke(self, tx: Tx, subject: str, holder_id: str, remover: frozenset[str]) -> None:
        """Take away whatever it is: a membership, a client, a key; nothing when it is gone.

        Raises:
            RoleTooHighError: It has permissions the remover lacks.
            LastOwnerError: It would leave the tenant without an owner.
        """
        kind = subject.partition(":")[0]
        try:
            if kind == _USER:
                await self._tenants.remove_member(tx, user_id=holder_id, remover=remover)
            elif kind == _CLIENT:
                await self._clients.delete_client(tx, holder_id, remover=remover)
            else:
                await self._keys.revoke_api_key(tx, holder_id, remover=remover)
        except NotFoundError:
            return


async def _all(tx: ReadTx, list_them: Callable[..., Awaitable[Sequence[Any]]]) -> list[Any]:
    found: list[Any] = []
    before = None
    while True:
        rows = await list_them(tx, limit=_PART, before_id=before)
        found += rows[:_PART]
        if len(rows) <= _PART:
            return found
        if len(found) >= _MOST:
            raise TooManyHoldersError(f"More than {_MOST} of a kind", limit=_MOST)
        before = rows[_PART - 1].id


def _holder(tx: ReadTx, one: Member | Client | Key, permitted: frozenset[str]) -> Holder:
    if isinstance(one, Member):
        may = permitted if one.active else frozenset()
        subject = f"{_USER}:{one.id}"
        return Holder(subject, one.id, one.name, one.role, None, one.active, may, None)
    expired = one.expires_at is not None and one.expires_at <= tx.now()
    active = not expired and not (isinstance(one, Client) and one.disabled)
    scopes = None if one.scopes is None else frozenset(one.scopes)
    subject = f"{_CLIENT}:{one.client_id}" if isinstance(one, Client) else f"{_KEY}:{one.id}"
    may = frozenset() if not active else permitted if scopes is None else permitted & scopes
    return Holder(subject, one.id, one.name, one.role, scopes, active, may, one.last_used_at)
