"""A rehearsal tells every step, of servers that take, refuse, break off and say nothing."""

import asyncio
import base64
from typing import Any

import pytest

from backend.kit.outbound import Outbound
from backend.kit.smtp import Rehearsal, SmtpRelay, SmtpTimeouts, rehearse
from tests.support.mail_server import Hangup, Rules, mail_server
from tests.unit.kit.test_smtp import Recorder, certificate, real_server

__all__ = ["certificate"]

PASSWORD = "correct horse battery"
SENDER, RECIPIENT = "billing@acme.example", "ada@example.test"
MESSAGE = b"Subject: Test\r\n\r\n.Hello\r\n"


def relay_at(port: int, **options: Any) -> SmtpRelay:
    given = {"tls": "none", "local_hostname": "client.test", "tenant_id": "acme"}
    return SmtpRelay("127.0.0.1", port, timeouts=SmtpTimeouts(), **(given | options))


async def at(port: int, seconds: float = 10, trust: Any = None, **options: Any) -> Rehearsal:
    return await rehearse(
        relay_at(port, **options),
        Outbound(),
        sender=SENDER,
        recipient=RECIPIENT,
        message=MESSAGE,
        seconds=seconds,
        tls_context=trust,
    )


def steps(found: Rehearsal) -> list[str]:
    return [step.name for step in found.steps]


async def playing(hook: str, *said: str, **options: Any) -> tuple[Rehearsal, Rules]:
    """What comes of a server of which one hook gives this answer."""
    rules = Rules()

    async def answer(*_: object) -> str:
        return said[0]

    rules.play(**{hook: answer})
    async with mail_server(rules) as port:
        return await at(port, **options), rules


class TestAccepted:
    async def test_tells_every_step_in_order(self) -> None:
        rules = Rules()
        async with mail_server(rules) as port:
            found = await at(port)
        assert (found.result, found.at, found.verdict) == ("accepted", "message", "yes")
        assert steps(found) == [
            *("look_up", "connect", "greeting", "hello"),
            *("mail", "rcpt", "data", "message", "quit"),
        ]
        assert [step.sent for step in found.steps[3:]] == [
            "EHLO client.test",
            "MAIL FROM:<billing@acme.example> SIZE=29",
            "RCPT TO:<ada@example.test>",
            "DATA",
            "29 bytes of the message, and a dot",
            "QUIT",
        ]
        assert found.steps[3].said == "part.test\nSIZE 100000000\nENHANCEDSTATUSCODES"
        assert [step.code for step in found.steps] == [
            None,
            None,
            220,
            250,
            250,
            250,
            354,
            250,
            221,
        ]
        assert all(step.ok for step in found.steps)
        times = [step.at_ms for step in found.steps]
        assert times == sorted(times)
        assert found.certificate is None
        assert len(rules.letters) == 1
        assert rules.letters[0].content.endswith(b"..Hello\r\n.\r\n")

    @pytest.mark.parametrize("tls", ["starttls", "implicit"])
    async def test_tells_who_the_server_proved_to_be(self, certificate, tls: str) -> None:
        server, client = certificate
        handler = Recorder()
        whole = {"tls": server} if tls == "implicit" else {"tls_context": server}
        async with real_server(handler, **whole) as (port, _):
            found = await at(port, trust=client, tls=tls)
        assert found.result == "accepted"
        assert found.certificate is not None
        assert found.certificate.subject == "CN=127.0.0.1"
        assert found.certificate.names == ("127.0.0.1",)
        assert found.certificate.not_before < found.certificate.not_after
        assert found.certificate.protocol.startswith("TLSv1")
        assert ("starttls" in steps(found)) == (tls == "starttls")


class TestHidden:
    async def test_no_secret_stands_in_a_line(self) -> None:
        rules = Rules()
        rules.extensions = ("AUTH PLAIN",)
        together = base64.b64encode(f"\0ada\0{PASSWORD}".encode()).decode()
        parts = [PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), together]

        async def repeating(*_: object) -> str:
            return f"535 5.7.8 no: {' '.join(parts)}"

        rules.play(auth=repeating)
        async with mail_server(rules) as port:
            found = await at(port, username="ada", password=PASSWORD)
        assert together in rules.heard[-1]
        assert (found.result, found.at, found.verdict) == ("refused", "login", "us")
        assert found.steps[-1].sent == "AUTH PLAIN (hidden)"
        assert found.steps[-1].said == "5.7.8 no: (hidden) (hidden) (hidden)"
        for secret in parts:
            assert secret not in repr(found)

    @pytest.mark.parametrize("mechanism", ["LOGIN", "CRAM-MD5"])
    async def test_neither_does_a_continuation_or_a_challenge(self, mechanism: str) -> None:
        rules = Rules()
        rules.extensions = (f"AUTH {mechanism}",)

        async def challenge(*_: object) -> str:
            return "334 PDEyMy40NTZAcGFydC50ZXN0Pg=="

        rules.play(auth=challenge)
        async with mail_server(rules) as port:
            found = await at(port, username="ada", password=PASSWORD)
        said = [(step.sent, step.said) for step in found.steps if step.name == "login"]
        assert said[0] == (f"AUTH {mechanism} (hidden)", "(hidden)")
        assert said[1][0] == "(hidden)"
        assert rules.heard[-1] not in repr(found)

    async def test_the_platforms_own_server_is_told_without_its_addresses(self) -> None:
        async with mail_server(Rules()) as port:
            found = await at(port, tenant_id=None)
        assert [step.said for step in found.steps[:2]] == ["one address", ""]


