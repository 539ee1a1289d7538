"""The price of a page: words looked for among a tenant's lines, against SQLite's own index.

Both ask the same database for the newest fifty lines that have the words. Ours is confined to its
tenant, has them in the order in which they happened, and says whether there are more; the reference
is one statement by the standard library's ``sqlite3``, in the order of the index.
"""

import contextlib
import math
import random
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
import uvloop

from backend.core.clock import monotonic, perf_counter, system_clock
from backend.core.context import Scope
from backend.core.full_text import PLACE_BITS, Words
from backend.core.ids import uuid7, uuid7_at
from backend.managers.logging import Wanted, find_lines
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from scripts.benchmarks.stores import migrated, opened
from tests.support.lines import LEVELS, SOURCES, WORDS, messages

LINES: Final = 1_000_000
FEW: Final = 1000
FLOOR: Final = 0.5
_AT_ONCE: Final = 10_000
_PAGE: Final = 50
_ASKED: Final = 300
_OWN: Final = """
SELECT r.* FROM log_records_words w JOIN log_records r ON r.tenant_id = ? AND r.seq = w.rowid & ?
WHERE log_records_words MATCH ? ORDER BY w.rowid DESC LIMIT ?
"""


def run_case(rounds: int, lines: int) -> Result:
    """Searches a second at the 95th percentile of their times.

    Raises:
        BenchmarkError: The two found different lines.
    """
    rng = random.Random(5)  # noqa: S311 - the same on every run
    asked = [_question(rng) for _ in range(_ASKED)]
    with migrated("sqlite") as url:
        tenant_id = _fill(url, lines)
        with contextlib.closing(sqlite3.connect(sa.make_url(url).database or "")) as connection:
            _compare(url, tenant_id, connection, asked[:20])
            mine, theirs = alternate(
                rounds,
                lambda: uvloop.run(_ours(url, tenant_id, asked)),
                lambda: _reference(connection, tenant_id, asked),
            )
    return Result(
        "search", "sqlite", mine, theirs, "SQLite's own query", "searches/s at p95", FLOOR
    )


def _question(rng: random.Random) -> str:
    """One word of any share, two, two that follow each other, a beginning, an order's number."""

    def word() -> str:
        # By the logarithm: as many common ones as rare ones.
        return WORDS[int(math.exp(rng.uniform(0, math.log(len(WORDS)))))]

    kinds: Sequence[Callable[[], str]] = (
        word,
        lambda: f"{word()} {word()}",
        lambda: f'"{word()} order"',
        lambda: f"{word()[:6]}*",
        lambda: str(rng.randrange(10**6)),
    )
    return rng.choice(kinds)()


def _fill(url: str, lines: int) -> str:
    """Lines over a week, as they would have been kept; whose they are."""
    tenant_id, began = uuid7(), monotonic()
    database = sa.make_url(url).database or ""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("INSERT INTO log_heads VALUES (?, 0, 0, 0, 0)", (_bare(tenant_id),))
        columns = "tenant_id, id, seq, at, received_at, severity, source, message, fields"
        for rows in _rows(_bare(tenant_id), lines):
            with connection:
                connection.executemany(
                    f"INSERT INTO log_records ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '{{}}')",  # noqa: S608
                    rows,
                )
        connection.execute("ANALYZE")
        connection.commit()
    sys.stderr.write(f"    {lines:,} lines stored in {monotonic() - began:.0f} s\n")
    return tenant_id


def _bare(value: str) -> str:
    return value.replace("-", "")


def _rows(tenant_id: str, lines: int) -> Iterator[list[tuple[Any, ...]]]:
    rng = random.Random(7)  # noqa: S311
    began, step = system_clock() - timedelta(days=7), timedelta(days=7) / lines
    epoch = datetime.fromtimestamp(0, began.tzinfo)
    for first in range(0, lines, _AT_ONCE):
        count = min(_AT_ONCE, lines - first)
        rows = []
        for number, message in enumerate(messages(rng, count), first):
            at = began + number * step
            stamp = (at - epoch) // timedelta(microseconds=1)
            place = f"{_bare(uuid7_at(at))[:16]}{number:016x}"
            level = 9 + 4 * (rng.choice(LEVELS) != "info")
            rows.append(
                (tenant_id, place, number + 1, stamp, stamp, level, rng.choice(SOURCES), message)
            )
        yield rows


def _at_p95(seconds: list[float]) -> float:
    return 1 / sorted(seconds)[int(len(seconds) * 0.95)]


async def _ours(url: str, tenant_id: str, asked: Sequence[str]) -> float:
    took = []
    async with opened(url) as database:
        for words in asked:
            began = perf_counter()
            async with database.read(Scope("bench", tenant_id)) as tx:
                await find_lines(tx, Wanted(words=words), limit=_PAGE, before_id=None)
            took.append(perf_counter() - began)
    return _at_p95(took)


def _reference(connection: sqlite3.Connection, tenant_id: str, asked: Sequence[str]) -> float:
    took = []
    for words in asked:
        began = perf_counter()
        _own(connection, tenant_id, words)
        took.append(perf_counter() - began)
    return _at_p95(took)


def _own(connection: sqlite3.Connection, tenant_id: str, words: str) -> list[Any]:
    place, asked = (1 << PLACE_BITS) - 1, Words.read(words).asked("sqlite")
    return connection.execute(_OWN, (_bare(tenant_id), place, asked, _PAGE + 1)).fetchall()


def _compare(
    url: str, tenant_id: str, connection: sqlite3.Connection, asked: Sequence[str]
) -> None:
    """Lines were stored in the order in which they happened: both find the same."""

    async def found(words: str) -> list[int]:
        async with opened(url) as database, database.read(Scope("bench", tenant_id)) as tx:
            page = await find_lines(tx, Wanted(words=words), limit=_PAGE, before_id=None)
        return [line.seq for line in page.lines]

    for words in asked:
        theirs = [row[2] for row in _own(connection, tenant_id, words)][:_PAGE]
        if uvloop.run(found(words)) != theirs:
            raise BenchmarkError(f"{words!r} finds different lines")
