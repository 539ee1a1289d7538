"""The relay's pool against servers that obey, refuse, die and lie."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from aiosmtplib.protocol import SMTPProtocol
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend.kit.outbound import Outbound
from backend.kit.smtp import (
    Limits,
    Pacing,
    RecipientOutcome,
    SmtpPool,
    SmtpRelay,
    SmtpTimeouts,
    verify,
)
from backend.kit.smtp._session import prepare
from backend.kit.smtp.errors import RelayUnavailableError

SENDER = "no-reply@example.test"
MESSAGE = b"Subject: s\r\n\r\nHello\r\n"


class Recorder:
    """A handler for a real server; answers are replaced per recipient."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, list[str], bytes]] = []
        self.sessions: set[int] = set()
        self.answers: dict[str, str] = {}
        self.data_answer = "250 2.0.0 stored"
        self.mail_answer: str | None = None

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        self.sessions.add(id(server))
        if self.mail_answer is not None:
            return self.mail_answer
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if self.data_answer.startswith("250"):
            self.messages.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return self.data_answer


@asynccontextmanager
async def real_server(handler: Recorder, *, tls: ssl.SSLContext | None = None, **options):
    loop = asyncio.get_running_loop()
    live: list[SMTP] = []

    def build() -> SMTP:
        live.append(SMTP(handler, loop=loop, hostname="relay.test", **options))
        return live[-1]

    server = await loop.create_server(build, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], live
    finally:
        server.close()
        for session in live:
            if session.transport is not None:
                session.transport.close()
            # A failed handshake leaves the library's task waiting for its 300 seconds.
            if session._handler_coroutine is not None:
                session._handler_coroutine.cancel()
        await asyncio.gather(
            *(s._handler_coroutine for s in live if s._handler_coroutine), return_exceptions=True
        )
        await server.wait_closed()


