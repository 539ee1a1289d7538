"""The reference of the job engine: a procrastinate worker, which drains its queue and leaves."""

import argparse
from typing import Final

import procrastinate
import uvloop

from scripts.benchmarks.measure import say_picked_up

TASK: Final = "noop"
TIMED_TASK: Final = "timed"
_MAX_POOL: Final = 20


def make_app(url: str, concurrency: int = 1) -> procrastinate.App:
    """An application with tasks that do nothing, and a connection for each running job."""
    pool = min(concurrency, _MAX_POOL) + 2
    connector = procrastinate.PsycopgConnector(conninfo=url, min_size=pool, max_size=pool)
    app = procrastinate.App(connector=connector)

    @app.task(name=TASK)
    async def noop() -> None:
        return None

    @app.task(name=TIMED_TASK)
    async def timed(called_at: float) -> None:
        say_picked_up(called_at)

    return app


async def work(url: str, concurrency: int, *, stay: bool) -> None:
    """Work until nothing is left, or until SIGTERM."""
    app = make_app(url, concurrency)
    async with app.open_async():
        await app.run_worker_async(concurrency=concurrency, wait=stay)


def main() -> None:
    """Work with the event loop that our worker uses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--stay", action="store_true", help="wait for more until SIGTERM")
    options = parser.parse_args()
    uvloop.run(work(options.url, options.concurrency, stay=options.stay))


if __name__ == "__main__":
    main()
