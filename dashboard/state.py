"""A session: whose login this browser tab holds, for which tenant, and with what token.

The address names the tenant, and the session follows it: a reload, a link and the browser's way
back act for the tenant that stands there, or for none.

The browser keeps the login's id token (signed by Streamlit, for thirty days, never checked for
expiry). It never sees an access token: those are exchanged for here, live a few minutes in this
process's memory, and are replaced shortly before they end. The id token's own ``exp`` is the
session's end, checked at every exchange.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import streamlit as st

from dashboard import client, settings
from dashboard.names import Names

_KEY: Final = "session"
_LEEWAY_SECONDS: Final = 45.0
_RELOGIN_GUARD_SECONDS: Final = 120.0
_LOGIN_REFUSED: Final = frozenset({"invalid_grant", "invalid_request", "unauthenticated"})
_SECOND_FACTOR_MISSING: Final = "insufficient_user_authentication"
_TENANT_REFUSED: Final = "invalid_target"
_NOWHERE: Final = "You are not a member of any tenant."
SUSPENDED: Final = "tenant.suspended"
"""The problem of a tenant in which nobody may act now; its detail is the reason."""
TENANT: Final = "tenant"
"""The parameter of every address of the console: the slug of the tenant that one acts for."""


class SignedOut(Exception):  # noqa: N818 - an outcome, like StopIteration, and no fault
    """The login no longer holds.

    Attributes:
        renewable: Whether going to the provider again, unasked, is safe. False when the login is
            brand new and already refused: asking again would send the browser in circles.
    """

    def __init__(self, *, renewable: bool) -> None:
        """Say whether the browser may be sent to the provider without a click."""
        super().__init__("The login has ended.")
        self.renewable = renewable


class NoMembership(Exception):  # noqa: N818 - an outcome as well
    """An address names a tenant that this person may not act for, or that is none.

    Attributes:
        slug: As the address has it.
        tenants: Those that the person may choose instead.
    """

    def __init__(self, slug: str, tenants: Sequence[client.models.TenantRoleOut]) -> None:
        """Carry what is to be told."""
        super().__init__(f"No membership of {slug!r}.")
        self.slug = slug
        self.tenants = tenants


class Session:
    """One browser tab's identity at the platform.

    Streamlit may run a fragment while the page's own run is being cancelled, both with this
    object; the lock makes them share one exchange instead of racing for two.
    """

    def __init__(
        self,
        gate: client.Gate,
        id_token: str,
        *,
        issued_at: float,
        expires_at: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the login as given; nothing is sent before the first token is needed.

        Args:
            gate: Where tokens are exchanged.
            id_token: The login.
            issued_at: Its ``iat``, seconds since the epoch.
            expires_at: Its ``exp``, seconds since the epoch.
            clock: Seconds since the epoch.
        """
        self._gate = gate
        self.id_token = id_token
        self._issued_at = issued_at
        self._expires_at = expires_at
        self._clock = clock
        self._lock = threading.Lock()
        self._tenant: str | None = None
        self._token = ""
        self._good_until = 0.0
        self._me: client.models.MeOut | None = None
        self._names: Names | None = None
        self.api = client.Api(client.Connection(settings.load(), gate.http, self))

    def bearer(self, *, renew: bool = False) -> str:
        """Return an access token with at least half a minute to live.

        Args:
            renew: The last one was refused; get another even if it looks good.

        Raises:
            SignedOut: The login ended or the platform no longer accepts it.
            ApiProblem: The exchange failed for another reason.
        """
        with self._lock:
            if renew or self._clock() >= self._good_until:
                self._exchange()
            if renew:
                # What ended a token may be another role: the next page is drawn by what holds now.
                self._me = self._names = None
            return self._token

    @property
    def me(self) -> client.models.MeOut:
        """Who is logged in; asked once per tenant and kept.

        Raises:
            SignedOut: As ``bearer``.
            ApiProblem: As ``bearer``.
        """
        if self._me is None:
            self._me = self.api.get_me()
        return self._me

    def elsewhere(self, slug: str) -> list[client.models.TenantRoleOut]:
        """Return the person's other tenants, as far as they are known; nothing is asked."""
        return [one for one in (self._me.tenants if self._me else ()) if one.slug != slug]

    def look_again(self) -> None:
        """Have ``me`` asked anew: the person's tenants or their role may have changed."""
        self._me = None

    @property
    def names(self) -> Names:
        """The names of people and things in this tenant, as far as this person may know them.

        Raises:
            SignedOut: As ``bearer``.
            ApiProblem: As ``bearer``.
        """
        if self._names is None:
            self._names = Names(self.api, frozenset(self.me.permissions), self._clock)
        return self._names

    def can(self, permission: str) -> bool:
        """Whether to show something. The API decides whether it happens."""
        return not permission or permission in self.me.permissions

    def switch_tenant(self, tenant_id: str) -> None:
        """Act for another tenant from now on, with a new token bound to it.

        The old tenant stays in place when the platform refuses.

        Raises:
            SignedOut: As ``bearer``.
            ApiProblem: As ``bearer``.
        """
        with self._lock:
            before = self._tenant
            self._tenant = tenant_id
            try:
                self._exchange()
            except client.ApiProblem:
                self._tenant = before
                raise
            self._me = self._names = None

    def enter(self, slug: str) -> bool:
        """Act for the tenant that an address names; returns whether that was another till now.

        Raises:
            NoMembership: The person has none there. Whom they act for stays as it was.
            SignedOut: As ``bearer``.
            ApiProblem: As ``bearer``.
        """
        if self.me.tenant.slug == slug:
            return False
        if not any(tenant.slug == slug for tenant in self.me.tenants):
            self.look_again()  # a membership may be younger than what was asked
        tenants = self.me.tenants
        found = next((tenant for tenant in tenants if tenant.slug == slug), None)
        if found is None:
            raise NoMembership(slug, tenants)
        try:
            self.switch_tenant(found.id)
        except client.ApiProblem as problem:
            if problem.code == _TENANT_REFUSED:
                others = [tenant for tenant in tenants if tenant is not found]
                raise NoMembership(slug, others) from problem
            raise
        return True

    def _exchange(self) -> None:
        now = self._clock()
        fresh_login = now - self._issued_at < _RELOGIN_GUARD_SECONDS
        if now >= self._expires_at:
            raise SignedOut(renewable=not fresh_login)
        try:
            grant = self._gate.exchange(self.id_token, self._tenant)
        except client.ApiProblem as problem:
            if problem.code == _SECOND_FACTOR_MISSING:
                # The provider asks for it there: it counts this login as none.
                raise SignedOut(renewable=not fresh_login) from problem
            if problem.code in _LOGIN_REFUSED:
                raise SignedOut(renewable=False) from problem
            if problem.code == _TENANT_REFUSED:
                # OAuth's answer speaks of the login, which is good.
                raise client.ApiProblem(
                    "You are not a member of this tenant." if self._tenant else _NOWHERE,
                    detail="An owner or an admin of the tenant can add you.",
                    code=problem.code,
                    status=problem.status,
                    request_id=problem.request_id,
                ) from problem
            raise
        self._token = grant.access_token
        # A short token must still be usable: never call it stale before half its life is over.
        life = float(grant.expires_in)
        self._good_until = now + max(life - _LEEWAY_SECONDS, life / 2)


