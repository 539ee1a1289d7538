"""Plans and quotas: what a tenant may, counted where it is used, and told before it is reached."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from backend.core.clock import monotonic
from backend.core.context import Scope, SystemScope
from backend.core.events import EventRecord
from backend.managers.orchestrator import WORK
from backend.managers.orchestrator._claim import Places, claim
from backend.managers.orchestrator.models import JobRow
from backend.managers.tenant import QuotaReachedError, TenantManager
from backend.managers.tenant._quotas import Quotas, window_of
from backend.managers.tenant.models import CountRow
from tests.integration.tenant.test_lifecycle import MAIL, acts, at, people, root
from tests.support.errands import EVERYTHING
from tests.support.invitations import accept_async
from tests.support.passwords import PASSWORD
from tests.support.roles import ROLES

__all__ = ["people", "root"]

PLANS = "/api/v1/platform/plans"


@pytest.fixture
async def ada(app):
    return await app.caller()


async def limit(root, tenant, **overrides):
    answer = await root.put(at(tenant, "/quotas"), json={"overrides": overrides})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def send(caller, **more):
    return await caller.http.post("/api/v1/emails", json={**MAIL, **more})


async def told(app, tenant):
    """What the tenant's quotas have told, in order."""
    await app.platform.of(TenantManager).flush(app.platform.database)
    async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
        rows = await tx.scalars(
            sa.select(EventRecord)
            .where(EventRecord.tenant_id == tenant.id, EventRecord.kind.startswith("quota."))
            .order_by(EventRecord.id)
        )
        return [(row.kind, row.subject, row.data["used"]) for row in rows]


class TestPlans:
    async def test_are_made_given_changed_and_removed(self, app, root, ada):
        body = {"quotas": {"emails_a_day": 5}}
        assert (await root.put(f"{PLANS}/starter", json=body)).json()["quotas"] == body["quotas"]
        assert [one["name"] for one in (await root.get(PLANS)).json()["items"]] == [
            "starter",
            "unlimited",
        ]
        await root.put(at(ada.tenant, "/quotas"), json={"plan": "starter"})
        found = (await root.get(at(ada.tenant))).json()
        assert found["plan"] == "starter"
        gone = await root.delete(f"{PLANS}/starter")
        assert (gone.status_code, gone.json()["code"]) == (409, "tenant.plan_in_use")
        await root.put(f"{PLANS}/starter", json={"quotas": {"emails_a_day": 1}})
        assert (await send(ada)).status_code == 202
        assert (await send(ada)).status_code == 429
        await root.put(at(ada.tenant, "/quotas"), json={"plan": "unlimited"})
        assert (await send(ada)).status_code == 202
        assert (await root.delete(f"{PLANS}/starter")).status_code == 204
        assert (await root.get(f"{PLANS}/starter")).status_code == 404
        assert {one.action for one in await acts(app, "plan.")} == {"plan.saved", "plan.deleted"}

    async def test_the_one_without_limits_stays(self, root, ada):
        for answer in (
            await root.put(f"{PLANS}/unlimited", json={"quotas": {"members": 1}}),
            await root.delete(f"{PLANS}/unlimited"),
        ):
            assert answer.json()["code"] == "tenant.plan_built_in"
        assert (await root.get(at(ada.tenant))).json()["plan"] == "unlimited"
        made_at = (await root.get(f"{PLANS}/unlimited")).json()["updated_at"]
        assert datetime.fromisoformat(made_at) <= datetime.now(UTC)

    async def test_an_override_wins_over_the_plan_and_null_lifts_it(self, root, ada):
        await root.put(f"{PLANS}/small", json={"quotas": {"members": 1, "emails_a_day": 1}})
        body = {"plan": "small", "overrides": {"members": None, "emails_a_month": 7}}
        found = (await root.put(at(ada.tenant, "/quotas"), json=body)).json()
        limits = {one["quota"]: one["limit"] for one in found["items"]}
        assert (limits["members"], limits["emails_a_month"], limits["emails_a_day"]) == (None, 7, 1)

    @pytest.mark.parametrize(
        "body", [{"overrides": {"emails": 1}}, {"overrides": {"members": -1}}, {"plan": "x y"}]
    )
    async def test_refuses_what_is_no_quota(self, root, ada, body):
        assert (await root.put(at(ada.tenant, "/quotas"), json=body)).status_code == 422

    async def test_refuses_a_plan_that_is_none(self, root, ada):
        answer = await root.put(at(ada.tenant, "/quotas"), json={"plan": "gold"})
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant.plan_not_found")

    async def test_are_the_platforms_alone(self, root, ada):
        assert (await ada.http.get(PLANS)).status_code == 403
        body = {"overrides": {"emails_a_day": None}}
        assert (await ada.http.put(at(ada.tenant, "/quotas"), json=body)).status_code == 403


