"""The price of telling: ten thousand alerts routed, grouped and inhibited, against Alertmanager.

Both are given the same alerts at once, a hundred groups of them, some kept quiet by others, with
the same waits. Ours has them as rows and hears of their events; measured is until the messages that
tell of 95 of a hundred are committed. Alertmanager is given them over its API, and measured is
until its receiver, on the same machine, has them.
"""

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import sqlalchemy as sa
import uvloop

from backend.core.clock import perf_counter, system_clock
from backend.core.context import Scope
from backend.core.database import Database
from backend.core.events import Event
from backend.core.ids import uuid7
from backend.managers.alerting import PolicyDraft, Raised, Step
from backend.managers.alerting._alerts import Alerts
from backend.managers.alerting._incidents import Incidents
from backend.managers.alerting._policies import Policies
from backend.managers.alerting._raised import raise_alert
from backend.managers.alerting._silences import Silences
from backend.managers.alerting._telling import TELL_JOB, Telling
from backend.managers.alerting._tree import Routing, Routings
from backend.managers.alerting.models import AlertRow, ChannelRow
from backend.managers.orchestrator import Batch, JobKind, OrchestratorManager
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from scripts.benchmarks.processes import wait_until
from scripts.benchmarks.stores import migrated, opened
from scripts.installation import accepts, free_ports, spawn, stop
from tests.support.hooks import HookServer

ALERTS: Final = 10_000
PROGRAMS: Final = ("prometheus-alertmanager", "alertmanager")
_TEAMS: Final = 100
_BATCH: Final = 200
_WAIT_SECONDS: Final = 1
_SHARE: Final = 0.95
_LIMIT_SECONDS: Final = 120.0
_PAUSE: Final = 0.05


def run_case(case: str, rounds: int, alerts: int = ALERTS) -> Result:
    """Alerts a second, by the time in which people were told of 95 of a hundred.

    Raises:
        BenchmarkError: A program is missing, or somebody was told of too many or too few.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise BenchmarkError("there is no alertmanager: install prometheus-alertmanager")
    labels = _labels(alerts)
    with migrated(case) as url, _alertmanager(program) as port:
        mine, theirs = alternate(
            rounds,
            lambda: uvloop.run(_tell(url, labels)),
            lambda: uvloop.run(_hand_over(port, labels)),
        )
    return Result("alert-group", case, mine, theirs, "Alertmanager", "alerts/s at p95")


def _labels(alerts: int) -> Sequence[Mapping[str, str]]:
    """One of twenty is critical, and keeps the warnings of its host quiet: those come first."""
    made = []
    for number in range(alerts):
        team, host = number % _TEAMS, number // _TEAMS
        made.append(
            {
                "alertname": f"a{number % 7}",
                "team": f"t{team}",
                "host": f"h{host // 2}",
                "number": str(number),
                "severity": "critical" if host % 20 == 0 else "warning",
            }
        )
    return sorted(made, key=lambda one: one["severity"])


def _told(labels: Sequence[Mapping[str, str]]) -> int:
    """How many of them somebody is told of."""
    critical = {(one["team"], one["host"]) for one in labels if one["severity"] == "critical"}
    return sum(
        one["severity"] == "critical" or (one["team"], one["host"]) not in critical
        for one in labels
    )


class _Clock:
    """When so many had been told of."""

    def __init__(self, wanted: int) -> None:
        self._began = perf_counter()
        self._wanted = wanted
        self._seconds = 0.0
        self.told = 0
        self.done = asyncio.Event()

    def tell(self, count: int) -> None:
        """So many more."""
        if self.told < _SHARE * self._wanted <= self.told + count:
            self._seconds = perf_counter() - self._began
        self.told += count
        if self.told >= self._wanted:
            self.done.set()

    def rate(self) -> float:
        """Alerts a second.

        Raises:
            BenchmarkError: Others were told of than had to be.
        """
        if self.told != self._wanted:
            raise BenchmarkError(f"{self.told} alerts were told of, and not {self._wanted}")
        return _SHARE * self._wanted / self._seconds


# --- ours -----------------------------------------------------------------------------------------


async def _tell(url: str, labels: Sequence[Mapping[str, str]]) -> float:
    async def run(_: Batch) -> None:
        """Nobody is sent anything here."""

    jobs = OrchestratorManager([JobKind(TELL_JOB, run)])
    silences, policies, routings = Silences(), Policies(), Routings()
    telling = Telling(jobs, silences, policies, routings, Incidents(Alerts()))
    scope = Scope("bench", uuid7())
    async with opened(url, ["alert.fired"]) as database:
        async with database.transaction(scope) as tx:
            ids = await _fill(tx, labels)
            await _route(tx, policies, routings)
        events = [
            Event(number, uuid7(), system_clock(), "alert.fired", f"alert:{one}", "bench", {})
            for number, one in enumerate(ids, 1)
        ]
        return await _measure(database, str(scope.tenant_id), telling, events, _told(labels))


async def _measure(
    database: Database, tenant_id: str, telling: Telling, events: Sequence[Event], wanted: int
) -> float:
    clock = _Clock(wanted)

    async def hear() -> None:
        for start in range(0, len(events), _BATCH):
            await telling.take(database, tenant_id, events[start : start + _BATCH])

    async def tell() -> None:
        while not clock.done.is_set():
            clock.tell((await telling.run(database)).notifications)
            await asyncio.sleep(_PAUSE)

    await _until(clock, hear(), tell())
    return clock.rate()


async def _until(clock: _Clock, *works: Coroutine[Any, Any, object]) -> None:
    """Work until all are told of, or it takes too long, which the clock says."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LIMIT_SECONDS):
            await asyncio.gather(*works)
            await clock.done.wait()


