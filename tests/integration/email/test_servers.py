"""What a tenant says of its own mail server reaches the session with it."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.mail_server import Rules, mail_server
from tests.support.mailing import Mailing, open_mailing
from tests.support.platform import TenantClient
from tests.support.tls_front import tls_front

Open = Callable[[Rules], AbstractAsyncContextManager[tuple[Mailing, dict[str, Any]]]]


@pytest.fixture
def opened(database_url: str, tmp_path: Path) -> Open:
    """Opens an installation, and a mail server behind TLS of a private authority: its settings."""

    @asynccontextmanager
    async def make(rules: Rules) -> AsyncIterator[tuple[Mailing, dict[str, Any]]]:
        async with (
            mail_server(Rules()) as usual,
            mail_server(rules) as port,
            open_mailing(
                database_url, tmp_path, f"smtp://127.0.0.1:{usual}", allow_private_relays=True
            ) as mailing,
        ):
            with tls_front(port, tmp_path) as front:
                yield (
                    mailing,
                    {
                        "host": "127.0.0.1",
                        "port": int(front.url.rpartition(":")[2]),
                        "tls": "implicit",
                        "ca_certificate": front.ca_pem,
                    },
                )

    return make


async def save(caller: TenantClient, smtp: dict[str, Any], relay: str | None) -> None:
    path = "/api/v1/email-settings" if relay is None else f"/api/v1/email-relays/{relay}"
    body = {"from_address": "a@acme.example", "smtp": smtp}
    answer = await caller.http.put(path, json=body)
    assert answer.status_code == 200, answer.text


async def post(caller: TenantClient, relay: str | None) -> str:
    body = {"to": ["ada@example.test"], "subject": "Hello", "text": "There", "relay": relay}
    answer = await caller.http.post("/api/v1/emails", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("relay", [None, "news"])
class TestOptions:
    async def test_are_those_of_the_session(self, opened: Open, relay: str | None) -> None:
        rules = Rules()
        rules.extensions = ("AUTH PLAIN XOAUTH2",)
        async with opened(rules) as (mailing, smtp):
            ada = await mailing.caller("owner")
            own = {"username": "u@acme.example", "password": "tok", "login": "xoauth2"}
            await save(ada, {**smtp, **own, "ehlo_name": "mail.acme.example"}, relay)
            await mailing.settled(ada, await post(ada, relay), "accepted")
        assert rules.heard[0] == "EHLO mail.acme.example"
        (login,) = (words for words in rules.heard if words.startswith("AUTH"))
        assert login.startswith("AUTH XOAUTH2 ")
        said = base64.b64decode(login.split(" ")[2])
        assert said == b"user=u@acme.example\x01auth=Bearer tok\x01\x01"

    async def test_without_its_authority_nothing_is_said_to_it(
        self, opened: Open, relay: str | None
    ) -> None:
        rules = Rules()
        async with opened(rules) as (mailing, smtp):
            ada = await mailing.caller("owner")
            await save(ada, {**smtp, "ca_certificate": None}, relay)
            email = await mailing.settled(ada, await post(ada, relay), "deferred")
        (found,) = email["recipients"]
        assert "certificate" in found["response"]
        assert rules.heard == []
        assert rules.letters == []
