"""Mail is forgotten in two steps, when its tenant wants it, and not before it is settled."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Lease
from backend.core.ids import uuid7_at
from backend.managers.email import EmailManager, _retention
from backend.managers.email._retention import RETENTION
from backend.managers.email.models import ContentRow, EmailRow, EventRow, RecipientRow
from backend.worker import sweep
from tests.support.platform import App, TenantClient

EMAIL: dict[str, Any] = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
SETTINGS: dict[str, Any] = {"from_address": "a@example.test"}


async def send(caller: TenantClient, **more: Any) -> dict[str, Any]:
    answer = await caller.http.post("/api/v1/emails", json={**EMAIL, **more})
    assert answer.is_success, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def settled(caller: TenantClient, **more: Any) -> dict[str, Any]:
    """A message that nobody is going to send."""
    made = await send(caller, **more)
    answer = await caller.http.post(f"/api/v1/jobs/{made['job_id']}/cancel")
    assert answer.status_code == 200, answer.text
    return made


async def keep(caller: TenantClient, **days: int | None) -> int:
    answer = await caller.http.put("/api/v1/email-settings", json={**SETTINGS, **days})
    if answer.status_code == 200:
        found = (await caller.http.get("/api/v1/email-settings")).json()
        assert {name: found[name] for name in days} == days
    return answer.status_code


async def sweep_after(app: App, days: float) -> None:
    """What the worker sweeps so many days from now."""
    database = app.platform.database
    usual = database.clock
    database.clock = lambda: usual() + timedelta(days=days)
    try:
        await sweep(app.platform, f"test-{days}")
    finally:
        database.clock = usual
    # The lease is by the database's clock, to which no day has passed.
    async with database.transaction(SystemScope(RETENTION)) as tx:
        await tx.execute(sa.update(Lease).values(expires_at=datetime.now(UTC) - timedelta(days=1)))


async def counts(app: App, caller: TenantClient) -> list[int]:
    async with app.platform.database.read(Scope("test", caller.tenant.id)) as view:
        return [
            int(await view.scalar(sa.select(sa.func.count()).select_from(model)))
            for model in (EmailRow, ContentRow, RecipientRow, EventRow)
        ]


class TestSweep:
    async def test_takes_the_content_first_and_of_what_is_settled_only(self, app: App) -> None:
        ada = await app.caller()
        done, waiting = await settled(ada), await send(ada)
        await sweep_after(app, 89)
        assert await counts(app, ada) == [2, 2, 2, 1]
        await sweep_after(app, 91)
        assert await counts(app, ada) == [2, 1, 2, 1]
        answer = await ada.http.get(f"/api/v1/emails/{done['id']}/content")
        assert (answer.status_code, answer.json()["code"]) == (404, "email.content_forgotten")
        assert await ada.audit(app.platform, "email.content_read") == []
        assert (await ada.http.get(f"/api/v1/emails/{done['id']}")).json()["subject"] == "Hello"
        answer = await ada.http.get(f"/api/v1/emails/{waiting['id']}/content")
        assert answer.json()["text"] == "There"

    @pytest.mark.slow
    async def test_what_has_no_content_cannot_be_sent_again(self, app: App) -> None:
        ada = await app.caller()
        done = await settled(ada)
        await keep(ada, keep_content_days=1)
        retry = f"/api/v1/jobs/{done['job_id']}/retry"
        await sweep_after(app, 2)
        answer = await ada.http.post(retry)
        assert (answer.status_code, answer.json()["code"]) == (
            409,
            "orchestrator.job_not_retryable",
        )
        kept = await settled(ada)
        answer = await ada.http.post("/api/v1/jobs/retry", json={"state": "cancelled"})
        assert answer.json() == {"retried": 1, "refused": 1, "next_cursor": None}
        states = [
            (await ada.http.get(f"/api/v1/emails/{one['id']}")).json()["state"]
            for one in (done, kept)
        ]
        assert states == ["cancelled", "queued"]

    @pytest.mark.slow
    async def test_takes_the_message_with_all_that_is_of_it(self, app: App) -> None:
        ada, eve = await app.caller(), await app.caller()
        await settled(ada, business_key="order-1")
        await settled(eve)
        await send(ada)
        await keep(eve, keep_days=800, keep_content_days=700)
        await sweep_after(app, 366)
        assert await counts(app, ada) == [1, 1, 1, 0]
        assert await counts(app, eve) == [1, 1, 1, 1]
        assert (await send(ada, business_key="order-1"))["state"] == "queued"
        await sweep_after(app, 801)
        assert await counts(app, eve) == [0, 0, 0, 0]
        assert await counts(app, ada) == [2, 2, 2, 0]

    @pytest.mark.slow
    async def test_takes_a_bite_at_a_time(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_retention, "_SWEPT", 2)
        callers = [await app.caller(), await app.caller()]
        for caller in callers:
            for _ in range(3):
                await settled(caller)
        database, emails = app.platform.database, app.platform.of(EmailManager)
        later = datetime.now(UTC) + timedelta(days=100)
        database.clock = lambda: later
        gone = []
        for _ in range(3):
            async with database.transaction(SystemScope(RETENTION)) as tx:
                gone.append(await emails.retention.sweep(tx))
        assert gone == [4, 2, 0]


class TestBounds:
    async def test_a_tenant_keeps_no_longer_than_the_platform(self, app: App) -> None:
        ada = await app.caller()
        assert await keep(ada, keep_content_days=30, keep_days=60) == 200
        assert await keep(ada, keep_content_days=None, keep_days=None) == 200
        assert await keep(ada, keep_content_days=3650, keep_days=3650) == 200
        for days in (
            {"keep_days": 3651},
            {"keep_days": 0},
            {"keep_content_days": 61, "keep_days": 60},
            {"keep_content_days": 366},
        ):
            assert await keep(ada, **days) == 422, days


def test_the_bound_of_a_time_stands_before_its_ids() -> None:
    at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    assert uuid7_at(at) == "01a36b9d-ca00-7000-0000-000000000000"
    assert uuid7_at(at - timedelta(milliseconds=1)) < uuid7_at(at)
