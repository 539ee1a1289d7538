"""The record of a denial: who asked for what, in the trail of their tenant, however often."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.audit import SEQUENCER, AuditRecord
from backend.core.clock import monotonic
from backend.core.context import Principal, SystemScope
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.managers.gateway import GatewayManager
from backend.managers.identity import IdentityManager
from tests.support.platform import App


def later(seconds: float) -> Callable[[], float]:
    """The monotonic clock, so much later."""
    return lambda: monotonic() + seconds


async def trail(app: App) -> list[AuditRecord]:
    async with app.platform.database.read(SystemScope(SEQUENCER)) as tx:
        rows = await tx.scalars(sa.select(AuditRecord).order_by(AuditRecord.id))
        return list(rows)


async def denials(app: App) -> list[AuditRecord]:
    return [row for row in await trail(app) if row.action == "access.denied"]


class TestRecord:
    async def test_says_what_was_denied_to_whom(self, app: App, settled: Any) -> None:
        viewer = await app.caller("viewer")
        wanted = f"/api/v1/members/{uuid7()}?role={uuid7()}"
        answer = await viewer.http.delete(wanted, headers={"X-Request-Id": "r-1"})
        assert answer.status_code == 403
        await settled()
        (denial,) = await denials(app)
        assert (denial.tenant_id, denial.request_id) == (viewer.tenant.id, "r-1")
        assert denial.actor == denial.target == f"client:{viewer.client_id}"
        assert denial.data == {
            "method": "DELETE",
            "route": "/api/v1/members/{user_id}",
            "status": 403,
            "problem": "forbidden",
            "address": "127.0.0.1",
            "count": 1,
        }

    async def test_is_found_by_who_did_it(self, app: App, settled: Any) -> None:
        owner = await app.caller()
        viewer = await app.caller("viewer", owner.tenant)
        for _ in range(3):
            await viewer.http.post("/api/v1/clients")
        await viewer.http.post("/api/v1/api-keys")
        await settled()
        await app.platform.of(IdentityManager).failures.flush(everything=True)
        found = await owner.http.get(
            "/api/v1/audit", params={"actor": f"client:{viewer.client_id}", "action": "access.*"}
        )
        said = [(one["data"]["route"], one["data"]["count"]) for one in found.json()["items"]]
        assert sorted(said) == [
            ("/api/v1/api-keys", 1),
            ("/api/v1/clients", 1),
            ("/api/v1/clients", 2),
        ]

    async def test_a_stranger_is_an_address(self, app: App, settled: Any) -> None:
        await app.client().request("BREW", "/api/v1/me")
        await app.client().get(f"/api/v1/{uuid7()}")
        await settled()
        found = await denials(app)
        assert {(row.actor, row.target) for row in found} == {("system", "address:127.0.0.1")}
        assert {row.tenant_id for row in found} == {PLATFORM_TENANT}
        assert [(row.data["method"], row.data["route"]) for row in found] == [
            ("other", "/api/v1/me"),
            ("GET", "(none)"),
        ]
        assert {(row.data["status"], row.data["problem"]) for row in found} == {
            (401, "unauthenticated")
        }

    async def test_a_token_that_ran_out_is_no_attempt(
        self, app: App, settled: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So every program finds out that it needs another: it was ours, and it held."""
        owner = await app.caller()
        old = await app.caller("viewer", owner.tenant)
        await old.http.get("/api/v1/me")
        never_seen = await app.caller("viewer", owner.tenant)
        database = app.platform.database
        now = database.clock()
        monkeypatch.setattr(database, "clock", lambda: now + timedelta(seconds=601))
        monkeypatch.setattr(app.platform.of(GatewayManager)._cache, "_monotonic", later(601))
        for caller in (old, old, never_seen, never_seen):
            answer = await caller.http.get("/api/v1/me")
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
            assert "expired or revoked" in answer.json()["detail"]
        await settled()
        assert await denials(app) == []
        # What is forged, revoked or another's leaves its record, expired or not.
        head, claims, _ = old.http.headers["Authorization"][7:].split(".")
        for token in (f"{head}.{claims}.{'A' * 86}", "nonsense"):
            http = app.client(Authorization=f"Bearer {token}")
            assert (await http.get("/api/v1/me")).status_code == 401
        await settled()
        assert len(await denials(app)) == 1

    async def test_a_deleted_clients_token_is_an_attempt(self, app: App, settled: Any) -> None:
        owner = await app.caller()
        gone = await app.caller("viewer", owner.tenant)
        clients = (await owner.http.get("/api/v1/clients")).json()["items"]
        row = next(one for one in clients if one["client_id"] == gone.client_id)
        await owner.http.delete(f"/api/v1/clients/{row['id']}")
        assert (await gone.http.get("/api/v1/me")).status_code == 401
        await settled()
        assert len(await denials(app)) == 1

    async def test_an_api_key_that_ran_out_is_one(
        self, app: App, settled: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing renews it by itself: whoever goes on using it should be seen."""
        owner = await app.caller()
        until = (app.platform.database.clock() + timedelta(seconds=60)).isoformat()
        body = {"name": "k", "role": "viewer", "expires_at": until}
        key = (await owner.http.post("/api/v1/api-keys", json=body)).json()["key"]
        now = app.platform.database.clock()
        monkeypatch.setattr(app.platform.database, "clock", lambda: now + timedelta(seconds=61))
        http = app.client(**{"X-API-Key": key})
        assert (await http.get("/api/v1/me")).status_code == 401
        await settled()
        assert len(await denials(app)) == 1

    async def test_one_who_tries_everything_writes_a_few_rows(
        self, app: App, settled: Any, openapi: dict[str, Any]
    ) -> None:
        http, asked = app.client(), 0
        paths = [path for path in openapi["paths"] if path.startswith("/api/")]
        for _ in range(2):
            # Fewer than an address may ask at once, however fast this machine asks.
            for path in paths[:60]:
                answer = await http.get(path.replace("{", "").replace("}", ""))
                assert answer.status_code == 401
                asked += 1
        await settled()
        await app.platform.of(IdentityManager).failures.flush(everything=True)
        found = await denials(app)
        assert asked > 40
        assert sum(row.data["count"] for row in found) == asked
        assert len({row.data["route"] for row in found}) == 11
        assert len(found) <= 22


class TestOauth:
    """Below ``/oauth/`` only what records its own failures has no record here."""

    async def test_a_denied_introspection_and_user_info_are_recorded(
        self, app: App, settled: Any
    ) -> None:
        viewer = await app.caller("viewer")
        assert (await viewer.http.post("/oauth/introspect")).status_code == 403
        assert (await viewer.http.get("/oauth/userinfo")).status_code == 401
        assert (await app.client().post("/oauth/introspect")).status_code == 401
        await settled()
        said = [(row.actor, row.data["route"], row.data["status"]) for row in await denials(app)]
        assert said == [
            (f"client:{viewer.client_id}", "/oauth/introspect", 403),
            (f"client:{viewer.client_id}", "/oauth/userinfo", 401),
            ("system", "/oauth/introspect", 401),
        ]

    @pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
    async def test_a_failed_authentication_has_one_record(
        self, app: App, settled: Any, path: str
    ) -> None:
        form = {"grant_type": "client_credentials", "token": "t"}
        answer = await app.client().post(path, data=form, auth=("nobody", "wrong"))
        assert answer.status_code == 401
        await settled()
        assert [row.action for row in await trail(app)] == ["client.authentication_failed"]

    async def test_a_credential_refused_before_they_are_asked_is_recorded(
        self, app: App, settled: Any
    ) -> None:
        http = app.client(Authorization="Bearer wrong")
        for path in ("/oauth/token", "/oauth/revoke", "/oauth/login", "/oauth/second-factor"):
            assert (await http.post(path)).status_code == 401
        await settled()
        assert [row.data["route"] for row in await denials(app)] == [
            "/oauth/token",
            "/oauth/revoke",
            "/oauth/login",
            "/oauth/second-factor",
        ]


class TestTenants:
    async def test_one_persons_denials_stay_in_the_tenant_they_happened_in(
        self, app: App, settled: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = await app.caller(), await app.caller()
        subject, tenant_id = f"user:{uuid7()}", ""

        def principal(_: str) -> Principal:
            return Principal(subject, "user", tenant_id, frozenset())

        monkeypatch.setattr(app.platform.of(GatewayManager), "cached_principal", principal)
        for one in (first, second):
            tenant_id = one.tenant.id
            assert (await one.http.get("/api/v1/audit")).status_code == 403
        await settled()
        assert [(row.tenant_id, row.actor) for row in await denials(app)] == [
            (first.tenant.id, subject),
            (second.tenant.id, subject),
        ]
