"""Invitations: how a person becomes a member, by their own hand and never by somebody else's.

Whoever may add people names an e-mail address and a role. The link that goes there works once and
for a while. Who has no log-in of this address sets one up, with a password that nobody else ever
knew; who has one must be logged in with it. Only then, and if whoever invited could still do so, is
a membership made. So a log-in that one tenant had made opens no door of another: without the link
it is not let in, and with the link alone it is not either.

Whoever invites is shown a link too, and may keep it for themselves. So it proves nothing of the
mailbox: the one that is mailed is another.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlencode

import sqlalchemy as sa

from backend.core.audit import Personal
from backend.core.context import SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import AppError
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.paging import newest
from backend.core.room import PLATFORM_WRITE
from backend.core.subject import Bite, Subject
from backend.kit import credentials
from backend.managers.identity._bounds import held_to, is_over
from backend.managers.identity._clients import CONSOLE
from backend.managers.identity._failures import Failure, FailureAudit, FailureLimits, stranger
from backend.managers.identity._logins import Peer
from backend.managers.identity._mail import SendMail, invitation_text
from backend.managers.identity._providers import IdentityProviders
from backend.managers.identity.errands import JOIN
from backend.managers.identity.errors import (
    InvitationClosedError,
    InvitationExistsError,
    InvitationNotFoundError,
    InvitationUnknownError,
    LogInFirstError,
)
from backend.managers.identity.models import InvitationRow, OauthClient
from backend.managers.identity.settings import IdentitySettings
from backend.managers.tenant import (
    MEMBER_WRITE,
    MemberExistsError,
    Tenant,
    TenantManager,
    User,
    email_identity,
)

INVITATION_PATH: Final = "/oauth/invitation"
_KEPT_DAYS: Final = 90
_SWEPT: Final = 1000

State = Literal["open", "accepted", "revoked", "expired"]
Holder = Callable[[ReadTx, str], Awaitable[frozenset[str] | None]]
"""What an inviter, named by id, may do in the transaction's tenant now; None: they are gone."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation as its tenant sees it; never carries the link."""

    id: str
    email: str
    name: str
    role: str
    state: State
    invited_by: str
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Offer:
    """What somebody with a link is offered.

    Attributes:
        email: Whom it was sent to.
        name: What the inviter calls them; empty: nothing.
        role: What they become.
        tenant: Where.
        known: The log-in of this address; None: there is none yet.
    """

    email: str
    name: str
    role: str
    tenant: Tenant
    known: User | None


class _Links(NamedTuple):
    """Both links of an invitation, and what is kept of them."""

    shown: str
    mailed: str | None
    hashes: tuple[bytes, bytes | None]


