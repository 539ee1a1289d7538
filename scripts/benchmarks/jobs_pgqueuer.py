"""The reference of the job engine's workers: PgQueuer, by the settings that suited it best here."""

import argparse
import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pgqueuer
import psycopg
import uvloop

from scripts.benchmarks.measure import BenchmarkError
from scripts.benchmarks.processes import started, wait_until

NAME: Final = f"PgQueuer {version('pgqueuer')}"
READY: Final = "ready"
_TASK: Final = "noop"
_BATCH: Final = 50
_AT_ONCE: Final = 200
_DRAIN_SECONDS: Final = 300.0


class Queue:
    """PgQueuer in a database of its own."""

    def __init__(self, url: str, env: Mapping[str, str], logs: Path) -> None:
        self._url, self._env, self._logs = url, env, logs
        uvloop.run(self._install())

    async def _install(self) -> None:
        async with opened(self._url) as queuer:
            await queuer.qm.queries.install()

    def measure(self, count: int, workers: int) -> float:
        """Jobs a second by workers that stand ready, from the first one's start to the last end."""
        self._ask("TRUNCATE pgqueuer, pgqueuer_log")
        with contextlib.ExitStack() as stack:
            logs = [self._logs / f"pgqueuer-{number}.log" for number in range(workers)]
            for log in logs:
                log.unlink(missing_ok=True)
                stack.enter_context(started(__name__, [self._url], self._env, log))
            wait_until(lambda: all(READY in log.read_text() for log in logs), "its workers' start")
            uvloop.run(self.enqueue(count))
            wait_until(
                lambda: self._ask("SELECT count(*) FROM pgqueuer")[0] == 0,
                f"the end of {count} jobs",
                _DRAIN_SECONDS,
            )
        ended, seconds = self._ask(
            "SELECT count(*) FILTER (WHERE status = 'successful'),"
            " extract(epoch FROM max(created) FILTER (WHERE status = 'successful')"
            " - min(created) FILTER (WHERE status = 'picked'))::float8 FROM pgqueuer_log"
        )
        if ended != count:
            raise BenchmarkError(f"{NAME} ended {ended} of {count} jobs")
        return float(count / seconds)

    async def enqueue(self, count: int) -> None:
        """All in one statement."""
        async with opened(self._url) as queuer:
            await queuer.qm.queries.enqueue([_TASK] * count, [None] * count, [0] * count)

    def _ask(self, statement: str) -> Sequence[Any]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return (cursor.fetchone() or ()) if cursor.description else ()


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[pgqueuer.PgQueuer]:
    """PgQueuer on a connection."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield pgqueuer.PgQueuer.from_psycopg_connection(connection)


async def _work(url: str) -> None:
    async with opened(url) as queuer:

        @queuer.entrypoint(_TASK)
        async def noop(_: pgqueuer.Job) -> None:
            return None

        # What is printed is seen before the loop comes to its first question.
        asyncio.get_running_loop().call_later(1, functools.partial(print, READY, flush=True))
        await queuer.run(batch_size=_BATCH, max_concurrent_tasks=_AT_ONCE)


def main() -> None:
    """Work until SIGTERM, with the event loop that our worker uses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    uvloop.run(_work(parser.parse_args().url))


if __name__ == "__main__":
    main()
