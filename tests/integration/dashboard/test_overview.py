"""The overview: figures, counts and failures of one tenant in one answer."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import db_now
from backend.managers.dashboard import DashboardManager, manager
from backend.managers.email.models import EmailRow, RecipientRow
from backend.managers.metrics import MetricsManager
from backend.managers.metrics.models import RollupRow
from backend.managers.orchestrator import WORK
from backend.managers.orchestrator._liveness import beat
from backend.managers.orchestrator.models import JobRow, WorkerRow
from tests.security.conftest import People
from tests.support.platform import App, TenantClient

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}


async def fail(
    app: App, caller: TenantClient, email: dict[str, str], *, error: str, state: str = "bounced"
) -> None:
    """Make a message bounce and its job die, as delivery records it."""
    async with app.platform.database.transaction(Scope("test", caller.tenant.id)) as tx:
        at = tx.now()
        await tx.execute(sa.update(EmailRow).where(EmailRow.id == email["id"]).values(state=state))
        await tx.execute(
            sa.update(RecipientRow)
            .where(RecipientRow.email_id == email["id"])
            .values(state="bounced", response=error, updated_at=at)
        )
        await tx.execute(
            sa.update(JobRow)
            .where(JobRow.id == email["job_id"])
            .values(state="dead", error=error, finished_at=at)
        )


async def counted(app: App, caller: TenantClient) -> int:
    """How many requests of the tenant the series count so far."""
    app.asgi._telemetry.drain()
    await app.platform.of(MetricsManager).flush(app.platform.database, everything=True)
    async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        rows = await tx.scalars(sa.select(RollupRow).where(RollupRow.tenant_id == caller.tenant.id))
        return sum(row.requests for row in rows)


class TestReadOverview:
    async def test_a_new_tenant_has_zeros_everywhere(self, app: App) -> None:
        ada = await app.caller()
        found = (await ada.http.get("/api/v1/overview")).json()
        assert (found["window_seconds"], found["step_seconds"]) == (900, 10)
        assert len(found["series"]) == 90
        assert found["requests"] == {"per_second": 0, "p95_ms": None, "error_rate": None}
        assert set(found["jobs"].values()) == {0}
        assert found["emails"] == {}
        assert found["failures"] == []
        assert found["delivery"] == {
            "settled": 0, "accepted": 0, "partial": 0, "bounced": 0, "suppressed": 0,
            "accepted_share": None,
        }  # fmt: skip
        assert found["workers"] == {"alive": 0, "draining": 0, "seen_at": None}

    async def test_tells_of_the_mail_what_became_of_it(self, app: App) -> None:
        ada = await app.caller()
        made = [(await ada.http.post("/api/v1/emails", json=EMAIL)).json() for _ in range(10)]
        states = ["accepted"] * 4 + ["bounced"] * 2 + ["partial", "suppressed", "cancelled"]
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            for email, state in zip(made, states, strict=False):
                await tx.execute(
                    sa.update(EmailRow).where(EmailRow.id == email["id"]).values(state=state)
                )
        found = (await ada.http.get("/api/v1/overview")).json()
        assert found["delivery"] == {
            "settled": 8, "accepted": 4, "partial": 1, "bounced": 2, "suppressed": 1,
            "accepted_share": 0.5,
        }  # fmt: skip

    async def test_counts_what_was_made_in_the_window(self, app: App) -> None:
        ada = await app.caller()
        for state, age in (("accepted", 5), ("bounced", 30), ("bounced", 90)):
            email = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
            async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
                then = tx.now() - timedelta(minutes=age)
                await tx.execute(
                    sa.update(EmailRow)
                    .where(EmailRow.id == email["id"])
                    .values(state=state, created_at=then)
                )
                await tx.execute(
                    sa.update(JobRow)
                    .where(JobRow.id == email["job_id"])
                    .values(state="succeeded", created_at=then)
                )
        for minutes, shares in ((1, (None, 0)), (15, (1, 1)), (60, (0.5, 2)), (120, (1 / 3, 3))):
            found = (await ada.http.get(f"/api/v1/overview?minutes={minutes}")).json()
            told = (found["delivery"]["accepted_share"], found["jobs"]["succeeded"])
            assert told == shares, minutes

    async def test_tells_who_works_and_since_when_nobody_does(self, app: App) -> None:
        ada = await app.caller()
        database = app.platform.database
        async with database.transaction(SystemScope(WORK)) as tx:
            await beat(tx, "w")
        found = (await ada.http.get("/api/v1/overview")).json()["workers"]
        assert found["alive"] == 1
        async with database.transaction(SystemScope(WORK)) as tx:
            await tx.execute(sa.update(WorkerRow).values(beat_at=db_now(-60.0)))
        gone = (await ada.http.get("/api/v1/overview")).json()["workers"]
        assert gone["alive"] == 0
        assert gone["seen_at"] < found["seen_at"]

    async def test_counts_by_state_and_shows_a_failure_once(self, app: App) -> None:
        ada, eve = await app.caller(), await app.caller()
        made = [(await ada.http.post("/api/v1/emails", json=EMAIL)).json() for _ in range(3)]
        await fail(app, ada, made[0], error="550 no such user")
        found = (await ada.http.get("/api/v1/overview?minutes=1")).json()
        assert found["emails"] == {"queued": 2, "bounced": 1}
        assert (found["jobs"]["ready"], found["jobs"]["dead"]) == (2, 1)
        (failure,) = found["failures"]
        assert (failure["kind"], failure["id"]) == ("email", made[0]["id"])
        assert failure["title"] == "bounced: Hello"
        assert failure["detail"] == "ada@example.test: 550 no such user"
        assert (await eve.http.get("/api/v1/overview")).json()["failures"] == []

    async def test_counts_of_many_are_told_again_for_a_while(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(manager, "_COUNTED_AT_ONCE", 3)
        monkeypatch.setattr(manager, "_COUNTED_A_SECOND", 1)
        now = 1000.0
        monkeypatch.setattr(app.platform.of(DashboardManager), "_monotonic", lambda: now)
        ada, eve = await app.caller(), await app.caller()

        async def counts(caller: TenantClient, minutes: int = 15) -> list[int]:
            found = (await caller.http.get(f"/api/v1/overview?minutes={minutes}")).json()
            return [found["emails"].get("queued", 0), found["jobs"]["ready"]]

        async def send(caller: TenantClient) -> None:
            assert (await caller.http.post("/api/v1/emails", json=EMAIL)).status_code == 202

        await send(ada)
        assert await counts(ada) == [1, 1]
        await send(ada)
        assert await counts(ada) == [2, 2]  # four in all: told again for four seconds
        await send(ada)
        now += 3.9
        assert await counts(ada) == [2, 2]
        assert await counts(ada, minutes=60) == [3, 3]  # another question
        assert await counts(eve) == [0, 0]
        now += 0.2
        assert await counts(ada) == [3, 3]

    async def test_a_backlog_counts_whatever_its_age(self, app: App) -> None:
        ada, eve = await app.caller(), await app.caller()
        made = [(await ada.http.post("/api/v1/emails", json=EMAIL)).json() for _ in range(3)]
        await eve.http.post("/api/v1/emails", json=EMAIL)
        await fail(app, ada, made[0], error="550 no such user")
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            for model in (EmailRow, JobRow):
                old = tx.now() - timedelta(days=3)
                await tx.execute(sa.update(model).values(created_at=old))
        found = (await ada.http.get("/api/v1/overview")).json()
        assert found["emails"] == {"queued": 2}
        assert {state: count for state, count in found["jobs"].items() if count} == {"ready": 2}

    async def test_a_message_that_partly_bounced_is_one_failure(self, app: App) -> None:
        ada = await app.caller()
        made = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        await fail(app, ada, made, error="550 no such user", state="partial")
        found = (await ada.http.get("/api/v1/overview")).json()
        (failure,) = found["failures"]
        assert (failure["kind"], failure["title"]) == ("email", "partial: Hello")

    async def test_requests_appear_once_their_window_is_written(self, app: App) -> None:
        ada = await app.caller()
        for _ in range(5):
            await ada.http.get("/api/v1/me")
        app.asgi._telemetry.drain()
        await app.platform.of(MetricsManager).flush(app.platform.database, everything=True)
        found = (await ada.http.get("/api/v1/overview?minutes=15")).json()
        assert found["requests"]["per_second"] >= 5 / 900
        assert found["requests"]["p95_ms"] > 0
        times = [datetime.fromisoformat(point["at"]) for point in found["series"]]
        assert times == sorted(times)
        assert {(b - a).total_seconds() for a, b in pairwise(times)} == {10}

    async def test_what_the_console_reads_is_nobodys_traffic(self, app: App) -> None:
        """A page left open would draw its own polling, and calm every rate that it shows."""
        ada = await app.caller()
        people = People(app)
        person = await people.person()
        await people.member(ada.tenant, person, "owner")
        console = await people.acting(person)
        for _ in range(5):
            assert (await console.get("/api/v1/overview")).is_success
            assert (await console.get("/api/v1/emails?limit=0")).status_code == 422
        assert await counted(app, ada) == 0
        # What a person does there is done in the tenant, and a program's reads are its own.
        assert (await console.post("/api/v1/audit/verify")).is_success
        assert (await ada.http.get("/api/v1/overview")).is_success
        assert await counted(app, ada) == 2

    async def test_a_window_must_make_sense(self, app: App) -> None:
        ada = await app.caller()
        for minutes in ("0", "129601", "x"):
            answer = await ada.http.get(f"/api/v1/overview?minutes={minutes}")
            assert answer.status_code == 422
