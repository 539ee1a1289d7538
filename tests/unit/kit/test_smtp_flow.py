"""What a pool learns of its relay: nothing that speaks of the moment costs a message."""

import asyncio
import base64
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from backend.kit.outbound import Outbound
from backend.kit.smtp import ALL_SENDERS, Limits, Pacing, SmtpPool, SmtpRelay, SmtpTimeouts
from backend.kit.smtp._flow import Flow, Hold
from backend.kit.smtp._providers import limits_for
from tests.support.mail_server import Hangup, Rules, answers, mail_server

MESSAGE = b"Subject: s\r\n\r\nHello\r\n"
QUICK = Pacing(recover_seconds=60, pause_seconds=0.3, most_pause_seconds=1, hold_seconds=0.3)


@asynccontextmanager
async def pool_to(
    rules,
    *,
    limits=Limits(4),  # noqa: B008
    pacing=QUICK,
    seconds=5.0,
    most_bytes=2**26,
    **relay,
):
    async with mail_server(rules, most_bytes=most_bytes) as port:
        given = {
            "tls": "none",
            "local_hostname": "client.test",
            "limits": limits,
            "timeouts": SmtpTimeouts().at_most(seconds),
        }
        pool = SmtpPool(SmtpRelay("127.0.0.1", port, **(given | relay)), Outbound(), pacing=pacing)
        try:
            yield pool
        finally:
            await pool.aclose()


async def send(pool, *to, sender="us@x.test", holder=None):
    return await pool.send(sender, list(to) or ["a@y.test"], MESSAGE, holder=holder)


async def send_all(pool, count, sender="us@x.test"):
    """As a queue does: what is to come back does; the states, and how often each was tried."""
    tries = Counter()

    async def one(index):
        while True:
            tries[index] += 1
            (found,) = await pool.send(sender, [f"{index}@y.test"], MESSAGE)
            if found.retry_seconds is None:
                return found.state
            await asyncio.sleep(found.retry_seconds)

    return Counter(await asyncio.gather(*(one(n) for n in range(count)))), tries


class TestAcceptance:
    """A 2xx answer to the end of DATA, and nothing else."""

    @pytest.mark.parametrize("code", ["251", "252"])
    async def test_of_a_recipient_is_none_of_the_message(self, code):
        rules = answers("rcpt", f"{code} 2.1.5 as you like")()
        async with pool_to(rules) as pool:
            (found,) = await send(pool)
        assert (found.state, found.code, found.response) == ("accepted", 250, "2.0.0 taken")
        assert len(rules.letters) == 1

    @pytest.mark.parametrize("hook", ["mail", "rcpt", "data"])
    @pytest.mark.parametrize("said", ["150 hm", "300 hm", "399 hm", "42 hm", "250", "2 50"])
    async def test_is_not_read_out_of_oddities(self, hook, said):
        if hook != "data" and said == "250":
            said = "354 go on"
        rules = answers(hook, said)()
        async with pool_to(rules) as pool:
            (found,) = await send(pool)
        assert found.state == "deferred"
        assert rules.letters == []

    async def test_said_before_the_end_is_none(self):
        rules = answers("data", "354 go on\r\n250 2.0.0 taken")()
        rules.play(end=answers("end", "554 5.7.1 spam")().end)
        async with pool_to(rules) as pool:
            (found,) = await send(pool)
        assert found.state == "deferred"

    @pytest.mark.slow
    async def test_said_in_the_middle_of_the_message_is_none(self):
        rules = Rules()

        async def hasty(talk):
            await asyncio.sleep(0.1)  # until it has been heard that it is to go on
            raise Hangup("250 2.0.0 taken")

        rules.play(block=hasty)
        async with pool_to(rules, most_bytes=2**16) as pool:
            (found,) = await pool.send("us@x.test", ["a@y.test"], b"x" * 78 * 400_000)
        assert (found.state, found.uncertain) == ("deferred", True)

    @pytest.mark.slow
    async def test_said_in_the_middle_by_a_server_that_reads_on_is_none(self):
        """No broken connection tells: it is the place of the word alone that is wrong."""
        rules = Rules()

        async def hasty(talk):
            await asyncio.sleep(0.1)
            return "250 2.0.0 taken"

        async def read(reader):
            while not reader.at_eof():
                await reader.read(2**16)
            raise Hangup

        rules.play(block=hasty, read=read)
        async with pool_to(rules, most_bytes=2**16) as pool:
            (found,) = await pool.send("us@x.test", ["a@y.test"], b"x" * 78 * 400_000)
        assert (found.state, found.uncertain) == ("deferred", True)
        assert found.response.startswith("Out of step")

    async def test_a_surplus_answer_is_not_taken_for_the_next(self):
        rules = answers("mail", "250 OK\r\n250 OK")()
        async with pool_to(rules) as pool:
            (found,) = await send(pool)
        assert found.state == "deferred"


