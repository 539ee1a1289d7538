"""Everybody who may ask something, and what a tenant has that others might want.

The callers of a tenant are one of each built-in role and of one of the tenant's own as a client, as
an API key and as a person, and a person, a client and a key of each role of the platform. What they
may do is ``tests/contract/access-v1.json``, which people review: whoever adds an operation adds its
row (``scripts/renew``).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import sqlalchemy as sa
from pydantic import BaseModel

from backend.core.columns import Base, TenantOwned, tables_of
from backend.core.context import SystemScope
from backend.core.ids import uuid7
from backend.managers import metrics, monitoring, tracing
from backend.managers.tenant import Tenant, User
from backend.rooms import HOUSE
from backend.settings import Settings
from tests.security.conftest import People
from tests.support.errands import EVERYTHING
from tests.support.operations import Operations, Prepared, needed, send
from tests.support.passwords import PASSWORD
from tests.support.platform import App
from tests.support.roles import ROLES

MATRIX: Final = Path(__file__).parents[1] / "contract" / "access-v1.json"
ANYBODY: Final = frozenset({"anybody"})
"""The row of what asks nobody who they are, or finds out by itself."""

CUSTOM: Final = "custom"
CUSTOM_PERMISSIONS: Final = frozenset(
    {
        "access_review:read",
        "audit:verify",
        "email:send",
        "email_relay:write",
        "email_settings:write",
        "identity_provider:read",
        "job:write",
        "limit:write",
        "login_policy:read",
        "suppression:write",
        "token:introspect",
        "usage:read",
    }
)
"""A role of the tenant's own, across the ranks: it writes what it may not read, and some of what
takes an admin, without what a viewer may. The rows of the matrix name it as they do the others."""

IN_TENANTS: Final = frozenset({*ROLES.by_name, CUSTOM})
PLATFORM_ROLES: Final = {
    role: f"platform_{role}" if role in IN_TENANTS else role for role in ROLES.by_platform
}
"""What the matrix calls the platform's roles: a tenant has auditors, too."""
OF_PLATFORM: Final = frozenset(PLATFORM_ROLES.values())
"""The roles of a tenant, and of the platform."""

KEY_SECONDS: Final = 3000
"""How long the callers' API keys live: longer than they are asked, on a busy machine as well."""

# What is counted of requests is written after their answers, by a clock.
_COUNTED: Final = (
    tables_of(*metrics.ROOM.models, *monitoring.ROOM.models, *tracing.ROOM.models)
    | {"tenant_usage", "tenant_usage_heads"}
) - {"trace_settings", "slo_objectives", "slo_evidence", "prometheus_queries"}
_READABLE: Final = EVERYTHING.tables - _COUNTED
_PERSON: Final = "person"
_PERSONS_OWN: Final = frozenset(
    {
        "/oauth/userinfo",
        "/api/v1/me/password",
        "/api/v1/me/profile",
        "/api/v1/me/sessions",
        "/api/v1/me/sessions/{session_id}",
        "/api/v1/me/sign-ins",
        "/api/v1/me/totp",
        "/api/v1/me/totp/confirm",
        "/api/v1/me/totp/recovery-codes",
    }
)
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Operation(NamedTuple):
    """One operation of the document."""

    id: str
    name: str
    method: str
    template: str
    permission: str
    described: Mapping[str, Any]

    @property
    def streams(self) -> bool:
        """Whether its answer has no end to wait for."""
        return "text/event-stream" in self.described["responses"].get("200", {}).get("content", {})

    @property
    def of_platform(self) -> bool:
        """Whether it acts on the platform, and so on every tenant."""
        return self.permission in ROLES.of_platform

    @property
    def of_oneself(self) -> bool:
        """Whether it acts on the person who asks, of whatever tenant, and on nobody else."""
        return self.template in _PERSONS_OWN and self.template.startswith("/api/")

    @property
    def somewhere(self) -> str:
        """Its path, with ids that nothing has."""
        return re.sub(r"\{.*?\}", uuid7(), self.template)

    def parameters(self, place: str) -> list[str]:
        """The names of its parameters in this place."""
        return [one["name"] for one in self.described.get("parameters", ()) if one["in"] == place]


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """All operations of a document."""
    for template, item in document["paths"].items():
        for method, described in item.items():
            permission = next(iter(needed({"security": (), **described})), "")
            verb = method.upper()
            yield Operation(
                str(described.get("operationId", template)),
                f"{verb} {template}",
                verb,
                template,
                permission,
                described,
            )


