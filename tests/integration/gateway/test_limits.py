"""Limits that are edited at run time: who may, what holds, how fast, and what a caller is told."""

import asyncio
import re

import httpx
import pytest
import sqlalchemy as sa

from backend.api import create_app
from backend.app import compose
from backend.core.context import Principal, Scope, SystemScope
from backend.core.events import EventRecord
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.signal_log import SignalLog
from backend.kit.limiter import Level, Verdict
from backend.managers.gateway import (
    LIMITS,
    Bounds,
    GatewayManager,
    LimitExistsError,
    LimitTooWideError,
    Rate,
)
from backend.managers.gateway._limits import LimitTable, Place, narrower
from backend.rooms import HOUSE
from tests.support.platform import App, TenantClient

DAY = 86_400
FEW = {"burst": 3, "refill": 1, "seconds": DAY}
WIDE = {"requests": {"burst": 900, "refill": 400, "seconds": 1}}


async def settled(app: App) -> None:
    """Until the process has read the limits again."""
    refreshing = app.platform.of(GatewayManager)._refreshing
    if refreshing is not None:
        await refreshing


async def admin(app: App, ada: TenantClient, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    """Somebody who may do what the platform's administrators do."""
    gateway = app.platform.of(GatewayManager)
    token = ada.http.headers["Authorization"].removeprefix("Bearer ")
    principal = await gateway.authenticate(token)
    known = gateway.cached_principal
    made = type(principal)(
        subject="user:0199c0de-0000-7000-8000-000000000001",
        kind="user",
        tenant_id=(await app.caller()).tenant.id,
        permissions=frozenset({"platform:read", "platform:write"}),
        platform_role="administrator",
    )
    monkeypatch.setattr(gateway, "cached_principal", lambda c: made if c == "admin" else known(c))
    return app.client(Authorization="Bearer admin")


def ask(gateway: GatewayManager, principal: Principal) -> Verdict:
    """Charge a request, as the process itself decides."""
    verdict = gateway.quota(principal, "other")
    assert isinstance(verdict, Verdict)
    return verdict


async def statuses(caller: TenantClient, times: int, path: str = "/api/v1/me") -> list[int]:
    return [(await caller.http.get(path)).status_code for _ in range(times)]


class TestRate:
    @pytest.mark.parametrize(
        ("one", "other", "both"),
        [
            (Rate(5, 1, 10), None, Rate(5, 1, 10)),
            (None, Rate(5, 1, 10), Rate(5, 1, 10)),
            (None, None, None),
            (Rate(5, 1, 1), Rate(10, 1, 10), Rate(5, 1, 10)),
            (Rate(10, 3, 30), Rate(5, 2, 10), Rate(5, 3, 30)),
        ],
    )
    def test_the_narrower_of_two(self, one, other, both):
        assert narrower(one, other) == both

    def test_is_within_another_by_burst_and_by_rate(self):
        assert Rate(5, 1, 10).within(Rate(5, 6, 60))
        assert Rate(5, 1, 10).within(None)
        assert not Rate(6, 1, 10).within(Rate(5, 1, 10))
        assert not Rate(5, 2, 10).within(Rate(5, 1, 10))


class TestLimitTable:
    def test_the_narrowest_that_says_something_says_it(self):
        table = LimitTable({("caller", ""): Bounds(Rate(100, 100, 1))})
        places = table._rows
        wide, ours, one = Rate(50, 1, 1), Rate(40, 1, 1), Rate(60, 1, 1)
        assert table.effective("t", "client", "x").requests == Rate(100, 100, 1)
        places[Place(PLATFORM_TENANT, "platform", "caller", "")] = Bounds(wide)
        places[Place("t", "platform", "caller", "")] = Bounds(ours)
        places[Place("t", "platform", "client", "x")] = Bounds(one)
        assert table.effective("other", "client", "x").requests == wide
        assert table.effective("t", "client", "y").requests == ours
        assert table.effective("t", "client", "x").requests == one
        places[Place("t", "tenant", "caller", "")] = Bounds(Rate(7, 100, 1))
        assert table.effective("t", "client", "x").requests == Rate(7, 1, 1)
        assert table.effective("t", "user", "z").requests == Rate(7, 1, 1)

    def test_one_callers_use_of_a_class_is_narrower_than_the_class(self):
        emails = Rate(100, 100, 1)
        table = LimitTable({("route_class", "emails"): Bounds(emails)})
        places = table._rows
        one, day = Rate(5, 1, 1), Rate(50, 50, DAY)
        for kind in ("client", "caller"):
            assert table.effective("t", kind, "x", "emails").requests == emails
        places[Place(PLATFORM_TENANT, "platform", "route_class", "emails")] = Bounds(
            sustained=day, cost=3
        )
        places[Place("t", "platform", "client", "x", "emails")] = Bounds(one)
        found = table.effective("t", "client", "x", "emails")
        assert found == Bounds(one, sustained=day, cost=3)
        assert table.effective("t", "client", "y", "emails").requests == emails
        # What they may at all is another matter.
        assert table.effective("t", "client", "x").requests is None
        places[Place("t", "tenant", "client", "x", "emails")] = Bounds(Rate(2, 100, 1))
        assert table.effective("t", "client", "x", "emails").requests == Rate(2, 1, 1)


class TestPlatformLimit:
    @pytest.mark.slow
    async def test_holds_at_once_and_until_it_is_gone(self, app, monkeypatch):
        ada, eve = await app.caller(), await app.caller()
        root = await admin(app, ada, monkeypatch)
        assert await statuses(ada, 2) == [200, 200]
        body = {"tenant_id": ada.tenant.id, "kind": "tenant", "requests": FEW}
        made = await root.post("/api/v1/platform/limits", json=body)
        assert made.status_code == 201, made.text
        limit = made.json()
        assert (limit["owner"], limit["kind"], limit["requests"]) == ("platform", "tenant", FEW)
        await settled(app)
        assert await statuses(ada, 5) == [200, 200, 200, 429, 429]
        assert await statuses(eve, 3) == [200, 200, 200]
        path = f"/api/v1/platform/limits/{limit['id']}"
        wider = {"requests": {"burst": 5, "refill": 1, "seconds": DAY}}
        changed = await root.put(path, json=wider, headers={"If-Match": made.headers["etag"]})
        assert changed.status_code == 200, changed.text
        await settled(app)
        assert await statuses(ada, 3) == [200, 200, 429]
        stale = await root.put(path, json=wider, headers={"If-Match": made.headers["etag"]})
        assert (stale.status_code, stale.json()["code"]) == (412, "gateway.limit_changed")
        stale = await root.delete(path, headers={"If-Match": made.headers["etag"]})
        assert stale.status_code == 412
        gone = await root.delete(path, headers={"If-Match": changed.headers["etag"]})
        assert gone.status_code == 204
        await settled(app)
        assert await statuses(ada, 3) == [200, 200, 200]
        assert (await root.get(path)).status_code == 404

    async def test_of_every_tenant_is_narrowed_for_one(self, app, monkeypatch):
        ada, eve = await app.caller(), await app.caller()
        root = await admin(app, ada, monkeypatch)
        for tenant_id, burst in ((None, 4), (ada.tenant.id, 2)):
            requests = {"burst": burst, "refill": 1, "seconds": DAY}
            body = {"tenant_id": tenant_id, "kind": "caller", "requests": requests}
            assert (await root.post("/api/v1/platform/limits", json=body)).status_code == 201
            await settled(app)
        assert (await statuses(ada, 3)).count(200) == 2
        assert (await statuses(eve, 5)).count(200) == 4

    async def test_reaches_another_process_without_a_signal(self, app, monkeypatch):
        """What one process would be told of within five seconds: by the record alone."""
        ada = await app.caller()
        other = compose(app.platform.settings)
        other.database.signals._carrier = None
        gateway = other.of(GatewayManager)
        log = SignalLog(other.database, HOUSE.durable_topics)
        principal = await gateway.authenticate(
            ada.http.headers["Authorization"].removeprefix("Bearer ")
        )
        async with gateway.serving(other.database):
            assert ask(gateway, principal).remaining > 100
            root = await admin(app, ada, monkeypatch)
            body = {"tenant_id": ada.tenant.id, "kind": "tenant", "requests": FEW}
            assert (await root.post("/api/v1/platform/limits", json=body)).status_code == 201
            assert ask(gateway, principal).remaining > 100
            await log.look()
            assert gateway._refreshing is not None
            await gateway._refreshing
            assert ask(gateway, principal).remaining <= 3
        await other.database.aclose()

    async def test_bounds_bytes_and_what_is_under_way(self, app, monkeypatch):
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        size = {"burst": 10_240, "refill": 1024, "seconds": DAY}
        body = {
            "tenant_id": ada.tenant.id,
            "kind": "tenant",
            "bytes": size,
            "concurrency": 1,
        }
        assert (await root.post("/api/v1/platform/limits", json=body)).status_code == 201
        await settled(app)
        name = {"name": "x" * 90, "role": "viewer"}

        async def post(content: bytes) -> httpx.Response:
            return await ada.http.post(
                "/api/v1/api-keys", content=content, headers={"Content-Type": "application/json"}
            )

        assert (await ada.http.post("/api/v1/api-keys", json=name)).status_code == 201
        refused = await post(b" " * 9300)
        assert refused.status_code == 429, refused.text
        assert refused.headers["ratelimit"].startswith('"tenant_bytes";r=0;t=')
        assert 'q=10240;w=864000;qu="content-bytes"' in refused.headers["ratelimit-policy"]
        assert int(refused.headers["retry-after"]) > 3600

        # A body of no announced length counts as the largest that its route takes: it may be that.
        async def chunks():
            yield b"{}"

        unknown = await ada.http.post("/api/v1/api-keys", content=chunks())
        assert unknown.status_code == 429
        assert (await ada.http.get("/api/v1/me")).status_code == 200
        gateway = app.platform.of(GatewayManager)
        token = ada.http.headers["Authorization"].removeprefix("Bearer ")
        held = ask(gateway, await gateway.authenticate(token))
        busy = await ada.http.get("/api/v1/me")
        assert busy.status_code == 429
        assert busy.headers["ratelimit"] == '"tenant_concurrency";r=0;t=1'
        assert busy.headers["retry-after"] == "1"
        assert (
            '"tenant_concurrency";q=1;qu="concurrent-requests"'
            in (busy.headers["ratelimit-policy"])
        )
        assert held.slot is not None
        held.slot.release(held.slot)
        # Each request gives its place back, however it ends.
        assert await statuses(ada, 3) == [200] * 3
        assert await statuses(ada, 2, "/api/v1/nothing") == [404] * 2

    @pytest.mark.parametrize(
        ("change", "code", "pointer"),
        [
            ({"requests": None}, "gateway.limit_invalid", None),
            ({"name": "x"}, "gateway.limit_invalid", "/name"),
            ({"kind": "client"}, "gateway.limit_invalid", "/name"),
            ({"kind": "route_class", "name": "nothing"}, "gateway.limit_invalid", "/name"),
            ({"kind": "caller", "concurrency": 3}, "gateway.limit_invalid", "/concurrency"),
            (
                {"kind": "route_class", "name": "emails", "bytes": FEW},
                "gateway.limit_invalid",
                "/bytes",
            ),
            ({"cost": 2}, "gateway.limit_invalid", "/cost"),
            ({"route_class": "emails"}, "gateway.limit_invalid", "/route_class"),
            (
                {"kind": "client", "name": "es_x", "route_class": "nothing"},
                "gateway.limit_invalid",
                "/route_class",
            ),
            (
                {"kind": "client", "name": "es_x", "route_class": "emails", "bytes": FEW},
                "gateway.limit_invalid",
                "/bytes",
            ),
            ({"kind": "route_class", "name": "emails", "cost": 0}, "invalid_input", "/cost"),
            ({"requests": FEW | {"burst": 0}}, "invalid_input", "/requests/burst"),
            ({"tenant_id": "x"}, "invalid_input", "/tenant_id"),
        ],
    )
    async def test_refuses_what_limits_nothing(self, app, monkeypatch, change, code, pointer):
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        body = {"tenant_id": ada.tenant.id, "kind": "tenant", "requests": FEW} | change
        answer = await root.post("/api/v1/platform/limits", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        if pointer is not None:
            assert pointer in answer.text

    async def test_is_of_a_tenant_that_there_is_and_once(self, app, monkeypatch):
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        body = {"tenant_id": uuid7(), "kind": "tenant", "requests": FEW}
        answer = await root.post("/api/v1/platform/limits", json=body)
        assert answer.status_code == 404
        body["tenant_id"] = ada.tenant.id
        assert (await root.post("/api/v1/platform/limits", json=body)).status_code == 201
        answer = await root.post("/api/v1/platform/limits", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "gateway.limit_exists")


class TestTenantLimit:
    async def test_narrows_and_never_widens(self, app):
        ada = await app.caller()
        bob = await app.caller("operator", ada.tenant)
        body = {"kind": "client", "name": bob.client_id, "requests": FEW}
        made = await ada.http.post("/api/v1/limits", json=body)
        assert made.status_code == 201, made.text
        await settled(app)
        assert await statuses(bob, 4) == [200, 200, 200, 429]
        assert await statuses(ada, 4) == [200] * 4
        wide = {"requests": {"burst": 1001, "refill": 1, "seconds": 1}}
        path = f"/api/v1/limits/{made.json()['id']}"
        for answer in (
            await ada.http.put(path, json=wide),
            await ada.http.post("/api/v1/limits", json={"kind": "caller"} | wide),
        ):
            assert (answer.status_code, answer.json()["code"]) == (
                422,
                "gateway.limit_too_wide",
            )
            assert "/requests" in answer.text
        assert (await bob.http.get("/api/v1/limits")).status_code == 429
        assert (await ada.http.delete(path)).status_code == 204
        await settled(app)
        assert (await bob.http.get("/api/v1/limits")).status_code == 200
        assert (await bob.http.post("/api/v1/limits", json=body)).status_code == 403

    async def test_holds_no_longer_than_the_platform_lets_it(self, app, monkeypatch):
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        ten = {"burst": 10, "refill": 1, "seconds": DAY}
        body = {"kind": "caller", "requests": ten}
        assert (await ada.http.post("/api/v1/limits", json=body)).status_code == 201
        narrow = {"tenant_id": ada.tenant.id, "kind": "caller", "requests": FEW}
        assert (await root.post("/api/v1/platform/limits", json=narrow)).status_code == 201
        await settled(app)
        assert (await statuses(ada, 6)).count(200) <= 3

    async def test_sees_the_platforms_and_changes_only_its_own(self, app, monkeypatch):
        ada, eve = await app.caller(), await app.caller()
        root = await admin(app, ada, monkeypatch)
        many = {"burst": 300, "refill": 300, "seconds": 1}
        body = {"tenant_id": ada.tenant.id, "kind": "tenant", "requests": many}
        theirs = (await root.post("/api/v1/platform/limits", json=body)).json()
        own = (
            await ada.http.post("/api/v1/limits", json={"kind": "caller", "requests": many})
        ).json()
        seen = (await ada.http.get("/api/v1/limits")).json()["items"]
        assert [one["id"] for one in seen] == [own["id"], theirs["id"]]
        assert (await ada.http.get(f"/api/v1/limits/{theirs['id']}")).json() == theirs
        path = f"/api/v1/limits/{theirs['id']}"
        assert (await ada.http.put(path, json={"requests": many})).status_code == 404
        assert (await ada.http.delete(path)).status_code == 404
        own_path = f"/api/v1/platform/limits/{own['id']}"
        assert (await root.put(own_path, json={"requests": many})).status_code == 404
        assert (await root.delete(own_path)).status_code == 404
        for one in (theirs, own):
            path = f"/api/v1/limits/{one['id']}"
            assert (await eve.http.get(path)).status_code == 404
            assert (await eve.http.delete(path)).status_code == 404
        assert (await eve.http.get("/api/v1/limits")).json()["items"] == []
        found = await root.get("/api/v1/platform/limits", params={"tenant_id": ada.tenant.id})
        assert [one["id"] for one in found.json()["items"]] == [own["id"], theirs["id"]]
        found = await root.get("/api/v1/platform/limits", params={"tenant_id": eve.tenant.id})
        assert found.json()["items"] == []

    async def test_leaves_a_record_and_an_event(self, app, monkeypatch):
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        body = {"tenant_id": ada.tenant.id, "kind": "tenant", "requests": FEW}
        theirs = (await root.post("/api/v1/platform/limits", json=body)).json()
        (record,) = await ada.audit(app.platform, "limit.created")
        assert record.target == f"limit:{theirs['id']}"
        assert record.actor.startswith("user:")
        assert record.data["requests"] == [3, 1, DAY]
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
            kinds = [one.kind for one in await tx.scalars(sa.select(EventRecord))]
        assert "limit.created" in kinds

    async def test_is_put_by_an_operator_whether_or_not_there_is_one(self, app):
        ada = await app.caller()
        limits = app.platform.of(GatewayManager).limits
        async with app.platform.database.transaction(SystemScope(LIMITS)) as tx:
            for burst, version in ((5, "1"), (7, "2")):
                made = await limits.put_limit(
                    tx,
                    tenant_id=ada.tenant.id,
                    kind="tenant",
                    name="",
                    bounds=Bounds(Rate(burst, 1, 1)),
                )
                assert (made.requests, made.version) == (Rate(burst, 1, 1), version)
            with pytest.raises(LimitExistsError):
                await limits.create_limit(
                    tx,
                    tenant_id=ada.tenant.id,
                    kind="tenant",
                    name="",
                    bounds=Bounds(Rate(1, 1, 1)),
                )
        async with app.platform.database.transaction(Scope("t", ada.tenant.id)) as tx:
            with pytest.raises(LimitTooWideError):
                await limits.create_limit(
                    tx,
                    tenant_id=None,
                    kind="caller",
                    name="",
                    bounds=Bounds(Rate(10**9, 1, 1)),
                )


class TestWithinAClass:
    async def test_one_client_is_held_there_and_nobody_else(self, app):
        ada = await app.caller()
        bob = await app.caller("operator", ada.tenant)
        body = {"kind": "client", "name": bob.client_id, "route_class": "emails"}
        made = await ada.http.post("/api/v1/limits", json=body | {"requests": FEW})
        assert made.status_code == 201, made.text
        assert made.json()["route_class"] == "emails"
        await settled(app)
        assert await statuses(bob, 4, "/api/v1/emails") == [200, 200, 200, 429]
        assert await statuses(bob, 4) == [200] * 4
        assert await statuses(ada, 4, "/api/v1/emails") == [200] * 4
        refused = await bob.http.get("/api/v1/emails")
        assert refused.headers["ratelimit"].startswith('"emails";r=0;t=')
        # Beside a limit of all that the client does.
        whole = await ada.http.post("/api/v1/limits", json=body | {"route_class": ""} | WIDE)
        assert whole.status_code == 201, whole.text
        again = await ada.http.post("/api/v1/limits", json=body | {"requests": FEW})
        assert again.json()["code"] == "gateway.limit_exists"

    async def test_is_within_what_the_platform_allows_of_the_class(self, app):
        ada = await app.caller()
        body = {"kind": "client", "name": ada.client_id, "route_class": "emails"}
        wide = {"requests": {"burst": 10**9, "refill": 1, "seconds": 1}}
        answer = await ada.http.post("/api/v1/limits", json=body | wide)
        assert answer.json()["code"] == "gateway.limit_too_wide"


class TestSustained:
    async def test_both_rates_hold_and_the_tighter_refuses(self, app, monkeypatch):
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        burst = {"burst": 3, "refill": 1000, "seconds": 1}
        day = {"burst": 5, "refill": 1, "seconds": DAY}
        body = {"tenant_id": ada.tenant.id, "kind": "tenant", "requests": burst, "sustained": day}
        made = await root.post("/api/v1/platform/limits", json=body)
        assert made.status_code == 201, made.text
        assert (made.json()["requests"], made.json()["sustained"]) == (burst, day)
        await settled(app)
        admitted = 0
        async with asyncio.timeout(60):
            while admitted < 5:  # three at once, and more a millisecond each
                answer = await ada.http.get("/api/v1/me")
                admitted += answer.status_code == 200
        refused = await ada.http.get("/api/v1/me")
        assert refused.status_code == 429
        assert refused.headers["ratelimit"].startswith('"tenant_sustained";r=0;t=')
        policies = refused.headers["ratelimit-policy"].split(", ")
        assert policies[:2] == ['"tenant";q=3;w=1', f'"tenant_sustained";q=5;w={5 * DAY}']
        root_usage = await root.get(
            "/api/v1/platform/limit-usage", params={"tenant_id": ada.tenant.id}
        )
        used = {one["level"]: one["used"] for one in root_usage.json()["levels"]}
        assert used["tenant_sustained"] == 5

    async def test_of_a_tenant_stays_within_the_platforms(self, app, monkeypatch):
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        day = {"burst": 5, "refill": 5, "seconds": DAY}
        body = {"tenant_id": ada.tenant.id, "kind": "caller", "sustained": day}
        assert (await root.post("/api/v1/platform/limits", json=body)).status_code == 201
        await settled(app)
        wider = {"kind": "caller", "sustained": day | {"burst": 6}}
        answer = await ada.http.post("/api/v1/limits", json=wider)
        assert answer.json()["code"] == "gateway.limit_too_wide"
        assert "/sustained" in answer.text
        narrower = {"kind": "caller", "sustained": day | {"burst": 2}}
        answer = await ada.http.post("/api/v1/limits", json=narrower)
        assert answer.status_code == 201, answer.text
        await settled(app)
        # The two requests above count as well.
        assert (await statuses(ada, 3)).count(200) <= 2


class TestCost:
    async def test_one_of_a_class_counts_for_several_by_every_limit(self, app, monkeypatch):
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        ten = {"burst": 10, "refill": 1, "seconds": DAY}
        for body in (
            {"kind": "tenant", "requests": ten},
            {"kind": "route_class", "name": "emails", "cost": 4},
        ):
            answer = await root.post(
                "/api/v1/platform/limits", json=body | {"tenant_id": ada.tenant.id}
            )
            assert answer.status_code == 201, answer.text
            await settled(app)
        left = []
        for path in ("emails", "me", "emails", "emails", "me"):
            answer = await ada.http.get(f"/api/v1/{path}")
            left.append((answer.status_code, answer.headers["ratelimit"].partition(";t")[0]))
        assert left == [
            (200, '"tenant";r=6'),
            (200, '"tenant";r=5'),
            (200, '"tenant";r=1'),
            (429, '"tenant";r=0'),
            (200, '"tenant";r=0'),
        ]

    async def test_is_the_platforms_to_say(self, app):
        ada = await app.caller()
        body = {"kind": "route_class", "name": "emails", "cost": 4}
        assert (await ada.http.post("/api/v1/limits", json=body)).status_code == 422


class TestUsage:
    async def test_tells_what_holds_and_what_is_used(self, app, monkeypatch):
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        body = {
            "tenant_id": ada.tenant.id,
            "kind": "tenant",
            "requests": {"burst": 50, "refill": 1, "seconds": DAY},
            "concurrency": 9,
        }
        assert (await root.post("/api/v1/platform/limits", json=body)).status_code == 201
        await settled(app)
        assert await statuses(ada, 4) == [200] * 4
        usage = (await ada.http.get("/api/v1/limit-usage")).json()
        assert usage["shared"] is False
        levels = {(one["level"], one["subject"]): one for one in usage["levels"]}
        tenant = levels["tenant", ""]
        assert (tenant["burst"], tenant["refill"], tenant["seconds"]) == (50, 1, DAY)
        assert (tenant["used"], tenant["remaining"]) == (5, 45)
        assert tenant["reset_seconds"] > 4 * DAY
        assert levels["tenant_concurrency", ""]["used"] == 1
        assert levels["tenant_concurrency", ""]["remaining"] == 8
        assert levels["client", f"client:{ada.client_id}"]["burst"] == 1000
        assert levels["tenant_bytes", ""]["unit"] == "content-bytes"
        of_platform = await root.get(
            "/api/v1/platform/limit-usage", params={"tenant_id": ada.tenant.id}
        )
        found = {(one["level"], one["subject"]) for one in of_platform.json()["levels"]}
        assert found == levels.keys()
        of_all = (await root.get("/api/v1/platform/limit-usage")).json()["levels"]
        assert {one["burst"] for one in of_all if one["level"] == "tenant"} == {4000}


class TestHeaders:
    async def test_are_those_of_the_draft(self, app, monkeypatch):
        """draft-ietf-httpapi-ratelimit-headers-10: lists of strings with integer parameters."""
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        body = {"tenant_id": ada.tenant.id, "kind": "tenant", "requests": FEW}
        assert (await root.post("/api/v1/platform/limits", json=body)).status_code == 201
        await settled(app)
        policy = re.compile(r'"[a-z_]+";q=\d+(;w=[1-9]\d*)?(;qu="[a-z-]+")?')
        answers = [await ada.http.get("/api/v1/me") for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        reset = 0
        for answer, left in zip(answers, (2, 1, 0, 0), strict=True):
            (told,) = answer.headers.get_list("ratelimit")
            found = re.fullmatch(r'"tenant";r=(\d+);t=(\d+)', told)
            assert found is not None, told
            assert int(found[1]) == left
            reset = int(found[2])
            (policies,) = answer.headers.get_list("ratelimit-policy")
            assert all(policy.fullmatch(one) for one in policies.split(", ")), policies
            assert f'"tenant";q=3;w={3 * DAY}' in policies.split(", ")
        # Nobody is told to come back before the window that they are told of has ended.
        wait = int(answers[-1].headers["retry-after"])
        assert wait == reset
        assert DAY - 60 < wait <= DAY

    async def test_tell_strangers_of_theirs_when_they_are_refused(self, app):
        app.platform.of(GatewayManager)._coarse = Level("address", 1, 2, seconds=60)
        async with app.client() as http:
            for _ in range(2):
                assert (await http.get("/api/v1/me")).status_code == 401
            answer = await http.get("/api/v1/me")
            assert answer.status_code == 429
            assert answer.headers["ratelimit-policy"] == '"address";q=2;w=120'
            assert answer.headers["ratelimit"] == '"address";r=0;t=60'
            assert answer.headers["retry-after"] == "60"
            exposed = (await http.get("/metrics")).text
        assert 'email_sender_gateway_limited_requests_total{level="address"} 1.0' in exposed


class TestSharedLimits:
    async def test_two_processes_count_together(self, app, redis_server, redis_prefix, monkeypatch):
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        body = {"tenant_id": ada.tenant.id, "kind": "tenant", "requests": FEW}
        assert (await root.post("/api/v1/platform/limits", json=body)).status_code == 201
        redis = {"url": redis_server.url, "prefix": redis_prefix, "timeout_seconds": 5}
        settings = app.platform.settings
        shared = settings.model_copy(update={"redis": type(settings.redis).model_validate(redis)})
        fleet = [App(platform := compose(shared), create_app(platform)) for _ in range(2)]
        async with (
            fleet[0].asgi.control_plane.router.lifespan_context(fleet[0].asgi.control_plane),
            fleet[1].asgi.control_plane.router.lifespan_context(fleet[1].asgi.control_plane),
        ):
            callers = [one.client(Authorization=ada.http.headers["Authorization"]) for one in fleet]
            answers = await asyncio.gather(
                *(callers[number % 2].get("/api/v1/me") for number in range(10))
            )
            assert sorted(one.status_code for one in answers) == [200] * 3 + [429] * 7
            refused = next(one for one in answers if one.status_code == 429)
            assert refused.headers["ratelimit"].startswith('"tenant";r=0;t=')
            usage = await fleet[1].platform.of(GatewayManager).usage_of(ada.tenant.id)
            assert usage.shared
            levels = {(one.level, one.subject): one for one in usage.levels}
            assert levels["tenant", ""].used == 3
            # All requests have ended; what they held is given back behind the answers, and not only
            # when its lease ends after thirty seconds.
            async with asyncio.timeout(20):
                while (
                    (await fleet[0].platform.of(GatewayManager).usage_of(ada.tenant.id))
                    .levels[0]
                    .used
                ):
                    await asyncio.sleep(0.01)
            said = await fleet[0].platform.of(GatewayManager).check_shared_limits()
            assert said.startswith("counted in Redis for")
            for one in fleet:
                await one.aclose()

    @pytest.mark.slow
    async def test_a_class_a_longer_time_and_a_cost(
        self, app, redis_server, redis_prefix, monkeypatch
    ):
        """All that a limit can say, by one script for both processes."""
        ada = await app.caller()
        root = await admin(app, ada, monkeypatch)
        ten = {"burst": 10, "refill": 1, "seconds": DAY}
        for body in (
            {"kind": "client", "name": ada.client_id, "route_class": "emails", "sustained": ten},
            {"kind": "route_class", "name": "emails", "cost": 3},
        ):
            body["tenant_id"] = ada.tenant.id
            assert (await root.post("/api/v1/platform/limits", json=body)).status_code == 201
        redis = {"url": redis_server.url, "prefix": redis_prefix, "timeout_seconds": 5}
        settings = app.platform.settings
        shared = settings.model_copy(update={"redis": type(settings.redis).model_validate(redis)})
        fleet = [App(platform := compose(shared), create_app(platform)) for _ in range(2)]
        async with (
            fleet[0].asgi.control_plane.router.lifespan_context(fleet[0].asgi.control_plane),
            fleet[1].asgi.control_plane.router.lifespan_context(fleet[1].asgi.control_plane),
        ):
            callers = [one.client(Authorization=ada.http.headers["Authorization"]) for one in fleet]
            answers = [await callers[n % 2].get("/api/v1/emails") for n in range(5)]
            assert [one.status_code for one in answers] == [200] * 3 + [429] * 2
            assert answers[2].headers["ratelimit"].startswith('"emails_sustained";r=1;t=')
            assert answers[4].headers["ratelimit"].startswith('"emails_sustained";r=0;t=')
            assert (await callers[0].get("/api/v1/me")).status_code == 200
            for one in fleet:
                await one.aclose()