class TestRefusalOfUs:
    @pytest.mark.parametrize(
        ("hook", "said"),
        [
            ("greet", "554 5.7.1 not you"),
            ("hello", "504 5.5.2 localhost is no name"),
            ("auth", "535 5.7.8 bad password"),
            ("mail", "550 5.4.5 daily limit"),
            ("mail", "553 5.7.1 sender not owned"),
            ("rcpt", "504 5.5.2 <localhost>: Helo command rejected"),
            ("rcpt", "553 5.7.1 Sender address rejected: not owned by user"),
            ("end", "550 5.4.5 daily limit"),
            ("end", "550 5.7.26 DMARC"),
        ],
    )
    async def test_pauses_the_relay_and_bounces_nothing(self, hook, said):
        rules = answers(hook, said)()
        rules.extensions = ("AUTH PLAIN",)
        async with pool_to(rules, username="u", password="p") as pool:
            (found,) = await send(pool)
            asked = len(rules.heard)
            (held,) = await send(pool)
            assert len(rules.heard) == asked or rules.heard[asked:] == ["QUIT"]
            (pause,) = pool.flow.pauses
        for one in (found, held):
            assert (one.state, one.refused_us, one.code) == ("deferred", True, int(said[:3]))
            assert one.retry_seconds is not None
        assert (pause.kind, pause.code) == ("refused", int(said[:3]))

    async def test_is_not_asked_for_by_everybody_who_waits(self):
        rules = answers("auth", "535 5.7.8 bad password")()
        rules.extensions = ("AUTH PLAIN",)
        pacing = Pacing(pause_seconds=30, hold_seconds=5)
        async with pool_to(rules, username="u", password="p", pacing=pacing) as pool:
            found = await asyncio.gather(*(send(pool) for _ in range(40)))
        assert all(one.refused_us for (one,) in found)
        assert sum(words.startswith("AUTH") for words in rules.heard) <= 2

    async def test_of_one_sender_leaves_the_others_alone(self):
        rules = Rules()

        async def picky(talk):
            return "553 5.7.1 not owned" if talk.sender.startswith("no") else "250 OK"

        rules.play(mail=picky)
        async with pool_to(rules) as pool:
            assert (await send(pool, sender="no@x.test"))[0].refused_us
            assert (await send(pool, sender="yes@x.test"))[0].state == "accepted"
            assert (await send(pool, sender="no@x.test"))[0].refused_us
            assert [one.sender for one in pool.flow.pauses] == ["no@x.test"]

    @pytest.mark.slow
    async def test_ends_when_it_is_mended(self):
        rules = answers("mail", "550 5.4.5 daily limit", "550 5.4.5 daily limit", "250 OK")()
        async with pool_to(rules) as pool:
            states, _ = await send_all(pool, 20)
            assert pool.flow.pauses == ()
        assert states == {"accepted": 20}

    async def test_in_the_middle_of_a_message_keeps_what_was_taken(self):
        rules = answers("rcpt", "250 OK", "250 OK", "550 5.4.5 daily limit")()
        async with pool_to(rules) as pool:
            found = await send(pool, *(f"{n}@y.test" for n in range(4)))
        assert [one.state for one in found] == ["accepted", "accepted", "deferred", "deferred"]
        assert [one.refused_us for one in found] == [False, False, True, True]
        assert rules.letters[0].to == ("0@y.test", "1@y.test")

    async def test_tls_that_is_not_there(self):
        async with pool_to(Rules(), tls="starttls") as pool:
            (found,) = await send(pool)
        assert (found.state, found.refused_us, found.code) == ("deferred", True, None)
        assert "STARTTLS" in found.response


