"""How long mail is tried, and what a relay that refuses us does to it: nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.core.clock import system_clock
from backend.core.context import Scope
from backend.core.events import read_events
from backend.kit.smtp import Pacing
from backend.managers.email._values import RetryPolicy
from tests.support.mail_server import Rules, Talk, answers, mail_server
from tests.support.mailing import Mailing, open_mailing
from tests.support.platform import App, TenantClient

# Mail that is tried again and again, by the clock.
pytestmark = pytest.mark.slow

EMAIL: dict[str, Any] = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
QUICK = Pacing(recover_seconds=5, pause_seconds=0.2, most_pause_seconds=0.4, hold_seconds=0.2)

Open = Callable[..., AbstractAsyncContextManager[Mailing]]


@pytest.fixture
def opened(database_url: str, tmp_path: Path) -> Open:
    """Opens an installation whose mail server follows these rules."""

    @asynccontextmanager
    async def make(rules: Rules, **email: Any) -> AsyncIterator[Mailing]:
        given = {"pacing": QUICK, "allow_private_relays": True} | email
        async with (
            mail_server(rules) as port,
            open_mailing(database_url, tmp_path, f"smtp://127.0.0.1:{port}", **given) as mailing,
        ):
            mailing.port = port
            yield mailing

    return make


async def post(caller: TenantClient, **email: Any) -> dict[str, Any]:
    answer = await caller.http.post("/api/v1/emails", json={**EMAIL, **email})
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def kinds(mailing: Mailing, caller: TenantClient) -> list[str]:
    await mailing.sequence()
    async with mailing.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        return [event.kind for event in await read_events(tx, after=0, limit=1000)]


async def relay_of(caller: TenantClient) -> dict[str, Any]:
    answer = await caller.http.get("/api/v1/email-settings")
    found: dict[str, Any] = answer.json()["relay"]
    return found


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)


class TestPatience:
    async def test_is_in_time_and_not_in_tries(
        self, opened: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.email._email_settings._MOST_WAIT_SECONDS", 0.1)
        rules = answers("rcpt", *["450 4.2.0 greylisted"] * 12, "250 2.1.5 OK")()
        async with opened(rules, backoff_seconds=0.08) as mailing:
            ada = await mailing.caller()
            made = await post(ada)
            email = await mailing.settled(ada, made["id"], "accepted")
        assert email["attempts"] == 13

    async def test_begins_with_the_first_try(self, opened: Open) -> None:
        rules = answers("rcpt", "450 4.2.0 greylisted", "250 2.1.5 OK")()
        async with opened(rules, give_up_after_seconds=0.01) as mailing:
            ada = await mailing.caller()
            made = await post(ada)
            email = await mailing.settled(ada, made["id"], "accepted")
        assert email["attempts"] == 2

    async def test_a_delay_is_told_once(self, opened: Open) -> None:
        rules = answers("rcpt", *["450 4.2.0 greylisted"] * 6, "250 2.1.5 OK")()
        async with opened(rules, delay_notice_after_seconds=0.15) as mailing:
            ada = await mailing.caller()
            made = await post(ada)
            email = await mailing.settled(ada, made["id"], "accepted")
            steps = [step["event"] for step in email["timeline"]]
            assert steps.count("delayed") == 1
            assert (await kinds(mailing, ada)).count("email.delayed") == 1

    async def test_an_operators_retry_begins_anew(self, opened: Open) -> None:
        rules = answers("rcpt", "450 4.2.0 greylisted")()
        async with opened(rules, give_up_after_seconds=1) as mailing:
            ada = await mailing.caller()
            made = await post(ada)
            before = await mailing.settled(ada, made["id"], "bounced")
            await ada.http.post(f"/api/v1/jobs/{made['job_id']}/retry")
            await mailing.ended(ada, made["job_id"])
            after = await mailing.settled(ada, made["id"], "bounced")
        steps = [step["event"] for step in after["timeline"][len(before["timeline"]) :]]
        assert (steps[:2], steps[-2:]) == (["sending", "deferred"], ["sending", "bounced"])

    async def test_is_the_tenants_own(self, opened: Open) -> None:
        async with opened(answers("rcpt", "450 4.2.0 greylisted")()) as mailing:
            ada = await mailing.caller("owner")
            retry = {"waits_seconds": [60, 600], "give_up_after_seconds": 3600}
            body = {"from_address": "a@acme.example", "retry": retry}
            answer = await ada.http.put("/api/v1/email-settings", json=body)
            assert answer.json()["retry"] == retry | {"delay_notice_after_seconds": 14400}
            made = await post(ada)
            await mailing.settled(ada, made["id"], "deferred")
            job = (await ada.http.get(f"/api/v1/jobs/{made['job_id']}")).json()
            assert job["attempt"] == 1

    @pytest.mark.parametrize(
        ("elapsed", "wait"),
        [(0, 5), (4, 1), (5, 10), (6, 9), (15, 20), (34, 1), (35, 20), (60, 15)],
    )
    def test_tries_lie_on_a_grid(self, elapsed: float, wait: float) -> None:
        assert RetryPolicy((5, 10, 20), 100, 50).wait_after(elapsed) == wait


class TestRefusalOfUs:
    @pytest.mark.parametrize(
        ("hook", "said"),
        [
            ("greet", "554 5.7.1 no service for you"),
            ("hello", "504 5.5.2 localhost: need a full name"),
            ("mail", "550 5.4.5 daily limit"),
            ("rcpt", "553 5.7.1 Sender address rejected: not owned by user"),
        ],
    )
    async def test_pauses_the_relay_and_tells(self, opened: Open, hook: str, said: str) -> None:
        rules = answers(hook, said)()
        # So little patience that any other deferral would have bounced.
        async with opened(rules, give_up_after_seconds=0.05) as mailing:
            ada = await mailing.caller("owner")
            made = [await post(ada) for _ in range(5)]
            await until(lambda: told(mailing, ada, "relay.paused"))
            relay = await relay_of(ada)
            assert relay["state"] == "paused"
            (pause,) = relay["pauses"]
            assert (pause["kind"], pause["code"]) == ("refused", int(said[:3]))
            assert said[4:] in pause["reason"]
            await asyncio.sleep(0.5)  # longer than all patience, and several tries of the relay
            for one in made:
                email = (await ada.http.get(f"/api/v1/emails/{one['id']}")).json()
                assert email["state"] in {"deferred", "sending", "queued"}
                assert len(email["timeline"]) <= 3 + 2 * email["attempts"]
                # Also of those that were not tried, which wait for the same reason.
                waits = [one for one in email["recipients"] if one["state"] == "deferred"]
                assert all(said[4:] in (one["response"] or "") for one in waits), waits
            rules.play(**{hook: getattr(Rules(), hook)})
            for one in made:
                await mailing.settled(ada, one["id"], "accepted")
            await until(lambda: told(mailing, ada, "relay.resumed"))
            assert (await relay_of(ada))["state"] == "ok"
            found = await kinds(mailing, ada)
            assert (found.count("relay.paused"), found.count("relay.resumed")) == (1, 1)
            assert "email.bounced" not in found

    async def test_a_corrected_password_is_tried_at_once(self, opened: Open) -> None:
        rules = Rules()
        rules.extensions = ("AUTH PLAIN",)

        async def auth(_: Talk) -> str:
            return "235 2.7.0 OK" if "AHUAZ29vZA==" in rules.heard[-1] else "535 5.7.8 no"

        rules.play(auth=auth)
        async with opened(rules) as mailing:
            ada = await mailing.caller("owner")
            smtp = {"host": "127.0.0.1", "port": mailing.port, "tls": "none", "username": "u"}
            body = {"from_address": "a@acme.example", "smtp": {**smtp, "password": "bad"}}
            assert (await ada.http.put("/api/v1/email-settings", json=body)).status_code == 200
            made = await post(ada)
            await until(lambda: told(mailing, ada, "relay.paused"))
            body["smtp"] = {**smtp, "password": "good"}
            answer = await ada.http.put("/api/v1/email-settings", json=body)
            assert answer.json()["relay"]["state"] == "ok"
            await mailing.settled(ada, made["id"], "accepted")


async def told(mailing: Mailing, caller: TenantClient, kind: str) -> bool:
    return kind in await kinds(mailing, caller)


class TestResume:
    """An administrator mended what the relay refused, and does not wait for the pause to end."""

    LONG = Pacing(pause_seconds=600, most_pause_seconds=900)

    @pytest.fixture(autouse=True)
    def known_soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("backend.managers.email._relays._READ_SECONDS", 0.2)
        monkeypatch.setattr("backend.managers.email._email_settings.READ_BY_ALL_SECONDS", 0.3)

    async def test_tries_at_once_what_waits(self, opened: Open) -> None:
        rules = answers("mail", "550 5.4.5 daily limit")()
        async with opened(rules, pacing=self.LONG) as mailing:
            ada = await mailing.caller("owner")
            made = [await post(ada) for _ in range(3)]
            await until(lambda: told(mailing, ada, "relay.paused"))
            for one in made:
                await mailing.settled(ada, one["id"], "deferred")
            rules.play(mail=Rules().mail)
            answer = await ada.http.post("/api/v1/email-settings/relay/resume")
            assert (answer.status_code, answer.json()["state"]) == (200, "ok")
            for one in made:
                await mailing.settled(ada, one["id"], "accepted")
            (record,) = (
                await ada.http.get("/api/v1/audit", params={"action": "relay.resumed"})
            ).json()["items"]
            assert record["data"]["hastened"] == 3

    async def test_that_is_refused_again_pauses_again(self, opened: Open) -> None:
        rules = answers("mail", "550 5.4.5 daily limit")()
        async with opened(rules, pacing=self.LONG) as mailing:
            ada = await mailing.caller("owner")
            made = await post(ada)
            await mailing.settled(ada, made["id"], "deferred")
            await ada.http.post("/api/v1/email-settings/relay/resume")
            await until(lambda: paused(ada))
            assert (await mailing.settled(ada, made["id"], "deferred"))["attempts"] == 2

    async def test_by_saved_settings_tries_what_waits_too(self, opened: Open) -> None:
        rules = answers("mail", "553 5.7.1 not your address")()
        async with opened(rules, pacing=self.LONG) as mailing:
            ada = await mailing.caller("owner")
            made = await post(ada)
            await until(lambda: paused(ada))
            rules.play(mail=Rules().mail)
            await ada.http.put("/api/v1/email-settings", json={"from_address": "b@acme.example"})
            await mailing.settled(ada, made["id"], "accepted")

    async def test_leaves_alone_what_is_to_go_later(self, opened: Open) -> None:
        async with opened(Rules()) as mailing:
            ada = await mailing.caller("owner")
            at = (system_clock() + timedelta(hours=1)).isoformat()
            made = await post(ada, send_at=at)
            before = (await ada.http.get(f"/api/v1/jobs/{made['job_id']}")).json()
            await ada.http.post("/api/v1/email-settings/relay/resume")
            after = (await ada.http.get(f"/api/v1/jobs/{made['job_id']}")).json()
            assert (after["due_at"], after["state"]) == (before["due_at"], "ready")


async def paused(caller: TenantClient) -> bool:
    return (await relay_of(caller))["state"] == "paused"


class TestRelayState:
    async def test_shows_when_it_last_took_a_message_of_the_tenant(self, opened: Open) -> None:
        async with opened(Rules()) as mailing:
            ada, bob = await mailing.caller("owner"), await mailing.caller("owner")
            assert (await relay_of(ada))["accepted_at"] is None
            email = await mailing.settled(ada, (await post(ada))["id"], "accepted")
            await until(lambda: has_accepted(ada))
            shown = (await relay_of(ada))["accepted_at"]
            apart = datetime.fromisoformat(shown) - datetime.fromisoformat(email["accepted_at"])
            assert abs(apart) < timedelta(minutes=1)
            assert (await relay_of(bob))["accepted_at"] is None
            body = {"from_address": "b@acme.example"}
            answer = await ada.http.put("/api/v1/email-settings", json=body)
            assert answer.json()["relay"]["accepted_at"] == shown

    async def test_shows_what_was_learned(self, opened: Open) -> None:
        rules = Rules()

        async def rcpt(talk: Talk, _: str) -> str:
            return "452 4.5.3 enough" if len(talk.to) >= 10 else "250 OK"

        rules.play(rcpt=rcpt)
        async with opened(rules) as mailing:
            ada = await mailing.caller()
            made = await post(ada, to=[f"{n}@example.test" for n in range(25)])
            email = await mailing.settled(ada, made["id"], "accepted")
            assert email["attempts"] == 1
            await until(lambda: slowed(ada))
            relay = await relay_of(ada)
            assert relay["limits"]["recipients_per_transaction"] == 10
            assert relay["name"] == f"127.0.0.1:{mailing.port}"

    async def test_what_the_tenant_sets_holds(self, opened: Open) -> None:
        rules = Rules()
        async with opened(rules) as mailing:
            ada = await mailing.caller("owner")
            smtp = {
                "host": "127.0.0.1",
                "port": mailing.port,
                "tls": "none",
                "ehlo_name": "mail.acme.example",
                "messages_per_session": 2,
                "connections": 1,
            }
            body = {"from_address": "a@acme.example", "smtp": smtp}
            answer = await ada.http.put("/api/v1/email-settings", json=body)
            assert answer.status_code == 200, answer.text
            shown = (await ada.http.get("/api/v1/email-settings")).json()
            assert {name: shown["smtp"][name] for name in smtp} == smtp
            assert shown["relay"]["limits"]["messages_per_session"] == 2
            for made in [await post(ada) for _ in range(5)]:
                await mailing.settled(ada, made["id"], "accepted")
        assert "EHLO mail.acme.example" in rules.heard
        assert rules.most_open == 1
        assert rules.sessions >= 3

    @pytest.mark.parametrize("certificate", ["", "mine", "Grüße"])
    async def test_a_certificate_that_is_none_is_refused(self, app: App, certificate: str) -> None:
        ada = await app.caller("owner")
        smtp = {"host": "192.0.32.10", "ca_certificate": certificate}
        body = {"from_address": "a@acme.example", "smtp": smtp}
        answer = await ada.http.put("/api/v1/email-settings", json=body)
        assert answer.status_code == 422, answer.text
        (found,) = answer.json()["errors"]
        assert found["pointer"] == "/body/smtp/ca_certificate"


async def slowed(caller: TenantClient) -> bool:
    return (await relay_of(caller))["state"] == "slowed"


class TestTarpit:
    async def test_of_one_tenant_holds_up_no_other(self, opened: Open) -> None:
        silent = Rules()

        async def hang(_: Talk) -> str:
            await asyncio.sleep(300)
            return ""

        silent.play(greet=hang)
        async with mail_server(silent) as tarpit, opened(Rules()) as mailing:
            ada, eve = await mailing.caller("owner"), await mailing.caller()
            smtp = {"host": "127.0.0.1", "port": tarpit, "tls": "none"}
            body = {"from_address": "a@acme.example", "smtp": smtp}
            assert (await ada.http.put("/api/v1/email-settings", json=body)).status_code == 200
            batch = {"messages": [EMAIL] * 400}
            answer = await ada.http.post("/api/v1/emails/batch", json=batch)
            assert answer.status_code == 202
            await until(lambda: len(silent.open) >= 2)
            await until(lambda: mailing.worker.running < 50)
            made = await post(eve)
            await mailing.settled(eve, made["id"], "accepted")
            assert silent.most_open <= 2
            state = (await ada.http.get("/api/v1/emails?state=deferred")).json()
            assert state["items"]


async def has_accepted(caller: TenantClient) -> bool:
    return (await relay_of(caller))["accepted_at"] is not None