class TestRefused:
    @pytest.mark.parametrize(
        ("hook", "said", "result", "where", "verdict"),
        [
            ("greet", "554 5.7.1 no service for you", "refused", "greeting", "us"),
            ("greet", "421 4.3.2 too busy", "later", "greeting", None),
            ("mail", "550 5.7.1 sender rejected", "refused", "mail", "sender"),
            ("rcpt", "550 5.1.1 nobody here", "refused", "rcpt", "refused"),
            ("rcpt", "450 4.2.1 greylisted", "later", "rcpt", "later"),
            ("rcpt", "550 5.7.1 your IP is on a blocklist", "refused", "rcpt", "us"),
            ("rcpt", "421 4.3.2 going down", "later", "rcpt", None),
            ("data", "554 5.6.0 not like this", "refused", "data", "refused"),
            ("end", "552 5.3.4 too big", "refused", "message", "refused"),
            ("end", "451 4.3.0 try later", "later", "message", "later"),
        ],
    )
    async def test_says_who_was_refused_and_where(
        self, hook: str, said: str, result: str, where: str, verdict: str | None
    ) -> None:
        found, rules = await playing(hook, said)
        assert (found.result, found.at, found.verdict) == (result, where, verdict)
        assert found.reply.code == int(said[:3])
        assert said[4:] in found.reply.text
        decided = next(step for step in found.steps if step.name == where)
        assert (decided.code, decided.ok, decided.said) == (int(said[:3]), False, said[4:])
        assert rules.letters == []

    async def test_a_login_that_is_not_offered_is_a_step(self) -> None:
        async with mail_server(Rules()) as port:
            found = await at(port, username="ada", password=PASSWORD)
        assert (found.result, found.at) == ("refused", "login")
        assert "AUTH extension is not supported" in found.steps[-1].said

    async def test_encryption_that_is_not_offered_is_no_trust(self) -> None:
        async with mail_server(Rules()) as port:
            found = await at(port, tls="starttls")
        assert (found.result, found.at) == ("untrusted", "starttls")

    @pytest.mark.parametrize("tls", ["starttls", "implicit"])
    async def test_says_why_a_certificate_is_not_trusted(self, certificate, tls: str) -> None:
        server, _ = certificate
        whole = {"tls": server} if tls == "implicit" else {"tls_context": server}
        async with real_server(Recorder(), **whole) as (port, _live):
            found = await at(port, tls=tls)
        assert found.result == "untrusted"
        assert found.at == ("greeting" if tls == "implicit" else "starttls")
        assert "certificate is not trusted" in found.steps[-1].said


class TestBroken:
    async def test_nobody_there(self) -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        found = await at(port)
        assert (found.result, found.at) == ("unreachable", "connect")
        assert (found.steps[-1].ok, found.steps[-1].said) == (False, "Connection refused")

    async def test_nobody_there_is_told_without_the_platforms_address(self) -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        relay = SmtpRelay("localhost", port, tls="none", local_hostname="client.test")
        found = await rehearse(
            relay, Outbound(), sender=SENDER, recipient=RECIPIENT, message=MESSAGE, seconds=10
        )
        assert (found.result, found.at) == ("unreachable", "connect")
        assert "127.0.0.1" not in repr(found)

    async def test_no_such_name(self) -> None:
        relay = relay_at(25)
        relay = SmtpRelay("nobody.invalid", 25, tls="none", tenant_id=relay.tenant_id)
        found = await rehearse(
            relay, Outbound(), sender=SENDER, recipient=RECIPIENT, message=MESSAGE, seconds=10
        )
        assert (found.result, found.at) == ("unreachable", "look_up")

    async def test_nobody_goes_to_the_platforms_own_network(self) -> None:
        rules = Rules()
        async with mail_server(rules) as port:
            found = await at(port, public_only=True)
        assert (found.result, found.at) == ("not_allowed", "look_up")
        assert rules.sessions == 0

    async def test_a_connection_that_is_lost(self) -> None:
        async def hang_up(*_: object) -> str:
            raise Hangup

        rules = Rules()
        rules.play(rcpt=hang_up)
        async with mail_server(rules) as port:
            found = await at(port)
        assert (found.result, found.at) == ("lost", "rcpt")

    @pytest.mark.slow
    async def test_silence_ends_with_the_whole_time(self) -> None:
        found, rules = await playing("mail", "", seconds=0.5)
        assert (found.result, found.at) == ("too_slow", "mail")
        assert found.steps[-1].said == "no answer when the time was over"
        assert rules.letters == []

    @pytest.mark.slow
    async def test_silence_after_the_message_leaves_it_open(self) -> None:
        found, _ = await playing("end", "", seconds=0.5)
        assert (found.result, found.at) == ("unsure", "message")

    async def test_a_server_that_leaves_without_goodbye_has_taken_it(self) -> None:
        async def leave(*_: object) -> str:
            raise Hangup("250 2.0.0 taken")

        rules = Rules()
        rules.play(end=leave)
        async with mail_server(rules) as port:
            found = await at(port)
        assert (found.result, found.at) == ("accepted", "message")
