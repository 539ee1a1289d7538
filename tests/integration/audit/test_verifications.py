"""Looks at whole trails: done by a worker, gone on with after a crash, seen while they go on."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.ids import uuid7
from backend.managers.audit import AuditManager
from backend.managers.audit import _verifications as verifications
from backend.managers.audit._verifications import FORGET
from backend.managers.audit.models import AuditVerification
from backend.managers.orchestrator import OrchestratorManager, Worker
from tests.support.platform import App, TenantClient

PATH = "/api/v1/audit/verifications"


async def act(app: App, tenant_id: str, count: int) -> None:
    async with app.platform.database.transaction(Scope("user:ada", tenant_id, "req-1")) as tx:
        for number in range(count):
            tx.audit("thing.made", f"thing:{number}", size=number)
    await app.sequence()


async def started(ada: TenantClient, *, full: bool = False) -> str:
    answer = await ada.http.post(PATH, json={"full": full})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def seen(ada: TenantClient, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (await ada.http.get(f"{PATH}/{name}")).json()
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


async def work(app: App, ada: TenantClient, *names: str) -> None:
    """Have a worker do what was started."""
    worker = Worker(app.platform.database, app.platform.of(OrchestratorManager), poll_seconds=0.05)
    running = asyncio.create_task(worker.run())

    async def ended() -> bool:
        return all([(await seen(ada, name))["finished_at"] for name in names])

    await until(ended)
    worker.stop()
    await running


@pytest.fixture
async def ada(app: App) -> TenantClient:
    ada = await app.caller()
    await act(app, ada.tenant.id, 600)
    return ada


class TestVerifications:
    async def test_the_next_one_begins_where_one_held(self, app: App, ada: TenantClient) -> None:
        first = await started(ada)
        assert (await seen(ada, first))["state"] == "waiting"
        await work(app, ada, first)
        held = await seen(ada, first)
        assert (held["state"], held["from_size"], held["findings"]) == ("held", 0, [])
        assert held["size"] >= 600
        await act(app, ada.tenant.id, 5)
        second, third = await started(ada), await started(ada, full=True)
        await work(app, ada, second, third)
        assert (await seen(ada, second))["from_size"] == held["size"]
        assert (await seen(ada, third))["from_size"] == 0
        assert {(await seen(ada, one))["state"] for one in (second, third)} == {"held"}
        listed = (await ada.http.get(PATH)).json()["items"]
        assert [one["id"] for one in listed] == [third, second, first]
        acts = [one.action for one in await ada.audit(app.platform, "audit_verification.*")]
        assert acts.count("audit_verification.started") == 3
        assert acts.count("audit_verification.finished") == 3

    async def test_a_row_that_somebody_changed_is_not_gone_on_from(
        self, app: App, ada: TenantClient
    ) -> None:
        first = await started(ada)
        await work(app, ada, first)
        async with app.platform.database.transaction(Scope("eve", ada.tenant.id)) as tx:
            row = await tx.scalar(sa.select(AuditVerification))
            row.size, row.frontier = 512, bytes(32)
        second = await started(ada)
        assert (await seen(ada, second))["from_size"] == 0
        async with app.platform.database.transaction(Scope("eve", ada.tenant.id)) as tx:
            row = await tx.scalar(
                sa.select(AuditVerification).where(AuditVerification.id == second)
            )
            row.findings, row.size, row.frontier = [], 512, bytes(32)
        await work(app, ada, second)
        failed = await seen(ada, second)
        assert failed["state"] == "failed"
        assert [one["by"] for one in failed["findings"]] == ["mac"]
        assert failed["size"] >= 600

    async def test_goes_on_after_a_worker_that_ended(
        self, app: App, ada: TenantClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(verifications, "_PAGES_A_STEP", 1)
        name = await started(ada)
        worker = Worker(
            app.platform.database, app.platform.of(OrchestratorManager), poll_seconds=0.05
        )
        walk = app.platform.of(AuditManager).verifying.walk
        calls = 0

        async def slow(*args: Any) -> bool:
            nonlocal calls
            calls += 1
            if calls == 2:
                worker.stop()
            return await walk(*args)

        monkeypatch.setattr(app.platform.of(AuditManager).verifying, "walk", slow)
        await worker.run()
        begun = await seen(ada, name)
        assert (begun["state"], begun["size"], begun["finished_at"]) == ("running", 500, None)
        await work(app, ada, name)
        assert (await seen(ada, name))["state"] == "held"

    async def test_a_cancelled_one_has_no_verdict(self, app: App, ada: TenantClient) -> None:
        name = await started(ada)
        jobs = (await ada.http.get("/api/v1/jobs", params={"kind": "audit.verify"})).json()["items"]
        answer = await ada.http.post(f"/api/v1/jobs/{jobs[0]['id']}/cancel")
        assert answer.is_success, answer.text
        assert (await seen(ada, name))["state"] == "stopped"
        answer = await ada.http.post(f"/api/v1/jobs/{jobs[0]['id']}/retry")
        assert answer.is_success, answer.text
        await work(app, ada, name)
        assert (await seen(ada, name))["state"] == "held"

    async def test_another_tenants_is_not_there(self, app: App, ada: TenantClient) -> None:
        name = await started(ada)
        eve = await app.caller()
        for which in (name, uuid7()):
            answer = await eve.http.get(f"{PATH}/{which}")
            assert (answer.status_code, answer.json()["code"]) == (
                404,
                "audit.verification_not_found",
            )


class TestVerifyInARequest:
    async def test_looks_at_no_more_than_it_may(self, app: App, ada: TenantClient) -> None:
        audit = app.platform.of(AuditManager)
        scope = Scope("a", ada.tenant.id)
        async with app.platform.database.read(scope) as tx:
            report = await audit.verify_chain(tx, limit=250)
        assert (report.valid, report.complete, report.from_seq, report.records) == (
            True,
            False,
            1,
            250,
        )
        name = await started(ada)
        await work(app, ada, name)
        await app.sequence()
        held = (await seen(ada, name))["size"]
        async with app.platform.database.read(scope) as tx:
            report = await audit.verify_chain(tx, limit=250)
        assert (report.valid, report.complete, report.from_seq) == (True, True, held + 1)
        assert report.records == report.head_seq


class TestSweep:
    async def test_forgets_what_ended_long_ago_but_the_last_that_held(
        self, app: App, ada: TenantClient
    ) -> None:
        database, audit = app.platform.database, app.platform.of(AuditManager)
        bob = await app.caller()
        names = [await started(ada) for _ in range(3)]
        await work(app, ada, *names)
        theirs = await started(bob)
        await work(app, bob, theirs)
        unfinished = await started(ada)
        async with database.transaction(Scope("ada", ada.tenant.id)) as tx:
            # The newest did not hold: it is no place to begin at.
            row = await tx.scalar(
                sa.select(AuditVerification).where(AuditVerification.id == names[2])
            )
            row.state = "failed"

        async def sweep(days: int) -> int:
            async with database.transaction(SystemScope(FORGET)) as tx:
                return await audit.verifications.sweep(tx, days)

        assert await sweep(1) == 0
        async with database.transaction(Scope("ada", ada.tenant.id)) as tx:
            for name in names:
                row = await tx.scalar(
                    sa.select(AuditVerification).where(AuditVerification.id == name)
                )
                row.finished_at -= timedelta(days=90)
        assert await sweep(90) == 2
        assert await sweep(90) == 0
        listed = (await ada.http.get(PATH)).json()["items"]
        assert [one["id"] for one in listed] == [unfinished, names[1]]
        assert (await seen(bob, theirs))["state"] == "held"