class Invitations:
    """Making, revoking and accepting them.

    What a tenant does takes ``tx`` under the errand INVITE; what the invited person does opens its
    own transactions, because nobody has said yet whose they are.
    """

    def __init__(
        self,
        database: Database,
        tenants: TenantManager,
        settings: IdentitySettings,
        *,
        limits: FailureLimits,
        failures: FailureAudit,
        providers: IdentityProviders,
        send_mail: SendMail | None,
    ) -> None:
        self._providers = providers
        self._database = database
        self._tenants = tenants
        self._settings = settings
        self._limits = limits
        self._failures = failures
        self._send_mail = send_mail
        self._holders: dict[str, Holder] = {"client": self._client_permissions}
        tenants.invite_owner = self.invite_owner

    def ask_about(self, kind: str, holder: Holder) -> None:
        """Have an upper room say what callers of its kind may still do when one is accepted."""
        self._holders[kind] = holder

    # --- what a tenant does ----------------------------------------------------------------------

    async def look_at(self, email: str) -> None:
        """Refuse an address that could not log in once it has accepted.

        It takes a look at all tenants' providers, so call it before the tenant's transaction; one
        who accepts is looked at again.

        Raises:
            DomainEnforcedError: Its domain's people sign in elsewhere.
        """
        async with self._database.read(SystemScope(JOIN)) as view:
            await self._providers.refuse_enforced(view, email)

    async def create(
        self, tx: Tx, *, email: str, name: str, role: str, granter: frozenset[str] | None
    ) -> tuple[Invitation, str]:
        """Invite somebody; returns the invitation with its link, which is kept nowhere.

        Where the platform has a mail server of its own the link is mailed too, in the same commit.

        Args:
            tx: Of the tenant.
            email: Of whom.
            name: What they are called; empty: they say it themselves.
            role: What they become.
            granter: The permissions of whoever invites; None for the platform itself.

        Raises:
            RoleTooHighError: The role has permissions the granter lacks.
            MemberExistsError: Who logs in with this e-mail is a member already.
            InvitationExistsError: There is one that waits already.
        """
        await self._tenants.roles.refuse_higher(tx, role, granter)
        found = await self._tenants.find_login(tx, email)
        if found is not None and await self._tenants.is_member(tx, found[0].id):
            raise MemberExistsError
        tenant = await self._tenants.get_tenant(tx, tx.tenant_id)
        row, links = await self._add(tx, email=email, name=name, role=role, by_platform=False)
        await self._mail(tx, row, links, tenant)
        return _invitation(tx, row), links.shown

    async def invite_owner(self, tx: Tx, tenant: Tenant, email: str) -> str:
        """Invite a tenant's owner on the platform's behalf; returns the link.

        One that waits for the same e-mail is void then.
        """
        async with tx.within(tenant.id) as part:
            await part.execute(
                sa.update(InvitationRow)
                .where(
                    InvitationRow.tenant_id == tenant.id,
                    InvitationRow.open_key == email_identity(email),
                )
                .values(open_key=None, revoked_at=tx.now())
                .execution_options(synchronize_session=False)
            )
            row, links = await self._add(part, email=email, name="", role="owner", by_platform=True)
        await self._mail(tx, row, links, tenant)
        return links.shown

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> Sequence[Invitation]:
        """The tenant's invitations, newest first, one more than ``limit``."""
        query = sa.select(InvitationRow).where(InvitationRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, InvitationRow.id, limit, before_id))
        return [_invitation(tx, row) for row in rows]

    async def get(self, tx: ReadTx, invitation_id: str) -> Invitation:
        """One of the tenant's invitations.

        Raises:
            InvitationNotFoundError: No such invitation in this tenant.
        """
        return _invitation(tx, await self._row(tx, invitation_id))

    async def revoke(self, tx: Tx, invitation_id: str, *, remover: frozenset[str]) -> None:
        """Take an invitation back; its link is void at once.

        Raises:
            InvitationNotFoundError: No such invitation in this tenant.
            InvitationClosedError: It was accepted or revoked already.
            RoleTooHighError: It offers permissions the remover lacks.
        """
        row = await self._row(tx, invitation_id, lock=True)
        await self._tenants.roles.refuse_higher(tx, row.role, remover, taken=True)
        self._refuse_closed(row)
        _close(tx, row)
        email = Personal.address(row.email)
        tx.audit("invitation.revoked", f"invitation:{row.id}", email=email, role=row.role)
        tx.emit("invitation.revoked", f"invitation:{row.id}", email=row.email, role=row.role)

    async def resend(
        self, tx: Tx, invitation_id: str, *, granter: frozenset[str]
    ) -> tuple[Invitation, str]:
        """Give an invitation, expired or not, a new link and its time again; the old link is void.

        Whoever sends it again answers for it from now on.

        Raises:
            InvitationNotFoundError: No such invitation in this tenant.
            InvitationClosedError: It was accepted or revoked.
            InvitationExistsError: Another one for the same e-mail waits.
            RoleTooHighError: It offers permissions the granter lacks.
        """
        row = await self._row(tx, invitation_id, lock=True)
        await self._tenants.roles.refuse_higher(tx, row.role, granter)
        self._refuse_closed(row)
        if row.open_key is None and await tx.scalar(
            sa.select(InvitationRow.id).where(
                InvitationRow.tenant_id == tx.tenant_id,
                InvitationRow.open_key == email_identity(row.email),
            )
        ):
            raise InvitationExistsError
        links = self._new_links()
        row.token_hash, row.mailed_hash = links.hashes
        row.open_key = email_identity(row.email)
        row.invited_by, row.by_platform = tx.scope.actor, False
        row.expires_at = self._end(tx)
        invited = Personal.address(row.email)
        tx.audit("invitation.renewed", f"invitation:{row.id}", email=invited, role=row.role)
        tx.emit("invitation.renewed", f"invitation:{row.id}", email=row.email, role=row.role)
        await tx.session.flush()
        await self._mail(tx, row, links, await self._tenants.get_tenant(tx, tx.tenant_id))
        return _invitation(tx, row), links.shown

    async def erase(self, tx: Tx, who: Subject, after: str) -> Bite:
        """Forget invitations of an address, whatever became of them; one that waits is void."""
        if who.address is None:
            return Bite(0)
        found = await tx.execute(
            sa.select(InvitationRow.id, InvitationRow.email)
            .where(
                InvitationRow.tenant_id == tx.tenant_id,
                InvitationRow.id > after if after else sa.true(),
            )
            .order_by(InvitationRow.id)
            .limit(_SWEPT)
        )
        rows, key = found.all(), email_identity(who.address)
        theirs = [row.id for row in rows if email_identity(row.email) == key]
        gone = await tx.delete_some(InvitationRow, InvitationRow.id.in_(theirs), limit=_SWEPT)
        last = rows[-1].id if len(rows) == _SWEPT else None
        return Bite(len(rows), {InvitationRow.__tablename__: gone}, after=last)

    async def sweep(self, tx: Tx) -> int:
        """Forget up to 1000 that ended 90 days ago; the trail has what became of them."""
        before = tx.now() - timedelta(days=_KEPT_DAYS)
        return await tx.delete_some(InvitationRow, InvitationRow.expires_at < before, limit=_SWEPT)

    async def _add(
        self, tx: Tx, *, email: str, name: str, role: str, by_platform: bool
    ) -> tuple[InvitationRow, _Links]:
        key = email_identity(email)
        await tx.execute(
            sa.update(InvitationRow)
            .where(
                InvitationRow.tenant_id == tx.tenant_id,
                InvitationRow.open_key == key,
                InvitationRow.expires_at <= tx.now(),
            )
            .values(open_key=None)
            .execution_options(synchronize_session=False)
        )
        links = self._new_links()
        values: dict[str, Any] = {
            "id": uuid7(),
            "tenant_id": tx.tenant_id,
            "email": email,
            "open_key": key,
            "name": name,
            "role": role,
            "token_hash": links.hashes[0],
            "mailed_hash": links.hashes[1],
            "invited_by": tx.scope.actor,
            "by_platform": by_platform,
            "created_at": tx.now(),
            "expires_at": self._end(tx),
            "accepted_at": None,
            "revoked_at": None,
        }
        if not await tx.insert_new(InvitationRow, values, conflict=["tenant_id", "open_key"]):
            raise InvitationExistsError
        subject = f"invitation:{values['id']}"
        tx.audit("invitation.created", subject, email=Personal.address(email), role=role)
        tx.emit("invitation.created", subject, email=email, role=role)
        return InvitationRow(**values), links

    async def _mail(self, tx: Tx, row: InvitationRow, links: _Links, tenant: Tenant) -> None:
        if self._send_mail is not None and links.mailed is not None:
            subject, text = invitation_text(tenant.name, row.role, links.mailed, row.expires_at)
            await self._send_mail(tx, row.email, subject, text)

    async def _row(self, tx: ReadTx, invitation_id: str, *, lock: bool = False) -> InvitationRow:
        query = sa.select(InvitationRow).where(
            InvitationRow.id == invitation_id, InvitationRow.tenant_id == tx.tenant_id
        )
        row: InvitationRow | None = await tx.scalar(query.with_for_update() if lock else query)
        if row is None:
            raise InvitationNotFoundError
        return row

    @staticmethod
    def _refuse_closed(row: InvitationRow) -> None:
        if row.accepted_at is not None or row.revoked_at is not None:
            raise InvitationClosedError

    def _end(self, tx: ReadTx) -> datetime:
        return tx.now() + timedelta(seconds=self._settings.invitation_seconds)

    def _new_links(self) -> _Links:
        """Two that work alike, once together; the second only where mail is sent."""
        shown, mailed = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        if self._send_mail is None:
            return _Links(self._link(shown), None, (credentials.digest_of(shown), None))
        hashes = credentials.digest_of(shown), credentials.digest_of(mailed)
        return _Links(self._link(shown), self._link(mailed), hashes)

    def _link(self, token: str) -> str:
        return f"{self._settings.issuer}{INVITATION_PATH}?{urlencode({'token': token})}"

    # --- what the invited person does ------------------------------------------------------------

    async def find(self, token: str, peer: Peer) -> Offer:
        """What a link offers, while it does.

        Raises:
            InvitationUnknownError: There is no such link, or a newer one.
            InvitationClosedError: It was accepted, revoked or has expired, and says which.
            DomainEnforcedError: Its person signs in elsewhere.
            TooManyFailuresError: Too many wrong links from this address.
        """
        await self._limits.refuse_exhausted(peer.address)
        async with self._database.read(SystemScope(JOIN)) as view:
            row: InvitationRow | None = await view.scalar(
                sa.select(InvitationRow).where(_found_by(credentials.digest_of(token)))
            )
            if row is not None:
                if (state := _invitation(view, row).state) != "open":
                    raise InvitationClosedError(_ENDED[state])
                if not await self._tenants.is_active(view, row.tenant_id):
                    raise InvitationClosedError("The tenant is not active.")
                await self._providers.refuse_enforced(view, row.email)
                known = await self._tenants.find_login(view, row.email)
                tenant = await self._tenants.get_tenant(view, row.tenant_id)
                return Offer(row.email, row.name, row.role, tenant, known[0] if known else None)
        await self._failures.note(
            Failure("invitation.refused", stranger(peer.address), peer.address), peer.request_id
        )
        await self._limits.charge(peer.address, f"invitation:{peer.address}")
        raise InvitationUnknownError

    async def accept(
        self,
        token: str,
        peer: Peer,
        *,
        user: User | None,
        name: str = "",
        password_hash: str | None = None,
    ) -> str:
        """Make the membership, and the log-in if there is none; returns where the console is.

        All in one transaction: the link is spent, whoever invited is asked about again, the person
        is who the invitation was sent to.

        Args:
            token: The link's.
            peer: Who accepts.
            user: Who is logged in.
            name: Of a new person.
            password_hash: Of a new person, by a password of their own.

        Raises:
            InvitationUnknownError: There is no such link.
            InvitationClosedError: It has ended, or whoever invited could not do so any more.
            LogInFirstError: The e-mail has a log-in, and whoever asks is not logged in with it.
            MemberExistsError: They are a member already.
            DomainEnforcedError: They sign in elsewhere.
            StockReachedError: The tenant has as many members as it may; the link still works.
        """
        scope = SystemScope(
            JOIN, actor=f"user:{user.id}" if user else "system", request_id=peer.request_id
        )
        async with self._database.transaction(scope) as tx:
            row = await self._claim(tx, token)
            void = not await self._vouched(tx, row)
            if void:
                await self._void(tx, row)
            else:
                mailed = row.mailed_hash == credentials.digest_of(token)
                await self._join(tx, row, user, name, password_hash, mailed=mailed)
            console = await tx.scalar(
                sa.select(OauthClient.redirect_uris).where(OauthClient.client_id == CONSOLE)
            )
        if void:
            raise InvitationClosedError("Whoever invited you cannot do so any more.")
        return console[0].removesuffix("/oauth2callback") if console else ""

    async def _claim(self, tx: Tx, token: str) -> InvitationRow:
        """Spend the link, if nobody has: by one statement, so that two at once cannot."""
        digest = credentials.digest_of(token)
        row: InvitationRow | None = await tx.scalar(
            sa.update(InvitationRow)
            .where(
                _found_by(digest),
                InvitationRow.accepted_at.is_(None),
                InvitationRow.revoked_at.is_(None),
                InvitationRow.expires_at > tx.now(),
            )
            .values(accepted_at=tx.now(), open_key=None)
            .returning(InvitationRow)
            .execution_options(synchronize_session=False)
        )
        if row is not None:
            return row
        ended = await tx.scalar(sa.select(InvitationRow).where(_found_by(digest)))
        if ended is None:
            raise InvitationUnknownError
        raise InvitationClosedError(_ENDED[_invitation(tx, ended).state])

    async def _join(
        self,
        tx: Tx,
        row: InvitationRow,
        user: User | None,
        name: str,
        password_hash: str | None,
        *,
        mailed: bool,
    ) -> None:
        if not await self._tenants.is_active(tx, row.tenant_id):
            raise InvitationClosedError("The tenant is not active.")
        await self._providers.refuse_enforced(tx, row.email)
        known = await self._tenants.find_login(tx, row.email)
        if known is not None and (user is None or user.id != known[0].id or known[0].disabled):
            raise LogInFirstError
        if known is None and password_hash is None:
            raise LogInFirstError
        person = known[0] if known is not None else None
        if person is None:
            person = await self._tenants.create_user(
                tx,
                email=row.email,
                name=name,
                password_hash=password_hash,
                audit_tenant_id=row.tenant_id,
                email_proven=mailed,
            )
        elif mailed:
            await self._tenants.prove_email(tx, person.id)
        await self._tenants.add_member(
            tx, tenant_id=row.tenant_id, user_id=person.id, role=row.role, granter=None
        )
        target = f"invitation:{row.id}"
        told = {"user": person.id, "role": row.role}
        tx.audit("invitation.accepted", target, tenant_id=row.tenant_id, **told)
        tx.emit("invitation.accepted", target, tenant_id=row.tenant_id, **told)

    async def _void(self, tx: Tx, row: InvitationRow) -> None:
        await tx.execute(
            sa.update(InvitationRow)
            .where(InvitationRow.tenant_id == row.tenant_id, InvitationRow.id == row.id)
            .values(accepted_at=None, revoked_at=tx.now())
            .execution_options(synchronize_session=False)
        )
        target = f"invitation:{row.id}"
        told = {"role": row.role, "reason": "inviter"}
        email = Personal.address(row.email)
        tx.audit("invitation.revoked", target, tenant_id=row.tenant_id, email=email, **told)
        tx.emit("invitation.revoked", target, tenant_id=row.tenant_id, email=row.email, **told)

    async def _vouched(self, tx: Tx, row: InvitationRow) -> bool:
        """Whether whoever invited could do it now."""
        kind, _, name = row.invited_by.partition(":")
        if kind == "system":
            return True
        if kind == "user":
            holds = await self._person_permissions(tx, row, name)
        elif kind in self._holders:
            # A program of the platform's own has its role in the platform's tenant.
            where = PLATFORM_TENANT if row.by_platform else row.tenant_id
            async with tx.within(where) as part:
                holds = await self._holders[kind](part, name)
        else:
            holds = None
        if holds is None:
            return False
        if row.by_platform:
            return PLATFORM_WRITE in holds
        offered = await self._tenants.roles.permissions_of(tx, row.role, tenant_id=row.tenant_id)
        return MEMBER_WRITE in holds and offered <= holds

    async def _person_permissions(
        self, tx: Tx, row: InvitationRow, user_id: str
    ) -> frozenset[str] | None:
        try:
            user = await self._tenants.get_user(tx, user_id)
        except AppError:
            return None
        if user.disabled:
            return None
        roles = self._tenants.roles
        if row.by_platform:
            return await roles.permissions_of(tx, "", platform_role=user.platform_role or "")
        membership = await self._tenants.find_membership(tx, row.tenant_id, user_id)
        if membership is None:
            return None
        return await roles.permissions_of(tx, membership.role, tenant_id=row.tenant_id)

    async def _client_permissions(self, tx: ReadTx, client_id: str) -> frozenset[str] | None:
        row = await tx.scalar(
            sa.select(OauthClient).where(
                OauthClient.tenant_id == tx.tenant_id,
                OauthClient.client_id == client_id,
                OauthClient.disabled.is_(False),
            )
        )
        if row is None or is_over(row.expires_at, tx.now()):
            return None
        return held_to(row.scopes, await self._tenants.roles.permissions_of(tx, row.role))


_ENDED: Final = {
    "open": "",
    "accepted": "It has been accepted already, and works once.",
    "revoked": "It has been taken back.",
    "expired": "Its time is over. Ask whoever invited you to send it again.",
}


def _found_by(digest: bytes) -> sa.ColumnElement[bool]:
    return sa.or_(InvitationRow.token_hash == digest, InvitationRow.mailed_hash == digest)


def _close(tx: Tx, row: InvitationRow) -> None:
    row.revoked_at, row.open_key = tx.now(), None


def _invitation(tx: ReadTx, row: InvitationRow) -> Invitation:
    state: State = "open"
    if row.accepted_at is not None:
        state = "accepted"
    elif row.revoked_at is not None:
        state = "revoked"
    elif row.expires_at <= tx.now():
        state = "expired"
    return Invitation(
        row.id,
        row.email,
        row.name,
        row.role,
        state,
        row.invited_by,
        row.created_at,
        row.expires_at,
        row.accepted_at,
    )
