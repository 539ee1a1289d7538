"""The drill on the orchestrator: whatever can happen to its workers and its database, happens.

Graphs of requests are handed in all the while, two workers of production run them, and a program
here is asked. It remembers who asked when; each answer has a token, and what waits for a task hands
in the token of that task's result, so what ran too early cannot have it. In the end every graph
that was acknowledged is held against its jobs, their events and those memories.

Recovery is the time from a fault, or from the end of one in which nobody could work, until a job
that was open then has ended. What a worker had in hand is looked at while it is stopped: that is
what it dies with.
"""

import asyncio
import contextlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import httpx
import psycopg
import sqlalchemy as sa

from backend.core._outages import DISK_FULL
from backend.core.clock import system_clock
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, DatabaseUnavailableError, db_now
from backend.core.events import EventRecord
from backend.managers.orchestrator import WORK
from backend.managers.orchestrator.models import GraphRow, JobLimitsRow, JobRow, WorkerRow
from scripts.drills.events import emitting
from scripts.drills.lost_replies import LostReplies
from scripts.drills.outages import hold_lock
from scripts.drills.refusals import fill_disk, on_small_disk
from scripts.drills.rig import DrillError, Json, Rig, Where, open_rig
from tests.support.hooks import HookServer
from tests.support.postgres import SUPERUSER, PostgresServer

RECOVERY_SECONDS: Final = 10.0
"""Within which 95 of 100 jobs have ended, of each fault."""
SETTINGS: Final = {
    "ORCHESTRATOR__CONCURRENCY": "6",
    "ORCHESTRATOR__ALLOW_PRIVATE_TARGETS": "true",
    # The program here is one destination of one tenant.
    "OUTBOUND__REQUESTS_EACH": "64",
    "OUTBOUND__REQUESTS_DESTINATION": "64",
}
_FAKE_TIME: Final = "*/faketime/libfaketimeMT.so.1"
_ALL_IN_USE: Final = "all connections are in use"
_STOPS_WORKERS: Final = ("kill -9", "frozen", "poison")
_WORKERS: Final = ("worker", "worker-2")
_LEASE_SECONDS: Final = 6.0
_POOL_WAITS_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 30.0
_MOST_OPEN: Final = 5
_AGAIN_SECONDS: Final = 0.5
_LIMIT_SECONDS: Final = 120.0
# In company it may be more than three, but never more than six: record 0045.
_CRASHES: Final = range(3, 7)
_ENDED: Final = ("succeeded", "dead", "cancelled", "skipped")
_ENDS: Final = ("job.succeeded", "job.dead", "job.cancelled")


@dataclass(slots=True)
class Tasks:
    """A graph as it was handed in."""

    fault: str
    """During which it was."""
    parents: Mapping[str, Sequence[str]]
    id: str | None = None
    """Once it was acknowledged."""


class Program(HookServer):
    """Is asked by tasks, each by a path of its own: ``/<number of the graph>/<task>``."""

    def __init__(self) -> None:
        super().__init__()
        self.more_headers = {"Content-Type": "application/json"}
        self.graphs: list[Tasks] = []
        self.asked: Counter[tuple[int, str]] = Counter()
        self.disorder: list[str] = []
        self.poisoned: Callable[[str], Awaitable[None]] | None = None
        self._tokens: set[str] = set()
        self._last: set[int] = set()

    @property
    def open(self) -> int:
        """How many graphs have not come to their last task."""
        return len(self.graphs) - len(self._last)

    @property
    def again(self) -> int:
        """How often it was asked beyond the first time of each task."""
        return self.asked.total() - len(self.asked)

    async def take(
        self, path: str, headers: Mapping[str, str], body: bytes
    ) -> int | tuple[int, bytes]:
        """Do as the task says; the answer has a token that nobody had before."""
        number, _, name = path.strip("/").partition("/")
        place = (int(number), name)
        self.asked[place] += 1
        said = json.loads(body)
        graph = self.graphs[place[0]]
        for parent in graph.parents[name]:
            if parent == _PILL:
                continue
            token = said["tokens"].get(parent, "")
            if token not in self._tokens or not token.startswith(f"{number}/{parent}/"):
                self.disorder.append(f"{number}/{name} began without a result of {parent}")
        if name == _PILL and self.poisoned is not None:
            await self.poisoned(headers["idempotency-key"])
        await asyncio.sleep(said["seconds"])
        token = f"{number}/{name}/{self.asked[place]}"
        self._tokens.add(token)
        if name == list(graph.parents)[-1]:
            self._last.add(place[0])
        return 200, json.dumps({"token": token}).encode()


