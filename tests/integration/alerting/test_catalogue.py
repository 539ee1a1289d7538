"""Each rule that ships fires by what really happens: after its hold, not before, and then ends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
import sqlalchemy as sa

from backend.core.clock import epoch_nanoseconds
from backend.core.context import Scope, SystemScope
from backend.core.ids import uuid7
from backend.core.telemetry import new_span_id
from backend.managers.alerting import CATALOGUE
from backend.managers.gateway import GatewayManager
from backend.managers.identity import IdentityManager
from backend.managers.metrics import Item, MetricsManager
from backend.managers.monitoring import HISTORY, Health, MonitoringManager
from backend.managers.monitoring.models import HealthSampleRow
from backend.managers.security._keys import MIN_BUDGET
from backend.managers.tracing import TracingManager
from backend.managers.tracing._spans import ERROR, Span
from tests.integration.alerting.test_looking import Watch
from tests.integration.secrets.conftest import value_of, write
from tests.support.platform import App, TenantClient


class Ward(Watch):
    """A tenant that takes rules of the catalogue, and what happens to it."""

    def __init__(self, app: App, who: TenantClient) -> None:
        super().__init__(app, who)
        self.app = app
        self.who = who

    async def adopt(self, name: str, status: int = 201) -> Any:
        answer = await self.http.post(f"/api/v1/alert-catalogue/{name}")
        assert answer.status_code == status, answer.text
        return answer.json()

    async def offered(self) -> dict[str, Any]:
        answer = await self.http.get("/api/v1/alert-catalogue")
        assert answer.status_code == 200, answer.text
        return {one["name"]: one for one in answer.json()["items"]}

    async def looked(self, **well: bool) -> None:
        """The platform's health as one look found it, and none before."""
        monitoring = self.app.platform.of(MonitoringManager)
        async with self.database.transaction(SystemScope(HISTORY)) as tx:
            await tx.execute(
                sa.delete(HealthSampleRow).where(HealthSampleRow.tenant_id == tx.tenant_id)
            )
        found = [
            Health(name, ok=ok, required=name == "database", milliseconds=1, detail="")
            for name, ok in well.items()
        ]
        monitoring._history.note(self.database.clock(), found)
        await monitoring._history.flush(self.database, everything=True)

    async def denied(self, times: int) -> None:
        """Somebody who may only look tries to change something, again and again."""
        vic = await self.app.caller("viewer", self.who.tenant)
        for _ in range(times):
            answer = await vic.http.post("/api/v1/alerts", json={"name": "a", "severity": "info"})
            assert answer.status_code == 403
        self.app.asgi._telemetry.drain()
        await asyncio.gather(*self.app.platform.of(GatewayManager)._noting)
        await self.app.platform.of(IdentityManager).failures.flush(everything=True)

    async def guessed(self) -> None:
        """Somebody tries secrets of a program until nobody listens any more."""
        client = self.app.client()
        for number in range(12):
            await client.post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(self.who.client_id, f"wrong{number}"),
            )
        await self.app.platform.of(IdentityManager).failures.flush(everything=True)

    async def spans(self, *, seconds: float = 0.01, failed: int = 0) -> None:
        """A hundred requests of the tenant's."""
        tracing = self.app.platform.of(TracingManager)
        parts = [
            (
                self.scope.tenant_id,
                [
                    Span(
                        uuid7().replace("-", ""),
                        new_span_id(),
                        "",
                        "email-sender",
                        "POST /api/v1/emails",
                        2,
                        epoch_nanoseconds(),
                        int(seconds * 1e9),
                        status=ERROR if number < failed else 0,
                    )
                ],
                False,
            )
            for number in range(100)
        ]
        tracing.store.add_own(self.database.clock(), parts)
        await tracing.store.flush(self.database, everything=True)

    async def busy(self, share: float) -> None:
        metrics = self.app.platform.of(MetricsManager)
        at = self.database.clock() - timedelta(seconds=30)
        item = Item(
            name="system_cpu_utilization",
            kind="gauge",
            value=share,
            labels={"host": "db1"},
            at=at,
        )
        await metrics.recording.record(self.database, self.scope, [item] * 50)
        await metrics.fold(self.database)
        await metrics.roll_up(self.database)

    async def spent(self) -> None:
        """A key does more than its policy lets a version do."""
        keys = "/api/v1/keys"
        made = await self.http.post(
            keys,
            json={"name": "orders", "rotate_after_operations": MIN_BUDGET},
        )
        assert made.status_code == 201, made.text
        body = {"items": [{"plaintext": "QQ=="}] * 999}
        answer = await self.http.post(f"{keys}/orders/encrypt/batch", json=body)
        assert answer.status_code == 200, answer.text
        await self.http.post(f"{keys}/orders/encrypt/batch", json=body)

    async def read_canary(self) -> None:
        await write(self.who, "orders", "real")
        await write(self.who, "canary", "sing")
        await value_of(self.who, "orders")
        await value_of(self.who, "canary")

    async def recorded(self, action: str, **data: Any) -> None:
        async with self.database.transaction(self.scope) as tx:
            tx.audit(action, "thing:1", **data)

    async def told(self, kind: str, subject: str) -> None:
        async with self.database.transaction(self.scope) as tx:
            tx.emit(kind, subject)


