"""A tenant's own mail server is a way to make the platform connect somewhere."""

import asyncio
import socket

import pytest

from backend.core.context import Scope
from backend.managers.email import EmailManager, EmailSettings
from backend.managers.email._sending import check_relay_host
from backend.managers.email._smtp import SmtpPool, SmtpRelay, is_public
from backend.managers.email.errors import RelayNotAllowedError
from backend.managers.security import SecurityManager

pytestmark = pytest.mark.attack

SETTINGS = {"from_address": "a@example.test", "from_name": "A"}
ELSEWHERE = {"host": "mail.evil.example", "port": 2525, "tls": "none"}
OUR_HOSTS = [
    "localhost",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0",
    "::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
]
NO_HOSTS = ["a\r\nb", "a b", "user@host", "host/path", "[::1]", "a%0d", "a\x00", "é.example"]


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fec0::1",
            "ff02::1",
            # Forms of IPv6 that stand for an IPv4 address.
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::10.0.0.1",
            "64:ff9b:1:7f00:0:100:909:909",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
        ],
    )
    def test_of_our_own_network(self, address):
        assert not is_public(address)

    @pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "64:ff9b::9.9.9.9"])
    def test_of_the_internet(self, address):
        assert is_public(address)


class TestSettings:
    async def test_refuse_our_own_network(self, app):
        ada = await app.caller("owner")
        for host in OUR_HOSTS:
            body = {**SETTINGS, "smtp": {"host": host, "port": 25, "tls": "none"}}
            answer = await ada.http.put("/api/v1/email-settings", json=body)
            assert answer.status_code == 422, answer.text

    async def test_refuse_what_is_no_host(self, app):
        ada = await app.caller("owner")
        for host in NO_HOSTS:
            body = {**SETTINGS, "smtp": {"host": host}}
            assert (await ada.http.put("/api/v1/email-settings", json=body)).status_code == 422

    async def test_a_stored_password_goes_nowhere_else(self, app):
        """Who may change the settings, but never knew the password, must not be able to see it."""
        ada = await app.caller("owner")
        smtp = {"host": "mail.nowhere.invalid", "port": 465, "tls": "implicit", "username": "ada"}
        body = {**SETTINGS, "smtp": {**smtp, "password": "secret"}}
        answer = await ada.http.put("/api/v1/email-settings", json=body)
        assert answer.status_code == 200, answer.text
        assert "secret" not in answer.text
        assert await password_of(app, ada) == "secret"
        await ada.http.put("/api/v1/email-settings", json={**SETTINGS, "smtp": smtp})
        assert await password_of(app, ada) == "secret"
        for change in (
            {"host": "mail.elsewhere.invalid"},
            {"port": 2465},
            {"tls": "none"},
        ):
            await ada.http.put("/api/v1/email-settings", json=body)
            changed = {**SETTINGS, "smtp": {**smtp, **change}}
            answer = await ada.http.put("/api/v1/email-settings", json=changed)
            assert answer.status_code == 200, answer.text
            assert await password_of(app, ada) is None, change


async def password_of(app, caller):
    """What a delivery would log in with."""
    emails = app.platform.of(EmailManager)
    async with app.platform.database.transaction(Scope("t", caller.tenant.id)) as tx:
        keyring = await app.platform.of(SecurityManager).keyring(tx)
        return (await emails._relay(tx, keyring))[0].password


class TestRebinding:
    """A name that was public when it was looked at, and is loopback when it is connected to."""

    @pytest.fixture
    def names(self, monkeypatch):
        answers = iter(["9.9.9.9", "127.0.0.1", "127.0.0.1"])
        real = socket.getaddrinfo

        def look_up(host, port, *more, **named):
            if host == ELSEWHERE["host"]:
                host = next(answers)
            return real(host, port, *more, **named)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    async def test_is_not_connected_to(self, names):
        reached = []
        server = await asyncio.start_server(lambda *_: reached.append(1), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await check_relay_host(str(ELSEWHERE["host"]), EmailSettings())
        relay = SmtpRelay(str(ELSEWHERE["host"]), port, tls="none", public_only=True)
        pool = SmtpPool(relay)
        (outcome,) = await pool.send("a@example.test", ["b@example.test"], b"x\r\n")
        await pool.aclose()
        assert outcome.state == "deferred"
        assert "not a public mail server" in outcome.response
        assert reached == []
        with pytest.raises(RelayNotAllowedError):
            await check_relay_host(str(ELSEWHERE["host"]), EmailSettings())
        server.close()
        await server.wait_closed()

    async def test_a_public_one_is_connected_to_as_it_was_looked_up(self, monkeypatch):
        """The address that was judged is the one that is used: there is no second look."""
        looks = []
        real = socket.getaddrinfo
        monkeypatch.setattr("backend.managers.email._smtp.is_public", lambda _: True)

        def look_up(host, port, *more, **named):
            if host == ELSEWHERE["host"]:
                looks.append(host)
                host = "127.0.0.1"
            return real(host, port, *more, **named)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

        async def greet(_, writer):
            writer.write(b"554 not today\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        relay = SmtpRelay(str(ELSEWHERE["host"]), port, tls="none", public_only=True)
        pool = SmtpPool(relay)
        (outcome,) = await pool.send("a@example.test", ["b@example.test"], b"x\r\n")
        await pool.aclose()
        assert outcome.code == 554
        assert looks == [ELSEWHERE["host"]]
        server.close()
        await server.wait_closed()

    async def test_a_tenants_relay_is_always_held_to_it(self, app):
        ada = await app.caller("owner")
        body = {**SETTINGS, "smtp": {"host": "mail.nowhere.invalid"}}
        await ada.http.put("/api/v1/email-settings", json=body)

        async with app.platform.database.transaction(Scope("t", ada.tenant.id)) as tx:
            keyring = await app.platform.of(SecurityManager).keyring(tx)
            relay, _ = await app.platform.of(EmailManager)._relay(tx, keyring)
        assert relay.public_only
        assert not app.platform.of(EmailManager).default_relay.public_only
