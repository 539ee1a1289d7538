"""Log-ins through a tenant's own provider: the browser's way there and back, and who it becomes.

Such a log-in is good for that tenant alone. Whoever runs the provider decides whom it names, so a
person who belongs to another tenant as well enters that one by its own means.
"""

import hmac
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import Database, Tx
from backend.core.errors import AppError
from backend.managers.identity._external import (
    ExternalProviders,
    Relation,
    Visitor,
    new_cookie,
    trip_of,
)
from backend.managers.identity._failures import Failure, FailureAudit, FailureLimits, stranger
from backend.managers.identity._logins import HalfWay, LogIns, NewSession, Peer, Through
from backend.managers.identity._providers import IdentityProvider, IdentityProviders
from backend.managers.identity.errands import AUTHENTICATE
from backend.managers.identity.errors import ExternalLogInError
from backend.managers.identity.models import ExternalLogInRow
from backend.managers.tenant import RoleUnknownError, StockReachedError, TenantManager, User

logger = logging.getLogger(__name__)

TRIP_SECONDS: Final = 600
FEDERATED: Final = "fed"
_OWNER: Final = "owner"


class Departure(NamedTuple):
    """Where a browser is to go, and what it keeps until it is back."""

    provider: IdentityProvider
    address: str
    cookie: str


class Arrival(NamedTuple):
    """Who came back, and to where they were going."""

    outcome: NewSession | HalfWay
    return_to: str