class TestRates:
    async def test_says_what_is_reached_and_until_when(self, root, ada):
        await limit(root, ada.tenant, emails_a_day=2)
        for _ in range(2):
            assert (await send(ada)).status_code == 202
        for _ in range(2):  # the second from memory
            refused = await send(ada)
            body = refused.json()
            assert (refused.status_code, body["code"]) == (429, "tenant.quota_reached")
            assert (body["quota"], body["limit"], body["used"]) == ("emails_a_day", 2, 2)
            resets = datetime.fromisoformat(body["resets_at"])
            wait = timedelta(seconds=int(refused.headers["Retry-After"]))
            assert timedelta(0) < wait <= timedelta(days=1)
            assert resets == window_of("emails_a_day", datetime.now(UTC)).resets_at

    async def test_many_at_once_never_pass_it_together(self, app, root, ada):
        await limit(root, ada.tenant, emails_a_day=7, emails_a_month=100)
        answers = await asyncio.gather(*(send(ada) for _ in range(20)))
        assert sorted(one.status_code for one in answers) == [202] * 7 + [429] * 13
        batch = {"messages": [MAIL] * 3}
        answers = await asyncio.gather(
            *(ada.http.post("/api/v1/emails/batch", json=batch) for _ in range(3))
        )
        assert {one.status_code for one in answers} == {429}
        listed = (await root.get(at(ada.tenant, "/quotas"))).json()["items"]
        used = {one["quota"]: one["used"] for one in listed}
        # What was refused for the day is not counted for the month either.
        assert (used["emails_a_day"], used["emails_a_month"], used["jobs_waiting"]) == (7, 7, 7)

    async def test_two_processes_count_together(self, app, root, ada):
        """Each with a memory of its own; the rows decide."""
        await limit(root, ada.tenant, emails_a_day=10)
        database = app.platform.database

        async def act(quotas):
            async with database.transaction(Scope("t", ada.tenant.id)) as tx:
                await quotas.charge(tx, "emails", 3)

        processes = [Quotas(monotonic) for _ in range(5)]
        ended = await asyncio.gather(*map(act, processes), return_exceptions=True)
        assert [type(one) for one in ended if one is not None] == [QuotaReachedError] * 2

    async def test_the_first_amount_is_held_to_it_too(self, root, ada):
        await limit(root, ada.tenant, emails_a_day=2)
        answer = await ada.http.post("/api/v1/emails/batch", json={"messages": [MAIL] * 3})
        assert (answer.status_code, answer.json()["used"]) == (429, 0)
        assert (await send(ada)).status_code == 202

    async def test_a_known_business_key_costs_nothing(self, root, ada):
        await limit(root, ada.tenant, emails_a_day=1)
        assert (await send(ada, business_key="i-1")).status_code == 202
        assert (await send(ada)).status_code == 429
        assert (await send(ada, business_key="i-1")).status_code == 200

    async def test_is_lifted_at_once(self, root, ada):
        await limit(root, ada.tenant, emails_a_day=1)
        await send(ada)
        assert (await send(ada)).status_code == 429
        await limit(root, ada.tenant, emails_a_day=2)
        assert (await send(ada)).status_code == 202

    async def test_another_tenant_has_its_own(self, app, root, ada):
        other = await app.caller()
        await limit(root, ada.tenant, emails_a_day=0)
        assert (await send(ada)).status_code == 429
        assert (await send(other)).status_code == 202

    def test_windows_end_with_the_day_and_the_month(self):
        late = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
        for quota, name in (("emails_a_day", "2026-12-31"), ("emails_a_month", "2026-12")):
            window = window_of(quota, late)
            assert (window.name, window.resets_at) == (name, datetime(2027, 1, 1, tzinfo=UTC))

    async def test_without_a_quota_nothing_is_written(self, app, ada):
        await send(ada)
        async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
            assert await tx.scalar(sa.select(sa.func.count()).select_from(CountRow)) == 0


class TestTelling:
    async def test_tells_at_80_per_cent_and_at_the_end_once(self, app, root, ada):
        await limit(root, ada.tenant, emails_a_day=5)
        for _ in range(7):
            await send(ada)
        assert await told(app, ada.tenant) == [
            ("quota.nearing", "quota:emails_a_day", 4),
            ("quota.reached", "quota:emails_a_day", 5),
        ]

    async def test_tells_of_what_stopped_an_act_that_left_nothing(self, app, root, ada):
        await limit(root, ada.tenant, emails_a_day=5)
        for _ in range(2):
            await ada.http.post("/api/v1/emails/batch", json={"messages": [MAIL] * 6})
            assert await told(app, ada.tenant) == [("quota.reached", "quota:emails_a_day", 0)]