async def _fill(tx: Any, labels: Sequence[Mapping[str, str]]) -> Sequence[str]:
    """Alerts that fire, as if each had been raised."""
    first, _ = await raise_alert(tx, Raised(name="the first", severity="info"))
    row: Any = await tx.scalar(
        sa.select(AlertRow).where(AlertRow.tenant_id == tx.tenant_id, AlertRow.id == first.id)
    )
    alike = {column.key: getattr(row, column.key) for column in sa.inspect(AlertRow).columns}
    await tx.session.delete(row)
    rows = [
        {
            **alike,
            "id": uuid7(),
            "fingerprint": f"{number:032x}",
            "labels": one,
            "severity": one["severity"],
        }
        for number, one in enumerate(labels)
    ]
    await tx.insert(AlertRow, rows)
    return [one["id"] for one in rows]


async def _route(tx: Any, policies: Policies, routings: Routings) -> None:
    channel = ChannelRow(
        tenant_id=tx.tenant_id,
        id=uuid7(),
        name="hook",
        kind="webhook",
        host="bench.test",
        sealed_target=b"",
        per_minute=10**6,
        send_resolved=True,
        fallback_id=None,
        revision=1,
        created_at=tx.now(),
        created_by="bench",
        updated_at=tx.now(),
        updated_by="bench",
    )
    tx.session.add(channel)
    await tx.session.flush()
    draft = PolicyDraft(name="all", steps=[Step([channel.id])])
    policy = await policies.create(tx, draft)
    tree = {
        "policy": policy.id,
        "group_by": ["team"],
        "group_wait_seconds": _WAIT_SECONDS,
        "group_interval_seconds": _WAIT_SECONDS,
    }
    inhibition = {
        "source": "severity=critical",
        "target": "severity=warning",
        "equal": ["team", "host"],
    }
    wanted = Routing(tree=tree, inhibitions=[inhibition])
    await routings.put(tx, wanted, expected_version=None)


# --- the reference --------------------------------------------------------------------------------


class _Receiver(HookServer):
    """Counts the alerts that it had not been told of before."""

    def __init__(self, clock: _Clock, run: str) -> None:
        super().__init__()
        self._clock = clock
        self._run = run
        self._known: set[str] = set()

    async def take(self, _path: str, _headers: Mapping[str, str], body: bytes) -> int:
        """Take a message."""
        said = {
            one["labels"]["number"]
            for one in json.loads(body)["alerts"]
            if one["labels"].get("run") == self._run
        }
        self._clock.tell(len(said - self._known))
        self._known |= said
        return 200


@contextlib.contextmanager
def _alertmanager(program: str) -> Iterator[tuple[int, int]]:
    """Its port, and the one that its messages go to."""
    port, hook = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="email-sender-bench-") as name:
        folder = Path(name)
        settings = {
            "route": {
                "receiver": "hook",
                "group_by": ["run", "team"],
                "group_wait": f"{_WAIT_SECONDS}s",
                "group_interval": f"{_WAIT_SECONDS}s",
                "repeat_interval": "24h",
            },
            "inhibit_rules": [
                {
                    "source_matchers": ["severity=critical"],
                    "target_matchers": ["severity=warning"],
                    "equal": ["run", "team", "host"],
                }
            ],
            "receivers": [
                {
                    "name": "hook",
                    "webhook_configs": [
                        {"url": f"http://127.0.0.1:{hook}/hook", "send_resolved": False}
                    ],
                }
            ],
        }
        # JSON is YAML.
        (folder / "alertmanager.yml").write_text(json.dumps(settings))
        arguments = [
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        process = spawn(program, arguments, {}, folder / "log", by=())
        try:
            wait_until(lambda: accepts(port), "Alertmanager's serving")
            yield port, hook
        finally:
            stop(process)


async def _hand_over(ports: tuple[int, int], labels: Sequence[Mapping[str, str]]) -> float:
    run, wanted = uuid7(), _told(labels)
    clock = _Clock(wanted)
    receiver = _Receiver(clock, run)
    receiver.port = ports[1]
    url = f"http://127.0.0.1:{ports[0]}/api/v2/alerts"
    async with receiver.running(), httpx.AsyncClient(trust_env=False, timeout=60) as http:

        async def post() -> None:
            for start in range(0, len(labels), _BATCH):
                some = [{"labels": {**one, "run": run}} for one in labels[start : start + _BATCH]]
                (await http.post(url, json=some)).raise_for_status()

        await _until(clock, post())
    return clock.rate()