class Dialogue:
    """One connection of a server that follows a script."""

    def __init__(self, number: int, reader, writer) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer

    async def say(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self.writer.drain()

    async def hear(self) -> str:
        return (await self.reader.readline()).decode().strip()

    async def greet(self) -> None:
        await self.say("220 script ESMTP")
        assert (await self.hear()).startswith("EHLO")
        await self.say("250-script", "250 SIZE 1000000")

    async def answer(self, *pairs: tuple[str, str]) -> None:
        for expected, reply in pairs:
            assert (await self.hear()).upper().startswith(expected)
            await self.say(reply)

    async def hear_message(self) -> bytes:
        return bytes(await self.reader.readuntil(b"\r\n.\r\n"))

    async def accept(self) -> bytes:
        await self.answer(("MAIL", "250 OK"), ("RCPT", "250 OK"), ("DATA", "354 go"))
        message = await self.hear_message()
        await self.say("250 OK")
        return message

    def reset_connection(self) -> None:
        self.writer.transport.abort()


class Scripted:
    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self.failures: list[BaseException] = []


@asynccontextmanager
async def scripted_server(*scripts) -> AsyncIterator[Scripted]:
    """Serve the nth connection by the nth script; one too many is a failure of the test."""
    state = Scripted()
    writers = []

    async def serve(reader, writer) -> None:
        writers.append(writer)
        number = state.connections
        state.connections += 1
        try:
            await scripts[number](Dialogue(number, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except BaseException as error:
            state.failures.append(error)
            raise
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
        assert state.failures == []
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


def relay_at(port: int, **options) -> SmtpRelay:
    seconds = options.pop("timeout_seconds", 5)
    given: dict[str, Any] = {
        "tls": "none",
        "timeouts": SmtpTimeouts().at_most(seconds),
        "local_hostname": "client.test",
    }
    return SmtpRelay("127.0.0.1", port, **(given | options))


@asynccontextmanager
async def pool_at(
    port: int,
    *,
    tls_context=None,
    size=1,
    idle=30.0,
    per_connection=100,
    pacing=Pacing(hold_seconds=30, pause_seconds=0.2),  # noqa: B008 - it is frozen
    **relay,
):
    limits = Limits(size, messages_per_session=per_connection)
    pool = SmtpPool(
        relay_at(port, limits=limits, **relay),
        Outbound(),
        idle_seconds=idle,
        tls_context=tls_context,
        pacing=pacing,
    )
    try:
        yield pool
    finally:
        await pool.aclose()


async def send_one(pool: SmtpPool, recipient: str = "a@example.test") -> RecipientOutcome:
    (outcome,) = await pool.send(SENDER, [recipient], MESSAGE)
    assert outcome.address == recipient
    return outcome


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "relay.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.create_default_context(
        cadata=made.public_bytes(serialization.Encoding.PEM).decode()
    )
    return server, client


class TestSmtpRelay:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("smtp://127.0.0.1:8402", SmtpRelay("127.0.0.1", 8402, tls="none")),
            ("smtp://localhost", SmtpRelay("localhost", 25, tls="none")),
            ("smtp://[::1]:2525", SmtpRelay("::1", 2525, tls="none")),
            ("smtp://mail.example.test", SmtpRelay("mail.example.test", 587, tls="starttls")),
            ("smtp://mail.example.test?tls=none", SmtpRelay("mail.example.test", 25, tls="none")),
            ("smtps://mail.example.test", SmtpRelay("mail.example.test", 465, tls="implicit")),
            (
                "smtp://us%40er:p%2Fw%3A@mail.test:26/?tls=starttls&timeout=9&local_hostname=me.test",
                SmtpRelay(
                    "mail.test",
                    26,
                    "us@er",
                    "p/w:",
                    "starttls",
                    SmtpTimeouts().at_most(9.0),
                    "me.test",
                ),
            ),
        ],
    )
    def test_reads_url(self, url: str, expected: SmtpRelay) -> None:
        assert SmtpRelay.from_url(url) == expected

    def test_takes_the_timeout_of_the_caller(self) -> None:
        seven = SmtpTimeouts().at_most(7)
        assert SmtpRelay.from_url("smtp://h.test", timeouts=seven).timeouts == seven
        shorter = SmtpRelay.from_url("smtp://h.test?timeout=3", timeouts=seven).timeouts
        assert shorter == SmtpTimeouts().at_most(3)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "mail.test",
            "http://mail.test",
            "smtp://",
            "smtp://secret:secret@h.test:99999",
            "smtp://h.test/path",
            "smtp://h.test?tls=maybe",
            "smtp://h.test?secret=1",
            "smtps://h.test?tls=starttls",
            "smtp://h.test?timeout=secret",
            "smtp://h.test?timeout=0",
            "smtp://h.test?local_hostname=a%0d%0ab",
            "smtp://h%0d.test",
            "smtp://:secret@h.test:0",
            "smtp://[secret",
        ],
    )
    def test_refuses_url_without_quoting_it(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"relay|host|implicit|user") as caught:
            SmtpRelay.from_url(url)
        assert "secret" not in str(caught.value)

    def test_hides_its_password(self) -> None:
        assert "secret" not in repr(SmtpRelay.from_url("smtp://user:secret@h.test"))


