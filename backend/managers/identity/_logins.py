"""People's log-ins in a browser: server-side sessions behind a cookie that proves nothing else."""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import Database, Tx
from backend.core.errors import NotFoundError
from backend.core.ids import uuid7
from backend.managers.identity._devices import Devices
from backend.managers.identity._failures import (
    Failure,
    FailureAudit,
    FailureLimits,
    stranger,
)
from backend.managers.identity._password import MAX_PASSWORD_BYTES, verify_password
from backend.managers.identity.errands import AUTHENTICATE
from backend.managers.identity.errors import LoginRefusedError
from backend.managers.identity.models import BrowserSession
from backend.managers.identity.settings import IdentitySettings
from backend.managers.tenant import PRINCIPALS, TenantManager, User, email_identity


class Peer(NamedTuple):
    """Where a request comes from; it may act for nobody yet."""

    address: str
    request_id: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class LogIn:
    """One browser's log-in: who, since when, until when."""

    session_id: str
    user: User
    started_at: datetime
    expires_at: datetime


class NewSession(NamedTuple):
    """A fresh session's cookie value, kept nowhere else, and its lifetime.

    ``device`` is a second cookie, by which the browser is known at its next log-in.
    """

    cookie: str
    seconds: int
    device: str


class LogIns:
    """Starts, finds and ends them, in its own transactions under the authenticate errand."""

    def __init__(
        self,
        database: Database,
        tenants: TenantManager,
        settings: IdentitySettings,
        *,
        devices: Devices,
        limits: FailureLimits,
        failures: FailureAudit,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._settings = settings
        self._devices = devices
        self._limits = limits
        self._failures = failures
        self._used: dict[str, datetime] = {}
        self._password_slots = asyncio.Semaphore(settings.password_checks_at_once)

    async def start(
        self,
        email: str,
        password: str,
        *,
        replaces: str | None,
        peer: Peer,
        device: str | None = None,
    ) -> NewSession:
        """Check a password and start a session, ending the one the browser had.

        The cookie is always a new one: a value planted before the log-in is worth nothing after.

        Raises:
            LoginRefusedError: Unknown, wrong or disabled, which take the same time and text.
            TooManyFailuresError: From this address, or for this account by strangers, or from this
                device, before any hashing.
        """
        account = f"login:{email_identity(email)}"
        # Charged before the hash is computed and given back on success: attempts in flight
        # together must not all be looked at before the first has failed.
        payer = await self._devices.payer(device, account)
        self._limits.charge(peer.address, payer)
        async with self._database.read(SystemScope(AUTHENTICATE)) as view:
            found = await self._tenants.find_login(view, email)
        user, encoded = found or (None, None)
        matches = await self.check_password(encoded, password)
        if user is None or not matches or user.disabled:
            target = f"user:{user.id}" if user else stranger(peer.address)
            await self._failures.note(
                Failure("login.failed", target, peer.address, guessed=True),
                peer.request_id,
            )
            raise LoginRefusedError
        self._limits.refund(peer.address, payer)
        cookie = secrets.token_urlsafe(32)
        scope = SystemScope(AUTHENTICATE, actor=f"user:{user.id}", request_id=peer.request_id)
        async with self._database.transaction(scope) as tx:
            now = tx.now()
            if replaces is not None:
                whose = await tx.scalar(
                    sa.delete(BrowserSession)
                    .where(BrowserSession.cookie_hash == _hash(replaces))
                    .returning(BrowserSession.user_id)
                    .execution_options(synchronize_session=False)
                )
                if whose is not None:
                    tx.signal(PRINCIPALS, f"user:{whose}")
            session = BrowserSession(
                id=uuid7(),
                cookie_hash=_hash(cookie),
                user_id=user.id,
                created_at=now,
                expires_at=now + timedelta(seconds=self._settings.session_seconds),
                last_seen_at=now,
                address=peer.address,
                agent=peer.agent,
            )
            tx.session.add(session)
            tx.audit(
                "login.succeeded",
                f"user:{user.id}",
                address=peer.address,
                session=session.id,
                agent=peer.agent,
            )
            tx.emit("login.succeeded", f"user:{user.id}", address=peer.address)
            known_by = await self._devices.remember(tx, account)
        return NewSession(cookie, self._settings.session_seconds, known_by)

    async def find(self, cookie: str | None) -> LogIn | None:
        """The log-in that a browser's cookie stands for, while it lives."""
        if not cookie:
            return None
        async with self._database.read(SystemScope(AUTHENTICATE)) as view:
            row: BrowserSession | None = await view.scalar(
                sa.select(BrowserSession).where(
                    BrowserSession.cookie_hash == _hash(cookie),
                    BrowserSession.expires_at > view.now(),
                )
            )
            if row is None:
                return None
            try:
                user = await self._tenants.get_user(view, row.user_id)
            except NotFoundError:
                return None
        return None if user.disabled else LogIn(row.id, user, row.created_at, row.expires_at)

    async def end(self, session_ids: Sequence[str], *, actor: str, peer: Peer) -> None:
        """End sessions: their id tokens cannot be exchanged and their access tokens are void."""
        scope = SystemScope(AUTHENTICATE, actor=actor, request_id=peer.request_id)
        async with self._database.transaction(scope) as tx:
            ended = await tx.execute(
                sa.delete(BrowserSession)
                .where(BrowserSession.id.in_(session_ids))
                .returning(BrowserSession.id, BrowserSession.user_id)
                .execution_options(synchronize_session=False)
            )
            for session_id, user_id in ended.all():
                tx.audit("session.ended", f"user:{user_id}", session=session_id)
                tx.signal(PRINCIPALS, f"user:{user_id}")

    async def end_all(self, tx: Tx, user_id: str, *, but: str = "") -> int:
        """End all of a person's log-ins, and with them every token made from one; returns how many.

        For whoever resets a password: it may be reset because somebody else knows it, and may be
        logged in with it.

        Args:
            tx: Under an errand that may touch sessions.
            user_id: Whose.
            but: The session that goes on.
        """
        return await self._end(tx, user_id, BrowserSession.id != but if but else sa.true())

    async def end_of(self, tx: Tx, user_id: str, *, only: str) -> bool:
        """End one log-in if it is this person's; whether it was."""
        return await self._end(tx, user_id, BrowserSession.id == only) > 0

    async def _end(self, tx: Tx, user_id: str, which: sa.ColumnElement[bool]) -> int:
        ended = await tx.execute(
            sa.delete(BrowserSession)
            .where(BrowserSession.user_id == user_id, which)
            .returning(BrowserSession.id)
            .execution_options(synchronize_session=False)
        )
        sessions = ended.scalars().all()
        for session_id in sessions:
            tx.audit("session.ended", f"user:{user_id}", session=session_id)
        tx.signal(PRINCIPALS, f"user:{user_id}")
        return len(sessions)

    async def check_password(self, encoded: str | None, password: str) -> bool:
        """Whether ``password`` made ``encoded``, off the event loop and a few at a time.

        One that is longer than any of ours costs what another does, and is wrong.
        """
        too_long = len(password.encode()) > MAX_PASSWORD_BYTES
        async with self._password_slots:
            matches = await asyncio.to_thread(
                verify_password, encoded, "" if too_long else password
            )
        return matches and not too_long

    def note_use(self, session_id: str) -> None:
        """Remember that a log-in was used now; :meth:`flush` writes it."""
        self._used[session_id] = self._database.clock()

    async def flush(self) -> None:
        """Write when log-ins were last used."""
        used, self._used = self._used, {}
        if not used:
            return
        async with self._database.transaction(SystemScope(AUTHENTICATE)) as tx:
            for session_id, at in sorted(used.items()):
                await tx.execute(
                    sa.update(BrowserSession)
                    .where(BrowserSession.id == session_id, BrowserSession.last_seen_at < at)
                    .values(last_seen_at=at)
                    .execution_options(synchronize_session=False)
                )


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
