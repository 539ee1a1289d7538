"""What the outbox is told of credentials, members, tenants and log-ins."""

import secrets
from contextlib import suppress

from backend.core.context import Scope, SystemScope
from backend.core.events import Event, read_events
from backend.core.ids import PLATFORM_TENANT
from backend.managers.identity import IdentityManager, LoginRefusedError
from backend.managers.identity._logins import Peer
from backend.managers.tenant import PLATFORM, TenantManager, hash_password
from tests.support.platform import App, TenantClient
from tests.support.roles import ROLES


async def told(app: App, tenant_id: str, noun: str) -> list[Event]:
    await app.sequence()
    async with app.platform.database.read(Scope("test", tenant_id)) as tx:
        found = await read_events(tx, after=0, limit=1000)
    return [event for event in found if event.kind.startswith(f"{noun}.")]


async def test_clients(app: App) -> None:
    ada = await app.caller()
    made = (await ada.http.post("/api/v1/clients", json={"name": "n8n", "role": "viewer"})).json()
    await ada.http.post(f"/api/v1/clients/{made['id']}/rotate")
    await ada.http.delete(f"/api/v1/clients/{made['id']}")
    events = [
        event
        for event in await told(app, ada.tenant.id, "client")
        if event.subject == f"client:{made['client_id']}"
    ]
    assert [(event.kind, event.data["name"]) for event in events] == [
        ("client.created", "n8n"),
        ("client.rotated", "n8n"),
        ("client.deleted", "n8n"),
    ]
    assert made["client_secret"] not in str(events)
    assert {event.actor for event in events} == {f"client:{ada.client_id}"}


async def test_api_keys(app: App) -> None:
    ada = await app.caller()
    made = (await ada.http.post("/api/v1/api-keys", json={"name": "n8n", "role": "viewer"})).json()
    await ada.http.delete(f"/api/v1/api-keys/{made['id']}")
    events = await told(app, ada.tenant.id, "api_key")
    assert [event.kind for event in events] == ["api_key.created", "api_key.revoked"]
    assert {event.subject for event in events} == {f"api_key:{made['id']}"}
    assert made["key"][:12] not in str(events)


async def _member(app: App, ada: TenantClient) -> str:
    name = secrets.token_hex(4)
    async with app.platform.database.transaction(SystemScope(PLATFORM)) as tx:
        tenants = app.platform.of(TenantManager)
        user = await tenants.create_user(
            tx, email=f"{name}@example.test", name=name, password_hash=None
        )
        await tenants.add_member(
            tx, tenant_id=ada.tenant.id, user_id=user.id, role="viewer", granter=None
        )
    return user.id


async def test_members_and_tenants(app: App) -> None:
    ada = await app.caller()
    bob = await _member(app, ada)
    await ada.http.put(f"/api/v1/members/{bob}", json={"role": "operator"})
    await ada.http.delete(f"/api/v1/members/{bob}")
    events = await told(app, ada.tenant.id, "member")
    assert [(event.kind, event.subject) for event in events] == [
        ("member.added", f"user:{bob}"),
        ("member.role_changed", f"user:{bob}"),
        ("member.removed", f"user:{bob}"),
    ]
    assert events[1].data == {"before": "viewer", "after": "operator"}
    created = await told(app, PLATFORM_TENANT, "tenant")
    assert [event.subject for event in created] == [f"tenant:{ada.tenant.id}"]


async def test_an_act_that_was_refused_is_none(app: App) -> None:
    ada = await app.caller("admin")
    bob = await _member(app, ada)
    answer = await ada.http.put(f"/api/v1/members/{bob}", json={"role": "owner"})
    assert answer.status_code == 403
    assert "owner:write" not in ROLES.by_name["admin"]
    events = await told(app, ada.tenant.id, "member")
    assert [event.kind for event in events] == ["member.added"]


async def test_log_ins(app: App) -> None:
    platform = app.platform
    async with platform.database.transaction(SystemScope(PLATFORM)) as tx:
        user = await platform.of(TenantManager).create_user(
            tx, email="ada@example.test", name="Ada", password_hash=hash_password("correct horse")
        )
    logins = platform.of(IdentityManager).provider.log_ins
    who = Peer("10.0.0.1", "")
    for password in ("wrong", "wrong", "correct horse"):
        with suppress(LoginRefusedError):
            await logins.start("ada@example.test", password, replaces=None, peer=who)
    # Coalesced as the trail is: the first at once, the others with their window.
    await platform.of(IdentityManager).failures.flush(everything=True)
    events = await told(app, PLATFORM_TENANT, "login")
    assert [(event.kind, event.data.get("count")) for event in events] == [
        ("login.failed", 1),
        ("login.succeeded", None),
        ("login.failed", 1),
    ]
    assert {event.subject for event in events} == {f"user:{user.id}"}
