"""The kind ``email``: what a job sends, and who may have it sent."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.managers.email._tasks import EmailArgs
from backend.managers.email.schemas import AttachmentIn, CalendarIn, EmailCreate
from backend.managers.orchestrator import Batch, OrchestratorManager, Outcome
from backend.managers.orchestrator._rows import claim_of
from backend.managers.orchestrator.models import JobRow
from backend.managers.tenant import TenantManager
from backend.sink import read_copies
from tests.support.errands import EVERYTHING
from tests.support.mailing import Mailing
from tests.support.platform import TenantClient

MAIL: dict[str, Any] = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
FORBIDDEN = {
    "code": "orchestrator.job_forbidden",
    "detail": "A job of the kind email takes the permission email:send",
    "permission": "email:send",
}


async def submit(caller: TenantClient, args: dict[str, Any], **more: Any) -> str:
    made = await caller.http.post("/api/v1/jobs", json={"kind": "email", "args": args, **more})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def emails(caller: TenantClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await caller.http.get("/api/v1/emails")).json()["items"]
    return found


async def clerk(mailing: Mailing, owner: TenantClient) -> TenantClient:
    """Somebody of the tenant who may submit jobs, and may not send."""
    said = {"permissions": ["job:read", "job:write", "email:read"]}
    made = await owner.http.put("/api/v1/roles/clerk", json=said)
    assert made.is_success, made.text
    return await mailing.caller("clerk", owner.tenant)


async def held_back(
    mailing: Mailing, caller: TenantClient, args: dict[str, Any]
) -> Callable[[], Awaitable[Outcome]]:
    """A job that no worker takes, and what makes an attempt at it."""
    job_id = await submit(caller, args, delay_seconds=600)
    async with mailing.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        claim = claim_of(await tx.scalar(sa.select(JobRow).where(JobRow.id == job_id)))
    kind = mailing.platform.of(OrchestratorManager).kinds["email"]

    async def attempt() -> Outcome:
        said: list[Outcome] = []
        await kind.run(Batch([claim], lambda _, outcome: said.append(outcome), lambda _: False))
        (one,) = said
        return one

    return attempt


def refusal(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 403, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    return {name: said[name] for name in FORBIDDEN}


class TestShowing:
    async def test_who_may_not_read_mail_reads_none_in_a_job(self, mailing: Mailing) -> None:
        ada = await mailing.caller("operator")
        job_id = await submit(ada, MAIL, delay_seconds=600)
        said = {"permissions": ["job:read", "job:write", "email:read"]}
        owner = await mailing.caller("owner", ada.tenant)
        assert (await owner.http.put("/api/v1/roles/clerk", json=said)).is_success
        bob = await mailing.caller("clerk", ada.tenant)
        for what in ("payload", "args"):
            path = f"/api/v1/jobs/{job_id}/{what}"
            assert (await ada.http.get(path)).json()["args"]["text"] == "There"
            assert refusal(await bob.http.get(path)) == {
                "code": "orchestrator.job_forbidden",
                "detail": "What a job of the kind email is given takes the permission "
                "email:read_content to see",
                "permission": "email:read_content",
            }

    async def test_what_is_the_products_own_is_not_shown(self, mailing: Mailing) -> None:
        ada = await mailing.caller("operator")
        sent = await ada.http.post("/api/v1/emails", json=MAIL)
        shown = await ada.http.get(f"/api/v1/jobs/{sent.json()['job_id']}/payload")
        assert shown.json() == {"args": None}


class TestSending:
    async def test_a_job_sends_and_says_what_became_of_it(self, mailing: Mailing) -> None:
        ada = await mailing.caller("workflow")
        job_id = await submit(ada, {**MAIL, "cc": ["Bob <bob@example.test>"]})
        job = await mailing.ended(ada, job_id)
        assert job["state"] == "succeeded", job
        (email,) = await emails(ada)
        assert job["result"] == {
            "email_id": email["id"],
            "message_id": email["message_id"],
            "job_id": email["job_id"],
            "state": "queued",
            "recipients": {"queued": 2},
            "deduplicated": False,
        }
        assert (email["business_key"], email["created_by"]) == (
            f"job:{job_id}",
            f"client:{ada.client_id}",
        )
        await mailing.settled(ada, email["id"], "accepted")
        (copy, *_) = read_copies(mailing.directory, email["message_id"])
        assert (copy.text or "").strip() == "There"

    async def test_a_graph_fills_a_template_with_results_and_follows_states(
        self, mailing: Mailing
    ) -> None:
        ada = await mailing.caller("operator")
        await ada.http.put(
            "/api/v1/email-templates/after", json={"subject": "Re", "text": "As in {{ before }}"}
        )
        await ada.http.post("/api/v1/suppressions", json={"address": "no@example.test"})
        first = {"name": "first", "kind": "email", "args": {**MAIL, "to": ["no@example.test"]}}
        args = {
            "to": ["bob@example.test"],
            "template": "after",
            "variables": {"before": {"$result": "first", "path": "message_id"}},
        }
        held = {"task": "first", "path": "state", "test": "equals", "value": "suppressed"}
        then = {"name": "then", "kind": "email", "args": args, "depends_on": ["first"]}
        tasks = [first, {**then, "condition": [held]}]
        made = await ada.http.post("/api/v1/job-graphs", json={"name": "Two", "tasks": tasks})
        assert made.status_code == 201, made.text
        async with asyncio.timeout(60):
            while (await ada.http.get(f"/api/v1/job-graphs/{made.json()['id']}")).json()[
                "state"
            ] == "running":
                await asyncio.sleep(0.05)
        after, before = await emails(ada)
        assert (before["state"], after["to"]) == ("suppressed", ["bob@example.test"])
        content = await ada.http.get(f"/api/v1/emails/{after['id']}/content")
        assert content.json()["text"] == f"As in {before['message_id']}"

    async def test_what_can_not_be_sent_ends_it_and_says_where(self, mailing: Mailing) -> None:
        ada = await mailing.caller("workflow")
        job_id = await submit(ada, {"to": ["ada@example.test"], "template": "none"})
        job = await mailing.ended(ada, job_id)
        assert (job["state"], job["error"]) == ("dead", "template: There is no template 'none'")
        job = await mailing.ended(ada, await submit(ada, {**MAIL, "to": ["nobody"]}))
        assert job["state"] == "dead"
        assert job["error"].startswith("to.0: ")
        assert await emails(ada) == []

    async def test_a_quota_is_waited_for(self, mailing: Mailing) -> None:
        ada = await mailing.caller("operator")
        async with mailing.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await mailing.platform.of(TenantManager).plans.set_quotas(
                tx, ada.tenant.id, plan=None, overrides={"emails_a_day": 0}
            )
        attempt = await held_back(mailing, ada, MAIL)
        said = await attempt()
        assert (said.verdict, said.error) == ("retry", "0 of 0 emails_a_day are used")
        assert said.asked_seconds > 0
        assert await emails(ada) == []

    async def test_an_attempt_that_is_made_again_sends_nothing_twice(
        self, mailing: Mailing
    ) -> None:
        ada = await mailing.caller("operator")
        path = "/api/v1/email-templates/one"
        await ada.http.put(path, json={"subject": "First", "text": "There"})
        attempt = await held_back(mailing, ada, {"to": ["ada@example.test"], "template": "one"})
        first = (await attempt()).result
        await ada.http.put(path, json={"subject": "Second", "text": "There"})
        again = (await attempt()).result
        assert (first["deduplicated"], again["deduplicated"]) == (False, True)
        assert first["email_id"] == again["email_id"]
        (email,) = await emails(ada)
        await mailing.settled(ada, email["id"], "accepted")

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            ({"subject": "S", "text": "T"}, "give at least one recipient"),
            ({"to": ["a@example.test"], "template": "t", "text": "T"}, "give either a template"),
            ({"to": ["a@example.test"], "subject": "S"}, "give subject and text or html"),
            ({**MAIL, "frm": "a@example.test"}, "frm"),
            ({**MAIL, "send_at": "2027-01-01T00:00:00"}, "timezone"),
        ],
    )
    async def test_refuses_what_is_no_message_when_it_is_submitted(
        self, mailing: Mailing, args: dict[str, Any], said: str
    ) -> None:
        ada = await mailing.caller("workflow")
        answer = await ada.http.post("/api/v1/jobs", json={"kind": "email", "args": args})
        assert (answer.status_code, answer.json()["code"]) == (422, "orchestrator.job_invalid")
        assert said in str(answer.json())


class TestArgs:
    def test_are_those_of_a_request(self) -> None:
        schema = msgspec.json.schema(EmailArgs)["$defs"]
        for wire, name in (
            (EmailCreate, "EmailArgs"),
            (AttachmentIn, "AttachmentArgs"),
            (CalendarIn, "CalendarArgs"),
        ):
            theirs = wire.model_json_schema()
            assert schema[name]["properties"].keys() == theirs["properties"].keys()
            assert schema[name].get("required", []) == theirs.get("required", [])

    async def test_are_listed_with_what_sending_takes(self, mailing: Mailing) -> None:
        ada = await mailing.caller("viewer")
        items = (await ada.http.get("/api/v1/job-kinds")).json()["items"]
        assert [(one["kind"], one["permissions"]) for one in items] == [
            ("email", ["email:send"]),
            ("http.request", []),
            ("n8n.workflow", []),
            ("report", ["email:read", "job:read"]),
        ]
        assert "from" in items[0]["args"]["$defs"]["EmailArgs"]["properties"]


class TestPermission:
    async def test_who_may_not_send_has_no_job_graph_or_schedule_send(
        self, mailing: Mailing
    ) -> None:
        owner = await mailing.caller("owner")
        bob = await clerk(mailing, owner)
        graph = {"name": "G", "tasks": [{"name": "mail", "kind": "email", "args": MAIL}]}
        timing = {"type": "interval", "seconds": 86_400, "since": "2020-01-01T00:00:00Z"}
        schedule = {"name": "S", "timing": timing, "graph": graph, "enabled": False}
        before = len(await owner.audit(mailing.platform))
        for path, body in (
            ("/api/v1/jobs", {"kind": "email", "args": MAIL}),
            ("/api/v1/job-graphs", graph),
            ("/api/v1/job-schedules", schedule),
        ):
            assert refusal(await bob.http.post(path, json=body)) == FORBIDDEN
        assert len(await owner.audit(mailing.platform)) == before
        for path in ("/api/v1/jobs", "/api/v1/job-graphs", "/api/v1/job-schedules"):
            assert (await owner.http.get(path)).json()["items"] == []
        # Of another's schedule he changes and runs nothing either.
        made = await owner.http.post("/api/v1/job-schedules", json=schedule)
        assert made.status_code == 201, made.text
        where = f"/api/v1/job-schedules/{made.json()['id']}"
        stretch = {"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"}
        assert refusal(await bob.http.put(where, json=schedule)) == FORBIDDEN
        assert refusal(await bob.http.post(f"{where}/run")) == FORBIDDEN
        assert refusal(await bob.http.post(f"{where}/backfill", json=stretch)) == FORBIDDEN
        assert (await owner.http.get("/api/v1/jobs")).json()["items"] == []
        assert (await owner.http.post(f"{where}/run")).status_code == 200

    async def test_who_may_not_send_gives_a_job_nothing_else_to_send(
        self, mailing: Mailing
    ) -> None:
        owner = await mailing.caller("owner")
        bob = await clerk(mailing, owner)
        job_id = await submit(owner, {**MAIL, "to": ["nobody"]})
        assert (await mailing.ended(owner, job_id))["state"] == "dead"
        path = f"/api/v1/jobs/{job_id}/retry"
        assert refusal(await bob.http.post(path, json={"args": MAIL})) == FORBIDDEN
        assert (await bob.http.get(f"/api/v1/jobs/{job_id}")).json()["state"] == "dead"
        assert await emails(owner) == []
        assert (await owner.http.post(path, json={"args": MAIL})).status_code == 200
        assert (await mailing.ended(owner, job_id))["state"] == "succeeded"

    async def test_an_answer_is_not_told_again_to_who_may_send_no_more(
        self, mailing: Mailing
    ) -> None:
        owner = await mailing.caller("owner")
        path, may = "/api/v1/roles/clerk", ["job:read", "job:write", "email:send"]
        await owner.http.put(path, json={"permissions": may})
        bob = await mailing.caller("clerk", owner.tenant)
        said: dict[str, Any] = {"json": {"kind": "email", "args": MAIL}}
        said["headers"] = {"Idempotency-Key": "one"}
        first = await bob.http.post("/api/v1/jobs", **said)
        assert (await bob.http.post("/api/v1/jobs", **said)).json()["id"] == first.json()["id"]
        await owner.http.put(path, json={"permissions": may[:2]})
        assert (await bob.http.post("/api/v1/jobs", **said)).status_code == 403