@dataclass(slots=True)
class Fault:
    """What came of one kind of fault."""

    what: str
    rounds: int = 0
    seconds: list[float] = field(default_factory=list)
    """Of each job that was open then, until it had ended."""
    again: int = 0
    """How often the program was asked once more than it had to be."""
    jobs: int = 0
    """Of graphs that were handed in meanwhile."""
    lost: int = 0
    twice: int = 0

    @property
    def p95(self) -> float:
        """Seconds of recovery."""
        return _quantile(self.seconds, 19)

    def __str__(self) -> str:
        """A row of the table."""
        return (
            f"{self.what:<15} {self.rounds:>6} {self.jobs:>6} {len(self.seconds):>5} "
            f"{_quantile(self.seconds, 10):>6.1f} {self.p95:>6.1f} "
            f"{max(self.seconds, default=0.0):>6.1f} {self.again:>6} {self.lost:>5} {self.twice:>6}"
        )


def _quantile(values: Sequence[float], twentieths: int) -> float:
    if len(values) < 2:
        return max(values, default=0.0)
    return quantiles(values, n=20, method="inclusive")[twentieths - 1]


@dataclass(frozen=True, slots=True)
class JobsReport:
    """What became of graphs while everything failed."""

    faults: Sequence[Fault]
    skipped: Mapping[str, str]
    """Faults that could not be made here, and why."""
    graphs: int
    wrong: Sequence[str]
    recovery_seconds: float = RECOVERY_SECONDS

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = list(self.wrong)
        for one in self.faults:
            if one.lost:
                found.append(f"{one.what}: {one.lost} of {one.jobs} jobs were lost")
            if one.twice:
                found.append(f"{one.what}: {one.twice} of {one.jobs} jobs were accepted twice")
            if one.p95 > self.recovery_seconds:
                found.append(f"{one.what}: recovery took {one.p95:.1f} s (p95)")
            if one.again and one.what not in _STOPS_WORKERS:
                found.append(f"{one.what}: {one.again} jobs were run again while workers lived")
            if not one.seconds:
                found.append(f"{one.what}: nothing was open when it struck")
        return found

    def __str__(self) -> str:
        """A table for people."""
        head = (
            f"{self.graphs} graphs, {sum(one.jobs for one in self.faults)} jobs, "
            f"{sum(one.rounds for one in self.faults)} faults: "
            f"{sum(one.lost for one in self.faults)} lost, "
            f"{sum(one.twice for one in self.faults)} accepted twice"
        )
        title = (
            f"{'fault':<15} rounds   jobs  open {'p50 s':>6} {'p95 s':>6} {'max s':>6} "
            f"{'again':>6} {'lost':>5} {'twice':>6}"
        )
        rows = [title, *map(str, self.faults)]
        rows += [f"{what}: left out, {why}" for what, why in self.skipped.items()]
        return "\n".join([head, *(f"     {row}" for row in rows)])