def rows(document: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Who may ask each operation, as the document and the rooms declare it."""
    return {one.name: _row(one) for one in operations(document)}


def _row(operation: Operation) -> frozenset[str]:
    ways = operation.described.get("security")
    if not ways or {} in ways:
        return ANYBODY
    if operation.template in _PERSONS_OWN:
        return frozenset({_PERSON})
    if not operation.permission:
        return IN_TENANTS | OF_PLATFORM
    own = {CUSTOM} if operation.permission in CUSTOM_PERMISSIONS else set()
    holders = HOUSE.permissions[operation.permission]
    if operation.of_platform:
        return frozenset(PLATFORM_ROLES[role] for role in holders)
    return holders | own


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a credential of their own.

    Attributes:
        name: For the report of a failure.
        roles: The rows of the matrix that speak of them.
        http: Sends their credential.
        by: What the credential is: a client, a key or a person.
        client: The client's name and secret; empty for the others.
        user: The person; None for the others.
        row: What the tenant's list calls the client, key or person.
        of_platform: Whether it is a program of the platform's own, and so of no tenant.
    """

    name: str
    roles: frozenset[str]
    http: httpx.AsyncClient
    by: str
    row: str
    client: tuple[str, str] = ("", "")
    user: User | None = None
    of_platform: bool = False

    def may(self, row: Iterable[str]) -> bool:
        """Whether a row of the matrix names them."""
        return not self.roles.isdisjoint(row)

    async def ask(self, operation: Operation, path: str = "", **more: Any) -> httpx.Response:
        """Ask for something that nothing was made for."""
        return await self.http.request(operation.method, path or operation.somewhere, **more)


@dataclass(slots=True)
class Walk:
    """What was asked and what came out otherwise; failures are told all at once.

    Attributes:
        situation: What all of it has in common.
        asked: How many questions there were.
        failures: Those that were answered in another way.
    """

    situation: str
    asked: int = 0
    failures: list[str] = field(default_factory=list)

    def expect(self, held: object, who: str, what: str, got: object) -> None:
        """Count a question and remember it if its answer is not the one there should be."""
        self.asked += 1
        if not held:
            said = f"{got.status_code} {got.text[:300]}" if isinstance(got, httpx.Response) else got
            self.failures.append(f"{self.situation}: {who}: {what}: {said}")

    def expect_same(self, before: Mapping[str, object], after: Mapping[str, object]) -> None:
        """Count as one question whether everything was left as it was."""
        changed = [name for name in before if before[name] != after[name]]
        self.expect(not changed, "all of them together", "leave what is not theirs", changed)

    def close(self) -> None:
        """Say how many there were, and fail if any failed."""
        print(f"{self.situation}: {self.asked} asked, {len(self.failures)} wrong")  # noqa: T201 - the count is asked for
        assert self.asked > 0
        assert not self.failures, "\n".join(self.failures[:40])


@dataclass(frozen=True, slots=True)
class Ground:
    """A tenant whose owner, who is also the platform's, can make whatever an operation acts on."""

    tenant: Tenant
    owner: Caller
    able: Operations


class Cast:
    """Finds the callers of a tenant."""

    def __init__(self, app: App, people: People, document: dict[str, Any]) -> None:
        self._app = app
        self._people = people
        self._document = document

    async def send(self, caller: Caller, prepared: Prepared) -> httpx.Response:
        """The answer to what was prepared for somebody, asked by somebody else."""
        try:
            return await send(caller.http, prepared)
        except httpx.HTTPStatusError as refused:
            return refused.response

    async def ground(self) -> Ground:
        """A new tenant."""
        client = await self._app.caller("owner")
        maker = await self.person(client.tenant, "owner", "administrator")
        return Ground(
            client.tenant,
            maker,
            Operations(
                self._document,
                maker.http,
                PASSWORD,
                self._app.keep_spans,
                self._app.add_worker,
            ),
        )

    async def of(self, ground: Ground) -> list[Caller]:
        """One of each role by each kind of credential, and one of each role of the platform."""
        found: list[Caller] = []
        permissions = {"permissions": sorted(CUSTOM_PERMISSIONS)}
        made = await ground.owner.http.put(f"/api/v1/roles/{CUSTOM}", json=permissions)
        assert made.is_success, made.text
        for role in sorted(IN_TENANTS):
            found += [
                await self.client(ground, role),
                await self.api_key(ground, role),
                await self.person(ground.tenant, role),
            ]
        # The least of the tenant, so that what they may is the platform's.
        for role in sorted(PLATFORM_ROLES):
            found += [
                await self.person(ground.tenant, "workflow", role),
                await self.client(ground, role, of_platform=True),
                await self.api_key(ground, role, of_platform=True),
            ]
        return found

    async def client(self, ground: Ground, role: str, *, of_platform: bool = False) -> Caller:
        """A client, with a token."""
        body = {"name": "k", "role": role}
        made = (
            await ground.owner.http.post(path_of("clients", of_platform=of_platform), json=body)
        ).json()
        client = made["client_id"], made["client_secret"]
        http = self._app.client()
        answer = await http.post(
            "/oauth/token", data={"grant_type": "client_credentials"}, auth=client
        )
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        told = PLATFORM_ROLES[role] if of_platform else role
        name = f"{told} by client"
        return Caller(
            name, frozenset({told}), http, "client", made["id"], client, of_platform=of_platform
        )

    async def api_key(self, ground: Ground, role: str, *, of_platform: bool = False) -> Caller:
        """An API key, which lives some minutes."""
        until = self._app.platform.database.clock() + timedelta(seconds=KEY_SECONDS)
        body = {"name": "k", "role": role, "expires_at": until.isoformat()}
        made = (
            await ground.owner.http.post(path_of("api-keys", of_platform=of_platform), json=body)
        ).json()
        http = self._app.client(**{"X-API-Key": made["key"]})
        told = PLATFORM_ROLES[role] if of_platform else role
        name = f"{told} by key"
        return Caller(name, frozenset({told}), http, "key", made["id"], of_platform=of_platform)

    async def person(self, tenant: Tenant, role: str, of_platform: str = "") -> Caller:
        """A member who has logged in to the tenant, and what they are to the platform besides."""
        user = await self._people.person(platform_role=of_platform or None)
        await self._people.member(tenant, user, role)
        http = await self._people.acting(user, tenant=tenant.id)
        roles = {role, _PERSON} | ({PLATFORM_ROLES[of_platform]} if of_platform else set())
        name = f"{role} by log-in" + (f", {of_platform}" if of_platform else "")
        return Caller(name, frozenset(roles), http, _PERSON, user.id, user=user)


def path_of(what: str, *, of_platform: bool) -> str:
    """Where the clients or keys of a tenant, or of the platform, are listed."""
    return f"/api/v1/platform/{what}" if of_platform else f"/api/v1/{what}"


async def belongings(app: App, tenant: Tenant) -> dict[str, list[dict[str, Any]]]:
    """All rows of a tenant, by table, in an order of their own; not what a clock writes of it."""
    found: dict[str, list[dict[str, Any]]] = {}
    async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
        for mapper in Base.registry.mappers:
            model: Any = mapper.class_
            if not issubclass(model, TenantOwned) or model.__tablename__ not in _READABLE:
                continue
            of_tenant = await tx.scalars(sa.select(model).where(model.tenant_id == tenant.id))
            columns = [one.key for one in mapper.column_attrs if not one.deferred]
            found[model.__tablename__] = sorted(
                ({key: getattr(row, key) for key in columns} for row in of_tenant), key=repr
            )
    return found


def ids_in(*texts: object) -> set[str]:
    """Every id that is written in them."""
    return {one for text in texts for one in _ID.findall(str(text))}


def matrix() -> dict[str, frozenset[str]]:
    """The committed rows."""
    return {name: frozenset(row.split()) for name, row in json.loads(MATRIX.read_text()).items()}


def write_matrix(declared: Mapping[str, Iterable[str]]) -> None:
    """Commit other rows: a line each, so that a difference reads as one."""
    lines = {name: " ".join(sorted(row)) for name, row in declared.items()}
    MATRIX.write_text(json.dumps(lines, indent=2) + "\n")


def unlimited(settings: Settings) -> Settings:
    """The same, for an application that turns nobody away for asking much."""
    wide: dict[str, BaseModel] = {
        name: _wide(getattr(settings, name))
        for name in ("gateway", "email", "secrets", "logging", "tracing")
    }
    return settings.model_copy(
        update={**wide, "audit": settings.audit.model_copy(update={"exports_each": 10_000})}
    )


def _wide(section: BaseModel) -> BaseModel:
    limits = [
        name
        for name in type(section).model_fields
        if name.endswith(("requests_per_second", "burst_requests"))
    ]
    assert limits
    return section.model_copy(update=dict.fromkeys(limits, 1_000_000))
