"""The way out: names, the guard, shares and breakers, against servers on real sockets."""

import asyncio
import contextlib
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.kit.outbound import (
    Breaker,
    HttpAnswer,
    NotAllowedError,
    Outbound,
    OutboundSettings,
    UnreachableError,
    is_web_address,
)
from backend.kit.outbound import _addresses as addresses
from backend.kit.outbound._resolver import Resolver
from backend.kit.smtp import SmtpPool, SmtpRelay
from tests.support.names import NEGATIVE_SECONDS, name_server


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


def resolver_of(server, tmp_path, clock=None, **options):
    """A resolver that asks this server and knows no hosts file but the test's own."""
    settings = OutboundSettings(**{"name_servers": (server.address,), **options})
    more = {} if clock is None else {"clock": clock}
    return Resolver(settings, hosts=tmp_path / "hosts", **more)


def outbound_of(server, tmp_path, clock=None, **options):
    settings = OutboundSettings(**{"name_servers": (server.address,), **options})
    more = {} if clock is None else {"clock": clock}
    resolver = resolver_of(server, tmp_path, clock, **options)
    return Outbound(settings, resolver=resolver, **more)


@pytest.fixture
def inside_counts_as_public(monkeypatch):
    """Tests have no Internet: 127.0.0.2 is taken for an address of it, 127.0.0.1 is not."""
    real = addresses.is_public
    monkeypatch.setattr(addresses, "is_public", lambda a: a == "127.0.0.2" or real(a))


@asynccontextmanager
async def tcp_server(serve, host="127.0.0.1"):
    """A server whose every connection is closed at the end, whatever became of it."""
    writers = []

    async def accept(reader, writer):
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(accept, host, 0)
    try:
        yield server.sockets[0].getsockname()[1], writers
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def http_server(*answers, host="127.0.0.1"):
    """A server that gives its answers one after the other, the last one for ever."""
    asked = []

    async def serve(reader, writer):
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answers[min(len(asked), len(answers)) - 1])
        await writer.drain()

    async with tcp_server(serve, host) as (port, _):
        yield port, asked


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


