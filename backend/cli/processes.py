"""Processes: the API, a worker, the sink."""

import argparse
import asyncio
import signal
from contextlib import suppress
from typing import Final

import sqlalchemy as sa
import uvicorn

from backend.app import compose, create_app
from backend.cli.command import Command, run_async
from backend.core.database import Base, make_engine
from backend.core.row_security import check_role
from backend.http import server
from backend.settings import Settings
from backend.sink import SmtpSink
from backend.worker import run_worker


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
    run_async(_refuse_weak_role(settings))
    app = create_app(compose(settings))
    uvicorn.run(
        app,
        host=settings.http.host,
        port=settings.http.port,
        loop="uvloop",
        timeout_graceful_shutdown=20,
        **server.OPTIONS,
    )


def _worker(settings: Settings, _: argparse.Namespace) -> None:
    run_async(_refuse_weak_role(settings))
    run_async(run_worker(compose(settings)))


def _sink(settings: Settings, options: argparse.Namespace) -> None:
    directory = settings.email.sink_directory or settings.data_dir / "sink"

    async def serve() -> None:
        sink = SmtpSink(directory, options.host, options.port)
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
    Command("serve", "serve the HTTP API", _serve),
    Command("worker", "run jobs and the platform's own ticks", _worker),
    Command(
        "sink",
        "run the local SMTP sink, which accepts everything and keeps it",
        _sink,
        _sink_options,
    ),
)
