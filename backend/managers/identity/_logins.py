"""People's log-ins in a browser: server-side sessions behind a cookie that proves nothing else."""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import sqlalchemy as sa

from backend.core.audit import Personal
from backend.core.context import SystemScope
from backend.core.database import Database, Tx
from backend.core.errors import NotFoundError
from backend.core.ids import uuid7
from backend.managers.identity._devices import KnownDevices, account_of
from backend.managers.identity._failures import Failure, FailureAudit, FailureLimits, stranger
from backend.managers.identity._password import MAX_PASSWORD_BYTES, verify_password
from backend.managers.identity._policies import LoginPolicies, has_second_factor
from backend.managers.identity._providers import IdentityProviders
from backend.managers.identity._sealed import log_in_place
from backend.managers.identity._totp import SECOND_FACTOR_METHODS, SecondFactors, new_secret
from backend.managers.identity.errands import AUTHENTICATE
from backend.managers.identity.errors import (
    CodeRefusedError,
    LogInExpiredError,
    LoginRefusedError,
)
from backend.managers.identity.models import BrowserSession, PendingLogIn
from backend.managers.identity.settings import IdentitySettings
from backend.managers.security import SecurityManager
from backend.managers.tenant import PRINCIPALS, TenantManager, User

PASSWORD: Final = ("pwd",)
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)


class Peer(NamedTuple):
    """Where a request comes from; it may act for nobody yet."""

    address: str
    request_id: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class LogIn:
    """One browser's log-in: who, since when, until when, and how they proved who they are.

    ``enough`` is false when a second factor is required by now and was not given.
    """

    session_id: str
    user: User
    started_at: datetime
    expires_at: datetime
    methods: tuple[str, ...]
    enough: bool


class NewSession(NamedTuple):
    """A fresh session's cookie value, kept nowhere else, and its lifetime.

    ``device`` is a second cookie, by which the browser is known at its next log-in; empty when no
    password began the session.
    """

    cookie: str
    seconds: int
    device: str


class HalfWay(NamedTuple):
    """A log-in that waits for its second factor: what finds it, kept nowhere else, and how long."""

    token: str
    seconds: int


class Through(NamedTuple):
    """The tenant's provider that a log-in came by, and when the person proved who they are there.

    None: it does not say, and may have known them for long.
    """

    provider_id: str
    tenant_id: str
    authenticated_at: datetime | None


class Awaited(NamedTuple):
    """Who is to give a second factor, and the secret that they are to take if they have none."""

    user: User
    secret: str | None


class Finished(NamedTuple):
    """The session, and the recovery codes of whoever has just got a second factor."""

    session: NewSession
    recovery_codes: list[str]


