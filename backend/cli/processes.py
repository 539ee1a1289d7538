"""Processes: the API, a worker, the sink."""

import argparse
import asyncio
import errno
import gc
import signal
import socket
import sys
from contextlib import suppress
from pkgutil import resolve_name
from typing import Final

import sqlalchemy as sa
import uvicorn

from backend.app import Platform, compose
from backend.cli.command import Command, CommandError, run_async
from backend.core.database import Base, make_engine
from backend.core.row_security import check_role
from backend.http import server
from backend.managers.security import load_root_keys, sink_key
from backend.settings import Settings
from backend.sink import SmtpSink
from backend.worker import run_worker

# Templates and large bodies are worked on in threads, and whoever wants the interpreter while one
# computes waits for this long, at each of the several hand-overs of a request. Python's own 5 ms
# are for throughput: beside such a thread a hand-over takes 2.8 ms, with this 0.15 ms (measured).
_SWITCH_SECONDS: Final = 0.0005


def _spare_heap() -> None:
    """Take what was made by now out of the garbage collector's rounds.

    It lives as long as the process: modules, routes, models. A full round over it holds the
    interpreter for a tenth of a second, and for twice as long on a busy machine (measured); it
    comes when somebody's large request has made enough objects.
    """
    gc.collect()
    gc.freeze()


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _spare_heap()


async def _refuse_weak_role(settings: Settings) -> None:
    """Serve nobody as a role that would not be kept to one tenant's rows.

    A database that is away is asked again by the readiness check.

    Raises:
        WeakRoleError: The role passes row-level security.
    """
    engine = make_engine(settings.database_url, pool_size=1)
    try:
        if engine.dialect.name == "postgresql":
            with suppress(sa.exc.OperationalError, sa.exc.InterfaceError):
                await check_role(engine, Base.metadata.tables)
    finally:
        await engine.dispose()


def _serve(settings: Settings, _: argparse.Namespace) -> None:
    sys.setswitchinterval(_SWITCH_SECONDS)
    # Before anything is begun: a server that finds its port taken has started everything else.
    _refuse_taken(settings.http.host, settings.http.port)
    run_async(_refuse_weak_role(settings))
    # By name, and after what may refuse: no other command wants routes.
    create_app = resolve_name("backend.api:create_app")
    made = _Server(
        uvicorn.Config(
            create_app(compose(settings)),
            host=settings.http.host,
            port=settings.http.port,
            loop="uvloop",
            timeout_graceful_shutdown=20,
            **server.OPTIONS,
        )
    )
    try:
        made.run()
    except KeyboardInterrupt:
        return  # it has ended in order, and says again how it was told to
    if not made.started:
        raise CommandError("the API did not start; its log says why")


def _refuse_taken(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            hint = "choose another by EMAIL_SENDER__HTTP__PORT"
            raise CommandError(f"port {port} of {host} is taken; {hint}") from None
        said = exc.strerror or str(exc)
        raise CommandError(f"cannot listen on {host}, port {port}: {said}") from None


def _worker(settings: Settings, _: argparse.Namespace) -> None:
    run_async(_refuse_weak_role(settings))
    work(compose(settings))


def work(platform: Platform) -> None:
    """Be a worker of this platform until SIGTERM."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    _spare_heap()
    run_async(run_worker(platform))


def _sink(settings: Settings, options: argparse.Namespace) -> None:
    directory = settings.email.sink_directory or settings.data_dir / "sink"

    async def serve() -> None:
        root_keys = load_root_keys(settings.security, settings.data_dir / "root.key")
        sink = SmtpSink(directory, options.host, options.port, key=sink_key(root_keys))
        await sink.start()
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        await stopped.wait()
        await sink.stop()

    run_async(serve())


def _sink_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8402)
    parser.add_argument("--host", default="127.0.0.1")


COMMANDS: Final = (
    Command("serve", "serve the HTTP API", _serve, installation="makes"),
    Command("worker", "run jobs and the platform's own ticks", _worker, installation="makes"),
    Command(
        "sink",
        "run the local SMTP sink, which accepts everything and keeps it",
        _sink,
        _sink_options,
        installation="makes",
    ),
)
