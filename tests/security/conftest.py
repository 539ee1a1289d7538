"""People of a tenant, logged in as the console does it, for attacks that need a person."""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
import sqlalchemy as sa

from backend.core.audit import AuditHead, AuditRecord, sequence
from backend.core.context import SystemScope
from backend.managers.audit import VERIFY, offline
from backend.managers.identity import IdentityManager
from backend.managers.tenant import Tenant, TenantManager, User
from backend.migrations import runner
from tests.support.errands import EVERYTHING
from tests.support.gate import Gate, clock, gate
from tests.support.passwords import PASSWORD, PASSWORD_HASH
from tests.support.platform import App
from tests.support.tampering import EARLY_SIZE, KEPT_SIZE, SIZE, Workshop, act, sign
from tests.support.trail import open_audit

__all__ = ["clock", "gate"]

REDIRECT = "http://localhost:8401/oauth2callback"
CONSOLE_SECRET = "c" * 40
_VERIFIER = "v" * 64
_CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(_VERIFIER.encode()).digest()).decode()


class People:
    """Makes people and logs them in."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def person(self, email: str | None = None, **more: Any) -> User:
        """Somebody with a log-in."""
        platform = self._app.platform
        async with platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await platform.of(IdentityManager).clients.put_console_client(
                tx, secret=CONSOLE_SECRET, redirect_uris=[REDIRECT]
            )
            return await platform.of(TenantManager).create_user(
                tx,
                email=email or f"{secrets.token_hex(4)}@example.test",
                name="Ada",
                password_hash=PASSWORD_HASH,
                **more,
            )

    async def member(self, tenant: Tenant, user: User, role: str) -> None:
        """Give somebody a role in a tenant."""
        async with self._app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await self._app.platform.of(TenantManager).add_member(
                tx, tenant_id=tenant.id, user_id=user.id, role=role, granter=None
            )

    async def id_token(
        self, email: str, password: str = PASSWORD, http: httpx.AsyncClient | None = None
    ) -> str:
        """Log in; returns what the console would keep."""
        return str((await self.tokens(email, password, http))["id_token"])

    async def tokens(
        self, email: str, password: str = PASSWORD, http: httpx.AsyncClient | None = None
    ) -> dict[str, Any]:
        """Log in; returns all that the console gets for its code."""
        http = http or self._app.client()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": "console",
                "redirect_uri": REDIRECT,
                "scope": "openid profile email",
                "state": "s",
                "nonce": "n",
                "code_challenge": _CHALLENGE.rstrip("="),
                "code_challenge_method": "S256",
            }
        )
        asked = await http.get(f"/oauth/authorize?{query}")
        page = await http.get(asked.headers["location"])
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert csrf is not None, page.text
        entered = await http.post(
            "/oauth/login",
            data={
                "csrf": csrf[1],
                "return_to": f"/oauth/authorize?{query}",
                "email": email,
                "password": password,
            },
        )
        assert entered.status_code == 303, entered.text
        back = await http.get(entered.headers["location"])
        code = dict(parse_qsl(urlsplit(back.headers["location"]).query))["code"]
        answer = await http.post(
            "/oauth/token",
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": REDIRECT,
                "code_verifier": _VERIFIER,
            },
            auth=("console", CONSOLE_SECRET),
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def exchange(self, id_token: str, **more: str) -> httpx.Response:
        """Ask for an access token as the console does."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": id_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            **more,
        }
        http = self._app.client()
        return await http.post("/oauth/token", data=form, auth=("console", CONSOLE_SECRET))

    async def acting(self, user: User, **more: str) -> httpx.AsyncClient:
        """A client that acts as this person."""
        answer = await self.exchange(await self.id_token(user.email), **more)
        assert answer.status_code == 200, answer.text
        return self._app.client(Authorization=f"Bearer {answer.json()['access_token']}")


@pytest.fixture
def people(app: App) -> People:
    """People who log in to the application under test."""
    return People(app)


@pytest.fixture
def token_of(app: App) -> Callable[..., Any]:
    """A client with a token of the given scope, made with a client's credentials."""

    async def make(client_id: str, client_secret: str, **more: str) -> httpx.AsyncClient:
        http = app.client()
        answer = await http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials", **more},
            auth=(client_id, client_secret),
        )
        assert answer.status_code == 200, answer.text
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return http

    return make


@pytest.fixture
async def workshop(gate: Gate, database_url: str, request: pytest.FixtureRequest) -> Any:
    """Two trails, signed at three sizes, of which one was kept elsewhere, and their owner."""
    url = database_url
    if gate.database.dialect == "postgresql":
        server = request.getfixturevalue("postgres_server")
        url = server.url("email_sender_owner", gate.database.engine.url.database)
    # Old enough to be let go, by the database's clock as well.
    gate.clock.now -= timedelta(days=400)
    tenant, other = (await gate.tenant()).id, (await gate.tenant()).id
    audit, seen = open_audit(), {}
    await sequence(gate.database)
    async with gate.database.read(SystemScope(VERIFY, tenant_id=tenant)) as tx:
        begun = await tx.scalar(sa.select(sa.func.count(AuditRecord.id)))
    for size in (EARLY_SIZE, KEPT_SIZE, SIZE):
        await act(gate, tenant, size - begun)
        await act(gate, other, 5)
        begun = size
        while await sequence(gate.database):
            pass
        assert await audit.checkpoints.grow(gate.database)
        async with gate.database.transaction(SystemScope(VERIFY, tenant_id=tenant)) as tx:
            seen[size] = await tx.scalar(sa.select(AuditHead))
        await sign(gate, audit)
    key = audit.checkpoints.verifier(tenant).text
    async with gate.database.read(SystemScope(VERIFY, tenant_id=tenant)) as tx:
        kept = (await audit.checkpoints.get(tx, KEPT_SIZE)).note
    gate.clock.now += timedelta(days=400)
    engine = sa.create_engine(runner.sync_url(url), poolclass=sa.StaticPool)
    early = {
        name: getattr(seen[EARLY_SIZE], name)
        for name in ("seq", "chain_hash", "unsealed_seq", "mac")
    }
    yield Workshop(gate, engine, tenant, other, early, kept, offline.Key(key))
    engine.dispose()
