"""Tenants' own OpenID providers: their mail domains, and what their groups become."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import idna
import sqlalchemy as sa

from backend.core.database import Integrity, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.kit.outbound import NotAllowedError, Outbound, UnreachableError
from backend.managers.identity._external import ExternalProviders, Relation
from backend.managers.identity._sealed import provider_place
from backend.managers.identity.errors import (
    DomainEnforcedError,
    DomainNotProvenError,
    DomainTakenError,
    OwnerByMappingError,
    ProviderNotFoundError,
    ProviderUnusableError,
)
from backend.managers.identity.models import (
    BrowserSession,
    ExternalLogInRow,
    IdentityProviderRow,
    PendingLogIn,
)
from backend.managers.security import SecurityManager
from backend.managers.tenant import PRINCIPALS, TenantManager, email_domain

PROOF_LABEL: Final = "_email-sender"
_PROOF: Final = "email-sender-domain="
_OWNER: Final = "owner"
_CLAIMED: Final = "claimed"
_AT_ONCE: Final = 500
_DOMAIN: Final = re.compile(r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """A tenant's provider as its admins see it; never carries the client secret."""

    id: str
    tenant_id: str
    name: str
    issuer: str
    client_id: str
    redirect_uri: str
    groups_claim: str
    roles_by_group: Mapping[str, str]
    default_role: str | None
    second_factor: bool
    domain: str | None
    domain_state: str
    proof_name: str | None
    proof_value: str | None
    enforced: bool
    disabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """What an admin says of a provider."""

    name: str
    issuer: str
    client_id: str
    groups_claim: str
    roles_by_group: Mapping[str, str]
    default_role: str | None
    second_factor: bool
    domain: str | None
    enforced: bool
    disabled: bool