async def jobs(
    where: Where,
    rng: random.Random,
    folder: Path,
    *,
    faults: int = 10,
    only: Sequence[str] = (),
    recovery_seconds: float = RECOVERY_SECONDS,
) -> JobsReport:
    """Have each fault strike so often while graphs run.

    Args:
        where: The database.
        rng: Of all random choices.
        folder: Of the installation.
        faults: How often each strikes.
        only: These; none: all.
        recovery_seconds: Within which 95 of 100 open jobs have to end.

    Raises:
        DrillError: The installation does not do what it is asked.
    """
    await asyncio.to_thread(folder.mkdir, parents=True)
    wanted = {what: why for what, why in _faults_of(where).items() if not only or what in only}
    with contextlib.ExitStack() as stack:
        disk = None
        if not wanted.get("disk full", "no"):
            where, disk = stack.enter_context(on_small_disk(where, folder))
        async with AsyncExitStack() as running:
            rig = await running.enter_async_context(open_rig(folder, where, SETTINGS))
            await rig.become_owner()
            program = await running.enter_async_context(Program().running())
            proxy = None
            if where.server is not None:
                proxy = LostReplies(where.server.port)
                await running.enter_async_context(proxy.running())
            database = await running.enter_async_context(emitting(rig.database_url))
            drill = _Drill(rig, rng, program, database, proxy=proxy, disk=disk)
            struck = [what for what, why in wanted.items() if not why]
            left_out = {what: why for what, why in wanted.items() if why}
            report = await drill.hold(struck, faults, left_out)
            return replace(report, recovery_seconds=recovery_seconds)