class TestSend:
    async def test_all_accepted(self) -> None:
        handler = Recorder()
        async with real_server(handler) as (port, _), pool_at(port) as pool:
            found = await pool.send(SENDER, ["a@example.test", "b@example.test"], MESSAGE)
        assert found == [
            RecipientOutcome("a@example.test", "accepted", 250, "2.0.0 stored"),
            RecipientOutcome("b@example.test", "accepted", 250, "2.0.0 stored"),
        ]
        assert handler.messages == [(SENDER, ["a@example.test", "b@example.test"], MESSAGE)]

    async def test_sends_nothing_that_is_not_wanted_any_more(self) -> None:
        handler = Recorder()
        async with real_server(handler) as (port, _), pool_at(port, size=1) as pool:
            wanted = [True, False]
            sends = [
                pool.send(
                    SENDER, [f"{n}@example.test"], MESSAGE, still_wanted=lambda: wanted.pop(0)
                )
                for n in range(2)
            ]
            first, second = await asyncio.gather(*sends)
        assert [one.address for one in first] == ["0@example.test"]
        assert second == []
        assert [to for _, to, _ in handler.messages] == [["0@example.test"]]

    async def test_a_message_is_made_when_its_turn_has_come(self) -> None:
        handler = Recorder()
        async with real_server(handler) as (port, _), pool_at(port, size=1) as pool:
            made = []

            async def make() -> bytes:
                # Whoever came before has been answered: at most one of them is held.
                made.append(len(handler.messages))
                return MESSAGE

            sends = [pool.send(SENDER, [f"{n}@example.test"], make) for n in range(3)]
            await asyncio.gather(*sends)
        assert made == [0, 1, 2]
        assert [content for *_, content in handler.messages] == [MESSAGE] * 3

    async def test_a_message_that_cannot_be_made_holds_no_place(self) -> None:
        handler = Recorder()

        async def fail() -> bytes:
            raise ValueError("cannot be written")

        async with real_server(handler) as (port, _), pool_at(port, size=1) as pool:
            with pytest.raises(ValueError, match="written"):
                await pool.send(SENDER, ["a@example.test"], fail)
            (found,) = await pool.send(SENDER, ["a@example.test"], MESSAGE)
        assert found.state == "accepted"

    async def test_each_recipient_gets_its_own_answer(self) -> None:
        handler = Recorder()
        handler.answers = {"no@example.test": "550 5.1.1 nobody", "later@example.test": "451 later"}
        async with real_server(handler) as (port, _), pool_at(port) as pool:
            found = await pool.send(
                SENDER, ["no@example.test", "a@example.test", "later@example.test"], MESSAGE
            )
        assert [(o.address, o.state, o.code, o.response) for o in found] == [
            ("no@example.test", "bounced", 550, "5.1.1 nobody"),
            ("a@example.test", "accepted", 250, "2.0.0 stored"),
            ("later@example.test", "deferred", 451, "later"),
        ]
        assert handler.messages == [(SENDER, ["a@example.test"], MESSAGE)]

    @pytest.mark.parametrize(
        ("answer", "unknown"),
        [
            ("550 5.1.1 nobody", True),
            ("550 5.1.10 takes no mail", True),
            ("550 5.2.1 closed", True),
            ("550 nobody", True),
            ("553 no such name", True),
            ("550 5.7.1 not from you", False),
            ("552 5.2.2 full", False),
            ("550 5.1.8 bad sender", False),
            ("554 no", False),
            ("450 4.1.1 nobody yet", False),
            ("530 5.1.1 log in", False),
        ],
    )
    async def test_tells_a_mailbox_that_does_not_exist(self, answer: str, unknown: bool) -> None:
        handler = Recorder()
        handler.answers = {"no@example.test": answer}
        async with real_server(handler) as (port, _), pool_at(port) as pool:
            assert (await send_one(pool, "no@example.test")).unknown is unknown

    @pytest.mark.parametrize(
        ("answer", "to", "unknown"),
        [
            ("550 5.1.1 nobody", ["a@example.test"], True),
            ("550 5.1.1 nobody", ["a@example.test", "b@example.test"], False),
            ("550 nobody", ["a@example.test"], False),
        ],
    )
    async def test_an_answer_to_data_tells_it_of_one_alone(
        self, answer: str, to: list[str], unknown: bool
    ) -> None:
        handler = Recorder()
        handler.data_answer = answer
        async with real_server(handler) as (port, _), pool_at(port) as pool:
            assert {one.unknown for one in await pool.send(SENDER, to, MESSAGE)} == {unknown}

    async def test_all_refused_sends_no_data_and_keeps_the_connection(self) -> None:
        handler = Recorder()
        handler.answers = {"no@example.test": "550 nobody"}
        async with real_server(handler) as (port, live), pool_at(port) as pool:
            assert (await send_one(pool, "no@example.test")).state == "bounced"
            assert (await send_one(pool)).state == "accepted"
            assert len(live) == 1
        assert len(handler.messages) == 1

    @pytest.mark.parametrize(
        ("answer", "state"),
        [("554 spam", "bounced"), ("452 full", "deferred"), ("552 big", "bounced")],
    )
    async def test_answer_to_data_is_everybodys(self, answer: str, state: str) -> None:
        handler = Recorder()
        handler.data_answer = answer
        handler.answers = {"no@example.test": "550 nobody"}
        async with real_server(handler) as (port, _), pool_at(port) as pool:
            found = await pool.send(
                SENDER, ["a@example.test", "no@example.test", "b@example.test"], MESSAGE
            )
        assert [(o.state, o.code) for o in found] == [
            (state, int(answer[:3])),
            ("bounced", 550),
            (state, int(answer[:3])),
        ]
        assert not any(o.uncertain for o in found)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("answer", "state"),
        [
            ("550 no such sender", "deferred"),
            ("552 5.3.4 too big", "bounced"),
            ("451 later", "deferred"),
            ("530 log in", "deferred"),
            ("535 log in", "deferred"),
        ],
    )
    async def test_refused_sender(self, answer: str, state: str) -> None:
        handler = Recorder()
        handler.mail_answer = answer
        async with real_server(handler) as (port, _), pool_at(port) as pool:
            found = await send_one(pool)
            assert (found.state, found.code) == (state, int(answer[:3]))
            handler.mail_answer = None
            await asyncio.sleep(found.retry_seconds or 0)
            assert (await send_one(pool)).state == "accepted"

    async def test_dots_and_stray_line_ends_arrive_mended(self) -> None:
        handler = Recorder()
        message = b".first\r\n..two\r\n.\r\nlone\nline\rends"
        async with real_server(handler) as (port, _), pool_at(port) as pool:
            await pool.send(SENDER, ["a@example.test"], message)
        assert handler.messages[0][2] == b".first\r\n..two\r\n.\r\nlone\r\nline\r\nends\r\n"

    async def test_nobody_to_send_to(self) -> None:
        async with pool_at(1) as pool:
            assert await pool.send(SENDER, [], MESSAGE) == []

    async def test_no_relay_there(self, unused_tcp_port: int) -> None:
        async with pool_at(unused_tcp_port) as pool:
            found = await send_one(pool)
        assert (found.state, found.code, found.uncertain) == ("deferred", None, False)
        assert f"127.0.0.1:{unused_tcp_port}" in found.response

    async def test_closed_pool_refuses(self) -> None:
        async with pool_at(1) as pool:
            pass
        with pytest.raises(RuntimeError):
            await send_one(pool)
        await pool.aclose()


