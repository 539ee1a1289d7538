"""Processes: the API, a worker, the sink."""

import argparse
import asyncio
import signal
from typing import Final

import uvicorn

from backend.app import compose, create_app
from backend.cli.command import Command, run_async
from backend.http import server
from backend.settings import Settings
from backend.sink import SmtpSink
from backend.worker import run_worker


def _serve(settings: Settings, _: argparse.Namespace) -> None:
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
