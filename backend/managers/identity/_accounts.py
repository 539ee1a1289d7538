"""A person's own account: their name, their password, where they are logged in.

Whoever changes a password proves the old one; whoever forgot it, that they read the mail of the
address it belongs to. What a stranger asks for an address is answered the same, with the same work,
whether or not anybody logs in with it: the request is a job, and the job finds out.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import sqlalchemy as sa

from backend.core.audit import Personal
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.ids import PLATFORM_TENANT
from backend.kit import credentials
from backend.managers.identity._devices import account_of
from backend.managers.identity._failures import (
    Failure,
    FailureAudit,
    FailureLimits,
    stranger,
)
from backend.managers.identity._logins import LogIns, Peer
from backend.managers.identity._mail import SendMail, reset_text
from backend.managers.identity._password import refuse_weak
from backend.managers.identity._totp import SecondFactors
from backend.managers.identity.errands import ACCOUNT
from backend.managers.identity.errors import (
    PasswordWrongError,
    ResetUnknownError,
    SessionNotFoundError,
)
from backend.managers.identity.models import BrowserSession, PasswordReset
from backend.managers.identity.settings import IdentitySettings
from backend.managers.orchestrator import Claim, JobKind, OrchestratorManager
from backend.managers.tenant import TenantManager, User, email_identity, hash_password

RESET_PATH: Final = "/oauth/password-reset"
RESET_JOB: Final = "identity.password_reset"


@dataclass(frozen=True, slots=True)
class SessionView:
    """One browser in which a person is logged in."""

    id: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    address: str
    agent: str


class Accounts:
    """What people do with their own account; each needs the errand ACCOUNT."""

    def __init__(
        self,
        database: Database,
        tenants: TenantManager,
        settings: IdentitySettings,
        *,
        log_ins: LogIns,
        second_factors: SecondFactors,
        limits: FailureLimits,
        failures: FailureAudit,
        jobs: OrchestratorManager | None,
        send_mail: SendMail | None,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._settings = settings
        self._log_ins = log_ins
        self._second_factors = second_factors
        self._limits = limits
        self._failures = failures
        self._send_mail = send_mail
        self._jobs = jobs

    @property
    def can_reset(self) -> bool:
        """Whether the installation can mail a link to whoever forgot their password."""
        return self._send_mail is not None and self._jobs is not None

    # --- the password ----------------------------------------------------------------------------

    async def change_password(
        self, user_id: str, *, session_id: str, old: str, new: str, peer: Peer
    ) -> None:
        """Replace a person's password and end all their log-ins but this one.

        Raises:
            PasswordWrongError: The old one is not right.
            WeakPasswordError: The new one is guessed first.
            TooManyFailuresError: Too many wrong ones; log-ins of the account count too.
        """
        async with self._database.read(SystemScope(ACCOUNT)) as view:
            user = await self._tenants.get_user(view, user_id)
            found = await self._tenants.find_login(view, user.email)
        refuse_weak(new, user.email)
        account = account_of(user.email)
        # Charged before the hash is computed, as a log-in is.
        await self._limits.charge(peer.address, account)
        encoded = found[1] if found is not None and found[0].id == user.id else None
        if not await self._log_ins.check_password(encoded, old):
            await self._failures.note(
                Failure(
                    "password.refused",
                    f"user:{user.id}",
                    peer.address,
                    actor=f"user:{user.id}",
                ),
                peer.request_id,
            )
            raise PasswordWrongError().at("old_password")
        self._limits.refund(peer.address, account)
        hashed = await asyncio.to_thread(hash_password, new)
        scope = SystemScope(ACCOUNT, actor=f"user:{user.id}", request_id=peer.request_id)
        async with self._database.transaction(scope) as tx:
            # Another may have been set while this one was looked at, to put out whoever knows it.
            if not await self._tenants.has_password(tx, user.id, encoded):
                raise PasswordWrongError().at("old_password")
            await self.replace_password(
                tx, user.email, hashed, action="user.password_changed", but=session_id
            )

    def reset_kind(self) -> JobKind:
        """The kind of job that mails links for new passwords."""
        return JobKind.simple(RESET_JOB, self._send_link)

    async def request_reset(self, email: str, peer: Peer) -> None:
        """Have a link mailed to whoever logs in with this e-mail, if anybody does.

        At most one a minute for an address. What it costs here does not depend on the address.

        Raises:
            TooManyFailuresError: Too many requests from this address or for this account.
        """
        if self._jobs is None or self._send_mail is None:
            return
        key = email_identity(email)
        await self._limits.charge(peer.address, f"reset:{key}")
        scope = Scope("system:identity", PLATFORM_TENANT, peer.request_id)
        async with self._database.transaction(scope) as tx:
            minute = int(tx.now().timestamp()) // 60
            digest = credentials.digest_of(key).hex()
            await self._jobs.submit(
                tx,
                RESET_JOB,
                args={"email": key, "address": peer.address},
                dedup_key=f"{digest}:{minute}",
            )

    async def _send_link(self, claim: Claim) -> None:
        """Make a link and queue the mail, in one transaction; nothing for who has no log-in."""
        args: dict[str, Any] = claim.args
        async with self._database.transaction(SystemScope(ACCOUNT)) as tx:
            found = await self._tenants.find_login(tx, args["email"])
            if found is None or found[0].disabled or self._send_mail is None:
                return
            user, token = found[0], secrets.token_urlsafe(32)
            ends = tx.now() + timedelta(seconds=self._settings.reset_seconds)
            # The newest link alone works: an older message may have been read by somebody else.
            await self._forget_links(tx, user.id)
            tx.session.add(
                PasswordReset(
                    token_hash=credentials.digest_of(token), user_id=user.id, expires_at=ends
                )
            )
            asked_from = Personal(f"user:{user.id}", args["address"])
            tx.audit("user.password_reset_asked", f"user:{user.id}", address=asked_from)
            link = f"{self._settings.issuer}{RESET_PATH}?{urlencode({'token': token})}"
            # To the address that is kept, never to the one that was typed: the two may differ in
            # letters that look alike.
            await self._send_mail(tx, user.email, *reset_text(link, ends))

    async def find_reset(self, token: str, peer: Peer) -> User:
        """Whose password a link sets, while it does.

        Raises:
            ResetUnknownError: There is no such link, it was used, or its time is over.
            TooManyFailuresError: Too many wrong links from this address.
        """
        await self._limits.refuse_exhausted(peer.address)
        async with self._database.read(SystemScope(ACCOUNT)) as view:
            user_id = await view.scalar(
                sa.select(PasswordReset.user_id).where(
                    PasswordReset.token_hash == credentials.digest_of(token),
                    PasswordReset.expires_at > view.now(),
                )
            )
            if user_id is not None:
                return await self._tenants.get_user(view, user_id)
        await self._failures.note(
            Failure("password_reset.refused", stranger(peer.address), peer.address),
            peer.request_id,
        )
        await self._limits.charge(peer.address, f"reset_link:{peer.address}")
        raise ResetUnknownError

    async def reset_password(self, token: str, password: str, peer: Peer) -> str:
        """Set a new password by a link, which is spent, and end all of the person's log-ins.

        Returns the cookie that makes the browser at hand a known one; no other is any more.

        Raises:
            ResetUnknownError: As for :meth:`find_reset`.
            WeakPasswordError: The password is guessed first; the link still works.
        """
        user = await self.find_reset(token, peer)
        refuse_weak(password, user.email)
        hashed = await asyncio.to_thread(hash_password, password)
        scope = SystemScope(ACCOUNT, actor=f"user:{user.id}", request_id=peer.request_id)
        async with self._database.transaction(scope) as tx:
            spent = await tx.scalar(
                sa.delete(PasswordReset)
                .where(
                    PasswordReset.token_hash == credentials.digest_of(token),
                    PasswordReset.expires_at > tx.now(),
                )
                .returning(PasswordReset.user_id)
                .execution_options(synchronize_session=False)
            )
            if spent is None or (await self._tenants.get_user(tx, spent)).disabled:
                raise ResetUnknownError
            await self.replace_password(tx, user.email, hashed, owner=True)
            return await self._log_ins.remember_device(tx, user.email)

    async def replace_password(
        self,
        tx: Tx,
        email: str,
        password_hash: str,
        *,
        action: str = "user.password_reset",
        but: str = "",
        owner: bool = False,
    ) -> None:
        """Set a password, make all links for another one void, and end the log-ins of the old one.

        An invitation's link is shown to whoever invites, so a log-in may be made by somebody whose
        address it is not, with a second factor that whoever it is does not have. So the first time
        that somebody shows it to be theirs, that goes as well. Afterwards it stays: who reads the
        mail of an address is not let in without the second factor.

        Args:
            tx: Under the errand ACCOUNT.
            email: Who logs in so.
            password_hash: Of the new one.
            action: What the trail calls it.
            but: The session that goes on.
            owner: Whether whoever sets it has shown that they read the mail of the address, or the
                operator answers for them.

        Raises:
            MemberNotFoundError: Nobody logs in with this e-mail.
        """
        user = await self._tenants.set_password(
            tx, email=email, password_hash=password_hash, action=action, email_proven=owner
        )
        if owner and user.email_proven_at is None:
            await self._second_factors.reset(tx, user.id)
        await self._forget_links(tx, user.id)
        await self._log_ins.end_all(tx, user.id, but=but)

    async def _forget_links(self, tx: Tx, user_id: str) -> None:
        await tx.execute(
            sa.delete(PasswordReset)
            .where(PasswordReset.user_id == user_id)
            .execution_options(synchronize_session=False)
        )

    # --- where they are logged in ----------------------------------------------------------------

    async def list_sessions(self, tx: ReadTx, user_id: str) -> list[SessionView]:
        """Where the person is logged in, newest first, at most a hundred."""
        rows: Sequence[BrowserSession] = await tx.scalars(
            sa.select(BrowserSession)
            .where(BrowserSession.user_id == user_id, BrowserSession.expires_at > tx.now())
            .order_by(BrowserSession.id.desc())
            .limit(100)
        )
        return [
            SessionView(
                row.id, row.created_at, row.last_seen_at, row.expires_at, row.address, row.agent
            )
            for row in rows
        ]

    async def end_session(self, tx: Tx, user_id: str, session_id: str) -> None:
        """End one of the person's log-ins; its tokens are void at once.

        Raises:
            SessionNotFoundError: They are not logged in there.
        """
        if not await self._log_ins.end_of(tx, user_id, only=session_id):
            raise SessionNotFoundError

    async def end_other_sessions(self, tx: Tx, user_id: str, session_id: str) -> int:
        """End all of the person's log-ins but this one; returns how many."""
        ended = await self._log_ins.end_all(tx, user_id, but=session_id)
        tx.audit("session.others_ended", f"user:{user_id}", count=ended)
        return ended

    # --- by administrators of the platform -------------------------------------------------------

    async def disable(self, tx: Tx, user_id: str) -> User:
        """Keep a person out of everything, and end their log-ins and tokens now.

        Raises:
            MemberNotFoundError, OwnAccountError, LastOwnerError: See the tenant room.
        """
        user = await self._tenants.people.disable(tx, user_id)
        await self._forget_links(tx, user_id)
        await self._log_ins.end_all(tx, user_id)
        return user