class TestBeyondAscii:
    INTERNATIONAL = "To: <ädä@example.test>\r\nSubject: s\r\n\r\nHello\r\n".encode()

    async def send(self, *recipients: str, sender: str = SENDER, message: bytes, **options: Any):
        handler = Recorder()
        async with real_server(handler, **options) as (port, live), pool_at(port) as pool:
            outcomes = await pool.send(sender, recipients, message)
            again = await pool.send(SENDER, ["a@example.test"], MESSAGE)
            assert [one.state for one in again] == ["accepted"]
            handler.messages.pop()
            # What cannot be sent costs no session.
            assert len(live) == 1
        return outcomes, handler.messages

    @pytest.mark.parametrize("sender", [SENDER, "grüße@example.test"])
    async def test_is_sent_where_it_is_offered(self, sender: str) -> None:
        to = ["ädä@example.test", "b@example.test"]
        outcomes, messages = await self.send(
            *to, sender=sender, message=self.INTERNATIONAL, enable_SMTPUTF8=True
        )
        assert [one.state for one in outcomes] == ["accepted", "accepted"]
        assert [(envelope, tos) for envelope, tos, _ in messages] == [(sender, to)]
        assert "<ädä@example.test>".encode() in messages[0][2]

    @pytest.mark.parametrize(
        ("sender", "message", "refused"),
        [
            (SENDER, INTERNATIONAL, [True, True]),
            ("grüße@example.test", MESSAGE, [True, True]),
            # A blind copy stands in no header: the others get their message.
            (SENDER, MESSAGE, [True, False]),
        ],
    )
    async def test_bounces_where_it_is_not(
        self, sender: str, message: bytes, refused: list[bool]
    ) -> None:
        outcomes, messages = await self.send(
            "ädä@example.test", "b@example.test", sender=sender, message=message
        )
        states = ["bounced" if one else "accepted" for one in refused]
        assert [one.state for one in outcomes] == states
        assert outcomes[0].code is None
        assert outcomes[0].response.startswith("5.6.7 The mail server does not offer SMTPUTF8")
        # It is the server that lacks something: the mailbox may well be there.
        assert not outcomes[0].unknown
        assert [tos for _, tos, _ in messages] == ([] if all(refused) else [["b@example.test"]])

    @pytest.mark.parametrize("to", ["ädä@example.test", "b@example.test"])
    async def test_is_asked_for_where_it_is_needed(self, to: str) -> None:
        """Servers that take such an address unasked are kind; RFC 6531 has them refuse it."""
        heard: list[str] = []

        async def script(talk: Dialogue) -> None:
            await talk.say("220 script ESMTP")
            assert (await talk.hear()).startswith("EHLO")
            await talk.say("250-script", "250-8BITMIME", "250 SMTPUTF8")
            heard.append(await talk.hear())
            await talk.say("550 5.1.1 enough was seen")

        async with scripted_server(script) as server, pool_at(server.port) as pool:
            (outcome,) = await pool.send(SENDER, [to], self.INTERNATIONAL)
        assert outcome.response == "5.1.1 enough was seen"
        assert heard[0].split(" ")[2:] == ["BODY=8BITMIME", "SMTPUTF8"]

    async def test_is_not_asked_for_without_need(self) -> None:
        async def script(talk: Dialogue) -> None:
            await talk.say("220 script ESMTP")
            assert (await talk.hear()).startswith("EHLO")
            await talk.say("250-script", "250-8BITMIME", "250 SMTPUTF8")
            said = await talk.hear()
            assert "SMTPUTF8" not in said, said
            await talk.say("550 5.1.1 enough was seen")

        async with scripted_server(script) as server, pool_at(server.port) as pool:
            assert (await send_one(pool)).response == "5.1.1 enough was seen"


