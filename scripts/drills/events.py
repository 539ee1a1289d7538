"""A drill on the outbox: those who consume events are killed, over and over, as events come in."""

import asyncio
import contextlib
import multiprocessing
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from backend.core.clock import monotonic
from backend.core.context import Scope
from backend.core.database import Database, make_engine
from backend.core.events import event_maker
from backend.core.ids import uuid7
from backend.rooms import HOUSE
from scripts.drills.event_consumer import BATCH, BROKEN, NOTED, run
from scripts.drills.rig import DrillError, Rig
from tests.support.trail import audit_row

SETTINGS: Final[dict[str, str]] = {}
# Killed, they are gone like any process; forked from one that has imported everything, fifty of
# them do not take minutes to start.
_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([run.__module__])
_TENANTS: Final = 20
_PROCESSES: Final = 2
_KIND: Final = "job.dead"
_EACH: Final = 5
_CATCH_UP_SECONDS: Final = 90.0
_START_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Notes:
    """What was delivered, as those who are dead have left it."""

    path: Path
    seen: dict[str, int]
    """For each tenant the last number delivered, everything before it having been."""
    ready: set[int] = field(default_factory=set)
    """Processes that began to serve."""
    calls: int = 0
    doubles: int = 0
    disorder: list[str] = field(default_factory=list)

    def read(self) -> int:
        """Look at everything anew; how many different events were delivered."""
        self.seen = dict.fromkeys(self.seen, 0)
        self.calls, self.doubles, self.disorder = 0, 0, []
        text = self.path.read_text() if self.path.exists() else ""
        for line in text.splitlines():
            tenant, first, *rest = line.split()
            if tenant == "ready":
                self.ready.add(int(first))
            # Else an event of the installation's own making.
            if tenant not in self.seen:
                continue
            known, last = self.seen[tenant], rest[0]
            self.calls += 1
            self.doubles += max(0, min(known, int(last)) - int(first) + 1)
            if int(first) > known + 1:
                self.disorder.append(f"{tenant}: {first} came after {known}")
            self.seen[tenant] = max(known, int(last))
        return sum(self.seen.values())


@dataclass(frozen=True, slots=True)
class EventsReport:
    """What became of events whose consumers were killed."""

    emitted: int
    delivered: int
    doubles: int
    disorder: Sequence[str]
    kills: int
    in_the_middle: int
    """Kills with undelivered events waiting, so that there was something to lose."""
    calls: int
    catch_up_seconds: float
    ready: bool
    told: str
    """What the readiness check says of the consumer that raises for ever."""

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = [*self.disorder[:1]]
        if self.delivered != self.emitted:
            found.append(f"{self.emitted - self.delivered} of {self.emitted} were not delivered")
        # A process holds one call for each tenant at most.
        most = self.kills * _TENANTS * BATCH
        if self.doubles > most:
            found.append(f"{self.doubles} doubles, of which only {most} can be explained")
        if not self.ready:
            found.append("a broken consumer made the installation unready")
        if not self.told.startswith(f"{BROKEN}: ") or "ConnectionError" not in self.told:
            found.append(f"the readiness check says {self.told!r}")
        return found

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.emitted} events of {_TENANTS} tenants, {self.kills} kills, "
            f"{self.in_the_middle} with events waiting: {self.delivered} delivered in order by "
            f"{self.calls} calls, {self.doubles} more than once; all {self.catch_up_seconds:.1f} s "
            f"after the last kill; /readyz: {self.told}"
        )


async def kill_consumers(
    rig: Rig, rng: random.Random, *, count: int = 10_000, kills: int = 50
) -> EventsReport:
    """Kill one of two consuming processes at random moments; another takes its place."""
    tenants = [uuid7() for _ in range(_TENANTS)]
    notes = _Notes(rig.folder / "notes", dict.fromkeys(tenants, 0))
    consumers = [_start(rig, notes.path) for _ in range(_PROCESSES)]
    emitted = in_the_middle = 0
    async with emitting(rig.database_url) as database:
        for number in range(1, kills + 1):
            victim = consumers.pop(rng.randrange(_PROCESSES))

            async def serves(pid: int | None = victim.pid) -> bool:
                notes.read()
                return pid in notes.ready

            await rig.until(serves, _START_SECONDS, "a consumer to begin")
            # Before the kill, so that it finds them on their way.
            until = count * number // (kills + 1)
            while emitted < until:
                emitted += await _emit(database, rng.choice(tenants), until - emitted)
            # Every other one at once: a quick machine delivers them all in a tenth of a second.
            await asyncio.sleep(0 if number % 2 else rng.uniform(0, 0.3))
            in_the_middle += notes.read() < emitted
            await _kill(victim)
            consumers.append(_start(rig, notes.path))
        while emitted < count:
            emitted += await _emit(database, rng.choice(tenants), count - emitted)
    struck = monotonic()

    async def all_delivered() -> bool:
        return notes.read() >= emitted

    # When it is in vain, the report says how many are missing.
    with contextlib.suppress(DrillError):
        await rig.until(all_delivered, _CATCH_UP_SECONDS, f"{NOTED} to be delivered all events")
    seconds = monotonic() - struck
    ready, told = True, ""

    async def told_of() -> bool:
        nonlocal ready, told
        answer = (await rig.http.get("/readyz")).json()
        ready = answer["ready"]
        told = next(check["detail"] for check in answer["checks"] if check["name"] == "events")
        return BROKEN in told

    # It counts as failing from the third failure in a row on, and waits between them.
    with contextlib.suppress(DrillError):
        await rig.until(told_of, _START_SECONDS, f"{BROKEN} to be told of")
    for each in consumers:
        await _kill(each)
    return EventsReport(
        emitted=emitted,
        delivered=notes.read(),
        doubles=notes.doubles,
        disorder=notes.disorder,
        kills=kills,
        in_the_middle=in_the_middle,
        calls=notes.calls,
        catch_up_seconds=seconds,
        ready=ready,
        told=told,
    )


def _start(rig: Rig, notes: Path) -> BaseProcess:
    process = _FORKS.Process(target=run, args=(rig.database_url, str(notes)), daemon=True)
    process.start()
    return process


async def _kill(process: BaseProcess) -> None:
    process.kill()
    await asyncio.to_thread(process.join)


async def _emit(database: Database, tenant_id: str, most: int) -> int:
    async with database.transaction(Scope("drill", tenant_id)) as tx:
        for number in range(min(_EACH, most)):
            tx.emit(_KIND, f"job:{number}")
    return min(_EACH, most)


@contextlib.asynccontextmanager
async def emitting(url: str) -> AsyncIterator[Database]:
    """The database, to emit events on it beside the installation."""
    database = Database(
        make_engine(url, pool_size=2), audit_row=audit_row, event_row=event_maker(HOUSE.events)
    )
    try:
        yield database
    finally:
        await database.aclose()