@pytest.fixture
async def ward(app: App) -> Ward:
    return Ward(app, await app.caller("owner"))


async def announce(ward: Ward) -> None:
    """Plan maintenance for tomorrow, and let the clock announce it."""
    soon = ward.database.clock() + timedelta(hours=12)
    said = {
        "kind": "maintenance",
        "matchers": 'team="db"',
        "reason": "The database moves",
        "starts_at": soon.isoformat(),
        "ends_at": (soon + timedelta(hours=1)).isoformat(),
    }
    answer = await ward.http.post("/api/v1/silences", json=said)
    assert answer.status_code == 201, answer.text
    await ward.manager.silences.tell_due(ward.database)


HAPPENINGS: Final[Mapping[str, Callable[[Ward], Awaitable[Any]]]] = {
    "service-down": lambda ward: ward.looked(database=False, disk=True),
    "data-breach-attempt": lambda ward: ward.denied(50),
    "performance-degradation": lambda ward: ward.spans(seconds=3),
    "high-cpu": lambda ward: ward.busy(0.99),
    "error-rate": lambda ward: ward.spans(failed=10),
    "storage": lambda ward: ward.looked(database=True, disk=False),
    "deployment": lambda ward: ward.http.post("/api/v1/heartbeats", json={"name": "deployment"}),
    "maintenance": announce,
    "failed-sign-ins": Ward.guessed,
    "denied-acts": lambda ward: ward.denied(20),
    "key-budget": Ward.spent,
    "quota": lambda ward: ward.told("quota.nearing", "quota:emails_a_day"),
    "audit-chain": lambda ward: ward.recorded("audit_verification.finished", valid=False),
    "canary": Ward.read_canary,
    "administrator-added": lambda ward: ward.recorded("member.added", role="admin"),
    "administrator-promoted": lambda ward: ward.recorded("member.role_changed", after="owner"),
}
NOT_YET: Final[Mapping[str, Callable[[Ward], Awaitable[Any]]]] = {
    "service-down": lambda ward: ward.looked(database=True, disk=False),
    "data-breach-attempt": lambda ward: ward.denied(49),
    "performance-degradation": lambda ward: ward.spans(seconds=0.2),
    "high-cpu": lambda ward: ward.busy(0.88),
    "error-rate": lambda ward: ward.spans(failed=4),
    "storage": lambda ward: ward.looked(database=False, disk=True),
    "deployment": lambda ward: ward.http.post("/api/v1/heartbeats", json={"name": "backup"}),
    "denied-acts": lambda ward: ward.denied(19),
    "audit-chain": lambda ward: ward.recorded("audit_verification.finished", valid=True),
    "administrator-added": lambda ward: ward.recorded("member.added", role="viewer"),
    "administrator-promoted": lambda ward: ward.recorded("member.role_changed", after="viewer"),
}
"""What is like it, and not as bad."""
ENDINGS: Final[Mapping[str, Callable[[Ward], Awaitable[Any]]]] = {
    "service-down": lambda ward: ward.looked(database=True, disk=True),
    "storage": lambda ward: ward.looked(database=True, disk=True),
    "performance-degradation": lambda ward: ward.spans(),
    "error-rate": lambda ward: ward.spans(),
    "high-cpu": lambda ward: ward.busy(0.1),
}
"""What is well again after the window; of all else the window has nothing more."""