class ExternalLogIns:
    """Opens its own transactions under the authenticate errand; none while it asks a provider."""

    def __init__(
        self,
        database: Database,
        tenants: TenantManager,
        providers: IdentityProviders,
        external: ExternalProviders,
        log_ins: LogIns,
        *,
        limits: FailureLimits,
        failures: FailureAudit,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._providers = providers
        self._external = external
        self._log_ins = log_ins
        self._limits = limits
        self._failures = failures

    async def are_offered(self) -> bool:
        """Whether any tenant's people sign in so."""
        async with self._database.read(SystemScope(AUTHENTICATE)) as view:
            return await self._providers.are_there_any(view)

    async def provider_of(self, email: str) -> IdentityProvider | None:
        """The provider that speaks for an address's domain, while its tenant is active."""
        async with self._database.read(SystemScope(AUTHENTICATE)) as view:
            found = await self._providers.find_by_email(view, email)
            if found is None or not await self._tenants.is_active(view, found.tenant_id):
                return None
        return found

    async def depart(
        self, provider: IdentityProvider, return_to: str, *, email: str, peer: Peer
    ) -> Departure:
        """Send a browser on its way; its cookie alone brings it back.

        Raises:
            TooManyFailuresError: From this address.
            ExternalLogInError: The provider cannot be asked.
        """
        await self._limits.refuse_exhausted(peer.address)
        cookie = new_cookie()
        trip = trip_of(cookie)
        max_age, prompt = _asked_again(return_to)
        try:
            relation = await self._relation(provider)
            address = await self._external.way_there(
                relation, trip, login_hint=email, max_age=max_age, prompt=prompt
            )
        except AppError as exc:
            raise ExternalLogInError("unreachable") from exc
        async with self._database.transaction(SystemScope(AUTHENTICATE)) as tx:
            tx.session.add(
                ExternalLogInRow(
                    state_hash=trip.state_hash,
                    provider_id=provider.id,
                    return_to=return_to,
                    max_age=max_age,
                    expires_at=tx.now() + timedelta(seconds=TRIP_SECONDS),
                )
            )
        return Departure(provider, address, cookie)

    async def arrive(
        self,
        provider_id: str,
        answer: Mapping[str, str],
        *,
        cookie: str | None,
        replaces: str | None,
        peer: Peer,
    ) -> Arrival:
        """Take a provider's answer: check it, find or make the person, start their session.

        Raises:
            ExternalLogInError: It does not hold, or the person has no place here.
            TooManyFailuresError: From this address.
        """
        await self._limits.refuse_exhausted(peer.address)
        try:
            provider, return_to, visitor = await self._checked(provider_id, answer, cookie, peer)
            user = await self._enter(provider, visitor, peer)
        except ExternalLogInError as exc:
            known = f"identity_provider:{exc.provider_id}" if exc.provider_id else None
            logger.info("external_login_failed", extra={"part": exc.part, "provider": known})
            await self._failures.note(
                Failure("external_login.failed", known or stranger(peer.address), peer.address),
                peer.request_id,
            )
            await self._limits.charge(peer.address, f"external:{provider_id}:{peer.address}")
            raise
        methods = [FEDERATED, "mfa"] if provider.second_factor else [FEDERATED]
        at = visitor.authenticated_at
        through = Through(
            provider.id,
            provider.tenant_id,
            # A provider that does not say when asked nobody, as far as we know.
            datetime.fromtimestamp(at, UTC) if at is not None else None,
        )
        outcome = await self._log_ins.enter(
            user, methods, replaces=replaces, peer=peer, through=through
        )
        return Arrival(outcome, return_to)

    async def _checked(
        self, provider_id: str, answer: Mapping[str, str], cookie: str | None, peer: Peer
    ) -> tuple[IdentityProvider, str, Visitor]:
        if not cookie or not _is_id(provider_id):
            raise ExternalLogInError("state")
        trip = trip_of(cookie)
        if not hmac.compare_digest(answer.get("state", "").encode(), trip.state.encode()):
            raise ExternalLogInError("state")
        scope = SystemScope(AUTHENTICATE, request_id=peer.request_id)
        async with self._database.transaction(scope) as tx:
            # Used up before anything is asked: a second answer to the same trip finds nothing.
            row = await tx.scalar(
                sa.delete(ExternalLogInRow)
                .where(
                    ExternalLogInRow.state_hash == trip.state_hash,
                    ExternalLogInRow.provider_id == provider_id,
                    ExternalLogInRow.expires_at > tx.now(),
                )
                .returning(ExternalLogInRow)
                .execution_options(synchronize_session=False)
            )
            provider = await self._providers.find(tx, provider_id) if row is not None else None
        if row is None or provider is None:
            raise ExternalLogInError("state")
        try:
            visitor = await self._external.take_answer(
                await self._relation(provider),
                trip,
                answer,
                now=self._database.clock().timestamp(),
                max_age=row.max_age,
            )
        except ExternalLogInError as exc:
            exc.provider_id = provider.id
            raise
        except AppError as exc:
            raise ExternalLogInError("unreachable", provider.id) from exc
        return provider, row.return_to, visitor

    async def _relation(self, provider: IdentityProvider) -> Relation:
        scope = SystemScope(AUTHENTICATE, tenant_id=provider.tenant_id)
        async with self._database.read(scope) as view:
            return await self._providers.relation(view, provider)

    async def _enter(self, provider: IdentityProvider, visitor: Visitor, peer: Peer) -> User:
        """Find or make the person, and their place in the tenant."""
        role = self._providers.role_for(provider, visitor.groups)
        scope = SystemScope(AUTHENTICATE, request_id=peer.request_id)
        async with self._database.transaction(scope) as tx:
            if not await self._tenants.is_active(tx, provider.tenant_id):
                raise ExternalLogInError("no_place", provider.id)
            user = await self._tenants.meet(
                tx,
                issuer=visitor.issuer,
                subject=visitor.subject,
                email=visitor.email,
                name=visitor.name or visitor.email or visitor.subject,
            )
            if user.disabled:
                raise ExternalLogInError("no_place", provider.id)
            await self._place(tx, provider, user, role)
        return user

    async def _place(
        self, tx: Tx, provider: IdentityProvider, user: User, role: str | None
    ) -> None:
        """Make the membership what the groups say; owners are made and unmade by owners alone."""
        membership = await self._tenants.find_membership(tx, provider.tenant_id, user.id)
        if membership is not None and membership.role == _OWNER:
            return
        if role is None:
            # Out of all groups, or never in one. A place from another day is no longer theirs.
            raise ExternalLogInError("no_place", provider.id)
        if membership is None or membership.role != role:
            try:
                await self._tenants.place(
                    tx, tenant_id=provider.tenant_id, user_id=user.id, role=role
                )
            except (RoleUnknownError, StockReachedError) as exc:
                # The role of the mapping is gone, or there is no room for another member.
                raise ExternalLogInError("no_place", provider.id) from exc


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _asked_again(return_to: str) -> tuple[int | None, str]:
    """How recent a log-in the waiting request wants, for the provider to see to it too."""
    given = dict(parse_qsl(urlsplit(return_to).query))
    text = given.get("max_age", "")
    max_age = min(int(text), 2**31) if text.isascii() and text.isdigit() else None
    if "login" in given.get("prompt", "").split():
        return (0 if max_age is None else max_age), "login"
    return max_age, ""