def redirect_to(url: str) -> bytes:
    return (
        f"HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ).encode()


class TestLookUp:
    async def test_knows_addresses_localhost_and_the_hosts_file_without_asking(self, tmp_path):
        (tmp_path / "hosts").write_text("10.1.2.3 Mail.corp mail # ours\n10.1.2.4 mail\nbad x\n")
        async with name_server() as server:
            resolver = resolver_of(server, tmp_path)
            for host, found in {
                "9.9.9.9": ("9.9.9.9",),
                "2620:fe::fe": ("2620:fe::fe",),
                "localhost": ("127.0.0.1", "::1"),
                "Any.LOCALHOST.": ("127.0.0.1", "::1"),
                "mail.corp": ("10.1.2.3",),
                "MAIL": ("10.1.2.3", "10.1.2.4"),
            }.items():
                assert await resolver.look_up(host, tenant_id="t") == found, host
            assert server.asked == []

    async def test_reads_the_hosts_file_again_when_it_has_changed(self, tmp_path):
        clock, hosts = Clock(), tmp_path / "hosts"
        async with name_server(records={"mail": ["9.9.9.9"]}) as server:
            resolver = resolver_of(server, tmp_path, clock)
            assert await resolver.look_up("mail", tenant_id="t") == ("9.9.9.9",)
            hosts.write_text("10.1.2.3 mail\n")
            clock.now += 6
            assert await resolver.look_up("mail", tenant_id="t") == ("10.1.2.3",)

    async def test_refuses_what_is_no_name(self, tmp_path):
        async with name_server() as server:
            resolver = resolver_of(server, tmp_path)
            for host in ("", ".", "127.1", "2130706433", "0x7f000001", "0", "a..b", "a" * 64):
                with pytest.raises(NotAllowedError):
                    await resolver.look_up(host, tenant_id="t")
            assert server.asked == []

    async def test_remembers_an_answer_for_as_long_as_it_holds(self, tmp_path):
        clock = Clock()
        async with name_server(records={"a.test": ["9.9.9.9"]}, ttl=40) as server:
            resolver = resolver_of(server, tmp_path, clock)
            for seconds, asked in ((0, 1), (39, 1), (2, 2), (1, 2)):
                clock.now += seconds
                assert await resolver.look_up("a.test", tenant_id="t") == ("9.9.9.9",)
                assert server.asked.count("a.test A") == asked, (clock.now, server.asked)

    async def test_remembers_no_answer_of_no_life(self, tmp_path):
        async with name_server(records={"a.test": ["9.9.9.9"]}, ttl=0) as server:
            resolver = resolver_of(server, tmp_path, Clock())
            for asked in (1, 2):
                await resolver.look_up("a.test", tenant_id="t")
                assert server.asked.count("a.test A") == asked

    async def test_remembers_absence_for_as_long_as_the_zone_says(self, tmp_path):
        clock = Clock()
        async with name_server() as server:
            resolver = resolver_of(server, tmp_path, clock)
            for seconds, asked in ((0, 1), (NEGATIVE_SECONDS - 1, 1), (2, 2)):
                clock.now += seconds
                with pytest.raises(UnreachableError, match=r"no host a\.test"):
                    await resolver.look_up("a.test", tenant_id="t")
                assert server.asked.count("a.test A") == asked

    async def test_keeps_to_its_deadline(self, tmp_path):
        async with name_server() as server:
            resolver = resolver_of(server, tmp_path, lookup_seconds=0.2)
            with pytest.raises(UnreachableError):
                await resolver.look_up("a.hole.test", tenant_id="t")

    async def test_forgets_the_oldest_of_too_many(self, tmp_path, monkeypatch):
        monkeypatch.setattr("backend.kit.outbound._resolver._MAX_CACHED", 2)
        names = ["a.test", "b.test", "c.test"]
        async with name_server(records={name: ["9.9.9.9"] for name in names}) as server:
            resolver = resolver_of(server, tmp_path, Clock())
            for name in (*names, "c.test", "a.test"):
                await resolver.look_up(name, tenant_id="t")
            assert [server.asked.count(f"{name} A") for name in names] == [2, 1, 1]

    async def test_asks_first_who_answered_last(self, tmp_path):
        """A dead server in the list costs its try once and not with each name."""
        records = {"a.test": ["9.9.9.9"], "b.test": ["9.9.9.9"]}
        async with name_server(silent=True) as dead, name_server(records=records) as alive:
            settings = OutboundSettings(name_servers=(dead.address, alive.address))
            resolver = Resolver(settings, hosts=tmp_path / "hosts")
            resolver._servers.read().timeout = 0.2
            await resolver.look_up("a.test", tenant_id="t")
            before = len(dead.asked)
            assert before > 0
            await resolver.look_up("b.test", tenant_id="t")
            assert len(dead.asked) == before


class TestStarving:
    async def test_a_black_hole_of_eight_tenants_holds_up_no_ninth(self, tmp_path):
        """While eight tenants' look-ups hang, another tenant's ends: it waits for none of them."""
        async with name_server(records={"good.test": ["9.9.9.9"]}) as server:
            resolver = resolver_of(server, tmp_path, lookup_seconds=30)
            hanging = [
                asyncio.ensure_future(
                    resolver.look_up(f"{n}.t{tenant}.hole.test", tenant_id=f"t{tenant}")
                )
                for tenant in range(8)
                for n in range(50)
            ]
            for _ in range(3):
                await asyncio.sleep(0)
            assert await resolver.look_up("good.test", tenant_id="ninth") == ("9.9.9.9",)
            assert not any(one.done() for one in hanging)
            # Nor does anybody ask for more than a share at once.
            names = {entry.split(" ")[0] for entry in server.asked if "hole" in entry}
            assert len(names) <= 8 * OutboundSettings().lookups_each
            for one in hanging:
                one.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)

    @pytest.mark.slow
    async def test_a_tenants_own_look_ups_wait_within_their_deadline(self, tmp_path):
        """Who waits for its tenant's share is told no in time, and nobody is asked for it then."""
        async with name_server(records={"good.test": ["9.9.9.9"]}) as server:
            resolver = resolver_of(server, tmp_path, lookup_seconds=0.3, lookups_each=1)
            found = await asyncio.gather(
                *(resolver.look_up(f"{n}.hole.test", tenant_id="t") for n in range(20)),
                return_exceptions=True,
            )
            assert {type(one) for one in found} == {UnreachableError}
            # One after the other they would take twenty times as long as they may.
            names = {entry.split(" ")[0] for entry in server.asked}
            assert len(names) < 5
            assert await resolver.look_up("good.test", tenant_id="t") == ("9.9.9.9",)

    async def test_mail_flows_beside_a_black_hole(self, tmp_path):
        """A worker's pool of one tenant delivers while another tenant's hang in their look-ups."""

        async def talk(reader, writer):
            writer.write(b"220 here\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    writer.write(b"354 go\r\n")
                    await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    break

        async with (
            tcp_server(talk) as (port, _),
            name_server(records={"mx.test": ["127.0.0.1"]}) as server,
        ):
            outbound = outbound_of(server, tmp_path, lookup_seconds=30)
            pools = [
                SmtpPool(SmtpRelay(f"t{n}.hole.test", 25, tls="none", tenant_id=f"t{n}"), outbound)
                for n in range(8)
            ]
            sends = [
                asyncio.ensure_future(pool.send("a@x.test", ["b@x.test"], b"x\r\n"))
                for pool in pools
                for _ in range(10)
            ]
            await asyncio.sleep(0)
            relay = SmtpRelay("mx.test", port, tls="none", tenant_id="ninth", local_hostname="c")
            pool = SmtpPool(relay, outbound)
            for _ in range(5):
                (outcome,) = await pool.send("a@x.test", ["b@x.test"], b"x\r\n")
                assert outcome.state == "accepted"
            assert not any(one.done() for one in sends)
            for one in sends:
                one.cancel()
            await asyncio.gather(*sends, return_exceptions=True)
            await pool.aclose()


@pytest.mark.usefixtures("inside_counts_as_public")
class TestGuard:
    async def test_refuses_a_name_of_our_own_network(self, tmp_path):
        async with (
            http_server(OK) as (port, asked),
            name_server(records={"in.test": ["127.0.0.2", "127.0.0.1"]}) as server,
        ):
            outbound = outbound_of(server, tmp_path)
            for host in ("in.test", "localhost", "127.0.0.1", "[::1]", "2130706433"):
                with pytest.raises(NotAllowedError):
                    await outbound.request(
                        "GET", f"http://{host}:{port}/", tenant_id="t", public_only=True
                    )
            assert asked == []

    async def test_refuses_a_redirect_into_it(self, tmp_path):
        async with (
            http_server(OK) as (inner, reached),
            name_server(records={"out.test": ["127.0.0.2"]}) as server,
        ):
            answers = redirect_to(f"http://127.0.0.1:{inner}/")
            async with http_server(answers, host="127.0.0.2") as (port, asked):
                outbound = outbound_of(server, tmp_path)
                with pytest.raises(NotAllowedError):
                    await outbound.request(
                        "GET",
                        f"http://out.test:{port}/",
                        tenant_id="t",
                        public_only=True,
                        redirects=3,
                    )
                assert len(asked) == 1
                assert reached == []
                await outbound.aclose()

    async def test_refuses_a_name_that_is_pointed_inside_later(self, tmp_path):
        """Public when it was looked at, ours when it is connected to."""
        turns = iter([["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]])
        records = {"evil.test": lambda: next(turns)}
        async with (
            http_server(OK) as (port, reached),
            name_server(records=records, ttl=0) as server,
        ):
            outbound = outbound_of(server, tmp_path)
            await outbound.look_up("evil.test", tenant_id="t", public_only=True)
            with pytest.raises(NotAllowedError):
                await outbound.connect(
                    "evil.test", port, tenant_id="t", public_only=True, timeout_seconds=5
                )
            with pytest.raises(NotAllowedError):
                await outbound.request(
                    "GET", f"http://evil.test:{port}/", tenant_id="t", public_only=True
                )
            assert reached == []

    async def test_connects_to_the_address_that_was_judged(self, tmp_path):
        looks = []

        def once():
            looks.append(1)
            return ["127.0.0.2"] if len(looks) == 1 else ["127.0.0.1"]

        async with (
            http_server(OK, host="127.0.0.2") as (port, reached),
            name_server(records={"evil.test": once}, ttl=0) as server,
        ):
            outbound = outbound_of(server, tmp_path)
            answer = await outbound.request(
                "GET", f"http://evil.test:{port}/x", tenant_id="t", public_only=True
            )
            assert (answer.status, answer.body) == (200, b"hello")
            assert len(looks) == 1
            assert f"host: evil.test:{port}" in reached[0].lower()
            await outbound.aclose()

    async def test_a_connection_of_the_platform_serves_no_tenant(self, tmp_path):
        """A kept connection to our own network must not carry a tenant's request."""
        async with http_server(OK) as (port, asked), name_server() as server:
            outbound = outbound_of(server, tmp_path)
            url = f"http://127.0.0.1:{port}/"
            await outbound.request("GET", url, tenant_id=None, public_only=False)
            await outbound.request("GET", url, tenant_id="t", public_only=False)
            with pytest.raises(NotAllowedError):
                await outbound.request("GET", url, tenant_id="t", public_only=True)
            assert len(asked) == 2
            await outbound.aclose()


class TestRequest:
    @pytest.mark.parametrize("port", [0, 65_536, 99_999])
    async def test_refuses_what_is_no_port(self, tmp_path, port):
        """As a server may say in a redirect, or in a document that has addresses."""
        async with name_server() as server:
            outbound = outbound_of(server, tmp_path)
            for public_only in (True, False):
                with pytest.raises(NotAllowedError):
                    await outbound.request(
                        "GET", f"http://9.9.9.9:{port}/", tenant_id="t", public_only=public_only
                    )
            await outbound.aclose()

    async def test_follows_as_many_redirects_as_it_may(self, tmp_path):
        async with name_server() as server:
            outbound = outbound_of(server, tmp_path)
            async with http_server(redirect_to("/a"), redirect_to("/b"), OK) as (port, asked):
                answer = await outbound.request(
                    "GET",
                    f"http://127.0.0.1:{port}/",
                    tenant_id="t",
                    public_only=False,
                    redirects=2,
                )
                assert answer.url.endswith("/b")
                assert [head.split(" ")[1] for head in asked] == ["/", "/a", "/b"]
            async with http_server(redirect_to("/a")) as (port, _):
                url = f"http://127.0.0.1:{port}/"
                with pytest.raises(UnreachableError, match="more than 2 redirects"):
                    await outbound.request(
                        "GET", url, tenant_id="t", public_only=False, redirects=2
                    )
                answer = await outbound.request("GET", url, tenant_id="t", public_only=False)
                assert answer.status == 302
            await outbound.aclose()

    async def test_bounds_the_answer(self, tmp_path):
        large = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 100_000
        async with name_server() as server, http_server(large) as (port, asked):
            outbound = outbound_of(server, tmp_path)
            with pytest.raises(UnreachableError, match="more than 1000 bytes"):
                await outbound.request(
                    "GET",
                    f"http://127.0.0.1:{port}/",
                    tenant_id="t",
                    public_only=False,
                    max_bytes=1000,
                )
            assert "accept-encoding: identity" in asked[0].lower()
            await outbound.aclose()

    async def test_refuses_what_is_no_address_of_http(self, tmp_path):
        async with name_server() as server:
            outbound = outbound_of(server, tmp_path)
            for url in (
                "file:///etc/passwd",
                "gopher://a.test/",
                "a.test",
                "http://",
                "http://a:b/",
            ):
                with pytest.raises(NotAllowedError):
                    await outbound.request("GET", url, tenant_id="t", public_only=True)

    @pytest.mark.slow
    async def test_keeps_to_its_deadline_and_leaves_alone_what_hangs(self, tmp_path):
        """A server that takes the connection and says nothing is a failure like any other."""

        async def hang(reader, writer):
            await reader.read()

        clock = Clock()
        async with (
            tcp_server(hang) as (silent, hung),
            name_server() as server,
            http_server(OK) as (port, _),
        ):
            url = f"http://127.0.0.1:{silent}/"
            outbound = outbound_of(server, tmp_path, clock, breaker_failures=2)
            for _ in range(2):
                with pytest.raises(UnreachableError, match="no answer in time"):
                    await outbound.request(
                        "GET", url, tenant_id="t", public_only=False, timeout_seconds=0.1
                    )
            with pytest.raises(UnreachableError, match="left alone"):
                await outbound.request("GET", url, tenant_id="t", public_only=False)
            assert len(hung) == 2
            # For this tenant and this destination alone.
            fine = f"http://127.0.0.1:{port}/"
            assert (
                await outbound.request("GET", fine, tenant_id="t", public_only=False)
            ).status == 200
            with pytest.raises(UnreachableError, match="no answer in time"):
                await outbound.request(
                    "GET", url, tenant_id="other", public_only=False, timeout_seconds=0.1
                )
            await outbound.aclose()

    async def test_closes_the_connections_of_who_asked_longest_ago(self, tmp_path, monkeypatch):
        monkeypatch.setattr("backend.kit.outbound._outbound._MAX_TRANSPORTS", 2)
        async with name_server() as server, http_server(OK) as (port, _):
            outbound = outbound_of(server, tmp_path)
            for tenant in ("a", "b", "a", "c"):
                await outbound.request(
                    "GET", f"http://127.0.0.1:{port}/", tenant_id=tenant, public_only=False
                )
            assert [tenant for tenant, _ in outbound._transports] == ["a", "c"]
            await outbound.aclose()


class TestBreaker:
    @staticmethod
    def fail(breaker, tenant="t"):
        with pytest.raises(UnreachableError) as caught, breaker.guard(tenant, "d:1"):
            raise UnreachableError("down")
        return caught.value.detail

    def test_opens_half_opens_and_closes(self):
        clock = Clock()
        breaker = Breaker(3, 10.0, clock=clock)
        assert [self.fail(breaker) for _ in range(3)] == ["down"] * 3
        assert "left alone for 10 s" in self.fail(breaker)
        clock.now += 11
        # One may try; while it does, nobody else.
        with breaker.guard("t", "d:1"):
            assert "left alone" in self.fail(breaker)
        assert [self.fail(breaker) for _ in range(3)] == ["down"] * 3
        assert "left alone" in self.fail(breaker)

    def test_opens_again_when_the_one_that_tries_fails(self):
        clock = Clock()
        breaker = Breaker(2, 10.0, clock=clock)
        for _ in range(2):
            self.fail(breaker)
        clock.now += 11
        assert self.fail(breaker) == "down"
        assert "left alone for 10 s" in self.fail(breaker)

    def test_lets_another_try_when_the_one_that_tries_is_cancelled(self):
        clock = Clock()
        breaker = Breaker(1, 10.0, clock=clock)
        self.fail(breaker)
        clock.now += 11
        with pytest.raises(asyncio.CancelledError), breaker.guard("t", "d:1"):
            raise asyncio.CancelledError
        assert self.fail(breaker) == "down"

    def test_a_success_in_between_begins_the_count_anew(self):
        breaker = Breaker(2, 10.0, clock=Clock())
        self.fail(breaker)
        with breaker.guard("t", "d:1"):
            pass
        assert self.fail(breaker) == "down"
        assert self.fail(breaker) == "down"
        assert "left alone" in self.fail(breaker)

    def test_is_each_tenants_own(self):
        breaker = Breaker(1, 10.0, clock=Clock())
        self.fail(breaker)
        assert "left alone" in self.fail(breaker)
        assert self.fail(breaker, tenant="other") == "down"

    def test_remembers_so_many_and_no_more(self, monkeypatch):
        monkeypatch.setattr("backend.kit.outbound._breaker._MAX_CIRCUITS", 2)
        breaker = Breaker(1, 10.0, clock=Clock())
        for tenant in ("a", "b", "c"):
            self.fail(breaker, tenant=tenant)
        assert self.fail(breaker, tenant="a") == "down"
        assert "left alone" in self.fail(breaker, tenant="c")


def test_the_system_s_configuration_is_read(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("search corp.test\nnameserver 192.0.2.1\n")
    settings = OutboundSettings()
    found = Resolver(settings, configuration=tmp_path / "resolv.conf")._servers.read()
    assert [getattr(one, "address", one) for one in found.nameservers] == ["192.0.2.1"]
    missing = Resolver(settings, configuration=tmp_path / "none")._servers.read()
    assert [getattr(one, "address", one) for one in missing.nameservers] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37),
        ("Sun, 06 Nov 1994 08:48:59 GMT", -1),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_how_long_a_server_asks_to_be_left_alone(written, seconds):
    now = datetime(1994, 11, 6, 8, 49, tzinfo=UTC)
    headers = {"retry-after": written} if written else {}
    assert HttpAnswer("https://a.example", 429, headers, b"").retry_after(now) == seconds


class TestIsWebAddress:
    @pytest.mark.parametrize(
        "text",
        [
            "https://a b/",
            "https://a.example/a b",
            "https://a.example/\r\nX: y",
            "https://a\t.example/",
            "https://a.example/\u202e",
            "https://a\u00a0.example/",
            "https://a:b@c.example/",
            "https://a.example:0/",
            "https://a.example:99999/",
            "https://[::1",
            "http://a.example/",
            "ftp://a.example/",
        ],
    )
    def test_is_none_that_reads_as_another_or_leads_nowhere(self, text):
        assert not is_web_address(text, plain=False)

    @pytest.mark.parametrize(
        "text", ["https://a.example", "https://bücher.example/é?a=b", "https://[2001:db8::1]:8443/"]
    )
    def test_is_one_with_a_host(self, text):
        assert is_web_address(text, plain=False)