class TestFlow:
    @pytest.mark.slow
    async def test_two_connections_only(self):
        rules = Rules()

        async def greet(talk):
            if len(rules.open) > 2:
                raise Hangup("421 4.7.0 too many connections")
            return "220 part.test"

        async def slow(talk):
            await asyncio.sleep(0.01)
            return "250 OK"

        rules.play(greet=greet, mail=slow)
        async with pool_to(rules, limits=Limits(8)) as pool:
            found = await asyncio.gather(*(send(pool) for _ in range(60)))
            assert pool.flow.learned["connections"] <= 2
        assert {one.state for (one,) in found} == {"accepted"}

    async def test_ten_messages_a_session(self):
        rules = Rules()

        async def mail(talk):
            return "452 4.3.2 enough of you" if talk.messages >= 10 else "250 OK"

        rules.play(mail=mail)
        async with pool_to(rules, limits=Limits(2)) as pool:
            found = await asyncio.gather(*(send(pool) for _ in range(80)))
            assert pool.flow.limits.messages_per_session == 10
        assert {one.state for (one,) in found} == {"accepted"}
        assert max(Counter(one.session for one in rules.letters).values()) == 10

    @pytest.mark.parametrize("said", ["452 4.5.3 too many recipients", "452 enough", "552 5.5.3 x"])
    async def test_ten_recipients_a_transaction(self, said):
        rules = Rules()

        async def rcpt(talk, address):
            return said if len(talk.to) >= 10 else "250 OK"

        rules.play(rcpt=rcpt)
        to = [f"{n}@y.test" for n in range(35)]
        async with pool_to(rules) as pool:
            found = await send(pool, *to)
            assert pool.flow.limits.recipients_per_transaction == 10
        assert [(one.address, one.state) for one in found] == [(one, "accepted") for one in to]
        assert [len(one.to) for one in rules.letters] == [10, 10, 10, 5]

    @pytest.mark.slow
    async def test_so_many_a_second(self):
        rules = Rules()
        taken = [-1.0]

        async def mail(talk):
            if rules.now - taken[0] < 0.2:
                return "454 4.7.0 slow down"
            taken[0] = rules.now
            return "250 OK"

        rules.play(mail=mail)
        pacing = Pacing(recover_seconds=600, hold_seconds=2)
        async with pool_to(rules, pacing=pacing) as pool:
            states, _ = await send_all(pool, 8)
            assert "rate_per_second" in pool.flow.learned
        assert states == {"accepted": 8}

    async def test_what_refused_rests(self):
        rules = Rules()

        async def rcpt(talk, address):
            return "451 4.3.0 out of order" if talk.number == 0 else "250 OK"

        rules.play(rcpt=rcpt)
        async with pool_to(rules, limits=Limits(1)) as pool:
            assert (await send(pool))[0].state == "deferred"
            assert [(await send(pool))[0].state for _ in range(3)] == ["accepted"] * 3

    async def test_a_greylisted_recipient_changes_nothing(self):
        rules = answers("rcpt", "450 4.2.0 greylisted")()
        async with pool_to(rules) as pool:
            found = [(await send(pool))[0] for _ in range(3)]
            assert pool.flow.learned == {}
            assert pool.flow.pauses == ()
        assert {(one.state, one.retry_seconds) for one in found} == {("deferred", None)}
        assert rules.sessions == 1

    def test_recovers(self):
        now = [0.0]
        flow = Flow("h:25", Limits(4), Pacing(recover_seconds=60), clock=lambda: now[0])
        flow.worked()
        flow.refused_connection(1)
        flow.refused_crowd(10)
        assert flow.limits == Limits(1, recipients_per_transaction=10)
        now[0] = 61
        assert flow.limits.connections == 2
        now[0] = 121
        assert flow.limits.connections == 3
        now[0] = 10_000
        for _ in range(60):
            now[0] += 61
            assert flow.limits.connections == 4
        assert flow.learned == {}

    def test_a_rate_tells_when_to_come_back(self):
        now = [0.0]
        limits = Limits(4, rate_per_second=2)
        flow = Flow("h:25", limits, Pacing(), clock=lambda: now[0])
        assert [flow.turn(1.0) for _ in range(3)] == [0.0, 0.5, 1.0]
        held = [flow.turn(1.0) for _ in range(3)]
        assert all(isinstance(one, Hold) for one in held)
        assert [one.seconds for one in held if isinstance(one, Hold)] == [2.0, 2.5, 3.0]

    def test_who_waits_for_a_learned_rate_reckons_with_its_recovery(self):
        """One refusal after the first message of a thousand is no reason to wait for an hour."""
        now = [0.0]
        flow = Flow("h:25", Limits(4), Pacing(recover_seconds=60), clock=lambda: now[0])
        flow.took("us@x.test")
        flow.refused_rate()
        assert flow.learned == {"rate_per_second": 0.8}
        held = [flow.turn(-1.0) for _ in range(1_000)]
        waits = [one.seconds for one in held if isinstance(one, Hold)]
        assert len(waits) == 1_000
        assert waits == sorted(waits)
        # By then the rate has doubled four times, and all of them have had their turn.
        assert 240 < waits[-1] < 300
        assert waits[40] == pytest.approx(42 / 0.8)
        # Whoever asks later is told of the rate that holds then.
        now[0] = 61
        later = flow.turn(-1.0)
        assert isinstance(later, Hold)
        assert later.seconds < 240

    def test_known_providers(self):
        found = limits_for("SMTP.office365.com.", Limits(8, messages_per_session=100))
        assert found == Limits(3, 0.5, 100, 500)
        assert limits_for("mail.example.test", Limits(8)) == Limits(8)


