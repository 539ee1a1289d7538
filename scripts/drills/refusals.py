"""A drill on acts that cannot be recorded: the disk full, the database down.

Whatever is asked for meanwhile is refused with a problem, and nothing of it is there afterwards:
neither the act nor its record. ``/readyz`` says why. The disk is a small file system in memory,
mounted for the drill, on which SQLite's file or the whole PostgreSQL lies; mounting takes root.
"""

import asyncio
import errno
import os
import random
import subprocess
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from scripts.drills.audit import SETTINGS as AUDIT_SETTINGS
from scripts.drills.audit import Acts, Callers, until_signed
from scripts.drills.outages import hold_lock
from scripts.drills.rig import DrillError, Json, Rig, Where, open_rig
from tests.support.postgres import PostgresServer

# What the mail server could not keep is tried again at once.
SETTINGS: Final = AUDIT_SETTINGS | {"EMAIL__BACKOFF_SECONDS": "1"}
_SIZE: Final = {"sqlite": "192m", "postgresql": "448m"}
_REFUSED: Final = 20
_ANSWERED: Final = 20
_PHASE_SECONDS: Final = 240.0
# Longer than a statement waits for SQLite's lock.
_LOCKED_SECONDS: Final = 40.0
_HTTP_SECONDS: Final = 120.0
_UNREADY_SECONDS: Final = 60.0
_LAST_SECONDS: Final = 2.0
_CHUNK: Final = bytes(2**20)


@dataclass(frozen=True, slots=True)
class Outage:
    """What was asked for while nothing could be recorded."""

    what: str
    refused: int
    not_problems: int
    """Answers that are no 503 with a problem."""
    ready_said: str | None
    """Why ``/readyz`` was not ready; None: it was."""
    in_flight: int
    """At the end of the database they may have been done, and nobody could be told."""
    done_all_the_same: int
    """Refused, and yet on record."""


@dataclass(frozen=True, slots=True)
class RefusalsReport:
    """What became of acts over these outages."""

    outages: Sequence[Outage]
    acts: Acts
    signed: int
    records: int
    valid: bool
    errors: Sequence[str]

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = self.acts.problems()
        for one in self.outages:
            if not one.refused:
                found.append(f"{one.what}: nothing was refused")
            if one.not_problems:
                found.append(f"{one.what}: {one.not_problems} answers are no 503 with a problem")
            if one.ready_said is None:
                found.append(f"{one.what}: /readyz says that all is well")
            if one.done_all_the_same > one.in_flight:
                found.append(f"{one.what}: {one.done_all_the_same} refused acts were done")
        if self.acts.unanswered:
            found.append(f"{self.acts.unanswered} requests had no answer at all")
        if self.signed != self.records or not self.valid:
            found.append("the trail does not hold")
        found += self.errors[:3]
        return found

    def __str__(self) -> str:
        """A line and a table for people."""
        table = [
            f"     {one.what:<20} {one.refused:>4} refused, {one.done_all_the_same} of them done "
            f"all the same; /readyz: {one.ready_said}"
            for one in self.outages
        ]
        head = f"{self.acts}; {self.records} records hold, {self.signed} of them signed"
        return "\n".join([head, *table])


async def refuse(where: Where, rng: random.Random, folder: Path) -> RefusalsReport:
    """Fill the disk, take the database away, and have four callers act all the while."""
    await asyncio.to_thread(folder.mkdir)
    with on_small_disk(where, folder) as (own, disk):
        async with open_rig(folder, own, SETTINGS) as rig:
            return await _refuse(rig, rng, disk)


@contextmanager
def on_small_disk(where: Where, folder: Path) -> Iterator[tuple[Where, Path]]:
    """A place for an installation in this folder whose database lies on a disk to be filled.

    A PostgreSQL of its own, which ends with the thread that starts it: call from one that lasts.

    Raises:
        DrillError: It cannot be mounted.
    """
    with ExitStack() as stack:
        if where.server is None:
            # All that the installation keeps.
            disk = folder / "data"
            disk.mkdir()
        else:
            # Where PostgreSQL's own user comes to, as it does not to our folder.
            disk = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="email-sender-")))
        stack.enter_context(small_disk(disk, _SIZE[where.kind]))
        own = where
        if where.server is not None:
            own = Where(where.kind, stack.enter_context(PostgresServer(fsync=True, place=disk)))
        yield own, disk


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of this size in the folder; gone afterwards.

    Raises:
        DrillError: It cannot be mounted.
    """
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DrillError(f"no small disk can be mounted, which takes root: {done.stderr.strip()}")
    try:
        yield
    finally:
        # Lazily: somebody may look at it this moment.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_disk(folder: Path) -> Path:
    """Write until nothing more fits; the file that has to go for there to be room again."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (len(_CHUNK), 4096, 1):
            try:
                while file.write(_CHUNK[:size]) == size:
                    pass
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise
    return ballast


