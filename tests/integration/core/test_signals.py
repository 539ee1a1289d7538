"""Hints between processes, over both carriers; each Signals object stands for a process."""

import asyncio
import contextlib
import os
import socket

import psycopg
import pytest

from backend.core.signals import PostgresCarrier, Signals, UnixCarrier
from tests.support.postgres import PostgresServer, find_programs


def heard_by(signals, topic="principals"):
    heard = []
    signals.subscribe(topic, heard.append)
    return heard


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def until_it_arrives(sender, heard, payload):
    """Say it until it is heard: a listener that just came (back) may have missed the first."""
    async with asyncio.timeout(60):
        while payload not in heard:
            sender.publish("principals", payload)
            await asyncio.sleep(0.02)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "signals"


class TestSignals:
    def test_reach_this_process_at_once_and_without_a_carrier(self):
        signals = Signals()
        heard = heard_by(signals)
        signals.publish("principals", "user:1")
        signals.publish("jobs", "")
        assert heard == ["user:1"]

    def test_a_handler_that_fails_does_not_silence_the_next(self, caplog):
        signals = Signals()

        def fail(_: str) -> None:
            raise RuntimeError("broken")

        signals.subscribe("principals", fail)
        heard = heard_by(signals)
        signals.publish("principals")
        assert heard == [""]
        assert "signal_handler_failed" in caplog.messages

    async def test_a_carrier_that_fails_does_not_end_the_next_hint(self, caplog):
        class Broken:
            sent = 0

            @contextlib.asynccontextmanager
            async def listening(self, _):
                yield

            async def send(self, messages):
                self.sent += 1
                raise OSError

        carrier = Broken()
        signals = Signals(carrier)
        async with signals.running():
            signals.publish("jobs", "1")
            await until(lambda: carrier.sent == 1)
            signals.publish("jobs", "2")
            await until(lambda: carrier.sent == 2)
        assert caplog.messages.count("signal_not_sent") == 2

    async def test_of_several_that_may_be_vague_none_is_named(self):
        class Kept:
            def __init__(self):
                self.told = []

            @contextlib.asynccontextmanager
            async def listening(self, _):
                yield

            async def send(self, messages):
                self.told.append([message.split(" ", 1)[1] for message in messages])

        carrier = Kept()
        signals = Signals(carrier, {"jobs"})
        async with signals.running():
            signals.publish("jobs", "a")
            signals.publish("jobs", "a")
            await until(lambda: len(carrier.told) == 1)
            for tenant in ("a", "b", "c", "c"):
                signals.publish("jobs", tenant)
            signals.publish("principals", "user:1")
            signals.publish("principals", "user:2")
            await until(lambda: len(carrier.told) == 2)
            signals.publish("jobs", "d")
            await until(lambda: len(carrier.told) == 3)
        assert carrier.told == [
            ["jobs  a"],
            ["jobs  ", "principals  user:1", "principals  user:2"],
            ["jobs  d"],
        ]


class TestUnixCarrier:
    async def test_reaches_every_other_process_once(self, directory):
        one, two, three = (Signals(UnixCarrier(directory)) for _ in range(3))
        heard = [heard_by(each) for each in (one, two, three)]
        async with one.running(), two.running(), three.running():
            for _ in range(1000):
                one.publish("principals", "same")
            await until(lambda: heard[1] and heard[2])
            one.publish("principals", "after")
            await until(lambda: "after" in heard[1] and "after" in heard[2])
        # A burst of the same hint is one hint elsewhere; at home each is delivered.
        assert heard[1] == heard[2] == ["same", "after"]
        assert len(heard[0]) == 1001

    async def test_only_the_owner_may_look_into_the_folder_and_leaves_nothing(self, directory):
        async with Signals(UnixCarrier(directory)).running():
            assert directory.stat().st_mode & 0o077 == 0
            assert len(list(directory.iterdir())) == 1
        assert list(directory.iterdir()) == []

    async def test_forgets_the_sockets_of_dead_processes(self, directory):
        directory.mkdir()
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        dead.bind(os.path.relpath(directory / "1-dead.sock"))
        dead.close()
        one, two = Signals(UnixCarrier(directory)), Signals(UnixCarrier(directory))
        heard = heard_by(two)
        async with one.running(), two.running():
            one.publish("principals", "hello")
            await until(lambda: heard)
            assert not (directory / "1-dead.sock").exists()

    async def test_works_in_a_folder_deeper_than_a_sockets_address(self, tmp_path):
        deep = tmp_path / ("d" * 120) / "signals"
        one, two = Signals(UnixCarrier(deep)), Signals(UnixCarrier(deep))
        heard = heard_by(two)
        async with one.running(), two.running():
            one.publish("principals", "hello")
            await until(lambda: heard)
        assert list(deep.iterdir()) == []


@pytest.mark.postgresql
class TestPostgresCarrier:
    @pytest.fixture
    def dsn(self, postgres_template):
        # No table is needed: any database of the server carries its own hints.
        return postgres_template.url("email_sender", "postgres")

    async def test_reaches_every_other_process_and_not_twice_its_own(self, dsn):
        one, two = Signals(PostgresCarrier(dsn)), Signals(PostgresCarrier(dsn))
        at_home, elsewhere = heard_by(one), heard_by(two)
        async with one.running(), two.running():
            await until_it_arrives(one, elsewhere, "first")
            one.publish("principals", "second")
            await until(lambda: "second" in elsewhere)
            assert at_home.count("second") == 1
            assert elsewhere.count("second") == 1

    async def test_a_sender_whose_connection_was_cut_loses_nothing(self, dsn):
        one, two = Signals(PostgresCarrier(dsn)), Signals(PostgresCarrier(dsn))
        heard = heard_by(two)
        async with one.running(), two.running():
            await until_it_arrives(one, heard, "before")
            with psycopg.connect(dsn, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE query LIKE 'SELECT pg_notify%' AND pid <> pg_backend_pid()"
                )
            one.publish("principals", "after")
            await until(lambda: "after" in heard)

    async def test_listens_again_after_the_server_restarted(self):
        if find_programs() is None:
            pytest.skip("PostgreSQL's server programs are missing: apt-get install postgresql")
        # With fsync: it is stopped as by a crash, and its roles are to survive that.
        with PostgresServer() as server:
            dsn = server.url("email_sender", "postgres")
            one, two = Signals(PostgresCarrier(dsn)), Signals(PostgresCarrier(dsn))
            heard = heard_by(two)
            async with one.running(), two.running():
                await until_it_arrives(one, heard, "before")
                await asyncio.to_thread(server.stop)
                one.publish("principals", "while it is away")
                await asyncio.to_thread(server.start)
                await until_it_arrives(one, heard, "after")
