"""The job kind ``report``: what it counts, for whom, and what a graph does with it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.managers.dashboard import DashboardManager
from backend.managers.dashboard._reports import ReportArgs
from backend.managers.email.models import EmailRow
from backend.managers.orchestrator import OrchestratorManager, Worker
from backend.managers.orchestrator.models import JobRow
from tests.support.platform import App, TenantClient

HOURLY = {"type": "interval", "seconds": 3600, "since": "2026-01-01T00:00:00Z"}
MAKER = {"permissions": ["job:read", "job:write", "email:send"], "description": "No mail"}


@pytest.fixture
async def ada(app: App) -> TenantClient:
    return await app.caller("owner")


@pytest.fixture
async def maker(app: App, ada: TenantClient) -> TenantClient:
    """One who may submit jobs, and not look at mail."""
    made = await ada.http.put("/api/v1/roles/maker", json=MAKER)
    assert made.is_success, made.text
    return await app.caller("maker", ada.tenant)


@pytest.fixture
async def working(app: App) -> AsyncIterator[None]:
    jobs = app.platform.of(OrchestratorManager)
    kinds = [jobs.kinds["report"]]
    worker = Worker(app.platform.database, OrchestratorManager(), kinds, poll_seconds=0.05)
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await task
        await jobs.children.aclose()


async def until_ended(ada: TenantClient, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(90):
        while True:
            job: dict[str, Any] = (await ada.http.get(f"/api/v1/jobs/{job_id}")).json()
            if job["state"] in {"succeeded", "dead"}:
                return job
            await asyncio.sleep(0.05)


async def submit(who: TenantClient, **args: Any) -> Any:
    return await who.http.post("/api/v1/jobs", json={"kind": "report", "args": args})


async def age(app: App, who: TenantClient, model: Any, ids: list[str], days: float) -> None:
    """Have some been made so long before today began."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    async with app.platform.database.transaction(Scope("test", who.tenant.id)) as tx:
        await tx.execute(
            sa.update(model)
            .where(model.tenant_id == tx.tenant_id, model.id.in_(ids))
            .values(created_at=midnight - timedelta(days=days))
            .execution_options(synchronize_session=False)
        )


async def make_jobs(app: App, ada: TenantClient, count: int) -> list[str]:
    scope = Scope("test", ada.tenant.id)
    async with app.platform.database.transaction(scope) as tx:
        rows: Any = [{"args": {"url": "https://x.example"}, "delay_seconds": 9e5}] * count
        return await app.platform.of(OrchestratorManager).submit_many(tx, "http.request", rows)


async def make_emails(ada: TenantClient, count: int) -> list[str]:
    found = []
    for number in range(count):
        message = {"to": ["a@example.com"], "subject": f"No. {number}", "text": "Hello"}
        made = await ada.http.post("/api/v1/emails", json=message)
        assert made.is_success, made.text
        found.append(made.json()["id"])
    return found


class TestReport:
    async def test_counts_whole_days_before_the_one_on_which_it_runs(
        self, app: App, ada: TenantClient, working: None
    ) -> None:
        stranger = await app.caller("owner")
        await age(app, stranger, JobRow, await make_jobs(app, stranger, 5), 0.5)
        first, second, third, _today = await make_jobs(app, ada, 4)
        await age(app, ada, JobRow, [first, second], 0.5)
        await age(app, ada, JobRow, [third], 1.5)
        args = {"of": "job", "days": 2, "by": ["day", "kind", "state"], "csv": True}
        job = await until_ended(ada, (await submit(ada, **args)).json()["id"])
        assert job["error"] is None
        said = job["result"]
        days = [said["first_day"], said["last_day"]]
        of = {"kind": "http.request", "state": "ready"}
        assert said["rows"] == [
            {"day": days[0], **of, "count": 1},
            {"day": days[1], **of, "count": 2},
        ]
        assert (said["total"], said["complete"]) == (3, True)
        assert said["csv"].splitlines() == [
            "day,kind,state,count",
            f"{days[0]},http.request,ready,1",
            f"{days[1]},http.request,ready,2",
        ]

    async def test_counts_emails(self, app: App, ada: TenantClient, working: None) -> None:
        one, two, three = await make_emails(ada, 3)
        await age(app, ada, EmailRow, [one, two], 0.1)
        await age(app, ada, EmailRow, [three], 3.5)
        job = await until_ended(ada, (await submit(ada, of="email")).json()["id"])
        assert job["error"] is None
        assert job["result"]["rows"] == [{"state": "queued", "count": 2}]
        assert "csv" not in job["result"]

    async def test_of_more_rows_than_fit_it_says_so(self, app: App, ada: TenantClient) -> None:
        class Many:
            async def count_spans(self, tx: Any, bounds: Any) -> Any:
                return [(0, f"kind.{number:04}", "dead", 2) for number in range(1001)]

        reports = app.platform.of(DashboardManager).reports
        reports._jobs = Many()  # type: ignore[assignment]
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as view:
            made = await reports.make(view, ReportArgs("job", by=("kind",)))
        assert (len(made["rows"]), made["total"], made["complete"]) == (1000, 2002, False)