class LogIns:
    """Starts, finds and ends them, in its own transactions under the authenticate errand."""

    def __init__(
        self,
        database: Database,
        tenants: TenantManager,
        settings: IdentitySettings,
        *,
        security: SecurityManager,
        second_factors: SecondFactors,
        policies: LoginPolicies,
        providers: IdentityProviders,
        limits: FailureLimits,
        failures: FailureAudit,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._security = security
        self._second_factors = second_factors
        self._policies = policies
        self._providers = providers
        self._devices = KnownDevices(database, security, tenants)
        self._settings = settings
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
    ) -> NewSession | HalfWay:
        """Check a password and start a session, ending the one the browser had.

        The cookie is always a new one: a value planted before the log-in is worth nothing after.
        Whoever has a second factor, or needs one, is asked for it first.

        Args:
            email: Of the person.
            password: Theirs.
            replaces: The cookie of the log-in that the browser had.
            peer: Where they are.
            device: What the browser shows of having logged in before.

        Raises:
            LoginRefusedError: Unknown, wrong or disabled, which take the same time and text.
            TooManyFailuresError: From this address, or for this account by strangers, or from this
                device, before any hashing.
        """
        account = await self._devices.attempts_of(email, device)
        # Charged before the hash is computed and given back on success: attempts in flight
        # together must not all be looked at before the first has failed.
        await self._limits.charge(peer.address, account)
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
        self._limits.refund(peer.address, account)
        return await self._enter(
            user, PASSWORD, None, replaces=replaces, peer=peer, encoded=encoded
        )

    async def enter(
        self,
        user: User,
        methods: Sequence[str],
        *,
        replaces: str | None,
        peer: Peer,
        through: Through | None = None,
    ) -> NewSession | HalfWay:
        """Start the session of somebody who has proven who they are, or ask for what is missing.

        Until the second factor is given there is no session: what the browser gets finds a row of
        a few minutes and nothing else.

        Args:
            user: Who.
            methods: How they have proven it (RFC 8176).
            replaces: The cookie of the log-in that the browser had.
            peer: Where they are.
            through: By which provider, if not by a password.
        """
        return await self._enter(user, methods, through, replaces=replaces, peer=peer)

    async def _enter(
        self,
        user: User,
        methods: Sequence[str],
        through: Through | None,
        *,
        replaces: str | None,
        peer: Peer,
        encoded: str | None = None,
    ) -> NewSession | HalfWay:
        scope = SystemScope(AUTHENTICATE, actor=f"user:{user.id}", request_id=peer.request_id)
        async with self._database.transaction(scope) as tx:
            # It took a while to look at the password, and somebody may have set another meanwhile:
            # that ends all log-ins of the old one, and this would be one that it has not seen. So
            # does a provider that has become the only way in.
            if encoded is not None and (
                not await self._tenants.has_password(tx, user.id, encoded)
                or await self._providers.find_enforced(tx, user.email)
            ):
                raise LoginRefusedError
            if not has_second_factor(methods):
                enrolled = await self._second_factors.is_enrolled(tx, user.id)
                if enrolled or await self._policies.needs_second_factor(tx, user):
                    return await self._wait(tx, user, methods, through, enrolled=enrolled)
            return await self._begin(tx, user, methods, through, replaces=replaces, peer=peer)

    async def _wait(
        self,
        tx: Tx,
        user: User,
        methods: Sequence[str],
        through: Through | None,
        *,
        enrolled: bool,
    ) -> HalfWay:
        token = secrets.token_urlsafe(32)
        sealed: bytes | None = None
        if not enrolled:
            # Its secret belongs to this log-in alone: one that lay ready for the person could have
            # been put there by somebody else.
            keyring = await self._security.keyring(tx)
            sealed = keyring.seal(log_in_place(_hash(token)), new_secret().encode())
        seconds = self._settings.second_factor_seconds
        tx.session.add(
            PendingLogIn(
                token_hash=_hash(token),
                user_id=user.id,
                methods=list(methods),
                authenticated_at=through.authenticated_at if through else None,
                provider_id=through.provider_id if through else None,
                bound_to=through.tenant_id if through else None,
                sealed_secret=sealed,
                expires_at=tx.now() + timedelta(seconds=seconds),
            )
        )
        return HalfWay(token, seconds)

    async def _begin(
        self,
        tx: Tx,
        user: User,
        methods: Sequence[str],
        through: Through | None,
        *,
        replaces: str | None,
        peer: Peer,
    ) -> NewSession:
        now, cookie = tx.now(), secrets.token_urlsafe(32)
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
            methods=list(methods),
            authenticated_at=_proven_at(through, now),
            provider_id=through.provider_id if through else None,
            bound_to=through.tenant_id if through else None,
        )
        tx.session.add(session)
        tx.audit(
            "login.succeeded",
            f"user:{user.id}",
            address=Personal(f"user:{user.id}", peer.address),
            session=session.id,
            methods=list(methods),
            agent=Personal(f"user:{user.id}", peer.agent),
        )
        tx.emit("login.succeeded", f"user:{user.id}", address=peer.address)
        # What a provider asserts of an address gives no browser attempts at its password.
        device = await self.remember_device(tx, user.email) if through is None else ""
        return NewSession(cookie, self._settings.session_seconds, device)

    async def remember_device(self, tx: Tx, email: str) -> str:
        """The cookie of a browser whose attempts at this log-in are its own from now on."""
        return await self._devices.remember(tx, email)

    async def find_half_way(self, token: str | None) -> Awaited | None:
        """What a log-in that waits for its second factor asks of the person; None when none does.

        For somebody who has none yet it is a secret to take into an authenticator.
        """
        if not token:
            return None
        async with self._database.read(SystemScope(AUTHENTICATE)) as view:
            row: PendingLogIn | None = await view.scalar(
                sa.select(PendingLogIn).where(
                    PendingLogIn.token_hash == _hash(token), PendingLogIn.expires_at > view.now()
                )
            )
            if row is None:
                return None
            try:
                user = await self._tenants.get_user(view, row.user_id)
            except NotFoundError:
                return None
            if user.disabled:
                return None
            if row.sealed_secret is None:
                return Awaited(user, None)
            keyring = await self._security.keyring(view)
            secret = keyring.open(log_in_place(_hash(token)), row.sealed_secret).decode()
            return Awaited(user, secret)

    async def finish(
        self,
        token: str,
        code: str,
        *,
        replaces: str | None,
        peer: Peer,
        device: str | None = None,
    ) -> Finished:
        """Take the second factor and start the session that waited for it.

        One use: of two who send the same code, or the same value twice, one gets a session.

        Raises:
            LogInExpiredError: No log-in waits behind this value, any more.
            CodeRefusedError: Wrong, used, out of date: the same work and text.
            TooManyFailuresError: From this address or for this account, before anything is looked
                at.
        """
        awaited = await self.find_half_way(token)
        if awaited is None:
            raise LogInExpiredError
        user = awaited.user
        known = await self._devices.attempts_of(user.email, device)
        account = f"second_factor:{user.id}" if known == account_of(user.email) else known
        await self._limits.charge(peer.address, account)
        scope = SystemScope(AUTHENTICATE, actor=f"user:{user.id}", request_id=peer.request_id)
        codes: list[str] = []
        try:
            async with self._database.transaction(scope) as tx:
                # Its row first: whoever comes second waits here, and then finds none.
                row: PendingLogIn | None = await tx.scalar(
                    sa.delete(PendingLogIn)
                    .where(
                        PendingLogIn.token_hash == _hash(token),
                        PendingLogIn.expires_at > tx.now(),
                    )
                    .returning(PendingLogIn)
                    .execution_options(synchronize_session=False)
                )
                if row is None:
                    raise LogInExpiredError
                through: Through | None = None
                if row.provider_id is not None and row.bound_to is not None:
                    through = Through(row.provider_id, row.bound_to, row.authenticated_at)
                if awaited.secret is None:
                    await self._second_factors.verify(tx, user.id, code)
                else:
                    codes = await self._second_factors.adopt(tx, user.id, awaited.secret, code)
                session = await self._begin(
                    tx,
                    user,
                    [*row.methods, *SECOND_FACTOR_METHODS],
                    through,
                    replaces=replaces,
                    peer=peer,
                )
        except CodeRefusedError:
            await self._failures.note(
                Failure("second_factor.failed", f"user:{user.id}", peer.address), peer.request_id
            )
            raise
        self._limits.refund(peer.address, account)
        return Finished(session, codes)

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
            if user.disabled:
                return None
            enough = has_second_factor(row.methods) or not (
                await self._policies.needs_second_factor(view, user)
            )
        return LogIn(row.id, user, row.authenticated_at, row.expires_at, tuple(row.methods), enough)

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

        Those that are half done end as well, and are not counted.

        For whoever resets a password: it may be reset because somebody else knows it, and may be
        logged in with it.

        Args:
            tx: Under an errand that may touch sessions and log-ins half done.
            user_id: Whose.
            but: The session that goes on.
        """
        await tx.execute(
            sa.delete(PendingLogIn)
            .where(PendingLogIn.user_id == user_id)
            .execution_options(synchronize_session=False)
        )
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


def _proven_at(through: Through | None, now: datetime) -> datetime:
    """When the person proved who they are; long ago, if a provider does not say."""
    if through is None:
        return now
    return min(through.authenticated_at or _LONG_AGO, now)


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