class TestReuse:
    async def test_one_connection_serves_many_messages(self) -> None:
        handler = Recorder()
        async with real_server(handler) as (port, live), pool_at(port) as pool:
            for _ in range(5):
                assert (await send_one(pool)).state == "accepted"
            assert len(live) == 1
        assert len(handler.messages) == 5

    async def test_size_bounds_the_connections(self) -> None:
        handler = Recorder()
        async with real_server(handler) as (port, live), pool_at(port, size=3) as pool:
            found = await asyncio.gather(*(send_one(pool) for _ in range(20)))
            assert len(live) == 3
        assert {o.state for o in found} == {"accepted"}
        assert len(handler.messages) == 20

    async def test_connection_is_renewed_after_its_messages(self) -> None:
        handler = Recorder()
        async with real_server(handler) as (port, live), pool_at(port, per_connection=2) as pool:
            for _ in range(5):
                await send_one(pool)
            assert len(live) == 3

    async def test_idle_connection_says_goodbye(self) -> None:
        quit_heard = asyncio.Event()

        async def script(talk: Dialogue) -> None:
            await talk.greet()
            await talk.accept()
            assert await talk.hear() == "QUIT"
            quit_heard.set()
            await talk.say("221 bye")

        async with scripted_server(script) as server, pool_at(server.port, idle=0.05) as pool:
            assert (await send_one(pool)).state == "accepted"
            await asyncio.wait_for(quit_heard.wait(), 5)

    async def test_close_says_goodbye(self) -> None:
        said: list[str] = []

        async def script(talk: Dialogue) -> None:
            await talk.greet()
            await talk.accept()
            said.append(await talk.hear())
            await talk.say("221 bye")

        async with scripted_server(script) as server:
            async with pool_at(server.port) as pool:
                await send_one(pool)
            assert said == ["QUIT"]

    async def test_cancelled_send_gives_its_slot_back(self) -> None:
        reached = asyncio.Event()

        async def silent(talk: Dialogue) -> None:
            await talk.greet()
            await talk.hear()
            reached.set()
            await talk.hear()

        async def good(talk: Dialogue) -> None:
            await talk.greet()
            await talk.accept()
            await talk.answer(("QUIT", "221 bye"))

        async with scripted_server(silent, good) as server, pool_at(server.port) as pool:
            task = asyncio.create_task(send_one(pool))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await send_one(pool)).state == "accepted"


