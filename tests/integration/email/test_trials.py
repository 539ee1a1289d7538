"""A test message over the API: what goes out, what is told, what is kept of it, and who may not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backend.core.context import Scope
from backend.managers.email import EmailManager
from tests.support.mail_server import Rules, mail_server
from tests.support.mailing import Mailing, open_mailing
from tests.support.platform import TenantClient

SETTINGS = {"from_address": "billing@acme.example", "from_name": "Acme"}
TEST = "/api/v1/email-settings/test"
PASSWORD = "correct horse battery"


@pytest.fixture
def rules() -> Rules:
    """What the platform's mail server and the tenant's answer by."""
    return Rules()


@pytest_asyncio.fixture
async def mailing(database_url: str, tmp_path: Path, rules: Rules):
    """An application that lets tenants name servers on loopback."""
    async with (
        mail_server(rules) as port,
        open_mailing(
            database_url, tmp_path, f"smtp://127.0.0.1:{port}", allow_private_relays=True
        ) as made,
    ):
        made.port = port
        yield made


def own(mailing: Mailing, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": mailing.port, "tls": "none", **more}


async def tried(caller: TenantClient, **body: Any) -> dict[str, Any]:
    answer = await caller.http.post(TEST, json={"to": "ada@example.test", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


class TestTestMessage:
    async def test_goes_out_as_mail_would_and_tells_every_step(self, mailing, rules) -> None:
        ada = await mailing.caller()
        await ada.http.put("/api/v1/email-settings", json=SETTINGS)
        found = await tried(ada)
        assert (found["result"], found["step"], found["advice"][:4]) == (
            "accepted",
            "message",
            "Look",
        )
        assert (
            found["summary"] == f"127.0.0.1:{mailing.port} took the message for ada@example.test."
        )
        assert (found["sender"], found["to"]) == (
            '"Acme" <billing@acme.example>',
            "ada@example.test",
        )
        assert [step["name"] for step in found["steps"]][-3:] == ["data", "message", "quit"]
        (letter,) = rules.letters
        assert (letter.sender, letter.to) == ("billing@acme.example", ("ada@example.test",))
        assert f"Message-ID: {found['message_id']}".encode() in letter.content
        assert b"Auto-Submitted: auto-generated" in letter.content
        (record,) = await ada.audit(mailing.platform, "email_settings.tested")
        assert record.data == {
            "relay": found["server"],
            "sender": "billing@acme.example",
            "to": "ada@example.test",
            "message_id": found["message_id"],
            "saved": True,
        }
        assert (await ada.http.get("/api/v1/emails")).json()["items"] == []

    async def test_tries_settings_that_are_not_saved(self, mailing, rules) -> None:
        rules.extensions = ("AUTH PLAIN",)
        ada = await mailing.caller()
        smtp = own(mailing, username="ada", password=PASSWORD)
        found = await tried(ada, settings={**SETTINGS, "smtp": smtp})
        assert found["result"] == "accepted"
        assert found["sender"] == '"Acme" <billing@acme.example>'
        assert PASSWORD not in str(found)
        saved = (await ada.http.get("/api/v1/email-settings")).json()
        assert saved["smtp"] is None
        assert saved["from_address"] != "billing@acme.example"
        (record,) = await ada.audit(mailing.platform, "email_settings.tested")
        assert record.data["saved"] is False

    async def test_uses_the_stored_password_for_the_same_server_alone(self, mailing, rules) -> None:
        rules.extensions = ("AUTH PLAIN",)
        ada = await mailing.caller()
        smtp = own(mailing, username="ada", password=PASSWORD)
        await ada.http.put("/api/v1/email-settings", json={**SETTINGS, "smtp": smtp})
        del smtp["password"]
        await tried(ada, settings={**SETTINGS, "smtp": smtp})
        stored = [line for line in rules.heard if line.startswith("AUTH")]
        assert len(stored) == 1
        async with mail_server(rules) as elsewhere:
            await tried(ada, settings={**SETTINGS, "smtp": {**smtp, "port": elsewhere}})
        there = [line for line in rules.heard if line.startswith("AUTH")][1:]
        assert there != stored
        assert there == ["AUTH PLAIN AGFkYQA="]

    @pytest.mark.parametrize(
        ("hook", "said", "summary"),
        [
            ("auth", "535 5.7.8 wrong", "refuses the log-in."),
            ("mail", "553 5.7.1 not yours", "does not take mail from billing@acme.example."),
            ("rcpt", "550 5.1.1 nobody", "refuses the recipient ada@example.test."),
            ("end", "554 5.7.1 spam", "refuses the message itself."),
            ("greet", "554 5.7.1 blocked using a blocklist", "refuses us, and not this message"),
            ("rcpt", "451 4.7.1 greylisted", "does not take the message now, at the step RCPT TO."),
        ],
    )
    async def test_says_in_words_what_refuses_us(
        self, mailing, rules, hook: str, said: str, summary: str
    ) -> None:
        rules.extensions = ("AUTH PLAIN",)

        async def answer(*_: object) -> str:
            return said

        rules.play(**{hook: answer})
        ada = await mailing.caller()
        smtp = own(mailing, username="ada", password=PASSWORD)
        found = await tried(ada, settings={**SETTINGS, "smtp": smtp})
        assert found["summary"].startswith(f"127.0.0.1:{mailing.port} {summary}")
        assert found["advice"]
        assert found["code"] == int(said[:3])

    async def test_is_told_again_to_whom_asks_under_the_same_key(self, mailing, rules) -> None:
        ada = await mailing.caller()
        body = {"to": "ada@example.test"}
        keyed = {"Idempotency-Key": "once"}
        first = await ada.http.post(TEST, json=body, headers=keyed)
        again = await ada.http.post(TEST, json=body, headers=keyed)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.content == first.content
        assert len(rules.letters) == 1


class TestRefused:
    async def test_one_at_a_time_for_each_tenant(self, mailing, rules) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def wait(*_: object) -> str:
            begun.set()
            await go_on.wait()
            return "250 2.1.0 OK"

        rules.play(mail=wait)
        ada, bob = await mailing.caller(), await mailing.caller()
        first = asyncio.ensure_future(tried(ada))
        await begun.wait()
        second = await ada.http.post(TEST, json={"to": "ada@example.test"})
        assert (second.status_code, second.json()["code"]) == (409, "email.test_running")
        others = asyncio.ensure_future(tried(bob))
        go_on.set()
        assert (await first)["result"] == (await others)["result"] == "accepted"
        assert (await tried(ada))["result"] == "accepted"
        assert len(await ada.audit(mailing.platform, "email_settings.tested")) == 2

    async def test_holds_no_transaction_while_the_server_thinks(self, mailing, rules) -> None:
        """Somebody else writes meanwhile, on SQLite too, which has one writer."""
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def wait(*_: object) -> str:
            begun.set()
            await go_on.wait()
            return "250 2.1.0 OK"

        rules.play(mail=wait)
        ada = await mailing.caller()
        running = asyncio.ensure_future(tried(ada))
        await begun.wait()
        saved = await ada.http.put("/api/v1/email-settings", json=SETTINGS)
        assert saved.status_code == 200
        go_on.set()
        assert (await running)["result"] == "accepted"

    async def test_a_suppressed_address_is_not_mailed(self, mailing, rules) -> None:
        ada = await mailing.caller()
        await ada.http.post("/api/v1/suppressions", json={"address": "Ada@example.test"})
        answer = await ada.http.post(TEST, json={"to": "ada@example.test"})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/body/to"
        assert rules.sessions == 0

    @pytest.mark.parametrize(
        ("settings", "pointer"),
        [
            ({"from_address": "nobody"}, "/body/settings/from_address"),
            ({"keep_days": 30_000}, "/body/settings/keep_days"),
            ({"smtp": {"host": "a b"}}, "/body/settings/smtp/host"),
        ],
    )
    async def test_what_could_not_be_saved_is_not_tried(
        self, mailing, rules, settings: dict[str, Any], pointer: str
    ) -> None:
        ada = await mailing.caller()
        body = {"to": "ada@example.test", "settings": {**SETTINGS, **settings}}
        answer = await ada.http.post(TEST, json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == pointer
        assert rules.sessions == 0
        assert await ada.audit(mailing.platform, "email_settings.tested") == []

    @pytest.mark.parametrize("role", ["operator", "viewer", "workflow"])
    async def test_who_may_not_change_the_settings_may_not_test_them(
        self, mailing, rules, role: str
    ) -> None:
        bob = await mailing.caller(role)
        answer = await bob.http.post(TEST, json={"to": "ada@example.test"})
        assert answer.status_code == 403
        assert rules.sessions == 0

    async def test_eleven_in_a_row_are_too_many(self, mailing) -> None:
        ada = await mailing.caller()
        body = {"to": "nobody"}
        said = [(await ada.http.post(TEST, json=body)).status_code for _ in range(11)]
        assert said == [422] * 10 + [429]


class TestOurOwnNetwork:
    async def test_is_not_connected_to(self, app) -> None:
        rules = Rules()
        ada = await app.caller()
        async with mail_server(rules) as port:
            smtp = {"host": "127.0.0.1", "port": port, "tls": "none"}
            body = {"to": "ada@example.test", "settings": {**SETTINGS, "smtp": smtp}}
            answer = await ada.http.post(TEST, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "email.relay_not_allowed")
        assert answer.json()["errors"][0]["pointer"] == "/body/settings/smtp/host"
        assert rules.sessions == 0

    async def test_is_not_connected_to_by_what_was_saved_when_it_was_allowed(self, app) -> None:
        """A name can be pointed elsewhere after it was saved."""
        rules = Rules()
        ada = await app.caller()
        emails = app.platform.of(EmailManager)
        async with mail_server(rules) as port:
            smtp = {"host": "mail.nowhere.invalid", "port": port, "tls": "none"}
            await ada.http.put("/api/v1/email-settings", json={**SETTINGS, "smtp": smtp})
            async with app.platform.database.transaction(Scope("t", ada.tenant.id)) as tx:
                trial = await emails.trials.begin(tx, "ada@example.test", None)
            assert trial.relay.public_only
            assert trial.relay.tenant_id == ada.tenant.id
        assert rules.sessions == 0
