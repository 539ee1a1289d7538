"""Identity and the gate on a real database, with a clock that only the test moves."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from backend.core.audit import SEQUENCER, AuditRecord
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, make_engine
from backend.core.events import event_maker
from backend.kit.limiter import GcraLimiter
from backend.kit.outbound import Outbound
from backend.managers.gateway import GatewayManager, GatewaySettings
from backend.managers.identity import Client, IdentityManager, IdentitySettings
from backend.managers.identity._logins import Peer
from backend.managers.security import SecurityManager
from backend.managers.tenant import Tenant, TenantManager, User
from backend.rooms import HOUSE
from tests.support.errands import EVERYTHING
from tests.support.passwords import PASSWORD_HASH
from tests.support.roles import ROLES
from tests.support.trail import audit_row

REDIRECT = "http://localhost:8401/oauth2callback"
CONSOLE_SECRET = "c" * 40
HERE = Peer("192.0.2.7", "req-1")


class Clock:
    """Wall clock and both monotonic clocks, moved together."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
        self.passed = timedelta()

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.passed += timedelta(seconds=seconds)

    def monotonic(self) -> float:
        return 1000.0 + self.passed.total_seconds()

    def monotonic_ns(self) -> int:
        return round(self.monotonic() * 1e9)


@dataclass
class Gate:
    """The managers of one process, and shortcuts to what tests set up."""

    database: Database
    security: SecurityManager
    tenants: TenantManager
    identity: IdentityManager
    gateway: GatewayManager
    clock: Clock
    root_key: bytes
    slugs: list[str] = field(default_factory=list)

    @property
    def provider(self):
        return self.identity.provider

    async def tenant(self) -> Tenant:
        self.slugs.append(f"t{len(self.slugs)}")
        async with self.database.transaction(SystemScope(EVERYTHING)) as tx:
            return await self.tenants.create_tenant(tx, slug=self.slugs[-1], name="Tenant")

    async def client(self, tenant: Tenant, role: str = "workflow") -> tuple[Client, str]:
        async with self.database.transaction(Scope("test", tenant.id)) as tx:
            return await self.identity.clients.create_client(tx, name="c", role=role, granter=None)

    async def token(self, client: Client, secret: str, **extra: str) -> str:
        answer = await self.issue(
            grant_type="client_credentials",
            client_id=client.client_id,
            client_secret=secret,
            **extra,
        )
        assert answer.status == 200, answer
        return str(answer.body["access_token"])

    async def issue(self, authorization: str | None = None, **form: str):
        return await self.provider.issue_token(list(form.items()), authorization, HERE)

    async def user(self, email: str = "ada@example.test", **more: Any) -> User:
        async with self.database.transaction(SystemScope(EVERYTHING)) as tx:
            return await self.tenants.create_user(
                tx, email=email, name="Ada", password_hash=PASSWORD_HASH, **more
            )

    async def member(self, tenant: Tenant, user: User, role: str = "admin") -> None:
        async with self.database.transaction(SystemScope(EVERYTHING)) as tx:
            await self.tenants.add_member(
                tx, tenant_id=tenant.id, user_id=user.id, role=role, granter=None
            )

    async def console(self) -> None:
        async with self.database.transaction(SystemScope(EVERYTHING)) as tx:
            await self.identity.clients.put_console_client(
                tx, secret=CONSOLE_SECRET, redirect_uris=[REDIRECT]
            )

    async def acts(self, action: str) -> list[AuditRecord]:
        async with self.database.read(SystemScope(SEQUENCER)) as tx:
            rows = await tx.scalars(
                sa.select(AuditRecord).where(AuditRecord.action == action).order_by(AuditRecord.id)
            )
            return list(rows)

    def second_process(self) -> "Gate":
        """Another process on the same database that hears no signals of this one."""
        apart = Database(
            self.database.engine,
            audit_row=audit_row,
            event_row=event_maker(HOUSE.events),
            clock=self.clock,
            durable_topics=HOUSE.durable_topics,
        )
        return open_gate(apart, self.clock, self.root_key)


def open_gate(database: Database, clock: Clock, root_key: bytes) -> Gate:
    """The managers of one process over a database."""
    security, tenants = SecurityManager(root_key), TenantManager(ROLES)
    limiter = GcraLimiter(clock.monotonic_ns)
    identity = IdentityManager(
        database,
        security,
        tenants,
        IdentitySettings(),
        limiter=limiter,
        outbound=Outbound(),
        monotonic=clock.monotonic,
    )
    gateway = GatewayManager(
        database,
        security,
        tenants,
        identity,
        GatewaySettings(),
        limiter=limiter,
        rates={"emails": (500, 1000)},
        monotonic=clock.monotonic,
    )
    return Gate(database, security, tenants, identity, gateway, clock, root_key)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest_asyncio.fixture
async def gate(database_url: str, clock: Clock) -> AsyncIterator[Gate]:
    """Identity and the gate on a migrated, empty database."""
    database = Database(
        make_engine(database_url, pool_size=4),
        audit_row=audit_row,
        event_row=event_maker(HOUSE.events),
        clock=clock,
        durable_topics=HOUSE.durable_topics,
    )
    yield open_gate(database, clock, os.urandom(32))
    await database.aclose()