async def good(talk: Dialogue) -> None:
    await talk.greet()
    await talk.accept()
    await talk.answer(("QUIT", "221 bye"))


async def test_hears_an_answer_that_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop may read before it begins the task that listens, and the library drops what is read.

    Between two processes that takes luck; so the last octet is answered here by whoever writes it.
    """
    write = SMTPProtocol.write

    def write_and_hear(protocol: SMTPProtocol, data: bytes) -> None:
        write(protocol, data)
        if data.endswith(b"\r\n.\r\n"):
            protocol.data_received(b"250 2.0.0 at once\r\n")

    async def never_answers(dialogue: Dialogue) -> None:
        await dialogue.greet()
        await dialogue.answer(("MAIL", "250 OK"), ("RCPT", "250 OK"), ("DATA", "354 go"))
        await dialogue.hear_message()
        await dialogue.hear()

    monkeypatch.setattr(SMTPProtocol, "write", write_and_hear)
    async with scripted_server(never_answers) as server, pool_at(server.port) as pool:
        found = await send_one(pool)
    assert (found.state, found.response) == ("accepted", "2.0.0 at once")


class TestDeadConnection:
    """A used connection that fails before the message has left is replaced once."""

    @pytest.mark.parametrize(
        "stage",
        [
            "idle",
            "421 MAIL",
            "421 RCPT",
            "421 DATA",
            "503 MAIL",
            "reset MAIL",
            "reset RCPT",
            "reset DATA",
        ],
    )
    async def test_is_replaced(self, stage: str) -> None:
        what, _, when = stage.partition(" ")
        closed = asyncio.Event()

        async def dying(talk: Dialogue) -> None:
            await talk.greet()
            await talk.accept()
            if what == "idle":
                talk.reset_connection()
                closed.set()
                return
            closed.set()
            for command in ("MAIL", "RCPT", "DATA"):
                assert (await talk.hear()).startswith(command)
                if command == when:
                    break
                await talk.say("250 OK")
            if what == "reset":
                talk.reset_connection()
            else:
                await talk.say(f"{what} 4.3.2 going away")

        async with scripted_server(dying, good) as server, pool_at(server.port) as pool:
            assert (await send_one(pool)).state == "accepted"
            await closed.wait()
            assert (await send_one(pool)).state == "accepted"
            assert server.connections == 2

    async def test_is_replaced_once_only(self) -> None:
        async def dying(talk: Dialogue) -> None:
            await talk.greet()
            await talk.accept()
            await talk.answer(("MAIL", "421 4.3.2 going away"))

        async def busy(talk: Dialogue) -> None:
            await talk.greet()
            await talk.answer(("MAIL", "421 4.3.2 too busy"))

        async with scripted_server(dying, busy) as server, pool_at(server.port) as pool:
            await send_one(pool)
            found = await send_one(pool)
            assert server.connections == 2
        assert found == RecipientOutcome("a@example.test", "deferred", 421, "4.3.2 too busy")

    async def test_fresh_one_is_not_replaced(self) -> None:
        async def resetting(talk: Dialogue) -> None:
            await talk.greet()
            await talk.hear()
            talk.reset_connection()

        async with scripted_server(resetting) as server, pool_at(server.port) as pool:
            found = await send_one(pool)
            assert server.connections == 1
        assert (found.state, found.code, found.uncertain) == ("deferred", None, False)

    @pytest.mark.parametrize("end", ["reset", pytest.param("silence", marks=pytest.mark.slow)])
    async def test_after_the_message_left_nothing_is_repeated(self, end: str) -> None:
        async def swallowing(talk: Dialogue) -> None:
            await talk.greet()
            await talk.accept()
            await talk.answer(("MAIL", "250 OK"), ("RCPT", "250 OK"), ("DATA", "354 go"))
            await talk.hear_message()
            if end == "reset":
                talk.reset_connection()
            else:
                await talk.hear()

        async with (
            scripted_server(swallowing) as server,
            pool_at(server.port, timeout_seconds=5 if end == "reset" else 2) as pool,
        ):
            assert (await send_one(pool)).state == "accepted"
            found = await send_one(pool)
            assert server.connections == 1
        assert (found.state, found.code, found.uncertain) == ("deferred", None, True)
        assert "after the message was sent" in found.response

    async def test_421_after_the_message_is_an_answer(self) -> None:
        async def closing(talk: Dialogue) -> None:
            await talk.greet()
            await talk.answer(("MAIL", "250 OK"), ("RCPT", "250 OK"), ("DATA", "354 go"))
            await talk.hear_message()
            await talk.say("421 4.3.0 shutting down")

        async with scripted_server(closing, good) as server, pool_at(server.port) as pool:
            found = await send_one(pool)
            assert (found.state, found.code, found.uncertain) == ("deferred", 421, False)
            assert (await send_one(pool)).state == "accepted"

    async def test_agreement_instead_of_354_is_not_acceptance(self) -> None:
        async def confused(talk: Dialogue) -> None:
            await talk.greet()
            await talk.answer(
                ("MAIL", "250 OK"), ("RCPT", "250 OK"), ("DATA", "250 OK"), ("RSET", "250 OK")
            )
            await talk.answer(("QUIT", "221 bye"))

        async with scripted_server(confused) as server, pool_at(server.port) as pool:
            assert (await send_one(pool)).state == "deferred"


class TestBadServers:
    @pytest.mark.parametrize(
        ("greeting", "code"),
        [
            ("554 no service here", 554),
            ("421 busy", 421),
            ("HTTP/1.1 400 Bad Request", None),
            ("", None),
        ],
    )
    async def test_refusing_greeting_defers(self, greeting: str, code: int | None) -> None:
        async def script(talk: Dialogue) -> None:
            if greeting:
                await talk.say(greeting)

        async with scripted_server(script) as server, pool_at(server.port) as pool:
            found = await send_one(pool)
        assert (found.state, found.code) == ("deferred", code)

    async def test_silent_server_times_out(self) -> None:
        async def script(talk: Dialogue) -> None:
            await talk.hear()

        async with (
            scripted_server(script) as server,
            pool_at(server.port, timeout_seconds=0.2) as pool,
        ):
            found = await send_one(pool)
        assert (found.state, found.code) == ("deferred", None)
        assert "Timed out" in found.response

    async def test_server_without_ehlo_is_greeted_the_old_way(self) -> None:
        async def script(talk: Dialogue) -> None:
            await talk.say("220 old")
            await talk.answer(("EHLO", "502 what"), ("HELO", "250 hi"))
            await talk.accept()
            await talk.answer(("QUIT", "221 bye"))

        async with scripted_server(script) as server, pool_at(server.port) as pool:
            assert (await send_one(pool)).state == "accepted"

    async def test_response_is_one_bounded_printable_line(self) -> None:
        async def script(talk: Dialogue) -> None:
            await talk.greet()
            assert (await talk.hear()).startswith("MAIL")
            await talk.say("550-first\tline", "550-\x1b[31m" + "x" * 2_000, "550 last")
            await talk.answer(("RSET", "250 OK"), ("QUIT", "221 bye"))

        async with scripted_server(script) as server, pool_at(server.port) as pool:
            found = await send_one(pool)
        assert found.state == "deferred"
        assert found.response.startswith("first line [31mxxx")
        assert len(found.response) == 500
        assert found.response.isprintable()


class TestTls:
    async def test_starttls(self, certificate) -> None:
        server_tls, client_tls = certificate
        handler = Recorder()
        async with (
            real_server(handler, tls_context=server_tls, require_starttls=True) as (port, live),
            pool_at(port, tls="starttls", tls_context=client_tls) as pool,
        ):
            assert (await send_one(pool)).state == "accepted"
            assert live[0].session is not None
            assert live[0].session.ssl is not None

    async def test_implicit(self, certificate) -> None:
        server_tls, client_tls = certificate
        handler = Recorder()
        async with (
            real_server(handler, tls=server_tls) as (port, _),
            pool_at(port, tls="implicit", tls_context=client_tls) as pool,
        ):
            assert (await send_one(pool)).state == "accepted"

    async def test_the_relays_own_authority_is_trusted(self, certificate) -> None:
        server_tls, client_tls = certificate
        pem = ssl.DER_cert_to_PEM_cert(client_tls.get_ca_certs(binary_form=True)[0])
        handler = Recorder()
        async with (
            real_server(handler, tls=server_tls) as (port, _),
            pool_at(port, tls="implicit", ca_certificate=pem) as pool,
        ):
            assert (await send_one(pool)).state == "accepted"

    @pytest.mark.parametrize("tls", ["starttls", "implicit"])
    async def test_unknown_certificate_is_refused(self, certificate, tls: str) -> None:
        server_tls, _ = certificate
        handler = Recorder()
        options = {"tls": server_tls} if tls == "implicit" else {"tls_context": server_tls}
        async with real_server(handler, **options) as (port, _), pool_at(port, tls=tls) as pool:
            found = await send_one(pool)
        assert (found.state, found.code) == ("deferred", None)
        assert "certificate" in found.response
        assert handler.messages == []

    async def test_missing_starttls_is_no_reason_to_go_without(self) -> None:
        handler = Recorder()
        async with real_server(handler) as (port, _), pool_at(port, tls="starttls") as pool:
            found = await send_one(pool)
        assert found.state == "deferred"
        assert "STARTTLS" in found.response
        assert handler.messages == []


class TestLogin:
    @staticmethod
    def options(seen: list):
        def check(server, session, envelope, mechanism, data) -> AuthResult:
            seen.append((mechanism, data.login, data.password))
            return AuthResult(success=data.password == b"right", handled=False)

        return {"authenticator": check, "auth_require_tls": False}

    async def test_right_password(self) -> None:
        seen: list = []
        handler = Recorder()
        async with (
            real_server(handler, **self.options(seen)) as (port, _),
            pool_at(port, username="user", password="right") as pool,
        ):
            assert (await send_one(pool)).state == "accepted"
        assert seen == [("PLAIN", b"user", b"right")]

    async def test_wrong_password_defers_and_says_so(self) -> None:
        handler = Recorder()
        async with (
            real_server(handler, **self.options([])) as (port, _),
            pool_at(port, username="user", password="wrong") as pool,
        ):
            found = await send_one(pool)
        assert (found.state, found.code) == ("deferred", 535)
        assert "refused the log-in" in found.response
        assert "wrong" not in found.response
        assert handler.messages == []


class TestVerify:
    async def test_returns_milliseconds(self) -> None:
        async with real_server(Recorder()) as (port, _):
            assert 0 < await verify(relay_at(port), Outbound()) < 5_000

    async def test_unreachable(self, unused_tcp_port: int) -> None:
        with pytest.raises(RelayUnavailableError) as caught:
            await verify(relay_at(unused_tcp_port), Outbound())
        assert "No session" in caught.value.detail

    async def test_dies_after_the_greeting(self) -> None:
        async def script(talk: Dialogue) -> None:
            await talk.greet()

        async with scripted_server(script) as server:
            with pytest.raises(RelayUnavailableError):
                await verify(relay_at(server.port), Outbound())


class TestPrepare:
    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            (b"", b"\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\r\n", b"a\r\n..\r\n.\r\n"),
            (b"a\r\n.b\r\n..\r\n", b"a\r\n..b\r\n...\r\n.\r\n"),
        ],
    )
    def test_cannot_end_early(self, message: bytes, expected: bytes) -> None:
        assert prepare(message) == expected