class _Drill:
    """The graphs, and what is done to those who run them."""

    def __init__(
        self,
        rig: Rig,
        rng: random.Random,
        program: Program,
        database: Database,
        *,
        proxy: LostReplies | None,
        disk: Path | None,
    ) -> None:
        self._rig = rig
        self._rng = rng
        # Of its own: how many graphs are handed in until a fault is over is chance.
        self._graph_rng = random.Random(rng.random())  # noqa: S311 - not a secret
        self._program = program
        self._database = database
        self._proxy = proxy
        self._disk = disk
        self._scope = Scope("drill", rig.tenant_id)
        self._clock = rig.folder / "clock"
        self._fault = ""
        self._stopping = False
        self._wrong: list[str] = []

    async def hold(
        self, faults: Sequence[str], times: int, skipped: Mapping[str, str]
    ) -> JobsReport:
        """Have each fault strike so often, in no order, and account for everything."""
        found = {what: Fault(what) for what in faults}
        for name in _WORKERS:
            await self._start(name)
        submitting = asyncio.create_task(self._submit_until_stopped())
        try:
            for _ in range(times):
                for what in self._rng.sample(faults, len(faults)):
                    self._fault = what
                    await self._until_ready()
                    before = self._program.again
                    found[what].seconds += await FAULTS[what](self)
                    found[what].again += self._program.again - before
                    found[what].rounds += 1
                    if submitting.done():
                        submitting.result()
            self._stopping = True
            await submitting
        finally:
            submitting.cancel()
        await self._account(found)
        return JobsReport(
            faults=list(found.values()),
            skipped=skipped,
            graphs=len(self._program.graphs),
            wrong=[*self._program.disorder[:3], *self._wrong],
        )

    # --- graphs ---------------------------------------------------------------------------------

    async def _submit_until_stopped(self) -> None:
        """Have a few graphs run at any time: no more than a slow machine gets done."""
        while not self._stopping:
            if self._program.open < _MOST_OPEN:
                await self._submit(_DIAMOND)
            await asyncio.sleep(0.1)

    async def _submit(self, parents: Mapping[str, Sequence[str]]) -> Tasks:
        """Hand in a graph, as often as it takes to be answered; it is one all the same."""
        number = len(self._program.graphs)
        graph = Tasks(self._fault, parents)
        self._program.graphs.append(graph)
        url = f"http://127.0.0.1:{self._program.port}/{number}"
        asked = {
            "name": f"graph {number}",
            "dedup_key": f"graph-{number}",
            "tasks": [
                _task(url, name, before, self._graph_rng.uniform(0.1, 1.0))
                for name, before in parents.items()
            ],
        }
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self._rig.http.post("/api/v1/job-graphs", json=asked)
                if answer.is_success:
                    graph.id = answer.json()["id"]
                    return graph
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    raise DrillError(f"a graph was answered {answer.status_code}: {answer.text}")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _look(self, *columns: Any, where: Sequence[sa.ColumnElement[bool]]) -> list[Any]:
        """What the database says, as soon as it says anything.

        Raises:
            DrillError: It does not for two minutes.
        """
        end = time.monotonic() + _LIMIT_SECONDS
        while True:
            try:
                async with self._database.read(self._scope) as view:
                    return list(await view.execute(sa.select(*columns).where(*where)))
            except DatabaseUnavailableError:
                if time.monotonic() > end:
                    raise DrillError("the database does not come back") from None
                await asyncio.sleep(0.1)

    async def _open(self, pid: int | None = None) -> list[str]:
        """Jobs that are due or run; or those that one worker runs."""
        states = ("running",) if pid is not None else ("ready", "running")
        found = await self._look(
            JobRow.id, JobRow.worker, where=[JobRow.state.in_(states), JobRow.due_at <= db_now()]
        )
        return [id_ for id_, worker in found if pid is None or f":{pid}:" in worker]

    async def _until_ready(self) -> None:
        """Wait until each worker beats, and something is to be done."""

        async def ready() -> bool:
            with contextlib.suppress(DatabaseUnavailableError):
                async with self._database.read(SystemScope(WORK)) as view:
                    beating = set(await view.scalars(sa.select(WorkerRow.pid)))
                    pids = {self._rig.pid(name) for name in _WORKERS}
                    return beating >= pids and bool(await self._open())
            return False

        await self._rig.until(ready, _LIMIT_SECONDS, "both workers to be there")

    async def _recovery(
        self, since: Mapping[str, float], until: asyncio.Event | None = None
    ) -> list[float]:
        """How long after its moment each of these jobs had ended.

        Args:
            since: By job. While ``until`` is not set it may get more, and later moments.
            until: Not before this.

        Raises:
            DrillError: One had not two minutes after the last moment.
        """
        ended: dict[str, float] = {}
        while since.keys() - ended.keys() or not (until is None or until.is_set()):
            left = since.keys() - ended.keys()
            wanted = [JobRow.id.in_(list(left)), JobRow.state.in_(_ENDED)]
            found = await self._look(JobRow.id, where=wanted) if left else []
            now = time.monotonic()
            ended |= {id_: max(0.0, now - since[id_]) for (id_,) in found}
            if left and now > max(since.values()) + _LIMIT_SECONDS:
                raise DrillError(f"{self._fault}: {len(left)} jobs did not end in two minutes")
            await asyncio.sleep(0.05)
        return list(ended.values())

    # --- faults ---------------------------------------------------------------------------------

    async def _start(self, name: str) -> None:
        env = {}
        if self._proxy is not None and name == _WORKERS[0]:
            url = sa.make_url(self._rig.database_url).set(port=self._proxy.port)
            # Two at most: who looks for work, who records it and who beats can all be made to wait.
            env = {
                "EMAIL_SENDER__DATABASE__URL": url.render_as_string(hide_password=False),
                "EMAIL_SENDER__DATABASE__POOL_SIZE": "1",
            }
        elif self._proxy is not None and (library := find_fake_time()):
            await asyncio.to_thread(self._clock.write_text, "+0")
            env = {
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_CACHE_DURATION": "1",
                # A clock that is set says another time; none goes on counting from there.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        await self._rig.start(name, env)

    async def _stop(self, name: str) -> Mapping[str, float]:
        """Freeze a worker; what it holds, and since when nobody works on that."""
        pid = self._rig.pid(name)
        await self._rig.freeze(name)
        since = time.monotonic()
        return dict.fromkeys(await self._open(pid), since)

    async def _strike(self) -> tuple[str, Mapping[str, float]]:
        """Freeze a worker that has something in hand; which one, and what that is."""
        end = time.monotonic() + _LIMIT_SECONDS
        while time.monotonic() < end:
            name = self._rng.choice(_WORKERS)
            held = await self._stop(name)
            if held:
                return name, held
            self._rig.thaw(name)
            await asyncio.sleep(0.1)
        raise DrillError("no worker has anything in hand")

    async def kill_worker(self) -> list[float]:
        """Kill a worker, and start another in its place."""
        name, held = await self._strike()
        await self._rig.kill(name)
        await self._start(name)
        return await self._recovery(held)

    async def freeze_worker(self) -> list[float]:
        """Stop a worker for longer than its lease, and let it go on."""
        name, held = await self._strike()
        recovery = asyncio.create_task(self._recovery(held))
        await asyncio.sleep(_LEASE_SECONDS + self._rng.uniform(1.0, 6.0))
        self._rig.thaw(name)
        return await recovery

    async def restart_server(self) -> list[float]:
        """Crash PostgreSQL and start it again."""
        server = self._server()
        held = await self._open()
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(self._rng.uniform(0.0, 2.0))
        since = time.monotonic()
        await asyncio.to_thread(server.start)
        return await self._recovery(dict.fromkeys(held, since))

    async def lose_replies(self) -> list[float]:
        """Let some COMMITs arrive and cut the connection before the answer."""
        if self._proxy is None:
            raise DrillError("nobody stands between the worker and SQLite")
        proxy, before, count = self._proxy, self._proxy.lost, self._rng.randint(1, 4)
        proxy.left = count

        async def lost() -> bool:
            return proxy.lost == before + count

        await self._rig.until(lost, _LIMIT_SECONDS, "answers to COMMIT to be lost", pause=0.01)
        since = time.monotonic()
        return await self._recovery(dict.fromkeys(await self._open(), since))

    async def exhaust_pool(self) -> list[float]:
        """Keep all connections of a worker waiting for longer than it waits for one."""
        held, before = await self._open(), await self._told(_ALL_IN_USE)
        url = self._server().url(SUPERUSER, str(sa.make_url(self._rig.database_url).database))

        def lock() -> None:
            with psycopg.connect(url) as connection:
                connection.execute("LOCK TABLE jobs")
                time.sleep(_POOL_WAITS_SECONDS + 2.0)

        await asyncio.to_thread(lock)
        since = time.monotonic()
        if await self._told(_ALL_IN_USE) == before:
            self._wrong.append("pool: nobody had to wait for a connection")
        return await self._recovery(dict.fromkeys(held, since))

    async def poison_workers(self) -> list[float]:
        """Hand in a task that has whoever runs it killed, with innocents beside it."""
        since: dict[str, float] = {}
        kills = 0

        async def kill(job_id: str) -> None:
            nonlocal kills
            ((worker,),) = await self._look(JobRow.worker, where=[JobRow.id == job_id])
            (name,) = (one for one in _WORKERS if f":{self._rig.pid(one)}:" in worker)
            # The task itself is meant to end so; what was beside it is not.
            held = await self._stop(name)
            since.update({one: at for one, at in held.items() if one != job_id})
            kills += 1
            await self._rig.kill(name)
            await self._start(name)

        self._program.poisoned = kill
        is_buried = asyncio.Event()
        # Beside it: what ended long before is not to wait for the burial to be seen.
        recovery = asyncio.create_task(self._recovery(since, is_buried))
        graph = await self._submit(_POISONED)

        async def buried() -> bool:
            mine = [JobRow.graph_id == graph.id, JobRow.key == _PILL, JobRow.state == "dead"]
            return bool(await self._look(JobRow.id, where=mine))

        await self._rig.until(buried, _LIMIT_SECONDS, "the task that kills its workers to be dead")
        is_buried.set()
        if kills not in _CRASHES:
            self._wrong.append(f"poison: a task was dead after {kills} workers")
        return await recovery

    async def set_clock(self) -> list[float]:
        """Set the clock of one worker, and set it right again."""
        step = self._rng.choice((-1, 1)) * self._rng.randint(60, 7200)
        name = _WORKERS[1]
        found = []
        for said, ahead in ((f"{step:+d}", step), ("+0", 0)):
            held, since = await self._open(self._rig.pid(name)), time.monotonic()
            await asyncio.to_thread(self._clock.write_text, said)
            found += await self._recovery(dict.fromkeys(held, since))
            await self._rig.until(
                partial(self._begins, self._rig.pid(name), ahead),
                _LIMIT_SECONDS,
                f"a job to begin {ahead} s from now",
            )
        return found

    async def _begins(self, pid: int, ahead: float) -> bool:
        """Whether a worker has begun a job at what it takes for now, so far from the truth."""
        rows = await self._look(JobRow.worker, JobRow.started_at, where=[JobRow.state == "running"])
        return any(
            f":{pid}:" in worker and abs((at - system_clock()).total_seconds() - ahead) < 30
            for worker, at in rows
        )

    async def sit_idle(self) -> list[float]:
        """Hold a lock in a session that does nothing, until our own timeout ends it."""
        if self._rig.where.server is None:
            # Nothing ends a writer of SQLite but itself.
            held = await self._open()
            await asyncio.to_thread(hold_lock, self._rig.database_url, 2 * _LEASE_SECONDS)
            return await self._recovery(dict.fromkeys(held, time.monotonic()))
        rows = self._rng.choice(
            (
                sa.select(JobLimitsRow),
                sa.select(JobRow).where(JobRow.state == "running"),
                sa.select(WorkerRow),
            )
        )
        held = await self._open()
        began = time.monotonic()
        with contextlib.suppress(DatabaseUnavailableError):
            async with self._database.transaction(SystemScope(WORK)) as tx:
                await tx.execute(rows.with_for_update())
                began = time.monotonic()
                await asyncio.sleep(_IDLE_SECONDS + 0.5)
                await tx.execute(sa.select(1))
            raise DrillError("nobody ended a session that was idle in a transaction")
        return await self._recovery(dict.fromkeys(held, began + _IDLE_SECONDS))

    async def fill(self) -> list[float]:
        """Fill the disk of the database, and make room again."""
        if self._disk is None:
            raise DrillError("there is no small disk")
        server = self._rig.where.server
        held, before = await self._open(), await self._told(DISK_FULL)
        ballast = await asyncio.to_thread(fill_disk, self._disk)
        try:

            async def full() -> bool:
                gone = server is not None and not server.runs
                return gone or await self._told(DISK_FULL) > before

            await self._rig.until(full, _LIMIT_SECONDS, "the disk to be full", pause=0.5)
            await asyncio.sleep(self._rng.uniform(0.0, _LEASE_SECONDS))
        finally:
            await asyncio.to_thread(os.unlink, ballast)
        since = time.monotonic()
        # It may be on its way out yet.
        await asyncio.sleep(1.0)
        if server is not None and not server.runs:
            await asyncio.to_thread(server.stop)
            since = time.monotonic()
            await asyncio.to_thread(server.start)
        return await self._recovery(dict.fromkeys(held, since))

    def _server(self) -> PostgresServer:
        if self._rig.where.server is None:
            raise DrillError("this is about PostgreSQL")
        return self._rig.where.server

    async def _told(self, words: str) -> int:
        """How often the processes have written these words."""

        def count() -> int:
            logs = (self._rig.folder / "logs").glob("*.log")
            return sum(one.read_bytes().count(words.encode()) for one in logs)

        return await asyncio.to_thread(count)

    # --- accounting -----------------------------------------------------------------------------

    async def _account(self, found: Mapping[str, Fault]) -> None:
        """Hold every graph against its jobs, what was told of them, and what was asked."""
        await self._rig.until_serving()
        graphs = {graph.id: number for number, graph in enumerate(self._program.graphs)}

        async def all_ended() -> bool:
            running = [GraphRow.state.not_in(_ENDED), GraphRow.state != "failed"]
            return not await self._look(GraphRow.id, where=running)

        with contextlib.suppress(DrillError):
            await self._rig.until(all_ended, _LIMIT_SECONDS, "all graphs to end", pause=0.2)
        states = {
            (graphs[graph_id], key): (id_, state)
            for id_, graph_id, key, state in await self._look(
                JobRow.id, JobRow.graph_id, JobRow.key, JobRow.state, where=[]
            )
        }
        ends = Counter(
            subject
            for (subject,) in await self._look(
                EventRecord.subject, where=[EventRecord.kind.in_(_ENDS)]
            )
        )
        for number, graph in enumerate(self._program.graphs):
            fault = found[graph.fault]
            for name in graph.parents:
                id_, state = states.pop((number, name), ("", "gone"))
                wanted = "dead" if name == _PILL else "succeeded"
                told = ends[f"job:{id_}"]
                fault.jobs += 1
                fault.lost += (
                    state != wanted or not told or (number, name) not in self._program.asked
                )
                fault.twice += told > 1
        if states:
            self._wrong.append(f"{len(states)} jobs of nothing that was handed in")
        if not await self._rig.audit_holds():
            self._wrong.append("the audit chain is broken")
        self._wrong += [
            line
            for line in self._rig.logged_errors(allowed_statuses={503})
            # SQLAlchemy's own word for a connection that broke within a part of a transaction.
            if "transaction already deassociated" not in line
        ][:3]


def _task(url: str, name: str, parents: Sequence[str], seconds: float) -> Json:
    """A request; what waits for the pill waits for its failure, and takes nothing from it."""
    takes = {one: {"$result": one, "path": "body.token"} for one in parents if one != _PILL}
    return {
        "name": name,
        "kind": "http.request",
        "args": {
            "method": "POST",
            "url": f"{url}/{name}",
            "body": {"seconds": round(seconds, 3), "tokens": takes},
        },
        "depends_on": list(parents),
        "runs_on": "failure" if _PILL in parents else "success",
    }


def find_fake_time() -> str | None:
    """The library that gives a process a clock of its own, where it is installed."""
    return next((str(one) for one in Path("/usr/lib").glob(_FAKE_TIME)), None)


_PILL: Final = "pill"
_INNOCENTS: Final = tuple(f"innocent-{number}" for number in range(6))
_DIAMOND: Final = {"a": (), "b": ("a",), "c": ("a",), "d": ("a",), "e": ("b", "c", "d")}
_POISONED: Final = {
    _PILL: (),
    **dict.fromkeys(_INNOCENTS, ()),
    "complaint": (_PILL,),
    "end": _INNOCENTS,
}
FAULTS: Final[Mapping[str, Callable[[_Drill], Awaitable[list[float]]]]] = {
    "kill -9": _Drill.kill_worker,
    "frozen": _Drill.freeze_worker,
    "restart": _Drill.restart_server,
    "lost reply": _Drill.lose_replies,
    "pool exhausted": _Drill.exhaust_pool,
    "poison": _Drill.poison_workers,
    "clock step": _Drill.set_clock,
    "idle session": _Drill.sit_idle,
    "disk full": _Drill.fill,
}


def _faults_of(where: Where) -> dict[str, str]:
    """All faults, each with why it cannot be made here; empty: it can."""
    why = dict.fromkeys(FAULTS, "")
    if where.server is None:
        for what in ("restart", "lost reply", "pool exhausted"):
            why[what] = "SQLite is no server"
        why["clock step"] = "all processes on SQLite have one clock"
    elif find_fake_time() is None:
        why["clock step"] = "libfaketime is missing"
    if os.geteuid() != 0:
        why["disk full"] = "only root mounts a small disk"
    return why