# When these come the clock says alone: test_reporting, test_digest.
BY_THE_CLOCK: Final = frozenset({"performance-report", "alert-digest"})


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in BY_THE_CLOCK])
async def test_fires_after_its_hold_and_ends_after_its_clear_hold(
    ward: Ward, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = CATALOGUE[name].draft
    if name in NOT_YET:
        await NOT_YET[name](ward)
    await ward.adopt(name)
    before = 0
    if name != "service-down":
        before = (await ward.look()).fired
    assert before == 0, await ward.alerts()
    if name in {"performance-degradation", "error-rate"}:
        await ward.spans(seconds=3, failed=100)
    await HAPPENINGS[name](ward)
    fired = (await ward.look()).fired
    if draft.hold_seconds:
        assert fired == 0
        # Half of it, twice: however slow the machine is, no test's own seconds decide.
        await ward.later(seconds=draft.hold_seconds // 2)
        assert (await ward.look()).fired == 0
        await ward.later(seconds=draft.hold_seconds // 2)
        fired = (await ward.look()).fired
    assert fired == 1
    (alert,) = await ward.alerts(state="firing")
    assert (alert.name, alert.severity) == (draft.name, draft.severity)
    assert "{" not in alert.summary
    assert alert.runbook_url.endswith(f"#{name}")

    now: Callable[[], datetime] = ward.database.clock
    window = getattr(draft.condition, "window_seconds", 300)
    monkeypatch.setattr(ward.database, "clock", lambda: now() + timedelta(seconds=window + 400))
    if name in ENDINGS:
        await ENDINGS[name](ward)
    ended = (await ward.manager.look(ward.database)).resolved
    if draft.clear_seconds:
        assert ended == 0
        await ward.later(seconds=draft.clear_seconds // 2)
        assert (await ward.look()).resolved == 0
        await ward.later(seconds=draft.clear_seconds // 2)
        ended = (await ward.look()).resolved
    assert ended == 1


async def test_nobody_looks_at_the_platform_any_more(ward: Ward) -> None:
    await ward.adopt("service-down")
    assert (await ward.look()).fired == 1
    (alert,) = await ward.alerts()
    assert "Nobody has looked" in alert.summary


async def test_a_worker_that_fell_silent_is_a_service_that_is_down(ward: Ward) -> None:
    await ward.adopt("service-down")
    await ward.looked(database=True, workers=False)
    assert (await ward.look()).fired == 1
    (alert,) = await ward.alerts()
    assert "degraded: workers" in alert.summary


async def test_says_which_a_tenant_has_and_what_others_lack(ward: Ward) -> None:
    made = await ward.adopt("storage")
    offered = await ward.offered()
    assert set(offered) == set(CATALOGUE)
    assert offered["storage"]["rule_id"] == made["id"]
    assert offered["high-cpu"]["rule_id"] is None
    assert offered["high-cpu"]["problem"] == "system_cpu_utilization has not been recorded"
    assert offered["denied-acts"]["problem"] is None
    assert (await ward.adopt("storage", 200))["id"] == made["id"]
    assert (await ward.adopt("no-such", 404))["code"] == "alerting.shipped_not_found"
    other = Ward(ward.app, await ward.app.caller("owner"))
    assert (await other.offered())["storage"]["rule_id"] is None


async def test_it_is_the_tenants_own_then(ward: Ward) -> None:
    made = await ward.adopt("storage")
    found = (await ward.http.get(f"/api/v1/alert-rules/{made['id']}")).json()
    sent = {name: found[name] for name in ("name", "severity", "runbook_url", "summary")}
    body = {**sent, "condition": found["condition"], "hold_seconds": 60}
    answer = await ward.http.put(f"/api/v1/alert-rules/{made['id']}", json=body)
    assert answer.status_code == 200, answer.text
    async with ward.database.read(Scope("test", ward.scope.tenant_id)) as tx:
        assert (await ward.manager.rules.get(tx, made["id"])).hold_seconds == 60
    (act,) = await ward.who.audit(ward.app.platform, "alert_rule.created")
    assert act.data["name"] == "Storage threshold"