class TestWho:
    async def test_submits_what_they_may_read_alone(
        self, ada: TenantClient, maker: TenantClient
    ) -> None:
        assert (await submit(maker, of="job")).status_code == 201
        refused = await submit(maker, of="email")
        assert refused.status_code == 403
        assert refused.json()["code"] == "orchestrator.job_forbidden"
        assert "email:read" in refused.json()["detail"]
        assert (await submit(ada, of="email")).status_code == 201

    async def test_neither_by_graph_nor_by_schedule(self, maker: TenantClient) -> None:
        def graph(args: Any, **more: Any) -> dict[str, Any]:
            task = {"name": "say", "kind": "report", "args": args, **more}
            ask = {"name": "ask", "kind": "http.request", "args": {"url": "https://x.example"}}
            return {"name": "g", "tasks": [ask, task]}

        refer = {"of": {"$result": "ask", "path": "body"}}
        for said in (graph({"of": "email"}), graph(refer, depends_on=["ask"])):
            for path, body in (
                ("job-graphs", said),
                ("job-schedules", {"name": "s", "timing": HOURLY, "graph": said}),
            ):
                answer = await maker.http.post(f"/api/v1/{path}", json=body)
                assert answer.status_code == 403, (path, answer.text)
                assert answer.json()["code"] == "orchestrator.job_forbidden"
        fine = await maker.http.post("/api/v1/job-graphs", json=graph({"of": "job"}))
        assert fine.status_code == 201, fine.text

    async def test_what_a_schedule_of_another_reads_is_not_run_by_them(
        self, ada: TenantClient, maker: TenantClient
    ) -> None:
        task = {"name": "say", "kind": "report", "args": {"of": "email"}}
        body = {
            "name": "s",
            "timing": HOURLY,
            "graph": {"name": "g", "tasks": [task]},
        }
        made = await ada.http.post("/api/v1/job-schedules", json=body)
        assert made.status_code == 201, made.text
        run = f"/api/v1/job-schedules/{made.json()['id']}/run"
        assert (await maker.http.post(run)).status_code == 403
        assert (await ada.http.post(run)).status_code == 200


class TestArgs:
    @pytest.mark.parametrize(
        "args",
        [
            {"of": "people"},
            {"of": "job", "days": 32},
            {"of": "job", "zone": "Mars/Olympus"},
            {"of": "job", "by": []},
            {"of": "job", "by": ["day", "day"]},
            {"of": "email", "by": ["kind"]},
        ],
    )
    async def test_refuses_what_cannot_be_counted(
        self, ada: TenantClient, args: dict[str, Any]
    ) -> None:
        refused = await submit(ada, **args)
        assert (refused.status_code, refused.json()["code"]) == (422, "orchestrator.job_invalid")

    def test_days_are_those_of_the_zone(self) -> None:
        asked = msgspec.convert({"of": "job", "days": 2, "zone": "Europe/Paris"}, ReportArgs)
        # Half past midnight in Paris, on the day after clocks were set forward.
        bounds = asked.midnights(datetime(2026, 3, 29, 22, 30, tzinfo=UTC))
        assert [bound.isoformat() for bound in bounds] == [
            "2026-03-27T23:00:00+00:00",
            "2026-03-28T23:00:00+00:00",
            "2026-03-29T22:00:00+00:00",
        ]
