"""Suppressions: a list that holds, and mail that it holds back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.events import read_events
from backend.core.ids import uuid7
from backend.managers.email import EmailManager
from backend.managers.email.manager import scope_of
from backend.managers.email.models import SuppressionRow
from backend.managers.orchestrator import OrchestratorManager, Worker
from backend.migrations.runner import sync_url
from backend.sink import count_copies, read_copies
from backend.worker import sweep
from tests.support.mailing import Mailing
from tests.support.platform import App, TenantClient
from tests.support.postgres import OWNER

EMAIL: dict[str, Any] = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
CSV = {"Content-Type": "text/csv"}
LIST = "/api/v1/suppressions"


async def suppress(caller: TenantClient, address: str, **more: Any) -> dict[str, Any]:
    answer = await caller.http.post(LIST, json={"address": address, **more})
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(caller: TenantClient, **query: str) -> list[str]:
    answer = await caller.http.get(LIST, params=query)
    return [one["address"] for one in answer.json()["items"]]


async def kinds(app: App, caller: TenantClient) -> list[str]:
    await app.sequence()
    async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        found = [event.kind for event in await read_events(tx, after=0, limit=1000)]
        return [kind for kind in found if kind.startswith(("suppression.", "email."))]


async def fill(app: App, caller: TenantClient, count: int, *, expired: bool = False) -> None:
    async with app.platform.database.transaction(Scope("test", caller.tenant.id)) as tx:
        rows = [
            {
                "tenant_id": caller.tenant.id,
                "id": uuid7(),
                "address": f"{number}@example.test",
                "address_key": f"{number}@example.test",
                "reason": "import",
                "comment": "",
                "created_at": tx.now(),
                "created_by": "test",
                "expires_at": tx.now() - timedelta(days=1) if expired else None,
            }
            for number in range(count)
        ]
        await tx.insert(SuppressionRow, rows)


@asynccontextmanager
async def working(app: App) -> AsyncIterator[None]:
    worker = Worker(app.platform.database, app.platform.of(OrchestratorManager), poll_seconds=0.05)
    task = asyncio.create_task(worker.run())
    yield
    worker.stop()
    await task


@contextmanager
def statements(app: App) -> Iterator[list[tuple[str, Any]]]:
    """What is asked of the table meanwhile."""
    found: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "email_suppressions" in statement:
            found.append((statement, parameters))

    engine = app.platform.database.engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", note)
    yield found
    sa.event.remove(engine, "before_cursor_execute", note)


class TestTheList:
    async def test_holds_an_address_once_and_what_was_said_last(self, app: App) -> None:
        ada = await app.caller("operator")
        first = await suppress(ada, "Bob@Example.test", comment="asked on the phone")
        answer = await ada.http.post(LIST, json={"address": "bob@example.test"})
        assert answer.status_code == 200
        found = (await ada.http.get(f"{LIST}/{first['id']}")).json()
        assert found == answer.json() == {**first, "comment": ""}
        assert (found["address"], found["reason"]) == ("Bob@example.test", "manual")
        assert found["created_by"] == f"client:{ada.client_id}"
        assert await kinds(app, ada) == ["suppression.added"] * 2

    async def test_is_searched_by_address_prefix_and_reason(self, app: App) -> None:
        ada, eve = await app.caller("operator"), await app.caller("operator")
        await suppress(eve, "bob@example.test")
        for address in ("bob_1@example.test", "bobX1@example.test", "Bob@other.test"):
            await suppress(ada, address)
        await ada.http.post(f"{LIST}/import", content="carol@example.test", headers=CSV)
        assert await listed(ada, address="BOB*") == [
            "Bob@other.test",
            "bobX1@example.test",
            "bob_1@example.test",
        ]
        assert await listed(ada, address="bob_*") == ["bob_1@example.test"]
        assert await listed(ada, address="bob@OTHER.test") == ["Bob@other.test"]
        assert await listed(ada, reason="import") == ["carol@example.test"]
        page = (await ada.http.get(LIST, params={"limit": 3})).json()
        assert await listed(ada, cursor=page["next_cursor"]) == ["bob_1@example.test"]

    async def test_lets_an_address_go(self, app: App) -> None:
        ada, eve = await app.caller("operator"), await app.caller("operator")
        made = await suppress(ada, "bob@example.test")
        path = f"{LIST}/{made['id']}"
        assert (await eve.http.delete(path)).json()["code"] == "email.suppression_not_found"
        assert (await ada.http.delete(path)).status_code == 204
        assert (await ada.http.delete(path)).status_code == 404
        assert await listed(ada) == []
        assert [one.action for one in await ada.audit(app.platform, "suppression.*")] == [
            "suppression.removed",
            "suppression.added",
        ]
        assert await kinds(app, ada) == ["suppression.added", "suppression.removed"]

    async def test_forgets_what_has_expired(self, app: App) -> None:
        ada = await app.caller("operator")
        await fill(app, ada, 3, expired=True)
        assert await listed(ada) == []
        again = await ada.http.post(LIST, json={"address": "0@example.test"})
        assert again.status_code == 201
        assert await listed(ada) == ["0@example.test"]
        await sweep(app.platform, "worker-1")
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
            assert len(await tx.scalars(sa.select(SuppressionRow))) == 1

    async def test_refuses_what_would_never_hold(self, app: App) -> None:
        ada = await app.caller("operator")
        for body, code in (
            ({"expires_at": "2020-01-01T00:00:00Z"}, "email.suppression_expiry_invalid"),
            ({"address": "nobody"}, "email.invalid_address"),
        ):
            answer = await ada.http.post(LIST, json={"address": "bob@example.test", **body})
            assert (answer.status_code, answer.json()["code"]) == (422, code)


class TestFiles:
    @pytest.mark.slow
    async def test_what_is_exported_is_imported_again(self, app: App) -> None:
        ada, bob = await app.caller("operator"), await app.caller("operator")
        await fill(app, ada, 2100)
        await suppress(ada, "+x@example.test", comment="=1+1", expires_at="2099-01-31T12:00:00Z")
        answer = await ada.http.get(f"{LIST}/export")
        assert answer.headers["content-type"].startswith("text/csv")
        lines = answer.text.splitlines()
        assert lines[0] == "address,reason,comment,created_at,created_by,expires_at"
        assert lines[1].startswith("'+x@example.test,manual,'=1+1,")
        assert len(lines) == 2102
        await suppress(bob, "7@example.test", comment="mine")
        for counts in ({"added": 2100, "known": 1}, {"added": 0, "known": 2101}):
            taken = await bob.http.post(f"{LIST}/import", content=answer.content, headers=CSV)
            assert taken.json() == counts
        (found,) = (await bob.http.get(LIST, params={"address": "+x*"})).json()["items"]
        assert (found["comment"], found["expires_at"]) == ("=1+1", "2099-01-31T12:00:00Z")
        (mine,) = (await bob.http.get(LIST, params={"address": "7@example.test"})).json()["items"]
        assert (mine["comment"], mine["reason"]) == ("mine", "manual")
        # In parts, so that nobody waits for all of it, and each on record with what it did.
        assert (await kinds(app, bob)).count("suppression.imported") == 2 * 5

    async def test_a_bad_line_refuses_the_file(self, app: App) -> None:
        ada = await app.caller("operator")
        file = "address,expires_at\na@b.test,\nnobody,\nc@d.test,soon\ne@f.test,2020-01-31\n"
        refused = await ada.http.post(f"{LIST}/import", content=file, headers=CSV)
        assert (refused.status_code, refused.json()["code"]) == (
            422,
            "email.suppression_import_invalid",
        )
        assert [one["pointer"] for one in refused.json()["errors"]] == ["/3", "/4"]
        file = "a@b.test\ne@f.test,,2020-01-31"
        refused = await ada.http.post(f"{LIST}/import", content=file, headers=CSV)
        assert [one["pointer"] for one in refused.json()["errors"]] == ["/2"]
        assert await listed(ada) == []

    @pytest.mark.parametrize(
        ("content", "kind", "status"),
        [
            ("a@b.test", "application/json", 415),
            ("a@b.test\n" * 20_001, "text/csv", 422),
            ("#" * (4 * 2**20 + 1), "text/csv", 413),
            ('"open', "text/csv", 422),
        ],
    )
    async def test_takes_csv_of_a_bounded_size(
        self, app: App, content: str, kind: str, status: int
    ) -> None:
        ada = await app.caller("operator")
        headers = {"Content-Type": kind}
        answer = await ada.http.post(f"{LIST}/import", content=content, headers=headers)
        assert answer.status_code == status, answer.text


class TestSending:
    async def test_holds_back_who_is_on_the_list_and_nobody_else(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        await suppress(ada, "Bob@example.test")
        body = {**EMAIL, "to": ["ada@example.test", "BOB@example.test"]}
        made = (await ada.http.post("/api/v1/emails", json=body)).json()
        email = await mailing.settled(ada, made["id"], "partial")
        assert {r["address"]: r["state"] for r in email["recipients"]} == {
            "ada@example.test": "accepted",
            "BOB@example.test": "suppressed",
        }
        assert [step["event"] for step in email["timeline"]] == [
            "queued", "suppressed", "sending", "accepted",
        ]  # fmt: skip
        (copy,) = await asyncio.to_thread(read_copies, mailing.directory, made["message_id"])
        assert copy.envelope_to == ["ada@example.test"]
        assert (await mailing.ended(ada, made["job_id"]))["state"] == "succeeded"

    @pytest.mark.slow
    async def test_ends_a_message_that_is_for_nobody_else(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        await suppress(ada, "ada@example.test")
        made = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        assert made["state"] == "suppressed"
        assert (await mailing.ended(ada, made["job_id"]))["state"] == "succeeded"
        email = (await ada.http.get(f"/api/v1/emails/{made['id']}")).json()
        assert (email["state"], email["attempts"]) == ("suppressed", 0)
        assert count_copies(mailing.directory) == {}
        told = await kinds(mailing, ada)
        assert told == ["suppression.added", "email.queued", "email.suppressed"]
        found = await ada.http.get("/api/v1/emails", params={"state": "suppressed"})
        assert [one["id"] for one in found.json()["items"]] == [made["id"]]

    @pytest.mark.slow
    async def test_looks_again_right_before_the_mail_is_handed_over(self, app: App) -> None:
        ada, eve = await app.caller(), await app.caller()
        body = {**EMAIL, "to": ["bob@example.test"], "cc": ["Ada@example.test"]}
        both = (await ada.http.post("/api/v1/emails", json=body)).json()
        alone = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        await suppress(eve, "bob@example.test")
        await suppress(ada, "ada@example.test")
        emails = app.platform.of(EmailManager)
        async with app.platform.database.transaction(scope_of(ada.tenant.id)) as tx:
            route = (await emails.open_routes(tx))[None]
            found = {
                one.email_id: list(one.pending.values())
                for one in await emails.begin_delivery(tx, [both["id"], alone["id"]], route)
            }
        assert found == {both["id"]: ["bob@example.test"], alone["id"]: []}
        async with working(app), asyncio.timeout(60):
            # No server is there: had it been asked, the message would wait.
            email = alone
            while email["state"] != "suppressed":
                await asyncio.sleep(0.02)
                email = (await ada.http.get(f"/api/v1/emails/{alone['id']}")).json()
        assert email["attempts"] == 0
        assert email["recipients"][0]["response"].endswith("suppressions (manual)")
        assert "email.suppressed" in await kinds(app, ada)

    @pytest.mark.slow
    async def test_asks_for_the_list_in_one_statement_if_there_is_one(
        self, app: App, database_url: str
    ) -> None:
        ada = await app.caller()
        batch = {"messages": [{**EMAIL, "to": [f"{n}@example.test"]} for n in range(100)]}
        asked_last: list[tuple[str, Any]] = []
        for count, asked in ((0, 1), (40_000, 2)):
            await fill(app, ada, count)
            with statements(app) as found:
                answer = await ada.http.post("/api/v1/emails/batch", json=batch)
            states = {one["state"] for one in answer.json()["items"]}
            assert states == ({"suppressed"} if count else {"queued"})
            assert len(found) == asked
            asked_last = found
        explain = "EXPLAIN QUERY PLAN "
        if app.platform.database.dialect == "postgresql":
            explain = "EXPLAIN "
            url = sa.make_url(database_url).set(username=OWNER)
            owner = sa.create_engine(sync_url(url.render_as_string(hide_password=False)))
            with owner.begin() as connection:
                connection.execute(sa.text("ANALYZE email_suppressions"))
            owner.dispose()
        async with app.platform.database.engine.connect() as asked_by:
            plans = [
                "\n".join(str(row) for row in (await asked_by.exec_driver_sql(explain + s, p)))
                for s, p in asked_last
            ]
        assert "ix_email_suppressions_address" in plans[1], plans[1]
        assert "address_key" in plans[1], plans[1]


class TestHardBounces:
    async def switch_on(self, caller: TenantClient) -> None:
        body = {"from_address": "billing@acme.example", "suppress_hard_bounces": True}
        answer = await caller.http.put("/api/v1/email-settings", json=body)
        assert answer.json()["suppress_hard_bounces"] is True

    @pytest.mark.slow
    async def test_are_suppressed_where_the_tenant_asked_for_it(self, mailing: Mailing) -> None:
        ada, eve = await mailing.caller(), await mailing.caller()
        await self.switch_on(ada)
        body = {**EMAIL, "to": ["Bounce@example.test", "defer@example.test"]}
        for caller in (ada, eve):
            made = (await caller.http.post("/api/v1/emails", json=body)).json()
            await mailing.settled(caller, made["id"], "bounced")
        assert await listed(eve) == []
        (found,) = (await ada.http.get(LIST)).json()["items"]
        assert (found["address"], found["reason"]) == ("Bounce@example.test", "hard_bounce")
        assert found["comment"].startswith("5.1.1 No such mailbox")
        assert (await ada.audit(mailing.platform, "suppression.added"))[0].data == {
            "address": "Bounce@example.test",
            "reason": "hard_bounce",
        }

    @pytest.mark.slow
    async def test_are_not_mailed_when_the_job_is_retried(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        await self.switch_on(ada)
        body = {**EMAIL, "to": ["bounce@example.test"]}
        made = (await ada.http.post("/api/v1/emails", json=body)).json()
        await mailing.settled(ada, made["id"], "bounced")
        await mailing.ended(ada, made["job_id"])
        await ada.http.post(f"/api/v1/jobs/{made['job_id']}/retry")
        email = await mailing.settled(ada, made["id"], "suppressed")
        assert email["attempts"] == 1
        assert email["recipients"][0]["response"].endswith("suppressions (hard_bounce)")

    async def test_do_not_change_what_a_person_said(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        await self.switch_on(ada)
        body = {**EMAIL, "to": ["bounce@example.test"]}
        made = (await ada.http.post("/api/v1/emails", json=body)).json()
        mine = await suppress(ada, "bounce@example.test", expires_at="2099-01-01T00:00:00Z")
        await mailing.ended(ada, made["job_id"])
        kept = (await ada.http.get(f"{LIST}/{mine['id']}")).json()
        assert (kept["reason"], kept["expires_at"]) == ("manual", "2099-01-01T00:00:00Z")