class IdentityProviders:
    """Making, changing, proving and finding them. Needs an errand that names their tables."""

    def __init__(
        self,
        security: SecurityManager,
        tenants: TenantManager,
        outbound: Outbound,
        external: ExternalProviders,
    ) -> None:
        self._security = security
        self._tenants = tenants
        self._roles = tenants.roles
        self._outbound = outbound
        self._external = external

    async def list_providers(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[IdentityProvider]:
        """The tenant's providers, newest first, one more than ``limit``."""
        query = sa.select(IdentityProviderRow).where(IdentityProviderRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, IdentityProviderRow.id, limit, before_id))
        return [self._shown(row) for row in rows]

    async def get_provider(self, tx: ReadTx, provider_id: str) -> IdentityProvider:
        """One provider of the tenant.

        Raises:
            ProviderNotFoundError: There is none.
        """
        return self._shown(await self._row(tx, provider_id))

    async def look_at(self, provider: IdentityProvider) -> str:
        """What is wrong with a provider, asked of itself; empty when it can be used.

        Opens connections, so call it outside transactions.
        """
        try:
            await self._external.discover(provider.tenant_id, provider.issuer)
        except (ProviderUnusableError, NotAllowedError, UnreachableError) as exc:
            return exc.detail or exc.title
        return ""

    async def note_look(self, tx: Tx, provider_id: str, problem: str) -> IdentityProvider:
        """Record that somebody looked at a provider or its domain, and what they saw.

        Raises:
            ProviderNotFoundError: It is gone.
        """
        row = await self._row(tx, provider_id)
        tx.audit("identity_provider.checked", f"identity_provider:{row.id}", problem=problem)
        return self._shown(row)

    async def create(
        self, tx: Tx, facts: ProviderFacts, *, client_secret: str, granter: frozenset[str]
    ) -> IdentityProvider:
        """Make a provider that people of this tenant may sign in with.

        Args:
            facts: Taken as they are: :meth:`look_at` asks the provider.
            client_secret: What we show it; sealed.
            granter: The permissions of whoever configures it: nobody it lets in has more.

        Raises:
            RoleTooHighError: A group would become a role that the granter lacks.
            OwnerByMappingError: A group would become owner.
            ProviderUnusableError: Its issuer is no https address, or the domain none.
        """
        await self._refuse_roles(tx, facts, granter)
        row = IdentityProviderRow(
            id=(provider_id := uuid7()),
            tenant_id=tx.tenant_id,
            sealed_secret=await self._sealed(tx, provider_id, client_secret),
            domain_token=secrets.token_urlsafe(24),
            domain_state=_CLAIMED,
            created_at=tx.now(),
            **self._values(facts),
        )
        tx.session.add(row)
        self._told(tx, "identity_provider.created", row)
        return self._shown(row)

    async def change(
        self,
        tx: Tx,
        provider_id: str,
        facts: ProviderFacts,
        *,
        client_secret: str | None,
        granter: frozenset[str],
    ) -> IdentityProvider:
        """Replace what is said of a provider; another domain has to be proven anew.

        With another issuer or client, or disabled, it is another provider: log-ins through it end.
        Enforced for a domain that is its own, it ends the log-ins that passwords opened there.

        Raises:
            ProviderNotFoundError: There is none.
            RoleTooHighError: A role of before or of now is one that the granter lacks.
            OwnerByMappingError: A group would become owner.
            ProviderUnusableError: Its issuer is no https address, or the domain none.
        """
        row = await self._row(tx, provider_id, lock=True)
        await self._refuse_higher(tx, row, granter)
        await self._refuse_roles(tx, facts, granter)
        values = self._values(facts)
        before = _only_way_in(row)
        if values["domain"] != row.domain:
            row.domain_state, row.domain_token = _CLAIMED, secrets.token_urlsafe(24)
        if facts.disabled or (facts.issuer, facts.client_id) != (row.issuer, row.client_id):
            await self._forget_answers(tx, row.id)
            await self._end_log_ins(tx, "provider_id", [row.id])
        for name, value in values.items():
            setattr(row, name, value)
        if client_secret is not None:
            row.sealed_secret = await self._sealed(tx, row.id, client_secret)
        if not before:
            # Which it was already: nobody could have logged in since.
            await self._end_passwords(tx, row)
        self._told(tx, "identity_provider.changed", row)
        return self._shown(row)

    async def delete(self, tx: Tx, provider_id: str, *, remover: frozenset[str] | None) -> None:
        """Forget a provider; log-ins through it end. Who came by it stays a member.

        Raises:
            ProviderNotFoundError: There is none.
            RoleTooHighError: It hands out a role that the remover lacks.
        """
        row = await self._row(tx, provider_id, lock=True)
        await self._refuse_higher(tx, row, remover)
        await self._forget_answers(tx, row.id)
        await self._end_log_ins(tx, "provider_id", [row.id])
        await tx.session.delete(row)
        self._told(tx, "identity_provider.deleted", row)

    async def stop_enforcing(self, tx: Tx) -> list[str]:
        """Let the tenant's people log in with passwords again; the names of what was enforced.

        For operators, when a provider fails and nobody gets in to say so.
        """
        rows = await tx.scalars(
            sa.select(IdentityProviderRow)
            .where(
                IdentityProviderRow.tenant_id == tx.tenant_id,
                IdentityProviderRow.enforced.is_(True),
            )
            .with_for_update()
        )
        for row in rows:
            row.enforced = False
            self._told(tx, "identity_provider.changed", row)
        return [row.name for row in rows]

    # --- whose domain ----------------------------------------------------------------------------

    async def look_for_proof(self, provider: IdentityProvider) -> str:
        """What is missing of the proof of its domain; empty when the name servers have it.

        Opens connections, so call it outside transactions.
        """
        name = provider.proof_name
        if name is None:
            return "It claims no domain"
        try:
            texts = await self._outbound.look_up_texts(name, tenant_id=provider.tenant_id)
        except (NotAllowedError, UnreachableError) as exc:
            return exc.detail or exc.title
        if provider.proof_value in texts:
            return ""
        return f"There is no TXT record {name} that says {provider.proof_value}"

    async def take_domain(
        self, tx: Tx, provider_id: str, *, state: str, of: IdentityProvider | None = None
    ) -> IdentityProvider:
        """Have the provider speak for its domain from now on.

        An enforced one ends the log-ins that passwords opened there.

        Args:
            provider_id: Which.
            state: ``proven`` by DNS, or ``confirmed`` by the platform.
            of: What was looked at for the proof: it must still be so. None is the platform's word,
                about a provider of any tenant.

        Raises:
            ProviderNotFoundError: There is none.
            DomainNotProvenError: It claims no domain, or another one meanwhile.
            DomainTakenError: Another provider speaks for this domain.
        """
        row = await self._row(tx, provider_id, lock=True, anywhere=of is None)
        if row.domain is None or (of is not None and _proof(row) != of.proof_value):
            raise DomainNotProvenError
        try:
            async with tx.savepoint():
                row.domain_state = state
                await tx.session.flush()
        except Integrity as exc:
            raise DomainTakenError from exc
        await self._end_passwords(tx, row)
        target = f"identity_provider:{row.id}"
        tx.audit(f"domain.{state}", target, tenant_id=row.tenant_id, domain=row.domain)
        tx.emit("domain.taken", target, tenant_id=row.tenant_id, domain=row.domain, by=state)
        return self._shown(row)

    # --- at a log-in -----------------------------------------------------------------------------

    async def find_by_email(self, tx: ReadTx, email: str) -> IdentityProvider | None:
        """The provider that speaks for the address's domain; disabled ones do not."""
        try:
            domain = canonical_domain(email_domain(email))
        except ProviderUnusableError:
            return None
        row: IdentityProviderRow | None = await tx.scalar(
            sa.select(IdentityProviderRow).where(
                IdentityProviderRow.domain == domain,
                IdentityProviderRow.domain_state != _CLAIMED,
                IdentityProviderRow.disabled.is_(False),
            )
        )
        return self._shown(row) if row is not None else None

    async def find_enforced(self, tx: ReadTx, email: str) -> IdentityProvider | None:
        """The provider but for which nobody with this address logs in."""
        found = await self.find_by_email(tx, email)
        return found if found is not None and found.enforced else None

    async def refuse_enforced(self, tx: ReadTx, email: str) -> None:
        """Refuse an address that nobody logs in with here by a password.

        Raises:
            DomainEnforcedError: A provider speaks for its domain, and is enforced.
        """
        found = await self.find_enforced(tx, email)
        if found is not None:
            raise DomainEnforcedError(
                f"People of {found.domain} sign in with their organisation's own provider, which "
                "lets them into its tenant alone; for another, use an address of another domain"
            )

    async def are_there_any(self, tx: ReadTx) -> bool:
        """Whether anybody signs in so."""
        query = sa.select(IdentityProviderRow.id).where(
            IdentityProviderRow.domain_state != _CLAIMED,
            IdentityProviderRow.disabled.is_(False),
        )
        return await tx.scalar(query.limit(1)) is not None

    async def relation(self, tx: ReadTx, provider: IdentityProvider) -> Relation:
        """As whom we ask it, the secret opened; the transaction speaks for the provider's tenant.

        Raises:
            ProviderNotFoundError: It is gone.
        """
        sealed = await tx.scalar(
            sa.select(IdentityProviderRow.sealed_secret).where(
                IdentityProviderRow.tenant_id == provider.tenant_id,
                IdentityProviderRow.id == provider.id,
            )
        )
        if sealed is None:
            raise ProviderNotFoundError
        keyring = await self._security.keyring(tx)
        return Relation(
            provider.id,
            provider.tenant_id,
            provider.issuer,
            provider.client_id,
            keyring.open(provider_place(provider.id), sealed).decode(),
            provider.groups_claim,
        )

    async def find(self, tx: ReadTx, provider_id: str) -> IdentityProvider | None:
        """A provider of any tenant that is not disabled."""
        row: IdentityProviderRow | None = await tx.scalar(
            sa.select(IdentityProviderRow).where(
                IdentityProviderRow.id == provider_id, IdentityProviderRow.disabled.is_(False)
            )
        )
        return self._shown(row) if row is not None else None

    @staticmethod
    def role_for(provider: IdentityProvider, groups: Sequence[str]) -> str | None:
        """What somebody in these groups becomes; of several mappings the first counts."""
        member = set(groups)
        for group, role in provider.roles_by_group.items():
            if group in member:
                return role
        return provider.default_role

    # --- parts -----------------------------------------------------------------------------------

    async def _refuse_higher(
        self, tx: Tx, row: IdentityProviderRow, holder: frozenset[str] | None
    ) -> None:
        """Refuse to change what hands out roles that the holder lacks."""
        for role in dict.fromkeys([*(role for _, role in row.roles_by_group), row.default_role]):
            if role is not None:
                await self._roles.refuse_higher(tx, role, holder, taken=True)

    async def _refuse_roles(self, tx: Tx, facts: ProviderFacts, granter: frozenset[str]) -> None:
        for role in [*facts.roles_by_group.values(), facts.default_role]:
            if role is None:
                continue
            if role == _OWNER:
                raise OwnerByMappingError
            await self._roles.refuse_higher(tx, role, granter)

    async def _row(
        self, tx: ReadTx, provider_id: str, *, lock: bool = False, anywhere: bool = False
    ) -> IdentityProviderRow:
        query = sa.select(IdentityProviderRow).where(IdentityProviderRow.id == provider_id)
        if not anywhere:
            query = query.where(IdentityProviderRow.tenant_id == tx.tenant_id)
        row: IdentityProviderRow | None = await tx.scalar(
            query.with_for_update() if lock else query
        )
        if row is None:
            raise ProviderNotFoundError
        return row

    async def _forget_answers(self, tx: Tx, provider_id: str) -> None:
        """Take no answer to what it was asked before."""
        await tx.execute(
            sa.delete(ExternalLogInRow)
            .where(ExternalLogInRow.provider_id == provider_id)
            .execution_options(synchronize_session=False)
        )

    async def _end_passwords(self, tx: Tx, row: IdentityProviderRow) -> None:
        """End what passwords opened that open nothing any more, or would open it half done."""
        if row.domain is None or not _only_way_in(row):
            return
        people = await self._tenants.hold_logins_of(tx, row.domain)
        for first in range(0, len(people), _AT_ONCE):
            await self._end_log_ins(tx, "user_id", people[first : first + _AT_ONCE])

    async def _end_log_ins(self, tx: Tx, of: str, keys: Sequence[str]) -> None:
        await tx.execute(
            sa.delete(PendingLogIn)
            .where(getattr(PendingLogIn, of).in_(keys))
            .execution_options(synchronize_session=False)
        )
        ended = await tx.execute(
            sa.delete(BrowserSession)
            .where(getattr(BrowserSession, of).in_(keys))
            .returning(BrowserSession.id, BrowserSession.user_id)
            .execution_options(synchronize_session=False)
        )
        for session_id, user_id in ended.all():
            tx.audit("session.ended", f"user:{user_id}", session=session_id)
            tx.signal(PRINCIPALS, f"user:{user_id}")

    async def _sealed(self, tx: Tx, provider_id: str, secret: str) -> bytes:
        keyring = await self._security.keyring(tx)
        return keyring.seal(provider_place(provider_id), secret.encode())

    def _values(self, facts: ProviderFacts) -> dict[str, Any]:
        self._external.refuse_address(facts.issuer, "issuer")
        return {
            "name": facts.name,
            "issuer": facts.issuer,
            "client_id": facts.client_id,
            "groups_claim": facts.groups_claim,
            # In order: of several mappings the first counts.
            "roles_by_group": [list(pair) for pair in facts.roles_by_group.items()],
            "default_role": facts.default_role,
            "second_factor": facts.second_factor,
            "domain": None if facts.domain is None else canonical_domain(facts.domain),
            "enforced": facts.enforced,
            "disabled": facts.disabled,
        }

    def _told(self, tx: Tx, what: str, row: IdentityProviderRow) -> None:
        target = f"identity_provider:{row.id}"
        tx.audit(what, target, name=row.name, issuer=row.issuer, domain=row.domain)
        tx.emit(what, target, name=row.name, issuer=row.issuer)

    def _shown(self, row: IdentityProviderRow) -> IdentityProvider:
        return IdentityProvider(
            row.id,
            row.tenant_id,
            row.name,
            row.issuer,
            row.client_id,
            self._external.redirect_uri(row.id),
            row.groups_claim,
            dict(row.roles_by_group),
            row.default_role,
            row.second_factor,
            row.domain,
            row.domain_state if row.domain else "none",
            f"{PROOF_LABEL}.{row.domain}" if row.domain else None,
            _proof(row),
            row.enforced,
            row.disabled,
            row.created_at,
        )


def canonical_domain(text: str) -> str:
    """A mail domain as it is kept and compared: lower case, in ASCII.

    Raises:
        ProviderUnusableError: It is no domain of the public Internet's form.
    """
    try:
        found = idna.encode(text.strip().rstrip("."), uts46=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        found = ""
    if not _DOMAIN.fullmatch(found):
        raise ProviderUnusableError("The domain is none")
    return found


def _proof(row: IdentityProviderRow) -> str | None:
    return f"{_PROOF}{row.domain_token}" if row.domain else None


def _only_way_in(row: IdentityProviderRow) -> bool:
    """Whether nobody of its domain logs in with a password."""
    return row.enforced and not row.disabled and row.domain_state != _CLAIMED