class TestTarpit:
    @pytest.mark.slow
    async def test_holds_two_places_and_then_is_left_alone(self):
        rules = Rules()

        async def silent(talk):
            await asyncio.sleep(60)
            return ""

        rules.play(greet=silent)
        async with pool_to(rules, seconds=1.0, limits=Limits(8)) as pool:
            sends = [asyncio.ensure_future(send(pool)) for _ in range(40)]
            await asyncio.sleep(0.7)
            waiting = [one for one in sends if not one.done()]
            assert len(waiting) == 2
            assert pool.hold("us@x.test") is not None
            found = [one for (one,) in await asyncio.gather(*sends)]
            assert rules.most_open == 2
            assert {one.state for one in found} == {"deferred"}
            assert sum(one.retry_seconds is None for one in found) == 2
            await send(pool)
            (pause,) = pool.flow.pauses
        assert (pause.sender, pause.kind) == (ALL_SENDERS, "unreachable")

    async def test_whoever_waits_is_served_in_turn(self):
        rules = Rules()
        order = []

        async def mail(talk):
            order.append(talk.sender)
            await asyncio.sleep(0.005)
            return "250 OK"

        rules.play(mail=mail)
        async with pool_to(rules, limits=Limits(1)) as pool:
            many = [
                asyncio.ensure_future(send(pool, sender="a@x.test", holder="a")) for _ in range(30)
            ]
            await asyncio.sleep(0.01)
            await send(pool, sender="b@x.test", holder="b")
            await asyncio.gather(*many)
        assert order.index("b@x.test") <= 4


class TestTimeouts:
    @pytest.mark.slow
    async def test_each_step_has_its_own(self):
        rules = Rules()

        async def slow(*_):
            await asyncio.sleep(0.1)
            return "250 OK"

        rules.play(rcpt=slow)
        to = [f"{n}@y.test" for n in range(12)]
        async with pool_to(rules, seconds=0.5) as pool:
            found = await send(pool, *to)
        assert {one.state for one in found} == {"accepted"}

    @pytest.mark.slow
    async def test_of_the_end_is_the_longest(self):
        rules = Rules()

        async def slow(talk, content):
            await asyncio.sleep(0.4)
            return "250 2.0.0 taken"

        rules.play(end=slow)
        timeouts = SmtpTimeouts(1, 1, 0.2, 0.2, 0.2, 2)
        async with pool_to(rules, timeouts=timeouts) as pool:
            assert (await send(pool))[0].state == "accepted"

    @pytest.mark.slow
    async def test_a_slow_line_is_no_silence(self):
        """Every part may take its time; so the whole takes as often that time as it has parts."""
        rules = Rules()
        read_for = 0.0

        async def read(reader):
            nonlocal read_for
            began, since, content = rules.now, 0, bytearray()
            while not content.endswith(b"\r\n.\r\n"):
                chunk = await reader.read(2**16)
                content += chunk
                since += len(chunk)
                if since > 1_250_000:
                    since = 0
                    await asyncio.sleep(0.3)
            read_for = rules.now - began
            return bytes(content)

        rules.play(read=read)
        timeouts = SmtpTimeouts(10, 10, 10, 10, 2, 20)
        async with pool_to(rules, timeouts=timeouts, most_bytes=2**16) as pool:
            (found,) = await pool.send("us@x.test", ["a@y.test"], b"x" * 78 * 400_000)
        assert found.state == "accepted"
        assert read_for > 3 * timeouts.block_seconds

    def test_are_those_of_the_standard(self):
        assert SmtpTimeouts() == SmtpTimeouts(30, 300, 300, 120, 180, 600)


class TestName:
    async def test_is_never_localhost(self):
        rules = Rules()
        async with pool_to(rules, local_hostname=None) as pool:
            await send(pool)
        name = rules.heard[0].removeprefix("EHLO ")
        assert "localhost" not in name
        assert name.startswith("[127.0.0.1]") or "." in name


class TestLogin:
    async def test_with_an_access_token(self):
        rules = Rules()
        rules.extensions = ("AUTH XOAUTH2",)
        async with pool_to(rules, username="u@x.test", password="tok", login="xoauth2") as pool:
            assert (await send(pool))[0].state == "accepted"
        word = base64.b64encode(b"user=u@x.test\x01auth=Bearer tok\x01\x01").decode()
        assert f"AUTH XOAUTH2 {word}" in rules.heard