@st.cache_resource(show_spinner=False)
def gate() -> client.Gate:
    """Return the process's connection pool."""
    return client.open_gate(settings.load())


def open_session() -> Session:
    """Return this tab's session, making one from the login on first use.

    Raises:
        SignedOut: There is a login, but without the claims a session needs.
    """
    id_token = str(st.user.tokens.get("id", "")) if "tokens" in st.user else ""
    found = st.session_state.get(_KEY)
    if isinstance(found, Session) and found.id_token == id_token:
        return found
    issued_at, expires_at = st.user.get("iat"), st.user.get("exp")
    if not id_token or not isinstance(expires_at, int | float):
        raise SignedOut(renewable=False)
    session = Session(
        gate(),
        id_token,
        issued_at=float(issued_at) if isinstance(issued_at, int | float) else 0.0,
        expires_at=float(expires_at),
    )
    st.session_state[_KEY] = session
    return session


def current() -> Session:
    """Return the session that ``open_session`` put in place; pages call this one."""
    session = st.session_state[_KEY]
    if not isinstance(session, Session):
        raise TypeError(_KEY)
    return session


def address(**more: str) -> dict[str, str]:
    """Return the parameters of a page's address: the tenant, and what else names what is shown."""
    return {TENANT: current().me.tenant.slug, **more}


def forget() -> None:
    """Drop the session, its tokens and everything its pages remembered."""
    for key in list(st.session_state):
        del st.session_state[key]


def forget_pages() -> None:
    """Drop what pages remembered (filters, cursors), keep the session: the tenant changed."""
    for key in list(st.session_state):
        if key != _KEY:
            del st.session_state[key]
