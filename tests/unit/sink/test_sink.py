"""The sink: what it stores, what it refuses on request, and how its copies are read."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from backend.kit.mime import Attachment, Content, Mailbox, compose
from backend.kit.outbound import Outbound
from backend.kit.smtp import SmtpPool, SmtpRelay
from backend.sink import (
    SmtpSink,
    count_copies,
    hash_message_id,
    open_copy,
    read_copies,
)

KEY = bytes(range(32))

SENDER = "no-reply@example.test"
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make(message_id: str = "<1@example.test>", **content) -> bytes:
    return compose(
        Content(**({"subject": "Grüße", "text": "Hällo\n"} | content)),
        message_id=message_id,
        from_mailbox=Mailbox("Acme", SENDER),
        to=(Mailbox("Zoë", "zoe@example.test"),),
        date=STARTED,
    )


@asynccontextmanager
async def sink_in(directory: Path, **options):
    """A running sink whose clock moves one second a message, and a pool that sends to it."""
    ticks = count(int(STARTED.timestamp()) * 10**9, 10**9)
    sink = SmtpSink(directory, port=0, now_nanoseconds=lambda: next(ticks), **options)
    await sink.start()
    relay = SmtpRelay("127.0.0.1", sink.port, tls="none", local_hostname="client.test")
    pool = SmtpPool(relay, Outbound())
    try:
        yield sink, pool
    finally:
        await pool.aclose()
        await sink.stop()


async def send(pool: SmtpPool, message: bytes, *recipients: str) -> list[tuple[str, int | None]]:
    found = await pool.send(SENDER, list(recipients or ["zoe@example.test"]), message)
    return [(outcome.state, outcome.code) for outcome in found]


def stored(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*/*") if path.is_file())


class TestStoring:
    async def test_message_becomes_a_copy(self, tmp_path: Path) -> None:
        message = make(html="<p>Hällo</p>", headers={"X-Own": "ü"})
        async with sink_in(tmp_path) as (sink, pool):
            assert await send(pool, message, "zoe@example.test", "bcc@example.test") == [
                ("accepted", 250),
                ("accepted", 250),
            ]
            assert sink.accepted == 1
        (copy,) = read_copies(tmp_path, "<1@example.test>")
        assert copy.received_at == STARTED
        assert copy.envelope_from == SENDER
        assert copy.envelope_to == ["zoe@example.test", "bcc@example.test"]
        assert copy.text == "Hällo\n"
        assert copy.html == "<p>Hällo</p>\n"
        assert copy.size_bytes == len(message)
        assert ("Subject", "Grüße") in copy.headers
        assert ("To", "Zoë <zoe@example.test>") in copy.headers
        assert ("X-Own", "ü") in copy.headers
        assert not any(name.startswith("X-Envelope") for name, _ in copy.headers)

    async def test_file_says_where_it_came_from(self, tmp_path: Path) -> None:
        message = make()
        async with sink_in(tmp_path) as (_, pool):
            await send(pool, message)
        (path,) = stored(tmp_path)
        digest = hash_message_id("<1@example.test>")
        assert path.parent.name == digest[:2]
        assert path.name.startswith(f"{digest}.{int(STARTED.timestamp())}000000000-")
        assert path.read_bytes() == (
            b"X-Envelope-From: no-reply@example.test\r\n"
            b"X-Envelope-To: zoe@example.test\r\n"
            b"X-Received-At: 2026-01-02T03:04:05.000000+00:00\r\n" + message
        )

    async def test_doubles_are_counted(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path) as (_, pool):
            for message_id in ("<1@example.test>", "<2@example.test>", "<1@example.test>"):
                await send(pool, make(message_id))
        assert count_copies(tmp_path) == {
            hash_message_id("<1@example.test>"): 2,
            hash_message_id("<2@example.test>"): 1,
        }
        first, second = read_copies(tmp_path, "<1@example.test>")
        assert second.received_at - first.received_at == timedelta(seconds=2)

    async def test_folded_and_missing_ids(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path) as (_, pool):
            await send(pool, b"message-id:\r\n <folded@x.test>\r\n\r\nbody\r\n")
            await send(pool, b"Subject: s\r\n\r\nMessage-ID: <body@x.test>\r\n")
            await send(pool, b"Subject: s\r\n\r\nMessage-ID: <body@x.test>\r\n")
        assert len(read_copies(tmp_path, "<folded@x.test>")) == 1
        assert read_copies(tmp_path, "<body@x.test>") == []
        assert sorted(count_copies(tmp_path).values()) == [1, 2]

    async def test_large_message_with_attachment(self, tmp_path: Path) -> None:
        message = make(attachments=[Attachment("a.bin", "a/b", bytes(range(256)) * 8_000)])
        async with sink_in(tmp_path) as (_, pool):
            assert await send(pool, message) == [("accepted", 250)]
        (copy,) = read_copies(tmp_path, "<1@example.test>")
        assert copy.size_bytes == len(message)
        assert copy.text == "Hällo\n"

    async def test_too_large_is_refused(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path, max_bytes=1_000) as (_, pool):
            assert await send(pool, make(text="x" * 500 + "\n" + "y" * 500)) == [("bounced", 552)]
            assert await send(pool, make()) == [("accepted", 250)]
        assert len(stored(tmp_path)) == 1

    async def test_keeps_the_newest(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path, keep=3) as (_, pool):
            for n in range(5):
                await send(pool, make(f"<{n}@example.test>"))
        kept = {hash_message_id(f"<{n}@example.test>"): 1 for n in (2, 3, 4)}
        assert count_copies(tmp_path) == kept

    async def test_takes_stock_of_what_an_earlier_run_left(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path) as (_, pool):
            for n in range(4):
                await send(pool, make(f"<{n}@example.test>"))
        folder = stored(tmp_path)[0].parent
        (folder / "half.eml.tmp").write_text("half")
        (folder / "foreign.txt").write_text("not ours")
        async with sink_in(tmp_path, keep=3):
            kept = {hash_message_id(f"<{n}@example.test>"): 1 for n in (1, 2, 3)}
            assert count_copies(tmp_path) == kept
        assert not (folder / "half.eml.tmp").exists()
        assert (folder / "foreign.txt").exists()

    async def test_write_failure_defers(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path / "sink") as (sink, pool):
            blocked = tmp_path / "blocked"
            blocked.write_text("a file where a folder should be")
            sink.directory = blocked
            assert await send(pool, make()) == [("deferred", 452)]
            assert sink.accepted == 0


class TestBehaviourOnRequest:
    async def test_by_local_part(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path) as (_, pool):
            found = await send(
                pool,
                make(),
                "bounce@example.test",
                "Bounce-7@example.test",
                "defer@example.test",
                "defer-x@example.test",
                "ada@example.test",
            )
        assert found == [
            ("bounced", 550),
            ("bounced", 550),
            ("deferred", 451),
            ("deferred", 451),
            ("accepted", 250),
        ]
        (copy,) = read_copies(tmp_path, "<1@example.test>")
        assert copy.envelope_to == ["ada@example.test"]

    async def test_defer_once_per_address(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path) as (_, pool):
            for address in ("defer-once@example.test", "defer-once-2@example.test"):
                assert await send(pool, make(), address) == [("deferred", 451)]
                assert await send(pool, make(), address) == [("accepted", 250)]
                assert await send(pool, make(), address) == [("accepted", 250)]

    async def test_slow_delays_the_answer_and_nobody_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[float] = []
        asleep, over = asyncio.Event(), asyncio.Event()
        give_way = asyncio.sleep

        async def sleep(seconds: float) -> None:
            if seconds == 0:
                await give_way(0)
            else:
                asked.append(seconds)
                asleep.set()
                await over.wait()

        async with sink_in(tmp_path, slow_seconds=3) as (_, pool):
            # Time passes when the test says so: a busy machine could be slower than any delay.
            monkeypatch.setattr(asyncio, "sleep", sleep)
            slow = asyncio.create_task(send(pool, make(), "slow-1@example.test"))
            await asleep.wait()
            assert await send(pool, make("<2@example.test>")) == [("accepted", 250)]
            assert not slow.done()
            over.set()
            assert await slow == [("accepted", 250)]
        assert asked == [3]

    async def test_accepts_any_login(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path) as (sink, _):
            pool = SmtpPool(
                SmtpRelay("127.0.0.1", sink.port, "u", "p", "none", local_hostname="c.test"),
                Outbound(),
            )
            assert await send(pool, make()) == [("accepted", 250)]
            await pool.aclose()


class TestServer:
    async def test_stop_cuts_open_sessions(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path) as (sink, _):
            port = sink.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert (await reader.readline()).startswith(b"220")
            await sink.stop()
            await sink.stop()
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            with pytest.raises(OSError, match="onnect"):
                await asyncio.open_connection("127.0.0.1", port)

    async def test_strange_paths_go_to_the_library(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path) as (sink, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)

            async def ask(line: str) -> bytes:
                writer.write(line.encode() + b"\r\n")
                return await reader.readline()

            await reader.readline()
            assert (await ask("HELO x")).startswith(b"250")
            assert (await ask("MAIL FROM: <a@x.test>")).startswith(b"250")
            assert (await ask('RCPT TO:<"a b"@x.test>')).startswith(b"250")
            assert (await ask("RCPT TO:<a@x.test")).startswith(b"250")
            assert (await ask("RCPT TO:<@@>")).startswith(b"553")
            assert (await ask("NONSENSE")).startswith(b"500")
            assert (await ask("QUIT")).startswith(b"221")
            writer.close()


class TestReadCopies:
    def test_unknown_message(self, tmp_path: Path) -> None:
        assert read_copies(tmp_path, "<none@example.test>") == []
        assert read_copies(tmp_path / "absent", "../../etc") == []
        assert count_copies(tmp_path / "absent") == {}

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\r\n",
            b"no colon at all",
            b"\xff\xfe\x00\x00",
            b"Subject: =?nonsense?q?=FF?=\r\nTo: <<<>>>, ,;:\r\n\r\nbody\r\n",
            b"Content-Type: text/plain; charset=nonsense\r\n\r\n\xff\xfebody",
            b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%",
            b"Content-Type: multipart/mixed\r\n\r\nno boundary",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nnever closed",
            b'Content-Type: multipart/alternative; boundary="\r\n\r\n--\r\n',
            b"Content-Type: message/rfc822\r\n\r\n" * 50,
            b"Subject: \xe4\xf6\r\nX: =?utf-8?b?//8=?=\r\n\r\n\xe4\r\n",
            b"From: " + b"(" * 5_000 + b"\r\n\r\nbody",
            b"Date: not a date\r\nMessage-ID: <<>\r\nMIME-Version: x\r\n\r\nbody",
            b"Content-Disposition: attachment; filename*0*=x'\r\n\r\nbody",
            b"Content-Type: text/html; charset=utf-16\r\n\r\n\x00\xd8",
        ],
    )
    def test_damaged_message_does_not_raise(self, tmp_path: Path, content: bytes) -> None:
        digest = hash_message_id("<bad@x.test>")
        folder = tmp_path / digest[:2]
        folder.mkdir()
        envelope = (
            b"X-Envelope-From: a@x.test\r\nX-Envelope-To: b@x.test,c@x.test\r\nX-Received-At: t\r\n"
        )
        (folder / f"{digest}.1000000000-ab.eml").write_bytes(envelope + content)
        (folder / f"{digest}.2000000000-ab.eml").write_bytes(content)
        (folder / f"{digest}.garbage.eml").write_bytes(content)
        first, second = read_copies(tmp_path, "<bad@x.test>")
        assert (first.envelope_from, first.envelope_to) == ("a@x.test", ["b@x.test", "c@x.test"])
        assert first.received_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
        assert first.size_bytes == len(content)
        for copy in (first, second):
            shown = [text for pair in copy.headers for text in pair]
            "".join([*shown, copy.text or "", copy.html or ""]).encode("utf-8")


class TestSealing:
    async def test_nothing_of_a_message_is_in_its_file(self, tmp_path: Path) -> None:
        message = make(text="A planted plaintext\n")
        async with sink_in(tmp_path, key=KEY) as (_, pool):
            await send(pool, message)
        (path,) = stored(tmp_path)
        kept = path.read_bytes()
        for word in (b"planted", b"Gr", b"Subject", b"zoe@", b"X-Envelope", b"example.test"):
            assert word not in kept
        (copy,) = read_copies(tmp_path, "<1@example.test>", KEY)
        assert copy.text == "A planted plaintext\n"
        assert copy.envelope_to == ["zoe@example.test"]
        assert copy.size_bytes == len(message)

    async def test_two_copies_of_one_message_differ(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path, key=KEY) as (_, pool):
            for _ in range(2):
                await send(pool, make())
        first, second = (path.read_bytes() for path in stored(tmp_path))
        assert first[8:20] != second[8:20]
        assert len(read_copies(tmp_path, "<1@example.test>", KEY)) == 2

    @pytest.mark.parametrize("key", [None, bytes(32)])
    async def test_without_the_key_a_copy_counts_and_says_nothing(
        self, tmp_path: Path, key: bytes | None
    ) -> None:
        async with sink_in(tmp_path, key=KEY) as (_, pool):
            await send(pool, make())
        (copy,) = read_copies(tmp_path, "<1@example.test>", key)
        assert (copy.text, copy.html, copy.headers, copy.size_bytes) == (None, None, [], 0)
        assert copy.received_at == STARTED

    async def test_a_copy_does_not_open_as_another_messages_or_altered(
        self, tmp_path: Path
    ) -> None:
        async with sink_in(tmp_path, key=KEY) as (_, pool):
            await send(pool, make())
        (path,) = stored(tmp_path)
        digest, kept = path.name.partition(".")[0], path.read_bytes()
        assert open_copy(KEY, digest, kept) is not None
        assert open_copy(KEY, "0" * 32, kept) is None
        for position in (8, 20, len(kept) - 1):
            altered = bytearray(kept)
            altered[position] ^= 1
            assert open_copy(KEY, digest, bytes(altered)) is None
        assert open_copy(KEY, digest, kept[:20]) is None

    async def test_what_lay_in_the_clear_is_sealed_at_the_start(self, tmp_path: Path) -> None:
        async with sink_in(tmp_path) as (_, pool):
            await send(pool, make(text="From before\n"))
        (before,) = stored(tmp_path)
        (tmp_path / before.parent.name / f"{before.name}.tmp").write_bytes(b"half")
        assert b"From before" in before.read_bytes()
        for _ in range(2):
            async with sink_in(tmp_path, key=KEY):
                pass
        assert stored(tmp_path) == [before]
        assert b"From before" not in before.read_bytes()
        assert before.stat().st_mode & 0o777 == 0o600
        (copy,) = read_copies(tmp_path, "<1@example.test>", KEY)
        assert copy.text == "From before\n"
        assert count_copies(tmp_path) == {hash_message_id("<1@example.test>"): 1}
