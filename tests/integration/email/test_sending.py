"""A message's whole way: request, job, mail server, record."""

import asyncio
import base64
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from backend.core.clock import system_clock
from backend.core.context import Scope
from backend.kit.turns import LARGE_BYTES
from backend.managers.email import EmailManager
from backend.managers.email.manager import scope_of
from backend.managers.email.models import (
    ContentRow,
    EmailSettingsRow,
    RecipientRow,
)
from backend.managers.orchestrator.models import JobRow
from backend.managers.security import Keyring, SecurityManager
from backend.sink import read_copies
from tests.support.mailing import Mailing
from tests.support.platform import App

EMAIL = {"to": ["Ada <ada@example.test>"], "subject": "Hällo", "text": "Grüße", "html": "<p>G</p>"}


class TestSendEmail:
    async def test_reaches_the_mail_server_and_is_accounted_for(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        answer = await ada.http.post(
            "/api/v1/emails",
            json={
                **EMAIL,
                "cc": ["bob@example.test"],
                "bcc": ["eve@example.test", "ADA@example.test"],
                "reply_to": "desk@example.test",
                "headers": {"X-Order": "7"},
                "attachments": [
                    {
                        "filename": "a.txt",
                        "content_type": "text/plain",
                        "content": base64.b64encode(b"attached").decode(),
                    }
                ],
            },
        )
        assert answer.status_code == 202
        made = answer.json()
        assert made["state"] == "queued"
        email = await mailing.settled(ada, made["id"], "accepted")
        assert email["attempts"] == 1
        assert [
            (r["address"], r["kind"], r["state"], r["response_code"]) for r in email["recipients"]
        ] == [
            ("ada@example.test", "to", "accepted", 250),
            ("bob@example.test", "cc", "accepted", 250),
            ("eve@example.test", "bcc", "accepted", 250),
        ]
        assert [step["event"] for step in email["timeline"]] == ["queued", "sending", "accepted"]
        sink = (await ada.http.get(f"/sink/emails/{made['id']}")).json()
        (copy,) = sink["copies"]
        headers = {name.lower(): value for name, value in copy["headers"]}
        assert headers["message-id"] == made["message_id"]
        assert headers["x-order"] == "7"
        assert "bcc" not in headers
        assert sorted(copy["envelope_to"]) == [
            "ada@example.test",
            "bob@example.test",
            "eve@example.test",
        ]
        assert copy["text"].strip() == "Grüße"
        job = (await ada.http.get(f"/api/v1/jobs/{made['job_id']}")).json()
        assert (job["state"], job["subject"]) == ("succeeded", f"email:{made['id']}")
        (entry,) = await ada.audit(mailing.platform, "email.submitted")
        assert entry.actor == f"client:{ada.client_id}"
        assert entry.target == f"email:{made['id']}"

    async def test_each_message_of_a_batch_is_in_the_trail(self, app: App) -> None:
        ada = await app.caller()
        keyed = {**EMAIL, "business_key": "k", "to": ["a@example.test", "b@example.test"]}
        batch = {"messages": [EMAIL, keyed, EMAIL, keyed]}
        made = (await ada.http.post("/api/v1/emails/batch", json=batch)).json()["items"]
        # The second use of the key made no message, so it is no act.
        sent = {one["id"]: one for one in made}
        entries = await ada.audit(app.platform, "email.submitted")
        assert sorted(entry.target for entry in entries) == sorted(f"email:{one}" for one in sent)
        for entry in entries:
            email = sent[entry.target.removeprefix("email:")]
            assert entry.actor == f"client:{ada.client_id}"
            assert entry.data == {
                "message_id": email["message_id"],
                "recipients": 2 if email["business_key"] else 1,
                "business_key": email["business_key"],
            }

    async def test_the_content_is_sealed_at_rest(self, app: App) -> None:
        ada = await app.caller()
        answer = await ada.http.post("/api/v1/emails", json={**EMAIL, "text": "needle-in-body"})
        email_id = answer.json()["id"]
        async with app.platform.database.read(Scope("t", ada.tenant.id)) as tx:
            sealed = await tx.scalar(sa.select(ContentRow.sealed_content))
        assert b"needle" not in sealed
        content = (await ada.http.get(f"/api/v1/emails/{email_id}/content")).json()
        assert content["text"] == "needle-in-body"
        assert await ada.audit(app.platform, "email.content_read")

    async def test_a_large_content_is_sealed_while_others_write(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada = await app.caller("owner")
        loop, seal = asyncio.get_running_loop(), Keyring.seal
        written: list[int] = []

        def seal_beside(keyring: Keyring, context: str, plaintext: bytes) -> bytes:
            if len(plaintext) > LARGE_BYTES:
                body = {"address": f"gone-{len(written)}@example.test"}
                asked = ada.http.post("/api/v1/suppressions", json=body)
                answer = asyncio.run_coroutine_threadsafe(asked, loop).result(10)
                written.append(answer.status_code)
            return seal(keyring, context, plaintext)

        monkeypatch.setattr(Keyring, "seal", seal_beside)
        large = {"to": ["ada@example.test"], "subject": "s", "text": "x" * (LARGE_BYTES + 1)}
        small = {**large, "text": "x"}
        answer = await ada.http.post("/api/v1/emails", json=large)
        messages = [small, large, {**large, "business_key": "once"}]
        batch = await ada.http.post("/api/v1/emails/batch", json={"messages": messages})
        assert (answer.status_code, batch.status_code, written) == (202, 202, [201] * 3)
        for made in (answer.json(), *batch.json()["items"]):
            content = (await ada.http.get(f"/api/v1/emails/{made['id']}/content")).json()
            assert set(content["text"]) == {"x"}
            assert made["size_bytes"] > len(content["text"])

    @pytest.mark.slow
    async def test_a_refused_recipient_bounces_and_the_others_do_not(
        self, mailing: Mailing
    ) -> None:
        ada = await mailing.caller()
        to = ["ada@example.test", "bounce@example.test"]
        made = (await ada.http.post("/api/v1/emails", json={**EMAIL, "to": to})).json()
        email = await mailing.settled(ada, made["id"], "partial")
        states = {r["address"]: (r["state"], r["response_code"]) for r in email["recipients"]}
        assert states == {
            "ada@example.test": ("accepted", 250),
            "bounce@example.test": ("bounced", 550),
        }
        job = (await ada.http.get(f"/api/v1/jobs/{made['job_id']}")).json()
        assert (job["state"], job["attempt"]) == ("dead", 1)
        assert job["error"].startswith("bounce@example.test: ")

    @pytest.mark.slow
    async def test_reaches_an_address_beyond_ascii(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        body = {**EMAIL, "to": ["Ädä <ädä@bücher.example>"], "cc": ["b@example.test"]}
        made = (await ada.http.post("/api/v1/emails", json=body)).json()
        assert made["to"] == ['"Ädä" <ädä@xn--bcher-kva.example>']
        await mailing.settled(ada, made["id"], "accepted")
        (copy,) = await asyncio.to_thread(read_copies, mailing.directory, made["message_id"])
        assert copy.envelope_to == ["ädä@xn--bcher-kva.example", "b@example.test"]
        assert dict(copy.headers)["To"] == "Ädä <ädä@xn--bcher-kva.example>"
        # In whatever form its letters are written.
        for recipient in ("ädä@bücher.example", "A\u0308da\u0308@bücher.example"):
            answer = await ada.http.get("/api/v1/emails", params={"recipient": recipient})
            assert [one["id"] for one in answer.json()["items"]] == [made["id"]], recipient

    @pytest.mark.slow
    async def test_a_retry_reaches_only_those_who_did_not_accept(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        to = ["ada@example.test", "bounce@example.test"]
        made = (await ada.http.post("/api/v1/emails", json={**EMAIL, "to": to})).json()
        await mailing.settled(ada, made["id"], "partial")
        async with mailing.platform.database.transaction(scope_of(ada.tenant.id)) as tx:
            # The address is mended at the receiving server, as far as this one can tell.
            await tx.execute(
                sa.update(RecipientRow)
                .where(RecipientRow.address == "bounce@example.test")
                .values(address="eve@example.test")
            )
        retried = await ada.http.post(f"/api/v1/jobs/{made['job_id']}/retry")
        assert retried.status_code == 200, retried.text
        email = await mailing.settled(ada, made["id"], "accepted")
        assert email["attempts"] == 2
        job = await mailing.ended(ada, made["job_id"])
        assert (job["state"], job["attempt"]) == ("succeeded", 2)
        copies = await asyncio.to_thread(read_copies, mailing.directory, made["message_id"])
        assert sorted(copy.envelope_to for copy in copies) == [
            ["ada@example.test"],
            ["eve@example.test"],
        ]

    @pytest.mark.slow
    async def test_a_bounce_of_an_earlier_attempt_is_not_forgotten(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        to = ["defer-once@example.test", "bounce@example.test"]
        made = (await ada.http.post("/api/v1/emails", json={**EMAIL, "to": to})).json()
        email = await mailing.settled(ada, made["id"], "partial")
        assert email["attempts"] == 2
        job = await mailing.ended(ada, made["job_id"])
        assert (job["state"], job["attempt"]) == ("dead", 2)
        assert job["error"].startswith("bounce@example.test: ")

    @pytest.mark.slow
    async def test_a_bounce_is_not_retried_until_somebody_asks(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        made = (
            await ada.http.post("/api/v1/emails", json={**EMAIL, "to": ["bounce@example.test"]})
        ).json()
        email = await mailing.settled(ada, made["id"], "bounced")
        assert email["attempts"] == 1
        job = (await ada.http.get(f"/api/v1/jobs/{made['job_id']}")).json()
        assert job["state"] == "dead"
        retried = await ada.http.post(f"/api/v1/jobs/{made['job_id']}/retry")
        assert retried.status_code == 200
        for _ in range(200):
            email = (await ada.http.get(f"/api/v1/emails/{made['id']}")).json()
            if email["attempts"] == 2 and email["state"] == "bounced":
                break
            await asyncio.sleep(0.05)
        assert email["attempts"] == 2

    @pytest.mark.slow
    async def test_all_that_bounced_is_sent_again_when_somebody_asks(
        self, mailing: Mailing
    ) -> None:
        ada, eve = await mailing.caller(), await mailing.caller()
        bad = {**EMAIL, "to": ["bounce@example.test"]}
        batch = {"messages": [bad, bad, {**EMAIL, "to": ["ada@example.test"]}]}
        made = (await ada.http.post("/api/v1/emails/batch", json=batch)).json()["items"]
        other = (await eve.http.post("/api/v1/emails", json=bad)).json()
        for one, state in zip(made, ("bounced", "bounced", "accepted"), strict=True):
            await mailing.settled(ada, one["id"], state)
        await mailing.settled(eve, other["id"], "bounced")
        asked: dict[str, Any] = {"kind": "email.send", "limit": 1}
        counts = []
        while True:
            answer = await ada.http.post("/api/v1/jobs/retry", json=asked)
            assert answer.status_code == 200, answer.text
            counts.append((answer.json()["retried"], answer.json()["refused"]))
            asked["cursor"] = answer.json()["next_cursor"]
            if asked["cursor"] is None:
                break
        # Once each, though the first may have bounced again before the second was asked for.
        assert counts == [(1, 0), (1, 0)]
        emails: list[dict[str, Any]] = []
        for _ in range(200):
            emails = [(await ada.http.get(f"/api/v1/emails/{one['id']}")).json() for one in made]
            if [one["attempts"] for one in emails] == [2, 2, 1]:
                break
            await asyncio.sleep(0.05)
        assert [one["attempts"] for one in emails] == [2, 2, 1]
        assert (await eve.http.get(f"/api/v1/emails/{other['id']}")).json()["attempts"] == 1
        acts = [one.action for one in await ada.audit(mailing.platform, "job.retried")]
        assert acts == ["job.retried"] * 2

    @pytest.mark.parametrize(
        "wrong",
        [
            {"state": "succeeded"},
            {"limit": 0},
            {"limit": 201},
            {"cursor": "nonsense"},
            {"created_after": "yesterday"},
            {"ids": []},
        ],
    )
    async def test_what_is_no_part_of_a_list_is_refused(
        self, mailing: Mailing, wrong: dict[str, Any]
    ) -> None:
        ada = await mailing.caller()
        assert (await ada.http.post("/api/v1/jobs/retry", json=wrong)).status_code == 422

    @pytest.mark.slow
    async def test_a_deferral_is_retried_under_the_same_message_id(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        to = ["defer-once@example.test", "bob@example.test"]
        made = (await ada.http.post("/api/v1/emails", json={**EMAIL, "to": to})).json()
        email = await mailing.settled(ada, made["id"], "accepted")
        assert email["attempts"] == 2
        assert [step["event"] for step in email["timeline"]] == [
            "queued",
            "sending",
            "deferred",
            "accepted",
            "sending",
            "accepted",
        ] or [step["event"] for step in email["timeline"]] == [
            "queued",
            "sending",
            "accepted",
            "deferred",
            "sending",
            "accepted",
        ]
        copies = await asyncio.to_thread(read_copies, mailing.directory, made["message_id"])
        assert sorted(copy.envelope_to for copy in copies) == [
            ["bob@example.test"],
            ["defer-once@example.test"],
        ]

    @pytest.mark.slow
    async def test_deferrals_end_as_a_bounce(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        made = (
            await ada.http.post("/api/v1/emails", json={**EMAIL, "to": ["defer@example.test"]})
        ).json()
        email = await mailing.settled(ada, made["id"], "bounced")
        assert email["attempts"] > 1
        assert re.match(r"gave up after [\d.]+ seconds: 4.2.1 ", email["recipients"][0]["response"])

    async def test_a_cancelled_job_cancels_its_message(self, app: App) -> None:
        ada = await app.caller()
        made = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        answer = await ada.http.post(f"/api/v1/jobs/{made['job_id']}/cancel")
        assert answer.json()["state"] == "cancelled"
        email = (await ada.http.get(f"/api/v1/emails/{made['id']}")).json()
        assert email["state"] == "cancelled"
        again = await ada.http.post(f"/api/v1/jobs/{made['job_id']}/cancel")
        assert (again.status_code, again.json()["code"]) == (
            409,
            "orchestrator.job_not_cancellable",
        )


class TestPatience:
    async def test_no_conversation_of_the_standard_is_too_long(self, app: App) -> None:
        """A job that ends while the server still answers hands the message over again and again.

        What the server's silence ends is a step (RFC 5321, section 4.5.3.2), and the whole ends
        with the lease of a worker that died; so the job's own bound is beyond all of them.
        """
        ada = await app.caller()
        made = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        async with app.platform.database.read(Scope("t", ada.tenant.id)) as view:
            bound = await view.scalar(
                sa.select(JobRow.timeout_seconds).where(JobRow.id == made["job_id"])
            )
        settings = app.platform.of(EmailManager).settings
        steps = settings.smtp_timeouts
        opening = steps.connect_seconds + steps.greeting_seconds + 6 * steps.command_seconds
        naming = (1 + settings.max_recipients) * steps.command_seconds
        assert bound > opening + naming + steps.data_seconds + steps.end_of_data_seconds


class TestBusinessKey:
    async def test_the_second_use_answers_with_the_first(self, app: App) -> None:
        ada, bob = await app.caller(), await app.caller()
        keyed = {**EMAIL, "business_key": "invoice-1"}
        first = await ada.http.post("/api/v1/emails", json=keyed)
        second = await ada.http.post("/api/v1/emails", json={**keyed, "text": "Other"})
        assert (first.status_code, second.status_code) == (202, 200)
        assert first.json()["deduplicated"] is False
        assert second.json() == {**first.json(), "deduplicated": True}
        other = await bob.http.post("/api/v1/emails", json=keyed)
        assert (other.status_code, other.json()["id"] != first.json()["id"]) == (202, True)

    @pytest.mark.parametrize(
        ("change", "differs"),
        [
            ({"to": ["bob@example.test"]}, ["recipients"]),
            ({"to": [*EMAIL["to"], "bob@example.test"]}, ["recipients"]),
            ({"to": [], "bcc": EMAIL["to"]}, ["recipients"]),
            ({"subject": "Other"}, ["subject"]),
            ({"to": ["bob@example.test"], "subject": "Other"}, ["recipients", "subject"]),
        ],
    )
    async def test_another_message_is_refused_with_both_fingerprints(
        self, app: App, change: dict[str, object], differs: list[str]
    ) -> None:
        ada = await app.caller()
        keyed = {**EMAIL, "business_key": "undefined-shipped"}
        first = (await ada.http.post("/api/v1/emails", json=keyed)).json()
        other = {**keyed, **change}
        for answer in (
            await ada.http.post("/api/v1/emails", json=other),
            await ada.http.post("/api/v1/emails/batch", json={"messages": [EMAIL, other]}),
        ):
            told = answer.json()
            assert (answer.status_code, told["code"]) == (409, "email.business_key_conflict")
            assert (told["differs"], told["email_id"]) == (differs, first["id"])
            assert told["first_fingerprint"] != told["fingerprint"]
            assert "undefined-shipped" in told["detail"]
        assert len((await ada.http.get("/api/v1/emails")).json()["items"]) == 1

    async def test_another_message_gets_the_first_if_the_caller_chose_so(self, app: App) -> None:
        ada = await app.caller()
        keyed = {**EMAIL, "business_key": "k"}
        first = (await ada.http.post("/api/v1/emails", json=keyed)).json()
        other = {**keyed, "to": ["bob@example.test"], "on_key_conflict": "return_first"}
        answer = await ada.http.post("/api/v1/emails", json=other)
        assert (answer.status_code, answer.json()["id"]) == (200, first["id"])
        assert answer.json()["deduplicated"] is True

    async def test_the_same_people_in_another_spelling_are_the_same(self, app: App) -> None:
        ada = await app.caller()
        keyed = {**EMAIL, "to": ["a@example.test", "Bob <b@example.test>"], "business_key": "k"}
        await ada.http.post("/api/v1/emails", json=keyed)
        again = {**keyed, "to": ["B@example.test", "a@example.test", "b@example.test"]}
        assert (await ada.http.post("/api/v1/emails", json=again)).status_code == 200

    async def test_a_template_is_compared_by_the_subject_it_makes(self, app: App) -> None:
        ada = await app.caller("operator")
        path = "/api/v1/email-templates/shipped"
        await ada.http.put(path, json={"subject": "Order {{ n }}", "text": "{{ n }}"})
        keyed = {"to": EMAIL["to"], "template": "shipped", "business_key": "k"}
        send = "/api/v1/emails"
        statuses = [
            (await ada.http.post(send, json={**keyed, "variables": {"n": n}})).status_code
            for n in (1, 1, 2)
        ]
        assert statuses == [202, 200, 409]
        # Without its template nobody knows the subject; the people still count.
        await ada.http.delete(path)
        assert (await ada.http.post(send, json=keyed)).status_code == 200
        keyed["to"] = ["bob@example.test"]
        assert (await ada.http.post(send, json=keyed)).status_code == 409

    async def test_two_messages_of_one_batch_are_compared_too(self, app: App) -> None:
        ada = await app.caller()
        keyed = {**EMAIL, "business_key": "k"}
        other = {**keyed, "to": ["bob@example.test"]}
        batch = "/api/v1/emails/batch"
        answer = await ada.http.post(batch, json={"messages": [keyed, other]})
        assert (answer.status_code, answer.json()["differs"]) == (409, ["recipients"])
        chosen = {**other, "on_key_conflict": "return_first"}
        answer = await ada.http.post(batch, json={"messages": [keyed, chosen]})
        assert [one["deduplicated"] for one in answer.json()["items"]] == [False, True]

    async def test_of_concurrent_messages_to_different_people_one_wins(self, app: App) -> None:
        ada = await app.caller()
        answers = await asyncio.gather(
            *(
                ada.http.post(
                    "/api/v1/emails",
                    json={**EMAIL, "to": [f"a{n}@example.test"], "business_key": "k"},
                )
                for n in range(8)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
        assert len((await ada.http.get("/api/v1/jobs")).json()["items"]) == 1

    async def test_within_one_batch_and_across_batches(self, app: App) -> None:
        ada = await app.caller()
        keyed = {**EMAIL, "business_key": "k"}
        batch = {"messages": [keyed, EMAIL, keyed]}
        one = (await ada.http.post("/api/v1/emails/batch", json=batch)).json()["items"]
        two = (await ada.http.post("/api/v1/emails/batch", json=batch)).json()["items"]
        assert one[0]["id"] == one[2]["id"] == two[0]["id"] == two[2]["id"]
        assert len({one[1]["id"], two[1]["id"], one[0]["id"]}) == 3

    async def test_concurrent_requests_send_once(self, app: App) -> None:
        ada = await app.caller()
        keyed = {**EMAIL, "business_key": "k"}
        answers = await asyncio.gather(
            *(ada.http.post("/api/v1/emails", json=keyed) for _ in range(8))
        )
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
        assert len({answer.json()["id"] for answer in answers}) == 1
        jobs = (await ada.http.get("/api/v1/jobs")).json()["items"]
        assert len(jobs) == 1

    async def test_what_is_refused_harms_nobody_it_shares_a_commit_with(self, app: App) -> None:
        ada = await app.caller()
        bob = await app.caller(tenant=ada.tenant)
        # A known key would excuse the unknown template: so it is refused only while writing.
        refused = {"to": EMAIL["to"], "template": "nowhere", "business_key": "new"}
        bodies = [EMAIL, EMAIL, refused, {**EMAIL, "business_key": "k"}, EMAIL]
        answers = await asyncio.gather(
            *(who.http.post("/api/v1/emails", json=body) for body in bodies for who in (ada, bob))
        )
        statuses = [answer.status_code for answer in answers]
        assert statuses[4:6] == [404, 404]
        assert sorted(statuses[6:8]) == [200, 202]
        assert statuses[:4] + statuses[8:] == [202] * 6
        sent = {answer.json()["id"] for answer in answers if answer.status_code == 202}
        listed = (await ada.http.get("/api/v1/emails")).json()["items"]
        assert {item["id"] for item in listed} == sent
        assert len((await ada.http.get("/api/v1/jobs")).json()["items"]) == len(sent) == 7
        acts = await ada.audit(app.platform, "email.submitted")
        assert {act.target for act in acts} == {f"email:{each}" for each in sent}
        assert len(acts) == len(sent)
        by_target = {act.target: act.actor for act in acts}
        assert {by_target[f"email:{answers[place].json()['id']}"] for place in (0, 1)} == {
            f"client:{ada.client_id}",
            f"client:{bob.client_id}",
        }


class TestBeginDelivery:
    async def test_marks_who_is_being_sent_to(self, app: App) -> None:
        ada = await app.caller()
        body = {**EMAIL, "to": ["a@example.test"], "bcc": ["b@example.test"]}
        made = (await ada.http.post("/api/v1/emails", json=body)).json()
        async with app.platform.database.transaction(scope_of(ada.tenant.id)) as tx:
            emails = app.platform.of(EmailManager)
            route = (await emails.open_routes(tx))[None]
            (delivery,) = await emails.begin_delivery(tx, [made["id"]], route)
        assert set(delivery.pending.values()) == {"a@example.test", "b@example.test"}
        email = (await ada.http.get(f"/api/v1/emails/{made['id']}")).json()
        assert email["state"] == "sending"
        assert [one["state"] for one in email["recipients"]] == ["sending"] * 2

    async def test_leaves_out_what_is_large(self, app: App) -> None:
        """Forty of ten megabytes would be read while all other writers wait, and held for long."""
        ada = await app.caller()
        messages = [{**EMAIL, "text": "x" * size} for size in (10, 2**20)]
        batch = await ada.http.post("/api/v1/emails/batch", json={"messages": messages})
        small, large = (email["id"] for email in batch.json()["items"])
        emails, database = app.platform.of(EmailManager), app.platform.database
        async with database.transaction(scope_of(ada.tenant.id)) as tx:
            route = (await emails.open_routes(tx))[None]
            found = await emails.begin_delivery(tx, [small, large], route)
        contents = {one.email_id: one.content for one in found}
        assert contents[large] is None
        kept = contents[small]
        assert kept is not None
        assert kept.text == "x" * 10
        async with database.read(scope_of(ada.tenant.id)) as tx:
            open_content = await emails.find_content(tx, large)
        assert open_content().text == "x" * 2**20


class TestSealLarge:
    async def test_what_waited_over_a_rotation_is_sealed_again(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The walk that destroys the old key waits for writes, not for what waits before one."""
        ada = await app.caller()
        emails, security = app.platform.of(EmailManager), app.platform.of(SecurityManager)
        database, seal = app.platform.database, emails.seal_large

        async def rotated_meanwhile(*what: Any) -> Any:
            sealed = await seal(*what)
            async with database.transaction(scope_of(ada.tenant.id)) as tx:
                await security.rotate_data_key(tx)
            monkeypatch.setattr(database, "clock", lambda: system_clock() + timedelta(seconds=61))
            return sealed

        monkeypatch.setattr(emails, "seal_large", rotated_meanwhile)
        large = {**EMAIL, "text": "x" * 2**20}
        made = await ada.http.post("/api/v1/emails/batch", json={"messages": [large]})
        (email,) = made.json()["items"]
        async with database.read(scope_of(ada.tenant.id)) as tx:
            sealed = await tx.scalar(sa.select(ContentRow.sealed_content))
            old, new = await security.rotation.list_versions(tx)
            assert (await emails.find_content(tx, email["id"]))().text == "x" * 2**20
        assert (old.state, new.state) == ("old", "current")
        assert sealed[6:22] == UUID(new.id).bytes


class TestListEmails:
    async def test_pages_and_filters(self, app: App) -> None:
        ada = await app.caller()
        batch = {"messages": [{**EMAIL, "to": [f"a{n % 2}@example.test"]} for n in range(5)]}
        made = (await ada.http.post("/api/v1/emails/batch", json=batch)).json()["items"]
        seen: list[str] = []
        cursor = None
        while True:
            params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
            page = (await ada.http.get("/api/v1/emails", params=params)).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == [item["id"] for item in reversed(made)]
        found = await ada.http.get("/api/v1/emails", params={"recipient": "a1@example.test"})
        assert len(found.json()["items"]) == 2
        assert (await ada.http.get("/api/v1/emails", params={"state": "bounced"})).json()[
            "items"
        ] == []
        bad = await ada.http.get("/api/v1/emails", params={"cursor": "x"})
        assert (bad.status_code, bad.json()["code"]) == (422, "invalid_cursor")


class TestTemplates:
    async def test_saved_rendered_and_deleted(self, app: App) -> None:
        ada = await app.caller()
        body = {"subject": "Hi {{ name }}", "text": "Dear {{ name }}", "html": "<b>{{ name }}</b>"}
        assert (await ada.http.put("/api/v1/email-templates/hi", json=body)).status_code == 200
        answer = await ada.http.post(
            "/api/v1/emails",
            json={"to": ["a@example.test"], "template": "hi", "variables": {"name": "A<b>"}},
        )
        assert answer.json()["subject"] == "Hi A<b>"
        content = (await ada.http.get(f"/api/v1/emails/{answer.json()['id']}/content")).json()
        assert (content["text"], content["html"]) == ("Dear A<b>", "<b>A&lt;b&gt;</b>")
        missing = await ada.http.post(
            "/api/v1/emails", json={"to": ["a@example.test"], "template": "hi"}
        )
        assert (missing.status_code, missing.json()["code"]) == (422, "email.template_variables")
        assert (await ada.http.delete("/api/v1/email-templates/hi")).status_code == 204
        gone = await ada.http.get("/api/v1/email-templates/hi")
        assert (gone.status_code, gone.json()["code"]) == (404, "email.template_not_found")

    async def test_a_hostile_template_is_refused(self, app: App) -> None:
        ada = await app.caller()
        for text in ("{{ ''.__class__ }}", "{% for a in range(9) %}{% endfor %}", "{{ x( }}"):
            answer = await ada.http.put(
                "/api/v1/email-templates/bad", json={"subject": "s", "text": text}
            )
            assert (answer.status_code, answer.json()["code"]) == (422, "email.template_invalid")

    async def test_etag_guards_an_edit(self, app: App) -> None:
        ada = await app.caller()
        path = "/api/v1/email-templates/hi"
        first = await ada.http.put(path, json={"subject": "s", "text": "one"})
        tag = first.headers["etag"]
        assert (await ada.http.get(path)).headers["etag"] == tag
        for match in (tag, "*"):
            put = await ada.http.put(
                path, json={"subject": "s", "text": match}, headers={"If-Match": match}
            )
            assert put.status_code == 200
            assert put.headers["etag"] != tag
        for stale in (tag, '"of-nobody"', "no tag", 'W/"weak"'):
            put = await ada.http.put(
                path, json={"subject": "s", "text": "lost"}, headers={"If-Match": stale}
            )
            assert (put.status_code, put.json()["code"]) == (412, "email.template_changed")
        assert (await ada.http.get(path)).json()["text"] == "*"
        tag = (await ada.http.get(path)).headers["etag"]
        await ada.http.delete(path)
        gone = await ada.http.put(
            path, json={"subject": "s", "text": "t"}, headers={"If-Match": tag}
        )
        assert gone.status_code == 412

    async def test_pages_by_name(self, app: App) -> None:
        ada = await app.caller()
        wanted = [f"t{number}" for number in range(5)]
        for name in reversed(wanted):
            await ada.http.put(f"/api/v1/email-templates/{name}", json={"subject": "s", "text": ""})
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await ada.http.get("/api/v1/email-templates", params={"limit": 2, **cursor})
            page = answer.json()
            assert len(page["items"]) <= 2
            seen += [item["name"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == wanted
        for bad in ("", "x", "7", "7431=", "743", "ff", "0a", "7A"):
            refused = await ada.http.get("/api/v1/email-templates", params={"cursor": bad})
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_cursor")


class TestSettings:
    async def test_etag_guards_and_the_password_never_comes_back(self, app: App) -> None:
        ada = await app.caller()
        read = await ada.http.get("/api/v1/email-settings")
        assert read.headers["etag"] == '"v0"'
        body = {
            "from_address": "billing@acme.example",
            "from_name": "Acme",
            "smtp": {
                "host": "203.0.113.9",
                "port": 587,
                "username": "u",
                "password": "needle-secret",
                "tls": "starttls",
            },
        }
        refused = await ada.http.put("/api/v1/email-settings", json=body)
        assert refused.json()["code"] == "email.relay_not_allowed"
        body["smtp"]["host"] = "8.8.8.8"  # type: ignore[index]
        put = await ada.http.put("/api/v1/email-settings", json=body, headers={"If-Match": '"v0"'})
        assert put.headers["etag"] == '"v1"'
        assert "needle" not in put.text
        stale = await ada.http.put(
            "/api/v1/email-settings", json=body, headers={"If-Match": '"v0"'}
        )
        assert (stale.status_code, stale.json()["code"]) == (412, "email.settings_changed")
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as view:
            rows = await view.execute(sa.select(EmailSettingsRow.sealed_password))
            assert b"needle" not in bytes(rows.scalar_one())
        made = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        assert made["from"] == '"Acme" <billing@acme.example>'
        assert made["message_id"].endswith("@acme.example>")

    async def test_a_password_of_nobody_is_refused(self, app: App) -> None:
        ada = await app.caller()
        for nobody in ({}, {"username": None}):
            smtp = {"host": "8.8.8.8", "password": "needle-secret", **nobody}
            body = {"from_address": "billing@acme.example", "smtp": smtp}
            answer = await ada.http.put("/api/v1/email-settings", json=body)
            assert answer.status_code == 422
            assert [error["pointer"] for error in answer.json()["errors"]] == [
                "/body/smtp/password"
            ]
            assert "needle" not in answer.text
        assert (await ada.http.get("/api/v1/email-settings")).headers["etag"] == '"v0"'

    async def test_the_password_goes_with_its_user_name(self, app: App) -> None:
        ada = await app.caller()
        smtp: dict[str, object] = {"host": "8.8.8.8", "username": "u", "password": "p"}
        body = {"from_address": "billing@acme.example", "smtp": smtp}
        assert (await ada.http.put("/api/v1/email-settings", json=body)).status_code == 200
        for nobody in ({"username": None}, {}):
            body["smtp"] = {"host": "8.8.8.8", **nobody}
            assert (await ada.http.put("/api/v1/email-settings", json=body)).status_code == 200
            async with app.platform.database.read(scope_of(ada.tenant.id)) as view:
                row = await view.scalar(sa.select(EmailSettingsRow))
            assert (row.smtp_username, row.sealed_password) == (None, None)

    async def test_a_stored_password_of_nobody_bounces_no_mail(self, app: App) -> None:
        ada = await app.caller()
        smtp = {"host": "8.8.8.8", "username": "u", "password": "p"}
        body = {"from_address": "billing@acme.example", "smtp": smtp}
        assert (await ada.http.put("/api/v1/email-settings", json=body)).status_code == 200
        made = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        async with app.platform.database.transaction(scope_of(ada.tenant.id)) as tx:
            await tx.execute(sa.update(EmailSettingsRow).values(smtp_username=None))
        async with app.platform.database.transaction(scope_of(ada.tenant.id)) as tx:
            emails = app.platform.of(EmailManager)
            route = (await emails.open_routes(tx))[None]
            (delivery,) = await emails.begin_delivery(tx, [made["id"]], route)
        assert (delivery.relay.username, delivery.relay.password) == (None, None)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "::1", "169.254.1.1"])
    async def test_inner_networks_are_refused(self, app: App, host: str) -> None:
        ada = await app.caller()
        body = {"from_address": "a@acme.example", "smtp": {"host": host, "port": 25, "tls": "none"}}
        answer = await ada.http.put("/api/v1/email-settings", json=body)
        assert answer.json()["code"] == "email.relay_not_allowed"


def test_no_copy_lies_outside_the_sink(tmp_path: Path) -> None:
    assert read_copies(tmp_path, "<../../etc/passwd@x>") == []
