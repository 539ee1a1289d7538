"""What a message may say of itself: who it is from, when it goes, what it carries."""

import base64
import email
from datetime import timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from backend.core.clock import system_clock
from tests.support.mail_server import Rules, mail_server
from tests.support.mailing import Mailing, open_mailing
from tests.support.platform import App, TenantClient

BODY: dict[str, Any] = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
SETTINGS = {
    "from_address": "billing@acme.example",
    "from_name": "Acme",
    "senders": ["sales@acme.example", "@shop.acme.example"],
}
INVITATION = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nSUMMARY:Grüße\r\nEND:VCALENDAR\r\n"


async def put_settings(caller: TenantClient, **more: Any) -> dict[str, Any]:
    answer = await caller.http.put("/api/v1/email-settings", json=SETTINGS | more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def read(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


class TestSender:
    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            (None, "Acme <billing@acme.example>"),
            ("Billing@acme.example", "Billing@acme.example"),
            ("Sales <sales@acme.example>", "Sales <sales@acme.example>"),
            ("a@shop.acme.example", "a@shop.acme.example"),
        ],
    )
    async def test_is_one_that_the_settings_name(
        self, app: App, given: str | None, shown: str
    ) -> None:
        ada = await app.caller("owner")
        assert (await put_settings(ada))["senders"] == SETTINGS["senders"]
        answer = await ada.http.post("/api/v1/emails", json={**BODY, "from": given})
        assert answer.status_code == 202, answer.text
        assert answer.json()["from"].replace('"', "") == shown

    async def test_who_may_be_one_is_on_record_when_it_changes(self, app: App) -> None:
        ada = await app.caller("owner")
        await put_settings(ada)
        await put_settings(ada)
        await put_settings(ada, senders=["eve@acme.example"])
        saved = await ada.audit(app.platform, "email_settings.saved")
        changed = [record.data["changed"] for record in reversed(saved)]
        assert "senders" in changed[0]
        assert changed[1:] == [[], ["senders"]]

    @pytest.mark.parametrize(
        "given",
        ["eve@evil.example", "a@b.shop.acme.example", "a@xshop.acme.example", "a@acme.example"],
    )
    async def test_is_no_other(self, app: App, given: str) -> None:
        ada = await app.caller("owner")
        await put_settings(ada)
        answer = await ada.http.post("/api/v1/emails", json={**BODY, "from": given})
        assert (answer.status_code, answer.json()["code"]) == (422, "email.sender_not_allowed")
        assert (await ada.http.get("/api/v1/emails")).json()["items"] == []


class TestMessage:
    async def test_carries_what_it_was_given(self, database_url: str, tmp_path: Any) -> None:
        rules = Rules()
        async with (
            mail_server(rules) as port,
            open_mailing(database_url, tmp_path, f"smtp://127.0.0.1:{port}") as mailing,
        ):
            ada = await mailing.caller("owner")
            await put_settings(ada)
            await self.send(mailing, ada)
        (letter,) = rules.letters
        assert letter.sender == "sales@acme.example"
        message = read(letter.content)
        assert message["Message-ID"] == "<order-7@acme.example>"
        assert message["Reply-To"] == "a@acme.example, Bob <b@acme.example>"
        kinds = [part.get_content_type() for part in message.walk()]
        assert kinds == [
            "multipart/mixed",
            "multipart/alternative",
            "text/plain",
            "multipart/related",
            "text/html",
            "image/png",
            "text/calendar",
            "application/pdf",
        ]
        image = next(part for part in message.walk() if part.get_content_type() == "image/png")
        assert image["Content-ID"] == "<logo@acme>"
        assert image.get_content_disposition() == "inline"
        invitation = next(p for p in message.walk() if p.get_content_type() == "text/calendar")
        assert invitation.get_param("method") == "REQUEST"
        assert invitation.get_content().split() == INVITATION.split()

    @staticmethod
    async def send(mailing: Mailing, ada: TenantClient) -> None:
        data = base64.b64encode(b"data").decode()
        image = {"filename": "l.png", "content_type": "image/png", "content": data}
        answer = await ada.http.post(
            "/api/v1/emails",
            json={
                **BODY,
                "html": '<img src="cid:logo@acme">',
                "from": "sales@acme.example",
                "reply_to": ["a@acme.example", "Bob <b@acme.example>"],
                "message_id": "<order-7@acme.example>",
                "calendar": {"content": INVITATION},
                "attachments": [
                    image | {"content_id": "logo@acme"},
                    {"filename": "a.pdf", "content_type": "application/pdf", "content": data},
                ],
            },
        )
        assert answer.status_code == 202, answer.text
        made = answer.json()
        assert made["message_id"] == "<order-7@acme.example>"
        await mailing.settled(ada, made["id"], "accepted")
        content = (await ada.http.get(f"/api/v1/emails/{made['id']}/content")).json()
        assert [one["content_id"] for one in content["attachments"]] == ["logo@acme", None]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"message_id": "order-7"},
            {"message_id": "<a b@c>"},
            {"reply_to": []},
            {"reply_to": ["a@acme.example", "nobody"]},
            {"calendar": {"content": "hello"}},
            {"attachments": [{"filename": "a", "content": "SGVsbG8K", "content_id": "a"}]},
        ],
    )
    async def test_refuses_what_could_not_be_written(self, app: App, wrong: dict[str, Any]) -> None:
        ada = await app.caller()
        answer = await ada.http.post("/api/v1/emails", json=BODY | wrong)
        assert answer.status_code == 422, answer.text


class TestLater:
    @pytest.mark.slow
    async def test_is_not_handed_over_before_its_time(self, mailing: Mailing) -> None:
        ada = await mailing.caller()
        soon = system_clock() + timedelta(seconds=1.5)
        later = system_clock() + timedelta(days=3)
        made = [
            (await ada.http.post("/api/v1/emails", json={**BODY, "send_at": at.isoformat()})).json()
            for at in (soon, later)
        ]
        first = await mailing.settled(ada, made[0]["id"], "accepted")
        assert first["timeline"][-1]["at"] >= first["send_at"]
        second = (await ada.http.get(f"/api/v1/emails/{made[1]['id']}")).json()
        assert (second["state"], second["attempts"]) == ("queued", 0)
        cancelled = await ada.http.post(f"/api/v1/jobs/{made[1]['job_id']}/cancel")
        assert cancelled.status_code == 200

    async def test_is_at_most_a_year_later(self, app: App) -> None:
        ada = await app.caller()
        far = (system_clock() + timedelta(days=400)).isoformat()
        answer = await ada.http.post("/api/v1/emails", json={**BODY, "send_at": far})
        assert answer.status_code == 422
