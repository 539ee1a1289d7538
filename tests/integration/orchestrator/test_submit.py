"""OrchestratorManager.submit and submit_many on both databases."""

import pytest
import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import TenantConfinementError
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.managers.orchestrator import WORK, UnknownKindError
from backend.managers.orchestrator.models import JobLimitsRow


class TestSubmit:
    async def test_joins_the_callers_transaction(self, bench):
        with pytest.raises(ZeroDivisionError):
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.submit(tx, "noop", args={})
                raise ZeroDivisionError
        assert await bench.rows() == {}
        assert await bench.claim() == []

    async def test_after_a_rolled_back_first_submit_the_next_is_claimed(self, bench):
        with pytest.raises(ZeroDivisionError):
            async with bench.database.transaction(bench.scope) as tx:
                await bench.manager.submit(tx, "noop", args={})
                raise ZeroDivisionError
        job_id = await bench.submit()
        assert [claim.id for claim in await bench.claim()] == [job_id]

    async def test_keeps_what_it_was_given(self, bench):
        job_id = await bench.submit(
            args={"deep": [1, {"a": None}], "text": "grün"},
            subject="email:7",
            priority=3,
            max_attempts=9,
            backoff_seconds=2.5,
            timeout_seconds=7,
        )
        (claim,) = await bench.claim()
        assert claim.id == job_id
        assert claim.args == {"deep": [1, {"a": None}], "text": "grün"}
        assert (claim.subject, claim.priority, claim.max_attempts) == ("email:7", 3, 9)
        assert (claim.backoff_seconds, claim.timeout_seconds) == (2.5, 7)
        assert (claim.tenant_id, claim.actor) == (bench.tenant_id, "user:1")

    async def test_gives_the_first_job_for_a_used_dedup_key(self, bench):
        first = await bench.submit(dedup_key="invoice-1")
        assert await bench.submit(dedup_key="invoice-1") == first
        assert await bench.submit(dedup_key="invoice-2") != first
        assert len(await bench.rows()) == 2

    async def test_keeps_dedup_keys_of_tenants_and_kinds_apart(self, bench):
        bench.simple("other", lambda _: None)
        ids = {
            await bench.submit(dedup_key="k"),
            await bench.submit("other", dedup_key="k"),
            await bench.submit(dedup_key="k", tenant=uuid7()),
        }
        assert len(ids) == 3

    async def test_a_delayed_job_waits(self, bench):
        job_id = await bench.submit(delay_seconds=3600)
        assert await bench.claim() == []
        row = await bench.row(job_id)
        assert 3590 < (row.due_at - row.created_at).total_seconds() < 3610
        await bench.make_due(job_id)
        assert [claim.id for claim in await bench.claim()] == [job_id]

    async def test_refuses_a_kind_nobody_registered(self, bench):
        with pytest.raises(UnknownKindError):
            await bench.submit("misspelt")
        assert await bench.rows() == {}

    async def test_serves_the_platform_itself(self, bench):
        async with bench.database.transaction(SystemScope(WORK)) as tx:
            await bench.manager.submit(tx, "noop", args={})
        (claim,) = await bench.claim()
        assert claim.tenant_id == PLATFORM_TENANT

    async def test_makes_one_row_of_limits_per_tenant(self, bench):
        for _ in range(3):
            await bench.submit()
        async with bench.database.read(bench.system) as tx:
            assert await tx.scalars(sa.select(JobLimitsRow.tenant_id)) == [bench.tenant_id]


class TestSubmitMany:
    async def test_returns_ids_in_order(self, bench):
        ids = await bench.submit_many(250)
        rows = await bench.rows()
        assert [rows[job_id].args["n"] for job_id in ids] == list(range(250))

    async def test_accepts_ids_chosen_beforehand(self, bench):
        chosen = [uuid7(), uuid7()]
        async with bench.database.transaction(bench.scope) as tx:
            rows = [{"id": one, "args": {}} for one in chosen]
            assert await bench.manager.submit_many(tx, "noop", rows) == chosen

    async def test_mixes_rows_with_and_without_dedup_keys(self, bench):
        known = await bench.submit(dedup_key="a")
        async with bench.database.transaction(bench.scope) as tx:
            ids = await bench.manager.submit_many(
                tx, "noop", [{"args": {}}, {"args": {}, "dedup_key": "a"}, {"args": {}}]
            )
        assert ids[1] == known
        assert len(set(ids)) == 3

    async def test_of_nothing_does_nothing(self, bench):
        async with bench.database.transaction(bench.scope) as tx:
            assert await bench.manager.submit_many(tx, "noop", []) == []

    async def test_cannot_leave_the_tenant(self, bench, monkeypatch):
        strange = bench.manager._row

        def of_another(tx, kind, request):
            return {**strange(tx, kind, request), "tenant_id": uuid7()}

        monkeypatch.setattr(bench.manager, "_row", of_another)
        with pytest.raises(TenantConfinementError):
            await bench.submit_many(2)
