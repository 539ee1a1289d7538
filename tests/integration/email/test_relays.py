"""Mail servers that messages name: one act takes several ways, and each has its own state."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.core.context import Scope
from backend.kit.smtp import ALL_SENDERS, Flow, Pacing, SmtpRelay
from backend.managers.email import EmailManager
from backend.managers.email._named_relays import MAX_RELAYS
from backend.managers.email._relays import RelayRecords
from tests.support.mail_server import Rules, answers, mail_server
from tests.support.mailing import Mailing, open_mailing
from tests.support.platform import App, TenantClient

EMAIL: dict[str, Any] = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
LONG = Pacing(pause_seconds=600, most_pause_seconds=900, hold_seconds=0.2)
RELAYS = "/api/v1/email-relays"

Open = Callable[..., AbstractAsyncContextManager[tuple[Mailing, int]]]


@pytest.fixture
def opened(database_url: str, tmp_path: Path) -> Open:
    """Opens an installation with a mail server of the platform, and one for relays: its port."""

    @asynccontextmanager
    async def make(usual: Rules, other: Rules) -> AsyncIterator[tuple[Mailing, int]]:
        more: dict[str, Any] = {"pacing": LONG, "allow_private_relays": True}
        async with (
            mail_server(usual) as first,
            mail_server(other) as second,
            open_mailing(database_url, tmp_path, f"smtp://127.0.0.1:{first}", **more) as mailing,
        ):
            yield mailing, second

    return make


def relay_at(port: int, **more: Any) -> dict[str, Any]:
    return {"smtp": {"host": "127.0.0.1", "port": port, "tls": "none"}, **more}


async def save(caller: TenantClient, name: str, port: int, **more: Any) -> dict[str, Any]:
    answer = await caller.http.put(f"{RELAYS}/{name}", json=relay_at(port, **more))
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def post(caller: TenantClient, **email: Any) -> dict[str, Any]:
    answer = await caller.http.post("/api/v1/emails", json={**EMAIL, **email})
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    return made


class TestSend:
    @pytest.mark.slow
    async def test_messages_of_one_batch_take_different_ways(self, opened: Open) -> None:
        usual, other = Rules(), Rules()
        async with opened(usual, other) as (mailing, port):
            ada = await mailing.caller("owner")
            await save(ada, "news", port, from_address="news@acme.example")
            await save(ada, "plain", port)
            messages = [
                {**EMAIL, "to": [f"{number}@example.test"], **more}
                for number, more in enumerate(
                    [{}, {"relay": "news"}, {"relay": "plain"}, {"relay": "news"}]
                )
            ]
            answer = await ada.http.post("/api/v1/emails/batch", json={"messages": messages})
            made = answer.json()["items"]
            for one in made:
                await mailing.settled(ada, one["id"], "accepted")
            found = {one.to[0]: one.sender for one in usual.letters}
            assert found.keys() == {"0@example.test"}
            sent = {one.to[0]: one.sender for one in other.letters}
            tenants_own = found["0@example.test"]
            assert sent == {
                "1@example.test": "news@acme.example",
                "2@example.test": tenants_own,
                "3@example.test": "news@acme.example",
            }
            email = (await ada.http.get(f"/api/v1/emails/{made[1]['id']}")).json()
            assert email["relay"] == "news"
            (sending,) = (one for one in email["timeline"] if one["event"] == "sending")
            assert sending["detail"] == f"news@127.0.0.1:{port}"

    async def test_of_a_template_too(self, opened: Open) -> None:
        usual, other = Rules(), Rules()
        async with opened(usual, other) as (mailing, port):
            ada = await mailing.caller("owner")
            await save(ada, "news", port)
            text = {"subject": "Hi {{ who }}", "text": "There"}
            await ada.http.put("/api/v1/email-templates/hi", json=text)
            email = {"to": ["ada@example.test"], "template": "hi", "variables": {"who": "Ada"}}
            answer = await ada.http.post("/api/v1/emails", json={**email, "relay": "news"})
            await mailing.settled(ada, answer.json()["id"], "accepted")
            assert (len(usual.letters), len(other.letters)) == (0, 1)

    @pytest.mark.slow
    async def test_one_that_is_paused_holds_up_no_other(self, opened: Open) -> None:
        usual, other = Rules(), answers("mail", "550 5.4.5 daily limit")()
        async with opened(usual, other) as (mailing, port):
            ada = await mailing.caller("owner")
            await save(ada, "news", port)
            waits = await post(ada, relay="news")
            await mailing.settled(ada, waits["id"], "deferred")
            # The same server, another log-in: what it says to one is not said to the other.
            await save(ada, "also", port)
            (also, news) = (await ada.http.get(RELAYS)).json()["items"]
            assert (also["relay"]["state"], news["relay"]["state"]) == ("ok", "paused")
            (pause,) = news["relay"]["pauses"]
            assert (pause["code"], pause["reason"]) == (550, "5.4.5 daily limit")
            both = [await post(ada), await post(ada, relay="news")]
            await mailing.settled(ada, both[0]["id"], "accepted")
            await mailing.settled(ada, both[1]["id"], "deferred")

    async def test_by_a_name_that_nobody_has_is_refused(self, app: App) -> None:
        ada = await app.caller("owner")
        answer = await ada.http.post("/api/v1/emails", json={**EMAIL, "relay": "none"})
        assert (answer.status_code, answer.json()["code"]) == (422, "email.relay_unknown")
        assert answer.json()["errors"][0]["pointer"] == "/body/relay"
        messages = {"messages": [EMAIL, {**EMAIL, "relay": "none"}]}
        answer = await ada.http.post("/api/v1/emails/batch", json=messages)
        assert answer.json()["errors"][0]["pointer"] == "/body/messages/1/relay"
        assert (await ada.http.get("/api/v1/emails")).json()["items"] == []

    async def test_by_another_tenants_is_refused(self, opened: Open) -> None:
        async with opened(Rules(), Rules()) as (mailing, port):
            ada, bob = await mailing.caller("owner"), await mailing.caller("owner")
            await save(ada, "news", port)
            answer = await bob.http.post("/api/v1/emails", json={**EMAIL, "relay": "news"})
            assert answer.json()["code"] == "email.relay_unknown"
            assert (await bob.http.get(f"{RELAYS}/news")).status_code == 404
            assert (await bob.http.delete(f"{RELAYS}/news")).status_code == 404

    @pytest.mark.slow
    async def test_may_be_from_its_own_address_and_the_tenants_senders(self, opened: Open) -> None:
        usual, other = Rules(), Rules()
        async with opened(usual, other) as (mailing, port):
            ada = await mailing.caller("owner")
            settings = {"from_address": "a@acme.example", "senders": ["@shop.acme.example"]}
            await ada.http.put("/api/v1/email-settings", json=settings)
            await save(ada, "news", port, from_address="news@acme.example")
            for sender in ("news@acme.example", "a@acme.example", "x@shop.acme.example"):
                made = await post(ada, relay="news", **{"from": sender})
                await mailing.settled(ada, made["id"], "accepted")
            # The relay's own address is the relay's.
            for email in ({"from": "news@acme.example"}, {"relay": "news", "from": "b@b.example"}):
                answer = await ada.http.post("/api/v1/emails", json={**EMAIL, **email})
                assert answer.json()["code"] == "email.sender_not_allowed"
            assert [one.sender for one in other.letters] == [
                "news@acme.example",
                "a@acme.example",
                "x@shop.acme.example",
            ]


class TestPut:
    async def test_etag_guards_and_the_password_never_comes_back(self, opened: Open) -> None:
        rules = Rules()
        rules.extensions = ("AUTH PLAIN",)
        async with opened(Rules(), rules) as (mailing, port):
            ada = await mailing.caller("owner")
            body = relay_at(port)
            body["smtp"] |= {"username": "u", "password": "hidden-word"}
            first = await ada.http.put(f"{RELAYS}/news", json=body)
            assert "hidden-word" not in first.text
            tag = {"If-Match": first.headers["etag"]}
            # The same server without a password keeps it.
            del body["smtp"]["password"]
            assert (await ada.http.put(f"{RELAYS}/news", json=body, headers=tag)).status_code == 200
            stale = await ada.http.put(f"{RELAYS}/news", json=body, headers=tag)
            assert (stale.status_code, stale.json()["code"]) == (412, "email.relay_changed")
            made = await post(ada, relay="news")
            await mailing.settled(ada, made["id"], "accepted")
            assert "AUTH PLAIN AHUAaGlkZGVuLXdvcmQ=" in rules.heard
            # Another server is not told it.
            body["smtp"]["host"] = "localhost"
            await ada.http.put(f"{RELAYS}/news", json=body)
            rules.heard.clear()
            assert (await ada.http.post(f"{RELAYS}/news/test")).json()["works"]
            assert not any("AHUAaGlkZGVuLXdvcmQ=" in line for line in rules.heard)
            records = (
                await ada.http.get("/api/v1/audit", params={"action": "email_relay.saved"})
            ).json()["items"]
            assert records[0]["data"]["changed"] == ["sealed_password", "smtp_host"]

    @pytest.mark.slow
    async def test_tries_anew_what_waits(
        self, opened: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.email._relays._READ_SECONDS", 0.2)
        monkeypatch.setattr("backend.managers.email._email_settings.READ_BY_ALL_SECONDS", 0.3)
        rules = answers("mail", "550 5.4.5 daily limit")()
        async with opened(Rules(), rules) as (mailing, port):
            ada = await mailing.caller("owner")
            await save(ada, "news", port)
            made = await post(ada, relay="news")
            await mailing.settled(ada, made["id"], "deferred")
            rules.play(mail=Rules().mail)
            saved = await save(ada, "news", port, from_address="n@acme.example")
            assert saved["relay"]["state"] == "ok"
            await mailing.settled(ada, made["id"], "accepted")

    async def test_inner_networks_are_refused(self, app: App) -> None:
        ada = await app.caller("owner")
        answer = await ada.http.put(f"{RELAYS}/inner", json=relay_at(25))
        assert (answer.status_code, answer.json()["code"]) == (422, "email.relay_not_allowed")

    @pytest.mark.slow
    async def test_a_tenant_has_so_many(self, app: App) -> None:
        ada = await app.caller("owner")
        body = {"smtp": {"host": "8.8.8.8"}}
        for number in range(MAX_RELAYS):
            answer = await ada.http.put(f"{RELAYS}/r{number}", json=body)
            assert answer.status_code == 200, answer.text
        answer = await ada.http.put(f"{RELAYS}/more", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "email.too_many_relays")
        assert (await ada.http.put(f"{RELAYS}/r0", json=body)).status_code == 200

    async def test_is_for_administrators(self, app: App) -> None:
        for role, status in (("workflow", 403), ("operator", 403), ("admin", 404)):
            caller = await app.caller(role)
            assert (await caller.http.delete(f"{RELAYS}/news")).status_code == status
            assert (await caller.http.get(RELAYS)).status_code == 200


class TestDelete:
    @pytest.mark.slow
    async def test_is_refused_while_messages_are_open_for_it(self, opened: Open) -> None:
        rules = answers("mail", "550 5.4.5 daily limit")()
        async with opened(Rules(), rules) as (mailing, port):
            ada = await mailing.caller("owner")
            await save(ada, "news", port)
            made = await post(ada, relay="news")
            await mailing.settled(ada, made["id"], "deferred")
            answer = await ada.http.delete(f"{RELAYS}/news")
            assert (answer.status_code, answer.json()["code"]) == (409, "email.relay_in_use")
            await ada.http.post(f"/api/v1/jobs/{made['job_id']}/cancel")
            await mailing.settled(ada, made["id"], "cancelled")
            assert (await ada.http.delete(f"{RELAYS}/news")).status_code == 204
            assert (await ada.http.get(RELAYS)).json()["items"] == []
            # What went by it keeps its name, and cannot go once more.
            email = (await ada.http.get(f"/api/v1/emails/{made['id']}")).json()
            assert email["relay"] == "news"
            answer = await ada.http.post(f"/api/v1/jobs/{made['job_id']}/retry")
            assert answer.status_code == 409, answer.text
            assert "no relay 'news'" in answer.json()["detail"]
            # One of the same name has another past.
            assert (await save(ada, "news", port))["relay"]["state"] == "ok"

    @pytest.mark.slow
    async def test_loses_to_a_message_that_is_being_accepted(self, opened: Open) -> None:
        async with opened(Rules(), answers("mail", "450 4.2.0 later")()) as (mailing, port):
            ada = await mailing.caller("owner")
            for number in range(10):
                name = f"r{number}"
                await save(ada, name, port)
                sent, gone = await asyncio.gather(
                    ada.http.post("/api/v1/emails", json={**EMAIL, "relay": name}),
                    ada.http.delete(f"{RELAYS}/{name}"),
                )
                assert (sent.status_code, gone.status_code) in {(202, 409), (422, 204)}


class TestTest:
    async def test_says_what_the_server_says(self, opened: Open) -> None:
        rules = Rules()
        async with opened(Rules(), rules) as (mailing, port):
            ada = await mailing.caller("owner")
            await save(ada, "news", port)
            found = (await ada.http.post(f"{RELAYS}/news/test")).json()
            assert found["works"]
            assert found["milliseconds"] >= 0
            rules.play(greet=answers("greet", "554 5.7.1 no service for you")().greet)
            found = (await ada.http.post(f"{RELAYS}/news/test")).json()
            assert (found["works"], found["milliseconds"]) == (False, None)
            assert "no service for you" in found["detail"]
            assert rules.letters == []
            assert (await ada.http.post(f"{RELAYS}/none/test")).status_code == 404

    async def test_is_one_at_a_time(self, opened: Open) -> None:
        rules, asked, go_on = Rules(), asyncio.Event(), asyncio.Event()

        async def slow(_: object) -> str:
            asked.set()
            await go_on.wait()
            return "220 part.test ESMTP"

        rules.play(greet=slow)
        async with opened(Rules(), rules) as (mailing, port):
            ada = await mailing.caller("owner")
            await save(ada, "news", port)
            first = asyncio.create_task(ada.http.post(f"{RELAYS}/news/test"))
            await asked.wait()
            second = await ada.http.post(f"{RELAYS}/news/test")
            assert (second.status_code, second.json()["code"]) == (409, "email.test_running")
            go_on.set()
            assert (await first).json()["works"]


class TestResume:
    @pytest.mark.slow
    async def test_tries_at_once_what_waits_for_this_one(
        self, opened: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.email._relays._READ_SECONDS", 0.2)
        monkeypatch.setattr("backend.managers.email._email_settings.READ_BY_ALL_SECONDS", 0.3)
        usual, other = (answers("mail", "550 5.4.5 daily limit")() for _ in range(2))
        async with opened(usual, other) as (mailing, port):
            ada = await mailing.caller("owner")
            await save(ada, "news", port)
            named, plain = await post(ada, relay="news"), await post(ada)
            for one in (named, plain):
                await mailing.settled(ada, one["id"], "deferred")
            other.play(mail=Rules().mail)
            answer = await ada.http.post(f"{RELAYS}/news/resume")
            assert answer.json()["relay"]["state"] == "ok"
            await mailing.settled(ada, named["id"], "accepted")
            (record,) = (
                await ada.http.get("/api/v1/audit", params={"action": "relay.resumed"})
            ).json()["items"]
            assert record["data"]["hastened"] == 1
            email = (await ada.http.get(f"/api/v1/emails/{plain['id']}")).json()
            assert email["state"] == "deferred"


class TestRoutes:
    async def test_what_does_not_exist_has_none(self, app: App) -> None:
        ada = await app.caller("owner")
        emails = app.platform.of(EmailManager)
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            assert (await emails.open_routes(tx, {None, "gone"})).keys() == {None}


class TestRecords:
    """What two workers know of one relay, each by itself."""

    async def test_news_bring_no_pause_back_that_somebody_ended(self, app: App) -> None:
        ada = await app.caller("owner")
        scope, database = Scope("test", ada.tenant.id), app.platform.database
        relay = SmtpRelay("mail.test", 25, tls="none")
        records, flow = RelayRecords(), Flow(relay.where, relay.limits, LONG)
        flow.pause(ALL_SENDERS, "refused", 550, "5.4.5 daily limit")
        flow.pause("a@acme.example", "refused", 553, "5.7.1 not yours")
        async with database.transaction(scope) as tx:
            await records.write(tx, relay, flow)
        async with database.transaction(scope) as tx:
            assert await RelayRecords().resume(tx, relay)
        # Not read again yet: what was learned meanwhile is of something else, but for one sender.
        flow.refused_session(5)
        flow.drop_pause("a@acme.example")
        flow.pause("a@acme.example", "unreachable", None, "no route")
        async with database.transaction(scope) as tx:
            await records.write(tx, relay, flow)
            (shown,) = await records.show(tx, [relay])
        assert [one.sender for one in shown.pauses] == ["a@acme.example"]
        assert shown.limits.messages_per_session == 5
        assert flow.paused("b@acme.example") is None