@dataclass(slots=True)
class _Span:
    """An outage that goes on: from which refusal on it counts, and what ``/readyz`` said last."""

    what: str
    begun: int
    in_flight: int
    said: str | None = None


class _Drill:
    """The callers, and what is done to them."""

    def __init__(self, rig: Rig, callers: Callers) -> None:
        self._rig = rig
        self._callers = callers
        self._spans: list[_Span] = []

    async def until_answered(self) -> None:
        """Wait until acts succeed."""
        before = self._callers.answered

        async def answered() -> bool:
            return self._callers.answered >= before + _ANSWERED

        await self._rig.until(answered, _PHASE_SECONDS, "acts to succeed")

    @asynccontextmanager
    async def outage(self, what: str, *, in_flight: int) -> AsyncIterator[None]:
        """Look at what is refused, and at what ``/readyz`` says, until the block ends."""
        span = _Span(what, len(self._callers.refused), in_flight)
        self._spans.append(span)
        looking = asyncio.create_task(self._look(span))
        try:
            yield
        finally:
            looking.cancel()

    async def until_refused(self) -> None:
        """Wait until acts are refused, and ``/readyz`` has had the time to tell of it."""
        before = len(self._callers.refused)

        async def refused() -> bool:
            return len(self._callers.refused) >= before + _REFUSED

        await self._rig.until(refused, _PHASE_SECONDS, "acts to be refused")

        async def unready() -> bool:
            return await self._ask(self._spans[-1]) is not None

        await self._rig.until(unready, _UNREADY_SECONDS, "/readyz to tell of it", pause=0.2)

    async def _look(self, span: _Span) -> None:
        while True:
            await self._ask(span)
            await asyncio.sleep(0.5)

    async def _ask(self, span: _Span) -> str | None:
        span.said = await _why_unready(self._rig) or span.said
        return span.said

    def outages(self, recorded: Collection[str]) -> list[Outage]:
        """What was refused in each."""
        ends = [span.begun for span in self._spans[1:]]
        found = []
        for span, end in zip(self._spans, [*ends, None], strict=True):
            answers = self._callers.refused[span.begun : end]
            done = [one for one in answers if one.request.headers["x-request-id"] in recorded]
            found.append(
                Outage(
                    what=span.what,
                    refused=len(answers),
                    not_problems=sum(not _is_problem(one) for one in answers),
                    ready_said=span.said,
                    in_flight=span.in_flight,
                    done_all_the_same=len(done),
                )
            )
        return found


def _is_problem(answer: httpx.Response) -> bool:
    said = answer.headers.get("content-type", "")
    return answer.status_code == 503 and said == "application/problem+json"


async def _why_unready(rig: Rig) -> str | None:
    """What the database's check says when the installation is not ready."""
    try:
        answer = await rig.http.get("/readyz")
    except httpx.TransportError:
        return None
    body: Json = answer.json()
    (check,) = (one for one in body["checks"] if one["name"] == "database")
    return None if body["ready"] or check["ok"] else str(check["detail"])


async def _refuse(rig: Rig, rng: random.Random, disk: Path) -> RefusalsReport:
    await rig.become_owner()
    rig.http.timeout = _HTTP_SECONDS
    await rig.start("worker")
    callers = Callers(rig, rng)
    await callers.make_key()
    drill = _Drill(rig, callers)
    acting = asyncio.create_task(callers.act())
    try:
        await drill.until_answered()
        for outage in (_fill, _take_away):
            await outage(rig, drill, disk)
            await rig.until_serving()
            await drill.until_answered()
    finally:
        callers.end()
        await asyncio.gather(acting, return_exceptions=True)
    acting.result()
    await rig.until_settled()
    signed = await until_signed(rig)
    await callers.compare()
    records = await rig.list_all("/api/v1/audit", {})
    names = {str(record["request_id"]) for record in records}
    return RefusalsReport(
        outages=drill.outages(names),
        acts=callers.total(),
        signed=signed,
        records=len(records),
        valid=await rig.audit_holds(),
        errors=rig.logged_errors(allowed_statuses={503}),
    )


async def _fill(rig: Rig, drill: _Drill, disk: Path) -> None:
    server = rig.where.server
    # A PostgreSQL that cannot write its log ends, with what was being committed.
    async with drill.outage("disk full", in_flight=0 if server is None else 4):
        ballast = await asyncio.to_thread(fill_disk, disk)
        try:
            await drill.until_refused()
        finally:
            await asyncio.to_thread(os.unlink, ballast)
        # It may be on its way out yet.
        await asyncio.sleep(_LAST_SECONDS)
        if server is not None and not server.runs:
            server.stop()
            server.start()


async def _take_away(rig: Rig, drill: _Drill, _: Path) -> None:
    server = rig.where.server
    if server is None:
        async with drill.outage("SQLite locked", in_flight=0):
            await asyncio.to_thread(hold_lock, rig.database_url, _LOCKED_SECONDS)
        return
    async with drill.outage("PostgreSQL down", in_flight=4):
        server.stop()
        await drill.until_refused()
        server.start()
