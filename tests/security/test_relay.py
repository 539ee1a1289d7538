"""A tenant's own mail server is a way to make the platform connect somewhere."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from backend.core.context import Scope
from backend.kit.outbound import Outbound, OutboundSettings, is_public
from backend.kit.outbound._resolver import Resolver
from backend.kit.smtp import SmtpPool, SmtpRelay
from backend.managers.email import EmailManager
from backend.managers.security import SecurityManager
from tests.support.names import name_server

pytestmark = pytest.mark.attack

SETTINGS = {"from_address": "a@example.test", "from_name": "A"}
ELSEWHERE = {"host": "mail.evil.test"}
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
        return (await emails.email_settings.open_relay(tx, keyring))[0].password


class TestRebinding:
    """A name that was public when it was looked at, and is loopback when it is connected to."""

    @staticmethod
    @asynccontextmanager
    async def pool_to(server, port, tmp_path):
        settings = OutboundSettings(name_servers=(server.address,))
        outbound = Outbound(settings, resolver=Resolver(settings, hosts=tmp_path / "none"))
        relay = SmtpRelay(ELSEWHERE["host"], port, tls="none", tenant_id="t", public_only=True)
        pool = SmtpPool(relay, outbound)
        try:
            yield pool, outbound
        finally:
            await pool.aclose()

    async def test_is_not_connected_to(self, tmp_path):
        reached = []
        server = await asyncio.start_server(lambda *_: reached.append(1), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answers = iter([["9.9.9.9"], ["127.0.0.1"]])
        records = {ELSEWHERE["host"]: lambda: next(answers)}
        async with (
            name_server(records=records, ttl=0) as names,
            self.pool_to(names, port, tmp_path) as (pool, outbound),
        ):
            await outbound.look_up(ELSEWHERE["host"], tenant_id="t", public_only=True)
            (outcome,) = await pool.send("a@example.test", ["b@example.test"], b"x\r\n")
        assert outcome.state == "deferred"
        assert "not on the public Internet" in outcome.response
        assert reached == []
        server.close()
        await server.wait_closed()

    async def test_a_public_one_is_connected_to_as_it_was_looked_up(self, tmp_path, monkeypatch):
        """The address that was judged is the one that is used: there is no second look."""
        looks = []
        monkeypatch.setattr("backend.kit.outbound._addresses.is_public", lambda _: True)

        def look():
            looks.append(1)
            return ["127.0.0.1"] if len(looks) == 1 else ["192.0.2.1"]

        async def greet(_, writer):
            writer.write(b"554 not today\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with (
            name_server(records={ELSEWHERE["host"]: look}, ttl=0) as names,
            self.pool_to(names, port, tmp_path) as (pool, _),
        ):
            (outcome,) = await pool.send("a@example.test", ["b@example.test"], b"x\r\n")
        assert outcome.code == 554
        assert len(looks) == 1
        server.close()
        await server.wait_closed()

    async def test_a_tenants_relay_is_always_held_to_it(self, app):
        ada = await app.caller("owner")
        body = {**SETTINGS, "smtp": {"host": "mail.nowhere.invalid"}}
        await ada.http.put("/api/v1/email-settings", json=body)

        async with app.platform.database.transaction(Scope("t", ada.tenant.id)) as tx:
            keyring = await app.platform.of(SecurityManager).keyring(tx)
            relay, *_ = await app.platform.of(EmailManager).email_settings.open_relay(tx, keyring)
        assert relay.public_only
        assert relay.tenant_id == ada.tenant.id
        assert not app.platform.of(EmailManager).default_relay.public_only


class TestNames:
    async def test_of_a_silent_server_hold_up_nobody_elses_request(self, app, tmp_path):
        """Eight tenants name hosts that no server answers for; the ninth's request ends first."""

        def put(caller, host):
            body = {**SETTINGS, "smtp": {"host": host}}
            return caller.http.put("/api/v1/email-settings", json=body)

        hostile = [await app.caller("owner") for _ in range(8)]
        ada = await app.caller("owner")
        async with name_server(records={"mail.good.test": ["9.9.9.9"]}) as names:
            settings = OutboundSettings(name_servers=(names.address,), lookup_seconds=60)
            app.platform.outbound._resolver = Resolver(settings, hosts=tmp_path / "none")
            hanging = [
                asyncio.ensure_future(put(caller, f"m{n}.{caller.tenant.slug}.hole.test"))
                for caller in hostile
                for n in range(8)
            ]
            # Half of what a look-up that hangs takes: nobody's end is waited for.
            async with asyncio.timeout(30):
                while len({entry.split(".")[1] for entry in names.asked}) < len(hostile):
                    await asyncio.sleep(0)
            for _ in range(3):
                answer = await put(ada, "mail.good.test")
                assert answer.status_code == 200, answer.text
            assert not any(one.done() for one in hanging)
            for one in hanging:
                one.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