class TestStocks:
    @pytest.mark.slow
    async def test_members(self, app, root, ada):
        await limit(root, ada.tenant, members=1)
        links = []
        for n in range(3):
            body = {"email": f"m{n}@example.test", "role": "viewer"}
            links.append((await ada.http.post("/api/v1/invitations", json=body)).json()["link"])
        accepted = await asyncio.gather(
            *(
                accept_async(
                    app.client(), link, email=f"m{n}@example.test", name="M", password=PASSWORD
                )
                for n, link in enumerate(links)
            )
        )
        assert sorted(one.status_code for one in accepted) == [200, 409, 409]
        assert await told(app, ada.tenant) == [("quota.reached", "quota:members", 1)]
        for page in accepted:
            assert ("Once there is room" in page.text) == (page.status_code == 409)
        # Nothing was left half done: who was kept out has neither a log-in nor a used-up link.
        await limit(root, ada.tenant, members=2)
        n = next(n for n, page in enumerate(accepted) if page.status_code == 409)
        again = await accept_async(
            app.client(), links[n], email=f"m{n}@example.test", name="M", password=PASSWORD
        )
        assert again.status_code == 200, again.text
        assert len((await ada.http.get("/api/v1/members")).json()["items"]) == 2

    async def test_waiting_jobs(self, root, ada):
        await limit(root, ada.tenant, jobs_waiting=2)
        answers = await asyncio.gather(*(send(ada) for _ in range(5)))
        assert sorted(one.status_code for one in answers) == [202, 202, 409, 409, 409]

    async def test_jobs_that_wait_for_an_answer_are_waiting_ones(self, app, root, ada):
        await limit(root, ada.tenant, jobs_waiting=2)
        assert [(await send(ada)).status_code for _ in range(2)] == [202, 202]
        database = app.platform.database

        async def make(state):
            async with database.transaction(Scope("test", ada.tenant.id)) as tx:
                await tx.execute(sa.update(JobRow).values(state=state))

        await make("awaiting")
        refused = await send(ada)
        assert (refused.status_code, refused.json()["quota"]) == (409, "jobs_waiting")
        await make("succeeded")
        assert (await send(ada)).status_code == 202

    async def test_running_jobs_wait_and_are_no_error(self, app, root, ada):
        await limit(root, ada.tenant, jobs_running=2)
        for _ in range(5):
            assert (await send(ada)).status_code == 202

        async def claimed():
            async with app.platform.database.transaction(SystemScope(WORK)) as tx:
                return len((await claim(tx, "w", Places(100), ["email.send"])).claims)

        assert [await claimed(), await claimed()] == [2, 0]
        await limit(root, ada.tenant)
        assert await claimed() == 3

    async def test_stored_bytes(self, app, root, ada):
        assert (await send(ada, text="x" * 1000)).status_code == 202
        await limit(root, ada.tenant, storage_bytes=4000)
        assert (await send(ada, text="x" * 1000)).status_code == 202  # measured, then added to
        refused = await send(ada, text="x" * 3000)
        assert (refused.status_code, refused.json()["quota"]) == (409, "storage_bytes")
        tenants = app.platform.of(TenantManager)
        async with app.platform.database.transaction(Scope("t", ada.tenant.id)) as tx:
            await tenants.quotas.correct(tx, "storage_bytes", 900)
        await tenants.usage.measure(app.platform.database)
        async with app.platform.database.read(Scope("t", ada.tenant.id)) as tx:
            counted = await tenants.quotas.counts(tx, ada.tenant.id)
            assert (
                counted["storage_bytes"] == (await tenants.usage.read_stocks(tx))["storage_bytes"]
            )


class TestLimits:
    async def test_a_lost_signal_costs_five_seconds(self, app, root, ada):
        now = [0.0]
        other = TenantManager(ROLES, monotonic=lambda: now[0])

        async def seen():
            async with app.platform.database.read(Scope("t", ada.tenant.id)) as tx:
                return dict(await other.quotas_of(tx, ada.tenant.id))

        assert await seen() == {}
        await limit(root, ada.tenant, members=3)
        assert await seen() == {}
        now[0] = 5.1
        assert await seen() == {"members": 3}


class TestListQuotas:
    async def test_shows_the_tenant_its_own(self, root, ada):
        await limit(root, ada.tenant, emails_a_day=10)
        await send(ada)
        found = {
            one["quota"]: one for one in (await ada.http.get("/api/v1/quotas")).json()["items"]
        }
        assert (found["emails_a_day"]["used"], found["emails_a_day"]["limit"]) == (1, 10)
        assert found["members"]["used"] == 0
        assert found["emails_a_month"]["used"] is None
